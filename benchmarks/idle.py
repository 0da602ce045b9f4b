"""Row 9 of the table: associations that do nothing, and what the SCP pays for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec

from benchmarks.bench import Bench
from benchmarks.competitors import OURS, peer
from benchmarks.measuring import Sample
from benchmarks.processes import Process, free_port
from benchmarks.report import Floor, Row

HOLD_PATIENCE = 120.0
"""Seconds for a thousand associations to be opened."""


def idle(bench: Bench) -> list[Row]:
    """9: a thousand associations that do nothing."""
    count = 100 if bench.quick else 1000
    seconds = 1.0 if bench.quick else 5.0
    cpu = Row("9a", f"{count} idle associations: processor of the SCP", "% of a core", {})
    memory = Row("9b", f"{count} idle associations: memory of the SCP each", "kB", {})
    servers: dict[str, Callable[[], AbstractContextManager[tuple[Process, int]]]] = {
        "threaded": lambda: bench.scp(OURS)
    }
    cpu.floors = [Floor("threaded", None, 1.0, at_least=False)]
    memory.floors = [Floor("threaded", None, 64.0, at_least=False)]
    if find_spec("dul_fsm.aio") is None:
        cpu.notes.append("asyncio: not built yet")
    else:
        servers["asyncio"] = lambda: _asyncio(bench)
        cpu.floors = [*cpu.floors, Floor("asyncio", None, 1.0, at_least=False)]
        memory.floors = [*memory.floors, Floor("asyncio", None, 24.0, at_least=False)]

    def run(name: str) -> tuple[Sample, Sample]:
        with servers[name]() as (process, port):
            # One first, so that what all share is in memory.
            bench.observe([peer("echo", OURS, port, 1)], process, port)
            before = process.memory("VmRSS")
            with Process(peer("hold", port, count), bench.folder) as holder:
                holder.await_output("held", HOLD_PATIENCE)
                growth = process.memory("VmRSS") - before
                began, used = time.monotonic(), process.cpu()
                time.sleep(seconds)
                share = 100 * (process.cpu() - used) / (time.monotonic() - began)
        return Sample(share), Sample(growth / count / 1000)

    figures: dict[str, list[tuple[Sample, Sample]]] = {name: [] for name in servers}

    def runner(name: str) -> Callable[[], Sample]:
        def once() -> Sample:
            figures[name].append(run(name))
            return figures[name][-1][0]

        return once

    cpu.samples = bench.interleaved("9", {name: runner(name) for name in servers}, cpu.notes)
    memory.samples = {name: [size for _, size in both[1:]] for name, both in figures.items()}
    memory.notes.append(
        "growth of resident memory; what the kernel keeps for a socket is not in it"
    )
    return [cpu, memory]


@contextmanager
def _asyncio(bench: Bench) -> Iterator[tuple[Process, int]]:
    port = free_port()
    with bench.server(peer("serve-aio", port), port) as process:
        yield process, port
