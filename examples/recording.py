"""DICOM with a witness: a wrapper that tees what passes, in both directions, to a file.

    associate(Recording(TCP("pacs.example.org", 104), "call.bytes"))
    for direction, number, data in read_recording("call.bytes"): ...

It wraps any other endpoint, on either side, blocking or asyncio. What it writes is what the
transport has taken and given, in the order in which this end saw it; one file holds all connections
of an endpoint.
"""

from __future__ import annotations

import itertools
import os
import struct
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dul_fsm import TCP, associate, serve
from dul_fsm.transports.aio import AsyncTransport
from dul_fsm.transports.aio.wrapping import AsyncWrappedListener, AsyncWrapper
from dul_fsm.transports.base import Buffer, Transport
from dul_fsm.transports.wrapping import WrappedListener, Wrapper

RECORD = struct.Struct(">cII")  # direction, number of the connection, bytes that follow
SENT, RECEIVED = b">", b"<"


class Witness:
    """What one connection moves, written to a file."""

    def __init__(self, path: str | os.PathLike[str], number: int) -> None:
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115
        self._number = number
        self._lock = threading.Lock()  # one thread sends, one receives, any may close

    def write(self, direction: bytes, data: bytes) -> None:
        with self._lock:
            if data and not self._file.closed:
                self._file.write(RECORD.pack(direction, self._number, len(data)) + data)

    def close(self) -> None:
        with self._lock:
            self._file.close()


class RecordedTransport(Wrapper):
    """One connection that is recorded."""

    def __init__(self, lower: Transport, witness: Witness) -> None:
        super().__init__(lower)
        self._witness = witness

    def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        count = self.lower.send(buffers, timeout)
        self._witness.write(SENT, b"".join(buffers)[:count])
        return count

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        count = self.lower.receive_into(view, timeout)
        self._witness.write(RECEIVED, bytes(view[:count]))
        return count

    def close(self) -> None:
        self.lower.close()
        self._witness.close()


class AsyncRecordedTransport(AsyncWrapper):
    """The same for asyncio."""

    def __init__(self, lower: AsyncTransport, witness: Witness) -> None:
        super().__init__(lower)
        self._witness = witness

    async def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        count = await self.lower.send(buffers, timeout)
        self._witness.write(SENT, b"".join(buffers)[:count])
        return count

    async def receive_into(self, view: memoryview, timeout: float | None) -> int:
        count = await self.lower.receive_into(view, timeout)
        self._witness.write(RECEIVED, bytes(view[:count]))
        return count

    def close(self) -> None:
        self.lower.close()
        self._witness.close()


class Recording:
    """An endpoint whose connections are recorded, in a file that is added to."""

    def __init__(self, lower: Any, path: str | os.PathLike[str]) -> None:
        """`lower`: a `Connector`, or an `AsyncConnector`; or both, as TCP is."""
        self._lower = lower
        self._path = path
        self._numbers = itertools.count(1)

    def connect(self, timeout: float | None) -> RecordedTransport:
        return self._recorded(self._lower.connect(timeout))

    def listen(self) -> WrappedListener:
        return WrappedListener(self._lower.listen(), self._recorded)

    async def connect_async(self, timeout: float | None) -> AsyncRecordedTransport:
        return self._recorded_async(await self._lower.connect_async(timeout))

    async def listen_async(self) -> AsyncWrappedListener:
        return AsyncWrappedListener(await self._lower.listen_async(), self._recorded_async)

    def _recorded(self, lower: Transport) -> RecordedTransport:
        return RecordedTransport(lower, Witness(self._path, next(self._numbers)))

    def _recorded_async(self, lower: AsyncTransport) -> AsyncRecordedTransport:
        return AsyncRecordedTransport(lower, Witness(self._path, next(self._numbers)))


def read_recording(path: str | os.PathLike[str]) -> Iterator[tuple[str, int, bytes]]:
    """Each piece: ">" sent or "<" received, the connection's number, the bytes."""
    with open(path, "rb") as file:
        while head := file.read(RECORD.size):
            direction, connection, length = RECORD.unpack(head)
            yield direction.decode(), connection, file.read(length)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, serve(port=0) as server:
        path = Path(folder, "call.bytes")
        with associate(Recording(TCP("127.0.0.1", server.port), path)) as association:
            print(f"C-ECHO with a witness: {association.c_echo().status:04X}H")
        for direction, _, data in read_recording(path):
            print(f"{direction} {len(data):5} bytes, {data[:6].hex(' ')} ...")
