"""What every driver does, written once, without the waiting.

`running` drains bytes out, obeys open and close, delivers events and asks for bytes until the
deadline. It is a generator: it yields what may take time, as a call (to the transport, to a
handler), and is sent what came of it. A blocking driver calls; an asyncio one awaits what the call
gives.
Between two yields nobody else may touch the association, and nothing waits but the application's
own data source.

Not here: waiting, and who may run the loop when (`blocking`, `aio`); what the protocol wants
(`association`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from functools import partial
from math import inf
from typing import Any, Final, Protocol, TypeAlias

from dul_fsm.association import (
    Aborted,
    Association,
    DataReceived,
    Event,
    ImmediateSink,
    Message,
    Rejected,
    Released,
    ReleaseRequested,
    RequestReceived,
    ResponseReceived,
)
from dul_fsm.services.handler import Handler
from dul_fsm.services.performer import Performer
from dul_fsm.services.steps import SENT, TURN, Call, Run, Steps, Wait
from dul_fsm.upper_layer import Buffer, CloseTransport, OpenTransport

End: TypeAlias = Rejected | Released | Aborted

Calls: TypeAlias = Generator[Call, Any, bool]
"""Yields what to call, is sent what came of it; in the end says whether anything was moved."""

ABORT_PATIENCE = 2.0
"""Seconds for which an abort waits for the peer to take it and close: who aborts is in a hurry."""

MAX_DEFERRED = 64
"""Requests of a peer's that may wait for their turn while an operation waits for the peer, and
operations that may wait for it once they were answered."""

_DONE: Final = object()

# A union in the middle of a function is made anew each time that it is asked about.
_IN_TURN = (RequestReceived, ReleaseRequested)
_ENDS = (Rejected, Released, Aborted)


class AnyTransport(Protocol):
    """A transport, blocking or asyncio: what the first two return is an int, or awaited is."""

    def send(self, buffers: Sequence[Buffer], timeout: float | None) -> Any: ...

    def receive_into(self, view: memoryview, timeout: float | None) -> Any: ...

    def close(self) -> None: ...


def is_in_place(transport: object) -> bool:
    """Whether a transport says that it looks at no byte of what it sends (`Transport`)."""
    return getattr(transport, "in_place", False) is True


class _Performance:
    """An operation that is being performed."""

    __slots__ = ("request", "steps", "until")

    def __init__(self, request: Message, steps: Steps) -> None:
        self.request = request
        self.steps = steps
        self.until: Callable[[], bool] | None = None
        """What it waits for; None if only for its turn."""


class Loop:
    """The loop of one association over one transport."""

    def __init__(
        self,
        association: Association,
        performer: Performer,
        *,
        transport: AnyTransport | None,
        connect: Callable[[float | None], Any],
        dial: Callable[[Any], Callable[[float | None], Any]],
        acquire: Callable[[float | None], Any],
        acquire_now: Callable[[], bool],
        release: Callable[[], object],
        clock: Callable[[], float],
    ) -> None:
        """`transport` is open already (acceptor), or `connect` opens one, given seconds.

        `dial` tells how to connect with a connector, for associations that are opened for this one.
        `acquire` gets the right to send, or says False when the seconds are over; `acquire_now`
        gets it if that takes no time at all; `release` returns it. The loop and an abort from
        outside must not send at the same time.
        """
        self._association = association
        self._performer = performer
        self._transport = transport
        self._connect = connect
        self._dial = dial
        self._acquire = acquire
        self._acquire_now = acquire_now
        self._release = release
        self._clock = clock
        self._broken = ""  # why nothing can be sent any more
        self._by: float | None = None  # when whoever runs the loop gives up
        self._reads_until: float | None = None  # when the last read gives up
        self._following: Event | None = None  # it came right behind a fragment
        self._deferred: deque[Event] = deque()  # rarely more than one
        self._performances: list[_Performance] = []  # the operations that we are performing
        self._others: dict[Association, Loop] = {}  # which those have opened
        self.end: End | None = None
        """How the association ended, once it has."""

    # The loop -----------------------------------------------------------------------------------

    def running(self, until: Callable[[], bool], by: float | None = None) -> Calls:
        """Move bytes and deliver events until `until` says so, or `by`, or all is over.

        What the application's own data source raises comes out of here; the association is
        aborted then.
        """
        self._by = by
        while not until() and (by is None or self._clock() < by):
            event = self._next_event()
            if event is not None:
                yield from self._deliver(event)
            elif self._association.sending and (yield from self._send(by)):
                continue
            elif self._performances:
                yield from self._take_turns(by)
            elif self._association.idle:
                break
            else:
                yield from self._receive(self._deadline(by))
        return True

    def sending(self, by: float) -> Calls:
        """Send what is due, the A-ABORT for one, until that has left or it is `by`.

        Associations that were opened for this one are closed: whoever runs it may wait for them.
        """
        yield from self.pushing(by)
        self._close_others()
        return True

    def pushing(self, by: float | None = None) -> Calls:
        """Send what is due now, whoever runs the loop; not later than `by`."""
        while self._association.sending and (yield from self._send(by)):
            if by is not None and self._clock() >= by:
                break
        return True

    def close(self) -> None:
        """Close the transport, and those of the associations that were opened for this one."""
        self._close_others()
        self._close_transport()

    def _close_others(self) -> None:
        for other in tuple(self._others.values()):
            other.close()

    def _close_transport(self) -> None:
        if self._transport is not None:
            # It never raises; one that does all the same must not keep an end from being told.
            with suppress(OSError):
                self._transport.close()

    def _deadline(self, by: float | None) -> float | None:
        """When something must happen, at `by` at the latest."""
        deadline = self._association.deadline
        return by if deadline is None or (by is not None and by < deadline) else deadline

    def _seconds(self, deadline: float | None) -> float | None:
        """Until then; 0 when it is over."""
        if deadline is None:
            return None
        left = deadline - self._clock()
        return left if left > 0.0 else 0.0

    # Events -------------------------------------------------------------------------------------

    def _next_event(self) -> Event | None:
        """The next event that need not wait for its turn, once fragments that can be are taken."""
        if self._deferred and self._may_begin(self._deferred[0]):
            return self._deferred.popleft()
        while True:
            event, self._following = self._following, None
            event = event or self._association.next_event()
            if isinstance(event, DataReceived):
                if isinstance(event.message.sink, ImmediateSink):
                    self._performer.take((event,))
                    continue
                return event
            if not isinstance(event, _IN_TURN) or (not self._deferred and self._may_begin(event)):
                return event
            self._deferred.append(event)

    def _may_begin(self, event: Event) -> bool:
        performances = self._performances
        if not performances:
            return True
        if isinstance(event, ReleaseRequested):
            return False
        window = self._association.window.performed
        if not window:
            return True
        # One that was answered is under way no more: it sends notifications, and a peer may first
        # want an answer to its next request.
        performing = self._association.operations.performing.values()
        under_way = sum(performance.request in performing for performance in performances)
        return under_way < window and len(performances) - under_way < MAX_DEFERRED

    def _deliver(self, event: Event) -> Calls:
        if isinstance(event, DataReceived):
            # All the fragments that are there, in one call: they come by the thousand.
            fragments, next_event = [event], self._association.next_event
            while isinstance(following := next_event(), DataReceived):
                fragments.append(following)
            self._following = following
            yield partial(self._performer.take, fragments)
        elif isinstance(event, RequestReceived):
            message = event.message
            performance = _Performance(message, self._performer.perform_request(message))
            self._performances.append(performance)
            yield from self._go_on(performance)
        elif isinstance(event, OpenTransport):
            yield from self._open()
        elif isinstance(event, CloseTransport):
            self._close_transport()  # an operation ends what it has opened in order
        else:
            if isinstance(event, _ENDS):
                self.end = event
            yield from self.performing(self._performer.perform(event))
            if isinstance(event, ResponseReceived) and not self._association.ended:
                event.operation.responses.append(event)
        return True

    # Operations ---------------------------------------------------------------------------------

    def performing(self, steps: Steps) -> Calls:
        """What is to be done at once: yield what the performer yields; a turn is to send."""
        while (yield from self._advance(steps)) is not _DONE:
            yield from self.pushing(self._by)
        return True

    def _take_turns(self, by: float | None) -> Calls:
        """Receive, then let each operation go on that gave up its turn or has what it waits for.

        Nothing is waited for while one could go on. Requests wait for their turn, everything else
        is delivered at once. While one waits nothing more is read unless an operation needs it: a
        peer that does not keep to the negotiated window waits too, and fills no memory.
        """
        ready = any(map(self._may_go_on, self._performances))
        if not self._association.idle and not (ready and self._deferred):
            yield from self._receive(-inf if ready else self._deadline(by))
            while (event := self._next_event()) is not None:
                yield from self._deliver(event)
            if len(self._deferred) > MAX_DEFERRED:
                self._association.send_abort(
                    self._clock(), "the peer requests more at once than was negotiated"
                )
        for performance in tuple(self._performances):
            if self._may_go_on(performance):
                yield from self._go_on(performance)
        return True

    def _may_go_on(self, performance: _Performance) -> bool:
        until = performance.until
        return until is None or until() or self._association.idle

    def _go_on(self, performance: _Performance) -> Calls:
        """Let an operation go on until it gives up its turn, waits or is done."""
        done = True
        try:
            step = yield from self._advance(performance.steps)
            if step is not _DONE:
                done = False
                performance.until = step.until if isinstance(step, Wait) else None
        finally:
            if done:
                self._performances.remove(performance)
        return True

    def _advance(self, steps: Steps) -> Generator[Call, Any, object]:
        """Yield what `steps` yields to be called; returns what else it yields, or `_DONE`."""
        result: Any = None
        failure: Exception | None = None
        while True:
            try:
                step = steps.send(result) if failure is None else steps.throw(failure)
            except StopIteration:
                return _DONE
            finally:
                result = failure = None  # an exception and its own frame would be a cycle
            if step is TURN or isinstance(step, Wait):
                return step
            if step is SENT:
                yield from self.pushing(self._by)
                continue
            try:
                result = (
                    (yield from self._elsewhere(step)) if isinstance(step, Run) else (yield step)
                )
            except Exception as error:
                failure = error
            except BaseException:
                steps.close()
                raise

    def _elsewhere(self, step: Run) -> Calls:
        """Run another association that an operation opens: the destination of a C-MOVE.

        This one waits meanwhile; not for long where only the peer's end is waited for. Who closes
        it closes the other one as well.
        """
        association = step.association
        other = self._others.get(association)
        if other is None:
            other = self._others[association] = Loop(
                association,
                Performer(association, Handler(), self._clock),
                transport=None,
                connect=self._dial(step.connector),
                dial=self._dial,
                acquire=lambda seconds: True,
                acquire_now=lambda: True,
                release=lambda: None,
                clock=self._clock,
            )
        by = self._clock() + ABORT_PATIENCE if association.ended else None
        try:
            yield from other.running(step.until, by)
        finally:
            if association.idle or by is not None:
                del self._others[association]
                other.close()
        return True

    # The transport ------------------------------------------------------------------------------

    def _open(self) -> Calls:
        association = self._association
        try:
            self._transport = yield partial(self._connect, self._seconds(self._deadline(None)))
        except OSError as error:
            now = self._clock()
            if isinstance(error, TimeoutError):  # ours, or the system's before it
                now = max(now, association.deadline or now)
                association.handle_timeout(now)
            association.transport_closed(now, f"cannot connect: {error}")
        else:
            association.transport_opened(self._clock(), in_place=is_in_place(self._transport))
        return True

    def _send(self, by: float | None) -> Calls:
        """Give the transport what is due; False if nothing was, or can be."""
        association, clock = self._association, self._clock
        if not self._acquire_now() and not (yield partial(self._acquire, self._seconds(by))):
            self.close()  # whoever sends is stuck with a peer that does not take it
            return False
        try:
            buffers = association.data_to_send()
            if not buffers or self._transport is None or self._broken:
                return False
            try:
                seconds = self._seconds(self._deadline(by))
                count = yield partial(self._transport.send, buffers, seconds)
            except TimeoutError:
                association.data_sent(0, clock())
                association.handle_timeout(clock())
            except OSError as error:
                self._broken = f"the connection was lost: {error}"
            except BaseException:
                association.data_sent(0, clock())  # interrupted: nothing has left
                raise
            else:
                association.data_sent(count, clock())
        finally:
            self._release()
        return True

    def _receive(self, deadline: float | None) -> Calls:
        """Wait for bytes, the end of the stream or the deadline; False if nothing came."""
        association, transport = self._association, self._transport
        # If nothing can be sent any more, what the peer said before it went is still there.
        self._reads_until = deadline = -inf if self._broken else deadline
        seconds = self._seconds(deadline)
        try:
            if transport is None:
                raise ConnectionError("it was never opened")
            count = yield partial(transport.receive_into, association.receive_buffer(), seconds)
            end = "" if count else self._broken or "the connection was closed"
        except TimeoutError:
            count, end = 0, self._broken
        except OSError as error:
            count, end = 0, self._broken or f"the connection was lost: {error}"
        now = self._clock()
        if count:
            association.buffer_filled(count, now)
        elif end:
            association.transport_closed(now, end)
        else:
            association.handle_timeout(now)
        return bool(count or end)
