"""What the clauses of `dul_fsm.testing.check_transport` are written with.

A transport under test may hang, lie and leak, so every wait has a limit, every call that may block
has a thread of its own, and every number that comes back is looked at.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from dul_fsm.transports.base import Buffer, Transport

MakePair: TypeAlias = Callable[[], tuple[Transport, Transport]]
"""Opens a connection and returns its two ends, ready to carry bytes."""

Break: TypeAlias = Callable[[Any], object]
"""Does something to the connection at one end, which `make_pair` has returned."""

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds after which a wait for something that must happen is given up."""

SOON = 0.03
"""Seconds for a time-out that is meant to pass, and for a thread to get blocked. Where a thread
is late, the check still holds: it then proves a little less."""

EARLY = 0.9
"""The part of a timeout that must have passed: clocks differ in their grain."""


class Broken(AssertionError):
    """What a transport does wrong, in words."""


def require(condition: object, text: str) -> None:
    """Raise `Broken` unless it holds. Not an assertion: `python -O` would strip it."""
    if not condition:
        raise Broken(text)


class Task(Generic[T]):
    """A call in a thread of its own."""

    def __init__(self, call: Callable[..., T], *arguments: Any) -> None:
        self._call = call
        self._arguments = arguments
        self._result: list[T] = []
        self._error: BaseException | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="transport task")
        self._thread.start()

    def _run(self) -> None:
        self._started.set()
        try:
            self._result.append(self._call(*self._arguments))
        except BaseException as error:
            self._error = error

    def blocked(self) -> Task[T]:
        """Give the call time to get blocked."""
        require(self._started.wait(PATIENCE), "this host starts no threads")
        self._thread.join(SOON)
        return self

    @property
    def done(self) -> bool:
        """Whether the call has come back."""
        return not self._thread.is_alive()

    def result(self, patience: float = PATIENCE) -> T:
        """What the call returned; raises what it raised."""
        self._thread.join(patience)
        if self._thread.is_alive():
            raise Broken("a call that must come back does not")
        if self._error is not None:
            raise self._error
        return self._result[0]


class Bench:
    """Where a transport is checked: it makes connections, and closes what it has made."""

    def __init__(
        self,
        make_pair: MakePair,
        half_close: Break | None = None,
        reset: Break | None = None,
    ) -> None:
        self._make_pair = make_pair
        self._half_close = half_close
        self._reset = reset
        self._made: list[Transport] = []

    @contextmanager
    def opened(self) -> Iterator[tuple[Transport, Transport]]:
        """A connection, closed in the end."""
        ends = self._make_pair()
        self._made += ends
        try:
            yield ends
        finally:
            for end in ends:
                end.close()

    def half_close(self, end: Transport) -> None:
        """End what `end` sends; it still receives."""
        require(self._half_close, "check_transport was not told how: half_close=...")
        if self._half_close is not None:
            self._half_close(end)

    def reset(self, end: Transport) -> None:
        """Break the connection at `end`, without an end of the stream."""
        require(self._reset, "check_transport was not told how: reset=...")
        if self._reset is not None:
            self._reset(end)

    def check_rest(self) -> None:
        """Look, after a clause was kept, at what no clause can see."""

    def abandon(self) -> None:
        """Close what is open, from another thread than the one that is stuck with it."""
        for end in self._made:
            # In a thread: what does not come back from a receive may not come back from this.
            Task(end.close).blocked()


Needs: TypeAlias = Literal["half_close", "reset"]


@dataclass(frozen=True, slots=True)
class Clause:
    """One thing that every transport does."""

    name: str
    """It, in words."""
    check: Callable[[Bench], None]
    """Raises unless the transport of the bench does it."""
    needs: Needs | None = None
    """What `check_transport` must have been told how to do."""

    def __str__(self) -> str:
        return self.name.replace(" ", "-")


class Clauses(list[Clause]):
    """Clauses, in the order in which their functions are written."""

    def add(self, needs: Needs | None = None) -> Callable[[Callable[[Bench], None]], None]:
        """A decorator: the function is one, and its name is the clause in words."""

        def append(check: Callable[[Bench], None]) -> None:
            self.append(Clause(check.__name__.replace("_", " "), check, needs))

        return append


@contextmanager
def opened(make_pair: MakePair) -> Iterator[tuple[Transport, Transport]]:
    """A connection, closed in the end."""
    with Bench(make_pair).opened() as ends:
        yield ends


@contextmanager
def raises(*expected: type[BaseException], when: str = "it") -> Iterator[None]:
    """The block must raise one of `expected`."""
    names = " or ".join(kind.__name__ for kind in expected)
    try:
        yield
    except expected:
        return
    except Exception as error:
        raise Broken(f"{when} raises {type(error).__name__}, not {names}: {error}") from error
    raise Broken(f"{when} does not raise {names}")


def tells_of_the_close(receive: Callable[[], int]) -> None:
    """`receive` must end with 0, or with an error that is not a time-out."""
    try:
        count = receive()
    except TimeoutError:
        raise Broken("a time-out tells that the transport is still open") from None
    except OSError:
        return
    require(count == 0, f"receive_into returned {count} bytes after close")


def is_gone(call: Callable[[], object], what: str) -> None:
    """`call` must raise an `OSError` that is not a time-out."""
    try:
        call()
    except TimeoutError:
        raise Broken(f"{what} raises TimeoutError: the connection is gone, not late") from None
    except OSError:
        return
    raise Broken(f"{what} does not raise OSError")


def counted(count: int, most: int, method: str) -> int:
    """The count that `send` or `receive_into` returned, when it moved something."""
    require(0 < count <= most, f"{method} returned {count}, with room for 1 to {most} bytes")
    return count


def arrived(received: bytes, sent: bytes) -> None:
    """`received` must be `sent`."""
    if received == sent:
        return
    at = next((i for i, (r, s) in enumerate(zip(received, sent, strict=False)) if r != s), None)
    where = f"{len(received)} bytes in place of {len(sent)}" if at is None else f"from byte {at} on"
    require(False, f"what arrived is not what was sent: {where}")


def send_all(transport: Transport, data: Buffer, most: int | None = None) -> None:
    """Send `data`, offering at most `most` bytes at a time."""
    left = memoryview(data)
    while left:
        piece = left[:most]
        left = left[counted(transport.send([piece], PATIENCE), len(piece), "send") :]


def receive_exactly(transport: Transport, length: int, most: int | None = None) -> bytes:
    """Receive `length` bytes, asking for at most `most` at a time."""
    data = bytearray(length)
    with memoryview(data) as left:
        while left:
            view = left[:most]
            count = transport.receive_into(view, PATIENCE)
            require(count, f"the stream ended, {len(left)} of {length} bytes early")
            left = left[counted(count, len(view), "receive_into") :]
    return bytes(data)


def receive_to_end(transport: Transport) -> bytes:
    """Receive until the end of the stream."""
    data, piece = bytearray(), bytearray(1 << 16)
    while count := transport.receive_into(memoryview(piece), PATIENCE):
        data += piece[: counted(count, len(piece), "receive_into")]
    return bytes(data)


def clog(transport: Transport, timeout: float = SOON) -> bytes:
    """Send until nothing more fits in `timeout`; return what was taken.

    It may not last: a kernel makes room as it sees fit, even when nobody receives.
    """
    # A prime: the last piece that fits, fits in part, whatever the size of the room.
    taken, piece = bytearray(), random.Random(1).randbytes(60_013)
    while True:
        began = time.monotonic()
        try:
            count = transport.send([piece], timeout)
        except TimeoutError:
            early = time.monotonic() - began < timeout * EARLY
            require(not early, "send raised TimeoutError before the timeout had passed")
            return bytes(taken)
        taken += piece[: counted(count, len(piece), "send")]


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


def descriptors() -> dict[str, str]:
    """What each descriptor of this process is. Empty where the system does not tell."""
    found = {}
    try:
        numbers = os.listdir("/proc/self/fd")
    except OSError:
        return {}
    for number in numbers:
        try:
            found[number] = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue  # the one that listed the directory
    return found
