"""Fixtures of the interop tests."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.interop.programs import Listen

# They look into /proc, set limits on other processes, and call programs of Debian's.
collect_ignore_glob = [] if sys.platform == "linux" else ["test_*.py"]

StartListen: TypeAlias = Callable[..., Listen]
"""`listen("--artim", 1)`: a running `dul-fsm listen` with these options."""


@pytest.fixture
def listen(tmp_path: Path) -> Iterator[StartListen]:
    """Starts `dul-fsm listen`; at the end of the test each must exit with status 0."""
    with ExitStack() as stack:

        def start(*options: object) -> Listen:
            number = len(list(tmp_path.glob("listen-*"))) + 1
            return stack.enter_context(Listen(tmp_path / f"listen-{number}", *options))

        yield start
