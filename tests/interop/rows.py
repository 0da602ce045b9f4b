"""Which test exercises which operation with which peer, and the page that says so.

    @exercises("C-FIND", SCU, "dcmqrscp")       a test, or a parameter of one, by its mark
    python -m tests.interop.rows                run these tests, and write docs/interoperability.md

There is no list beside the tests: the page's rows are the marks, its words are the tests' names.
It is written only when every marked test has passed, with the versions that the peers told. A test
holds the page to the marks without running them, so it holds in a partial run, too; versions are
those of the last time that it was written.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "interoperability.md"
COMMAND = "python -m tests.interop.rows"

SCU, SCP = "SCU", "SCP"
OPERATIONS = (
    "C-ECHO",
    "C-STORE",
    "C-FIND",
    "C-GET",
    "C-MOVE",
    "C-CANCEL",
    "N-CREATE",
    "N-SET",
    "N-GET",
    "N-DELETE",
    "N-ACTION",
    "N-EVENT-REPORT",
)
PROGRAMS = {
    "DCMTK": (
        "echoscu",
        "storescu",
        "findscu",
        "getscu",
        "movescu",
        "storescp",
        "dcmqrscp",
        "wlmscpfs",
    ),
    "Orthanc": ("orthanc",),
    "pynetdicom": ("pynetdicom",),
}
MAKER = {program: maker for maker, programs in PROGRAMS.items() for program in programs}

HEAD = f"""\
# Interoperability

DIMSE operations that were exercised with software of other people's. `dul_fsm` is the SCU or the
SCP of the service: the SCU invokes its operations, and the SCP performs them and sends the
N-EVENT-REPORT. A cell names the programs at the other end; an empty one is not tried.

<!-- Made by `{COMMAND}` from the tests in tests/interop, after they had
passed; not to be edited by hand. -->

"""


def exercises(operation: str, ours: str, *programs: str) -> pytest.MarkDecorator:
    """Mark a test: it exercises `operation`, `ours` being SCU or SCP, with these programs."""
    for known, word in ((OPERATIONS, operation), ((SCU, SCP), ours)):
        if word not in known:
            raise ValueError(f"{word!r} is none of {known}")
    unknown = set(programs) - set(MAKER)
    if unknown or not programs:
        raise ValueError(f"not a program of {PROGRAMS}: {sorted(unknown)}")
    return pytest.mark.exercises(operation, ours, programs)


def each_archive(operation: str, *programs: str) -> pytest.MarkDecorator:
    """Parametrize the fixture `archive`: we exercise `operation` as SCU with each of these."""
    return pytest.mark.parametrize(
        "archive",
        [pytest.param(name, marks=exercises(operation, SCU, name)) for name in programs],
        indirect=True,
    )


@dataclass(frozen=True)
class Row:
    """One operation, one way, with one program, in one test."""

    operation: str
    ours: str
    program: str
    test: str
    """The test's name, in words."""


class Collector:
    """A plugin of pytest's: the rows of the tests that are marked, and how these tests ended."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.not_passed: set[str] = set()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Read the marks."""
        for item in session.items:
            words = item.name.partition("[")[0].removeprefix("test_").replace("_", " ")
            for mark in item.iter_markers("exercises"):
                operation, ours, programs = mark.args
                self.rows += [Row(operation, ours, program, words) for program in programs]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember what did not pass."""
        if not report.passed:
            self.not_passed.add(report.nodeid)


def collect(*arguments: str) -> Collector:
    """Let pytest find the marked tests, and run them unless the arguments say otherwise."""
    found = Collector()
    options = ["-q", "-m", "exercises", *arguments, str(ROOT / "tests" / "interop")]
    status = pytest.main(options, plugins=[found])
    if status != pytest.ExitCode.OK:
        sys.exit(f"pytest ended with {status!r}")
    return found


def render(rows: Iterable[Row], versions: Mapping[str, str]) -> str:
    """The page."""
    every = set(rows)
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    table, details = [], []
    for operation in OPERATIONS:
        for ours in (SCU, SCP):
            here = [row for row in every if (row.operation, row.ours) == (operation, ours)]
            if not here:
                continue
            cells = [_programs(here, maker) for maker in PROGRAMS]
            table.append(f"| {operation} | {ours} | {' | '.join(cells)} |\n")
            details.append(f"### {operation}, dul_fsm as {ours}\n\n")
            for test in sorted({row.test for row in here}):
                with_test = [row for row in here if row.test == test]
                details.append(f"- {_programs(with_test, *PROGRAMS)}: {test}\n")
            details.append("\n")
    head = f"| operation | dul_fsm is | {' | '.join(PROGRAMS)} |\n{'|---' * (2 + len(PROGRAMS))}|\n"
    return (
        f"{HEAD}{head}{''.join(table)}\nPassed last with: {told}.\n\n"
        f"## The tests\n\nBy their names.\n\n{''.join(details)}".rstrip("\n")
        + "\n"
    )


def _programs(rows: Iterable[Row], *makers: str) -> str:
    there = {row.program for row in rows}
    return ", ".join(name for maker in makers for name in PROGRAMS[maker] if name in there)


def versions_of(page: str) -> dict[str, str]:
    """The versions that a page tells."""
    line = re.search(r"^Passed last with: (.+)\.$", page, re.MULTILINE)
    return dict(re.findall(r"(\w+) ([\d.]*\d)", line[1])) if line else {}


def main() -> None:
    """Write the page, or with `--print` print it as it is to be, without running anything."""
    if sys.argv[1:] == ["--print"]:
        found = collect("--collect-only", "-qq")
        print(render(found.rows, versions_of(PAGE.read_text(encoding="utf-8"))), end="")
        return
    from tests.interop.archives import versions

    found = collect()
    if found.not_passed:
        sys.exit(f"not written; these have not passed: {sorted(found.not_passed)}")
    PAGE.write_text(render(found.rows, versions()), encoding="utf-8")


if __name__ == "__main__":
    main()
