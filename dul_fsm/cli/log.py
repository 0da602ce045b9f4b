"""A log that never holds up who writes it.

Lines are written by a thread of their own, many at a time: waking it costs an association more than
the line does. When nobody reads the other end of the pipe, lines are dropped and counted; the
associations go on.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from types import TracebackType

MAX_LINES = 10_000
"""Lines that may wait to be written: about a megabyte."""

GATHERING = 0.05
"""Seconds in which lines gather before they are written; nobody who reads them sees that."""

MAX_AT_ONCE = 30
"""Lines in one write: what a pipe takes in one piece (PIPE_BUF), if they are not very long. So the
lines of several processes do not mix."""

PATIENCE = 1.0
"""Seconds for which the end of the program waits for lines to be written."""


class Log:
    """Lines to standard output; use it in a `with` block."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque()
        self._dropped = 0
        self._some = threading.Event()  # there are lines, or it is the end
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dul-fsm log", daemon=True)

    def line(self, text: str) -> None:
        """Have a line written soon, from any thread; it may be dropped."""
        if len(self._lines) >= MAX_LINES:
            self._dropped += 1
            return
        self._lines.append(text)
        if not self._some.is_set():
            self._some.set()

    def _run(self) -> None:
        descriptor = sys.stdout.fileno()
        try:
            while not self._ending.is_set():
                self._some.wait()
                self._ending.wait(GATHERING)
                self._some.clear()  # before they are taken: who comes later sets it again
                self._write(descriptor)
        except OSError:
            return  # nobody is there any more

    def _write(self, descriptor: int) -> None:
        while self._lines:
            lines = [self._lines.popleft() for _ in range(min(len(self._lines), MAX_AT_ONCE))]
            if self._dropped:
                lines.append(f"({self._dropped} lines dropped)")
                self._dropped = 0
            text = "".join(f"{line}\n" for line in lines)
            data = memoryview(text.encode(errors="backslashreplace"))
            # Not by `sys.stdout`: its lock, held by a write that nobody takes, would keep the
            # interpreter from ending.
            while data:
                data = data[os.write(descriptor, data) :]

    def __enter__(self) -> Log:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ending.set()
        self._some.set()
        self._thread.join(PATIENCE)
