"""The fuse and what it is built into: it blows once, where and when it says."""

from __future__ import annotations

import pytest

from dul_fsm.association import Memory
from dul_fsm.testing.torture import (
    JUMP,
    Fuse,
    TorturedClock,
    TorturedConnector,
    TorturedSink,
    TorturedTransport,
    fuses,
)
from dul_fsm.transports import Loopback
from dul_fsm.transports.loopback import pair


def test_a_fuse_blows_the_nth_time_at_its_point_and_never_again() -> None:
    fuse = Fuse("send", 2)
    assert [fuse.blows(point) for point in ("send", "receive", "send", "send")] == [
        False,
        False,
        True,
        False,
    ]
    assert fuse.blown
    assert fuse.count == 3
    assert repr(fuse) == "Fuse('send', 2)"


def test_fuse_number_0_counts_and_never_blows() -> None:
    fuse = Fuse("send", 0)
    assert not any(fuse.blows("send") for _ in range(5))
    assert not fuse.blown
    assert fuse.count == 5


def test_there_is_no_point_of_another_name() -> None:
    with pytest.raises(ValueError, match="none of open, send"):
        Fuse("sending", 1)


def test_a_disarmed_fuse_does_not_blow() -> None:
    fuse = Fuse("send", 1)
    fuse.disarm()
    assert not fuse.blows("send")
    assert not fuse.blown


def test_fuses_go_on_until_one_does_not_blow() -> None:
    tried = []
    for fuse in fuses("send"):
        tried.append(fuse.nth)
        for _ in range(3):
            fuse.blows("send")
    assert tried == [1, 2, 3, 4]


def test_fuses_do_not_go_on_for_ever() -> None:
    def endless() -> None:
        for fuse in fuses("send"):
            fuse.blown = True

    with pytest.raises(RuntimeError, match="more than"):
        endless()


def test_a_transport_that_broke_stays_broken() -> None:
    transport = TorturedTransport(pair()[0], Fuse("send", 1))
    for _ in range(2):
        with pytest.raises(BrokenPipeError):
            transport.send([b"x"], 0)
    with pytest.raises(ConnectionResetError):
        transport.receive_into(memoryview(bytearray(1)), 0)


def test_a_wait_that_ends_early_can_be_waited_for_again() -> None:
    one, other = pair()
    transport = TorturedTransport(one, Fuse("receive time-out", 1))
    other.send([b"x"], 0)
    view = memoryview(bytearray(1))
    with pytest.raises(TimeoutError):
        transport.receive_into(view, None)
    assert transport.receive_into(view, 0) == 1


def test_a_close_that_fails_has_closed() -> None:
    one, other = pair()
    transport = TorturedTransport(one, Fuse("close", 1))
    with pytest.raises(OSError, match="fuse"):
        transport.close()
    transport.close()
    assert transport.closed
    assert other.receive_into(memoryview(bytearray(1)), 0) == 0


def test_connections_are_refused_or_not_accepted_and_remembered() -> None:
    loopback = Loopback()
    connector = TorturedConnector(loopback, Fuse("open", 1))
    listener = TorturedConnector(loopback, Fuse("open", 1)).listen()
    assert listener.address == "loopback"
    with pytest.raises(ConnectionRefusedError):
        connector.connect(0)
    with pytest.raises(OSError, match="fuse"):
        listener.accept()
    connector.connect(0).close()
    listener.accept().close()
    listener.close()
    assert [transport.closed for transport in connector.transports] == [True]


def test_a_clock_jumps_once() -> None:
    clock = TorturedClock(Fuse("clock", 2), clock=lambda: 1.0)
    assert [clock(), clock(), clock()] == [1.0, 1.0 + JUMP, 1.0 + JUMP]


def test_a_sink_fills_up_and_is_discarded() -> None:
    memory = Memory()
    sink = TorturedSink(memory, Fuse("sink write", 2))
    sink.write(memoryview(b"a"))
    with pytest.raises(OSError, match="fuse"):
        sink.write(memoryview(b"b"))
    sink.discard()
    assert memory.value() == b"a"
