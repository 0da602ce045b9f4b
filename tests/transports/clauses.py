"""The clauses that every pair can be checked against, each as a plain function."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from dul_fsm.testing.transports import CLAUSES as ALL_CLAUSES
from dul_fsm.testing.transports import Clause as ShippedClause
from dul_fsm.testing.transports import MakePair, check_transport

Clause: TypeAlias = Callable[[MakePair], None]


def _function(clause: ShippedClause) -> Clause:
    def check(make_pair: MakePair) -> None:
        check_transport(make_pair, clauses=[clause])

    check.__name__ = clause.name.replace(" ", "_")
    return check


CLAUSES: list[Clause] = [_function(clause) for clause in ALL_CLAUSES if clause.needs is None]
