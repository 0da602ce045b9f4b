"""What a transport of one's own is made of keeps the clauses, with any descriptors."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from dul_fsm.testing.transport_tools import Clause
from dul_fsm.testing.transports import CLAUSES, check_transport
from dul_fsm.testing.transports_aio import CLAUSES as ASYNC_CLAUSES
from dul_fsm.testing.transports_aio import check_transport_async
from dul_fsm.transports import Loopback, Transport, pair
from dul_fsm.transports.aio import AsyncTransport
from dul_fsm.transports.aio.streams import AsyncDescriptorTransport, AsyncSocketListener
from dul_fsm.transports.base import ListenerClosed, TransportClosed
from dul_fsm.transports.streams import DescriptorTransport, SocketListener, SocketTransport
from dul_fsm.transports.wrapping import WrappedListener, Wrapper
from tests.transports.helpers import PATIENCE, Task, receive_exactly, send_all

Ends = tuple[DescriptorTransport, DescriptorTransport]


def sockets() -> Ends:
    one, other = socket.socketpair()
    return SocketTransport(one, local="one", peer="other"), SocketTransport(other)


def pipes() -> Ends:
    (a, b), (c, d) = os.pipe(), os.pipe()
    return DescriptorTransport(a, d), DescriptorTransport(c, b)


def wrapped() -> tuple[Transport, Transport]:
    one, other = pair()
    return Wrapper(one), Wrapper(Wrapper(other))


@pytest.mark.parametrize("make_pair", [sockets, pipes, wrapped])
@pytest.mark.parametrize("clause", CLAUSES, ids=str)
def test_it_keeps(clause: Clause, make_pair: Callable[[], tuple[Transport, Transport]]) -> None:
    check_transport(make_pair, clauses=[clause])


@pytest.mark.parametrize("make_pair", [sockets, pipes])
@pytest.mark.parametrize("clause", ASYNC_CLAUSES, ids=str)
def test_it_keeps_in_asyncio(clause: Clause, make_pair: Callable[[], Ends]) -> None:
    async def make_async() -> tuple[AsyncTransport, AsyncTransport]:
        one, other = make_pair()
        return AsyncDescriptorTransport(one), AsyncDescriptorTransport(other)

    check_transport_async(make_async, clauses=[clause])


def test_ends_have_names() -> None:
    one, other = sockets()
    with closing(one), closing(other):
        assert (one.local, one.peer, other.local, other.peer) == ("one", "other", "", "")
    bare = Wrapper(other)
    assert (bare.local, bare.peer) == ("", "")


def test_what_is_given_back_is_given_back_once_and_by_the_last_who_is_inside() -> None:
    told: list[str] = []
    reading, writing = os.pipe()
    end = DescriptorTransport(reading, release=lambda: told.append("released"))
    task = Task(end.receive_into, memoryview(bytearray(8)), None).blocked()
    end.close()
    with pytest.raises(TransportClosed):
        task.result()
    end.close()
    assert told == ["released"]
    os.close(reading)
    os.close(writing)


def test_a_peer_that_never_stops_does_not_hold_up_close() -> None:
    class Flood(socket.socket):
        def recv(self, *arguments: Any) -> bytes:
            return b"more"

    one, other = socket.socketpair()
    end = SocketTransport(Flood(fileno=one.detach()))
    end.close()
    other.close()


# Listeners ---------------------------------------------------------------------------------------


def listening() -> tuple[SocketListener, int, list[str]]:
    told: list[str] = []
    bound = socket.create_server(("127.0.0.1", 0))
    port: int = bound.getsockname()[1]
    listener = SocketListener(bound, "here", SocketTransport, closed=lambda: told.append("closed"))
    return listener, port, told


def test_a_listener_accepts_until_it_is_closed() -> None:
    listener, port, told = listening()
    accept = Task(listener.accept).blocked()
    with (
        socket.create_connection(("127.0.0.1", port), PATIENCE) as peer,
        closing(accept.result()) as end,
    ):
        send_all(end, b"x")
        assert peer.recv(1) == b"x"
    tasks = [Task(listener.accept).blocked() for _ in range(2)]
    listener.close()
    listener.close()
    for task in tasks:
        with pytest.raises(ListenerClosed):
            task.result()
    with pytest.raises(ListenerClosed):
        listener.accept()
    assert (listener.address, told, listener.fileno()) == ("here", ["closed"], -1)


def test_what_cannot_be_taken_up_is_closed() -> None:
    def refuse(connected: socket.socket) -> Transport:
        raise OSError("not this one")

    bound = socket.create_server(("127.0.0.1", 0))
    with (
        closing(SocketListener(bound, "here", refuse)) as listener,
        socket.create_connection(bound.getsockname(), PATIENCE) as peer,
    ):
        with pytest.raises(OSError, match="not this one"):
            listener.accept()
        assert peer.recv(1) == b""


def test_a_listener_in_asyncio_accepts_until_it_is_closed() -> None:
    async def test() -> None:
        blocking, port, told = listening()
        listener = AsyncSocketListener(blocking)
        accept = asyncio.create_task(listener.accept())
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        accepted = await accept
        assert await accepted.send([b"x"], PATIENCE) == 1
        accepted.close()
        writer.close()
        waiting = asyncio.create_task(listener.accept())
        await asyncio.sleep(0)
        listener.close()
        with pytest.raises(ListenerClosed):
            await waiting
        assert (listener.address, told) == ("here", ["closed"])

    asyncio.run(test())


def test_asyncio_waits_for_descriptors_only() -> None:
    async def test() -> None:
        bound = socket.create_server(("127.0.0.1", 0))
        blocking = SocketListener(bound, "here", lambda socket: Wrapper(SocketTransport(socket)))
        listener = AsyncSocketListener(blocking)
        with socket.create_connection(bound.getsockname(), PATIENCE) as peer:
            with pytest.raises(TypeError, match="DescriptorTransport"):
                await listener.accept()
            assert peer.recv(1) == b""
        listener.close()

    asyncio.run(test())


def test_a_wrapped_listener_wraps_what_it_accepts() -> None:
    loopback = Loopback()
    with closing(WrappedListener(loopback.listen(), Wrapper)) as listener:
        assert listener.address == "loopback"
        with closing(loopback.connect(PATIENCE)) as ours, closing(listener.accept()) as theirs:
            assert isinstance(theirs, Wrapper)
            assert (theirs.local, theirs.peer) == ("loopback", "loopback:1")
            send_all(ours, b"x")
            assert receive_exactly(theirs, 1) == b"x"
