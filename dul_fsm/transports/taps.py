"""A tap on a connection: who looks on, or has something to say or hear before the conversation.

    class Counting(Tap):
        count = 0

        def sent(self, data):
            self.count += len(data)

    associate(Tapped(TCP("pacs.example.org", 104), connecting=Counting))

There is a tap for each connection. Nothing in it waits, so that it is written once, for threads
and for asyncio; `Tapped` is the endpoint that has them, around any other.

What is *not* here: a dialogue before the conversation, in which what is said depends on what was
heard, and any change of what passes (`dul_fsm.transports.wrapping`).
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from dul_fsm.transports.base import Buffer, Transport
from dul_fsm.transports.waiting import deadline_in, seconds_to
from dul_fsm.transports.wrapping import WrappedListener, Wrapper, closed_if_it_fails
from dul_fsm.value import value

if TYPE_CHECKING:
    from dul_fsm.transports.aio import AsyncTransport
    from dul_fsm.transports.aio.taps import AsyncTappedTransport
    from dul_fsm.transports.aio.wrapping import AsyncWrappedListener

NAME_PATIENCE = 5.0
"""Seconds for which `TappedTransport.peer` waits for first bytes that are missing: who sends any,
such as a proxy, sends them at once."""


class Tap:
    """Looks on at one connection. Each method does nothing: override what is wanted.

    They are called one at a time, and never after `closed`, by whichever thread moves the bytes,
    and may not wait. Any but `closed` may raise an `OSError`: the connection is gone then.
    """

    opening: bytes = b""
    """What this end sends before anything else; a few bytes, for who receives waits for it too."""
    missing: int = 0
    """Bytes that the peer owes now, before the conversation: `take` gets so many."""
    hung_up: str = "the peer hung up before it had said what comes first"
    """What is wrong, in words, if the stream ends before that."""
    peer: str = ""
    """The other end's name; empty: as the transport below names it."""

    def __init__(self, local: str = "") -> None:
        """`local`: this end, as the transport below names it."""

    def take(self, data: bytes) -> None:
        """What was missing has arrived, and nothing is now: set `missing` anew if more is.

        Raises `ConnectionError` if that is not what was to come first.
        """

    def sent(self, data: memoryview) -> None:
        """The transport below has taken these bytes. They are there until this returns."""

    def received(self, data: memoryview) -> None:
        """The transport below has given these bytes. They are there until this returns."""

    def closed(self) -> None:
        """This end was closed."""


MakeTap: TypeAlias = Callable[[str], Tap]
"""Makes the tap for a connection, as the class does: it is given this end's name, and may not wait.
What it raises closes the connection."""


class Tapping:
    """A tap and how far it is, for both kinds of transport: these wait, and tell it of the rest."""

    def __init__(self, tap: Tap) -> None:
        """Nothing was sent or received yet."""
        self.tap = tap
        self.opening = memoryview(tap.opening)
        """What is left of it to be sent."""
        self.listening = tap.missing > 0
        """Whether the conversation has not begun, for the peer owes something, or failed to."""
        self._head = bytearray()  # what has arrived of it
        self._failure = ""
        self._closed = False
        self._lock = threading.RLock()  # one thread sends, one receives, any may close
        # Who does not want the bytes pays nothing for them.
        self._tells_sent = type(tap).sent is not Tap.sent
        self._tells_received = type(tap).received is not Tap.received

    def room(self) -> memoryview:
        """Where to receive what is missing, and not a byte more: what follows is not the tap's.

        Raises `ConnectionError` if it never came, or was something else.
        """
        if self._failure:
            raise ConnectionError(errno.EPROTO, self._failure)
        return memoryview(bytearray(self.tap.missing - len(self._head)))

    def heard(self, piece: memoryview) -> None:
        """Some of it has arrived, or nothing at the end of the stream; raises what the tap does."""
        with self._lock:
            try:
                if not piece:
                    raise ConnectionError(errno.EPROTO, self.tap.hung_up)
                self._head += piece
                if len(self._head) == self.tap.missing:
                    head, self._head, self.tap.missing = bytes(self._head), bytearray(), 0
                    self.tap.take(head)
                    self.listening = self.tap.missing > 0
            except Exception as error:
                # And so it stays, whoever asks again.
                self._failure = getattr(error, "strerror", None) or str(error) or repr(error)
                raise

    def sent(self, buffers: Sequence[Buffer], count: int) -> None:
        """The first `count` bytes of `buffers` were sent."""
        if not self._tells_sent:
            return
        with self._lock:
            for buffer in buffers:
                piece = memoryview(buffer).cast("B")[:count]
                count -= len(piece)
                if piece and not self._closed:
                    self.tap.sent(piece)

    def received(self, view: memoryview, count: int) -> None:
        """The first `count` bytes of `view` were received; none at the end of the stream."""
        if self._tells_received and count:
            with self._lock:
                if not self._closed:
                    self.tap.received(view.cast("B")[:count])

    def close(self) -> None:
        """This end was closed, perhaps not for the first time."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self.tap.closed()


class TappedTransport(Wrapper):
    """A connection with a tap on it.

    What comes first is sent and read when it is needed, by `send` and `receive_into`: who says
    nothing delays nobody but itself.
    """

    def __init__(self, lower: Transport, tap: Tap) -> None:
        """Take over an open connection, of which nothing was sent or received yet."""
        super().__init__(lower)
        self._tapping = Tapping(tap)
        self._speaking = threading.Lock()
        self._hearing = threading.Lock()

    @property
    def peer(self) -> str:
        """The other end, as the tap names it or else the transport below; any thread may ask.

        Waits some seconds for what comes first, if that is still missing.
        """
        if self._tapping.listening:
            with suppress(OSError):
                self._hear(deadline_in(NAME_PATIENCE))
        return self._tapping.tap.peer or super().peer

    def start(self, timeout: float | None) -> None:
        """Send what comes first. As `send`, which does it too; it may be called again."""
        self._speak(deadline_in(timeout))

    def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        """See `Transport.send`."""
        if self._tapping.opening:
            deadline = deadline_in(timeout)
            self._speak(deadline)
            timeout = seconds_to(deadline)
        count = self.lower.send(buffers, timeout)
        self._tapping.sent(buffers, count)
        return count

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        """See `Transport.receive_into`. `ConnectionError` also for a peer that began wrongly."""
        tapping = self._tapping
        if (tapping.opening or tapping.listening) and view.nbytes:
            deadline = deadline_in(timeout)
            with suppress(ConnectionError):  # a peer that is gone has perhaps said something first
                self._speak(deadline)
            self._hear(deadline)
            timeout = seconds_to(deadline)
        count = self.lower.receive_into(view, timeout)
        tapping.received(view, count)
        return count

    def close(self) -> None:
        """See `Transport.close`."""
        super().close()
        self._tapping.close()

    def _speak(self, deadline: float | None) -> None:
        tapping = self._tapping
        with _held(self._speaking, deadline):
            while tapping.opening:
                count = self.lower.send([tapping.opening], seconds_to(deadline))
                tapping.opening = tapping.opening[count:]

    def _hear(self, deadline: float | None) -> None:
        tapping = self._tapping
        with _held(self._hearing, deadline):
            while tapping.listening:
                room = tapping.room()
                tapping.heard(room[: self.lower.receive_into(room, seconds_to(deadline))])


@value
class Tapped:
    """An endpoint with a tap on each connection, around another one; for threads and for asyncio.

    What comes first is sent by `connect`, within its timeout. Who accepts waits for nothing.
    """

    lower: Any
    """A `Connector`, or an `AsyncConnector`; or both, as TCP is."""
    connecting: MakeTap = Tap
    """Makes the taps of connections that are opened."""
    accepting: MakeTap = Tap
    """Makes the taps of connections that are accepted."""

    def __str__(self) -> str:
        return str(self.lower)

    @property
    def secure(self) -> bool:
        """Whether what is sent is encrypted on its way below."""
        return getattr(self.lower, "secure", False) is True

    def connect(self, timeout: float | None) -> TappedTransport:
        """See `Connector.connect`."""
        deadline = deadline_in(timeout)
        lower: Transport = self.lower.connect(timeout)
        with closed_if_it_fails(lower):
            transport = TappedTransport(lower, self.connecting(getattr(lower, "local", "")))
        with closed_if_it_fails(transport):
            transport.start(seconds_to(deadline))
        return transport

    def listen(self) -> WrappedListener:
        """See `Connector.listen`."""

        def accepted(lower: Transport) -> TappedTransport:
            return TappedTransport(lower, self.accepting(getattr(lower, "local", "")))

        return WrappedListener(self.lower.listen(), accepted)

    async def connect_async(self, timeout: float | None) -> AsyncTappedTransport:
        """The same for asyncio, see `AsyncConnector.connect_async`."""
        from dul_fsm.transports.aio import taps

        deadline = deadline_in(timeout)
        lower: AsyncTransport = await self.lower.connect_async(timeout)
        with closed_if_it_fails(lower):
            tap = self.connecting(getattr(lower, "local", ""))
            transport = taps.AsyncTappedTransport(lower, tap)
        with closed_if_it_fails(transport):
            await transport.start(seconds_to(deadline))
        return transport

    async def listen_async(self) -> AsyncWrappedListener:
        """The same for asyncio, see `AsyncConnector.listen_async`."""
        from dul_fsm.transports.aio import taps, wrapping

        def accepted(lower: AsyncTransport) -> AsyncTappedTransport:
            tap = self.accepting(getattr(lower, "local", ""))
            return taps.AsyncTappedTransport(lower, tap)

        return wrapping.AsyncWrappedListener(await self.lower.listen_async(), accepted)


@contextmanager
def _held(lock: threading.Lock, deadline: float | None) -> Iterator[None]:
    seconds = seconds_to(deadline)
    if not lock.acquire(timeout=-1 if seconds is None else seconds):
        raise TimeoutError(errno.ETIMEDOUT, "what comes first is not over yet")
    try:
        yield
    finally:
        lock.release()
