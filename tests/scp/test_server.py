"""The threaded server."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from dul_fsm.association import Aborted, Message, Origin, Released
from dul_fsm.errors import AssociationAborted, AssociationRejected
from dul_fsm.fsm import State
from dul_fsm.pdu import AAssociateRQ
from dul_fsm.scp import Server, serve
from dul_fsm.scp import server as server_module
from dul_fsm.scp.server import MAX_STRANGERS
from dul_fsm.scu import SCUAssociation, associate
from dul_fsm.services.handler import Accept, Handler
from dul_fsm.services.sop_classes import STUDY_ROOT_FIND
from dul_fsm.timers import TimeLimits
from dul_fsm.transports import TCP, Loopback
from dul_fsm.transports.loopback import LoopbackListener, LoopbackTransport
from tests.drivers.support import (
    CONTEXTS,
    CT,
    LITTLE,
    PATIENCE,
    SCP,
    Background,
    eventually,
    nothing_left,
)


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    with nothing_left():
        yield


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), PATIENCE)


def test_each_connection_has_a_handler_of_its_own() -> None:
    handlers: list[SCP] = []

    def handler() -> SCP:
        handlers.append(SCP())
        return handlers[-1]

    with serve(handler, port=0) as server:
        assert server.address == f"127.0.0.1:{server.port}"
        with (
            associate("127.0.0.1", server.port) as one,
            associate("127.0.0.1", server.port) as two,
        ):
            assert [one.c_echo().status, one.c_echo().status] == [0xB001, 0xB002]
            assert two.c_echo().status == 0xB001
            assert server.associations == 2
            assert server.connections == 2
    assert len(handlers) == 2
    assert all(handler.peer.startswith("127.0.0.1:") for handler in handlers)


def test_the_called_ae_title_is_checked_only_if_that_is_asked_for() -> None:
    with serve(port=0, ae_title="ME") as server:
        associate("127.0.0.1", server.port, called_ae_title="OTHER").release()
    with serve(port=0, ae_title="ME", require_called_ae_title=True) as server:
        associate("127.0.0.1", server.port, called_ae_title="ME").release()
        with pytest.raises(AssociationRejected) as caught:
            associate("127.0.0.1", server.port, called_ae_title="OTHER")
        assert (caught.value.result, caught.value.source, caught.value.reason) == (1, 1, 7)


def test_no_more_associations_than_allowed() -> None:
    with serve(port=0, max_associations=2) as server:
        one = associate("127.0.0.1", server.port)
        two = associate("127.0.0.1", server.port)
        with pytest.raises(AssociationRejected) as caught:
            associate("127.0.0.1", server.port)
        assert (caught.value.result, caught.value.source, caught.value.reason) == (2, 3, 2)
        one.release()
        three = associate("127.0.0.1", server.port)
        assert three.c_echo().status == 0
        two.abort()
        three.release()


def test_associations_are_counted_while_their_handlers_decide() -> None:
    """Of many that call at the same moment no more are accepted than allowed."""
    everybody = threading.Barrier(2)
    decide = threading.Event()

    class Slow(Handler):
        def associate_requested(self, request: AAssociateRQ) -> Accept:
            everybody.wait(PATIENCE)
            decide.wait(PATIENCE)
            return Accept()

    with serve(Slow, port=0, max_associations=1) as server:
        first = Background(lambda: associate("127.0.0.1", server.port))
        everybody.wait(PATIENCE)
        with pytest.raises(AssociationRejected):
            associate("127.0.0.1", server.port)
        decide.set()
        association = first.join().result
        assert isinstance(association, SCUAssociation)
        association.release()


@pytest.mark.parametrize("say", [b"", b"\xff\xff"], ids=["silent", "nonsense"])
def test_strangers_do_not_keep_the_next_client_out(say: bytes) -> None:
    with serve(port=0, time_limits=TimeLimits(artim=PATIENCE)) as server:
        strangers = []
        for _ in range(MAX_STRANGERS + 12):
            strangers.append(connect(server))
            strangers[-1].sendall(say)
        with associate("127.0.0.1", server.port) as association:
            assert association.c_echo().status == 0
        eventually(lambda: server.connections <= MAX_STRANGERS + 1)
        # The oldest went first; the newest are still there.
        strangers[0].settimeout(PATIENCE)
        while strangers[0].recv(64):
            pass
        for stranger in strangers:
            stranger.close()


def test_artim_ends_a_stranger() -> None:
    with serve(port=0, time_limits=TimeLimits(artim=0.05)) as server, connect(server) as stranger:
        assert stranger.recv(1) == b""
        eventually(lambda: not server.connections)


def test_an_association_is_not_a_stranger() -> None:
    with serve(port=0) as server, associate("127.0.0.1", server.port) as association:
        strangers = [connect(server) for _ in range(MAX_STRANGERS + 2)]
        eventually(lambda: server.connections >= MAX_STRANGERS)
        assert association.c_echo().status == 0
        for stranger in strangers:
            stranger.close()


# Closing -----------------------------------------------------------------------------------------


def test_closing_aborts_what_is_open_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_module, "STOP_PATIENCE", 0.3)
    scp = SCP()
    server = serve(lambda: scp, port=0)
    association = associate("127.0.0.1", server.port)
    strangers = [connect(server) for _ in range(3)]
    eventually(lambda: server.connections == 4)
    waiting = Background(server.wait)
    closing = Background(server.close)  # whoever is asked nothing reads nothing: it takes seconds
    closing.join()
    waiting.join()
    assert server.connections == 0
    event = scp.end()
    assert isinstance(event, Aborted)
    assert event.origin is Origin.LOCAL_USER
    with pytest.raises(AssociationAborted):
        association.c_echo()
    association.abort()
    for stranger in strangers:
        stranger.close()
    with pytest.raises(OSError, match=r"."):
        connect(server)
    server.close()  # once more does nothing


def test_closing_does_not_wait_for_handlers_that_do_not_return(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_module, "STOP_PATIENCE", 0.1)
    inside, leave = threading.Event(), threading.Event()

    def slow(message: Message) -> int:
        inside.set()
        leave.wait(PATIENCE)
        return 0

    scp = SCP()
    scp.store = slow
    server = serve(lambda: scp, port=0)
    association = associate("127.0.0.1", server.port, contexts=CONTEXTS)
    call = Background(lambda: association.c_store(CT, "1.2.3", LITTLE, b"data"))
    assert inside.wait(PATIENCE)
    server.close()
    call.join()
    assert isinstance(call.error, AssociationAborted)
    leave.set()
    assert isinstance(scp.end(), Aborted)
    association.abort()


def test_closing_does_not_wait_for_peers_that_never_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_module, "STOP_PATIENCE", 0.3)
    again = threading.Event()

    def endless(message: Message) -> Iterator[bytes]:
        yield bytes(1 << 16)
        again.set()
        while True:
            yield bytes(1 << 16)

    scp = SCP()
    scp.find = endless
    endpoint = Loopback(1 << 12)
    server = serve(lambda: scp, endpoint)
    association = associate(endpoint, contexts=CONTEXTS)
    found = association.c_find(STUDY_ROOT_FIND, b"identifier")
    next(found)
    assert again.wait(PATIENCE)
    # From here on nobody reads: what it sends next does not leave.
    began = time.monotonic()
    server.close()
    assert time.monotonic() - began < PATIENCE
    assert isinstance(scp.end(), Aborted)
    association.abort()
    found.close()  # type: ignore[attr-defined]


def test_a_handler_may_close_the_server_that_it_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    scp = SCP()

    def close(message: Message) -> int:
        server.close()
        return 0

    scp.store = close
    server = serve(lambda: scp, port=0)
    association = associate("127.0.0.1", server.port, contexts=CONTEXTS)
    with pytest.raises(AssociationAborted):
        association.c_store(CT, "1.2.3", LITTLE, b"data")
    association.abort()
    server.wait()


def test_who_calls_while_the_server_closes_is_turned_away() -> None:
    server = serve(port=0)
    server.close()
    transport = _Ended()
    server._begin(transport)
    assert transport.closed
    assert server.connections == 0


class _Ended:
    """A transport that remembers that it was closed."""

    peer = "nobody"

    def __init__(self) -> None:
        self.closed = False

    def send(self, buffers, timeout):  # type: ignore[no-untyped-def]
        raise ConnectionError

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        raise ConnectionError

    def close(self) -> None:
        self.closed = True


def test_who_asks_while_the_server_closes_is_rejected_for_now() -> None:
    deciding, decide = threading.Event(), threading.Event()

    def handler() -> SCP:
        deciding.set()
        decide.wait(PATIENCE)
        return SCP()

    server = serve(handler, port=0)
    call = Background(lambda: associate("127.0.0.1", server.port))
    assert deciding.wait(PATIENCE)
    server._closing.set()
    decide.set()
    assert isinstance(call.join().error, AssociationRejected)
    server.close()


# What goes wrong ---------------------------------------------------------------------------------


def test_a_handler_that_cannot_be_made_is_reported_and_the_server_goes_on() -> None:
    errors: list[BaseException] = []
    bug = ValueError("no handler today")
    broken = [True]

    def handler() -> Handler:
        if broken[0]:
            raise bug
        return Handler()

    with serve(handler, port=0, report=errors.append) as server:
        with connect(server) as stranger:
            assert stranger.recv(1) == b""
        broken[0] = False
        associate("127.0.0.1", server.port).release()
    assert errors == [bug]


def test_a_thread_that_cannot_be_started_is_reported_and_the_server_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    errors: list[BaseException] = []
    endpoint = Loopback()
    with serve(Handler, endpoint, report=errors.append) as server:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", _cannot_start)
            transport = endpoint.connect(None)
            assert transport.receive_into(memoryview(bytearray(1)), PATIENCE) == 0
        assert server.connections == 0
        associate(endpoint).release()
    assert len(errors) == 1


def _cannot_start(self: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_an_accept_that_fails_is_reported_and_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_module, "ACCEPT_PAUSE", 0.001)
    errors: list[BaseException] = []
    real = LoopbackListener.accept
    failures = [OSError("something"), OSError("else")]

    def accept(self: LoopbackListener) -> LoopbackTransport:
        if failures:
            raise failures.pop()
        return real(self)

    monkeypatch.setattr(LoopbackListener, "accept", accept)
    endpoint = Loopback()
    with serve(Handler, endpoint, report=errors.append):
        associate(endpoint).release()
    assert len(errors) == 2


def test_an_accept_that_fails_for_good_ends_with_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_module, "ACCEPT_PAUSE", PATIENCE)
    failed = threading.Event()

    def accept(self: LoopbackListener) -> LoopbackTransport:
        failed.set()
        raise OSError("for good")

    monkeypatch.setattr(LoopbackListener, "accept", accept)
    with serve(Handler, Loopback()):
        assert failed.wait(PATIENCE)


def test_it_cannot_listen_where_somebody_does() -> None:
    with serve(port=0) as server, pytest.raises(OSError, match=r"."):
        serve(port=server.port)


def test_a_server_listens_on_any_connector_and_is_observed() -> None:
    steps: list[object] = []
    endpoint = Loopback()
    with serve(Handler, endpoint, observer=steps.append, maximum_length=4096) as server:
        with associate(endpoint) as association:
            assert association.answer.user_information.maximum_length == 4096
        eventually(lambda: not server.associations)
    assert steps


def test_a_rejected_or_aborted_connection_is_no_association_any_more() -> None:
    with serve(port=0, max_associations=1, time_limits=TimeLimits(artim=PATIENCE)) as server:
        association = associate("127.0.0.1", server.port)
        (connection,) = server._connections
        assert connection.driver is not None
        connection.driver.abort("enough")
        # The peer has not closed yet, and the next one is welcome.
        assert connection.association.state in (State.Sta13, State.Sta1)
        associate("127.0.0.1", server.port).release()
        association.abort()


def test_ipv6_and_every_address() -> None:
    try:
        server = serve(Handler, TCP("::1", 0))
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    with server:
        associate(TCP("::1", server.port)).release()


def test_a_handler_that_takes_its_time_over_the_end_does_not_keep_the_peer_waiting() -> None:
    go_on = threading.Event()

    class Slow(Handler):
        def released(self, event: Released) -> None:
            assert go_on.wait(10)

        def aborted(self, event: Aborted) -> None:
            assert go_on.wait(10)

    endpoint = Loopback()
    with serve(Slow, endpoint):
        associate(endpoint).release()  # returns: the A-RELEASE-RP came
        associate(endpoint).abort()
        go_on.set()
