"""`scp.worklist`: what is scheduled when a modality asks is what it is told."""

from __future__ import annotations

from pydicom import Dataset

from dul_fsm.dimse import status
from dul_fsm.query import MODALITY_WORKLIST, Worklist
from dul_fsm.scp import serve
from dul_fsm.scp.worklist import WorklistHandler
from dul_fsm.scu import associate
from dul_fsm.scu.query import find
from dul_fsm.services.sop_classes import (
    MODALITY_WORKLIST_FIND,
    STUDY_ROOT_FIND,
    VERIFICATION,
    choose_any,
)
from dul_fsm.transports import Loopback
from tests.scp.studies import identifier

ASKED = identifier("PatientName", "ScheduledProcedureStepSequence.Modality=CT")


def item(name: str, *modalities: str) -> Dataset:
    """A patient, scheduled for each of these."""
    made = Dataset()
    made.PatientName = name
    made.ScheduledProcedureStepSequence = []
    for modality in modalities:
        step = Dataset()
        step.Modality = modality
        made.ScheduledProcedureStepSequence.append(step)
    return made


def test_items_are_asked_for_anew_by_each_query() -> None:
    items = [item("Doe^Jane", "CT"), item("Doe^John", "MR")]
    endpoint = Loopback()
    with (
        serve(lambda: WorklistHandler(lambda: items), endpoint),
        associate(endpoint, contexts=[MODALITY_WORKLIST_FIND, VERIFICATION]) as association,
    ):
        assert [match.PatientName for match in find(association, ASKED, MODALITY_WORKLIST)] == [
            "Doe^Jane"
        ]
        items.append(item("Roe^Richard", "MR", "CT"))
        matches = list(find(association, ASKED, MODALITY_WORKLIST))
        assert [match.PatientName for match in matches] == ["Doe^Jane", "Roe^Richard"]
        assert matches[1].ScheduledProcedureStepSequence[0].Modality == "CT"
        assert association.c_echo().status == 0


def test_a_worklist_may_be_shared() -> None:
    worklist, endpoint = Worklist(), Loopback()
    with (
        serve(lambda: WorklistHandler(worklist), endpoint),
        associate(endpoint, contexts=[MODALITY_WORKLIST_FIND]) as association,
    ):
        assert list(find(association, ASKED, MODALITY_WORKLIST)) == []
        worklist.add(item("Doe^Jane", "CT"))
        assert len(list(find(association, ASKED, MODALITY_WORKLIST))) == 1


def test_a_query_of_another_model_is_refused() -> None:
    class Wide(WorklistHandler):
        choose = staticmethod(choose_any(STUDY_ROOT_FIND))

    endpoint = Loopback()
    with (
        serve(lambda: Wide(Worklist()), endpoint),
        associate(endpoint, contexts=[STUDY_ROOT_FIND]) as association,
    ):
        (response,) = association.c_find(STUDY_ROOT_FIND, ASKED)
        assert response.status == status.SOP_CLASS_NOT_SUPPORTED
