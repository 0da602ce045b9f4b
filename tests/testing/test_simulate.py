"""The simulation: its sessions are varied and repeatable, and fail when they should."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from dul_fsm.association import Aborted, Association, events
from dul_fsm.association.exchange import Exchange
from dul_fsm.dimse import Request
from dul_fsm.fsm import State
from dul_fsm.negotiation import build_request
from dul_fsm.services.performance import Performance
from dul_fsm.services.sop_classes import VERIFICATION
from dul_fsm.testing.ladder import Ladder
from dul_fsm.testing.simulate import Report, main, run_seeds
from dul_fsm.testing.simulation import make_plan, simulate
from dul_fsm.testing.simulation.users import ImageSink
from dul_fsm.testing.simulation.wire import Tap
from dul_fsm.timers import TimeLimit
from dul_fsm.upper_layer import CloseTransport, UpperLayer
from dul_fsm.upper_layer.deadlines import Deadlines
from dul_fsm.upper_layer.outbox import Outbox

SEEDS = 300


@pytest.fixture(scope="module")
def report() -> Report:
    return run_seeds(0, SEEDS)


def test_every_session_holds(report: Report) -> None:
    assert report.ok, report.failures[:3]
    assert report.sessions == SEEDS


@pytest.mark.parametrize(
    ("kind", "least"),
    [
        ("outcome released by the requestor", 80),
        ("outcome released by both", 8),
        ("outcome released by the acceptor", 1),
        ("outcome aborted by the local user", 5),
        ("outcome aborted by the peer's user", 5),
        ("outcome aborted by the local provider", 1),
        ("outcome aborted by the peer's provider", 1),
        ("outcome connection lost", 20),
        ("outcome never connected", 10),
        ("outcome rejected", 3),
        ("outcome time limit", 10),
        ("acceptor aborted by the local user", 3),
        ("acceptor aborted by the local provider", 1),
        ("acceptor connection lost", 10),
        *((f"fault {kind}", 4) for kind in ("cut", "reset", "half-close", "stall", "hostile")),
        *((f"fault {kind}", 4) for kind in ("abort", "jump", "release")),
        *((f"limit {limit.name}", 1) for limit in TimeLimit if limit is not TimeLimit.ARTIM),
        *((f"cell Evt17/Sta{number}", 1) for number in range(2, 14)),
        ("cell Evt18/Sta2", 2),
        ("cell Evt18/Sta13", 2),
        ("operation store 0000H", 100),
        ("operation store A700H", 2),
        ("operation store no response", 10),
        ("operation find FE00H", 3),
    ],
)
def test_every_kind_of_session_occurs(report: Report, kind: str, least: int) -> None:
    assert report.tally[kind] >= least


def test_the_same_seed_is_the_same_session() -> None:
    for seed in range(40):
        one, two = simulate(seed), simulate(seed)
        assert (one.tally, one.steps, one.seconds) == (two.tally, two.steps, two.seconds)


def test_a_ladder_does_not_change_a_session() -> None:
    for seed in range(40):
        one, two = simulate(seed), simulate(seed, Ladder())
        assert (one.tally, one.steps, one.seconds) == (two.tally, two.steps, two.seconds)


def test_a_session_does_not_depend_on_the_order_of_sets() -> None:
    code = (
        "from dul_fsm.testing.simulation import simulate;"
        "print([(r.steps, r.seconds) for r in map(simulate, range(30))])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


# Builds that are broken on purpose ----------------------------------------------------------------


def commit_before_the_last_fragment(patch: pytest.MonkeyPatch) -> None:
    """A request is told before the last fragment of its data set."""
    complete = Exchange._complete

    def early(self: Exchange, message: Any, answers: bool) -> None:
        complete(self, message, answers)
        queue = self._events
        if (
            len(queue) > 1
            and isinstance(queue[-1], events.RequestReceived)
            and isinstance(queue[-2], events.DataReceived)
        ):
            queue[-1], queue[-2] = queue[-2], queue[-1]

    patch.setattr(Exchange, "_complete", early)


def answer_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    """A C-STORE is answered, and committed after that."""
    perform, respond = Performance.perform, Performance.respond

    def early(self: Performance) -> Any:
        if self.request.name == "C-STORE-RQ" and self.message.sink is not None:
            self.respond(0)
        yield from perform(self)

    def late(self: Performance, outcome: int, *rest: Any, **more: Any) -> None:
        if self.request.message_id in self.association.operations.performing:
            respond(self, outcome, *rest, **more)

    patch.setattr(Performance, "perform", early)
    patch.setattr(Performance, "respond", late)


def duplicated_delivery(patch: pytest.MonkeyPatch) -> None:
    """A request is told twice."""
    complete = Exchange._complete

    def twice(self: Exchange, message: Any, answers: bool) -> None:
        complete(self, message, answers)
        if isinstance(message.command, Request) and answers and self._events:
            self._events.append(self._events[-1])

    patch.setattr(Exchange, "_complete", twice)


def changed_image(patch: pytest.MonkeyPatch) -> None:
    """A sink loses a fragment now and then."""
    write = ImageSink.write

    def lossy(self: ImageSink, fragment: memoryview) -> None:
        if len(fragment) != 4090:
            write(self, fragment)

    patch.setattr(ImageSink, "write", lossy)


def artim_in_sta5(patch: pytest.MonkeyPatch) -> None:
    """ARTIM runs while the requestor waits for the answer."""
    changed = Deadlines.state_changed

    def armed(self: Deadlines, before: State, after: State, now: float) -> None:
        changed(self, before, after, now)
        if after is State.Sta5:
            self.start_artim(now)

    patch.setattr(Deadlines, "state_changed", armed)


def lost_evt17(patch: pytest.MonkeyPatch) -> None:
    """Nobody is told that the transport has ended."""
    patch.setattr(UpperLayer, "transport_closed", lambda self, now, text="": None)


def second_abort(patch: pytest.MonkeyPatch) -> None:
    """The outbox forgets that an A-ABORT was sent, and what was queued stays."""
    patch.setattr(Outbox, "put_abort", Outbox.put)


def end_told_twice(patch: pytest.MonkeyPatch) -> None:
    """The end is told as often as it is noticed."""
    end = Association._end

    def again(self: Association, event: Any) -> None:
        for _ in range(2):
            self._ended = False
            end(self, event)

    patch.setattr(Association, "_end", again)


def deadline_that_stays(patch: pytest.MonkeyPatch) -> None:
    """A deadline that has passed is seen, and not taken away."""
    patch.setattr(Deadlines, "expire", lambda self, now: None)


def response_to_another_request(patch: pytest.MonkeyPatch) -> None:
    """Whatever response arrives answers whatever request waits."""
    respond = Performance.respond

    def muddled(self: Performance, outcome: int, *rest: Any, **more: Any) -> None:
        respond(self, 0xA900 if self.request.message_id == 2 else outcome, *rest, **more)

    patch.setattr(Performance, "respond", muddled)


@pytest.mark.parametrize(
    ("broken", "text"),
    [
        (commit_before_the_last_fragment, "changed"),
        (answer_before_the_commit, "acknowledged image .* is committed 0 times"),
        (duplicated_delivery, "performed 2 times"),
        (changed_image, "changed"),
        (artim_in_sta5, "ARTIM runs in Sta5"),
        (lost_evt17, "with its transport closed"),
        (second_abort, "sent PDU 0.H after"),
        (end_told_twice, "told the end twice"),
        (deadline_that_stays, "deadline .* stays"),
        (response_to_another_request, "status A900H"),
    ],
)
def test_a_broken_build_is_caught(
    broken: Callable[[pytest.MonkeyPatch], None], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch)
    problems: list[str] = []
    for seed in range(SEEDS):
        problems += simulate(seed).problems
        if any(re.search(text, problem) for problem in problems):
            return
    pytest.fail(f"not caught; what was found: {problems}")


# The command line ---------------------------------------------------------------------------------


def test_it_says_what_it_ran_and_succeeds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "60", "--first", "100", "--jobs", "1"]) == 0
    out = capsys.readouterr().out
    assert "60 sessions, seeds 100 to 159" in out
    assert "all as it should be" in out
    assert "cells of Table 9-10" in out


def test_a_failing_seed_is_drawn_and_can_be_played_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    artim_in_sta5(monkeypatch)
    assert main(["--seed", "0"]) == 1
    first = capsys.readouterr().out
    assert "simulate --seed 0 -v" in first
    assert "ARTIM runs in Sta5" in first
    assert "Sta5 │" in first
    assert main(["--seed", "0", "-v"]) == 1
    assert capsys.readouterr().out in first


def test_two_processes_find_what_one_finds() -> None:
    one, two = run_seeds(0, 120), run_seeds(0, 120, jobs=2)
    assert one.tally == two.tally
    assert (one.sessions, one.steps) == (two.sessions, two.steps)


@pytest.mark.parametrize("arguments", [["--seeds", "0"], ["--jobs", "0"]])
def test_nonsense_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)


# Its parts ----------------------------------------------------------------------------------------


def test_a_plan_is_told_in_words() -> None:
    texts = [str(make_plan(seed)) for seed in range(200)]
    assert any("no fault" in text for text in texts)
    assert any("hostile (A-ASSOCIATE-RQ) at the acceptor" in text for text in texts)
    assert any("in Sta7 after" in text for text in texts)


def test_a_tap_tells_headers_however_the_bytes_are_cut() -> None:
    data = b"\x05\0\0\0\0\4\0\0\0\0" + b"\x04\0\0\0\0\7" + b"\x01" * 7
    for step in range(1, len(data) + 1):
        seen: list[tuple[int, int]] = []
        tap = Tap(lambda kind, length, seen=seen: seen.append((kind, length)))  # type: ignore[misc]
        for start in range(0, len(data), step):
            tap.feed(data[start : start + step])
        assert seen == [(5, 4), (4, 7)]
        assert tap.left == 0


# What it has found --------------------------------------------------------------------------------


def test_an_association_aborted_before_its_transport_opens_asks_for_none() -> None:
    association = Association(requestor=True)
    request = build_request(
        [VERIFICATION], called_ae_title="SCP", calling_ae_title="SCU", maximum_length=16384
    )
    association.send_associate_request(request, 0.0)
    association.send_abort(0.0)
    told = list(iter(association.next_event, None))
    assert [type(event) for event in told] == [Aborted, CloseTransport]
    assert association.state is State.Sta1
