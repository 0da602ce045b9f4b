"""A connection with a tap in asyncio: the clauses, and what comes first in a loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from dul_fsm.testing.transport_tools import Clause
from dul_fsm.testing.transports_aio import CLAUSES, check_transport_async
from dul_fsm.transports import TCP, Faults, Loopback
from dul_fsm.transports.aio import AsyncTransport
from dul_fsm.transports.aio.loopback import AsyncLoopbackTransport, pair
from dul_fsm.transports.aio.taps import AsyncTappedTransport
from dul_fsm.transports.base import ListenerClosed, TransportClosed
from dul_fsm.transports.taps import Tap, Tapped
from tests.aio.support import PATIENCE, eventually, run
from tests.transports.test_taps import GREETING, Noted

Pair = tuple[AsyncTransport, AsyncTransport]


def scratch() -> memoryview:
    return memoryview(bytearray(64))


async def over_tcp(make: Callable[[str], Tap]) -> Pair:
    """Both ends have such a tap, and have said what comes first."""
    listener = await Tapped(TCP("127.0.0.1", 0), accepting=make).listen_async()
    endpoint = Tapped(TCP("127.0.0.1", int(listener.address.rpartition(":")[2])), connecting=make)
    connected, accepted = await asyncio.gather(endpoint.connect_async(PATIENCE), listener.accept())
    listener.close()
    assert isinstance(accepted, AsyncTappedTransport)
    await accepted.start(PATIENCE)
    return connected, accepted


async def over_a_ragged_loopback() -> Pair:
    """Where no call moves much, in either direction."""
    faults = Faults(max_receive=7000, max_send=5000, seed=3)
    ends = [AsyncTappedTransport(end, Noted()) for end in pair(faults=faults, peer_faults=faults)]
    for end in ends:
        await end.start(PATIENCE)
    one, other = ends
    return one, other


WIRES: dict[str, Callable[[], Coroutine[Any, Any, Pair]]] = {
    "no say": partial(over_tcp, Tap),
    "both speak first": partial(over_tcp, Noted),
    "ragged": over_a_ragged_loopback,
}


@pytest.mark.parametrize("clause", CLAUSES, ids=str)
@pytest.mark.parametrize("wire", WIRES)
def test_a_connection_with_a_tap_keeps(wire: str, clause: Clause) -> None:
    check_transport_async(WIRES[wire], clauses=[clause])


def noted(**keywords: Any) -> tuple[AsyncLoopbackTransport, AsyncTappedTransport, Noted]:
    """A peer without a tap, and an end with one."""
    peer, lower = pair(**keywords)
    tap = Noted()
    return peer, AsyncTappedTransport(lower, tap), tap


async def blocked(call: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """A task that waits in `call`."""
    task = asyncio.create_task(call)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()
    return task


async def receive_exactly(end: AsyncTransport, length: int) -> bytes:
    data = bytearray(length)
    with memoryview(data) as left:
        while left:
            count = await end.receive_into(left, PATIENCE)
            assert count
            left = left[count:]
    return bytes(data)


async def send_all(end: AsyncTransport, data: bytes) -> None:
    while data:
        data = data[await end.send([data], PATIENCE) :]


def test_a_tap_is_told_what_passes_after_what_comes_first() -> None:
    async def test() -> None:
        peer, end, tap = noted(faults=Faults(max_send=1), peer_faults=Faults(max_receive=2))
        assert end.peer == "loopback:a"
        await send_all(peer, GREETING + b"question")
        assert await receive_exactly(end, 8) == b"question"
        assert end.peer == "ready"
        assert await end.send([b"an ", b"answer"], PATIENCE) == 9
        assert await receive_exactly(peer, 18) == GREETING + b"an answer"
        peer.close()
        end.close()
        end.close()
        assert tap.takes == [b"220", b" ready"]
        assert tap.passed == {"sent": b"an answer", "received": b"question"}
        assert tap.ends == 1

    run(test)


def test_an_end_before_what_comes_first_is_told_and_stays() -> None:
    async def test() -> None:
        peer, end, _ = noted()
        await send_all(peer, GREETING[:5])
        peer.close()
        for _ in range(2):
            with pytest.raises(ConnectionError, match="it never told who it is"):
                await end.receive_into(scratch(), None)
        end.close()

    run(test)


def test_a_receive_that_is_cancelled_in_what_comes_first_has_lost_nothing() -> None:
    async def test() -> None:
        peer, end, tap = noted()
        for number, byte in enumerate(GREETING):
            receiving = await blocked(end.receive_into(scratch(), None))
            await send_all(peer, bytes([byte]))
            if number % 2:
                for _ in range(3):
                    await asyncio.sleep(0)
            receiving.cancel()
            await asyncio.wait([receiving])
        await send_all(peer, b"x")
        assert await receive_exactly(end, 1) == b"x"
        assert b"".join(tap.takes) == GREETING
        peer.close()
        end.close()

    run(test)


def test_what_comes_first_is_sent_once_whoever_is_first() -> None:
    async def test() -> None:
        peer, end, _ = noted(capacity=4)
        receiving = await blocked(end.receive_into(scratch(), None))
        with pytest.raises(TimeoutError):
            end.send([b"x"], 0).send(None)  # the other task is at it: not even a suspension
        with pytest.raises(TimeoutError):
            await end.send([b"x"], 0.001)
        sending = await blocked(send_all(end, b"a request"))
        receiving.cancel()  # and the one that waited goes on with it
        assert await receive_exactly(peer, 18) == GREETING + b"a request"
        await sending
        peer.close()
        end.close()

    run(test)


def test_close_wakes_who_waits_for_what_comes_first() -> None:
    async def test() -> None:
        peer, end, _ = noted(capacity=4)
        tasks = [
            await blocked(end.receive_into(scratch(), None)),
            await blocked(end.send([b"x"], None)),
        ]
        end.close()
        for task in tasks:
            with pytest.raises(TransportClosed):
                await task
        peer.close()

    run(test)


def test_connecting_leaves_nothing_open_if_it_is_cancelled_or_late() -> None:
    async def test() -> None:
        taps: list[Noted] = []

        def make(local: str) -> Noted:
            taps.append(Noted(local))
            return taps[-1]

        loopback = Loopback(capacity=4)
        endpoint = Tapped(loopback, connecting=make)
        listener = await loopback.listen_async()
        connecting = await blocked(endpoint.connect_async(PATIENCE))
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        with pytest.raises(TimeoutError):
            await endpoint.connect_async(0)
        for _ in range(2):
            dropped = await listener.accept()
            assert await receive_exactly(dropped, 4) == GREETING[:4]
            assert await dropped.receive_into(scratch(), PATIENCE) == 0
            dropped.close()
        listener.close()
        assert [(tap.local, tap.ends) for tap in taps] == [("loopback:1", 1), ("loopback:2", 1)]

    run(test)


def test_who_is_silent_delays_nobody_but_itself() -> None:
    async def test() -> None:
        loopback = Loopback()
        listener = await Tapped(loopback, accepting=Noted).listen_async()
        assert listener.address == "loopback"
        mute = await loopback.connect_async(PATIENCE)
        silent = await listener.accept()
        waits = await blocked(silent.receive_into(scratch(), None))
        peer = await loopback.connect_async(PATIENCE)
        end = await listener.accept()
        await send_all(peer, GREETING + b"x")
        assert await receive_exactly(end, 1) == b"x"
        for each in (mute, silent, peer, end):
            each.close()
        await eventually(waits.done)
        assert isinstance(waits.exception(), OSError)
        listener.close()
        with pytest.raises(ListenerClosed):
            await listener.accept()

    run(test)


def test_a_tap_that_cannot_be_made_closes_the_connection() -> None:
    def fail(local: str) -> Tap:
        raise OSError("no room on the tape")

    async def test() -> None:
        loopback = Loopback()
        endpoint = Tapped(loopback, connecting=fail, accepting=fail)
        listener = await endpoint.listen_async()
        with pytest.raises(OSError, match="no room"):
            await endpoint.connect_async(PATIENCE)
        peer = await loopback.connect_async(PATIENCE)
        for _ in range(2):  # the connection above, too, waits to be accepted
            with pytest.raises(OSError, match="no room"):
                await listener.accept()
        assert await peer.receive_into(scratch(), PATIENCE) == 0
        peer.close()
        listener.close()

    run(test)
