"""DICOM over a Unix domain socket: between programs of one host, guarded by file permissions.

    serve(endpoint=UnixSocket("/run/archive.dicom"))
    associate(UnixSocket("/run/archive.dicom"))

A transport from the bottom up. All that is not plain is what `close` needs: it wakes who waits, and
gives the descriptor back only when nobody is inside a system call with it.
"""

from __future__ import annotations

import os
import select
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from dul_fsm import associate, serve
from dul_fsm.transports.base import Buffer, ListenerClosed, TransportClosed

BUFFERS_PER_SEND = 1024  # more in one `sendmsg` are an error


class UnixTransport:
    """One connection."""

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        self.local = str(connected.getsockname() or "unnamed")
        self.peer = str(connected.getpeername() or "unnamed")
        self._socket = connected
        self._lock = threading.Lock()
        self._inside = 0
        self._closed = False

    def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        filled = [buffer for buffer in buffers if len(buffer)][:BUFFERS_PER_SEND]
        if not filled:
            return 0
        return self._when(select.POLLOUT, lambda: self._socket.sendmsg(filled), timeout)

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        if not len(view):
            raise ValueError("an empty view cannot receive anything")
        return self._when(select.POLLIN, lambda: self._socket.recv_into(view), timeout)

    def close(self) -> None:
        with self._lock:
            if not self._closed:
                self._closed = True
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)  # wakes who waits
                self._release()

    def _when(self, event: int, act: Callable[[], int], timeout: float | None) -> int:
        """Do it as soon as it can be done, at most `timeout` seconds from now."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._lock:
            if self._closed:
                raise TransportClosed
            self._inside += 1
        try:
            ready = select.poll()
            ready.register(self._socket, event)
            while True:
                try:
                    return act()
                except BlockingIOError:
                    left = None if deadline is None else deadline - time.monotonic()
                    if not ready.poll(None if left is None else max(0.0, left * 1000)):
                        raise TimeoutError("nothing happened in time") from None
        finally:
            with self._lock:
                self._inside -= 1
                self._release()

    def _release(self) -> None:
        if self._closed and not self._inside:
            # To close over unread bytes would reset the connection.
            with suppress(OSError):
                while self._socket.recv(65536):
                    pass
            self._socket.close()


class UnixListener:
    """Accepts connections at a path, which it removes in the end."""

    def __init__(self, path: str) -> None:
        self.address = path
        self._listening = socket.socket(socket.AF_UNIX)
        self._woken, self._waker = socket.socketpair()
        self._accepting = threading.Lock()
        self._closed = False
        try:
            self._listening.bind(path)
            self._listening.listen(128)
        except BaseException:
            self._close_all()
            raise

    def accept(self) -> UnixTransport:
        with self._accepting:
            if not self._closed:
                arrival = select.poll()
                arrival.register(self._listening, select.POLLIN)
                arrival.register(self._woken, select.POLLIN)
                arrival.poll()
            if self._closed:
                raise ListenerClosed
            return UnixTransport(self._listening.accept()[0])

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with suppress(OSError):  # two may close
            self._waker.send(b"\0")
        with self._accepting:  # whoever was in there has been woken
            self._close_all()
        with suppress(OSError):
            os.unlink(self.address)

    def _close_all(self) -> None:
        for each in (self._listening, self._woken, self._waker):
            each.close()


@dataclass(frozen=True)
class UnixSocket:
    """An endpoint: a path of at most some hundred bytes."""

    path: str

    def connect(self, timeout: float | None) -> UnixTransport:
        connecting = socket.socket(socket.AF_UNIX)
        try:
            connecting.settimeout(timeout)
            connecting.connect(self.path)
            return UnixTransport(connecting)
        except BaseException:
            connecting.close()
            raise

    def listen(self) -> UnixListener:
        return UnixListener(self.path)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        endpoint = UnixSocket(f"{folder}/archive.dicom")
        with serve(endpoint=endpoint), associate(endpoint) as association:
            print(f"C-ECHO over a Unix socket: {association.c_echo().status:04X}H")
