"""What the tests of performed procedure steps share: a scheduled step, and one that begins."""

from __future__ import annotations

from datetime import datetime

from pydicom import Dataset

from dul_fsm.services.procedure_step import step_attributes

START = datetime(2024, 1, 31, 10, 30, 5, 250_000)
END = datetime(2024, 1, 31, 10, 45)


def scheduled() -> Dataset:
    """An item of a modality worklist."""
    step = Dataset()
    step.Modality = "CT"
    step.ScheduledProcedureStepID = "S1"
    step.ScheduledProcedureStepDescription = "Thorax"
    item = Dataset()
    item.PatientName = "Doe^Jane"
    item.PatientID = "42"
    item.PatientSex = "F"
    item.AccessionNumber = "A1"
    item.RequestedProcedureID = "R1"
    item.StudyInstanceUID = "1.2.3"
    item.ScheduledProcedureStepSequence = [step]
    return item


def begun() -> Dataset:
    """The attributes of a step that begins."""
    return step_attributes(scheduled(), step_id="P1", station_ae_title="CT1", start=START)
