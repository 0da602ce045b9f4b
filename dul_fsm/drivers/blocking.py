"""The blocking driver: one association, one transport, the threads of its callers.

The loop is that of `drivers.loop`; here each of its calls is made. It never polls and never sleeps:
a waiting driver is blocked in one read.

One thread runs the loop at a time; others may wait for it (see `shared`), and call `abort`,
`settle` and `close` at any time. The lock is held whenever the association is touched, and never
while waiting for bytes, for a peer that takes none, or for a handler.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from dul_fsm.association import Association
from dul_fsm.drivers.loop import ABORT_PATIENCE, Calls, End
from dul_fsm.drivers.shared import Follower, SharedLoop
from dul_fsm.errors import LocalProtocolError
from dul_fsm.services.performer import Performer
from dul_fsm.services.steps import Call, Steps
from dul_fsm.transports import Connector, Transport

__all__ = ["ABORT_PATIENCE", "BlockingDriver", "End"]


def _no_connector(timeout: float | None) -> Transport:
    raise ConnectionError("there is nothing to connect to")


def _dial(connector: Connector) -> Callable[[float | None], Transport]:
    return connector.connect


class BlockingDriver(SharedLoop):
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
            dial=_dial,
            acquire=self._acquire_right,
            acquire_now=partial(self._right.acquire, False),
            release=self._right.release,
            clock=clock,
        )
        self._inside: set[int] = set()  # threads that are in the loop, or send
        self.lock = threading.RLock()
        """To hold while touching the association."""

    def run(self, until: Callable[[], bool], by: float | None = None) -> None:
        """Until then, or `by`, or all is over: run the loop, or wait while another thread does.

        See `running`. Raises `LocalProtocolError` when called by a handler, from within.
        """
        self.check_outside()
        if self._lead(until, by):
            try:
                self._execute(self.running(until, by))
            finally:
                self._leave()

    def push(self, by: float | None = None) -> None:
        """Send what is due, though another thread may be running the loop."""
        self.check_outside()
        self._execute(self.pushing(by))

    def check_outside(self) -> None:
        """Raise `LocalProtocolError` when called from within the loop, by a handler."""
        if threading.get_ident() in self._inside:
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
        if threading.get_ident() in self._inside:
            return False
        by = self._clock() + patience
        if not self._lead(_never, by, follows=False):
            self.close()  # whoever has the loop finds out
            return False
        try:
            self._execute(self.running(_never, by))
            self.close()
            self._execute(self.running(_never))  # ends at once: the transport is closed
        finally:
            self._leave()
        return True

    # Who runs the loop --------------------------------------------------------------------------

    def _lead(
        self, until: Callable[[], bool], by: float | None = None, *, follows: bool = True
    ) -> bool:
        """Whether this thread runs the loop now; else it is `until`, or `by`.

        `follows`: whether it sends what is due, and minds the limits, while it waits.
        """
        with self.lock:
            leads = self._takes_the_lead(until, by)
        if leads is not None:  # as it nearly always is
            return leads
        woken = threading.Semaphore(0)
        follower = Follower(until, woken.release)
        try:
            while True:
                with self.lock:
                    leads = self._takes_the_lead(until, by)
                    if leads is not None:
                        return leads
                    self._followers[follower] = None
                if follows:
                    self._execute(self.pushing())
                if not woken.acquire(timeout=self.follow_for(by)) and follows:
                    self._mind_limits()
        finally:
            with self.lock:
                self._followers.pop(follower, None)
                if not leads:
                    self.wake_next()

    def _takes_the_lead(self, until: Callable[[], bool], by: float | None) -> bool | None:
        """Whether this thread runs the loop from now on, if nobody does; False if it need not,
        None if it has to wait for who does. The lock is held."""
        if until() or (by is not None and self._clock() >= by):
            return False
        if self._runner is not None:
            return None
        self._runner = threading.get_ident()
        return True

    def _leave(self) -> None:
        with self.lock:
            self.leave()

    def _mind_limits(self) -> None:
        with self.lock:
            if not self.overslept:
                return
            self._association.handle_timeout(self._clock())
        self._execute(self.sending(self._clock() + ABORT_PATIENCE))
        self.close()  # which ends the leader's read

    def _execute(self, calls: Calls) -> None:
        """Call what the loop yields, and tell it what came of it."""
        given: Any = None
        go_on: Callable[[Any], Call] = calls.send
        this = threading.get_ident()
        leads, outside = self._runner == this, this not in self._inside
        self._inside.add(this)
        try:
            while True:
                with self.lock:
                    try:
                        call = go_on(given)
                    except StopIteration:
                        return
                    finally:
                        given = None  # an exception and its own frame would be a cycle
                    if leads:
                        self._call = call
                    if self._followers:
                        self.tell_followers()
                try:
                    # Without the lock: it may take its time, an abort from outside may not.
                    go_on, given = calls.send, call()
                except BaseException as error:
                    go_on, given = calls.throw, error
        finally:
            if outside:
                self._inside.discard(this)
            if self._followers:
                with self.lock:
                    self.tell_followers()

    def _acquire_right(self, seconds: float | None) -> bool:
        return self._right.acquire(timeout=-1 if seconds is None else seconds)


def _never() -> bool:
    return False
