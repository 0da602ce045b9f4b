"""What every transport must do in the end: end the stream, tell it from a break, leave nothing.

One function per clause, as in `dul_fsm.testing.transport_stream`.
"""

from __future__ import annotations

import random
import threading
import time
from functools import partial

from dul_fsm.testing.transport_tools import (
    PATIENCE,
    Bench,
    Clauses,
    Task,
    arrived,
    clog,
    descriptors,
    is_gone,
    raises,
    receive_exactly,
    receive_to_end,
    require,
    send_all,
    send_for_ever,
    tells_of_the_close,
)

CLAUSES = Clauses()
"""These clauses, the simplest first."""

LEFT_PATIENCE = 10.0
"""Seconds within which threads and descriptors of closed connections must be gone."""


# The end -----------------------------------------------------------------------------------------


@CLAUSES.add()
def the_end_comes_after_what_was_sent_and_stays(bench: Bench) -> None:
    with bench.opened() as (a, b):
        send_all(a, b"the last words")
        a.close()
        arrived(receive_exactly(b, 14), b"the last words")
        for timeout in (None, 0, 1.0):
            count = b.receive_into(memoryview(bytearray(8)), timeout)
            require(count == 0, f"receive_into returned {count} after the end, not 0")


@CLAUSES.add()
def the_end_comes_wherever_the_sender_stops(bench: Bench) -> None:
    """In the middle of anything: a transport knows no messages."""
    data = random.Random(9).randbytes(70_001)
    for length in (0, 1, 5, 6, 7, 1023, len(data)):
        with bench.opened() as (a, b):
            task = Task(receive_to_end, b)
            send_all(a, data[:length])
            a.close()
            arrived(task.result(), data[:length])


@CLAUSES.add()
def closing_does_not_lose_what_still_waits_to_be_received(bench: Bench) -> None:
    with bench.opened() as (a, b):
        taken = clog(a)
        a.close()
        arrived(receive_to_end(b), taken)


@CLAUSES.add()
def closing_over_unread_bytes_is_an_end_and_no_reset(bench: Bench) -> None:
    """An A-ABORT that was sent last must not be lost for what the peer was still sending."""
    with bench.opened() as (a, b):
        send_all(b, b"P-DATA-TF")
        arrived(receive_exactly(a, 1), b"P")
        send_all(a, b"A-ABORT")
        a.close()
        arrived(receive_to_end(b), b"A-ABORT")


@CLAUSES.add("half_close")
def after_the_end_of_the_peer_this_end_may_still_send(bench: Bench) -> None:
    """A peer that has said all it had to say may still listen (half-close)."""
    with bench.opened() as (a, b):
        send_all(a, b"the last words")
        bench.half_close(a)
        arrived(receive_to_end(b), b"the last words")
        send_all(b, b"an answer")
        arrived(receive_exactly(a, 9), b"an answer")
        b.close()
        arrived(receive_to_end(a), b"")


@CLAUSES.add("reset")
def a_reset_is_an_error_and_no_end(bench: Bench) -> None:
    """Whether somebody waits already or looks only later."""
    view = memoryview(bytearray(8))
    with bench.opened() as (a, b):
        task = Task(a.receive_into, view, None).blocked()
        bench.reset(b)
        is_gone(task.result, "a blocked receive, when the peer resets")
        with raises(OSError, when="sending after a reset"):
            while True:
                a.send([bytes(1000)], PATIENCE)
    with bench.opened() as (a, b):
        bench.reset(b)
        is_gone(partial(a.receive_into, view, PATIENCE), "a receive after a reset")


@CLAUSES.add()
def sending_to_a_closed_peer_fails_in_the_end(bench: Bench) -> None:
    with bench.opened() as (a, b):
        b.close()
        with raises(ConnectionError, when="sending on and on to a closed peer"):
            while True:
                a.send([bytes(1000)], PATIENCE)


@CLAUSES.add()
def close_wakes_a_blocked_receive(bench: Bench) -> None:
    for timeout in (None, PATIENCE):
        with bench.opened() as (a, _):
            task = Task(a.receive_into, memoryview(bytearray(8)), timeout).blocked()
            require(not task.done, "receive_into came back before close")
            a.close()
            tells_of_the_close(task.result)


@CLAUSES.add()
def close_wakes_a_blocked_send(bench: Bench) -> None:
    with bench.opened() as (a, _):
        task = Task(send_for_ever, a).blocked()
        require(not task.done, "send failed before close")
        a.close()
        is_gone(task.result, "a send that close has woken")


@CLAUSES.add()
def close_wakes_both_directions_at_once(bench: Bench) -> None:
    with bench.opened() as (a, _):
        receive = Task(a.receive_into, memoryview(bytearray(8)), None).blocked()
        send = Task(send_for_ever, a).blocked()
        a.close()
        tells_of_the_close(receive.result)
        is_gone(send.result, "a send that close has woken")


@CLAUSES.add()
def closing_again_does_nothing(bench: Bench) -> None:
    with bench.opened() as (a, b):
        a.close()
        a.close()
        b.close()
        b.close()
        a.close()


@CLAUSES.add()
def many_threads_may_close(bench: Bench) -> None:
    with bench.opened() as (a, b):
        receive = Task(a.receive_into, memoryview(bytearray(8)), None).blocked()
        for task in [Task(a.close) for _ in range(8)]:
            task.result()
        tells_of_the_close(receive.result)
        count = b.receive_into(memoryview(bytearray(8)), PATIENCE)
        require(count == 0, f"the peer of who closed received {count} bytes, not 0")


@CLAUSES.add()
def a_closed_transport_does_nothing_more(bench: Bench) -> None:
    with bench.opened() as (a, b):
        send_all(b, b"unread")
        a.close()
        for timeout in (None, 0, 1.0):
            is_gone(partial(a.send, [b"x"], timeout), "a send after close")
            tells_of_the_close(partial(a.receive_into, memoryview(bytearray(8)), timeout))


@CLAUSES.add()
def nothing_is_left_of_closed_connections(bench: Bench) -> None:
    """No descriptor and no thread, however they ended."""
    _use(bench)  # what is made once, with the first connection, may stay
    threads, files = set(threading.enumerate()), descriptors()
    for _ in range(4):
        _use(bench)
    by = time.monotonic() + LEFT_PATIENCE
    while True:
        stayed = set(threading.enumerate()) - threads
        more = len(descriptors()) - len(files)
        if not stayed and more <= 0:
            return
        if time.monotonic() > by:
            break
        threading.Event().wait(0.01)
    require(not stayed, f"threads stay: {', '.join(sorted(thread.name for thread in stayed))}")
    now = descriptors()
    what = ", ".join(now[number] for number in sorted(now.keys() - files.keys()))
    require(False, f"{more} descriptors stay: {what}")


def _use(bench: Bench) -> None:
    """Connections with all sorts of ends."""
    with bench.opened():
        pass  # closed unused
    with bench.opened() as (a, b):
        send_all(a, b"x")
        receive_exactly(b, 1)
        b.close()
    with bench.opened() as (a, b):
        receive = Task(b.receive_into, memoryview(bytearray(8)), None).blocked()
        a.close()
        receive.result()
    with bench.opened() as (a, b):
        clog(a)
        b.close()
