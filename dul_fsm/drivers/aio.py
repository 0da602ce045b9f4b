"""The asyncio driver: one association, one transport, whatever task waits for it.

The loop is that of `drivers.loop`; here each of its calls is awaited. One task runs it at a time;
others may wait for it (see `shared`), and `abort`, `settle` and `close` meanwhile.

A call that is cancelled has moved no bytes, so the association is as it was before, unless it was
a handler's (`torn`); who called decides what then becomes of it. Plain functions of a handler run
in the event loop and hold up everybody; those that take their time are coroutine functions.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, Awaitable, Callable
from contextlib import suppress
from typing import Any

from dul_fsm.association import Association
from dul_fsm.drivers.loop import ABORT_PATIENCE, Calls
from dul_fsm.drivers.shared import Follower, SharedLoop
from dul_fsm.errors import LocalProtocolError
from dul_fsm.services.performer import Performer
from dul_fsm.services.steps import Call, Steps
from dul_fsm.transports.aio import AsyncConnector, AsyncTransport

FAIR_SHARE = 0.005
"""Seconds for which one association may keep the event loop busy while others wait. A transport
that always has bytes never makes its reader wait."""


async def _no_connector(timeout: float | None) -> AsyncTransport:
    raise ConnectionError("there is nothing to connect to")


def _dial(connector: AsyncConnector) -> Callable[[float | None], Awaitable[AsyncTransport]]:
    return connector.connect_async


class AsyncDriver(SharedLoop):
    """Runs one association."""

    def __init__(
        self,
        association: Association,
        performer: Performer,
        *,
        transport: AsyncTransport | None = None,
        connect: Callable[[float | None], Awaitable[AsyncTransport]] = _no_connector,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`transport` is open already (acceptor), or `connect` opens one, given seconds."""
        right = _Right()
        super().__init__(
            association,
            performer,
            transport=transport,
            connect=connect,
            dial=_dial,
            acquire=right.acquire,
            acquire_now=right.acquire_now,
            release=right.release,
            clock=clock,
        )
        self.torn = False
        """Whether what a handler was doing was cancelled: it cannot be taken up again."""

    async def run(self, until: Callable[[], bool], by: float | None = None) -> None:
        """Until then, or `by`, or all is over: run the loop, or wait while another task does.

        See `running`. Raises `LocalProtocolError` when called by a handler, from within.
        """
        self.check_outside()
        if await self._lead(until, by):
            try:
                await self._execute(self.running(until, by))
            finally:
                self.leave()

    async def push(self, by: float | None = None) -> None:
        """Send what is due, though another task may be running the loop."""
        await self._execute(self.pushing(by))

    @property
    def led(self) -> bool:
        """Whether a task runs the loop."""
        return self._runner is not None

    def check_outside(self) -> None:
        """Raise `LocalProtocolError` when called from within the loop, by a handler."""
        if self._runner is asyncio.current_task():
            raise LocalProtocolError("a handler cannot wait for the association that it serves")

    async def perform(self, steps: Steps) -> None:
        """Call what the performer yields, and tell it what came of it."""
        await self._execute(self.performing(steps))

    async def abort(self, text: str, patience: float = ABORT_PATIENCE) -> None:
        """Abort, from any task: the A-ABORT leaves, or `patience` seconds pass.

        `settle` waits for what comes after it.
        """
        self._association.send_abort(self._clock(), text)
        await self._execute(self.sending(self._clock() + patience))

    async def settle(self, patience: float = ABORT_PATIENCE) -> bool:
        """Wait until the connection is gone, at most `patience` seconds; then close it.

        From any task: runs the loop unless another one does. False if that one still does. It is
        closed whatever happens.
        """
        if self._runner is asyncio.current_task():
            return False
        by = self._clock() + patience
        mine = False
        try:
            mine = await self._lead(_never, by, follows=False)
        finally:
            if not mine:
                self.close()  # whoever has the loop finds out
        if not mine:
            return False
        try:
            await self._execute(self.running(_never, by))
        finally:
            self.close()
            try:
                await self._execute(self.running(_never))  # ends at once: the transport is closed
            finally:
                self.leave()
        return True

    # Who runs the loop --------------------------------------------------------------------------

    async def _lead(
        self, until: Callable[[], bool], by: float | None = None, *, follows: bool = True
    ) -> bool:
        """Whether this task runs the loop now; else it is `until`, or `by`.

        `follows`: whether it sends what is due, and minds the limits, while it waits.
        """
        woken = asyncio.Event()
        follower, leads = Follower(until, woken.set), False
        try:
            while not until() and (by is None or self._clock() < by):
                leads = self._runner is None
                if leads:
                    self._runner = asyncio.current_task()
                    break
                self._followers[follower] = None
                if follows:
                    await self._execute(self.pushing())
                if not await _told(woken, self.follow_for(by)) and follows:
                    await self._mind_limits()
                woken.clear()
        finally:
            self._followers.pop(follower, None)
            if not leads:
                self.wake_next()
        return leads

    async def _mind_limits(self) -> None:
        if self.overslept:
            self._association.handle_timeout(self._clock())
            await self._execute(self.sending(self._clock() + ABORT_PATIENCE))
            self.close()  # which ends the leader's read

    async def _execute(self, calls: Calls) -> None:
        """Call what the loop yields, await what that gives, and tell the loop what came of it."""
        result: Any = None
        failure: Exception | None = None
        now = asyncio.get_running_loop().time
        fair = now() + FAIR_SHARE
        leads = self._runner is asyncio.current_task()
        while True:
            try:
                call = calls.send(result) if failure is None else calls.throw(failure)
            except StopIteration:
                return
            finally:
                result = failure = None  # an exception and its own frame would be a cycle
                if self._followers:
                    self.tell_followers()
            if leads:
                self._call = call
            try:
                if now() > fair:
                    await asyncio.sleep(0)
                    fair = now() + FAIR_SHARE
                result = call()
                if hasattr(result, "__await__"):
                    result = await result
                if hasattr(result, "__aiter__"):
                    result = _Matches(result)
            except Exception as error:
                failure = error
            except BaseException as error:
                await self._interrupt(calls, call, error)
                raise

    async def _interrupt(self, calls: Calls, call: Call, error: BaseException) -> None:
        """Cancelled, or as bad: let the loop and the handler's iterator clean up."""
        performances = len(self._performances)
        with suppress(type(error)):
            calls.throw(error)
        if not self.is_io(call) or len(self._performances) < performances:
            self.torn = True
        for asked in getattr(call, "args", ()):
            if isinstance(asked, _Matches):
                await asked.close()


def _never() -> bool:
    return False


class _Matches:
    """An asynchronous iterator of matches, as the performer wants it: what it gives is awaited."""

    def __init__(self, matches: AsyncIterable[Any]) -> None:
        self._matches = aiter(matches)

    def __iter__(self) -> _Matches:
        return self

    def __next__(self) -> Awaitable[Any]:
        return anext(self._matches, None)

    async def close(self) -> None:
        aclose = getattr(self._matches, "aclose", None)
        if aclose is not None:
            await aclose()


class _Right:
    """The right to send, which one task has at a time: a lock that is free can be had at once.

    Nobody waits long, and hardly ever more than one: an abort while the peer takes nothing.
    """

    def __init__(self) -> None:
        self._had = False
        self._returned = asyncio.Event()

    def acquire_now(self) -> bool:
        """Get it if nobody has it."""
        had, self._had = self._had, True
        return not had

    async def acquire(self, seconds: float | None) -> bool:
        """Wait for it; False if that took too long."""
        try:
            async with asyncio.timeout(seconds):
                while not self.acquire_now():
                    self._returned.clear()
                    await self._returned.wait()
        except TimeoutError:
            return False
        return True

    def release(self) -> None:
        """Give it to whoever comes first."""
        self._had = False
        self._returned.set()


async def _told(woken: asyncio.Event, seconds: float | None) -> bool:
    """Wait for an event; False if that could not be done in time."""
    try:
        async with asyncio.timeout(seconds):
            return await woken.wait()
    except TimeoutError:
        return False
