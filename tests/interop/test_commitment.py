"""Storage commitment between ours and other people's, both ways (PS3.4 Annex J)."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from dul_fsm import aio, serve
from dul_fsm.aio import commitment as aio_commitment
from dul_fsm.dimse import status
from dul_fsm.scp.commitment import CommitmentHandler, held_by
from dul_fsm.scu.commitment import (
    STORAGE_COMMITMENT,
    CommitmentReports,
    CommitmentResult,
    Reference,
    Transactions,
    commit,
    report,
    request_commitment,
)
from tests.interop.archives import AE_TITLE, OURS, Archives, Destinations
from tests.interop.ours import OurArchive, call, proposal
from tests.interop.programs import HOST, eventually
from tests.interop.pynetdicom_user import use
from tests.interop.rows import SCP, SCU, exercises
from tests.interop.studies import LAMARR_MR, LOVELACE_CT

pytestmark = pytest.mark.interop

SUCCESS, NO_SUCH_INSTANCE = 0x0000, 0x0112
PATIENCE = 20.0
"""Seconds to wait for a report of another process."""


KNOWN = [
    Reference(str(image.SOPClassUID), str(image.SOPInstanceUID)) for image in LOVELACE_CT.images()
]
UNKNOWN = Reference(KNOWN[0].sop_class_uid, "1.2.3.4")

# Ours asks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("unknown", [False, True], ids=["kept", "failed"])
@exercises("N-ACTION", SCU, "pynetdicom")
@exercises("N-EVENT-REPORT", SCU, "pynetdicom")
def test_pynetdicom_reports_to_ours_on_the_same_association(
    archives: Archives, unknown: bool
) -> None:
    archive = archives.pynetdicom("--report-here")
    transactions = Transactions()
    reports = CommitmentReports(transactions.arrived)
    with call(archive, STORAGE_COMMITMENT, handler=reports) as association:
        asked = [*KNOWN, *([UNKNOWN] if unknown else [])]
        result = commit(association, asked, transactions, PATIENCE)
    assert result is not None
    assert result.committed == tuple(KNOWN)
    assert result.failed == (((UNKNOWN, NO_SUCH_INSTANCE),) if unknown else ())
    assert archive.told("N-EVENT-REPORT")["status"] == SUCCESS


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=[exercises("N-ACTION", SCU, name), exercises("N-EVENT-REPORT", SCU, name)],
        )
        for name in ("orthanc", "pynetdicom")
    ],
)
@pytest.mark.parametrize("unknown", [False, True], ids=["kept", "failed"])
def test_an_archive_reports_to_a_server_of_ours(
    archives: Archives, destinations: Destinations, name: str, unknown: bool
) -> None:
    archive, transactions = archives.start(name), Transactions()
    asked = [*KNOWN, *([UNKNOWN] if unknown else [])]
    with serve(lambda: CommitmentReports(transactions.arrived), port=destinations.ours):
        with call(archive, STORAGE_COMMITMENT) as association:
            transaction = request_commitment(association, asked, transactions)
        result = transactions.wait(transaction, PATIENCE)
    assert result is not None
    assert result.transaction_uid == transaction
    assert result.committed == tuple(KNOWN)
    assert result.failed == (((UNKNOWN, NO_SUCH_INSTANCE),) if unknown else ())


@exercises("N-ACTION", SCU, "pynetdicom")
@exercises("N-EVENT-REPORT", SCU, "pynetdicom")
def test_asyncio_is_reported_to_on_the_same_association(archives: Archives) -> None:
    archive = archives.pynetdicom("--report-here")

    async def ask() -> CommitmentResult | None:
        transactions = aio_commitment.Transactions()
        reports = CommitmentReports(transactions.arrived)
        asked = proposal(archive, STORAGE_COMMITMENT)
        async with aio.associate(HOST, archive.port, handler=reports, **asked) as association:
            return await aio_commitment.commit(association, KNOWN, transactions, PATIENCE)

    result = asyncio.run(ask())
    assert result is not None
    assert result.ok
    assert archive.told("N-EVENT-REPORT")["status"] == SUCCESS


# Ours is asked -----------------------------------------------------------------------------------

Lost = queue.Queue[tuple[str, CommitmentResult]]
"""AE title and result of what could not be reported on the SCU's association."""


@pytest.fixture
def lost() -> Lost:
    """What ours has to report on another association."""
    return queue.Queue()


@pytest.fixture
def commitment_port(
    tmp_path: Path,
    studies: tuple[Path, ...],
    destinations: Destinations,
    lost: Lost,
    request: pytest.FixtureRequest,
) -> Iterator[int]:
    """The port of a server of ours that commits to what is in the studies."""
    check = held_by(OurArchive(tmp_path / "ours", studies).index)
    here = getattr(request, "param", True)

    def make() -> CommitmentHandler:
        return CommitmentHandler(check, lambda *what: lost.put(what), same_association=here)

    with ExitStack() as stack:
        yield stack.enter_context(serve(make, port=destinations.ours)).port


@pytest.mark.parametrize("unknown", [False, True], ids=["kept", "failed"])
@exercises("N-ACTION", SCP, "pynetdicom")
@exercises("N-EVENT-REPORT", SCP, "pynetdicom")
def test_ours_reports_to_pynetdicom_on_the_same_association(
    commitment_port: int, lost: Lost, unknown: bool
) -> None:
    uids = [*LOVELACE_CT.instances, *(["1.2.3.4"] if unknown else [])]
    action, event = use("commit", commitment_port, *uids)
    assert (action["operation"], action["status"]) == ("N-ACTION", SUCCESS)
    assert event["operation"] == "N-EVENT-REPORT"
    assert event["event_type"] == (2 if unknown else 1)
    assert event["here"] is True
    assert lost.empty()


@pytest.mark.parametrize("commitment_port", [False], indirect=True)
@exercises("N-ACTION", SCP, "pynetdicom")
@exercises("N-EVENT-REPORT", SCP, "pynetdicom")
def test_ours_reports_to_pynetdicom_on_an_association_of_its_own(
    commitment_port: int, lost: Lost, destinations: Destinations
) -> None:
    async def ask() -> list[dict[str, Any]]:
        asking = asyncio.to_thread(
            use, "commit", commitment_port, *LAMARR_MR.instances, "--listen", destinations.theirs
        )
        task = asyncio.create_task(asking)
        _, result = await asyncio.to_thread(lost.get, timeout=PATIENCE)
        await aio_commitment.report(result, HOST, destinations.theirs, called_ae_title="PYNETDICOM")
        return await task

    action, event = asyncio.run(ask())
    assert action["status"] == SUCCESS
    # It takes them for CT images, which they are not.
    assert (event["event_type"], event["here"]) == (2, False)
    failed = event["attributes"]["00081198"]["Value"]
    assert [one["00081197"]["Value"] for one in failed] == [[status.CLASS_INSTANCE_CONFLICT]] * 2


@exercises("N-ACTION", SCP, "orthanc")
@exercises("N-EVENT-REPORT", SCP, "orthanc")
def test_ours_reports_to_orthanc_that_has_hung_up(
    commitment_port: int, lost: Lost, archives: Archives
) -> None:
    orthanc = archives.orthanc(load=False)
    asked = orthanc.post(
        f"/modalities/{OURS}/storage-commitment", {"DicomInstances": [*map(list, KNOWN)]}
    )
    calling, result = lost.get(timeout=PATIENCE)
    assert calling == AE_TITLE
    report(result, HOST, orthanc.port, called_ae_title=orthanc.ae_title, calling_ae_title=OURS)
    eventually(lambda: orthanc.get(asked["Path"])["Status"] != "Pending", "Orthanc has the report")
    answer = orthanc.get(asked["Path"])
    assert answer["Status"] == "Success", answer
    assert [item["SOPInstanceUID"] for item in answer["Success"]] == LOVELACE_CT.instances
