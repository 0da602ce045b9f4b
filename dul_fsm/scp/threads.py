"""Threads that are kept for a while, for the next thing to run.

To start one takes longer than to accept an association, and who starts it waits until it runs:
where several peers call at once, that is half of what a server could do.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from typing import TypeAlias

KEPT = 0.2
"""Seconds for which a thread without work is kept: peers that are busy call again at once."""

Work: TypeAlias = Callable[[], object]


class Threads:
    """Runs each work in a thread of its own: one that has nothing to do, or a new one.

    They are daemons. What a work raises is its own business: it must not.
    """

    def __init__(self, name: str) -> None:
        """`name`: of every thread."""
        self._name = name
        self._lock = threading.Lock()
        self._closed = False
        self._threads: set[threading.Thread] = set()
        self._idle: list[SimpleQueue[Work | None]] = []
        """Where each of those waits that have nothing to do; the last one is still in the cache."""

    def run(self, work: Work) -> None:
        """Run it, in another thread. Raises `RuntimeError` if there are no more to be had."""
        with self._lock:
            waiting = self._idle.pop() if self._idle else None
        if waiting is not None:
            waiting.put(work)
            return
        # Not as an argument: a thread keeps those to its end.
        waiting = SimpleQueue()
        waiting.put(work)
        target = partial(self._work, waiting)
        thread = threading.Thread(target=target, name=self._name, daemon=True)
        with self._lock:  # `close` meets only threads that run
            thread.start()
            self._threads.add(thread)

    def close(self, by: float) -> None:
        """Keep none any longer, and wait until then for what they run; that goes on to its end.

        May be called again, and by what runs in one of them, which is not waited for.
        """
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            threads = self._threads - {threading.current_thread()}
        for waiting in idle:
            waiting.put(None)
        for thread in threads:
            thread.join(max(0.0, by - time.monotonic()))

    def _work(self, mine: SimpleQueue[Work | None]) -> None:
        try:
            while (work := self._next(mine)) is not None:
                work()
                del work  # nothing of it is kept meanwhile
                with self._lock:
                    if self._closed:
                        return
                    self._idle.append(mine)
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())

    def _next(self, mine: SimpleQueue[Work | None]) -> Work | None:
        try:
            return mine.get(timeout=KEPT)
        except Empty:
            with self._lock:
                if mine in self._idle:
                    self._idle.remove(mine)
                    return None
            return mine.get()  # somebody has just chosen this one
