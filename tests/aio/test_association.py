"""An asyncio SCU and an asyncio server, over each transport."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from dul_fsm.aio import Handler, SCUAssociation, associate
from dul_fsm.association import Aborted, Association, Message, Origin, Released
from dul_fsm.dimse import CEchoRQ
from dul_fsm.drivers.aio import AsyncDriver
from dul_fsm.errors import (
    AssociationAborted,
    AssociationError,
    AssociationRejected,
    AssociationReleased,
    AssociationTimeout,
    ContextNotAccepted,
    LocalProtocolError,
    NegotiationError,
    TransportFailed,
)
from dul_fsm.pdu import AAssociateRQ
from dul_fsm.services import handler as services
from dul_fsm.services.handler import Accept, Reject
from dul_fsm.services.sop_classes import STUDY_ROOT_FIND, VERIFICATION
from dul_fsm.timers import TimeLimits
from dul_fsm.transports import TCP, Loopback
from dul_fsm.transports.loopback import Faults
from tests.aio.support import (
    CONTEXTS,
    CT,
    KINDS,
    LITTLE,
    MEGABYTE,
    SCP,
    Link,
    eventually,
    linked,
    run,
)

each_kind = pytest.mark.parametrize("kind", KINDS)


@each_kind
def test_echo_and_release(kind: str) -> None:
    async def test() -> None:
        scp = SCP()
        async with linked(kind, lambda: scp) as link:
            async with associate(link.peer, contexts=CONTEXTS) as association:
                assert (await association.c_echo()).status == 0xB001
                assert (await association.c_echo()).status == 0xB002
                assert link.server.associations == 1
                assert association.established
                assert [c.context_id for c in association.contexts] == [1, 3, 5]
                assert association.answer.user_information.maximum_length
            assert isinstance(scp.end, Released)
            await eventually(lambda: scp.told[-1] == "closed")
            assert not link.server.associations

    run(test)


@each_kind
@pytest.mark.parametrize("source", ["bytes", "generator", "file"])
def test_twenty_megabytes_arrive_whole(kind: str, source: str, tmp_path: Path) -> None:
    async def test() -> None:
        scp = SCP()
        async with linked(kind, lambda: scp) as link:
            association = await link.associate()
            if source == "bytes":
                await association.c_store(CT, "1.2.3", LITTLE, MEGABYTE * 20)
            elif source == "generator":
                chunks = (MEGABYTE for _ in range(20))
                await association.c_store(CT, "1.2.3", LITTLE, chunks)
            else:
                path = tmp_path / "image"
                path.write_bytes(MEGABYTE * 20)
                with path.open("rb") as file:
                    await association.c_store(CT, "1.2.3", LITTLE, file)
            await association.release()
            assert [sink.length for sink in scp.sinks] == [20 * len(MEGABYTE)]

    run(test)


@each_kind
def test_a_find_gives_matches_as_they_are_made(kind: str) -> None:
    seen = asyncio.Event()

    class Finds(SCP):
        async def c_find_requested(self, message: Message) -> AsyncIterator[bytes]:
            yield b"first"
            await seen.wait()  # it arrived before this one was made
            yield b"second"

    async def test() -> None:
        async with linked(kind, Finds) as link, associate(link.peer, contexts=CONTEXTS) as scu:
            found = scu.c_find(STUDY_ROOT_FIND, b"identifier")
            assert (await anext(found)).data_set == b"first"
            seen.set()
            assert [message.status async for message in found] == [0xFF00, 0]
            with pytest.raises(StopAsyncIteration):
                await anext(found)

    run(test)


@each_kind
@pytest.mark.parametrize("leave", ["break", "aclose", "release"])
def test_a_find_that_is_left_early_is_cancelled(kind: str, leave: str) -> None:
    closed: list[int] = []

    class Endless(SCP):
        async def c_find_requested(self, message: Message) -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"match"
            finally:
                await asyncio.sleep(0)
                closed.append(1)

    async def test() -> None:
        scp = Endless()
        async with linked(kind, lambda: scp) as link:
            async with associate(link.peer, contexts=CONTEXTS) as association:
                found = association.c_find(STUDY_ROOT_FIND, b"identifier")
                async for message in found:
                    assert message.status == 0xFF00
                    break
                if leave == "aclose":
                    await found.aclose()
                    assert closed == [1]
                    await found.aclose()
                del found
                if leave != "release":
                    assert (await association.c_echo()).status == 0xB001
            assert closed == [1]
            assert isinstance(scp.end, Released)

    run(test)


@pytest.mark.parametrize("style", ["status", "iterator", "coroutine", "async iterator"])
def test_a_handler_answers_a_find_in_any_style(style: str) -> None:
    class Ended:
        """An asynchronous iterator that is no generator."""

        def __aiter__(self) -> Ended:
            return self

        async def __anext__(self) -> bytes:
            raise StopAsyncIteration

    class Finds(SCP):
        def c_find_requested(self, message: Message):  # type: ignore[no-untyped-def]
            if style == "status":
                return 0
            if style == "iterator":
                return iter([])
            if style == "async iterator":
                return Ended()
            return self._later()

        async def _later(self) -> Iterator[bytes]:
            return iter([])

    async def test() -> None:
        async with linked("loopback", Finds) as link:
            async with associate(link.peer, contexts=CONTEXTS) as scu:
                found = [m.status async for m in scu.c_find(STUDY_ROOT_FIND, b"identifier")]
            assert found == [0]
            assert link.errors == []

    run(test)


def test_a_find_that_fails_in_the_middle_says_so() -> None:
    class Fails(SCP):
        async def c_find_requested(self, message: Message) -> AsyncIterator[bytes]:
            yield b"match"
            raise ValueError("no more")

    async def test() -> None:
        async with linked("loopback", Fails) as link:
            async with associate(link.peer, contexts=CONTEXTS) as scu:
                found = [m.status async for m in scu.c_find(STUDY_ROOT_FIND, b"identifier")]
                assert found == [0xFF00, 0x0110]
                assert (await scu.c_echo()).status == 0xB001
            assert [str(error) for error in link.errors] == ["no more"]

    run(test)


@each_kind
def test_a_plain_handler_works_as_well(kind: str) -> None:
    async def test() -> None:
        async with (
            linked(kind, services.Handler) as link,
            associate(link.peer) as association,
        ):
            assert (await association.c_echo()).status == 0

    run(test)


@pytest.mark.parametrize("style", ["plain", "coroutine"])
def test_what_a_handler_raises_is_a_status_and_a_report(style: str) -> None:
    class Fails(SCP):
        def c_echo_requested(self, message: Message):  # type: ignore[no-untyped-def]
            if style == "plain":
                raise ValueError("sick")
            return self._fail()

        async def _fail(self) -> int:
            await asyncio.sleep(0)
            raise ValueError("sick")

    async def test() -> None:
        async with linked("loopback", Fails) as link, associate(link.peer) as association:
            assert (await association.c_echo()).status == 0x0110
            assert [str(error) for error in link.errors] == ["sick"]

    run(test)


@each_kind
def test_a_rejection_is_an_exception_with_its_codes(kind: str) -> None:
    class Rejects(SCP):
        async def associate_requested(self, request: AAssociateRQ) -> Accept | Reject:
            await asyncio.sleep(0)
            return Reject(2, 1, 7)

    async def test() -> None:
        async with linked(kind, Rejects) as link:
            with pytest.raises(AssociationRejected) as caught:
                await link.associate()
            assert (caught.value.result, caught.value.source, caught.value.reason) == (2, 1, 7)

    run(test)


@each_kind
def test_an_exception_of_the_caller_aborts(kind: str) -> None:
    async def test() -> None:
        scp = SCP()
        async with linked(kind, lambda: scp) as link:
            with pytest.raises(ZeroDivisionError):  # noqa: PT012
                async with associate(link.peer) as association:
                    await association.c_echo()
                    _ = 1 // 0
            assert isinstance(scp.end, Aborted)
            assert scp.end.origin is Origin.PEER_USER
            with pytest.raises(AssociationAborted):
                await association.c_echo()

    run(test)


@each_kind
def test_what_the_callers_source_raises_aborts_and_comes_out(kind: str) -> None:
    def source() -> Iterator[bytes]:
        yield MEGABYTE
        raise ValueError("stop")

    async def test() -> None:
        scp = SCP()
        async with linked(kind, lambda: scp) as link:
            with pytest.raises(ValueError, match="stop"):
                async with associate(link.peer, contexts=CONTEXTS) as association:
                    await association.c_store(CT, "1.2.3", LITTLE, source())
            await eventually(lambda: "closed" in scp.told)
            assert isinstance(scp.end, Aborted)
            assert [sink.discarded for sink in scp.sinks] == [1]

    run(test)


@each_kind
def test_an_abort_from_another_task_ends_a_wait_for_a_response(kind: str) -> None:
    inside = asyncio.Event()

    class Slow(SCP):
        async def c_store_requested(self, message: Message) -> int:
            inside.set()
            await asyncio.sleep(0.02)
            return 0

    async def test() -> None:
        scp = Slow()
        async with linked(kind, lambda: scp) as link:
            association = await link.associate()
            call = asyncio.create_task(association.c_store(CT, "1.2.3", LITTLE, b"data"))
            await inside.wait()
            await association.abort("enough")
            with pytest.raises(AssociationAborted, match="enough"):
                await call
            await eventually(lambda: "closed" in scp.told)
            assert isinstance(scp.end, Aborted)

    run(test)


@each_kind
def test_an_abort_from_another_task_ends_a_clogged_send(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AsyncDriver.abort, "__defaults__", (0.05,))
    monkeypatch.setattr(AsyncDriver.settle, "__defaults__", (0.05,))
    inside, leave = asyncio.Event(), asyncio.Event()

    class Stuck(SCP):
        async def open_sink(self, message: Message):  # type: ignore[no-untyped-def]
            inside.set()
            await leave.wait()

    async def test() -> None:
        scp = Stuck()
        async with linked(kind, lambda: scp) as link:
            association = await link.associate()
            chunks = (MEGABYTE for _ in range(200))
            call = asyncio.create_task(association.c_store(CT, "1.2.3", LITTLE, chunks))
            await inside.wait()
            await association.abort("enough")  # it cannot leave: the connection is closed instead
            with pytest.raises(AssociationAborted):
                await call
            leave.set()
            await eventually(lambda: "closed" in scp.told)

    run(test)


def test_a_handler_cannot_wait_for_the_association_that_it_serves() -> None:
    caught: list[str] = []

    class Requestor(Handler):
        async def c_echo_requested(self, message: Message) -> int:
            for call in (association.c_echo, association.release):
                with pytest.raises(LocalProtocolError, match="cannot wait") as error:
                    await call()
                caught.append(str(error.value))
            await association.abort("from within")
            return 0

    class CallsBack(SCP):
        async def associate_requested(self, request: AAssociateRQ) -> Accept | Reject:
            return Accept(roles={VERIFICATION: (True, True)})

        async def c_store_requested(self, message: Message) -> int:
            (connection,) = link.server._connections
            there = connection.association
            there.send_request(there.context_for(VERIFICATION), CEchoRQ(VERIFICATION, 1))
            return 0

    association: SCUAssociation
    link: Link

    async def test() -> None:
        nonlocal association, link
        scp = CallsBack()
        async with linked("loopback", lambda: scp) as link:
            association = await link.associate(
                roles={VERIFICATION: (True, True)}, handler=Requestor()
            )
            with pytest.raises(AssociationAborted, match="from within"):  # noqa: PT012
                while True:
                    await association.c_store(CT, "1.2.3", LITTLE, b"data")
            await association.abort()
            assert isinstance(scp.end, Aborted)
            assert len(caught) == 2

    run(test)


def test_a_peer_that_releases_in_between() -> None:
    async def test() -> None:
        async with linked("loopback") as link:
            association = await link.associate()
            (connection,) = link.server._connections
            connection.association.send_release_request(time.monotonic())
            assert connection.driver is not None
            await connection.driver.abort("", 0.0)  # nudges what waits to be sent
            with pytest.raises((AssociationReleased, AssociationAborted)):
                await association.c_echo()
            await association.release()

    run(test)


# Peers that are gone, or as good as gone ---------------------------------------------------------


@pytest.mark.parametrize("side", [0, 1])
def test_a_connection_that_breaks_in_the_middle_of_an_image(side: int) -> None:
    async def test() -> None:
        faults = Faults(cut_after=300_000 if side == 0 else 300)
        endpoint = Loopback(
            faults=faults if side == 0 else None, peer_faults=faults if side == 1 else None
        )
        scp = SCP()
        async with linked("loopback", lambda: scp, endpoint) as link:
            association = await link.associate()
            with pytest.raises(TransportFailed):  # noqa: PT012
                while True:
                    await association.c_store(CT, "1.2.3", LITTLE, MEGABYTE)
            await association.abort()
            await eventually(lambda: "closed" in scp.told)
            assert isinstance(scp.end, Aborted)
            assert scp.end.origin is Origin.TRANSPORT

    run(test)


@pytest.mark.parametrize("kind", ["loopback", "tcp"])
def test_a_port_that_accepts_and_says_nothing(kind: str) -> None:
    async def test() -> None:
        endpoint = Loopback() if kind == "loopback" else TCP("127.0.0.1", 0)
        listener = await endpoint.listen_async()
        if kind == "tcp":
            endpoint = TCP("127.0.0.1", int(listener.address.rpartition(":")[2]))
        with pytest.raises(AssociationTimeout, match="no answer to the A-ASSOCIATE-RQ"):
            await associate(endpoint, time_limits=TimeLimits(association=0.05, artim=0.05))
        listener.close()

    run(test)


def test_a_connection_that_is_refused_is_told_at_once() -> None:
    async def test() -> None:
        listener = await TCP("127.0.0.1", 0).listen_async()
        listener.close()
        with pytest.raises(TransportFailed, match="cannot connect"):
            await associate("127.0.0.1", listener.port)
        with pytest.raises(TransportFailed, match="nobody listens"):
            await associate(Loopback())

    run(test)


def test_a_name_is_looked_up_off_the_loop() -> None:
    async def test() -> None:
        async with linked("127.0.0.1") as link, associate("localhost", link.server.port) as scu:
            assert (await scu.c_echo()).status == 0xB001
        with pytest.raises(TransportFailed, match="not a host name"):
            await associate("x" * 64, 104)

    asyncio.run(test())  # the loop's own thread for names ends with the loop


@pytest.mark.parametrize("kind", ["loopback", "127.0.0.1"])
def test_a_peer_that_never_reads_is_given_up_in_time_and_in_little_memory(kind: str) -> None:
    """The write limit aborts, and of an endless message no more is made than leaves."""
    made = 0
    stuck = asyncio.Event()

    def endless() -> Iterator[bytes]:
        nonlocal made
        while True:
            made += len(MEGABYTE)
            yield MEGABYTE

    class Stuck(SCP):
        async def open_sink(self, message: Message):  # type: ignore[no-untyped-def]
            await stuck.wait()

    async def test() -> None:
        async with linked(kind, Stuck) as link:
            association = await link.associate(time_limits=TimeLimits(write=0.2, artim=0.05))
            with pytest.raises(AssociationTimeout, match="took no byte"):
                await association.c_store(CT, "1.2.3", LITTLE, endless())
            assert made < 16 << 20  # the kernel's buffers, and a chunk
            await association.abort()
            stuck.set()

    run(test)


@pytest.mark.parametrize("kind", ["loopback", "127.0.0.1"])
def test_matches_are_not_made_faster_than_the_peer_takes_them(kind: str) -> None:
    made = 0

    class Endless(SCP):
        async def c_find_requested(self, message: Message) -> AsyncIterator[bytes]:
            nonlocal made
            while True:
                made += 1
                yield bytes(1 << 16)

    async def test() -> None:
        async with linked(kind, Endless) as link:
            association = await link.associate()
            found = association.c_find(STUDY_ROOT_FIND, b"identifier")
            await anext(found)
            before = -1
            while before != made:
                before = made
                await asyncio.sleep(0.05)
            assert made < 300
            await found.aclose()
            await association.release()

    run(test)


# Arguments ---------------------------------------------------------------------------------------


def test_a_host_needs_a_port_and_a_connector_none() -> None:
    with pytest.raises(ValueError, match="needs a port"):
        associate("127.0.0.1")
    with pytest.raises(ValueError, match="not with a connector"):
        associate(Loopback(), 104)


def test_a_proposal_that_cannot_be_made_is_refused_before_anything_happens() -> None:
    async def test() -> None:
        with pytest.raises(NegotiationError):
            await associate(Loopback(), contexts=())
        with pytest.raises(ValueError, match="AE"):
            await associate(Loopback(), calling_ae_title="much too long for an AE title")

    run(test)


def test_a_context_that_was_not_accepted_takes_no_message_id() -> None:
    async def test() -> None:
        async with linked("loopback") as link, associate(link.peer) as association:
            with pytest.raises(ContextNotAccepted):
                await association.c_store(CT, "1.2.3", LITTLE, b"")
            with pytest.raises(ContextNotAccepted):
                await anext(association.c_find(STUDY_ROOT_FIND, b""))
            assert (await association.c_echo()).status == 0xB001

    run(test)


def test_there_is_no_answer_before_there_is_one() -> None:
    async def test() -> None:
        association = SCUAssociation(
            Loopback(), Handler(), Association(requestor=True), time.monotonic
        )
        with pytest.raises(AssociationError, match="no association"):
            _ = association.answer

    run(test)


@pytest.mark.parametrize("end", ["release", "abort"])
def test_the_handler_is_told_of_the_end_once(end: str) -> None:
    async def test() -> None:
        told = SCP()
        async with linked("loopback") as link:
            association = await link.associate(handler=told)
            await getattr(association, end)()
            await association.release()
            await association.abort()
            assert isinstance(told.end, Released if end == "release" else Aborted)
            assert told.told.count("closed") == 1

    run(test)


def test_a_release_that_is_not_answered_is_an_abort() -> None:
    deaf = asyncio.Event()

    class Slow(SCP):
        async def c_echo_requested(self, message: Message) -> int:
            return 0

        async def c_store_requested(self, message: Message) -> int:
            await deaf.wait()
            return 0

    async def test() -> None:
        async with linked("loopback", Slow) as link:
            association = await link.associate(time_limits=TimeLimits(release=0.05, artim=0.05))
            context = association.context_for(CT)
            invocation = association.store_request(CT, "1.2.3", LITTLE, b"data")
            assert invocation.context == context
            association._association.send_request(*invocation)
            with pytest.raises(AssociationTimeout, match="A-RELEASE-RQ"):
                await association.release()
            deaf.set()

    run(test)


def test_files_are_proposed_and_sent_as_they_are(tmp_path: Path) -> None:
    from pydicom.data import get_testdata_file

    path = str(get_testdata_file("CT_small.dcm", download=False))

    async def test() -> None:
        scp = SCP()
        async with (
            linked("127.0.0.1", lambda: scp) as link,
            associate("127.0.0.1", link.server.port, files=[path]) as association,
        ):
            assert (await association.c_store_file(path)).status == 0
            assert scp.sinks[0].length > 30_000

    run(test)
