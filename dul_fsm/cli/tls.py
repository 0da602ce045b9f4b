"""`--tls` and what goes with it: the endpoint that a command connects to, or listens on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dul_fsm.transports import TCP, Connector


@dataclass(frozen=True, slots=True)
class TLSOptions:
    """What was given on the command line."""

    profile: str
    """The section of PS3.15: B.12 or B.13."""
    cert: Path | None = None
    key: Path | None = None
    ca: Path | None = None


def connector(host: str, port: int, tls: TLSOptions | None) -> Connector:
    """What to connect to. Raises `ValueError` or `OSError` for files that do not do."""
    if tls is None:
        return TCP(host, port)
    from dul_fsm.transports.tls import TLS, client_context  # who uses none does not pay for it

    context = client_context(tls.profile, ca=tls.ca, cert=tls.cert, key=tls.key)
    return TLS(host, port, context)


def endpoint(
    host: str,
    port: int,
    tls: TLSOptions | None,
    report: Callable[[str], object],
    *,
    reuse_port: bool = False,
) -> Connector:
    """What to listen on. `report` is told who got no further than the handshake, and why.
    `reuse_port`: whether other processes listen there too.

    Without a CA to check them against, clients need no certificate. Raises as `connector` does.
    """
    if tls is None:
        return TCP(host, port, reuse_port=reuse_port)
    from dul_fsm.transports.tls import TLS, server_context

    if tls.cert is None:
        raise ValueError("--tls needs --cert here")
    context = server_context(
        tls.profile,
        cert=tls.cert,
        key=tls.key,
        ca=tls.ca,
        require_client_certificate=tls.ca is not None,
    )
    return TLS(
        host,
        port,
        context,
        reuse_port=reuse_port,
        report=lambda peer, error: report(f"no TLS connection with {peer}: {error}"),
    )
