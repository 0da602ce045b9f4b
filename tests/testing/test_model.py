"""The model check: it holds for the table as it is, and catches tables that are wrong."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial

import pytest

from dul_fsm.fsm import TABLE, Action, Effect, Event, State, step
from dul_fsm.fsm.actions import AA_6, AA_8, AE_2, AE_4, AR_3, AR_8, Outcome
from dul_fsm.fsm.machine import compile_machine
from dul_fsm.fsm.table import Table
from dul_fsm.testing.ladder import MAXIMUM_WIDTH
from dul_fsm.testing.ladder_run import Move, draw
from dul_fsm.testing.model import HOSTILE, Counterexample, Model, Report, main
from dul_fsm.testing.model_side import Monitor, Side
from dul_fsm.upper_layer import UpperLayer, protocol

# The table as it is ------------------------------------------------------------------------------


def test_everything_holds_and_every_cell_is_reached(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--capacity", "2", "--hostile", "1"]) == 0
    undisturbed, everything = capsys.readouterr().out.splitlines()
    assert undisturbed.startswith("undisturbed ")
    assert everything.startswith("everything ")
    assert "123 cells" in everything
    states = int(everything.split()[1].replace(",", ""))
    assert states > 10_000  # an exploration that stopped early proves nothing


def test_without_disturbance_the_association_always_ends_and_nobody_aborts() -> None:
    report = Model(capacity=8, disturbed=False).run()
    assert report.ok, str(report.counterexamples[0])
    assert report.cells < 123
    assert report.missing == []


def test_a_cell_that_is_never_reached_is_reported() -> None:
    report = Model(capacity=1, hostile=0).run()
    assert not report.counterexamples
    assert not report.ok
    assert "Evt19/Sta6" in report.missing
    assert report.cells == 123 - len(report.missing)


# Tables that are wrong ---------------------------------------------------------------------------


def with_action(wrong: Action, right: Action) -> Table:
    return {cell: wrong if action is right else action for cell, action in TABLE.items()}


def with_effects(action: Action, *effects: Effect) -> Table:
    return with_action(replace(action, outcome=replace(action.outcome, effects=effects)), action)


def with_outcomes(action: Action, yes: Outcome, no: Outcome) -> Table:
    return with_action(replace(action, outcome=yes, otherwise=no), action)


REQUESTOR, ACCEPTOR = AR_8.outcomes

MUTATIONS: dict[str, tuple[Table, str]] = {
    "AR-8 asks who released first": (
        with_outcomes(AR_8, REQUESTOR, REQUESTOR),
        "the association-acceptor answered before the association-requestor",
    ),
    "AR-8 has both sides wait": (
        with_outcomes(AR_8, ACCEPTOR, ACCEPTOR),
        "the association-requestor cannot answer first",
    ),
    "AR-8 has its outcomes swapped": (
        with_outcomes(AR_8, ACCEPTOR, REQUESTOR),
        "in a release collision the association-",
    ),
    "AE-2 starts ARTIM": (
        with_effects(AE_2, Effect.SEND_A_ASSOCIATE_RQ, Effect.START_ARTIM),
        "ARTIM runs in Sta5",
    ),
    "AR-3 answers before it closes": (
        with_effects(
            AR_3, Effect.CONFIRM_A_RELEASE, Effect.SEND_A_RELEASE_RP, Effect.CLOSE_TRANSPORT
        ),
        "AR-3 comes to Sta1 and is to send A-RELEASE-RP",
    ),
    "AR-3 answers after it closes": (
        with_effects(
            AR_3, Effect.CONFIRM_A_RELEASE, Effect.CLOSE_TRANSPORT, Effect.SEND_A_RELEASE_RP
        ),
        "AR-3 comes to Sta1 and is to send A-RELEASE-RP",
    ),
    "AA-8 does not tell the user": (
        with_effects(AA_8, Effect.SEND_A_ABORT_AS_PROVIDER, Effect.START_ARTIM),
        "the association ended and the user was not told",
    ),
    "Evt6 in Sta5 is AE-4": (
        {**TABLE, (Event.Evt6, State.Sta5): AE_4},
        "the association ended and the user was not told",
    ),
    "Evt6 in Sta13 is AA-6": (
        {**TABLE, (Event.Evt6, State.Sta13): AA_6},
        "an A-ASSOCIATE-RQ in Sta13 was not answered by an A-ABORT",
    ),
    "Evt19 in Sta13 is AA-6": (
        {**TABLE, (Event.Evt19, State.Sta13): AA_6},
        "an unrecognized PDU in Sta13 was not answered by an A-ABORT",
    ),
    "Evt10 in Sta7 is blank": (
        {**TABLE, (Event.Evt10, State.Sta7): None},
        "unspecified reception: Evt10 in Sta7",
    ),
}

NEEDS_DISTURBANCE = {name for name in MUTATIONS if name.startswith(("AA-8", "Evt6", "Evt19"))}
"""What shows only when a peer or its user misbehaves."""


def check(table: Table, monkeypatch: pytest.MonkeyPatch, *, disturbed: bool) -> Report:
    with monkeypatch.context() as patch:
        patch.setattr(protocol, "step", partial(step, machine=compile_machine(table)))
        return Model(capacity=1, hostile=1, disturbed=disturbed).run()


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_wrong_table_is_caught_and_the_counterexample_can_be_read(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, text = MUTATIONS[name]
    (found,) = check(table, monkeypatch, disturbed=True).counterexamples
    assert text in found.text
    assert_readable(found)


@pytest.mark.parametrize("name", sorted(MUTATIONS.keys() - NEEDS_DISTURBANCE))
def test_what_is_wrong_among_the_well_behaved_is_shown_without_any_other(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, text = MUTATIONS[name]
    (found,) = check(table, monkeypatch, disturbed=False).counterexamples
    assert text in found.text
    assert not any(move.who == "hostile" for move in found.path)
    assert_readable(found)


def assert_readable(found: Counterexample) -> None:
    """A numbered list of the moves, and below it the run, which takes the steps of that list."""
    head, _, drawn = str(found).partition("\n\n")
    first, *moves = head.splitlines()
    assert first == f"{found.text}, after:"
    assert [line.split()[:2] for line in moves] == [
        [str(number), move.who] for number, move in enumerate(found.path, 1)
    ]
    lines = drawn.splitlines()
    assert max(map(len, lines)) <= MAXIMUM_WIDTH
    assert lines[0].split() == ["requestor", "acceptor"]
    assert " ".join(found.text.split()) in said_between(lines)
    for move in found.path:
        if move.who == "hostile":
            assert f"hostile: {move.what}" in said_between(lines)


def said_between(lines: list[str]) -> str:
    """What stands between the lifelines, as one text."""
    return " ".join(" ".join(line.split("│")[1].split()) for line in lines[1:] if "│" in line)


COLLISION = """\
acceptor: in a release collision the association-acceptor answered before the association-requestor\
, after:
    1  requestor  A-ASSOCIATE request
    2  network    the connection opens
    3  acceptor   receives A-ASSOCIATE-RQ
    4  acceptor   A-ASSOCIATE response, accepted
    5  requestor  receives A-ASSOCIATE-AC
    6  requestor  A-RELEASE request
    7  acceptor   A-RELEASE request
    8  acceptor   receives A-RELEASE-RQ
    9  acceptor   A-RELEASE response

                   requestor                                            acceptor
         event  action  state │                                      │ state  action  event
       A-ASSOCIATE request ─▶ │                                      │
          Evt1    AE-1   Sta4 │┄┄┄┄┄┄┄┄┄┄┄┄┄┄ connect ┄┄┄┄┄┄┄┄┄┄┄┄┄┄▶│ Sta2   AE-5    Evt5
          Evt2    AE-2   Sta5 │───── A-ASSOCIATE-RQ (170 bytes) ────▶│ Sta3   AE-6    Evt6
                              │            SCU calls SCP             │ A-ASSOCIATE indication ─▶
                              │        1 presentation context        │ ◀─ A-ASSOCIATE response,
                              │                                      │    accepted
          Evt3    AE-3   Sta6 │◀───── A-ASSOCIATE-AC (149 bytes) ────│ Sta6   AE-7    Evt7
 ◀─ A-ASSOCIATE confirmation, │       1 of 1 context accepted        │
                     accepted │                                      │
                              │                                      │
         A-RELEASE request ─▶ │                                      │
         Evt11    AR-1   Sta7 │────── A-RELEASE-RQ (10 bytes) ──────▶│
                              │                                      │ ◀─ A-RELEASE request
                              │x────── A-RELEASE-RQ (10 bytes) ──────│ Sta7   AR-1    Evt11
                              │                                      │ Sta9   AR-8    Evt12
                              │                                      │ A-RELEASE indication,
                              │                                      │ collision ─▶
                              │                                      │ ◀─ A-RELEASE response
                              │x────── A-RELEASE-RP (10 bytes) ──────│ Sta11  AR-9    Evt14
                              │   acceptor: in a release collision   │
                              │  the association-acceptor answered   │
                              │   before the association-requestor   │"""


def test_a_counterexample_reads_as_a_list_and_a_ladder(monkeypatch: pytest.MonkeyPatch) -> None:
    table, _ = MUTATIONS["AR-8 asks who released first"]
    (found,) = check(table, monkeypatch, disturbed=False).counterexamples
    assert str(found) == COLLISION


def test_a_deadlock_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nobody closes after a release: both wait in Sta13, and without timers for ever.
    waiting = replace(AR_3, outcome=Outcome((Effect.CONFIRM_A_RELEASE,), State.Sta6))
    report = check(with_action(waiting, AR_3), monkeypatch, disturbed=False)
    (found,) = report.counterexamples
    assert found.text in ("deadlock", "no way back to Sta1")


def test_the_command_line_says_what_it_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table, text = MUTATIONS["Evt6 in Sta5 is AE-4"]
    with monkeypatch.context() as patch:
        patch.setattr(protocol, "step", partial(step, machine=compile_machine(table)))
        assert main(["--capacity", "1"]) == 1
    assert text in capsys.readouterr().out
    assert main(["--capacity", "1", "--hostile", "0"]) == 1
    assert "never reached: Evt" in capsys.readouterr().out


# What a key says ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_upper_layers_that_live_on_do_what_their_keys_say(seed: int) -> None:
    """An object that walked at random agrees, at each step, with the memory of all walks."""
    chance = random.Random(seed)
    model = Model(capacity=2, hostile=2)
    for _ in range(40):
        walk(model, chance)


def walk(model: Model, chance: random.Random) -> None:
    sides = {"requestor": model.requestor, "acceptor": model.acceptor}
    uppers = {name: UpperLayer(requestor=name == "requestor") for name in sides}
    monitors = {name: Monitor() for name in sides}
    world = model._start
    while moves := list(model._moves(world)):
        before = {"requestor": world.requestor, "acceptor": world.acceptor}
        move, world = chance.choice(moves)
        after = {"requestor": world.requestor, "acceptor": world.acceptor}
        for name, given in move.inputs:
            if given[0] != "forged":
                effect = sides[name].after(before[name], given)
                assert Side.apply(uppers[name], monitors[name], given) == effect.sent
        for name in sides:
            assert Side.key(uppers[name], monitors[name]) == after[name], (name, move)
            assert not after[name].wrong


# Drawing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
def test_any_run_can_be_drawn(seed: int) -> None:
    chance = random.Random(seed)
    model = Model(capacity=1, hostile=2)
    for _ in range(10):
        path: list[Move] = []
        world = model._start
        while moves := list(model._moves(world)):
            move, world = chance.choice(moves)
            path.append(move)
        drawn = draw(path, "the end").splitlines()
        assert max(map(len, drawn)) <= MAXIMUM_WIDTH
        assert said_between(drawn).endswith("the end")
        for move in path:
            if move.who in ("hostile", "network") and move.what != "the connection opens":
                assert move.what in said_between(drawn)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_pdu_is_a_remark_and_an_arrow_that_nobody_sent(name: str) -> None:
    model = Model(hostile=1)
    world = model._start
    path: list[Move] = []
    for what in ("A-ASSOCIATE request", "the connection opens", f"{name} for the requestor"):
        move, world = next((m, w) for m, w in model._moves(world) if m.what == what)
        path.append(move)
    move, world = next(
        (m, w) for m, w in model._moves(world) if m.what == f"receives {received(name)}"
    )
    drawn = draw([*path, move], "the end")
    assert f"hostile: {name} for the requestor" in said_between(drawn.splitlines())
    assert ("◀" in drawn) == (name != "half an A-RELEASE-RP" or "AA-8" in drawn)


def received(name: str) -> str:
    """What the receiver is said to receive: the first name of these bytes."""
    return next(other for other, data in HOSTILE.items() if data == HOSTILE[name])
