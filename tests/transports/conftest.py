"""What all tests of transports share: nothing may be left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from dul_fsm.testing.transport_tools import descriptors
from tests.certificates import Certificates, make

LEFT_PATIENCE = 10.0
"""Seconds within which a thread must be gone that sends the rest of a closed connection."""


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Files of certificates."""
    return make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Each test gives back its descriptors and ends its threads."""
    before, threads = set(descriptors()), set(threading.enumerate())
    yield
    by = time.monotonic() + LEFT_PATIENCE
    while not set(threading.enumerate()) <= threads and time.monotonic() < by:
        threading.Event().wait(0.005)
    # Less may be left than before: transports that are broken on purpose end when they like.
    assert set(threading.enumerate()) <= threads
    assert set(descriptors()) <= before
