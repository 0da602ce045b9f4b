"""C-FIND between ours and other people's, both ways (PS3.4 Annexes C, K)."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import Any, TypeAlias

import pytest
from pydicom import Dataset

from dul_fsm import Handler, associate, serve
from dul_fsm.association import Message
from dul_fsm.dimse.data_set import encode_data_set
from dul_fsm.scp.server import Server
from dul_fsm.scu.association import SCUAssociation
from dul_fsm.services.handler import Matches, Pending
from dul_fsm.services.sop_classes import (
    MODALITY_WORKLIST_FIND,
    PATIENT_ROOT_FIND,
    STUDY_ROOT_FIND,
    VERIFICATION,
    choose_any,
)
from tests.files.samples import EXPLICIT, IMPLICIT
from tests.interop.archives import AE_TITLE, OURS, Archive, Archives, Destinations
from tests.interop.clients import Client, DCMTKClient
from tests.interop.programs import HOST
from tests.interop.rows import SCP, SCU, each_archive, exercises
from tests.interop.studies import LAMARR_MR, LOVELACE_CT, LOVELACE_CT_MR, STUDIES

pytestmark = pytest.mark.interop

SUCCESS, PENDING, PENDING_UNSUPPORTED, CANCEL = 0x0000, 0xFF00, 0xFF01, 0xFE00
OUT_OF_RESOURCES, PROCESSING_FAILURE = 0xA700, 0x0110
BOTH_LOVELACE = sorted([LOVELACE_CT_MR.uid, LOVELACE_CT.uid])
ENOUGH = 100_000
"""Matches of a query that is to be cancelled: no peer waits for so many."""

# Ours asks ---------------------------------------------------------------------------------------


def call(archive: Archive, *sop_classes: str, syntax: str = EXPLICIT) -> SCUAssociation:
    """An association with an archive."""
    return associate(
        HOST,
        archive.port,
        contexts=[VERIFICATION, *((uid, (syntax,)) for uid in sop_classes)],
        called_ae_title=AE_TITLE,
        calling_ae_title=OURS,
    )


def query(**keys: object) -> Dataset:
    """An identifier."""
    identifier = Dataset()
    for keyword, value in keys.items():
        setattr(identifier, keyword, value)
    return identifier


def find(
    association: SCUAssociation, sop_class: str, identifier: Dataset
) -> tuple[list[Dataset], int]:
    """The matches, and the final status; every response before was pending."""
    syntax = association.context_for(sop_class).transfer_syntax
    *pending, final = association.c_find(sop_class, encode_data_set(identifier, syntax))
    assert {response.status for response in pending} <= {PENDING, PENDING_UNSUPPORTED}
    assert not final.data_set
    return [response.decode() for response in pending], final.status


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT], ids=["explicit", "implicit"])
@each_archive("C-FIND", "dcmqrscp", "orthanc", "pynetdicom")
def test_studies_of_a_patient_are_found_by_a_wild_card(archive: Archive, syntax: str) -> None:
    with call(archive, STUDY_ROOT_FIND, syntax=syntax) as association:
        keys = query(QueryRetrieveLevel="STUDY", PatientName="LOVELACE*", StudyInstanceUID="")
        matches, status = find(association, STUDY_ROOT_FIND, keys)
    assert status == SUCCESS
    assert sorted(match.StudyInstanceUID for match in matches) == BOTH_LOVELACE
    assert {str(match.PatientName) for match in matches} == {"LOVELACE^ADA"}


@each_archive("C-FIND", "dcmqrscp", "orthanc", "pynetdicom")
def test_a_query_goes_down_from_patient_to_image(archive: Archive) -> None:
    with call(archive, PATIENT_ROOT_FIND) as association:
        keys = query(QueryRetrieveLevel="PATIENT", PatientID="")
        matches, status = find(association, PATIENT_ROOT_FIND, keys)
        assert status == SUCCESS
        assert sorted(match.PatientID for match in matches) == ["LAM-2", "LOV-1"]
        above = {"PatientID": "LAM-2", "StudyInstanceUID": LAMARR_MR.uid}
        keys = query(QueryRetrieveLevel="SERIES", **above, SeriesInstanceUID="", Modality="")
        ((series,), status) = find(association, PATIENT_ROOT_FIND, keys)
        assert status == SUCCESS
        assert series.Modality == "MR"
        above["SeriesInstanceUID"] = series.SeriesInstanceUID
        keys = query(QueryRetrieveLevel="IMAGE", **above, SOPInstanceUID="")
        matches, status = find(association, PATIENT_ROOT_FIND, keys)
        assert status == SUCCESS
        assert sorted(match.SOPInstanceUID for match in matches) == LAMARR_MR.instances


@each_archive("C-FIND", "dcmqrscp", "orthanc", "pynetdicom")
def test_no_match_is_a_success_and_the_next_query_is_answered(archive: Archive) -> None:
    with call(archive, STUDY_ROOT_FIND) as association:
        for patient, found in (("NOBODY", 0), ("LAM-2", 1)):
            keys = query(QueryRetrieveLevel="STUDY", PatientID=patient, StudyInstanceUID="")
            matches, status = find(association, STUDY_ROOT_FIND, keys)
            assert (len(matches), status) == (found, SUCCESS)


@each_archive("C-FIND", "wlmscpfs", "orthanc", "pynetdicom")
def test_a_worklist_is_found_by_an_attribute_in_a_sequence(archive: Archive) -> None:
    step = query(Modality="MR", ScheduledProcedureStepStartDate="", ScheduledProcedureStepID="")
    keys = query(AccessionNumber="", PatientName="", ScheduledProcedureStepSequence=[step])
    with call(archive, MODALITY_WORKLIST_FIND) as association:
        matches, status = find(association, MODALITY_WORKLIST_FIND, keys)
    assert status == SUCCESS
    matches.sort(key=lambda match: str(match.AccessionNumber))
    assert [match.AccessionNumber for match in matches] == ["W-2002", "W-2003"]
    steps = [match.ScheduledProcedureStepSequence[0] for match in matches]
    assert [one.ScheduledProcedureStepID for one in steps] == ["SPS-W-2002", "SPS-W-2003"]


@exercises("C-FIND", SCU, "dcmqrscp")
def test_a_query_that_an_archive_refuses_has_its_status(archives: Archives) -> None:
    archive = archives.dcmqrscp("-XF", load=False)
    with call(archive, STUDY_ROOT_FIND) as association:
        # An image is not found without its study and its series (PS3.4 §C.4.1.2.1).
        keys = query(QueryRetrieveLevel="IMAGE", SOPInstanceUID="")
        assert find(association, STUDY_ROOT_FIND, keys) == ([], 0xA900)
        assert association.c_echo().status == SUCCESS


@exercises("C-FIND", SCU, "pynetdicom")
@exercises("C-CANCEL", SCU, "pynetdicom")
def test_who_has_enough_cancels_and_the_association_goes_on(archives: Archives) -> None:
    archive = archives.pynetdicom("--until-cancelled")
    with call(archive, STUDY_ROOT_FIND) as association:
        keys = encode_data_set(query(QueryRetrieveLevel="STUDY", PatientID=""), EXPLICIT)
        responses = association.c_find(STUDY_ROOT_FIND, keys)
        assert [next(responses).status for _ in range(3)] == [PENDING] * 3
        assert isinstance(responses, Generator)
        responses.close()
        assert archive.told("C-CANCEL")
        assert association.c_echo().status == SUCCESS


@exercises("C-FIND", SCU, "wlmscpfs")
@exercises("C-CANCEL", SCU, "wlmscpfs")
def test_who_has_enough_of_a_worklist_cancels(archives: Archives) -> None:
    # It sleeps for a second before each item: else it would have sent all three.
    archive = archives.wlmscpfs("--sleep-during", 1)
    with call(archive, MODALITY_WORKLIST_FIND) as association:
        keys = encode_data_set(query(AccessionNumber=""), EXPLICIT)
        operation = association.begin(association.find_request(MODALITY_WORKLIST_FIND, keys))
        assert next(operation).status in (PENDING, PENDING_UNSUPPORTED)
        operation.cancel()
        *pending, final = operation
        assert (len(pending) < 2, final.status) == (True, CANCEL)
        assert association.c_echo().status == SUCCESS


# Ours is asked -----------------------------------------------------------------------------------


class Index(Handler):
    """Finds `STUDIES` by the beginning of the patient's name."""

    choose = staticmethod(
        choose_any(VERIFICATION, STUDY_ROOT_FIND, PATIENT_ROOT_FIND, MODALITY_WORKLIST_FIND)
    )

    def c_find_requested(self, message: Message) -> int | Matches:
        keys = message.decode()
        wanted = str(keys.get("PatientName", "")).rstrip("*")
        return (
            self.match(message, keys, study.uid, study.patient_name)
            for study in STUDIES
            if study.patient_name.startswith(wanted)
        )

    @staticmethod
    def match(message: Message, keys: Dataset, study: str, name: str) -> bytes:
        found = query(PatientName=name, StudyInstanceUID=study)
        if "QueryRetrieveLevel" in keys:
            found.QueryRetrieveLevel = keys.QueryRetrieveLevel
        return encode_data_set(found, message.context.transfer_syntax)


class Endless(Index):
    """Has more matches than anybody waits for."""

    def c_find_requested(self, message: Message) -> int | Matches:
        return self._matches(message)

    def _matches(self, message: Message) -> Iterator[bytes]:
        keys = message.decode()
        for number in range(ENOUGH):
            yield self.match(message, keys, f"1.2.3.{number}", "NOBODY")


class Vague(Index):
    """Does not support all optional keys."""

    def c_find_requested(self, message: Message) -> int | Matches:
        keys = message.decode()
        match = self.match(message, keys, LAMARR_MR.uid, LAMARR_MR.patient_name)
        return iter([Pending(match, PENDING_UNSUPPORTED)])


class Full(Index):
    """Has no room to answer."""

    def c_find_requested(self, message: Message) -> int | Matches:
        return OUT_OF_RESOURCES


class Broken(Index):
    """Fails after the first match."""

    def c_find_requested(self, message: Message) -> int | Matches:
        return self._matches(message)

    def _matches(self, message: Message) -> Iterator[bytes]:
        yield self.match(message, message.decode(), "1.2.3", "ONE")
        raise RuntimeError("a bug of the handler's")


StartSCP: TypeAlias = Callable[..., Server]


@pytest.fixture
def scp(destinations: Destinations) -> Iterator[StartSCP]:
    """`scp(Index)`: a server of ours, where the archives expect OURS."""
    with ExitStack() as stack:

        def start(handler: type[Handler], **options: Any) -> Server:
            return stack.enter_context(serve(handler, port=destinations.ours, **options))

        yield start


@pytest.fixture(
    params=[
        pytest.param("dcmtk", marks=exercises("C-FIND", SCP, "findscu")),
        pytest.param("pynetdicom", marks=exercises("C-FIND", SCP, "pynetdicom")),
    ]
)
def client(request: pytest.FixtureRequest) -> Client:
    """findscu of DCMTK's and of pynetdicom's."""
    made: Client = request.getfixturevalue(request.param)
    return made


@pytest.mark.parametrize("model", ["study", "patient"])
def test_findscu_gets_each_match_of_ours(scp: StartSCP, client: Client, model: str) -> None:
    ours = scp(Index)
    answer = client.find(ours.port, "STUDY", "PatientName=LOVELACE*", model=model)
    assert answer.statuses == [PENDING, PENDING, SUCCESS], answer
    assert answer.values("StudyInstanceUID") == BOTH_LOVELACE
    assert answer.values("PatientName") == ["LOVELACE^ADA"] * 2


def test_findscu_gets_a_worklist_of_ours(scp: StartSCP, client: Client) -> None:
    answer = client.find(scp(Index).port, "", "PatientName=LAMARR*", model="worklist")
    assert answer.statuses == [PENDING, SUCCESS], answer
    assert answer.values("PatientName") == ["LAMARR^HEDY"]


def test_findscu_is_told_that_there_is_no_match(scp: StartSCP, client: Client) -> None:
    answer = client.find(scp(Index).port, "STUDY", "PatientName=NOBODY")
    assert (answer.statuses, answer.received) == ([SUCCESS], []), answer


def test_findscu_is_told_that_a_key_is_not_supported(scp: StartSCP, client: Client) -> None:
    answer = client.find(scp(Vague).port, "STUDY", "PatientName=LAMARR*")
    assert answer.statuses == [PENDING_UNSUPPORTED, SUCCESS], answer
    assert answer.values("PatientName") == ["LAMARR^HEDY"]


def test_findscu_is_told_why_there_is_no_answer(scp: StartSCP, client: Client) -> None:
    answer = client.find(scp(Full).port, "STUDY", "PatientName")
    assert answer.statuses == [OUT_OF_RESOURCES], answer


def test_findscu_is_told_of_a_handler_that_failed_between_two_matches(
    scp: StartSCP, client: Client
) -> None:
    reported: list[BaseException] = []
    ours = scp(Broken, report=reported.append)
    answer = client.find(ours.port, "STUDY", "PatientName")
    assert answer.statuses == [PENDING, PROCESSING_FAILURE], answer
    assert [str(error) for error in reported] == ["a bug of the handler's"]
    assert "a bug" not in answer.done.output


@exercises("C-FIND", SCP, "findscu")
@exercises("C-CANCEL", SCP, "findscu")
def test_findscu_cancels_and_the_association_is_released(scp: StartSCP, dcmtk: DCMTKClient) -> None:
    ours = scp(Endless)
    answer = dcmtk.find(ours.port, "STUDY", "PatientName", options=("--cancel", 2))
    assert answer.final == CANCEL, answer
    assert 2 <= answer.pending < ENOUGH
    assert "Releasing Association" in answer.done.output


@exercises("C-FIND", SCP, "orthanc")
def test_orthanc_queries_ours(scp: StartSCP, archives: Archives) -> None:
    scp(Index)
    orthanc = archives.orthanc(load=False)
    asked = {"Level": "Study", "Query": {"PatientName": "LOVELACE*"}}
    made = orthanc.post(f"/modalities/{OURS}/query", asked)
    answers = [
        orthanc.get(f"/queries/{made['ID']}/answers/{number}/content?simplify")
        for number in orthanc.get(f"/queries/{made['ID']}/answers")
    ]
    assert sorted(answer["StudyInstanceUID"] for answer in answers) == BOTH_LOVELACE
