"""ARTIM is started by actions; each limit of ours runs where its wait is and nowhere else."""

from __future__ import annotations

from itertools import product

import pytest

from dul_fsm.fsm import State
from dul_fsm.timers import TimeLimit, TimeLimits
from dul_fsm.upper_layer.deadlines import Deadlines
from tests.upper_layer.support import LIMITS

OURS = {
    State.Sta4: (TimeLimit.CONNECT, LIMITS.connect),
    State.Sta5: (TimeLimit.ASSOCIATION, LIMITS.association),
    State.Sta7: (TimeLimit.RELEASE, LIMITS.release),
    State.Sta10: (TimeLimit.RELEASE, LIMITS.release),
    State.Sta11: (TimeLimit.RELEASE, LIMITS.release),
}
ARTIM_STATES = (State.Sta2, State.Sta13)
PAIRS = [pair for pair in product(State, State) if pair[0] is not pair[1]]


def running(deadlines: Deadlines) -> set[TimeLimit]:
    return {limit for limit in TimeLimit if deadlines.running(limit)}


@pytest.mark.parametrize(("before", "after"), PAIRS, ids=[f"{b.name}-{a.name}" for b, a in PAIRS])
def test_a_new_state_stops_the_limit_of_the_old_one_and_starts_its_own(
    before: State, after: State
) -> None:
    deadlines = Deadlines(LIMITS)
    deadlines.state_changed(State.Sta1, before, 1.0)
    deadlines.pdu_arriving(before, 1.0)
    deadlines.writing(before, 1.0)
    deadlines.state_changed(before, after, 2.0)
    ours = {OURS[after][0]} if after in OURS else set()
    waits = {TimeLimit.PDU, TimeLimit.WRITE}
    alone = (*ARTIM_STATES, State.Sta1)
    keeps = set() if before in ARTIM_STATES or after in alone else waits
    assert running(deadlines) == ours | keeps
    limit = OURS[after][1] if after in OURS else None
    if not keeps:
        assert deadlines.deadline == (None if limit is None else 2.0 + limit)


@pytest.mark.parametrize("state", State, ids=lambda state: state.name)
def test_in_sta2_and_sta13_no_limit_of_ours_starts(state: State) -> None:
    deadlines = Deadlines(LIMITS)
    deadlines.pdu_arriving(state, 0.0)
    deadlines.writing(state, 0.0)
    started = {TimeLimit.PDU, TimeLimit.WRITE}
    assert running(deadlines) == (set() if state in ARTIM_STATES else started)


def test_the_time_of_a_pdu_counts_from_its_first_byte_and_that_of_a_write_from_the_last() -> None:
    deadlines = Deadlines(LIMITS)
    for now in (0.0, 5.0):
        deadlines.pdu_arriving(State.Sta6, now)
    assert deadlines.deadline == 17.0
    deadlines.pdu_arrived()
    for now in (0.0, 5.0):
        deadlines.writing(State.Sta6, now)
    assert deadlines.deadline == 24.0
    deadlines.written()
    assert deadlines.deadline is None


def test_artim_starts_starts_again_and_stops() -> None:
    deadlines = Deadlines(LIMITS)
    deadlines.stop_artim()
    deadlines.start_artim(1.0)
    assert deadlines.deadline == 8.0
    deadlines.start_artim(3.0)
    assert deadlines.deadline == 10.0
    assert deadlines.expire(9.9) is None
    assert deadlines.expire(10.0) is TimeLimit.ARTIM
    deadlines.start_artim(1.0)
    deadlines.stop_artim()
    assert deadlines.deadline is None
    deadlines.start_artim(1.0)
    deadlines.stop_all()
    assert deadlines.deadline is None


def test_a_limit_that_is_off_never_runs() -> None:
    off = TimeLimits(connect=None, association=None, pdu=None, write=None, release=None)
    deadlines = Deadlines(off)
    for state in State:
        deadlines.state_changed(State.Sta1, state, 0.0)
        deadlines.pdu_arriving(state, 0.0)
        deadlines.writing(state, 0.0)
        assert deadlines.deadline is None
