"""TLS in asyncio: a transport like any other; its own are the handshake, trust and the end."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from dul_fsm.testing import check_transport_async, transport_tasks
from dul_fsm.testing.transport_tools import Clause
from dul_fsm.testing.transports_aio import CLAUSES
from dul_fsm.transports import TCP, TLS, Faults
from dul_fsm.transports.aio import AsyncTransport, loopback
from dul_fsm.transports.aio import tls as aio_tls
from dul_fsm.transports.aio.tls import AsyncTLSTransport, at_once
from dul_fsm.transports.base import ListenerClosed, TransportClosed
from dul_fsm.transports.tls import TLSError, client_context, server_context
from dul_fsm.transports.tls_end import READ_SIZE
from tests.aio.support import PATIENCE, CancelledAt, eventually, run
from tests.certificates import Certificates, make
from tests.transports.sockets import reset

Contexts = tuple[ssl.SSLContext, ssl.SSLContext]
"""A client's and a server's."""

Ends = tuple[AsyncTLSTransport, AsyncTLSTransport]

SOON = 0.05

blocked = transport_tasks.blocked
clog = transport_tasks.clog
receive_exactly = transport_tasks.receive_exactly
scratch = transport_tasks.scratch
send_all = transport_tasks.send_all


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def contexts(certificates: Certificates) -> Contexts:
    return (
        client_context(ca=certificates.ca, cert=certificates.client),
        server_context(ca=certificates.ca, cert=certificates.server),
    )


def over(lower: tuple[AsyncTransport, AsyncTransport], contexts: Contexts) -> Ends:
    """Both ends over a connection, before the handshake."""
    client, server = contexts
    return (
        AsyncTLSTransport(lower[0], client, server_hostname="127.0.0.1"),
        AsyncTLSTransport(lower[1], server, server_side=True),
    )


async def tcp_pair() -> tuple[AsyncTransport, AsyncTransport]:
    listener = await TCP("127.0.0.1", 0).listen_async()
    endpoint = TCP("127.0.0.1", listener.port)
    ends = await asyncio.gather(endpoint.connect_async(PATIENCE), listener.accept())
    listener.close()
    return ends


async def ragged() -> tuple[AsyncTransport, AsyncTransport]:
    faults = Faults(max_receive=700, max_send=700, seed=7)
    return loopback.pair(20_000, faults, faults)


async def ready(
    contexts: Contexts,
    lower: Callable[[], Coroutine[Any, Any, tuple[AsyncTransport, AsyncTransport]]] = tcp_pair,
) -> Ends:
    """Both ends, after the handshake."""
    one, other = over(await lower(), contexts)
    await asyncio.gather(one.handshake(PATIENCE), other.handshake(PATIENCE))
    return one, other


@asynccontextmanager
async def joined(contexts: Contexts) -> AsyncIterator[Ends]:
    """Two ends over TCP, after the handshake, closed in the end."""
    one, other = await ready(contexts)
    try:
        yield one, other
    finally:
        one.close()
        other.close()


async def send_for_ever(end: AsyncTransport) -> None:
    while True:
        await end.send([bytes(1000)], PATIENCE)


# The clauses -------------------------------------------------------------------------------------


def say_close_notify(end: AsyncTLSTransport) -> None:
    end._engine.close()
    end._push()


def break_below(end: AsyncTLSTransport) -> None:
    lower: Any = end._lower
    if hasattr(lower, "blocking"):
        lower.blocking.cut()
    else:
        lower._readable.wake()
        lower._writable.wake()
        reset(lower._blocking._socket)


@pytest.mark.parametrize("kind", ["tls-1.3", "tls-1.3-accepted", "tls-1.2", "over-ragged-loopback"])
@pytest.mark.parametrize("clause", CLAUSES, ids=str)
def test_tls_keeps(clause: Clause, kind: str, contexts: Contexts) -> None:
    if kind == "tls-1.2":
        contexts[0].maximum_version = ssl.TLSVersion.TLSv1_2
    lower = ragged if kind.endswith("loopback") else tcp_pair

    async def make_pair() -> tuple[AsyncTransport, AsyncTransport]:
        one, other = await ready(contexts, lower)
        return (other, one) if kind.endswith("accepted") else (one, other)

    assert not check_transport_async(
        make_pair, half_close=say_close_notify, reset=break_below, clauses=[clause]
    )


def test_what_a_close_interrupts_says_so(contexts: Contexts) -> None:
    async def test() -> None:
        async with joined(contexts) as (a, _):
            await clog(a)
            tasks = [
                await blocked(a.receive_into(scratch(), None)),
                await blocked(a.send([b"x"], None)),
            ]
            a.close()
            for task in tasks:
                with pytest.raises(TransportClosed, match="closed on this side"):
                    await task

    run(test)


# Endpoints ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_an_endpoint_connects_and_accepts(contexts: Contexts, version: ssl.TLSVersion) -> None:
    contexts[0].maximum_version = version

    async def test() -> None:
        listener = await TLS("127.0.0.1", 0, contexts[1]).listen_async()
        endpoint = TLS("127.0.0.1", listener.port, contexts[0])
        connect = asyncio.create_task(endpoint.connect_async(PATIENCE))
        accepted = await listener.accept()
        assert accepted.peer_certificate is None
        receive = await blocked(accepted.receive_into(scratch(), None))
        connected = await connect
        await send_all(connected, b"x")
        assert await receive == 1
        assert accepted.peer_certificate is not None
        assert accepted.peer_certificate.names == ("ct1.example.org",)
        assert connected.version == version.name.replace("v1_", "v1.")
        assert connected.alpn_protocol == "dicom"
        assert connected.cipher_suite == accepted.cipher_suite != ""
        assert connected.peer == listener.address == accepted.local
        for each in (connected, accepted, listener):
            each.close()
        with pytest.raises(ListenerClosed):
            await listener.accept()

    run(test)


def test_a_context_of_the_other_end_is_refused_in_words(contexts: Contexts) -> None:
    async def test() -> None:
        with pytest.raises(ValueError, match="client_context"):
            await TLS("127.0.0.1", 1, contexts[1]).connect_async(1)
        with pytest.raises(ValueError, match="server_context"):
            await TLS("127.0.0.1", 0, contexts[0]).listen_async()

    run(test)


def test_a_server_that_is_not_trusted_is_refused(certificates: Certificates) -> None:
    ours = client_context(ca=certificates.other_ca)
    theirs = server_context(cert=certificates.server, require_client_certificate=False)
    reports: list[str] = []

    async def test() -> None:
        endpoint = TLS("127.0.0.1", 0, theirs, report=lambda peer, e: reports.append(str(e)))
        listener = await endpoint.listen_async()

        async def accept() -> None:
            accepted = await listener.accept()
            with pytest.raises(TLSError, match="the peer refuses the TLS connection"):
                await accepted.receive_into(scratch(), PATIENCE)
            accepted.close()

        task = asyncio.create_task(accept())
        with pytest.raises(TLSError, match="the peer's certificate is not accepted"):
            await TLS("127.0.0.1", listener.port, ours).connect_async(PATIENCE)
        await task
        listener.close()

    run(test)
    assert len(reports) == 1


def test_a_refused_client_learns_why_also_when_its_sending_fails(
    certificates: Certificates, contexts: Contexts
) -> None:
    """It learns it only after the handshake (TLS 1.3)."""
    anonymous = client_context(ca=certificates.ca)

    async def test() -> None:
        one, other = over(await tcp_pair(), (anonymous, contexts[1]))
        serve = asyncio.create_task(other.receive_into(scratch(), None))
        await one.handshake(PATIENCE)
        with pytest.raises(TLSError, match="no certificate"):
            await serve
        other.close()
        with pytest.raises(TLSError, match="it asks for a certificate of ours"):
            await send_for_ever(one)
        one.close()

    run(test)


# The handshake -----------------------------------------------------------------------------------


def test_a_handshake_has_a_deadline_of_its_own(contexts: Contexts) -> None:
    async def test() -> None:
        lower, peer = loopback.pair()
        end = AsyncTLSTransport(lower, contexts[1], server_side=True, handshake_timeout=SOON)
        for _ in range(2):
            with pytest.raises(TLSError, match="the peer may not speak TLS"):
                await end.receive_into(scratch(), None)
        end.close()
        peer.close()

    run(test)


def test_a_handshake_goes_on_where_a_timeout_has_interrupted_it(contexts: Contexts) -> None:
    async def test() -> None:
        one, other = over(await tcp_pair(), contexts)
        with pytest.raises(TimeoutError, match="not over yet"):
            await one.receive_into(scratch(), SOON)
        with pytest.raises(TimeoutError):
            at_once(one.send([b"x"], 0))
        task = asyncio.create_task(other.handshake(PATIENCE))
        await send_all(one, b"x")
        await task
        assert await receive_exactly(other, 1) == b"x"
        one.close()
        other.close()

    run(test)


def test_two_tasks_that_begin_share_the_handshake(contexts: Contexts) -> None:
    async def test() -> None:
        one, other = over(await tcp_pair(), contexts)
        receive = await blocked(one.receive_into(scratch(), None))
        with pytest.raises(TimeoutError):
            await one.send([b"x"], SOON)
        send = await blocked(one.send([b"x"], None))
        assert await receive_exactly(other, 1) == b"x"
        await send_all(other, b"y")
        assert (await send, await receive) == (1, 1)
        one.close()
        other.close()

    run(test)


@pytest.mark.parametrize("late", [False, True])
def test_a_connect_that_is_cancelled_leaves_nothing(contexts: Contexts, late: bool) -> None:
    """At each of its suspensions; `run` counts descriptors and tasks."""

    async def attempt(n: int) -> bool:
        listener = await TLS("127.0.0.1", 0, contexts[1]).listen_async()

        async def accept() -> None:
            accepted = await listener.accept()
            try:
                await accepted.receive_into(scratch(), PATIENCE)
            except OSError:
                pass
            finally:
                accepted.close()

        serve = asyncio.create_task(accept())
        endpoint = TLS("127.0.0.1", listener.port, contexts[0])
        call = CancelledAt(endpoint.connect_async(PATIENCE), n, late=late)

        async def connect() -> None:
            (await call).close()

        task = asyncio.create_task(connect())
        await asyncio.wait([task])
        listener.close()
        if call.suspensions == 0:
            serve.cancel()
        await asyncio.wait([serve], timeout=PATIENCE)
        return call.fired

    async def test() -> None:
        n = 1
        while await attempt(n):
            n += 1
        assert n > 1

    run(test)


def test_close_wakes_who_waits_in_a_handshake(contexts: Contexts) -> None:
    async def test() -> None:
        one, other = over(await tcp_pair(), contexts)
        receive = await blocked(one.receive_into(scratch(), None))
        send = await blocked(one.send([b"x"], None))
        one.close()
        one.close()
        for task in (receive, send):
            with pytest.raises(TransportClosed):
                await task
        for call in (one.receive_into(scratch(), 1), one.send([b"x"], 1), one.send([], 1)):
            with pytest.raises(TransportClosed):
                await call
        other.close()

    run(test)


# Who does not speak TLS --------------------------------------------------------------------------


def test_a_plain_client_of_a_tls_listener_ends_at_once_and_clearly(contexts: Contexts) -> None:
    reports: list[str] = []

    async def test() -> None:
        endpoint = TLS("127.0.0.1", 0, contexts[1], report=lambda peer, e: reports.append(str(e)))
        listener = await endpoint.listen_async()
        plain = await TCP("127.0.0.1", listener.port).connect_async(PATIENCE)
        await plain.send([b"\x01\x00\x00"], None)
        accepted = await listener.accept()
        with pytest.raises(TLSError, match="the peer does not speak TLS") as caught:
            await accepted.receive_into(scratch(), PATIENCE)
        accepted.close()
        assert await plain.receive_into(scratch(), PATIENCE) == 0
        plain.close()
        listener.close()
        assert reports == [str(caught.value)]

    run(test)


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
    async def test() -> None:
        listener = await TCP("127.0.0.1", 0).listen_async()
        endpoint = TLS("127.0.0.1", listener.port, contexts[0])
        connect = asyncio.create_task(endpoint.connect_async(PATIENCE))
        plain = await listener.accept()
        await receive_exactly(plain, 5)
        await plain.send([said], PATIENCE)
        plain.close()
        with pytest.raises(TLSError, match=why):
            await connect
        listener.close()

    run(test)


def test_a_reset_in_the_middle_of_the_handshake_is_told_apart(contexts: Contexts) -> None:
    async def test() -> None:
        lower, peer = loopback.pair()
        end = AsyncTLSTransport(lower, contexts[0], server_hostname="127.0.0.1")
        receive = await blocked(end.receive_into(scratch(), None))
        peer.blocking.cut()
        with pytest.raises(TLSError, match=r"lost in the middle .* may not speak TLS"):
            await receive
        end.close()

    run(test)


# The end -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_an_end_without_close_notify_is_a_truncation(
    contexts: Contexts, version: ssl.TLSVersion
) -> None:
    contexts[0].maximum_version = version

    async def test() -> None:
        async with joined(contexts) as (a, b):
            await send_all(a, b"the last words")
            a._lower.close()
            assert await receive_exactly(b, 14) == b"the last words"
            for timeout in (None, 0):
                with pytest.raises(TLSError, match="cut: no TLS close_notify"):
                    await b.receive_into(scratch(), timeout)

    run(test)


def test_a_changed_byte_is_an_error_that_stays(contexts: Contexts) -> None:
    async def test() -> None:
        async with joined(contexts) as (a, b):
            await a._lower.send([b"\x17\x03\x03\x00\x20" + bytes(32)], PATIENCE)
            for _ in range(2):
                with pytest.raises(TLSError, match="not what the peer sent"):
                    await b.receive_into(scratch(), PATIENCE)
                with pytest.raises(TLSError):
                    await b.send([b"x"], PATIENCE)
            with pytest.raises(TLSError, match="bad record mac"):
                await a.receive_into(scratch(), PATIENCE)

    run(test)


# Bytes -------------------------------------------------------------------------------------------


def test_nothing_decrypted_is_left_waiting(contexts: Contexts) -> None:
    async def test() -> None:
        async with joined(contexts) as (a, b):
            await send_all(a, b"1")
            await send_all(a, b"2" * 20_000)
            assert await receive_exactly(b, 1) == b"1"
            left = 20_000
            while left:
                left -= await b.receive_into(memoryview(bytearray(100)), PATIENCE)
                if b._engine._ssl.pending():
                    assert at_once(b.receive_into(memoryview(bytearray(1)), 0)) == 1
                    left -= 1

    run(test)


def test_what_a_clogged_send_took_leaves_by_itself(contexts: Contexts) -> None:
    """The tail ends when all has left, and the stream goes on."""

    async def test() -> None:
        async with joined(contexts) as (a, b):
            taken = await clog(a)
            assert a._tail is not None
            assert await receive_exactly(b, len(taken)) == taken
            await eventually(lambda: a._tail is None)
            await send_all(a, b"x")
            assert await receive_exactly(b, 1) == b"x"

    run(test)


def test_a_peer_that_takes_nothing_is_given_up_after_close(
    contexts: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aio_tls, "LINGER", SOON)

    async def test() -> None:
        a, b = await ready(contexts, ragged)
        await clog(a)
        await asyncio.sleep(2 * SOON)  # an open connection is not given up
        assert a._tail is not None
        a.close()
        await eventually(lambda: a._tail is None)
        with pytest.raises(TransportClosed):
            await a._lower.send([b"x"], None)
        b.close()

    run(test)


def test_a_tail_does_not_outlive_its_peer(contexts: Contexts) -> None:
    async def test() -> None:
        async with joined(contexts) as (a, b):
            await clog(a)
            b._lower.close()
            with pytest.raises(ConnectionError):
                await send_for_ever(a)

    run(test)


def test_a_loop_that_ends_takes_the_tail_with_it(contexts: Contexts) -> None:
    kept: list[AsyncTLSTransport] = []

    async def test() -> None:
        a, b = await ready(contexts, ragged)
        await clog(a)
        a.close()
        kept.extend((a, b))

    asyncio.run(test())
    kept[1].close()
    assert kept[0]._tail is None


def test_to_close_after_the_loop_does_no_harm(contexts: Contexts) -> None:
    kept: list[AsyncTLSTransport] = []

    async def test() -> None:
        a, b = await ready(contexts, ragged)
        await clog(a)
        kept.extend((a, b))

    asyncio.run(test())
    for end in kept:
        end.close()


def test_a_lower_transport_that_suspends_where_it_may_not_is_a_bug() -> None:
    with pytest.raises(RuntimeError, match="must not suspend"):
        at_once(asyncio.sleep(0, 1))


def test_small_talk_takes_a_small_buffer_and_a_stream_a_large_one(contexts: Contexts) -> None:
    """Thousands of connections that wait must not hold 64 KiB each."""

    async def test() -> None:
        async with joined(contexts) as (a, b):
            assert len(b._ciphertext) == aio_tls.FIRST_READ_SIZE
            await asyncio.gather(send_all(a, bytes(100_000)), receive_exactly(b, 100_000))
            assert len(b._ciphertext) == READ_SIZE

    run(test)


def test_a_lower_transport_without_addresses_is_no_trouble(contexts: Contexts) -> None:

    class Bare:
        def __init__(self, inner: AsyncTransport) -> None:
            self.send = inner.send
            self.receive_into = inner.receive_into
            self.close = inner.close

    async def test() -> None:
        lower = loopback.pair()
        one, other = over((Bare(lower[0]), Bare(lower[1])), contexts)
        await asyncio.gather(one.handshake(PATIENCE), other.handshake(PATIENCE))
        assert one.peer == other.local == ""
        one.close()
        other.close()

    run(test)


def test_a_socket_that_says_nothing_holds_up_no_accept(contexts: Contexts) -> None:
    async def test() -> None:
        listener = await TLS("127.0.0.1", 0, contexts[1]).listen_async()
        silent = socket.create_connection(("127.0.0.1", listener.port), PATIENCE)
        first = await listener.accept()
        waits = await blocked(first.receive_into(scratch(), None))
        connect = asyncio.create_task(
            TLS("127.0.0.1", listener.port, contexts[0]).connect_async(PATIENCE)
        )
        second = await listener.accept()
        await second.handshake(PATIENCE)
        assert not waits.done()
        silent.close()
        with pytest.raises(TLSError, match="may not speak TLS"):
            await waits
        for each in (first, second, await connect, listener):
            each.close()

    run(test)
