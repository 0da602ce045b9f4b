"""TLS in asyncio, over any other asyncio transport.

Rules, on top of those of an asyncio transport:
1. The handshake happens in the first `receive_into` or `send`, under a deadline of its own, so that
   who says nothing delays nobody but itself.
2. Nothing that was decrypted waits while somebody receives.
3. What was encrypted was taken. It leaves without a suspension as far as the transport below takes
   it; where that is clogged, a task that lives as long as that takes sends the rest. So a call that
   is cancelled has moved nothing.
4. The peer's close_notify is the end of the stream. An end without it is a `TLSError`.

What is *not* here: TLS itself (`dul_fsm.transports.tls_engine`), and TCP.
"""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from dul_fsm.transports.aio.base import AsyncListener, AsyncTransport, Waiter
from dul_fsm.transports.base import Buffer
from dul_fsm.transports.tls_end import (
    HANDSHAKE_TIMEOUT,
    LINGER,
    READ_SIZE,
    Report,
    TLSEnd,
)
from dul_fsm.transports.tls_engine import TLSError
from dul_fsm.transports.waiting import deadline_in, seconds_to

FIRST_READ_SIZE = 1 << 12
"""Bytes of ciphertext in one receive until a receive was filled: of thousands of connections most
never say much."""

T = TypeVar("T")


def at_once(call: Coroutine[Any, Any, T]) -> T:
    """The result of a call that does not suspend, as those with a timeout of 0."""
    try:
        call.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    call.close()
    raise RuntimeError("a transport must not suspend a call with a timeout of 0")


class AsyncTLSTransport(TLSEnd):
    """One TLS connection over another transport."""

    def __init__(
        self,
        lower: AsyncTransport,
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
        report: Report | None = None,
    ) -> None:
        """Take over an open connection; the handshake happens when it is needed.

        `server_hostname`: whom the peer's certificate must name, for a context that checks it.
        """
        super().__init__(
            lower,
            context,
            server_side=server_side,
            server_hostname=server_hostname,
            handshake_timeout=handshake_timeout,
            report=report,
        )
        self._lower = lower
        self._loop = asyncio.get_running_loop()
        self._handshaking = asyncio.Lock()
        self._ciphertext = memoryview(bytearray(FIRST_READ_SIZE))
        self._receiving = False  # somebody is in `receive_into` of the transport below
        self._rest = memoryview(b"")  # ciphertext that it has not taken
        self._tail: asyncio.Task[None] | None = None  # sends that, and what comes after it
        self._free = Waiter()  # woken when there is no rest any more

    # The protocol -------------------------------------------------------------------------------

    async def handshake(self, timeout: float | None = None) -> None:
        """Finish the handshake; nothing happens if it is over.

        Raises `TimeoutError`, and it may be called again; `TLSError` when it failed, or its own
        deadline has passed.
        """
        await self._handshake(deadline_in(timeout))

    async def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        """See `AsyncTransport.send`."""
        deadline = deadline_in(timeout)
        self._check()
        if not any(memoryview(buffer).nbytes for buffer in buffers):
            return 0
        await self._handshake(deadline)
        with self._told():
            while self._tail is not None:
                self._check()
                if seconds_to(deadline) == 0 or not await self._free.wait(deadline):
                    raise TimeoutError(errno.ETIMEDOUT, "the peer took nothing in time")
            self._check()
            count = self._engine.write(buffers)
            try:
                self._push()
            except OSError:
                self._look_for_last_words()
                raise
        return count

    async def receive_into(self, view: memoryview, timeout: float | None) -> int:
        """See `AsyncTransport.receive_into`."""
        if not view.nbytes:
            raise ValueError("an empty view cannot receive anything")
        deadline = deadline_in(timeout)
        await self._handshake(deadline)
        with self._told():
            while True:
                self._check()
                try:
                    count = self._engine.read_into(view)
                finally:
                    self._answer()
                if count is not None:
                    return count
                await self._take_in(deadline)

    def close(self) -> None:
        """See `AsyncTransport.close`. The peer is told close_notify."""
        if self._closed:
            return
        self._closed = True
        self._engine.close()
        self._free.wake()
        self._answer()
        # Who receives can only be woken by closing what it waits for.
        if self._tail is None or self._receiving:
            self._lower.close()

    # The handshake ------------------------------------------------------------------------------

    async def _handshake(self, deadline: float | None) -> None:
        if self._engine.ready:
            return
        by = self._handshake_by if deadline is None else min(deadline, self._handshake_by)
        with self._told(), self._reported():
            self._check()
            if not self._handshaking.locked():
                await self._handshaking.acquire()  # which does not suspend
            else:
                async with asyncio.timeout(seconds_to(by)):
                    await self._handshaking.acquire()
            try:
                while not self._advance():
                    await self._take_in(by)
            finally:
                self._handshaking.release()

    def _advance(self) -> bool:
        self._check()
        try:
            return self._engine.handshake()
        finally:
            self._answer()

    # The transport below ------------------------------------------------------------------------

    async def _take_in(self, deadline: float | None) -> None:
        """Wait for ciphertext, and feed it."""
        if self._receiving:
            raise RuntimeError("another task waits for the same thing already")
        self._receiving = True
        try:
            count = await self._lower.receive_into(self._ciphertext, seconds_to(deadline))
        finally:
            self._receiving = False
        self._feed(count)

    def _feed(self, count: int) -> None:
        if not count:
            self._engine.feed_end()
            return
        self._engine.feed(self._ciphertext[:count])
        if count == len(self._ciphertext) < READ_SIZE:
            self._ciphertext = memoryview(bytearray(READ_SIZE))

    def _answer(self) -> None:
        """Send what TLS has to say of its own accord: new keys, an alert, the end.

        If it cannot be sent, the receive that follows tells the reason.
        """
        with suppress(OSError):
            self._push()

    def _push(self) -> None:
        """Send all ciphertext; what the transport below does not take now is left to a task."""
        if self._tail is not None:
            return  # it looks for more before it ends
        try:
            while self._more():
                self._rest = self._rest[at_once(self._lower.send([self._rest], 0)) :]
        except TimeoutError:
            # None can be begun where the loop has ended: what is left has nobody to send it.
            if not self._loop.is_closed():
                self._tail = self._loop.create_task(self._send_tail(), name="dul-fsm TLS tail")
        except BaseException:
            self._rest = self._rest[:0]
            raise

    def _more(self) -> bool:
        """Whether there is ciphertext to be sent; it is in `_rest`."""
        if not self._rest:
            self._rest = memoryview(self._engine.outgoing())
        return bool(self._rest)

    async def _send_tail(self) -> None:
        try:
            async with self._ended_by_the_loop():
                while self._more():
                    try:
                        self._rest = self._rest[await self._lower.send([self._rest], LINGER) :]
                    except TimeoutError:
                        if self._closed:
                            raise
        except OSError:
            self._rest = self._rest[:0]  # the next call finds out why
        finally:
            self._tail = None
            if self._closed:
                self._lower.close()
            self._free.wake()

    @asynccontextmanager
    async def _ended_by_the_loop(self) -> AsyncIterator[None]:
        """Close the transport below if the loop ends meanwhile.

        `asyncio.run` cancels each task once. A task that is begun by one that was cancelled is
        not: but asynchronous generators are closed after that, and this is one.
        """
        try:
            yield
        except GeneratorExit:
            self._lower.close()  # which wakes who sends
            raise

    def _look_for_last_words(self) -> None:
        """Sending has failed: raise what the peer said before it hung up, if it said why.

        A client whose certificate is refused learns it only after the handshake (TLS 1.3).
        """
        if self._receiving:
            return  # who receives hears them
        with suppress(OSError):
            while not self._engine.cut:
                self._feed(at_once(self._lower.receive_into(self._ciphertext, 0)))
        text = self._engine.look()
        if text:
            raise TLSError(text)


class AsyncTLSListener:
    """Accepts TLS connections from another listener. One task accepts."""

    def __init__(
        self,
        lower: AsyncListener,
        context: ssl.SSLContext,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
        report: Report | None = None,
    ) -> None:
        """Take over a listener. `report` is called by the tasks of the connections."""
        self._lower = lower
        self._context = context
        self._handshake_timeout = handshake_timeout
        self._report = report
        self.address: str = lower.address
        """Where it listens, as the listener below names it."""

    @property
    def port(self) -> int:
        """The TCP port it listens on."""
        return int(self.address.rpartition(":")[2])

    async def accept(self) -> AsyncTLSTransport:
        """See `AsyncListener.accept`. The handshake is still to come."""
        return AsyncTLSTransport(
            await self._lower.accept(),
            self._context,
            server_side=True,
            handshake_timeout=self._handshake_timeout,
            report=self._report,
        )

    def close(self) -> None:
        """See `AsyncListener.close`."""
        self._lower.close()
