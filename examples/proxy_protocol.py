"""DICOM behind a load balancer that tells who calls: HAProxy's PROXY protocol, version 2.

    serve(endpoint=ProxyProtocol(TCP("127.0.0.1", 11112)))    # HAProxy: server ... send-proxy-v2

A wrapper around any other endpoint. Each connection begins with a header that names the real
client; `peer` is that client, and bytes after the header pass untouched. Only a proxy may reach a
port that is served like this: anybody else could name any client.
"""

from __future__ import annotations

import ipaddress
import struct
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from dul_fsm import TCP, associate, serve
from dul_fsm.services.handler import Handler
from dul_fsm.transports.base import Buffer, Connector, Listener, Transport

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
HEADER = struct.Struct(">12sBBH")  # signature, version and command, family, length of the rest
LOCAL, PROXY = 0x20, 0x21
TCP_OVER_IPV4, TCP_OVER_IPV6 = 0x11, 0x21
ADDRESSES = {TCP_OVER_IPV4: struct.Struct(">4s4sHH"), TCP_OVER_IPV6: struct.Struct(">16s16sHH")}
MAXIMUM_LENGTH = 4096  # addresses, and whatever else a proxy has to say
HEADER_TIMEOUT = 5.0  # seconds in which a proxy sends its first bytes


class ProxiedTransport:
    """One connection from a proxy. The header is read when it is needed, not when it is accepted:
    a proxy that says nothing delays nobody else."""

    def __init__(self, lower: Transport) -> None:
        self.local = getattr(lower, "local", "")
        self._lower = lower
        self._peer = getattr(lower, "peer", "")
        self._reading = threading.Lock()
        self._head = bytearray()
        self._wanted = HEADER.size  # bytes until more is known
        self._complete = False

    @property
    def peer(self) -> str:
        """The client, as the proxy names it; the proxy itself if it names nobody."""
        with suppress(OSError):
            self._read_header(HEADER_TIMEOUT)
        return self._peer

    def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        return self._lower.send(buffers, timeout)

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        if self._complete:
            return self._lower.receive_into(view, timeout)
        began = time.monotonic()
        self._read_header(timeout)
        passed = time.monotonic() - began
        return self._lower.receive_into(view, None if timeout is None else timeout - passed)

    def close(self) -> None:
        self._lower.close()

    def _read_header(self, timeout: float | None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._reading:
            while not self._complete:
                left = None if deadline is None else deadline - time.monotonic()
                piece = bytearray(self._wanted - len(self._head))  # and no byte of what follows
                count = self._lower.receive_into(memoryview(piece), left)
                if not count:
                    raise ConnectionError("the proxy hung up before it said for whom it calls")
                self._head += piece[:count]
                if len(self._head) == self._wanted:
                    self._parse()

    def _parse(self) -> None:
        signature, command, family, length = HEADER.unpack_from(self._head)
        if signature != SIGNATURE or command not in (LOCAL, PROXY) or length > MAXIMUM_LENGTH:
            raise ConnectionError("the peer does not speak the PROXY protocol, version 2")
        self._wanted = HEADER.size + length
        if len(self._head) < self._wanted:
            return
        self._complete = True
        layout = ADDRESSES.get(family)
        if command == PROXY and layout is not None and layout.size <= length:
            source, _, port, _ = layout.unpack_from(self._head, HEADER.size)
            host = ipaddress.ip_address(source)
            self._peer = f"[{host}]:{port}" if host.version == 6 else f"{host}:{port}"


class ProxiedListener:
    """Accepts what a proxy passes on."""

    def __init__(self, lower: Listener) -> None:
        self.address = lower.address
        self._lower = lower

    def accept(self) -> ProxiedTransport:
        return ProxiedTransport(self._lower.accept())

    def close(self) -> None:
        self._lower.close()


@dataclass(frozen=True)
class ProxyProtocol:
    """An endpoint behind a proxy; who connects to it is one, and names itself or somebody else."""

    lower: Connector
    client: str = ""
    """HOST:PORT, or [HOST]:PORT, to name in place of ourselves."""

    def connect(self, timeout: float | None) -> Transport:
        deadline = None if timeout is None else time.monotonic() + timeout
        transport = self.lower.connect(timeout)
        header = self._header(self.client or getattr(transport, "local", ""))
        try:
            while header:
                left = None if deadline is None else deadline - time.monotonic()
                header = header[transport.send([header], left) :]
        except BaseException:
            transport.close()
            raise
        return transport

    def listen(self) -> ProxiedListener:
        return ProxiedListener(self.lower.listen())

    @staticmethod
    def _header(client: str) -> bytes:
        host, _, port = client.rpartition(":")
        try:
            source = ipaddress.ip_address(host.strip("[]"))
        except ValueError:  # no client that has an address
            return HEADER.pack(SIGNATURE, LOCAL, 0, 0)
        family = TCP_OVER_IPV6 if source.version == 6 else TCP_OVER_IPV4
        named = ADDRESSES[family].pack(source.packed, source.packed, int(port), int(port))
        return HEADER.pack(SIGNATURE, PROXY, family, len(named)) + named


if __name__ == "__main__":

    class Who(Handler):
        def closed(self) -> None:
            print(f"SCP: the client was {self.peer}")

    with serve(Who, ProxyProtocol(TCP("127.0.0.1", 0))) as server:
        proxy = ProxyProtocol(TCP("127.0.0.1", server.port), client="192.0.2.7:40104")
        with associate(proxy) as association:
            print(f"C-ECHO through a proxy: {association.c_echo().status:04X}H")
