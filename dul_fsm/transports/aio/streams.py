"""Descriptors in asyncio: the blocking kind asked with a timeout of 0, and a wait for them.

What is *not* here: what is done with the descriptors, and their end (`dul_fsm.transports.streams`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from dul_fsm.transports.aio.base import Waiter, readable, retry, writable
from dul_fsm.transports.base import Buffer
from dul_fsm.transports.streams import DescriptorTransport, OnceListener, SocketListener


class AsyncDescriptorTransport:
    """A stream each way over one descriptor, or one for each way."""

    def __init__(self, blocking: DescriptorTransport) -> None:
        """Take over an open connection."""
        self._blocking = blocking
        self._readable = readable(blocking.reading)
        self._writable = writable(blocking.writing)
        self.local = blocking.local
        """This end's name."""
        self.peer = blocking.peer
        """The other end's name."""

    async def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        """See `AsyncTransport.send`."""
        return await retry(partial(self._blocking.send, buffers, 0), self._writable, timeout)

    async def receive_into(self, view: memoryview, timeout: float | None) -> int:
        """See `AsyncTransport.receive_into`."""
        return await retry(partial(self._blocking.receive_into, view, 0), self._readable, timeout)

    def close(self) -> None:
        """See `AsyncTransport.close`."""
        # The loop must have let go of the descriptors when they are closed.
        self._readable.wake()
        self._writable.wake()
        self._blocking.close()


class AsyncSocketListener:
    """Accepts connections that are `DescriptorTransport`s. One task accepts."""

    def __init__(self, blocking: SocketListener) -> None:
        """Take over a listener."""
        self._blocking = blocking
        self._arrival = readable(blocking.fileno())
        self.address = blocking.address
        """Where peers reach it, in words."""

    async def accept(self) -> AsyncDescriptorTransport:
        """See `AsyncListener.accept`."""
        while (accepted := self._blocking.accept_now()) is None:
            await self._arrival.wait(None)
        if not isinstance(accepted, DescriptorTransport):
            accepted.close()
            raise TypeError("asyncio waits for a DescriptorTransport only")
        return AsyncDescriptorTransport(accepted)

    def close(self) -> None:
        """See `AsyncListener.close`."""
        self._arrival.wake()
        self._blocking.close()


class AsyncOnceListener:
    """Accepts the one connection that it was given, and then waits to be closed."""

    def __init__(self, blocking: OnceListener) -> None:
        """Take over a listener."""
        self._blocking = blocking
        self._closing = Waiter()
        self.address = blocking.address
        """Where peers reach it, in words."""

    async def accept(self) -> AsyncDescriptorTransport:
        """See `AsyncListener.accept`."""
        while (accepted := self._blocking.accept_now()) is None:
            await self._closing.wait(None)
        return AsyncDescriptorTransport(accepted)

    def close(self) -> None:
        """See `AsyncListener.close`."""
        self._blocking.close()
        self._closing.wake()
