"""What a transport is: bytes in and out, in order, with an end. No DICOM here.

The transport service that PS3.8 §9.1 asks for, cut down to three methods. A custom wire (a
tunnel, a serial link, a simulator) implements `Transport`; `Connector` and `Listener` only if
connections are opened or accepted through it.

Rules, for every kind:
1. A stream: what one end sends, the other receives, in order and once, in whatever pieces.
2. A wait ends: with a byte, at the timeout, at the end of the stream, or by `close`. A waiting
   thread is blocked; it does not look again from time to time.
3. One thread may receive while another sends. Besides that, only `close` comes from elsewhere.
4. Errors are `OSError`: `TimeoutError` means that nothing has happened, and the call may be made
   again; any other says that the connection is gone.

What is *not* here: how long to wait (dul_fsm.timers), and what the bytes mean.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Protocol, TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview
"""What can be sent: contiguous bytes. `collections.abc.Buffer` needs Python 3.12."""


class Transport(Protocol):
    """One open connection, blocking kind.

    It may have three more attributes. `local` and `peer`: the ends' addresses as readable text.
    `in_place`: True if no byte of what is sent is looked at here, but the operating system takes it
    from where it lies; then a file that is sent is mapped, and with any other transport read.
    """

    def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        """Take at least one byte of `buffers`, which follow each other, and return how many.

        `timeout`: seconds, 0 only what fits now, None no limit. Returns 0 only if `buffers` hold
        nothing. No buffer is kept. Taken is not delivered: bytes may still be lost with the
        connection. Raises `TimeoutError` when no byte could be taken in time, another `OSError`
        when the connection is gone.
        """
        ...

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        """Fill the beginning of `view` with at least one byte and return how many; 0 is the end.

        `view`: writable bytes, at least one. `timeout`: seconds, 0 only what is there now, None
        no limit. What the peer sent before it closed comes before the 0. Raises `TimeoutError`
        when nothing came in time, another `OSError` when the connection is gone, `ValueError`
        for an empty view.
        """
        ...

    def close(self) -> None:
        """Close, from any thread; never raises, and closing again does nothing.

        What was sent is still delivered if it can be. A thread that is waiting in `send` or
        `receive_into` comes back at once, with an `OSError` (or 0 from `receive_into`), and so
        does any call from now on.
        """
        ...


class Listener(Protocol):
    """Where peers connect to."""

    @property
    def address(self) -> str:
        """Where peers reach it, as readable text; HOST:PORT for TCP."""
        ...

    def accept(self) -> Transport:
        """Wait for the next connection.

        A connection that fails before it could be accepted is passed over. Raises
        `ListenerClosed` after `close`.
        """
        ...

    def close(self) -> None:
        """Stop listening, from any thread; never raises, and wakes who waits in `accept`.

        Connections that nobody has accepted are dropped; accepted ones stay.
        """
        ...


class Connector(Protocol):
    """An endpoint: something to connect to, or to listen on."""

    def connect(self, timeout: float | None) -> Transport:
        """Open a connection. `timeout`: seconds, None leaves the limit to the transport.

        Raises `TimeoutError` when it did not open in time, another `OSError` when it cannot.
        """
        ...

    def listen(self) -> Listener:
        """Listen for connections. Raises `OSError` when that cannot be."""
        ...


class ListenerClosed(OSError):
    """`Listener.accept` ended because the listener was closed on this side."""

    def __init__(self) -> None:
        super().__init__(errno.EBADF, "the listener was closed")


class TransportClosed(ConnectionError):
    """The transport was closed on this side, perhaps by another thread."""

    def __init__(self) -> None:
        super().__init__(errno.EBADF, "the transport was closed on this side")
