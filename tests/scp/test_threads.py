"""Threads that are kept: each thing runs in one of its own, and none is left at the end."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterator
from queue import Empty, SimpleQueue

import pytest

from dul_fsm.scp import threads as module
from dul_fsm.scp.threads import Threads
from tests.drivers.support import PATIENCE, eventually, nothing_left


@pytest.fixture
def threads() -> Iterator[Threads]:
    with nothing_left():
        made = Threads("kept")
        yield made
        made.close(time.monotonic() + PATIENCE)


def idle(threads: Threads) -> int:
    return len(threads._idle)


def runs_in(threads: Threads) -> threading.Thread:
    """What a work finds out: in which thread it runs."""
    told: SimpleQueue[threading.Thread] = SimpleQueue()
    threads.run(lambda: told.put(threading.current_thread()))
    return told.get(timeout=PATIENCE)


def test_one_thing_after_the_other_runs_in_the_same_thread(threads: Threads) -> None:
    first = runs_in(threads)
    for _ in range(100):
        eventually(lambda: idle(threads) == 1)
        assert runs_in(threads) is first
    assert (first.name, first.daemon) == ("kept", True)


def test_what_runs_at_once_runs_in_a_thread_each_and_all_of_them_are_kept(
    threads: Threads,
) -> None:
    together = threading.Barrier(9)
    for _ in range(2):
        for _ in range(8):
            threads.run(together.wait)
        together.wait(PATIENCE)
        eventually(lambda: idle(threads) == 8)


def test_a_thread_without_work_ends(threads: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 0.01)
    first = runs_in(threads)
    first.join(PATIENCE)
    assert not first.is_alive()
    assert idle(threads) == 0
    assert runs_in(threads) is not first


def test_work_that_comes_when_a_thread_is_about_to_end_is_done(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, done = threading.Event(), threading.Event()

    class Late(SimpleQueue):  # type: ignore[type-arg]
        """Its owner gives up waiting for the second work just when that comes."""

        waits = puts = 0

        def get(self, block: bool = True, timeout: float | None = None) -> object:
            self.waits += timeout is not None
            if timeout is None or self.waits != 2:
                return super().get(timeout=PATIENCE)
            assert chosen.wait(PATIENCE)
            raise Empty

        def put(self, item: object, *_: object) -> None:
            self.puts += 1
            if self.puts == 2:
                chosen.set()
            super().put(item)

    monkeypatch.setattr(module, "SimpleQueue", Late)
    runs_in(threads)
    eventually(lambda: idle(threads) == 1)
    threads.run(done.set)
    assert done.wait(PATIENCE)


def test_nothing_of_what_it_has_run_is_kept(threads: Threads) -> None:
    class Work:
        def __call__(self) -> None:
            pass

    work = Work()
    gone = weakref.ref(work)
    threads.run(work)
    del work
    eventually(lambda: gone() is None)


def test_at_the_end_what_runs_goes_on_and_no_thread_is_kept() -> None:
    with nothing_left():
        threads = Threads("kept")
        leave, left = threading.Event(), threading.Event()
        runs_in(threads)
        eventually(lambda: idle(threads) == 1)
        threads.run(lambda: leave.wait(PATIENCE))
        runs_in(threads)
        eventually(lambda: idle(threads) == 1)

        def work() -> None:
            leave.wait(PATIENCE)
            left.set()

        threads.run(work)
        began = time.monotonic()
        threads.close(began + 0.01)
        assert time.monotonic() - began < PATIENCE
        leave.set()
        assert left.wait(PATIENCE)


def test_who_ends_it_waits_for_what_runs() -> None:
    threads = Threads("kept")
    before = set(threading.enumerate())
    for _ in range(5):
        threads.run(lambda: time.sleep(0.01))
    threads.close(time.monotonic() + PATIENCE)
    assert set(threading.enumerate()) <= before


def test_a_thread_that_cannot_be_started_is_an_error(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", cannot)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        threads.run(lambda: None)
