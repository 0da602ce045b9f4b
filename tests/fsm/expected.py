"""What a step should be, put together from `spec/` alone.

The words of spec/actions.txt are translated into effects here, and nowhere is a table of the
package asked.
"""

from __future__ import annotations

from typing import NamedTuple

from dul_fsm.fsm import Effect, Event, State
from tests import oracle

EFFECT: dict[str, Effect] = {
    "request transport connection": Effect.OPEN_TRANSPORT,
    "accept transport connection": Effect.ACCEPT_TRANSPORT,
    "close transport connection": Effect.CLOSE_TRANSPORT,
    "start ARTIM": Effect.START_ARTIM,
    "start or restart ARTIM": Effect.RESTART_ARTIM,
    "stop ARTIM": Effect.STOP_ARTIM,
    "send A-ASSOCIATE-RQ": Effect.SEND_A_ASSOCIATE_RQ,
    "send A-ASSOCIATE-AC": Effect.SEND_A_ASSOCIATE_AC,
    "send A-ASSOCIATE-RJ": Effect.SEND_A_ASSOCIATE_RJ,
    "send P-DATA-TF": Effect.SEND_P_DATA_TF,
    "send A-RELEASE-RQ": Effect.SEND_A_RELEASE_RQ,
    "send A-RELEASE-RP": Effect.SEND_A_RELEASE_RP,
    "send A-ABORT source 0": Effect.SEND_A_ABORT_AS_USER,
    "send A-ABORT source 2": Effect.SEND_A_ABORT_AS_PROVIDER,
    # AA-7 names no source; see choices/aa-7-source-and-reason.md.
    "send A-ABORT": Effect.SEND_A_ABORT_AS_PROVIDER,
    "indicate A-ASSOCIATE": Effect.INDICATE_A_ASSOCIATE,
    "confirm A-ASSOCIATE accepted": Effect.CONFIRM_A_ASSOCIATE_ACCEPTED,
    "confirm A-ASSOCIATE rejected": Effect.CONFIRM_A_ASSOCIATE_REJECTED,
    "indicate P-DATA": Effect.INDICATE_P_DATA,
    "indicate A-RELEASE": Effect.INDICATE_A_RELEASE,
    "indicate A-RELEASE collision": Effect.INDICATE_A_RELEASE_COLLISION,
    "confirm A-RELEASE": Effect.CONFIRM_A_RELEASE,
    "indicate A-P-ABORT": Effect.INDICATE_A_P_ABORT,
}

NOTHING = "ignore PDU"
BY_SOURCE = ("indicate A-ABORT", "indicate A-P-ABORT")
"""What AA-3 indicates, by the source in the PDU; one effect that looks at the PDU."""


class Expected(NamedTuple):
    """One row of actions.txt in the words of the package."""

    action: str
    case: str
    effects: tuple[Effect, ...]
    next_state: State


def outcomes(action: str) -> list[Expected]:
    """The outcomes of an action; the two of AA-3, which differ in the PDU only, are one."""
    found: list[Expected] = []
    for case, next_state, words in oracle.actions()[action]:
        effects = tuple(
            Effect.INDICATE_ABORT_BY_SOURCE
            if action == "AA-3" and word in BY_SOURCE
            else EFFECT[word]
            for word in words
            if word != NOTHING
        )
        row = Expected(action, "" if action == "AA-3" else case, effects, State[f"Sta{next_state}"])
        if row not in found:
            found.append(row)
    return found


def step(event: Event, state: State, *, requestor: bool, acceptable: bool) -> Expected | None:
    """What `event` does in `state`; None where the standard leaves the cell blank."""
    action = oracle.state_table()[event.value, state.value]
    if action is None:
        return None
    role = "association-requestor" if requestor else "association-acceptor"
    verdict = f"{'acceptable' if acceptable else 'unacceptable'} to the provider"
    (found,) = (row for row in outcomes(action) if row.case in ("", role, verdict))
    return found


def states(role: str) -> list[State]:
    """The states that a side in this role ("requestor", "acceptor") can be in."""
    rows = oracle.states().items()
    return [State[f"Sta{number}"] for number, row in rows if row["role"] in (role, "both")]
