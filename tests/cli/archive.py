"""A small archive for the tests of `find`, `get` and `move`."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from pydicom import Dataset
from pydicom.data import get_testdata_file
from pydicom.sequence import Sequence

from dul_fsm.association import Message
from dul_fsm.files import open_data_set, read_part10
from dul_fsm.query import (
    MODALITY_WORKLIST,
    STUDY_ROOT,
    IndexedInstance,
    InstanceIndex,
    Worklist,
    model_of,
)
from dul_fsm.scp import serve
from dul_fsm.scp.server import Server
from dul_fsm.services.handler import Destination, Handler, Instance, Matches
from dul_fsm.services.sop_classes import VERIFICATION, choose_any, is_storage
from dul_fsm.transports import TCP

FILES = [str(get_testdata_file(name)) for name in ("CT_small.dcm", "MR_small.dcm")]
CT_STUDY = "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322"
MR_STUDY = "1.3.6.1.4.1.5962.1.2.4.20040826185059.5457"
CT_INSTANCE = "1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322"


def _step(modality: str) -> Dataset:
    step = Dataset()
    step.Modality = modality
    step.ScheduledProcedureStepStartDate = "20240131"
    item = Dataset()
    item.PatientName = f"Plänned^{modality}"
    item.ScheduledProcedureStepSequence = Sequence([step])
    return item


class Archive(Handler):
    """Knows the files, a worklist, and where to move to."""

    choose = staticmethod(
        choose_any(VERIFICATION, is_storage, lambda uid: model_of(uid) is not None)
    )
    destinations: Mapping[str, int] = MappingProxyType({})
    """AE title to port."""
    missing: tuple[str, ...] = ()
    """SOP Instance UIDs of files that cannot be read any more."""
    status = 0
    """Answered in place of matches, if it is not 0."""

    def __init__(self) -> None:
        self.index = InstanceIndex()
        for path in FILES:
            self.index.add_file(path)
        self.worklist = Worklist()
        for modality in ("CT", "MR"):
            self.worklist.add(_step(modality))

    def c_find_requested(self, message: Message) -> int | Matches:
        model = model_of(message.context.abstract_syntax)
        if self.status:
            return self.status
        if model is MODALITY_WORKLIST:
            return self.worklist.find(message.decode())
        return self.index.find(message.decode(), model or STUDY_ROOT, retrieve_ae_title="ARCHIVE")

    def c_get_requested(self, message: Message) -> list[Instance]:
        model = model_of(message.context.abstract_syntax)
        selected = self.index.select(message.decode(), model or STUDY_ROOT)
        return [self._instance(one) for one in selected]

    def c_move_requested(self, message: Message) -> list[Instance]:
        return self.c_get_requested(message)

    def move_destination(self, ae_title: str) -> Destination | None:
        port = self.destinations.get(ae_title)
        return None if port is None else Destination(TCP("127.0.0.1", port), ae_title)

    def _instance(self, found: IndexedInstance) -> Instance:
        @contextmanager
        def opened(_: str) -> Iterator[memoryview]:
            assert found.path is not None
            if found.sop_instance_uid in self.missing:
                raise FileNotFoundError("gone")
            with open_data_set(read_part10(found.path)) as data_set:
                yield data_set

        return Instance(
            sop_class_uid=found.sop_class_uid,
            sop_instance_uid=found.sop_instance_uid,
            transfer_syntaxes=(found.transfer_syntax_uid,),
            open=opened,
        )


class Endless(Archive):
    """Has matches for ever, until somebody cancels."""

    cancelled = threading.Event()

    def c_find_requested(self, message: Message) -> Matches:
        def matches() -> Matches:
            try:
                while True:
                    yield message.data_set
            finally:
                type(self).cancelled.set()

        return matches()


@contextmanager
def serving(kind: type[Archive] = Archive, **more: object) -> Iterator[Server]:
    """An archive on a port of its own; `more` are attributes of its class."""
    made = type(kind.__name__, (kind,), dict(more))
    with serve(made, port=0) as server:
        yield server


def studies(folder: Path) -> list[str]:
    """SOP Instance UIDs of what was stored into a folder."""
    return sorted(path.stem for path in folder.rglob("*.dcm"))


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
