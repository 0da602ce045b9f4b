"""What options may hold, and what they hold when they are not given."""

from __future__ import annotations

from pathlib import Path

DEFAULT_CALLING = "DUL-FSM"
"""Our AE title."""

DEFAULT_CALLED = "ANY-SCP"
"""The AE title of a peer: what the field's tools call one that does not check it."""

DEFAULT_PORT = 11112
"""The port that IANA registers for DICOM, and that needs no privilege (PS3.8 §9.1.1)."""

DEFAULT_OUTPUT = Path("received")
"""Where received files go, in the current folder."""

DEFAULT_WINDOW = 8
"""Files under way at once with a peer that agrees to more than one (PS3.7 §D.3.3.3): by then
neither side waits for the other."""

INTERRUPTED = 130
"""Exit status after Ctrl-C: 128 and the number of SIGINT, as shells have it."""

_MAX_LENGTH = (1 << 32) - 1


def check_ae_title(value: str) -> str:
    """An AE title (PS3.5 §6.2), without the spaces around it. Raises ValueError."""
    title = value.strip(" ")
    if not 1 <= len(title) <= 16:
        raise ValueError("an AE title has 1 to 16 characters")
    if "\\" in title or not title.isascii() or not title.isprintable():
        raise ValueError("an AE title is printable ASCII without a backslash")
    return title


def check_maximum_length(value: int) -> int:
    """A maximum length (PS3.8 §D.1): 0, or room for 6 bytes before a fragment and 2 in it.

    Raises ValueError.
    """
    if value and not 8 <= value <= _MAX_LENGTH:
        raise ValueError(f"0 for no limit, or 8 to {_MAX_LENGTH}")
    return value


def check_seconds(value: float) -> float:
    """A time limit. Raises ValueError."""
    if not 0 < value < 1e9:
        raise ValueError("a positive number of seconds")
    return value


def check_workers(value: int) -> int:
    """A number of processes. Raises ValueError."""
    from dul_fsm.scp.workers import supported

    if value > 1 and not supported():
        raise ValueError("more than one needs a system that forks processes")
    return value
