"""DICOM with a witness: a wrapper that tees what passes, in both directions, to a file.

    associate(Recording(TCP("pacs.example.org", 104), "call.bytes"))
    for direction, number, data in read_recording("call.bytes"): ...

It wraps any other endpoint, on either side. What it writes is what the transport has taken and
given, in the order in which this end saw it; one file holds all connections of an endpoint.
"""

from __future__ import annotations

import itertools
import os
import struct
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from dul_fsm import TCP, associate, serve
from dul_fsm.transports.base import Buffer, Connector, Transport
from dul_fsm.transports.wrapping import WrappedListener, Wrapper

RECORD = struct.Struct(">cII")  # direction, number of the connection, bytes that follow
SENT, RECEIVED = b">", b"<"


class RecordedTransport(Wrapper):
    """One connection that is recorded."""

    def __init__(self, lower: Transport, path: str | os.PathLike[str], number: int) -> None:
        super().__init__(lower)
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115
        self._number = number
        self._lock = threading.Lock()  # one thread sends, one receives, any may close

    def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        count = self.lower.send(buffers, timeout)
        self._write(SENT, b"".join(buffers)[:count])
        return count

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        count = self.lower.receive_into(view, timeout)
        self._write(RECEIVED, bytes(view[:count]))
        return count

    def close(self) -> None:
        self.lower.close()
        with self._lock:
            self._file.close()

    def _write(self, direction: bytes, data: bytes) -> None:
        with self._lock:
            if data and not self._file.closed:
                self._file.write(RECORD.pack(direction, self._number, len(data)) + data)


class Recording:
    """An endpoint whose connections are recorded, in a file that is added to."""

    def __init__(self, lower: Connector, path: str | os.PathLike[str]) -> None:
        self._lower = lower
        self._path = path
        self._numbers = itertools.count(1)

    def connect(self, timeout: float | None) -> RecordedTransport:
        return self._recorded(self._lower.connect(timeout))

    def listen(self) -> WrappedListener:
        return WrappedListener(self._lower.listen(), self._recorded)

    def _recorded(self, lower: Transport) -> RecordedTransport:
        return RecordedTransport(lower, self._path, next(self._numbers))


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
