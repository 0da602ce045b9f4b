"""The blocking driver: one association, one transport, the caller's thread.

The loop is that of `drivers.loop`; here each of its calls is made. It never polls and never sleeps:
a waiting driver is blocked in one read.

One thread runs the loop at a time. Another may call `abort`, `settle` and `close` at any time; the
lock is held whenever the association is touched, and never while waiting for bytes, for a peer
that takes none, or for a handler.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from dul_fsm.association import Association
from dul_fsm.drivers.loop import ABORT_PATIENCE, Calls, End, Loop
from dul_fsm.errors import LocalProtocolError
from dul_fsm.services.performer import Performer, Steps
from dul_fsm.transports import Transport

__all__ = ["ABORT_PATIENCE", "BlockingDriver", "End"]


def _no_connector(timeout: float | None) -> Transport:
    raise ConnectionError("there is nothing to connect to")


class BlockingDriver(Loop):
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
        # Reentrant: the application's data source is asked while it is held, and may abort.
        self._right = threading.RLock()  # to send
        super().__init__(
            association,
            performer,
            transport=transport,
            connect=connect,
            acquire=self._acquire_right,
            release=self._right.release,
            clock=clock,
        )
        self._loop = threading.Lock()
        self._runner: int | None = None  # the thread that has the loop
        self.lock = threading.RLock()
        """To hold while touching the association."""

    def run(self, until: Callable[[], bool]) -> None:
        """See `running`. Raises `LocalProtocolError` when called by a handler, from within."""
        self.check_outside()
        with self._loop:
            self._run(until)

    def check_outside(self) -> None:
        """Raise `LocalProtocolError` when called from within the loop, by a handler."""
        if self._runner == threading.get_ident():
            raise LocalProtocolError("a handler cannot wait for the association that it serves")

    def perform(self, steps: Steps) -> None:
        """Call what the performer yields, and tell it what came of it."""
        self._execute(self.performing(steps))

    def abort(self, text: str, patience: float = ABORT_PATIENCE) -> None:
        """Abort, from any thread: the A-ABORT leaves, or `patience` seconds pass.

        `settle` waits for what comes after it.
        """
        by = self._clock() + patience
        if not self.lock.acquire(timeout=patience):
            self.close()  # the loop is stuck in a source that has nothing
            return
        try:
            self._association.send_abort(self._clock(), text)
        finally:
            self.lock.release()
        self._execute(self.sending(by))

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

    def _run(self, until: Callable[[], bool], by: float | None = None) -> None:
        self._runner = threading.get_ident()
        try:
            self._execute(self.running(until, by))
        finally:
            self._runner = None

    def _execute(self, calls: Calls) -> None:
        """Call what the loop yields, and tell it what came of it."""
        result: Any = None
        failure: BaseException | None = None
        while True:
            try:
                with self.lock:
                    call = calls.send(result) if failure is None else calls.throw(failure)
            except StopIteration:
                return
            finally:
                result = failure = None  # an exception and its own frame would be a cycle
            try:
                # Without the lock: it may take its time, an abort from outside may not.
                result = call()
            except BaseException as error:
                failure = error

    def _acquire_right(self, seconds: float | None) -> bool:
        return self._right.acquire(timeout=-1 if seconds is None else seconds)
