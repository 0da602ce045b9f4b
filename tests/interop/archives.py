"""Archives of other people's, each started on ports of its own and filled with `studies.STUDIES`.

    dcmqrscp     DCMTK's image archive: C-STORE, C-FIND, C-GET, C-MOVE
    wlmscpfs     DCMTK's worklist server: C-FIND
    orthanc      Orthanc: all that, storage commitment, and the same as a client, told so by HTTP
    pynetdicom   `pynetdicom_scp.py`: all that, performed procedure steps and print objects

Each is called "ARCHIVE" and knows the application entities of `Destinations`: a port for each is
held, so that a C-MOVE or a report can be sent to whoever listens there. Ready is who listens, and
nobody visits to find out. They end by their own process id; what they said is in `process.output`.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import copy
from typing import Any

import pytest

from tests.interop.programs import HOST, Program, eventually, listens, run
from tests.interop.studies import write_worklist

ROOT = Path(__file__).parents[2]
AE_TITLE = "ARCHIVE"
OURS, THEIRS = "OURS", "THEIRS"
DCMTK = Path("/usr/bin")
ORTHANC = Path("/usr/sbin/Orthanc")
ORTHANC_WORKLISTS = Path("/usr/share/orthanc/plugins/libModalityWorklists.so")


def installed(program: Path, package: str) -> Path:
    """The program of a Debian package; skips the test if there is none, in CI fails it."""
    if not os.access(program, os.X_OK):
        missing = f"{program} is not installed (Debian package: {package})"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return program


@contextmanager
def held_port() -> Iterator[int]:
    """A TCP port that the system gives to nobody else meanwhile; who asks for it may listen there.

    It is bound, but nobody listens; a listener that sets SO_REUSEADDR, as all do, is let in.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((HOST, 0))
        yield int(holder.getsockname()[1])


@dataclass(frozen=True)
class Destinations:
    """Application entities that the archives know, each with a port held for it."""

    ours: int
    """Port of OURS, for an SCP of dul_fsm."""
    theirs: int
    """Port of THEIRS, for the storage receiver of a peer's client."""

    @property
    def ports(self) -> dict[str, int]:
        """Port by AE title."""
        return {OURS: self.ours, THEIRS: self.theirs}


@contextmanager
def hold_destinations() -> Iterator[Destinations]:
    """Hold a port for each."""
    with held_port() as ours, held_port() as theirs:
        yield Destinations(ours, theirs)


@dataclass(frozen=True)
class Archive:
    """A running archive."""

    name: str
    process: Program
    port: int
    http_port: int = 0
    """Orthanc's, for its REST API."""
    ae_title: str = AE_TITLE

    def load(self, *files: Path) -> None:
        """Store files in it, by DCMTK's storescu."""
        storescu = installed(DCMTK / "storescu", "dcmtk")
        done = run(storescu, "-R", "-aec", self.ae_title, HOST, self.port, *files)
        assert done.status == 0, (done, self.process.output)

    def requests(self, operation: str) -> list[dict[str, Any]]:
        """pynetdicom's: the requests of this operation that it has performed, as it told."""
        whole, _, _ = self.process.output.rpartition("\n")
        lines = (line for line in whole.splitlines() if line.startswith("{"))
        told = (json.loads(line) for line in lines)
        return [line for line in told if line.get("operation") == operation]

    def told(self, operation: str) -> dict[str, Any]:
        """pynetdicom's: wait for a request of this operation, and return the last one."""
        eventually(lambda: self.requests(operation), f"{self.name} performs a {operation}")
        return self.requests(operation)[-1]

    def get(self, path: str) -> Any:
        """Orthanc's: GET, parsed."""
        return self._http("GET", path, None)

    def post(self, path: str, body: object) -> Any:
        """Orthanc's: POST of JSON, or of bytes as they are; the answer, parsed."""
        return self._http("POST", path, body if isinstance(body, bytes) else json.dumps(body))

    def put(self, path: str, body: object) -> None:
        """Orthanc's: PUT of JSON."""
        self._http("PUT", path, json.dumps(body))

    def _http(self, method: str, path: str, body: bytes | str | None) -> Any:
        connection = http.client.HTTPConnection(HOST, self.http_port, timeout=30.0)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            answer = response.read().decode()
        finally:
            connection.close()
        assert response.status == 200, f"{method} {path}: {response.status}\n{answer}"
        return json.loads(answer) if answer else None


class Archives:
    """Starts archives below a folder and ends them all at the end: the fixture `archives`."""

    def __init__(self, root: Path, studies: Sequence[Path], destinations: Destinations) -> None:
        self.destinations = destinations
        self._root = root
        self._studies = studies
        self._stack = ExitStack()

    def start(self, name: str, **options: Any) -> Archive:
        """Start one by its name: `dcmqrscp`, `wlmscpfs`, `orthanc` or `pynetdicom`."""
        archive: Archive = getattr(self, name)(**options)
        return archive

    def dcmqrscp(self, *options: object, load: bool = True) -> Archive:
        """DCMTK's image archive, which forks for each association."""
        program = installed(DCMTK / "dcmqrscp", "dcmtk")
        folder, port = self._folder("dcmqrscp"), self._port()
        area = folder / "area"
        area.mkdir()
        hosts = "\n".join(
            f"{name.lower()} = ({name}, {HOST}, {there})"
            for name, there in self.destinations.ports.items()
        )
        configuration = folder / "dcmqrscp.cfg"
        configuration.write_text(
            "MaxPDUSize = 16384\nMaxAssociations = 16\n"
            f"HostTable BEGIN\n{hosts}\nHostTable END\n"
            "VendorTable BEGIN\nVendorTable END\n"
            f"AETable BEGIN\n{AE_TITLE} {area} RW (100, 64mb) ANY\nAETable END\n"
        )
        command = (program, "-d", "-c", configuration, *options, port)
        archive = Archive("dcmqrscp", self._run(command, folder, port), port)
        if load:
            # As storescu, in a moment: it waits for delayed acknowledgements.
            for file in self._studies:
                copy(file, area)
            done = run(installed(DCMTK / "dcmqridx", "dcmtk"), area, *sorted(area.glob("*.dcm")))
            assert done.status == 0, done
        return archive

    def wlmscpfs(self, *options: object) -> Archive:
        """DCMTK's worklist server, with `studies.WORKLIST`."""
        program = installed(DCMTK / "wlmscpfs", "dcmtk")
        folder, port = self._folder("wlmscpfs"), self._port()
        # It looks for the called AE title's own folder.
        write_worklist(folder / "worklists" / AE_TITLE)
        command = (program, "-d", "-dfp", folder / "worklists", *options, port)
        return Archive("wlmscpfs", self._run(command, folder, port), port)

    def orthanc(self, *, load: bool = True, **settings: object) -> Archive:
        """Orthanc, with `studies.WORKLIST` too. `settings` go into its configuration."""
        program = installed(ORTHANC, "orthanc")
        folder, port, http_port = self._folder("orthanc"), self._port(), self._port()
        write_worklist(folder / "worklists")
        configuration: dict[str, object] = {
            "Name": "interop",
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "SyncStorageArea": False,
            "Plugins": [str(ORTHANC_WORKLISTS)],
            "Worklists": {"Enable": True, "Database": str(folder / "worklists")},
            "HttpPort": http_port,
            "HttpThreadsCount": 4,
            "DicomAet": AE_TITLE,
            "DicomPort": port,
            "DicomAlwaysAllowFind": True,
            "DicomAlwaysAllowFindWorklist": True,
            "DicomAlwaysAllowGet": True,
            "DicomAlwaysAllowMove": True,
            "DicomModalities": {
                name: {"AET": name, "Host": HOST, "Port": there, "AllowStorageCommitment": True}
                for name, there in self.destinations.ports.items()
            },
            **settings,
        }
        file = folder / "orthanc.json"
        file.write_text(json.dumps(configuration, indent=2))
        process = self._run((program, "--verbose", file), folder, port, http_port, quick=True)
        archive = Archive("orthanc", process, port, http_port)
        for file in self._studies if load else ():
            archive.post("/instances", file.read_bytes())
        return archive

    def pynetdicom(self, *options: object, load: bool = True) -> Archive:
        """pynetdicom's server, with `studies.WORKLIST` too; what it performs is in `requests`."""
        folder, port = self._folder("pynetdicom"), self._port()
        write_worklist(folder / "held")
        for file in self._studies if load else ():
            (folder / "held" / file.name).symlink_to(file)
        known = [
            part
            for name, there in self.destinations.ports.items()
            for part in ("--destination", f"{name}={there}")
        ]
        module = (sys.executable, "-m", "tests.interop.pynetdicom_scp")
        command = (*module, port, folder / "held", *known, *options)
        return Archive("pynetdicom", self._run(command, folder, port), port)

    def close(self) -> None:
        """End them all."""
        self._stack.close()

    def _folder(self, name: str) -> Path:
        folder = self._root / f"{name}-{len(list(self._root.glob(f'{name}-*'))) + 1}"
        folder.mkdir(parents=True)
        return folder

    def _port(self) -> int:
        return self._stack.enter_context(held_port())

    def _run(
        self, command: Sequence[object], folder: Path, *ports: int, quick: bool = False
    ) -> Program:
        process = self._stack.enter_context(Program(command, folder / "log", cwd=ROOT))
        if quick:
            self._stack.callback(_kill, process)
        for port in ports:
            eventually(
                lambda port=port: listens(port) or not process.running,  # type: ignore[misc]
                f"{command[0]} listens",
            )
        assert process.running, process.output
        return process


def _kill(process: Program) -> None:
    """End a process that takes seconds to end, and whose files nobody will read."""
    with suppress(ProcessLookupError):
        process.signal(signal.SIGKILL)


def versions() -> dict[str, str]:
    """The peers that are installed here, and their versions as they tell them."""
    from importlib.metadata import version

    found = {"pynetdicom": version("pynetdicom")}
    for name, program in (("DCMTK", DCMTK / "findscu"), ("Orthanc", ORTHANC)):
        if os.access(program, os.X_OK):
            said = run(program, "--version").output
            number = re.search(r"\d+(\.\d+)+", said)
            assert number, said
            found[name] = number[0]
    return dict(sorted(found.items()))
