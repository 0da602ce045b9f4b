"""One TCP connection, blocking kind.

A socket is non-blocking: a send, or a receive of what has come, is one system call. Only what has
to wait is a `poll`, which sleeps until the kernel has something; a receive goes to it at once when
the one before took all that was there. POSIX systems only (`poll`, `sendmsg`).

To fall asleep and be woken takes longer than a peer nearby takes to answer, and a processor that
has slept is slow for a while. So after a wait that was over within `AWAKE` the next one stays awake
for as long before it sleeps, if no other connection of this process was busy meanwhile (`ALONE`). A
peer that takes its time finds us asleep, and an idle connection costs nothing.

Between two processes of one host, memory is the wire, and the fastest memory is the cache. The
buffers that the system would let grow for a long way are given a size there (`NEARBY_RECEIVE`,
`NEARBY_SEND`).

Not here: how a connection comes about (`tcp`).
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
from itertools import islice
from typing import ClassVar

from dul_fsm.transports.addresses import address_text
from dul_fsm.transports.base import Buffer, TransportClosed
from dul_fsm.transports.waiting import deadline_in, wait_for

BUFFERS_PER_SEND = max(16, os.sysconf("SC_IOV_MAX") if hasattr(os, "sysconf") else 0)
"""More buffers in one `sendmsg` are an error; 16 is the least that POSIX promises."""

DRAIN_LIMIT = 1 << 20
"""Bytes that `close` throws away at most, so that a peer that never stops cannot hold it up."""

AWAKE = 0.001
"""Seconds of a short wait, and for which the next one stays awake: on this network a peer answers
in them, or reads the next file that it sends. Never where there is only one processor: the peer may
need it."""

ALONE = 0.01
"""Seconds for which no other connection of this process may have received anything: where several
are busy, whoever is awake for nothing is in the way of the others, and of their peers."""

HELD_BACK = 0.00005
"""Seconds after which who waits awake acknowledges what it has read: a peer with Nagle's algorithm
may be holding something back for that. One without it has sent on by then; each acknowledgement
that it does not need takes it time."""

NEARBY_RECEIVE = 2 << 20
"""Bytes for which the receive buffer has room when the peer is on this host, or as many as the
system allows. It would begin with less and add to it by what a round trip brings, which is little
here: whoever sends would wait in the middle of each image."""

NEARBY_SEND = 128 << 10
"""Bytes for which the send buffer has room when the peer is on this host and has turned out to be
the slower end: what waits for it should still be in the cache when it comes to read it. A peer that
keeps up leaves little that waits, and is better off with a buffer that is never full."""

_processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()

# The connection that was the last to receive something, and since when no other one has.
_latest: TCPTransport | None = None
_alone_since = -math.inf

# Python ignores SIGPIPE, but a program that embeds it may not.
_NO_SIGNAL: int = getattr(socket, "MSG_NOSIGNAL", 0)
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)


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
        "_roomy",
        "_send",
        "_sending",
        "_set_option",
        "_socket",
        "_unacknowledged",
        "_writable",
        "local",
        "peer",
    )

    in_place: ClassVar[bool] = True
    """The system takes what is sent from where it lies; see `Transport`."""

    def __init__(self, connected: socket.socket) -> None:
        """Take over a connected TCP socket; on an `OSError`, it is the caller's to close."""
        connected.setblocking(False)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        here, there = connected.getsockname(), connected.getpeername()
        self.local = address_text(here)
        """This end, as HOST:PORT."""
        self.peer = address_text(there)
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
        nearby = here[0] == there[0]
        if nearby:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NEARBY_RECEIVE)
        self._roomy = nearby  # its send buffer grows as the system likes, and need not
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
            if error.errno == errno.EFAULT:  # a mapped file has fewer pages than it had
                text = "what is sent cannot be read: its file became shorter, or its disk failed"
                raise OSError(errno.EFAULT, text) from None
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
            # Who will stay awake begins with a look.
            if self._drained and (not self._prompt or _latest is not self):
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
        if self._roomy:
            self._roomy = False
            # Fails when the connection is gone; the next send tells the reason.
            with suppress(OSError):
                self._set_option(socket.SOL_SOCKET, socket.SO_SNDBUF, NEARBY_SEND)
        deadline = deadline_in(timeout)
        while wait_for(self._writable, deadline):
            try:
                return self._send(buffers, (), _NO_SIGNAL)
            except BlockingIOError:
                continue
        raise TimeoutError(errno.ETIMEDOUT, "the peer took nothing in time")

    def _wait_and_receive(self, view: memoryview, timeout: float | None) -> int:
        began = time.monotonic()
        if timeout is not None and timeout <= 0:
            return self._receive_asleep(view, began)  # it does not wait
        prompt, self._prompt = self._prompt, False
        count = None
        if prompt and began - _alone_since > ALONE:
            by = began + (AWAKE if timeout is None else min(timeout, AWAKE))
            count = self._receive_awake(view, began, by)
        if count is None:
            count = self._receive_asleep(view, None if timeout is None else began + timeout)
        self._prompt = _processors != 1 and time.monotonic() - began < AWAKE
        return count

    def _receive_awake(self, view: memoryview, began: float, by: float) -> int | None:
        """Ask until then whether something has come; None if nothing has."""
        patient_until = began + HELD_BACK
        while _latest is self and (now := time.monotonic()) < by:
            try:
                return self._receive(view)
            except BlockingIOError:
                if now > patient_until:
                    self._acknowledge()
                os.sched_yield()  # the peer may have been put on this processor
        return None

    def _receive_asleep(self, view: memoryview, deadline: float | None) -> int:
        self._acknowledge()
        while wait_for(self._readable, deadline):
            try:
                return self._receive(view)
            except BlockingIOError:
                continue
        with suppress(BlockingIOError):
            return self._receive(view)  # who does not want to wait has not looked yet
        raise TimeoutError(errno.ETIMEDOUT, "nothing arrived in time")

    def _acknowledge(self) -> None:
        """Acknowledge what was read, now, if that was not done: when a wait gets long.

        A peer with Nagle's algorithm holds its last small segment back until we acknowledge the
        one before, and the kernel, once we have also sent, puts that off for 40 ms. While reads
        find data, nobody waits for us; so they stay one system call, and this costs a call only
        where the thread is about to sleep anyway, or has been awake for nothing for `HELD_BACK`,
        and has sent nothing since it last read.
        """
        if self._unacknowledged and _QUICKACK is not None:
            self._unacknowledged = False
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
