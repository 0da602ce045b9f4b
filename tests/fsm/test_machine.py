"""The compiled machine, and its only door, do what Table 9-10 says, blank cells included."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from transitions import Machine

from dul_fsm.errors import LocalProtocolError
from dul_fsm.fsm import MACHINE, TABLE, Core, Event, Kind, State, compile_machine, step
from dul_fsm.fsm.actions import AA_1, AE_1
from dul_fsm.fsm.machine import DROPPED, Row, Way
from tests import oracle
from tests.fsm import expected

CELLS = [(event, state) for event in Event for state in State]
FILLED = [cell for cell in CELLS if oracle.state_table()[cell[0].value, cell[1].value]]
BLANK = [cell for cell in CELLS if cell not in FILLED]
ROLES_AND_ANSWERS = list(product((True, False), (True, False)))


def ids(cells: list[tuple[Event, State]]) -> list[str]:
    return [f"{event.name}-{state.name}" for event, state in cells]


def core_in(state: State, *, requestor: bool, acceptable: bool = True) -> Core:
    core = Core(requestor=requestor)
    core.state = state
    core.acceptable = acceptable
    return core


# The compiled object -----------------------------------------------------------------------------


def compiled(machine: Machine, event: Event, state: State) -> list[Any]:
    found: list[Any] = machine.events[event.name].transitions.get(state.name, [])
    return found


def test_the_machine_has_the_13_states_and_the_19_events_and_no_others() -> None:
    assert list(MACHINE.states) == [state.name for state in State]
    assert set(MACHINE.events) == {event.name for event in Event}
    assert MACHINE.initial == State.Sta1.name
    assert [state.value for state in MACHINE.states.values()] == list(State)


def test_the_machine_is_one_of_transitions_with_rows_and_ways_of_ours() -> None:
    assert isinstance(MACHINE, Machine)
    assert {type(event) for event in MACHINE.events.values()} == {Row}
    ways = [way for cell in CELLS for way in compiled(MACHINE, *cell)]
    assert {type(way) for way in ways} == {Way}


def test_the_machine_has_no_model_no_automatic_transitions_and_ignores_nothing() -> None:
    assert MACHINE.models == []
    assert MACHINE.auto_transitions is False
    assert not MACHINE.ignore_invalid_triggers
    assert MACHINE.send_event is True
    assert not MACHINE.has_queue
    for state in MACHINE.states.values():
        assert state.on_enter == state.on_exit == []
        assert not state.ignore_invalid_triggers
        assert not state.final
    for name in ("before_state_change", "after_state_change", "prepare_event", "finalize_event"):
        assert getattr(MACHINE, name) == []
    assert MACHINE.on_exception == MACHINE.on_final == []


def test_no_transition_has_more_than_one_source() -> None:
    for event in Event:
        for source, found in MACHINE.events[event.name].transitions.items():
            assert {transition.source for transition in found} <= {source}
    count = sum(len(compiled(MACHINE, *cell)) for cell in CELLS)
    assert count == 123 + 2  # each cell one, AE-6 and AR-8 two


@pytest.mark.parametrize(("event", "state"), FILLED, ids=ids(FILLED))
def test_a_filled_cell_compiles_to_one_transition_for_each_outcome(
    event: Event, state: State
) -> None:
    action = oracle.state_table()[event.value, state.value]
    assert action is not None
    rows = expected.outcomes(action)
    transitions = compiled(MACHINE, event, state)
    assert len(transitions) == len(rows)
    for index, (transition, row) in enumerate(zip(transitions, rows, strict=True)):
        assert transition.source == state.name
        # A cell that stays where it is is internal: nothing is left or entered.
        stays = row.next_state is state
        assert transition.dest == (None if stays else row.next_state.name)
        assert transition.prepare == transition.before == transition.after == []
        assert transition.next_state is row.next_state
        ran = transition.step
        assert ran.action is not None
        assert (ran.action.name, ran.effects) == (action, row.effects)
        questions = [
            (condition.func.__name__, condition.target) for condition in transition.conditions
        ]
        wanted = {"AE-6": "_acceptable", "AR-8": "_requestor"}.get(action)
        assert questions == ([(wanted, index == 0)] if wanted else [])


@pytest.mark.parametrize(("event", "state"), BLANK, ids=ids(BLANK))
def test_a_blank_cell_compiles_to_nothing(event: Event, state: State) -> None:
    assert compiled(MACHINE, event, state) == []


def test_another_table_compiles_to_another_machine() -> None:
    other = compile_machine({**TABLE, (Event.Evt15, State.Sta13): AA_1})
    core = core_in(State.Sta13, requestor=True)
    assert step(core, Event.Evt15, other) == (AA_1, AA_1.outcome.effects)
    with pytest.raises(LocalProtocolError):
        step(core, Event.Evt15)


# Stepping ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("requestor", "acceptable"), ROLES_AND_ANSWERS)
@pytest.mark.parametrize(("event", "state"), FILLED, ids=ids(FILLED))
def test_a_step_runs_the_action_of_its_cell(
    event: Event, state: State, requestor: bool, acceptable: bool
) -> None:
    core = core_in(state, requestor=requestor, acceptable=acceptable)
    row = expected.step(event, state, requestor=requestor, acceptable=acceptable)
    ran = step(core, event)
    assert row is not None
    assert ran.action is TABLE[event, state]
    assert ran.effects == row.effects
    assert core.state is row.next_state
    assert core.ran is ran


PRIMITIVES = [cell for cell in BLANK if cell[0].kind is Kind.PRIMITIVE]
LATE = [cell for cell in BLANK if cell[0].kind in (Kind.TRANSPORT, Kind.TIMER)]
IMPOSSIBLE = [cell for cell in BLANK if cell[0].kind is Kind.PDU]


def test_blank_cells_are_of_three_kinds() -> None:
    assert (len(PRIMITIVES), len(LATE), len(IMPOSSIBLE)) == (72, 36, 16)


@pytest.mark.parametrize("requestor", [True, False])
@pytest.mark.parametrize(("event", "state"), PRIMITIVES, ids=ids(PRIMITIVES))
def test_a_primitive_in_a_blank_cell_is_refused_by_name_and_changes_nothing(
    event: Event, state: State, requestor: bool
) -> None:
    core = core_in(state, requestor=requestor)
    with pytest.raises(LocalProtocolError) as refusal:
        step(core, event)
    for part in (event.name, event.meaning, f"{state.name} ", state.meaning, "PS3.8 Table 9-10"):
        assert part in str(refusal.value)
    assert refusal.value.__cause__ is None
    assert refusal.value.__suppress_context__
    assert core.state is state
    assert core.ran is DROPPED


@pytest.mark.parametrize("requestor", [True, False])
@pytest.mark.parametrize(("event", "state"), [*LATE, *IMPOSSIBLE], ids=ids([*LATE, *IMPOSSIBLE]))
def test_what_comes_late_in_a_blank_cell_is_dropped(
    event: Event, state: State, requestor: bool
) -> None:
    core = core_in(state, requestor=requestor)
    assert step(core, event) == (None, ())
    assert core.state is state


def walk(requestor: bool) -> dict[State, set[Event]]:
    """The states that stepping reaches in a role, each with the events that could come there."""
    first = Event.Evt1 if requestor else Event.Evt5
    seen: dict[State, set[Event]] = {}
    pending = [State.Sta1]
    while pending:
        state = pending.pop()
        if state in seen:
            continue
        seen[state] = set()
        for event, acceptable in product(Event, (True, False)):
            if state is State.Sta1 and event is not first:
                continue
            core = core_in(state, requestor=requestor, acceptable=acceptable)
            try:
                ran = step(core, event)
            except LocalProtocolError:
                continue
            if ran.action is not None:
                seen[state].add(event)
                pending.append(core.state)
    return seen


@pytest.mark.parametrize("role", ["requestor", "acceptor"])
def test_each_role_reaches_its_states_and_no_pdu_can_meet_a_blank_cell_there(role: str) -> None:
    reached = walk(role == "requestor")
    assert set(reached) == set(expected.states(role))
    for state, events in reached.items():
        pdus = {event for event in Event if event.kind is Kind.PDU}
        open_there = oracle.states()[state.value]["transport"] == "open"
        assert (pdus <= events) if open_there else not (pdus & events)


def test_any_number_of_cores_share_the_machine() -> None:
    cores = [Core(requestor=True) for _ in range(100)]
    for core in cores[::2]:
        assert step(core, Event.Evt1) == (AE_1, AE_1.outcome.effects)
    assert [core.state for core in cores] == [State.Sta4, State.Sta1] * 50
    assert MACHINE.models == []
