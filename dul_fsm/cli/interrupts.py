"""Ctrl-C between two steps of a command, and not in the middle of one."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType


class Interrupts:
    """In a `with` block Ctrl-C raises `KeyboardInterrupt` as ever, but waits for what is done
    `whole`. In the main thread only, as are signals."""

    def __init__(self) -> None:
        self._whole = False
        self._waits = False

    @contextmanager
    def whole(self) -> Iterator[None]:
        """What is done in this block is done to its end; then comes what was held back."""
        self._whole = True
        try:
            yield
        finally:
            self._whole = False
        if self._waits:
            self._waits = False
            raise KeyboardInterrupt

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        if not self._whole:
            raise KeyboardInterrupt
        self._waits = True

    def __enter__(self) -> Interrupts:
        self._before = signal.getsignal(signal.SIGINT)
        if self._before is signal.default_int_handler:  # else somebody has it ignored
            signal.signal(signal.SIGINT, self._interrupted)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        signal.signal(signal.SIGINT, self._before)
