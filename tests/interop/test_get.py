"""C-GET between ours and other people's, both ways (PS3.4 §C.4.3)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from pydicom.uid import UID

from dul_fsm import aio, serve
from dul_fsm.aio import query as aio_query
from dul_fsm.association import Message
from dul_fsm.scp.archive import ArchiveHandler
from dul_fsm.scp.server import Server
from dul_fsm.scu.query import OperationFailed, Progress, Retrieved, get, scp_roles
from dul_fsm.services.handler import Retrieval
from dul_fsm.services.sop_classes import STUDY_ROOT_FIND, STUDY_ROOT_GET
from tests.files.samples import CT_IMAGE_STORAGE
from tests.interop.archives import Archive, Archives
from tests.interop.clients import Client
from tests.interop.ours import (
    IMAGES,
    OurArchive,
    Received,
    call,
    contents,
    data_set,
    proposal,
    study_keys,
    those_of,
)
from tests.interop.programs import HOST
from tests.interop.pynetdicom_user import use
from tests.interop.rows import SCP, each_archive, exercises
from tests.interop.studies import LAMARR_MR, LOVELACE_CT, LOVELACE_CT_MR, uid

pytestmark = pytest.mark.interop

SUCCESS, PENDING, CANCEL, SOME_FAILED = 0x0000, 0xFF00, 0xFE00, 0xB000
ENOUGH = 100_000
"""Instances of a retrieval that is to be cancelled: no peer waits for so many."""

# Ours gets ---------------------------------------------------------------------------------------


def getting(received: Received, *classes: str) -> dict[str, Any]:
    """What `call` is told beside the contexts: to store what comes."""
    return {"roles": scp_roles(classes or IMAGES), "handler": received()}


@pytest.fixture
def received(tmp_path: Path) -> Received:
    """Where ours stores."""
    return Received(tmp_path / "received")


@each_archive("C-GET", "dcmqrscp", "orthanc", "pynetdicom")
def test_a_study_comes_as_it_was_stored(
    archive: Archive, received: Received, studies: tuple[Path, ...]
) -> None:
    told: list[Progress] = []
    with call(archive, STUDY_ROOT_GET, *IMAGES, **getting(received)) as association:
        done = get(association, study_keys(LOVELACE_CT_MR), progress=told.append)
        assert association.c_echo().status == SUCCESS
    assert done == Retrieved(SUCCESS, completed=5, failed=0, warnings=0)
    # To the byte.
    assert contents(received.files) == those_of(LOVELACE_CT_MR, studies)
    assert told, "no pending response"
    for one in told:
        assert (one.remaining or 0) + one.completed == 5, one


@each_archive("C-GET", "dcmqrscp", "orthanc", "pynetdicom")
def test_an_image_comes_alone(archive: Archive, received: Received) -> None:
    image = LOVELACE_CT_MR.images()[-1]
    keys = data_set(
        QueryRetrieveLevel="IMAGE",
        StudyInstanceUID=image.StudyInstanceUID,
        SeriesInstanceUID=image.SeriesInstanceUID,
        SOPInstanceUID=image.SOPInstanceUID,
    )
    with call(archive, STUDY_ROOT_GET, *IMAGES, **getting(received)) as association:
        assert get(association, keys).completed == 1
    assert list(contents(received.files)) == [image.SOPInstanceUID]


# Orthanc answers that with a failure.
@each_archive("C-GET", "dcmqrscp", "pynetdicom")
def test_nothing_comes_of_what_is_not_there(archive: Archive, received: Received) -> None:
    nothing = data_set(QueryRetrieveLevel="STUDY", StudyInstanceUID="1.2.3")
    with call(archive, STUDY_ROOT_GET, *IMAGES, **getting(received)) as association:
        done = get(association, nothing)
        assert (done.completed, done.failed) == (0, 0)
        assert get(association, study_keys(LOVELACE_CT)).completed == 1
    assert list(contents(received.files)) == LOVELACE_CT.instances


@each_archive("C-GET", "dcmqrscp", "pynetdicom")
def test_what_ours_does_not_take_is_counted_by_an_archive(
    archive: Archive, received: Received
) -> None:
    only = (CT_IMAGE_STORAGE,)
    with call(archive, STUDY_ROOT_GET, *only, **getting(received, *only)) as association:
        done = get(association, study_keys(LOVELACE_CT_MR))
    assert not done.ok
    assert (done.status, done.completed, done.failed) == (SOME_FAILED, 3, 2)
    assert set(done.failed_sop_instance_uids) < set(LOVELACE_CT_MR.instances)
    assert len(received.files) == 3


def test_orthanc_puts_what_was_not_taken_where_it_does_not_belong(
    archives: Archives, received: Received
) -> None:
    """Its list of failed instances is not in an identifier, but in the command set, which has no
    group 0008 (PS3.7 §6.3.1). Its status comes through all the same."""
    archive, only = archives.orthanc(), (CT_IMAGE_STORAGE,)
    with call(archive, STUDY_ROOT_GET, *only, **getting(received, *only)) as association:
        with pytest.raises(OperationFailed) as told:
            get(association, study_keys(LOVELACE_CT_MR))
        assert told.value.status == 0xC000
        assert association.c_echo().status == SUCCESS


@each_archive("C-CANCEL", "dcmqrscp", "orthanc", "pynetdicom")
def test_a_retrieval_is_cancelled_after_the_first_image(
    archive: Archive, received: Received
) -> None:
    with call(archive, STUDY_ROOT_GET, *IMAGES, **getting(received)) as association:
        operation = association.begin(
            association.get_request(STUDY_ROOT_GET, study_keys(LOVELACE_CT_MR))
        )
        assert next(operation).status == PENDING
        # It leaves before the answer to the next image, or the one after that.
        operation.cancel()
        assert operation.response().status == CANCEL
        assert association.c_echo().status == SUCCESS
    assert 1 <= len(received.files) < LOVELACE_CT_MR.count


@each_archive("C-GET", "dcmqrscp", "orthanc", "pynetdicom")
def test_a_study_comes_to_asyncio(archive: Archive, received: Received) -> None:
    async def retrieve() -> Retrieved:
        asked = proposal(archive, STUDY_ROOT_FIND, STUDY_ROOT_GET, *IMAGES)
        async with aio.associate(HOST, archive.port, **asked, **getting(received)) as association:
            keys = data_set(QueryRetrieveLevel="STUDY", PatientID="LAM-2", StudyInstanceUID="")
            (match,) = [match async for match in aio_query.find(association, keys)]
            keys = data_set(QueryRetrieveLevel="STUDY", StudyInstanceUID=match.StudyInstanceUID)
            return await aio_query.get(association, keys)

    assert asyncio.run(retrieve()).completed == 2
    assert sorted(contents(received.files)) == LAMARR_MR.instances


# Ours is asked -----------------------------------------------------------------------------------

StartArchive: TypeAlias = Callable[..., Server]


@pytest.fixture
def scp(tmp_path: Path, studies: tuple[Path, ...]) -> Iterator[StartArchive]:
    """`scp()`: an archive of ours that has the studies, and further files."""
    with ExitStack() as stack:

        def start(
            *files: Path, wrap: Callable[[OurArchive], Callable[[], ArchiveHandler]] | None = None
        ) -> Server:
            ours = OurArchive(tmp_path / "ours", (*studies, *files))
            return stack.enter_context(serve(wrap(ours) if wrap else ours, port=0))

        yield start


@pytest.fixture(
    params=[
        pytest.param("dcmtk", marks=exercises("C-GET", SCP, "getscu")),
        pytest.param("pynetdicom", marks=exercises("C-GET", SCP, "pynetdicom")),
    ]
)
def client(request: pytest.FixtureRequest) -> Client:
    """getscu of DCMTK's and of pynetdicom's."""
    made: Client = request.getfixturevalue(request.param)
    return made


def exact(client: Client) -> dict[str, Any]:
    """Options to write what came as it is: DCMTK's would encode it anew."""
    return {"options": ("+B",)} if client.name == "dcmtk" else {}


def test_getscu_gets_a_study_of_ours(
    scp: StartArchive, client: Client, studies: tuple[Path, ...]
) -> None:
    answer = client.get(
        scp().port, "STUDY", f"StudyInstanceUID={LOVELACE_CT_MR.uid}", **exact(client)
    )
    assert answer.final == SUCCESS, answer
    assert answer.counts["Completed"] == 5, answer
    assert answer.counts["Failed"] == answer.counts["Warning"] == 0, answer
    assert answer.instances == LOVELACE_CT_MR.instances
    if client.name == "dcmtk":  # pynetdicom's encodes anew
        assert contents(answer.received) == those_of(LOVELACE_CT_MR, studies)


def test_getscu_gets_a_patient_of_ours(scp: StartArchive, client: Client) -> None:
    answer = client.get(scp().port, "PATIENT", "PatientID=LOV-1", model="patient")
    assert answer.final == SUCCESS, answer
    assert answer.instances == sorted([*LOVELACE_CT_MR.instances, *LOVELACE_CT.instances])


def test_getscu_gets_one_image_of_ours(scp: StartArchive, client: Client) -> None:
    image = LAMARR_MR.images()[0]
    answer = client.get(
        scp().port,
        "IMAGE",
        f"StudyInstanceUID={image.StudyInstanceUID}",
        f"SeriesInstanceUID={image.SeriesInstanceUID}",
        f"SOPInstanceUID={image.SOPInstanceUID}",
    )
    assert answer.final == SUCCESS, answer
    assert answer.instances == [image.SOPInstanceUID]


def test_getscu_gets_nothing_of_what_is_not_there(scp: StartArchive, client: Client) -> None:
    answer = client.get(scp().port, "STUDY", "StudyInstanceUID=1.2.3")
    assert (answer.statuses, answer.received) == ([SUCCESS], []), answer


def test_getscu_is_told_what_it_did_not_take(
    scp: StartArchive, client: Client, tmp_path: Path
) -> None:
    # Of a private SOP Class, which no client proposes.
    (image,) = LOVELACE_CT.images()
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = UID("1.2.3.4.5.6")
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = UID(uid("private"))
    image.save_as(tmp_path / "private.dcm", enforce_file_format=True)
    ours = scp(tmp_path / "private.dcm")
    answer = client.get(ours.port, "STUDY", f"StudyInstanceUID={LOVELACE_CT.uid}")
    assert answer.final == SOME_FAILED, answer
    assert (answer.counts["Completed"], answer.counts["Failed"]) == (1, 1), answer
    assert answer.instances == LOVELACE_CT.instances
    if client.name == "pynetdicom":  # DCMTK's getscu does not read the list
        assert uid("private") in answer.done.output


def endless(ours: OurArchive) -> Callable[[], ArchiveHandler]:
    """The same archive, with more of one image than anybody waits for."""

    class Endless(ArchiveHandler):
        def c_get_requested(self, message: Message) -> int | Retrieval:
            chosen = super().c_get_requested(message)
            assert isinstance(chosen, list)
            one = next(one for one in chosen if one.sop_class_uid == CT_IMAGE_STORAGE)
            return Retrieval((one for _ in range(ENOUGH)), total=ENOUGH)

    return lambda: Endless(ours.folder, ours.index)


@exercises("C-GET", SCP, "pynetdicom")
@exercises("C-CANCEL", SCP, "pynetdicom")
def test_who_gets_of_ours_cancels_after_the_second_response(scp: StartArchive) -> None:
    ours = scp(wrap=endless)
    told = use("get", ours.port, LOVELACE_CT_MR.uid)
    assert [line["status"] for line in told[:2]] == [PENDING] * 2
    assert told[-1]["status"] == CANCEL
    assert len(told) < ENOUGH
