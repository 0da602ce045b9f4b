"""What every transport must do while it is open: carry a stream, and wait.

One function per clause; `dul_fsm.testing.check_transport` checks them. A clause is given a bench,
which opens connections, and raises if the transport does not keep it. It uses nothing but the
protocol `dul_fsm.transports.Transport`.
"""

from __future__ import annotations

import random
import threading
import time
from typing import Any

from dul_fsm.testing.transport_tools import (
    EARLY,
    PATIENCE,
    SOON,
    Bench,
    Clauses,
    Task,
    after,
    arrived,
    clog,
    counted,
    is_gone,
    raises,
    receive_exactly,
    require,
    send_all,
    send_for_ever,
    tells_of_the_close,
)
from dul_fsm.transports.base import Buffer, Transport

CLAUSES = Clauses()
"""These clauses, the simplest first."""

IDLE = 1.0
"""Seconds for which threads wait while the processor's time is measured."""

BUSY = 0.3
"""Seconds of processor time in `IDLE` that are too many. A waiting thread needs none, and the rest
of the process next to none; one that looks again and again takes all there is."""


# The stream --------------------------------------------------------------------------------------


@CLAUSES.add()
def whole_messages_arrive_both_ways(bench: Bench) -> None:
    with bench.opened() as (a, b):
        for sender, receiver in ((a, b), (b, a)):
            send_all(sender, b"A-ASSOCIATE-RQ")
            arrived(receive_exactly(receiver, 14), b"A-ASSOCIATE-RQ")


@CLAUSES.add()
def bytes_sent_one_by_one_arrive(bench: Bench) -> None:
    with bench.opened() as (a, b):
        data = bytes(range(256))
        send_all(a, data, most=1)
        arrived(receive_exactly(b, len(data)), data)


@CLAUSES.add()
def bytes_received_one_by_one_arrive(bench: Bench) -> None:
    with bench.opened() as (a, b):
        data = bytes(range(256))
        send_all(a, data)
        arrived(receive_exactly(b, len(data), most=1), data)


@CLAUSES.add()
def ragged_pieces_arrive_as_one_stream(bench: Bench) -> None:
    """Where a message was cut when it was sent is not where it is cut when it is received."""
    numbers = random.Random(7)
    data = numbers.randbytes(4096)
    with bench.opened() as (a, b):
        sent = received = 0
        while received < len(data):
            while sent < len(data) and sent - received < 512:
                size = min(len(data), sent + numbers.randint(1, 97))
                send_all(a, data[sent:size])
                sent = size
            size = min(sent - received, numbers.randint(1, 61))
            arrived(receive_exactly(b, size), data[received : received + size])
            received += size


@CLAUSES.add()
def buffers_of_all_kinds_and_sizes_arrive_in_order(bench: Bench) -> None:
    with bench.opened() as (a, b):
        buffers: list[Buffer] = [b"", b"one", bytearray(b"two"), memoryview(b"-three-")[1:-1], b""]
        left: list[Buffer] = buffers
        while length := sum(len(buffer) for buffer in left):
            left = after(left, counted(a.send(left, PATIENCE), length, "send"))
        arrived(receive_exactly(b, 11), b"onetwothree")


@CLAUSES.add()
def thousands_of_buffers_arrive_in_order(bench: Bench) -> None:
    """More than one system call takes, the first ones empty."""
    with bench.opened() as (a, b):
        buffers: list[Buffer] = [b"" for _ in range(2000)]
        buffers += [bytes([i % 251]) for i in range(5000)]
        left = buffers
        while left:
            count = counted(a.send(left, PATIENCE), 5000, "send")
            left = [buffer for buffer in after(left, count) if len(buffer)]
        arrived(receive_exactly(b, 5000), b"".join(buffers))


@CLAUSES.add()
def eight_mebibytes_pass_both_ways_at_once(bench: Bench) -> None:
    """In pieces of all sizes, and each end both sends and receives: nobody waits for anybody."""
    one, other = random.Random(1).randbytes(8 << 20), random.Random(2).randbytes(8 << 20)

    def send(end: Transport, data: bytes, numbers: random.Random) -> None:
        left = memoryview(data)
        while left:
            middle, most = numbers.randint(0, 9999), numbers.randint(1, 300_000)
            pieces: list[Buffer] = [left[:middle], left[middle:most]]
            offered = sum(len(piece) for piece in pieces)
            if offered:
                left = left[counted(end.send(pieces, PATIENCE), offered, "send") :]

    def receive(end: Transport, length: int, numbers: random.Random) -> bytes:
        data = bytearray(length)
        with memoryview(data) as left:
            while left:
                view = left[: numbers.randint(1, 200_000)]
                count = end.receive_into(view, PATIENCE)
                left = left[counted(count, len(view), "receive_into") :]
        return bytes(data)

    with bench.opened() as (a, b):
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
        arrived(received[0].result(), one)
        arrived(received[1].result(), other)


@CLAUSES.add()
def only_what_was_received_is_written(bench: Bench) -> None:
    with bench.opened() as (a, b):
        send_all(a, b"abc")
        data = bytearray(b"." * 8)
        count = counted(b.receive_into(memoryview(data), PATIENCE), 3, "receive_into")
        arrived(bytes(data[:count]), b"abc"[:count])
        rest = bytes(data[count:])
        require(rest == b"." * len(rest), "receive_into wrote behind what it returned")


@CLAUSES.add()
def no_buffer_is_kept_after_send(bench: Bench) -> None:
    with bench.opened() as (a, b):
        data = bytearray(b"abc")
        send_all(a, data)
        try:
            data.extend(b"d")  # fails while somebody holds a view of it
        except BufferError:
            require(False, "send has returned, and something still holds the buffer")
        data[:] = b"...."
        arrived(receive_exactly(b, 3), b"abc")


@CLAUSES.add()
def sending_nothing_takes_nothing(bench: Bench) -> None:
    with bench.opened() as (a, b):
        for buffers, timeout in (([], 0), ([b"", b""], None)):
            count = a.send(buffers, timeout)
            require(count == 0, f"send of nothing returned {count}, not 0")
        send_all(a, b"x")
        arrived(receive_exactly(b, 1), b"x")


@CLAUSES.add()
def receiving_into_nothing_is_refused(bench: Bench) -> None:
    """0 would be taken for the end of the stream."""
    with bench.opened() as (a, b):
        for _ in range(2):  # with nothing there, and with something
            with raises(ValueError, when="receive_into an empty view"):
                b.receive_into(memoryview(bytearray()), None)
            send_all(a, b"x")
        arrived(receive_exactly(b, 2), b"xx")


# Waiting -----------------------------------------------------------------------------------------


@CLAUSES.add()
def a_receive_times_out_and_may_be_repeated(bench: Bench) -> None:
    with bench.opened() as (a, b):
        view = memoryview(bytearray(8))
        for timeout in (0, 0.0, -1.0, SOON):
            began = time.monotonic()
            with raises(TimeoutError, when=f"a receive with nothing there and timeout {timeout}"):
                b.receive_into(view, timeout)
            early = time.monotonic() - began < timeout * EARLY
            require(not early, "receive_into raised TimeoutError before the timeout had passed")
        send_all(a, b"x")
        arrived(receive_exactly(b, 1), b"x")


@CLAUSES.add()
def a_send_into_a_clogged_connection_times_out_and_may_be_repeated(bench: Bench) -> None:
    """And what was taken before arrives, no more and no less."""
    with bench.opened() as (a, b):
        taken = clog(a, 0) + clog(a, SOON) + clog(a, 0)
        arrived(receive_exactly(b, len(taken)), taken)
        send_all(a, b"x")
        arrived(receive_exactly(b, 1), b"x")


@CLAUSES.add()
def a_clogged_connection_still_carries_the_other_way(bench: Bench) -> None:
    with bench.opened() as (a, b):
        clog(a)
        send_all(b, b"x")
        arrived(receive_exactly(a, 1), b"x")


@CLAUSES.add()
def a_blocked_receive_ends_with_the_first_byte(bench: Bench) -> None:
    with bench.opened() as (a, b):
        for timeout in (None, PATIENCE):
            data = bytearray(8)
            task = Task(b.receive_into, memoryview(data), timeout).blocked()
            require(not task.done, "receive_into came back before anything was sent")
            send_all(a, b"x")
            require(task.result() == 1, "receive_into did not return the one byte that was sent")
            arrived(bytes(data[:1]), b"x")


@CLAUSES.add()
def a_blocked_receive_ends_with_the_stream(bench: Bench) -> None:
    with bench.opened() as (a, b):
        task = Task(b.receive_into, memoryview(bytearray(8)), None).blocked()
        require(not task.done, "receive_into came back before the end")
        a.close()
        count = task.result()
        require(count == 0, f"receive_into returned {count} at the end of the stream, not 0")


@CLAUSES.add()
def a_blocked_send_goes_on_when_the_peer_receives(bench: Bench) -> None:
    with bench.opened() as (a, b):
        data = random.Random(1).randbytes(16 << 20)

        def send() -> None:
            left = memoryview(data)
            while left:
                left = left[counted(a.send([left], None), len(left), "send") :]

        task = Task(send).blocked()
        arrived(receive_exactly(b, len(data)), data)
        task.result()


@CLAUSES.add()
def one_thread_sends_while_another_waits_to_receive(bench: Bench) -> None:
    with bench.opened() as (a, b):
        task = Task(receive_exactly, a, 1).blocked()
        send_all(a, b"request")
        arrived(receive_exactly(b, 7), b"request")
        send_all(b, b"x")
        arrived(task.result(), b"x")


@CLAUSES.add()
def who_waits_keeps_no_processor_busy(bench: Bench) -> None:
    """Neither a receive with nothing there, nor a send into a clogged connection."""
    with bench.opened() as (a, _), bench.opened() as (c, d):
        clog(c)
        send_all(d, b"unread")  # something to look at, for who waits for more than it needs
        receive = Task(a.receive_into, memoryview(bytearray(8)), None).blocked()
        send = Task(send_for_ever, c).blocked()
        began = time.process_time()
        threading.Event().wait(IDLE)
        used = time.process_time() - began
        require(used < BUSY, f"{used:.2f} s of processor time went by in {IDLE} s of waiting")
        for end in (a, c):
            end.close()
        tells_of_the_close(receive.result)
        is_gone(send.result, "a send that close has woken")
