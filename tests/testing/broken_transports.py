"""Transports that are each broken in one way: what `check_transport` must catch.

Each wraps a loopback, which keeps every clause, and spoils one thing.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from dul_fsm.transports import Transport, pair
from dul_fsm.transports.base import Buffer, TransportClosed
from dul_fsm.transports.loopback import LoopbackTransport


class Sound:
    """Passes everything on, and spoils nothing."""

    def __init__(self, inner: LoopbackTransport, *, first: bool) -> None:
        self.inner = inner
        self.first = first
        """Which end of the pair it is."""

    def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        return self.inner.send(buffers, timeout)

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        return self.inner.receive_into(view, timeout)

    def close(self) -> None:
        self.inner.close()


BROKEN: dict[str, type[Sound]] = {}
"""By the clause that each does not keep."""

MORE_BROKEN: list[tuple[str, type[Sound]]] = []
"""Further ways not to keep a clause."""


def breaks(clause: str) -> Callable[[type[Sound]], type[Sound]]:
    """It breaks this clause."""

    def add(kind: type[Sound]) -> type[Sound]:
        if clause in BROKEN:
            MORE_BROKEN.append((clause, kind))
        else:
            BROKEN[clause] = kind
        return kind

    return add


def make_pair_of(kind: type[Sound]) -> Callable[[], tuple[Transport, Transport]]:
    """What `check_transport` is given."""

    def make_pair() -> tuple[Transport, Transport]:
        one, other = pair()
        return kind(one, first=True), kind(other, first=False)

    return make_pair


def joined(buffers: Sequence[Buffer]) -> bytes:
    """All that is to be sent."""
    return b"".join(buffers)


# The stream --------------------------------------------------------------------------------------


@breaks("whole messages arrive both ways")
class Masked(Sound):
    """One end masks what it sends, as a WebSocket client does, and nobody unmasks it."""

    def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        if self.first:
            return self.inner.send(buffers, timeout)
        return self.inner.send([bytes(byte ^ 0x55 for byte in joined(buffers))], timeout)


@breaks("bytes sent one by one arrive")
class Padded(Sound):
    """Pads what it sends to an even length."""

    def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        data = joined(buffers)
        return min(len(data), self.inner.send([data + bytes(len(data) % 2)], timeout))


@breaks("bytes received one by one arrive")
class Datagrams(Sound):
    """Loses what did not fit into the view."""

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        whole = bytearray(max(len(view), 1 << 16))
        count = self.inner.receive_into(memoryview(whole)[: len(view) and len(whole)], timeout)
        fits = min(count, len(view))
        view[:fits] = whole[:fits]
        return fits


@breaks("ragged pieces arrive as one stream")
class Lines(Sound):
    """Loses the last byte of what it receives in one piece, if that is a full piece."""

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        count = self.inner.receive_into(view, timeout)
        if count == len(view) == 42:
            view[41] ^= 1
        return count


@breaks("buffers of all kinds and sizes arrive in order")
class LastFirst(Sound):
    """Sends the last buffer first."""

    def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        return self.inner.send(list(reversed(buffers)), timeout)


@breaks("thousands of buffers arrive in order")
class OneCall(Sound):
    """Gives the system more buffers than it takes, and it takes none."""

    def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        if len(buffers) > 1024:
            raise OSError("too many buffers")
        return self.inner.send(buffers, timeout)


@breaks("eight mebibytes pass both ways at once")
class ShortCounter(Sound):
    """Its sequence number has 20 bits."""

    sent = 0

    def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        if self.sent >= 1 << 20:
            self.sent = 0
            self.inner.send([b"\0"], timeout)
        count = self.inner.send(buffers, timeout)
        self.sent += count
        return count


@breaks("only what was received is written")
class Scribbler(Sound):
    """Clears the view first."""

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        view[:] = bytes(len(view))
        return self.inner.receive_into(view, timeout)


@breaks("no buffer is kept after send")
class Keeper(Sound):
    """Keeps views of what it has sent."""

    def __init__(self, inner: LoopbackTransport, *, first: bool) -> None:
        super().__init__(inner, first=first)
        self.kept: list[memoryview] = []

    def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        self.kept += [memoryview(buffer) for buffer in buffers]
        return self.inner.send(buffers, timeout)


@breaks("no buffer is kept after send")
class Lazy(Sound):
    """Sends what is in the buffer a little later."""

    def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        views = [memoryview(buffer) for buffer in buffers]
        threading.Timer(0.02, self.send_later, (views,)).start()
        return sum(len(view) for view in views)

    def send_later(self, views: Sequence[Buffer]) -> None:
        with suppress(OSError):
            self.inner.send(views, 0)


@breaks("sending nothing takes nothing")
class EmptyFrames(Sound):
    """Sends a frame for nothing, too."""

    def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        return self.inner.send(buffers if joined(buffers) else [b"\0"], timeout)


@breaks("receiving into nothing is refused")
class Obliging(Sound):
    """Takes an empty view, and returns what looks like the end."""

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        return self.inner.receive_into(view, timeout) if len(view) else 0


# Waiting -----------------------------------------------------------------------------------------


@breaks("a receive times out and may be repeated")
class EndOfPatience(Sound):
    """Tells a time-out as the end."""

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        try:
            return self.inner.receive_into(view, timeout)
        except TimeoutError:
            return 0


@breaks("a receive times out and may be repeated")
class Hasty(Sound):
    """Does not wait at all."""

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        return self.inner.receive_into(view, None if timeout is None else 0)


@breaks("a send into a clogged connection times out and may be repeated")
class SendAll(Sound):
    """Sends all or raises, like `socket.sendall`: nobody knows how much was taken."""

    def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        data = memoryview(joined(buffers))
        sent = 0
        while sent < len(data):
            sent += self.inner.send([data[sent:]], timeout)
        return sent


@breaks("a clogged connection still carries the other way")
class GivesUp(Sound):
    """Takes a time-out for the end of the connection."""

    gone = False

    def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        try:
            return self.inner.send(buffers, timeout)
        except TimeoutError:
            self.gone = True
            raise

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        if self.gone:
            raise ConnectionAbortedError("it was clogged")
        return self.inner.receive_into(view, timeout)


@breaks("a blocked receive ends with the first byte")
class Filler(Sound):
    """Waits until the view is full."""

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        count = 0
        while count < len(view):
            more = self.inner.receive_into(view[count:], timeout)
            if not more:
                break
            count += more
        return count


@breaks("a blocked receive ends with the stream")
class Deaf(Sound):
    """Somebody who waits is not told of the end."""

    def __init__(self, inner: LoopbackTransport, *, first: bool) -> None:
        super().__init__(inner, first=first)
        self.closed = threading.Event()

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        try:
            return self.inner.receive_into(view, 0)
        except TimeoutError:
            count = self.inner.receive_into(view, timeout)
        if not count:
            self.closed.wait()
        return count

    def close(self) -> None:
        self.closed.set()
        self.inner.close()


@breaks("a blocked send goes on when the peer receives")
class Impatient(Sound):
    """A default timeout of its own stands in for none."""

    def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        return self.inner.send(buffers, 0.001 if timeout is None else timeout)


@breaks("one thread sends while another waits to receive")
class HalfDuplex(Sound):
    """One lock for both directions."""

    def __init__(self, inner: LoopbackTransport, *, first: bool) -> None:
        super().__init__(inner, first=first)
        self.lock = threading.Lock()

    def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        with self.lock:
            return self.inner.send(buffers, timeout)

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        with self.lock:
            return self.inner.receive_into(view, timeout)


@breaks("who waits keeps no processor busy")
class BusyReceiver(Sound):
    """Looks again and again."""

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        while timeout is None:
            try:
                return self.inner.receive_into(view, 0)
            except TimeoutError:
                continue
        return self.inner.receive_into(view, timeout)


@breaks("who waits keeps no processor busy")
class BusySender(Sound):
    """Looks again and again."""

    def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        while timeout is None:
            try:
                return self.inner.send(buffers, 0)
            except TimeoutError:
                continue
        return self.inner.send(buffers, timeout)


# The end -----------------------------------------------------------------------------------------


@breaks("the end comes after what was sent and stays")
class EndOnce(Sound):
    """Tells the end once, and then an error."""

    told = False

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        if self.told:
            raise ConnectionResetError("it has ended, as was said")
        count = self.inner.receive_into(view, timeout)
        self.told = not count
        return count


@breaks("the end comes wherever the sender stops")
class Records(Sound):
    """Does not believe in an end behind an odd number of bytes."""

    received = 0

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        count = self.inner.receive_into(view, timeout)
        if not count and self.received % 2:
            raise ConnectionResetError("the last record is cut short")
        self.received += count
        return count


@breaks("closing does not lose what still waits to be received")
class Forgetful(Sound):
    """Forgets on close what the peer has not received."""

    def close(self) -> None:
        with self.inner._out.changed:
            self.inner._out.data.clear()
        self.inner.close()


@breaks("closing over unread bytes is an end and no reset")
class Resetting(Sound):
    """Resets when closed over unread bytes, as the system's TCP does."""

    def close(self) -> None:
        if self.inner._in.data:
            self.inner.cut()
        self.inner.close()


@breaks("after the end of the peer this end may still send")
class OneEnd(Sound):
    """Takes the peer's end for its own."""

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        count = self.inner.receive_into(view, timeout)
        if not count:
            self.inner.half_close()
        return count


@breaks("a reset is an error and no end")
class Discreet(Sound):
    """Tells a broken connection as an end."""

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        try:
            return self.inner.receive_into(view, timeout)
        except ConnectionResetError:
            return 0


@breaks("sending to a closed peer fails in the end")
class Optimist(Sound):
    """Takes everything, whether anybody is there or not."""

    def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        try:
            return self.inner.send(buffers, timeout)
        except TransportClosed:
            raise
        except BrokenPipeError:
            return len(joined(buffers))


class Unwoken(Sound):
    """`close` waits for who is inside."""

    directions: tuple[str, ...] = ()

    def __init__(self, inner: LoopbackTransport, *, first: bool) -> None:
        super().__init__(inner, first=first)
        self.inside: list[str] = []

    @contextmanager
    def within(self, direction: str) -> Iterator[None]:
        self.inside.append(direction)
        try:
            yield
        finally:
            self.inside.remove(direction)

    def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        with self.within("send"):
            return self.inner.send(buffers, timeout)

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        with self.within("receive"):
            return self.inner.receive_into(view, timeout)

    def close(self) -> None:
        if sorted(self.inside) != sorted(self.directions):
            self.inner.close()


@breaks("close wakes a blocked receive")
class SleepingReceiver(Unwoken):
    """Not while somebody receives."""

    directions = ("receive",)


@breaks("close wakes a blocked send")
class SleepingSender(Unwoken):
    """Not while somebody sends."""

    directions = ("send",)


@breaks("close wakes both directions at once")
class SleepingBoth(Unwoken):
    """Not while somebody does both."""

    directions = ("send", "receive")


@breaks("closing again does nothing")
class CloseOnce(Sound):
    """Raises the second time."""

    closed = False

    def close(self) -> None:
        if self.closed:
            raise TransportClosed
        self.closed = True
        self.inner.close()


@breaks("many threads may close")
class OneCloser(Sound):
    """Only one thread may close it."""

    closer = 0

    def close(self) -> None:
        self.closer = self.closer or threading.get_ident()
        if self.closer != threading.get_ident():
            raise RuntimeError("another thread closes it")
        self.inner.close()


@breaks("a closed transport does nothing more")
class Undead(Sound):
    """Gives out what it has, closed or not."""

    rest = b""

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        if self.rest:
            view[:1] = self.rest[:1]
            return 1
        return self.inner.receive_into(view, timeout)

    def close(self) -> None:
        found = bytearray(8)
        try:
            count = self.inner.receive_into(memoryview(found), 0)
        except OSError:
            count = 0
        self.rest = bytes(found[:count])
        self.inner.close()


LEAKED: list[tuple[int, int]] = []
"""Descriptors that a test has to close."""

STAYING = threading.Event()
"""Set to let leaked threads end."""


@breaks("nothing is left of closed connections")
class DescriptorLeak(Sound):
    """Opens two descriptors and closes none."""

    def __init__(self, inner: LoopbackTransport, *, first: bool) -> None:
        super().__init__(inner, first=first)
        LEAKED.append(os.pipe())


@breaks("nothing is left of closed connections")
class ThreadLeak(Sound):
    """Starts a thread that stays."""

    def __init__(self, inner: LoopbackTransport, *, first: bool) -> None:
        super().__init__(inner, first=first)
        threading.Thread(target=STAYING.wait, name="the one that stays", daemon=True).start()
