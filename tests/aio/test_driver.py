"""The asyncio driver over transports that a test makes up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence

import pytest

from dul_fsm.association import Aborted, Association, Origin
from dul_fsm.dimse import CStoreRQ
from dul_fsm.drivers import aio
from dul_fsm.drivers.aio import AsyncDriver
from dul_fsm.negotiation import build_answer, build_request
from dul_fsm.pdu import AAbort, PDUType, encode
from dul_fsm.services.handler import Handler
from dul_fsm.services.performer import Performer
from dul_fsm.services.sop_classes import VERIFICATION
from dul_fsm.transports.base import Buffer
from tests.aio.support import CONTEXTS, CT, run

ABORT = encode(AAbort(0, 0))


class Wire:
    """A transport that the test is the other end of."""

    def __init__(self) -> None:
        self.sent = bytearray()
        self.takes = True
        self.given: Iterator[bytes] = iter(())
        self.closed = asyncio.Event()

    async def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        if not self.takes:
            await self.closed.wait()
            raise ConnectionError("closed")
        data = b"".join(buffers)
        self.sent += data
        return len(data)

    async def receive_into(self, view: memoryview, timeout: float | None) -> int:
        data = next(self.given, None)
        if data is None:
            if timeout == 0:
                raise TimeoutError
            async with asyncio.timeout(timeout):
                await self.closed.wait()
            raise ConnectionError("closed")
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self.closed.set()


def established(wire: Wire) -> tuple[Association, AsyncDriver]:
    """A requestor whose peer has accepted everything."""
    request = build_request(
        CONTEXTS, called_ae_title="A", calling_ae_title="B", maximum_length=1 << 14
    )
    answer = build_answer(request, lambda c: c.transfer_syntaxes[0], maximum_length=1 << 14)
    association = Association(requestor=True)
    driver = AsyncDriver(
        association,
        Performer(association, Handler(), time.monotonic),
        connect=lambda s: given(wire),
    )
    association.send_associate_request(request, time.monotonic())
    wire.given = iter([encode(answer)])
    return association, driver


async def given(wire: Wire) -> Wire:
    return wire


async def establish(association: Association, driver: AsyncDriver) -> None:
    await driver.run(lambda: association.established)


def store(association: Association) -> None:
    """Begin to send a long message."""
    request = CStoreRQ(
        affected_sop_class_uid=CT,
        message_id=1,
        priority=0,
        affected_sop_instance_uid="1.2.3",
    )
    association.send_request(association.context_for(CT), request, bytes(1 << 20))


def test_what_a_cancelled_send_had_in_hand_does_not_leave_before_the_abort() -> None:
    async def test() -> None:
        wire = Wire()
        association, driver = established(wire)
        await establish(association, driver)
        store(association)
        wire.takes = False
        running = asyncio.create_task(driver.run(lambda: False))
        await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.wait([running])
        wire.takes = True
        wire.sent.clear()
        await driver.abort("enough")
        assert bytes(wire.sent) == ABORT
        await driver.settle(0.01)
        assert driver.end == Aborted(Origin.LOCAL_USER, None, "enough")

    run(test)


def test_an_abort_waits_for_who_is_sending_and_then_closes() -> None:
    async def test() -> None:
        wire = Wire()
        association, driver = established(wire)
        await establish(association, driver)
        store(association)
        wire.takes = False
        running = asyncio.create_task(driver.run(lambda: False))
        await asyncio.sleep(0.01)
        began = time.monotonic()
        await driver.abort("enough", 0.05)
        assert 0.04 < time.monotonic() - began < 1
        assert wire.closed.is_set()
        await running
        assert isinstance(driver.end, Aborted)

    run(test)


def test_the_abort_leaves_as_soon_as_who_is_sending_is_done() -> None:
    class Slow(Wire):
        async def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
            await asyncio.sleep(0.01)
            return await super().send(buffers, timeout)

    async def test() -> None:
        wire = Slow()
        association, driver = established(wire)
        await establish(association, driver)
        store(association)
        running = asyncio.create_task(driver.run(lambda: False))
        await asyncio.sleep(0.005)
        await driver.abort("enough")
        assert wire.sent.endswith(ABORT)
        assert len(wire.sent) < 1 << 20  # not all of it
        wire.close()
        await running

    run(test)


def test_who_always_has_bytes_does_not_keep_the_others_from_their_turn() -> None:
    """A transport that need not wait never suspends its reader."""
    fragment = bytes([PDUType.P_DATA_TF, 0]) + (8).to_bytes(4, "big")
    fragment += (4).to_bytes(4, "big") + bytes([3, 0]) + b"ab"

    async def test() -> None:
        wire = Wire()
        association, driver = established(wire)
        await establish(association, driver)
        turns = 0

        def endless() -> Iterator[bytes]:
            # A C-STORE-RQ on its way in that does not end, but for lack of patience.
            yield bytes([PDUType.P_DATA_TF, 0]) + command()
            by = time.monotonic() + 0.5
            while time.monotonic() < by:
                yield fragment

        async def others() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        wire.given = endless()
        counting = asyncio.create_task(others())
        running = asyncio.create_task(driver.run(lambda: False))
        await asyncio.sleep(0.5)
        assert turns > 0.5 / aio.FAIR_SHARE / 4
        counting.cancel()
        running.cancel()
        await asyncio.wait([counting, running])
        await driver.abort("enough")
        await driver.settle(0.01)

    run(test)


def command() -> bytes:
    """The rest of a P-DATA-TF with the command of a C-STORE-RQ that has a data set."""
    from dul_fsm.dimse import encode_command

    encoded = encode_command(
        CStoreRQ(
            affected_sop_class_uid=CT,
            message_id=1,
            priority=0,
            affected_sop_instance_uid="1.2.3",
        )
    )
    pdv = (len(encoded) + 2).to_bytes(4, "big") + bytes([3, 3]) + encoded
    return len(pdv).to_bytes(4, "big") + pdv


@pytest.mark.parametrize("requestor", [False, True])
def test_a_driver_without_a_transport_ends_at_once(requestor: bool) -> None:
    async def test() -> None:
        association = Association(requestor=requestor)
        driver = AsyncDriver(association, Performer(association, Handler(), time.monotonic))
        if requestor:
            request = build_request(
                [VERIFICATION], called_ae_title="A", calling_ae_title="B", maximum_length=0
            )
            association.send_associate_request(request, 0.0)
        else:
            association.transport_opened(0.0)
        await driver.run(lambda: False)
        assert association.ended
        assert association.idle

    run(test)


@pytest.mark.parametrize("error", [TimeoutError("timed out"), OSError("no route")])
def test_a_connection_that_does_not_open(error: OSError) -> None:
    async def fails(seconds: float | None) -> Wire:
        raise error

    async def test() -> None:
        association = Association(requestor=True)
        driver = AsyncDriver(
            association, Performer(association, Handler(), time.monotonic), connect=fails
        )
        request = build_request(
            [VERIFICATION], called_ae_title="A", calling_ae_title="B", maximum_length=0
        )
        association.send_associate_request(request, time.monotonic())
        await driver.run(lambda: False)
        assert isinstance(driver.end, Aborted)
        late = isinstance(error, TimeoutError)
        assert driver.end.origin is (Origin.TIME_LIMIT if late else Origin.TRANSPORT)

    run(test)


def test_an_abort_before_the_connection_is_open() -> None:
    """What opens after all is closed."""
    opening = asyncio.Event()
    wires: list[Wire] = []

    async def slow(seconds: float | None) -> Wire:
        await opening.wait()
        wires.append(Wire())
        return wires[0]

    async def test() -> None:
        association = Association(requestor=True)
        driver = AsyncDriver(
            association, Performer(association, Handler(), time.monotonic), connect=slow
        )
        request = build_request(
            [VERIFICATION], called_ae_title="A", calling_ae_title="B", maximum_length=0
        )
        association.send_associate_request(request, time.monotonic())
        running = asyncio.create_task(driver.run(lambda: False))
        await asyncio.sleep(0.01)
        await driver.abort("enough")
        assert not await driver.settle(0.01)  # another task has the loop, and is stuck in it
        opening.set()
        await running
        assert driver.end == Aborted(Origin.LOCAL_USER, None, "enough")
        assert wires[0].closed.is_set()

    run(test)
