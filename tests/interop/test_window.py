"""Several operations at once, proposed to who performs one at a time (PS3.7 §D.3.3.3).

DCMTK and Orthanc do not answer the proposal, and pynetdicom answers, if at all, that one it is.
Nobody else's software here takes more; what ours does with ours is in `tests/aio/test_several.py`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from dul_fsm import serve
from dul_fsm.negotiation import SYNCHRONOUS, Window
from dul_fsm.pdu import PDataTF, PDUType
from dul_fsm.scp.procedure_step import ProcedureStepHandler, ProcedureSteps
from dul_fsm.upper_layer import Observation, PDUSent, Stepped
from tests.interop.archives import Archive, Archives
from tests.interop.ours import call
from tests.interop.pynetdicom_user import use
from tests.interop.rows import SCP, SCU, each_archive, exercises

pytestmark = pytest.mark.interop

SUCCESS = 0x0000
SEVERAL = Window(invoked=8, performed=8)


@each_archive("C-ECHO", "dcmqrscp", "wlmscpfs", "orthanc", "pynetdicom")
def test_who_does_not_answer_a_window_is_asked_one_at_a_time(archive: Archive) -> None:
    ask_at_once(archive)


@exercises("C-ECHO", SCU, "pynetdicom")
def test_who_answers_a_window_of_one_is_asked_one_at_a_time(archives: Archives) -> None:
    ask_at_once(archives.pynetdicom("--window", load=False))


def ask_at_once(archive: Archive) -> None:
    """Let threads of ours invoke at once: each request leaves when there was a response before."""
    turns: list[str] = []

    def observe(observation: Observation) -> None:
        if isinstance(observation, PDUSent) and observation.pdu_type is PDUType.P_DATA_TF:
            turns.append("request")
        elif isinstance(observation, Stepped) and isinstance(observation.pdu, PDataTF):
            turns.append("response")

    with call(archive, window=SEVERAL, observer=observe) as association:
        assert association.window == SYNCHRONOUS
        with ThreadPoolExecutor(8) as pool:
            echoes = [pool.submit(association.c_echo) for _ in range(32)]
            assert [echo.result().status for echo in echoes] == [SUCCESS] * 32
    assert turns == ["request", "response"] * 32


@exercises("N-CREATE", SCP, "pynetdicom")
def test_who_proposes_a_window_and_does_not_use_it_is_served() -> None:
    steps = ProcedureSteps()
    with serve(lambda: ProcedureStepHandler(steps), port=0) as server:
        window, created, *_ = use("mpps", server.port, "--window", 16)
    # As many as `Handler.window` has; of ours it performs none.
    assert window == {"operation": "window", "agreed": [8, 1]}
    assert (created["operation"], created["status"]) == ("N-CREATE", SUCCESS)
