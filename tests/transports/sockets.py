"""Plain sockets as peers, and what stands in for a socket's methods."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from dul_fsm.transports import TCP
from dul_fsm.transports.tcp_transport import TCPTransport
from tests.transports.helpers import PATIENCE


@contextmanager
def connected(host: str = "127.0.0.1") -> Iterator[tuple[TCPTransport, socket.socket]]:
    """A transport to that host, and a plain socket as its peer."""
    with socket.create_server((host, 0)) as server:
        transport = TCP(host, server.getsockname()[1]).connect(PATIENCE)
        peer, _ = server.accept()
    peer.settimeout(PATIENCE)
    with closing(peer), closing(transport):
        yield transport, peer


def reset(peer: socket.socket) -> None:
    """Close with a reset in place of an end."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


class Spy:
    """Stands in for a socket's method: notes each call and may fail the first ones."""

    def __init__(self, method: Callable[..., Any], *failures: OSError) -> None:
        self._method = method
        self._failures = list(failures)
        self.calls: list[tuple[Any, ...]] = []

    def __call__(self, *arguments: Any) -> Any:
        self.calls.append(arguments)
        if self._failures:
            raise self._failures.pop(0)
        return self._method(*arguments)
