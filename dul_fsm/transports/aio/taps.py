"""A tap on an asyncio connection: how it waits.

What is *not* here: the tap and the endpoint, which are for both (`dul_fsm.transports.taps`).
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from contextlib import suppress

from dul_fsm.transports.aio.base import AsyncTransport, Waiter
from dul_fsm.transports.aio.wrapping import AsyncWrapper
from dul_fsm.transports.base import Buffer
from dul_fsm.transports.taps import Tap, Tapping
from dul_fsm.transports.waiting import deadline_in, seconds_to


class AsyncTappedTransport(AsyncWrapper):
    """A connection with a tap on it. What comes first is sent and read when it is needed."""

    def __init__(self, lower: AsyncTransport, tap: Tap) -> None:
        """Take over an open connection, of which nothing was sent or received yet."""
        super().__init__(lower)
        self._tapping = Tapping(tap)
        self._speaking = False  # one of the two tasks sends what comes first
        self._free = Waiter()  # where the other one waits for that

    @property
    def peer(self) -> str:
        """The other end, as the tap names it, once it was told; else as the transport below does.

        It was told when something was received: nothing can wait here.
        """
        return self._tapping.tap.peer or super().peer

    async def start(self, timeout: float | None) -> None:
        """Send what comes first. As `send`, which does it too; it may be called again."""
        await self._speak(deadline_in(timeout))

    async def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        """See `AsyncTransport.send`."""
        if self._tapping.opening:
            deadline = deadline_in(timeout)
            await self._speak(deadline)
            timeout = seconds_to(deadline)
        count = await self.lower.send(buffers, timeout)
        self._tapping.sent(buffers, count)
        return count

    async def receive_into(self, view: memoryview, timeout: float | None) -> int:
        """See `AsyncTransport.receive_into`. `ConnectionError` for a peer that began wrongly."""
        tapping = self._tapping
        if (tapping.opening or tapping.listening) and view.nbytes:
            deadline = deadline_in(timeout)
            with suppress(ConnectionError):  # a peer that is gone has perhaps said something first
                await self._speak(deadline)
            while tapping.listening:
                room = tapping.room()
                count = await self.lower.receive_into(room, seconds_to(deadline))
                tapping.heard(room[:count])
            timeout = seconds_to(deadline)
        count = await self.lower.receive_into(view, timeout)
        tapping.received(view, count)
        return count

    def close(self) -> None:
        """See `AsyncTransport.close`."""
        super().close()
        self._tapping.close()

    async def _speak(self, deadline: float | None) -> None:
        tapping = self._tapping
        while self._speaking:
            if seconds_to(deadline) == 0 or not await self._free.wait(deadline):
                raise TimeoutError(errno.ETIMEDOUT, "what comes first is not over yet")
        self._speaking = True
        try:
            while tapping.opening:
                count = await self.lower.send([tapping.opening], seconds_to(deadline))
                tapping.opening = tapping.opening[count:]
        finally:
            self._speaking = False
            self._free.wake()
