"""The asyncio transports: the clauses of the contract, over each of them."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import resource
import socket
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from dul_fsm.testing.transport_loop import MakeAsyncPair
from dul_fsm.testing.transport_tools import Clause
from dul_fsm.testing.transports_aio import CLAUSES, check_transport_async
from dul_fsm.transports import TCP, ListenerClosed, Loopback
from dul_fsm.transports.aio import AsyncConnector, AsyncTransport, loopback
from dul_fsm.transports.aio import tcp as aio_tcp
from dul_fsm.transports.aio.base import DescriptorWaiter, Waiter, readable
from dul_fsm.transports.aio.loopback import AsyncLoopbackTransport
from dul_fsm.transports.aio.tcp import AsyncTCPTransport
from dul_fsm.transports.base import Buffer
from dul_fsm.transports.loopback import Faults
from tests.aio.support import PATIENCE, eventually, run
from tests.transports.sockets import reset

SOON = 0.05
"""Seconds for what must not happen."""

Pair = tuple[AsyncTransport, AsyncTransport]


@asynccontextmanager
async def opened(kind: str) -> AsyncIterator[Pair]:
    """A connection, closed in the end."""
    endpoint: AsyncConnector = Loopback() if kind == "loopback" else TCP(kind, 0)
    try:
        listener = await endpoint.listen_async()
    except OSError as error:
        if kind != "::1":
            raise
        pytest.skip(f"no IPv6 here: {error}")
    if kind != "loopback":
        endpoint = TCP(kind, int(listener.address.rpartition(":")[2]))
    ends = await asyncio.gather(endpoint.connect_async(PATIENCE), listener.accept())
    listener.close()
    try:
        yield ends
    finally:
        for end in ends:
            end.close()


Further = Callable[[AsyncTransport, AsyncTransport], Coroutine[Any, Any, None]]


def each_transport(clause: Further) -> Callable[[str], None]:
    """A test that runs a clause over every transport."""

    @pytest.mark.parametrize("kind", ["loopback", "127.0.0.1", "::1"])
    def test(kind: str) -> None:
        async def over() -> None:
            async with opened(kind) as (a, b):
                await clause(a, b)

        run(over)

    test.__name__ = clause.__name__
    test.__doc__ = clause.__doc__
    marked: Callable[[str], None] = test
    return marked


async def send_all(transport: AsyncTransport, data: Buffer, most: int | None = None) -> None:
    left = memoryview(data)
    while left:
        count = await transport.send([left[:most]], PATIENCE)
        assert 0 < count <= len(left[:most])
        left = left[count:]


async def receive_exactly(transport: AsyncTransport, length: int, most: int | None = None) -> bytes:
    data = bytearray(length)
    with memoryview(data) as left:
        while left:
            left = left[await transport.receive_into(left[:most], PATIENCE) :]
    return bytes(data)


async def receive_to_end(transport: AsyncTransport) -> bytes:
    data, piece = bytearray(), bytearray(1 << 16)
    while count := await transport.receive_into(memoryview(piece), PATIENCE):
        data += piece[:count]
    return bytes(data)


async def clog(transport: AsyncTransport, timeout: float = SOON) -> bytes:
    """Send until nothing more fits; return what was taken."""
    taken, piece = bytearray(), random.Random(1).randbytes(1 << 16)
    while True:
        try:
            count = await transport.send([piece], timeout)
        except TimeoutError:
            return bytes(taken)
        taken += piece[:count]


async def blocked(call: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """A task that waits in `call`."""
    task = asyncio.create_task(call)
    await asyncio.sleep(SOON)
    assert not task.done()
    return task


def scratch(size: int = 8) -> memoryview:
    return memoryview(bytearray(size))


# What every transport does -----------------------------------------------------------------------


def end_what_it_sends(end: Any) -> None:
    if isinstance(end, AsyncLoopbackTransport):
        end.blocking.half_close()
    else:
        end._blocking._socket.shutdown(socket.SHUT_WR)


def break_off(end: Any) -> None:
    if isinstance(end, AsyncLoopbackTransport):
        end.blocking.cut()
    else:
        end._readable.wake()
        end._writable.wake()
        reset(end._blocking._socket)


async def ragged() -> Pair:
    faults = Faults(max_receive=700, max_send=700, seed=7)
    return loopback.pair(20_000, faults, faults)


async def over_tcp() -> Pair:
    listener = await TCP("127.0.0.1", 0).listen_async()
    endpoint = TCP("127.0.0.1", listener.port)
    connected, accepted = await asyncio.gather(endpoint.connect_async(PATIENCE), listener.accept())
    listener.close()
    return connected, accepted


async def over_loopback() -> Pair:
    return loopback.pair()


@pytest.mark.parametrize("make_pair", [over_loopback, ragged, over_tcp])
@pytest.mark.parametrize("clause", CLAUSES, ids=str)
def test_it_keeps(clause: Clause, make_pair: MakeAsyncPair) -> None:
    assert not check_transport_async(
        make_pair, half_close=end_what_it_sends, reset=break_off, clauses=[clause]
    )


# Further -----------------------------------------------------------------------------------------


@each_transport
async def test_what_need_not_wait_does_not_suspend(a: AsyncTransport, b: AsyncTransport) -> None:
    """So it can be neither cancelled half-way nor overtaken."""
    for call in (a.send([b"x"], 0), a.send([b"x"], None)):
        with pytest.raises(StopIteration):
            call.send(None)
    await asyncio.sleep(SOON)
    with pytest.raises(StopIteration) as received:
        b.receive_into(scratch(), None).send(None)
    assert received.value.value == 2
    with pytest.raises(TimeoutError):
        b.receive_into(scratch(), 0).send(None)


# Waiting -----------------------------------------------------------------------------------------


@each_transport
async def test_a_cancelled_wait_has_moved_nothing(a: AsyncTransport, b: AsyncTransport) -> None:
    receive = await blocked(b.receive_into(scratch(), None))
    receive.cancel()
    await asyncio.wait([receive])
    # Also when the byte is there already, and the task has only not had its turn.
    receive = await blocked(b.receive_into(scratch(), None))
    await send_all(a, b"x")
    receive.cancel()
    await asyncio.wait([receive])
    assert receive.cancelled()
    assert await receive_exactly(b, 1) == b"x"
    taken = await clog(a)
    send = await blocked(a.send([b"y"], None))
    send.cancel()
    await asyncio.wait([send])
    assert await receive_exactly(b, len(taken)) == taken
    with pytest.raises(TimeoutError):
        await b.receive_into(scratch(), SOON)


@each_transport
async def test_two_tasks_cannot_receive_at_once(a: AsyncTransport, b: AsyncTransport) -> None:
    task = await blocked(b.receive_into(scratch(), None))
    with pytest.raises(RuntimeError, match="another task"):
        await b.receive_into(scratch(), None)
    await send_all(a, b"x")
    assert await task == 1


# The end -----------------------------------------------------------------------------------------


@each_transport
async def test_close_wakes_both_directions(a: AsyncTransport, b: AsyncTransport) -> None:
    await clog(a)
    receive = await blocked(a.receive_into(scratch(), None))
    send = await blocked(a.send([b"x"], None))
    a.close()
    for task in (receive, send):
        with pytest.raises(OSError, match="closed on this side"):
            await task
    a.close()
    for call in (a.send([b"x"], None), a.receive_into(scratch(), None)):
        with pytest.raises(OSError, match="closed on this side"):
            await call


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_closed_transport_has_let_go_of_its_descriptor(cancelled: bool) -> None:
    """Before it closes it: a moment later the number is another connection's."""

    async def test() -> None:
        loop = asyncio.get_running_loop()
        async with opened("127.0.0.1") as (a, _):
            assert isinstance(a, AsyncTCPTransport)
            number = a._blocking.fileno()
            receive = await blocked(a.receive_into(scratch(), None))
            if cancelled:
                receive.cancel()
            a.close()
            first, other = socket.socketpair()
            one = socket.socket(fileno=os.dup2(first.fileno(), number))
            arrived = asyncio.Event()
            loop.add_reader(one, arrived.set)
            await asyncio.gather(receive, return_exceptions=True)
            other.send(b"x")
            await asyncio.wait_for(arrived.wait(), 1)
            loop.remove_reader(one)
            for each in (first, one, other):
                each.close()

    run(test)


# Listeners and connectors ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["loopback", "127.0.0.1"])
def test_closing_a_listener_ends_accept(kind: str) -> None:
    async def test() -> None:
        endpoint = Loopback() if kind == "loopback" else TCP(kind, 0)
        listener = await endpoint.listen_async()
        accept = await blocked(listener.accept())
        listener.close()
        listener.close()
        with pytest.raises(ListenerClosed):
            await accept
        with pytest.raises(ListenerClosed):
            await listener.accept()

    run(test)


@pytest.mark.parametrize("kind", ["loopback", "127.0.0.1"])
def test_a_cancelled_accept_has_accepted_nothing(kind: str) -> None:
    async def test() -> None:
        endpoint = Loopback() if kind == "loopback" else TCP(kind, 0)
        listener = await endpoint.listen_async()
        if kind != "loopback":
            endpoint = TCP(kind, int(listener.address.rpartition(":")[2]))
        accept = await blocked(listener.accept())
        here = endpoint.connect(None)  # without a turn for the task
        accept.cancel()
        await asyncio.wait([accept])
        there = await listener.accept()
        for each in (here, there, listener):
            each.close()

    run(test)


def test_a_connect_that_does_not_come_about_in_time() -> None:
    """The backlog is full, and nobody accepts."""

    async def test() -> None:
        endpoint = Loopback(backlog=1)
        listener = await endpoint.listen_async()
        first = await endpoint.connect_async(None)
        with pytest.raises(TimeoutError):
            await endpoint.connect_async(SOON)
        second = await blocked(endpoint.connect_async(PATIENCE))
        accepted = await listener.accept()
        for each in (first, accepted, await second, listener):
            each.close()
        assert endpoint.changed.watchers == []

    run(test)


def _full_backlog() -> tuple[socket.socket, list[socket.socket], int]:
    """A TCP port that does not answer."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(0)
    waiting = []
    for _ in range(3):
        waiting.append(socket.socket())
        waiting[-1].setblocking(False)
        waiting[-1].connect_ex(listening.getsockname())
    return listening, waiting, listening.getsockname()[1]


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_tcp_connect_that_is_not_answered(cancelled: bool) -> None:
    async def test() -> None:
        listening, waiting, port = _full_backlog()
        endpoint = TCP("127.0.0.1", port)
        if cancelled:
            connect = await blocked(endpoint.connect_async(PATIENCE))
            connect.cancel()
            await asyncio.wait([connect])
        else:
            with pytest.raises(TimeoutError, match=f"127.0.0.1:{port}"):
                await endpoint.connect_async(SOON)
        for each in (listening, *waiting):
            each.close()

    run(test)


def test_each_address_of_a_name_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    from dul_fsm.transports.addresses import Address

    async def test() -> None:
        listener = await TCP("127.0.0.1", 0).listen_async()
        addresses = [
            Address(socket.AF_INET, ("127.0.0.2", listener.port)),
            Address(socket.AF_INET, ("127.0.0.1", listener.port)),
        ]
        monkeypatch.setattr(aio_tcp, "resolve", lambda host, port: addresses)
        transport = await TCP("127.0.0.1", listener.port).connect_async(PATIENCE)
        assert transport.peer == listener.address
        transport.close()
        (await listener.accept()).close()
        listener.close()
        with pytest.raises(ConnectionRefusedError, match=r"127\.0\.0\.2.*127\.0\.0\.1"):
            await TCP("127.0.0.1", listener.port).connect_async(None)

    run(test)


def test_a_listener_without_descriptors_waits_for_some(monkeypatch: pytest.MonkeyPatch) -> None:
    """It neither spins nor dies, and the connection is served when there is one."""
    monkeypatch.setattr(aio_tcp, "ACCEPT_PAUSE", 0.01)

    async def test() -> None:
        listener = await TCP("127.0.0.1", 0).listen_async()
        here = await TCP("127.0.0.1", listener.port).connect_async(None)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        held = [os.open("/dev/null", os.O_RDONLY)]
        resource.setrlimit(resource.RLIMIT_NOFILE, (held[0] + 1, hard))
        try:
            accept = asyncio.create_task(listener.accept())
            await eventually(lambda: listener.pauses > 2)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        there = await accept
        assert listener.pauses < 50
        os.close(held[0])
        for each in (here, there, listener):
            each.close()

    run(test)


def test_an_accept_that_fails_for_good_ends_with_the_listener(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(aio_tcp, "ACCEPT_PAUSE", PATIENCE)

    async def test() -> None:
        listener = await TCP("127.0.0.1", 0).listen_async()

        def fails() -> None:
            raise OSError(errno.ENFILE, "no file")

        monkeypatch.setattr(listener._blocking, "accept_now", fails)
        accept = await blocked(listener.accept())
        monkeypatch.undo()
        listener.close()
        with pytest.raises(ListenerClosed):
            await accept

    run(test)


# The loopback's own ------------------------------------------------------------------------------


def test_faults_happen_in_asyncio_too() -> None:
    async def test() -> None:
        a, b = loopback.pair(faults=Faults(max_send=3, cut_after=5))
        assert await a.send([b"abcdef"], None) == 3
        assert await a.send([b"def"], None) == 2
        with pytest.raises(ConnectionResetError):
            await a.send([b"f"], None)
        assert await receive_exactly(b, 5) == b"abcde"
        with pytest.raises(ConnectionResetError):
            await b.receive_into(scratch(), None)

    run(test)


def test_a_stall_ends_when_it_is_resumed() -> None:
    async def test() -> None:
        a, b = loopback.pair()
        a.blocking.stall()
        await send_all(a, b"x")
        receive = await blocked(b.receive_into(scratch(), None))
        a.blocking.resume()
        assert await receive == 1

    run(test)


def test_the_other_end_may_be_in_a_thread() -> None:
    """A blocking end, a thread of its own, and one endpoint for both worlds."""
    data = random.Random(1).randbytes(3 << 20)
    endpoint = Loopback()

    def echo() -> None:
        transport = endpoint.connect(PATIENCE)
        piece = memoryview(bytearray(50_000))
        while count := transport.receive_into(piece, PATIENCE):
            left = piece[:count]
            while left:
                left = left[transport.send([left], PATIENCE) :]
        transport.close()

    async def test() -> None:
        listener = await endpoint.listen_async()
        thread = threading.Thread(target=echo)
        thread.start()
        transport = await listener.accept()
        assert isinstance(transport, AsyncLoopbackTransport)
        _, received = await asyncio.gather(
            send_all(transport, data), receive_exactly(transport, len(data))
        )
        assert received == data
        transport.close()
        await asyncio.to_thread(thread.join)
        listener.close()
        await asyncio.get_running_loop().shutdown_default_executor()

    run(test)


def test_what_a_thread_sends_just_before_the_wait_begins_is_not_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After the look that found nothing, and before there is anybody to wake."""

    async def test() -> None:
        a, b = loopback.pair()
        look = b.blocking.receive_into

        def just_missed(view: memoryview, timeout: float | None) -> int:
            try:
                return look(view, timeout)
            except TimeoutError:
                sending = threading.Thread(target=a.blocking.send, args=([b"x"], None))
                sending.start()
                sending.join()
                raise

        monkeypatch.setattr(b.blocking, "receive_into", just_missed)
        assert await asyncio.wait_for(b.receive_into(scratch(), None), 1) == 1

    run(test)


def test_an_end_whose_loop_is_gone_does_no_harm() -> None:
    async def open_one() -> AsyncLoopbackTransport:
        a, _ = loopback.pair()
        return a

    loop = asyncio.new_event_loop()
    end = loop.run_until_complete(open_one())
    loop.close()
    closing = threading.Thread(target=end.close)
    closing.start()
    closing.join()


# TCP's own ---------------------------------------------------------------------------------------


def test_a_tcp_transport_sends_small_segments_at_once() -> None:
    async def test() -> None:
        async with opened("127.0.0.1") as (a, b):
            for end in (a, b):
                assert isinstance(end, AsyncTCPTransport)
                option = end._blocking._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                assert option
                assert end.local.startswith("127.0.0.1:")
            assert a.local == b.peer  # type: ignore[attr-defined]

    run(test)


def test_a_waiter_wakes_nobody_if_nobody_waits() -> None:
    async def test() -> None:
        waiter = Waiter()
        waiter.wake()
        task = await blocked(waiter.wait(None))
        waiter.wake()
        waiter.wake()
        assert await task
        assert not await waiter.wait(asyncio.get_running_loop().time())
        assert isinstance(readable(0), DescriptorWaiter)

    run(test)
