"""When connections open and close, seen from outside: one clock for all competitors.

What is timed is the life of the TCP connection, from the requestor's SYN to the first FIN, which
the requestor sends once it has the A-RELEASE-RP. That leaves out the start of both processes, and
no competitor has to tell the time.

`PacketTap` has the kernel stamp SYN and FIN as they pass the loopback interface; a filter in the
kernel drops all else, so that it costs next to nothing. It needs CAP_NET_RAW (root, most often).
`DescriptorTap` needs no privilege: it looks at the requestor's descriptors every half a
millisecond, is that much less exact, and makes the other processes a percent or two slower.

Not here: what else is measured (`measuring`).
"""

from __future__ import annotations

import ctypes
import os
import select
import socket
import struct
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

from benchmarks.processes import Process


class Seen(NamedTuple):
    """A connection opened, or closed."""

    opened: bool
    connection: int
    """Which one; a number."""
    stamp: float
    """Seconds; only differences mean something."""


class Tap(Protocol):
    """Sees connections."""

    name: str
    """For the report."""

    def begin(self, port: int) -> None:
        """Look for connections to this port from now on."""

    def wait(self, clients: Sequence[Process], seconds: float) -> list[Seen]:
        """What was seen, waiting for it at most so long, or until a client ends."""
        ...


# The kernel's filter ------------------------------------------------------------------------------

_SO_ATTACH_FILTER = 26
_SO_TIMESTAMPNS = 35
_IP = 0x0800
_FIN, _SYN, _RST = 0x01, 0x02, 0x04

# Classic BPF, over a packet that starts with its IP header: (code, jump if true, if false, k).
_PROGRAM = (
    (0x30, 0, 0, 9),  # protocol
    (0x15, 0, 6, socket.IPPROTO_TCP),
    (0x28, 0, 0, 6),  # a fragment that is not the first has no TCP header
    (0x45, 4, 0, 0x1FFF),
    (0xB1, 0, 0, 0),  # X = length of the IP header
    (0x50, 0, 0, 13),  # the flags, behind X
    (0x45, 0, 1, _FIN | _SYN | _RST),
    (0x06, 0, 0, 128),
    (0x06, 0, 0, 0),
)


class PacketTap:
    """Sees SYN and FIN on the loopback interface, stamped by the kernel."""

    name = "SYN to first FIN on the loopback interface, stamped by the kernel"

    def __init__(self) -> None:
        """Raises `OSError` without the privilege."""
        code = ctypes.create_string_buffer(
            b"".join(struct.pack("HBBI", *each) for each in _PROGRAM)
        )
        program = struct.pack("HxxxxxxP", len(_PROGRAM), ctypes.addressof(code))
        # Packets of IP only, and so on their way in only: those on their way out are copied for
        # a tap before its filter is asked.
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_IP))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._socket.bind(("lo", _IP))
        self._socket.setblocking(False)
        self._port = 0

    def begin(self, port: int) -> None:
        """See `Tap.begin`."""
        self._port = port
        self._drain()

    def wait(self, clients: Sequence[Process], seconds: float) -> list[Seen]:
        """See `Tap.wait`."""
        descriptors = [self._socket.fileno(), *(client.exit for client in clients)]
        select.select(descriptors, [], [], seconds)
        return self._drain()

    def _drain(self) -> list[Seen]:
        seen: list[Seen] = []
        with suppress(BlockingIOError):
            while True:
                packet, ancillary, _, _ = self._socket.recvmsg(128, 64)
                tcp = (packet[0] & 0xF) * 4
                source, destination = struct.unpack_from(">HH", packet, tcp)
                flags = packet[tcp + 13]
                seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
                stamp = seconds + nanoseconds / 1e9
                if self._port == destination:
                    seen.append(Seen(bool(flags & _SYN), source, stamp))
                elif self._port == source and not flags & _SYN:
                    seen.append(Seen(False, destination, stamp))
        return seen


class DescriptorTap:
    """Looks at the clients' descriptors: a socket that is there is a connection."""

    name = "the requestor's socket in /proc, looked at every 0.5 ms (no CAP_NET_RAW)"

    def __init__(self) -> None:
        self._open: dict[int, int] = {}  # pid to the number of its connection
        self._connections = 0

    def begin(self, port: int) -> None:
        """See `Tap.begin`. It cannot tell to which port a socket is connected."""
        self._open.clear()

    def wait(self, clients: Sequence[Process], seconds: float) -> list[Seen]:
        """See `Tap.wait`."""
        by = time.monotonic() + seconds
        seen: list[Seen] = []
        while not seen and time.monotonic() < by and all(client.running for client in clients):
            time.sleep(0.0005)
            for client in clients:
                known = self._open.pop(client.pid, None)
                is_open = _has_socket(client.pid)
                if known is None and is_open:
                    self._connections += 1
                    seen.append(Seen(True, self._connections, time.time()))
                if is_open:
                    self._open[client.pid] = known or self._connections
                elif known is not None:
                    seen.append(Seen(False, known, time.time()))
        for client in clients:
            if not client.running and (known := self._open.pop(client.pid, None)) is not None:
                seen.append(Seen(False, known, time.time()))
        return seen


def _has_socket(pid: int) -> bool:
    folder = f"/proc/{pid}/fd"
    with suppress(OSError):
        for name in os.listdir(folder):
            with suppress(OSError):
                if os.readlink(f"{folder}/{name}").startswith("socket:"):
                    return True
    return False


def best_tap() -> Tap:
    """The most exact one that may be had here."""
    try:
        return PacketTap()
    except OSError:
        return DescriptorTap()
