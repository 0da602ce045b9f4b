"""DICOM through a child process's stdin and stdout: the way of `ssh host command`.

    associate(Tunnel(["ssh", "archive-host", "python", "stdio_tunnel.py", "serve"]))

No port is open anywhere: whoever may log in may associate. This module run with `serve` is the
other end, an SCP on its own stdin and stdout; nothing else may print there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from dul_fsm import associate, serve
from dul_fsm.transports.aio import AsyncListener
from dul_fsm.transports.aio.streams import AsyncDescriptorTransport
from dul_fsm.transports.base import ListenerClosed
from dul_fsm.transports.streams import DescriptorTransport


@dataclass(frozen=True)
class Tunnel:
    """An endpoint to connect to: a command whose stdin and stdout are the connection."""

    command: Sequence[str]

    def connect(self, timeout: float | None) -> DescriptorTransport:
        pipe = subprocess.PIPE
        child = subprocess.Popen(self.command, stdin=pipe, stdout=pipe, bufsize=0)
        assert child.stdin is not None
        assert child.stdout is not None
        reading, writing = child.stdout, child.stdin

        def release() -> None:
            reading.close()
            writing.close()
            # It ends now, and somebody has to take its exit status then.
            threading.Thread(target=child.wait, name="reaper", daemon=True).start()

        peer = " ".join(self.command)
        return DescriptorTransport(reading.fileno(), writing.fileno(), peer=peer, release=release)

    def listen(self) -> Stdio:
        raise OSError("the other end of a tunnel listens: Stdio, in the child process")

    async def connect_async(self, timeout: float | None) -> AsyncDescriptorTransport:
        return AsyncDescriptorTransport(self.connect(timeout))

    async def listen_async(self) -> AsyncListener:
        raise OSError("the other end of a tunnel listens, and in a thread")


class Stdio:
    """An endpoint to listen on, once: this process's stdin and stdout. It is its own listener."""

    address = "stdio"

    def __init__(self) -> None:
        self.finished = threading.Event()
        """Set when the connection is over."""
        self._changed = threading.Condition()
        self._accepted = self._closed = False

    def connect(self, timeout: float | None) -> DescriptorTransport:
        raise OSError("a child process does not call its parent")

    def listen(self) -> Stdio:
        return self

    def accept(self) -> DescriptorTransport:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._accepted)
            if self._closed:
                raise ListenerClosed
            self._accepted = True
        reading, writing = os.dup(0), os.dup(1)
        os.dup2(2, 1)  # what prints, prints to stderr from now on
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)

        def release() -> None:
            os.close(reading)
            os.close(writing)
            self.finished.set()

        return DescriptorTransport(reading, writing, peer="stdio", release=release)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        stdio = Stdio()
        with suppress(KeyboardInterrupt), serve(endpoint=stdio):
            stdio.finished.wait()
    else:
        with associate(Tunnel([sys.executable, __file__, "serve"])) as association:
            print(f"C-ECHO through a child process: {association.c_echo().status:04X}H")
