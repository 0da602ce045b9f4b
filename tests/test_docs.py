"""The documentation: its code runs, its tables are those of the code, its links lead somewhere.

`python -m tests.test_docs` writes the generated page anew.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dul_fsm import errors
from dul_fsm.fsm import TABLE, Event, State, render
from dul_fsm.fsm.actions import AA_1, AA_2
from dul_fsm.scp import serve
from dul_fsm.timers import TimeLimit, TimeLimits
from dul_fsm.upper_layer.deadlines import Deadlines
from tests.transports.clauses import CLAUSES

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {path.name: path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md"))}

COMMAND = "python -m tests.test_docs"

STATE_TABLE = f"""\
# The state table

PS3.8 Table 9-10 and the actions of Tables 9-6 to 9-9, as the program runs them. An empty cell is
one that the standard leaves blank: [what happens there](../spec/choices/blank-cells.md). The words
are in [the glossary](glossary.md).

<!-- Made by `{COMMAND}` from dul_fsm/fsm/table.py; not to be edited by hand.
The same comes from `dul-fsm table`, as --format markdown and --format mermaid. -->

{{table}}
## States

| state | meaning |
|---|---|
{{states}}
## Diagram

An arrow's label names events and, after a slash, the action.

```mermaid
{{diagram}}```
"""


def state_table() -> str:
    """What docs/state-table.md is to be."""
    states = "".join(f"| {state.name} | {state.meaning} |\n" for state in State)
    return STATE_TABLE.format(
        table=render.as_markdown(), states=states, diagram=render.as_mermaid()
    )


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", PAGES[page], flags=re.MULTILINE | re.DOTALL)


BLOCKS = [
    pytest.param(block, id=f"{page}-{number}")
    for page in PAGES
    for number, block in enumerate(blocks(page), 1)
]


def rows(page: str, head: str) -> list[list[str]]:
    """The cells of the table with that head, row by row, code marks taken off."""
    lines = PAGES[page].splitlines()
    first = lines.index(head)
    found: list[list[str]] = []
    for line in lines[first + 2 :]:
        if not line.startswith("|"):
            break
        found.append([cell.strip().strip("`") for cell in line.strip("|").split(" | ")])
    return found


# Code --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", BLOCKS)
def test_code_runs_as_it_stands(block: str) -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", block],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout


@pytest.mark.parametrize(
    "page", ["transports.md", "scp.md", "scu.md", "services.md", "query.md", "time-limits.md"]
)
def test_how_tos_show_code(page: str) -> None:
    assert blocks(page)


@pytest.fixture(scope="module")
def unix() -> dict[str, Any]:
    """What the example of a transport defines."""
    block, _ = blocks("transports.md")
    names: dict[str, Any] = {}
    exec(compile(block, "docs/transports.md", "exec"), names)
    return names


@pytest.mark.parametrize("clause", CLAUSES, ids=lambda clause: clause.__name__)
def test_the_example_of_a_transport_keeps_every_clause(
    clause: Callable[..., None], unix: dict[str, Any]
) -> None:
    def make_pair() -> tuple[Any, Any]:
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        return unix["carried_by"](one), unix["carried_by"](other)

    clause(make_pair)


# Generated and tested tables ---------------------------------------------------------------------


def test_the_state_table_is_the_one_that_runs() -> None:
    assert PAGES["state-table.md"] == state_table(), f"run `{COMMAND}`"


LIMITS = "| limit | default | runs in | from | until |"


def test_every_time_limit_has_its_row_and_its_default() -> None:
    defaults = TimeLimits()
    assert [row[:2] for row in rows("time-limits.md", LIMITS)] == [
        [field.name, f"{getattr(defaults, field.name):g} s"]
        for field in dataclasses.fields(defaults)
    ]
    assert [field.name for field in dataclasses.fields(defaults)] == [
        limit.name.lower() for limit in TimeLimit
    ]


NO_CONNECTION = {State.Sta1, State.Sta4}
ARTIM_STATES = {State.Sta2, State.Sta13}
ELSEWHERE = set(State) - NO_CONNECTION - ARTIM_STATES


def states_of(cell: str) -> set[State]:
    if cell.startswith("all with a connection but "):
        return set(State) - NO_CONNECTION - states_of(cell.partition(" but ")[2])
    return {State[name] for name in cell.split(", ")}


def runs(limit: TimeLimit, start: Callable[[Deadlines, State], None]) -> set[State]:
    """The states in which a limit runs after `start`."""
    found = set()
    for state in State:
        deadlines = Deadlines(TimeLimits())
        start(deadlines, state)
        if deadlines.running(limit):
            found.add(state)
    return found


def test_time_limits_run_in_the_states_that_their_rows_name() -> None:
    stated = {row[0]: states_of(row[2]) for row in rows("time-limits.md", LIMITS)}

    def enter(deadlines: Deadlines, state: State) -> None:
        deadlines.state_changed(State.Sta6, state, 0.0)

    for limit in (TimeLimit.CONNECT, TimeLimit.ASSOCIATION, TimeLimit.RELEASE):
        assert stated[limit.name.lower()] == runs(limit, enter)
    pdu = runs(TimeLimit.PDU, lambda deadlines, state: deadlines.pdu_arriving(state, 0.0))
    write = runs(TimeLimit.WRITE, lambda deadlines, state: deadlines.writing(state, 0.0))
    assert stated["pdu"] == pdu - NO_CONNECTION == ELSEWHERE
    assert stated["write"] == write - NO_CONNECTION == ELSEWHERE
    assert stated["artim"] == {s for (e, s), action in TABLE.items() if e is Event.Evt18 and action}
    assert stated["response"] == stated["idle"] == {State.Sta6}


def test_artim_and_a_given_up_connection_both_close_by_aa_2() -> None:
    assert TABLE[Event.Evt18, State.Sta2] is TABLE[Event.Evt18, State.Sta13] is AA_2
    assert TABLE[Event.Evt15, State.Sta4] is AA_2
    assert {TABLE[Event.Evt15, state] for state in ELSEWHERE} == {AA_1}


def test_the_exceptions_of_the_scu_are_what_the_page_says() -> None:
    kinds = [getattr(errors, row[0]) for row in rows("scu.md", "| exception | meaning |")]
    assert all(issubclass(kind, errors.DULError) for kind in kinds)
    assert [issubclass(kind, errors.AssociationError) for kind in kinds] == [True] * 5 + [False] * 2
    aborted = [kind for kind in kinds if issubclass(kind, errors.AssociationAborted)]
    assert aborted == [
        errors.AssociationAborted,
        errors.AssociationTimeout,
        errors.TransportFailed,
    ]


def test_the_limits_of_serve_have_the_defaults_that_the_page_says() -> None:
    arguments = inspect.signature(serve).parameters
    for name, value, _ in rows("scp.md", "| argument of `serve` | default | meaning |"):
        assert name in arguments
        if name != "time_limits":
            assert value == str(arguments[name].default)


def test_the_glossary_is_in_order_and_gives_each_word_its_place() -> None:
    found = rows("glossary.md", "| word | meaning | where |")
    words = [row[0] for row in found]
    assert words == sorted(words, key=str.lower)
    assert len(words) == len({word.lower() for word in words})
    for word, meaning, where in found:
        assert meaning, word
        assert re.match(r"PS3\.\d", where), word


def test_every_room_is_in_the_architecture() -> None:
    head = "| room | what it is | I/O |"
    named = {
        name.strip("`") for row in rows("architecture.md", head) for name in row[0].split(", ")
    }
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = settings["tool"]["importlinter"]["contracts"][0]
    rooms = set(re.findall(r"\w+", " ".join(contract["layers"])))
    assert named == rooms - {"__main__"}


# Links -------------------------------------------------------------------------------------------

LINKS = [
    (page, target)
    for page, text in PAGES.items()
    for target in re.findall(r"\]\(((?!http)[^)]+)\)", re.sub(r"(?ms)^```.*?^```$", "", text))
]


def anchors(text: str) -> set[str]:
    """The names that headings have as targets of links."""
    heads = re.findall(r"^#+ (.*)$", re.sub(r"(?ms)^```.*?^```$", "", text), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize(("page", "target"), LINKS)
def test_link_leads_somewhere(page: str, target: str) -> None:
    file, _, anchor = target.partition("#")
    path = (DOCS / file).resolve() if file else DOCS / page
    assert path.exists()
    assert path.is_relative_to(ROOT)
    if anchor:
        assert anchor in anchors(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    (DOCS / "state-table.md").write_text(state_table(), encoding="utf-8")
