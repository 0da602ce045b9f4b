"""`check_transport` passes what is sound and names the clause that what is broken breaks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from dul_fsm import testing
from dul_fsm.testing import TransportFault, check_transport, transport_ends, transport_tools
from dul_fsm.testing.transports import CLAUSES, Clause
from dul_fsm.transports import Transport, pair
from tests.testing import broken_transports
from tests.testing.broken_transports import BROKEN, MORE_BROKEN, Sound, make_pair_of

CASES = [*BROKEN.items(), *MORE_BROKEN]
BY_NAME = {clause.name: clause for clause in CLAUSES}


def half_close(end: Sound) -> None:
    end.inner.half_close()


def reset(end: Sound) -> None:
    end.inner.cut()


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What must not come back is given up early; what leaks is put away."""
    monkeypatch.setattr(transport_ends, "LEFT_PATIENCE", 0.2)
    broken_transports.STAYING.clear()
    yield
    broken_transports.STAYING.set()
    while broken_transports.LEAKED:
        for descriptor in broken_transports.LEAKED.pop():
            os.close(descriptor)


def test_there_is_a_broken_transport_for_every_clause() -> None:
    assert BROKEN.keys() == BY_NAME.keys()


@pytest.mark.parametrize(("clause", "kind"), CASES, ids=[kind.__name__ for _, kind in CASES])
def test_what_breaks_a_clause_is_caught_by_that_clause(clause: str, kind: type[Sound]) -> None:
    with pytest.raises(TransportFault) as caught:
        check_transport(
            make_pair_of(kind),
            half_close=half_close,
            reset=reset,
            clauses=[BY_NAME[clause]],
            patience=2.0,
        )
    assert caught.value.clause == clause
    assert repr(clause) in str(caught.value)
    assert caught.value.text in str(caught.value)


def test_what_is_sound_passes_whole() -> None:
    assert check_transport(make_pair_of(Sound), half_close=half_close, reset=reset) == ()


def test_what_could_not_be_checked_is_returned() -> None:
    left_out = check_transport(pair, clauses=[c for c in CLAUSES if c.needs is not None])
    assert [clause.needs for clause in left_out] == ["half_close", "reset"]


def test_the_first_clause_that_is_broken_is_named_when_all_are_checked() -> None:
    with pytest.raises(TransportFault) as caught:
        check_transport(make_pair_of(BROKEN["closing again does nothing"]))
    assert caught.value.text == "unexpected TransportClosed: " + (
        "[Errno 9] the transport was closed on this side"
    )


def test_an_endpoint_that_cannot_be_opened_is_a_fault_with_its_text() -> None:
    def make_pair() -> tuple[Transport, Transport]:
        raise ConnectionRefusedError("nobody there")

    with pytest.raises(TransportFault, match="unexpected ConnectionRefusedError: nobody there"):
        check_transport(make_pair)


def test_a_fault_is_a_failure_and_no_error_to_a_test_runner() -> None:
    assert issubclass(TransportFault, AssertionError)


def test_each_name_is_that_of_the_test_kit() -> None:
    from dul_fsm.testing import transports

    # A module of the function's name would take its place.
    assert testing.check_transport is transports.check_transport
    assert testing.TransportFault is transports.TransportFault


def test_clauses_have_names_of_their_own_that_fit_a_test_s() -> None:
    assert len({str(clause) for clause in CLAUSES}) == len(CLAUSES)
    assert all(str(clause).replace("-", "").isalpha() for clause in CLAUSES)


@pytest.mark.parametrize("flags", [[], ["-O"]], ids=["plain", "optimized"])
def test_it_needs_no_test_runner_and_no_assertions(flags: list[str]) -> None:
    code = """
import sys
from dul_fsm.testing import TransportFault, check_transport
from dul_fsm.testing.transports import CLAUSES
from dul_fsm.transports import pair
from tests.testing.broken_transports import BROKEN, make_pair_of
quick = [clause for clause in CLAUSES if clause.name.startswith("whole")]
check_transport(pair, clauses=quick)
try:
    check_transport(make_pair_of(BROKEN[quick[0].name]), clauses=quick)
except TransportFault as fault:
    print(fault)
print(*[name for name in ("pytest", "hypothesis", "ssl", "asyncio") if name in sys.modules])
"""
    ran = subprocess.run(
        [sys.executable, *flags, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ran.stdout == (
        "the transport breaks the clause 'whole messages arrive both ways': "
        "what arrived is not what was sent: from byte 0 on\n\n"
    )


def test_a_bench_that_cannot_break_a_connection_says_so() -> None:
    bench = transport_tools.Bench(pair)
    end, _ = pair()
    for broken, words in ((bench.half_close, "half_close="), (bench.reset, "reset=")):
        with pytest.raises(transport_tools.Broken, match=words):
            broken(end)


def test_a_clause_of_one_s_own_can_be_checked_too() -> None:
    def check(bench: transport_tools.Bench) -> None:
        with bench.opened() as (a, _):
            transport_tools.require(hasattr(a, "peer"), "it does not name its peer")

    clause = Clause("an end names its peer", check)
    check_transport(pair, clauses=[clause])
    with pytest.raises(TransportFault, match="it does not name its peer"):
        check_transport(make_pair_of(Sound), clauses=[clause])
