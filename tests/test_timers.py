"""Deadlines pass once, in order, and not before their time."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from dul_fsm.timers import TimeLimit, TimeLimits, Timers

NAMES = [field.name for field in fields(TimeLimits)]


def test_there_is_a_number_of_seconds_for_each_time_limit() -> None:
    assert [limit.name.lower() for limit in TimeLimit] == NAMES


def test_by_default_artim_is_30_seconds_and_every_limit_is_on() -> None:
    limits = TimeLimits()
    assert limits.artim == 30.0
    assert all(getattr(limits, name) > 0 for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0, 0.0, -1, -0.5, float("nan"), "30", (1,)])
def test_a_limit_that_is_not_positive_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"time limit '{name}' must be a positive number"):
        TimeLimits(**{name: value})


@pytest.mark.parametrize("name", NAMES)
def test_every_limit_but_artim_may_be_off(name: str) -> None:
    off: Any = {name: None}
    if name == "artim":
        with pytest.raises(ValueError, match=r"seconds, not None"):
            TimeLimits(**off)
    else:
        assert getattr(TimeLimits(**off), name) is None


@pytest.mark.parametrize("name", NAMES)
def test_any_positive_number_is_a_limit(name: str) -> None:
    for value in (1, 0.001, 1e9):
        chosen: Any = {name: value}
        assert getattr(TimeLimits(**chosen), name) == value


def test_limits_are_frozen_and_given_by_name() -> None:
    limits: Any = TimeLimits()
    with pytest.raises(AttributeError):
        limits.artim = 1.0
    positional: Any = TimeLimits
    with pytest.raises(TypeError):
        positional(1.0)


def test_without_a_timer_there_is_no_deadline() -> None:
    timers = Timers()
    assert timers.deadline is None
    assert timers.expire(1e12) is None
    timers.stop(TimeLimit.PDU)
    timers.stop_all()


@pytest.mark.parametrize("limit", TimeLimit, ids=lambda limit: limit.name)
def test_a_timer_passes_exactly_at_its_deadline_and_once(limit: TimeLimit) -> None:
    timers = Timers()
    timers.start(limit, 100.0, 5.0)
    assert timers.running(limit)
    assert timers.deadline == 105.0
    assert timers.expire(104.999) is None
    assert timers.expire(105.0) is limit
    assert not timers.running(limit)
    assert timers.expire(1e12) is None


def test_starting_again_moves_the_deadline() -> None:
    timers = Timers()
    timers.start(TimeLimit.PDU, 0.0, 10.0)
    timers.start(TimeLimit.PDU, 5.0, 10.0)
    assert timers.deadline == 15.0
    assert timers.expire(10.0) is None


def test_starting_without_a_limit_stops() -> None:
    timers = Timers()
    timers.start(TimeLimit.PDU, 0.0, None)
    assert not timers.running(TimeLimit.PDU)
    timers.start(TimeLimit.PDU, 0.0, 10.0)
    timers.start(TimeLimit.PDU, 0.0, None)
    assert timers.deadline is None


def test_timers_are_independent_and_pass_in_the_order_of_their_deadlines() -> None:
    timers = Timers()
    timers.start(TimeLimit.IDLE, 0.0, 3.0)
    timers.start(TimeLimit.ARTIM, 0.0, 1.0)
    timers.start(TimeLimit.WRITE, 0.0, 2.0)
    timers.start(TimeLimit.PDU, 0.0, 9.0)
    timers.stop(TimeLimit.WRITE)
    assert timers.deadline == 1.0
    assert [timers.expire(5.0) for _ in range(3)] == [TimeLimit.ARTIM, TimeLimit.IDLE, None]
    assert timers.deadline == 9.0
    timers.stop_all()
    assert timers.deadline is None
    assert not timers.running(TimeLimit.PDU)


def test_each_limit_of_ours_says_what_was_waited_for() -> None:
    texts = {limit.value for limit in TimeLimit if limit is not TimeLimit.ARTIM}
    assert len(texts) == 7
    assert all(text.endswith("in time") for text in texts)
