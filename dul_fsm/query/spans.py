"""Dates and times, and ranges of them, by their meaning (PS3.4 §C.2.2.2.1.3 and §C.2.2.2.5).

A value is a span of time: `1030` in a TM is 10:30:00 to 10:30:59.999999. A range is from the
beginning of its first value to the end of its second, and either may be left open. A stored value
matches if it begins within the span of the key; it has one point only, however little it says.

Chosen, where the standard leaves it to us: a DT without an offset from UTC is UTC, as in the
standard's own example; a second of 60 is the one of 59. `-` is a range, but the four digits after
it may be an offset where that leaves a range: `20200101-0500-` begins in the zone -0500.
The old notations `2020.01.31` and `10:30:00` (PS3.5 §6.2) are understood.

Not here: DA and TM combined into one (extended negotiation, §C.2.2.2.5.4), time zones of DA and TM.
"""

from __future__ import annotations

import calendar
import re
from datetime import MAXYEAR, datetime, timedelta
from typing import NamedTuple

DATES_AND_TIMES = frozenset(("DA", "DT", "TM"))

NOTATIONS = {"DA": "YYYYMMDD", "TM": "HHMMSS", "DT": "YYYYMMDDHHMMSS"}
"""What a value of the VR looks like."""

_DA = re.compile(r"(\d{4})(\d{2})(\d{2})|(\d{4})\.(\d{2})\.(\d{2})", re.ASCII)
_TM = re.compile(r"(\d{2})(?::?(\d{2})(?::?(\d{2})(?:\.(\d{1,6}))?)?)?", re.ASCII)
_DT = re.compile(
    r"(\d{4})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:\.(\d{1,6}))?)?)?)?)?)?"
    r"(?:([+-])(0\d|1[0-4])([0-5]\d))?",
    re.ASCII,
)
# PS3.5 §6.2: offsets are -1200 to +1400, so that a year is none.
_MOMENT = r"\d{4,14}(?:\.\d{1,6})?(?:[+-](?:0\d|1[0-4])[0-5]\d)?"
_DT_RANGE = re.compile(rf"({_MOMENT})?\s*-\s*({_MOMENT})?", re.ASCII)
_ANY_RANGE = re.compile(r"([^-]*)-([^-]*)")

_TICK = timedelta(microseconds=1)
_FIRST, _LAST = datetime.min, datetime.max
_ANY_DAY = (2000, 1, 1)
"""The day that a TM is put on."""


class Span(NamedTuple):
    """From the first to the last microsecond, both included; UTC."""

    first: datetime
    last: datetime


def moment_of(vr: str, text: str) -> Span | None:
    """The span of a single value of DA, DT or TM; None if it is not one."""
    text = text.strip()
    try:
        if vr == "DA":
            return _date(text)
        return _time(text) if vr == "TM" else _date_time(text)
    except (ValueError, OverflowError):
        return None


def span_of(vr: str, text: str) -> Span | None:
    """The span of a key's value: a single value or a range; None if it is neither."""
    text = text.strip()
    if "-" not in text:
        return moment_of(vr, text)
    parts = (_DT_RANGE if vr == "DT" else _ANY_RANGE).fullmatch(text)
    if parts is None:
        return None
    low, high = (parts[1] or "").strip(), (parts[2] or "").strip()
    if not low and not high:
        return None
    first = moment_of(vr, low) if low else Span(_FIRST, _FIRST)
    last = moment_of(vr, high) if high else Span(_LAST, _LAST)
    return None if first is None or last is None else Span(first.first, last.last)


def _date(text: str) -> Span | None:
    match = _DA.fullmatch(text)
    if match is None:
        return None
    year, month, day = (int(part) for part in match.groups() if part)
    first = datetime(year, month, day)
    return Span(first, first + timedelta(days=1) - _TICK if year < MAXYEAR else _LAST)


def _time(text: str) -> Span | None:
    match = _TM.fullmatch(text)
    return None if match is None else _within(_ANY_DAY, *match.groups())


def _date_time(text: str) -> Span | None:
    match = _DT.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, sign, hours, minutes = match.groups()
    low, high = int(month or 1), int(month or 12)
    first = _within((int(year), low, int(day or 1)), hour or "00", minute, second, fraction)
    until = int(day or calendar.monthrange(int(year), high)[1])
    last = _within((int(year), high, until), hour, minute, second, fraction)
    if sign:
        offset = timedelta(hours=int(hours), minutes=int(minutes)) * (1 if sign == "+" else -1)
        return Span(first.first - offset, last.last - offset)
    return Span(first.first, last.last)


def _within(
    day: tuple[int, int, int],
    hour: str | None,
    minute: str | None,
    second: str | None,
    fraction: str | None,
) -> Span:
    """The span of a day that is as long as the last part that is there."""
    parts = (hour, minute, "59" if second == "60" else second)
    low = [int(part or 0) for part in parts]
    high = [int(part or most) for part, most in zip(parts, (23, 59, 59), strict=True)]
    digits = fraction or ""
    midnight = datetime(*day)
    return Span(
        midnight.replace(
            hour=low[0], minute=low[1], second=low[2], microsecond=int(digits.ljust(6, "0"))
        ),
        midnight.replace(
            hour=high[0], minute=high[1], second=high[2], microsecond=int(digits.ljust(6, "9"))
        ),
    )
