"""The kernel's buffers of a connection within this host: `tcp_transport.NEARBY_*`."""

from __future__ import annotations

import socket
import sys
from contextlib import closing
from pathlib import Path

import pytest

from dul_fsm.transports import TCP
from dul_fsm.transports.tcp_transport import NEARBY_RECEIVE, NEARBY_SEND, TCPTransport
from tests.drivers.support import eventually
from tests.transports.helpers import PATIENCE, Task, clog, receive_exactly
from tests.transports.sockets import Spy, connected

# Linux counts what it keeps beside the bytes as well, and so gives twice of what it is asked for.
_SHARE = 2 if sys.platform == "linux" else 1

elsewhere = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux answers at all addresses that begin with 127"
)


def granted() -> int:
    """What the system gives of the receive buffer that is asked for."""
    limit = Path("/proc/sys/net/core/rmem_max")
    return min(NEARBY_RECEIVE, int(limit.read_text())) if limit.exists() else NEARBY_RECEIVE


def receive_buffer(end: socket.socket) -> int:
    return end.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // _SHARE


def send_buffer(end: socket.socket) -> int:
    return end.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // _SHARE


def test_what_a_peer_on_this_host_sends_has_room_before_anything_of_it_is_read() -> None:
    with connected() as (transport, peer):
        assert receive_buffer(transport._socket) == granted()
        image = bytes(granted() // 4)  # the system counts more than the bytes
        peer.sendall(image)

        def arrived() -> int:
            return len(transport._socket.recv(len(image), socket.MSG_PEEK))

        eventually(lambda: arrived() == len(image))


def test_an_accepted_connection_is_as_near_as_a_connected_one() -> None:
    with (
        closing(TCP("127.0.0.1", 0).listen()) as listener,
        socket.create_connection(("127.0.0.1", listener.port), PATIENCE),
        closing(listener.accept()) as transport,
    ):
        assert receive_buffer(transport._socket) == granted()


def test_a_send_buffer_is_the_systems_until_the_peer_does_not_keep_up() -> None:
    with connected() as (transport, _):
        before = send_buffer(transport._socket)
        assert before != NEARBY_SEND
        assert transport.send([b"x"], PATIENCE) == 1
        assert send_buffer(transport._socket) == before
        clog(transport, 0)
        assert send_buffer(transport._socket) == NEARBY_SEND


def test_nothing_is_lost_when_the_send_buffer_shrinks_below_what_is_in_it() -> None:
    with connected() as (transport, peer):
        sent = clog(transport, 0)
        assert len(sent) > NEARBY_SEND
        reading = Task(receive_exactly, TCPTransport(peer), len(sent) + 4)
        assert transport.send([b"last"], PATIENCE) == 4
        assert reading.result() == sent + b"last"


def test_its_size_is_said_once() -> None:
    with connected() as (transport, _):
        clog(transport, 0)
        transport._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * NEARBY_SEND)
        clog(transport, 0)
        assert send_buffer(transport._socket) == 2 * NEARBY_SEND


@elsewhere
def test_the_buffers_of_a_connection_to_another_address_are_the_systems() -> None:
    with connected("127.0.0.2") as (transport, peer):
        assert receive_buffer(transport._socket) == receive_buffer(peer)
        clog(transport, 0)
        assert send_buffer(transport._socket) != NEARBY_SEND


def test_a_connection_whose_buffer_can_be_given_no_size_is_waited_for_all_the_same() -> None:
    with connected() as (transport, _):
        transport._set_option = option = Spy(transport._set_option, OSError(22, "gone"))
        clog(transport, 0)
        assert option.calls
        assert send_buffer(transport._socket) != NEARBY_SEND
