"""What a transport of one's own is made of keeps the clauses, with any descriptors."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from typing import Any, NoReturn

import pytest

from dul_fsm import aio, associate
from dul_fsm.testing.transport_tools import Clause
from dul_fsm.testing.transports import CLAUSES, check_transport
from dul_fsm.testing.transports_aio import CLAUSES as ASYNC_CLAUSES
from dul_fsm.testing.transports_aio import check_transport_async
from dul_fsm.transports import Loopback, Transport, pair
from dul_fsm.transports.aio import AsyncTransport
from dul_fsm.transports.aio.streams import AsyncDescriptorTransport, AsyncSocketListener
from dul_fsm.transports.aio.wrapping import AsyncWrappedListener, AsyncWrapper
from dul_fsm.transports.base import ListenerClosed, TransportClosed
from dul_fsm.transports.streams import DescriptorTransport, Once, SocketListener, SocketTransport
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


def test_who_waits_for_the_end_of_a_connection_is_told_when_it_is_given_back() -> None:
    one, other = sockets()
    receiving = Task(one.receive_into, memoryview(bytearray(8)), None).blocked()
    waiting = Task(one.finished.wait, PATIENCE).blocked()
    assert not waiting.done
    one.close()
    assert waiting.result()
    with pytest.raises(TransportClosed):
        receiving.result()
    other.close()


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


def handed_over() -> tuple[socket.socket, Once]:
    """The other end, and an endpoint for the connection that this process was started with."""
    peer, ours = socket.socketpair()
    peer.settimeout(PATIENCE)
    return peer, Once(lambda: SocketTransport(ours), "inherited")


def test_a_connection_that_is_there_already_is_accepted_once() -> None:
    peer, once = handed_over()
    finished = Task(once.finished.wait, PATIENCE).blocked()
    with peer, closing(once.listen()) as listener:
        assert (listener.address, str(once)) == ("inherited", "inherited")
        with closing(listener.accept()) as end:
            more = Task(listener.accept).blocked()
            send_all(end, b"x")
            assert peer.recv(8) == b"x"
            listener.close()
            with pytest.raises(ListenerClosed):
                more.result()
            peer.sendall(b"y")
            assert receive_exactly(end, 1) == b"y"
            assert not finished.done
        assert finished.result()
        with pytest.raises(ListenerClosed):
            listener.accept()


def test_a_connection_that_nobody_has_accepted_is_dropped() -> None:
    peer, once = handed_over()
    with peer:
        listener = once.listen()
        listener.close()
        listener.close()
        assert once.finished.is_set()
        assert peer.recv(8) == b""


def test_who_was_started_with_a_connection_listens_once_and_calls_nobody() -> None:
    peer, once = handed_over()
    with peer, closing(once.listen()):
        with pytest.raises(OSError, match="one connection only"):
            once.listen()
        with pytest.raises(OSError, match="does not call"):
            once.connect(PATIENCE)


def test_a_connection_that_cannot_be_taken_over_may_be_tried_again() -> None:
    peer, ours = socket.socketpair()
    failures = [OSError("not now")]

    def take_over() -> SocketTransport:
        if failures:
            raise failures.pop()
        return SocketTransport(ours)

    once = Once(take_over)
    with peer:
        with pytest.raises(OSError, match="not now"):
            once.listen()
        once.listen().close()


def test_a_program_serves_the_connection_that_it_was_started_with() -> None:
    """As inetd starts one: it ends when the connection does."""
    peer, theirs = socket.socketpair()
    code = (
        "import socket\n"
        "from dul_fsm import serve\n"
        "from dul_fsm.transports.streams import Once, SocketTransport\n"
        "once = Once(lambda: SocketTransport(socket.socket(fileno=0)))\n"
        "with serve(endpoint=once):\n"
        "    once.finished.wait()\n"
    )
    with theirs:
        program = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code], stdin=theirs.fileno()
        )
    with program:
        with associate(Connected(SocketTransport(peer))) as association:
            assert association.c_echo().status == 0
        assert program.wait(PATIENCE) == 0


def test_a_connection_that_is_there_already_is_accepted_once_in_asyncio() -> None:
    async def test() -> None:
        peer, once = handed_over()
        listener = await once.listen_async()
        end = await listener.accept()
        more = asyncio.create_task(listener.accept())
        await asyncio.sleep(0)
        peer.sendall(b"x")
        view = memoryview(bytearray(8))
        assert await end.receive_into(view, PATIENCE) == 1
        assert listener.address == "inherited"
        listener.close()
        listener.close()
        with pytest.raises(ListenerClosed):
            await more
        assert not once.finished.is_set()
        end.close()
        assert once.finished.is_set()
        with pytest.raises(OSError, match="does not call"):
            await once.connect_async(PATIENCE)
        peer.close()

    asyncio.run(test())


def test_asyncio_serves_the_connection_that_it_was_started_with() -> None:
    async def test() -> None:
        peer, once = handed_over()
        async with aio.serve(endpoint=once):
            async with aio.associate(Connected(SocketTransport(peer))) as association:
                assert (await association.c_echo()).status == 0
            await asyncio.to_thread(once.finished.wait, PATIENCE)
            await asyncio.get_running_loop().shutdown_default_executor()

    asyncio.run(test())


class Connected:
    """An endpoint whose connection is open already: who calls through it gets that."""

    def __init__(self, connection: SocketTransport) -> None:
        self._connection = connection

    def connect(self, timeout: float | None) -> SocketTransport:
        return self._connection

    def listen(self) -> NoReturn:
        raise NotImplementedError

    async def connect_async(self, timeout: float | None) -> AsyncDescriptorTransport:
        return AsyncDescriptorTransport(self._connection)

    async def listen_async(self) -> NoReturn:
        raise NotImplementedError


def test_wrapped_in_asyncio_too() -> None:
    async def test() -> None:
        loopback = Loopback()
        listener = AsyncWrappedListener(await loopback.listen_async(), AsyncWrapper)
        ours = await loopback.connect_async(PATIENCE)
        theirs = await listener.accept()
        assert isinstance(theirs, AsyncWrapper)
        assert (theirs.local, theirs.peer) == ("loopback", "loopback:1")
        assert await theirs.send([b"x"], PATIENCE) == 1
        view = memoryview(bytearray(8))
        assert await ours.receive_into(view, PATIENCE) == 1
        ours.close()
        assert await theirs.receive_into(view, PATIENCE) == 0
        theirs.close()
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
