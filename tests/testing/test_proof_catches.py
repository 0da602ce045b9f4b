"""The proof is worth something: four mistakes that real implementations have made are caught by it.

Each is made in memory, and the model check must fail with a counterexample that can be read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from unittest.mock import patch

import pytest

from dul_fsm.fsm import TABLE, Action, Effect, Event, State, compile_machine, step
from dul_fsm.fsm.actions import AA_6, AE_2, AR_8, Outcome
from dul_fsm.testing.model import Counterexample, Model
from dul_fsm.upper_layer import protocol
from dul_fsm.upper_layer.receiver import Arrival


@contextmanager
def cell(event: Event, state: State, action: Action) -> Iterator[None]:
    """Table 9-10 with another action in one cell."""
    machine = compile_machine({**TABLE, (event, state): action})
    with patch.object(protocol, "step", partial(step, machine=machine)):
        yield


@contextmanager
def version_compared_with_one() -> Iterator[None]:
    """The protocol version compared for equality, where only bit 0 may be tested."""
    receive = protocol.ProtocolMachine._receive

    def compare(self: protocol.ProtocolMachine, arrival: Arrival) -> None:
        version = getattr(arrival.pdu, "protocol_version", None)
        if version is not None and version != 1:
            arrival = replace(arrival, pdu=replace(arrival.pdu, protocol_version=0))  # type: ignore[type-var]
        receive(self, arrival)

    with patch.object(protocol.ProtocolMachine, "_receive", compare):
        yield


ARTIM_IN_STA5 = replace(
    AE_2, outcome=Outcome((*AE_2.outcome.effects, Effect.START_ARTIM), State.Sta5)
)
WHOEVER_RELEASED_FIRST = Action("AR-8", AR_8.outcome)  # both have, so both go to Sta9

MISTAKES: dict[str, tuple[Callable[[], object], str, str]] = {
    "Evt6 in Sta13 is AA-6": (
        lambda: cell(Event.Evt6, State.Sta13, AA_6),
        "an A-ASSOCIATE-RQ in Sta13 was not answered by an A-ABORT",
        "AA-6",
    ),
    "AR-8 branches on who released first": (
        lambda: cell(Event.Evt12, State.Sta7, WHOEVER_RELEASED_FIRST),
        "in a release collision the association-acceptor answered before the association-requestor",
        "AR-8",
    ),
    "ARTIM is armed in Sta5": (
        lambda: cell(Event.Evt2, State.Sta4, ARTIM_IN_STA5),
        "ARTIM runs in Sta5",
        "AE-2",
    ),
    "the protocol version is compared with 1": (
        version_compared_with_one,
        "protocol version 0003H led to a rejection",
        "AE-6",
    ),
}


def check() -> list[Counterexample]:
    """What the model check finds, users and network first undisturbed, then not."""
    calm = Model(capacity=2, disturbed=False).run()
    return calm.counterexamples or Model(capacity=2).run().counterexamples


def test_without_a_mistake_there_is_nothing_to_find() -> None:
    assert check() == []


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_caught_with_a_counterexample_that_can_be_read(mistake: str) -> None:
    make, what, action = MISTAKES[mistake]
    with make():  # type: ignore[attr-defined]
        (found,) = check()
    text = str(found)
    assert what in found.text
    assert "1  requestor" in text  # the moves, numbered
    assert action in text  # and in the ladder the action that went wrong
    assert max(map(len, text.splitlines())) <= 120
