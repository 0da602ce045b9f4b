"""DICOM with a witness: what passes, in both directions, is written to a file.

    associate(Recording(TCP("pacs.example.org", 104), "call.bytes"))
    for direction, number, data in read_recording("call.bytes"): ...

It goes around any other endpoint, on either side, blocking or asyncio. What it writes is what the
transport has taken and given, in the order in which this end saw it; one file holds all connections
of an endpoint.
"""

from __future__ import annotations

import itertools
import os
import struct
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from dul_fsm import TCP, associate, serve
from dul_fsm.transports.taps import Tap, Tapped

RECORD = struct.Struct(">cII")  # direction, number of the connection, bytes that follow


class Witness(Tap):
    """Writes down what one connection moves."""

    def __init__(self, path: str | os.PathLike[str], numbers: Iterator[int], local: str) -> None:
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115
        self._number = next(numbers)

    def sent(self, data: memoryview) -> None:
        self._write(b">", data)

    def received(self, data: memoryview) -> None:
        self._write(b"<", data)

    def closed(self) -> None:
        self._file.close()

    def _write(self, direction: bytes, data: memoryview) -> None:
        self._file.write(RECORD.pack(direction, self._number, len(data)) + data)


class Recording(Tapped):
    """An endpoint whose connections are recorded, in a file that is added to."""

    def __init__(self, lower: Any, path: str | os.PathLike[str]) -> None:
        """`lower`: a `Connector`, or an `AsyncConnector`; or both, as TCP is."""
        witness = partial(Witness, path, itertools.count(1))
        super().__init__(lower, connecting=witness, accepting=witness)


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
