"""What the tests of the command line share: `dul-fsm` as a process, and a listening one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAM = (sys.executable, "-m", "dul_fsm")
PATIENCE = 30.0
"""Seconds after which a process that should have ended is a failure."""

ENVIRONMENT = {**os.environ, "PYTHONWARNINGS": "error", "TERM": "dumb", "COLUMNS": "200"}


def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run `dul-fsm` to its end."""
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        cwd=cwd,
        env=ENVIRONMENT,
        check=False,
    )


def start(*arguments: object, cwd: Path | None = None, shell: str = "") -> subprocess.Popen[str]:
    """Start `dul-fsm`; what it prints is in its pipes. `shell`: commands to run before it."""
    first = ("sh", "-c", f'{shell}; exec "$@"', "sh") if shell else ()
    return subprocess.Popen(
        [*first, *PROGRAM, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env=ENVIRONMENT,
    )


class Listening:
    """A running `dul-fsm listen`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        # Past the buffer of `stdout`, which `communicate` does not look into.
        line = b""
        while not line.endswith(b"\n"):
            byte = os.read(process.stdout.fileno(), 1)
            assert byte, f"it ended: {line!r}"
            line += byte
        words, _, address = line.decode().rstrip("\n").rpartition(" ")
        assert words == "listening on", line
        self.host, _, port = address.rpartition(":")
        self.port = int(port)

    def end(self, by: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Signal it; its exit status and all that it has printed since it was ready."""
        self.process.send_signal(by)
        out, err = self.process.communicate(timeout=PATIENCE)
        assert "Traceback" not in err, err
        return self.process.returncode, out


@contextmanager
def listening(*arguments: object, cwd: Path | None = None, shell: str = "") -> Iterator[Listening]:
    """`dul-fsm listen --port 0` and these arguments."""
    process = start("listen", "--port", 0, *arguments, cwd=cwd, shell=shell)
    try:
        yield Listening(process)
    finally:
        process.kill()
        process.communicate()
