"""How a long command shows that it gets on: a bar on a terminal, a line for each step elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID


class Progress:
    """A number of steps, None if it is not known yet; use it in a `with` block."""

    def __init__(self, steps: int | None) -> None:
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        if sys.stdout.isatty():
            from rich.progress import BarColumn, MofNCompleteColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._task = self._bar.add_task("", total=steps)

    def step(self, text: str, *, worth_telling: bool) -> None:
        """One more step is done. With a bar, `text` is printed only if it is worth telling."""
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task)
        if self._bar is None or worth_telling:
            self.tell(text)

    def reach(self, done: int, steps: int | None) -> None:
        """So many steps are done, of so many if that is known; only a bar shows it."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=steps)

    def tell(self, text: str) -> None:
        """Print a line, above the bar."""
        if self._bar is None:
            # In one piece: `print` writes the end of a line by itself if the output is unbuffered.
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()
        else:
            # The text is a path and a peer's words: no markup, and no line of it is cut.
            self._bar.console.out(text, highlight=False)

    def error(self, text: str) -> None:
        """Print a line to standard error; above the bar, where there is one."""
        if self._bar is None or not sys.stderr.isatty():
            print(text, file=sys.stderr, flush=True)
        else:
            self.tell(text)

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
