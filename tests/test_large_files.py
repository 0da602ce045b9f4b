"""A file on its way out is given back as it leaves, whoever sends it: by name or from an archive.

Counted by the one who receives it, when all of it has come and the sender awaits the answer: how
much of the file is in memory as this process's own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from dul_fsm import Handler, Message, aio, associate, serve
from dul_fsm.dimse import status
from dul_fsm.files import StudyFolder
from dul_fsm.files.part10 import GIVE_BACK_LENGTH, file_meta
from dul_fsm.query import InstanceIndex
from dul_fsm.scp.archive import ArchiveHandler
from dul_fsm.scu.query import get, move
from dul_fsm.services.handler import Destination
from dul_fsm.services.sop_classes import STUDY_ROOT_GET, STUDY_ROOT_MOVE, choose_any
from dul_fsm.transports import Loopback
from tests.files import samples
from tests.files.samples import CT_IMAGE_STORAGE, EXPLICIT, element, uid
from tests.scp.studies import identifier

LENGTH = 8 * GIVE_BACK_LENGTH
HELD = 3 * GIVE_BACK_LENGTH
"""What has just left, what is about to, and where both lie in the file."""

STUDY = "1.2.3"
THE_STUDY = identifier("QueryRetrieveLevel=STUDY", f"StudyInstanceUID={STUDY}")
CONTEXTS = [(CT_IMAGE_STORAGE, (EXPLICIT,)), (STUDY_ROOT_GET, (EXPLICIT,))]
ROLES = {CT_IMAGE_STORAGE: (True, True)}

Send = Callable[[Path, "Receiver"], None]


class Receiver(Handler):
    """Counts what comes, and how much of the file is in memory then."""

    choose = staticmethod(choose_any(CT_IMAGE_STORAGE))

    def __init__(self, path: Path) -> None:
        self.path = path
        self.length = 0
        self.resident = 0

    def open_sink(self, message: Message) -> Receiver:
        return self

    def write(self, fragment: memoryview) -> None:
        self.length += len(fragment)

    def c_store_requested(self, message: Message) -> int:
        self.resident = samples.resident(self.path)
        return status.SUCCESS


def large_file(root: Path) -> Path:
    head = file_meta(CT_IMAGE_STORAGE, "1.2.3.1.1", EXPLICIT, "1.2", "", "")
    head += element(0x00080016, "UI", uid(CT_IMAGE_STORAGE))
    head += element(0x00080018, "UI", uid("1.2.3.1.1"))
    head += element(0x0020000D, "UI", uid(STUDY))
    head += element(0x0020000E, "UI", uid("1.2.3.1"))
    pixels = element(0x7FE00010, "OW", b"")[:-4] + LENGTH.to_bytes(4, "little")
    path = root / "large.dcm"
    path.write_bytes(head + pixels)
    with path.open("r+b") as file:
        file.truncate(len(head + pixels) + LENGTH)
    return path


def archive(path: Path, **destinations: Destination) -> ArchiveHandler:
    index = InstanceIndex()
    index.add_file(path)
    folder = StudyFolder(path.parent / "stored", implementation_class_uid="1.2.3.4")
    return ArchiveHandler(folder, index, destinations=destinations)


def store_file(path: Path, receiver: Receiver) -> None:
    endpoint = Loopback()
    with serve(lambda: receiver, endpoint), associate(endpoint, files=[path]) as association:
        assert association.c_store_file(path).status == 0


def store_file_in_a_task(path: Path, receiver: Receiver) -> None:
    async def store() -> None:
        async with (
            aio.serve(lambda: receiver, host="127.0.0.1", port=0) as server,
            aio.associate("127.0.0.1", server.port, files=[path]) as association,
        ):
            assert (await association.c_store_file(path)).status == 0

    asyncio.run(store())


def bring(path: Path, receiver: Receiver) -> None:
    endpoint = Loopback()
    with (
        serve(lambda: archive(path), endpoint),
        associate(endpoint, contexts=CONTEXTS, roles=ROLES, handler=receiver) as association,
    ):
        assert get(association, THE_STUDY).completed == 1


def send_elsewhere(path: Path, receiver: Receiver) -> None:
    endpoint, far = Loopback(), Loopback()
    there = Destination(connector=far, called_ae_title="FAR")
    with (
        serve(lambda: receiver, far),
        serve(lambda: archive(path, FAR=there), endpoint),
        associate(endpoint, contexts=[(STUDY_ROOT_MOVE, (EXPLICIT,))]) as association,
    ):
        assert move(association, THE_STUDY, "FAR").completed == 1


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux")
@pytest.mark.parametrize("send", [store_file, store_file_in_a_task, bring, send_elsewhere])
def test_what_has_left_of_a_large_file_is_given_back(tmp_path: Path, send: Send) -> None:
    path = large_file(tmp_path)
    receiver = Receiver(path)
    send(path, receiver)
    assert receiver.length > LENGTH
    assert receiver.resident <= HELD
