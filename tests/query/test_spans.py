"""`query.spans`: dates and times are compared by their meaning."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dul_fsm.query.spans import moment_of, span_of

SECOND = timedelta(seconds=1)
TICK = timedelta(microseconds=1)


def test_a_date_is_a_day() -> None:
    span = moment_of("DA", "20200229")
    assert span == (datetime(2020, 2, 29), datetime(2020, 3, 1) - TICK)
    assert moment_of("DA", "2020.02.29") == span
    assert moment_of("DA", " 20200229 ") == span


@pytest.mark.parametrize(
    ("text", "seconds", "length"),
    [
        ("10", 36000, 3600 * SECOND),
        ("1030", 37800, 60 * SECOND),
        ("103005", 37805, SECOND),
        ("10:30:05", 37805, SECOND),
        ("103005.25", 37805.25, SECOND / 100),
        ("103005.123456", 37805.123456, TICK),
        ("103060", 37859, SECOND),
    ],
)
def test_a_time_is_as_long_as_what_it_does_not_say(
    text: str, seconds: float, length: timedelta
) -> None:
    span = moment_of("TM", text)
    assert span is not None
    assert span.first == datetime(2000, 1, 1) + timedelta(seconds=seconds)
    assert span.last - span.first + TICK == length


@pytest.mark.parametrize(
    ("text", "first", "after"),
    [
        ("2020", datetime(2020, 1, 1), datetime(2021, 1, 1)),
        ("202002", datetime(2020, 2, 1), datetime(2020, 3, 1)),
        ("20200228", datetime(2020, 2, 28), datetime(2020, 2, 29)),
        ("2020022810", datetime(2020, 2, 28, 10), datetime(2020, 2, 28, 11)),
        ("20200228103000.5", datetime(2020, 2, 28, 10, 30, 0, 500000), None),
        ("20200228103000+0200", datetime(2020, 2, 28, 8, 30), None),
        ("20200228103000-0330", datetime(2020, 2, 28, 14), None),
    ],
)
def test_a_date_time_is_in_utc(text: str, first: datetime, after: datetime | None) -> None:
    span = moment_of("DT", text)
    assert span is not None
    assert span.first == first
    if after is not None:
        assert span.last == after - TICK


@pytest.mark.parametrize(
    ("vr", "text"),
    [
        ("DA", "2020"),
        ("DA", "20200230"),
        ("DA", "00000101"),
        ("DA", "2020*"),
        ("DA", "\uff12\uff10\uff12\uff10\uff10\uff11\uff10\uff11"),
        ("TM", "24"),
        ("TM", "1"),
        ("TM", "103061"),
        ("TM", "1030.5"),
        ("DT", "202013"),
        ("DT", "00010101000000+0100"),
        ("DT", "x"),
        ("DA", ""),
    ],
)
def test_what_is_no_value_is_none(vr: str, text: str) -> None:
    assert moment_of(vr, text) is None


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("20200101-20200131", "20200101", "20200131"),
        ("20200101 - 20200131", "20200101", "20200131"),
        ("20200101-", "20200101", None),
        ("-20200131", None, "20200131"),
        ("- 20200131", None, "20200131"),
    ],
)
def test_a_range_is_from_the_first_to_the_last(
    text: str, low: str | None, high: str | None
) -> None:
    span = span_of("DA", text)
    assert span is not None
    first = moment_of("DA", low) if low else None
    last = moment_of("DA", high) if high else None
    assert span.first == (first.first if first else datetime.min)
    assert span.last == (last.last if last else datetime.max)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2020-2021", "2020", "2021"),
        ("2020-0500-2021", "2020-0500", "2021"),
        ("2020-2021-0500", "2020", "2021-0500"),
        ("2020-0500-2021-0500", "2020-0500", "2021-0500"),
        ("2020+0100-2021+0100", "2020+0100", "2021+0100"),
    ],
)
def test_an_offset_west_of_greenwich_is_not_the_hyphen_of_a_range(
    text: str, first: str, last: str
) -> None:
    span, low, high = span_of("DT", text), moment_of("DT", first), moment_of("DT", last)
    assert span is not None
    assert low is not None
    assert high is not None
    assert span == (low.first, high.last)


def test_an_open_range_may_have_an_offset() -> None:
    west = moment_of("DT", "2020-0500")
    assert west is not None
    assert span_of("DT", "2020-0500-") == (west.first, datetime.max)
    assert span_of("DT", "-2020-0500") == (datetime.min, west.last)


@pytest.mark.parametrize(
    ("vr", "text"),
    [("DA", "-"), ("DA", "2020-01-01"), ("DA", "x-20200101"), ("DT", "-"), ("DT", "a-b")],
)
def test_what_is_no_range_is_none(vr: str, text: str) -> None:
    assert span_of(vr, text) is None


@given(st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)), st.integers(4, 14))
def test_a_date_time_that_is_cut_short_covers_the_whole_one(moment: datetime, length: int) -> None:
    """A value with fewer parts is the span of all that begin with them."""
    text = moment.strftime("%Y%m%d%H%M%S.%f")
    cut = text[: length - length % 2]
    span = moment_of("DT", cut)
    assert span is not None
    assert span.first <= moment <= span.last


@given(st.sampled_from(["DA", "TM", "DT"]), st.text(alphabet="0123456789.-+: ", max_size=30))
def test_no_text_is_an_exception(vr: str, text: str) -> None:
    """Whatever a peer calls a date or a time, the answer is a span or None."""
    moment = moment_of(vr, text)
    assert moment is None or moment.first <= moment.last
    span_of(vr, text)
