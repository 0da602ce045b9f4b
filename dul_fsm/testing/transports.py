"""When is a transport done? `check_transport` decides.

    def make_pair():
        listener = MyEndpoint().listen()
        ...
        return connected, accepted

    check_transport(make_pair)                            # raises TransportFault, or it is done

With pytest, one test for each clause:

    @pytest.mark.parametrize("clause", CLAUSES, ids=str)
    def test_my_transport_keeps(clause):
        check_transport(make_pair, clauses=[clause])

It uses the three methods of `dul_fsm.transports.Transport` and nothing else: no sockets, no
pytest, no assertion that `python -O` would strip. The clauses themselves, in the order in which
they are checked, are in `dul_fsm.testing.transport_stream` and `.transport_ends`.
"""

from __future__ import annotations

from collections.abc import Iterable

from dul_fsm.testing import transport_ends, transport_stream
from dul_fsm.testing.transport_tools import (
    PATIENCE,
    Bench,
    Break,
    Broken,
    Clause,
    MakePair,
    Task,
)

__all__ = ["CLAUSES", "Break", "Clause", "MakePair", "TransportFault", "check_transport"]

CLAUSES: tuple[Clause, ...] = (*transport_stream.CLAUSES, *transport_ends.CLAUSES)
"""Every clause, the simplest first."""

CLAUSE_PATIENCE = 2 * PATIENCE
"""Seconds that a clause may take. One takes well under a second, that of an idle second apart."""


class TransportFault(AssertionError):
    """A transport does not keep a clause."""

    def __init__(self, clause: str, text: str) -> None:
        super().__init__(f"the transport breaks the clause {clause!r}: {text}")
        self.clause = clause
        """The clause, in words."""
        self.text = text
        """What the transport does instead."""


def check_transport(
    make_pair: MakePair,
    *,
    half_close: Break | None = None,
    reset: Break | None = None,
    clauses: Iterable[Clause] = CLAUSES,
    patience: float = CLAUSE_PATIENCE,
) -> tuple[Clause, ...]:
    """Check a transport against every clause of the protocol; raise `TransportFault` for the first
    that it breaks.

    `make_pair` opens a connection and returns its two ends, ready to carry bytes: a handshake is
    over. It is called many times. The protocol has no word for two things that happen to
    connections, so who can do them tells how: `half_close(end)` ends what `end` sends, which may
    still receive; `reset(end)` breaks the connection at `end` so that the peer sees no end of the
    stream. `patience`: seconds that one clause may take.

    Returns the clauses that could not be checked, for lack of `half_close` or `reset`.
    """
    told = {"half_close": half_close, "reset": reset}
    left_out: list[Clause] = []
    for clause in clauses:
        if clause.needs is not None and told[clause.needs] is None:
            left_out.append(clause)
        else:
            check_clause(clause, Bench(make_pair, half_close, reset), patience)
    return tuple(left_out)


def check_clause(clause: Clause, bench: Bench, patience: float) -> None:
    """Check one clause; raise `TransportFault` if it is broken."""

    def check() -> None:
        clause.check(bench)
        bench.check_rest()

    # In a thread: what is broken may never come back.
    task = Task(check)
    try:
        task.result(patience)
    except Broken as error:
        if not task.done:
            bench.abandon()
            text = f"it did not end within {patience:g} s: some call never comes back"
            raise TransportFault(clause.name, text) from None
        raise TransportFault(clause.name, str(error)) from error
    except Exception as error:
        text = f"unexpected {type(error).__name__}: {error}"
        raise TransportFault(clause.name, text) from error
