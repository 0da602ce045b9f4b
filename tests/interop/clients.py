"""Query and retrieve by DCMTK's and pynetdicom's programs, with what they got, parsed.

dcmtk.find(port, "STUDY", "StudyInstanceUID", "PatientName=LOVELACE*").identifiers
dcmtk.get(port, "STUDY", f"StudyInstanceUID={uid}").files
dcmtk.move(port, "STUDY", f"StudyInstanceUID={uid}", to=THEIRS, receive=destinations.theirs)
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset, dcmread

from tests.interop.archives import AE_TITLE, DCMTK, installed
from tests.interop.programs import HOST, Finished, run

MODELS = {"patient": "-P", "study": "-S", "worklist": "-W"}


@dataclass(frozen=True, repr=False)
class Answer:
    """How a client ended, and what came."""

    done: Finished
    """Its exit status and what it said. pynetdicom's are 0 whatever the peer answered."""
    statuses: list[int]
    """DIMSE status of each response, the final one last."""
    counts: dict[str, int]
    """Sub-operations that the final response counts: Remaining, Completed, Failed, Warning, where
    the client tells them."""
    received: list[Path]
    """Files: the identifiers of a query's matches, or the instances of a retrieval."""

    @property
    def final(self) -> int:
        """DIMSE status of the final response."""
        assert self.statuses, self
        return self.statuses[-1]

    @property
    def pending(self) -> int:
        """How many responses came before the final one."""
        return len(self.statuses) - 1

    @property
    def data_sets(self) -> list[Dataset]:
        """What was received, in the order of the responses for a query."""
        return [dcmread(path) for path in self.received]

    @property
    def instances(self) -> list[str]:
        """SOP Instance UIDs of what was received, sorted."""
        return sorted(str(data_set.SOPInstanceUID) for data_set in self.data_sets)

    def values(self, keyword: str) -> list[str]:
        """An attribute's value in each data set received, sorted."""
        return sorted(str(data_set[keyword].value) for data_set in self.data_sets)

    def __repr__(self) -> str:
        return f"{self.statuses} {self.counts} {self.done!r}"


class Client:
    """findscu, getscu and movescu of somebody's; what they receive goes below a folder.

    `level` is the Query/Retrieve Level, empty for a worklist. A key is `Keyword=value`, or
    `Keyword` for universal matching; DCMTK takes a path through sequences, too. `model` is
    `patient`, `study` or `worklist`. Further options are the program's own.
    """

    name: str

    def __init__(self, root: Path) -> None:
        self._root = root

    def find(
        self, port: int, level: str, *keys: str, model: str = "study", **more: object
    ) -> Answer:
        """C-FIND."""
        return self._do("find", port, level, keys, [MODELS[model], *_options(more)])

    def get(
        self, port: int, level: str, *keys: str, model: str = "study", **more: object
    ) -> Answer:
        """C-GET."""
        return self._do("get", port, level, keys, [MODELS[model], *_options(more)])

    def move(
        self,
        port: int,
        level: str,
        *keys: str,
        to: str,
        receive: int | None = None,
        model: str = "study",
        **more: object,
    ) -> Answer:
        """C-MOVE to an AE title; with `receive`, a storage receiver runs on that port."""
        options: list[object] = [MODELS[model], "-aem", to, *_options(more)]
        if receive is not None:
            options += self._receiver(to, receive)
        return self._do("move", port, level, keys, options)

    def _do(
        self, verb: str, port: int, level: str, keys: Sequence[str], options: Sequence[object]
    ) -> Answer:
        folder = self._root / f"{self.name}-{verb}-{len(list(self._root.glob('*')))}"
        folder.mkdir(parents=True)
        every = [f"QueryRetrieveLevel={level}", *keys] if level else keys
        program = self._program(verb, options)
        terms = [part for key in every for part in ("-k", self._key(key))]
        done = run(*program, "-aec", AE_TITLE, *terms, HOST, port, cwd=folder)
        statuses, counts = self._parse(verb, done.output)
        return Answer(done, statuses, counts, sorted(folder.iterdir()))

    def _program(self, verb: str, options: Sequence[object]) -> tuple[object, ...]:
        raise NotImplementedError

    def _receiver(self, to: str, port: int) -> tuple[object, ...]:
        raise NotImplementedError

    def _key(self, key: str) -> str:
        return key

    def _parse(self, verb: str, output: str) -> tuple[list[int], dict[str, int]]:
        """Statuses of the responses, and the counts of the last."""
        raise NotImplementedError


def _options(more: dict[str, object]) -> Sequence[object]:
    options = more.pop("options", ())
    assert not more, f"unknown: {more}"
    assert isinstance(options, (list, tuple))
    return options


class DCMTKClient(Client):
    """DCMTK's. Its movescu takes a second to end once it has had a receiver."""

    name = "dcmtk"

    def _program(self, verb: str, options: Sequence[object]) -> tuple[object, ...]:
        extract = ("-X",) if verb == "find" else ()
        return (installed(DCMTK / f"{verb}scu", "dcmtk"), "-d", *extract, *options)

    def _receiver(self, to: str, port: int) -> tuple[object, ...]:
        return ("--port", port)

    def _parse(self, verb: str, output: str) -> tuple[list[int], dict[str, int]]:
        message = r"INCOMING DIMSE MESSAGE =+\n(.*?)END DIMSE MESSAGE"
        blocks = [
            block
            for block in re.findall(message, output, re.DOTALL)
            if re.search(rf"Message Type +: C-{verb.upper()} RSP", block)
        ]
        statuses = [
            int(status, 16)
            for block in blocks
            for status in re.findall(r"DIMSE Status +: 0x([0-9a-f]{4})", block)
        ]
        counts = re.findall(r"(\w+) Suboperations +: (\d+)", blocks[-1]) if blocks else []
        return statuses, {name: int(number) for name, number in counts}


class PynetdicomClient(Client):
    """pynetdicom's."""

    name = "pynetdicom"

    def _program(self, verb: str, options: Sequence[object]) -> tuple[object, ...]:
        write = ("-w",) if verb == "find" else ()
        return (sys.executable, "-m", "pynetdicom", f"{verb}scu", "-v", *write, *options)

    def _receiver(self, to: str, port: int) -> tuple[object, ...]:
        return ("--store", "--store-port", port, "--store-aet", to)

    def _key(self, key: str) -> str:
        return key if "=" in key else f"{key}="

    def _parse(self, verb: str, output: str) -> tuple[list[int], dict[str, int]]:
        response = rf"{verb.capitalize()} SCP (?:Response: \d+ -|Result:) 0x([0-9A-F]{{4}})"
        statuses = [int(status, 16) for status in re.findall(response, output)]
        final = output.rpartition(f"{verb.capitalize()} SCP Result")[2]
        counts = re.findall(r"(Remaining|Completed|Failed|Warning): (\d+)", final)
        return statuses, {name: int(number) for name, number in counts}
