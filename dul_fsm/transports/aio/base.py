"""What a transport is in asyncio: the blocking contract, awaited.

Rules, on top of those of `dul_fsm.transports.base`, with "task" for "thread":
1. A call that need not wait does not suspend. What is moved is moved without a suspension between
   that and the return: a call that is cancelled has moved nothing, and may be made again.
2. `close` is a plain function, so that it can be called where nothing can be awaited any more.
3. Everything happens in the thread of the loop that the transport was opened in.

So a transport that has a blocking twin asks it, with a timeout of 0, and waits in between for a
reason to ask again. That is all that is here: `retry` asks, a `Waiter` waits.

What is *not* here: the bytes, which the twin moves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from dul_fsm.transports.base import Buffer

T = TypeVar("T")


class AsyncTransport(Protocol):
    """One open connection, asyncio kind.

    It may have three more attributes. `local` and `peer`: the ends' addresses as readable text.
    `in_place`: True if no byte of what is sent is looked at here, but the operating system takes it
    from where it lies; then a file that is sent is mapped, and with any other transport read.
    """

    async def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        """See `Transport.send`."""
        ...

    async def receive_into(self, view: memoryview, timeout: float | None) -> int:
        """See `Transport.receive_into`. `view` is written to before the return, never after."""
        ...

    def close(self) -> None:
        """See `Transport.close`. A task that is waiting comes back, with an `OSError`, or 0."""
        ...


class AsyncListener(Protocol):
    """Where peers connect to."""

    @property
    def address(self) -> str:
        """See `Listener.address`."""
        ...

    async def accept(self) -> AsyncTransport:
        """See `Listener.accept`. A call that is cancelled has accepted nothing."""
        ...

    def close(self) -> None:
        """See `Listener.close`."""
        ...


class AsyncConnector(Protocol):
    """An endpoint; one that is a `Connector` too serves both worlds."""

    async def connect_async(self, timeout: float | None) -> AsyncTransport:
        """See `Connector.connect`. A call that is cancelled leaves nothing open."""
        ...

    async def listen_async(self) -> AsyncListener:
        """See `Connector.listen`."""
        ...


class Waiter:
    """Where one task at a time waits until it is woken."""

    __slots__ = ("_future", "_loop")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[bool] | None = None

    async def wait(self, deadline: float | None) -> bool:
        """Return True when woken, False at `deadline`, which is on the loop's clock.

        Raises `RuntimeError` if another task waits here.
        """
        if self._future is not None:
            raise RuntimeError("another task waits for the same thing already")
        self._future = self._loop.create_future()
        timer = None if deadline is None else self._loop.call_at(deadline, self.wake, False)
        try:
            self._start()
            return await self._future
        finally:
            self._stop()
            self._future = None
            if timer is not None:
                timer.cancel()

    def wake(self, woken: bool = True) -> None:
        """Let whoever waits look again; nothing happens if nobody does."""
        # Always, and now: who was cancelled has not come back yet to do it.
        self._stop()
        if self._future is not None and not self._future.done():
            self._future.set_result(woken)

    def _start(self) -> None:
        """Somebody begins to wait."""

    def _stop(self) -> None:
        """Nobody waits any more; called more than once."""


class DescriptorWaiter(Waiter):
    """Waits until a descriptor is ready: `add` and `remove` are those of the loop."""

    __slots__ = ("_add", "_descriptor", "_remove", "_watched")

    def __init__(
        self,
        descriptor: int,
        add: Callable[[int, Callable[[], None]], object],
        remove: Callable[[int], object],
    ) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._add = add
        self._remove = remove
        self._watched = False

    def _start(self) -> None:
        self._add(self._descriptor, self.wake)
        self._watched = True

    def _stop(self) -> None:
        # Once for each start: the second time, the number may be another descriptor's.
        if self._watched:
            self._watched = False
            self._remove(self._descriptor)


def readable(descriptor: int) -> DescriptorWaiter:
    """Waits until a descriptor is readable."""
    loop = asyncio.get_running_loop()
    return DescriptorWaiter(descriptor, loop.add_reader, loop.remove_reader)


def writable(descriptor: int) -> DescriptorWaiter:
    """Waits until a descriptor is writable."""
    loop = asyncio.get_running_loop()
    return DescriptorWaiter(descriptor, loop.add_writer, loop.remove_writer)


async def retry(attempt: Callable[[], T], waiter: Waiter, timeout: float | None) -> T:
    """The first result of `attempt`, which raises `TimeoutError` where it would have to wait.

    It is asked at once, and again whenever `waiter` is woken. After `timeout` seconds its
    `TimeoutError` comes out; with 0 that is at once, without a suspension.
    """
    deadline: float | None = None
    while True:
        try:
            return attempt()
        except TimeoutError:
            if timeout is not None:
                if timeout <= 0:
                    raise  # and a `close` that tries may run where no loop does any more
                now = asyncio.get_running_loop().time()
                deadline = now + timeout if deadline is None else deadline
                if now >= deadline:
                    raise
        await waiter.wait(deadline)
