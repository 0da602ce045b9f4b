"""What went over a TCP port, as a file for Wireshark: captured, or written down by a relay.

Capturing needs a right that not every machine grants. The relay needs none; what it writes are the
bytes that both ends exchanged, in packets of its own making.
"""

from __future__ import annotations

import secrets
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.interop.programs import HOST, PATIENCE, Program, eventually


class NotAllowed(Exception):
    """This machine does not let us capture."""


@dataclass
class Recording:
    """A capture in the making; the file is complete after the `with` block."""

    file: Path
    port: int
    """Where to connect to."""


@contextmanager
def captured(tshark: str, file: Path, port: int) -> Iterator[Recording]:
    """Capture the traffic of a port on the loopback interface. Raises `NotAllowed`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as marks:
        marks.bind((HOST, 0))
        mark_port = marks.getsockname()[1]

        def seen() -> None:
            """Wait until all that was on the wire up to now is in the file."""
            # A dissector takes it for malformed RTCP, as it does with one random mark in many: so
            # who looks for faults in what was recorded looks at the TCP port, or always fails.
            mark = b"\x81\xce\0\0" + secrets.token_bytes(12)

            def arrived() -> bool:
                marks.sendto(mark, (HOST, mark_port))
                return file.exists() and mark in file.read_bytes()

            eventually(arrived, "the capture reaches the mark")

        filters = f"tcp port {port} or udp port {mark_port}"
        arguments = (tshark, "-i", "lo", "-f", filters, "-w", file)
        with Program(arguments, file.with_suffix(".log")) as program:
            eventually(
                lambda: "Capture started" in program.output or not program.running,
                "tshark starts to capture",
            )
            if not program.running:
                if "permission" in program.output:
                    raise NotAllowed(program.output)
                raise AssertionError(program.output)
            seen()
            yield Recording(file, port)
            seen()
            program.signal(signal.SIGINT)
            assert program.wait() == 0, program.output


@contextmanager
def relayed(file: Path, port: int) -> Iterator[Recording]:
    """Relay to a port, and write down what is said."""
    packets = _Packets(port)
    with socket.create_server((HOST, 0)) as listener:
        relay = threading.Thread(target=_relay, args=(listener, port, packets), daemon=True)
        relay.start()
        recording = Recording(file, listener.getsockname()[1])
        try:
            yield recording
        finally:
            # The end of the relay's thread: a connection that says so.
            packets.done = True
            socket.create_connection((HOST, recording.port)).close()
            relay.join(PATIENCE)
        assert not relay.is_alive()
    file.write_bytes(packets.pcap())


def _relay(listener: socket.socket, port: int, packets: _Packets) -> None:
    """One connection after the other, as clients make them."""
    while True:
        client, (_, client_port) = listener.accept()
        with client:
            if packets.done:
                return
            with socket.create_connection((HOST, port)) as server:
                packets.open(client_port)
                back = threading.Thread(
                    target=_pump, args=(server, client, packets, False), daemon=True
                )
                back.start()
                _pump(client, server, packets, True)
                back.join(PATIENCE)
                packets.close()


def _pump(source: socket.socket, sink: socket.socket, packets: _Packets, to_server: bool) -> None:
    # Packets of IP have less than 64 KiB.
    while data := source.recv(32768):
        packets.data(data, to_server)
        sink.sendall(data)
    sink.shutdown(socket.SHUT_WR)


class _Packets:
    """TCP in IPv4, enough of it for a dissector (RFC 791, RFC 9293); no checksums."""

    _SYN, _FIN, _PSH_ACK, _SYN_ACK, _FIN_ACK, _ACK = 0x02, 0x01, 0x18, 0x12, 0x11, 0x10

    def __init__(self, port: int) -> None:
        self.done = False
        self._port = port
        self._client_port = 0
        self._next = {True: 0, False: 0}  # sequence numbers, to the server and from it
        self._file = bytearray(
            # Magic, version 2.4, zone, accuracy, longest packet, LINKTYPE_RAW.
            struct.pack("<LHHlLLL", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)
        )
        self._lock = threading.Lock()

    def open(self, client_port: int) -> None:
        self._client_port = client_port
        self._next = {True: 1000, False: 5000}
        for flags, to_server in ((self._SYN, True), (self._SYN_ACK, False), (self._ACK, True)):
            self._put(flags, to_server, b"")

    def data(self, data: bytes, to_server: bool) -> None:
        with self._lock:
            self._put(self._PSH_ACK, to_server, data)

    def close(self) -> None:
        for to_server in (True, False):
            self._put(self._FIN_ACK, to_server, b"")
        self._put(self._ACK, True, b"")

    def _put(self, flags: int, to_server: bool, data: bytes) -> None:
        ports = (self._client_port, self._port) if to_server else (self._port, self._client_port)
        acknowledged = self._next[not to_server] if flags != self._SYN else 0
        tcp = struct.pack(
            ">HHLLBBHHH", *ports, self._next[to_server], acknowledged, 5 << 4, flags, 65535, 0, 0
        )
        self._next[to_server] += len(data) + bool(flags & (self._SYN | self._FIN))
        address = socket.inet_aton(HOST)
        length = 20 + len(tcp) + len(data)
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, length, 0, 0, 64, 6, 0, address, address)
        now = time.time()
        seconds, micro = int(now), int(now % 1 * 1e6)
        self._file += struct.pack("<LLLL", seconds, micro, length, length) + ip + tcp + data

    def pcap(self) -> bytes:
        return bytes(self._file)
