"""Which time limit runs when: ARTIM as PS3.8 §9.1.5 has it, and ours beside it.

Rules:

- ARTIM is started and stopped by the effects of actions, never here by a state.
- In Sta2 and Sta13 it alone decides how long a connection may last: no limit of ours runs there.
- Elsewhere ours run: some because of the state, one while a PDU arrives, one while bytes wait to
  leave.

Not here: what happens when a limit passes (`provider`), how long each is (`timers`).
"""

from __future__ import annotations

from dul_fsm.fsm import State
from dul_fsm.timers import TimeLimit, TimeLimits, Timers

_STATE_LIMIT = {
    State.Sta4: TimeLimit.CONNECT,
    State.Sta5: TimeLimit.ASSOCIATION,
    State.Sta7: TimeLimit.RELEASE,
    State.Sta10: TimeLimit.RELEASE,
    State.Sta11: TimeLimit.RELEASE,
}
"""Which limit of ours runs because of the state alone."""

_ARTIM_STATES = frozenset((State.Sta2, State.Sta13))


class Deadlines(Timers):
    """The deadlines of one association, below DIMSE."""

    __slots__ = ("_limits",)

    def __init__(self, limits: TimeLimits) -> None:
        super().__init__()
        self._limits = limits

    def start_artim(self, now: float) -> None:
        """Start ARTIM, or start it again."""
        self.start(TimeLimit.ARTIM, now, self._limits.artim)

    def stop_artim(self) -> None:
        """Stop ARTIM if it runs."""
        self.stop(TimeLimit.ARTIM)

    def state_changed(self, before: State, after: State, now: float) -> None:
        """Stop and start the limits of ours that belong to a state."""
        limit = _STATE_LIMIT.get(before)
        if limit is not None:
            self.stop(limit)
        limit = _STATE_LIMIT.get(after)
        if limit is not None:
            self.start(limit, now, getattr(self._limits, limit.name.lower()))
        if after in _ARTIM_STATES or after is State.Sta1:
            self.stop(TimeLimit.PDU)
            self.stop(TimeLimit.WRITE)

    def pdu_arriving(self, state: State, now: float) -> None:
        """A PDU has begun to arrive and is not complete; its time counts from the first call."""
        if state not in _ARTIM_STATES and not self.running(TimeLimit.PDU):
            self.start(TimeLimit.PDU, now, self._limits.pdu)

    def pdu_arrived(self) -> None:
        """The PDU that was arriving is over."""
        self.stop(TimeLimit.PDU)

    def writing(self, state: State, now: float) -> None:
        """Bytes wait to leave, and some have just left or none waited before."""
        if state not in _ARTIM_STATES:
            self.start(TimeLimit.WRITE, now, self._limits.write)

    def written(self) -> None:
        """No bytes wait to leave any more."""
        self.stop(TimeLimit.WRITE)
