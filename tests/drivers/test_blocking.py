"""The blocking driver over real transports, an SCU at one end and a server at the other."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from dul_fsm.association import (
    Aborted,
    Association,
    ImmediateSink,
    Message,
    Origin,
    Released,
    Sink,
)
from dul_fsm.dimse import CEchoRQ
from dul_fsm.drivers.blocking import BlockingDriver
from dul_fsm.errors import (
    AssociationAborted,
    AssociationRejected,
    AssociationTimeout,
    LocalProtocolError,
    TransportFailed,
)
from dul_fsm.negotiation import build_request
from dul_fsm.pdu import AAssociateRQ
from dul_fsm.scp import Server, serve
from dul_fsm.scu import SCUAssociation, associate
from dul_fsm.services.handler import Accept, Handler, Reject
from dul_fsm.services.performer import Performer
from dul_fsm.services.sop_classes import STUDY_ROOT_FIND, VERIFICATION
from dul_fsm.timers import TimeLimit, TimeLimits
from dul_fsm.transports import TCP, Connector, Loopback, Transport
from dul_fsm.transports.loopback import Faults, pair
from dul_fsm.upper_layer import Buffer
from tests.drivers.support import (
    CONTEXTS,
    CT,
    LITTLE,
    PATIENCE,
    SCP,
    Background,
    nothing_left,
)

MEGABYTE = bytes(range(256)) * 4096


class Link:
    """A server and how to reach it."""

    def __init__(self, kind: str, scp: SCP, **keywords: object) -> None:
        self.scp = scp
        self.endpoint: Connector = Loopback() if kind == "loopback" else TCP(kind, 0)
        self.server: Server = serve(lambda: scp, self.endpoint, **keywords)  # type: ignore[arg-type]
        self.peer = self.endpoint if kind == "loopback" else TCP(kind, self.server.port)

    def associate(self, **keywords: object) -> SCUAssociation:
        keywords.setdefault("contexts", CONTEXTS)
        return associate(self.peer, **keywords)  # type: ignore[arg-type]


@pytest.fixture(params=["loopback", "127.0.0.1", "::1"])
def link(request: pytest.FixtureRequest) -> Iterator[Link]:
    with nothing_left():
        try:
            link = Link(request.param, SCP())
        except OSError as error:
            if request.param != "::1":
                raise
            pytest.skip(f"no IPv6 here: {error}")
        with link.server:
            yield link


@pytest.fixture
def loop() -> Iterator[Link]:
    with nothing_left():
        link = Link("loopback", SCP())
        with link.server:
            yield link


def test_echo_and_release(link: Link) -> None:
    with link.associate() as association:
        assert association.c_echo().status == 0xB001
        assert association.c_echo().status == 0xB002
    assert isinstance(link.scp.end(), Released)
    link.scp.wait_for(lambda told: told == "closed")


@pytest.mark.parametrize("kind", ["bytes", "generator", "file"])
def test_fifty_megabytes_arrive_whole(link: Link, kind: str, tmp_path: Path) -> None:
    megabytes = 50
    with link.associate() as association:
        if kind == "bytes":
            response = association.c_store(CT, "1.2.3", LITTLE, MEGABYTE * megabytes)
        elif kind == "generator":
            chunks = (MEGABYTE for _ in range(megabytes))
            response = association.c_store(CT, "1.2.3", LITTLE, chunks)
        else:
            path = tmp_path / "image"
            path.write_bytes(MEGABYTE * megabytes)
            with path.open("rb") as file:
                response = association.c_store(CT, "1.2.3", LITTLE, file)
        assert response.status == 0
    (sink,) = link.scp.sinks
    assert sink.length == megabytes * len(MEGABYTE)
    assert sink.discarded == 0


def test_a_rejection_is_an_exception_with_its_codes(link: Link) -> None:
    link.scp.associate = lambda request: Reject(2, 1, 7)
    with pytest.raises(AssociationRejected) as caught:
        link.associate()
    assert (caught.value.result, caught.value.source, caught.value.reason) == (2, 1, 7)


def test_an_exception_of_the_caller_aborts(link: Link) -> None:
    def use() -> None:
        with link.associate() as association:
            association.c_echo()
            _ = 1 // 0

    with pytest.raises(ZeroDivisionError):
        use()
    event = link.scp.end()
    assert isinstance(event, Aborted)
    assert event.origin is Origin.PEER_USER


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_the_callers_source_raises_aborts_and_comes_out(
    link: Link, error: type[BaseException]
) -> None:
    def source() -> Iterator[bytes]:
        yield MEGABYTE
        raise error("stop")

    association = link.associate()
    with pytest.raises(error, match="stop"), association:
        association.c_store(CT, "1.2.3", LITTLE, source())
    assert isinstance(link.scp.end(), Aborted)
    link.scp.wait_for(lambda told: told == "closed")
    assert link.scp.sinks[0].discarded == 1
    with pytest.raises(AssociationAborted):
        association.c_echo()


# Aborts from another thread ----------------------------------------------------------------------


def test_an_abort_from_another_thread_ends_a_wait_for_a_response(link: Link) -> None:
    inside, leave = threading.Event(), threading.Event()

    def slow(message: Message) -> int:
        inside.set()
        leave.wait(PATIENCE)
        return 0

    link.scp.store = slow
    association = link.associate()
    call = Background(lambda: association.c_store(CT, "1.2.3", LITTLE, b"data"))
    assert inside.wait(PATIENCE)
    aborting = Background(lambda: association.abort("enough"))
    leave.set()
    call.join()
    aborting.join()
    assert isinstance(call.error, AssociationAborted)
    assert "enough" in str(call.error)
    assert isinstance(link.scp.end(), Aborted)


def test_an_abort_from_another_thread_ends_a_clogged_send(loop: Link) -> None:
    link = loop
    blocked, leave = threading.Event(), threading.Event()

    class Stuck:
        def write(self, fragment: memoryview, /) -> None:
            blocked.set()
            leave.wait(PATIENCE)

    link.scp.open_sink = lambda message: Stuck()  # type: ignore[method-assign]
    association = link.associate()
    call = Background(
        lambda: association.c_store(CT, "1.2.3", LITTLE, (MEGABYTE for _ in range(200)))
    )
    assert blocked.wait(PATIENCE)
    association.abort("enough")  # the A-ABORT cannot leave: the connection is closed instead
    call.join()
    assert isinstance(call.error, AssociationAborted)
    leave.set()
    link.scp.wait_for(lambda told: told == "closed")


def test_a_handler_may_abort_the_association_that_it_serves_but_not_wait_for_it(
    loop: Link,
) -> None:
    errors: list[Exception] = []

    class Requestor(Handler):
        def c_echo_requested(self, message: Message) -> int:
            for wait in (association.c_echo, association.release):
                try:
                    wait()
                except LocalProtocolError as error:
                    errors.append(error)
            association.abort("from within")
            return 0

    def call_back(message: Message) -> int:
        acceptor = server_association(loop)
        acceptor.send_request(acceptor.context_for(VERIFICATION), CEchoRQ(VERIFICATION, 1))
        return 0

    loop.scp.associate = lambda request: Accept(roles={VERIFICATION: (True, True)})
    loop.scp.store = call_back
    association = loop.associate(roles={VERIFICATION: (True, True)}, handler=Requestor())
    with pytest.raises(AssociationAborted, match="from within"):
        association.c_store(CT, "1.2.3", LITTLE, b"data")
    assert [str(error) for error in errors] == [
        "a handler cannot wait for the association that it serves"
    ] * 2
    association.abort()
    assert isinstance(loop.scp.end(), Aborted)


def server_association(link: Link) -> Association:
    (connection,) = link.server._connections
    return connection.association


# Peers that are gone, or as good as gone ---------------------------------------------------------


def test_a_connection_that_breaks_in_the_middle_of_an_image() -> None:
    with nothing_left():
        endpoint = Loopback(faults=Faults(cut_after=300_000))
        scp = SCP()
        with serve(lambda: scp, endpoint):
            association = associate(endpoint, contexts=CONTEXTS)
            with pytest.raises(TransportFailed):
                association.c_store(CT, "1.2.3", LITTLE, MEGABYTE)
            association.abort()
            event = scp.end()
            assert isinstance(event, Aborted)
            assert event.origin is Origin.TRANSPORT
            scp.wait_for(lambda told: told == "closed")
            assert [sink.discarded for sink in scp.sinks] == [1]


def test_a_peer_that_vanishes_in_the_middle_of_an_image_leaves_nothing(link: Link) -> None:
    association = link.associate()

    def source() -> Iterator[bytes]:
        yield MEGABYTE
        yield MEGABYTE
        link.scp.wait_for(lambda told: told == "open")
        association._driver.close()
        yield MEGABYTE

    with pytest.raises(TransportFailed):
        association.c_store(CT, "1.2.3", LITTLE, source())
    link.scp.wait_for(lambda told: told == "closed")
    assert link.scp.sinks[0].discarded == 1
    association.abort()


def silent(wait: threading.Event, endpoint: Connector) -> Background:
    """A peer that accepts a connection and then neither reads nor writes."""
    listener = endpoint.listen()
    ports.append(getattr(listener, "port", 0))

    def hold() -> None:
        transport = listener.accept()
        wait.wait(PATIENCE)
        transport.close()
        listener.close()

    return Background(hold)


ports: list[int] = []


@pytest.mark.parametrize("kind", ["loopback", "tcp"])
def test_a_port_that_accepts_and_says_nothing(kind: str) -> None:
    done = threading.Event()
    with nothing_left():
        endpoint: Connector = Loopback() if kind == "loopback" else TCP("127.0.0.1", 0)
        peer = silent(done, endpoint)
        if kind == "tcp":
            endpoint = TCP("127.0.0.1", ports[-1])
        with pytest.raises(AssociationTimeout, match="no answer to the A-ASSOCIATE-RQ"):
            associate(endpoint, time_limits=TimeLimits(association=0.05, artim=0.05))
        done.set()
        peer.join()


class Unread:
    """A transport of which nothing that is sent arrives once `full` is set."""

    def __init__(self, inner: Transport) -> None:
        self.inner = inner
        self.full = False
        self.closed = threading.Event()

    def send(self, buffers, timeout):  # type: ignore[no-untyped-def]
        if self.full:
            if self.closed.wait(timeout):
                raise ConnectionError("closed")
            raise TimeoutError("timed out")
        return self.inner.send(buffers, timeout)

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        return self.inner.receive_into(view, timeout)

    def close(self) -> None:
        self.closed.set()
        self.inner.close()


class Through:
    """A connector that keeps what it opened."""

    def __init__(self, inner: Connector) -> None:
        self.inner = inner
        self.transport: Unread | None = None

    def connect(self, timeout: float | None) -> Unread:
        self.transport = Unread(self.inner.connect(timeout))
        return self.transport

    def listen(self):  # type: ignore[no-untyped-def]
        return self.inner.listen()


def test_a_peer_that_never_reads(loop: Link) -> None:
    through = Through(loop.peer)
    limits = TimeLimits(write=0.05, artim=0.05)
    association = associate(through, contexts=CONTEXTS, time_limits=limits)
    assert through.transport is not None
    through.transport.full = True
    with pytest.raises(AssociationTimeout) as caught:
        association.c_store(CT, "1.2.3", LITTLE, MEGABYTE)
    assert str(caught.value) == TimeLimit.WRITE.value
    association.abort()


def test_an_abort_does_not_wait_for_a_peer_that_never_reads(loop: Link) -> None:
    through = Through(loop.peer)
    association = associate(through, contexts=CONTEXTS)
    assert through.transport is not None
    through.transport.full = True
    association._driver.abort("enough", 0.05)
    assert association._driver.settle(0.05)
    assert association._driver.end == Aborted(Origin.LOCAL_USER, None, "enough")


# Connecting --------------------------------------------------------------------------------------


def test_a_connection_that_is_refused_is_told_at_once() -> None:
    listener = TCP("127.0.0.1", 0).listen()
    port = listener.port
    listener.close()
    with nothing_left():
        with pytest.raises(TransportFailed, match="cannot connect"):
            associate("127.0.0.1", port)
        with pytest.raises(TransportFailed, match="nobody listens"):
            associate(Loopback())


class Connects:
    """A connector whose `connect` does what the test says."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.given: list[float | None] = []

    def connect(self, timeout: float | None) -> Transport:
        self.given.append(timeout)
        raise self.error

    def listen(self):  # type: ignore[no-untyped-def]
        raise NotImplementedError


def test_a_connection_that_does_not_open_in_time() -> None:
    connector = Connects(TimeoutError("timed out"))
    with pytest.raises(AssociationTimeout, match="did not open in time"):
        associate(connector, time_limits=TimeLimits(connect=5))
    assert connector.given[0] is not None
    assert 0 < connector.given[0] <= 5


def test_a_connection_that_the_system_gives_up_without_a_limit_of_ours() -> None:
    connector = Connects(TimeoutError("ETIMEDOUT"))
    with pytest.raises(TransportFailed, match="ETIMEDOUT"):
        associate(connector, time_limits=TimeLimits(connect=None))
    assert connector.given == [None]


def test_an_error_of_the_connector_comes_out() -> None:
    with pytest.raises(OverflowError):
        associate(Connects(OverflowError("port")))


def test_a_driver_without_a_transport_ends_at_once() -> None:
    for requestor in (False, True):
        association = Association(requestor=requestor)
        driver = BlockingDriver(association, Performer(association, Handler(), time.monotonic))
        if requestor:
            request = build_request(
                [VERIFICATION], called_ae_title="A", calling_ae_title="B", maximum_length=0
            )
            association.send_associate_request(request, 0.0)
        else:
            association.transport_opened(0.0)
        driver.run(lambda: False)
        assert association.ended
        assert association.idle


# The loop ----------------------------------------------------------------------------------------


class Noting:
    """A transport that notes what is asked of it."""

    def __init__(self, transport: Transport, noted: list[str]) -> None:
        self._transport = transport
        self._noted = noted

    def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        self._noted.append("send")
        return self._transport.send(buffers, timeout)

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        self._noted.append("receive")
        return self._transport.receive_into(view, timeout)

    def close(self) -> None:
        self._transport.close()


class Reached:
    """What is connected already."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def connect(self, timeout: float | None) -> Transport:
        return self._transport

    def listen(self):  # type: ignore[no-untyped-def]
        raise NotImplementedError


def acceptor(handler: Handler, transport: Transport) -> BlockingDriver:
    """The driver of an association that is to be accepted."""
    association = Association(requestor=False)
    association.transport_opened(time.monotonic())
    performer = Performer(association, handler, time.monotonic)
    return BlockingDriver(association, performer, transport=transport)


@pytest.mark.parametrize("operation", ["c_echo", "c_store"])
def test_once_it_was_answered_an_operation_goes_on_before_anything_is_received(
    operation: str,
) -> None:
    noted: list[str] = []

    class Noted(SCP):
        def answered(self, message: Message) -> None:
            noted.append("answered")

    near, far = pair()
    driver = acceptor(Noted(), Noting(near, noted))
    running = Background(lambda: driver.run(lambda: False))
    with associate(Reached(far), contexts=CONTEXTS) as scp:
        del noted[:]
        if operation == "c_echo":
            assert scp.c_echo().status == 0xB001
        else:
            assert scp.c_store(CT, "1.2.3", LITTLE, bytes(1000)).status == 0
    running.join()
    at = noted.index("answered")
    assert noted[at - 1 : at + 2] == ["send", "answered", "receive"]


@pytest.mark.parametrize("kind", [ImmediateSink, object])
def test_a_sink_that_takes_no_time_is_written_to_while_the_association_is_held(kind: type) -> None:
    held: list[bool] = []
    failures = [OSError(errno.ENOSPC, "full")]

    class Watching(kind):  # type: ignore[misc]
        def write(self, fragment: memoryview, /) -> None:
            held.append(driver.lock._is_owned())  # type: ignore[attr-defined]
            if failures:
                raise failures.pop()

    class Watched(SCP):
        def open_sink(self, message: Message) -> Sink:
            return Watching()

    near, far = pair()
    driver = acceptor(Watched(), near)
    running = Background(lambda: driver.run(lambda: False))
    with associate(Reached(far), contexts=CONTEXTS) as scp:
        assert scp.c_store(CT, "1.2.3", LITTLE, bytes(1000)).status == 0xA700
        assert scp.c_store(CT, "1.2.3", LITTLE, bytes(1 << 19)).status == 0
    running.join()
    assert len(held) > 2
    assert set(held) == {kind is ImmediateSink}


def test_an_abort_before_the_connection_is_open() -> None:
    connecting, go_on = threading.Event(), threading.Event()
    here, there = pair()

    class Slow:
        def connect(self, timeout: float | None) -> Transport:
            connecting.set()
            go_on.wait(PATIENCE)
            return here

        def listen(self):  # type: ignore[no-untyped-def]
            raise NotImplementedError

    association = Association(requestor=True)
    performer = Performer(association, Handler(), time.monotonic)
    driver = BlockingDriver(association, performer, connect=Slow().connect)
    request = build_request(
        [VERIFICATION], called_ae_title="A", calling_ae_title="B", maximum_length=0
    )
    association.send_associate_request(request, 0.0)
    running = Background(lambda: driver.run(lambda: False))
    assert connecting.wait(PATIENCE)
    driver.abort("enough")
    assert not driver.settle(0.01)  # somebody else has the loop, and is stuck in it
    go_on.set()
    running.join()
    assert driver.end == Aborted(Origin.LOCAL_USER, None, "enough")
    assert there.receive_into(memoryview(bytearray(1)), PATIENCE) == 0  # it was closed


def test_two_threads_may_take_turns(link: Link) -> None:
    with link.associate() as association:
        for _ in range(3):
            assert Background(association.c_echo).join().error is None
        assert association.c_echo().status == 0xB004


def test_a_peer_that_answers_before_it_has_everything(loop: Link) -> None:
    """The rest is sent all the same, and only then is the source the caller's again."""
    taken: list[int] = []

    def source() -> Iterator[bytes]:
        for index in range(20):
            taken.append(index)
            yield MEGABYTE

    def early(request: AAssociateRQ) -> Accept:
        return Accept()

    loop.scp.associate = early
    with loop.associate() as association:
        message = association.c_store(CT, "1.2.3", LITTLE, source())
        assert message.status == 0
        assert len(taken) == 20
        assert not association._association.sending


def test_a_find_gives_matches_as_they_are_made(link: Link) -> None:
    seen, made = threading.Event(), []

    def matches(message: Message) -> Iterator[bytes]:
        made.append(1)
        yield b"first"
        made.append(2)
        assert seen.wait(PATIENCE)  # it arrived before this one was made
        yield b"second"

    link.scp.find = matches
    with link.associate() as association:
        found = association.c_find(STUDY_ROOT_FIND, b"identifier")
        assert next(found).data_set == b"first"
        seen.set()
        assert [message.status for message in found] == [0xFF00, 0]
        assert made == [1, 2]


def test_a_find_that_is_closed_early_is_cancelled(link: Link) -> None:
    closed = threading.Event()

    def endless(message: Message) -> Iterator[bytes]:
        try:
            while True:
                yield b"match"
        finally:
            closed.set()

    link.scp.find = endless
    with link.associate() as association:
        for message in association.c_find(STUDY_ROOT_FIND, b"identifier"):
            assert message.status == 0xFF00
            break
        # The iterator was closed: a C-CANCEL left, and the final response was taken.
        assert closed.wait(PATIENCE)
        assert association.c_echo().status == 0xB001
    assert isinstance(link.scp.end(), Released)


def test_a_find_whose_association_is_lost_raises(loop: Link) -> None:
    def broken(message: Message) -> Iterator[bytes]:
        yield b"match"
        server_association(loop).send_abort(time.monotonic(), "enough")
        yield b"match"

    loop.scp.find = broken
    association = loop.associate()
    with pytest.raises(AssociationAborted):
        list(association.c_find(STUDY_ROOT_FIND, b"identifier"))
    association.abort()


def test_a_handler_that_raises_fails_its_operation_only(link: Link) -> None:
    def bug(message: Message) -> int:
        raise ValueError("bug")

    link.scp.store = bug
    with link.associate() as association:
        assert association.c_store(CT, "1.2.3", LITTLE, b"data").status == 0x0110
        assert link.scp.sinks[0].discarded == 1
        assert association.c_echo().status == 0xB001


def test_what_arrives_in_the_middle_of_an_operation_waits_for_its_turn(loop: Link) -> None:
    arrived = threading.Event()

    def matches(message: Message) -> Iterator[bytes]:
        yield b"first"
        assert arrived.wait(PATIENCE)
        yield b"second"
        yield b"third"

    loop.scp.find = matches
    association = loop.associate()
    found = association.c_find(STUDY_ROOT_FIND, b"identifier")
    assert next(found).data_set == b"first"
    # A request and a release request, before the final response of the first one.
    driver, inner = association._driver, association._association
    with driver.lock:
        inner.operations.window = 0
        (find,) = inner.operations.invoked.values()
        echo = inner.send_request(inner.context_for(VERIFICATION), CEchoRQ(VERIFICATION, 77))
        inner.send_release_request(time.monotonic())
    driver._execute(driver.sending(time.monotonic() + PATIENCE))
    arrived.set()
    driver.run(lambda: driver.end is not None)
    assert isinstance(driver.end, Released)
    statuses = [
        [r.message.status for r in responses] for responses in (find.responses, echo.responses)
    ]
    assert statuses == [[0xFF00, 0xFF00, 0x0000], [0xB001]]
    association.release()
    assert isinstance(loop.scp.end(), Released)
