"""The archives that ours will talk to, tried with other people's clients.

When one of these is red, the peer is at fault, or how it was set up, and not what is tested here.
"""

from __future__ import annotations

import pytest

from tests.interop.archives import OURS, THEIRS, Archive, Archives, Destinations
from tests.interop.clients import Client, DCMTKClient
from tests.interop.programs import HOST, eventually, listens
from tests.interop.pynetdicom_user import use
from tests.interop.studies import LAMARR_MR, LOVELACE_CT, LOVELACE_CT_MR, STUDIES

pytestmark = pytest.mark.interop

SUCCESS, PENDING, MOVE_DESTINATION_UNKNOWN = 0x0000, 0xFF00, 0xA801

every_archive = pytest.mark.parametrize(
    "archive", ["dcmqrscp", "orthanc", "pynetdicom"], indirect=True
)
every_worklist = pytest.mark.parametrize(
    "archive", ["wlmscpfs", "orthanc", "pynetdicom"], indirect=True
)


@pytest.fixture(params=["dcmtk", "pynetdicom"])
def client(request: pytest.FixtureRequest) -> Client:
    made: Client = request.getfixturevalue(request.param)
    return made


@every_archive
def test_an_archive_finds_what_it_was_loaded_with(archive: Archive, client: Client) -> None:
    keys = ("StudyInstanceUID", "PatientName=LOVELACE*")
    answer = client.find(archive.port, "STUDY", *keys)
    assert answer.statuses == [PENDING, PENDING, SUCCESS], answer
    assert answer.values("StudyInstanceUID") == sorted([LOVELACE_CT_MR.uid, LOVELACE_CT.uid])
    assert client.find(archive.port, "STUDY", "PatientID=NOBODY").statuses == [SUCCESS]


@every_archive
def test_an_archive_sends_a_study_to_who_gets_it(archive: Archive, client: Client) -> None:
    answer = client.get(archive.port, "STUDY", f"StudyInstanceUID={LAMARR_MR.uid}")
    assert answer.final == SUCCESS, (answer, archive.process.output)
    assert answer.counts["Completed"] == 2, answer
    assert answer.instances == LAMARR_MR.instances


@every_archive
def test_an_archive_moves_a_study_to_a_receiver_that_it_knows(
    archive: Archive, client: Client, destinations: Destinations
) -> None:
    answer = client.move(
        archive.port,
        "STUDY",
        f"StudyInstanceUID={LAMARR_MR.uid}",
        to=THEIRS,
        receive=destinations.theirs,
    )
    assert answer.final == SUCCESS, (answer, archive.process.output)
    assert answer.instances == LAMARR_MR.instances


@pytest.mark.parametrize("archive", ["dcmqrscp", "pynetdicom"], indirect=True)
def test_an_archive_does_not_move_to_a_stranger(archive: Archive, dcmtk: DCMTKClient) -> None:
    key = f"StudyInstanceUID={LAMARR_MR.uid}"
    answer = dcmtk.move(archive.port, "STUDY", key, to="STRANGER")
    assert answer.statuses == [MOVE_DESTINATION_UNKNOWN], answer


@every_worklist
def test_a_worklist_has_what_is_scheduled(archive: Archive, dcmtk: DCMTKClient) -> None:
    every = dcmtk.find(archive.port, "", "AccessionNumber", model="worklist")
    assert every.values("AccessionNumber") == ["W-2001", "W-2002", "W-2003"], every
    step = "ScheduledProcedureStepSequence[0].Modality=MR"
    some = dcmtk.find(archive.port, "", step, "AccessionNumber", model="worklist")
    assert some.values("AccessionNumber") == ["W-2002", "W-2003"], some


def test_orthanc_queries_another_archive_and_stores_to_it(archives: Archives) -> None:
    orthanc = archives.orthanc()
    other = archives.dcmqrscp(load=False)
    where = {"AET": other.ae_title, "Host": HOST, "Port": other.port}
    orthanc_store(orthanc, where)
    query = {"Level": "Study", "Query": {"PatientID": "LOV-1"}}
    orthanc.put("/modalities/other", where)
    made = orthanc.post("/modalities/other/query", query)
    assert len(orthanc.get(f"/queries/{made['ID']}/answers")) == 2


def orthanc_store(orthanc: Archive, where: dict[str, object]) -> None:
    """Let Orthanc send all that it holds."""
    orthanc.put("/modalities/other", where)
    sent = orthanc.post("/modalities/other/store", orthanc.get("/studies"))
    assert sent["InstancesCount"] == sum(study.count for study in STUDIES), sent
    assert sent["FailedInstancesCount"] == 0, sent


def test_a_cancelled_find_ends_early(archives: Archives, dcmtk: DCMTKClient) -> None:
    archive = archives.pynetdicom("--until-cancelled")
    answer = dcmtk.find(archive.port, "STUDY", "PatientID", options=("--cancel", 2))
    assert answer.final == 0xFE00, answer
    assert archive.told("C-CANCEL")


# pynetdicom's scripts for N-services --------------------------------------------------------------


def test_a_performed_procedure_step_is_created_and_completed(archives: Archives) -> None:
    archive = archives.pynetdicom(load=False)
    told = use("mpps", archive.port)
    assert [(line["operation"], line["status"]) for line in told] == [
        ("N-CREATE", SUCCESS),
        ("N-SET", SUCCESS),
        ("N-SET", SUCCESS),
        ("N-GET", SUCCESS),
    ]
    assert archive.told("N-SET")["attributes"]["00400252"]["Value"] == ["COMPLETED"]


def test_a_film_session_lives_and_dies(archives: Archives) -> None:
    archive = archives.pynetdicom("--printer-event", load=False)
    told = use("print", archive.port, "--report")
    assert [(line["operation"], line.get("status")) for line in told] == [
        ("N-CREATE", SUCCESS),
        ("N-SET", SUCCESS),
        ("N-GET", SUCCESS),
        ("N-ACTION", SUCCESS),
        ("N-EVENT-REPORT", None),
        ("N-DELETE", SUCCESS),
        ("N-DELETE", 0x0112),
    ]


@pytest.mark.parametrize("here", [True, False], ids=["here", "new association"])
@pytest.mark.parametrize("unknown", [False, True], ids=["kept", "failed"])
def test_pynetdicom_commits_to_storage(
    archives: Archives, destinations: Destinations, here: bool, unknown: bool
) -> None:
    archive = archives.pynetdicom(*(["--report-here"] if here else []))
    uids = [*LOVELACE_CT.instances, *(["1.2.3.4"] if unknown else [])]
    listen = () if here else ("--listen", destinations.ours, "-aet", OURS)
    action, report = use("commit", archive.port, *uids, *listen)
    assert (action["operation"], action["status"]) == ("N-ACTION", SUCCESS)
    assert report["operation"] == "N-EVENT-REPORT"
    assert report["event_type"] == (2 if unknown else 1)
    assert report["here"] is here


def test_orthanc_commits_to_storage(archives: Archives, destinations: Destinations) -> None:
    archive = archives.orthanc()
    listen = ("--listen", destinations.ours, "-aet", OURS)
    action, report = use("commit", archive.port, *LOVELACE_CT.instances, *listen)
    assert action["status"] == SUCCESS
    assert report["event_type"] == 1, report


def test_orthanc_asks_for_commitment(archives: Archives) -> None:
    orthanc = archives.orthanc()
    other = archives.pynetdicom("--destination", f"ARCHIVE={orthanc.port}")
    where = {"AET": "ARCHIVE", "Host": HOST, "Port": other.port, "AllowStorageCommitment": True}
    orthanc.put("/modalities/other", where)
    (image,) = (image for image in LOVELACE_CT.images())
    asked = orthanc.post(
        "/modalities/other/storage-commitment",
        {"DicomInstances": [[image.SOPClassUID, image.SOPInstanceUID]]},
    )
    eventually(lambda: orthanc.get(asked["Path"])["Status"] != "Pending", "Orthanc has the report")
    report = orthanc.get(asked["Path"])
    assert report["Status"] == "Success", report
    assert [item["SOPInstanceUID"] for item in report["Success"]] == LOVELACE_CT.instances


def test_an_archive_that_has_ended_listens_no_more(archives: Archives) -> None:
    started = [archives.start(name) for name in ("dcmqrscp", "wlmscpfs", "orthanc", "pynetdicom")]
    archives.close()
    assert not any(archive.process.running for archive in started)
    assert not any(listens(archive.port) for archive in started)
