"""A query with many matches: row 15 of the table."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from benchmarks.bench import Bench, Pair, arrow
from benchmarks.competitors import DCMTK, OURS, PYNETDICOM, findscu, missing, peer, wlmscpfs
from benchmarks.data import make_worklist
from benchmarks.measuring import Sample
from benchmarks.processes import Command, Process, free_port
from benchmarks.report import Row

PAIRS: tuple[Pair, ...] = (
    (OURS, OURS),
    (DCMTK, OURS),
    (OURS, DCMTK),
    (DCMTK, DCMTK),
    (PYNETDICOM, PYNETDICOM),
)
"""Who asks, who answers."""

CALLED = "ANY-SCP"
"""Whom all of them call unless told otherwise; wlmscpfs has a folder for each."""

Figure = Callable[[float], float]


def matches(bench: Bench) -> list[Row]:
    """15: all matches of a worklist; and the first one, with a C-CANCEL after it."""
    count = 500 if bench.quick else 10_000
    folder = bench.folder / "worklists"
    make_worklist(folder / CALLED, count)
    everything = Row("15", f"C-FIND of {count} worklist items", "per s", {})
    first = Row("15", f"the first of {count} matches, and a C-CANCEL", "ms", {})
    with ExitStack() as stack:
        servers: dict[str, tuple[Process, int]] = {}
        for name in dict.fromkeys(scp for _, scp in PAIRS):
            if missing(name):
                everything.notes.append(f"left out: {name}: {missing(name)}")
                continue
            port = free_port()
            commands = {
                DCMTK: lambda port: wlmscpfs(port, folder),
                OURS: lambda port: peer("worklist", OURS, port, folder / CALLED),
                PYNETDICOM: lambda port: peer("worklist", PYNETDICOM, port, folder / CALLED),
            }
            process = stack.enter_context(bench.server(commands[name](port), port))
            servers[name] = process, port
        pairs = [pair for pair in PAIRS if pair[1] in servers and not missing(pair[0])]
        for row, ask, figure in (
            (everything, partial(_all, count), lambda seconds: count / seconds),
            (first, _first, lambda seconds: seconds * 1e3),
        ):
            contestants = {
                arrow(pair): partial(_query, bench, ask, pair[0], *servers[pair[1]], figure)
                for pair in pairs
            }
            row.samples = bench.interleaved("15", contestants, row.notes)
    return [everything, first]


def _all(count: int, scu: str, port: int) -> Command:
    return findscu(port) if scu == DCMTK else peer("find", scu, port, count)


def _first(scu: str, port: int) -> Command:
    return findscu(port, cancel=1) if scu == DCMTK else peer("find-first", scu, port)


def _query(
    bench: Bench,
    ask: Callable[[str, int], Command],
    scu: str,
    process: Process,
    port: int,
    figure: Figure,
) -> Sample:
    return bench.timed([ask(scu, port)], process, port, figure)
