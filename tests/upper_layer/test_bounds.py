"""Edges of the buffers on both ways, and which time counts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dul_fsm.fsm import Event, State
from dul_fsm.pdu import AAbort, AReleaseRP, AReleaseRQ
from dul_fsm.timers import TimeLimit
from dul_fsm.upper_layer import ProviderAbortIndication, TimeLimitPassed, UpperLayer
from dul_fsm.upper_layer.inbox import FIRST_CAPACITY, Inbox
from dul_fsm.upper_layer.outbox import Outbox
from dul_fsm.upper_layer.receiver import Arrival, Receiver
from tests.pdu import wire
from tests.upper_layer import support
from tests.upper_layer.support import (
    ABORT_BY_USER,
    FRAGMENT,
    LIMITS,
    OUR_P_DATA,
    P_DATA,
    RELEASE_RP,
    RELEASE_RQ,
    Bench,
)

# The way in --------------------------------------------------------------------------------------


def put(inbox: Inbox, data: bytes) -> None:
    """These bytes arrive, at once."""
    inbox.writable(0)[: len(data)] = data
    inbox.filled(len(data))


def test_bytes_of_the_inbox_count_from_the_first_unread_one() -> None:
    inbox = Inbox(0)
    put(inbox, b"abcd")
    inbox.skip(1)
    assert bytes(inbox.view(0, 3)) == b"bcd"


@pytest.mark.parametrize(("more", "start"), [(0, 10), (1, 0)])
def test_pdu_that_just_fits_behind_what_was_read_is_not_moved(more: int, start: int) -> None:
    inbox = Inbox(0)
    put(inbox, bytes(20))
    inbox.skip(10)
    inbox.writable(FIRST_CAPACITY - 10 + more)
    assert inbox.start == start


def receiver(maximum_length: int = 131072) -> Receiver:
    """One that has accepted contexts."""
    made = Receiver(maximum_length)
    made.learn_contexts(wire.RQ, wire.AC)
    return made


def feed(receiver: Receiver, data: bytes, state: State = State.Sta6) -> None:
    """These bytes arrive in `state`, and nobody looks at them."""
    view = memoryview(data)
    while view:
        room = receiver.inbox.writable(receiver.needed)
        count = min(len(room), len(view))
        room[:count] = view[:count]
        receiver.filled(count, state)
        view = view[count:]


def events(receiver: Receiver, state: State = State.Sta6) -> list[Event]:
    """Every PDU that is there."""
    arrivals: list[Arrival] = []
    while (arrival := receiver.next(state)) is not None:
        arrivals.append(arrival)
    return [arrival.event for arrival in arrivals]


@pytest.mark.parametrize(
    ("maximum_length", "room"),
    [
        (200_000, 2 * (200_000 + 6)),
        (131_072, 2 * (131_072 + 6)),
        (131_066, 262_144),
        (10_000, 262_144),
        (0, 262_144),
    ],
)
def test_receiver_has_room_for_two_of_the_longest_pdus_and_many_short_ones_and_no_more(
    maximum_length: int, room: int
) -> None:
    made = Receiver(maximum_length)
    arrived = 0
    for more_than, capacity in ((4096, 16384), (16384, 65536), (65536, room)):
        feed(made, bytes(more_than + 1 - arrived))
        arrived = more_than + 1
        assert made.inbox.capacity == capacity
    feed(made, bytes(room - arrived))
    assert made.inbox.capacity == room


def test_receiver_grows_to_what_a_longer_association_request_takes_and_no_more() -> None:
    made = Receiver(4096)
    feed(made, bytes.fromhex("01 00 00080000"), State.Sta2)
    assert events(made, State.Sta2) == []
    feed(made, bytes(0x7FFFF), State.Sta2)
    assert made.inbox.capacity == 6 + 0x80000


def test_reset_receiver_has_nothing_left_of_what_arrived_before_nor_its_memory() -> None:
    made = receiver()
    feed(made, P_DATA[:-1] + bytes(FIRST_CAPACITY))
    made.reset()
    assert not made.in_pdu
    assert made.inbox.capacity == FIRST_CAPACITY


def test_reserved_byte_of_the_header_is_no_part_of_the_length() -> None:
    made = receiver()
    feed(made, P_DATA[:1] + b"\xff" + P_DATA[2:] + RELEASE_RQ)
    assert events(made) == [Event.Evt10, Event.Evt12]


def test_shorter_pdu_is_not_kept_waiting_after_one_that_came_in_two_reads() -> None:
    made = receiver()
    feed(made, P_DATA[:-1])
    assert events(made) == []
    feed(made, P_DATA[-1:])
    assert events(made) == [Event.Evt10]
    assert len(RELEASE_RQ) < len(P_DATA)
    feed(made, RELEASE_RQ)
    assert events(made) == [Event.Evt12]


def test_shorter_pdu_is_not_kept_waiting_after_one_that_became_unwanted_as_it_came() -> None:
    made = receiver()
    feed(made, P_DATA[:-1])
    assert events(made) == []
    feed(made, P_DATA[-1:] + ABORT_BY_USER)
    assert events(made, State.Sta8) == [Event.Evt10, Event.Evt16]


# The way out -------------------------------------------------------------------------------------

ABORT = AAbort(0, 0)


def outbox() -> Outbox:
    """With two PDUs of ten bytes."""
    made = Outbox()
    made.put(AReleaseRQ())
    made.put(AReleaseRP())
    return made


def test_abort_overtakes_what_was_never_handed_out() -> None:
    made = outbox()
    made.put_abort(ABORT)
    assert b"".join(made.buffers(100)) == ABORT_BY_USER
    assert made.length == 10


@pytest.mark.parametrize("limit", [10, 15])
def test_abort_overtakes_what_was_not_handed_out_but_not_what_was(limit: int) -> None:
    made = outbox()
    assert made.buffers(limit) == [RELEASE_RQ]
    made.put_abort(ABORT)
    assert b"".join(made.buffers(100)) == RELEASE_RQ + ABORT_BY_USER


def test_abort_goes_behind_everything_if_everything_was_handed_out() -> None:
    made = outbox()
    made.buffers(100)
    made.put_abort(ABORT)
    assert b"".join(made.buffers(100)) == RELEASE_RQ + RELEASE_RP + ABORT_BY_USER


def test_limit_is_what_may_be_handed_out() -> None:
    assert outbox().buffers(19) == [RELEASE_RQ]
    assert outbox().buffers(20) == [RELEASE_RQ, RELEASE_RP]


def test_buffers_are_never_empty() -> None:
    made = Outbox()
    made.put_p_data(1, 3, FRAGMENT)
    made.put_p_data(1, 3, b"")
    made.put(AReleaseRQ())
    for _ in range(12 + 2 + 12 + 10):
        assert all(len(buffer) for buffer in made.buffers(100))
        made.sent(1)
    assert made.buffers(100) == []


# Which time counts -------------------------------------------------------------------------------


def test_every_pdu_that_nobody_takes_starts_the_write_limit() -> None:
    bench = Bench.at("requestor", State.Sta6)
    bench.now += 5.0
    bench.apply(Event.Evt11)
    assert bench.upper.deadline == bench.now + LIMITS.write  # type: ignore[operator]
    assert bench.pass_deadline() == [TimeLimitPassed(TimeLimit.WRITE)]


@pytest.mark.parametrize(("state", "event"), [(State.Sta3, Event.Evt7), (State.Sta6, Event.Evt9)])
def test_write_limit_counts_from_the_primitive(state: State, event: Event) -> None:
    bench = Bench.at("acceptor", state)
    bench.now += 5.0
    bench.apply(event)
    assert bench.upper.bytes_to_send in (len(support.OUR_AC), len(OUR_P_DATA))
    assert bench.upper.deadline == bench.now + LIMITS.write  # type: ignore[operator]


def test_artim_counts_from_the_time_at_which_a_limit_passed() -> None:
    bench = Bench.at("requestor", State.Sta6)
    bench.upper.pass_time_limit(TimeLimit.RESPONSE, bench.now + 5.0)
    assert bench.upper.deadline == bench.now + 5.0 + LIMITS.artim


def test_artim_counts_from_the_end_of_the_transport_if_that_is_known_first() -> None:
    bench = Bench.at("requestor", State.Sta6)
    bench.upper.receive_data(support.AC, bench.now)
    bench.upper.transport_closed(bench.now + 5.0)
    assert isinstance(bench.upper.next_indication(), ProviderAbortIndication)
    assert bench.upper.deadline == bench.now + 5.0 + LIMITS.artim


@pytest.mark.parametrize(
    "later",
    [
        lambda upper, now: upper.handle_timeout(now),
        lambda upper, now: upper.data_sent(0, now),
        lambda upper, now: upper.buffer_filled(0, now),
    ],
    ids=["handle_timeout", "data_sent", "buffer_filled"],
)
def test_time_of_a_pdu_counts_from_the_last_call_before_it_was_seen(
    later: Callable[[UpperLayer, float], None],
) -> None:
    bench = Bench.at("requestor", State.Sta6)
    bench.upper.receive_data(P_DATA[:-1], bench.now)
    later(bench.upper, bench.now + 5.0)
    assert bench.told() == []
    assert bench.upper.deadline == bench.now + 5.0 + LIMITS.pdu  # type: ignore[operator]


def test_observer_is_not_shown_an_answer_again_with_the_steps_after_it() -> None:
    bench = Bench.at("acceptor", State.Sta3)
    bench.apply(Event.Evt7)
    bench.apply(Event.Evt11)
    assert [step.pdu for step in bench.steps] == [wire.AC, None]
