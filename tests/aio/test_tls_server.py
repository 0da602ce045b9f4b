"""Associations over TLS in asyncio: who gets in, as whom, and who delays nobody."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack

import pytest

from dul_fsm.aio import associate, serve
from dul_fsm.errors import AssociationRejected, TransportFailed
from dul_fsm.services.peer_binding import PeerBinding
from dul_fsm.timers import TimeLimits
from dul_fsm.transports import TLS
from tests.aio.support import CONTEXTS, CT, LITTLE, MEGABYTE, PATIENCE, SCP, CancelledAt, run
from tests.certificates import Certificates, make
from tests.transports.test_tls_server import BOUND, LIMITS, PROMPT, calling, listening


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make(tmp_path_factory.mktemp("certificates"))


def test_an_association_over_tls(certificates: Certificates) -> None:
    async def test() -> None:
        async with (
            serve(SCP, listening(certificates)) as server,
            associate(calling(certificates, server.port), contexts=CONTEXTS) as association,
        ):
            assert [(await association.c_echo()).status for _ in range(2)] == [0xB001, 0xB002]
            assert (await association.c_store(CT, "1.2.3", LITTLE, MEGABYTE)).status == 0

    run(test)


def test_many_associations_at_once(certificates: Certificates) -> None:
    async def test() -> None:
        async with serve(SCP, listening(certificates)) as server:

            async def call() -> int:
                endpoint = calling(certificates, server.port)
                async with associate(endpoint, contexts=CONTEXTS) as association:
                    stored = await association.c_store(CT, "1.2.3", LITTLE, MEGABYTE)
                    return int(stored.status)

            assert await asyncio.gather(*(call() for _ in range(20))) == [0] * 20

    run(test)


def test_200_silent_clients_do_not_delay_the_201st(certificates: Certificates) -> None:
    async def test() -> None:
        with ExitStack() as stack:
            endpoint = listening(certificates)
            async with serve(endpoint=endpoint, time_limits=LIMITS) as server:
                for _ in range(200):
                    silent = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
                    stack.enter_context(silent)
                began = time.monotonic()
                async with associate(calling(certificates, server.port)) as association:
                    assert (await association.c_echo()).status == 0
                    assert server.connections == 201
                assert time.monotonic() - began < PROMPT

    run(test)


def test_artim_ends_a_silent_client(certificates: Certificates) -> None:
    async def test() -> None:
        limits = TimeLimits(artim=0.1)
        async with serve(endpoint=listening(certificates), time_limits=limits) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()

    run(test)


def test_a_plain_client_of_a_tls_server_ends_at_once(certificates: Certificates) -> None:
    async def test() -> None:
        async with serve(endpoint=listening(certificates), time_limits=LIMITS) as server:
            began = time.monotonic()
            with pytest.raises(TransportFailed, match="the connection was closed"):
                await associate("127.0.0.1", server.port)
            assert time.monotonic() - began < PROMPT

    run(test)


def test_a_tls_client_of_a_plain_server_ends_at_once_and_clearly(
    certificates: Certificates,
) -> None:
    async def test() -> None:
        async with serve(port=0, time_limits=LIMITS) as server:
            began = time.monotonic()
            with pytest.raises(TransportFailed, match="the peer does not speak TLS"):
                await associate(calling(certificates, server.port))
            assert time.monotonic() - began < PROMPT

    run(test)


def test_a_client_without_a_certificate_is_told_so(certificates: Certificates) -> None:
    async def test() -> None:
        async with serve(endpoint=listening(certificates)) as server:
            with pytest.raises(TransportFailed, match="it asks for a certificate of ours"):
                await associate(calling(certificates, server.port, cert=""))

    run(test)


def test_a_failed_handshake_is_reported(certificates: Certificates) -> None:
    reports: list[str] = []
    plain = listening(certificates)
    endpoint = TLS(
        plain.host, plain.port, plain.context, report=lambda peer, error: reports.append(str(error))
    )

    async def test() -> None:
        async with serve(endpoint=endpoint, time_limits=LIMITS) as server:
            with pytest.raises(TransportFailed):
                await associate("127.0.0.1", server.port)

    run(test)
    (report,) = reports
    assert "the first byte that it sends is 01H" in report


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
    bound: Mapping[str, str] = BOUND

    async def test() -> None:
        endpoint = listening(certificates, mutual=mutual)
        async with serve(endpoint=endpoint, peer_binding=PeerBinding(bound)) as server:
            caller = calling(certificates, server.port, cert)
            if admitted:
                await (await associate(caller, calling_ae_title=title)).release()
                return
            with pytest.raises(AssociationRejected) as caught:
                await associate(caller, calling_ae_title=title)
            error = caught.value
            assert (error.result, error.source, error.reason) == (1, 1, 3)

    run(test)


@pytest.mark.parametrize("late", [False, True])
def test_an_scu_that_is_cancelled_anywhere_leaves_nothing(
    certificates: Certificates, late: bool
) -> None:
    """`run` counts tasks and descriptors."""

    async def test() -> None:
        async with serve(SCP, listening(certificates), time_limits=LIMITS) as server:

            async def session() -> None:
                endpoint = calling(certificates, server.port)
                async with associate(endpoint, contexts=CONTEXTS) as association:
                    await association.c_store(CT, "1.2.3", LITTLE, MEGABYTE)

            n, fired = 1, True
            while fired:
                call = CancelledAt(session(), n, late=late)

                async def attempt(call: CancelledAt = call) -> None:
                    await call

                task = asyncio.create_task(attempt())
                await asyncio.wait([task])
                fired = call.fired
                assert task.cancelled() == fired
                n += 1
            assert n > 4

    run(test)
