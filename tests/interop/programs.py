"""The processes of the interop tests: each one started, waited for and ended by its own handle.

Their output goes to files, so that no pipe fills up and holds anybody. Every wait has a limit.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"
PATIENCE = 20.0
"""Seconds to wait for what takes a fraction of one on a machine that has nothing else to do."""

# A warning in a process of ours is an error there, too: an unclosed socket shows in its output.
DUL_FSM = (sys.executable, "-W", "error", "-m", "dul_fsm")


def eventually(condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Wait until `condition` holds. Other processes cannot be waited for but by looking."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.create_server((HOST, 0)) as sock:
        return int(sock.getsockname()[1])


def run(*arguments: object, cwd: Path | None = None, seconds: float = 60.0) -> Finished:
    """Run a program to its end, with its output."""
    done = subprocess.run(
        [str(argument) for argument in arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=seconds,
        cwd=cwd,
        check=False,
    )
    return Finished(done.returncode, done.stdout.decode(errors="replace"))


def dul_fsm(*arguments: object, seconds: float = 60.0) -> Finished:
    """Run `dul-fsm` to its end. A traceback or a warning fails the test, whatever it was."""
    done = run(*DUL_FSM, *arguments, seconds=seconds)
    assert_clean(done.output)
    return done


def assert_clean(output: str) -> None:
    """What a process of ours printed shows no bug."""
    for sign in ("Traceback", "Exception ignored", "Warning:"):
        assert sign not in output, output


class Finished:
    """How a program ended, and what it said."""

    def __init__(self, status: int, output: str) -> None:
        self.status = status
        self.output = output

    def __repr__(self) -> str:
        return f"<exit status {self.status}>\n{self.output}"


class Program:
    """A running program; leaving `with` ends it."""

    def __init__(
        self,
        arguments: Sequence[object],
        log: Path,
        *,
        cwd: Path | None = None,
    ) -> None:
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [str(argument) for argument in arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
            )

    @property
    def output(self) -> str:
        """All that it has said."""
        return self.log.read_text(errors="replace")

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def descriptors(self) -> int:
        """How many descriptors it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    @property
    def threads(self) -> int:
        """How many threads it has."""
        return len(os.listdir(f"/proc/{self.pid}/task"))

    def says(self, text: str, seconds: float = PATIENCE) -> None:
        """Wait until it has said `text`."""
        eventually(lambda: text in self.output or not self.running, f"{text!r}", seconds)
        assert text in self.output, self.output

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def wait(self, seconds: float = PATIENCE) -> int:
        """Wait for its end; its exit status."""
        return self._process.wait(seconds)

    def end(self) -> int:
        """End it, if it has not ended; its exit status."""
        if self.running:
            self._process.terminate()
        try:
            return self._process.wait(10.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10.0)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()


class Listen(Program):
    """`dul-fsm listen`, which prints its port and ends with status 0."""

    def __init__(self, root: Path, *options: object) -> None:
        root.mkdir()
        self.folder = root / "received"
        where = () if "--discard" in options else ("--output", self.folder)
        super().__init__((*DUL_FSM, "listen", "--port", 0, *where, *options), root / "log")
        try:
            self.says(f"listening on {HOST}:")
        except BaseException:
            self.end()
            raise
        line = self.output.partition("listening on ")[2].split()[0]
        self.port = int(line.rpartition(":")[2])

    @property
    def files(self) -> list[Path]:
        """What has its name in its folder."""
        return [path for path in self._all if path.name[0] != "."]

    @property
    def parts(self) -> list[Path]:
        """The hidden files: what has arrived in part, and what was made for the next image of an
        association."""
        return [path for path in self._all if path.name[0] == "."]

    @property
    def _all(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        status = self.end()
        if error is None:
            assert status == 0, self.output
            assert_clean(self.output)


@contextmanager
def storescp(program: str, root: Path, *options: object) -> Iterator[Peer]:
    """DCMTK's storescp, or another server of DCMTK that takes the port as its last argument."""
    root.mkdir()
    port = free_port()
    with Peer((program, *options, port), root / "log", cwd=root) as peer:
        peer.port = port
        # To connect would be a visit that it logs, and counts.
        eventually(lambda: listens(port) or not peer.running, f"{program} listens")
        assert peer.running, peer.output
        yield peer


class Peer(Program):
    """A server of somebody else's."""

    port = 0


def listens(port: int) -> bool:
    """Whether a process listens on a TCP port of IPv4 or IPv6 (proc(5): state 0A)."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except FileNotFoundError:
            continue
        for line in lines:
            _, local, _, state, *_ = line.split()
            if state == "0A" and int(local.rpartition(":")[2], 16) == port:
                return True
    return False
