"""What every transport must do, as one function per clause.

A clause is given `make_pair`, which opens a connection and returns its two ends, and raises if
the transport does not keep the clause. It uses nothing but the protocol: no sockets, no pytest.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from dul_fsm.transports import Transport
from dul_fsm.transports.base import Buffer
from tests.transports.helpers import (
    PATIENCE,
    SOON,
    MakePair,
    Task,
    after,
    clog,
    opened,
    raises,
    receive_exactly,
    receive_to_end,
    send_all,
    send_for_ever,
    tells_of_the_close,
)

Clause: TypeAlias = Callable[[MakePair], None]

CLAUSES: list[Clause] = []


def clause(function: Clause) -> Clause:
    """Add it to the list."""
    CLAUSES.append(function)
    return function


# The stream --------------------------------------------------------------------------------------


@clause
def whole_messages_arrive_both_ways(make_pair: MakePair) -> None:
    with opened(make_pair) as (a, b):
        for sender, receiver in ((a, b), (b, a)):
            send_all(sender, b"A-ASSOCIATE-RQ")
            assert receive_exactly(receiver, 14) == b"A-ASSOCIATE-RQ"


@clause
def bytes_sent_one_by_one_arrive(make_pair: MakePair) -> None:
    with opened(make_pair) as (a, b):
        data = bytes(range(256))
        send_all(a, data, most=1)
        assert receive_exactly(b, len(data)) == data


@clause
def bytes_received_one_by_one_arrive(make_pair: MakePair) -> None:
    with opened(make_pair) as (a, b):
        data = bytes(range(256))
        send_all(a, data)
        assert receive_exactly(b, len(data), most=1) == data


@clause
def buffers_of_all_kinds_and_sizes_arrive_in_order(make_pair: MakePair) -> None:
    with opened(make_pair) as (a, b):
        buffers: list[Buffer] = [b"", b"one", bytearray(b"two"), memoryview(b"-three-")[1:-1], b""]
        left: list[Buffer] = buffers
        while any(left):
            left = after(left, a.send(left, PATIENCE))
        assert receive_exactly(b, 11) == b"onetwothree"


@clause
def thousands_of_buffers_arrive_in_order(make_pair: MakePair) -> None:
    """More than one system call takes, the first ones empty."""
    with opened(make_pair) as (a, b):
        buffers: list[Buffer] = [b"" for _ in range(2000)]
        buffers += [bytes([i % 251]) for i in range(5000)]
        left = buffers
        while left:
            count = a.send(left, PATIENCE)
            assert count > 0
            left = [buffer for buffer in after(left, count) if len(buffer)]
        assert receive_exactly(b, 5000) == b"".join(buffers)


@clause
def eight_mebibytes_pass_both_ways_at_once(make_pair: MakePair) -> None:
    """In pieces of all sizes, and each end both sends and receives: nobody waits for anybody."""
    one, other = random.Random(1).randbytes(8 << 20), random.Random(2).randbytes(8 << 20)

    def send(end: Transport, data: bytes, numbers: random.Random) -> None:
        left = memoryview(data)
        while left:
            middle, most = numbers.randint(0, 9999), numbers.randint(1, 300_000)
            left = left[end.send([left[:middle], left[middle:most]], PATIENCE) :]

    def receive(end: Transport, length: int, numbers: random.Random) -> bytes:
        data = bytearray(length)
        with memoryview(data) as left:
            while left:
                left = left[end.receive_into(left[: numbers.randint(1, 200_000)], PATIENCE) :]
        return bytes(data)

    with opened(make_pair) as (a, b):
        tasks: list[Task[Any]] = [
            Task(send, a, one, random.Random(3)),
            Task(send, b, other, random.Random(4)),
        ]
        received = [
            Task(receive, b, len(one), random.Random(5)),
            Task(receive, a, len(other), random.Random(6)),
        ]
        for task in tasks:
            task.result()
        assert received[0].result() == one
        assert received[1].result() == other


@clause
def only_what_was_received_is_written(make_pair: MakePair) -> None:
    with opened(make_pair) as (a, b):
        send_all(a, b"abc")
        data = bytearray(b"." * 8)
        count = b.receive_into(memoryview(data), PATIENCE)
        assert bytes(data) == b"abc"[:count] + b"." * (8 - count)


@clause
def no_buffer_is_kept(make_pair: MakePair) -> None:
    with opened(make_pair) as (a, b):
        data = bytearray(b"abc")
        send_all(a, data)
        data.extend(b"d")  # fails while somebody holds a view of it
        data[:] = b"...."
        assert receive_exactly(b, 3) == b"abc"


@clause
def sending_nothing_takes_nothing(make_pair: MakePair) -> None:
    with opened(make_pair) as (a, b):
        assert a.send([], 0) == 0
        assert a.send([b"", b""], None) == 0
        send_all(a, b"x")
        assert receive_exactly(b, 1) == b"x"


@clause
def receiving_into_nothing_is_refused(make_pair: MakePair) -> None:
    """0 would be taken for the end of the stream."""
    with opened(make_pair) as (a, b):
        with raises(ValueError):
            b.receive_into(memoryview(bytearray()), None)
        send_all(a, b"x")
        with raises(ValueError):
            b.receive_into(memoryview(bytearray()), None)
        assert receive_exactly(b, 1) == b"x"


# Waiting -----------------------------------------------------------------------------------------


@clause
def a_receive_times_out_and_may_be_repeated(make_pair: MakePair) -> None:
    with opened(make_pair) as (a, b):
        view = memoryview(bytearray(8))
        for timeout in (0, 0.0, -1.0, SOON):
            began = time.monotonic()
            with raises(TimeoutError):
                b.receive_into(view, timeout)
            assert time.monotonic() - began >= timeout * 0.9
        send_all(a, b"x")
        assert receive_exactly(b, 1) == b"x"


@clause
def a_send_into_a_clogged_connection_times_out_and_may_be_repeated(make_pair: MakePair) -> None:
    """And what was taken before arrives, no more and no less."""
    with opened(make_pair) as (a, b):
        taken = clog(a, 0) + clog(a, SOON) + clog(a, 0)
        assert receive_exactly(b, len(taken)) == taken
        send_all(a, b"x")
        assert receive_exactly(b, 1) == b"x"


@clause
def a_clogged_connection_still_carries_the_other_way(make_pair: MakePair) -> None:
    with opened(make_pair) as (a, b):
        clog(a)
        send_all(b, b"x")
        assert receive_exactly(a, 1) == b"x"


@clause
def a_blocked_receive_ends_with_the_first_byte(make_pair: MakePair) -> None:
    with opened(make_pair) as (a, b):
        for timeout in (None, PATIENCE):
            data = bytearray(8)
            task = Task(b.receive_into, memoryview(data), timeout).blocked()
            assert not task.done
            send_all(a, b"x")
            assert task.result() == 1
            assert data[:1] == b"x"


@clause
def a_blocked_receive_ends_with_the_stream(make_pair: MakePair) -> None:
    with opened(make_pair) as (a, b):
        task = Task(b.receive_into, memoryview(bytearray(8)), None).blocked()
        assert not task.done
        a.close()
        assert task.result() == 0


@clause
def a_blocked_send_goes_on_when_the_peer_receives(make_pair: MakePair) -> None:
    with opened(make_pair) as (a, b):
        data = random.Random(1).randbytes(16 << 20)
        task = Task(send_all, a, data).blocked()
        assert receive_exactly(b, len(data)) == data
        task.result()


@clause
def one_thread_sends_while_another_waits_to_receive(make_pair: MakePair) -> None:
    with opened(make_pair) as (a, b):
        task = Task(receive_exactly, a, 1).blocked()
        send_all(a, b"request")
        assert receive_exactly(b, 7) == b"request"
        send_all(b, b"x")
        assert task.result() == b"x"


# The end -----------------------------------------------------------------------------------------


@clause
def the_end_comes_after_what_was_sent_and_stays(make_pair: MakePair) -> None:
    with opened(make_pair) as (a, b):
        send_all(a, b"the last words")
        a.close()
        assert receive_exactly(b, 14) == b"the last words"
        for timeout in (None, 0, 1.0):
            assert b.receive_into(memoryview(bytearray(8)), timeout) == 0


@clause
def closing_does_not_lose_what_still_waits_to_be_received(make_pair: MakePair) -> None:
    with opened(make_pair) as (a, b):
        taken = clog(a)
        a.close()
        assert receive_to_end(b) == taken


@clause
def closing_over_unread_bytes_is_an_end_and_no_reset(make_pair: MakePair) -> None:
    """An A-ABORT that was sent last must not be lost for what the peer was still sending."""
    with opened(make_pair) as (a, b):
        send_all(b, b"P-DATA-TF")
        assert receive_exactly(a, 1) == b"P"
        send_all(a, b"A-ABORT")
        a.close()
        assert receive_to_end(b) == b"A-ABORT"


@clause
def sending_to_a_closed_peer_fails_in_the_end(make_pair: MakePair) -> None:
    with opened(make_pair) as (a, b):
        b.close()
        with raises(ConnectionError):
            while True:
                a.send([bytes(1000)], PATIENCE)


@clause
def close_wakes_a_blocked_receive(make_pair: MakePair) -> None:
    for timeout in (None, PATIENCE):
        with opened(make_pair) as (a, _):
            task = Task(a.receive_into, memoryview(bytearray(8)), timeout).blocked()
            assert not task.done
            a.close()
            tells_of_the_close(task.result)


@clause
def close_wakes_a_blocked_send(make_pair: MakePair) -> None:
    with opened(make_pair) as (a, _):
        task = Task(send_for_ever, a).blocked()
        assert not task.done
        a.close()
        with raises(OSError):
            task.result()


@clause
def close_wakes_both_directions_at_once(make_pair: MakePair) -> None:
    with opened(make_pair) as (a, _):
        receive = Task(a.receive_into, memoryview(bytearray(8)), None).blocked()
        send = Task(send_for_ever, a).blocked()
        a.close()
        tells_of_the_close(receive.result)
        with raises(OSError):
            send.result()


@clause
def closing_again_does_nothing(make_pair: MakePair) -> None:
    with opened(make_pair) as (a, b):
        a.close()
        a.close()
        b.close()
        b.close()
        a.close()


@clause
def many_threads_may_close(make_pair: MakePair) -> None:
    with opened(make_pair) as (a, b):
        receive = Task(a.receive_into, memoryview(bytearray(8)), None).blocked()
        for task in [Task(a.close) for _ in range(8)]:
            task.result()
        tells_of_the_close(receive.result)
        assert b.receive_into(memoryview(bytearray(8)), PATIENCE) == 0


@clause
def a_closed_transport_does_nothing_more(make_pair: MakePair) -> None:
    with opened(make_pair) as (a, b):
        send_all(b, b"unread")
        a.close()
        for timeout in (None, 0, 1.0):
            with raises(OSError):
                a.send([b"x"], timeout)
            tells_of_the_close(partial(a.receive_into, memoryview(bytearray(8)), timeout))
