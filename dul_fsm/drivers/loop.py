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

from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, TypeAlias

from dul_fsm.association import (
    Aborted,
    Association,
    DataReceived,
    Event,
    Rejected,
    Released,
    ReleaseRequested,
    RequestReceived,
    ResponseReceived,
)
from dul_fsm.services.performer import Call, Performer, Steps
from dul_fsm.upper_layer import Buffer, CloseTransport, OpenTransport

End: TypeAlias = Rejected | Released | Aborted

Calls: TypeAlias = Generator[Call, Any, bool]
"""Yields what to call, is sent what came of it; in the end says whether anything was moved."""

ABORT_PATIENCE = 2.0
"""Seconds for which an abort waits for the peer to take it and close: who aborts is in a hurry."""


class AnyTransport(Protocol):
    """A transport, blocking or asyncio: what the first two return is an int, or awaited is."""

    def send(self, buffers: Sequence[Buffer], timeout: float | None) -> Any: ...

    def receive_into(self, view: memoryview, timeout: float | None) -> Any: ...

    def close(self) -> None: ...


class Loop:
    """The loop of one association over one transport."""

    def __init__(
        self,
        association: Association,
        performer: Performer,
        *,
        transport: AnyTransport | None,
        connect: Callable[[float | None], Any],
        acquire: Callable[[float | None], Any],
        release: Callable[[], object],
        clock: Callable[[], float],
    ) -> None:
        """`transport` is open already (acceptor), or `connect` opens one, given seconds.

        `acquire` gets the right to send, or says False when the seconds are over; `release`
        returns it. The loop and an abort from outside must not send at the same time.
        """
        self._association = association
        self._performer = performer
        self._transport = transport
        self._connect = connect
        self._acquire = acquire
        self._acquire_at_last = partial(acquire, None)
        self._release = release
        self._clock = clock
        self._broken = ""  # why nothing can be sent any more
        self._by: float | None = None  # when whoever runs the loop gives up
        self._deferred: list[Event] = []  # rarely more than one
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
            event = self._deferred.pop(0) if self._deferred else self._association.next_event()
            if event is not None:
                yield from self._deliver(event)
            elif (yield from self._send(by)):
                continue
            elif self._association.idle:
                break
            else:
                yield from self._receive(self._seconds(by))
        return True

    def sending(self, by: float) -> Calls:
        """Send what is due, the A-ABORT for one, until that has left or it is `by`."""
        while (yield from self._send(by)) and self._clock() < by:
            pass
        return True

    def close(self) -> None:
        """Close the transport."""
        if self._transport is not None:
            # It never raises; one that does all the same must not keep an end from being told.
            with suppress(OSError):
                self._transport.close()

    def _seconds(self, by: float | None) -> float | None:
        """Seconds until something must happen, at `by` at the latest."""
        deadline = self._association.deadline
        if deadline is None or (by is not None and by < deadline):
            deadline = by
        return None if deadline is None else max(0.0, deadline - self._clock())

    # Events -------------------------------------------------------------------------------------

    def _deliver(self, event: Event) -> Calls:
        if isinstance(event, DataReceived):
            yield partial(self._performer.take, event)
        elif isinstance(event, OpenTransport):
            yield from self._open()
        elif isinstance(event, CloseTransport):
            self.close()
        else:
            if isinstance(event, End):
                self.end = event
            yield from self.performing(self._performer.perform(event))
            if isinstance(event, ResponseReceived) and not self._association.ended:
                event.operation.responses.append(event)
        return True

    def performing(self, steps: Steps) -> Calls:
        """Yield what the performer yields, and take a turn where it wants one."""
        result: Any = None
        failure: Exception | None = None
        while True:
            try:
                call = steps.send(result) if failure is None else steps.throw(failure)
            except StopIteration:
                return True
            finally:
                result = failure = None  # an exception and its own frame would be a cycle
            try:
                result = (yield call) if call is not None else (yield from self._turn())
            except Exception as error:
                failure = error

    def _turn(self) -> Calls:
        """In the middle of an operation: send what is due, and receive what is there.

        It waits for a peer that takes nothing, but never for bytes. Requests that arrive wait for
        their turn, everything else is delivered at once. While one waits nothing more is read: a
        peer that does not keep to the negotiated window waits too, and fills no memory.
        """
        by = self._by
        while (yield from self._send(by)) and (by is None or self._clock() < by):
            pass
        next_event = self._association.next_event
        event = next_event()
        if event is None and not self._deferred and (yield from self._receive(0.0)):
            event = next_event()
        while event is not None:
            if isinstance(event, RequestReceived | ReleaseRequested):
                self._deferred.append(event)
            else:
                yield from self._deliver(event)
            event = next_event()
        return True

    # The transport ------------------------------------------------------------------------------

    def _open(self) -> Calls:
        association = self._association
        try:
            self._transport = yield partial(self._connect, self._seconds(None))
        except OSError as error:
            now = self._clock()
            if isinstance(error, TimeoutError):  # ours, or the system's before it
                now = max(now, association.deadline or now)
                association.handle_timeout(now)
            association.transport_closed(now, f"cannot connect: {error}")
        else:
            association.transport_opened(self._clock())
        return True

    def _send(self, by: float | None) -> Calls:
        """Give the transport what is due; False if nothing was."""
        association, clock = self._association, self._clock
        acquire = self._acquire_at_last
        if by is not None:
            acquire = partial(self._acquire, max(0.0, by - clock()))
        if not (yield acquire):
            self.close()  # whoever sends is stuck with a peer that does not take it
            return False
        try:
            buffers = association.data_to_send()
            if not buffers or self._transport is None or self._broken:
                return False
            try:
                count = yield partial(self._transport.send, buffers, self._seconds(by))
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

    def _receive(self, seconds: float | None) -> Calls:
        """Wait for bytes, the end of the stream or the deadline; False if nothing came."""
        association, transport = self._association, self._transport
        if self._broken:
            # Nothing can be sent any more, but what the peer said before it went is still there.
            seconds = 0.0
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
