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
from typing import NoReturn

from dul_fsm import associate, serve
from dul_fsm.transports.aio.streams import AsyncDescriptorTransport
from dul_fsm.transports.streams import DescriptorTransport, Once


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

    def listen(self) -> NoReturn:
        raise OSError("the other end of a tunnel listens: Stdio, in the child process")

    async def connect_async(self, timeout: float | None) -> AsyncDescriptorTransport:
        return AsyncDescriptorTransport(self.connect(timeout))

    async def listen_async(self) -> NoReturn:
        self.listen()


class Stdio(Once):
    """An endpoint to listen on, once: this process's stdin and stdout."""

    def __init__(self) -> None:
        super().__init__(stdio, "stdio")


def stdio() -> DescriptorTransport:
    reading, writing = os.dup(0), os.dup(1)
    os.dup2(2, 1)  # what prints, prints to stderr from now on
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    return DescriptorTransport(reading, writing, peer="stdio")


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        endpoint = Stdio()
        with suppress(KeyboardInterrupt), serve(endpoint=endpoint):
            endpoint.finished.wait()
    else:
        with associate(Tunnel([sys.executable, __file__, "serve"])) as association:
            print(f"C-ECHO through a child process: {association.c_echo().status:04X}H")
