"""The blocking association of a service class user."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from pydicom.data import get_testdata_file

from dul_fsm.association import Aborted, Association, Origin, Rejected, Released
from dul_fsm.drivers.requestor import failure
from dul_fsm.errors import (
    AssociationAborted,
    AssociationError,
    AssociationRejected,
    AssociationReleased,
    AssociationTimeout,
    ContextNotAccepted,
    NegotiationError,
    TransportFailed,
)
from dul_fsm.pdu import UserIdentityRQ
from dul_fsm.scp import serve
from dul_fsm.scu import SCUAssociation, associate
from dul_fsm.services.handler import Handler
from dul_fsm.services.sop_classes import STUDY_ROOT_FIND, VERIFICATION
from dul_fsm.timers import TimeLimits
from dul_fsm.transports import Loopback
from dul_fsm.upper_layer import Observation
from tests.drivers.support import CONTEXTS, CT, LITTLE, SCP, eventually, nothing_left


class Closing(Handler):
    """Counts how often it is told of the end."""

    def __init__(self) -> None:
        self.ended: list[object] = []
        self.closings = 0

    def released(self, event: Released) -> None:
        self.ended.append(event)

    def aborted(self, event: Aborted) -> None:
        self.ended.append(event)

    def closed(self) -> None:
        self.closings += 1


@pytest.fixture
def scp() -> SCP:
    return SCP()


@pytest.fixture
def peer(scp: SCP) -> Iterator[Loopback]:
    endpoint = Loopback()
    with nothing_left(), serve(lambda: scp, endpoint):
        yield endpoint


def test_a_host_needs_a_port_and_a_connector_none() -> None:
    with pytest.raises(ValueError, match="needs a port"):
        associate("127.0.0.1")
    with pytest.raises(ValueError, match="not with a connector"):
        associate(Loopback(), 104)


def test_a_proposal_that_cannot_be_made_is_refused_before_anything_happens() -> None:
    with pytest.raises(NegotiationError):
        associate(Loopback(), contexts=())
    with pytest.raises(ValueError, match="AE"):
        associate(Loopback(), calling_ae_title="much too long for an AE title")


def test_what_was_agreed_can_be_seen(peer: Loopback, scp: SCP) -> None:
    seen: list[Observation] = []
    with associate(
        peer,
        contexts=CONTEXTS,
        calling_ae_title="ME",
        called_ae_title="YOU",
        maximum_length=4096,
        user_identity=UserIdentityRQ(1, b"me"),
        observer=seen.append,
    ) as association:
        assert [c.abstract_syntax for c in association.contexts] == [
            VERIFICATION,
            CT,
            STUDY_ROOT_FIND,
        ]
        assert association.established
        assert association.answer.user_information.maximum_length
        assert association.context_for(CT, LITTLE).context_id == 3
        with pytest.raises(ContextNotAccepted):
            association.context_for("1.2.3")
        request = scp.request
        assert request is not None
        assert (request.calling_ae_title, request.called_ae_title) == ("ME", "YOU")
        assert request.user_information.maximum_length == 4096
        assert request.user_information.user_identity == UserIdentityRQ(1, b"me")
    assert not association.established
    assert seen


def test_there_is_no_answer_before_there_is_one() -> None:
    association = SCUAssociation(Loopback(), Handler(), Association(requestor=True), time.monotonic)
    with pytest.raises(AssociationError, match="no association"):
        _ = association.answer


def test_a_context_that_was_not_accepted_takes_no_message_id(peer: Loopback) -> None:
    with associate(peer) as association:
        with pytest.raises(ContextNotAccepted):
            association.c_store(CT, "1.2.3", LITTLE, b"")
        with pytest.raises(ContextNotAccepted):
            next(association.c_find(STUDY_ROOT_FIND, b""))
        assert association.c_echo().status == 0xB001


def test_a_request_that_cannot_be_encoded_leaves_the_association_usable(peer: Loopback) -> None:
    with associate(peer, contexts=CONTEXTS) as association:
        with pytest.raises(ValueError, match="UID"):
            association.c_store(CT, "1" * 65, LITTLE, b"")
        assert association.c_echo().status == 0xB001


@pytest.mark.parametrize("end", ["release", "abort", "with"])
def test_the_handler_is_told_of_the_end_once(peer: Loopback, end: str) -> None:
    handler = Closing()
    association = associate(peer, handler=handler)
    if end == "with":
        with association:
            pass
    else:
        getattr(association, end)()
    association.release()
    association.abort()
    association.release()
    (told,) = handler.ended
    assert isinstance(told, Aborted if end == "abort" else Released)
    assert handler.closings == 1


@pytest.mark.parametrize("call", ["echo", "store", "find"])
def test_nothing_can_be_invoked_after_the_end(peer: Loopback, call: str) -> None:
    def invoke() -> object:
        if call == "echo":
            return association.c_echo()
        if call == "store":
            return association.c_store(CT, "1.2.3", LITTLE, b"")
        return list(association.c_find(STUDY_ROOT_FIND, b""))

    association = associate(peer, contexts=CONTEXTS)
    association.release()
    with pytest.raises(AssociationReleased):
        invoke()
    association = associate(peer, contexts=CONTEXTS)
    association.abort("enough")
    with pytest.raises(AssociationAborted, match="enough"):
        invoke()
    # Also when this thread has not heard of it yet.
    association = associate(peer, contexts=CONTEXTS)
    association._driver.abort("enough")
    with pytest.raises(AssociationAborted, match="enough"):
        invoke()
    association.abort()


def test_a_peer_that_releases_in_between(scp: SCP) -> None:
    with nothing_left():
        endpoint = Loopback()
        with serve(lambda: scp, endpoint) as server:
            association = associate(endpoint)
            eventually(lambda: server.associations == 1)
            (connection,) = server._connections
            assert connection.driver is not None
            with connection.driver.lock:
                connection.association.send_release_request(time.monotonic())
            with pytest.raises(AssociationReleased):
                association.c_echo()
            association.release()


def test_a_release_that_is_not_answered_is_an_abort(scp: SCP) -> None:
    handler = Closing()
    with nothing_left():
        endpoint = Loopback()
        with serve(lambda: scp, endpoint):
            limits = TimeLimits(release=0.05, artim=0.05)
            association = associate(endpoint, handler=handler, time_limits=limits)
            # The peer hears nothing any more.
            driver = association._driver
            assert driver._transport is not None
            deaf = driver._transport
            driver._transport = Deaf(deaf)
            with pytest.raises(AssociationTimeout, match="A-RELEASE-RQ"):
                association.release()
            assert handler.closings == 1


class Deaf:
    """A transport that takes everything and says nothing."""

    def __init__(self, inner: object) -> None:
        self.inner = inner

    def send(self, buffers, timeout):  # type: ignore[no-untyped-def]
        return sum(map(len, buffers))

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        return self.inner.receive_into(view, timeout)  # type: ignore[attr-defined, no-any-return]

    def close(self) -> None:
        self.inner.close()  # type: ignore[attr-defined]


def test_an_interrupted_release_is_an_abort(peer: Loopback, scp: SCP) -> None:
    ticks = iter(range(10**9))
    interrupt = [False]

    def clock() -> float:
        if interrupt[0]:
            interrupt[0] = False
            raise KeyboardInterrupt
        return float(next(ticks)) / 1e6

    association = associate(peer, clock=clock)
    send = association._association.send_release_request

    def release(now: float) -> None:
        send(now)
        interrupt[0] = True

    association._association.send_release_request = release  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        association.release()
    assert isinstance(association._driver.end, Aborted)
    scp.wait_for(lambda told: told == "closed")


@pytest.mark.parametrize(
    ("end", "kind", "text"),
    [
        (Rejected(1, 1, 7, "called AE title"), AssociationRejected, "rejected: called AE title"),
        (Released(), AssociationReleased, "released"),
        (Aborted(Origin.TRANSPORT, None, "it broke"), TransportFailed, "^it broke$"),
        (Aborted(Origin.TIME_LIMIT, None, "too late"), AssociationTimeout, "^too late$"),
        (Aborted(Origin.PEER_USER, None, "why"), AssociationAborted, "by the peer's user: why"),
        (Aborted(Origin.PEER_PROVIDER, 2, "why"), AssociationAborted, "provider: why"),
    ],
)
def test_each_end_is_an_exception_of_its_own(
    end: Rejected | Released | Aborted, kind: type[AssociationError], text: str
) -> None:
    error = failure(end)
    assert type(error) is kind
    with pytest.raises(kind, match=text):
        raise error
    if isinstance(end, Aborted):
        assert isinstance(error, AssociationAborted)
        assert error.reason == end.reason
    assert not isinstance(error, TransportFailed) or isinstance(error, ConnectionError)
    assert not isinstance(error, AssociationTimeout) or isinstance(error, TimeoutError)


def test_message_ids_are_not_reused_at_once(peer: Loopback) -> None:
    with associate(peer) as association:
        first = association.next_message_id()
        association.c_echo()
        assert association.next_message_id() == first + 2


def test_a_part_10_file_is_sent_as_it_is(peer: Loopback, scp: SCP) -> None:
    path = get_testdata_file("CT_small.dcm", download=False)
    assert isinstance(path, str)
    with associate(peer, contexts=(), files=[path]) as association:
        (context,) = association.contexts
        assert (context.abstract_syntax, context.transfer_syntax) == (CT, LITTLE)
        assert association.c_store_file(path).status == 0
    (sink,) = scp.sinks
    assert sink.length > 32768  # 128 x 128 pixels of 16 bits, and their attributes
