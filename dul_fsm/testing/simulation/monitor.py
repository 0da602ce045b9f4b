"""What must hold of one side after every step, and of the session when it is over.

Not here: how a violation is shown (`simulate`).
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from dul_fsm.association import (
    Aborted,
    AssociateRequested,
    Association,
    Event,
    Origin,
    Rejected,
    Released,
    RequestReceived,
    ResponseReceived,
)
from dul_fsm.association.association import SEND_AHEAD
from dul_fsm.fsm import Event as Step
from dul_fsm.fsm import Kind, State
from dul_fsm.pdu import PDUType
from dul_fsm.testing.simulation.users import Book, Invocation, expected
from dul_fsm.upper_layer import CloseTransport, Observation, Stepped

End = Rejected | Released | Aborted

_ARTIM: Final = frozenset((State.Sta2, State.Sta13))
_NO_TRANSPORT: Final = frozenset((State.Sta1, State.Sta4))

_T = PDUType
_AFTER: Final[dict[int, frozenset[int]]] = {
    _T.A_ASSOCIATE_RQ: frozenset((_T.P_DATA_TF, _T.A_RELEASE_RQ, _T.A_RELEASE_RP, _T.A_ABORT)),
    _T.A_ASSOCIATE_AC: frozenset((_T.P_DATA_TF, _T.A_RELEASE_RQ, _T.A_RELEASE_RP, _T.A_ABORT)),
    _T.A_ASSOCIATE_RJ: frozenset((_T.A_ABORT,)),
    _T.P_DATA_TF: frozenset((_T.P_DATA_TF, _T.A_RELEASE_RQ, _T.A_RELEASE_RP, _T.A_ABORT)),
    _T.A_RELEASE_RQ: frozenset((_T.A_RELEASE_RP, _T.A_ABORT)),
    _T.A_RELEASE_RP: frozenset((_T.A_ABORT,)),
    _T.A_ABORT: frozenset(),
}
"""Which PDU may leave a side after which (PS3.8 Table 9-10): nothing follows an A-ABORT, and
nothing but one follows the last PDU before Sta13."""

RETAINED_FACTOR: Final = 64
RETAINED_LEAST: Final = 4096
"""Bytes held for what was received: at most so many times as much, or this."""

SEND_AHEAD_MOST: Final = 2 * SEND_AHEAD + 4096
"""Bytes that wait to leave: what is cut ahead, one fragment more, and headers."""


class Monitor:
    """One side's."""

    def __init__(self, side: int, problems: list[str], tally: Counter[str]) -> None:
        """`problems` and `tally` are the session's."""
        self.side = side
        self.name = ("requestor", "acceptor")[side]
        self.ends: list[End] = []
        """The events that told the end."""
        self.known = False
        """The user knows of an association."""
        self.rejected = False
        """The user rejected it."""
        self.left: list[int] = []
        """Types of the PDUs that have begun to leave; a run of P-DATA-TF counts as one."""
        self.peer_maximum = 0
        """Longest P-DATA-TF that the peer receives, bytes; 0 for no limit, or not known."""
        self.received = 0
        """Bytes received."""
        self._state = State.Sta1
        self._problems = problems
        self._tally = tally

    def wrong(self, text: str) -> None:
        """Something that must not be."""
        self._problems.append(f"{self.name}: {text}")

    def observe(self, observation: Observation) -> None:
        """The machine took a step, or a PDU has left."""
        if not isinstance(observation, Stepped):
            return
        event, before, action = observation.event, observation.state, observation.action
        after = observation.next_state
        if before is not self._state:
            self.wrong(f"{before.name} follows {self._state.name}")
        self._state = after
        if event is Step.Evt8:
            self.rejected = True
        if action is not None:
            self._tally[f"cell {event.name}/{before.name}"] += 1
            if all(outcome.next_state is not after for outcome in action.outcomes):
                self.wrong(f"{action.name} led from {before.name} to {after.name}")
        elif event.kind is Kind.PDU:
            self.wrong(f"unspecified reception: {event.name} in {before.name}")

    def pdu_left(self, kind: int, length: int) -> None:
        """The header of a PDU has left, as read off the wire."""
        self._tally[f"PDU {kind}"] += 1
        if self.left:
            allowed = _AFTER.get(self.left[-1], frozenset())
        elif self.side:
            allowed = frozenset((_T.A_ASSOCIATE_AC, _T.A_ASSOCIATE_RJ, _T.A_ABORT))
        else:
            allowed = frozenset((_T.A_ASSOCIATE_RQ, _T.A_ABORT))
        if kind not in allowed:
            self.wrong(f"sent PDU {kind:02X}H after {[f'{k:02X}H' for k in self.left]}")
        if kind == _T.P_DATA_TF and self.peer_maximum and length > self.peer_maximum:
            self.wrong(f"sent {length} bytes to a peer that receives {self.peer_maximum}")
        if not self.left or self.left[-1] != kind:
            self.left.append(kind)
        elif kind == _T.A_ABORT:
            self.wrong("sent two A-ABORT PDUs")

    def told(self, event: Event) -> None:
        """The user was told something."""
        if isinstance(event, End):
            self.ends.append(event)
            if len(self.ends) > 1:
                self.wrong(f"told the end twice: {self.ends}")
            if not self.known:
                self.wrong(f"told the end of what it knew nothing of: {event}")
        elif self.ends and not isinstance(event, CloseTransport):
            self.wrong(f"told {type(event).__name__} after the end")
        elif isinstance(event, AssociateRequested):
            self.known = True

    def check(self, association: Association, connected: bool, now: float) -> None:
        """After a step, when the user has been told all there is."""
        upper = association._upper
        state = upper.state
        if state is not self._state:
            self.wrong(f"{state.name} without a step, after {self._state.name}")
        if upper.artim_running() != (state in _ARTIM):
            self.wrong(
                f"ARTIM {'runs' if upper.artim_running() else 'does not run'} in {state.name}"
            )
        if connected != (state not in _NO_TRANSPORT):
            self.wrong(f"{state.name} with its transport {'open' if connected else 'closed'}")
        if upper.bytes_retained > max(RETAINED_LEAST, RETAINED_FACTOR * self.received):
            self.wrong(f"{upper.bytes_retained} bytes retained, {self.received} received")
        if upper.bytes_to_send > SEND_AHEAD_MOST:
            self.wrong(f"{upper.bytes_to_send} bytes wait to leave")
        over = state in (State.Sta1, State.Sta13)
        if self.known and over and not self.ends and not self.rejected:
            self.wrong(f"in {state.name} and not told of the end")

    def finish(self, association: Association, told: list[str]) -> None:
        """The session is over."""
        if len(self.ends) != (self.known and not self.rejected):
            self.wrong(f"told the end {len(self.ends)} times")
        if told.count("closed") != 1 or told[-1] != "closed":
            self.wrong(f"the handler was told {told}")
        if len(told) > 2 or (len(self.ends) == 1 and not isinstance(self.ends[0], Rejected)) != (
            len(told) == 2
        ):
            self.wrong(f"the handler was told {told}, the user {self.ends}")
        if association.operations.any:
            self.wrong("operations are under way in an association that is over")
        if association.deadline is not None:
            self.wrong("a deadline runs in an association that is over")

    def blame(self, peer: Monitor) -> None:
        """Whether the peer did what this side was told; if nobody else put PDUs on the wire."""
        for end in self.ends:
            wanted: frozenset[int] = frozenset()
            match end:
                case Rejected():
                    wanted = frozenset((_T.A_ASSOCIATE_RJ,))
                case Released():
                    wanted = frozenset((_T.A_RELEASE_RQ, _T.A_RELEASE_RP))
                case Aborted(Origin.PEER_USER | Origin.PEER_PROVIDER):
                    wanted = frozenset((_T.A_ABORT,))
                case Aborted(Origin.LOCAL_PROVIDER):
                    self.wrong(f"found fault with a peer that made none: {end.text}")
            if wanted and not wanted & set(peer.left):
                self.wrong(f"told {end}, and the peer sent {[f'{k:02X}H' for k in peer.left]}")


def check_request(event: RequestReceived, invoker: int, book: Book) -> str:
    """Whether a request that a performer was told of was made; what is wrong, or ""."""
    message_id = getattr(event.message.command, "message_id", 0)
    invocation = book.invocations.get((invoker, message_id))
    if invocation is None:
        return f"request {message_id} was never made"
    return ""


def check_response(event: ResponseReceived, invocation: Invocation | None, data: bytes) -> str:
    """Whether a response is the one that the operation awaits; what is wrong, or ""."""
    if invocation is None or event.request.message_id != invocation.message_id:
        return f"a response to request {event.request.message_id}, which does not wait for one"
    answered = getattr(event.message.command, "message_id_being_responded_to", None)
    if answered != invocation.message_id:
        return f"a response to {answered} was taken for one to {invocation.message_id}"
    if not event.final:
        invocation.pending.append(data)
        if invocation.pending != invocation.matches()[: len(invocation.pending)]:
            return f"pending responses {invocation.pending}"
        return ""
    outcome = event.message.status
    invocation.final.append(outcome)
    if len(invocation.final) > 1:
        return f"two final responses: {invocation.final}"
    if outcome not in expected(invocation):
        return f"status {outcome:04X}H for {invocation.operation}"
    # What has been acknowledged is safe now, not later.
    kind, size = invocation.operation.kind, invocation.operation.size
    committed, came = len(invocation.committed), len(invocation.pending)
    if outcome == 0 and kind == "store" and committed != 1:
        return f"acknowledged image {invocation.uid} is committed {committed} times"
    if outcome == 0 and kind == "find" and came != size:
        return f"{came} of {size} matches came"
    return ""


def check_book(book: Book) -> list[str]:
    """What is wrong with what the two sides know of their operations, when all is over."""
    problems = []
    for invocation in book.invocations.values():
        uid, committed = invocation.uid, invocation.committed
        if invocation.performed > 1:
            problems.append(f"{uid}: performed {invocation.performed} times")
        if len(committed) > 1:
            problems.append(f"image {uid}: delivered {len(committed)} times")
        if any(kept != invocation.data for kept in committed):
            problems.append(
                f"image {uid}: changed, {len(invocation.data)} bytes sent, "
                f"{[len(kept) for kept in committed]} kept"
            )
        failed = invocation.tortured or invocation.operation.outcome != "ok"
        if invocation.final and not invocation.performed and not failed:
            problems.append(f"{uid}: answered and never performed")
    if book.sinks:
        problems.append(f"{len(book.sinks)} sinks were neither committed nor discarded")
    return problems
