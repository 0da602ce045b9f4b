"""The buffer of received bytes keeps their order and stays in proportion to what arrived."""

from __future__ import annotations

import tracemalloc

import pytest

from dul_fsm.upper_layer.inbox import FIRST_CAPACITY, Inbox


def put(inbox: Inbox, data: bytes, needed: int = 0) -> None:
    """Write `data` as a transport would, as much at a time as there is room for."""
    while data:
        room = inbox.writable(needed)
        count = min(len(room), len(data))
        room[:count] = data[:count]
        inbox.filled(count)
        data = data[count:]


def content(inbox: Inbox) -> bytes:
    return bytes(inbox.view(0, len(inbox)))


def pattern(length: int) -> bytes:
    return (bytes(range(251)) * (length // 251 + 1))[:length]


def test_a_new_inbox_is_empty_and_has_its_first_capacity() -> None:
    inbox = Inbox(0)
    assert (len(inbox), inbox.capacity) == (0, FIRST_CAPACITY)
    assert len(inbox.writable(0)) == FIRST_CAPACITY


@pytest.mark.parametrize("limit", [0, 5000, 20000, 2**33])
@pytest.mark.parametrize("needed", [0, 10000, 50000])
@pytest.mark.parametrize("skip", [0, 1, 3000])
def test_bytes_come_out_as_they_went_in_whatever_was_taken_between(
    limit: int, needed: int, skip: int
) -> None:
    inbox = Inbox(limit)
    data = pattern(30000)
    kept = b""
    for start in range(0, len(data), 1500):
        put(inbox, data[start : start + 1500], needed)
        kept += data[start : start + 1500]
        taken = min(skip, len(inbox))
        inbox.skip(taken)
        kept = kept[taken:]
        assert content(inbox) == kept
        assert not kept or inbox.buffer[inbox.start] == kept[0]


def test_there_is_always_room() -> None:
    inbox = Inbox(FIRST_CAPACITY)
    for _ in range(5 * FIRST_CAPACITY):
        assert len(inbox.writable(0)) > 0
        inbox.filled(1)
    assert len(inbox) == 5 * FIRST_CAPACITY


def test_it_grows_only_after_a_read_that_filled_it_and_up_to_its_limit() -> None:
    inbox = Inbox(40 * FIRST_CAPACITY)
    capacities: list[int] = []
    for _ in range(4):
        room = inbox.writable(0)
        inbox.filled(len(room) - 1)
        inbox.skip(len(inbox))
        assert inbox.capacity == (capacities[-1] if capacities else FIRST_CAPACITY)
        room = inbox.writable(0)
        inbox.filled(len(room))
        inbox.skip(len(inbox))
        capacities.append(inbox.capacity)
    assert [capacity // FIRST_CAPACITY for capacity in capacities] == [4, 16, 40, 40]


def test_a_read_that_only_filled_the_rest_of_the_buffer_does_not_make_it_grow() -> None:
    inbox = Inbox(2**20)
    put(inbox, bytes(100))
    inbox.skip(50)
    inbox.filled(len(inbox.writable(0)))
    assert inbox.capacity == FIRST_CAPACITY
    assert len(inbox) == FIRST_CAPACITY - 50


def test_a_length_that_is_only_announced_costs_nothing() -> None:
    inbox = Inbox(2**33)
    put(inbox, b"\4\0\0\0\0\0", 2**32)
    assert len(inbox.writable(2**32)) > 0
    assert inbox.capacity == FIRST_CAPACITY


def test_a_pdu_longer_than_the_limit_gets_the_room_that_it_needs_and_no_more() -> None:
    inbox = Inbox(0)
    put(inbox, bytes(10000), 10000)
    assert inbox.capacity == 10000


@pytest.mark.parametrize("limit", [0, 6000, 100000])
def test_bytes_that_nobody_takes_out_are_kept_in_linear_work(limit: int) -> None:
    inbox = Inbox(limit)
    growths = 0
    for _ in range(1024):
        before = inbox.capacity
        put(inbox, bytes(1024))
        growths += inbox.capacity != before
    assert len(inbox) == 2**20
    assert inbox.capacity <= 2 * 2**20 + FIRST_CAPACITY
    assert growths <= 12


def test_what_fits_behind_what_was_read_is_not_moved() -> None:
    inbox = Inbox(0)
    put(inbox, bytes(100))
    inbox.skip(90)
    inbox.writable(4000)
    assert inbox.start == 90
    inbox.writable(4010)
    assert (inbox.start, inbox.end) == (0, 10)


def test_a_pdu_at_the_start_of_the_buffer_is_never_copied_to_where_it_is() -> None:
    inbox = Inbox(0)
    put(inbox, bytes(2**20), 2**22)
    room = inbox.writable(2**22)
    inbox.filled(1)
    tracemalloc.start()
    try:
        room = inbox.writable(2**22)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(room) > 0
    assert peak < 2**16


def test_growth_leaves_the_views_that_were_given_out_as_they_were() -> None:
    inbox = Inbox(0)
    put(inbox, pattern(FIRST_CAPACITY))
    view = inbox.view(0, FIRST_CAPACITY)
    put(inbox, bytes(FIRST_CAPACITY))
    assert inbox.capacity > FIRST_CAPACITY
    assert bytes(view) == pattern(FIRST_CAPACITY)


def test_clearing_gives_the_memory_back() -> None:
    inbox = Inbox(2**20)
    put(inbox, bytes(2**19))
    assert inbox.capacity > FIRST_CAPACITY
    inbox.clear()
    assert (inbox.start, inbox.end, inbox.capacity) == (0, 0, FIRST_CAPACITY)
    put(inbox, pattern(100))
    assert content(inbox) == bytes(inbox.buffer[:100]) == pattern(100)


@pytest.mark.parametrize(("limit", "grown"), [(8 * FIRST_CAPACITY, 8), (8 * FIRST_CAPACITY + 1, 4)])
def test_the_last_step_to_its_limit_is_eight_times_its_size_at_most(limit: int, grown: int) -> None:
    inbox = Inbox(limit)
    inbox.filled(len(inbox.writable(0)))
    assert inbox.capacity == grown * FIRST_CAPACITY
