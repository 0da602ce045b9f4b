"""Deadlines, and waiting for a descriptor until one, for the blocking transports (`poll`).

Not here: what is read or written when it is ready (`tcp`).
"""

from __future__ import annotations

import select
import threading
import time

LONGEST_POLL = 86400.0
"""Seconds in one `poll`, which counts milliseconds in 32 bits; a longer wait polls again."""


def deadline_in(seconds: float | None) -> float | None:
    """The time, on the monotonic clock, when so many seconds have passed; None for never."""
    return None if seconds is None else time.monotonic() + seconds


def seconds_to(deadline: float | None) -> float | None:
    """Seconds until then, as locks and transports take them; None for ever."""
    if deadline is None:
        return None
    return min(max(0.0, deadline - time.monotonic()), threading.TIMEOUT_MAX)


def share_of(deadline: float | None, parts: int) -> float | None:
    """The end of the first of `parts` equal parts of the time until `deadline`."""
    if deadline is None:
        return None
    now = time.monotonic()
    return now + (deadline - now) / parts


def wait_for(poller: select.poll, deadline: float | None) -> bool:
    """Wait for the one descriptor of `poller`; False when `deadline` passes first."""
    if deadline is None:
        poller.poll()
        return True
    while (remaining := deadline - time.monotonic()) > 0:
        if poller.poll(min(remaining, LONGEST_POLL) * 1000):
            return True
    return False
