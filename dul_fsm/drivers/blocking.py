"""The blocking driver: one association, one transport, the caller's thread.

It drains bytes out, obeys open and close, delivers events and waits for bytes until the deadline.
It never polls and never sleeps: a waiting driver is blocked in one read.

One thread runs the loop at a time. Another may call `abort`, `settle` and `close` at any time; the
lock is held whenever the association is touched, and never while waiting for bytes or for a
handler. It is held while bytes leave: only one thread may give them to the transport.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

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
from dul_fsm.errors import LocalProtocolError
from dul_fsm.services.performer import Call, Performer, Steps
from dul_fsm.transports import Transport
from dul_fsm.upper_layer import CloseTransport, OpenTransport

End: TypeAlias = Rejected | Released | Aborted

ABORT_PATIENCE = 2.0
"""Seconds for which an abort waits for the peer to take it and close: who aborts is in a hurry."""


def _no_connector(timeout: float | None) -> Transport:
    raise ConnectionError("there is nothing to connect to")


class BlockingDriver:
    """Runs one association."""

    def __init__(
        self,
        association: Association,
        performer: Performer,
        *,
        transport: Transport | None = None,
        connect: Callable[[float | None], Transport] = _no_connector,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`transport` is open already (acceptor), or `connect` opens one, given seconds."""
        self._association = association
        self._performer = performer
        self._transport = transport
        self._connect = connect
        self._clock = clock
        self._loop = threading.Lock()
        self._runner: int | None = None  # the thread that has the loop
        self._broken = ""  # why nothing can be sent any more
        self._deferred: deque[Event] = deque()
        self.lock = threading.RLock()
        """To hold while touching the association."""
        self.responses: deque[ResponseReceived] = deque()
        """Responses that nobody has taken yet."""
        self.end: End | None = None
        """How the association ended, once it has."""

    # The loop -----------------------------------------------------------------------------------

    def run(self, until: Callable[[], bool]) -> None:
        """Move bytes and deliver events until `until` says so or the connection is gone.

        What the application's own data source raises comes out of here; the association is
        aborted then. Raises `LocalProtocolError` when called from within the loop, by a handler.
        """
        self.check_outside()
        with self._loop:
            self._run(until)

    def check_outside(self) -> None:
        """Raise `LocalProtocolError` when called from within the loop, by a handler."""
        if self._runner == threading.get_ident():
            raise LocalProtocolError("a handler cannot wait for the association that it serves")

    def _run(self, until: Callable[[], bool], by: float | None = None) -> None:
        self._runner = threading.get_ident()
        try:
            while not until() and (by is None or self._clock() < by):
                event = self._deferred.popleft() if self._deferred else self._next()
                if event is not None:
                    self._deliver(event)
                elif self._send(by):
                    continue
                elif self._association.idle:
                    return
                else:
                    self._receive(self._seconds(by))
        finally:
            self._runner = None

    def _next(self) -> Event | None:
        with self.lock:
            return self._association.next_event()

    def _seconds(self, by: float | None = None) -> float | None:
        """Seconds until something must happen, at `by` at the latest."""
        with self.lock:
            deadline = self._association.deadline
        if deadline is None or (by is not None and by < deadline):
            deadline = by
        return None if deadline is None else max(0.0, deadline - self._clock())

    def _deliver(self, event: Event) -> None:
        if isinstance(event, DataReceived):
            self._performer.take(event)
        elif isinstance(event, OpenTransport):
            self._open()
        elif isinstance(event, CloseTransport):
            self.close()
        else:
            if isinstance(event, End):
                self.end = event
            self.perform(self._performer.perform(event))
            if isinstance(event, ResponseReceived) and not self._association.ended:
                self.responses.append(event)

    def perform(self, steps: Steps) -> None:
        """Call what the performer yields, and tell it what came of it."""
        advance: Callable[[], Call | None] = partial(next, steps)
        while True:
            try:
                with self.lock:
                    call = advance()
            except StopIteration:
                return
            try:
                # Without the lock: a handler may take its time, an abort from outside may not.
                result = (call or self._turn)()
            except Exception as error:
                advance = partial(steps.throw, error)
            else:
                advance = partial(steps.send, result)

    def _turn(self) -> None:
        """In the middle of an operation: send what is due, and receive what is there.

        It waits for a peer that takes nothing, but never for bytes. Requests that arrive wait for
        their turn, everything else is delivered at once. While one waits nothing more is read: a
        peer that does not keep to the negotiated window waits too, and fills no memory.
        """
        while self._send():
            pass
        event = self._next()
        if event is None and not self._deferred and self._receive(0.0):
            event = self._next()
        while event is not None:
            if isinstance(event, RequestReceived | ReleaseRequested):
                self._deferred.append(event)
            else:
                self._deliver(event)
            event = self._next()

    # The transport ------------------------------------------------------------------------------

    def _open(self) -> None:
        association = self._association
        try:
            transport = self._connect(self._seconds())
        except OSError as error:
            with self.lock:
                now = self._clock()
                if isinstance(error, TimeoutError):  # ours, or the system's before it
                    now = max(now, association.deadline or now)
                    association.handle_timeout(now)
                association.transport_closed(now, f"cannot connect: {error}")
        else:
            self._transport = transport
            with self.lock:
                association.transport_opened(self._clock())

    def _send(self, by: float | None = None) -> bool:
        """Give the transport what is due; False if nothing was."""
        association = self._association
        with self.lock:
            buffers = association.data_to_send()
            if not buffers or self._transport is None or self._broken:
                return False
            try:
                count = self._transport.send(buffers, self._seconds(by))
            except TimeoutError:
                association.data_sent(0, self._clock())
                association.handle_timeout(self._clock())
            except OSError as error:
                self._broken = f"the connection was lost: {error}"
            else:
                association.data_sent(count, self._clock())
        return True

    def _receive(self, seconds: float | None) -> bool:
        """Wait for bytes, the end of the stream or the deadline; False if nothing came."""
        association, transport = self._association, self._transport
        if self._broken:
            # Nothing can be sent any more, but what the peer said before it went is still there.
            seconds = 0.0
        try:
            if transport is None:
                raise ConnectionError("it was never opened")
            count = transport.receive_into(association.receive_buffer(), seconds)
            end = "" if count else self._broken or "the connection was closed"
        except TimeoutError:
            count, end = 0, self._broken
        except OSError as error:
            count, end = 0, self._broken or f"the connection was lost: {error}"
        now = self._clock()
        with self.lock:
            if count:
                association.buffer_filled(count, now)
            elif end:
                association.transport_closed(now, end)
            else:
                association.handle_timeout(now)
        return bool(count or end)

    # From outside -------------------------------------------------------------------------------

    def abort(self, text: str, patience: float = ABORT_PATIENCE) -> None:
        """Abort, from any thread: the A-ABORT leaves, or `patience` seconds pass.

        `settle` waits for what comes after it.
        """
        by = self._clock() + patience
        if not self.lock.acquire(timeout=patience):
            self.close()  # the loop is stuck in a send that the peer does not take
            return
        try:
            self._association.send_abort(self._clock(), text)
            while self._send(by) and self._clock() < by:
                pass
        finally:
            self.lock.release()

    def settle(self, patience: float = ABORT_PATIENCE) -> bool:
        """Wait until the connection is gone, at most `patience` seconds; then close it.

        From any thread: runs the loop unless another one does. False if that one still does.
        """
        if self._runner == threading.get_ident():
            return False
        by = self._clock() + patience
        if not self._loop.acquire(timeout=patience):
            self.close()  # whoever has the loop finds out
            return False
        try:
            self._run(lambda: False, by)
            self.close()
            self._run(lambda: False)  # ends at once: the transport is closed
        finally:
            self._loop.release()
        return True

    def close(self) -> None:
        """Close the transport, from any thread."""
        if self._transport is not None:
            self._transport.close()
