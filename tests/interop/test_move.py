"""C-MOVE between ours and other people's, both ways (PS3.4 §C.4.2)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

import pytest

from dul_fsm import aio, serve
from dul_fsm.aio import query as aio_query
from dul_fsm.association import Message
from dul_fsm.dimse import CStoreRQ
from dul_fsm.scp.archive import ArchiveHandler
from dul_fsm.scp.server import Server
from dul_fsm.scp.storage import DiscardHandler
from dul_fsm.scu.query import OperationFailed, Progress, Retrieved, move
from dul_fsm.services.handler import Handler, Retrieval
from dul_fsm.services.sop_classes import STUDY_ROOT_MOVE
from dul_fsm.transports import TCP
from tests.files.samples import CT_IMAGE_STORAGE
from tests.interop.archives import (
    AE_TITLE,
    DCMTK,
    OURS,
    THEIRS,
    Archive,
    Archives,
    Destinations,
    installed,
)
from tests.interop.clients import Client, DCMTKClient
from tests.interop.ours import (
    OurArchive,
    Received,
    call,
    contents,
    proposal,
    study_keys,
    those_of,
)
from tests.interop.programs import HOST, PATIENCE, Program, eventually, listens
from tests.interop.pynetdicom_user import use
from tests.interop.rows import SCP, SCU, each_archive, exercises
from tests.interop.studies import LAMARR_MR, LOVELACE_CT, LOVELACE_CT_MR

pytestmark = pytest.mark.interop

SUCCESS, PENDING, CANCEL = 0x0000, 0xFF00, 0xFE00
ALL_FAILED, DESTINATION_UNKNOWN = 0xA702, 0xA801
ENOUGH = 100_000
"""Instances of a retrieval that is to be cancelled: no peer waits for so many."""


@pytest.fixture
def received(tmp_path: Path) -> Received:
    """Where ours stores."""
    return Received(tmp_path / "received")


@pytest.fixture
def storescp(tmp_path: Path, destinations: Destinations) -> Iterator[Path]:
    """DCMTK's storescp as THEIRS; the folder that it stores into, to the byte."""
    folder = tmp_path / "storescp"
    folder.mkdir()
    program = installed(DCMTK / "storescp", "dcmtk")
    command = (program, "+B", "-aet", THEIRS, "-od", folder, destinations.theirs)
    with Program(command, tmp_path / "storescp.log", cwd=tmp_path) as process:
        eventually(lambda: listens(destinations.theirs) or not process.running, "it listens")
        assert process.running, process.output
        yield folder


# Ours moves --------------------------------------------------------------------------------------


@each_archive("C-MOVE", "dcmqrscp", "orthanc", "pynetdicom")
def test_a_study_goes_to_a_server_of_ours(
    archive: Archive, received: Received, destinations: Destinations, studies: tuple[Path, ...]
) -> None:
    originators: list[tuple[str | None, int | None]] = []

    def receiver() -> Handler:
        handler = received()
        store = handler.c_store_requested

        def remember(message: Message) -> int:
            assert isinstance(message.command, CStoreRQ)
            originators.append(
                (
                    message.command.move_originator_application_entity_title,
                    message.command.move_originator_message_id,
                )
            )
            return store(message)

        handler.c_store_requested = remember  # type: ignore[method-assign]
        return handler

    told: list[Progress] = []
    with (
        serve(receiver, port=destinations.ours),
        call(archive, STUDY_ROOT_MOVE) as association,
    ):
        done = move(association, study_keys(LOVELACE_CT_MR), OURS, progress=told.append)
        assert association.c_echo().status == SUCCESS
    assert done == Retrieved(SUCCESS, completed=5, failed=0, warnings=0)
    assert contents(received.files) == those_of(LOVELACE_CT_MR, studies)
    # Who moved it, and by which message (PS3.7 §9.1.1.1); pynetdicom names itself.
    originator = AE_TITLE if archive.name == "pynetdicom" else OURS
    assert originators == [(originator, 1)] * 5
    assert told, "no pending response"
    for one in told:
        assert (one.remaining or 0) + one.completed == 5, one


@each_archive("C-MOVE", "dcmqrscp", "orthanc", "pynetdicom")
def test_a_study_goes_to_a_third_program(
    archive: Archive, storescp: Path, studies: tuple[Path, ...]
) -> None:
    with call(archive, STUDY_ROOT_MOVE) as association:
        assert move(association, study_keys(LAMARR_MR), THEIRS).completed == 2
    assert contents(list(storescp.iterdir())) == those_of(LAMARR_MR, studies)


@each_archive("C-MOVE", "dcmqrscp", "orthanc", "pynetdicom")
def test_an_archive_does_not_know_a_destination(archive: Archive) -> None:
    with call(archive, STUDY_ROOT_MOVE) as association:
        with pytest.raises(OperationFailed) as refused:
            move(association, study_keys(LAMARR_MR), "STRANGER")
        assert association.c_echo().status == SUCCESS
    # Orthanc says only that it is unable.
    assert refused.value.status == (0xC000 if archive.name == "orthanc" else DESTINATION_UNKNOWN)


@each_archive("C-MOVE", "dcmqrscp", "pynetdicom")
def test_an_archive_does_not_reach_a_destination(archive: Archive) -> None:
    # Nobody listens there.
    with call(archive, STUDY_ROOT_MOVE) as association:
        with pytest.raises(OperationFailed):
            move(association, study_keys(LAMARR_MR), THEIRS)
        assert association.c_echo().status == SUCCESS


@each_archive("C-CANCEL", "dcmqrscp", "orthanc", "pynetdicom")
def test_a_move_is_cancelled_after_the_first_image(
    archive: Archive, destinations: Destinations
) -> None:
    arrived: list[Message] = []
    cancelled = threading.Event()

    class Slow(DiscardHandler):
        """Answers the second image when the C-CANCEL has left."""

        def c_store_requested(self, message: Message) -> int:
            arrived.append(message)
            assert len(arrived) < 2 or cancelled.wait(PATIENCE)
            return super().c_store_requested(message)

    with (
        serve(Slow, port=destinations.ours),
        call(archive, STUDY_ROOT_MOVE) as association,
    ):
        operation = association.begin(
            association.move_request(STUDY_ROOT_MOVE, study_keys(LOVELACE_CT_MR), OURS)
        )
        assert next(operation).status == PENDING
        operation.cancel()
        cancelled.set()
        assert operation.response().status == CANCEL
        assert association.c_echo().status == SUCCESS
    assert 1 <= len(arrived) < LOVELACE_CT_MR.count


@each_archive("C-MOVE", "dcmqrscp", "orthanc", "pynetdicom")
def test_asyncio_moves_to_a_server_of_asyncio(
    archive: Archive, received: Received, destinations: Destinations
) -> None:
    async def retrieve() -> Retrieved:
        asked = proposal(archive, STUDY_ROOT_MOVE)
        async with (
            aio.serve(received, port=destinations.ours),
            aio.associate(HOST, archive.port, **asked) as association,
        ):
            return await aio_query.move(association, study_keys(LAMARR_MR), OURS)

    assert asyncio.run(retrieve()).completed == 2
    assert sorted(contents(received.files)) == LAMARR_MR.instances


# Ours is asked -----------------------------------------------------------------------------------

StartArchive: TypeAlias = Callable[..., Server]


@pytest.fixture
def scp(
    tmp_path: Path, studies: tuple[Path, ...], destinations: Destinations
) -> Iterator[StartArchive]:
    """`scp()`: an archive of ours that has the studies, and knows THEIRS."""
    with ExitStack() as stack:

        def start(
            wrap: Callable[[OurArchive], Callable[[], ArchiveHandler]] = lambda ours: ours,
            **others: int,
        ) -> Server:
            ports = {THEIRS: destinations.theirs, **others}
            known = {name: TCP(HOST, port) for name, port in ports.items()}
            ours = wrap(OurArchive(tmp_path / "ours", studies, known))
            return stack.enter_context(serve(ours, port=destinations.ours))

        yield start


@pytest.fixture(
    params=[
        pytest.param("dcmtk", marks=exercises("C-MOVE", SCP, "movescu")),
        pytest.param("pynetdicom", marks=exercises("C-MOVE", SCP, "pynetdicom")),
    ]
)
def client(request: pytest.FixtureRequest) -> Client:
    """movescu of DCMTK's and of pynetdicom's."""
    made: Client = request.getfixturevalue(request.param)
    return made


def test_movescu_has_a_study_of_ours_sent_to_itself(
    scp: StartArchive, client: Client, destinations: Destinations
) -> None:
    answer = client.move(
        scp().port,
        "STUDY",
        f"StudyInstanceUID={LOVELACE_CT_MR.uid}",
        to=THEIRS,
        receive=destinations.theirs,
    )
    assert answer.final == SUCCESS, answer
    assert answer.counts["Completed"] == 5, answer
    assert answer.counts["Failed"] == answer.counts["Warning"] == 0, answer
    assert answer.instances == LOVELACE_CT_MR.instances


def test_movescu_has_a_study_of_ours_sent_to_storescp(
    scp: StartArchive, client: Client, storescp: Path, studies: tuple[Path, ...]
) -> None:
    answer = client.move(scp().port, "STUDY", f"StudyInstanceUID={LAMARR_MR.uid}", to=THEIRS)
    assert answer.final == SUCCESS, answer
    assert contents(list(storescp.iterdir())) == those_of(LAMARR_MR, studies)


def test_movescu_has_nothing_sent_of_what_is_not_there(scp: StartArchive, client: Client) -> None:
    answer = client.move(scp().port, "STUDY", "StudyInstanceUID=1.2.3", to=THEIRS)
    assert answer.statuses == [SUCCESS], answer


def test_movescu_is_told_that_a_destination_is_not_known(scp: StartArchive, client: Client) -> None:
    key = f"StudyInstanceUID={LAMARR_MR.uid}"
    answer = client.move(scp().port, "STUDY", key, to="STRANGER")
    assert answer.statuses == [DESTINATION_UNKNOWN], answer


def test_movescu_is_told_that_a_destination_is_not_there(scp: StartArchive, client: Client) -> None:
    answer = client.move(scp().port, "STUDY", f"StudyInstanceUID={LAMARR_MR.uid}", to=THEIRS)
    assert answer.final == ALL_FAILED, answer
    assert answer.counts["Failed"] == 2, answer


def endless(ours: OurArchive) -> Callable[[], ArchiveHandler]:
    """The same archive, with more of one image than anybody waits for."""

    class Endless(ArchiveHandler):
        def c_move_requested(self, message: Message) -> int | Retrieval:
            chosen = super().c_move_requested(message)
            assert isinstance(chosen, list)
            one = next(one for one in chosen if one.sop_class_uid == CT_IMAGE_STORAGE)
            contexts = [(one.sop_class_uid, one.transfer_syntaxes)]
            return Retrieval((one for _ in range(ENOUGH)), total=ENOUGH, contexts=contexts)

    return lambda: Endless(ours.folder, ours.index, destinations=ours.destinations)


@exercises("C-MOVE", SCP, "movescu")
@exercises("C-CANCEL", SCP, "movescu")
def test_movescu_cancels_and_the_association_is_released(
    scp: StartArchive, dcmtk: DCMTKClient, destinations: Destinations
) -> None:
    ours = scp(endless)
    with serve(DiscardHandler, port=destinations.theirs):
        answer = dcmtk.move(
            ours.port,
            "STUDY",
            f"StudyInstanceUID={LOVELACE_CT.uid}",
            to=THEIRS,
            options=("--cancel", 2),
        )
    assert answer.final == CANCEL, answer
    assert 2 <= answer.pending < ENOUGH
    assert "Releasing Association" in answer.done.output


@exercises("C-MOVE", SCP, "pynetdicom")
@exercises("C-CANCEL", SCP, "pynetdicom")
def test_who_moves_of_ours_cancels_after_the_second_response(
    scp: StartArchive, destinations: Destinations
) -> None:
    ours = scp(endless)
    with serve(DiscardHandler, port=destinations.theirs):
        told = use("move", ours.port, LOVELACE_CT.uid)
    assert [line["status"] for line in told[:2]] == [PENDING] * 2
    assert told[-1]["status"] == CANCEL
    assert len(told) < ENOUGH


@exercises("C-FIND", SCP, "orthanc")
@exercises("C-MOVE", SCP, "orthanc")
@exercises("C-STORE", SCU, "orthanc")
def test_orthanc_finds_a_study_of_ours_and_has_it_sent(
    scp: StartArchive, archives: Archives
) -> None:
    orthanc = archives.orthanc(load=False)
    scp(**{AE_TITLE: orthanc.port})
    query = {"Level": "Study", "Query": {"StudyInstanceUID": LOVELACE_CT_MR.uid}}
    made = orthanc.post(f"/modalities/{OURS}/query", query)
    assert len(orthanc.get(f"/queries/{made['ID']}/answers")) == 1
    orthanc.post(f"/queries/{made['ID']}/retrieve", {"TargetAet": AE_TITLE, "Synchronous": True})
    there = [orthanc.get(f"/instances/{one}") for one in orthanc.get("/instances")]
    uids = sorted(one["MainDicomTags"]["SOPInstanceUID"] for one in there)
    assert uids == LOVELACE_CT_MR.instances


@exercises("C-MOVE", SCP, "pynetdicom")
def test_asyncio_sends_a_study_where_pynetdicom_wants_it(
    tmp_path: Path, studies: tuple[Path, ...], archives: Archives, pynetdicom: Client
) -> None:
    other = archives.pynetdicom(load=False)
    ours = OurArchive(tmp_path / "ours", studies, {AE_TITLE: TCP(HOST, other.port)})

    async def provide() -> None:
        async with aio.serve(ours, port=0) as server:
            answer = await asyncio.to_thread(
                pynetdicom.move,
                server.port,
                "STUDY",
                f"StudyInstanceUID={LAMARR_MR.uid}",
                to=AE_TITLE,
            )
        assert answer.final == SUCCESS, answer

    asyncio.run(provide())
    eventually(lambda: len(other.requests("C-STORE")) == 2, "both are stored")
    told = other.requests("C-STORE")
    assert sorted(line["sop_instance"] for line in told) == LAMARR_MR.instances
    assert {line["move_originator"] for line in told} == {"MOVESCU"}
