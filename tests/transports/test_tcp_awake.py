"""A peer that answers at once is waited for awake, and no other: `tcp_transport.AWAKE`."""

from __future__ import annotations

import itertools
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from dul_fsm.transports import tcp_transport
from dul_fsm.transports.base import TransportClosed
from dul_fsm.transports.tcp_transport import TCPTransport
from tests.drivers.support import eventually
from tests.transports.helpers import PATIENCE, Task
from tests.transports.sockets import Spy, connected

FOR_EVER = 3600.0
several_processors = pytest.mark.skipif(
    len(os.sched_getaffinity(0)) == 1, reason="nobody stays awake where there is one processor"
)


class Sleeps:
    """Counts how often a transport goes to sleep for a read."""

    def __init__(self, transport: TCPTransport) -> None:
        self.count = 0
        self._poller = transport._readable
        transport._readable = self  # type: ignore[assignment]

    def poll(self, *timeout: float) -> list[tuple[int, int]]:
        self.count += 1
        return self._poller.poll(*timeout)


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[TCPTransport, socket.socket]]:
    """A connection. However long a wait takes, it is a short one."""
    monkeypatch.setattr(tcp_transport, "AWAKE", FOR_EVER)
    with connected() as both:
        yield both


def answered(
    transport: TCPTransport, peer: socket.socket, timeout: float | None = PATIENCE
) -> None:
    """The peer has sent a byte, and it is read."""
    peer.sendall(b"x")
    assert select.select([transport.fileno()], [], [], PATIENCE)[0]
    assert transport.receive_into(memoryview(bytearray(8)), timeout) == 1


@several_processors
def test_after_a_short_wait_the_next_one_does_not_sleep(
    ends: tuple[TCPTransport, socket.socket],
) -> None:
    transport, peer = ends
    sleeps = Sleeps(transport)
    answered(transport, peer)
    answered(transport, peer)  # the first that waits
    assert sleeps.count == 1
    transport._receive = late = Spy(transport._receive, *[BlockingIOError()] * 5)  # type: ignore[assignment]
    answered(transport, peer)
    assert (sleeps.count, len(late.calls)) == (1, 6)


def test_after_a_long_wait_the_next_one_sleeps(
    ends: tuple[TCPTransport, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    transport, peer = ends
    sleeps = Sleeps(transport)
    monkeypatch.setattr(tcp_transport, "AWAKE", 0.0)  # every wait is a long one
    answered(transport, peer)
    for times in (1, 2):
        answered(transport, peer)
        assert sleeps.count == times


@several_processors
def test_who_is_awake_for_nothing_goes_to_sleep_and_next_time_at_once(
    ends: tuple[TCPTransport, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    transport, peer = ends
    sleeps, receive = Sleeps(transport), transport._receive
    ticks = itertools.count()
    monkeypatch.setattr(tcp_transport, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    monkeypatch.setattr(tcp_transport, "AWAKE", 3)
    awake: list[memoryview] = []

    def nothing_yet(view: memoryview) -> int:
        if sleeps.count == times - 1:  # it has not slept yet
            awake.append(view)
            raise BlockingIOError
        return receive(view)

    transport._receive = nothing_yet  # type: ignore[assignment]
    for times, tries in ((0, 0), (1, 0), (2, 3), (3, 3)):
        answered(transport, peer, None)
        assert (sleeps.count, len(awake)) == (times, tries)


@several_processors
@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="not there")
@pytest.mark.parametrize("tries", [0, 1, 2, 3, 4, 9])
def test_who_is_awake_acknowledges_what_it_has_read_when_that_takes_long(
    ends: tuple[TCPTransport, socket.socket], monkeypatch: pytest.MonkeyPatch, tries: int
) -> None:
    transport, peer = ends
    answered(transport, peer)
    answered(transport, peer)
    ticks = itertools.count(time.monotonic())
    monkeypatch.setattr(tcp_transport, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    monkeypatch.setattr(tcp_transport, "HELD_BACK", 2.5)
    transport._set_option = option = Spy(transport._set_option)
    transport._receive = Spy(transport._receive, *[BlockingIOError()] * tries)  # type: ignore[assignment]
    answered(transport, peer, None)
    assert option.calls == [(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)] * (tries > 3)


@several_processors
def test_where_another_connection_is_busy_nobody_stays_awake(
    ends: tuple[TCPTransport, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    transport, peer = ends
    now = time.monotonic()
    monkeypatch.setattr(tcp_transport, "time", SimpleNamespace(monotonic=lambda: now))
    sleeps = Sleeps(transport)
    with connected() as (other, its_peer):
        answered(other, its_peer)
        answered(transport, peer)
        answered(transport, peer)
        assert sleeps.count == 1
        now += tcp_transport.ALONE / 2
        transport._receive = Spy(transport._receive, BlockingIOError())  # type: ignore[assignment]
        answered(transport, peer)  # the other one has not been idle for long enough
        assert sleeps.count == 2
        now += tcp_transport.ALONE
        answered(transport, peer)
        assert sleeps.count == 2
        answered(other, its_peer)
        answered(transport, peer)
        assert sleeps.count == 3


@several_processors
def test_a_connection_that_was_closed_is_not_busy(
    ends: tuple[TCPTransport, socket.socket],
) -> None:
    transport, peer = ends
    with connected() as (other, its_peer):
        answered(other, its_peer)
    sleeps = Sleeps(transport)
    answered(transport, peer)
    answered(transport, peer)
    answered(transport, peer)
    assert sleeps.count == 1


@several_processors
def test_who_is_awake_goes_to_sleep_when_another_connection_gets_busy(
    ends: tuple[TCPTransport, socket.socket],
) -> None:
    transport, peer = ends
    sleeps = Sleeps(transport)
    answered(transport, peer)
    answered(transport, peer)
    receive, awake = transport._receive, threading.Event()

    def watched(view: memoryview) -> int:
        awake.set()
        return receive(view)

    transport._receive = watched  # type: ignore[assignment]
    with connected() as (other, its_peer):
        task = Task(lambda: transport.receive_into(memoryview(bytearray(8)), None))
        assert awake.wait(PATIENCE)
        answered(other, its_peer)
        eventually(lambda: sleeps.count == 2)
        peer.sendall(b"x")
        assert task.result() == 1


@several_processors
def test_who_only_looks_whether_something_has_come_is_no_less_awake_afterwards(
    ends: tuple[TCPTransport, socket.socket],
) -> None:
    transport, peer = ends
    answered(transport, peer)
    answered(transport, peer)
    sleeps = Sleeps(transport)
    with pytest.raises(TimeoutError):
        transport.receive_into(memoryview(bytearray(8)), 0)
    looked = sleeps.count
    answered(transport, peer)
    assert sleeps.count == looked


@several_processors
def test_the_time_out_is_kept_awake_too(ends: tuple[TCPTransport, socket.socket]) -> None:
    transport, peer = ends
    answered(transport, peer)
    answered(transport, peer)
    with pytest.raises(TimeoutError):
        transport.receive_into(memoryview(bytearray(8)), 0.001)


@several_processors
def test_a_close_ends_a_receive_that_is_awake(ends: tuple[TCPTransport, socket.socket]) -> None:
    transport, peer = ends
    answered(transport, peer)
    answered(transport, peer)
    awake = threading.Event()
    receive = transport._receive

    def watched(view: memoryview) -> int:
        awake.set()
        return receive(view)

    transport._receive = watched  # type: ignore[assignment]
    task = Task(lambda: transport.receive_into(memoryview(bytearray(8)), None))
    assert awake.wait(PATIENCE)
    transport.close()
    with pytest.raises(TransportClosed):
        task.result()


def test_where_there_is_one_processor_nobody_stays_awake(
    ends: tuple[TCPTransport, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    transport, peer = ends
    sleeps = Sleeps(transport)
    monkeypatch.setattr(tcp_transport, "_processors", 1)
    for times in range(4):
        answered(transport, peer)
        assert sleeps.count == times
    counts = "from dul_fsm.transports import tcp_transport as t; print(t._processors)"
    alone = f"import os; os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}}); {counts}"
    assert subprocess.check_output([sys.executable, "-c", alone], text=True) == "1\n"
