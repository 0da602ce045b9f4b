"""Fail the N-th thing of a kind: wrappers that count, and a fuse that blows once.

    for fuse in fuses("send"):
        ...  # run the whole scenario with everything wrapped; it must end well

A fuse names a point (`POINTS`) and a number; the N-th time that anything wrapped with it comes to
that point, it fails there as it would in the field, and never again. `fuses` gives N = 1, 2, ...
until one does not blow any more: then every such moment of the scenario has failed once.

Not here: scenarios, and what must hold after them (`tests/torture`).
"""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from dul_fsm.association import Message, Sink
from dul_fsm.services.handler import Handler
from dul_fsm.transports import Connector, Listener, Transport
from dul_fsm.upper_layer import Buffer

POINTS: Final = (
    "open",
    "send",
    "receive",
    "receive time-out",
    "close",
    "sink write",
    "callback",
    "clock",
)
"""Where something may fail: a connection that does not open or is not accepted; one that breaks
while sending or receiving; a wait that ends early; a close that reports an error; a disk that is
full; a handler that raises; and a clock that jumps ahead, so that every time limit that runs has
passed."""

MOST: Final = 10_000
"""How often a scenario comes to one point at most; beyond, it does not end."""

JUMP: Final = 1e6
"""Seconds by which a clock jumps: longer than any time limit."""


class Blown(Exception):
    """What a handler raises at a callback that fails."""


class Fuse:
    """Blows at the N-th time at one point; from any thread."""

    def __init__(self, point: str, nth: int) -> None:
        """`point`: one of `POINTS`. `nth`: 1 or more; 0 never blows."""
        if point not in POINTS:
            raise ValueError(f"{point!r} is none of {', '.join(POINTS)}")
        self.point = point
        self.nth = nth
        self.count = 0
        """How often the point was come to."""
        self.blown = False
        """Whether it has blown."""
        self._armed = True
        self._lock = threading.Lock()

    def blows(self, point: str) -> bool:
        """Something came to `point`: whether it shall fail there, now."""
        if point != self.point:
            return False
        with self._lock:
            self.count += 1
            blows = self._armed and self.count == self.nth
            self.blown |= blows
        return blows

    def disarm(self) -> None:
        """From here on it does not blow."""
        with self._lock:
            self._armed = False

    def __repr__(self) -> str:
        return f"Fuse({self.point!r}, {self.nth})"


def fuses(point: str) -> Iterator[Fuse]:
    """Fuses for the first time at a point, the second, ... until one has not blown.

    Raises `RuntimeError` if that does not come.
    """
    for nth in range(1, MOST + 1):
        fuse = Fuse(point, nth)
        yield fuse
        if not fuse.blown:
            return
    raise RuntimeError(f"{point!r} was come to more than {MOST} times")


class TorturedTransport:
    """A transport that fails where its fuse says; a broken one stays broken."""

    def __init__(self, transport: Transport, fuse: Fuse) -> None:
        self.closed = False
        """Whether it was closed."""
        self._transport = transport
        self._fuse = fuse
        self._broken = False

    def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        """See `Transport.send`."""
        if self._broken or self._fuse.blows("send"):
            self._broken = True
            raise BrokenPipeError(errno.EPIPE, "the fuse has blown")
        return self._transport.send(buffers, timeout)

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        """See `Transport.receive_into`."""
        if self._fuse.blows("receive time-out"):
            raise TimeoutError(errno.ETIMEDOUT, "the fuse has blown")
        if self._broken or self._fuse.blows("receive"):
            self._broken = True
            raise ConnectionResetError(errno.ECONNRESET, "the fuse has blown")
        return self._transport.receive_into(view, timeout)

    def close(self) -> None:
        """See `Transport.close`; but one that fails raises, as only a bad transport would."""
        first, self.closed = not self.closed, True
        self._transport.close()
        if first and self._fuse.blows("close"):
            raise OSError(errno.EIO, "the fuse has blown")


class TorturedConnector:
    """An endpoint of which connections fail; it remembers them all."""

    def __init__(self, connector: Connector, fuse: Fuse) -> None:
        self.transports: list[TorturedTransport] = []
        """All that were opened or accepted here."""
        self._connector = connector
        self._fuse = fuse

    def connect(self, timeout: float | None) -> TorturedTransport:
        """See `Connector.connect`."""
        if self._fuse.blows("open"):
            raise ConnectionRefusedError(errno.ECONNREFUSED, "the fuse has blown")
        return self._wrap(self._connector.connect(timeout))

    def listen(self) -> TorturedListener:
        """See `Connector.listen`."""
        return TorturedListener(self._connector.listen(), self._fuse, self._wrap)

    def _wrap(self, transport: Transport) -> TorturedTransport:
        wrapped = TorturedTransport(transport, self._fuse)
        self.transports.append(wrapped)
        return wrapped


class TorturedListener:
    """A listener that fails to accept."""

    def __init__(
        self,
        listener: Listener,
        fuse: Fuse,
        wrap: Callable[[Transport], TorturedTransport],
    ) -> None:
        self._listener = listener
        self._fuse = fuse
        self._wrap = wrap

    @property
    def address(self) -> str:
        """See `Listener.address`."""
        return self._listener.address

    def accept(self) -> TorturedTransport:
        """See `Listener.accept`."""
        if self._fuse.blows("open"):
            raise OSError(errno.ENFILE, "the fuse has blown")
        return self._wrap(self._listener.accept())

    def close(self) -> None:
        """See `Listener.close`."""
        self._listener.close()


class TorturedClock:
    """A clock that jumps ahead, once."""

    def __init__(self, fuse: Fuse, clock: Callable[[], float] = time.monotonic) -> None:
        self._fuse = fuse
        self._clock = clock
        self._ahead = 0.0

    def __call__(self) -> float:
        """The time, in seconds."""
        if self._fuse.blows("clock"):
            self._ahead = JUMP
        return self._clock() + self._ahead


class TorturedSink:
    """A sink on a disk that fills up; `sink` is what it wraps."""

    def __init__(self, sink: Sink, fuse: Fuse) -> None:
        self.sink = sink
        self._fuse = fuse

    def write(self, fragment: memoryview, /) -> None:
        """See `Sink.write`."""
        if self._fuse.blows("sink write"):
            raise OSError(errno.ENOSPC, "the fuse has blown")
        self.sink.write(fragment)

    def discard(self) -> None:
        """Pass it on to a sink that can be discarded."""
        discard = getattr(self.sink, "discard", None)
        if discard is not None:
            discard()


_CALLBACKS: Final = frozenset(
    (
        "associate_requested",
        "open_sink",
        "c_echo_requested",
        "c_store_requested",
        "c_find_requested",
        "released",
        "aborted",
        "closed",
    )
)


def torture_handler(handler: Handler, fuse: Fuse) -> Handler:
    """Make a handler's methods come to the fuse, and its sinks too; returns that handler.

    A callback that blows was called: it raises instead of returning.
    """
    for name in _CALLBACKS:
        setattr(handler, name, _tortured(getattr(handler, name), fuse))
    open_sink = handler.open_sink

    def tortured(message: Message) -> Sink:
        return TorturedSink(open_sink(message), fuse)

    handler.open_sink = tortured  # type: ignore[method-assign]
    return handler


def _tortured(method: Callable[..., Any], fuse: Fuse) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        result = method(*arguments)
        if fuse.blows("callback"):
            raise Blown(getattr(method, "__name__", "callback"))
        return result

    return call
