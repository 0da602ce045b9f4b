"""Plain sockets as peers, and what stands in for a socket's methods."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Any


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
