"""When is an asyncio transport done? `check_transport_async` decides.

    async def make_pair():
        listener = await MyEndpoint().listen_async()
        ...
        return connected, accepted

    check_transport_async(make_pair)                      # raises TransportFault, or it is done

It is a plain function, which starts an event loop in a thread of its own. The clauses are those of
`check_transport`, with "task" for "thread", and those of `dul_fsm.testing.transport_tasks`.
"""

from __future__ import annotations

from collections.abc import Iterable

from dul_fsm.testing import transport_tasks, transports
from dul_fsm.testing.transport_loop import LoopBench, LoopThread, MakeAsyncPair
from dul_fsm.testing.transport_tools import Break, Clause
from dul_fsm.testing.transports import CLAUSE_PATIENCE, check_clause

__all__ = ["CLAUSES", "MakeAsyncPair", "check_transport_async"]

CLAUSES: tuple[Clause, ...] = (*transports.CLAUSES, *transport_tasks.CLAUSES)
"""Every clause, those for all transports first."""


def check_transport_async(
    make_pair: MakeAsyncPair,
    *,
    half_close: Break | None = None,
    reset: Break | None = None,
    clauses: Iterable[Clause] = CLAUSES,
    patience: float = CLAUSE_PATIENCE,
) -> tuple[Clause, ...]:
    """Check an asyncio transport against every clause; raise `TransportFault` for the first that
    it breaks.

    `make_pair` is a coroutine function, `half_close` and `reset` are plain functions; all are
    called in the event loop. Otherwise as `check_transport`.
    """
    told = {"half_close": half_close, "reset": reset}
    left_out: list[Clause] = []
    for clause in clauses:
        if clause.needs is not None and told[clause.needs] is None:
            left_out.append(clause)
            continue
        thread = LoopThread()
        try:
            bench = LoopBench(make_pair, thread, half_close, reset)
            check_clause(clause, bench, patience)
        finally:
            thread.stop()
    return tuple(left_out)
