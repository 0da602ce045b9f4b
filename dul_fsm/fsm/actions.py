"""The 28 actions of PS3.8 Tables 9-6 to 9-9, as data.

An action is its effects in order and the state that it leads to. Two actions fork: AE-6 on
whether the provider finds the request acceptable, AR-8 on who requested the *association* (not
on who sent its A-RELEASE-RQ first).

Effects are names. They know neither a PDU's bytes nor a socket; whoever steps the machine
performs them. An action calls nothing, waits for nothing and cannot fail.

Not here: bytes, timers, what a user is told (`upper_layer`).
"""

from __future__ import annotations

from enum import Enum

from dul_fsm.fsm.names import State
from dul_fsm.value import value


class Effect(Enum):
    """One thing that an action does."""

    __hash__ = object.__hash__

    OPEN_TRANSPORT = "issue TRANSPORT CONNECT request"
    ACCEPT_TRANSPORT = "issue TRANSPORT CONNECT response"
    CLOSE_TRANSPORT = "close the transport connection"

    START_ARTIM = "start ARTIM"
    RESTART_ARTIM = "start ARTIM, or restart it if running"
    STOP_ARTIM = "stop ARTIM if running"

    SEND_A_ASSOCIATE_RQ = "send A-ASSOCIATE-RQ"
    SEND_A_ASSOCIATE_AC = "send A-ASSOCIATE-AC"
    SEND_A_ASSOCIATE_RJ = "send A-ASSOCIATE-RJ"
    SEND_P_DATA_TF = "send P-DATA-TF"
    SEND_A_RELEASE_RQ = "send A-RELEASE-RQ"
    SEND_A_RELEASE_RP = "send A-RELEASE-RP"
    SEND_A_ABORT_AS_USER = "send A-ABORT, source service-user"
    SEND_A_ABORT_AS_PROVIDER = "send A-ABORT, source service-provider"

    INDICATE_A_ASSOCIATE = "A-ASSOCIATE indication"
    CONFIRM_A_ASSOCIATE_ACCEPTED = "A-ASSOCIATE confirmation (accepted)"
    CONFIRM_A_ASSOCIATE_REJECTED = "A-ASSOCIATE confirmation (rejected)"
    INDICATE_P_DATA = "P-DATA indication"
    INDICATE_A_RELEASE = "A-RELEASE indication"
    INDICATE_A_RELEASE_COLLISION = "A-RELEASE indication (release collision)"
    CONFIRM_A_RELEASE = "A-RELEASE confirmation"
    INDICATE_ABORT_BY_SOURCE = "A-ABORT indication (source 0) or A-P-ABORT indication (source 2)"
    INDICATE_A_P_ABORT = "A-P-ABORT indication"


class Fork(Enum):
    """The question that a forking action asks."""

    ACCEPTABLE = "is the A-ASSOCIATE-RQ acceptable to the service-provider?"
    REQUESTOR = "is this side the association-requestor?"


@value
class Outcome:
    """What one run of an action does and where it leads."""

    effects: tuple[Effect, ...]
    """In the order of the standard."""
    next_state: State
    """The state after the action."""


@value
class Action:
    """One action of PS3.8 Tables 9-6 to 9-9."""

    name: str
    """As printed in the standard: "AE-1"."""
    outcome: Outcome
    """What it does; for a fork, what it does if the answer is yes."""
    fork: Fork | None = None
    """The question, for AE-6 and AR-8 only."""
    otherwise: Outcome | None = None
    """For a fork, what the action does if the answer is no."""

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """Every outcome, the answer "yes" first."""
        return (self.outcome,) if self.otherwise is None else (self.outcome, self.otherwise)

    def __repr__(self) -> str:
        return self.name


def _action(name: str, *effects: Effect, to: State) -> Action:
    return Action(name, Outcome(effects, to))


_E = Effect

# Association establishment, PS3.8 Table 9-6 -----------------------------------------------------
AE_1 = _action("AE-1", _E.OPEN_TRANSPORT, to=State.Sta4)
AE_2 = _action("AE-2", _E.SEND_A_ASSOCIATE_RQ, to=State.Sta5)
AE_3 = _action("AE-3", _E.CONFIRM_A_ASSOCIATE_ACCEPTED, to=State.Sta6)
# The requestor, not the acceptor, closes after a rejection.
AE_4 = _action("AE-4", _E.CONFIRM_A_ASSOCIATE_REJECTED, _E.CLOSE_TRANSPORT, to=State.Sta1)
AE_5 = _action("AE-5", _E.ACCEPT_TRANSPORT, _E.START_ARTIM, to=State.Sta2)
AE_6 = Action(
    "AE-6",
    Outcome((_E.STOP_ARTIM, _E.INDICATE_A_ASSOCIATE), State.Sta3),
    Fork.ACCEPTABLE,
    # PS3.8 §7.1.2.6: the user is told nothing of a request that its provider rejects.
    Outcome((_E.STOP_ARTIM, _E.SEND_A_ASSOCIATE_RJ, _E.START_ARTIM), State.Sta13),
)
AE_7 = _action("AE-7", _E.SEND_A_ASSOCIATE_AC, to=State.Sta6)
AE_8 = _action("AE-8", _E.SEND_A_ASSOCIATE_RJ, _E.START_ARTIM, to=State.Sta13)

# Data transfer, PS3.8 Table 9-7 -----------------------------------------------------------------
DT_1 = _action("DT-1", _E.SEND_P_DATA_TF, to=State.Sta6)
DT_2 = _action("DT-2", _E.INDICATE_P_DATA, to=State.Sta6)

# Association release, PS3.8 Table 9-8 -----------------------------------------------------------
AR_1 = _action("AR-1", _E.SEND_A_RELEASE_RQ, to=State.Sta7)
AR_2 = _action("AR-2", _E.INDICATE_A_RELEASE, to=State.Sta8)
AR_3 = _action("AR-3", _E.CONFIRM_A_RELEASE, _E.CLOSE_TRANSPORT, to=State.Sta1)
AR_4 = _action("AR-4", _E.SEND_A_RELEASE_RP, _E.START_ARTIM, to=State.Sta13)
AR_5 = _action("AR-5", _E.STOP_ARTIM, to=State.Sta1)
AR_6 = _action("AR-6", _E.INDICATE_P_DATA, to=State.Sta7)
AR_7 = _action("AR-7", _E.SEND_P_DATA_TF, to=State.Sta8)
AR_8 = Action(
    "AR-8",
    Outcome((_E.INDICATE_A_RELEASE_COLLISION,), State.Sta9),
    Fork.REQUESTOR,
    Outcome((_E.INDICATE_A_RELEASE_COLLISION,), State.Sta10),
)
AR_9 = _action("AR-9", _E.SEND_A_RELEASE_RP, to=State.Sta11)
AR_10 = _action("AR-10", _E.CONFIRM_A_RELEASE, to=State.Sta12)

# Association abort, PS3.8 Table 9-9 -------------------------------------------------------------
AA_1 = _action("AA-1", _E.SEND_A_ABORT_AS_USER, _E.RESTART_ARTIM, to=State.Sta13)
AA_2 = _action("AA-2", _E.STOP_ARTIM, _E.CLOSE_TRANSPORT, to=State.Sta1)
AA_3 = _action("AA-3", _E.INDICATE_ABORT_BY_SOURCE, _E.CLOSE_TRANSPORT, to=State.Sta1)
AA_4 = _action("AA-4", _E.INDICATE_A_P_ABORT, to=State.Sta1)
AA_5 = _action("AA-5", _E.STOP_ARTIM, to=State.Sta1)
AA_6 = _action("AA-6", to=State.Sta13)
# The standard names no source for AA-7; no user asked for it, so it is the provider's.
AA_7 = _action("AA-7", _E.SEND_A_ABORT_AS_PROVIDER, to=State.Sta13)
AA_8 = _action(
    "AA-8", _E.SEND_A_ABORT_AS_PROVIDER, _E.INDICATE_A_P_ABORT, _E.START_ARTIM, to=State.Sta13
)

ACTIONS: tuple[Action, ...] = (
    *(AE_1, AE_2, AE_3, AE_4, AE_5, AE_6, AE_7, AE_8),
    *(DT_1, DT_2),
    *(AR_1, AR_2, AR_3, AR_4, AR_5, AR_6, AR_7, AR_8, AR_9, AR_10),
    *(AA_1, AA_2, AA_3, AA_4, AA_5, AA_6, AA_7, AA_8),
)
