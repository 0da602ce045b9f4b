"""How long one C-ECHO takes as a command, from the start of the process to its end.

    python benchmarks/startup.py [RUNS]

`dul-fsm echo` and `python -m pynetdicom echoscu` take turns against one `dul-fsm listen`, so that
whatever else the machine does hits both. Prints the median of each, by the clock and in processor
time, which says more on a busy machine, and the ratios; exits with status 1 if ours is not below
half of theirs by the clock.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from statistics import median
from time import perf_counter
from typing import TypeAlias

DEFAULT_RUNS = 15
GOAL = 0.5
"""Of what pynetdicom takes."""

Times: TypeAlias = tuple[float, float]
"""Seconds by the clock, seconds of processor time."""


def main() -> int:
    """Measure and print; the exit status."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_RUNS
    listen = [sys.executable, "-m", "dul_fsm", "listen", "--port", "0", "--discard"]
    with subprocess.Popen(listen, stdout=subprocess.PIPE, text=True) as scp:
        try:
            assert scp.stdout is not None
            host, _, port = scp.stdout.readline().split()[-1].rpartition(":")
            commands = {
                "dul-fsm echo": ("-m", "dul_fsm", "echo", host, port),
                "python -m pynetdicom echoscu": ("-m", "pynetdicom", "echoscu", host, port),
            }
            times: dict[str, list[Times]] = {name: [] for name in commands}
            for number in range(runs + 1):
                for name, arguments in commands.items():
                    once = timed(arguments)
                    if number:  # the first run reads the files from the disk
                        times[name].append(once)
        finally:
            scp.terminate()
    print(f"Python {sys.version.split()[0]}, {runs} runs each, whole process, milliseconds")
    medians = []
    for name, values in times.items():
        clock, processor = (median(column) * 1000 for column in zip(*values, strict=True))
        print(f"  {name:30} clock {clock:6.1f}   processor {processor:6.1f}")
        medians.append((clock, processor))
    clock, processor = (ours / theirs for ours, theirs in zip(*medians, strict=True))
    print(f"  {'ratio':30} clock {clock:6.2f}   processor {processor:6.2f}   (goal: below {GOAL})")
    return 0 if clock < GOAL else 1


def timed(arguments: tuple[str, ...]) -> Times:
    """One run; it must succeed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    clock = perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return clock, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


if __name__ == "__main__":
    sys.exit(main())
