"""What ours finds for other people's: a worklist, and an archive's index (PS3.4 Annexes K, C)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from dul_fsm import aio, serve
from dul_fsm.query import Worklist
from dul_fsm.scp.worklist import WorklistHandler
from tests.interop.clients import Client
from tests.interop.ours import OurArchive
from tests.interop.rows import SCP, exercises
from tests.interop.studies import LAMARR_MR, LOVELACE_CT, LOVELACE_CT_MR, WORKLIST

pytestmark = pytest.mark.interop

SUCCESS, PENDING = 0x0000, 0xFF00
IDENTIFIER_DOES_NOT_MATCH = 0xA900
STEP = "ScheduledProcedureStepSequence[0]"

of_two_makers = pytest.mark.parametrize(
    "client",
    [
        pytest.param("dcmtk", marks=exercises("C-FIND", SCP, "findscu")),
        pytest.param("pynetdicom", marks=exercises("C-FIND", SCP, "pynetdicom")),
    ],
    indirect=True,
)


@pytest.fixture
def client(request: pytest.FixtureRequest) -> Client:
    """findscu of one of them."""
    made: Client = request.getfixturevalue(request.param)
    return made


@pytest.fixture
def worklist() -> Iterator[int]:
    """The port of a worklist of ours."""
    with serve(lambda: WorklistHandler(lambda: WORKLIST), port=0) as server:
        yield server.port


@pytest.fixture
def archive(tmp_path: Path, studies: tuple[Path, ...]) -> Iterator[int]:
    """The port of an archive of ours."""
    with serve(OurArchive(tmp_path / "ours", studies), port=0) as server:
        yield server.port


@of_two_makers
def test_findscu_asks_for_all_that_is_scheduled(worklist: int, client: Client) -> None:
    answer = client.find(worklist, "", "AccessionNumber", "PatientName", model="worklist")
    assert answer.statuses == [PENDING] * 3 + [SUCCESS], answer
    assert answer.values("AccessionNumber") == ["W-2001", "W-2002", "W-2003"]


@of_two_makers
def test_findscu_asks_for_the_work_of_a_modality_in_a_range_of_days(
    worklist: int, client: Client
) -> None:
    keys = (f"{STEP}.Modality=MR", f"{STEP}.ScheduledProcedureStepStartDate=20240302-")
    answer = client.find(
        worklist, "", *keys, f"{STEP}.ScheduledProcedureStepID", "PatientID", model="worklist"
    )
    assert answer.statuses == [PENDING, SUCCESS], answer
    (item,) = answer.data_sets
    assert item.PatientID == "LOV-1"
    (step,) = item.ScheduledProcedureStepSequence
    assert step.ScheduledProcedureStepID == "SPS-W-2002"
    assert (step.Modality, step.ScheduledProcedureStepStartDate) == ("MR", "20240302")


@of_two_makers
def test_findscu_asks_for_the_work_on_nobody(worklist: int, client: Client) -> None:
    answer = client.find(worklist, "", "PatientName=NOBODY", model="worklist")
    assert (answer.statuses, answer.received) == ([SUCCESS], []), answer


@of_two_makers
def test_findscu_asks_a_worklist_of_asyncio(client: Client) -> None:
    async def ask() -> None:
        items = Worklist()
        for item in WORKLIST:
            items.add(item)
        async with aio.serve(lambda: WorklistHandler(items), port=0) as server:
            answer = await asyncio.to_thread(
                client.find, server.port, "", "PatientName=LAM*", model="worklist"
            )
        assert answer.statuses == [PENDING, SUCCESS], answer
        assert answer.values("PatientName") == ["LAMARR^HEDY"]

    asyncio.run(ask())


@of_two_makers
def test_findscu_goes_down_an_archive_of_ours(archive: int, client: Client) -> None:
    keys = ("PatientName=LOVELACE*", "StudyDate=20240101-20240131", "StudyInstanceUID")
    studies = client.find(archive, "STUDY", *keys)
    assert studies.values("StudyInstanceUID") == [LOVELACE_CT_MR.uid], studies
    keys = (f"StudyInstanceUID={LOVELACE_CT_MR.uid}", "SeriesInstanceUID", "Modality=MR")
    series = client.find(archive, "SERIES", *keys)
    assert series.values("SeriesInstanceUID") == [LOVELACE_CT_MR.series_uid(2)], series
    keys = (keys[0], f"SeriesInstanceUID={LOVELACE_CT_MR.series_uid(2)}", "SOPInstanceUID")
    images = client.find(archive, "IMAGE", *keys)
    assert len(images.values("SOPInstanceUID")) == 2, images
    assert set(images.values("SOPInstanceUID")) < set(LOVELACE_CT_MR.instances)


@of_two_makers
def test_findscu_gives_an_archive_of_ours_a_list_of_uids(archive: int, client: Client) -> None:
    wanted = sorted([LOVELACE_CT.uid, LAMARR_MR.uid])
    answer = client.find(archive, "STUDY", "StudyInstanceUID=" + "\\".join(wanted))
    assert answer.values("StudyInstanceUID") == wanted, answer


@of_two_makers
def test_findscu_is_told_what_an_archive_of_ours_needs_to_know(
    archive: int, client: Client
) -> None:
    # An image is not found without its study and its series (PS3.4 §C.4.1.2.1).
    answer = client.find(archive, "IMAGE", "SOPInstanceUID")
    assert answer.statuses == [IDENTIFIER_DOES_NOT_MATCH], answer
