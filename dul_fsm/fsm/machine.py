"""The machine: Table 9-10 compiled once into one `transitions.Machine`, shared by everybody.

`step(core, event)` is the only door, and the only place where a state changes. It runs the
action of the cell and hands back that action and its effects, for the caller to perform in
order. A `Core` is what the machine knows of one association: its state and the answers to the
two questions that fork.

`transitions` holds the table: its `Event` is a row, its `Transition` one outcome of a cell, its
`Condition` a question. What happens when one is triggered is written out here, in `Row`, `Way` and
`Question`. The library's own methods also make an `EventData`, look for callbacks before, during
and after, and log each of these; here nobody registers a callback or reads the log, and for each
PDU that was half of what it cost to send it. What they decide is the same:
`tests/fsm/test_stock_machine.py` shows it, cell by cell.

Blank cells (PS3.8 says nothing of them; 124 of 247) are sorted by what the event is:

- a primitive that the local user may not issue now raises `LocalProtocolError`;
- a transport event or a timer that comes late is dropped: no effect, same state.

A peer cannot reach a blank cell: while a transport connection is open every PDU, unrecognized
ones included, has an action.

Not here: bytes, timers and what effects mean (`upper_layer`). No other module imports
`transitions`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import transitions
from transitions import Machine, MachineError
from transitions.core import Condition

from dul_fsm.errors import LocalProtocolError
from dul_fsm.fsm.actions import Action, Effect, Fork
from dul_fsm.fsm.names import Event, Kind, State
from dul_fsm.fsm.table import TABLE, Table


class Step(NamedTuple):
    """What one event did: the action that ran, and its effects in order."""

    action: Action | None
    """None when the event was dropped (a late transport event or timer)."""
    effects: tuple[Effect, ...]
    """To be performed in this order by the caller."""


DROPPED = Step(None, ())


class Core:
    """What the machine knows of one association."""

    __slots__ = ("acceptable", "ran", "requestor", "state")

    def __init__(self, *, requestor: bool) -> None:
        self.state = State.Sta1
        """Changed by `step` only."""
        self.requestor = requestor
        """Whether this side requests the association: the question of AR-8."""
        self.acceptable = True
        """Whether the provider finds the A-ASSOCIATE-RQ acceptable: the question of AE-6."""
        self.ran = DROPPED
        """The last step."""


# The three things that a `transitions` machine is made of ---------------------------------------


class Question(Condition):
    """What a forking action asks of a core, and the answer that is wanted."""

    def check(self, core: Any) -> bool:
        """Whether the answer is the wanted one."""
        return self.func(core) == self.target  # type: ignore[operator]  # callable, as compiled here


class Way(transitions.Transition):
    """One outcome of a cell: a step, and the state that it leads to."""

    condition_cls = Question

    def __init__(self, source: str, dest: str | None, *rest: Any, step: Step) -> None:
        """`dest` is None for an internal transition, which neither leaves its state nor enters."""
        super().__init__(source, dest, *rest)  # type: ignore[arg-type]  # typed as if never None
        self.step = step
        self.next_state = State[dest or source]

    def execute(self, core: Any) -> bool:
        """Go this way; False, and nothing has happened, if a question was answered otherwise."""
        for question in self.conditions:
            if not question.check(core):
                return False
        core.ran = self.step
        core.state = self.next_state
        return True


class Row(transitions.Event):
    """One event in all states."""

    def trigger(self, core: Any) -> bool:
        """Go the way that is open from the core's state. Raises `MachineError` if there is none."""
        for way in self.transitions.get(core.state._name_, ()):
            if way.execute(core):
                return True
        raise MachineError(f"no way for {self.name} from {core.state}")


class TableMachine(Machine):
    """A machine of these."""

    event_cls = Row
    transition_cls = Way


# Compiling and stepping -------------------------------------------------------------------------


def _acceptable(core: Core) -> bool:
    return core.acceptable


def _requestor(core: Core) -> bool:
    return core.requestor


_QUESTIONS = {Fork.ACCEPTABLE: _acceptable, Fork.REQUESTOR: _requestor}


def compile_machine(table: Table = TABLE) -> Machine:
    """Turn a table into a `transitions` machine without a model; any number of cores share it."""
    machine = TableMachine(
        model=None, states=State, initial=State.Sta1, auto_transitions=False, send_event=True
    )
    for (event, state), action in table.items():
        for way in _ways(state, action) if action else ():
            machine.add_transition(event.name, state, **way)
    return machine


def _ways(state: State, action: Action) -> Iterator[dict[str, Any]]:
    """One transition for each outcome of the cell's action."""
    question = _QUESTIONS[action.fork] if action.fork else None
    answers = ("conditions", "unless")
    for outcome, answer in zip(action.outcomes, answers, strict=False):
        yield {
            # An action that stays where it is is internal: the state is neither left nor entered.
            "dest": None if outcome.next_state is state else outcome.next_state,
            "step": Step(action, outcome.effects),
            answer: question,
        }


MACHINE = compile_machine()
"""The one machine."""


def step(core: Core, event: Event, machine: Machine = MACHINE) -> Step:
    """Let `event` happen to `core`.

    Returns the action that ran and its effects. Raises `LocalProtocolError` for a primitive
    that the state does not allow; the state is then unchanged.
    """
    state = core.state
    try:
        machine.events[event._name_].trigger(core)
    except MachineError:
        if event.kind is Kind.PRIMITIVE:
            raise LocalProtocolError(
                f"{event.meaning} ({event.name}) is not allowed in {state.name} "
                f"({state.meaning}): the cell is blank in PS3.8 Table 9-10"
            ) from None
        return DROPPED
    return core.ran
