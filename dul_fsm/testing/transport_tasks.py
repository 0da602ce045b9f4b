"""What an asyncio transport must do besides: let others run, and bear to be cancelled.

One function per clause, as in `dul_fsm.testing.transport_stream`; these run in the event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, TypeAlias

from dul_fsm.testing import transport_tools as tools
from dul_fsm.testing.transport_loop import LoopBench
from dul_fsm.testing.transport_tools import Bench, Broken, Clause, arrived, counted, require
from dul_fsm.transports.aio import AsyncTransport
from dul_fsm.transports.base import Buffer

Check: TypeAlias = Callable[[LoopBench], Coroutine[Any, Any, None]]

CLAUSES: list[Clause] = []
"""These clauses, the simplest first."""

TURNS = 6
"""After so many turns of the loop, and fewer, a call is cancelled that is about to go on."""

LEFT_PATIENCE = 10.0
"""Seconds within which the tasks of closed connections must be gone."""


def clause(check: Check) -> None:
    """A decorator: the function is a clause, and its name is the clause in words."""
    CLAUSES.append(Clause(check.__name__.replace("_", " "), partial(_run, check)))


def _run(check: Check, bench: Bench) -> None:
    if not isinstance(bench, LoopBench):
        raise Broken("a clause for asyncio transports: use check_transport_async")
    bench.run(check)


def scratch() -> memoryview:
    """Somewhere to receive into."""
    return memoryview(bytearray(8))


async def send_all(end: AsyncTransport, data: Buffer) -> None:
    """Send `data`."""
    left = memoryview(data)
    while left:
        left = left[counted(await end.send([left], tools.PATIENCE), len(left), "send") :]


async def receive_exactly(end: AsyncTransport, length: int) -> bytes:
    """Receive `length` bytes."""
    data = bytearray(length)
    with memoryview(data) as left:
        while left:
            count = await end.receive_into(left, tools.PATIENCE)
            require(count, f"the stream ended, {len(left)} of {length} bytes early")
            left = left[counted(count, len(left), "receive_into") :]
    return bytes(data)


async def clog(end: AsyncTransport) -> bytes:
    """Send until nothing more fits; return what was taken."""
    taken, piece = bytearray(), bytes(range(241)) * 249
    with suppress(TimeoutError):
        while True:
            count = await end.send([piece], tools.SOON)
            taken += piece[: counted(count, len(piece), "send")]
    return bytes(taken)


async def blocked(call: Coroutine[Any, Any, int]) -> asyncio.Task[int]:
    """A task that waits in `call`."""
    task = asyncio.create_task(call)
    await asyncio.sleep(tools.SOON)
    return task


async def cancelled(task: asyncio.Task[int]) -> int | None:
    """Cancel it: what it has returned all the same, None if it was stopped."""
    task.cancel()
    await asyncio.wait([task], timeout=tools.PATIENCE)
    require(task.done(), "a call that was cancelled does not come back")
    return None if task.cancelled() else task.result()


def at_once(call: Coroutine[Any, Any, int], what: str) -> int:
    """What a call gives that must not suspend; raises what it raises."""
    try:
        call.send(None)
    except StopIteration as done:
        return int(done.value)
    call.close()
    raise Broken(f"{what} with a timeout of 0 suspends")


# Turns -------------------------------------------------------------------------------------------


@clause
async def a_call_that_may_not_wait_does_not_suspend(bench: LoopBench) -> None:
    """So that it can be neither cancelled half-way nor overtaken."""
    async with bench.opened_async() as (a, b):
        require(at_once(a.send([b"x"], 0), "send") == 1, "send did not take the one byte")
        arrived(await receive_exactly(b, 1), b"x")
        with tools.raises(TimeoutError, when="a receive with nothing there and timeout 0"):
            at_once(b.receive_into(scratch(), 0), "receive_into")
        await clog(a)
        with tools.raises(TimeoutError, when="a send into a clogged connection with timeout 0"):
            while True:
                at_once(a.send([bytes(1000)], 0), "send")


@clause
async def who_waits_holds_up_nobody_else(bench: LoopBench) -> None:
    async with bench.opened_async() as (a, _), bench.opened_async() as (c, d):
        receive = await blocked(a.receive_into(scratch(), None))
        await clog(c)
        send = await blocked(c.send([b"x"], None))
        await send_all(d, b"others")
        arrived(await receive_exactly(c, 6), b"others")
        require(not receive.done(), "receive_into came back before anything was sent")
        for task in (receive, send):
            await cancelled(task)


# Cancellation ------------------------------------------------------------------------------------


@clause
async def a_cancelled_receive_has_taken_nothing(bench: LoopBench) -> None:
    """Whenever it is cancelled; what its caller gets is then received by the next one."""
    for turns in range(TURNS):
        async with bench.opened_async() as (a, b):
            view = scratch()
            task = await blocked(b.receive_into(view, None))
            await send_all(a, b"x")
            for _ in range(turns):
                await asyncio.sleep(0)
            count = await cancelled(task)
            if count is None:
                arrived(await receive_exactly(b, 1), b"x")
                require(bytes(view) == bytes(8), "a cancelled receive_into has written")
            else:
                arrived(bytes(view[:count]), b"x")
            await send_all(a, b"y")
            arrived(await receive_exactly(b, 1), b"y")


@clause
async def a_cancelled_send_has_taken_nothing(bench: LoopBench) -> None:
    """Whenever it is cancelled: what arrives is what was taken, no more and no less."""
    for turns in range(TURNS):
        async with bench.opened_async() as (a, b):
            taken = await clog(a)
            piece = b"-" * 1000
            task = await blocked(a.send([piece], None))
            received = await receive_exactly(b, len(taken) // 2)
            for _ in range(turns):
                await asyncio.sleep(0)
            count = await cancelled(task) or 0
            last = asyncio.create_task(send_all(a, b"the end"))
            expected = taken + piece[:count] + b"the end"
            received += await receive_exactly(b, len(expected) - len(received))
            arrived(received, expected)
            await last


@clause
async def to_cancel_one_direction_leaves_the_other_waiting(bench: LoopBench) -> None:
    async with bench.opened_async() as (a, b):
        taken = await clog(a)
        send = await blocked(a.send([b"x"], None))
        receive = await blocked(a.receive_into(scratch(), None))
        await cancelled(receive)
        # It may be done: a system finds room as it sees fit. Then the byte follows the others.
        ended = send.done() and (send.cancelled() or send.exception() is not None)
        require(not ended, "to cancel receive_into has ended send")
        arrived(await receive_exactly(b, len(taken)), taken)
        require(await send == 1, "send did not take the one byte")
        await send_all(a, b"y")
        arrived(await receive_exactly(b, 1), b"x")
        receive = await blocked(a.receive_into(scratch(), None))
        await clog(a)
        send = await blocked(a.send([b"x"], None))
        if await cancelled(send) is None:
            require(not receive.done(), "to cancel send has ended receive_into")
        await send_all(b, b"x")
        require(await receive == 1, "receive_into did not return the one byte that was sent")


@clause
async def a_call_that_is_cancelled_after_close_comes_back(bench: LoopBench) -> None:
    async with bench.opened_async() as (a, _):
        task = await blocked(a.receive_into(scratch(), None))
        a.close()
        with suppress(OSError):
            await cancelled(task)


# What stays --------------------------------------------------------------------------------------


@clause
async def no_task_is_left_of_closed_connections(bench: LoopBench) -> None:
    """However they ended, and whatever was cancelled."""
    before = asyncio.all_tasks()
    async with bench.opened_async() as (a, b):
        await cancelled(await blocked(b.receive_into(scratch(), None)))
        await clog(a)
        await cancelled(await blocked(a.send([b"x"], None)))
    async with bench.opened_async() as (a, b):
        receive = await blocked(b.receive_into(scratch(), None))
        a.close()
        with suppress(OSError):
            await receive
    by = time.monotonic() + LEFT_PATIENCE
    while left := asyncio.all_tasks() - before:
        names = ", ".join(sorted(task.get_name() for task in left))
        require(time.monotonic() < by, f"tasks stay: {names}")
        await asyncio.sleep(0.001)
