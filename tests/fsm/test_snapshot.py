"""No step of the machine changes unseen."""

from __future__ import annotations

import difflib

import pytest

from tests.fsm import snapshot


def difference(old: str, new: str) -> str:
    """The lines that differ, as in a patch; "" for none."""
    lines = difflib.unified_diff(
        old.splitlines(), new.splitlines(), "snapshot.txt", "the machine", lineterm="", n=0
    )
    return "\n".join(lines)


def test_each_step_is_as_it_was() -> None:
    changed = difference(snapshot.FILE.read_text(encoding="utf-8"), snapshot.render())
    if changed:
        pytest.fail(f"steps changed; if that is meant, run `{snapshot.COMMAND}`\n{changed}")


def test_a_changed_cell_shows_as_one_line_less_and_one_more() -> None:
    text = snapshot.render()
    line = next(line for line in text.splitlines() if "AA-6" in line)
    changed = difference(text, text.replace(line, line.replace("AA-6", "AA-7"), 1))
    shown = [part for part in changed.splitlines() if part[:3] not in ("---", "+++", "@@ ")]
    assert shown == [f"-{line}", f"+{line.replace('AA-6', 'AA-7')}"]


def test_the_snapshot_has_a_line_for_each_cell_role_and_answer() -> None:
    lines = [line for line in snapshot.render().splitlines() if not line.startswith("#")]
    assert len(lines) == len({line.partition("->")[0] for line in lines}) == 19 * 13 * 2 * 2
