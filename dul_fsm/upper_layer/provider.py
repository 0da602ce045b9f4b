"""The Upper Layer service provider (PS3.8 §7, §9): where symbol, bytes and deadline meet.

Rules:

- Bytes, primitives and the time go in; bytes, indications and a deadline come out. No I/O.
- What a peer sends never raises. A primitive that the state does not allow raises
  `LocalProtocolError` and changes nothing.
- PDUs are taken from the buffer one by one, as the user asks for `next_indication`: the state
  is always the one that the user has been told of.
- Bytes that were received before the end of the transport are judged before it.

Not here: how effects are performed (`protocol`); presentation contexts' meaning, DIMSE, roles
(`negotiation`, `association`); sockets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dul_fsm.errors import LocalProtocolError
from dul_fsm.fsm import Event, State
from dul_fsm.pdu import (
    DEFAULT_MAXIMUM_LENGTH,
    AAssociateAC,
    AAssociateRJ,
    AAssociateRQ,
    encode,
)
from dul_fsm.timers import TimeLimit, TimeLimits
from dul_fsm.upper_layer.outbox import MAXIMUM_FRAGMENT_SENT, Buffer
from dul_fsm.upper_layer.primitives import (
    Indication,
    Observation,
    PDUSent,
    TimeLimitPassed,
)
from dul_fsm.upper_layer.protocol import NO_P_DATA, ProtocolMachine

_USUAL = TimeLimits()
"""What this side waits for unless it is told otherwise."""

_DATA_STATES = frozenset((State.Sta6, State.Sta8))
"""Where this side may send P-DATA (PS3.8 Table 9-10, Evt9)."""


class UpperLayer(ProtocolMachine):
    """One side of one association, as PS3.8 §7 describes the service and §9 the protocol."""

    def __init__(
        self,
        *,
        requestor: bool,
        maximum_length: int = DEFAULT_MAXIMUM_LENGTH,
        time_limits: TimeLimits | None = None,
        observer: Callable[[Observation], None] | None = None,
    ) -> None:
        """Start in Sta1.

        `requestor`: whether this side requests the association. `maximum_length`: the
        Maximum-length-received that this side advertises, bytes, 0 for no limit (PS3.8 §D.1).
        `observer` is told every step and every PDU that has left; None costs nothing.
        """
        self._time_limits = time_limits or _USUAL
        self._maximum_length = maximum_length
        super().__init__(
            requestor=requestor,
            maximum_length=maximum_length,
            time_limits=self._time_limits,
            observer=observer,
        )

    # What is ------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """The state of the protocol machine."""
        return self.core.state

    @property
    def requestor(self) -> bool:
        """Whether this side requests the association."""
        return self.core.requestor

    @property
    def time_limits(self) -> TimeLimits:
        """What this side waits for, and how long."""
        return self._time_limits

    @property
    def deadline(self) -> float | None:
        """When `handle_timeout` is due; None if nothing is waited for with a limit."""
        return self._deadlines.deadline

    @property
    def maximum_length(self) -> int:
        """Maximum-length-received that this side advertises, bytes; 0 for no limit."""
        return self._maximum_length

    @property
    def maximum_fragment(self) -> int:
        """Bytes of the longest fragment that the peer receives: even; 0 before acceptance.

        PS3.8 §D.1, §9.3.5: the peer's maximum length counts 4 bytes of item length, 1 of
        context id and 1 of message control header for the PDV item.
        """
        return self.outbox.maximum_fragment

    @property
    def bytes_retained(self) -> int:
        """Bytes held for what was received."""
        return self._receiver.inbox.capacity

    @property
    def bytes_to_send(self) -> int:
        """Bytes queued that have not left."""
        return self.outbox.length

    def artim_running(self) -> bool:
        """Whether ARTIM runs: if and only if the state is Sta2 or Sta13."""
        return self._deadlines.running(TimeLimit.ARTIM)

    # From the transport -------------------------------------------------------------------------

    def transport_opened(self, now: float) -> None:
        """The connection is open: Evt2 for the requestor, Evt5 for the acceptor."""
        self._now = now
        if self.core.requestor:
            self._step(Event.Evt2)
            return
        if self.state is State.Sta1:
            self._reset()
        self._step(Event.Evt5)

    def transport_closed(self, now: float, text: str = "the connection was closed") -> None:
        """The connection could not be opened, ended, or was lost: Evt17, after what had arrived.

        `text` says which, for people.
        """
        self._now = now
        if not self._ended:
            self._ended = True
            self._end_text = text
            self._settled = False

    def receive_buffer(self) -> memoryview:
        """Where the transport may write the next bytes; never empty.

        Fragments indicated before are invalid from here on.
        """
        receiver = self._receiver
        return receiver.inbox.writable(receiver.needed)

    def buffer_filled(self, count: int, now: float) -> None:
        """`count` bytes were written into `receive_buffer`."""
        self._now = now
        if not self._ended:
            self._receiver.filled(count, self.core.state)
            self._settled = False

    def receive_data(self, data: bytes | bytearray | memoryview, now: float) -> None:
        """Bytes arrived; the same as `receive_buffer` and `buffer_filled`, with a copy."""
        view = memoryview(data)
        while view:
            room = self.receive_buffer()
            count = min(len(room), len(view))
            room[:count] = view[:count]
            self.buffer_filled(count, now)
            view = view[count:]

    def handle_timeout(self, now: float) -> None:
        """Act on every deadline that has passed by `now`; nothing happens if none has."""
        self._now = now
        while (limit := self._deadlines.expire(now)) is not None:
            if limit is TimeLimit.ARTIM:
                self._step(Event.Evt18)
            else:
                self.pass_time_limit(limit, now)

    def pass_time_limit(self, limit: TimeLimit, now: float) -> None:
        """A limit of our own has passed: abort as a user would, and say which it was.

        Raises `LocalProtocolError` where there is nothing to abort.
        """
        self._now = now
        self._tell(TimeLimitPassed(limit))
        try:
            self._step(Event.Evt15)
        except LocalProtocolError:
            self._indications.pop()
            raise

    # From the user (PS3.8 §7) -------------------------------------------------------------------

    def a_associate_request(self, request: AAssociateRQ, now: float) -> None:
        """A-ASSOCIATE request (§7.1): opens the transport, then sends `request`."""
        self._now = now
        if not self.core.requestor:
            raise LocalProtocolError("this side accepts associations; it cannot request one")
        if self.state is State.Sta1:
            encoded = encode(request)  # ValueError now, while nothing has happened
            self._reset()
            self._request, self._encoded = request, encoded
        self._step(Event.Evt1)

    def a_associate_accept(self, answer: AAssociateAC, now: float) -> None:
        """A-ASSOCIATE response, accepted (§7.1). The echoed bytes 11-74 are filled in here."""
        self._now = now
        # PS3.8 Table 9-17: bytes 11-74 are those of the request.
        self._respond(Event.Evt7, answer, replace(answer, echo=self._echo))

    def a_associate_reject(self, answer: AAssociateRJ, now: float) -> None:
        """A-ASSOCIATE response, rejected (§7.1)."""
        self._now = now
        self._respond(Event.Evt8, answer, answer)

    def p_data_request(self, context_id: int, control: int, fragment: Buffer, now: float) -> None:
        """P-DATA request (§7.6) with one PDV.

        `control`: bit 0 command, bit 1 last fragment (Annex E.2). `fragment` is not copied: it
        must not change until it has left. At most `maximum_fragment` bytes, on a presentation
        context that was accepted, else `ValueError`.
        """
        self._now = now
        if self.core.state in _DATA_STATES and (
            # PS3.8 §7.6.1: data travels on accepted presentation contexts only.
            context_id not in self._receiver.accepted_ids
            or control & ~0b11
            or len(fragment) > self.outbox.maximum_fragment
        ):
            raise self._refusal(context_id, control, len(fragment))
        self._p_data = (context_id, control, fragment)
        try:
            self._step(Event.Evt9)
        finally:
            # Whoever lent the fragment may want to close what it is a view of.
            self._p_data = NO_P_DATA

    def _refusal(self, context_id: int, control: int, length: int) -> ValueError:
        """What is wrong with a P-DATA request."""
        if context_id not in self._receiver.accepted_ids:
            return ValueError(f"presentation context {context_id} was not accepted")
        if control & ~0b11:
            return ValueError(f"message control header {control:#x} has bits beyond 0 and 1")
        return ValueError(
            f"a fragment of {length} bytes is longer than the "
            f"{self.outbox.maximum_fragment} that the peer receives"
        )

    def a_release_request(self, now: float) -> None:
        """A-RELEASE request (§7.2)."""
        self._now = now
        self._step(Event.Evt11)

    def a_release_response(self, now: float) -> None:
        """A-RELEASE response (§7.2)."""
        self._now = now
        self._step(Event.Evt14)

    def a_abort_request(self, now: float) -> None:
        """A-ABORT request (§7.3). Raises `LocalProtocolError` where there is nothing to abort."""
        self._now = now
        self._step(Event.Evt15)

    def _respond(
        self, event: Event, answer: AAssociateAC | AAssociateRJ, pdu: AAssociateAC | AAssociateRJ
    ) -> None:
        if self.state is State.Sta3:
            self._encoded = encode(pdu)  # ValueError now, while nothing has happened
        self._pdu = answer
        try:
            self._step(event)
        finally:
            self._pdu = None

    # To the transport and the user --------------------------------------------------------------

    def data_to_send(self, limit: int = MAXIMUM_FRAGMENT_SENT) -> list[Buffer]:
        """The next bytes for the transport, as buffers in order; empty if there are none.

        About `limit` bytes; at least one whole buffer. Report what was taken with `data_sent`.
        """
        return self.outbox.buffers(limit)

    def data_sent(self, count: int, now: float) -> None:
        """The transport took the first `count` bytes of `data_to_send`."""
        self._now = now
        gone = self.outbox.sent(count)
        if not self.outbox.length:
            self._deadlines.written()
        elif count:
            self._deadlines.writing(self.core.state, now)
        if self._observer is not None:
            for pdu in gone:
                self._observer(PDUSent(pdu.pdu_type, pdu.size))

    def next_indication(self) -> Indication | None:
        """The next thing to tell the user or ask of the transport, in order; None if none yet."""
        indications = self._indications
        while not indications:
            if self._settled:
                return None
            # One PDU, or the transport's end, happens; if neither is there, all is settled.
            receiver, state = self._receiver, self.core.state
            if state is State.Sta1:
                self._settled = True
            elif (arrival := receiver.next(state)) is not None:
                self._deadlines.pdu_arrived()
                self._receive(arrival)
                inbox = receiver.inbox  # not by `in_pdu`: that is a call for each
                self._settled = inbox.start == inbox.end and not self._ended
            elif self._ended:
                # The end of the stream inside a PDU is the end of the transport: Evt17, not Evt19.
                self.outbox.clear()
                self._step(Event.Evt17)
            else:
                self._settled = True
                if receiver.in_pdu:
                    self._deadlines.pdu_arriving(state, self._now)
        return indications.popleft()
