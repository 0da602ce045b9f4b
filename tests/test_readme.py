"""The README shows code: it runs as it stands."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from dul_fsm.fsm.render import as_mermaid
from tests import oracle
from tests.prove import DEFAULT_SEEDS, WIDTHS, checks

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[0])
def test_code_of_the_readme_runs_as_it_stands(block: str) -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", block], capture_output=True, text=True, timeout=60
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout


def test_first_example_is_short_and_ends_in_two_successes() -> None:
    lines = [line for line in BLOCKS[0].splitlines() if line.strip()]
    assert len(lines) <= 11
    run = subprocess.run(
        [sys.executable, "-c", BLOCKS[0]], capture_output=True, text=True, timeout=60
    )
    assert "C-ECHO 0000H, C-STORE 0000H" in run.stdout


def test_readme_names_the_two_commands_on_its_first_screen() -> None:
    first_screen = "\n".join(README.splitlines()[:35])
    assert "make demo" in first_screen
    assert "make test" in first_screen


@pytest.mark.parametrize("target", re.findall(r"\]\(((?!http)[^)#]+)\)", README))
def test_link_of_the_readme_leads_somewhere(target: str) -> None:
    assert (ROOT / target).exists()


def test_proof_of_the_readme_has_the_lines_that_make_prove_prints() -> None:
    table = README.split("\nwhat was checked", 1)[1].split("```", 1)[0].splitlines()[1:]
    rows = checks(DEFAULT_SEEDS)
    assert [row[: WIDTHS[0]].strip() for row in table] == [check.what for check in rows]
    assert all(row.endswith("holds") for row in table)
    choices = next(row for row in table if "choice" in row)
    assert f" {len(oracle.choices())} choices" in choices


def test_state_diagram_of_the_readme_is_drawn_from_the_table() -> None:
    assert f"```mermaid\n{as_mermaid().rstrip()}\n```" in README
