"""What is the loopback's own: small capacities, faults, names. The rest is in test_base.py."""

from __future__ import annotations

import pytest

from dul_fsm.transports import Faults, Loopback, pair
from dul_fsm.transports.base import TransportClosed
from dul_fsm.transports.loopback import LoopbackTransport
from tests.transports.helpers import (
    PATIENCE,
    SOON,
    Task,
    clog,
    receive_exactly,
    receive_to_end,
    send_all,
)


def receive_some(transport: LoopbackTransport, most: int = 100) -> bytes:
    """What one `receive_into` yields, without waiting."""
    data = bytearray(most)
    return bytes(data[: transport.receive_into(memoryview(data), 0)])


# Capacity ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("capacity", [1, 2, 7, 64])
def test_a_small_capacity_only_slows_down(capacity: int) -> None:
    a, b = pair(capacity)
    data = bytes(range(256)) * 4
    task = Task(send_all, a, data)
    assert receive_exactly(b, len(data)) == data
    task.result()


def test_the_capacity_is_what_fits() -> None:
    a, b = pair(10)
    assert a.send([b"abcd", b"efgh", b"ijkl"], 0) == 10
    with pytest.raises(TimeoutError):
        a.send([b"k"], 0)
    assert receive_some(b, 3) == b"abc"
    assert a.send([b"klmn"], 0) == 3
    assert receive_some(b) == b"defghijklm"


def test_each_direction_has_a_capacity_of_its_own() -> None:
    a, b = pair(4)
    assert len(clog(a, 0)) == 4
    assert len(clog(b, 0)) == 4


@pytest.mark.parametrize("capacity", [0, -1])
def test_a_capacity_below_1_is_refused(capacity: int) -> None:
    with pytest.raises(ValueError, match="capacity"):
        pair(capacity)
    with pytest.raises(ValueError, match="capacity"):
        Loopback(capacity)


def test_a_timeout_of_years_is_no_overflow() -> None:
    a, b = pair()
    task = Task(a.receive_into, memoryview(bytearray(1)), 1e10).blocked()
    assert b.send([b"x"], 1e10) == 1
    assert task.result() == 1


# The end -----------------------------------------------------------------------------------------


def test_sending_to_a_closed_peer_is_a_broken_pipe_at_once() -> None:
    a, b = pair()
    b.close()
    for data in (b"x", b""):
        with pytest.raises(BrokenPipeError):
            a.send([data], None)


def test_a_blocked_send_ends_when_the_peer_closes() -> None:
    a, b = pair(4)
    clog(a, 0)
    task = Task(a.send, [b"x"], None).blocked()
    assert not task.done
    b.close()
    with pytest.raises(BrokenPipeError):
        task.result()


# Faults ------------------------------------------------------------------------------------------


def test_split_limits_what_one_receive_yields() -> None:
    a, b = pair(peer_faults=Faults(max_receive=3))
    send_all(a, b"abcdefgh")
    assert [receive_some(b) for _ in range(3)] == [b"abc", b"def", b"gh"]
    send_all(b, b"abcdefgh")
    assert receive_some(a) == b"abcdefgh"


def test_a_partial_write_limits_what_one_send_takes() -> None:
    a, b = pair(faults=Faults(max_send=3))
    assert a.send([b"ab", b"cdef"], 0) == 3
    assert a.send([b"d"], 0) == 1
    assert b.send([b"abcdef"], 0) == 6
    assert receive_some(b) == b"abcd"


def test_sizes_drawn_with_a_seed_are_ragged_and_the_same_in_each_run() -> None:
    def sizes(seed: int) -> tuple[list[int], list[int]]:
        faults = Faults(max_receive=5, max_send=5, seed=seed)
        a, b = pair(faults=faults, peer_faults=faults)
        sent = [a.send([bytes(100)], 0) for _ in range(50)]
        received: list[int] = []
        while sum(received) < sum(sent):
            received.append(len(receive_some(b)))
        return sent, received

    sent, received = sizes(1)
    assert sizes(1) == (sent, received) != sizes(2)
    assert set(sent) == set(received[:-1]) == {1, 2, 3, 4, 5}
    assert sent != received[:50]


@pytest.mark.parametrize("after", range(7))
def test_a_cut_comes_after_exactly_that_many_bytes(after: int) -> None:
    a, b = pair(faults=Faults(cut_after=after))
    if after:
        assert a.send([b"abcd", b"efgh"], 0) == after
    with pytest.raises(ConnectionResetError):
        a.send([b"x"], None)
    with pytest.raises(ConnectionResetError):
        b.send([b"x"], None)
    if after:
        assert receive_some(b) == b"abcdefgh"[:after]
    for _ in range(2):
        with pytest.raises(ConnectionResetError):
            b.receive_into(memoryview(bytearray(8)), None)


def test_a_cut_leaves_what_had_arrived() -> None:
    a, b = pair()
    send_all(b, b"unread")
    a.cut()
    assert receive_some(a) == b"unread"
    with pytest.raises(ConnectionResetError):
        receive_some(a)


def test_a_cut_wakes_who_is_blocked() -> None:
    a, b = pair(4)
    clog(a, 0)
    tasks = [
        Task(a.send, [b"x"], None).blocked(),
        Task(a.receive_into, memoryview(bytearray(8)), None).blocked(),
    ]
    b.cut()
    for task in tasks:
        with pytest.raises(ConnectionResetError):
            task.result()


@pytest.mark.parametrize("after", range(4))
def test_a_half_close_ends_one_direction_after_exactly_that_many_bytes(after: int) -> None:
    a, b = pair(faults=Faults(half_close_after=after))
    if after:
        assert a.send([b"abcdef"], 0) == after
    with pytest.raises(BrokenPipeError):
        a.send([b"x"], None)
    assert receive_to_end(b) == b"abcdef"[:after]
    send_all(b, b"still here")
    assert receive_some(a) == b"still here"


@pytest.mark.parametrize("after", range(4))
def test_a_stall_holds_back_what_comes_after_exactly_that_many_bytes(after: int) -> None:
    a, b = pair(8, faults=Faults(stall_after=after))
    send_all(a, b"abcdefgh")
    with pytest.raises(TimeoutError):
        a.send([b"i"], 0)  # full, since nothing leaves
    if after:
        assert receive_some(b) == b"abcdefgh"[:after]
    for timeout in (0, SOON):
        with pytest.raises(TimeoutError):
            b.receive_into(memoryview(bytearray(8)), timeout)
    send_all(b, b"back")
    assert receive_some(a) == b"back"
    task = Task(receive_exactly, b, 8 - after).blocked()
    assert not task.done
    a.resume()
    assert task.result() == b"abcdefgh"[after:]


def test_a_stall_holds_back_the_end_too() -> None:
    a, b = pair()
    a.stall()
    send_all(a, b"last words")
    a.close()
    with pytest.raises(TimeoutError):
        receive_some(b)
    a.resume()
    assert receive_to_end(b) == b"last words"


def test_what_a_cut_finds_stalled_is_lost() -> None:
    a, b = pair()
    send_all(a, b"before")
    a.stall()
    send_all(a, b"after")
    a.cut()
    assert receive_some(b) == b"before"
    with pytest.raises(ConnectionResetError):
        receive_some(b)


def test_a_stalled_end_can_be_closed_by_the_one_who_waits() -> None:
    a, b = pair()
    a.stall()
    task = Task(b.receive_into, memoryview(bytearray(8)), None).blocked()
    b.close()
    with pytest.raises(TransportClosed):
        task.result()


def test_several_faults_come_each_in_its_place() -> None:
    a, b = pair(faults=Faults(stall_after=2, cut_after=4, half_close_after=9))
    assert a.send([b"abcdef"], 0) == 2
    assert a.send([b"cdef"], 0) == 2
    assert receive_some(b) == b"ab"
    with pytest.raises(ConnectionResetError):
        receive_some(b)


@pytest.mark.parametrize("name", ["max_receive", "max_send"])
def test_a_limit_below_1_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is 1 or more"):
        Faults(**{name: 0})


@pytest.mark.parametrize("name", ["stall_after", "half_close_after", "cut_after"])
def test_a_count_below_0_is_refused(name: str) -> None:
    assert Faults(**{name: 0}) == Faults(**{name: 0})
    with pytest.raises(ValueError, match=f"{name} is 0 or more"):
        Faults(**{name: -1})


# The endpoint ------------------------------------------------------------------------------------


def test_nobody_listening_is_a_refused_connection() -> None:
    with pytest.raises(ConnectionRefusedError, match="ward 3: nobody listens"):
        Loopback(name="ward 3").connect(None)


def test_connections_are_told_apart_by_name() -> None:
    endpoint = Loopback(name="ward 3")
    listener = endpoint.listen()
    assert [endpoint.connect(None).local for _ in range(2)] == ["ward 3:1", "ward 3:2"]
    assert [listener.accept().peer for _ in range(2)] == ["ward 3:1", "ward 3:2"]
    listener.close()


def test_faults_belong_to_the_end_they_are_given_for() -> None:
    endpoint = Loopback(16, Faults(max_send=1), Faults(max_send=2))
    listener = endpoint.listen()
    ours, theirs = endpoint.connect(None), listener.accept()
    assert ours.send([b"abc"], 0) == 1
    assert theirs.send([b"abc"], 0) == 2
    assert len(clog(ours, 0)) == 15
    listener.close()


def test_a_full_backlog_makes_connecting_wait() -> None:
    endpoint = Loopback(backlog=1)
    listener = endpoint.listen()
    endpoint.connect(0)
    with pytest.raises(TimeoutError, match="no answer in time"):
        endpoint.connect(SOON)
    task = Task(endpoint.connect, PATIENCE).blocked()
    assert not task.done
    assert listener.accept().peer == "loopback:1"
    assert task.result().local == "loopback:2"
    listener.close()


def test_a_connect_that_waits_is_refused_when_the_listener_closes() -> None:
    endpoint = Loopback(backlog=1)
    listener = endpoint.listen()
    endpoint.connect(None)
    task = Task(endpoint.connect, None).blocked()
    assert not task.done
    listener.close()
    with pytest.raises(ConnectionRefusedError):
        task.result()


def test_closing_an_old_listener_again_leaves_the_new_one_alone() -> None:
    endpoint = Loopback()
    old = endpoint.listen()
    old.close()
    new = endpoint.listen()
    old.close()
    endpoint.connect(0).close()
    new.accept().close()
    new.close()
