"""What several processes bring: `listen --workers` with several SCUs at once.

Not here: one process with several SCUs, by their number (`sweeps`).
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from benchmarks.bench import Bench
from benchmarks.competitors import DCMTK, FORKING, OURS, TWO_WORKERS, peer
from benchmarks.measuring import Sample
from benchmarks.processes import Process
from benchmarks.report import Row

SCUS = 4
"""At once, more than there are processors."""


def workers(bench: Bench) -> list[Row]:
    """16: images, and associations with one C-ECHO, from several SCUs at once."""
    note = (
        "processor time and memory of an SCP are those of its processes together, "
        "but for DCMTK's that come with an association"
    )
    images = bench.transfers(
        "16a",
        f"{SCUS} SCUs at once, {len(bench.few.files)} x 512 KiB CT each",
        bench.few,
        [(DCMTK, OURS), (DCMTK, TWO_WORKERS), (DCMTK, FORKING)],
        clients=SCUS,
    )
    images.notes.append(note)
    return [images, _associations(bench, note)]


def _associations(bench: Bench, note: str) -> Row:
    count = 10 if bench.quick else 200
    title = f"{SCUS} SCUs at once, {count} associations with one C-ECHO each"
    row = Row("16b", title, "per s", {}, notes=[note])
    with ExitStack() as stack:
        row.samples = bench.interleaved(
            row.number,
            {
                name: partial(_at_once, bench, count, *stack.enter_context(bench.scp(name)))
                for name in (OURS, TWO_WORKERS)
            },
            row.notes,
        )
    return row


def _at_once(bench: Bench, count: int, process: Process, port: int) -> Sample:
    commands = [peer("associate", OURS, port, count)] * SCUS
    return bench.timed(commands, process, port, lambda seconds: SCUS * count / seconds)
