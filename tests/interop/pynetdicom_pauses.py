"""Makes pynetdicom's pause a pause, so that a busy machine fails no test for pynetdicom's sake.

In 3.0.4 the thread that waits for a response may find that the association's own thread is still
marked as paused, although it has just been let go; that thread then takes the response as a message
which nobody asked for. It takes two requests in a row, and processors that are kept busy.
"""

from __future__ import annotations

import threading
from typing import Any

PATIENCE = 20.0


class Checkpoint(threading.Event):
    """Lets go of a thread and takes its mark in one step, as seen by who calls `clear`."""

    def __init__(self, association: Any) -> None:
        super().__init__()
        self._association = association
        self._step = threading.Lock()
        self.reached = threading.Event()
        """Set when the association's thread has come here."""
        self.set()

    def clear(self) -> None:
        with self._step:
            super().clear()

    def wait(self, timeout: float | None = None) -> bool:
        self.reached.set()
        while True:
            while not super().wait(0.01):
                # A report that a further thread has dealt with takes the mark, too.
                self._association._is_paused = True
            with self._step:
                if self.is_set():
                    self._association._is_paused = False
                    return True


def steady(association: Any) -> Any:
    """An established association, which now pauses when it says so."""
    association._reactor_checkpoint = checkpoint = Checkpoint(association)
    assert checkpoint.reached.wait(PATIENCE)
    return association
