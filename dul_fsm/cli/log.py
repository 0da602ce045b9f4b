"""A log that never holds up who writes it.

Lines are written by a thread of their own. When nobody reads the other end of the pipe, lines are
dropped and counted; the associations go on.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from types import TracebackType

MAX_LINES = 10_000
"""Lines that may wait to be written: about a megabyte."""

PATIENCE = 1.0
"""Seconds for which the end of the program waits for lines to be written."""


class Log:
    """Lines to standard output; use it in a `with` block."""

    def __init__(self) -> None:
        self._lines: queue.Queue[str | None] = queue.Queue(MAX_LINES)
        self._dropped = 0
        self._thread = threading.Thread(target=self._write, name="dul-fsm log", daemon=True)

    def line(self, text: str) -> None:
        """Have a line written soon, from any thread; it may be dropped."""
        try:
            self._lines.put_nowait(text)
        except queue.Full:
            self._dropped += 1

    def _write(self) -> None:
        descriptor = sys.stdout.fileno()
        while True:
            text = self._lines.get()
            if text is None:
                return
            if self._dropped:
                text, self._dropped = f"{text}\n({self._dropped} lines dropped)", 0
            data = memoryview(f"{text}\n".encode(errors="backslashreplace"))
            try:
                # Not by `sys.stdout`: its lock, held by a write that nobody takes, would keep
                # the interpreter from ending.
                while data:
                    data = data[os.write(descriptor, data) :]
            except OSError:
                return  # nobody is there any more

    def __enter__(self) -> Log:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._lines.put(None, timeout=PATIENCE)
        except queue.Full:
            return
        self._thread.join(PATIENCE)
