"""TCP, blocking kind, over IPv4 and IPv6: the endpoint, and where it listens.

What is *not* here: a connection that is open (`tcp_transport`), TLS. The asyncio kind is in
`dul_fsm.transports.aio`.
"""

from __future__ import annotations

import errno
import select
import socket
import threading
from dataclasses import dataclass
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
from dul_fsm.transports.base import ListenerClosed
from dul_fsm.transports.tcp_transport import TCPTransport
from dul_fsm.transports.waiting import deadline_in, share_of, wait_for

if TYPE_CHECKING:
    from dul_fsm.transports.aio.tcp import AsyncTCPListener, AsyncTCPTransport

BACKLOG = 1024
"""Connections that may wait to be accepted; the kernel has a cap of its own. A burst of peers
beyond it would see its SYNs dropped and retry after a second."""

ACCEPT_PAUSE = 0.1
"""Seconds until the next try when there is no descriptor for a new connection: short for a peer
that waits, long for a processor."""

# What accept(2) says about a connection whose peer gave it up while it waited.
_GIVEN_UP = {errno.ECONNABORTED, errno.EPROTO}
# What it says when there is nothing to accept from: a bug, which waiting would hide.
_NOT_LISTENING = {errno.EBADF, errno.EINVAL, errno.ENOTSOCK}
# This host does not have that address, or not that family; it may have the next one.
_NOT_OURS = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


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
