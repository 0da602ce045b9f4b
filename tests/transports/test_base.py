"""Every transport keeps every clause of the protocol, and so does every endpoint."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from dul_fsm.testing.transports import CLAUSES, Break, Clause, check_transport
from dul_fsm.transports import TCP, Connector, Faults, ListenerClosed, Loopback, Transport, pair
from dul_fsm.transports.base import Listener, TransportClosed
from dul_fsm.transports.loopback import LoopbackTransport
from dul_fsm.transports.tcp_transport import TCPTransport
from tests.transports.helpers import (
    MakePair,
    Task,
    opened,
    receive_exactly,
    send_all,
    send_for_ever,
)
from tests.transports.sockets import reset

RAGGED = Faults(max_receive=9000, max_send=9000, seed=7)


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


IPV6 = pytest.mark.skipif(not has_ipv6(), reason="this host has no ::1")


def tcp_pair(host: str) -> tuple[Transport, Transport]:
    listener = TCP(host, 0).listen()
    try:
        return TCP(host, listener.port).connect(60.0), listener.accept()
    finally:
        listener.close()


def tcp_pair_reversed() -> tuple[Transport, Transport]:
    """The accepted end first."""
    connected, accepted = tcp_pair("127.0.0.1")
    return accepted, connected


@pytest.fixture(
    params=[
        pytest.param(lambda: tcp_pair("127.0.0.1"), id="tcp"),
        pytest.param(tcp_pair_reversed, id="tcp-accepted"),
        pytest.param(lambda: tcp_pair("::1"), id="tcp-ipv6", marks=IPV6),
        pytest.param(pair, id="loopback"),
        pytest.param(lambda: pair(100_000, RAGGED, RAGGED), id="loopback-ragged"),
    ]
)
def make_pair(request: pytest.FixtureRequest) -> MakePair:
    chosen: MakePair = request.param
    return chosen


HALF_CLOSE: dict[type, Break] = {
    TCPTransport: lambda end: end._socket.shutdown(socket.SHUT_WR),
    LoopbackTransport: LoopbackTransport.half_close,
}
RESET: dict[type, Break] = {
    TCPTransport: lambda end: reset(end._socket),
    LoopbackTransport: LoopbackTransport.cut,
}


@pytest.mark.parametrize("clause", CLAUSES, ids=str)
def test_every_transport_keeps(clause: Clause, make_pair: MakePair) -> None:
    left_out = check_transport(
        make_pair,
        half_close=lambda end: HALF_CLOSE[type(end)](end),
        reset=lambda end: RESET[type(end)](end),
        clauses=[clause],
    )
    assert not left_out


def test_what_a_close_interrupts_says_so(make_pair: MakePair) -> None:
    """More than the protocol asks: the caller need not guess whose end it was."""
    with opened(make_pair) as (a, _):
        receive = Task(a.receive_into, memoryview(bytearray(8)), None).blocked()
        send = Task(send_for_ever, a).blocked()
        a.close()
        with pytest.raises(TransportClosed, match="closed on this side"):
            receive.result()
        with pytest.raises(TransportClosed, match="closed on this side"):
            send.result()
        with pytest.raises(TransportClosed):
            a.receive_into(memoryview(bytearray(8)), 0)
        with pytest.raises(TransportClosed):
            a.send([b""], 0)


# Endpoints ---------------------------------------------------------------------------------------

Endpoint = Callable[[], tuple[Listener, Connector]]


def tcp_endpoint(host: str) -> tuple[Listener, Connector]:
    listener = TCP(host, 0).listen()
    return listener, TCP(host, listener.port)


def loopback_endpoint() -> tuple[Listener, Connector]:
    loopback = Loopback()
    return loopback.listen(), loopback


@pytest.fixture(
    params=[
        pytest.param(lambda: tcp_endpoint("127.0.0.1"), id="tcp"),
        pytest.param(lambda: tcp_endpoint("::1"), id="tcp-ipv6", marks=IPV6),
        pytest.param(loopback_endpoint, id="loopback"),
    ]
)
def endpoint(request: pytest.FixtureRequest) -> Endpoint:
    chosen: Endpoint = request.param
    return chosen


@contextmanager
def listening(endpoint: Endpoint) -> Iterator[tuple[Listener, Connector]]:
    listener, connector = endpoint()
    try:
        yield listener, connector
    finally:
        listener.close()


def test_connections_are_accepted_in_order(endpoint: Endpoint) -> None:
    with listening(endpoint) as (listener, connector):
        ours = [connector.connect(60.0) for _ in range(5)]
        theirs = [listener.accept() for _ in range(5)]
        for number, end in enumerate(ours):
            send_all(end, bytes([number]))
        assert [receive_exactly(end, 1) for end in theirs] == [bytes([n]) for n in range(5)]
        for end in ours + theirs:
            end.close()


def test_both_ends_name_each_other(endpoint: Endpoint) -> None:
    with listening(endpoint) as (listener, connector):
        ours, theirs = connector.connect(60.0), listener.accept()
        assert getattr(ours, "peer", "") == getattr(theirs, "local", "") == listener.address
        assert getattr(ours, "local", "") == getattr(theirs, "peer", "") != listener.address
        ours.close()
        theirs.close()


def test_a_blocked_accept_takes_the_next_connection(endpoint: Endpoint) -> None:
    with listening(endpoint) as (listener, connector):
        task = Task(listener.accept).blocked()
        assert not task.done
        ours = connector.connect(None)
        task.result().close()
        ours.close()


def test_close_wakes_every_blocked_accept(endpoint: Endpoint) -> None:
    with listening(endpoint) as (listener, _):
        tasks = [Task(listener.accept) for _ in range(3)]
        for task in tasks:
            task.blocked()
            assert not task.done
        listener.close()
        for task in tasks:
            with pytest.raises(ListenerClosed, match="the listener was closed"):
                task.result()


def test_a_closed_listener_accepts_no_more_and_closes_again(endpoint: Endpoint) -> None:
    with listening(endpoint) as (listener, _):
        listener.close()
        listener.close()
        with pytest.raises(ListenerClosed):
            listener.accept()


def test_threads_that_accept_together_share_the_connections(endpoint: Endpoint) -> None:
    with listening(endpoint) as (listener, connector):
        tasks = [Task(listener.accept) for _ in range(4)]
        ours = [connector.connect(60.0) for _ in range(4)]
        for end in [task.result() for task in tasks] + ours:
            end.close()


def test_accepted_connections_outlive_the_listener(endpoint: Endpoint) -> None:
    with listening(endpoint) as (listener, connector):
        ours, theirs = connector.connect(60.0), listener.accept()
        listener.close()
        send_all(ours, b"x")
        assert receive_exactly(theirs, 1) == b"x"
        ours.close()
        theirs.close()


def test_connections_that_nobody_accepted_end_with_the_listener(endpoint: Endpoint) -> None:
    with listening(endpoint) as (listener, connector):
        ours = connector.connect(60.0)
        listener.close()
        with pytest.raises(ConnectionResetError):
            ours.receive_into(memoryview(bytearray(8)), 60.0)
        ours.close()


def test_connecting_after_the_listener_has_closed_is_refused(endpoint: Endpoint) -> None:
    with listening(endpoint) as (listener, connector):
        listener.close()
        with pytest.raises(ConnectionRefusedError, match=r"refused|nobody listens"):
            connector.connect(60.0)


def test_two_listeners_at_one_address_are_refused(endpoint: Endpoint) -> None:
    with listening(endpoint) as (_, connector), pytest.raises(OSError, match=r"in use|already"):
        connector.listen()


def test_listening_again_after_close_works_at_once(endpoint: Endpoint) -> None:
    """Also while connections of the last listener are still about (SO_REUSEADDR)."""
    with listening(endpoint) as (listener, connector):
        ours, theirs = connector.connect(60.0), listener.accept()
        theirs.close()
        listener.close()
        again = connector.listen()
        assert again.address == listener.address
        connector.connect(60.0).close()
        again.accept().close()
        again.close()
        ours.close()
