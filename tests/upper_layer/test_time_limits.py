"""Each time limit of ours, on a clock that is turned by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dul_fsm.errors import LocalProtocolError
from dul_fsm.fsm import Event, State
from dul_fsm.timers import TimeLimit, TimeLimits
from dul_fsm.upper_layer import (
    CloseTransport,
    TimeLimitPassed,
)
from tests.pdu import wire
from tests.upper_layer import support
from tests.upper_layer.support import (
    ABORT_BY_USER,
    CONNECTED,
    LIMITS,
    OUR_P_DATA,
    P_DATA,
    Bench,
    place_ids,
)


def test_each_state_with_a_wait_for_the_peer_passes_exactly_at_its_deadline() -> None:
    for role, state, limit in (
        ("requestor", State.Sta4, TimeLimit.CONNECT),
        ("requestor", State.Sta5, TimeLimit.ASSOCIATION),
        ("requestor", State.Sta7, TimeLimit.RELEASE),
        ("requestor", State.Sta11, TimeLimit.RELEASE),
        ("acceptor", State.Sta7, TimeLimit.RELEASE),
        ("acceptor", State.Sta10, TimeLimit.RELEASE),
    ):
        bench = Bench.at(role, state)
        seconds = getattr(LIMITS, limit.name.lower())
        deadline = bench.now + seconds
        assert bench.upper.deadline == deadline
        bench.upper.handle_timeout(deadline - 0.001)
        assert (bench.told(), bench.steps, bench.upper.state) == ([], [], state)
        told = bench.pass_deadline()
        if state is State.Sta4:
            assert told == [TimeLimitPassed(limit), CloseTransport()]
            assert (bench.upper.state, bench.upper.deadline) == (State.Sta1, None)
        else:
            assert told == [TimeLimitPassed(limit)]
            assert bench.leave() == ABORT_BY_USER
            assert bench.state() is State.Sta13
            assert bench.upper.deadline == bench.now + LIMITS.artim
        assert [step.event for step in bench.steps] == [Event.Evt15]


QUIET = [
    (role, state)
    for role, state in support.PLACES
    if state in (State.Sta1, State.Sta3, State.Sta6, State.Sta8, State.Sta9, State.Sta12)
]


@pytest.mark.parametrize(("role", "state"), QUIET, ids=place_ids(QUIET))
def test_who_waits_for_the_local_user_has_no_deadline(role: str, state: State) -> None:
    bench = Bench.at(role, state)
    assert bench.upper.deadline is None
    bench.upper.handle_timeout(1e12)
    assert (bench.told(), bench.leave(), bench.upper.state) == ([], b"", state)


OPEN = [(role, state) for role, state in CONNECTED if state not in (State.Sta2, State.Sta13)]
NO_STATE_LIMITS = replace(LIMITS, association=None, release=None)


@pytest.mark.parametrize("length", [1, 5, 6, 9])
@pytest.mark.parametrize(("role", "state"), OPEN, ids=place_ids(OPEN))
def test_a_pdu_that_has_begun_must_end_in_time_counted_from_its_first_byte(
    role: str, state: State, length: int
) -> None:
    bench = Bench.at(role, state, limits=NO_STATE_LIMITS)
    assert bench.upper.deadline is None
    deadline = bench.now + LIMITS.pdu if LIMITS.pdu else 0.0
    for value in ABORT_BY_USER[:length]:
        assert bench.receive(bytes((value,))) == []
        assert bench.upper.deadline == deadline
        bench.now += 1.0
    bench.upper.handle_timeout(deadline - 0.001)
    assert bench.state() is state
    assert bench.pass_deadline() == [TimeLimitPassed(TimeLimit.PDU)]
    assert bench.leave() == ABORT_BY_USER
    assert bench.state() is State.Sta13


@pytest.mark.parametrize(("role", "state"), OPEN, ids=place_ids(OPEN))
def test_a_pdu_that_ends_stops_its_time_and_the_next_one_has_its_own(
    role: str, state: State
) -> None:
    bench = Bench.at(role, state, limits=NO_STATE_LIMITS)
    bench.receive(ABORT_BY_USER[:3])
    bench.now += 5.0
    bench.receive(ABORT_BY_USER[3:])
    assert (bench.upper.state, bench.upper.deadline) == (State.Sta1, None)
    bench = Bench.at("acceptor", State.Sta6, limits=NO_STATE_LIMITS)
    bench.receive(P_DATA[:3])
    bench.now += 5.0
    bench.receive(P_DATA[3:] + P_DATA[:3])
    assert bench.upper.deadline == bench.now + 17.0
    bench.receive(P_DATA[3:])
    assert bench.upper.deadline is None


def test_the_first_of_two_limits_decides_and_the_other_never_passes() -> None:
    bench = Bench.at("requestor", State.Sta5)
    bench.receive(wire.AC_BYTES[:20])  # 17 seconds for the PDU, 13 for the answer
    bench.now += 1000.0
    bench.upper.handle_timeout(bench.now)
    assert bench.told() == [TimeLimitPassed(TimeLimit.ASSOCIATION)]
    assert bench.upper.deadline == bench.now + LIMITS.artim


def test_a_write_must_go_on_and_each_byte_that_leaves_gives_it_its_time_again() -> None:
    bench = Bench.at("requestor", State.Sta6)
    bench.apply(Event.Evt9)
    started = bench.now
    bench.now += 5.0
    bench.apply(Event.Evt9)
    assert bench.upper.deadline == started + 19.0
    bench.upper.data_sent(0, bench.now)
    assert bench.upper.deadline == started + 19.0
    bench.upper.data_sent(1, bench.now)
    assert bench.upper.deadline == bench.now + 19.0
    told = bench.pass_deadline()
    assert told == [TimeLimitPassed(TimeLimit.WRITE)]
    assert bench.leave() == OUR_P_DATA[1:] + ABORT_BY_USER


def test_all_written_stops_the_time_for_writing() -> None:
    bench = Bench.at("requestor", State.Sta6)
    bench.apply(Event.Evt9)
    bench.leave()
    assert bench.upper.deadline is None


def test_in_sta13_artim_alone_decides_however_slowly_an_abort_leaves() -> None:
    bench = Bench.at("requestor", State.Sta6)
    bench.apply(Event.Evt15)
    deadline = bench.upper.deadline
    assert deadline == bench.now + LIMITS.artim
    for _ in range(3):
        bench.now += 1.0
        bench.upper.data_sent(1, bench.now)
        assert bench.upper.deadline == deadline
    assert bench.pass_deadline() == [CloseTransport()]
    assert bench.leave() == b""


def test_limits_that_are_off_are_never_a_deadline() -> None:
    off = TimeLimits(connect=None, association=None, pdu=None, write=None, release=None)
    for role, state in OPEN:
        bench = Bench.at(role, state, limits=off)
        bench.receive(ABORT_BY_USER[:4])
        assert bench.upper.deadline is None
    bench = Bench.at("requestor", State.Sta6, limits=off)
    bench.apply(Event.Evt9)
    assert bench.upper.deadline is None


@pytest.mark.parametrize("limit", [TimeLimit.RESPONSE, TimeLimit.IDLE])
def test_a_limit_from_above_aborts_and_says_which(limit: TimeLimit) -> None:
    bench = Bench.at("requestor", State.Sta6)
    bench.upper.pass_time_limit(limit, bench.now)
    assert bench.told() == [TimeLimitPassed(limit)]
    assert bench.leave() == ABORT_BY_USER


@pytest.mark.parametrize(
    ("role", "state"),
    [("requestor", State.Sta1), ("acceptor", State.Sta2), ("requestor", State.Sta13)],
)
def test_a_limit_from_above_is_refused_where_there_is_nothing_to_abort(
    role: str, state: State
) -> None:
    bench = Bench.at(role, state)
    with pytest.raises(LocalProtocolError):
        bench.upper.pass_time_limit(TimeLimit.IDLE, bench.now)
    assert (bench.told(), bench.leave(), bench.upper.state) == ([], b"", state)
