"""Fail the N-th thing, for every N, in every scenario of the demo, without threads or real time.

After each the session ends, and all that the simulation checks holds: each user is told of the end
once, no acknowledged image is lost, none is kept twice or changed, no sink stays open.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from dul_fsm.fsm import State
from dul_fsm.testing.simulation.plan import Fault, Operation, Part, Plan
from dul_fsm.testing.simulation.session import run
from dul_fsm.testing.torture import Fuse, fuses

STORE = Plan(
    0,
    Part((Operation("echo"), Operation("store", 70_000)), "release"),
    Part(),
    capacity=20_000,
    max_receive=5_000,
)
SCENARIOS = {
    "store": STORE,
    "find, cancelled": replace(
        STORE, requestor=Part((Operation("find", 20, cancel_after=1),), "release")
    ),
    "reject": replace(STORE, association="reject"),
    "abort": replace(STORE, requestor=Part((Operation("echo"),), "abort")),
    "abort by the acceptor": replace(
        STORE, requestor=Part((Operation("echo", outcome="aborts"),), "release")
    ),
    "release": replace(STORE, requestor=Part((), "release")),
    "release by both": replace(
        STORE,
        requestor=Part((), "release"),
        acceptor=Part(answer=1.0),
        faults=(Fault("release", 0, State.Sta7, 0),),
    ),
}
POINTS = ("open", "send", "receive", "sink write", "callback", "clock")


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_session_survives_every_single_failure(scenario: str, point: str) -> None:
    for fuse in fuses(point):
        result = run(SCENARIOS[scenario], fuse=fuse)
        assert not result.problems, f"{fuse} in {scenario!r}: {result.problems}"


@pytest.mark.parametrize(
    ("point", "least"),
    [("open", 1), ("send", 12), ("receive", 20), ("sink write", 5), ("callback", 7), ("clock", 60)],
)
def test_a_store_comes_to_every_point_often(point: str, least: int) -> None:
    fuse = Fuse(point, 0)
    run(STORE, fuse=fuse)
    assert fuse.count >= least


def test_the_scenarios_end_as_their_names_say() -> None:
    outcomes = {name: run(plan).tally for name, plan in SCENARIOS.items()}
    for name, outcome in {
        "store": "released by the requestor",
        "find, cancelled": "released by the requestor",
        "reject": "rejected",
        "abort": "aborted by the local user",
        "abort by the acceptor": "aborted by the peer's user",
        "release": "released by the requestor",
        "release by both": "released by both",
    }.items():
        assert outcomes[name][f"outcome {outcome}"] == 1, (name, outcomes[name])
    assert outcomes["store"]["operation store 0000H"] == 1
    assert outcomes["find, cancelled"]["operation find FE00H"] == 1


def test_a_connection_that_breaks_is_lost_whenever_it_is() -> None:
    lost = [run(STORE, fuse=fuse).tally["outcome connection lost"] for fuse in fuses("send")]
    assert sum(lost) >= 10
