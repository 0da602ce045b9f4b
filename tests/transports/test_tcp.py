"""What is a TCP transport's own; what it shares with other transports is in test_base.py."""

from __future__ import annotations

import errno
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from dul_fsm.transports import TCP, tcp_transport
from dul_fsm.transports.base import Buffer, TransportClosed
from dul_fsm.transports.tcp_transport import TCPTransport
from tests.transports.helpers import (
    PATIENCE,
    Task,
    receive_exactly,
    receive_to_end,
    send_all,
    send_for_ever,
)
from tests.transports.sockets import Spy, connected, reset

Ends = tuple[TCPTransport, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """A transport, and a plain socket as its peer."""
    with connected() as both:
        yield both


# Calls and options -------------------------------------------------------------------------------


def test_a_receive_that_finds_data_is_one_system_call(ends: Ends) -> None:
    transport, peer = ends
    peer.sendall(b"x")
    assert select.select([transport._socket], [], [], PATIENCE)[0]
    receive = Spy(transport._receive)
    transport._receive = receive  # type: ignore[assignment]
    transport._set_option = option = Spy(transport._set_option)
    assert transport.receive_into(memoryview(bytearray(8)), None) == 1
    assert (len(receive.calls), option.calls) == (1, [])


def test_a_send_that_finds_room_is_one_system_call_and_joins_nothing(ends: Ends) -> None:
    transport, _ = ends
    send = Spy(transport._send)
    transport._send = send
    buffers: list[Buffer] = [b"header", memoryview(b"fragment")]
    assert transport.send(buffers, None) == 14
    assert len(send.calls) == 1
    assert send.calls[0][0] is buffers


QUICKACK = [(socket.IPPROTO_TCP, getattr(socket, "TCP_QUICKACK", None), 1)]
needs_quickack = pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="not there")


def read_and_wait(transport: TCPTransport, peer: socket.socket) -> None:
    """One byte is read, and then there is no other."""
    peer.sendall(b"x")
    assert transport.receive_into(memoryview(bytearray(8)), PATIENCE) == 1
    wait_in_vain(transport)


def wait_in_vain(transport: TCPTransport) -> None:
    with pytest.raises(TimeoutError):
        transport.receive_into(memoryview(bytearray(8)), 0)


@needs_quickack
def test_what_was_read_is_acknowledged_before_the_next_wait_each_time(ends: Ends) -> None:
    transport, peer = ends
    transport._set_option = option = Spy(transport._set_option, OSError(errno.EINVAL, "gone"))
    for times in (1, 2):
        read_and_wait(transport, peer)
        assert option.calls == QUICKACK * times


@needs_quickack
def test_who_has_read_nothing_since_it_sent_or_waited_acknowledges_nothing(ends: Ends) -> None:
    transport, peer = ends
    transport._set_option = option = Spy(transport._set_option)
    wait_in_vain(transport)
    assert option.calls == []
    read_and_wait(transport, peer)
    wait_in_vain(transport)
    assert option.calls == QUICKACK
    peer.sendall(b"x")
    assert transport.receive_into(memoryview(bytearray(8)), PATIENCE) == 1
    assert transport.send([b"x"], PATIENCE) == 1
    wait_in_vain(transport)
    assert option.calls == QUICKACK


@needs_quickack
def test_a_send_that_found_no_room_acknowledged_nothing(ends: Ends) -> None:
    transport, peer = ends
    transport._set_option = option = Spy(transport._set_option)
    peer.sendall(b"x")
    assert transport.receive_into(memoryview(bytearray(8)), PATIENCE) == 1
    transport._send = Spy(transport._send, BlockingIOError())
    with pytest.raises(TimeoutError):
        transport.send([b"x"], 0)
    wait_in_vain(transport)
    size = socket.SOL_SOCKET, socket.SO_SNDBUF, tcp_transport.NEARBY_SEND
    assert option.calls == [size, *QUICKACK]


def test_a_read_that_took_all_there_was_is_followed_by_a_wait_and_any_other_is_not(
    ends: Ends,
) -> None:
    transport, peer = ends
    transport._receive = receive = Spy(transport._receive)  # type: ignore[assignment]
    peer.sendall(b"12345")
    assert transport.receive_into(memoryview(bytearray(4)), PATIENCE) == 4
    before = len(receive.calls)
    assert transport.receive_into(memoryview(bytearray(4)), None) == 1
    assert len(receive.calls) == before + 1
    peer.sendall(b"6")
    assert select.select([transport._socket], [], [], PATIENCE)[0]
    assert transport.receive_into(memoryview(bytearray(4)), 0) == 1
    assert len(receive.calls) == before + 2


def test_a_peer_with_nagle_s_algorithm_does_not_wait_for_delayed_acknowledgements(
    ends: Ends,
) -> None:
    """40 ms for each of 100 messages, if it did: 4 s. A noisy machine may lose 2 s otherwise."""
    transport, peer = ends
    assert not peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    def answer() -> None:
        for _ in range(100):
            receive_exactly(transport, 200 + 16384 + 600)
            send_all(transport, bytes(150))

    task = Task(answer)
    began = time.monotonic()
    for _ in range(100):
        for length in (200, 16384, 600):
            peer.sendall(bytes(length))
        assert peer.recv(150, socket.MSG_WAITALL) == bytes(150)
    task.result()
    assert time.monotonic() - began < 2.0


def test_both_ends_send_small_segments_at_once() -> None:
    with closing(TCP("127.0.0.1", 0).listen()) as listener:
        for end in (TCP("127.0.0.1", listener.port).connect(PATIENCE), listener.accept()):
            assert end._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert end._socket.gettimeout() == 0.0
            end.close()


def test_a_default_timeout_for_sockets_changes_nothing() -> None:
    socket.setdefaulttimeout(0.001)
    try:
        with closing(TCP("127.0.0.1", 0).listen()) as listener:
            task = Task(listener.accept).blocked()
            with closing(TCP("127.0.0.1", listener.port).connect(PATIENCE)) as transport:
                receive = Task(receive_exactly, transport, 1).blocked()
                with closing(task.result()) as accepted:
                    send_all(accepted, b"x")
                    assert receive.result() == b"x"
    finally:
        socket.setdefaulttimeout(None)


def test_a_wake_up_for_nothing_is_slept_over(ends: Ends) -> None:
    """poll(2): a socket may be reported ready and still block."""
    transport, peer = ends
    peer.sendall(b"x")
    assert select.select([transport._socket], [], [], PATIENCE)[0]
    receive = Spy(transport._receive, BlockingIOError(), BlockingIOError())
    transport._receive = receive  # type: ignore[assignment]
    assert transport.receive_into(memoryview(bytearray(8)), PATIENCE) == 1
    send = Spy(transport._send, BlockingIOError(), BlockingIOError())
    transport._send = send
    assert (
        transport.send([b"x"] * (tcp_transport.BUFFERS_PER_SEND + 1), PATIENCE)
        == tcp_transport.BUFFERS_PER_SEND
    )
    assert (len(receive.calls), len(send.calls)) == (3, 3)


def test_a_timeout_of_years_is_no_overflow(ends: Ends) -> None:
    transport, peer = ends
    task = Task(transport.receive_into, memoryview(bytearray(8)), 1e10).blocked()
    peer.sendall(b"x")
    assert task.result() == 1


def test_waiting_takes_no_processor_time(ends: Ends) -> None:
    transport, peer = ends
    used = time.process_time()
    with pytest.raises(TimeoutError):
        transport.receive_into(memoryview(bytearray(8)), 0.3)
    assert time.process_time() - used < 0.15
    peer.close()


def test_a_system_without_quick_acknowledgement_does_without(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport, peer = ends
    monkeypatch.setattr(tcp_transport, "_QUICKACK", None)
    transport._set_option = option = Spy(transport._set_option)
    task = Task(transport.receive_into, memoryview(bytearray(8)), None).blocked()
    peer.sendall(b"x")
    assert task.result() == 1
    assert option.calls == []


# The end -----------------------------------------------------------------------------------------


def test_a_reset_is_an_error_and_no_end(ends: Ends) -> None:
    transport, peer = ends
    task = Task(transport.receive_into, memoryview(bytearray(8)), None).blocked()
    reset(peer)
    with pytest.raises(ConnectionResetError):
        task.result()
    with pytest.raises(ConnectionError):
        transport.send([b"x"], PATIENCE)
    transport.close()


def test_a_reset_wakes_a_blocked_send(ends: Ends) -> None:
    transport, peer = ends
    task = Task(send_for_ever, transport).blocked()
    assert not task.done
    reset(peer)
    with pytest.raises(ConnectionError) as raised:
        task.result()
    assert not isinstance(raised.value, TransportClosed)


def test_an_error_that_comes_after_close_tells_of_the_close(ends: Ends) -> None:
    transport, _ = ends

    def closed_by_another(_: object) -> int:
        transport.close()
        raise ConnectionResetError(errno.ECONNRESET, "the peer was quicker")

    transport._receive = closed_by_another  # type: ignore[assignment]
    with pytest.raises(TransportClosed):
        transport.receive_into(memoryview(bytearray(8)), None)
    assert transport._socket.fileno() == -1


def test_a_peer_that_ends_its_stream_can_still_be_sent_to(ends: Ends) -> None:
    transport, peer = ends
    peer.shutdown(socket.SHUT_WR)
    assert receive_to_end(transport) == b""
    send_all(transport, b"A-ABORT")
    transport.close()
    assert peer.recv(100, socket.MSG_WAITALL) == b"A-ABORT"


def test_close_does_not_wait_for_a_peer_that_never_stops_sending(ends: Ends) -> None:
    transport, peer = ends
    endless = Spy(lambda view: len(view))
    real = transport._socket

    class Endless:
        recv_into = staticmethod(endless)
        shutdown, close = real.shutdown, real.close

    transport._socket = Endless()  # type: ignore[assignment]
    transport.close()
    assert 0 < len(endless.calls) * len(endless.calls[0][0]) <= tcp_transport.DRAIN_LIMIT
    assert real.fileno() == -1
    assert peer.recv(1) == b""


def test_the_descriptor_lives_until_the_last_thread_has_left_it() -> None:
    """Else its number may be another file's while a thread is on its way into a system call."""
    with closing(TCP("127.0.0.1", 0).listen()) as listener, ExitStack() as stack:
        transport = stack.enter_context(closing(TCP("127.0.0.1", listener.port).connect(PATIENCE)))
        stack.enter_context(closing(listener.accept()))
        inside, closed = threading.Event(), threading.Event()
        receive = transport._receive

        def slow(view: memoryview) -> int:
            inside.set()
            assert closed.wait(PATIENCE)
            assert transport._socket.fileno() >= 0
            return receive(view)

        transport._receive = slow  # type: ignore[assignment]
        task = Task(transport.receive_into, memoryview(bytearray(8)), None)
        assert inside.wait(PATIENCE)
        transport.close()
        assert transport._socket.fileno() >= 0
        # Another call that comes too late does not take it away from the one inside.
        with pytest.raises(TransportClosed):
            transport.send([b"x"], None)
        assert transport._socket.fileno() >= 0
        closed.set()
        with pytest.raises(TransportClosed):
            task.result()
        assert transport._socket.fileno() == -1


def test_close_in_the_middle_of_close_as_by_a_signal_handler_does_nothing(ends: Ends) -> None:
    transport, peer = ends
    real = transport._socket

    class Interrupted:
        recv_into, close = real.recv_into, real.close

        def shutdown(self, how: int) -> None:
            transport.close()
            real.shutdown(how)

    transport._socket = Interrupted()  # type: ignore[assignment]
    transport.close()
    assert real.fileno() == -1
    assert peer.recv(1) == b""
