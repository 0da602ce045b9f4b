"""`scp.storage`: what is acknowledged is kept, what is not leaves nothing behind."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import pytest

from dul_fsm.association import Message
from dul_fsm.dimse import CommandField, CStoreRQ, CStoreRSP, status
from dul_fsm.errors import AssociationRejected
from dul_fsm.files import IncomingFile, StudyFolder, incoming
from dul_fsm.negotiation import (
    SYNCHRONOUS,
    AcceptedContext,
    ContextLike,
    Window,
    build_request,
)
from dul_fsm.scp import Server, serve, storage
from dul_fsm.scp.storage import (
    MAX_ROOM,
    DiscardHandler,
    Ended,
    NotStored,
    Opened,
    StorageEvent,
    StorageHandler,
    Stored,
)
from dul_fsm.scu import SCUAssociation, associate
from dul_fsm.services.handler import Accept, Handler
from dul_fsm.services.sop_classes import VERIFICATION
from dul_fsm.transports import Loopback
from tests.drivers.support import eventually
from tests.files.samples import CT_IMAGE_STORAGE, EXPLICIT, data_set, files, stored, study_folder

Storing = TypeVar("Storing", bound=DiscardHandler)

CONTEXTS: list[ContextLike] = [(CT_IMAGE_STORAGE, [EXPLICIT]), VERIFICATION]


class Told:
    """Collects what handlers tell, and waits for what they will."""

    def __init__(self) -> None:
        self.events: list[StorageEvent] = []
        self._changed = threading.Condition()

    def __call__(self, event: StorageEvent) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def wait_for(self, *kinds: type[StorageEvent]) -> list[StorageEvent]:
        """All events, once the last ones are of these kinds."""

        def there() -> bool:
            return [type(event) for event in self.events[-len(kinds) :]] == list(kinds)

        with self._changed:
            assert self._changed.wait_for(there, 10), self.events
            return self.events


class Ground:
    """A running server and how to get at it."""

    def __init__(self, endpoint: Loopback, server: Server, told: Told) -> None:
        self.endpoint = endpoint
        self.server = server
        self.told = told

    def associate(self) -> SCUAssociation:
        return associate(self.endpoint, contexts=CONTEXTS, calling_ae_title="MODALITY")


@contextmanager
def serving(make: Callable[[Told], Handler], **limits: int | bool) -> Iterator[Ground]:
    told, endpoint = Told(), Loopback()
    with serve(lambda: make(told), endpoint, **limits) as server:  # type: ignore[arg-type]
        yield Ground(endpoint, server, told)


@contextmanager
def storing(root: Path) -> Iterator[Ground]:
    folder = study_folder(root)
    with serving(lambda told: StorageHandler(folder, told)) as ground:
        yield ground


def send(association: SCUAssociation, data: bytes | Iterator[bytes], uid: str = "1.2.3") -> int:
    response = association.c_store(CT_IMAGE_STORAGE, uid, EXPLICIT, data).command
    assert isinstance(response, CStoreRSP)
    return response.status


def test_a_data_set_is_kept_byte_for_byte_and_told(tmp_path: Path) -> None:
    data = data_set(pixels=os.urandom(300_000))
    with storing(tmp_path) as ground, ground.associate() as association:
        assert send(association, data) == status.SUCCESS
        association.release()
        opened, kept, ended = ground.told.wait_for(Opened, Stored, Ended)
    (path,) = files(tmp_path)
    assert stored(path) == data
    assert isinstance(opened, Opened)
    assert opened.calling_ae_title == "MODALITY"
    assert isinstance(kept, Stored)
    assert (kept.path, kept.length, kept.sop_instance_uid) == (path, len(data), "1.2.3")
    assert isinstance(ended, Ended)
    assert (ended.how, ended.stored, ended.not_stored) == ("released", 1, 0)


def test_success_is_answered_only_when_the_file_has_its_name(tmp_path: Path) -> None:
    with storing(tmp_path) as ground, ground.associate() as association:
        for number in range(1, 20):
            assert send(association, data_set(f"1.2.{number}"), f"1.2.{number}") == status.SUCCESS
            assert len(list(tmp_path.rglob("*.dcm"))) == number


def prepared(root: Path) -> list[Path]:
    return [path for path in files(root) if path.name.startswith(".")]


def following(root: Path) -> list[int]:
    """The inodes of hidden files that have no other name, as what was just kept may still have."""
    with suppress(FileNotFoundError):
        found = [path.stat() for path in prepared(root)]
        return [file.st_ino for file in found if file.st_nlink == 1]
    return []


def test_the_next_file_is_made_while_the_peer_has_its_answer_and_goes_with_it(
    tmp_path: Path,
) -> None:
    with storing(tmp_path) as ground, ground.associate() as association:
        inodes = []
        for number in range(1, 4):
            assert send(association, data_set(f"1.2.{number}"), f"1.2.{number}") == status.SUCCESS
            eventually(lambda: following(tmp_path))
            inodes += following(tmp_path)
        association.release()
        ground.told.wait_for(Ended)
    kept = [tmp_path / f"1.2.3.1/1.2.3.2/1.2.{number}.dcm" for number in (2, 3)]
    assert [path.stat().st_ino for path in kept] == inodes[:2]
    assert prepared(tmp_path) == []


def asked(handler: Storing, window: Window = SYNCHRONOUS) -> Storing:
    """The handler, once an association was requested of it."""
    handler.request = build_request(
        CONTEXTS,
        called_ae_title="ARCHIVE",
        calling_ae_title="MODALITY",
        maximum_length=0,
        window=window,
    )
    assert handler.associate_requested(handler.request) == Accept()
    return handler


def performed(handler: DiscardHandler, uid: str, data: bytes) -> Message:
    """A C-STORE that is performed, and not answered yet."""
    context = AcceptedContext(1, CT_IMAGE_STORAGE, EXPLICIT, scu=False, scp=True)
    message = Message(context, CStoreRQ(CT_IMAGE_STORAGE, 1, uid))
    message.sink = handler.open_sink(message)
    message.sink.write(memoryview(data))
    assert handler.c_store_requested(message) == status.SUCCESS
    return message


def rooms(root: Path, lengths: Sequence[int], window: Window = SYNCHRONOUS) -> list[int]:
    """Bytes that the next file has before it arrives, each time that one of `lengths` was kept."""
    handler = asked(StorageHandler(study_folder(root)), window)
    made = []
    for number, length in enumerate(lengths, 1):
        data = os.urandom(length)
        message = performed(handler, f"1.2.{number}", data)
        (kept,) = root.rglob(f"1.2.{number}.dcm")
        assert stored(kept) == data
        handler.answered(message)
        made.append(prepared(root)[0].stat().st_size)
    handler.closed()
    assert prepared(root) == []
    return made


def test_the_next_file_has_room_for_as_much_as_the_last_one_brought(tmp_path: Path) -> None:
    lengths = (300_000, 300_000, 900_000, 10_000, 4095, 0, 300_000)
    assert rooms(tmp_path, lengths) == [length // 4096 * 4096 for length in lengths]


def test_room_for_a_large_object_is_not_made_ahead_but_for_its_beginning(tmp_path: Path) -> None:
    assert rooms(tmp_path, [MAX_ROOM + 5000]) == [MAX_ROOM]


@pytest.mark.parametrize("invoked", [0, 2, 8])
def test_for_a_peer_that_does_not_wait_for_its_answers_no_room_is_made(
    tmp_path: Path, invoked: int
) -> None:
    assert rooms(tmp_path, [300_000, 300_000], Window(invoked=invoked)) == [0, 0]


def test_where_it_takes_long_room_is_made_once_for_an_association(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "ROOM_PATIENCE", -1)
    assert rooms(tmp_path, [300_000, 300_000, 300_000]) == [299_008, 0, 0]


@pytest.mark.parametrize("kept", [True, False])
def test_that_a_data_set_is_stored_is_told_when_the_peer_has_its_answer(
    tmp_path: Path, kept: bool
) -> None:
    told = Told()
    handler = asked(StorageHandler(study_folder(tmp_path), told) if kept else DiscardHandler(told))
    message = performed(handler, "1.2.3", data_set())
    told.wait_for(Opened)
    handler.answered(message)
    told.wait_for(Opened, Stored)
    handler.answered(message)
    handler.closed()
    assert [type(event) for event in told.events] == [Opened, Stored, Ended]


@pytest.mark.parametrize("answered", [True, False])
def test_the_hidden_name_of_what_is_stored_goes_with_the_answer_or_at_the_end(
    tmp_path: Path, answered: bool
) -> None:
    handler = asked(StorageHandler(study_folder(tmp_path)))
    message = performed(handler, "1.2.3", data_set())
    (kept,) = tmp_path.rglob("*.dcm")
    (hidden,) = prepared(tmp_path)
    assert hidden.samefile(kept)
    if answered:
        handler.answered(message)
        (following,) = prepared(tmp_path)
        assert not following.samefile(kept)
    handler.closed()
    assert prepared(tmp_path) == []
    assert kept.stat().st_nlink == 1
    assert stored(kept) == data_set()


@pytest.mark.parametrize("kept", [True, False])
def test_what_is_stored_and_could_not_be_answered_is_told_before_the_end(
    tmp_path: Path, kept: bool
) -> None:
    told = Told()
    handler = asked(StorageHandler(study_folder(tmp_path), told) if kept else DiscardHandler(told))
    for uid in ("1.2.3", "1.2.4"):
        performed(handler, uid, data_set(uid))
    handler.closed()
    *stored_, ended = told.wait_for(Opened, Stored, Stored, Ended)[1:]
    assert [event.sop_instance_uid for event in stored_ if isinstance(event, Stored)] == [
        "1.2.3",
        "1.2.4",
    ]
    assert isinstance(ended, Ended)
    assert (ended.stored, ended.not_stored) == (2, 0)


def test_where_the_next_file_cannot_be_made_ahead_whoever_needs_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = threading.Event()

    def prepare(folder: StudyFolder, room: int = 0) -> IncomingFile:
        tried.set()
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with storing(tmp_path) as ground, ground.associate() as association:
        real = StudyFolder.prepare
        assert send(association, data_set("1.2.1"), "1.2.1") == status.SUCCESS
        eventually(lambda: following(tmp_path))
        monkeypatch.setattr(StudyFolder, "prepare", prepare)
        assert send(association, data_set("1.2.2"), "1.2.2") == status.SUCCESS
        assert tried.wait(10)
        assert send(association, data_set("1.2.3"), "1.2.3") == status.PROCESSING_FAILURE
        monkeypatch.setattr(StudyFolder, "prepare", real)
        assert send(association, data_set("1.2.3"), "1.2.3") == status.SUCCESS


def test_another_data_set_under_the_same_uid_is_kept_beside_the_first(tmp_path: Path) -> None:
    with storing(tmp_path) as ground, ground.associate() as association:
        for pixels in (b"ab", b"cd", b"ab"):
            assert send(association, data_set(pixels=pixels)) == status.SUCCESS
    assert {stored(path) for path in files(tmp_path)} == {
        data_set(pixels=b"ab"),
        data_set(pixels=b"cd"),
    }


def test_c_echo_is_answered(tmp_path: Path) -> None:
    with storing(tmp_path) as ground, ground.associate() as association:
        assert association.c_echo().command.command_field == CommandField.C_ECHO_RSP


@pytest.mark.parametrize("uid", ["../../etc/passwd", "1.2/3", "x", "..", "1..2", ".1"])
def test_what_is_no_uid_is_refused_before_a_path_is_touched(
    tmp_path: Path, uid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with storing(tmp_path / "root") as ground, ground.associate() as association:
        opened: list[object] = []
        monkeypatch.setattr(os, "open", lambda *given: opened.append(given))
        assert send(association, data_set(pixels=bytes(100_000)), uid) == 0x0117
        monkeypatch.undo()
        assert opened == []
        # The association goes on.
        assert send(association, data_set()) == status.SUCCESS
        _, refused, _ = ground.told.wait_for(Opened, NotStored, Stored)
    assert isinstance(refused, NotStored)
    assert refused.sop_instance_uid == uid
    assert "not a UID" in refused.reason
    assert len(files(tmp_path)) == 1


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("length", [10, 1_000_000], ids=["on commit", "on write"])
def test_a_full_disk_is_a700h_and_leaves_no_part_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, length: int
) -> None:
    def full(descriptor: int, *parts: object) -> None:
        raise OSError(code, os.strerror(code))

    with storing(tmp_path) as ground, ground.associate() as association:
        monkeypatch.setattr(incoming, "_write_all", full)
        assert send(association, data_set(pixels=bytes(length))) == 0xA700
        assert files(tmp_path) == []
        monkeypatch.undo()
        assert send(association, data_set()) == status.SUCCESS
        _, failed, _ = ground.told.wait_for(Opened, NotStored, Stored)
    assert isinstance(failed, NotStored)
    assert os.strerror(code) in failed.reason
    assert len(files(tmp_path)) == 1


def test_a_folder_that_is_gone_is_a_failure_of_that_image_alone(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with storing(root) as ground, ground.associate() as association:
        root.rmdir()
        assert send(association, data_set()) == status.PROCESSING_FAILURE
        root.mkdir()
        assert send(association, data_set()) == status.SUCCESS


class Vanished(Exception):
    """What a data set raises whose sender goes away."""


def test_a_peer_that_goes_in_the_middle_of_an_image_leaves_nothing_of_it(tmp_path: Path) -> None:
    def half() -> Iterator[bytes]:
        yield data_set()
        for _ in range(40):
            yield bytes(65536)
        raise Vanished

    with storing(tmp_path) as ground:
        with pytest.raises(Vanished), ground.associate() as association:
            send(association, half())
        *_, lost, ended = ground.told.wait_for(Opened, NotStored, Ended)
        assert files(tmp_path) == []
        with ground.associate() as association:
            assert send(association, data_set()) == status.SUCCESS
    assert isinstance(lost, NotStored)
    assert "before the data set did" in lost.reason
    assert isinstance(ended, Ended)
    assert ended.how.startswith("aborted")
    assert (ended.stored, ended.not_stored) == (0, 1)
    assert len(files(tmp_path)) == 1


def test_a_rejected_association_is_told(tmp_path: Path) -> None:
    with serving(DiscardHandler, require_called_ae_title=True) as ground:
        with pytest.raises(AssociationRejected):
            ground.associate()
        (ended,) = ground.told.wait_for(Ended)
    assert isinstance(ended, Ended)
    assert (ended.how, ended.calling_ae_title) == ("rejected", "MODALITY")


def test_a_stranger_that_requests_nothing_is_not_told() -> None:
    with serving(DiscardHandler) as ground:
        ground.endpoint.connect(None).close()
        with ground.associate():
            pass
        ground.told.wait_for(Opened, Ended)
    assert len(ground.told.events) == 2


def test_discarding_takes_everything_and_keeps_nothing() -> None:
    data = data_set(pixels=bytes(500_000))
    with serving(DiscardHandler) as ground, ground.associate() as association:
        assert send(association, data) == status.SUCCESS
        assert send(association, data, "no UID at all") == status.SUCCESS
        *_, last = ground.told.wait_for(Opened, Stored, Stored)
    assert isinstance(last, Stored)
    assert (last.path, last.length) == (None, len(data))
