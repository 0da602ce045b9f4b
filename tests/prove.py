"""The proof in one command: what was checked, how much of it, how long that took, and the result.

    python -m tests.prove [--seeds N] [--beyond-tests]       (or: make prove)

Each line is a check that stands on its own: a part of the test suite, the model check or the
simulation, run as its own process. The exit status is 0 if all of them hold; what one of them
found is printed below the table.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

from tests import oracle

DEFAULT_SEEDS = 10_000
WIDTHS = (51, 42, 8)


class Check(NamedTuple):
    """One line of the proof."""

    what: str
    command: tuple[str, ...]
    """Arguments of the Python interpreter."""
    amount: str
    """What it prints of how much was checked: a pattern, its groups are the numbers."""
    told: str
    """How to tell it; `{}` for each group."""


def pytest(what: str, *arguments: str, told: str = "{} tests") -> Check:
    """A part of the test suite."""
    command = ("-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments)
    return Check(what, command, r"(\d+) passed", told)


def checks(seeds: int) -> list[Check]:
    """The lines, in order."""
    choices = sorted(
        {
            f"{path}::{name}"
            for choice in oracle.choices().values()
            for path, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)[`[]", choice["Test"])
        }
    )
    return [
        pytest(
            "The compiled machine is Table 9-10, blanks too",
            "tests/fsm",
            "tests/test_spec.py",
            told="247 cells, 28 actions, {} tests",
        ),
        pytest("Every cell through the API", "tests/upper_layer/test_cells_by_api.py"),
        pytest("Every cell through bytes alone", "tests/upper_layer/test_cells_by_wire.py"),
        pytest(
            "Every choice where the standard is silent",
            *choices,
            told=f"{len(oracle.choices())} choices, {{}} tests",
        ),
        Check(
            "Model check: two sides, hostile bytes, loss, time",
            ("-m", "dul_fsm.testing.model"),
            r"everything +([\d,]+) states +([\d,]+) edges.* (\d+) cells",
            "{} states, {} edges, {} cells",
        ),
        pytest(
            "Four planted mistakes are caught",
            "tests/testing/test_proof_catches.py",
            "-k",
            "mistake_is_caught",
            told="{} of 4",
        ),
        pytest("Properties of PDUs, streams, messages, sessions", "tests/property"),
        Check(
            "Simulation: sessions with faults, from seeds",
            ("-m", "dul_fsm.testing.simulate", "--seeds", str(seeds), "--jobs", "2"),
            r"([\d,]+) sessions, .*\n +([\d,]+) steps",
            "{} sessions, {} steps",
        ),
        pytest("Torture: the N-th of each operation fails", "tests/torture"),
    ]


def run(check: Check) -> tuple[str, bool, str]:
    """The line of a check, whether it held, and what it printed."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *check.command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"COLUMNS": "100"},
    )
    seconds = time.perf_counter() - began
    found = re.search(check.amount, done.stdout)
    held = done.returncode == 0 and found is not None
    told = check.told.format(*found.groups()) if found else "?"
    return line(check.what, told, f"{seconds:.1f}", "holds" if held else "FAILS"), held, done.stdout


def line(what: str, told: str, seconds: str, result: str) -> str:
    """A row of the table."""
    cells = (what, told, seconds)
    return " ".join(f"{cell:{width}}" for cell, width in zip(cells, WIDTHS, strict=True)) + result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run every check and print the table; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.prove", description=__doc__)
    parser.add_argument("--seeds", type=int, default=DEFAULT_SEEDS, help="of the simulation")
    parser.add_argument(
        "--beyond-tests", action="store_true", help="leave out what `make test` runs as well"
    )
    options = parser.parse_args(arguments)
    print(line("what was checked", "how many", "seconds", "result"), flush=True)
    wrong: list[tuple[Check, str]] = []
    for check in checks(options.seeds):
        if options.beyond_tests and "pytest" in check.command:
            continue
        row, held, output = run(check)
        print(row, flush=True)
        if not held:
            wrong.append((check, output))
    for check, output in wrong:
        print(f"\n{check.what}: python {' '.join(check.command)}\n{output}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
