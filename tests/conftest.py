"""What all tests share: the Hypothesis profile and the peers of the interop tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# A test run proves the same thing each time; `explore` is for looking further by hand.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=5000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# A shell without job control has what it starts in the background ignore Ctrl-C, and so would each
# program that is started here to be interrupted.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Not PATH: pynetdicom brings an echoscu and a storescu of its own, and so may a venv.
PEERS = Path("/usr/bin")

Peer = Callable[[str], str]
"""Path of a peer's program by its name; skips or fails the test when it is not installed."""


def _find(name: str) -> str:
    program = PEERS / name
    if os.access(program, os.X_OK):
        return str(program)
    missing = f"{program} is not installed (Debian packages: dcmtk, haproxy, orthanc, tshark)"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


@pytest.fixture(scope="session")
def peer() -> Peer:
    """`peer("storescp")`: the path of Debian's program."""
    return _find
