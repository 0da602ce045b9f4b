"""The asyncio driver: one association, one transport, whatever task waits for it.

The loop is that of `drivers.loop`; here each of its calls is awaited. One task runs it at a time;
others may `abort`, `settle` and `close` meanwhile.

A call that is cancelled has moved no bytes, so the association is as it was before; who called
decides what then becomes of it. Plain functions of a handler run in the event loop and hold up
everybody; those that take their time are coroutine functions.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

from dul_fsm.association import Association
from dul_fsm.drivers.loop import ABORT_PATIENCE, Calls, Loop
from dul_fsm.errors import LocalProtocolError
from dul_fsm.services.performer import Call, Performer, Steps
from dul_fsm.transports.aio import AsyncTransport

FAIR_SHARE = 0.005
"""Seconds for which one association may keep the event loop busy while others wait. A transport
that always has bytes never makes its reader wait."""


async def _no_connector(timeout: float | None) -> AsyncTransport:
    raise ConnectionError("there is nothing to connect to")


class AsyncDriver:
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
        self._clock = clock
        self._sending = asyncio.Lock()
        self._turn = asyncio.Lock()
        self._runner: asyncio.Task[Any] | None = None  # the task that has the loop
        self._matches: _Matches | None = None  # what a handler is being asked for
        self.loop = Loop(
            association,
            performer,
            transport=transport,
            connect=connect,
            acquire=partial(_acquire, self._sending),
            release=self._sending.release,
            clock=clock,
        )
        """The loop, with what it has to show: `responses`, `end`."""

    async def run(self, until: Callable[[], bool]) -> None:
        """See `Loop.run`. Raises `LocalProtocolError` when called by a handler, from within."""
        self.check_outside()
        async with self._turn:
            await self._run(self.loop.run(until))

    def check_outside(self) -> None:
        """Raise `LocalProtocolError` when called from within the loop, by a handler."""
        if self._runner is asyncio.current_task():
            raise LocalProtocolError("a handler cannot wait for the association that it serves")

    async def perform(self, steps: Steps) -> None:
        """See `Loop.perform`."""
        await self._execute(self.loop.perform(steps))

    async def abort(self, text: str, patience: float = ABORT_PATIENCE) -> None:
        """Abort, from any task: the A-ABORT leaves, or `patience` seconds pass.

        `settle` waits for what comes after it.
        """
        await self._execute(self.loop.abort(text, self._clock() + patience))

    async def settle(self, patience: float = ABORT_PATIENCE) -> bool:
        """Wait until the connection is gone, at most `patience` seconds; then close it.

        From any task: runs the loop unless another one does. False if that one still does. It is
        closed whatever happens.
        """
        if self._runner is asyncio.current_task():
            return False
        by = self._clock() + patience
        try:
            if not await _acquire(self._turn, patience):
                return False  # whoever has the loop finds out
            try:
                await self._run(self.loop.settle(by))
            finally:
                self._turn.release()
        finally:
            self.loop.close()
        return True

    async def _run(self, calls: Calls) -> None:
        self._runner = asyncio.current_task()
        try:
            await self._execute(calls)
        finally:
            self._runner = None

    async def _execute(self, calls: Calls) -> None:
        """Call what the loop yields, await what that gives, and tell the loop what came of it."""
        advance: Callable[[], Call] = partial(next, calls)
        now = asyncio.get_running_loop().time
        fair = now() + FAIR_SHARE
        while True:
            try:
                call = advance()
            except StopIteration:
                return
            try:
                if now() > fair:
                    await asyncio.sleep(0)
                    fair = now() + FAIR_SHARE
                result = call()
                if hasattr(result, "__await__"):
                    result = await result
                if hasattr(result, "__aiter__"):
                    result = self._matches = _Matches(result)
            except Exception as error:
                advance = partial(calls.throw, error)
            except BaseException as error:
                await self._interrupt(calls, error)
                raise
            else:
                advance = partial(calls.send, result)

    async def _interrupt(self, calls: Calls, error: BaseException) -> None:
        """Cancelled, or as bad: let the loop and the handler's iterator clean up."""
        with suppress(type(error)):
            calls.throw(error)
        if self._matches is not None:
            await self._matches.close()


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


async def _acquire(lock: asyncio.Lock, seconds: float | None) -> bool:
    """Take a lock; False if that could not be done in time."""
    if not lock.locked():
        return await lock.acquire()
    try:
        async with asyncio.timeout(seconds):
            return await lock.acquire()
    except TimeoutError:
        return False
