"""`query.worklist`: scheduled procedure steps, asked for by a modality (PS3.4 Annex K)."""

from __future__ import annotations

from pydicom import Dataset
from pydicom.sequence import Sequence

from dul_fsm.query import Worklist
from tests.query.samples import data_set, identifier


def item(patient: str, *modalities: str) -> Dataset:
    steps = [
        data_set(Modality=modality, ScheduledProcedureStepStartDate="20200101")
        for modality in modalities
    ]
    return data_set(
        PatientID=patient,
        PatientName=f"Ä^{patient}",
        SpecificCharacterSet="ISO_IR 100",
        ScheduledProcedureStepSequence=Sequence(steps),
    )


def test_a_step_is_found_by_its_modality_and_day() -> None:
    worklist = Worklist()
    worklist.add(item("1", "CT"))
    worklist.add(item("2", "MR"))
    asked = identifier(
        "PatientName",
        "ScheduledProcedureStepSequence.Modality=MR",
        "ScheduledProcedureStepSequence.ScheduledProcedureStepStartDate=20200101-20200102",
    )
    (answer,) = worklist.find(asked)
    assert answer.PatientName == "Ä^2"
    assert answer.SpecificCharacterSet == "ISO_IR 100"
    (step,) = answer.ScheduledProcedureStepSequence
    assert (step.Modality, step.ScheduledProcedureStepStartDate) == ("MR", "20200101")
    assert "RetrieveAETitle" not in answer


def test_each_step_of_an_item_is_an_answer() -> None:
    worklist = Worklist()
    whole = item("1", "CT", "MR", "CT")
    worklist.add(whole)
    assert len(worklist) == 3
    answers = list(worklist.find(identifier("ScheduledProcedureStepSequence.Modality=CT")))
    assert [len(one.ScheduledProcedureStepSequence) for one in answers] == [1, 1]
    assert len(whole.ScheduledProcedureStepSequence) == 3


def test_an_item_without_a_step_is_an_item() -> None:
    worklist = Worklist()
    worklist.add(item("1"))
    worklist.add(data_set(PatientID="2"))
    assert len(list(worklist.find(identifier("PatientID")))) == 2


def test_an_item_can_be_removed_while_others_are_told() -> None:
    worklist = Worklist()
    numbers = [worklist.add(item(str(number), "CT")) for number in range(3)]
    answers = worklist.find(identifier("PatientID"))
    assert next(answers).PatientID == "0"
    worklist.remove(numbers[2])
    worklist.remove(99)
    assert len(worklist) == 2
    assert [answer.PatientID for answer in worklist.find(identifier("PatientID"))] == ["0", "1"]
