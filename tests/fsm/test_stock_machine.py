"""`fsm.machine` triggers as `transitions` itself does: the same table, compiled for both.

Ours has classes of its own for events, transitions and conditions, which leave out what the
library does for callbacks and for its log. Here the stock classes get the same cells, with the
action as a callback, and must decide as ours do everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Any

import pytest
from transitions import EventData, Machine, MachineError

from dul_fsm.errors import LocalProtocolError
from dul_fsm.fsm import MACHINE, TABLE, Core, Event, Fork, Kind, State, Step, step
from dul_fsm.fsm.actions import Action


def answer(name: str, data: EventData) -> bool:
    found: bool = getattr(data.model, name)
    return found


def run(what: Step, data: EventData) -> None:
    data.model.ran = what  # type: ignore[attr-defined]


QUESTIONS = {
    Fork.ACCEPTABLE: partial(answer, "acceptable"),
    Fork.REQUESTOR: partial(answer, "requestor"),
}


def ways(action: Action) -> Iterator[dict[str, Any]]:
    question = QUESTIONS[action.fork] if action.fork else None
    for outcome, wanted in zip(action.outcomes, ("conditions", "unless"), strict=False):
        ran = partial(run, Step(action, outcome.effects))
        yield {"dest": outcome.next_state, "before": ran, wanted: question}


def stock_machine() -> Machine:
    machine = Machine(
        model=None, states=State, initial=State.Sta1, auto_transitions=False, send_event=True
    )
    for (event, state), action in TABLE.items():
        for way in ways(action) if action else ():
            machine.add_transition(event.name, state, **way)
    return machine


STOCK = stock_machine()


@pytest.mark.parametrize("event", Event, ids=[event.name for event in Event])
def test_the_stock_classes_run_the_same_action_and_lead_to_the_same_state(event: Event) -> None:
    for state, requestor, acceptable in product(State, (True, False), (True, False)):
        ours, theirs = (Core(requestor=requestor) for _ in range(2))
        for core in (ours, theirs):
            core.state, core.acceptable = state, acceptable
        try:
            went = STOCK.events[event.name].trigger(theirs)
        except MachineError:
            with pytest.raises(MachineError, match=f"{event.name} from State.{state.name}\\b"):
                MACHINE.events[event.name].trigger(ours)
            if event.kind is Kind.PRIMITIVE:
                with pytest.raises(LocalProtocolError):
                    step(ours, event)
            else:
                assert step(ours, event) == (None, ())
            assert theirs.ran == ours.ran
        else:
            assert MACHINE.events[event.name].trigger(ours) is went is True
            assert ours.ran == theirs.ran
        assert ours.state is theirs.state
