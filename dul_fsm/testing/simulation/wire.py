"""The connection: two streams with a length, a delay, and faults; and PDUs counted as they leave.

It behaves as a transport of `dul_fsm.transports` does (partial writes, back-pressure, an end, a
reset), but nothing waits: None means "not now".

Not here: when a fault strikes (`session`), what the bytes mean.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from dul_fsm.testing.simulation.plan import FOREVER, Plan
from dul_fsm.testing.torture import Fuse
from dul_fsm.upper_layer import Buffer

_HEADER: Final = 6


class Tap:
    """Reads one direction and tells of each PDU header: by its bytes alone."""

    def __init__(self, seen: Callable[[int, int], None]) -> None:
        """`seen` is called with PDU type and PDU length as soon as a header has left."""
        self._seen = seen
        self._header = bytearray()
        self._body = 0
        self.count = 0
        """PDUs of which the header has left."""

    @property
    def left(self) -> int:
        """Bytes until the next place where a PDU ends, or its length is known; 0 between PDUs."""
        return self._body or (_HEADER - len(self._header)) % _HEADER

    def feed(self, data: bytes) -> None:
        """The next bytes."""
        position = 0
        while position < len(data):
            if self._body:
                step = min(self._body, len(data) - position)
                self._body -= step
                position += step
                continue
            step = min(_HEADER - len(self._header), len(data) - position)
            self._header += data[position : position + step]
            position += step
            if len(self._header) == _HEADER:
                self._body = int.from_bytes(self._header[2:], "big")
                self.count += 1
                self._seen(self._header[0], self._body)
                self._header.clear()


class Stream:
    """One direction."""

    def __init__(self, seen: Callable[[int, int], None]) -> None:
        self.tap = Tap(seen)
        self.sent = 0
        """Bytes that the sender has given."""
        self.under_way = 0
        self.stalled_until = 0.0
        self.ended = False
        """The sender sends no more."""
        self.abandoned = False
        """The receiver receives no more."""
        self._chunks: deque[tuple[float, memoryview]] = deque()
        self._last = 0.0  # when the last byte arrives

    def put(self, data: bytes, now: float, delay: float) -> None:
        """Bytes leave."""
        self._last = max(self._last, now + delay, self.stalled_until)
        self._chunks.append((self._last, memoryview(data)))
        self.under_way += len(data)

    def take(self, view: memoryview, now: float) -> int:
        """Bytes arrive: as many as are there and fit."""
        count = 0
        while self._chunks and self._chunks[0][0] <= now and count < len(view):
            when, chunk = self._chunks.popleft()
            part = chunk[: len(view) - count]
            view[count : count + len(part)] = part
            count += len(part)
            if len(part) < len(chunk):
                self._chunks.appendleft((when, chunk[len(part) :]))
        self.under_way -= count
        return count

    @property
    def next(self) -> float | None:
        """When the next bytes arrive; None if none are under way."""
        return self._chunks[0][0] if self._chunks else None

    @property
    def end(self) -> float:
        """When its end arrives, once it has ended."""
        return max(self._last, self.stalled_until)

    def clear(self) -> None:
        """Lose what is under way."""
        self._chunks.clear()
        self.under_way = 0


class Wire:
    """The connection between side 0 and side 1."""

    def __init__(
        self,
        plan: Plan,
        rng: random.Random,
        seen: Callable[[int, int, int], None],
        fuse: Fuse,
    ) -> None:
        """`seen(side, type, length)` is told of each PDU that leaves a side."""
        self._fuse = fuse
        self._plan = plan
        self._rng = rng
        self.streams = (
            Stream(lambda kind, length: seen(0, kind, length)),
            Stream(lambda kind, length: seen(1, kind, length)),
        )
        self.broken = False
        self.closed = [False, False]
        self.waiting: list[list[bytes]] = [[], []]  # hostile PDUs, for the next place between two
        self.moved = 0
        """Bytes that left or arrived."""

    def send(self, side: int, buffers: Sequence[Buffer], now: float) -> int | None:
        """Take some bytes; None if none can be taken now. `OSError` if none ever can."""
        stream = self.streams[side]
        if self.closed[side] or self.broken or stream.ended:
            raise BrokenPipeError("the stream has ended")
        room = min(self._plan.capacity - stream.under_way, self._plan.max_send)
        if room <= 0:
            return None
        if self._fuse.blows("send"):
            self.cut(lose=True)
            raise BrokenPipeError("the fuse has blown")
        if stream.abandoned:
            # What the peer's closed end answers comes too late for the first bytes.
            stream.ended = True
            return min(room, sum(map(len, buffers)))
        room = self._rng.randint(1, room) if room < 2048 else room
        if self.waiting[side] and stream.tap.left:
            room = min(room, stream.tap.left)
        data = b"".join(bytes(memoryview(buffer)[:room]) for buffer in buffers)[:room]
        stream.tap.feed(data)
        stream.sent += len(data)
        self.moved += len(data)
        stream.put(data, now, self._delay())
        self._intrude(side, now)
        return len(data)

    def receive(self, side: int, view: memoryview, now: float) -> int | None:
        """Give some bytes; None if none is there now, 0 at the end. `OSError` if broken."""
        stream = self.streams[1 - side]
        if self.closed[side]:
            raise ConnectionError("closed on this side")
        count = stream.take(view[: self._plan.max_receive], now)
        self.moved += count
        if count:
            if self._fuse.blows("receive"):
                self.cut(lose=True)
                raise ConnectionResetError("the fuse has blown")
            return count
        if stream.next is not None:
            return None
        if self.broken:
            raise ConnectionResetError("the connection was cut")
        return 0 if stream.ended and stream.end <= now else None

    def arrival(self, side: int) -> float | None:
        """When there is something to receive; None if there is nothing to wait for."""
        stream = self.streams[1 - side]
        if self.closed[side]:
            return 0.0
        if stream.next is not None:
            return stream.next if stream.next < FOREVER else None
        if self.broken:
            return 0.0
        return stream.end if stream.ended and stream.end < FOREVER else None

    def close(self, side: int) -> None:
        """Close one end."""
        if self.closed[side]:
            return
        self.closed[side] = True
        out, back = self.streams[side], self.streams[1 - side]
        out.ended = True
        back.abandoned = True
        if self._plan.reset_on_close and back.under_way:
            out.clear()
        back.clear()

    # Faults -------------------------------------------------------------------------------------

    def cut(self, lose: bool) -> None:
        """The connection breaks; `lose`: with what is under way."""
        self.broken = True
        for stream in self.streams:
            if lose or stream.stalled_until >= FOREVER:
                stream.clear()

    def half_close(self, side: int) -> None:
        """That side's stream ends."""
        self.streams[side].ended = True

    def stall(self, side: int, until: float) -> None:
        """What that side sends from now on does not arrive before then."""
        self.streams[side].stalled_until = until

    def intrude(self, side: int, data: bytes, now: float) -> None:
        """Bytes that the side did not send come between two of its PDUs."""
        self.waiting[side].append(data)
        self._intrude(side, now)

    def _intrude(self, side: int, now: float) -> None:
        stream = self.streams[side]
        if self.waiting[side] and not stream.tap.left and not stream.ended and not self.broken:
            for data in self.waiting[side]:
                stream.put(data, now, 0.0)
            self.waiting[side].clear()

    def _delay(self) -> float:
        least, most = self._plan.latency
        return self._rng.uniform(least, most) if most else 0.0
