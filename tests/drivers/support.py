"""What the tests with threads share: patience, a handler that tells, and a check for leaks."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dul_fsm.association import Aborted, Message, Released, Sink
from dul_fsm.pdu import AAssociateRQ
from dul_fsm.services.handler import Accept, Handler, Matches, Reject
from dul_fsm.services.sop_classes import STUDY_ROOT_FIND, VERIFICATION, choose_any

PATIENCE = 30.0
"""Seconds after which a test gives up on another thread; it takes milliseconds."""

CT = "1.2.840.10008.5.1.4.1.1.2"
LITTLE = "1.2.840.10008.1.2.1"
CONTEXTS = (VERIFICATION, (CT, [LITTLE]), STUDY_ROOT_FIND)


class Digest:
    """A sink that only counts, and adds up what it is given."""

    def __init__(self) -> None:
        self.length = 0
        self.total = 0
        self.discarded = 0

    def write(self, fragment: memoryview, /) -> None:
        self.length += len(fragment)
        self.total += sum(fragment[:: max(1, len(fragment) // 16)])

    def discard(self) -> None:
        self.discarded += 1


class SCP(Handler):
    """Accepts everything, answers 0000H, and tells what happens to a queue."""

    choose = staticmethod(choose_any(lambda uid: True))

    def __init__(self) -> None:
        self.told: queue.Queue[Any] = queue.Queue()
        self.sinks: list[Digest] = []
        self.store: Callable[[Message], int] = lambda message: 0
        self.find: Callable[[Message], int | Matches] = lambda message: 0
        self.associate: Callable[[AAssociateRQ], Accept | Reject] = lambda request: Accept()
        self.count = 0

    def associate_requested(self, request: AAssociateRQ) -> Accept | Reject:
        return self.associate(request)

    def open_sink(self, message: Message) -> Sink:
        if message.context.abstract_syntax != CT:
            return super().open_sink(message)
        self.told.put("open")
        self.sinks.append(Digest())
        return self.sinks[-1]

    def c_echo_requested(self, message: Message) -> int:
        self.count += 1
        return 0xB000 + self.count

    def c_store_requested(self, message: Message) -> int:
        return self.store(message)

    def c_find_requested(self, message: Message) -> int | Matches:
        return self.find(message)

    def released(self, event: Released) -> None:
        self.told.put(event)

    def aborted(self, event: Aborted) -> None:
        self.told.put(event)

    def closed(self) -> None:
        self.told.put("closed")

    def wait_for(self, wanted: Callable[[Any], bool]) -> Any:
        """The next thing told that is wanted."""
        by = time.monotonic() + PATIENCE
        while True:
            told = self.told.get(timeout=max(0.01, by - time.monotonic()))
            if wanted(told):
                return told

    def end(self) -> Released | Aborted:
        """How the association ended, once it has."""
        told: Released | Aborted = self.wait_for(lambda t: isinstance(t, Released | Aborted))
        return told


def eventually(condition: Callable[[], object]) -> None:
    """Wait until another thread made it so."""
    by = time.monotonic() + PATIENCE
    event = threading.Event()
    while not condition():
        assert time.monotonic() < by, "it did not come to pass"
        event.wait(0.002)


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@contextmanager
def nothing_left() -> Iterator[None]:
    """No thread and no descriptor is left of what happens inside."""
    threads, descriptors = set(threading.enumerate()), _descriptors()
    yield
    eventually(lambda: not set(threading.enumerate()) - threads)
    eventually(lambda: _descriptors() <= descriptors)


class Background:
    """A call in another thread, and what became of it."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.result: object = None
        self.error: BaseException | None = None
        self._call = call
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.result = self._call()
        except BaseException as error:
            self.error = error

    def join(self) -> Background:
        """Wait until it is done."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "it is stuck"
        return self
