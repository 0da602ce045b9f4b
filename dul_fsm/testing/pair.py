"""Two associations joined in memory, under a virtual clock: a whole exchange in one thread.

    pair = Pair(MyHandler())
    pair.associate([VERIFICATION])
    assert pair.invoke(CEchoRQ(VERIFICATION, message_id=1)).status == 0x0000
    pair.release()
    assert isinstance(pair.acceptor.end, Released)

Rules
  * Nothing waits, sleeps or reads a clock: time passes in `advance` only.
  * The two sides take turns, one thing at a time, always in the same order: a run is repeatable.
  * What a side's own data source raises comes out of the call that ran the pair.
  * `performs = False` leaves a side to the test: its events are listed, and nothing is answered.

Not here: threads and transports (`drivers`, `transports`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TypeAlias

from dul_fsm.association import (
    Aborted,
    Association,
    DataReceived,
    Event,
    Message,
    Rejected,
    Released,
    ReleaseRequested,
    RequestReceived,
    ResponseReceived,
)
from dul_fsm.dimse import Request, SourceLike
from dul_fsm.negotiation import ContextLike, build_request
from dul_fsm.pdu import DEFAULT_MAXIMUM_LENGTH
from dul_fsm.services.handler import Handler
from dul_fsm.services.performer import Call, Performer, Steps
from dul_fsm.timers import TimeLimits
from dul_fsm.upper_layer import CloseTransport, Observation, OpenTransport

End: TypeAlias = Rejected | Released | Aborted
Observer: TypeAlias = Callable[[Observation], None]

CAPACITY = 262144
"""Bytes that are under way in one direction before its sender must wait."""


class Side:
    """One side of a `Pair`."""

    def __init__(
        self, association: Association, handler: Handler, clock: Callable[[], float]
    ) -> None:
        """`clock` gives the pair's time."""
        self.association = association
        """The association."""
        self.handler = handler
        """What performs on this side."""
        self.failures: list[BaseException] = []
        """What the handler raised, in order."""
        self.events: list[Event] = []
        """What the AE was told, in order; fragments only where `performs` is False."""
        self.responses: list[ResponseReceived] = []
        """Responses received, in order."""
        self.end: End | None = None
        """How the association ended, once it has."""
        self.performs = True
        """Whether the handler performs; if not, the test does."""
        self.reads = True
        """Whether what arrives is taken; if not, the peer's bytes pile up until it must wait."""
        self.incoming = bytearray()
        """Bytes that the peer sent and this side has not taken."""
        self._clock = clock
        self._performer = Performer(association, handler, clock, report=self.failures.append)
        self._deferred: deque[Event] = deque()
        self._paused: Steps | None = None  # an operation that gave up its turn
        self._lost: str | None = None  # the incoming stream has ended, and how
        self._open = False

    def step(self, pair: Pair) -> bool:
        """Do one thing, if there is one to do: deliver an event, or move bytes."""
        busy = self._paused is not None
        event = None if busy or not self._deferred else self._deferred.popleft()
        event = event or self.association.next_event()
        if event is None:
            return self._move(pair)
        if busy and isinstance(event, RequestReceived | ReleaseRequested):
            self._deferred.append(event)
        else:
            self._deliver(event, pair)
        return True

    def resume(self) -> bool:
        """Go on with an operation that gave up its turn, if all that it sent has left."""
        steps = self._paused
        if steps is None or self.association.sending:
            return False
        self._paused = None
        self._perform(steps)
        return True

    def _deliver(self, event: Event, pair: Pair) -> None:
        if isinstance(event, OpenTransport):
            pair.connect()
        elif isinstance(event, CloseTransport):
            self.close(pair)
        elif isinstance(event, DataReceived):
            if self.performs:
                self._performer.take(event)
                return
            # A copy: this one is to be looked at later.
            event = DataReceived(event.message, memoryview(bytes(event.fragment)))
        elif isinstance(event, End):
            self.end = event
        elif isinstance(event, ResponseReceived):
            self.responses.append(event)
        self.events.append(event)
        if self.performs:
            self._perform(self._performer.perform(event))

    def _perform(self, steps: Steps) -> None:
        """Call what an operation yields until it is done or gives up its turn."""
        advance: Callable[[], Call | None] = partial(next, steps)
        while True:
            try:
                call = advance()
            except StopIteration:
                return
            if call is None:
                self._paused = steps
                return
            try:
                result = call()
            except Exception as error:
                advance = partial(steps.throw, error)
            else:
                advance = partial(steps.send, result)

    def _move(self, pair: Pair) -> bool:
        sent = self._send(pair.other(self), pair.capacity)
        return self._receive(pair.split) or sent

    def _send(self, peer: Side, capacity: int) -> bool:
        moved = False
        while self._open and (room := capacity - len(peer.incoming)) > 0:
            buffers = self.association.data_to_send()
            if not buffers:
                break
            data = memoryview(buffers[0])[:room]
            if peer._open:
                peer.incoming += data
            self.association.data_sent(len(data), self._clock())
            moved = True
        return moved

    def _receive(self, split: int | None) -> bool:
        if not self._open or not self.reads or self._deferred:
            return False
        if self.incoming:
            view = self.association.receive_buffer()
            count = min(len(view), len(self.incoming), split or len(view))
            view[:count] = self.incoming[:count]
            del self.incoming[:count]
            self.association.buffer_filled(count, self._clock())
        elif self._lost is not None:
            self._open = False
            self.association.transport_closed(self._clock(), self._lost)
        else:
            return False
        return True

    def opened(self) -> None:
        """The connection is there."""
        self._open = True
        self.association.transport_opened(self._clock())

    def lose(self, text: str) -> None:
        """No more bytes will come after those that are there."""
        if self._lost is None:
            self._lost = text

    def close(self, pair: Pair) -> None:
        """Close the connection: the peer gets what was sent, then the end."""
        self._open = False
        self.incoming.clear()
        pair.other(self).lose("the connection was closed")


class Pair:
    """A requestor and an acceptor."""

    def __init__(
        self,
        acceptor: Handler | None = None,
        requestor: Handler | None = None,
        *,
        time_limits: tuple[TimeLimits | None, TimeLimits | None] = (None, None),
        maximum_lengths: tuple[int, int] = (DEFAULT_MAXIMUM_LENGTH, DEFAULT_MAXIMUM_LENGTH),
        observers: tuple[Observer | None, Observer | None] = (None, None),
        capacity: int = CAPACITY,
        split: int | None = None,
    ) -> None:
        """Handlers, by default those that accept Verification and Storage and answer C-ECHO.

        The pairs of values are the requestor's and the acceptor's, as for `Association`.
        `capacity`: bytes under way in one direction before the sender must wait. `split`: the most
        bytes that arrive at once; None for as many as there are.
        """
        self.now = 0.0
        """The time, in seconds."""
        self.capacity = capacity
        self.split = split
        self.listens = True
        """Whether a connection can be opened."""
        handlers = (requestor or Handler(), acceptor or Handler())
        self.requestor, self.acceptor = (
            Side(
                Association(
                    requestor=index == 0,
                    maximum_length=maximum_lengths[index],
                    time_limits=time_limits[index],
                    observer=observers[index],
                ),
                handler,
                lambda: self.now,
            )
            for index, handler in enumerate(handlers)
        )

    def other(self, side: Side) -> Side:
        """The other side."""
        return self.acceptor if side is self.requestor else self.requestor

    # The wire -----------------------------------------------------------------------------------

    def connect(self) -> None:
        """Open the connection; the requestor asks for it by itself."""
        if self.listens:
            self.acceptor.opened()
            self.requestor.opened()
        else:
            self.requestor.association.transport_closed(self.now, "nobody listens")

    def cut(self) -> None:
        """Lose the connection, and all bytes that are under way, for both sides."""
        for side in (self.requestor, self.acceptor):
            side.incoming.clear()
            side.lose("the connection was lost")

    # Time ---------------------------------------------------------------------------------------

    def run(self) -> None:
        """Let everything happen that can happen now."""
        while self._step():
            pass

    def run_until(self, condition: Callable[[], object]) -> None:
        """Let things happen, one by one, until `condition` is true.

        Raises `AssertionError` if nothing more can happen now and it is not.
        """
        while not condition():
            if not self._step():
                raise AssertionError(
                    f"nothing more happens at {self.now} s: the requestor is in "
                    f"{self.requestor.association.state.name}, the acceptor in "
                    f"{self.acceptor.association.state.name}"
                )

    def _step(self) -> bool:
        one, two = self.requestor, self.acceptor
        return one.step(self) or two.step(self) or one.resume() or two.resume()

    def advance(self, seconds: float) -> None:
        """Let time pass, and every time limit with it, and what follows happen."""
        end = self.now + seconds
        self.run()
        while (due := self._deadline(end)) is not None:
            self.now = max(self.now, due)
            for side in (self.requestor, self.acceptor):
                side.association.handle_timeout(self.now)
            self.run()
        self.now = end

    def _deadline(self, end: float) -> float | None:
        deadlines = (self.requestor.association.deadline, self.acceptor.association.deadline)
        return min((d for d in deadlines if d is not None and d <= end), default=None)

    # What a requestor does ----------------------------------------------------------------------

    def request(
        self,
        contexts: Iterable[ContextLike],
        *,
        calling_ae_title: str = "SCU",
        called_ae_title: str = "SCP",
        roles: Mapping[str, tuple[bool, bool]] | None = None,
    ) -> None:
        """Request the association; `run` lets the rest happen."""
        association = self.requestor.association
        request = build_request(
            contexts,
            calling_ae_title=calling_ae_title,
            called_ae_title=called_ae_title,
            maximum_length=association.maximum_length,
            roles=roles,
        )
        association.send_associate_request(request, self.now)

    def associate(
        self,
        contexts: Iterable[ContextLike],
        *,
        calling_ae_title: str = "SCU",
        called_ae_title: str = "SCP",
        roles: Mapping[str, tuple[bool, bool]] | None = None,
    ) -> None:
        """Request the association, and let it come about; `AssertionError` if it does not."""
        self.request(
            contexts,
            calling_ae_title=calling_ae_title,
            called_ae_title=called_ae_title,
            roles=roles,
        )
        sides = (self.requestor, self.acceptor)
        self.run_until(lambda: all(side.association.established for side in sides))

    def invoke(self, request: Request, data: SourceLike | None = None) -> Message:
        """Send a request on the context of its SOP Class; returns its final response."""
        association, responses = self.requestor.association, self.requestor.responses
        known = {field: getattr(request, field) for field in request.__dataclass_fields__}
        uid = known.get("affected_sop_class_uid") or known["requested_sop_class_uid"]
        association.send_request(association.context_for(uid), request, data)
        before = len(responses)
        self.run_until(lambda: any(response.final for response in responses[before:]))
        return responses[-1].message

    def release(self) -> None:
        """Release the association, and let that happen on both sides."""
        self.requestor.association.send_release_request(self.now)
        self.run_until(lambda: self.requestor.end and self.acceptor.end)
        self.run()
