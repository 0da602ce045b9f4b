"""`scu.query`: matches as data sets, retrievals as numbers, failures as errors."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import Dataset

from dul_fsm.association import Message
from dul_fsm.dimse import status
from dul_fsm.query import MODALITY_WORKLIST, PATIENT_ROOT, InformationModel
from dul_fsm.scp import serve
from dul_fsm.scu import associate
from dul_fsm.scu.query import OperationFailed, Progress, find, get, move
from dul_fsm.services.handler import Handler, Matches, Retrieval
from dul_fsm.services.sop_classes import STUDY_ROOT_FIND, VERIFICATION, choose_any
from dul_fsm.transports import Loopback
from tests.scp.studies import CT, STUDY, Archive, identifier, instance

STUDIES = identifier("QueryRetrieveLevel=STUDY", "StudyInstanceUID")
THE_STUDY = identifier("QueryRetrieveLevel=STUDY", f"StudyInstanceUID={STUDY}")


class Finds(Handler):
    """Has a million matches, or a failure after the second one."""

    choose = staticmethod(choose_any(VERIFICATION, lambda uid: True))

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.given = 0
        self.closed_early = False

    def c_find_requested(self, message: Message) -> int | Matches:
        return self._matches()

    def _matches(self) -> Matches:
        try:
            for number in range(1_000_000):
                if self.fails and number == 2:
                    raise ValueError("a bug")
                match = Dataset()
                match.InstanceNumber = number
                self.given += 1
                yield match
        except GeneratorExit:
            self.closed_early = True
            raise


def test_find_gives_matches_as_they_come_and_cancels_when_it_is_left() -> None:
    handler, endpoint = Finds(), Loopback()
    with (
        serve(lambda: handler, endpoint),
        associate(endpoint, contexts=[STUDY_ROOT_FIND, VERIFICATION]) as association,
    ):
        matches = find(association, STUDIES)
        assert [next(matches).InstanceNumber for _ in range(3)] == [0, 1, 2]
        matches.close()
        assert association.c_echo().status == status.SUCCESS
    assert handler.closed_early
    assert handler.given < 1_000_000


def test_find_raises_what_the_peer_answers_after_the_matches_before_it() -> None:
    endpoint = Loopback()
    with (
        serve(lambda: Finds(fails=True), endpoint),
        associate(endpoint, contexts=[STUDY_ROOT_FIND]) as association,
    ):
        matches = find(association, STUDIES)
        taken = [next(matches).InstanceNumber for _ in range(2)]
        with pytest.raises(OperationFailed) as raised:
            next(matches)
        assert association.established
    assert (taken, raised.value.status) == ([0, 1], status.PROCESSING_FAILURE)


@pytest.mark.parametrize("root", [PATIENT_ROOT, MODALITY_WORKLIST], ids=lambda root: root.name)
def test_a_model_says_which_class_is_used(root: InformationModel) -> None:
    asked: list[str] = []

    class Empty(Handler):
        choose = staticmethod(choose_any(lambda uid: True))

        def c_find_requested(self, message: Message) -> int:
            asked.append(message.context.abstract_syntax)
            return status.SUCCESS

        def c_get_requested(self, message: Message) -> Retrieval:
            asked.append(message.context.abstract_syntax)
            return Retrieval(())

    endpoint = Loopback()
    contexts = [uid for uid in (root.find, root.get) if uid]
    with (
        serve(Empty, endpoint),
        associate(endpoint, contexts=contexts) as association,
    ):
        assert list(find(association, STUDIES, root)) == []
        if root.get:
            assert get(association, STUDIES, root).ok
    assert asked == contexts


def test_get_and_move_tell_their_progress(tmp_path: Path) -> None:
    there, endpoint = Loopback(), Loopback()
    kept = Archive(tmp_path / "kept", {"THERE": there})
    kept.put(instance(1), instance(2))
    here, moved = Archive(tmp_path / "here"), Archive(tmp_path / "moved")
    told: list[Progress] = []
    contexts = [CT, PATIENT_ROOT.get, PATIENT_ROOT.move]
    asked = identifier("QueryRetrieveLevel=PATIENT", "PatientID=42")
    with (
        serve(kept, endpoint),
        serve(moved, there),
        associate(
            endpoint, contexts=contexts, roles={CT: (False, True)}, handler=here()
        ) as association,
    ):
        assert get(association, asked, PATIENT_ROOT, told.append).completed == 2
        assert move(association, asked, "THERE", PATIENT_ROOT, told.append).completed == 2
    assert [(one.remaining, one.completed) for one in told] == [(1, 1), (1, 1)]
    assert here.uids() == moved.uids() == kept.uids()
