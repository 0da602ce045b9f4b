"""The workloads that send no images: rows 6, 7 and 11 of the table."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from benchmarks.bench import Bench
from benchmarks.competitors import DCMTK, OURS, PYNETDICOM, echoscu, missing, peer
from benchmarks.measuring import Sample
from benchmarks.processes import BenchmarkError, Command
from benchmarks.report import Floor, Row


def echo(bench: Bench) -> list[Row]:
    """6: what a C-ECHO takes on an association that is there, each SCU with its own SCP."""
    count = 300 if bench.quick else 2000
    row = Row("6", f"C-ECHO round trip, {count} on one association", "µs", {})
    row.floors = [
        Floor(OURS, DCMTK, 1.5, at_least=False),
        Floor(OURS, PYNETDICOM, 15.0, inverse=True),
    ]
    makers = {
        OURS: lambda port: peer("echo", OURS, port, count),
        DCMTK: lambda port: echoscu(port, count),
        PYNETDICOM: lambda port: peer("echo", PYNETDICOM, port, count),
    }
    _conversations(bench, row, makers, lambda seconds: seconds / count * 1e6)
    return [row]


def associations(bench: Bench) -> list[Row]:
    """7: open, echo, release, as often as it goes, one after the other."""
    count = 20 if bench.quick else 500
    row = Row("7", f"associations with one C-ECHO, {count} in turn", "per s", {})
    row.floors = [Floor(OURS, PYNETDICOM, 10.0)]
    makers = {
        OURS: lambda port: peer("associate", OURS, port, count),
        PYNETDICOM: lambda port: peer("associate", PYNETDICOM, port, count),
    }
    _conversations(bench, row, makers, lambda seconds: count / seconds)
    return [row]


def _conversations(
    bench: Bench,
    row: Row,
    makers: dict[str, Callable[[int], Command]],
    figure: Callable[[float], float],
) -> None:
    with ExitStack() as stack:
        contestants = {}
        for name, maker in makers.items():
            if missing(name):
                row.notes.append(f"left out: {name}: {missing(name)}")
                continue
            process, port = stack.enter_context(bench.scp(name))
            contestants[name] = partial(bench.timed, [maker(port)], process, port, figure)
        row.samples = bench.interleaved(row.number, contestants, row.notes)


def negotiation(bench: Bench) -> list[Row]:
    """11: an A-ASSOCIATE-RQ with 30 contexts, without a connection."""
    count = 200 if bench.quick else 1000
    ours, theirs = "decode, negotiate, answer", "pynetdicom: decode alone"
    row = Row("11", "A-ASSOCIATE-RQ with 30 contexts", "µs", {})
    row.floors = [Floor(ours, theirs, 10.0, inverse=True)]

    def run(kind: str) -> Sample:
        command = peer("negotiate", kind, count)
        said = subprocess.run(command.arguments, capture_output=True, text=True, check=False)
        if said.returncode:
            raise BenchmarkError(said.stderr[-200:])
        clock, processor = map(float, said.stdout.split())
        # Nothing waits in it: on a busy machine the processor's time is the one to go by.
        return Sample(processor * 1e6, clock, processor)

    contestants = {ours: lambda: run(OURS)}
    if missing(PYNETDICOM):
        row.notes.append(f"left out: {PYNETDICOM}: {missing(PYNETDICOM)}")
    else:
        contestants[theirs] = lambda: run(PYNETDICOM)
    row.samples = bench.interleaved("11", contestants, row.notes)
    row.notes.append("processor time; in one process each, no connection")
    return [row]
