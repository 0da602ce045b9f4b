"""TCP, blocking kind, over IPv4 and IPv6.

A socket is non-blocking: a send, or a receive of what has come, is one system call. Only what has
to wait is a `poll`, which sleeps until the kernel has something; a receive goes to it at once when
the one before took all that was there. POSIX systems only (`poll`, `sendmsg`).

To fall asleep and be woken takes longer than a peer nearby takes to answer, and a processor that
has slept is slow for a while. So after a wait that was over within `AWAKE` the next one stays awake
for as long before it sleeps, if no other connection of this process was busy meanwhile (`ALONE`). A
peer that takes its time finds us asleep, and an idle connection costs nothing.

What is *not* here: TLS. The asyncio kind is in `dul_fsm.transports.aio`.
"""

from __future__ import annotations

import errno
import math
import os
import select
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from dul_fsm.transports.addresses import (
    Address,
    address_text,
    all_of,
    begin_connect,
    check_connected,
    located,
    resolve,
)
from dul_fsm.transports.base import Buffer, ListenerClosed, TransportClosed
from dul_fsm.transports.waiting import deadline_in, share_of, wait_for

if TYPE_CHECKING:
    from dul_fsm.transports.aio.tcp import AsyncTCPListener, AsyncTCPTransport

BACKLOG = 1024
"""Connections that may wait to be accepted; the kernel has a cap of its own. A burst of peers
beyond it would see its SYNs dropped and retry after a second."""

BUFFERS_PER_SEND = max(16, os.sysconf("SC_IOV_MAX") if hasattr(os, "sysconf") else 0)
"""More buffers in one `sendmsg` are an error; 16 is the least that POSIX promises."""

DRAIN_LIMIT = 1 << 20
"""Bytes that `close` throws away at most, so that a peer that never stops cannot hold it up."""

ACCEPT_PAUSE = 0.1
"""Seconds until the next try when there is no descriptor for a new connection: short for a peer
that waits, long for a processor."""

AWAKE = 0.001
"""Seconds of a short wait, and for which the next one stays awake: on this network a peer answers
in them, or reads the next file that it sends. Never where there is only one processor: the peer may
need it."""

ALONE = 0.01
"""Seconds for which no other connection of this process may have received anything: where several
are busy, whoever is awake for nothing is in the way of the others, and of their peers."""

_processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()

# The connection that was the last to receive something, and since when no other one has.
_latest: TCPTransport | None = None
_alone_since = -math.inf

# Python ignores SIGPIPE, but a program that embeds it may not.
_NO_SIGNAL: int = getattr(socket, "MSG_NOSIGNAL", 0)
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)

# What accept(2) says about a connection whose peer gave it up while it waited.
_GIVEN_UP = {errno.ECONNABORTED, errno.EPROTO}
# What it says when there is nothing to accept from: a bug, which waiting would hide.
_NOT_LISTENING = {errno.EBADF, errno.EINVAL, errno.ENOTSOCK}
# This host does not have that address, or not that family; it may have the next one.
_NOT_OURS = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


class TCPTransport:
    """One TCP connection."""

    __slots__ = (
        "_closed",
        "_drained",
        "_lock",
        "_prompt",
        "_readable",
        "_receive",
        "_receiving",
        "_released",
        "_send",
        "_sending",
        "_set_option",
        "_socket",
        "_unacknowledged",
        "_writable",
        "local",
        "peer",
    )

    def __init__(self, connected: socket.socket) -> None:
        """Take over a connected TCP socket; on an `OSError`, it is the caller's to close."""
        connected.setblocking(False)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.local = address_text(connected.getsockname())
        """This end, as HOST:PORT."""
        self.peer = address_text(connected.getpeername())
        """The other end, as HOST:PORT."""
        self._socket = connected
        self._receive = connected.recv_into
        self._send = connected.sendmsg
        self._set_option = connected.setsockopt
        # One each: a poll object serves one thread at a time.
        self._readable = select.poll()
        self._readable.register(connected, select.POLLIN)
        self._writable = select.poll()
        self._writable.register(connected, select.POLLOUT)
        self._drained = False  # the last read took all that was there
        self._prompt = False  # the last wait was short
        self._unacknowledged = False  # something was read, and nothing sent or acknowledged since
        # The number of a closed descriptor may be another file's a moment later, so nobody may be
        # inside a system call on it then. Who enters says so first and looks at `_closed` second;
        # `close` sets `_closed` first and looks who is inside second. The last one out closes.
        # Two flags do it without a lock on the way of every byte. The lock is for those that
        # close; reentrant, since a signal handler may close too.
        self._closed = False
        self._receiving = False
        self._sending = False
        self._released = False
        self._lock = threading.RLock()

    def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        """See `Transport.send`. One `sendmsg`; the buffers are not joined."""
        try:
            self._sending = True
            if self._closed:
                raise TransportClosed
            if len(buffers) > BUFFERS_PER_SEND:
                return self._send_many(buffers, timeout)
            # What is sent carries the acknowledgement. First, and not afterwards: what is read
            # in another thread meanwhile may have come too late for that.
            self._unacknowledged = False
            try:
                return self._send(buffers, (), _NO_SIGNAL)
            except BlockingIOError:
                return self._wait_and_send(buffers, timeout)
        except OSError as error:
            # A broken pipe that `close` has made is no news about the peer.
            if self._closed and not isinstance(error, TransportClosed):
                raise TransportClosed from None
            raise
        finally:
            self._sending = False
            if self._closed:
                self._release()

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        """See `Transport.receive_into`."""
        global _latest, _alone_since
        try:
            self._receiving = True
            if self._closed:
                raise TransportClosed
            if self._drained:
                count = self._wait_and_receive(view, timeout)
            else:
                try:
                    count = self._receive(view)
                except BlockingIOError:
                    count = self._wait_and_receive(view, timeout)
            if not count:
                self._judge_end(view)
            if _latest is not self:
                _alone_since = time.monotonic() if _latest else -math.inf
                _latest = self
            self._drained = count < len(view)
            self._unacknowledged = True
            return count
        except OSError as error:
            if self._closed and not isinstance(error, TransportClosed):
                raise TransportClosed from None
            raise
        finally:
            self._receiving = False
            if self._closed:
                self._release()

    def fileno(self) -> int:
        """The descriptor, for a loop that waits for it; -1 when it is closed."""
        return self._socket.fileno()

    def close(self) -> None:
        """See `Transport.close`. The peer sees the end of the stream, not a reset."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            # Fails when the peer has reset the connection, and then nobody is waiting.
            with suppress(OSError):
                # Wakes who waits; sends what is still unsent, then FIN.
                self._socket.shutdown(socket.SHUT_RDWR)
            self._release()

    # Waiting ------------------------------------------------------------------------------------

    def _send_many(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        """More buffers than one system call takes: those that hold something, as many as it can."""
        filled = list(islice((b for b in buffers if memoryview(b).nbytes), BUFFERS_PER_SEND))
        try:
            return self._send(filled, (), _NO_SIGNAL)
        except BlockingIOError:
            return self._wait_and_send(filled, timeout)

    def _wait_and_send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        self._unacknowledged = True
        deadline = deadline_in(timeout)
        while wait_for(self._writable, deadline):
            try:
                return self._send(buffers, (), _NO_SIGNAL)
            except BlockingIOError:
                continue
        raise TimeoutError(errno.ETIMEDOUT, "the peer took nothing in time")

    def _wait_and_receive(self, view: memoryview, timeout: float | None) -> int:
        if self._unacknowledged:
            self._unacknowledged = False
            self._acknowledge()
        began = time.monotonic()
        if timeout is not None and timeout <= 0:
            return self._receive_asleep(view, began)  # it does not wait
        prompt, self._prompt = self._prompt and _processors != 1, False
        count = None
        if prompt and began - _alone_since > ALONE:
            by = began + (AWAKE if timeout is None else min(timeout, AWAKE))
            count = self._receive_awake(view, by)
        if count is None:
            count = self._receive_asleep(view, None if timeout is None else began + timeout)
        self._prompt = time.monotonic() - began < AWAKE
        return count

    def _receive_awake(self, view: memoryview, by: float) -> int | None:
        """Ask until then whether something has come; None if nothing has."""
        while _latest is self and time.monotonic() < by:
            try:
                return self._receive(view)
            except BlockingIOError:
                os.sched_yield()  # the peer may have been put on this processor
        return None

    def _receive_asleep(self, view: memoryview, deadline: float | None) -> int:
        while wait_for(self._readable, deadline):
            try:
                return self._receive(view)
            except BlockingIOError:
                continue
        with suppress(BlockingIOError):
            return self._receive(view)  # who does not want to wait has not looked yet
        raise TimeoutError(errno.ETIMEDOUT, "nothing arrived in time")

    def _acknowledge(self) -> None:
        """Acknowledge what was read, now; here, before a wait, and not after each read.

        A peer with Nagle's algorithm holds its last small segment back until we acknowledge the
        one before, and the kernel, once we have also sent, puts that off for 40 ms. While reads
        find data, nobody waits for us; so they stay one system call, and this costs a call only
        where the thread is about to sleep anyway, and has sent nothing since it last read.
        """
        if _QUICKACK is not None:
            # Fails when the connection is gone; the read that follows tells the reason.
            with suppress(OSError):
                self._set_option(socket.IPPROTO_TCP, _QUICKACK, 1)

    def _judge_end(self, view: memoryview) -> None:
        """No byte was read: is it the peer's end of the stream?"""
        if not view.nbytes:
            raise ValueError("an empty view cannot receive anything")
        if self._closed:
            raise TransportClosed

    def _release(self) -> None:
        """Close the descriptor, unless somebody is still inside: then that one does it."""
        global _latest
        with self._lock:
            if self._released or self._receiving or self._sending:
                return
            self._released = True
            if _latest is self:
                _latest = None
            self._drain()
            self._socket.close()

    def _drain(self) -> None:
        """Throw away what has arrived unread: closing over it would reset the connection.

        A reset may overtake what we sent last, and that is an A-ABORT more often than not.
        """
        scratch = bytearray(1 << 16)
        # It fails when nothing is there, or when the peer has reset the connection.
        with suppress(OSError):
            for _ in range(DRAIN_LIMIT // len(scratch)):
                if not self._socket.recv_into(scratch):
                    return


class TCPListener:
    """Where TCP peers connect to. Any number of threads may accept."""

    def __init__(self, listening: socket.socket) -> None:
        """Take over a listening TCP socket."""
        listening.setblocking(False)
        self._socket = listening
        # A byte here wakes every `accept`. To shut a listening socket down does so on Linux only.
        self._woken, self._waker = socket.socketpair()
        self._lock = threading.RLock()
        self._inside = 0
        self._closed = False
        sockaddr = listening.getsockname()
        self.address: str = address_text(sockaddr)
        """Where it listens, as HOST:PORT."""
        self.port: int = sockaddr[1]
        """The port it listens on, the one that the system chose if 0 was asked for."""
        self.pauses = 0
        """How often `accept` paused because there was no descriptor for a connection."""

    def accept(self) -> TCPTransport:
        """See `Listener.accept`."""
        with self._lock:
            if self._closed:
                raise ListenerClosed
            self._inside += 1
        try:
            return self._accept()
        finally:
            with self._lock:
                self._inside -= 1
                self._release()

    def close(self) -> None:
        """See `Listener.close`."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._waker.send(b"\0")
                self._release()

    def _accept(self) -> TCPTransport:
        arrival = select.poll()
        arrival.register(self._socket, select.POLLIN)
        arrival.register(self._woken, select.POLLIN)
        pause = select.poll()
        pause.register(self._woken, select.POLLIN)
        while True:
            arrival.poll()
            if self._closed:
                raise ListenerClosed
            try:
                accepted = self.accept_now()
            except OSError as error:
                if error.errno in _NOT_LISTENING:
                    raise
                # Out of descriptors (EMFILE) or memory. The connection stays in the backlog and
                # so the socket stays readable: to go on at once would spin. To hang up on the
                # peer by a descriptor kept in reserve would be quick, but it can wait, and most
                # often only until some other association ends.
                self.pauses += 1
                pause.poll(ACCEPT_PAUSE * 1000)
            else:
                if accepted is not None:
                    return accepted

    def accept_now(self) -> TCPTransport | None:
        """The next connection, if one is there; for a loop that waits for the listener.

        Raises `ListenerClosed` after `close`, another `OSError` when there is no descriptor for
        it.
        """
        if self._closed:
            raise ListenerClosed
        try:
            accepted, _ = self._socket.accept()
        except BlockingIOError:
            return None  # another thread has it
        except OSError as error:
            if error.errno in _GIVEN_UP:
                return None
            raise
        try:
            return TCPTransport(accepted)
        except OSError:
            accepted.close()  # the peer has already reset it
            return None
        except BaseException:
            accepted.close()
            raise

    def fileno(self) -> int:
        """The descriptor, for a loop that waits for it; -1 when it is closed."""
        return self._socket.fileno()

    def _release(self) -> None:
        if self._closed and not self._inside:
            for each in (self._socket, self._woken, self._waker):
                each.close()


@dataclass(frozen=True, slots=True)
class TCP:
    """A TCP endpoint. Raises `ValueError` for a port outside 0..65535."""

    host: str
    """Name or address, IPv4 or IPv6. Empty: listen on every interface, connect to this host."""
    port: int
    """1..65535; 0 to listen on a port that the system chooses."""
    backlog: int = BACKLOG
    """Connections that may wait to be accepted."""
    reuse_port: bool = False
    """Whether other processes may listen on the port as well (SO_REUSEPORT): the system gives each
    connection to one of them. `OSError` from `listen` where there is no such thing."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError(f"a TCP port is 0..65535, not {self.port}")

    def __str__(self) -> str:
        return address_text((self.host, self.port))

    def connect(self, timeout: float | None) -> TCPTransport:
        """See `Connector.connect`. Tries each address of the host in turn.

        Each gets an equal share of the time that is left, so that one that does not answer
        leaves time for the next. Looking the name up takes as long as the system takes.
        """
        deadline = deadline_in(timeout)
        addresses = resolve(self.host, self.port)
        failures: list[OSError] = []
        for tried, address in enumerate(addresses):
            try:
                return _connect(address, share_of(deadline, len(addresses) - tried))
            except OSError as error:
                failures.append(located(error, address))
        raise all_of(failures)

    def listen(self) -> TCPListener:
        """See `Connector.listen`. An empty host serves IPv4 and IPv6 in one socket if it can."""
        candidates = [(address, False) for address in resolve(self.host, self.port, passive=True)]
        if not self.host and socket.has_dualstack_ipv6():
            candidates.insert(0, (Address(socket.AF_INET6, ("::", self.port)), True))
        while True:
            address, both = candidates.pop(0)
            try:
                return TCPListener(
                    _listen(address, self.backlog, both=both, reuse_port=self.reuse_port)
                )
            except OSError as error:
                if not candidates or error.errno not in _NOT_OURS:
                    raise located(error, address) from None

    async def connect_async(self, timeout: float | None) -> AsyncTCPTransport:
        """The same for asyncio, see `AsyncConnector.connect_async`."""
        from dul_fsm.transports.aio import tcp

        return await tcp.connect(self, timeout)

    async def listen_async(self) -> AsyncTCPListener:
        """The same for asyncio, see `AsyncConnector.listen_async`."""
        from dul_fsm.transports.aio import tcp

        return tcp.AsyncTCPListener(self.listen())


def _connect(address: Address, deadline: float | None) -> TCPTransport:
    opening, pending = begin_connect(address)
    try:
        if pending:
            opened = select.poll()
            opened.register(opening, select.POLLOUT)
            if not wait_for(opened, deadline):
                raise TimeoutError(errno.ETIMEDOUT, "no answer in time")
        check_connected(opening)
        return TCPTransport(opening)
    except BaseException:
        opening.close()
        raise


def _listen(address: Address, backlog: int, *, both: bool, reuse_port: bool) -> socket.socket:
    if reuse_port and not hasattr(socket, "SO_REUSEPORT"):
        raise OSError(errno.ENOPROTOOPT, "a port cannot be shared here")
    return socket.create_server(
        address.sockaddr,
        family=address.family,
        backlog=backlog,
        reuse_port=reuse_port,
        dualstack_ipv6=both,
    )
