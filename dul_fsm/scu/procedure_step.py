"""Modality Performed Procedure Step as a service class user (PS3.4 Annex F).

    step = ProcedureStep(association)
    step.create(step_attributes(item, step_id="1", station_ae_title="CT1", start=datetime.now()))
    step.complete(datetime.now(), performed_series(images))

Not here: data sets and what is invoked (`services.procedure_step`), the SCP (`scp`).
"""

from __future__ import annotations

from dul_fsm.association import Message
from dul_fsm.scu.association import SCUAssociation
from dul_fsm.services.procedure_step import (
    MODALITY_PERFORMED_PROCEDURE_STEP,
    StepUser,
    performed_series,
    step_attributes,
)
from dul_fsm.services.results import OperationFailed, done

__all__ = [
    "MODALITY_PERFORMED_PROCEDURE_STEP",
    "OperationFailed",
    "ProcedureStep",
    "performed_series",
    "step_attributes",
]


class ProcedureStep(StepUser[Message]):
    """One performed procedure step, over an association that has a context for its SOP Class."""

    def __init__(self, association: SCUAssociation, sop_instance_uid: str | None = None) -> None:
        """`sop_instance_uid`: None for a new one; that of a step to go on with, if it is not."""
        from pydicom.uid import generate_uid

        super().__init__(association, sop_instance_uid or generate_uid())

    def _done(self, response: Message) -> Message:
        return done(response)
