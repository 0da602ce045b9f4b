"""Modality Performed Procedure Step for asyncio: `dul_fsm.scu.procedure_step`, awaited.

step = ProcedureStep(association)
await step.create(step_attributes(item, ...))
await step.complete(datetime.now(), performed_series(images))
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from dul_fsm.aio.association import SCUAssociation
from dul_fsm.association import Message
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


class ProcedureStep(StepUser[Coroutine[Any, Any, Message]]):
    """One performed procedure step; its methods are awaited."""

    def __init__(self, association: SCUAssociation, sop_instance_uid: str | None = None) -> None:
        """`sop_instance_uid`: None for a new one; that of a step to go on with, if it is not."""
        from pydicom.uid import generate_uid

        super().__init__(association, sop_instance_uid or generate_uid())

    async def _done(self, response: Coroutine[Any, Any, Message]) -> Message:
        return done(await response)
