"""TCP in asyncio: the blocking kind asked with a timeout of 0, and a wait for its descriptor.

One system call moves bytes when they need not wait, straight between the socket and the caller's
buffers; TCP_NODELAY, the quick acknowledgement before a wait and the end without a reset are those
of the blocking kind.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from dul_fsm.transports.addresses import (
    Address,
    all_of,
    begin_connect,
    check_connected,
    located,
    resolve,
)
from dul_fsm.transports.aio.base import Waiter, readable, retry, writable
from dul_fsm.transports.base import Buffer, ListenerClosed
from dul_fsm.transports.tcp import ACCEPT_PAUSE, TCP, TCPListener
from dul_fsm.transports.tcp_transport import TCPTransport


class AsyncTCPTransport:
    """One TCP connection."""

    __slots__ = ("_blocking", "_readable", "_writable", "local", "peer")

    in_place: ClassVar[bool] = True
    """The system takes what is sent from where it lies; see `AsyncTransport`."""

    def __init__(self, blocking: TCPTransport) -> None:
        """Take over an open connection."""
        self._blocking = blocking
        self._readable = readable(blocking.fileno())
        self._writable = writable(blocking.fileno())
        self.local = blocking.local
        """This end, as HOST:PORT."""
        self.peer = blocking.peer
        """The other end, as HOST:PORT."""

    async def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        """See `AsyncTransport.send`. One `sendmsg`; the buffers are not joined."""
        return await retry(partial(self._blocking.send, buffers, 0), self._writable, timeout)

    async def receive_into(self, view: memoryview, timeout: float | None) -> int:
        """See `AsyncTransport.receive_into`."""
        return await retry(partial(self._blocking.receive_into, view, 0), self._readable, timeout)

    def close(self) -> None:
        """See `AsyncTransport.close`. The peer sees the end of the stream, not a reset."""
        # The loop must have let go of the descriptor when it is closed.
        self._readable.wake()
        self._writable.wake()
        self._blocking.close()


class AsyncTCPListener:
    """Where TCP peers connect to. One task accepts."""

    def __init__(self, blocking: TCPListener) -> None:
        """Take over a listener."""
        self._blocking = blocking
        self._arrival = readable(blocking.fileno())
        self._pause = Waiter()
        self.address = blocking.address
        """Where it listens, as HOST:PORT."""
        self.port = blocking.port
        """The port it listens on, the one that the system chose if 0 was asked for."""
        self.pauses = 0
        """How often `accept` paused because there was no descriptor for a connection."""

    async def accept(self) -> AsyncTCPTransport:
        """See `AsyncListener.accept`."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted = self._blocking.accept_now()
            except ListenerClosed:
                raise
            except OSError:
                # See `TCPListener`: to go on at once would spin.
                self.pauses += 1
                await self._pause.wait(loop.time() + ACCEPT_PAUSE)
                continue
            if accepted is not None:
                return AsyncTCPTransport(accepted)
            await self._arrival.wait(None)

    def close(self) -> None:
        """See `AsyncListener.close`."""
        self._arrival.wake()
        self._blocking.close()
        self._pause.wake()


async def connect(endpoint: TCP, timeout: float | None) -> AsyncTCPTransport:
    """See `TCP.connect`: each address in turn, each with its share of the time that is left."""
    loop = asyncio.get_running_loop()
    end = None if timeout is None else loop.time() + timeout
    addresses = await _resolve(endpoint.host, endpoint.port)
    failures: list[OSError] = []
    for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
        now = loop.time()
        try:
            return await _connect(address, None if end is None else now + (end - now) / left)
        except OSError as error:
            failures.append(located(error, address))
    raise all_of(failures)


async def _resolve(host: str, port: int) -> list[Address]:
    """The addresses of a host; a name is looked up in a thread, for that may take its time."""
    if host:
        try:
            socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST)
        except (OSError, ValueError):
            return await asyncio.to_thread(resolve, host, port)
    return resolve(host, port)


async def _connect(address: Address, deadline: float | None) -> AsyncTCPTransport:
    opening, pending = begin_connect(address)
    try:
        if pending and not await writable(opening.fileno()).wait(deadline):
            raise TimeoutError(errno.ETIMEDOUT, "no answer in time")
        check_connected(opening)
        return AsyncTCPTransport(TCPTransport(opening))
    except BaseException:
        opening.close()
        raise
