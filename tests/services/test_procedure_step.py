"""`services.procedure_step`: data sets as Table F.7.2-1 of PS3.4 wants them."""

from __future__ import annotations

import pytest
from pydicom import Dataset

from dul_fsm.dimse.data_set import encode_data_set
from dul_fsm.scp.procedure_step import ProcedureSteps
from dul_fsm.services.procedure_step import (
    COMPLETED,
    DISCONTINUED,
    StepUser,
    end_attributes,
    performed_series,
    step_attributes,
)
from tests.scp.steps import END, START, begun, scheduled
from tests.scp.studies import CT, instance

# PS3.4 Table F.7.2-1, N-CREATE: types 1 and 2.
WANTED = [
    "ScheduledStepAttributesSequence",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "ReferencedPatientSequence",
    "PerformedProcedureStepID",
    "PerformedStationAETitle",
    "PerformedStationName",
    "PerformedLocation",
    "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime",
    "PerformedProcedureStepStatus",
    "PerformedProcedureStepDescription",
    "PerformedProcedureTypeDescription",
    "ProcedureCodeSequence",
    "PerformedProcedureStepEndDate",
    "PerformedProcedureStepEndTime",
    "Modality",
    "StudyID",
    "PerformedProtocolCodeSequence",
    "PerformedSeriesSequence",
]
WANTED_OF_AN_ITEM = [
    "StudyInstanceUID",
    "ReferencedStudySequence",
    "AccessionNumber",
    "RequestedProcedureID",
    "RequestedProcedureDescription",
    "ScheduledProcedureStepID",
    "ScheduledProcedureStepDescription",
    "ScheduledProtocolCodeSequence",
]


def test_a_step_has_all_attributes_that_the_table_wants() -> None:
    step = begun()
    assert sorted(element.keyword for element in step) == sorted(WANTED)
    (item,) = step.ScheduledStepAttributesSequence
    assert sorted(element.keyword for element in item) == sorted(WANTED_OF_AN_ITEM)
    assert (step.PatientName, step.PatientBirthDate, step.Modality) == ("Doe^Jane", None, "CT")
    assert step.PerformedProcedureStepStartDate == "20240131"
    assert step.PerformedProcedureStepStartTime == "103005.250000"
    assert (item.StudyInstanceUID, item.AccessionNumber) == ("1.2.3", "A1")
    assert (item.ScheduledProcedureStepID, item.RequestedProcedureID) == ("S1", "R1")
    assert encode_data_set(step, "1.2.840.10008.1.2")


def test_a_step_that_was_not_scheduled_needs_a_modality_and_a_study() -> None:
    step = step_attributes(
        Dataset(),
        step_id="P1",
        station_ae_title="CT1",
        start=START,
        modality="MR",
        study_instance_uid="1.9",
    )
    assert (step.Modality, step.PatientID) == ("MR", None)
    assert step.ScheduledStepAttributesSequence[0].StudyInstanceUID == "1.9"
    ProcedureSteps().create("1.2", step)
    for known in ({"modality": "MR"}, {"study_instance_uid": "1.9"}):
        with pytest.raises(ValueError, match="Study Instance UID"):
            step_attributes(Dataset(), step_id="P1", station_ae_title="CT1", start=START, **known)


def test_several_scheduled_steps_may_be_performed_as_one() -> None:
    item = scheduled()
    other = Dataset()
    other.ScheduledProcedureStepID = "S2"
    item.ScheduledProcedureStepSequence.append(other)
    item.SpecificCharacterSet = "ISO_IR 100"
    step = step_attributes(item, step_id="P1", station_ae_title="CT1", start=START)
    steps = step.ScheduledStepAttributesSequence
    assert [one.ScheduledProcedureStepID for one in steps] == ["S1", "S2"]
    assert step.SpecificCharacterSet == "ISO_IR 100"


def test_instances_are_gathered_by_series() -> None:
    instances = [instance(number) for number in (1, 4, 2)]
    instances[1].ProtocolName = "Thorax"
    instances[0].SeriesDescription = "Scout"
    one, other = performed_series(instances, retrieve_ae_title="ARCHIVE")
    assert [item.ReferencedSOPInstanceUID for item in one.ReferencedImageSequence] == [
        "1.2.3.1.1",
        "1.2.3.1.2",
    ]
    assert (one.SeriesInstanceUID, one.ProtocolName) == ("1.2.3.1", "Scout")
    assert (other.SeriesInstanceUID, other.ProtocolName) == ("1.2.3.2", "Thorax")
    assert other.ReferencedImageSequence[0].ReferencedSOPClassUID == CT
    assert other.RetrieveAETitle == "ARCHIVE"
    assert performed_series([instance(1)])[0].ProtocolName == "UNKNOWN"


def test_the_end_leaves_series_alone_that_it_does_not_know() -> None:
    assert "PerformedSeriesSequence" not in end_attributes(COMPLETED, END)
    assert end_attributes(DISCONTINUED, END, ()).PerformedSeriesSequence == []
    assert end_attributes(COMPLETED, END).PerformedProcedureStepEndTime == "104500.000000"


class Recorded:
    """Takes what is invoked, and answers with its service."""

    def __init__(self) -> None:
        self.data_sets: list[Dataset] = []

    def n_create(self, sop_class_uid: str, sop_instance_uid: str, attributes: object, /) -> str:
        return self._take("N-CREATE", sop_instance_uid, attributes)

    def n_set(self, sop_class_uid: str, sop_instance_uid: str, modifications: object, /) -> str:
        return self._take("N-SET", sop_instance_uid, modifications)

    def _take(self, service: str, uid: str, data_set: object) -> str:
        assert isinstance(data_set, Dataset)
        self.data_sets.append(data_set)
        return f"{service} {uid}"


class Step(StepUser[str]):
    def _done(self, response: str) -> str:
        return f"{response}, done"


def test_each_method_is_one_operation_on_the_same_instance() -> None:
    recorded = Recorded()
    step = Step(recorded, "1.2")
    reason = Dataset()
    reason.CodeValue = "110513"
    assert step.create(begun()) == "N-CREATE 1.2, done"
    assert step.update(Dataset()) == "N-SET 1.2, done"
    assert step.complete(END, [Dataset()]) == "N-SET 1.2, done"
    assert step.discontinue(END, reason=reason) == "N-SET 1.2, done"
    assert step.discontinue(END) == "N-SET 1.2, done"
    *_, completed, discontinued, without_reason = recorded.data_sets
    assert completed.PerformedProcedureStepStatus == COMPLETED
    assert len(completed.PerformedSeriesSequence) == 1
    assert discontinued.PerformedProcedureStepStatus == DISCONTINUED
    keyword = "PerformedProcedureStepDiscontinuationReasonCodeSequence"
    assert discontinued[keyword].value == [reason]
    assert keyword not in without_reason
