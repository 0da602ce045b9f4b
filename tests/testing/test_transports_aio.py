"""`check_transport_async` passes what is sound and names the clause that what is broken breaks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from dul_fsm import testing
from dul_fsm.testing import (
    TransportFault,
    check_transport,
    check_transport_async,
    transport_ends,
    transport_loop,
    transport_tasks,
    transports,
)
from dul_fsm.testing.transports_aio import CLAUSES
from dul_fsm.transports import pair
from dul_fsm.transports.aio import loopback
from tests.testing import broken_async_transports, broken_transports
from tests.testing.broken_async_transports import (
    BROKEN,
    Awaited,
    Careless,
    Overtaken,
    Roomy,
    Sound,
    make_pair_of,
    threaded,
)

BY_NAME = {clause.name: clause for clause in CLAUSES}
EVERYWHERE = [
    (clause, kind)
    for clause, kind in (*broken_transports.BROKEN.items(), *broken_transports.MORE_BROKEN)
    if kind is not broken_transports.OneCloser  # a loop has one thread
]


def half_close(end: Any) -> None:
    inner = end.inner
    (inner.blocking if isinstance(end, Sound) else inner.inner).half_close()


def reset(end: Any) -> None:
    inner = end.inner
    (inner.blocking if isinstance(end, Sound) else inner.inner).cut()


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What must not come back is given up early; what leaks is put away."""
    monkeypatch.setattr(transport_ends, "LEFT_PATIENCE", 0.2)
    monkeypatch.setattr(transport_tasks, "LEFT_PATIENCE", 0.2)
    monkeypatch.setattr(transport_loop, "STOP_PATIENCE", 0.2)
    broken_transports.STAYING.clear()
    yield
    broken_transports.STAYING.set()
    while broken_async_transports.STUCK:
        broken_async_transports.STUCK.pop().blocking.close()
    while broken_transports.LEAKED:
        for descriptor in broken_transports.LEAKED.pop():
            os.close(descriptor)


def test_there_is_a_broken_transport_for_every_clause_of_asyncio() -> None:
    assert BROKEN.keys() == {clause.name for clause in transport_tasks.CLAUSES}
    assert (*transports.CLAUSES, *transport_tasks.CLAUSES) == CLAUSES
    assert len({str(clause) for clause in CLAUSES}) == len(CLAUSES)


@pytest.mark.parametrize(
    ("clause", "kind"), BROKEN.items(), ids=[k.__name__ for k in BROKEN.values()]
)
def test_what_breaks_a_clause_of_asyncio_is_caught_by_it(clause: str, kind: type[Sound]) -> None:
    with pytest.raises(TransportFault) as caught:
        check_transport_async(make_pair_of(kind), clauses=[BY_NAME[clause]], patience=2.0)
    assert caught.value.clause == clause
    assert repr(clause) in str(caught.value)


@pytest.mark.parametrize(
    ("clause", "kind"), EVERYWHERE, ids=[kind.__name__ for _, kind in EVERYWHERE]
)
def test_what_breaks_a_clause_of_all_transports_is_caught_in_asyncio_too(
    clause: str, kind: type[broken_transports.Sound]
) -> None:
    with pytest.raises(TransportFault) as caught:
        check_transport_async(
            threaded(kind),
            half_close=half_close,
            reset=reset,
            clauses=[BY_NAME[clause]],
            patience=2.0,
        )
    assert caught.value.clause == clause


def test_what_is_sound_passes_whole() -> None:
    assert check_transport_async(make_pair_of(Sound), half_close=half_close, reset=reset) == ()


def test_room_that_is_found_while_another_call_is_cancelled_is_no_fault() -> None:
    name = "to cancel one direction leaves the other waiting"
    check_transport_async(make_pair_of(Roomy), clauses=[BY_NAME[name]])
    with pytest.raises(TransportFault, match="what arrived is not what was sent") as caught:
        check_transport_async(make_pair_of(Overtaken), clauses=[BY_NAME[name]])
    assert caught.value.clause == name


def test_what_waits_in_threads_keeps_what_is_asked_of_all_transports() -> None:
    left_out = check_transport_async(
        threaded(broken_transports.Sound),
        half_close=half_close,
        reset=reset,
        clauses=transports.CLAUSES,
    )
    assert left_out == ()


def test_what_could_not_be_checked_is_returned() -> None:
    async def make_pair() -> Any:
        return loopback.pair()

    needy = [clause for clause in CLAUSES if clause.needs is not None]
    left_out = check_transport_async(make_pair, clauses=needy)
    assert [clause.needs for clause in left_out] == ["half_close", "reset"]


@pytest.mark.parametrize(
    "name", ["closing again does nothing", "no task is left of closed connections"]
)
def test_a_close_that_must_be_awaited_is_a_fault(name: str) -> None:
    with pytest.raises(TransportFault, match="close is not a plain function"):
        check_transport_async(make_pair_of(Awaited), clauses=[BY_NAME[name]])


def test_what_only_the_loop_is_told_is_a_fault() -> None:
    with pytest.raises(TransportFault, match=r"the event loop was told: .*nobody is told"):
        check_transport_async(
            make_pair_of(Careless), clauses=[BY_NAME["whole messages arrive both ways"]]
        )


def test_a_clause_of_asyncio_cannot_be_checked_over_a_blocking_transport() -> None:
    with pytest.raises(TransportFault, match="use check_transport_async"):
        check_transport(pair, clauses=transport_tasks.CLAUSES)


def test_its_name_is_that_of_the_test_kit() -> None:
    assert testing.check_transport_async is check_transport_async
