"""DICOM through a child process's stdin and stdout: the way of `ssh host command`.

    associate(Tunnel(["ssh", "archive-host", "python", "stdio_tunnel.py", "serve"]))

No port is open anywhere: whoever may log in may associate. This module run with `serve` is the
other end, an SCP on its own stdin and stdout; nothing else may print there.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from dul_fsm import associate, serve
from dul_fsm.transports.base import Buffer, ListenerClosed, TransportClosed

BUFFERS_PER_SEND = 1024  # more in one `writev` are an error


class PipeTransport:
    """Two pipes, one for each direction."""

    def __init__(self, reading: int, writing: int, peer: str, gone: Callable[[], object]) -> None:
        """Take over two descriptors. `gone` is called once, when they are closed."""
        self.local, self.peer = f"pid:{os.getpid()}", peer
        self._gone = gone
        self._reading, self._writing = reading, writing
        self._woken, self._waker = os.pipe()  # readable for ever once it is closed
        for descriptor in (reading, writing):
            os.set_blocking(descriptor, False)
        self._lock = threading.Lock()
        self._inside = 0
        self._closed = False

    def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        filled = [buffer for buffer in buffers if len(buffer)][:BUFFERS_PER_SEND]
        if not filled:
            return 0
        return self._when(
            self._writing, select.POLLOUT, lambda: os.writev(self._writing, filled), timeout
        )

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        if not len(view):
            raise ValueError("an empty view cannot receive anything")
        return self._when(
            self._reading, select.POLLIN, lambda: os.readv(self._reading, [view]), timeout
        )

    def close(self) -> None:
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._waker)
                self._release()

    def _when(
        self, descriptor: int, event: int, act: Callable[[], int], timeout: float | None
    ) -> int:
        """Do it as soon as it can be done, at most `timeout` seconds from now."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._lock:
            if self._closed:
                raise TransportClosed
            self._inside += 1
        try:
            ready = select.poll()
            ready.register(descriptor, event)
            ready.register(self._woken, select.POLLIN)
            while True:
                try:
                    return act()
                except BlockingIOError:
                    left = None if deadline is None else deadline - time.monotonic()
                    if not ready.poll(None if left is None else max(0.0, left * 1000)):
                        raise TimeoutError("nothing happened in time") from None
                    if self._closed:
                        raise TransportClosed from None
        finally:
            with self._lock:
                self._inside -= 1
                self._release()

    def _release(self) -> None:
        if self._closed and not self._inside:
            for descriptor in (self._reading, self._writing, self._woken):
                os.close(descriptor)
            self._gone()


@dataclass(frozen=True)
class Tunnel:
    """An endpoint to connect to: a command whose stdin and stdout are the connection."""

    command: Sequence[str]

    def connect(self, timeout: float | None) -> PipeTransport:
        child = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        assert child.stdin is not None
        assert child.stdout is not None
        reading, writing = os.dup(child.stdout.fileno()), os.dup(child.stdin.fileno())
        child.stdin.close()
        child.stdout.close()
        # It ends when its stdin does, and somebody has to take its exit status then.
        reaper = threading.Thread(target=child.wait, name="reaper", daemon=True)
        return PipeTransport(reading, writing, " ".join(self.command), reaper.start)

    def listen(self) -> StdioListener:
        raise OSError("the other end of a tunnel listens: Stdio, in the child process")


class StdioListener:
    """Accepts the one connection that a child process has: its stdin and stdout."""

    address = "stdio"

    def __init__(self, finished: threading.Event) -> None:
        self._finished = finished  # the connection is over
        self._changed = threading.Condition()
        self._accepted = self._closed = False

    def accept(self) -> PipeTransport:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._accepted)
            if self._closed:
                raise ListenerClosed
            self._accepted = True
        reading, writing = os.dup(0), os.dup(1)
        os.dup2(2, 1)  # what prints, prints to stderr from now on
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        return PipeTransport(reading, writing, "stdio", self._finished.set)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Stdio:
    """An endpoint to listen on, once: this process's stdin and stdout."""

    def __init__(self) -> None:
        self.finished = threading.Event()

    def connect(self, timeout: float | None) -> PipeTransport:
        raise OSError("a child process does not call its parent")

    def listen(self) -> StdioListener:
        return StdioListener(self.finished)


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        stdio = Stdio()
        with suppress(KeyboardInterrupt), serve(endpoint=stdio):
            stdio.finished.wait()
    else:
        with associate(Tunnel([sys.executable, __file__, "serve"])) as association:
            print(f"C-ECHO through a child process: {association.c_echo().status:04X}H")
