"""C-MOVE and C-GET over the asyncio server, with handlers that are asynchronous throughout."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import pytest

from dul_fsm.aio import SCUAssociation, Server, associate, serve
from dul_fsm.aio import server as server_module
from dul_fsm.association import Aborted, Message, Released
from dul_fsm.drivers import loop
from dul_fsm.errors import AssociationError
from dul_fsm.negotiation import Window
from dul_fsm.services.handler import AbortAssociation, Destination, Instance, Retrieval
from dul_fsm.services.sop_classes import STUDY_ROOT_FIND, STUDY_ROOT_GET, STUDY_ROOT_MOVE
from dul_fsm.timers import TimeLimits
from dul_fsm.transports import TCP, Loopback
from tests.aio.support import eventually, run
from tests.certificates import Certificates, make
from tests.services.support import BUG, CT, EXPLICIT, Shelf, Store, Told, failed, numbers
from tests.transports.test_tls_server import calling, listening

KINDS = ("loopback", "tcp")
CONTEXTS: list[Any] = [STUDY_ROOT_MOVE, STUDY_ROOT_GET, STUDY_ROOT_FIND, (CT, [EXPLICIT])]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make(tmp_path_factory.mktemp("certificates"))


class Far(Store):
    """The move destination, which may take its time."""

    def __init__(self) -> None:
        super().__init__()
        self.leave: asyncio.Event | None = None

    async def c_store_requested(self, message: Message) -> int:  # type: ignore[override]
        status = super().c_store_requested(message)
        if self.leave is not None:
            await self.leave.wait()
        return status


class Made:
    """An asynchronous generator of instances that tells whether it was closed."""

    def __init__(self, shelf: Shelf, count: int, error: Exception | None = None) -> None:
        self.shelf, self.count, self.error = shelf, count, error
        self.begun = self.closed = 0

    async def __call__(self) -> AsyncIterator[Instance]:
        self.begun += 1
        try:
            for number in range(1, self.count + 1):
                await asyncio.sleep(0)
                yield self.shelf.instance(f"1.2.{number}")
            if self.error is not None:
                raise self.error
        finally:
            await asyncio.sleep(0)
            self.closed += 1


class Archive(Told):
    """Moves and sends what it makes, where it is told to."""

    def __init__(self, make: Callable[[], Any], destination: Destination | None) -> None:
        super().__init__()
        self.make, self.destination = make, destination
        self.finding = self.found = 0

    async def move_destination(self, ae_title: str) -> Any:  # type: ignore[override]
        await asyncio.sleep(0)
        return self.destination if ae_title == "FAR" else None

    async def c_move_requested(self, message: Message) -> Any:  # type: ignore[override]
        await asyncio.sleep(0)
        return self.make()

    async def c_get_requested(self, message: Message) -> Any:  # type: ignore[override]
        await asyncio.sleep(0)
        return self.make()

    async def c_find_requested(self, message: Message) -> AsyncIterator[bytes]:  # type: ignore[override]
        self.finding += 1
        try:
            while True:
                await asyncio.sleep(0)
                yield b"match"
        finally:
            self.found += 1


class Three:
    """A requestor's association with an archive, and a move destination."""

    def __init__(self, far: Far, archive: Archive, association: SCUAssociation) -> None:
        self.far, self.archive, self.association = far, archive, association
        self.archive_server: Server
        self.far_server: Server
        self.store: Far
        self.errors: list[BaseException] = []

    async def move(self, destination: str = "FAR") -> list[Message]:
        return [one async for one in self.association.c_move(STUDY_ROOT_MOVE, b"", destination)]


@asynccontextmanager
async def three(
    kind: str, make: Callable[[], Any], limits: TimeLimits | None = None, window: int = 1
) -> AsyncIterator[Three]:
    errors: list[BaseException] = []

    async def listen(handler: Any, **keywords: Any) -> tuple[Server, Any]:
        endpoint: Any = Loopback() if kind == "loopback" else TCP("127.0.0.1", 0)
        server = await stack.enter_async_context(serve(handler, endpoint, **keywords))
        return server, endpoint if kind == "loopback" else TCP("127.0.0.1", server.port)

    async with AsyncExitStack() as stack:
        far, mine = Far(), Far()
        far_server, connector = await listen(lambda: far)
        archive = Archive(make, Destination(connector, "FAR"))
        server, peer = await listen(lambda: archive, time_limits=limits, report=errors.append)
        association = await associate(
            peer,
            contexts=CONTEXTS,
            roles={CT: (False, True)},
            handler=mine,
            window=Window(window, 1),
        )
        stack.push_async_callback(association.abort)
        one = Three(far, archive, association)
        one.archive_server, one.far_server, one.errors, one.store = server, far_server, errors, mine
        yield one


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("contexts", [None, [(CT, [EXPLICIT])]])
def test_instances_that_are_made_asynchronously_go_to_a_third_application_entity(
    kind: str, contexts: Any
) -> None:
    shelf = Shelf()
    made = Made(shelf, 4)

    async def test() -> None:
        async with three(kind, lambda: Retrieval(made(), contexts=contexts)) as one:
            one.far.statuses = {"1.2.2": 0xA700, "1.2.3": 0xB000}
            responses = await one.move()
            known = contexts is None
            assert numbers(responses[0]) == (3 if known else None, 1, 0, 0)
            assert numbers(responses[-1]) == (None, 2, 1, 1)
            assert responses[-1].status == 0xB000
            assert failed(responses[-1]) == ["1.2.2"]
            assert made.closed == 1
            await eventually(lambda: one.far.ends == [Released()])
            assert [response.status for response in await one.move("NOBODY")] == [0xA801]
            await one.association.release()
            assert not one.errors

    run(test)
    assert shelf.left == shelf.opened


@pytest.mark.parametrize("kind", KINDS)
def test_instances_that_are_made_asynchronously_come_by_a_c_get(kind: str) -> None:
    shelf = Shelf()
    made = Made(shelf, 3)

    async def test() -> None:
        async with three(kind, made) as one:
            responses = [r async for r in one.association.c_get(STUDY_ROOT_GET, b"")]
            assert numbers(responses[-1]) == (None, 3, 0, 0)
            assert one.store.uids == ["1.2.1", "1.2.2", "1.2.3"]
            assert made.closed == 1
            await one.association.release()

    run(test)
    assert shelf.left == shelf.opened


@pytest.mark.parametrize("get", [True, False])
def test_a_generator_that_raises_fails_the_operation(get: bool) -> None:
    made = Made(Shelf(), 2, BUG)

    async def test() -> None:
        async with three("tcp", made) as one:
            invoke: Any = one.association.c_get if get else one.association.c_move
            arguments = [STUDY_ROOT_GET, b""] if get else [STUDY_ROOT_MOVE, b"", "FAR"]
            responses = [response async for response in invoke(*arguments)]
            assert responses[-1].status == 0x0110
            assert one.errors == [BUG]
            assert made.closed == 1
            await one.association.release()

    run(test)


@pytest.mark.parametrize("kind", KINDS)
def test_a_destination_where_nobody_listens_has_all_failed(kind: str) -> None:
    async def test() -> None:
        async with three(kind, lambda: Shelf().instances(2)) as one:
            await one.far_server.close()
            (final,) = await one.move()
            assert final.status == 0xA702
            assert failed(final) == ["1.2.1", "1.2.2"]

    run(test)


@pytest.mark.parametrize("kind", KINDS)
def test_a_destination_that_aborts_in_the_middle_is_called_again(kind: str) -> None:
    async def test() -> None:
        async with three(kind, lambda: Shelf().instances(4)) as one:

            def store(message: Message) -> None:
                if len(one.far.stored) == 2:
                    raise AbortAssociation

            one.far.on_store = store
            assert failed((await one.move())[-1]) == ["1.2.2"]
            await eventually(lambda: len(one.far.ends) == 2)

    run(test)


@pytest.mark.parametrize("kind", KINDS)
def test_a_destination_that_falls_silent_is_given_up_when_its_time_is_over(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(loop, "ABORT_PATIENCE", 0.1)

    async def test() -> None:
        limits = TimeLimits(response=0.2)
        async with three(kind, lambda: Shelf().instances(2), limits) as one:
            one.far.leave = asyncio.Event()
            final = (await one.move())[-1]
            assert final.status == 0xA702
            assert failed(final) == ["1.2.1", "1.2.2"]
            one.far.leave.set()
            await eventually(lambda: [type(end) for end in one.far.ends] == [Aborted])

    run(test)


@pytest.mark.parametrize("kind", KINDS)
def test_who_stops_listening_cancels_it(kind: str) -> None:
    shelf = Shelf()
    made = Made(shelf, 500)

    async def test() -> None:
        async with three(kind, lambda: Retrieval(made(), contexts=[(CT, [EXPLICIT])])) as one:
            responses = one.association.c_move(STUDY_ROOT_MOVE, b"", "FAR")
            assert (await anext(responses)).status == 0xFF00
            await responses.aclose()
            assert len(one.far.stored) < 500
            await eventually(lambda: one.far.ends == [Released()])
            await one.association.release()
            assert made.closed == 1

    run(test)
    assert shelf.left == shelf.opened


@pytest.mark.parametrize("kind", KINDS)
def test_a_requestor_that_goes_away_in_the_middle_leaves_nothing(kind: str) -> None:
    shelf = Shelf()
    made = Made(shelf, 500)

    async def test() -> None:
        async with three(kind, lambda: Retrieval(made(), contexts=[(CT, [EXPLICIT])])) as one:
            await anext(one.association.c_move(STUDY_ROOT_MOVE, b"", "FAR"))
            await one.association.abort()
            await eventually(lambda: one.archive.ends and one.far.ends)
            assert one.far.ends == [Released()]
            await eventually(
                lambda: not one.archive_server.connections + one.far_server.connections
            )
            assert made.closed == 1
            assert not one.errors

    run(test)
    assert shelf.left == shelf.opened


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_closes_does_not_wait_for_the_destination(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(server_module, "STOP_PATIENCE", 0.5)
    shelf = Shelf()
    made = Made(shelf, 2)

    async def test() -> None:
        async with three(kind, lambda: Retrieval(made(), contexts=[(CT, [EXPLICIT])])) as one:
            one.far.leave = asyncio.Event()
            call = asyncio.create_task(one.move())
            await eventually(lambda: one.far.stored)
            began = time.monotonic()
            await one.archive_server.close()
            assert time.monotonic() - began < 15
            assert not one.archive_server.connections
            assert shelf.left == shelf.opened
            one.far.leave.set()
            with pytest.raises(AssociationError):
                await call
            await eventually(lambda: [type(end) for end in one.far.ends] == [Aborted])
            await eventually(lambda: [type(end) for end in one.archive.ends] == [Aborted])

    run(test)
    assert made.closed == 1


def test_a_server_that_closes_closes_the_matches_of_every_operation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test() -> None:
        async with three("loopback", list, window=4) as one:
            found = [one.association.c_find(STUDY_ROOT_FIND, b"") for _ in range(3)]
            for each in found:
                assert (await anext(each)).status == 0xFF00
            assert one.archive.finding == 3
            await one.archive_server.close()
            await eventually(lambda: one.archive.found == 3)
            await one.association.abort()
            for each in found:
                await each.aclose()

    run(test)


def _same(handler: Archive) -> Archive:
    return handler


def test_over_tls(certificates: Certificates) -> None:
    async def test() -> None:
        far = Far()
        async with serve(lambda: far, port=0) as far_server:
            clear = TCP("127.0.0.1", far_server.port)
            for allowed, status in ((False, 0xA702), (True, 0)):
                shelf = Shelf()
                destination = Destination(clear, "FAR", clear=allowed)
                archive = Archive(partial(shelf.instances, 1), destination)
                async with (
                    serve(partial(_same, archive), listening(certificates)) as server,
                    associate(
                        calling(certificates, server.port), contexts=[STUDY_ROOT_MOVE]
                    ) as association,
                ):
                    responses = [
                        one async for one in association.c_move(STUDY_ROOT_MOVE, b"", "FAR")
                    ]
                    assert responses[-1].status == status
            assert far.uids == ["1.2.1"]

    run(test)
