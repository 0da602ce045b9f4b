"""Connecting and listening over TCP; what it shares with other endpoints is in test_base.py."""

from __future__ import annotations

import errno
import os
import select
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

import dul_fsm
from dul_fsm.transports import TCP, ListenerClosed, tcp
from dul_fsm.transports.addresses import Address
from dul_fsm.transports.tcp import TCPListener
from dul_fsm.transports.tcp_transport import TCPTransport
from tests.transports.helpers import (
    PATIENCE,
    SOON,
    Task,
)
from tests.transports.sockets import Spy, reset

# Connecting --------------------------------------------------------------------------------------


def test_a_refused_connection_says_where() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # nobody listens, and nobody else gets the port
        port = bound.getsockname()[1]
        with pytest.raises(ConnectionRefusedError, match=f"127.0.0.1:{port}: .*refused"):
            TCP("127.0.0.1", port).connect(PATIENCE)


def test_a_name_that_does_not_resolve_says_which() -> None:
    host = "no-such-host-" + "x" * 64  # too long for a name, so nobody is asked
    with pytest.raises(OSError, match=host):
        TCP(host, 104).connect(PATIENCE)
    with pytest.raises(OSError, match=host):
        TCP(host, 104).listen()


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a listener that lets a connection wait for ever: its backlog is full."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port: int = server.getsockname()[1]
        for _ in range(20):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
            if not select.select([], [waiting], [], SOON)[1]:
                yield port
                return
        pytest.skip("this system's backlog has no end")


def test_a_connection_that_nobody_answers_times_out(silent: int) -> None:
    for timeout in (0.0, SOON):
        began = time.monotonic()
        with pytest.raises(TimeoutError, match=f"127.0.0.1:{silent}: .*timed out"):
            TCP("127.0.0.1", silent).connect(timeout)
        assert time.monotonic() - began >= timeout * 0.9


def addresses(*ports: int) -> Callable[..., list[Address]]:
    """A name that stands for these ports of 127.0.0.1."""
    found = [Address(socket.AF_INET, ("127.0.0.1", port)) for port in ports]
    return lambda *_, **__: found


def test_an_address_that_does_not_answer_leaves_time_for_the_next(
    silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(TCP("127.0.0.1", 0).listen()) as listener, socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        refused = bound.getsockname()[1]
        monkeypatch.setattr(tcp, "resolve", addresses(refused, silent, listener.port))
        transport = TCP("three-addresses", 104).connect(1.0)
        assert transport.peer == listener.address
        transport.close()


def test_a_failure_at_every_address_tells_of_each(
    silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        refused = bound.getsockname()[1]
        monkeypatch.setattr(tcp, "resolve", addresses(silent, refused))
        text = f"127.0.0.1:{silent}: .*timed out; 127.0.0.1:{refused}: .*refused"
        with pytest.raises(ConnectionRefusedError, match=text):
            TCP("two-addresses", 104).connect(1.0)
        monkeypatch.setattr(tcp, "resolve", addresses(refused, refused))
        with pytest.raises(ConnectionRefusedError):
            TCP("two-addresses", 104).connect(None)


def test_a_connection_that_opens_at_once_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Immediate(socket.socket):
        def connect_ex(self, address: Any) -> int:
            self.setblocking(True)
            return super().connect_ex(address)

    with closing(TCP("127.0.0.1", 0).listen()) as listener:
        monkeypatch.setattr(socket, "socket", Immediate)
        monkeypatch.setattr(tcp, "wait_for", None)
        transport = TCP("127.0.0.1", listener.port).connect(PATIENCE)
        assert transport._socket.gettimeout() == 0.0
        transport.close()


def test_an_interrupted_connect_leaves_no_descriptor(
    silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(tcp, "wait_for", interrupted)
    with pytest.raises(KeyboardInterrupt):
        TCP("127.0.0.1", silent).connect(None)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_is_none_is_refused(port: int) -> None:
    with pytest.raises(ValueError, match=r"0\.\.65535"):
        TCP("127.0.0.1", port)


def test_an_endpoint_reads_as_host_and_port() -> None:
    assert str(TCP("pacs.example", 104)) == "pacs.example:104"
    assert str(TCP("::1", 104)) == "[::1]:104"


# Listening ---------------------------------------------------------------------------------------


def test_port_0_listens_on_a_port_that_the_system_chooses() -> None:
    with closing(TCP("127.0.0.1", 0).listen()) as listener:
        assert listener.port > 0
        assert listener.address == f"127.0.0.1:{listener.port}"


def test_a_port_in_use_says_which() -> None:
    with closing(TCP("127.0.0.1", 0).listen()) as listener:
        with pytest.raises(OSError, match=f"127.0.0.1:{listener.port}: .*in use") as raised:
            TCP("127.0.0.1", listener.port).listen()
        assert raised.value.errno == errno.EADDRINUSE


def test_an_empty_host_listens_on_every_interface_in_both_families(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without doing so here: what would be bound is looked at, and 127.0.0.1 bound instead."""
    asked: list[tuple[Any, ...]] = []
    real = socket.create_server
    both_families = True

    def instead(
        sockaddr: Any, *, family: int, backlog: int, dualstack_ipv6: bool, reuse_port: bool = False
    ) -> socket.socket:
        asked.append((sockaddr[:2], family, dualstack_ipv6))
        if dualstack_ipv6 and not both_families:
            raise OSError(errno.EADDRNOTAVAIL, "IPv6 is switched off")
        return real(("127.0.0.1", 0), backlog=backlog)

    monkeypatch.setattr(socket, "create_server", instead)
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: True)
    everywhere = [Address(socket.AF_INET, ("0.0.0.0", 104))]
    monkeypatch.setattr(tcp, "resolve", lambda *_, **__: everywhere)
    TCP("", 104).listen().close()
    assert asked == [(("::", 104), socket.AF_INET6, True)]

    asked.clear()
    both_families = False
    TCP("", 104).listen().close()
    assert asked[1:] == [(("0.0.0.0", 104), socket.AF_INET, False)]

    asked.clear()
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    TCP("", 104).listen().close()
    assert asked == [(("0.0.0.0", 104), socket.AF_INET, False)]


def test_an_address_of_another_host_cannot_be_listened_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> socket.socket:
        raise OSError(errno.EADDRNOTAVAIL, "not ours")

    monkeypatch.setattr(socket, "create_server", refuse)
    with pytest.raises(OSError, match=r"127\.0\.0\.1:104: Cannot assign") as raised:
        TCP("127.0.0.1", 104).listen()
    assert raised.value.errno == errno.EADDRNOTAVAIL


class FailingListener:
    """A listening socket whose `accept` fails in ways that are hard to bring about."""

    def __init__(self, *failures: OSError) -> None:
        self.real = socket.create_server(("127.0.0.1", 0))
        self.accept = Spy(self.real.accept, *failures)
        self.setblocking, self.getsockname = self.real.setblocking, self.real.getsockname
        self.fileno, self.close = self.real.fileno, self.real.close


@pytest.mark.parametrize("code", [errno.ECONNABORTED, errno.EPROTO, errno.EAGAIN])
def test_accept_passes_over_a_connection_that_is_gone(code: int) -> None:
    failing = FailingListener(OSError(code, os.strerror(code)))
    with closing(TCPListener(failing)) as listener:  # type: ignore[arg-type]
        with closing(TCP("127.0.0.1", listener.port).connect(PATIENCE)):
            listener.accept().close()
        assert (len(failing.accept.calls), listener.pauses) == (2, 0)


@pytest.mark.parametrize("code", [errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EPERM])
def test_accept_pauses_when_the_system_cannot_give_it_a_connection(code: int) -> None:
    failing = FailingListener(OSError(code, os.strerror(code)))
    with closing(TCPListener(failing)) as listener:  # type: ignore[arg-type]
        with closing(TCP("127.0.0.1", listener.port).connect(PATIENCE)):
            began = time.monotonic()
            listener.accept().close()
        assert time.monotonic() - began >= tcp.ACCEPT_PAUSE * 0.9
        assert listener.pauses == 1


def test_close_ends_the_pause_of_an_accept() -> None:
    failing = FailingListener(*[OSError(errno.EMFILE, "no more")] * 1000)
    listener = TCPListener(failing)  # type: ignore[arg-type]
    with closing(TCP("127.0.0.1", listener.port).connect(PATIENCE)):
        task = Task(listener.accept).blocked()
        assert not task.done
        listener.close()
        with pytest.raises(ListenerClosed):
            task.result()


def test_accept_does_not_hide_that_there_is_nothing_to_accept_from() -> None:
    failing = FailingListener(OSError(errno.EINVAL, "not listening"))
    with (
        closing(TCPListener(failing)) as listener,  # type: ignore[arg-type]
        closing(TCP("127.0.0.1", listener.port).connect(PATIENCE)),
        pytest.raises(OSError, match="not listening"),
    ):
        listener.accept()


def test_accept_survives_a_peer_that_resets_before_it_is_accepted() -> None:
    with closing(TCP("127.0.0.1", 0).listen()) as listener:
        for _ in range(20):
            reset(socket.create_connection(("127.0.0.1", listener.port)))
        with closing(TCP("127.0.0.1", listener.port).connect(PATIENCE)) as ours:
            transports = [listener.accept()]
            while transports[-1].peer != ours.local:
                transports.append(listener.accept())
            for transport in transports:
                transport.close()


@pytest.mark.parametrize(
    ("failure", "outcome"), [(OSError(errno.EINVAL, "reset"), None), (MemoryError(), MemoryError)]
)
def test_a_connection_that_cannot_be_set_up_is_closed(
    monkeypatch: pytest.MonkeyPatch, failure: BaseException, outcome: type[BaseException] | None
) -> None:
    failures = [failure]

    class Failing(TCPTransport):
        __slots__ = ()

        def __init__(self, connected: socket.socket) -> None:
            if failures:
                raise failures.pop()
            super().__init__(connected)

    with closing(TCP("127.0.0.1", 0).listen()) as listener, ExitStack() as stack:
        for _ in range(2):
            end = TCP("127.0.0.1", listener.port).connect(PATIENCE)
            stack.enter_context(closing(end))
        monkeypatch.setattr(tcp, "TCPTransport", Failing)
        if outcome is not None:
            with pytest.raises(outcome):
                listener.accept()
        listener.accept().close()


OUT_OF_DESCRIPTORS = """
    import os, resource, socket, threading, time
    from dul_fsm.transports import TCP

    listener = TCP("127.0.0.1", 0).listen()
    peers = [socket.create_connection(("127.0.0.1", listener.port)) for _ in range(2)]
    free = os.dup(0)
    os.close(free)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))

    accepted, all_accepted = [], threading.Event()

    def serve():
        for _ in peers:
            accepted.append(listener.accept())
        all_accepted.set()

    began, used = time.monotonic(), time.process_time()
    thread = threading.Thread(target=serve)
    thread.start()
    while listener.pauses < 3:
        assert not all_accepted.wait(0.01)
    took, used = time.monotonic() - began, time.process_time() - used
    assert took > 0.15, f"{took} s for 3 pauses"
    assert used < took / 2, f"{used} s of processor time in {took} s"

    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    assert all_accepted.wait(60)
    thread.join()
    for peer, transport in zip(peers, accepted):
        peer.sendall(b"x")
        assert transport.receive_into(memoryview(bytearray(1)), 60) == 1
        transport.close()
        peer.close()
    listener.close()
"""


def test_accept_outlives_a_lack_of_descriptors_and_does_not_spin() -> None:
    """In a process of its own, since the lack is the whole process's."""
    pytest.importorskip("resource")
    root = Path(dul_fsm.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(OUT_OF_DESCRIPTORS)],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
