"""A transport around another one: what passes everything on, to change one thing of it.

    class Counted(Wrapper):
        sent = 0

        def send(self, buffers, timeout):
            count = self.lower.send(buffers, timeout)
            self.sent += count
            return count

What is *not* here: any thing that is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dul_fsm.transports.base import Buffer, Listener, Transport


class Wrapper:
    """A transport that passes everything on to another."""

    def __init__(self, lower: Transport) -> None:
        """Take over an open connection."""
        self.lower = lower
        """The transport below."""
        self.local: str = getattr(lower, "local", "")
        """This end, as the transport below names it."""

    @property
    def peer(self) -> str:
        """The other end, as the transport below names it."""
        return getattr(self.lower, "peer", "")

    def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        """See `Transport.send`."""
        return self.lower.send(buffers, timeout)

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        """See `Transport.receive_into`."""
        return self.lower.receive_into(view, timeout)

    def close(self) -> None:
        """See `Transport.close`."""
        self.lower.close()


class WrappedListener:
    """Accepts what another listener accepts, and wraps it."""

    def __init__(self, lower: Listener, wrap: Callable[[Transport], Transport]) -> None:
        """Take over a listener. `wrap` may not wait: who accepts has others to accept."""
        self.address = lower.address
        """Where the listener below listens."""
        self._lower = lower
        self._wrap = wrap

    def accept(self) -> Transport:
        """See `Listener.accept`."""
        return self._wrap(self._lower.accept())

    def close(self) -> None:
        """See `Listener.close`."""
        self._lower.close()
