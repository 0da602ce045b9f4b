"""What a transport of one's own can be made of: any descriptors that can be polled, and sockets.

    DescriptorTransport(reading, writing)           # pipes, a serial line, a pseudo terminal
    SocketListener(listening, "/run/a", accepted)   # accepts; `accepted` makes the transports
    Once(taken_over)                                # listens for one that is there already

What is hard about a transport is its end, and it is done here once: `close` comes from any thread,
wakes who waits, and a descriptor is given back only when nobody is inside a system call with it,
since its number may be another connection's a moment later. POSIX systems only. For asyncio,
`dul_fsm.transports.aio.streams` waits for the same two.

What is *not* here: TCP, which has ways of its own and no time to lose.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from dul_fsm.transports.base import Buffer, ListenerClosed, Transport, TransportClosed

if TYPE_CHECKING:
    from dul_fsm.transports.aio.streams import AsyncOnceListener

BUFFERS_PER_SEND = 1024
"""More in one `writev` are an error (IOV_MAX of every system in use)."""

DRAIN_LIMIT = 1 << 20
"""Bytes that `drain` throws away at most, so that a peer that never stops cannot hold it up."""


class DescriptorTransport:
    """A stream each way over one descriptor, or one for each way."""

    def __init__(
        self,
        reading: int,
        writing: int | None = None,
        *,
        local: str = "",
        peer: str = "",
        release: Callable[[], object] | None = None,
    ) -> None:
        """Take over the descriptors; without `writing`, `reading` is for both ways.

        `release` is called once, when it is closed and nobody is inside any more; it closes the
        descriptors, which is what happens without it.
        """
        self.local = local
        """This end's name."""
        self.peer = peer
        """The other end's name."""
        self.reading = reading
        """The descriptor that is read."""
        self.writing = reading if writing is None else writing
        """The descriptor that is written to."""
        for descriptor in (self.reading, self.writing):
            os.set_blocking(descriptor, False)
        self.finished = threading.Event()
        """Set when it is closed and the descriptors are given back."""
        self._give_back = release or self._close_descriptors
        self._woken, self._waker = os.pipe()  # readable for ever once it is closed
        self._lock = threading.RLock()
        self._inside = 0
        self._closed = False

    def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        """See `Transport.send`."""
        filled = [buffer for buffer in buffers if memoryview(buffer).nbytes][:BUFFERS_PER_SEND]
        act = (lambda: os.writev(self.writing, filled)) if filled else (lambda: 0)
        return self._when(self.writing, select.POLLOUT, act, timeout)

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        """See `Transport.receive_into`."""
        if not view.nbytes:
            raise ValueError("an empty view cannot receive anything")
        act = lambda: os.readv(self.reading, [view])  # noqa: E731
        return self._when(self.reading, select.POLLIN, act, timeout)

    def close(self) -> None:
        """See `Transport.close`."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._waker)
                self._leave()

    def _when(
        self, descriptor: int, event: int, act: Callable[[], int], timeout: float | None
    ) -> int:
        """Do it as soon as it can be done, at most `timeout` seconds from now."""
        with self._lock:
            if self._closed:
                raise TransportClosed
            self._inside += 1
        try:
            return self._wait(descriptor, event, act, timeout)
        finally:
            with self._lock:
                self._inside -= 1
                self._leave()

    def _wait(
        self, descriptor: int, event: int, act: Callable[[], int], timeout: float | None
    ) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        ready: select.poll | None = None
        while True:
            try:
                return act()
            except BlockingIOError:
                pass
            if ready is None:
                ready = select.poll()
                ready.register(descriptor, event)
                ready.register(self._woken, select.POLLIN)
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not ready.poll(None if left is None else left * 1000):
                raise TimeoutError("nothing happened in time")
            if self._closed:
                raise TransportClosed

    def _leave(self) -> None:
        if self._closed and not self._inside and self._woken >= 0:
            os.close(self._woken)
            self._woken = -1
            self._give_back()
            self.finished.set()

    def _close_descriptors(self) -> None:
        for descriptor in {self.reading, self.writing}:
            os.close(descriptor)


class SocketTransport(DescriptorTransport):
    """A stream over a connected socket of any family."""

    def __init__(self, connected: socket.socket, *, local: str = "", peer: str = "") -> None:
        """Take over a connected socket."""
        connected.setblocking(False)  # the object has a timeout of its own
        super().__init__(connected.fileno(), local=local, peer=peer, release=self._close_socket)
        self._socket = connected

    def _close_socket(self) -> None:
        drain(self._socket)
        self._socket.close()


class SocketListener:
    """Accepts connections at a listening socket of any family. Any number of threads may."""

    def __init__(
        self,
        listening: socket.socket,
        address: str,
        accepted: Callable[[socket.socket], Transport],
        closed: Callable[[], object] = lambda: None,
    ) -> None:
        """Take over a listening socket. `closed` is called once, when it is closed."""
        self.address = address
        """Where peers reach it, in words."""
        listening.setblocking(False)
        self._listening = listening
        self._accepted = accepted
        self._tell = closed
        self._woken, self._waker = os.pipe()
        self._lock = threading.RLock()
        self._inside = 0
        self._closed = False

    def accept(self) -> Transport:
        """See `Listener.accept`."""
        with self._lock:
            self._inside += 1
        try:
            arrival = select.poll()
            if not self._closed:
                arrival.register(self._listening, select.POLLIN)
                arrival.register(self._woken, select.POLLIN)
            while True:
                accepted = self.accept_now()
                if accepted is not None:
                    return accepted
                arrival.poll()
        finally:
            with self._lock:
                self._inside -= 1
                self._leave()

    def accept_now(self) -> Transport | None:
        """The next connection, if one is there; raises `ListenerClosed` after `close`."""
        if self._closed:
            raise ListenerClosed
        try:
            connected, _ = self._listening.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return None
        try:
            return self._accepted(connected)
        except BaseException:
            connected.close()
            raise

    def fileno(self) -> int:
        """The descriptor, for a loop that waits for it; -1 when it is closed."""
        return self._listening.fileno()

    def close(self) -> None:
        """See `Listener.close`."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._waker)
                self._tell()
                self._leave()

    def _leave(self) -> None:
        if self._closed and not self._inside and self._woken >= 0:
            os.close(self._woken)
            self._woken = -1
            self._listening.close()


class OnceListener:
    """Accepts the one connection that it was given, and then waits to be closed."""

    def __init__(self, connection: DescriptorTransport, address: str) -> None:
        """Take over a connection; `close` closes it if nobody has accepted it."""
        self.address = address
        """Where peers reach it, in words."""
        self._changed = threading.Condition()
        self._connection: DescriptorTransport | None = connection
        self._closed = False

    def accept(self) -> DescriptorTransport:
        """See `Listener.accept`."""
        with self._changed:
            while (accepted := self.accept_now()) is None:
                self._changed.wait()
            return accepted

    def accept_now(self) -> DescriptorTransport | None:
        """The connection, the first time; raises `ListenerClosed` after `close`."""
        with self._changed:
            if self._closed:
                raise ListenerClosed
            accepted, self._connection = self._connection, None
            return accepted

    def close(self) -> None:
        """See `Listener.close`."""
        with self._changed:
            self._closed = True
            dropped, self._connection = self._connection, None
            self._changed.notify_all()
        if dropped is not None:
            dropped.close()


class Once:
    """An endpoint to listen on for a connection that this process was started with.

        once = Once(lambda: SocketTransport(socket.socket(fileno=0)))   # from inetd, say
        with serve(endpoint=once):
            once.finished.wait()

    Such are the standard input and output, and a connected socket that a supervisor hands over. A
    pipe, a socket or a terminal: a file is no connection.
    """

    def __init__(self, take_over: Callable[[], DescriptorTransport], address: str = "once") -> None:
        """`take_over` makes the transport, when somebody listens; `address`: its name, in words."""
        self.finished = threading.Event()
        """Set when the connection is over, or was dropped."""
        self._take_over: Callable[[], DescriptorTransport] | None = take_over
        self._address = address

    def __str__(self) -> str:
        return self._address

    def connect(self, timeout: float | None) -> NoReturn:
        """Raises `OSError`: there is nobody to call."""
        raise OSError(errno.EOPNOTSUPP, "who was started with a connection does not call for one")

    def listen(self) -> OnceListener:
        """See `Connector.listen`. Once: raises `OSError` the second time."""
        if self._take_over is None:
            raise OSError(errno.EADDRINUSE, "this process was started with one connection only")
        connection = self._take_over()
        self._take_over = None
        connection.finished = self.finished  # which somebody may wait for already
        return OnceListener(connection, self._address)

    async def connect_async(self, timeout: float | None) -> NoReturn:
        """The same for asyncio."""
        self.connect(timeout)

    async def listen_async(self) -> AsyncOnceListener:
        """The same for asyncio, see `AsyncConnector.listen_async`."""
        from dul_fsm.transports.aio import streams

        return streams.AsyncOnceListener(self.listen())


def drain(connected: socket.socket) -> None:
    """Throw away what has arrived unread: closing over it would reset the connection."""
    with suppress(OSError):  # nothing is there, or the peer has reset the connection
        for _ in range(DRAIN_LIMIT >> 16):
            if not connected.recv(1 << 16):
                return
