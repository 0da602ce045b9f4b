"""A valid client of a server, again and again, and what it was kept waiting by: run as a program.

    python probing.py PORT PID

PID is the server's process, of one thread. Prints a line when the first probe is over; goes on
until its standard input ends, and until it has been there `LEAST` times; then prints, as JSON, for
each probe the seconds that it took, and those that it can be charged with.

What a probe takes by the clock says nothing about the server on a machine that is busy otherwise.
The system tells for how long a thread was ready to run and had no processor (schedstat of proc(5)),
and for how long the machine itself had none. That much is taken off, for the server and for the
probe, which have one thread each and wait for each other in turn. What is charged is what is left:
the server's computing, and all of its sleeping, waiting and being blocked, whoever else computes.
"""

from __future__ import annotations

import json
import os
import select
import sys
import threading
import time
from contextlib import suppress

from dul_fsm import associate

LEAST = 10
"""Probes that are made at least."""

PAUSE = 0.01
"""Seconds between two."""


def kept_waiting(server: int) -> float:
    """Seconds, so far, in which this process or the server's could have run and was not let."""
    nanoseconds = 0
    for process in (server, os.getpid()):
        with suppress(OSError), open(f"/proc/{process}/schedstat") as schedstat:
            nanoseconds += int(schedstat.read().split()[1])
    with open("/proc/stat") as stat:
        stolen = int(stat.readline().split()[8]) / os.sysconf("SC_CLK_TCK")
    return nanoseconds / 1e9 + stolen


def probe(port: int, server: int) -> tuple[float, float]:
    """Associate, echo and release: the seconds it took, and those that are charged."""
    waited, began = kept_waiting(server), time.monotonic()
    with associate("127.0.0.1", port) as association:
        assert association.c_echo().status == 0
    took = time.monotonic() - began
    return took, max(0.0, took - (kept_waiting(server) - waited))


def main(port: int, server: int) -> None:
    """Probe until standard input ends."""
    probe(port, server)  # what the first one imports is not the server's
    print("ready", flush=True)
    made: list[tuple[float, float]] = []
    while len(made) < LEAST or not select.select([0], [], [], 0)[0]:
        threading.Event().wait(PAUSE)
        made.append(probe(port, server))
    print(json.dumps(made))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
