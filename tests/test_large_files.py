"""A large file on its way out, whoever sends it: by name or from an archive.

Where it is mapped it is given back as it leaves: counted by the one who receives it, when all of it
has come and the sender awaits the answer. A file that becomes shorter meanwhile costs its own
association and nothing else, over whatever transport.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from dul_fsm import Handler, Message, aio, associate, serve
from dul_fsm.dimse import status
from dul_fsm.errors import AssociationError, DULError
from dul_fsm.files import NotStorable, StudyFolder
from dul_fsm.files.part10 import GIVE_BACK_LENGTH, file_meta
from dul_fsm.negotiation import Window
from dul_fsm.query import InstanceIndex
from dul_fsm.scp.archive import ArchiveHandler
from dul_fsm.scu.query import get, move
from dul_fsm.scu.store import plan, store
from dul_fsm.services.handler import Destination
from dul_fsm.services.sop_classes import STUDY_ROOT_GET, STUDY_ROOT_MOVE, VERIFICATION, choose_any
from dul_fsm.transports import TCP, TLS, Loopback, client_context, server_context
from dul_fsm.transports.taps import Tap, Tapped
from tests.certificates import Certificates, make
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


Endpoint: TypeAlias = TCP | TLS | Loopback | Tapped


class Wire:
    """Where to listen, and how to get there."""

    def __init__(self, listen: Endpoint, reach: Callable[[int], Endpoint]) -> None:
        self.listen = listen
        self._reach = reach

    def to(self, address: str) -> Endpoint:
        """Where to connect to what listens at an address."""
        port = address.rpartition(":")[2]
        return self._reach(int(port) if port.isdigit() else 0)


Send = Callable[[Path, "Receiver", Wire], None]


class Receiver(Handler):
    """Counts what comes, and how much of the file is in memory then; or makes the file shorter."""

    choose = staticmethod(choose_any(CT_IMAGE_STORAGE, VERIFICATION))

    def __init__(self, path: Path, *, shortens: bool = False) -> None:
        self.path = path
        self.shortens = shortens
        self.length = 0
        self.resident = 0

    def open_sink(self, message: Message) -> Receiver:
        return self

    def write(self, fragment: memoryview) -> None:
        self.length += len(fragment)
        if self.shortens and self.length > LENGTH // 8:
            os.truncate(self.path, LENGTH // 16)

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


def is_there(endpoint: Endpoint) -> None:
    with associate(endpoint, contexts=[VERIFICATION]) as association:
        assert association.c_echo().status == 0


def store_file(path: Path, receiver: Receiver, wire: Wire) -> None:
    with serve(lambda: receiver, wire.listen) as server:
        endpoint = wire.to(server.address)
        try:
            with associate(endpoint, files=[path]) as association:
                assert association.c_store_file(path).status == 0
        finally:
            is_there(endpoint)


def store_file_in_a_task(path: Path, receiver: Receiver, wire: Wire) -> None:
    async def store() -> None:
        async with (
            aio.serve(lambda: receiver, wire.listen) as server,
            aio.associate(wire.to(server.address), files=[path]) as association,
        ):
            assert (await association.c_store_file(path)).status == 0

    asyncio.run(store())


def bring(path: Path, receiver: Receiver, wire: Wire) -> None:
    with serve(lambda: archive(path), wire.listen) as server:
        endpoint = wire.to(server.address)
        try:
            with associate(
                endpoint, contexts=CONTEXTS, roles=ROLES, handler=receiver
            ) as association:
                assert get(association, THE_STUDY).completed == 1
        finally:
            is_there(endpoint)


def send_elsewhere(path: Path, receiver: Receiver, wire: Wire) -> None:
    asked = Loopback()
    with serve(lambda: receiver, wire.listen) as far:
        there = Destination(connector=wire.to(far.address), called_ae_title="FAR")
        with (
            serve(lambda: archive(path, FAR=there), asked),
            associate(asked, contexts=[(STUDY_ROOT_MOVE, (EXPLICIT,))]) as association,
        ):
            retrieved = move(association, THE_STUDY, "FAR")
            if retrieved.completed != 1:
                raise NotStorable(f"{retrieved}")


def tcp(certificates: Certificates) -> Wire:
    return Wire(TCP("127.0.0.1", 0), lambda port: TCP("127.0.0.1", port))


def tls(certificates: Certificates) -> Wire:
    client = client_context(ca=certificates.ca, cert=certificates.client)
    server = server_context(ca=certificates.ca, cert=certificates.server)
    return Wire(TLS("127.0.0.1", 0, server), lambda port: TLS("127.0.0.1", port, client))


def memory(certificates: Certificates) -> Wire:
    endpoint = Loopback()
    return Wire(endpoint, lambda port: endpoint)


class Copying(Tap):
    def sent(self, data: bytes | bytearray | memoryview) -> None:
        bytes(data)


def tapped(certificates: Certificates) -> Wire:
    connecting = lambda port: Tapped(TCP("127.0.0.1", port), connecting=Copying)  # noqa: E731
    return Wire(Tapped(TCP("127.0.0.1", 0), accepting=Copying), connecting)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make(tmp_path_factory.mktemp("certificates"))


SENDS = [store_file, store_file_in_a_task, bring, send_elsewhere]


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux")
@pytest.mark.parametrize("send", SENDS)
def test_what_has_left_of_a_mapped_file_is_given_back(
    tmp_path: Path, certificates: Certificates, send: Send
) -> None:
    path = large_file(tmp_path)
    receiver = Receiver(path)
    send(path, receiver, tcp(certificates))
    assert receiver.length > LENGTH
    assert 0 < receiver.resident <= HELD


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux")
@pytest.mark.parametrize("wire", [tls, memory, tapped])
@pytest.mark.parametrize("send", SENDS)
def test_a_file_is_not_mapped_for_a_transport_that_looks_at_what_it_sends(
    tmp_path: Path, certificates: Certificates, send: Send, wire: Callable[[Certificates], Wire]
) -> None:
    path = large_file(tmp_path)
    receiver = Receiver(path)
    send(path, receiver, wire(certificates))
    assert receiver.length > LENGTH
    assert receiver.resident == 0


@pytest.mark.parametrize("wire", [tcp, tls, memory, tapped])
@pytest.mark.parametrize("send", SENDS)
def test_a_file_that_becomes_shorter_costs_its_own_association_only(
    tmp_path: Path, certificates: Certificates, send: Send, wire: Callable[[Certificates], Wire]
) -> None:
    path = large_file(tmp_path)
    receiver = Receiver(path, shortens=True)
    with pytest.raises(DULError):
        send(path, receiver, wire(certificates))
    assert LENGTH // 8 < receiver.length < LENGTH


@pytest.mark.parametrize("wire", [tls, memory])
def test_who_sends_it_is_told_that_it_became_shorter(
    tmp_path: Path, certificates: Certificates, wire: Callable[[Certificates], Wire]
) -> None:
    path = large_file(tmp_path)
    with pytest.raises(NotStorable, match="shorter while it was sent"):
        store_file(path, Receiver(path, shortens=True), wire(certificates))


def test_so_is_who_sends_it_mapped(tmp_path: Path, certificates: Certificates) -> None:
    path = large_file(tmp_path)
    with pytest.raises(AssociationError, match="its file became shorter"):
        store_file(path, Receiver(path, shortens=True), tcp(certificates))


@pytest.mark.parametrize("window", [1, 4])
@pytest.mark.parametrize("wire", [tcp, tls, memory])
def test_the_other_files_of_a_folder_arrive_all_the_same(
    tmp_path: Path, certificates: Certificates, wire: Callable[[Certificates], Wire], window: int
) -> None:
    path = large_file(tmp_path)
    path.rename(path := tmp_path / "3.dcm")
    others = [tmp_path / f"{number}.dcm" for number in (1, 2, 4, 5)]
    for number, other in enumerate(others):
        uids = CT_IMAGE_STORAGE, f"1.2.{number}"
        other.write_bytes(file_meta(*uids, EXPLICIT, "1.2", "", "") + samples.data_set(uids[1]))
    made = wire(certificates)
    receiver = Receiver(path, shortens=True)
    with serve(lambda: receiver, made.listen) as server:
        endpoint = made.to(server.address)
        results = list(store(plan([tmp_path]), endpoint, window=Window(invoked=window)))
    assert sorted(one.path for one in results if one.ok) == others
    (failed,) = (one for one in results if not one.ok)
    assert failed.path == path
    assert "shorter" in failed.reason
