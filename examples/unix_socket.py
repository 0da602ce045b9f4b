"""DICOM over a Unix domain socket: between programs of one host, guarded by file permissions.

    serve(endpoint=UnixSocket("/run/archive.dicom"))
    associate(UnixSocket("/run/archive.dicom"))

The same two with `dul_fsm.aio`. What is hard about a transport, its end, is done by the package:
`SocketTransport` carries bytes over any connected socket, `SocketListener` accepts them.
"""

from __future__ import annotations

import os
import socket
import tempfile
from contextlib import suppress
from dataclasses import dataclass

from dul_fsm import associate, serve
from dul_fsm.transports.aio.streams import AsyncDescriptorTransport, AsyncSocketListener
from dul_fsm.transports.streams import SocketListener, SocketTransport


def carried_by(connected: socket.socket) -> SocketTransport:
    """A transport; a client's end has no name."""
    local, peer = connected.getsockname(), connected.getpeername()
    return SocketTransport(connected, local=local or "unnamed", peer=peer or "unnamed")


@dataclass(frozen=True)
class UnixSocket:
    """An endpoint: a path of at most some hundred bytes."""

    path: str

    def connect(self, timeout: float | None) -> SocketTransport:
        connecting = socket.socket(socket.AF_UNIX)
        try:
            connecting.settimeout(timeout)  # it waits only while the backlog is full
            connecting.connect(self.path)
            return carried_by(connecting)
        except BaseException:
            connecting.close()
            raise

    def listen(self) -> SocketListener:
        listening = socket.socket(socket.AF_UNIX)
        try:
            listening.bind(self.path)
            listening.listen(128)
        except BaseException:
            listening.close()
            raise
        return SocketListener(listening, self.path, carried_by, closed=self._remove)

    def _remove(self) -> None:
        with suppress(OSError):
            os.unlink(self.path)

    async def connect_async(self, timeout: float | None) -> AsyncDescriptorTransport:
        return AsyncDescriptorTransport(self.connect(0))  # a full backlog is an error here

    async def listen_async(self) -> AsyncSocketListener:
        return AsyncSocketListener(self.listen())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        endpoint = UnixSocket(f"{folder}/archive.dicom")
        with serve(endpoint=endpoint), associate(endpoint) as association:
            print(f"C-ECHO over a Unix socket: {association.c_echo().status:04X}H")
