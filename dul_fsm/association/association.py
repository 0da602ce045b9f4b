"""An association as an Application Entity sees it: negotiation and DIMSE over the upper layer.

Rules:

- Still no I/O: the same four kinds of method as `UpperLayer`, in the same order. Call what came
  from the network, then `next_event` until None, then `data_to_send` until empty, then wait for
  bytes until `deadline`.
- A message being sent is pulled, fragment by fragment, as the transport takes them.
- A data set being received is handed on, fragment by fragment, and never collected here.
- Whatever ends the association is told exactly once, as `Rejected`, `Released` or `Aborted`.

Implements PS3.7 §6, §8 and Annex D over `upper_layer`. Not here: what an operation does
(`services`), who waits and how (`drivers`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, cast

from dul_fsm.association import events
from dul_fsm.association.events import Event, Message, Origin
from dul_fsm.association.exchange import Exchange, outgoing
from dul_fsm.association.operations import Operation
from dul_fsm.dimse import (
    CCancelRQ,
    OutgoingMessage,
    Request,
    Response,
    SourceLike,
    StatusCategory,
    category,
)
from dul_fsm.dimse.sources import lay_in_place
from dul_fsm.errors import ContextNotAccepted, LocalProtocolError, MessageError
from dul_fsm.fsm import State
from dul_fsm.negotiation import SYNCHRONOUS, AcceptedContext, Window, agree, agree_window
from dul_fsm.pdu import (
    DEFAULT_MAXIMUM_LENGTH,
    PDV,
    AAssociateAC,
    AAssociateRJ,
    AAssociateRQ,
    describe_reject,
)
from dul_fsm.timers import TimeLimit, TimeLimits
from dul_fsm.upper_layer import (
    AbortIndication,
    AssociateConfirmation,
    AssociateIndication,
    Buffer,
    CloseTransport,
    Observation,
    OpenTransport,
    PDataIndication,
    ProviderAbortIndication,
    RareIndication,
    ReleaseConfirmation,
    ReleaseIndication,
    UpperLayer,
)

SEND_AHEAD: Final = (1 << 19) + (1 << 12)
"""Bytes cut from a message ahead of the transport, for one large write: four PDUs of 128 KiB, with
their headers and a command set before them. Half of it would be two writes and twice the turns."""

SEND_AHEAD_OF_SLOWER: Final = 1 << 17
"""The same for a transport that once did not take all it was given: the peer is the slower end, and
what a write brings it should be what it is about to read."""

_ABORTABLE = frozenset(State) - {State.Sta1, State.Sta2, State.Sta13}
_OVER = frozenset((State.Sta1, State.Sta13))
_SENDING = frozenset((State.Sta6, State.Sta8))
"""Where this side may send P-DATA (PS3.8 Table 9-10, Evt9)."""


class Association:
    """One side of one association."""

    def __init__(
        self,
        *,
        requestor: bool,
        maximum_length: int = DEFAULT_MAXIMUM_LENGTH,
        time_limits: TimeLimits | None = None,
        observer: Callable[[Observation], None] | None = None,
    ) -> None:
        """Parameters as those of `UpperLayer`."""
        self._upper = UpperLayer(
            requestor=requestor,
            maximum_length=maximum_length,
            time_limits=time_limits,
            observer=observer,
        )
        self._core = self._upper.core
        self._outbox = self._upper.outbox
        self._limits = self._upper.time_limits
        self._events: deque[Event] = deque()
        self._exchange = Exchange(self._events)
        self.operations = self._exchange.operations
        """The operations under way."""
        # What waits until every message is sent: our release request, or our answer to the peer's.
        self._release: Callable[[float], None] | None = None
        self._now = 0.0
        self._since = 0.0  # when something last happened, for the idle limit
        self._heard = 0.0  # when the peer last sent something that was no response
        self._begun = False
        self._in_place = False
        self._ended = False
        self._answer_release = False  # once the peer has answered ours
        self._left = 0  # bytes that the transport took
        self._ahead = SEND_AHEAD  # bytes cut ahead of it
        self.request: AAssociateRQ | None = None
        """The A-ASSOCIATE-RQ, sent or received."""
        self.answer: AAssociateAC | None = None
        """The A-ASSOCIATE-AC, sent or received."""
        self.window: Window = SYNCHRONOUS
        """How many operations both sides agreed to have under way at once."""

    # What is ------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """The state of the protocol machine, PS3.8 Table 9-10."""
        return self._core.state

    @property
    def requestor(self) -> bool:
        """Whether this side requested the association."""
        return self._core.requestor

    @property
    def time_limits(self) -> TimeLimits:
        """What this side waits for, and how long."""
        return self._limits

    @property
    def maximum_length(self) -> int:
        """Maximum-length-received that this side advertises, bytes; 0 for no limit."""
        return self._upper.maximum_length

    @property
    def established(self) -> bool:
        """Whether operations can be invoked and performed now."""
        return self._core.state is State.Sta6

    @property
    def can_respond(self) -> bool:
        """Whether responses can be sent: still so once the peer has requested the release."""
        return not self._ended and self._core.state in _SENDING

    @property
    def sending(self) -> bool:
        """Whether something is to leave: bytes, a message not wholly cut, a release after it."""
        if self._exchange.outgoing or self._release is not None:
            return True
        return self._outbox.length > 0

    @property
    def ended(self) -> bool:
        """Whether the association is over, or never came about and will not."""
        return self._ended or (self._begun and self._core.state in _OVER)

    @property
    def contexts(self) -> dict[int, AcceptedContext]:
        """The accepted presentation contexts by id."""
        return self._exchange.contexts

    @property
    def idle(self) -> bool:
        """Whether the machine is in Sta1: nothing is connected, or nothing any more."""
        return self._core.state is State.Sta1

    @property
    def deadline(self) -> float | None:
        """When `handle_timeout` is due; None if nothing is waited for with a limit."""
        below, (_, mine) = self._upper.deadline, self._watched
        if mine is None:
            return below
        return mine if below is None or mine < below else below

    def context_for(
        self, sop_class_uid: str, transfer_syntax: str | None = None, *, as_scp: bool = False
    ) -> AcceptedContext:
        """The accepted context on which this side may invoke operations of a SOP Class.

        `as_scp`: those that the SCP invokes, N-EVENT-REPORT (PS3.7 §10.1.1). Raises
        `ContextNotAccepted`, saying what was accepted instead.
        """
        return self._exchange.context_for(sop_class_uid, transfer_syntax, as_scp=as_scp)

    # From the transport -------------------------------------------------------------------------

    def transport_opened(self, now: float, *, in_place: bool = False) -> None:
        """The connection is open: connected (requestor) or accepted (acceptor).

        `in_place`: it looks at no byte of what it sends; see `dimse.Source`.
        """
        self._in_place = in_place
        self._now = now
        self._upper.transport_opened(now)
        self._begun = True

    def transport_closed(self, now: float, text: str = "the connection was closed") -> None:
        """The connection could not be opened, ended or was lost; `text` says which."""
        self._now = now
        self._upper.transport_closed(now, text)

    def receive_buffer(self) -> memoryview:
        """Where the transport may write the next bytes; invalidates fragments handed out."""
        return self._upper.receive_buffer()

    def buffer_filled(self, count: int, now: float) -> None:
        """`count` bytes were written into `receive_buffer`."""
        self._now = now
        self._upper.buffer_filled(count, now)

    def receive_data(self, data: bytes | bytearray | memoryview, now: float) -> None:
        """Bytes arrived; with a copy, for those who have them already."""
        self._now = now
        self._upper.receive_data(data, now)

    def handle_timeout(self, now: float) -> None:
        """Act on every deadline that has passed by `now`; nothing happens if none has."""
        self._now = now
        self._upper.handle_timeout(now)
        limit, due = self._watched
        if due is not None and due <= now:
            self._upper.pass_time_limit(limit, now)

    # From the Application Entity ----------------------------------------------------------------

    def send_associate_request(self, request: AAssociateRQ, now: float) -> None:
        """Request the association; the transport is asked to open first.

        Raises `LocalProtocolError` if it was requested before: the next one is another object.
        """
        if self._begun:
            raise LocalProtocolError("one Association is one association: make another")
        self._now = now
        self._upper.a_associate_request(request, now)
        self._begun = True
        self.request = request

    def send_associate_accept(self, answer: AAssociateAC, now: float) -> None:
        """Accept the association that was requested (see `negotiation.build_answer`)."""
        self._now = now
        self._upper.a_associate_accept(answer, now)
        self._establish(answer)

    def send_associate_reject(self, result: int, source: int, reason: int, now: float) -> None:
        """Reject it: the codes of PS3.8 Table 9-21."""
        self._now = now
        self._upper.a_associate_reject(AAssociateRJ(result, source, reason), now)
        self._end(None)

    def send_request(
        self, context: AcceptedContext, command: Request, data: SourceLike | None = None
    ) -> Operation:
        """Send a DIMSE request, with its data set if it has one.

        `data`: the encoded data set in the context's transfer syntax, as bytes-like, an iterable
        of bytes-like or a `dimse.Source`; pulled as the transport takes it. Raises
        `LocalProtocolError` when the association is not established, or is about to be released,
        or as many operations as negotiated await their response; `ContextNotAccepted` for a
        context that was not accepted; `ValueError` or `TypeError` for what cannot be sent. Then
        nothing has happened.
        """
        if not self.established or self._release is not None:
            raise LocalProtocolError(f"{command.name} needs an established association")
        if self.contexts.get(context.context_id) != context:
            raise ContextNotAccepted(f"{context} is not a context of this association")
        message = outgoing(context, command, data)
        if self._in_place:
            lay_in_place(data)
        operation = self.operations.invoke(context, command, message)
        self._exchange.put(message)
        self._since = self._now
        return operation

    def lends(self, operation: Operation) -> bool:
        """Whether bytes of a request's data set are still to leave: its owner may not touch it.

        So it may be after an early response. Never once the association has ended and the last
        `data_to_send` was reported.
        """
        end = operation.message.end
        if self._ended:
            return self._outbox.length > 0
        return end is None or self._left < end

    def make_response(self, request: Message, command: Response) -> OutgoingMessage:
        """A response without a data set, for `send_response` to send: made while nobody waits.

        Raises `ValueError` or `TypeError` for what cannot be sent.
        """
        return outgoing(request.context, command, None)

    def send_response(
        self,
        request: Message,
        command: Response,
        data: SourceLike | None = None,
        *,
        made: OutgoingMessage | None = None,
    ) -> None:
        """Send a response to a request that is being performed; a final one ends the operation.

        `made`: what `make_response` has made of it, if it has; to be sent once.
        Raises `LocalProtocolError` if no such request awaits one, or nothing can be sent any more;
        `ValueError` or `TypeError` for what cannot be sent. Then nothing has happened.
        """
        performing, message_id = self.operations.performing, command.message_id_being_responded_to
        if performing.get(message_id) is not request:
            raise LocalProtocolError(f"no request with Message ID {message_id} awaits a response")
        if not self.can_respond:
            raise LocalProtocolError(f"{command.name} cannot be sent in {self.state.name}")
        final = category(command.status) is not StatusCategory.PENDING
        self._exchange.put(made or outgoing(request.context, command, data))
        if final:
            del performing[message_id]
        self._since = self._now

    def send_cancel(self, context: AcceptedContext, message_id: int) -> None:
        """Send a C-CANCEL for a request of ours (PS3.7 §9.3.2.3); its final response still comes.

        Nothing is sent for a request that has its final response: the two crossed.
        """
        if message_id in self.operations.invoked and self.established and not self._release:
            self._exchange.put(outgoing(context, CCancelRQ(message_id), None))

    def send_release_request(self, now: float) -> None:
        """Request the release, after what is still being sent (PS3.8 §7.2).

        Raises `LocalProtocolError` if the association is not established, or this was called
        before.
        """
        self._now = now
        if not self.established or self._release is not None:
            raise LocalProtocolError(
                f"A-RELEASE request in {self.state.name}: it needs an established association"
            )
        self._after_sending(self._upper.a_release_request)

    def send_release_response(self, now: float) -> None:
        """Answer a release request, after what is still being sent.

        Raises `LocalProtocolError` if there is none to answer.
        """
        self._now = now
        if self.state is State.Sta10:
            # PS3.8 §7.2.2.7: in a collision the association-requestor answers first.
            self._answer_release = True
        elif self._release is not None:
            raise LocalProtocolError("the release request was answered before")
        else:
            self._after_sending(self._release_response)

    def send_abort(self, now: float, text: str = "aborted by the local user") -> None:
        """Abort. Nothing happens where there is nothing to abort."""
        self._now = now
        if self.state in _ABORTABLE:
            self._upper.a_abort_request(now)
            self._end(events.Aborted(Origin.LOCAL_USER, None, text))

    # To the transport and the Application Entity ------------------------------------------------

    def data_to_send(self, limit: int | None = None) -> list[Buffer]:
        """The next bytes for the transport, about `limit` of them, as buffers in order.

        Cuts what is due from the message being sent. What its source raises comes out of here,
        and the association is aborted: an A-ABORT is due then. Without a limit, as many as make
        sense after what the transport has taken so far.
        """
        exchange = self._exchange
        if limit is None:
            limit = self._ahead
        if self._core.state in _SENDING:
            if exchange.outgoing:
                self._cut(limit)
            release = self._release
            if release is not None and not exchange.outgoing and self._outbox.length < limit:
                self._release = None
                release(self._now)
        # All of it: to hold back what the last PDU is longer by would take one more write.
        return self._outbox.buffers(self._outbox.length)

    def _cut(self, limit: int) -> None:
        """Cut messages into fragments until about `limit` bytes wait to leave."""
        upper, exchange = self._upper, self._exchange
        longest, waiting = self._outbox.maximum_fragment, self._outbox.length
        while exchange.outgoing and waiting < limit:
            message = exchange.outgoing[0]
            try:
                # What is done leaves the queue, so there is always something to cut.
                control, fragment = message.next_fragment(longest)  # type: ignore[misc]
            except BaseException:
                # What was begun cannot be finished, and no other message can come before its end.
                self.send_abort(self._now, "the source of a data set failed")
                raise
            upper.p_data_request(message.context_id, control, fragment, self._now)
            self._since = self._now
            waiting = self._outbox.length
            if message.is_done:
                exchange.outgoing.popleft()
                message.end = self._left + waiting

    def data_sent(self, count: int, now: float) -> None:
        """The transport took the first `count` bytes of `data_to_send`."""
        self._now = now
        self._left += count
        if count:
            self._since = now
            self.operations.left(self._left, now)
        self._upper.data_sent(count, now)
        if self._outbox.length:
            self._ahead = SEND_AHEAD_OF_SLOWER

    def next_event(self) -> Event | None:
        """The next thing to tell the AE or ask of the transport, in order; None if none yet."""
        while not self._events:
            indication = self._upper.next_indication()
            if indication is None:
                return None
            if isinstance(indication, PDataIndication):
                self._receive(indication.pdvs)
            else:
                self._translate(indication)
        return self._events.popleft()

    # From the service's words to the AE's -------------------------------------------------------

    def _translate(self, indication: RareIndication) -> None:
        match indication:
            case OpenTransport():
                if not self._ended:  # else it was aborted before the driver took this
                    self._events.append(indication)
            case CloseTransport():
                self._events.append(indication)
            case AssociateIndication(request):
                self.request = request
                self._events.append(events.AssociateRequested(request))
            case AssociateConfirmation(answer):
                self._confirm(answer)
            case ReleaseIndication(collision):
                # The peer's request releases the association as well as one of ours that waits.
                self._release = None
                self._events.append(events.ReleaseRequested(collision))
            case ReleaseConfirmation():
                if self.state is State.Sta1:
                    self._end(events.Released())
                elif self._answer_release:  # AR-10: now it is our turn
                    self._release_response(self._now)
            case AbortIndication():
                self._end(events.Aborted(Origin.PEER_USER, None, "the peer's user aborted"))
            case ProviderAbortIndication(reason, received, text):
                origin = Origin.PEER_PROVIDER if received else Origin.LOCAL_PROVIDER
                if reason is None:
                    origin = Origin.TRANSPORT
                self._end(events.Aborted(origin, reason, text))
            case _:
                limit = indication.limit
                self._end(events.Aborted(Origin.TIME_LIMIT, None, limit.value, limit))

    def _confirm(self, answer: AAssociateAC | AAssociateRJ) -> None:
        if isinstance(answer, AAssociateAC):
            self._establish(answer)
        else:
            codes = answer.result, answer.source, answer.reason
            self._end(events.Rejected(*codes, describe_reject(*codes)))

    def _establish(self, answer: AAssociateAC) -> None:
        request = cast(AAssociateRQ, self.request)  # an answer has a request
        self.answer = answer
        self._exchange.contexts = agree(request, answer, requestor=self.requestor)
        self.window = agree_window(request, answer, requestor=self.requestor)
        self.operations.window = self.window.invoked
        if self.requestor:
            self._events.append(events.Accepted(answer))
        if self._upper.maximum_fragment:
            self._since = self._now
        else:
            self.send_abort(self._now, "the peer's maximum length leaves no room for a fragment")

    def _end(self, event: Event | None) -> None:
        """The association is over: tell it, and forget what was under way.

        Happens once: every way here leads to Sta1 or Sta13, and from there none leads here.
        """
        self._ended = True
        self._exchange.clear()
        self._release = None
        if event is not None:
            self._events.append(event)

    # Messages -----------------------------------------------------------------------------------

    def _after_sending(self, act: Callable[[float], None]) -> None:
        if self._exchange.outgoing:
            self._release = act
        else:
            act(self._now)

    def _release_response(self, now: float) -> None:
        self._upper.a_release_response(now)
        if self.state is State.Sta13:  # AR-4; after AR-9 the peer's response is still due
            self._end(events.Released())

    def _receive(self, pdvs: tuple[PDV, ...]) -> None:
        try:
            self._exchange.receive(pdvs, answers=self._core.state is State.Sta6)
        except MessageError as error:
            # PS3.8 Annex E.1 is between users: the user's own abort, not the provider's.
            self.send_abort(self._now, str(error))
            return
        self._since = self._now
        answered = self._exchange.answered
        if answered is None:
            self._heard = self._now
        else:
            self.operations.heard(answered, self._now)

    @property
    def _watched(self) -> tuple[TimeLimit, float | None]:
        """Which limit of ours runs, and when it passes; None if none does.

        It follows from what is under way, so it is found when it is asked for, once for each wait.
        What comes by the thousand, fragments, only has to say when it came.

        A response is due for each operation by itself: the others' are no sign of its life. What a
        peer requests is: it may be performing any of them.
        """
        limits, operations = self._limits, self.operations
        if self._core.state is not State.Sta6 or self._release is not None:
            return TimeLimit.IDLE, None
        if operations.awaiting:
            if limits.response is None:
                return TimeLimit.RESPONSE, None
            oldest = next(iter(operations.awaiting.values()))
            return TimeLimit.RESPONSE, max(oldest, self._heard) + limits.response
        if operations.any or limits.idle is None:
            return TimeLimit.IDLE, None
        return TimeLimit.IDLE, self._since + limits.idle
