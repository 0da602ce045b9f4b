"""Several processes on one port, for real: they are forked by a process of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dul_fsm.scp import workers
from dul_fsm.scu import associate

pytestmark = pytest.mark.skipif(not workers.supported(), reason="this system does not fork")

PATIENCE = 30.0
SERVE = """
    import os, signal, sys
    from dul_fsm.association import Message
    from dul_fsm.scp.server import serve
    from dul_fsm.scp.workers import supervise
    from dul_fsm.services.handler import Handler
    from dul_fsm.transports import TCP

    PORT = int(sys.argv[1])

    def say(*words):
        # In one piece: several processes write to one pipe.
        os.write(1, (" ".join(map(str, words)) + "\\n").encode())

    class Pid(Handler):
        def c_echo_requested(self, message):
            say("echo", os.getpid())
            return 0

    def work(ready):
        with serve(Pid, TCP("127.0.0.1", PORT, reuse_port=True)):
            ready()
            say("worker", os.getpid())
            signal.sigwait({signal.SIGINT, signal.SIGTERM})
        return 0

    tell = lambda text: say("told", text)
    sys.exit(supervise(work, 2, started=lambda: tell("started"), tell=tell))
"""


class Supervisor:
    def __init__(self, script: str, port: int) -> None:
        self.port = port
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script), str(port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self, beginning: str) -> str:
        """The rest of the next line that begins so."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(beginning):
                return line[len(beginning) :].strip()
        raise AssertionError(f"it ended without {beginning!r}")

    def begun(self) -> list[int]:
        """Process ids of the two workers, once both listen."""
        return [int(self.line("worker ")) for _ in range(2)]

    def echo(self) -> int:
        """Which worker has answered."""
        with associate("127.0.0.1", self.port) as association:
            assert association.c_echo().status == 0
        return int(self.line("echo "))

    def end(self) -> int:
        """Its exit status, once it and all that it started have closed their output."""
        self.process.communicate(timeout=PATIENCE)
        return self.process.returncode


@contextmanager
def supervised(port: int, script: str = SERVE) -> Iterator[Supervisor]:
    supervisor = Supervisor(script, port)
    try:
        yield supervisor
    finally:
        if supervisor.process.poll() is None:
            supervisor.process.kill()
        supervisor.process.communicate(timeout=PATIENCE)


@pytest.fixture
def port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        number: int = taken.getsockname()[1]
        return number


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_all_of_them_serve_on_one_port_and_end_with_their_supervisor(
    port: int, number: signal.Signals
) -> None:
    with supervised(port) as supervisor:
        pids = supervisor.begun()
        # The system spreads connections by a hash of where they come from.
        served = {supervisor.echo() for _ in range(40)}
        assert served == set(pids)
        supervisor.process.send_signal(number)
        assert supervisor.end() == 0
        assert all(map(gone, pids))


def test_a_worker_that_dies_is_replaced(port: int) -> None:
    with supervised(port) as supervisor:
        first, second = supervisor.begun()
        os.kill(first, signal.SIGKILL)
        assert supervisor.line("told worker ").startswith(str(first))
        third = int(supervisor.line("worker "))
        assert {supervisor.echo() for _ in range(40)} == {second, third}
        supervisor.process.terminate()
        assert supervisor.end() == 0


def test_workers_end_when_their_supervisor_is_gone(port: int) -> None:
    with supervised(port) as supervisor:
        supervisor.begun()
        supervisor.process.kill()
        # Its output is theirs too: it is closed when the last of them is gone.
        assert supervisor.end() == -signal.SIGKILL


def test_a_worker_that_cannot_begin_ends_all_of_them(port: int) -> None:
    with supervised(port, SERVE.replace("        ready()", "        raise OSError('no')")) as one:
        assert one.end() == 1


def test_a_worker_that_does_not_end_is_killed(port: int) -> None:
    deaf = SERVE.replace("signal.sigwait({signal.SIGINT, signal.SIGTERM})", "signal.sigwait({10})")
    deaf = deaf.replace("PORT =", "supervise.__globals__['STOP_PATIENCE'] = 0.2; PORT =")
    with supervised(port, deaf) as supervisor:
        pids = supervisor.begun()
        supervisor.process.terminate()
        assert supervisor.end() == 1
        assert all(map(gone, pids))
