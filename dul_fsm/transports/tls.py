"""TLS over TCP: the secure transport connection of PS3.15 Annex B.

    context = client_context(ca="hospital-ca.pem", cert="me.pem", key="me.key")
    with associate(TLS("pacs.example.org", 2762, context)) as association: ...

    context = server_context(ca="hospital-ca.pem", cert="me.pem", key="me.key")
    with serve(endpoint=TLS("", 2762, context)) as server: ...

`connect` returns when the handshake is over. `accept` returns at once: the handshake happens in
the thread or task that serves the connection, inside ARTIM and under a deadline of its own. An
integrity failure is an `OSError` as any other, the Evt17 of PS3.8 §9.2 (PS3.15 §B.9 to §B.13).

What is *not* here: the connection (`dul_fsm.transports.tls_transport`, and `.aio.tls` for asyncio),
TLS itself (`.tls_engine`), and what is trusted (`.tls_contexts`).
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from dul_fsm.transports.addresses import address_text
from dul_fsm.transports.base import Listener
from dul_fsm.transports.tcp import BACKLOG, TCP
from dul_fsm.transports.tls_contexts import TLSProfile, client_context, server_context
from dul_fsm.transports.tls_end import HANDSHAKE_TIMEOUT, Report
from dul_fsm.transports.tls_engine import PeerCertificate, TLSError
from dul_fsm.transports.tls_transport import TLSTransport
from dul_fsm.transports.waiting import deadline_in, seconds_to

if TYPE_CHECKING:
    from dul_fsm.transports.aio.tls import AsyncTLSListener, AsyncTLSTransport

__all__ = [
    "HANDSHAKE_TIMEOUT",
    "TLS",
    "PeerCertificate",
    "Report",
    "TLSError",
    "TLSListener",
    "TLSProfile",
    "TLSTransport",
    "client_context",
    "server_context",
]


class TLSListener:
    """Accepts TLS connections from another listener. Any number of threads may accept."""

    def __init__(
        self,
        lower: Listener,
        context: ssl.SSLContext,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
        report: Report | None = None,
    ) -> None:
        """Take over a listener. `report` is called from the threads of the connections."""
        self._lower = lower
        self._context = context
        self._handshake_timeout = handshake_timeout
        self._report = report
        self.address: str = lower.address
        """Where it listens, as the listener below names it."""

    @property
    def port(self) -> int:
        """The TCP port it listens on."""
        return int(self.address.rpartition(":")[2])

    def accept(self) -> TLSTransport:
        """See `Listener.accept`. The handshake is still to come."""
        return TLSTransport(
            self._lower.accept(),
            self._context,
            server_side=True,
            handshake_timeout=self._handshake_timeout,
            report=self._report,
        )

    def close(self) -> None:
        """See `Listener.close`."""
        self._lower.close()


@dataclass(frozen=True, slots=True)
class TLS:
    """A TLS endpoint over TCP. Raises `ValueError` for a port outside 0..65535."""

    secure: ClassVar[bool] = True
    """Whether what is sent is encrypted on its way."""

    host: str
    """Name or address, IPv4 or IPv6. Empty: listen on every interface, connect to this host."""
    port: int
    """1..65535, registered for DICOM is 2762; 0 to listen on a port that the system chooses."""
    context: ssl.SSLContext
    """From `client_context` to connect, from `server_context` to listen."""
    server_hostname: str | None = None
    """Whom the peer's certificate must name, if that is not `host`."""
    handshake_timeout: float = HANDSHAKE_TIMEOUT
    """Seconds for a handshake."""
    backlog: int = BACKLOG
    """Connections that may wait to be accepted."""
    reuse_port: bool = False
    """Whether other processes may listen on the port as well; see `TCP`."""
    report: Report | None = None
    """Told of failed handshakes by who listens: the association that they were for never begins,
    so nobody else is."""

    def __post_init__(self) -> None:
        self._tcp()

    def __str__(self) -> str:
        return address_text((self.host, self.port))

    def _tcp(self) -> TCP:
        return TCP(self.host, self.port, self.backlog, self.reuse_port)

    def connect(self, timeout: float | None) -> TLSTransport:
        """See `Connector.connect`. The handshake is over, within the timeout.

        Raises `TLSError` when it fails; a server may refuse our certificate later, and then the
        first `receive_into` raises it (TLS 1.3). `ValueError` for the context of a server.
        """
        self._check_context(ssl.PROTOCOL_TLS_CLIENT, "client_context")
        deadline = deadline_in(timeout)
        lower = self._tcp().connect(timeout)
        try:
            transport = TLSTransport(
                lower,
                self.context,
                server_hostname=self.server_hostname or self.host or "localhost",
                handshake_timeout=self.handshake_timeout,
            )
            transport.handshake(seconds_to(deadline))
        except BaseException:
            lower.close()
            raise
        return transport

    def listen(self) -> TLSListener:
        """See `Connector.listen`. Raises `ValueError` for the context of a client."""
        self._check_context(ssl.PROTOCOL_TLS_SERVER, "server_context")
        return TLSListener(self._tcp().listen(), self.context, self.handshake_timeout, self.report)

    async def connect_async(self, timeout: float | None) -> AsyncTLSTransport:
        """The same for asyncio, see `AsyncConnector.connect_async`."""
        from dul_fsm.transports.aio import tls

        self._check_context(ssl.PROTOCOL_TLS_CLIENT, "client_context")
        deadline = deadline_in(timeout)
        lower = await self._tcp().connect_async(timeout)
        try:
            transport = tls.AsyncTLSTransport(
                lower,
                self.context,
                server_hostname=self.server_hostname or self.host or "localhost",
                handshake_timeout=self.handshake_timeout,
            )
            await transport.handshake(seconds_to(deadline))
        except BaseException:
            lower.close()
            raise
        return transport

    async def listen_async(self) -> AsyncTLSListener:
        """The same for asyncio, see `AsyncConnector.listen_async`."""
        from dul_fsm.transports.aio import tls

        self._check_context(ssl.PROTOCOL_TLS_SERVER, "server_context")
        lower = await self._tcp().listen_async()
        return tls.AsyncTLSListener(lower, self.context, self.handshake_timeout, self.report)

    def _check_context(self, kind: int, maker: str) -> None:
        if self.context.protocol not in (kind, ssl.PROTOCOL_TLS):
            raise ValueError(f"this TLS context is the other end's: make it by {maker}()")
