"""Several processes that serve on one port, and one that looks after them.

    def work(ready: Callable[[], None]) -> int:
        with serve(StorageHandler, TCP("", 11112, reuse_port=True)) as server:
            ready()
            ...wait for SIGTERM...
        return 0

    supervise(work, 4)

Each worker listens on the port by itself (SO_REUSEPORT), and the system gives each connection to
one of them. An association lives in one process, and Python's lock is that process's own.

Rules:

- A worker that dies is replaced; one that cannot even begin ends everything.
- SIGINT and SIGTERM stop the workers by SIGTERM; who does not end in time is killed.
- Workers end when their supervisor is gone, however it went.

Not here: what a worker does. Systems without `fork` (Windows) have no workers.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

Work: TypeAlias = Callable[[Callable[[], None]], int]
"""What a worker does, in a process of its own: it is given what to call once it listens, and
returns its exit status after a SIGTERM. SIGINT and SIGTERM are blocked in it: `signal.sigwait`."""

STOP_PATIENCE = 10.0
"""Seconds that workers have to end: a server aborts what is open and waits for its handlers."""

RESTART_PAUSE = 1.0
"""Seconds before a worker that died is replaced: one that dies at once must not burn a core."""

_ENDS = frozenset((signal.SIGINT, signal.SIGTERM))


def supported() -> bool:
    """Whether this system can have workers."""
    return hasattr(os, "fork") and sys.platform != "win32"


@dataclass(slots=True, eq=False)
class _Worker:
    pid: int
    ready: int  # descriptor: a byte comes when it listens, the end if it will not


def supervise(
    work: Work,
    count: int,
    *,
    started: Callable[[], None] = lambda: None,
    tell: Callable[[str], None] = lambda text: None,
) -> int:
    """Run `count` workers until SIGINT or SIGTERM comes; the exit status.

    Call it in the main thread of a process that has no other. `started` is called when all of them
    listen, `tell` with what happens to them. 1 if a worker could not begin, which has said why, or
    had to be killed; else 0.
    """
    with _blocked({*_ENDS, signal.SIGCHLD}):
        alive, held = os.pipe()  # the workers read its end: it comes when we are gone
        workers: list[_Worker] = []
        try:
            for _ in range(count):
                workers.append(_begin(work, alive, held))
            failed = not all(_has_begun(worker) for worker in workers)
            if not failed:
                started()
                _watch(work, workers, alive, held, tell)
        finally:
            killed = _stop(workers)
            os.close(alive)
            os.close(held)
        return 1 if failed or killed else 0


@contextmanager
def _blocked(signals: set[signal.Signals]) -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# The supervisor ----------------------------------------------------------------------------------


def _begin(work: Work, alive: int, held: int) -> _Worker:
    sys.stdout.flush()  # or a worker would write it once more
    sys.stderr.flush()
    ready, says = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ready)
        os.close(held)
        _work(work, says, alive)
    os.close(says)
    return _Worker(pid, ready)


def _has_begun(worker: _Worker) -> bool:
    """Wait until a worker listens, or is known not to."""
    try:
        return bool(os.read(worker.ready, 1))
    finally:
        os.close(worker.ready)
        worker.ready = -1


def _watch(
    work: Work, workers: list[_Worker], alive: int, held: int, tell: Callable[[str], None]
) -> None:
    """Replace those that die, until we are told to stop."""
    while signal.sigwait({*_ENDS, signal.SIGCHLD}) is signal.SIGCHLD:
        ended = [worker for worker in workers if _has_ended(worker)]
        workers[:] = [worker for worker in workers if worker not in ended]
        for worker in ended:
            tell(f"worker {worker.pid} ended, another one begins")
            if signal.sigtimedwait(_ENDS, RESTART_PAUSE) is not None:
                return
            replacement = _begin(work, alive, held)
            workers.append(replacement)
            if not _has_begun(replacement):
                tell(f"worker {replacement.pid} could not begin")


def _has_ended(worker: _Worker) -> bool:
    return os.waitpid(worker.pid, os.WNOHANG)[0] != 0


def _stop(workers: list[_Worker]) -> bool:
    """End all of them; whether one had to be killed."""
    running = list(workers)
    for worker in running:
        if worker.ready >= 0:
            os.close(worker.ready)
        with suppress(ProcessLookupError):
            os.kill(worker.pid, signal.SIGTERM)
    by = time.monotonic() + STOP_PATIENCE
    while running and (left := by - time.monotonic()) > 0:
        running = [worker for worker in running if not _has_ended(worker)]
        if running:
            signal.sigtimedwait({signal.SIGCHLD}, min(left, 0.1))
    for worker in running:
        os.kill(worker.pid, signal.SIGKILL)
        os.waitpid(worker.pid, 0)
    return bool(running)


# A worker ----------------------------------------------------------------------------------------


def _work(work: Work, says: int, alive: int) -> NoReturn:
    """What is left of a process that was forked: it never returns."""
    status = 1
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        threading.Thread(target=_end_with, args=(alive,), daemon=True).start()
        status = work(lambda: (os.write(says, b"."), None)[1])
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _end_with(alive: int) -> None:
    """Stop this worker when its supervisor is gone: then nobody holds the other end any more."""
    os.read(alive, 1)
    os.kill(os.getpid(), signal.SIGTERM)
