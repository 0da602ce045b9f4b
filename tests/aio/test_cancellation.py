"""Cancelled at every await there is: no task, no descriptor, and the peer is told.

A session is run again and again, and cancelled at its first suspension, its second, ... until it
has none left to be cancelled at.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest

from dul_fsm.aio import Handler, Server, associate, serve
from dul_fsm.association import Aborted, Message, Origin, Released
from dul_fsm.dimse import CEchoRQ
from dul_fsm.errors import AssociationError
from dul_fsm.services.handler import Accept
from dul_fsm.services.sop_classes import STUDY_ROOT_FIND, VERIFICATION
from dul_fsm.transports import TCP, Loopback
from dul_fsm.transports.aio import AsyncConnector
from tests.aio.support import (
    CONTEXTS,
    CT,
    LITTLE,
    PATIENCE,
    SCP,
    CancelledAt,
    eventually,
    linked,
    run,
)

DATA = bytes(300_000)

each_way = pytest.mark.parametrize("late", [False, True], ids=["waiting", "just as it goes on"])
each_kind = pytest.mark.parametrize("kind", ["loopback", "127.0.0.1"])

Session = Callable[[AsyncConnector], Coroutine[Any, Any, None]]


def endpoint(kind: str) -> Loopback | None:
    """A narrow one, so that there is a lot to wait for."""
    return Loopback(capacity=20_000) if kind == "loopback" else None


async def whole_session(peer: AsyncConnector) -> None:
    """Everything that an SCU may wait for."""
    async with associate(peer, contexts=CONTEXTS) as association:
        assert (await association.c_echo()).status == 0xB001
        await association.c_store(CT, "1.2.3", LITTLE, DATA)
        found = [message.status async for message in association.c_find(STUDY_ROOT_FIND, b"id")]
        assert found == [0xFF00] * 3 + [0]
        async for _ in association.c_find(STUDY_ROOT_FIND, b"id"):
            break


async def session_without_a_with(peer: AsyncConnector) -> None:
    """What is cancelled may be one operation, and the association goes on."""
    association = await associate(peer, contexts=CONTEXTS)
    try:
        await association.c_echo()
        await association.c_store(CT, "1.2.3", LITTLE, DATA)
        async for _ in association.c_find(STUDY_ROOT_FIND, b"id"):
            pass
    except asyncio.CancelledError:
        if association.established:
            assert (await association.c_echo()).status & 0xB000 == 0xB000
            await association.release()
        raise
    await association.release()


async def aborted_session(peer: AsyncConnector) -> None:
    """The clean-up is what is cancelled."""
    association = await associate(peer, contexts=CONTEXTS)
    await association.abort("enough")


@each_way
@each_kind
@pytest.mark.parametrize("session", [whole_session, session_without_a_with, aborted_session])
def test_an_scu_may_be_cancelled_at_any_await(session: Session, kind: str, late: bool) -> None:
    async def cancelled(n: int) -> bool:
        scp = SCP()
        async with linked(kind, lambda: scp, endpoint(kind)) as link:
            at = CancelledAt(session(link.peer), n, late=late)
            interrupted = False
            try:
                await at
            except asyncio.CancelledError:
                interrupted = True
            except AssociationError:
                interrupted = True  # as an answer that was on its way came first
            assert interrupted or not at.fired or late
            # Nothing is done for the SCU from here on, and the peer must hear of it all the same.
            await eventually(lambda: not link.server.connections)
            assert not link.server.associations
            assert link.errors == []
            if any(told != "closed" for told in scp.told):
                assert told_properly(scp.end), (n, scp.end)
            assert all(sink.discarded or sink.length == len(DATA) for sink in scp.sinks)
        task = asyncio.current_task()
        assert task is not None
        while task.cancelling():
            task.uncancel()
        return at.fired

    async def test() -> None:
        n = 1
        while await cancelled(n):
            assert len(asyncio.all_tasks()) == 1, n
            n += 1
        assert n > 2

    run(test)


def told_properly(end: object) -> bool:
    """An A-ABORT, and not a connection that is just gone."""
    return isinstance(end, Released) or (
        isinstance(end, Aborted) and end.origin is Origin.PEER_USER
    )


@each_kind
def test_an_scu_may_be_cancelled_again_while_it_cleans_up(kind: str) -> None:
    """Then nobody waits for the peer any more, but the connection is closed all the same."""

    async def cancelled(n: int) -> bool:
        scp = SCP()
        async with linked(kind, lambda: scp, endpoint(kind)) as link:
            at = CancelledAt(whole_session(link.peer), n, late=False, times=1000)
            with suppress(asyncio.CancelledError):
                await at
            task = asyncio.current_task()
            assert task is not None
            while task.cancelling():
                task.uncancel()
            await eventually(lambda: not link.server.connections)
            assert link.errors == []
        return at.fired

    async def test() -> None:
        n = 1
        while await cancelled(n):
            assert len(asyncio.all_tasks()) == 1, n
            n += 1
        assert n > 6

    run(test)


class Slow(SCP):
    """Awaits in every method."""

    def __init__(self) -> None:
        super().__init__()
        self.open = 0

    async def associate_requested(self, request):  # type: ignore[no-untyped-def]
        await asyncio.sleep(0)
        return await super().associate_requested(request)

    async def c_echo_requested(self, message: Message) -> int:
        await asyncio.sleep(0.001)
        return await super().c_echo_requested(message)

    async def c_find_requested(self, message: Message) -> AsyncIterator[bytes]:
        self.open += 1
        try:
            for _ in range(3):
                yield bytes(10_000)
        finally:
            self.open -= 1
            await asyncio.sleep(0)


@each_way
@each_kind
def test_a_servers_association_may_be_cancelled_at_any_await(
    kind: str, late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By whoever finds the task, as `asyncio.run` does in the end: the SCU gets its A-ABORT."""
    at: CancelledAt
    original = Server._run

    async def cancelled(n: int) -> bool:
        nonlocal at
        fired = False

        async def run_cancelled(self: Server, connection: Any) -> None:
            nonlocal at, fired
            at = CancelledAt(original(self, connection), n, late=late)
            try:
                await at
            finally:
                fired = at.fired

        monkeypatch.setattr(Server, "_run", run_cancelled)
        scp = Slow()
        async with linked(kind, lambda: scp, endpoint(kind)) as link:
            established, failed = False, ""
            try:
                async with associate(link.peer, contexts=CONTEXTS) as association:
                    established = True
                    await association.c_echo()
                    await association.c_store(CT, "1.2.3", LITTLE, DATA)
                    async for _ in association.c_find(STUDY_ROOT_FIND, b"id"):
                        pass
            except AssociationError as error:
                failed = str(error)
            assert not (established and failed) or "by the peer's user" in failed, (n, failed)
            await eventually(lambda: not link.server.connections)
            assert scp.open == 0
            assert scp.told.count("closed") <= 1
        return fired

    async def test() -> None:
        n = 1
        while await cancelled(n):
            assert len(asyncio.all_tasks()) == 1, n
            n += 1
        assert n > 6

    run(test)


@each_kind
def test_opening_and_closing_a_server_may_be_cancelled_at_any_await(kind: str) -> None:
    async def cancelled(n: int) -> bool:
        scp = Slow()
        where: AsyncConnector = Loopback() if kind == "loopback" else TCP("127.0.0.1", 0)

        async def session() -> None:
            server = await serve(lambda: scp, where)
            peer = where if kind == "loopback" else TCP("127.0.0.1", server.port)
            calls = [asyncio.create_task(client(peer)) for _ in range(3)]
            try:
                await eventually(lambda: server.associations == 3)
            except BaseException:
                await server.close()
                raise
            finally:
                ending.extend(calls)
            closing = CancelledAt(server.close(), n, late=False)
            try:
                await closing
            finally:
                fired.append(closing.fired)
                assert not server.connections

        async def client(peer: AsyncConnector) -> None:
            with pytest.raises(AssociationError):  # noqa: PT012
                async with associate(peer, contexts=CONTEXTS) as association:
                    while True:
                        await association.c_echo()

        fired: list[bool] = []
        ending: list[asyncio.Task[None]] = []
        try:
            await session()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
        await asyncio.gather(*ending)
        return fired == [True]

    async def test() -> None:
        n = 1
        while await cancelled(n):
            await eventually(lambda: len(asyncio.all_tasks()) == 1)
            n += 1
        assert n > 1

    run(test)


@pytest.mark.parametrize("service", ["c_echo", "c_find"])
def test_a_time_out_of_the_callers_gives_up_its_operation_only(service: str) -> None:
    late, cancelled = asyncio.Event(), []

    class Slow(SCP):
        async def c_echo_requested(self, message: Message) -> int:
            await late.wait()
            return await super().c_echo_requested(message)

        async def c_find_requested(self, message: Message) -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"match"
                    await asyncio.sleep(0.001)
            finally:
                cancelled.append(1)

    async def test() -> None:
        scp = Slow()
        async with linked("127.0.0.1", lambda: scp) as link:
            association = await link.associate()
            found = association.c_find(STUDY_ROOT_FIND, b"id")
            waiting = association.c_echo() if service == "c_echo" else found.response()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(waiting, 0.01)
            assert found.done == (service == "c_find")
            assert association.established
            late.set()
            assert (await association.c_echo()).status == (
                0xB002 if service == "c_echo" else 0xB001
            )
            assert cancelled == ([] if service == "c_echo" else [1])
            await association.release()
            assert isinstance(scp.end, Released)

    run(test)


def test_a_data_set_that_is_given_up_while_it_is_sent_aborts() -> None:
    """Half a message cannot be taken back, and its source is the caller's again."""
    stuck = asyncio.Event()

    class Stuck(SCP):
        async def open_sink(self, message: Message):  # type: ignore[no-untyped-def]
            await stuck.wait()

    async def test() -> None:
        scp = Stuck()
        async with linked("loopback", lambda: scp, Loopback(capacity=20_000)) as link:
            association = await link.associate()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(association.c_store(CT, "1.2.3", LITTLE, DATA), 0.01)
            assert not association.established
            stuck.set()
            await eventually(lambda: "closed" in scp.told)
            assert isinstance(scp.end, Aborted)

    run(test)


def test_a_handler_that_is_cancelled_aborts() -> None:
    """The peer would wait for its response for ever."""
    performing = asyncio.Event()

    class Performs(Handler):
        async def c_echo_requested(self, message: Message) -> int:
            performing.set()
            await asyncio.sleep(PATIENCE)
            return 0

    class Asks(SCP):
        async def associate_requested(self, request):  # type: ignore[no-untyped-def]
            return Accept(roles={VERIFICATION: (True, True)})

    async def test() -> None:
        scp = Asks()
        async with linked("loopback", lambda: scp) as link:
            association = await link.associate(
                roles={VERIFICATION: (True, True)}, handler=Performs()
            )
            await eventually(lambda: link.server.associations)
            (connection,) = link.server._connections
            context = connection.association.context_for(VERIFICATION)
            connection.association.send_request(context, CEchoRQ(VERIFICATION, 1))
            assert connection.driver is not None
            await connection.driver.push()
            serving = asyncio.create_task(association.serve())
            await performing.wait()
            serving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await serving
            assert not association.established
            await eventually(lambda: "closed" in scp.told)
            assert isinstance(scp.end, Aborted)

    run(test)
