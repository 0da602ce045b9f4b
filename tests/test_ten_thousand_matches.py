"""A C-FIND of ten thousand matches, between our own ends: nothing waits for all of them.

Counted, not timed: the first match is with who asked before the last is made; what is held does not
grow with their number; and a C-CANCEL is heard between two of them.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, closing
from itertools import count

from dul_fsm import Handler, Message, aio, associate, serve
from dul_fsm.dimse import status
from dul_fsm.services.sop_classes import STUDY_ROOT_FIND, choose_any
from dul_fsm.transports import Loopback
from tests.files.samples import EXPLICIT, element, uid

MATCHES = 10_000
ENOUGH = 10
"""After so many, who asked cancels."""
PATIENCE = 20.0
"""Seconds until what does not come is missed."""
CONTEXT = (STUDY_ROOT_FIND, (EXPLICIT,))
KEYS = element(0x00080052, "CS", b"STUDY ")
PADDING = bytes(1000)

HELD = 1 << 20
"""Bytes allocated at any one time, whatever the number of matches: what lies on the wire, which is
bounded, and what is at work. All matches are ten times as much."""


def match(number: int) -> bytes:
    """An encoded identifier of a kilobyte, unlike all others."""
    return element(0x0020000D, "UI", uid(f"1.2.3.{number}")) + element(0x00420011, "OB", PADDING)


class Scheduled(Handler):
    """Makes matches, asked by `may_make` before each."""

    choose = staticmethod(choose_any(STUDY_ROOT_FIND))

    def __init__(self, matches: int, may_make: Callable[[int], object] = lambda number: None):
        self.matches = matches
        self.made = 0
        self.closed_early = False
        self._may_make = may_make

    def c_find_requested(self, message: Message) -> Iterator[bytes]:
        try:
            for number in range(self.matches):
                self._may_make(number)
                self.made += 1
                yield match(number)
        except GeneratorExit:
            self.closed_early = True
            raise


class AsyncScheduled(aio.Handler):
    """The same for asyncio."""

    choose = staticmethod(Scheduled.choose)

    def __init__(self, matches: int, gate: asyncio.Event | None = None, shut_at: int = -1) -> None:
        """The gate must be open for the match number `shut_at`."""
        self.matches = matches
        self.made = 0
        self.closed_early = False
        self._gate = gate
        self._shut_at = shut_at

    async def c_find_requested(self, message: Message) -> AsyncIterator[bytes]:
        try:
            for number in range(self.matches):
                if self._gate is not None and number == self._shut_at:
                    async with asyncio.timeout(PATIENCE):
                        await self._gate.wait()
                self.made += 1
                yield match(number)
        except GeneratorExit:
            self.closed_early = True
            raise


def gate_at(number: int, gate: threading.Event) -> Callable[[int], None]:
    """Let nothing be made from that number on until the gate is open."""

    def may_make(asked: int) -> None:
        if asked == number:
            assert gate.wait(PATIENCE), "the first match is kept back until all are made"

    return may_make


# Threads -----------------------------------------------------------------------------------------


def ask(handler: Scheduled, taken: Callable[[int], object] = lambda number: None) -> None:
    """All matches come, in their order, each told to `taken`."""
    endpoint = Loopback()
    with (
        serve(lambda: handler, endpoint),
        associate(endpoint, contexts=[CONTEXT]) as association,
    ):
        numbers = count()
        for response in association.c_find(STUDY_ROOT_FIND, KEYS):
            number = next(numbers)
            if response.status == status.SUCCESS:
                break
            assert response.status == status.PENDING
            assert response.data_set == match(number)
            taken(number)
        assert number == handler.matches


def test_the_first_match_is_there_before_the_last_is_made() -> None:
    gate = threading.Event()
    made: list[int] = []
    handler = Scheduled(MATCHES, gate_at(MATCHES - 1, gate))

    def taken(number: int) -> None:
        if number == 0:
            made.append(handler.made)
            gate.set()

    ask(handler, taken)
    assert made[0] < MATCHES
    assert handler.made == MATCHES


def test_the_first_match_is_there_before_the_second_is_made() -> None:
    gate = threading.Event()
    handler = Scheduled(3, gate_at(1, gate))
    ask(handler, lambda number: gate.set())


def test_a_cancel_ends_the_making() -> None:
    gate, endpoint = threading.Event(), Loopback()
    handler = Scheduled(MATCHES, gate_at(ENOUGH, gate))
    with (
        serve(lambda: handler, endpoint),
        associate(endpoint, contexts=[CONTEXT]) as association,
    ):
        operation = association.begin(association.find_request(STUDY_ROOT_FIND, KEYS))
        for number in range(ENOUGH):
            assert next(operation).data_set == match(number)
        operation.cancel()
        gate.set()  # one more is being made
        assert operation.response().status == status.CANCEL
        assert (handler.made, handler.closed_early) == (ENOUGH + 1, True)
        # The association is free for the next one.
        with closing(association.c_find(STUDY_ROOT_FIND, KEYS)) as responses:  # type: ignore[type-var]
            assert next(responses).status == status.PENDING


def test_what_is_held_does_not_grow_with_the_matches() -> None:
    peaks = [peak_of(lambda number=number: ask(Scheduled(number))) for number in (500, MATCHES)]  # type: ignore[misc]
    assert max(peaks) < HELD, peaks


def test_who_takes_them_slowly_does_not_let_them_pile_up() -> None:
    """Nobody reads until nothing more can be written."""
    endpoint, handler = Loopback(), Scheduled(MATCHES)
    with (
        serve(lambda: handler, endpoint),
        associate(endpoint, contexts=[CONTEXT]) as association,
    ):
        operation = association.begin(association.find_request(STUDY_ROOT_FIND, KEYS))
        made = -1
        while made != handler.made:
            made = handler.made
            threading.Event().wait(0.2)
        assert made * len(match(0)) < HELD
        assert operation.response().status == status.SUCCESS
    assert handler.made == MATCHES


def peak_of(run: Callable[[], object]) -> int:
    """Bytes allocated at the most while that runs, beyond what was there."""
    ask(Scheduled(10))  # what is imported and remembered once
    gc.collect()
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# Asyncio -----------------------------------------------------------------------------------------


async def ask_in_loop(
    handler: AsyncScheduled, taken: Callable[[int], object] = lambda number: None
) -> None:
    """See `ask`."""
    endpoint = Loopback()
    async with (
        aio.serve(lambda: handler, endpoint),
        aio.associate(endpoint, contexts=[CONTEXT]) as association,
    ):
        number = -1
        async for response in association.c_find(STUDY_ROOT_FIND, KEYS):
            number += 1
            if response.status == status.SUCCESS:
                break
            assert response.status == status.PENDING
            assert response.data_set == match(number)
            taken(number)
        assert number == handler.matches


def test_the_first_match_is_there_before_the_last_is_made_in_an_event_loop() -> None:
    async def run() -> None:
        gate = asyncio.Event()
        handler = AsyncScheduled(MATCHES, gate, shut_at=MATCHES - 1)
        await ask_in_loop(handler, lambda number: gate.set())
        assert handler.made == MATCHES

    asyncio.run(run())


def test_the_first_match_is_there_before_the_second_is_made_in_an_event_loop() -> None:
    async def run() -> None:
        gate = asyncio.Event()
        await ask_in_loop(AsyncScheduled(3, gate, shut_at=1), lambda number: gate.set())

    asyncio.run(run())


def test_a_cancel_ends_the_making_in_an_event_loop() -> None:
    async def run() -> None:
        gate, endpoint = asyncio.Event(), Loopback()
        handler = AsyncScheduled(MATCHES, gate, shut_at=ENOUGH)
        async with (
            aio.serve(lambda: handler, endpoint),
            aio.associate(endpoint, contexts=[CONTEXT]) as association,
        ):
            operation = await association.begin(association.find_request(STUDY_ROOT_FIND, KEYS))
            for number in range(ENOUGH):
                assert (await anext(operation)).data_set == match(number)
            await operation.cancel()
            gate.set()  # one more is being made
            assert (await operation.response()).status == status.CANCEL
            assert (handler.made, handler.closed_early) == (ENOUGH + 1, True)
            async with aclosing(association.c_find(STUDY_ROOT_FIND, KEYS)) as responses:
                assert (await anext(responses)).status == status.PENDING

    asyncio.run(run())


def test_what_is_held_in_an_event_loop_does_not_grow_with_the_matches() -> None:
    def run(matches: int) -> None:
        asyncio.run(ask_in_loop(AsyncScheduled(matches)))

    run(10)
    peaks = [peak_of(lambda number=number: run(number)) for number in (500, MATCHES)]  # type: ignore[misc]
    assert max(peaks) < HELD, peaks
