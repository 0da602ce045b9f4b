"""`scu.store`: each file gets there as it is, or as the peer can take it, or says why not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dul_fsm.association import Aborted, Message, RequestReceived
from dul_fsm.dimse import CStoreRQ, status
from dul_fsm.errors import AssociationError, AssociationRejected, TransportFailed
from dul_fsm.files import NotStorable, file_meta, open_data_set, read_part10, recode
from dul_fsm.negotiation import Chooser, Window, choose_from
from dul_fsm.pdu import AAssociateRQ
from dul_fsm.scp import serve
from dul_fsm.scp.storage import StorageHandler
from dul_fsm.scu.store import FileResult, PlannedAssociation, StorePlan, plan, store
from dul_fsm.services.handler import AbortAssociation, Accept, Handler, Reject
from dul_fsm.services.sop_classes import VERIFICATION
from dul_fsm.transports import Loopback
from tests.drivers.scripted import Acceptor, in_batches
from tests.drivers.support import nothing_left
from tests.files.samples import (
    BIG_ENDIAN,
    CT,
    CT_IMAGE_STORAGE,
    DEFLATED,
    EXPLICIT,
    FILES,
    FOLDER,
    IMPLICIT,
    data_set,
    files,
    stored,
    study_folder,
)

JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
MPEG2 = "1.2.840.10008.1.2.4.100"
RTDOSE_RLE = FOLDER / "rtdose_rle_1frame.dcm"


def storable() -> list[Path]:
    """The files that pydicom ships next to each other, without those in folders."""
    found = []
    for path in FILES:
        try:
            read_part10(path)
        except NotStorable:
            continue
        found.append(path)
    return found


def write(
    path: Path,
    sop_class: str = CT_IMAGE_STORAGE,
    transfer_syntax: str = EXPLICIT,
    uid: str = "1.2.3",
) -> Path:
    """A file that claims to be what is asked for; its data set has no UIDs of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = file_meta(sop_class, uid, transfer_syntax, "1.2.3.4")
    path.write_bytes(head + b"\x10\x00\x20\x00LO\x02\x00ab")
    return path


class Peer(Handler):
    """A Storage SCP that does as it is told."""

    def __init__(
        self,
        choose: Chooser | None = None,
        answers: dict[str, int] | None = None,
        abort_on: frozenset[str] = frozenset(),
    ) -> None:
        self.received: list[tuple[str, str, bytes]] = []
        self.requests: list[AAssociateRQ] = []
        self._choose = choose
        self._answers = answers or {}
        self._abort_on = abort_on

    def associate_requested(self, request: AAssociateRQ) -> Accept | Reject:
        self.requests.append(request)
        return Accept(choose=self._choose)

    def c_store_requested(self, message: Message) -> int:
        command = message.command
        assert isinstance(command, CStoreRQ)
        uid = command.affected_sop_instance_uid
        if uid in self._abort_on:
            raise AbortAssociation("as told")
        self.received.append((uid, message.context.transfer_syntax, message.data_set))
        return self._answers.get(uid, status.SUCCESS)


@contextmanager
def serving(handler: Handler | Callable[[], Handler]) -> Iterator[Loopback]:
    endpoint = Loopback()
    make = (lambda: handler) if isinstance(handler, Handler) else handler
    with serve(make, endpoint):
        yield endpoint


def only(*transfer_syntaxes: str) -> Chooser:
    """Accept any SOP Class, but these transfer syntaxes only."""

    def choose(context: object) -> object:
        return choose_from({context.abstract_syntax: transfer_syntaxes})(context)  # type: ignore[attr-defined, arg-type]

    return choose  # type: ignore[return-value]


def send(peer: Handler, *paths: Path, reconnects: int = 1) -> list[FileResult]:
    with serving(peer) as endpoint:
        return list(store(plan(paths), endpoint, reconnects=reconnects))


def data_of(path: Path) -> bytes:
    with open_data_set(read_part10(path)) as data:
        return bytes(data)


# The plan ----------------------------------------------------------------------------------------


def test_folders_are_searched_in_order_and_hidden_files_left_out(tmp_path: Path) -> None:
    wanted = [write(tmp_path / name) for name in ("a.dcm", "b/1.dcm", "b/c/2.dcm", "d.dcm")]
    write(tmp_path / ".incoming-host-1-1.part")
    write(tmp_path / ".git" / "x.dcm")
    (association,) = plan([tmp_path]).associations
    assert [file.path for file in association.files] == wanted


def test_links_in_a_circle_end_and_every_folder_is_read_once(tmp_path: Path) -> None:
    write(tmp_path / "a" / "1.dcm")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "b").symlink_to(tmp_path / "a")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    found = plan([tmp_path, tmp_path / "a"])
    assert found.files == 1
    (skipped,) = found.skipped
    assert skipped.path.name == "dangling"
    assert skipped.wanted


def test_a_file_that_is_named_twice_is_planned_once(tmp_path: Path) -> None:
    path = write(tmp_path / "1.dcm")
    assert plan([path, tmp_path, tmp_path / "." / "1.dcm"]).files == 1


def test_what_is_no_dicom_is_missed_only_if_it_was_named_itself(tmp_path: Path) -> None:
    text = tmp_path / "readme.txt"
    text.write_text("not DICOM")
    write(tmp_path / "1.dcm")
    (skipped,) = plan([tmp_path]).skipped
    assert (skipped.path, skipped.wanted) == (text, False)
    assert "DICM" in skipped.reason
    (skipped,) = plan([text]).skipped
    assert skipped.wanted
    (skipped,) = plan([tmp_path / "nothing"]).skipped
    assert skipped.wanted
    assert "No such file" in skipped.reason


def test_each_transfer_syntax_stands_alone_and_the_fallback_adds_what_is_missing(
    tmp_path: Path,
) -> None:
    def contexts(*transfer_syntaxes: str) -> list[tuple[str, ...]]:
        folder = tmp_path / "+".join(transfer_syntaxes)
        for number, syntax in enumerate(transfer_syntaxes):
            write(folder / f"{number}.dcm", transfer_syntax=syntax)
        (association,) = plan([folder]).associations
        assert {sop_class for sop_class, _ in association.contexts} == {CT_IMAGE_STORAGE}
        return [syntaxes for _, syntaxes in association.contexts]

    assert contexts(EXPLICIT) == [(EXPLICIT,), (IMPLICIT,)]
    assert contexts(IMPLICIT) == [(IMPLICIT,), (EXPLICIT,)]
    assert contexts(IMPLICIT, EXPLICIT) == [(IMPLICIT,), (EXPLICIT,)]
    assert contexts(DEFLATED) == [(DEFLATED,), (EXPLICIT, IMPLICIT)]
    assert contexts(BIG_ENDIAN) == [(BIG_ENDIAN,), (EXPLICIT, IMPLICIT)]
    assert contexts(JPEG_BASELINE) == [(JPEG_BASELINE,), (EXPLICIT, IMPLICIT)]
    # Nothing that pydicom could decompress: nothing to fall back to.
    assert contexts(MPEG2) == [(MPEG2,)]
    assert contexts(MPEG2, JPEG_BASELINE) == [(MPEG2,), (JPEG_BASELINE,), (EXPLICIT, IMPLICIT)]


def test_files_of_200_contexts_go_over_two_associations(tmp_path: Path) -> None:
    for number in range(100):
        write(tmp_path / f"{number:03}.dcm", sop_class=f"1.2.3.{number}", uid=f"1.9.{number}")
    planned = plan([tmp_path])
    assert [len(association.contexts) for association in planned.associations] == [128, 72]
    assert planned.files == 100
    peer = Peer()
    with serving(lambda: peer) as endpoint:
        results = list(store(planned, endpoint))
    assert all(result.ok for result in results)
    assert len(results) == len(peer.received) == 100
    assert len(peer.requests) == 2


@pytest.mark.parametrize(
    ("classes", "syntaxes"),
    [
        *((classes, 1) for classes in (1, 2, 63, 64, 65, 129)),
        *((classes, 3) for classes in (2, 31, 32, 33)),
        *((1, syntaxes) for syntaxes in (126, 127, 128, 130, 300)),
        *((2, syntaxes) for syntaxes in (62, 63, 127, 128)),
    ],
)
def test_no_association_proposes_more_than_128_and_each_file_finds_its_own(
    tmp_path: Path, classes: int, syntaxes: int
) -> None:
    for a in range(classes):
        for b in range(syntaxes):
            syntax = JPEG_BASELINE if b == 0 else f"1.2.3.4.{b}"
            write(tmp_path / f"{a}-{b}", sop_class=f"1.2.3.{a}", transfer_syntax=syntax)
    planned = plan([tmp_path])
    assert planned.files == classes * syntaxes
    for association in planned.associations:
        assert 0 < len(association.contexts) <= 128
        assert len(set(association.contexts)) == len(association.contexts)
        for file in association.files:
            assert (file.sop_class_uid, (file.transfer_syntax_uid,)) in association.contexts


# Sending -----------------------------------------------------------------------------------------


def test_every_file_of_pydicom_arrives_as_it_is(tmp_path: Path) -> None:
    paths = storable()
    assert len(paths) >= 68
    folder = study_folder(tmp_path)
    with serving(lambda: StorageHandler(folder)) as endpoint:
        results = list(store(plan(paths), endpoint))
    assert [result.reason for result in results if not result.ok] == []
    assert sorted(result.path for result in results) == paths
    sent = {(read_part10(p).transfer_syntax_uid, data_of(p)) for p in paths}
    kept = {(read_part10(p).transfer_syntax_uid, stored(p)) for p in files(tmp_path)}
    assert kept == sent
    # Some of them share a SOP Instance UID and nothing else.
    assert len({read_part10(p).sop_instance_uid for p in paths}) < len(kept)


def test_a_peer_that_accepts_implicit_only_gets_the_data_recoded() -> None:
    peer = Peer(only(IMPLICIT))
    paths = [CT, FOLDER / "MR_small_bigendian.dcm", FOLDER / "image_dfl.dcm"]
    results = send(peer, *paths)
    assert [result.reason for result in results if not result.ok] == []
    for path, result in zip(sorted(paths), sorted(results, key=lambda r: r.path), strict=True):
        original = read_part10(path)
        recoded = recode(original, IMPLICIT)
        assert (original.sop_instance_uid, IMPLICIT, recoded) in peer.received
        assert result.length == len(recoded)


def test_compressed_data_is_decompressed_for_a_peer_that_cannot_take_it() -> None:
    peer = Peer(only(EXPLICIT, IMPLICIT))
    (result,) = send(peer, RTDOSE_RLE)
    assert result.ok, result.reason
    ((_, transfer_syntax, received),) = peer.received
    assert transfer_syntax == EXPLICIT
    assert received == recode(read_part10(RTDOSE_RLE), EXPLICIT)


def test_what_cannot_be_sent_says_why_and_stops_no_other(tmp_path: Path) -> None:
    head = file_meta(CT_IMAGE_STORAGE, "1.2.3", JPEG_BASELINE, "1.2.3.4")
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(head + b"\xe0\x7f\x10\x00OB\0\0\x04\0\0\0what")
    whole = write(tmp_path / "whole.dcm", transfer_syntax=EXPLICIT)
    gone = write(tmp_path / "gone.dcm", transfer_syntax=EXPLICIT)
    shrunk = write(tmp_path / "shrunk.dcm", transfer_syntax=EXPLICIT)
    planned = plan([tmp_path])
    gone.unlink()
    shrunk.write_bytes(shrunk.read_bytes()[:-4])
    with serving(Peer(only(EXPLICIT))) as endpoint:
        results = {result.path: result for result in store(planned, endpoint)}
    assert results[whole].ok
    assert not results[broken].ok
    assert "cannot be decompressed" in results[broken].reason
    assert "shorter than it was" in results[shrunk].reason
    assert results[gone].reason == "No such file or directory"
    assert all(results[path].status is None for path in (broken, gone, shrunk))


def test_a_peer_that_accepts_nothing_to_recode_into_is_told_of(tmp_path: Path) -> None:
    video = write(tmp_path / "1.dcm", transfer_syntax=MPEG2)
    image = write(tmp_path / "2.dcm", transfer_syntax=JPEG_BASELINE)
    results = send(Peer(only(JPEG_BASELINE)), video, image)
    assert [result.ok for result in results] == [False, True]
    assert f"does not accept transfer syntax {MPEG2}" in results[0].reason
    assert JPEG_BASELINE in results[0].reason


def test_a_sop_class_that_is_not_supported_is_said_so(tmp_path: Path) -> None:
    path = write(tmp_path / "1.dcm")
    (result,) = send(Peer(choose_from({VERIFICATION: [IMPLICIT]})), path)
    assert "does not support that SOP Class" in result.reason
    (result,) = send(Peer(only(DEFLATED)), path)
    assert f"does not support transfer syntax {EXPLICIT}" in result.reason


def test_a_warning_is_a_success_with_a_note_and_a_refusal_is_not(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{n}.dcm", uid=f"1.2.{n}") for n in range(4)]
    answers = {"1.2.1": 0xB000, "1.2.2": 0xA700, "1.2.3": 0xC123}
    results = send(Peer(answers=answers), *paths)
    assert [result.status for result in results] == [0, 0xB000, 0xA700, 0xC123]
    assert [result.ok for result in results] == [True, True, False, False]
    assert [result.warning for result in results] == [False, True, False, False]
    assert "coercion" in results[1].reason
    assert "out of resources" in results[2].reason


def test_a_lost_association_fails_its_file_and_the_others_go_over_a_new_one(
    tmp_path: Path,
) -> None:
    paths = [write(tmp_path / f"{n}.dcm", uid=f"1.2.{n}") for n in range(5)]
    peer = Peer(abort_on=frozenset({"1.2.1"}))
    results = send(peer, *paths)
    assert [result.path for result in results] == paths
    assert [result.ok for result in results] == [True, False, True, True, True]
    assert "aborted" in results[1].reason
    assert len(peer.requests) == 2


def test_it_reconnects_until_too_many_associations_are_lost_in_a_row(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{n}.dcm", uid=f"1.2.{n}") for n in range(6)]
    # Files 0, 2 and 3 cost an association each; a file is stored between 0 and 2.
    bad = frozenset({"1.2.0", "1.2.2", "1.2.3"})
    for reconnects, expected, associations in (
        (0, "fnnnnn", 1),
        (1, "f.ffnn", 3),
        (2, "f.ff..", 4),
    ):
        peer = Peer(abort_on=bad)
        results = send(peer, *paths, reconnects=reconnects)
        told = ["." if r.ok else "n" if r.reason.startswith("not sent") else "f" for r in results]
        assert "".join(told) == expected
        assert len(peer.requests) == associations
    # What one thing kept from being sent says so by one and the same object.
    results = send(Peer(abort_on=bad), *paths, reconnects=0)
    assert len({id(result.error) for result in results}) == 1
    assert isinstance(results[0].error, AssociationError)


def test_without_a_peer_every_file_has_its_result(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{n}.dcm") for n in range(3)]
    results = list(store(plan(paths), Loopback()))
    assert [result.path for result in results] == paths
    assert all(isinstance(result.error, TransportFailed) for result in results)


def test_a_rejection_is_the_result_of_every_file(tmp_path: Path) -> None:
    class Unwilling(Handler):
        def associate_requested(self, request: AAssociateRQ) -> Accept | Reject:
            return Reject(reason=7)

    results = send(Unwilling(), *(write(tmp_path / f"{n}.dcm") for n in range(3)))
    assert len(results) == 3
    assert all(isinstance(result.error, AssociationRejected) for result in results)


def test_closing_the_iterator_aborts_the_association(tmp_path: Path) -> None:
    class Watched(Peer):
        ended = ""

        def aborted(self, event: object) -> None:
            self.ended += "aborted"

        def released(self, event: object) -> None:
            self.ended += "released"

    paths = [write(tmp_path / f"{n}.dcm", uid=f"1.2.{n}") for n in range(3)]
    peer = Watched()
    with serving(peer) as endpoint:
        results = store(plan(paths), endpoint)
        assert next(results).ok
        results.close()
    assert peer.ended == "aborted"
    assert len(peer.received) == 1
    peer = Watched()
    assert all(result.ok for result in send(peer, *paths))
    assert peer.ended == "released"


def test_an_empty_plan_connects_to_nobody() -> None:
    assert list(store(StorePlan((), ()), Loopback())) == []


def test_an_empty_data_set_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "1.dcm"
    path.write_bytes(file_meta(CT_IMAGE_STORAGE, "1.2.3", EXPLICIT, "1.2.3.4"))
    peer = Peer()
    (result,) = send(peer, path)
    assert result.ok, result.reason
    assert peer.received == [("1.2.3", EXPLICIT, b"")]


def test_a_large_file_leaves_whole(tmp_path: Path) -> None:
    data = data_set(pixels=os.urandom(3_000_000))
    path = tmp_path / "1.dcm"
    path.write_bytes(file_meta(CT_IMAGE_STORAGE, "1.2.3", EXPLICIT, "1.2.3.4") + data)
    peer = Peer()
    (result,) = send(peer, path)
    assert (result.ok, result.length) == (True, len(data))
    assert peer.received == [("1.2.3", EXPLICIT, data)]
    assert isinstance(plan([path]).associations[0], PlannedAssociation)


# Several under way -------------------------------------------------------------------------------


def test_as_many_are_under_way_as_were_negotiated_and_the_results_are_the_same(
    tmp_path: Path,
) -> None:
    """In the order of the answers, which is random here; each file has one."""
    paths = [write(tmp_path / f"{n:02}.dcm", uid=f"1.2.{n}") for n in range(20)]
    endpoint = Loopback()
    acceptor = Acceptor(endpoint, in_batches(20, 8, seed=3))
    results = list(store(plan(paths), endpoint, window=Window(invoked=8)))
    acceptor.join()
    assert acceptor.most == 8
    assert sorted(result.path for result in results) == paths
    assert [result.path for result in results] != paths
    ids = {
        event.message.command.affected_sop_instance_uid: event.message.command.message_id
        for event in acceptor.events
        if isinstance(event, RequestReceived) and isinstance(event.message.command, CStoreRQ)
    }
    for result in results:
        assert result.status == 0xB000 + ids[f"1.2.{int(result.path.stem)}"]
        assert result.length == len(data_of(result.path))


@pytest.mark.parametrize("window", [1, 3, 0])
def test_a_file_that_costs_the_association_is_found_whatever_the_window(
    tmp_path: Path, window: int
) -> None:
    """The others arrive: what was under way with it is sent again, one at a time."""
    paths = [write(tmp_path / f"{n}.dcm", uid=f"1.2.{n}") for n in range(7)]
    peer = Peer(abort_on=frozenset(["1.2.2"]))
    with serving(peer) as endpoint:
        results = list(store(plan(paths), endpoint, window=Window(invoked=window)))
    assert {result.path.stem for result in results if not result.ok} == {"2"}
    assert sorted(result.path for result in results) == paths
    assert {uid for uid, _, _ in peer.received} == {f"1.2.{n}" for n in range(7) if n != 2}


def test_files_that_cannot_be_sent_have_their_results_among_the_others(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{n}.dcm", uid=f"1.2.{n}") for n in range(4)]
    planned = plan(paths)
    paths[1].unlink()
    with serving(Peer()) as endpoint:
        results = list(store(planned, endpoint, window=Window(invoked=8)))
    assert {result.path: result.ok for result in results} == {
        path: path != paths[1] for path in paths
    }


def test_closing_the_iterator_with_several_under_way_closes_their_files(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{n}.dcm", uid=f"1.2.{n}") for n in range(9)]
    with nothing_left():
        endpoint = Loopback()
        acceptor = Acceptor(endpoint, in_batches(9, 3))
        results = store(plan(paths), endpoint, window=Window(invoked=3))
        assert next(results).status is not None
        results.close()
        acceptor.join()
    assert Aborted in map(type, acceptor.events)
