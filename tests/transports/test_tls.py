"""TLS is a transport like any other; what is its own is the handshake, trust and the end."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from dul_fsm.testing.transports import CLAUSES, Clause, check_transport
from dul_fsm.transports import TCP, TLS, Faults, Transport, pair, tls, tls_transport
from dul_fsm.transports.base import TransportClosed
from dul_fsm.transports.tls import TLSError, TLSTransport, client_context, server_context
from dul_fsm.transports.wrapping import Wrapper
from tests.certificates import Certificates
from tests.transports.helpers import (
    PATIENCE,
    SOON,
    MakePair,
    Task,
    clog,
    receive_exactly,
    receive_to_end,
    send_all,
    send_for_ever,
)
from tests.transports.sockets import reset

Contexts = tuple[ssl.SSLContext, ssl.SSLContext]
"""A client's and a server's."""

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


def view(length: int = 8) -> memoryview:
    return memoryview(bytearray(length))


def mutual(certificates: Certificates) -> Contexts:
    return (
        client_context(ca=certificates.ca, cert=certificates.client),
        server_context(ca=certificates.ca, cert=certificates.server),
    )


@pytest.fixture
def contexts(certificates: Certificates) -> Contexts:
    return mutual(certificates)


def over(lower: tuple[Transport, Transport], contexts: Contexts) -> tuple[TLSTransport, ...]:
    """Both ends over a connection, before the handshake."""
    client, server = contexts
    return (
        TLSTransport(lower[0], client, server_hostname="127.0.0.1"),
        TLSTransport(lower[1], server, server_side=True),
    )


def ready(ends: tuple[TLSTransport, ...]) -> tuple[TLSTransport, TLSTransport]:
    """The same after the handshake."""
    one, other = ends
    task = Task(one.handshake, PATIENCE)
    other.handshake(PATIENCE)
    task.result()
    return one, other


def tcp_pair() -> tuple[Transport, Transport]:
    with closing(TCP("127.0.0.1", 0).listen()) as listener:
        return TCP("127.0.0.1", listener.port).connect(PATIENCE), listener.accept()


@contextmanager
def joined(contexts: Contexts) -> Iterator[tuple[TLSTransport, TLSTransport]]:
    """Two ends over TCP, after the handshake."""
    one, other = ready(over(tcp_pair(), contexts))
    with closing(one), closing(other):
        yield one, other


# The clauses -------------------------------------------------------------------------------------


def ragged() -> tuple[Transport, Transport]:
    faults = Faults(max_receive=700, max_send=700, seed=7)
    return pair(20_000, faults, faults)


@pytest.fixture(params=["tls-1.3", "tls-1.3-accepted", "tls-1.2", "tls-over-ragged-loopback"])
def make_pair(request: pytest.FixtureRequest, contexts: Contexts) -> MakePair:
    if request.param == "tls-1.2":
        contexts[0].maximum_version = ssl.TLSVersion.TLSv1_2
    lower = ragged if request.param.endswith("loopback") else tcp_pair

    def make() -> tuple[Transport, Transport]:
        one, other = ready(over(lower(), contexts))
        return (other, one) if request.param.endswith("accepted") else (one, other)

    return make


def say_close_notify(end: TLSTransport) -> None:
    with end._changed:
        end._engine.close()
    end._push()


def break_below(end: TLSTransport) -> None:
    if hasattr(end._lower, "cut"):
        end._lower.cut()
    else:
        reset(end._lower._socket)  # type: ignore[attr-defined]


@pytest.mark.parametrize("clause", CLAUSES, ids=str)
def test_tls_keeps(clause: Clause, make_pair: MakePair) -> None:
    assert not check_transport(
        make_pair, half_close=say_close_notify, reset=break_below, clauses=[clause]
    )


def test_what_a_close_interrupts_says_so(contexts: Contexts) -> None:
    with joined(contexts) as (a, _):
        receive = Task(a.receive_into, view(), None).blocked()
        send = Task(send_for_ever, a).blocked()
        a.close()
        for task in (receive, send):
            with pytest.raises(TransportClosed, match="closed on this side"):
                task.result()


# Endpoints ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_an_endpoint_connects_and_accepts(host: str, contexts: Contexts) -> None:
    client, server = contexts
    try:
        listener = TLS(host, 0, server).listen()
    except OSError:
        pytest.skip(f"this host has no {host}")
    with closing(listener):
        connecting = Task(TLS(host, listener.port, client).connect, PATIENCE)
        with closing(listener.accept()) as accepted:
            receiving = Task(receive_exactly, accepted, 2)
            with closing(connecting.result()) as connected:
                send_all(connected, b"hi")
                assert receiving.result() == b"hi"
                assert connected.peer == accepted.local == listener.address
                assert accepted.peer == connected.local
                assert connected.version == accepted.version == "TLSv1.3"
                assert connected.alpn_protocol == accepted.alpn_protocol == "dicom"
                certificate = accepted.peer_certificate
                assert certificate is not None
                assert certificate.names == ("ct1.example.org",)
                assert "trustme" in certificate.subject
                assert len(certificate.fingerprint) == 64
                certificate = connected.peer_certificate
                assert certificate is not None
                assert "127.0.0.1" in certificate.names


def test_the_port_is_checked_and_named(contexts: Contexts) -> None:
    with pytest.raises(ValueError, match="65535"):
        TLS("", 65536, contexts[0])
    assert str(TLS("::1", 2762, contexts[0])) == "[::1]:2762"


def test_a_context_of_the_other_end_is_refused_in_words(contexts: Contexts) -> None:
    client, server = contexts
    with pytest.raises(ValueError, match=r"server_context\(\)"):
        TLS("127.0.0.1", 0, client).listen()
    with pytest.raises(ValueError, match=r"client_context\(\)"):
        TLS("127.0.0.1", 1, server).connect(1.0)


def test_a_peer_without_alpn_is_accepted(contexts: Contexts, certificates: Certificates) -> None:
    client = ssl.create_default_context(cafile=str(certificates.ca))
    client.load_cert_chain(certificates.client)
    with joined((client, contexts[1])) as (connected, accepted):
        assert accepted.alpn_protocol == ""
        send_all(connected, b"x")
        assert receive_exactly(accepted, 1) == b"x"


# The handshake -----------------------------------------------------------------------------------


def test_accept_does_not_wait_for_the_handshake(contexts: Contexts) -> None:
    with closing(TLS("127.0.0.1", 0, contexts[1]).listen()) as listener:
        silent = [socket.create_connection(("127.0.0.1", listener.port)) for _ in range(3)]
        for sock in silent:
            with closing(listener.accept()) as accepted:
                with pytest.raises(TimeoutError):
                    accepted.receive_into(view(), 0)
                with pytest.raises(TimeoutError):
                    accepted.send([b"x"], SOON)
                assert accepted.send([b""], None) == 0
                assert accepted.peer_certificate is None
                assert accepted.version == accepted.cipher_suite == ""
            sock.close()


@pytest.mark.parametrize("say", [b"", b"\x16\x03\x01\x02\x00"], ids=["silent", "slow"])
def test_a_handshake_has_a_deadline_of_its_own(contexts: Contexts, say: bytes) -> None:
    lower, peer = pair()
    reports: list[str] = []
    end = TLSTransport(
        lower,
        contexts[1],
        server_side=True,
        handshake_timeout=SOON,
        report=lambda address, error: reports.append(f"{address} {error}"),
    )
    if say:
        peer.send([say], None)
    for _ in range(2):
        with pytest.raises(TLSError, match=r"not over in 0\.03 s"):
            end.receive_into(view(), None)
    assert len(reports) == 1
    assert reports[0].startswith(f"{lower.peer} the TLS handshake was not over")
    end.close()


def test_a_handshake_goes_on_where_a_timeout_has_interrupted_it(contexts: Contexts) -> None:
    """With a timeout of 0 each: what an event loop does."""
    client, server = over(tcp_pair(), contexts)
    by = time.monotonic() + PATIENCE
    waiting = {client, server}
    while waiting and time.monotonic() < by:
        for end in list(waiting):
            try:
                end.handshake(0)
            except TimeoutError:
                continue
            waiting.discard(end)
    assert not waiting
    for end in (client, server):
        end.handshake(0)
        end.close()


def test_two_threads_that_begin_share_the_handshake(contexts: Contexts) -> None:
    client, server = over(tcp_pair(), contexts)
    tasks: list[Task[Any]] = [
        Task(receive_exactly, client, 1),
        Task(send_all, client, b"a"),
        Task(receive_exactly, server, 1),
        Task(send_all, server, b"b"),
    ]
    assert [task.result() for task in tasks] == [b"b", None, b"a", None]
    client.close()
    server.close()


def test_close_wakes_who_waits_in_a_handshake(contexts: Contexts) -> None:
    end, peer = over(tcp_pair(), contexts)
    receive = Task(end.receive_into, view(), None).blocked()
    send = Task(end.send, [b"x"], None).blocked()
    end.close()
    for task in (receive, send):
        with pytest.raises(TransportClosed):
            task.result()
    peer.close()


def test_a_client_has_one_timeout_for_all_of_connect(contexts: Contexts) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            TLS("127.0.0.1", port, contexts[0]).connect(0.05)
        with pytest.raises(TLSError, match="may not speak TLS"):
            TLS("127.0.0.1", port, contexts[0], handshake_timeout=0.05).connect(None)
        assert time.monotonic() - began < 20


# Trust -------------------------------------------------------------------------------------------


def refused(contexts: Contexts, name: str = "127.0.0.1") -> tuple[str, str]:
    """Why the client and why the server say that there is no connection."""
    lower = tcp_pair()
    client = TLSTransport(lower[0], contexts[0], server_hostname=name)
    server = TLSTransport(lower[1], contexts[1], server_side=True)

    def fails(end: TLSTransport) -> str:
        with pytest.raises(ConnectionError) as caught:
            # A client whose certificate is refused learns it after its handshake (TLS 1.3).
            end.receive_into(view(), PATIENCE)
        end.close()
        return str(caught.value)

    task = Task(fails, client)
    return fails(server), task.result()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_checks_the_host_name(certificates: Certificates, version: ssl.TLSVersion) -> None:
    client, server = mutual(certificates)
    client.maximum_version = version
    theirs, ours = refused((client, server), "elsewhere.example.org")
    assert "the peer's certificate is not accepted: Hostname mismatch" in ours
    assert "the peer refuses the TLS connection" in theirs
    theirs, ours = refused((client, server), "127.0.0.2")
    assert "IP address mismatch" in ours


def test_a_client_that_is_told_so_does_not_check_the_host_name(certificates: Certificates) -> None:
    client = client_context(ca=certificates.ca, cert=certificates.client, check_hostname=False)
    server = server_context(ca=certificates.ca, cert=certificates.elsewhere)
    with joined((client, server)) as (a, b):
        send_all(a, b"x")
        assert receive_exactly(b, 1) == b"x"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("server", "ours"),
    [
        ("expired", "the peer's certificate is not accepted: certificate has expired"),
        ("stranger", "the peer's certificate is not accepted: unable to get local issuer"),
    ],
)
def test_a_client_refuses_a_server_that_it_does_not_trust(
    certificates: Certificates, version: ssl.TLSVersion, server: str, ours: str
) -> None:
    client = client_context(ca=certificates.ca, cert=certificates.client)
    client.maximum_version = version
    shown = server_context(ca=certificates.ca, cert=getattr(certificates, server))
    theirs, said = refused((client, shown))
    assert ours in said
    assert "the peer refuses the TLS connection" in theirs


@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_refuses_a_client_that_it_does_not_trust(
    certificates: Certificates, version: ssl.TLSVersion
) -> None:
    client = client_context(ca=certificates.ca, cert=certificates.stranger)
    client.maximum_version = version
    theirs, ours = refused((client, mutual(certificates)[1]))
    assert "the peer's certificate is not accepted: unable to get local issuer" in theirs
    assert "it does not know the CA of our certificate" in ours


@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_requires_a_certificate(
    certificates: Certificates, version: ssl.TLSVersion
) -> None:
    client = client_context(ca=certificates.ca)
    client.maximum_version = version
    theirs, ours = refused((client, mutual(certificates)[1]))
    assert theirs == "the peer has shown no certificate"
    assert "certificate" in ours


@pytest.mark.parametrize("ca", [True, False])
def test_a_server_that_is_told_so_requires_none(certificates: Certificates, ca: bool) -> None:
    server = server_context(
        cert=certificates.server,
        ca=certificates.ca if ca else None,
        require_client_certificate=False,
    )
    with joined((client_context(ca=certificates.ca), server)) as (a, b):
        send_all(a, b"x")
        assert receive_exactly(b, 1) == b"x"
        assert b.peer_certificate is None
    with joined((mutual(certificates)[0], server)) as (_, b):
        # What is not asked for is not shown.
        assert (b.peer_certificate is not None) == ca


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_versions_are_refused(certificates: Certificates, version: ssl.TLSVersion) -> None:
    old = ssl.create_default_context(cafile=str(certificates.ca))
    with pytest.warns(DeprecationWarning, match="deprecated"):
        old.minimum_version = version
    with pytest.warns(DeprecationWarning, match="deprecated"):
        old.maximum_version = version
    old.set_ciphers("ALL:@SECLEVEL=0")
    theirs, ours = refused((old, mutual(certificates)[1]))
    assert "TLS that are too old" in theirs
    assert "it speaks other versions of TLS" in ours


def test_a_refused_client_learns_why_also_when_its_sending_fails(
    certificates: Certificates,
) -> None:
    """The server is gone before the client has said anything (TLS 1.3)."""
    contexts = client_context(ca=certificates.ca), mutual(certificates)[1]
    client, server = over(pair(), contexts)
    task = Task(server.handshake, PATIENCE)
    client.handshake(PATIENCE)
    with pytest.raises(TLSError, match="shown no certificate"):
        task.result()
    server.close()
    for _ in range(2):
        with pytest.raises(TLSError, match="it asks for a certificate of ours"):
            client.send([b"A-ASSOCIATE-RQ"], PATIENCE)
    client.close()


def test_looking_for_last_words_loses_no_bytes(contexts: Contexts) -> None:
    """What the peer sent before it closed comes after the send that found it gone."""
    client, server = ready(over(pair(), contexts))
    send_all(server, b"the last words")
    server.close()
    with pytest.raises(BrokenPipeError):
        client.send([b"x"], PATIENCE)
    assert receive_exactly(client, 3, most=3) == b"the"
    assert receive_to_end(client) == b" last words"
    client.close()


# Who does not speak TLS --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "first"), [(b"\x01\x00\x00", "01H"), (b"GET / HTTP/1.1\r\n\r\n", "47H")]
)
def test_a_plain_client_of_a_tls_listener_ends_at_once_and_clearly(
    contexts: Contexts, said: bytes, first: str
) -> None:
    reports: list[str] = []
    endpoint = TLS(
        "127.0.0.1", 0, contexts[1], report=lambda peer, error: reports.append(str(error))
    )
    with (
        closing(endpoint.listen()) as listener,
        socket.create_connection(("127.0.0.1", listener.port), PATIENCE) as plain,
    ):
        plain.sendall(said)
        with closing(listener.accept()) as accepted:
            with pytest.raises(TLSError, match="the peer does not speak TLS") as caught:
                accepted.receive_into(view(), PATIENCE)
            assert first in str(caught.value)
        assert reports == [str(caught.value)]
        assert plain.recv(100) == b""


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"\x07\x00\x00\x00\x00\x04", "the peer does not speak TLS: the first byte that it sends"),
        (b"", "hung up in the middle of the TLS handshake: it may not speak TLS"),
    ],
)
def test_a_tls_client_of_a_plain_port_ends_at_once_and_clearly(
    contexts: Contexts, said: bytes, why: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as plain:

        def answer() -> bytes:
            peer, _ = plain.accept()
            with peer:
                hello = peer.recv(5)
                peer.sendall(said)
                peer.shutdown(socket.SHUT_WR)
                while peer.recv(1000):
                    pass
                return hello

        task = Task(answer)
        with pytest.raises(TLSError, match=why):
            TLS("127.0.0.1", plain.getsockname()[1], contexts[0]).connect(PATIENCE)
        assert task.result()[0] == 0x16


def test_who_hangs_up_in_the_middle_of_the_handshake_is_told_apart(contexts: Contexts) -> None:
    lower, peer = pair()
    end = TLSTransport(lower, contexts[1], server_side=True)
    peer.send([b"\x16\x03\x01"], None)
    peer.close()
    with pytest.raises(TLSError, match=r"in the middle of the TLS handshake$"):
        end.receive_into(view(), PATIENCE)
    end.close()


def test_a_reset_in_the_middle_of_the_handshake_is_told_apart(contexts: Contexts) -> None:
    """What a peer does that closes over a hello it has not read."""
    lower, peer = tcp_pair()
    end = TLSTransport(lower, contexts[0], server_hostname="127.0.0.1")
    receive = Task(end.receive_into, view(), PATIENCE).blocked()
    reset(peer._socket)  # type: ignore[attr-defined]
    peer.close()
    with pytest.raises(TLSError, match=r"lost in the middle .* may not speak TLS"):
        receive.result()
    with pytest.raises(TLSError, match=r"lost in the middle .* may not speak TLS"):
        end.send([b"x"], None)
    end.close()


# The end -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_an_end_without_close_notify_is_a_truncation(
    contexts: Contexts, version: ssl.TLSVersion
) -> None:
    contexts[0].maximum_version = version
    with joined(contexts) as (a, b):
        send_all(a, b"the last words")
        a._lower.close()
        assert receive_exactly(b, 14) == b"the last words"
        for timeout in (None, 0):
            with pytest.raises(TLSError, match="cut: no TLS close_notify"):
                b.receive_into(view(), timeout)


def test_a_context_that_ignores_truncation_is_not_believed(contexts: Contexts) -> None:
    """Python's default: OpenSSL takes any end for an end in order."""
    contexts[1].options |= ssl.OP_IGNORE_UNEXPECTED_EOF
    with joined(contexts) as (a, b):
        a._lower.close()
        with pytest.raises(TLSError, match="no TLS close_notify"):
            b.receive_into(view(), None)


def test_a_changed_byte_is_an_error_that_stays(contexts: Contexts) -> None:
    with joined(contexts) as (a, b):
        send_all(a, b"before")
        a._lower.send([b"\x17\x03\x03\x00\x20" + bytes(32)], PATIENCE)
        assert receive_exactly(b, 6) == b"before"
        for _ in range(2):
            with pytest.raises(TLSError, match="not what the peer sent"):
                b.receive_into(view(), PATIENCE)
            with pytest.raises(TLSError):
                b.send([b"x"], PATIENCE)
        with pytest.raises(TLSError, match="the peer refuses the TLS connection: bad record mac"):
            a.receive_into(view(), PATIENCE)


# Bytes -------------------------------------------------------------------------------------------


def test_nothing_decrypted_is_left_waiting(contexts: Contexts) -> None:
    """Several records came with one system call: all are there, without another."""
    with joined(contexts) as (a, b):
        send_all(a, b"1")
        send_all(a, b"2" * 20_000)
        assert receive_exactly(b, 1) == b"1"
        left = 20_000
        while left:
            # As soon as one byte of the second message was decrypted, its record is there.
            left -= b.receive_into(view(100), PATIENCE)
            if b._engine._ssl.pending():
                assert b.receive_into(view(1), 0) == 1
                left -= 1


def test_a_large_view_takes_all_that_is_there_at_once(contexts: Contexts) -> None:
    with joined(contexts) as (a, b):
        for number in range(10):
            send_all(a, bytes([number]) * 100)
        # Of TLS 1.3: 5 bytes of header, 1 of type, 16 of proof.
        arrived = receive_exactly(b._lower, 10 * (100 + 22))
        b._engine.feed(memoryview(arrived))
        assert b.receive_into(view(4000), 0) == 1000


def test_what_the_other_end_encrypts_at_once_is_taken_in_at_once(contexts: Contexts) -> None:
    class Counted(Wrapper):
        receives = 0

        def receive_into(self, view: memoryview, timeout: float | None) -> int:
            self.receives += 1
            return super().receive_into(view, timeout)

    lower = pair(1 << 20)
    counted = Counted(lower[1])
    a, b = ready(over((lower[0], counted), contexts))
    with closing(a), closing(b):
        count = a.send([bytes(1 << 20)], PATIENCE)
        assert count >= 128 * 1024  # a P-DATA-TF as long as we receive
        counted.receives = 0
        assert receive_exactly(b, count) == bytes(count)
        assert counted.receives <= 2


def test_what_a_timed_out_send_took_leaves_by_itself(contexts: Contexts) -> None:
    """The tail ends when all has left, and the stream goes on."""
    with joined(contexts) as (a, b):
        taken = clog(a, 0)
        assert a._sending
        assert receive_exactly(b, len(taken)) == taken
        send_all(a, b"x")
        assert receive_exactly(b, 1) == b"x"
        assert not a._tail


def test_the_rest_and_the_end_arrive_after_close(contexts: Contexts) -> None:
    with joined(contexts) as (a, b):
        taken = clog(a, 0)
        a.close()
        assert receive_to_end(b) == taken


def test_a_peer_that_takes_nothing_is_given_up_after_close(
    contexts: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_transport, "LINGER", SOON)
    with joined(contexts) as (a, _):
        clog(a, 0)
        a.close()
        by = time.monotonic() + PATIENCE
        while a._lower.fileno() >= 0 and time.monotonic() < by:  # type: ignore[attr-defined]
            Task(time.sleep, SOON).result()
        assert a._lower.fileno() < 0  # type: ignore[attr-defined]


def test_a_tail_does_not_outlive_its_peer(contexts: Contexts) -> None:
    with joined(contexts) as (a, b):
        clog(a, 0)
        b._lower.close()
        with pytest.raises(ConnectionError):
            send_for_ever(a)


def test_close_does_not_wait_for_who_takes_nothing(contexts: Contexts) -> None:
    """Who receives is woken at once, though a tail would still have something to send."""
    with joined(contexts) as (a, _):
        clog(a, 0)
        receive = Task(a.receive_into, view(), None).blocked()
        a.close()
        with pytest.raises(TransportClosed):
            receive.result()


def test_a_lower_transport_without_addresses_is_no_trouble(contexts: Contexts) -> None:
    class Bare:
        def __init__(self, inner: Transport) -> None:
            self.send = inner.send
            self.receive_into = inner.receive_into
            self.close = inner.close

    a, b = pair()
    client, server = ready(over((Bare(a), Bare(b)), contexts))
    assert client.peer == server.local == ""
    send_all(client, b"x")
    assert receive_exactly(server, 1) == b"x"
    client.close()
    server.close()


def test_each_name_is_importable_from_one_place() -> None:
    for name in tls.__all__:
        assert hasattr(tls, name)
