"""DICOM behind a load balancer that tells who calls: HAProxy's PROXY protocol, version 2.

    serve(endpoint=ProxyProtocol(TCP("127.0.0.1", 11112)))    # HAProxy: server ... send-proxy-v2

It goes around any other endpoint. Each connection begins with a header that names the real client;
`peer` is that client. Only a proxy may reach such a port: anybody else could name any client.
"""

from __future__ import annotations

import ipaddress
import struct
from functools import partial
from typing import Any

from dul_fsm import TCP, Handler, associate, serve
from dul_fsm.transports.taps import Tap, Tapped

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
HEADER = struct.Struct(">12sBBH")  # signature, version and command, family, length of the rest
LOCAL, PROXY = 0x20, 0x21  # for nobody, as health checks are; for a client
ADDRESSES = {0x11: struct.Struct(">4s4sHH"), 0x21: struct.Struct(">16s16sHH")}  # TCP over IPv4, v6
MAXIMUM_LENGTH = 4096  # addresses, and whatever else a proxy has to say


class Proxied(Tap):
    """A connection from a proxy: the header comes first, and is read here."""

    missing = HEADER.size
    hung_up = "the proxy hung up before it said for whom it calls"
    addresses: struct.Struct | None = None
    begun = False

    def take(self, data: bytes) -> None:
        if not self.begun:
            signature, command, family, self.missing = HEADER.unpack(data)
            spoken = signature == SIGNATURE and command in (LOCAL, PROXY)
            if not spoken or self.missing > MAXIMUM_LENGTH:
                raise ConnectionError("the peer does not speak the PROXY protocol, version 2")
            self.addresses = ADDRESSES.get(family) if command == PROXY else None
            self.begun = True
        elif self.addresses is not None and len(data) >= self.addresses.size:
            source, _, port, _ = self.addresses.unpack_from(data)
            host = ipaddress.ip_address(source)
            self.peer = f"[{host}]:{port}" if host.version == 6 else f"{host}:{port}"


class Proxying(Tap):
    """A connection that we make as a proxy: the header is sent first, and names the client."""

    def __init__(self, client: str, local: str) -> None:
        self.opening = HEADER.pack(SIGNATURE, LOCAL, 0, 0)
        host, _, port = (client or local).rpartition(":")
        try:
            source = ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            return  # no address: nobody is named
        family = 0x21 if source.version == 6 else 0x11
        addresses = ADDRESSES[family].pack(source.packed, source.packed, int(port), int(port))
        self.opening = HEADER.pack(SIGNATURE, PROXY, family, len(addresses)) + addresses


class ProxyProtocol(Tapped):
    """An endpoint behind a proxy; who connects to it is one, and names itself or somebody else."""

    def __init__(self, lower: Any, client: str = "") -> None:
        """`client`: HOST:PORT, or [HOST]:PORT, to name in place of ourselves."""
        super().__init__(lower, connecting=partial(Proxying, client), accepting=Proxied)


if __name__ == "__main__":

    class Who(Handler):
        def closed(self) -> None:
            print(f"SCP: the client was {self.peer}")

    with serve(Who, ProxyProtocol(TCP("127.0.0.1", 0))) as server:
        proxy = ProxyProtocol(TCP("127.0.0.1", server.port), client="192.0.2.7:40104")
        with associate(proxy) as association:
            print(f"C-ECHO through a proxy: {association.c_echo().status:04X}H")
