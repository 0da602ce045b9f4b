"""One run: clients against a server, how long their connections lived and what both ends cost.

Not here: how a connection is seen (`tap`), what is run (`competitors`), medians (`report`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import BenchmarkError, Command, Process
from benchmarks.tap import Tap

RUN_PATIENCE = 600.0
"""Seconds for one run; then it is given up."""

TRIES = 3
"""For one run."""

LOOK = 0.02
"""Seconds between two looks at a client's peak of memory, which is gone with the client."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One run in figures. None: not measured."""

    value: float
    """The figure of the row, in its unit."""
    seconds: float | None = None
    """By the clock."""
    cpu_scu: float | None = None
    """Seconds of processor time while the connection lived."""
    cpu_scp: float | None = None
    memory_scu: int | None = None
    """Peak of resident memory in bytes, pages of mapped files included."""
    memory_scp: int | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """What was observed of one run."""

    seconds: float
    """From the first connection's opening to the last one's closing."""
    connections: int
    cpu_scu: float
    cpu_scp: float
    memory_scu: int
    memory_scp: int

    def sample(self, value: float) -> Sample:
        """The same, with the row's own figure."""
        return Sample(
            value, self.seconds, self.cpu_scu, self.cpu_scp, self.memory_scu, self.memory_scp
        )


def observe(
    tap: Tap, commands: Sequence[Command], server: Process, port: int, folder: Path
) -> Observed:
    """Run the clients to their end, all at once, and watch. Raises `BenchmarkError`.

    Processor time is read when a connection opens and when one closes, so that the start of a
    process and its end are not in it.
    """
    server.reset()
    tap.begin(port)
    opened: dict[int, float] = {}
    closed: dict[int, float] = {}
    before: list[float] = []
    after: list[float] = []
    with ExitStack() as stack:
        clients = [stack.enter_context(Process(command, folder)) for command in commands]
        memory = [0] * len(clients)
        by = time.monotonic() + RUN_PATIENCE
        going = True
        while going:
            going = any(client.running for client in clients)
            for one in tap.wait([client for client in clients if client.running], LOOK * going):
                cpu = [process.cpu() for process in (server, *clients)]
                before = before or cpu
                if one.opened:
                    opened[one.connection] = one.stamp
                elif closed.setdefault(one.connection, one.stamp) == one.stamp:
                    after = cpu
            memory = [max(m, c.memory("VmHWM")) for m, c in zip(memory, clients, strict=True)]
            if len(closed) > len(clients):
                # One after the other. The stamps are the kernel's: to look less often is less
                # in the way.
                time.sleep(LOOK)
            if time.monotonic() > by:
                raise BenchmarkError(f"not done within {RUN_PATIENCE} s")
        for client in clients:
            client.finish()
    if not closed:
        raise BenchmarkError(f"no connection was seen: {' '.join(commands[0].arguments)[:200]}")
    used = [b - a for a, b in zip(before, after, strict=True)]
    return Observed(
        max(closed.values()) - min(opened.values()),
        len(opened),
        sum(used[1:]),
        used[0],
        max(memory),
        server.memory("VmHWM"),
    )


def interleaved(
    contestants: Mapping[str, Callable[[], Sample]],
    runs: int,
    told: Callable[[str], None],
    notes: list[str],
) -> dict[str, list[Sample]]:
    """A B A B ...: each in turn, so that whatever else the machine does hits all alike.

    The first round is a warm-up, and not counted. A run that fails is run again, and noted: a
    peer that fails now and then is still to be compared with. Raises `BenchmarkError` when it
    fails every time.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in contestants}
    for number in range(runs + 1):
        for name, run in contestants.items():
            which = f"{name}, {f'run {number} of {runs}' if number else 'warm-up'}"
            for tries in range(TRIES, 0, -1):
                told(which)
                try:
                    sample = run()
                    break
                except BenchmarkError as error:
                    if tries == 1:
                        raise
                    notes.append(f"FAILED, and run again: {which}: {error}")
            if number:
                samples[name].append(sample)
    return samples
