"""What all tests of transports share: nothing may be left behind."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest


def _descriptors() -> dict[str, str]:
    """What each descriptor of this process is. Linux; elsewhere there is nothing to look at."""
    found = {}
    try:
        numbers = os.listdir("/proc/self/fd")
    except FileNotFoundError:
        return {}
    for number in numbers:
        try:
            found[number] = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:
            continue  # the one that listed the directory
    return found


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Each test gives back its descriptors and ends its threads."""
    descriptors, threads = _descriptors(), set(threading.enumerate())
    yield
    assert _descriptors() == descriptors
    assert set(threading.enumerate()) == threads
