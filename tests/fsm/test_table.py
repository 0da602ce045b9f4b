"""The grid is Table 9-10, cell for cell."""

from __future__ import annotations

from collections import Counter

import pytest

import dul_fsm.fsm.table as module
from dul_fsm.fsm import ACTIONS, TABLE, Event, Kind, State
from tests import oracle

CELLS = [(event, state) for event in Event for state in State]


@pytest.mark.parametrize(("event", "state"), CELLS, ids=[f"{e.name}-{s.name}" for e, s in CELLS])
def test_the_cell_is_that_of_the_transcription(event: Event, state: State) -> None:
    action = TABLE[event, state]
    assert (action and action.name) == oracle.state_table()[event.value, state.value]
    leads_to = tuple(outcome.next_state.value for outcome in action.outcomes) if action else ()
    assert leads_to == oracle.next_state_table()[event.value, state.value]


def test_there_are_247_cells_123_filled_and_124_blank() -> None:
    assert list(TABLE) == CELLS
    assert Counter(action is None for action in TABLE.values()) == {False: 123, True: 124}


def test_every_action_stands_in_some_cell_and_no_other_does() -> None:
    assert {action for action in TABLE.values() if action} == set(ACTIONS)


def test_blank_cells_of_a_pdu_are_those_where_no_transport_connection_is_open() -> None:
    blank = {s for (e, s), action in TABLE.items() if e.kind is Kind.PDU and action is None}
    assert blank == {State.Sta1, State.Sta4}
    for event in Event:
        if event.kind is Kind.PDU:
            assert {s for s in State if TABLE[event, s] is None} == blank


def test_the_grid_in_the_source_can_be_laid_beside_the_standard() -> None:
    assert module.__file__ is not None
    with open(module.__file__, encoding="utf-8") as source:
        rows = [line.rstrip("\n") for line in source if line.startswith("    Evt")]
    assert [row.split(":")[0].strip() for row in rows] == [event.name for event in Event]
    assert {len(row) for row in rows} == {90}
