"""Reads `spec/`, the second transcription of the standard's tables, for tests to compare with.

It knows the form of those texts (spec/README.md) and nothing of the package: it must not import
it, or a mistake could vouch for itself.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

SPEC = Path(__file__).resolve().parents[1] / "spec"

Row = dict[str, str]
"""The cells of a row by the name of their column."""

Cell = tuple[int, int]
"""(event, state): (3, 13) is Evt3 in Sta13."""


class Outcome(NamedTuple):
    """One row of actions.txt."""

    case: str
    """What decides for this row; "" for an action with one row."""
    next_state: int
    effects: tuple[str, ...]


class Field(NamedTuple):
    """One row of pdus.txt."""

    bytes: str
    """As in the standard, counted from 1: "3-6", "75-", "n+1"."""
    type: str
    name: str
    value: str

    @property
    def span(self) -> tuple[int, int] | None:
        """First and last byte, counted from 1; None where one of them depends on a length."""
        first, _, last = self.bytes.partition("-")
        last = last if "-" in self.bytes else first
        return (int(first), int(last)) if first.isdigit() and last.isdigit() else None


def _sections(file: str) -> dict[str, list[str]]:
    """The lines of each table, by the table's name; remarks and empty lines left out."""
    sections: dict[str, list[str]] = {}
    lines: list[str] | None = None
    for line in (SPEC / file).read_text(encoding="utf-8").splitlines():
        if line.startswith("== "):
            name = line.removeprefix("== ")
            if name in sections:
                raise ValueError(f"{file}: table {name!r} stands there twice")
            lines = sections[name] = []
        elif line and not line.startswith("#"):
            if lines is None:
                raise ValueError(f"{file}: a row before the first table: {line!r}")
            lines.append(line)
    return sections


@cache
def tables(file: str) -> dict[str, list[Row]]:
    """The tables of a file whose cells are separated by `|`, by name."""

    def rows(lines: list[str]) -> list[Row]:
        header, *body = ([cell.strip() for cell in line.split("|")] for line in lines)
        return [dict(zip(header, cells, strict=True)) for cells in body]

    return {name: rows(lines) for name, lines in _sections(file).items()}


def _number(name: str, prefix: str) -> int:
    if not name.startswith(prefix):
        raise ValueError(f"{name!r} does not start with {prefix}")
    return int(name.removeprefix(prefix))


def _grid(name: str) -> dict[Cell, str | None]:
    header, *lines = _sections("state_table.txt")[name]
    states = [_number(column, "Sta") for column in header.split()]
    grid: dict[Cell, str | None] = {}
    for line in lines:
        event, *cells = line.split()
        for state, cell in zip(states, cells, strict=True):
            grid[_number(event, "Evt"), state] = None if cell == "." else cell
    return grid


@cache
def state_table() -> dict[Cell, str | None]:
    """The action of each of the 247 cells; None for a blank one."""
    return _grid("actions")


@cache
def next_state_table() -> dict[Cell, tuple[int, ...]]:
    """The next states of each of the 247 cells as Table 9-10 prints them; () for a blank one."""
    return {
        cell: tuple(int(state) for state in states.split("/")) if states else ()
        for cell, states in _grid("next states").items()
    }


@cache
def states() -> dict[int, Row]:
    """The rows of states.txt by number."""
    return {_number(row["state"], "Sta"): row for row in tables("states.txt")["states"]}


@cache
def events() -> dict[int, Row]:
    """The rows of events.txt by number."""
    return {_number(row["event"], "Evt"): row for row in tables("events.txt")["events"]}


@cache
def actions() -> dict[str, tuple[Outcome, ...]]:
    """The outcomes of each action, in the order of Tables 9-6 to 9-9."""
    found: dict[str, tuple[Outcome, ...]] = {}
    for rows in tables("actions.txt").values():
        for row in rows:
            effects = tuple(effect.strip() for effect in row["effects"].split(";"))
            outcome = Outcome(row["case"], _number(row["next"], "Sta"), effects)
            found[row["action"]] = (*found.get(row["action"], ()), outcome)
    return found


def next_states(action: str) -> tuple[int, ...]:
    """The states that an action can lead to, without repetition, in the order of actions.txt."""
    return tuple(dict.fromkeys(outcome.next_state for outcome in actions()[action]))


def effects(action: str, case: str = "") -> tuple[str, ...]:
    """The effects of an action in order. One with cases needs the name of the case."""
    return {outcome.case: outcome.effects for outcome in actions()[action]}[case]


@cache
def layouts() -> dict[str, tuple[Field, ...]]:
    """The fields of each structure, by what it is called: "01H" .. "59H", and "PDV"."""
    found: dict[str, tuple[Field, ...]] = {}
    for title, rows in tables("pdus.txt").items():
        kind, name, *_ = title.split()
        found[kind if kind == "PDV" else name] = tuple(
            Field(row["bytes"], row["type"], row["field"], row["value"]) for row in rows
        )
    return found


@cache
def codes() -> dict[str, dict[int, str]]:
    """The meanings of the codes of each field; the key is the title up to its first comma."""

    def number(code: str) -> int:
        return int(code.removesuffix("H"), 16) if code.endswith("H") else int(code)

    return {
        title.partition(",")[0]: {number(row["code"]): row["meaning"] for row in rows}
        for title, rows in tables("pdu_codes.txt").items()
    }


def choices() -> dict[str, Row]:
    """The paragraphs of each file in choices/, by the file's name and by their heading."""
    found: dict[str, Row] = {}
    for file in sorted((SPEC / "choices").glob("*.md")):
        paragraphs: Row = {}
        heading = ""
        for line in file.read_text(encoding="utf-8").splitlines():
            if line.startswith("## "):
                heading = line.removeprefix("## ")
                paragraphs[heading] = ""
            elif heading and line:
                paragraphs[heading] = f"{paragraphs[heading]} {line}".strip()
        found[file.name] = paragraphs
    return found
