"""Asyncio transports that are each broken in one way: what `check_transport_async` must catch.

Those of `broken_transports` serve here too, each call in a thread. The others wrap a loopback and
break what only asyncio asks for.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from dul_fsm.testing.transport_loop import MakeAsyncPair
from dul_fsm.transports import pair as blocking_pair
from dul_fsm.transports.aio import AsyncTransport, loopback
from dul_fsm.transports.aio.loopback import AsyncLoopbackTransport
from dul_fsm.transports.base import Buffer, Transport
from tests.testing.broken_transports import Sound as BlockingSound

T = TypeVar("T")


async def in_thread(call: Callable[..., T], *arguments: Any) -> T:
    """A call in a daemon thread: it may never come back, and must not keep the loop from ending."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(error: Exception | None, result: Any) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)

    def run() -> None:
        nonlocal arguments
        try:
            outcome = (None, call(*arguments))
        except Exception as error:
            outcome = (error, None)  # type: ignore[assignment]
        arguments = ()  # before anybody is told: no buffer is kept
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, *outcome)

    threading.Thread(target=run, daemon=True).start()
    return await done


class Threaded:
    """A blocking transport as an asyncio one that waits in threads."""

    def __init__(self, inner: Transport) -> None:
        self.inner = inner

    async def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        return await in_thread(self.inner.send, buffers, timeout)

    async def receive_into(self, view: memoryview, timeout: float | None) -> int:
        return await in_thread(self.inner.receive_into, view, timeout)

    def close(self) -> None:
        self.inner.close()


def threaded(kind: type[BlockingSound]) -> MakeAsyncPair:
    """A pair of a blocking kind."""

    async def make_pair() -> tuple[AsyncTransport, AsyncTransport]:
        one, other = blocking_pair()
        return Threaded(kind(one, first=True)), Threaded(kind(other, first=False))

    return make_pair


class Sound:
    """Passes everything on, and spoils nothing."""

    def __init__(self, inner: AsyncLoopbackTransport) -> None:
        self.inner = inner

    async def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        return await self.inner.send(buffers, timeout)

    async def receive_into(self, view: memoryview, timeout: float | None) -> int:
        return await self.inner.receive_into(view, timeout)

    def close(self) -> Any:
        self.inner.close()


BROKEN: dict[str, type[Sound]] = {}
"""By the clause that each does not keep."""


def breaks(clause: str) -> Callable[[type[Sound]], type[Sound]]:
    """It breaks this clause."""

    def add(kind: type[Sound]) -> type[Sound]:
        BROKEN[clause] = kind
        return kind

    return add


def make_pair_of(kind: type[Sound]) -> Callable[[], Coroutine[Any, Any, tuple[Sound, Sound]]]:
    """What `check_transport_async` is given."""

    async def make_pair() -> tuple[Sound, Sound]:
        one, other = loopback.pair()
        return kind(one), kind(other)

    return make_pair


@breaks("a call that may not wait does not suspend")
class Polite(Sound):
    """Lets others go first."""

    async def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        await asyncio.sleep(0)
        return await self.inner.send(buffers, timeout)


STUCK: list[AsyncLoopbackTransport] = []
"""What a test must close to free a loop."""


@breaks("who waits holds up nobody else")
class Blocking(Sound):
    """Waits as if it had a thread of its own."""

    async def receive_into(self, view: memoryview, timeout: float | None) -> int:
        STUCK.append(self.inner)
        return self.inner.blocking.receive_into(view, timeout)


@breaks("a cancelled receive has taken nothing")
class Loser(Sound):
    """Suspends with bytes in its hands."""

    async def receive_into(self, view: memoryview, timeout: float | None) -> int:
        count = await self.inner.receive_into(view, timeout)
        await asyncio.sleep(0)
        return count


@breaks("a cancelled send has taken nothing")
class Forger(Sound):
    """Suspends after it has taken bytes."""

    async def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        count = await self.inner.send(buffers, timeout)
        await asyncio.sleep(0)
        return count


@breaks("to cancel one direction leaves the other waiting")
class Touchy(Sound):
    """Takes a cancelled call for the end of everything."""

    async def receive_into(self, view: memoryview, timeout: float | None) -> int:
        try:
            return await self.inner.receive_into(view, timeout)
        except asyncio.CancelledError:
            self.inner.close()
            raise


class Overtaken(Sound):
    """Takes a cancelled receive for the end of the send beside it, which says it has sent."""

    def __init__(self, inner: AsyncLoopbackTransport) -> None:
        super().__init__(inner)
        self.over = asyncio.Event()

    async def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        send = asyncio.create_task(self.inner.send(buffers, timeout))
        over = asyncio.create_task(self.over.wait())
        await asyncio.wait((send, over), return_when=asyncio.FIRST_COMPLETED)
        over.cancel()
        if send.done():
            return send.result()
        send.cancel()
        return sum(memoryview(buffer).nbytes for buffer in buffers)

    async def receive_into(self, view: memoryview, timeout: float | None) -> int:
        try:
            return await self.inner.receive_into(view, timeout)
        except asyncio.CancelledError:
            self.over.set()
            raise


class Roomy(Sound):
    """Sound: has room for a little more now and then, as kernels do, even when nobody receives."""

    async def receive_into(self, view: memoryview, timeout: float | None) -> int:
        try:
            return await self.inner.receive_into(view, timeout)
        except asyncio.CancelledError:
            pipe = self.inner.blocking._out
            with pipe.changed:
                pipe.capacity += 1
                pipe.changed.notify_all()
            raise


@breaks("a call that is cancelled after close comes back")
class Mourning(Sound):
    """After close it waits for what will never come, cancelled or not."""

    async def receive_into(self, view: memoryview, timeout: float | None) -> int:
        try:
            return await self.inner.receive_into(view, timeout)
        except (OSError, asyncio.CancelledError):
            return await asyncio.get_running_loop().create_future() or 0


@breaks("no task is left of closed connections")
class Attended(Sound):
    """Has a task that stays."""

    def __init__(self, inner: AsyncLoopbackTransport) -> None:
        super().__init__(inner)
        self.task = asyncio.create_task(asyncio.sleep(3600), name="the one that stays")


class Awaited(Sound):
    """Its close is to be awaited, which not everybody can who must close."""

    async def close(self) -> None:
        self.inner.close()


class Careless(Sound):
    """Lets a task of its own fail, and looks away."""

    def close(self) -> None:
        asyncio.get_running_loop().call_soon(self.fail)
        self.inner.close()

    def fail(self) -> None:
        raise KeyError("nobody is told")
