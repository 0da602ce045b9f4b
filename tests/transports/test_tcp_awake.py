"""A peer that answers at once is waited for awake, and no other: `tcp.AWAKE`."""

from __future__ import annotations

import itertools
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from dul_fsm.transports import TCP, tcp
from dul_fsm.transports.base import TransportClosed
from dul_fsm.transports.tcp import TCPTransport
from tests.transports.helpers import PATIENCE, Task
from tests.transports.sockets import Spy

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
    """A transport, and a plain socket as its peer. However long a wait takes, it is a short one."""
    monkeypatch.setattr(tcp, "AWAKE", FOR_EVER)
    with socket.create_server(("127.0.0.1", 0)) as server:
        transport = TCP("127.0.0.1", server.getsockname()[1]).connect(PATIENCE)
        peer, _ = server.accept()
    yield transport, peer
    transport.close()
    peer.close()


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
    monkeypatch.setattr(tcp, "AWAKE", 0.0)  # every wait is a long one
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
    monkeypatch.setattr(tcp, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    monkeypatch.setattr(tcp, "AWAKE", 3)
    awake = []

    def nothing_yet(view: memoryview) -> int:
        if tcp._may_stay_awake.locked():
            awake.append(view)
            raise BlockingIOError
        return receive(view)

    transport._receive = nothing_yet  # type: ignore[assignment]
    for times, tries in ((0, 0), (1, 0), (2, 2), (3, 2)):
        answered(transport, peer, None)
        assert (sleeps.count, len(awake)) == (times, tries)


@several_processors
def test_one_thread_at_a_time_stays_awake(ends: tuple[TCPTransport, socket.socket]) -> None:
    transport, peer = ends
    sleeps = Sleeps(transport)
    answered(transport, peer)
    answered(transport, peer)
    with tcp._may_stay_awake:
        answered(transport, peer)
    assert sleeps.count == 2


@several_processors
def test_the_time_out_is_kept_awake_too(ends: tuple[TCPTransport, socket.socket]) -> None:
    transport, peer = ends
    answered(transport, peer)
    answered(transport, peer)
    with pytest.raises(TimeoutError):
        transport.receive_into(memoryview(bytearray(8)), 0.001)
    assert not tcp._may_stay_awake.locked()


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
    assert not tcp._may_stay_awake.locked()


@several_processors
def test_where_there_is_one_processor_nobody_stays_awake() -> None:
    asks = "from dul_fsm.transports import tcp; print(tcp._may_stay_awake.locked())"
    alone = f"import os; os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}}); {asks}"
    for program, locked in ((asks, "False\n"), (alone, "True\n")):
        assert subprocess.check_output([sys.executable, "-c", program], text=True) == locked
