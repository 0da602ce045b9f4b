"""`scu.procedure_step`: a modality reports what it performs, to an SCP of ours."""

from __future__ import annotations

import pytest
from pydicom import Dataset

from dul_fsm.scp import serve
from dul_fsm.scp.procedure_step import ProcedureStepHandler, ProcedureSteps
from dul_fsm.scu import associate
from dul_fsm.scu.procedure_step import (
    MODALITY_PERFORMED_PROCEDURE_STEP,
    OperationFailed,
    ProcedureStep,
    performed_series,
)
from dul_fsm.transports import Loopback
from tests.scp.steps import END, begun
from tests.scp.studies import instance


def test_a_step_is_performed_and_what_comes_after_its_end_is_an_error() -> None:
    store: dict[str, Dataset] = {}
    steps, endpoint = ProcedureSteps(store), Loopback()
    with (
        serve(lambda: ProcedureStepHandler(steps), endpoint),
        associate(endpoint, contexts=[MODALITY_PERFORMED_PROCEDURE_STEP]) as association,
    ):
        step = ProcedureStep(association)
        assert step.create(begun()).status == 0
        assert step.complete(END, performed_series([instance(1)])).status == 0
        with pytest.raises(OperationFailed, match="may no longer be updated") as raised:
            step.discontinue(END)
        other = ProcedureStep(association, "1.2.3.4")
        other.create(begun())
        other.discontinue(END)
    assert (raised.value.status, raised.value.error_id) == (0x0110, 0xA710)
    assert set(store) == {step.sop_instance_uid, "1.2.3.4"}
    assert store[step.sop_instance_uid].PerformedProcedureStepStatus == "COMPLETED"
    assert store["1.2.3.4"].PerformedProcedureStepStatus == "DISCONTINUED"
