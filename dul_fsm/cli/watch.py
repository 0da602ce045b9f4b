"""`--verbose`: each step of the protocol machine and each PDU that left, one line each."""

from __future__ import annotations

import sys
from collections.abc import Callable

from dul_fsm.upper_layer import Observation, PDUSent


def line(observation: Observation) -> str:
    """An observation in one line."""
    if isinstance(observation, PDUSent):
        return f"  sent {observation.pdu_type.name.replace('_', '-')}, {observation.length} bytes"
    event, state = observation.event, observation.state
    if observation.action is None:
        return f"  {state.name} {event.name} {event.meaning}: dropped"
    return (
        f"  {state.name} {event.name} {event.meaning}: "
        f"{observation.action.name}, {observation.next_state.name}"
    )


def to_standard_error(text: str) -> None:
    """Write a line to standard error, now."""
    print(text, file=sys.stderr, flush=True)


def observer(
    verbose: bool, write: Callable[[str], None] = to_standard_error
) -> Callable[[Observation], None] | None:
    """What writes each observation as a line; None, which costs nothing, if not verbose."""

    def observe(observation: Observation) -> None:
        write(line(observation))

    return observe if verbose else None
