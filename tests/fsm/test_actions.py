"""The 28 actions do what Tables 9-6 to 9-9 say, in their order."""

from __future__ import annotations

import pytest

from dul_fsm.fsm import ACTIONS, Action, Effect, Fork, State
from tests import oracle
from tests.fsm import expected

BY_NAME = {action.name: action for action in ACTIONS}


def test_there_are_28_actions_in_the_order_of_the_tables() -> None:
    assert list(BY_NAME) == list(oracle.actions())
    assert len(ACTIONS) == 28


@pytest.mark.parametrize("action", ACTIONS, ids=repr)
def test_effects_their_order_and_the_next_states_are_those_of_the_transcription(
    action: Action,
) -> None:
    rows = expected.outcomes(action.name)
    assert [(outcome.effects, outcome.next_state) for outcome in action.outcomes] == [
        (row.effects, row.next_state) for row in rows
    ]


def test_only_ae_6_and_ar_8_fork_each_on_its_question() -> None:
    forks = {action.name: action.fork for action in ACTIONS if action.fork}
    assert forks == {"AE-6": Fork.ACCEPTABLE, "AR-8": Fork.REQUESTOR}
    for action in ACTIONS:
        assert (action.otherwise is None) == (action.fork is None)


def test_the_answer_yes_comes_first_in_a_fork() -> None:
    cases = {name: [row.case for row in expected.outcomes(name)] for name in ("AE-6", "AR-8")}
    assert cases["AE-6"] == ["acceptable to the provider", "unacceptable to the provider"]
    assert cases["AR-8"] == ["association-requestor", "association-acceptor"]


def test_an_action_closes_the_transport_last_and_leads_to_sta1() -> None:
    for action in ACTIONS:
        for outcome in action.outcomes:
            if Effect.CLOSE_TRANSPORT in outcome.effects:
                assert outcome.effects[-1] is Effect.CLOSE_TRANSPORT
                assert outcome.next_state is State.Sta1


def test_every_effect_is_used() -> None:
    used = {effect for a in ACTIONS for outcome in a.outcomes for effect in outcome.effects}
    assert used == set(Effect)


def test_an_action_is_shown_by_its_name() -> None:
    assert [repr(action) for action in ACTIONS] == list(oracle.actions())
