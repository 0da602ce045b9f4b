"""The loopback in asyncio: the blocking kind asked with a timeout of 0, faults and all.

The other end may be in the same loop, in another loop's thread, or in a thread without one.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from dul_fsm.transports import loopback
from dul_fsm.transports.aio.base import Waiter, retry
from dul_fsm.transports.base import Buffer
from dul_fsm.transports.loopback import (
    CAPACITY,
    Faults,
    Loopback,
    LoopbackListener,
    LoopbackTransport,
)


class ThreadWaiter(Waiter):
    """One that any thread may wake."""

    __slots__ = ("_thread",)

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()

    def wake_from_anywhere(self) -> None:
        """As `wake`; from another thread it is never too early, for the loop is told."""
        if threading.get_ident() == self._thread:
            self.wake()
        else:
            with suppress(RuntimeError):  # the loop is closed, and nobody waits any more
                self._loop.call_soon_threadsafe(self.wake)


class AsyncLoopbackTransport:
    """One end of a connection within this process."""

    __slots__ = ("_arrived", "_taken", "blocking", "local", "peer")

    def __init__(self, blocking: LoopbackTransport) -> None:
        """Take over one end."""
        self.blocking = blocking
        """The end itself, on which things can be made to go wrong."""
        self._arrived = ThreadWaiter()
        self._taken = ThreadWaiter()
        blocking.watch(self._arrived.wake_from_anywhere, self._taken.wake_from_anywhere)
        self.local = blocking.local
        """This end's name."""
        self.peer = blocking.peer
        """The other end's name."""

    async def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        """See `AsyncTransport.send`."""
        return await retry(partial(self.blocking.send, buffers, 0), self._taken, timeout)

    async def receive_into(self, view: memoryview, timeout: float | None) -> int:
        """See `AsyncTransport.receive_into`."""
        return await retry(partial(self.blocking.receive_into, view, 0), self._arrived, timeout)

    def close(self) -> None:
        """See `AsyncTransport.close`."""
        self.blocking.close()


class AsyncLoopbackListener:
    """Where ends of this process connect to. One task accepts."""

    def __init__(self, blocking: LoopbackListener) -> None:
        """Take over a listener."""
        self._blocking = blocking
        self._arrival = ThreadWaiter()
        with blocking.changed:
            blocking.changed.watchers.append(self._arrival.wake_from_anywhere)
        self.address = blocking.address
        """The endpoint's name."""

    async def accept(self) -> AsyncLoopbackTransport:
        """See `AsyncListener.accept`."""
        while (accepted := self._blocking.accept_now()) is None:
            await self._arrival.wait(None)
        return AsyncLoopbackTransport(accepted)

    def close(self) -> None:
        """See `AsyncListener.close`."""
        self._blocking.close()
        with self._blocking.changed, suppress(ValueError):  # closed before
            self._blocking.changed.watchers.remove(self._arrival.wake_from_anywhere)


async def connect(endpoint: Loopback, timeout: float | None) -> AsyncLoopbackTransport:
    """See `Loopback.connect`."""
    room = ThreadWaiter()
    with endpoint.changed:
        endpoint.changed.watchers.append(room.wake_from_anywhere)
    try:
        return AsyncLoopbackTransport(await retry(partial(endpoint.connect, 0), room, timeout))
    finally:
        with endpoint.changed:
            endpoint.changed.watchers.remove(room.wake_from_anywhere)


def pair(
    capacity: int = CAPACITY,
    faults: Faults | None = None,
    peer_faults: Faults | None = None,
) -> tuple[AsyncLoopbackTransport, AsyncLoopbackTransport]:
    """Two connected ends, see `loopback.pair`."""
    first, second = loopback.pair(capacity, faults, peer_faults)
    return AsyncLoopbackTransport(first), AsyncLoopbackTransport(second)
