"""What both kinds of TLS connection are: an engine, a deadline for the handshake, and words.

What is *not* here: waiting (`dul_fsm.transports.tls_transport`, `dul_fsm.transports.aio.tls`).
"""

from __future__ import annotations

import errno
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar, TypeAlias

from dul_fsm.transports.base import TransportClosed
from dul_fsm.transports.tls_engine import PeerCertificate, TLSEngine, TLSError

Report: TypeAlias = Callable[[str, TLSError], object]
"""Told the address of a peer with which there was no handshake, and why."""

HANDSHAKE_TIMEOUT = 15.0
"""Seconds for a handshake, from the accept on: half of ARTIM's 30, and enough for a slow link."""

LINGER = 5.0
"""Seconds for which the rest of what was sent may take to leave after `close`."""

READ_SIZE = 1 << 18
"""Bytes of ciphertext in one receive: about as many as the other end encrypts at once."""


class TLSEnd:
    """One end of a TLS connection, whichever way it waits."""

    secure: ClassVar[bool] = True
    """Whether what is sent is encrypted on its way."""

    def __init__(
        self,
        lower: object,
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
        report: Report | None = None,
    ) -> None:
        """`lower`: an open connection; `server_hostname`: whom the peer's certificate must name."""
        self.local: str = getattr(lower, "local", "")
        """This end, as the transport below names it."""
        self.peer: str = getattr(lower, "peer", "")
        """The other end, as the transport below names it."""
        self._engine = TLSEngine(context, server_side=server_side, server_hostname=server_hostname)
        self._report = report
        self._handshake_timeout = handshake_timeout
        self._handshake_by = time.monotonic() + handshake_timeout
        self._closed = False

    # What is known ------------------------------------------------------------------------------

    @property
    def peer_certificate(self) -> PeerCertificate | None:
        """The certificate that the peer has shown; None if none, or before the handshake."""
        return self._engine.peer_certificate

    @property
    def version(self) -> str:
        """The version of TLS, such as "TLSv1.3"; empty before the handshake."""
        return self._engine.version

    @property
    def cipher_suite(self) -> str:
        """OpenSSL's name of the cipher suite; empty before the handshake."""
        return self._engine.cipher_suite

    @property
    def alpn_protocol(self) -> str:
        """What ALPN agreed on; empty if the peer does not know it."""
        return self._engine.alpn_protocol

    # What is wrong ------------------------------------------------------------------------------

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What `close` breaks is told as closed."""
        try:
            yield
        except OSError as error:
            if self._closed and not isinstance(error, TransportClosed):
                raise TransportClosed from None
            raise

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """A handshake: what goes wrong in it is told in words, and to who wants to know of it."""
        try:
            try:
                yield
            except OSError as error:
                raise self._explained(error) from None
        except TLSError as error:
            report, self._report = self._report, None
            if report is not None:
                report(self.peer, error)
            raise

    def _explained(self, error: OSError) -> OSError:
        if isinstance(error, TimeoutError):
            return self._late()
        if self._closed or isinstance(error, TLSError) or not isinstance(error, ConnectionError):
            return error
        text = error.strerror or str(error)
        return self._fail(
            f"lost in the middle of the TLS handshake: {text}; the peer may not speak TLS"
        )

    def _late(self) -> OSError:
        """What to raise when the time is over: the caller's, or the handshake's own."""
        if time.monotonic() < self._handshake_by:
            return TimeoutError(errno.ETIMEDOUT, "the TLS handshake is not over yet")
        return self._fail(
            f"the TLS handshake was not over in {self._handshake_timeout:g} s: "
            "the peer may not speak TLS"
        )

    def _fail(self, text: str) -> TLSError:
        return self._engine.fail(text)

    def _check(self) -> None:
        if self._closed:
            raise TransportClosed
