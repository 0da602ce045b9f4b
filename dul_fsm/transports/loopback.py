"""Two ends in one process: a transport for tests, simulators, and an SCU and SCP side by side.

It behaves as TCP does (a bounded stream each way, back-pressure, an end, a reset), and misbehaves
as a network does when it is told to: see `Faults`.
"""

from __future__ import annotations

import errno
import random
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from dul_fsm.transports.base import Buffer, ListenerClosed, TransportClosed

if TYPE_CHECKING:
    from dul_fsm.transports.aio.loopback import AsyncLoopbackListener, AsyncLoopbackTransport

CAPACITY = 1 << 16
"""Bytes on the way in each direction: about what a TCP socket takes before it blocks."""

BACKLOG = 128
"""Connections that may wait to be accepted."""

NO_LIMIT = 1 << 62
"""More bytes than there ever are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What one end does to the bytes that pass it; each None is a fault that does not happen.

    Counts are of bytes that this end has sent. Raises `ValueError` for a limit below 1 or a count
    below 0.
    """

    max_receive: int | None = None
    """Bytes that one `receive_into` yields at most (split)."""
    max_send: int | None = None
    """Bytes that one `send` takes at most (partial write)."""
    seed: int | None = None
    """With a seed, each limit above is drawn anew for each call, from 1 to itself; each end of
    each connection draws from a sequence of its own, the same in every run."""
    stall_after: int | None = None
    """After so many bytes, see `LoopbackTransport.stall`."""
    half_close_after: int | None = None
    """After so many bytes, see `LoopbackTransport.half_close`."""
    cut_after: int | None = None
    """After so many bytes, see `LoopbackTransport.cut`."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value, least = getattr(self, field.name), 1 if field.name.startswith("max_") else 0
            if field.name != "seed" and value is not None and value < least:
                raise ValueError(f"{field.name} is {least} or more, not {value}")


class Changes(threading.Condition):
    """A condition that also tells watchers: event loops, which cannot wait in it."""

    def __init__(self) -> None:
        super().__init__()
        self.watchers: list[Callable[[], object]] = []
        """Called when something has changed, from any thread, with the condition held."""

    def notify_all(self) -> None:
        """Wake and tell everybody."""
        super().notify_all()
        for watcher in self.watchers:
            watcher()


class _Pipe:
    """One direction. All attributes belong to who holds `changed`."""

    def __init__(self, capacity: int) -> None:
        self.changed = Changes()
        self.capacity = capacity
        self.data = bytearray()
        self.sent = 0  # bytes that ever came in
        self.stalled_at: int | None = None  # of those, the count after which none comes out
        self.ended = False  # the sender sends no more
        self.abandoned = False  # the receiver receives no more
        self.cut = False  # the connection is broken

    @property
    def held(self) -> int:
        """Bytes inside that do not come out."""
        return 0 if self.stalled_at is None else min(self.sent - self.stalled_at, len(self.data))

    @property
    def settled(self) -> bool:
        """No waiting sender will ever be able to send."""
        return self.ended or self.abandoned or self.cut

    def put(self, buffers: Sequence[Buffer], limit: int) -> int:
        """Take what fits, `limit` bytes at most."""
        room = left = min(limit, self.capacity - len(self.data))
        for buffer in buffers:
            piece = memoryview(buffer).cast("B")[:left]
            self.data += piece
            left -= len(piece)
            if not left:
                break
        self.sent += room - left
        return room - left

    def take(self, view: memoryview, limit: int) -> int:
        """Give what is there and not held, `limit` bytes at most."""
        target = view.cast("B")
        count = min(limit, len(target), len(self.data) - self.held)
        with memoryview(self.data) as source:
            target[:count] = source[:count]
        del self.data[:count]
        return count


class LoopbackTransport:
    """One end of a connection within this process."""

    def __init__(
        self, incoming: _Pipe, outgoing: _Pipe, faults: Faults, local: str, peer: str
    ) -> None:
        self.local = local
        """This end's name."""
        self.peer = peer
        """The other end's name."""
        self._in = incoming
        self._out = outgoing
        self._closed = False
        self._receive_limit = limit(faults.max_receive, faults.seed, "receive")
        self._send_limit = limit(faults.max_send, faults.seed, "send")
        due = (
            (faults.stall_after, self.stall),
            (faults.half_close_after, self.half_close),
            (faults.cut_after, self.cut),
        )
        self._due = [(after, fault) for after, fault in due if after is not None]
        self._happen()

    def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        """See `Transport.send`."""
        out = self._out
        with out.changed:
            if not any(memoryview(buffer).nbytes for buffer in buffers):
                self._check_sending()
                return 0
            wait = None if timeout is None else min(timeout, threading.TIMEOUT_MAX)
            free = out.changed.wait_for(
                lambda: self._closed or out.settled or len(out.data) < out.capacity, wait
            )
            self._check_sending()
            if not free:
                raise TimeoutError(errno.ETIMEDOUT, "the peer took nothing in time")
            # A fault due after N bytes happens after exactly N, not after the send that passes it.
            ahead = min((after - out.sent for after, _ in self._due), default=NO_LIMIT)
            count = out.put(buffers, min(self._send_limit(), ahead))
            out.changed.notify_all()
        self._happen()
        return count

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        """See `Transport.receive_into`."""
        if not view.nbytes:
            raise ValueError("an empty view cannot receive anything")
        incoming = self._in
        with incoming.changed:
            wait = None if timeout is None else min(timeout, threading.TIMEOUT_MAX)
            ready = incoming.changed.wait_for(
                lambda: (
                    self._closed
                    or incoming.cut
                    or len(incoming.data) > incoming.held
                    or (incoming.ended and incoming.stalled_at is None)
                ),
                wait,
            )
            if self._closed:
                raise TransportClosed
            count = incoming.take(view, self._receive_limit())
            if count:
                incoming.changed.notify_all()
            elif incoming.cut:
                raise ConnectionResetError(errno.ECONNRESET, "the connection was cut")
            elif not ready:
                raise TimeoutError(errno.ETIMEDOUT, "nothing arrived in time")
            return count

    def watch(self, arrived: Callable[[], object], taken: Callable[[], object]) -> None:
        """Have these called when a receive, or a send, is worth another try; from any thread."""
        self._in.changed.watchers.append(arrived)
        self._out.changed.watchers.append(taken)

    def close(self) -> None:
        """See `Transport.close`."""
        with self._out.changed:
            self._closed = True
            self._out.ended = True
            self._out.changed.notify_all()
        with self._in.changed:
            self._in.abandoned = True
            self._in.changed.notify_all()

    # What goes wrong, from any thread -------------------------------------------------------------

    def stall(self) -> None:
        """From here on what this end sends stays on the way, its end too, until `resume`.

        What was sent before still arrives. This end can send until the way is full.
        """
        with self._out.changed:
            self._out.stalled_at = self._out.sent

    def resume(self) -> None:
        """Let what was stalled arrive."""
        with self._out.changed:
            self._out.stalled_at = None
            self._out.changed.notify_all()

    def half_close(self) -> None:
        """End this end's stream: the peer receives 0, this end raises on `send`, it may receive."""
        with self._out.changed:
            self._out.ended = True
            self._out.changed.notify_all()

    def cut(self) -> None:
        """Break the connection, as a reset: both ends raise, once what has arrived is received."""
        for pipe in (self._out, self._in):
            with pipe.changed:
                pipe.cut = True
                pipe.changed.notify_all()

    def _happen(self) -> None:
        """Let the faults happen that are due."""
        for due in [due for due in self._due if due[0] <= self._out.sent]:
            self._due.remove(due)
            due[1]()

    def _check_sending(self) -> None:
        if self._closed:
            raise TransportClosed
        if self._out.cut:
            raise ConnectionResetError(errno.ECONNRESET, "the connection was cut")
        if self._out.settled:
            raise BrokenPipeError(errno.EPIPE, "the stream has ended")


def limit(most: int | None, seed: int | None, direction: str) -> Callable[[], int]:
    """Gives, each time, how many bytes the next call may move; see `Faults`."""
    if most is None:
        return lambda: NO_LIMIT
    if seed is None:
        return lambda: most
    # A thread receives while another sends: one sequence for both would depend on their order.
    numbers = random.Random(f"{seed} {direction}")
    return lambda: numbers.randint(1, most)


def pair(
    capacity: int = CAPACITY,
    faults: Faults | None = None,
    peer_faults: Faults | None = None,
    *,
    names: tuple[str, str] = ("loopback:a", "loopback:b"),
) -> tuple[LoopbackTransport, LoopbackTransport]:
    """Two connected ends.

    `capacity`: bytes on the way in each direction, 1 or more. `faults` and `peer_faults`: those
    of the first and of the second end. `names`: what the ends call themselves.
    """
    if capacity < 1:
        raise ValueError(f"the capacity is 1 byte or more, not {capacity}")
    there, back = _Pipe(capacity), _Pipe(capacity)
    first, second = names
    return (
        LoopbackTransport(back, there, faults or Faults(), first, second),
        LoopbackTransport(there, back, peer_faults or Faults(), second, first),
    )


class Loopback:
    """An endpoint within this process: one listener, any number of connections to it."""

    def __init__(
        self,
        capacity: int = CAPACITY,
        faults: Faults | None = None,
        peer_faults: Faults | None = None,
        *,
        name: str = "loopback",
        backlog: int = BACKLOG,
    ) -> None:
        """See `pair`; `faults` are those of the connecting end.

        `name`: the listener's address. `backlog`: connections that may wait to be accepted.
        """
        if capacity < 1:
            raise ValueError(f"the capacity is 1 byte or more, not {capacity}")
        self._capacity = capacity
        self._faults = faults
        self._peer_faults = peer_faults
        self._name = name
        self._backlog = backlog
        self.changed = Changes()
        """Notified when there is a connection to accept, or room for one."""
        self._listener: LoopbackListener | None = None
        self._connections = 0

    def connect(self, timeout: float | None) -> LoopbackTransport:
        """See `Connector.connect`. Waits only while the backlog is full."""
        wait = None if timeout is None else min(timeout, threading.TIMEOUT_MAX)
        with self.changed:
            free = self.changed.wait_for(
                lambda: self._listener is None or len(self._listener.waiting) < self._backlog, wait
            )
            if self._listener is None:
                text = f"{self._name}: nobody listens"
                raise ConnectionRefusedError(errno.ECONNREFUSED, text)
            if not free:
                raise TimeoutError(errno.ETIMEDOUT, f"{self._name}: no answer in time")
            self._connections += 1
            names = (f"{self._name}:{self._connections}", self._name)
            ours, theirs = pair(self._capacity, self._faults, self._peer_faults, names=names)
            self._listener.waiting.append(theirs)
            self.changed.notify_all()
            return ours

    async def connect_async(self, timeout: float | None) -> AsyncLoopbackTransport:
        """The same for asyncio, see `AsyncConnector.connect_async`."""
        from dul_fsm.transports.aio import loopback

        return await loopback.connect(self, timeout)

    async def listen_async(self) -> AsyncLoopbackListener:
        """The same for asyncio, see `AsyncConnector.listen_async`."""
        from dul_fsm.transports.aio import loopback

        return loopback.AsyncLoopbackListener(self.listen())

    def listen(self) -> LoopbackListener:
        """See `Connector.listen`."""
        with self.changed:
            if self._listener is not None:
                raise OSError(errno.EADDRINUSE, f"{self._name}: somebody listens already")
            self._listener = LoopbackListener(self._name, self.changed, self._gone)
            return self._listener

    def _gone(self) -> None:
        """The listener has closed; called with `_changed` held."""
        self._listener = None


class LoopbackListener:
    """Where ends of this process connect to. Any number of threads may accept."""

    def __init__(self, name: str, changed: Changes, gone: Callable[[], None]) -> None:
        self.address: str = name
        """The endpoint's name."""
        self.waiting: deque[LoopbackTransport] = deque()
        """Connections to accept; belongs to who holds the endpoint's condition."""
        self.changed = changed
        """That of the endpoint."""
        self._gone = gone
        self._closed = False

    def accept(self) -> LoopbackTransport:
        """See `Listener.accept`."""
        with self.changed:
            self.changed.wait_for(lambda: self._closed or self.waiting)
            return self._take()

    def accept_now(self) -> LoopbackTransport | None:
        """The next connection, if one is there; raises `ListenerClosed` after `close`."""
        with self.changed:
            return self._take() if self._closed or self.waiting else None

    def _take(self) -> LoopbackTransport:
        if self._closed:
            raise ListenerClosed
        self.changed.notify_all()
        return self.waiting.popleft()

    def close(self) -> None:
        """See `Listener.close`."""
        with self.changed:
            if self._closed:
                return
            self._closed = True
            self._gone()
            for transport in self.waiting:
                transport.cut()
            self.waiting.clear()
            self.changed.notify_all()
