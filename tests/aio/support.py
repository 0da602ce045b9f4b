"""What the asyncio tests share: an endpoint of each kind, a handler that tells, and leak checks."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest

from dul_fsm.aio import Handler, SCUAssociation, Server, associate, serve
from dul_fsm.association import Aborted, Message, Released, Sink
from dul_fsm.pdu import AAssociateRQ
from dul_fsm.services.handler import Accept, Reject
from dul_fsm.services.sop_classes import STUDY_ROOT_FIND, VERIFICATION, choose_any
from dul_fsm.testing.transport_tools import descriptors
from dul_fsm.transports import TCP, Loopback
from dul_fsm.transports.aio import AsyncConnector

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds after which a test gives up; what it waits for takes milliseconds."""

CT = "1.2.840.10008.5.1.4.1.1.2"
LITTLE = "1.2.840.10008.1.2.1"
CONTEXTS = (VERIFICATION, (CT, [LITTLE]), STUDY_ROOT_FIND)
MEGABYTE = bytes(range(256)) * 4096

KINDS = ("loopback", "127.0.0.1", "::1")


def run(test: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine function in a loop of its own; no task, thread or descriptor is left."""
    gc.collect()
    before, threads = descriptors(), set(threading.enumerate())
    problems: list[dict[str, Any]] = []

    async def main() -> T:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: problems.append(context))
        async with asyncio.timeout(PATIENCE * 4):
            result = await test()
        gc.collect()
        await eventually(lambda: len(asyncio.all_tasks()) == 1)
        assert not _watched(loop), "the loop still watches descriptors"
        return result

    result = asyncio.run(main())
    assert problems == []
    gc.collect()
    # What an earlier test was the last to use may end meanwhile; nothing may be new.
    assert descriptors().items() - before.items() == set()
    assert set(threading.enumerate()) - threads == set()
    return result


def _watched(loop: asyncio.AbstractEventLoop) -> list[object]:
    """What the loop watches besides its own waking-up."""
    selector = loop._selector  # type: ignore[attr-defined]
    own = loop._ssock.fileno()  # type: ignore[attr-defined]
    return [key for number, key in selector.get_map().items() if number != own]


async def eventually(condition: Callable[[], object]) -> None:
    """Give other tasks turns until one of them made it so."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)


class Digest:
    """A sink that only counts."""

    def __init__(self) -> None:
        self.length = 0
        self.discarded = 0

    def write(self, fragment: memoryview, /) -> None:
        self.length += len(fragment)

    def discard(self) -> None:
        self.discarded += 1


class SCP(Handler):
    """Accepts everything, answers 0000H, and tells what happens."""

    choose = staticmethod(choose_any(lambda uid: True))

    def __init__(self) -> None:
        self.told: list[object] = []
        self.sinks: list[Digest] = []
        self.count = 0

    async def associate_requested(self, request: AAssociateRQ) -> Accept | Reject:
        return Accept()

    def open_sink(self, message: Message) -> Sink | Awaitable[Sink]:
        if message.context.abstract_syntax != CT:
            return super().open_sink(message)
        self.sinks.append(Digest())
        return self.sinks[-1]

    async def c_echo_requested(self, message: Message) -> int:
        self.count += 1
        return 0xB000 + self.count

    async def c_store_requested(self, message: Message) -> int:
        return 0

    async def c_find_requested(self, message: Message) -> AsyncIterator[bytes]:
        for index in range(3):
            await asyncio.sleep(0)
            yield b"%d " % index

    def released(self, event: Released) -> None:
        self.told.append(event)

    def aborted(self, event: Aborted) -> None:
        self.told.append(event)

    async def closed(self) -> None:
        self.told.append("closed")

    @property
    def end(self) -> object:
        """How the association ended."""
        (end,) = (told for told in self.told if told != "closed")
        return end


class Link:
    """A server and how to reach it."""

    def __init__(self, server: Server, peer: AsyncConnector, errors: list[BaseException]) -> None:
        self.server = server
        self.peer = peer
        self.errors = errors
        """What the server reported."""

    async def associate(self, **keywords: Any) -> SCUAssociation:
        keywords.setdefault("contexts", CONTEXTS)
        return await associate(self.peer, **keywords)


@asynccontextmanager
async def linked(
    kind: str, handler: Callable[[], Any] = SCP, endpoint: Loopback | None = None, **keywords: Any
) -> AsyncIterator[Link]:
    """A server over a kind of transport, and a way to it."""
    errors: list[BaseException] = []
    where: AsyncConnector = endpoint or (Loopback() if kind == "loopback" else TCP(kind, 0))
    try:
        server = await serve(handler, where, report=errors.append, **keywords)
    except OSError as error:
        if kind != "::1":
            raise
        pytest.skip(f"no IPv6 here: {error}")
    async with server:
        peer = where if isinstance(where, Loopback) else TCP(kind, server.port)
        yield Link(server, peer, errors)


class CancelledAt:
    """Awaits something, and cancels the task that does at its `n`-th suspension."""

    def __init__(self, inner: Coroutine[Any, Any, Any], n: int, *, late: bool, times: int = 1):
        """`late`: when what is waited for has come, and the task is about to go on."""
        self._inner = inner
        self._n = n
        self._late = late
        self._times = times
        self.suspensions = 0

    @property
    def fired(self) -> bool:
        """Whether it came to that."""
        return self.suspensions >= self._n

    def __await__(self) -> Generator[Any, Any, Any]:
        task = asyncio.current_task()
        assert task is not None
        steps = self._inner.__await__()
        try:
            waited = next(steps)
            while True:
                self.suspensions += 1
                if self._n <= self.suspensions < self._n + self._times:
                    if self._late and waited is not None:
                        waited.add_done_callback(lambda _: task.cancel())
                    else:
                        task.cancel()
                try:
                    result = yield waited
                except BaseException as error:
                    waited = steps.throw(error)
                else:
                    waited = steps.send(result)
        except StopIteration as stop:
            return stop.value
