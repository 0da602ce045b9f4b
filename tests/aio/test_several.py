"""Several tasks, and several operations, on one association."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from dul_fsm.aio import Handler, SCUAssociation, associate
from dul_fsm.association import CancelRequested, Event, RequestReceived
from dul_fsm.dimse import CStoreRQ
from dul_fsm.errors import (
    AssociationAborted,
    AssociationError,
    AssociationReleased,
    AssociationTimeout,
    TransportFailed,
)
from dul_fsm.negotiation import Window
from dul_fsm.services.sop_classes import STUDY_ROOT_FIND, VERIFICATION
from dul_fsm.timers import TimeLimits
from dul_fsm.transports import Loopback
from tests.aio.support import CONTEXTS, CT, LITTLE, PATIENCE, CancelledAt, eventually, run
from tests.drivers.scripted import Acceptor, in_batches, until_cancelled
from tests.drivers.test_shared import asks, silent


async def connect(endpoint: Loopback, window: int = 8, **keywords: object) -> SCUAssociation:
    return await associate(endpoint, contexts=CONTEXTS, window=Window(window), **keywords)  # type: ignore[arg-type]


@pytest.mark.parametrize(("window", "seed"), [(1, 0), (8, 0), (8, 1), (0, 2)])
def test_tasks_share_an_association_up_to_its_window(window: int, seed: int) -> None:
    """`gather` over 24 C-STOREs, answered in a random order: each gets its own response."""

    async def test() -> None:
        endpoint = Loopback()
        acceptor = Acceptor(endpoint, in_batches(24, window or 24, seed))
        async with await connect(endpoint, window) as association:
            responses = await asyncio.gather(
                *(association.c_store(CT, f"1.2.{n}", LITTLE, bytes(50_000)) for n in range(24))
            )
        acceptor.join()
        assert acceptor.most == (window or 24)
        sent = {
            event.message.command.affected_sop_instance_uid: event.message.command.message_id
            for event in acceptor.events
            if isinstance(event, RequestReceived) and isinstance(event.message.command, CStoreRQ)
        }
        assert [message.status for message in responses] == [
            0xB000 + sent[f"1.2.{n}"] for n in range(24)
        ]

    run(test)


def test_one_task_may_have_several_operations_in_flight() -> None:
    async def test() -> None:
        endpoint = Loopback()
        acceptor = Acceptor(endpoint, in_batches(5, 5))
        async with await connect(endpoint) as association:
            operations = [
                await association.begin(association.store_request(CT, f"1.{n}", LITTLE, b"data"))
                for n in range(5)
            ]
            assert not any(operation.done for operation in operations)
            first = await association.first_answered(operations)
            assert first.answered
            assert not first.done
            for operation in operations:
                final = await operation.response()
                assert operation.done
                assert await operation.response() is final
                assert [message async for message in operation] == []
        acceptor.join()

    run(test)


def test_a_new_request_leaves_while_another_task_waits_for_a_response() -> None:
    async def test() -> None:
        endpoint = Loopback()
        acceptor = Acceptor(endpoint, in_batches(2, 2))
        async with await connect(endpoint) as association:
            one = asyncio.create_task(association.c_echo())
            await eventually(lambda: acceptor.most == 1)
            await association.c_echo()
            await one
        acceptor.join()

    run(test)


@pytest.mark.parametrize("service", ["c_find", "c_get", "c_move"])
@pytest.mark.parametrize("leave", ["break", "aclose", "cancel"])
def test_responses_that_are_left_early_are_cancelled(service: str, leave: str) -> None:
    async def test() -> None:
        endpoint = Loopback()
        acceptor = Acceptor(endpoint, until_cancelled)
        async with await connect(endpoint) as association:
            arguments = (STUDY_ROOT_FIND, b"id") + (("THERE",) if service == "c_move" else ())
            responses = getattr(association, service)(*arguments)
            async for message in responses:
                assert message.status == 0xFF00
                if leave == "cancel":
                    await responses.cancel()
                    assert (await responses.response()).status == 0xFE00
                elif leave == "aclose":
                    await responses.aclose()
                break
            del responses
            assert (await association.c_echo()).status == 0
        acceptor.join()
        assert sum(isinstance(event, CancelRequested) for event in acceptor.events) == 1

    run(test)


# Cancelled tasks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("which", range(4))
def test_a_task_that_is_cancelled_takes_nothing_with_it_but_its_own_operation(
    which: int, late: bool
) -> None:
    """Whether it leads, follows or waits for room, wherever it is: the others get their answers."""

    async def cancelled(n: int) -> bool:
        endpoint = Loopback()
        acceptor = Acceptor(endpoint, in_batches(1000, 1))
        async with await connect(endpoint, 2) as association:

            async def call(number: int) -> int:
                return (await association.c_echo()).status

            at = CancelledAt(call(which), n, late=late)

            async def victim() -> None:
                try:
                    await at
                except asyncio.CancelledError:
                    task = asyncio.current_task()
                    assert task is not None
                    task.uncancel()

            tasks = [
                asyncio.ensure_future(victim() if number == which else call(number))
                for number in range(4)
            ]
            results = await asyncio.gather(*tasks)
            assert all(isinstance(r, int) for i, r in enumerate(results) if i != which)
            assert association.established
            assert await call(9) >= 0xB000
            # Once all that was sent is answered, nothing is in flight: nothing was forgotten.
            operations = association._association.operations
            assert not operations.awaiting
            assert not operations.invoked
        acceptor.join()
        return at.fired

    async def test() -> None:
        n = 1
        while await cancelled(n):
            n += 1
        assert n > 1

    run(test)


def test_a_cancelled_find_among_others_sends_its_cancel_at_once() -> None:
    async def test() -> None:
        endpoint = Loopback()
        acceptor = Acceptor(endpoint, until_cancelled)
        async with await connect(endpoint) as association:
            one, two = (
                asyncio.ensure_future(association.c_find(STUDY_ROOT_FIND, b"id").response())
                for _ in range(2)
            )
            await eventually(lambda: acceptor.most == 2)
            one.cancel()
            await asyncio.wait([one])
            await eventually(
                lambda: any(isinstance(event, CancelRequested) for event in acceptor.events)
            )
            assert not two.done()
            two.cancel()
            await asyncio.wait([two])
            assert (await association.c_echo()).status == 0
        acceptor.join()

    run(test)


# Sources and ends --------------------------------------------------------------------------------


def test_a_source_that_fails_is_told_to_its_own_caller() -> None:
    def broken() -> Iterator[bytes]:
        yield bytes(1000)
        raise ValueError("the disk is gone")

    async def test() -> None:
        endpoint = Loopback()
        acceptor = Acceptor(endpoint, silent)
        association = await connect(endpoint)
        others = [asyncio.create_task(association.c_echo()) for _ in range(3)]
        await eventually(lambda: acceptor.most == 3)
        bad = association.c_store(CT, "1.2", LITTLE, broken())
        results = await asyncio.gather(bad, *others, return_exceptions=True)
        assert [type(result) for result in results] == [ValueError] + [AssociationAborted] * 3
        await association.abort()
        acceptor.join()

    run(test)


@pytest.mark.parametrize("end", ["abort", "release", "close", "silence", "own abort"])
def test_each_task_that_waits_is_told_of_the_end_once(end: str) -> None:
    kinds: dict[str, type[AssociationError]] = {
        "abort": AssociationAborted,
        "release": AssociationReleased,
        "close": TransportFailed,
        "silence": AssociationTimeout,
        "own abort": AssociationAborted,
    }

    def script(acceptor: Acceptor, event: Event) -> None:
        if (
            isinstance(event, RequestReceived)
            and len(acceptor.association.operations.performing) == 4
        ):
            if end == "abort":
                acceptor.association.send_abort(0.0)
            elif end == "release":
                acceptor.association.send_release_request(0.0)
            elif end == "close":
                acceptor.association.transport_closed(0.0)

    async def test() -> None:
        endpoint = Loopback()
        acceptor = Acceptor(endpoint, script)
        limits = TimeLimits(response=0.1 if end == "silence" else PATIENCE, artim=0.1)
        association = await connect(endpoint, 4, time_limits=limits)
        calls = [asyncio.create_task(association.c_echo()) for _ in range(8)]
        if end == "own abort":
            await eventually(lambda: acceptor.most == 4)
            await association.abort("enough")
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(result) for result in results] == [kinds[end]] * 8
        with pytest.raises(kinds[end]):
            await association.c_echo()
        await association.abort()
        acceptor.join()

    run(test)


def test_the_limit_of_a_request_holds_though_the_leader_waits_for_longer() -> None:
    async def test() -> None:
        endpoint = Loopback()
        acceptor = Acceptor(endpoint, silent)
        limits = TimeLimits(idle=PATIENCE * 10, response=0.05, artim=0.1)
        association = await connect(endpoint, time_limits=limits)
        serving = asyncio.create_task(association.serve())
        await eventually(lambda: association._driver.led)
        with pytest.raises(AssociationTimeout, match="no DIMSE response"):
            await association.c_echo()
        assert await serving is False
        await association.abort()
        acceptor.join()

    run(test)


# Serving -----------------------------------------------------------------------------------------


def test_serve_performs_what_the_peer_requests_until_the_condition_holds() -> None:
    class Echoes(Handler):
        count = 0

        async def c_echo_requested(self, message: object) -> int:
            await asyncio.sleep(0)
            self.count += 1
            return 0

    async def test() -> None:
        endpoint = Loopback()
        acceptor = Acceptor(endpoint, asks(3))
        handler = Echoes()
        roles = {VERIFICATION: (True, True)}
        async with await connect(endpoint, handler=handler, roles=roles) as association:
            await association.c_echo()
            assert await association.serve(lambda: handler.count == 3)
            assert await association.serve(timeout=0.01) is False
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(association.serve(), 0.01)
            assert association.established
        acceptor.join()
        assert await association.serve() is False

    run(test)
