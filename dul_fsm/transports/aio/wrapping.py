"""An asyncio transport around another one: the twin of `dul_fsm.transports.wrapping`.

    class Counted(AsyncWrapper):
        sent = 0

        async def send(self, buffers, timeout):
            count = await self.lower.send(buffers, timeout)
            self.sent += count  # nothing is awaited between what was moved and the return
            return count

What is *not* here: any thing that is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dul_fsm.transports.aio.base import AsyncListener, AsyncTransport
from dul_fsm.transports.base import Buffer
from dul_fsm.transports.wrapping import Passing, closed_if_it_fails


class AsyncWrapper(Passing):
    """A transport that passes everything on to another."""

    def __init__(self, lower: AsyncTransport) -> None:
        """Take over an open connection."""
        super().__init__(lower)
        self.lower = lower
        """The transport below."""

    async def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        """See `AsyncTransport.send`."""
        return await self.lower.send(buffers, timeout)

    async def receive_into(self, view: memoryview, timeout: float | None) -> int:
        """See `AsyncTransport.receive_into`."""
        return await self.lower.receive_into(view, timeout)


class AsyncWrappedListener:
    """Accepts what another listener accepts, and wraps it."""

    def __init__(
        self, lower: AsyncListener, wrap: Callable[[AsyncTransport], AsyncTransport]
    ) -> None:
        """Take over a listener."""
        self.address = lower.address
        """Where the listener below listens."""
        self._lower = lower
        self._wrap = wrap

    async def accept(self) -> AsyncTransport:
        """See `AsyncListener.accept`. Raises what `wrap` raises; the connection is closed then."""
        with closed_if_it_fails(await self._lower.accept()) as accepted:
            return self._wrap(accepted)

    def close(self) -> None:
        """See `AsyncListener.close`."""
        self._lower.close()
