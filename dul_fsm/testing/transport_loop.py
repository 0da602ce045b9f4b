"""An event loop in a thread, and asyncio transports as the clauses want them: blocking.

So `dul_fsm.testing.check_transport_async` checks the clauses of `transport_stream` and
`transport_ends` as they stand. Each call of a clause becomes a task of the loop; two threads of a
clause are two tasks.

Not here: the clauses that only asyncio has (`transport_tasks`).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias, TypeVar

from dul_fsm.testing.transport_tools import PATIENCE, Bench, Break, Broken, require
from dul_fsm.transports.aio import AsyncTransport
from dul_fsm.transports.base import Buffer

MakeAsyncPair: TypeAlias = Callable[[], Coroutine[Any, Any, tuple[AsyncTransport, AsyncTransport]]]
"""Opens a connection, in the loop that runs, and returns its two ends, ready to carry bytes."""

T = TypeVar("T")

STOP_PATIENCE = 2.0
"""Seconds for which a loop may take to stop, which takes a millisecond."""


class LoopThread:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        """What the loop was told that nobody else was."""
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="transport loop")
        self._thread.start()
        require(self._started.wait(PATIENCE), "this host starts no threads")

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            self.loop = runner.get_loop()
            self.loop.set_exception_handler(self._note)
            self.loop.call_soon(self._started.set)
            self.loop.run_forever()

    def _note(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.problems.append(f"{context['message']}: {context.get('exception')!r}")

    def call(self, call: Coroutine[Any, Any, T]) -> T:
        """What it returns, once it has run in the loop; raises what it raises."""
        try:
            running = asyncio.run_coroutine_threadsafe(call, self.loop)
        except RuntimeError:  # it has ended, and somebody is late
            call.close()
            raise
        return running.result()

    def stop(self) -> None:
        """End the loop, unless something holds it up: then it is left to itself."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(STOP_PATIENCE)


async def _plainly(call: Callable[[], object], what: str) -> None:
    result = call()
    if asyncio.iscoroutine(result):
        result.close()
    require(not hasattr(result, "__await__"), f"{what} is not a plain function")


class BlockingEnd:
    """An asyncio transport, called from threads."""

    def __init__(self, end: AsyncTransport, thread: LoopThread) -> None:
        """`thread`: where `end` was opened."""
        self.end = end
        self._thread = thread

    def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        """See `Transport.send`."""
        return self._thread.call(self.end.send(buffers, timeout))

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        """See `Transport.receive_into`."""
        return self._thread.call(self.end.receive_into(view, timeout))

    def close(self) -> None:
        """See `Transport.close`."""
        self._thread.call(_plainly(self.end.close, "close"))


class LoopBench(Bench):
    """Where an asyncio transport is checked."""

    def __init__(
        self,
        make_pair: MakeAsyncPair,
        thread: LoopThread,
        half_close: Break | None = None,
        reset: Break | None = None,
    ) -> None:
        def make() -> tuple[BlockingEnd, BlockingEnd]:
            one, other = thread.call(make_pair())
            return BlockingEnd(one, thread), BlockingEnd(other, thread)

        def in_loop(broken: Break | None) -> Break | None:
            if broken is None:
                return None

            async def call(end: AsyncTransport) -> None:
                broken(end)

            return lambda end: thread.call(call(end.end))

        super().__init__(make, in_loop(half_close), in_loop(reset))
        self._make_async = make_pair
        self._thread = thread

    def run(self, clause: Callable[[LoopBench], Coroutine[Any, Any, None]]) -> None:
        """Run a clause in the loop."""
        self._thread.call(clause(self))

    @asynccontextmanager
    async def opened_async(self) -> AsyncIterator[tuple[AsyncTransport, AsyncTransport]]:
        """A connection, closed in the end; for who runs in the loop."""
        ends = await self._make_async()
        self._made += [BlockingEnd(end, self._thread) for end in ends]
        try:
            yield ends
        finally:
            for end in ends:
                await _plainly(end.close, "close")

    def check_rest(self) -> None:
        """Raise `Broken` if the loop was told of something that nobody else was."""
        if self._thread.problems:
            raise Broken("the event loop was told: " + "; ".join(self._thread.problems))
