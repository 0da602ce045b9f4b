"""Every example runs, and its transport keeps every clause that it can be checked against."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dul_fsm import aio
from dul_fsm.pdu import AAssociateRQ
from dul_fsm.services.handler import Accept, Handler, Reject
from dul_fsm.testing.transports import CLAUSES, Break, Clause, check_transport
from dul_fsm.testing.transports_aio import CLAUSES as ASYNC_CLAUSES
from dul_fsm.testing.transports_aio import check_transport_async
from dul_fsm.transports import TCP, Connector, Loopback, Transport, pair
from dul_fsm.transports.aio import AsyncConnector, AsyncTransport
from dul_fsm.transports.aio.streams import AsyncDescriptorTransport
from dul_fsm.transports.base import ListenerClosed
from dul_fsm.transports.loopback import LoopbackTransport
from dul_fsm.transports.streams import DescriptorTransport
from dul_fsm.transports.taps import TappedTransport
from examples.proxy_protocol import HEADER, LOCAL, PROXY, SIGNATURE, Proxied, ProxyProtocol
from examples.recording import Recording, Witness, read_recording
from examples.stdio_tunnel import Stdio, Tunnel
from examples.unix_socket import UnixSocket
from tests.transports.helpers import Task, receive_exactly, send_all
from tests.transports.sockets import reset

ROOT = Path(__file__).parents[1]
SAID = {
    "proxy_protocol.py": "C-ECHO through a proxy: 0000H\nSCP: the client was 192.0.2.7:40104\n",
    "recording.py": "C-ECHO with a witness: 0000H\n>",
    "stdio_tunnel.py": "C-ECHO through a child process: 0000H\n",
    "unix_socket.py": "C-ECHO over a Unix socket: 0000H\n",
}

A_PAGE = 80
"""Lines that one reads at a sitting."""


def test_every_example_is_known() -> None:
    assert {path.name for path in (ROOT / "examples").glob("*.py")} == SAID.keys()


@pytest.mark.parametrize("name", SAID)
def test_an_example_runs_as_a_program(name: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", ROOT / "examples" / name],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith(SAID[name])


@pytest.mark.parametrize("name", SAID)
def test_an_example_is_a_page_long(name: str) -> None:
    assert len((ROOT / "examples" / name).read_text().splitlines()) <= A_PAGE


def test_the_page_on_transports_shows_an_example_as_it_is() -> None:
    page = (ROOT / "docs" / "transports.md").read_text()
    assert (ROOT / "examples" / "unix_socket.py").read_text() in page


# The clauses -------------------------------------------------------------------------------------


def connected(endpoint: Callable[[int], Connector], listen: Connector) -> tuple[Any, Any]:
    """Both ends of a connection over TCP."""
    with closing(listen.listen()) as listener:
        port = int(listener.address.rpartition(":")[2])
        return endpoint(port).connect(60.0), listener.accept()


def unix_pair(folder: Path) -> tuple[Transport, Transport]:
    endpoint = UnixSocket(str(folder / "socket"))
    with closing(endpoint.listen()) as listener:
        return endpoint.connect(60.0), listener.accept()


def pipe_pair(folder: Path) -> tuple[Transport, Transport]:
    (a, b), (c, d) = os.pipe(), os.pipe()
    return DescriptorTransport(a, d), DescriptorTransport(c, b)


def proxied_pair(folder: Path) -> tuple[Transport, Transport]:
    return connected(
        lambda port: ProxyProtocol(TCP("127.0.0.1", port)), ProxyProtocol(TCP("127.0.0.1", 0))
    )


def recorded_pair(folder: Path) -> tuple[Transport, Transport]:
    return connected(
        lambda port: Recording(TCP("127.0.0.1", port), folder / "one"),
        Recording(TCP("127.0.0.1", 0), folder / "other"),
    )


def recorded_loopback(folder: Path) -> tuple[Transport, Transport]:
    one, other = pair()
    tape, numbers = folder / "both", itertools.count(1)
    return (
        TappedTransport(one, Witness(tape, numbers, one.local)),
        TappedTransport(other, Witness(tape, numbers, other.local)),
    )


def lower_of(end: Any) -> Any:
    """What is below all wrappers, and in asyncio below that."""
    for below in ("_blocking", "lower", "_blocking"):
        end = getattr(end, below, end)
    return end


def half_close(end: Any) -> None:
    lower = lower_of(end)
    if isinstance(lower, LoopbackTransport):
        lower.half_close()
    elif hasattr(lower, "_socket"):
        lower._socket.shutdown(socket.SHUT_WR)
    else:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), lower.writing)


def break_off(end: Any) -> None:
    lower = lower_of(end)
    if isinstance(lower, LoopbackTransport):
        lower.cut()
    else:
        reset(lower._socket)


class Wire(NamedTuple):
    make: Callable[[Path], tuple[Transport, Transport]]
    reset: Break | None = break_off
    """None for those that know no reset: pipes; a Unix socket only by way of unread bytes."""


WIRES = {
    "unix": Wire(unix_pair, reset=None),
    "pipes": Wire(pipe_pair, reset=None),
    "proxied": Wire(proxied_pair),
    "proxied, accepted": Wire(lambda folder: proxied_pair(folder)[::-1]),
    "recorded": Wire(recorded_pair),
    "recorded loopback": Wire(recorded_loopback),
}


@pytest.mark.parametrize("clause", CLAUSES, ids=str)
@pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)
def test_the_transport_of_an_example_keeps(wire: Wire, clause: Clause, tmp_path: Path) -> None:
    left_out = check_transport(
        partial(wire.make, tmp_path), half_close=half_close, reset=wire.reset, clauses=[clause]
    )
    assert bool(left_out) == (clause.needs == "reset" and wire.reset is None)


async def async_ends(
    endpoint: AsyncConnector, connector: Callable[[str], AsyncConnector]
) -> tuple[AsyncTransport, AsyncTransport]:
    """Both ends of a connection; `connector` is told where the listener listens."""
    listener = await endpoint.listen_async()
    accept = asyncio.create_task(listener.accept())
    connected = await connector(listener.address).connect_async(60.0)
    accepted = await accept
    listener.close()
    return connected, accepted


def at(address: str) -> TCP:
    return TCP("127.0.0.1", int(address.rpartition(":")[2]))


async def async_unix_pair(folder: Path) -> tuple[AsyncTransport, AsyncTransport]:
    endpoint = UnixSocket(str(folder / "socket"))
    return await async_ends(endpoint, lambda address: endpoint)


async def async_proxied_pair(folder: Path) -> tuple[AsyncTransport, AsyncTransport]:
    endpoint = ProxyProtocol(TCP("127.0.0.1", 0))
    return await async_ends(endpoint, lambda address: ProxyProtocol(at(address), "192.0.2.7:1"))


async def async_accepted_from_a_proxy(folder: Path) -> tuple[AsyncTransport, AsyncTransport]:
    connected, accepted = await async_proxied_pair(folder)
    return accepted, connected


async def async_recorded_pair(folder: Path) -> tuple[AsyncTransport, AsyncTransport]:
    endpoint = Recording(TCP("127.0.0.1", 0), folder / "one")
    return await async_ends(endpoint, lambda address: Recording(at(address), folder / "other"))


async def async_pipe_pair(folder: Path) -> tuple[AsyncTransport, AsyncTransport]:
    (a, b), (c, d) = os.pipe(), os.pipe()
    one, other = DescriptorTransport(a, d), DescriptorTransport(c, b)
    return AsyncDescriptorTransport(one), AsyncDescriptorTransport(other)


@pytest.mark.parametrize("clause", ASYNC_CLAUSES, ids=str)
@pytest.mark.parametrize(
    ("make", "reset"),
    [
        (async_unix_pair, None),
        (async_pipe_pair, None),
        (async_proxied_pair, break_off),
        (async_accepted_from_a_proxy, break_off),
        (async_recorded_pair, break_off),
    ],
)
def test_the_transport_of_an_example_keeps_it_in_asyncio(
    make: Callable[[Path], Coroutine[Any, Any, tuple[AsyncTransport, AsyncTransport]]],
    reset: Break | None,
    clause: Clause,
    tmp_path: Path,
) -> None:
    left_out = check_transport_async(
        partial(make, tmp_path), half_close=half_close, reset=reset, clauses=[clause]
    )
    assert bool(left_out) == (clause.needs == "reset" and reset is None)


# Each one's own ----------------------------------------------------------------------------------


def test_a_unix_listener_ends_and_removes_its_path(tmp_path: Path) -> None:
    endpoint = UnixSocket(str(tmp_path / "socket"))
    listener = endpoint.listen()
    tasks = [Task(listener.accept).blocked() for _ in range(2)]
    listener.close()
    listener.close()
    for task in tasks:
        with pytest.raises(ListenerClosed):
            task.result()
    with pytest.raises(ListenerClosed):
        listener.accept()
    assert not Path(endpoint.path).exists()
    with pytest.raises(FileNotFoundError):
        endpoint.connect(1.0)


def test_a_unix_path_that_is_taken_is_refused(tmp_path: Path) -> None:
    endpoint = UnixSocket(str(tmp_path / "socket"))
    with closing(endpoint.listen()), pytest.raises(OSError, match="in use"):
        endpoint.listen()


def test_the_ends_of_a_tunnel_know_their_places() -> None:
    with pytest.raises(OSError, match="Stdio"):
        Tunnel(["true"]).listen()
    with pytest.raises(OSError, match="does not call"):
        Stdio().connect(1.0)


@pytest.fixture
def behind() -> Iterator[tuple[Transport, TappedTransport]]:
    """What a proxy sends, and the transport that reads it."""
    proxy, lower = pair()
    yield proxy, TappedTransport(lower, Proxied())
    proxy.close()
    lower.close()


def header(command: int, family: int, addresses: bytes) -> bytes:
    return HEADER.pack(SIGNATURE, command, family, len(addresses)) + addresses


V4 = bytes([192, 0, 2, 7, 10, 0, 0, 1]) + (40104).to_bytes(2, "big") + (104).to_bytes(2, "big")
V6 = bytes.fromhex("20010db8" + "00" * 11 + "07") * 2 + (40104).to_bytes(2, "big") * 2


@pytest.mark.parametrize(
    ("sent", "peer"),
    [
        (header(PROXY, 0x11, V4), "192.0.2.7:40104"),
        (header(PROXY, 0x11, V4 + b"\x04\x00\x02hi"), "192.0.2.7:40104"),
        (header(PROXY, 0x21, V6), "[2001:db8::7]:40104"),
        (header(LOCAL, 0x11, V4), "loopback:a"),
        (header(LOCAL, 0, b""), "loopback:a"),
        (header(PROXY, 0x31, bytes(216)), "loopback:a"),
        (header(PROXY, 0x11, V4[:5]), "loopback:a"),
    ],
    ids=["ipv4", "more", "ipv6", "health check", "empty", "unix", "short"],
)
def test_a_proxy_names_the_client_and_the_rest_passes(
    behind: tuple[Transport, TappedTransport], sent: bytes, peer: str
) -> None:
    proxy, end = behind
    for byte in sent:
        send_all(proxy, bytes([byte]))
    send_all(proxy, b"A-ASSOCIATE-RQ")
    assert end.peer == peer
    assert receive_exactly(end, 14) == b"A-ASSOCIATE-RQ"


@pytest.mark.parametrize(
    "sent",
    [b"\x01\x00" + bytes(100), header(0x2F, 0x11, V4), HEADER.pack(SIGNATURE, PROXY, 0, 4097)],
    ids=["plain DICOM", "another command", "too long"],
)
def test_what_is_no_header_ends_the_connection(
    behind: tuple[Transport, TappedTransport], sent: bytes
) -> None:
    proxy, end = behind
    send_all(proxy, sent)
    for _ in range(2):  # what follows is no DICOM either
        with pytest.raises(ConnectionError, match="does not speak the PROXY protocol"):
            end.receive_into(memoryview(bytearray(8)), None)


def test_a_proxy_that_hangs_up_early_is_no_end_of_the_stream(
    behind: tuple[Transport, TappedTransport],
) -> None:
    proxy, end = behind
    send_all(proxy, SIGNATURE)
    with pytest.raises(TimeoutError):
        end.receive_into(memoryview(bytearray(8)), 0)
    proxy.close()
    with pytest.raises(ConnectionError, match="hung up"):
        end.receive_into(memoryview(bytearray(8)), None)


def test_a_proxy_without_an_address_names_nobody() -> None:
    loopback = Loopback()
    with (
        closing(loopback.listen()) as listener,
        closing(ProxyProtocol(loopback).connect(1.0)),
        closing(TappedTransport(listener.accept(), Proxied())) as accepted,
    ):
        assert accepted.peer == "loopback:1"


def test_a_handler_behind_a_proxy_knows_the_client_in_asyncio() -> None:
    told: list[str] = []

    class Who(Handler):
        def associate_requested(self, request: AAssociateRQ) -> Accept | Reject:
            told.append(self.peer)
            return Accept()

    async def session() -> None:
        async with aio.serve(Who, ProxyProtocol(TCP("127.0.0.1", 0))) as server:
            proxy = ProxyProtocol(at(server.address), client="192.0.2.7:40104")
            async with aio.associate(proxy) as association:
                assert (await association.c_echo()).status == 0

    asyncio.run(session())
    assert told == ["192.0.2.7:40104"]


def test_a_recording_in_asyncio_is_what_has_passed(tmp_path: Path) -> None:
    async def session() -> None:
        endpoint = Recording(TCP("127.0.0.1", 0), tmp_path / "server")
        async with aio.serve(endpoint=endpoint) as server:
            client = Recording(at(server.address), tmp_path / "client")
            async with aio.associate(client) as association:
                assert (await association.c_echo()).status == 0

    asyncio.run(session())
    ends = [
        {
            way: b"".join(data for way_, _, data in read_recording(path) if way_ == way)
            for way in "<>"
        }
        for path in (tmp_path / "client", tmp_path / "server")
    ]
    assert ends[0][">"] == ends[1]["<"]
    assert ends[0]["<"] == ends[1][">"]
    assert len(ends[0][">"]) > 68


def test_a_recording_tells_connections_apart(tmp_path: Path) -> None:
    loopback = Loopback()
    recording = Recording(loopback, tmp_path / "tape")
    with closing(loopback.listen()) as listener:
        for said in (b"one", b"two"):
            with closing(recording.connect(1.0)) as ours, closing(listener.accept()) as theirs:
                send_all(ours, said)
                send_all(theirs, said.upper())
                receive_exactly(ours, 3)
    assert list(read_recording(tmp_path / "tape")) == [
        (">", 1, b"one"),
        ("<", 1, b"ONE"),
        (">", 2, b"two"),
        ("<", 2, b"TWO"),
    ]
