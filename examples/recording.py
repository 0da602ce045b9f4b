"""DICOM with a witness: a wrapper that tees what passes, in both directions, to a file.

    associate(Recording(TCP("pacs.example.org", 104), "call.bytes"))
    for direction, data in read_recording("call.bytes"): ...

It wraps any other endpoint, on either side. What it writes is what the transport has taken and
given, in the order in which this end saw it; one file holds all connections of an endpoint.
"""

from __future__ import annotations

import os
import struct
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from dul_fsm import TCP, associate, serve
from dul_fsm.transports.base import Buffer, Connector, Listener, Transport

RECORD = struct.Struct(">cII")  # direction, number of the connection, bytes that follow
SENT, RECEIVED = b">", b"<"


class Tape:
    """The file, shared by all connections; closed when the last of them is."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._users = 0
        self._connections = 0

    def open(self) -> int:
        """One more connection; its number, from 1."""
        with self._lock:
            if self._file is None:
                self._file = self._path.open("ab", buffering=0)
            self._users += 1
            self._connections += 1
            return self._connections

    def write(self, direction: bytes, connection: int, data: bytes) -> None:
        with self._lock:
            if self._file is not None:
                self._file.write(RECORD.pack(direction, connection, len(data)) + data)

    def close(self) -> None:
        """One connection less."""
        with self._lock:
            self._users -= 1
            if not self._users and self._file is not None:
                self._file.close()
                self._file = None


class RecordedTransport:
    """One connection that is recorded."""

    def __init__(self, lower: Transport, tape: Tape) -> None:
        self.local = getattr(lower, "local", "")
        self.peer = getattr(lower, "peer", "")
        self._lower = lower
        self._tape = tape
        self._number = tape.open()
        self._closing = threading.Lock()
        self._closed = False

    def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        count = self._lower.send(buffers, timeout)
        if count:
            self._tape.write(SENT, self._number, b"".join(buffers)[:count])
        return count

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        count = self._lower.receive_into(view, timeout)
        if count:
            self._tape.write(RECEIVED, self._number, bytes(view[:count]))
        return count

    def close(self) -> None:
        self._lower.close()
        with self._closing:
            closed, self._closed = self._closed, True
        if not closed:
            self._tape.close()


class RecordedListener:
    """Accepts connections and records them."""

    def __init__(self, lower: Listener, tape: Tape) -> None:
        self.address = lower.address
        self._lower = lower
        self._tape = tape

    def accept(self) -> RecordedTransport:
        return RecordedTransport(self._lower.accept(), self._tape)

    def close(self) -> None:
        self._lower.close()


class Recording:
    """An endpoint whose connections are recorded, in a file that is added to."""

    def __init__(self, lower: Connector, path: str | os.PathLike[str]) -> None:
        self._lower = lower
        self._tape = Tape(path)

    def connect(self, timeout: float | None) -> RecordedTransport:
        return RecordedTransport(self._lower.connect(timeout), self._tape)

    def listen(self) -> RecordedListener:
        return RecordedListener(self._lower.listen(), self._tape)


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
