"""Associations over TLS: who gets in, as whom, and who delays nobody."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack

import pytest

from dul_fsm.errors import AssociationRejected, TransportFailed
from dul_fsm.scp import serve
from dul_fsm.scu import associate
from dul_fsm.services.peer_binding import PeerBinding
from dul_fsm.timers import TimeLimits
from dul_fsm.transports.tls import TLS, client_context, server_context
from tests.certificates import Certificates
from tests.transports.helpers import PATIENCE

PROMPT = 20.0
"""Seconds within which what takes milliseconds must have happened, and no time limit has passed."""

LIMITS = TimeLimits(artim=PATIENCE * 2)


def listening(certificates: Certificates, *, mutual: bool = True) -> TLS:
    context = server_context(
        ca=certificates.ca if mutual else None,
        cert=certificates.server,
        require_client_certificate=mutual,
    )
    return TLS("127.0.0.1", 0, context, handshake_timeout=PATIENCE)


def calling(certificates: Certificates, port: int, cert: str = "client") -> TLS:
    return TLS(
        "127.0.0.1",
        port,
        client_context(ca=certificates.ca, cert=getattr(certificates, cert) if cert else None),
    )


def test_an_association_over_tls(certificates: Certificates) -> None:
    with (
        serve(endpoint=listening(certificates)) as server,
        associate(calling(certificates, server.port)) as association,
    ):
        assert [association.c_echo().status for _ in range(3)] == [0, 0, 0]


def test_200_silent_clients_do_not_delay_the_201st(certificates: Certificates) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(serve(endpoint=listening(certificates), time_limits=LIMITS))
        for _ in range(200):
            silent = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
            stack.enter_context(silent)
        began = time.monotonic()
        with associate(calling(certificates, server.port)) as association:
            assert association.c_echo().status == 0
        assert time.monotonic() - began < PROMPT


def test_artim_ends_a_silent_client(certificates: Certificates) -> None:
    with (
        serve(endpoint=listening(certificates), time_limits=TimeLimits(artim=0.1)) as server,
        socket.create_connection(("127.0.0.1", server.port), PATIENCE) as silent,
    ):
        assert silent.recv(100) == b""


def test_a_plain_client_of_a_tls_server_ends_at_once(certificates: Certificates) -> None:
    with serve(endpoint=listening(certificates), time_limits=LIMITS) as server:
        began = time.monotonic()
        with pytest.raises(TransportFailed, match="the connection was closed"):
            associate("127.0.0.1", server.port)
        assert time.monotonic() - began < PROMPT


def test_a_tls_client_of_a_plain_server_ends_at_once_and_clearly(
    certificates: Certificates,
) -> None:
    with serve(port=0, time_limits=LIMITS) as server:
        began = time.monotonic()
        with pytest.raises(TransportFailed, match="the peer does not speak TLS"):
            associate(calling(certificates, server.port))
        assert time.monotonic() - began < PROMPT


def test_a_client_without_a_certificate_is_told_so(certificates: Certificates) -> None:
    with (
        serve(endpoint=listening(certificates)) as server,
        pytest.raises(TransportFailed, match="it asks for a certificate of ours"),
    ):
        associate(calling(certificates, server.port, cert=""))


BOUND: Mapping[str, str] = {"ct1.example.org": "CT1"}


@pytest.mark.parametrize(
    ("title", "cert", "mutual", "admitted"),
    [
        ("CT1", "client", True, True),
        ("CT2", "client", True, False),
        ("CT1", "server", True, False),
        ("CT1", "", False, False),
    ],
    ids=["its own", "another", "another's", "no certificate"],
)
def test_a_peer_uses_the_ae_titles_that_its_certificate_may(
    certificates: Certificates, title: str, cert: str, mutual: bool, admitted: bool
) -> None:
    endpoint = listening(certificates, mutual=mutual)
    with serve(endpoint=endpoint, peer_binding=PeerBinding(BOUND)) as server:
        caller = calling(certificates, server.port, cert)
        if admitted:
            associate(caller, calling_ae_title=title).release()
            return
        with pytest.raises(AssociationRejected) as caught:
            associate(caller, calling_ae_title=title)
        error = caught.value
        assert (error.result, error.source, error.reason) == (1, 1, 3)


def test_a_binding_lets_nobody_in_over_plain_tcp() -> None:
    with (
        serve(port=0, peer_binding=PeerBinding(BOUND)) as server,
        pytest.raises(AssociationRejected),
    ):
        associate("127.0.0.1", server.port, calling_ae_title="CT1")
