"""Thousands of whole sessions with faults, from seeds.

    python -m dul_fsm.testing.simulate --seeds 10000
    python -m dul_fsm.testing.simulate --seed 4711 -v

Each session has both ends, DIMSE included, over a wire in memory that splits, delays, stalls and
breaks, with users that abort and handlers that fail; see `simulation`. What must hold is checked
after every step. A seed that breaks it is printed with its plan and drawn as a ladder, and the
exit status is 1; the second line above plays one seed again.

Not here: what happens in a session (`simulation`).
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from dul_fsm.fsm import TABLE, State
from dul_fsm.pdu import PDUType
from dul_fsm.testing.ladder import Ladder
from dul_fsm.testing.simulation import Result, simulate

CHUNK: Final = 50
"""Seeds that a process runs at a time."""

SHOWN: Final = 3
"""Failing seeds that are drawn; of the others only the problem is told."""

_STATES: Final = tuple(state.name for state in State if state is not State.Sta1)


@dataclass(slots=True)
class Report:
    """What came of many sessions."""

    first: int
    sessions: int = 0
    steps: int = 0
    virtual_seconds: float = 0.0
    seconds: float = 0.0
    tally: Counter[str] = field(default_factory=Counter)
    """See `Result.tally`."""
    failures: list[tuple[int, list[str]]] = field(default_factory=list)
    """Seeds, and what was wrong."""

    @property
    def ok(self) -> bool:
        """Whether everything held."""
        return not self.failures

    @property
    def cells(self) -> int:
        """Cells of Table 9-10 that ran."""
        return sum(key.startswith("cell ") for key in self.tally)

    @property
    def missing(self) -> list[str]:
        """Cells that name an action and never ran."""
        defined = (f"{e.name}/{s.name}" for (e, s), action in TABLE.items() if action is not None)
        return sorted(cell for cell in defined if not self.tally[f"cell {cell}"])

    def add(self, results: Iterable[Result]) -> None:
        """Count sessions."""
        for result in results:
            self.sessions += 1
            self.steps += result.steps
            self.virtual_seconds += result.seconds
            self.tally.update(result.tally)
            if result.problems:
                self.failures.append((result.seed, result.problems))

    def merge(self, other: Report) -> None:
        """Count what another process has counted."""
        self.sessions += other.sessions
        self.steps += other.steps
        self.virtual_seconds += other.virtual_seconds
        self.tally.update(other.tally)
        self.failures += other.failures

    def __str__(self) -> str:
        lines = [
            f"{self.sessions:,} sessions, seeds {self.first} to {self.first + self.sessions - 1}, "
            f"{self.seconds:.1f} s ({self.virtual_seconds:,.0f} virtual): "
            + ("all as it should be" if self.ok else f"{len(self.failures)} FAILED"),
            f"  {self.steps:,} steps, {self.tally['bytes']:,} bytes, "
            f"{self.cells} of {self.cells + len(self.missing)} cells of Table 9-10 ran",
        ]
        for title, prefix in (
            ("sessions, as the requestor was told", "outcome "),
            ("as the acceptor was told", "acceptor "),
            ("faults that struck", "fault "),
            ("time limits that passed", "limit "),
            ("operations by final status", "operation "),
            ("images", "images "),
        ):
            lines += _columns(title, self._under(prefix))
        lost = {state: self.tally[f"cell Evt17/{state}"] for state in _STATES}
        lines += _columns("the transport's end, by state", lost)
        artim = {state: self.tally[f"cell Evt18/{state}"] for state in ("Sta2", "Sta13")}
        lines += _columns("ARTIM expired, by state", artim)
        pdus = {kind.name.replace("_", "-"): self.tally[f"PDU {kind.value}"] for kind in PDUType}
        lines += _columns("PDUs sent", pdus)
        if self.missing:
            lines += _columns("cells that never ran", dict.fromkeys(self.missing, None))
        return "\n".join(lines)

    def _under(self, prefix: str) -> dict[str, int]:
        found = {k.removeprefix(prefix): n for k, n in self.tally.items() if k.startswith(prefix)}
        return dict(sorted(found.items(), key=lambda item: -item[1]))


def _columns(title: str, counts: dict[str, int] | dict[str, None]) -> list[str]:
    """A title, and what it counts, in lines that fit a page."""
    lines, line = [f"  {title}:"], "   "
    for name, count in counts.items():
        text = name if count is None else f"{name} {count:,}"
        if len(line) + len(text) > 98:
            lines.append(line)
            line = "   "
        line += f" {text},"
    return [*lines, line.rstrip(",")]


def run_seeds(first: int, count: int, *, jobs: int = 1, progress: bool = False) -> Report:
    """Run the sessions of seeds `first` to `first + count - 1`, in `jobs` processes."""
    began = time.perf_counter()
    report = Report(first)
    chunks = [
        (start, min(CHUNK, first + count - start)) for start in range(first, first + count, CHUNK)
    ]
    for part in _parts(chunks, jobs):
        report.merge(part)
        if progress:
            failed = f", {len(report.failures)} failed" if report.failures else ""
            print(f"\r{report.sessions:,} of {count:,} sessions{failed}", end="", file=sys.stderr)
    if progress:
        print("\r\x1b[K", end="", file=sys.stderr)
    report.failures.sort()
    report.seconds = time.perf_counter() - began
    return report


def _parts(chunks: list[tuple[int, int]], jobs: int) -> Iterator[Report]:
    if jobs == 1 or len(chunks) == 1:
        yield from map(_run_chunk, chunks)
        return
    # Not by fork: whoever calls may have threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        yield from pool.map(_run_chunk, chunks)


def _run_chunk(chunk: tuple[int, int]) -> Report:
    first, count = chunk
    report = Report(first)
    report.add(simulate(seed) for seed in range(first, first + count))
    return report


def show(seed: int) -> Result:
    """Play a seed, and print its plan, its ladder and what was wrong."""
    ladder = Ladder()
    result = simulate(seed, ladder)
    print(result.plan)
    print()
    ladder.print()
    print()
    for problem in result.problems or ["all as it should be"]:
        print(f"seed {seed}: {problem}")
    return result


def main(arguments: list[str] | None = None) -> int:
    """Run from a command line; the exit status is 0 if everything held."""
    parser = argparse.ArgumentParser(
        prog="python -m dul_fsm.testing.simulate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, default=1000, help="how many sessions")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="play this one only")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("-v", "--verbose", action="store_true", help="draw the session of --seed")
    options = parser.parse_args(arguments)
    if options.seeds < 1 or options.jobs < 1:
        parser.error("--seeds and --jobs are 1 or more")
    if options.seed is not None and options.verbose:
        return 1 if show(options.seed).problems else 0
    first, count = (options.first, options.seeds) if options.seed is None else (options.seed, 1)
    report = run_seeds(first, count, jobs=options.jobs, progress=sys.stderr.isatty())
    print(report)
    for seed, problems in report.failures[:SHOWN]:
        print(f"\nseed {seed}: {problems[0]}")
        print(f"to play it again: python -m dul_fsm.testing.simulate --seed {seed} -v\n")
        show(seed)
    for seed, problems in report.failures[SHOWN:]:
        print(f"seed {seed}: {problems[0]}")
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
