"""Child processes: what runs them, and what they cost by the kernel's own books. Linux only.

Not here: which programs (`competitors`), when their connections open and close (`tap`).
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"

START_PATIENCE = 30.0
"""Seconds for a server to listen."""

END_PATIENCE = 15.0
"""Seconds for a process to end that was told to."""


class BenchmarkError(Exception):
    """A run that did not do what it was to do: its time says nothing."""


@dataclass(frozen=True, slots=True)
class Command:
    """A program to run."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    """What it has beyond ours."""


class Process:
    """A running program; leaving `with` ends it."""

    def __init__(self, command: Command, folder: Path) -> None:
        """`folder`: where it runs, and where its output is kept."""
        self._name = " ".join(command.arguments)[:200]
        self._log = folder / f"output-{time.monotonic_ns()}.txt"
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                command.arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={**os.environ, **command.environment},
            )
        self.pid = self._process.pid
        self._pids = [self.pid]
        self.exit = os.pidfd_open(self.pid)
        """A descriptor that is readable once it has ended."""

    @property
    def running(self) -> bool:
        """Whether it has not ended; an ended one is not waited for, so its books stay open."""
        return not select.select([self.exit], [], [], 0)[0]

    @property
    def output(self) -> str:
        """What it has printed."""
        return self._log.read_text(errors="replace")

    def cpu(self) -> float:
        """Seconds of processor time since its start, of all its threads, those that ended too; and
        of the processes that `reset` found."""
        used = 0.0
        for pid in self._pids:
            with suppress(OSError):  # it has ended, and was waited for
                # MAKE_PROCESS_CPUCLOCK of the kernel, as clock_getcpuclockid(3) has it.
                used += time.clock_gettime((~pid << 3) | 2)
        return used

    def memory(self, what: str) -> int:
        """Bytes, by a line of /proc/PID/status: "VmHWM" (peak), "VmRSS", "RssAnon".

        0 for a process that has ended; a page that several share counts for each.
        """
        return sum(_memory(pid, what) for pid in self._pids)

    def reset(self) -> None:
        """Let the peak of memory be what it is now; look which processes are under this one."""
        pids = [self.pid]
        for pid in pids:  # which grows
            with suppress(OSError):
                for children in Path(f"/proc/{pid}/task").glob("*/children"):
                    pids += map(int, children.read_text().split())
                Path(f"/proc/{pid}/clear_refs").write_text("5")
        self._pids = pids

    def await_listening(self, port: int) -> None:
        """Wait until it listens. Nothing connects to find out: that would be a run of its own."""
        by = time.monotonic() + START_PATIENCE
        while not _listening(port):
            if not self.running:
                raise BenchmarkError(f"ended before it listened: {self._name}: {self.tail()}")
            if time.monotonic() > by:
                raise BenchmarkError(f"does not listen: {self._name}: {self.tail()}")
            time.sleep(0.01)

    def await_output(self, text: str, seconds: float) -> None:
        """Wait until it has printed `text`."""
        by = time.monotonic() + seconds
        while text not in self.output:
            if not self.running or time.monotonic() > by:
                raise BenchmarkError(f"did not print {text!r}: {self._name}: {self.tail()}")
            time.sleep(0.05)

    def finish(self) -> None:
        """Wait for its end, which must be a success."""
        status = self._process.wait()
        if status or any(line.startswith("E: ") for line in self.output.splitlines()):
            raise BenchmarkError(f"status {status}: {self._name}: {self.tail()}")

    def tail(self) -> str:
        """The end of what it printed."""
        return " / ".join(self.output.splitlines()[-3:])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(END_PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        os.close(self.exit)
        self._log.unlink(missing_ok=True)


def _memory(pid: int, what: str) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(what):
                return int(line.split()[1]) * 1024
    return 0


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.create_server((HOST, 0)) as one:
        return int(one.getsockname()[1])


def _listening(port: int) -> bool:
    wanted = f":{port:04X}"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                columns = line.split()
                if columns[1].endswith(wanted) and columns[3] == "0A":
                    return True
    return False
