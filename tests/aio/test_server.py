"""The asyncio server."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator

import pytest

from dul_fsm.aio import Handler, Server, associate, serve
from dul_fsm.aio import server as server_module
from dul_fsm.association import Aborted, Message, Origin
from dul_fsm.errors import AssociationAborted, AssociationError, AssociationRejected
from dul_fsm.negotiation import build_request
from dul_fsm.pdu import AAssociateRQ, PDUType, encode
from dul_fsm.services.handler import Accept, Reject
from dul_fsm.services.sop_classes import STUDY_ROOT_FIND
from dul_fsm.timers import TimeLimits
from dul_fsm.transports import TCP, Loopback
from dul_fsm.transports.aio.loopback import AsyncLoopbackListener, AsyncLoopbackTransport
from tests.aio.support import (
    CONTEXTS,
    CT,
    LITTLE,
    MEGABYTE,
    PATIENCE,
    SCP,
    Link,
    eventually,
    linked,
    run,
)


async def stranger(server: Server, say: bytes = b"") -> socket.socket:
    """A connection that is not going to be an association."""
    sock = socket.socket()
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", server.port))
    sock.send(say)
    return sock


def test_each_connection_has_a_handler_of_its_own() -> None:
    handlers: list[SCP] = []

    def handler() -> SCP:
        handlers.append(SCP())
        return handlers[-1]

    async def test() -> None:
        async with serve(handler, port=0) as server:
            assert server.address == f"127.0.0.1:{server.port}"
            async with (
                associate("127.0.0.1", server.port) as one,
                associate("127.0.0.1", server.port) as two,
            ):
                assert (await one.c_echo()).status == 0xB001
                assert (await one.c_echo()).status == 0xB002
                assert (await two.c_echo()).status == 0xB001
                assert (server.associations, server.connections) == (2, 2)
        assert len(handlers) == 2
        assert all(handler.peer.startswith("127.0.0.1:") for handler in handlers)

    run(test)


def test_the_called_ae_title_is_checked_only_if_that_is_asked_for() -> None:
    async def test() -> None:
        async with linked("loopback", ae_title="ME") as link:
            await (await link.associate(called_ae_title="OTHER")).release()
        async with linked("loopback", ae_title="ME", require_called_ae_title=True) as link:
            await (await link.associate(called_ae_title="ME")).release()
            with pytest.raises(AssociationRejected) as caught:
                await link.associate(called_ae_title="OTHER")
            assert (caught.value.result, caught.value.source, caught.value.reason) == (1, 1, 7)

    run(test)


def test_no_more_associations_than_allowed() -> None:
    async def test() -> None:
        async with linked("127.0.0.1", max_associations=2) as link:
            one, two = await link.associate(), await link.associate()
            with pytest.raises(AssociationRejected) as caught:
                await link.associate()
            assert (caught.value.result, caught.value.source, caught.value.reason) == (2, 3, 2)
            await one.release()
            three = await link.associate()
            assert (await three.c_echo()).status == 0xB001
            await two.abort()
            await three.release()

    run(test)


def test_associations_are_counted_while_their_handlers_decide() -> None:
    decide = asyncio.Event()

    class Slow(SCP):
        async def associate_requested(self, request: AAssociateRQ) -> Accept | Reject:
            await decide.wait()
            return Accept()

    async def test() -> None:
        async with linked("127.0.0.1", Slow, max_associations=1) as link:
            first = asyncio.create_task(link.associate())
            await eventually(lambda: link.server.associations)
            with pytest.raises(AssociationRejected):
                await link.associate()
            decide.set()
            await (await first).release()

    run(test)


def test_a_slow_handler_does_not_stop_the_others() -> None:
    leave = asyncio.Event()

    class Slow(SCP):
        async def c_store_requested(self, message: Message) -> int:
            await leave.wait()
            return 0

    async def test() -> None:
        async with linked("127.0.0.1", Slow) as link:
            slow = [await link.associate() for _ in range(5)]
            calls = [asyncio.create_task(a.c_store(CT, "1.2.3", LITTLE, b"data")) for a in slow]
            async with associate(link.peer) as quick:
                for _ in range(100):
                    await quick.c_echo()
            assert not any(call.done() for call in calls)
            leave.set()
            await asyncio.gather(*calls)
            await asyncio.gather(*(association.release() for association in slow))

    run(test)


def test_what_waits_for_the_answer_to_leave_may_take_its_time() -> None:
    leave, answered = asyncio.Event(), asyncio.Event()

    class Later(SCP):
        async def answered(self, message: Message) -> None:
            await leave.wait()
            answered.set()

    async def test() -> None:
        async with linked("127.0.0.1", Later) as link, associate(link.peer) as association:
            await association.c_echo()
            assert not answered.is_set()
            leave.set()
            await answered.wait()
            await association.c_echo()

    run(test)


@pytest.mark.parametrize("kind", ["loopback", "127.0.0.1"])
def test_a_peer_that_never_stops_sending_does_not_stop_the_others(kind: str) -> None:
    """Its bytes are always there, so its task would never have to wait."""

    async def test() -> None:
        async with linked(kind) as link:
            busy = await link.associate()
            chunks = (MEGABYTE for _ in range(100 if kind == "loopback" else 400))
            storing = asyncio.create_task(busy.c_store(CT, "1.2.3", LITTLE, chunks))
            slowest, count = 0.0, 0
            async with associate(link.peer) as quick:
                while not storing.done():
                    began = time.monotonic()
                    await quick.c_echo()
                    slowest, count = max(slowest, time.monotonic() - began), count + 1
            assert count > 10
            assert slowest < 0.5
            await storing
            await busy.release()

    run(test)


def test_who_was_rejected_and_does_not_close_is_no_association_any_more() -> None:
    decisions: list[Accept | Reject] = [Accept(), Reject()]

    class Rejects(SCP):
        async def associate_requested(self, request: AAssociateRQ) -> Accept | Reject:
            return decisions.pop()

    async def test() -> None:
        limits = TimeLimits(artim=PATIENCE)
        async with linked("127.0.0.1", Rejects, max_associations=1, time_limits=limits) as link:
            request = build_request(
                CONTEXTS, called_ae_title="A", calling_ae_title="B", maximum_length=0
            )
            sock = await stranger(link.server, encode(request))
            rejection = await asyncio.get_running_loop().sock_recv(sock, 64)
            assert rejection[0] == PDUType.A_ASSOCIATE_RJ
            await eventually(lambda: not link.server.associations)
            assert link.server.connections == 1
            await (await link.associate()).release()
            sock.close()

    run(test)


# Strangers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("say", [b"", b"\xff\xff"], ids=["silent", "nonsense"])
def test_the_oldest_stranger_goes_when_there_are_too_many(
    say: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "DESCRIPTORS_KEPT", 8)
    monkeypatch.setattr(server_module, "MAX_STRANGERS", 8)

    async def test() -> None:
        limits = TimeLimits(artim=PATIENCE)
        async with linked("127.0.0.1", time_limits=limits) as link:
            first = await link.associate()
            strangers = [await stranger(link.server, say) for _ in range(30)]
            await eventually(lambda: link.server.connections == 9)
            assert (await first.c_echo()).status == 0xB001
            async with associate(link.peer) as association:
                assert (await association.c_echo()).status == 0xB001
            await first.release()
            loop = asyncio.get_running_loop()
            while await loop.sock_recv(strangers[0], 64):
                pass
            for each in strangers:
                each.close()

    run(test)


def test_artim_ends_a_stranger() -> None:
    async def test() -> None:
        async with linked("127.0.0.1", time_limits=TimeLimits(artim=0.05)) as link:
            sock = await stranger(link.server)
            assert await asyncio.get_running_loop().sock_recv(sock, 1) == b""
            await eventually(lambda: not link.server.connections)
            sock.close()

    run(test)


# Closing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["loopback", "127.0.0.1"])
def test_closing_aborts_what_is_open_and_leaves_nothing(kind: str) -> None:
    async def test() -> None:
        scp = SCP()
        async with linked(kind, lambda: scp) as link:
            server = link.server
            association = await link.associate()
            strangers = [await stranger(server) for _ in range(3)] if kind != "loopback" else []
            await eventually(lambda: server.connections == 1 + len(strangers))

            async def ask() -> None:
                while True:
                    await association.c_echo()

            asking = asyncio.create_task(ask())
            waiting = asyncio.create_task(server.wait())
            await asyncio.sleep(0)
            await server.close()
            await waiting
            assert (server.connections, server.associations) == (0, 0)
            assert isinstance(scp.end, Aborted)
            assert scp.end.origin is Origin.LOCAL_USER
            with pytest.raises(AssociationAborted, match="by the peer's user"):
                await asking
            with pytest.raises(AssociationError):
                await link.associate()
            for each in strangers:
                each.close()
            await server.close()  # once more does nothing

    run(test)


def test_closing_cancels_handlers_and_does_not_wait_for_those_that_do_not_mind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_module, "STOP_PATIENCE", 0.05)
    leave = asyncio.Event()
    minded: list[bool] = []

    class Slow(SCP):
        async def c_store_requested(self, message: Message) -> int:
            try:
                await leave.wait()
            except asyncio.CancelledError:
                minded.append(True)
                await leave.wait()
            return 0

    async def test() -> None:
        async with linked("127.0.0.1", Slow) as link:
            association = await link.associate()
            call = asyncio.create_task(association.c_store(CT, "1.2.3", LITTLE, b"data"))
            await eventually(lambda: link.server.associations)
            await asyncio.sleep(0.02)
            await link.server.close()
            assert minded == [True]
            with pytest.raises(AssociationError):
                await call
            leave.set()
            await eventually(lambda: not link.server.connections)

    run(test)


def test_closing_does_not_wait_for_peers_that_never_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Endless(SCP):
        async def c_find_requested(self, message: Message) -> AsyncIterator[bytes]:
            while True:
                yield bytes(1 << 16)

    async def test() -> None:
        from dul_fsm.drivers import aio

        monkeypatch.setattr(aio.AsyncDriver.abort, "__defaults__", (0.1,))
        monkeypatch.setattr(aio.AsyncDriver.settle, "__defaults__", (0.1,))
        scp = Endless()
        async with linked("127.0.0.1", lambda: scp) as link:
            association = await link.associate()
            found = association.c_find(STUDY_ROOT_FIND, b"identifier")
            await anext(found)
            await asyncio.sleep(0.1)
            began = time.monotonic()
            await link.server.close()
            assert time.monotonic() - began < 1
            assert not link.server.connections
            assert isinstance(scp.end, Aborted)
            await association.abort()

    run(test)


def test_a_handler_may_close_the_server_that_it_serves() -> None:
    class Closes(SCP):
        async def c_store_requested(self, message: Message) -> int:
            await link.server.close()
            return 0

    link: Link

    async def test() -> None:
        nonlocal link
        async with linked("127.0.0.1", Closes) as link:
            association, other = await link.associate(), await link.associate()
            with pytest.raises(AssociationAborted):
                await association.c_store(CT, "1.2.3", LITTLE, b"data")
            with pytest.raises(AssociationAborted):
                await other.c_echo()
            await link.server.wait()
            await eventually(lambda: not link.server.connections)

    run(test)


# What goes wrong ---------------------------------------------------------------------------------


def test_a_handler_that_cannot_be_made_is_reported_and_the_server_goes_on() -> None:
    broken = [ValueError("no handler today")]

    def handler() -> Handler:
        if broken:
            raise broken.pop()
        return Handler()

    async def test() -> None:
        async with linked("127.0.0.1", handler) as link:
            sock = await stranger(link.server)
            assert await asyncio.get_running_loop().sock_recv(sock, 1) == b""
            sock.close()
            await (await link.associate()).release()
            assert [str(error) for error in link.errors] == ["no handler today"]

    run(test)


def test_an_accept_that_fails_is_reported_and_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_module, "ACCEPT_PAUSE", 0.001)
    real = AsyncLoopbackListener.accept
    failures = [OSError("something"), OSError("else")]

    async def accept(self: AsyncLoopbackListener) -> AsyncLoopbackTransport:
        if failures:
            raise failures.pop()
        return await real(self)

    monkeypatch.setattr(AsyncLoopbackListener, "accept", accept)

    async def test() -> None:
        async with linked("loopback") as link:
            await (await link.associate()).release()
            assert [str(error) for error in link.errors] == ["else", "something"]

    run(test)


def test_it_cannot_listen_where_somebody_does() -> None:
    async def test() -> None:
        endpoint = Loopback()
        async with serve(port=0) as server, serve(endpoint=endpoint):
            with pytest.raises(OSError, match="in use"):
                await serve(port=server.port)
            with pytest.raises(OSError, match="somebody listens already"):
                await serve(endpoint=endpoint)

    run(test)


def test_a_server_is_awaited_or_entered_and_observed() -> None:
    async def test() -> None:
        steps: list[object] = []
        server = await serve(port=0, observer=steps.append, maximum_length=4096)
        async with associate(TCP("127.0.0.1", server.port)) as association:
            assert association.answer.user_information.maximum_length == 4096
        await server.close()
        assert steps

    run(test)
