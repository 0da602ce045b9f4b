"""What the clauses and the tests of transports are written with; no sockets, no pytest."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeAlias, TypeVar

from dul_fsm.transports import Transport
from dul_fsm.transports.base import Buffer

MakePair: TypeAlias = Callable[[], tuple[Transport, Transport]]
"""Opens a connection and returns its two ends."""

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds after which a test gives up. Never reached by a transport that works."""

SOON = 0.03
"""Seconds for a time-out that is meant to pass, and for a thread to get blocked. Where a thread
is late, the test still holds: it then proves a little less."""


class Task(Generic[T]):
    """A call in a thread of its own."""

    def __init__(self, call: Callable[..., T], *arguments: Any) -> None:
        self._call = call
        self._arguments = arguments
        self._result: list[T] = []
        self._error: BaseException | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._started.set()
        try:
            self._result.append(self._call(*self._arguments))
        except BaseException as error:
            self._error = error

    def blocked(self) -> Task[T]:
        """Give the call time to get blocked."""
        assert self._started.wait(PATIENCE)
        self._thread.join(SOON)
        return self

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def result(self) -> T:
        """What the call returned; raises what it raised."""
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            raise AssertionError("the call does not come back")
        if self._error is not None:
            raise self._error
        return self._result[0]


@contextmanager
def opened(make_pair: MakePair) -> Iterator[tuple[Transport, Transport]]:
    """A connection, closed in the end."""
    ends = make_pair()
    try:
        yield ends
    finally:
        for end in ends:
            end.close()


@contextmanager
def raises(*expected: type[BaseException]) -> Iterator[None]:
    """The block must raise one of `expected`."""
    try:
        yield
    except expected:
        return
    raise AssertionError(f"raises none of {[kind.__name__ for kind in expected]}")


def tells_of_the_close(receive: Callable[[], int]) -> None:
    """`receive` must end with 0, or with an error that is not a time-out."""
    try:
        count = receive()
    except TimeoutError:
        raise AssertionError("a time-out tells that the transport is still open") from None
    except OSError:
        return
    assert count == 0, count


def send_all(transport: Transport, data: Buffer, most: int | None = None) -> None:
    """Send `data`, offering at most `most` bytes at a time."""
    left = memoryview(data)
    while left:
        count = transport.send([left[:most]], PATIENCE)
        assert 0 < count <= len(left[:most]), count
        left = left[count:]


def receive_exactly(transport: Transport, length: int, most: int | None = None) -> bytes:
    """Receive `length` bytes, asking for at most `most` at a time."""
    data = bytearray(length)
    with memoryview(data) as left:
        while left:
            count = transport.receive_into(left[:most], PATIENCE)
            assert 0 < count <= len(left[:most]), count
            left = left[count:]
    return bytes(data)


def receive_to_end(transport: Transport) -> bytes:
    """Receive until the end of the stream."""
    data, piece = bytearray(), bytearray(1 << 16)
    while count := transport.receive_into(memoryview(piece), PATIENCE):
        data += piece[:count]
    return bytes(data)


def clog(transport: Transport, timeout: float = SOON) -> bytes:
    """Send until nothing more fits in `timeout`; return what was taken.

    It may not last: a kernel makes room as it sees fit, even when nobody receives.
    """
    taken, piece = bytearray(), random.Random(1).randbytes(1 << 16)
    while True:
        began = time.monotonic()
        try:
            count = transport.send([piece], timeout)
        except TimeoutError:
            assert time.monotonic() - began >= timeout * 0.9
            return bytes(taken)
        taken += piece[:count]


def send_for_ever(transport: Transport) -> None:
    """Send until it fails: with a peer that does not receive, it gets blocked."""
    while True:
        transport.send([bytes(1 << 16)], None)


def after(buffers: Sequence[Buffer], count: int) -> list[Buffer]:
    """What is left of `buffers` without the first `count` bytes."""
    left: list[Buffer] = []
    for buffer in buffers:
        left.append(memoryview(buffer)[count:])
        count = max(0, count - len(buffer))
    return left
