"""`fsm.render`: the forms of the table say what the table says, and a script can rely on them."""

from __future__ import annotations

import csv
import io
import re

import pytest

from dul_fsm.fsm import TABLE, Event, State
from dul_fsm.fsm.render import FORMS, WIDTH, actions, as_csv, as_markdown, as_mermaid, as_text
from tests.oracle import next_state_table, state_table


def cells() -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(as_csv())))


def test_the_csv_has_one_row_for_each_cell_event_by_event() -> None:
    rows = [(row["event"], row["state"]) for row in cells()]
    assert rows == [(event.name, state.name) for event in Event for state in State]
    assert len(rows) == 247


def test_the_csv_agrees_with_the_second_transcription_cell_by_cell() -> None:
    for row in cells():
        cell = int(row["event"].removeprefix("Evt")), int(row["state"].removeprefix("Sta"))
        action = state_table()[cell]
        assert row["action"] == (action or "N/A"), cell
        leads = {f"Sta{number}" for number in next_state_table()[cell]}
        assert set(row["next_states"].split("|")) == (leads or {"N/A"}), cell


def test_the_csv_starts_with_its_header_and_has_nothing_to_quote() -> None:
    lines = as_csv().splitlines()
    assert lines[0] == "event,state,action,next_states"
    assert lines[1] == "Evt1,Sta1,AE-1,Sta4"
    assert lines[2] == "Evt1,Sta2,N/A,N/A"
    assert "Evt6,Sta2,AE-6,Sta3|Sta13" in lines
    assert "Evt12,Sta7,AR-8,Sta9|Sta10" in lines
    assert all(line.count(",") == 3 and '"' not in line for line in lines)


def test_the_text_keeps_to_its_width_and_its_columns_are_aligned() -> None:
    lines = as_text().splitlines()
    assert max(len(line) for line in lines) <= WIDTH
    header = next(line for line in lines if line.lstrip().startswith("Sta1 "))
    for event in Event:
        row = next(line for line in lines if line.split()[:1] == [event.name])
        for state in State:
            start = re.search(rf"\b{state.name}\b", header)
            assert start is not None
            action = TABLE[event, state]
            cell = row[start.start() : start.start() + 6].strip()
            assert cell == (action.name if action else ""), (event, state)


def test_the_text_explains_every_name_in_it() -> None:
    text = as_text()
    for named in (*Event, *State):
        assert f"  {named.name:6} {named.meaning}\n" in text
    for action in actions():
        assert re.search(rf"^  {action.name} ", text, re.MULTILINE)


def test_the_actions_are_all_28_in_the_order_of_the_standard() -> None:
    names = [action.name for action in actions()]
    assert len(names) == 28
    assert names[:2] == ["AE-1", "AE-2"]
    assert names[8:11] == ["DT-1", "DT-2", "AR-1"]
    assert names[-1] == "AA-8"


def test_the_markdown_tables_have_as_many_cells_in_each_row_as_in_the_header() -> None:
    for block in as_markdown().strip().split("\n\n"):
        assert len({line.count("|") for line in block.splitlines()}) == 1
    assert "| **Evt1** A-ASSOCIATE request | AE-1 |  |" in as_markdown()


def test_the_diagram_has_every_transition_once_and_no_other() -> None:
    arrow = re.compile(r"    (Sta\d+) --> (Sta\d+) : (.*)")
    drawn: list[tuple[str, str, str, str]] = []
    for line in as_mermaid().splitlines():
        match = arrow.fullmatch(line)
        if match:
            for group in match[3].split("<br/>"):
                events, _, action = group.partition(" / ")
                drawn += [
                    (event, match[1], action.split(" ")[0], match[2])
                    for event in events.split(", ")
                ]
    there = {
        (event.name, state.name, action.name, outcome.next_state.name)
        for (event, state), action in TABLE.items()
        if action
        for outcome in action.outcomes
    }
    assert set(drawn) == there
    assert len(drawn) == len(there)


def test_the_diagram_says_when_a_fork_goes_where() -> None:
    text = as_mermaid()
    assert "Sta2 --> Sta3 : Evt6 / AE-6 if acceptable\n" in text
    assert "Sta7 --> Sta10 : Evt12 / AR-8 if association-acceptor\n" in text
    assert text.startswith("stateDiagram-v2\n")
    # Mermaid takes a semicolon for the end of a line.
    assert ";" not in text


@pytest.mark.parametrize("form", FORMS)
def test_every_form_ends_with_one_newline(form: str) -> None:
    text = FORMS[form]()
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
