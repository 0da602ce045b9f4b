"""A transport around another one: what passes everything on, to change one thing of it.

    class Counted(Wrapper):
        sent = 0

        def send(self, buffers, timeout):
            count = self.lower.send(buffers, timeout)
            self.sent += count
            return count

Who only looks on, or has something to say or to hear before the conversation, needs less: a `Tap`
(`dul_fsm.transports.taps`), which is written once for threads and for asyncio.

What is *not* here: any thing that is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

from dul_fsm.transports.base import Buffer, Listener, Transport

if TYPE_CHECKING:
    from dul_fsm.transports.tls_engine import PeerCertificate


class Closable(Protocol):
    """A connection of either kind."""

    def close(self) -> None:
        """See `Transport.close`."""
        ...


C = TypeVar("C", bound=Closable)


class Passing:
    """What a wrapper is called and how safe it is, as the transport below says; for both kinds."""

    def __init__(self, lower: Closable) -> None:
        """`lower`: an open connection of either kind."""
        self._below = lower
        self.local: str = getattr(lower, "local", "")
        """This end, as the transport below names it."""

    @property
    def peer(self) -> str:
        """The other end, as the transport below names it."""
        return getattr(self._below, "peer", "")

    @property
    def secure(self) -> bool:
        """Whether what is sent is encrypted on its way below."""
        return getattr(self._below, "secure", False) is True

    @property
    def peer_certificate(self) -> PeerCertificate | None:
        """The certificate that was shown to the transport below; None if it is no TLS."""
        return getattr(self._below, "peer_certificate", None)

    def close(self) -> None:
        """See `Transport.close`."""
        self._below.close()


class Wrapper(Passing):
    """A transport that passes everything on to another."""

    def __init__(self, lower: Transport) -> None:
        """Take over an open connection."""
        super().__init__(lower)
        self.lower = lower
        """The transport below."""

    def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        """See `Transport.send`."""
        return self.lower.send(buffers, timeout)

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        """See `Transport.receive_into`."""
        return self.lower.receive_into(view, timeout)


class WrappedListener:
    """Accepts what another listener accepts, and wraps it."""

    def __init__(self, lower: Listener, wrap: Callable[[Transport], Transport]) -> None:
        """Take over a listener. `wrap` may not wait: who accepts has others to accept."""
        self.address = lower.address
        """Where the listener below listens."""
        self._lower = lower
        self._wrap = wrap

    def accept(self) -> Transport:
        """See `Listener.accept`. Raises what `wrap` raises; the connection is closed then."""
        with closed_if_it_fails(self._lower.accept()) as accepted:
            return self._wrap(accepted)

    def close(self) -> None:
        """See `Listener.close`."""
        self._lower.close()


@contextmanager
def closed_if_it_fails(connection: C) -> Iterator[C]:
    """A connection, which is closed if what is done with it raises."""
    try:
        yield connection
    except BaseException:
        connection.close()
        raise
