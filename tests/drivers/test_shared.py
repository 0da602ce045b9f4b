"""Several threads, and several operations, on one association."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial

import pytest

from dul_fsm.association import CancelRequested, Event, Released, RequestReceived
from dul_fsm.dimse import CEchoRQ, CStoreRQ
from dul_fsm.errors import (
    AssociationAborted,
    AssociationError,
    AssociationReleased,
    AssociationTimeout,
    LocalProtocolError,
    TransportFailed,
)
from dul_fsm.negotiation import Window
from dul_fsm.scu import SCUAssociation, associate
from dul_fsm.services.handler import Handler
from dul_fsm.services.sop_classes import STUDY_ROOT_FIND, VERIFICATION
from dul_fsm.timers import TimeLimits
from dul_fsm.transports import Loopback
from tests.drivers.scripted import Acceptor, in_batches, until_cancelled
from tests.drivers.support import (
    CONTEXTS,
    CT,
    LITTLE,
    PATIENCE,
    Background,
    eventually,
    nothing_left,
)


@pytest.fixture
def endpoint() -> Iterator[Loopback]:
    with nothing_left():
        yield Loopback()


def connect(endpoint: Loopback, window: int = 8, **keywords: object) -> SCUAssociation:
    return associate(endpoint, contexts=CONTEXTS, window=Window(window), **keywords)  # type: ignore[arg-type]


def silent(acceptor: Acceptor, event: Event) -> None:
    """Answer nothing."""


@pytest.mark.parametrize("seed", range(3))
def test_threads_share_an_association_up_to_its_window(endpoint: Loopback, seed: int) -> None:
    """24 threads, 8 in flight, answered in a random order: each gets its own response."""
    acceptor = Acceptor(endpoint, in_batches(24, 8, seed))
    with connect(endpoint) as association:
        assert association.window == Window(8, 1)
        store = partial(association.c_store, CT, transfer_syntax=LITTLE, data=bytes(50_000))
        calls = [
            Background(partial(store, sop_instance_uid=f"1.2.{number}")) for number in range(24)
        ]
        for call in calls:
            call.join()
            assert call.error is None
    acceptor.join()
    assert acceptor.most == 8
    told = [call.result.command for call in calls]  # type: ignore[attr-defined]
    sent = {
        event.message.command.message_id: event.message.command.affected_sop_instance_uid
        for event in acceptor.events
        if isinstance(event, RequestReceived) and isinstance(event.message.command, CStoreRQ)
    }
    for number, response in enumerate(told):
        assert response.status == 0xB000 + response.message_id_being_responded_to
        assert sent[response.message_id_being_responded_to] == f"1.2.{number}"


def test_without_a_window_threads_take_turns(endpoint: Loopback) -> None:
    acceptor = Acceptor(endpoint, in_batches(8, 1))
    with connect(endpoint, 1) as association:
        calls = [Background(association.c_echo) for _ in range(8)]
        assert all(call.join().error is None for call in calls)
    acceptor.join()
    assert acceptor.most == 1


def test_one_thread_may_have_several_operations_in_flight(endpoint: Loopback) -> None:
    acceptor = Acceptor(endpoint, in_batches(5, 5))
    with connect(endpoint) as association:
        operations = [
            association.begin(association.store_request(CT, f"1.{n}", LITTLE, bytes(10)))
            for n in range(5)
        ]
        assert not any(operation.done for operation in operations)
        first = association.first_answered(operations)
        assert first.answered
        ids = [op.response().command for op in operations]
        assert all(r.status == 0xB000 + r.message_id_being_responded_to for r in ids)  # type: ignore[union-attr]
        assert all(operation.done and list(operation) == [] for operation in operations)
        assert operations[0].response().status == ids[0].status  # type: ignore[union-attr]
    acceptor.join()


def test_a_new_request_leaves_while_another_thread_waits_for_a_response(
    endpoint: Loopback,
) -> None:
    """The leader is blocked in a read that ends only when the second request has arrived."""
    acceptor = Acceptor(endpoint, in_batches(2, 2))
    with connect(endpoint, time_limits=TimeLimits(response=PATIENCE)) as association:
        one = Background(association.c_echo)
        eventually(lambda: len(acceptor.events) > 1 and acceptor.most == 1)
        assert association.c_echo().status >= 0xB000
        assert one.join().error is None
    acceptor.join()


def test_the_next_one_leads_when_the_leader_has_its_response(endpoint: Loopback) -> None:
    def script(acceptor: Acceptor, event: Event) -> None:
        if (
            isinstance(event, RequestReceived)
            and len(requests := acceptor.association.operations.performing) == 2
        ):
            acceptor.respond(next(iter(requests.values())))
            go.append(event)

    go: list[object] = []
    acceptor = Acceptor(endpoint, script)
    association = connect(endpoint)
    one = Background(association.c_echo)
    eventually(lambda: acceptor.most == 1)
    two = Background(association.c_echo)
    assert one.join().error is None
    # Only the second waits now, and it is told of the end by nobody but itself.
    association.abort("enough")
    assert isinstance(two.join().error, AssociationAborted)
    acceptor.join()


# Cancels -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", ["c_find", "c_get", "c_move"])
def test_closing_the_responses_early_cancels_and_takes_the_final_one(
    endpoint: Loopback, service: str
) -> None:
    acceptor = Acceptor(endpoint, until_cancelled)
    with connect(endpoint) as association:
        arguments = (STUDY_ROOT_FIND, b"id") + (("THERE",) if service == "c_move" else ())
        responses = getattr(association, service)(*arguments)
        assert next(responses).status == 0xFF00
        responses.close()
        assert association.c_echo().status == 0
    acceptor.join()
    assert sum(isinstance(event, CancelRequested) for event in acceptor.events) == 1


def test_a_cancel_leaves_while_another_thread_waits_for_the_response(endpoint: Loopback) -> None:
    acceptor = Acceptor(endpoint, until_cancelled)
    with connect(endpoint) as association:
        operation = association.begin(association.find_request(STUDY_ROOT_FIND, b"id"))
        assert next(operation).status == 0xFF00
        waiting = Background(operation.response)
        operation.cancel()
        operation.cancel()
        assert waiting.join().result.status == 0xFE00  # type: ignore[attr-defined]
        operation.cancel()  # after the end: nothing
        operation.close()
    acceptor.join()


def test_no_cancel_leaves_for_a_service_without_one(endpoint: Loopback) -> None:
    acceptor = Acceptor(endpoint, in_batches(2, 2))
    with connect(endpoint) as association:
        operation = association.begin(association.echo_request())
        operation.cancel()
        association.c_echo()
        operation.response()
    acceptor.join()
    assert not any(isinstance(event, CancelRequested) for event in acceptor.events)


# Sources -----------------------------------------------------------------------------------------


def test_a_source_that_fails_is_told_to_its_own_caller(endpoint: Loopback) -> None:
    """Whoever sends it: the others are told of the abort, each once."""
    ready = threading.Event()

    def broken() -> Iterator[bytes]:
        yield bytes(1000)
        ready.wait(PATIENCE)
        raise ValueError("the disk is gone")

    acceptor = Acceptor(endpoint, silent)
    association = connect(endpoint)
    others = [Background(association.c_echo) for _ in range(3)]
    eventually(lambda: acceptor.most == 3)
    bad = Background(lambda: association.c_store(CT, "1.2", LITTLE, broken()))
    others.append(Background(association.c_echo))
    ready.set()
    assert isinstance(bad.join().error, ValueError)
    for other in others:
        assert isinstance(other.join().error, AssociationAborted)
    association.abort()
    acceptor.join()


def test_a_source_may_not_wait_for_the_association_that_it_is_sent_on(endpoint: Loopback) -> None:
    def nested() -> Iterator[bytes]:
        yield bytes(1000)
        association.c_echo()

    acceptor = Acceptor(endpoint, silent)
    association = connect(endpoint)
    with pytest.raises(LocalProtocolError, match="cannot wait"):
        association.begin(association.store_request(CT, "1.2", LITTLE, nested()))
    association.abort()
    acceptor.join()


# Ends --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["abort", "release", "close", "silence", "own abort"])
def test_each_thread_that_waits_is_told_of_the_end_once(endpoint: Loopback, end: str) -> None:
    kinds: dict[str, type[AssociationError]] = {
        "abort": AssociationAborted,
        "release": AssociationReleased,
        "close": TransportFailed,
        "silence": AssociationTimeout,
        "own abort": AssociationAborted,
    }

    def script(acceptor: Acceptor, event: Event) -> None:
        if (
            isinstance(event, RequestReceived)
            and len(acceptor.association.operations.performing) == 4
        ):
            if end == "abort":
                acceptor.association.send_abort(0.0)
            elif end == "release":
                acceptor.association.send_release_request(0.0)
            elif end == "close":
                acceptor.association.transport_closed(0.0)

    acceptor = Acceptor(endpoint, script)
    limits = TimeLimits(response=0.1 if end == "silence" else PATIENCE, artim=0.1)
    association = connect(endpoint, 4, time_limits=limits)
    # Four are in flight, and four wait for room.
    calls = [Background(association.c_echo) for _ in range(8)]
    if end == "own abort":
        eventually(lambda: acceptor.most == 4)
        association.abort("enough")
    for call in calls:
        assert type(call.join().error) is kinds[end]
    with pytest.raises(kinds[end]):
        association.c_echo()
    association.abort()
    acceptor.join()


def test_the_limit_of_a_request_holds_though_the_leader_waits_for_longer(
    endpoint: Loopback,
) -> None:
    """The leader reads for as long as the association may be idle; a follower minds its limit."""
    acceptor = Acceptor(endpoint, silent)
    limits = TimeLimits(idle=PATIENCE * 10, response=0.05, artim=0.1)
    association = connect(endpoint, time_limits=limits)
    serving = Background(association.serve)
    eventually(lambda: association._driver._runner is not None)
    with pytest.raises(AssociationTimeout, match="no DIMSE response"):
        association.c_echo()
    assert serving.join().result is False
    acceptor.join()
    association.abort()


def test_a_limit_does_not_pass_while_the_leader_is_in_a_handler(endpoint: Loopback) -> None:
    """The response is there; it is ours to read it, and the peer is not to blame."""
    performing = threading.Event()

    class Slow(Handler):
        def c_echo_requested(self, message: object) -> int:
            performing.set()
            threading.Event().wait(0.2)
            return 0

    acceptor = Acceptor(endpoint, asks(1))
    limits = TimeLimits(response=0.1)
    roles = {VERIFICATION: (True, True)}
    keywords = {"handler": Slow(), "roles": roles, "time_limits": limits}
    with connect(endpoint, **keywords) as association:  # type: ignore[arg-type]
        serving = Background(lambda: association.serve(timeout=0.5))
        eventually(lambda: association._driver._runner is not None)
        association.c_echo()
        assert performing.wait(PATIENCE)
        assert association.c_echo().status == 0
        assert serving.join().error is None
    acceptor.join()


# Serving -----------------------------------------------------------------------------------------


class Echoes(Handler):
    """Counts."""

    def __init__(self) -> None:
        self.count = 0

    def c_echo_requested(self, message: object) -> int:
        self.count += 1
        return 0


def asks(times: int):  # type: ignore[no-untyped-def]
    """An acceptor that requests C-ECHOs itself once it was sent one."""
    left = times

    def script(acceptor: Acceptor, event: Event) -> None:
        nonlocal left
        if isinstance(event, RequestReceived):
            acceptor.respond(event.message)
        association = acceptor.association
        if (
            left
            and association.established
            and not association.operations.any
            and len(acceptor.events) > 1
        ):
            left -= 1
            context = association.context_for(VERIFICATION)
            message_id = association.operations.next_message_id()
            association.send_request(context, CEchoRQ(VERIFICATION, message_id))

    return script


def test_serve_performs_what_the_peer_requests_until_the_condition_holds(
    endpoint: Loopback,
) -> None:
    acceptor = Acceptor(endpoint, asks(3))
    handler = Echoes()
    roles = {VERIFICATION: (True, True)}
    with connect(endpoint, handler=handler, roles=roles) as association:
        association.c_echo()
        assert association.serve(lambda: handler.count == 3)
        assert association.serve(timeout=0.01) is False
        assert association.established
    acceptor.join()
    assert isinstance(association._driver.end, Released)
    assert association.serve() is False


def test_serve_returns_when_the_peer_ends_the_association(endpoint: Loopback) -> None:
    def script(acceptor: Acceptor, event: Event) -> None:
        if isinstance(event, RequestReceived):
            acceptor.respond(event.message)
            acceptor.association.send_release_request(0.0)

    acceptor = Acceptor(endpoint, script)
    association = connect(endpoint)
    association.c_echo()
    assert association.serve() is False
    assert not association.established
    association.release()
    acceptor.join()
