"""`fsm.render`, line by line: headings, forks, and where a line is broken."""

from __future__ import annotations

from itertools import pairwise, product

from dul_fsm.fsm import Action, Effect, Event, Fork, Outcome, State
from dul_fsm.fsm.actions import AA_6
from dul_fsm.fsm.render import as_markdown, as_mermaid, as_text


def test_the_text_has_its_headings_in_order_each_after_an_empty_line() -> None:
    lines = as_text().splitlines()
    places = [lines.index(heading) for heading in ("Events", "States", "Actions")]
    assert places == sorted(places)
    assert [lines[place - 1] for place in places] == ["", "", ""]
    assert lines[0] == "PS3.8 Table 9-10: DICOM Upper Layer protocol state transition table"
    assert lines[1] == ""


def test_the_text_shows_both_answers_of_a_fork_under_one_name() -> None:
    assert (
        "  AR-8   if association-requestor: A-RELEASE indication (release collision); next state "
        "Sta9\n"
        "         if association-acceptor: A-RELEASE indication (release collision); next state "
        "Sta10\n"
    ) in as_text()


def test_the_text_says_nothing_of_an_action_without_effects_and_no_condition_without_a_fork() -> (
    None
):
    text = as_text()
    assert "  AA-6   nothing; next state Sta13\n" in text
    assert "  AE-5   issue TRANSPORT CONNECT response; start ARTIM; next state Sta2\n" in text


def test_lines_of_the_text_are_broken_after_one_hundred_columns_and_not_before() -> None:
    lengths, would_be = set(), set()
    for count in range(1, 7):
        for effects in product((Effect.SEND_A_RELEASE_RQ, Effect.CLOSE_TRANSPORT), repeat=count):
            action = Action("AA-1", Outcome(effects, State.Sta13))
            lines = as_text(only(action)).partition("Actions\n")[2].splitlines()
            lengths |= {len(line) for line in lines}
            would_be |= {len(a) + 1 + len(b.split()[0]) for a, b in pairwise(lines)}
    assert max(lengths) == 100
    assert min(would_be) == 101


def only(action: Action) -> dict[tuple[Event, State], Action | None]:
    """A table with one action in each cell."""
    return {(event, state): action for event in Event for state in State}


def test_the_markdown_has_a_row_for_each_outcome_of_each_action() -> None:
    rows = as_markdown().split("\n\n")[1].splitlines()
    assert rows[:2] == ["| action | effects | next state |", "|---|---|---|"]
    assert rows[2] == "| AE-1 | issue TRANSPORT CONNECT request | Sta4 |"
    assert (
        "| AR-8 | if association-acceptor: A-RELEASE indication (release collision) | Sta10 |"
        in (rows)
    )
    assert rows[-3] == "| AA-6 | nothing | Sta13 |"
    assert len(rows) == 2 + 28 + 2


def test_the_diagram_names_every_state_with_its_meaning_and_begins_in_sta1() -> None:
    lines = as_mermaid().splitlines()
    assert lines[1] == '    state "Sta1: Idle" as Sta1'
    assert [line.rpartition(" ")[2] for line in lines[1:14]] == [state.name for state in State]
    assert lines[14] == "    [*] --> Sta1"


def test_the_diagram_has_no_condition_where_both_answers_lead_to_one_state() -> None:
    same = Outcome((), State.Sta9)
    fork = Action("AR-8", same, Fork.REQUESTOR, same)
    table = {**only(AA_6), (Event.Evt1, State.Sta1): fork}
    assert "    Sta1 --> Sta9 : Evt1 / AR-8\n" in as_mermaid(table)
