"""DICOM behind a load balancer that tells who calls: HAProxy's PROXY protocol, version 2.

    serve(endpoint=ProxyProtocol(TCP("127.0.0.1", 11112)))    # HAProxy: server ... send-proxy-v2

A wrapper around any other endpoint, blocking or asyncio. Each connection begins with a header that
names the real client; `peer` is that client, and bytes after the header pass untouched. Only a
proxy may reach a port that is served like this: anybody else could name any client.
"""

from __future__ import annotations

import ipaddress
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from dul_fsm import TCP, Handler, associate, serve
from dul_fsm.transports.aio import AsyncTransport
from dul_fsm.transports.aio.wrapping import AsyncWrappedListener, AsyncWrapper
from dul_fsm.transports.base import Transport
from dul_fsm.transports.wrapping import WrappedListener, Wrapper

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
HEADER = struct.Struct(">12sBBH")  # signature, version and command, family, length of the rest
LOCAL, PROXY = 0x20, 0x21
ADDRESSES = {0x11: struct.Struct(">4s4sHH"), 0x21: struct.Struct(">16s16sHH")}  # TCP over IPv4, v6
MAXIMUM_LENGTH = 4096  # addresses, and whatever else a proxy has to say
HEADER_TIMEOUT = 5.0  # seconds in which a proxy sends its first bytes


class Header:
    """What a proxy says first, as it arrives."""

    def __init__(self) -> None:
        self._head, self._wanted = bytearray(), HEADER.size

    @property
    def missing(self) -> int:
        """Bytes to read, and not one more: what follows is not ours."""
        return self._wanted - len(self._head)

    def take(self, piece: bytes | bytearray) -> None:
        if not piece:
            raise ConnectionError("the proxy hung up before it said for whom it calls")
        self._head += piece
        if len(self._head) == HEADER.size:
            self._wanted += length_of(self._head)

    @property
    def client(self) -> str:
        """HOST:PORT of the client that is named; empty if none is."""
        return named_in(self._head)


class ProxiedTransport(Wrapper):
    """One connection from a proxy. The header is read when it is needed, not when it is accepted:
    a proxy that says nothing delays nobody else."""

    def __init__(self, lower: Transport) -> None:
        super().__init__(lower)
        self._reading, self._header = threading.Lock(), Header()

    @property
    def peer(self) -> str:
        """The client, as the proxy names it; the proxy itself if it names nobody."""
        with suppress(OSError):
            self._read_header(HEADER_TIMEOUT)
        return self._header.client or super().peer

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        return self.lower.receive_into(view, self._read_header(timeout))

    def _read_header(self, timeout: float | None) -> float | None:
        deadline = time.monotonic() + (timeout or 0.0)
        with self._reading:
            while missing := self._header.missing:
                left = None if timeout is None else deadline - time.monotonic()
                piece = bytearray(missing)
                self._header.take(piece[: self.lower.receive_into(memoryview(piece), left)])
        return None if timeout is None else deadline - time.monotonic()


class AsyncProxiedTransport(AsyncWrapper):
    """The same for asyncio; `peer` is the client once something was received from it."""

    def __init__(self, lower: AsyncTransport) -> None:
        super().__init__(lower)
        self._header = Header()

    @property
    def peer(self) -> str:
        return self._header.client or super().peer

    async def receive_into(self, view: memoryview, timeout: float | None) -> int:
        deadline = time.monotonic() + (timeout or 0.0)
        left = timeout
        while missing := self._header.missing:
            piece = bytearray(missing)
            self._header.take(piece[: await self.lower.receive_into(memoryview(piece), left)])
            left = None if timeout is None else deadline - time.monotonic()
        return await self.lower.receive_into(view, left)


def length_of(head: bytearray) -> int:
    """Bytes of a header that follow its beginning."""
    signature, command, _, length = HEADER.unpack_from(head)
    if signature != SIGNATURE or command not in (LOCAL, PROXY) or length > MAXIMUM_LENGTH:
        raise ConnectionError("the peer does not speak the PROXY protocol, version 2")
    return int(length)


def named_in(head: bytearray) -> str:
    """HOST:PORT of the client that a header names; empty if it names none."""
    _, command, family, length = HEADER.unpack(head[: HEADER.size].ljust(HEADER.size, b"\0"))
    layout = ADDRESSES.get(family)
    if command != PROXY or layout is None or min(length, len(head) - HEADER.size) < layout.size:
        return ""
    source, _, port, _ = layout.unpack_from(head, HEADER.size)
    host = ipaddress.ip_address(source)
    return f"[{host}]:{port}" if host.version == 6 else f"{host}:{port}"


def header_for(client: str) -> bytes:
    """A header that names HOST:PORT, or nobody if that is no address."""
    host, _, port = client.rpartition(":")
    try:
        source = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return HEADER.pack(SIGNATURE, LOCAL, 0, 0)
    family = 0x21 if source.version == 6 else 0x11
    named = ADDRESSES[family].pack(source.packed, source.packed, int(port), int(port))
    return HEADER.pack(SIGNATURE, PROXY, family, len(named)) + named


@dataclass(frozen=True)
class ProxyProtocol:
    """An endpoint behind a proxy; who connects to it is one, and names itself or somebody else."""

    lower: Any
    """A `Connector`, or an `AsyncConnector`; or both, as TCP is."""
    client: str = ""
    """HOST:PORT, or [HOST]:PORT, to name in place of ourselves."""

    def connect(self, timeout: float | None) -> Transport:
        transport: Transport = self.lower.connect(timeout)
        header = header_for(self.client or getattr(transport, "local", ""))
        try:
            while header:  # the first bytes of a connection: nothing is in their way
                header = header[transport.send([header], timeout) :]
        except BaseException:
            transport.close()
            raise
        return transport

    def listen(self) -> WrappedListener:
        return WrappedListener(self.lower.listen(), ProxiedTransport)

    async def connect_async(self, timeout: float | None) -> AsyncTransport:
        transport: AsyncTransport = await self.lower.connect_async(timeout)
        header = header_for(self.client or getattr(transport, "local", ""))
        try:
            while header:
                header = header[await transport.send([header], timeout) :]
        except BaseException:
            transport.close()
            raise
        return transport

    async def listen_async(self) -> AsyncWrappedListener:
        return AsyncWrappedListener(await self.lower.listen_async(), AsyncProxiedTransport)


if __name__ == "__main__":

    class Who(Handler):
        def closed(self) -> None:
            print(f"SCP: the client was {self.peer}")

    with serve(Who, ProxyProtocol(TCP("127.0.0.1", 0))) as server:
        proxy = ProxyProtocol(TCP("127.0.0.1", server.port), client="192.0.2.7:40104")
        with associate(proxy) as association:
            print(f"C-ECHO through a proxy: {association.c_echo().status:04X}H")
