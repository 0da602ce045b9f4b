"""Each time limit ends the association once, and what restarts it."""

from __future__ import annotations

from dul_fsm.association import (
    Aborted,
    Event,
    Origin,
    RequestReceived,
)
from dul_fsm.dimse import (
    CEchoRQ,
    CFindRQ,
    CFindRSP,
)
from dul_fsm.fsm import State
from dul_fsm.pdu import PDV, PDataTF
from dul_fsm.services.sop_classes import STUDY_ROOT_FIND, VERIFICATION
from dul_fsm.testing.pair import Pair, Side
from dul_fsm.timers import TimeLimit, TimeLimits
from dul_fsm.upper_layer import CloseTransport, OpenTransport
from tests.association.support import (
    CT,
    accept,
    command_pdv,
    context,
    end,
    ends,
    established,
    inject,
    inject_pdvs,
    manual,
    requested,
    states,
    store,
)

IDLE = (State.Sta1, State.Sta1)


def aborted(side: Side) -> Aborted:
    event = end(side)
    assert isinstance(event, Aborted)
    return event


def passed(side: Side, limit: TimeLimit) -> None:
    event = aborted(side)
    assert (event.origin, event.limit, event.text) == (Origin.TIME_LIMIT, limit, limit.value)


def test_the_connection_does_not_open_in_time() -> None:
    pair = manual(TimeLimits(connect=5))
    pair.request([VERIFICATION])
    association = pair.requestor.association
    assert association.next_event() == OpenTransport()
    assert association.deadline == 5
    association.handle_timeout(4.9)
    assert association.next_event() is None
    association.handle_timeout(5)
    pair.run()
    passed(pair.requestor, TimeLimit.CONNECT)
    assert isinstance(pair.requestor.events[-1], CloseTransport)


def test_the_answer_does_not_come_in_time() -> None:
    pair = requested(manual(TimeLimits(association=5)))
    pair.advance(5)
    passed(pair.requestor, TimeLimit.ASSOCIATION)
    assert aborted(pair.acceptor).origin is Origin.PEER_USER
    assert states(pair) == IDLE


def test_the_release_is_not_answered_in_time() -> None:
    pair = established(manual(TimeLimits(release=5, idle=1, response=1)))
    pair.requestor.association.send_release_request(pair.now)
    pair.advance(4.9)
    assert not ends(pair.requestor)  # no other limit runs meanwhile
    pair.advance(0.2)
    passed(pair.requestor, TimeLimit.RELEASE)


def test_a_pdu_that_has_begun_does_not_end_in_time() -> None:
    pair = established(manual(acceptor=TimeLimits(pdu=5, idle=None)))
    pair.acceptor.incoming += b"\x04\x00\x00\x00"
    pair.advance(4)
    pair.acceptor.incoming += b"\x01\x00"  # progress does not extend it
    pair.advance(2)
    passed(pair.acceptor, TimeLimit.PDU)


def test_the_peer_takes_nothing_in_time() -> None:
    pair = established(manual(TimeLimits(write=5), capacity=10))
    pair.acceptor.reads = False
    one = pair.requestor
    one.association.send_request(context(one), CEchoRQ(VERIFICATION, 1))
    pair.advance(4)
    assert not ends(one)
    pair.advance(2)
    passed(one, TimeLimit.WRITE)
    pair.advance(one.association.time_limits.artim)
    assert one.association.idle  # the A-ABORT could not leave either: ARTIM


def test_silence_on_an_idle_association() -> None:
    pair = established(manual(acceptor=TimeLimits(idle=5)))
    pair.advance(4)
    inject(pair.acceptor, PDataTF((command_pdv(CEchoRQ(VERIFICATION, 1)),)))
    pair.advance(60)  # an operation is under way: it is not idle
    assert not ends(pair.acceptor)
    pair = established(manual(acceptor=TimeLimits(idle=5)))
    pair.advance(5)
    passed(pair.acceptor, TimeLimit.IDLE)
    assert aborted(pair.requestor).origin is Origin.PEER_USER


def test_no_response_in_time() -> None:
    pair = established(manual(TimeLimits(response=5, idle=1)))
    one = pair.requestor
    one.association.send_request(context(one), CEchoRQ(VERIFICATION, 1))
    pair.advance(4.9)
    assert not ends(one)
    pair.advance(0.2)
    passed(one, TimeLimit.RESPONSE)


def test_artim_ends_who_never_requests_an_association() -> None:
    pair = manual(acceptor=TimeLimits(artim=5))
    pair.connect()
    pair.advance(5)
    assert pair.acceptor.association.idle
    assert pair.acceptor.events == [CloseTransport()]


def test_artim_ends_who_never_closes() -> None:
    pair = established(manual(acceptor=TimeLimits(artim=5)))
    pair.requestor.reads = False
    pair.acceptor.association.send_abort(pair.now)
    pair.advance(4)
    assert pair.acceptor.association.state is State.Sta13
    pair.advance(1)
    assert pair.acceptor.association.idle
    assert len(ends(pair.acceptor)) == 1


def test_a_timeout_that_is_not_due_does_nothing() -> None:
    pair = established(manual(TimeLimits(idle=5)))
    pair.requestor.association.handle_timeout(4)
    pair.run()
    assert not pair.requestor.events


def test_two_limits_that_pass_at_once_end_it_once() -> None:
    pair = established(manual(TimeLimits(idle=5, pdu=5)))
    pair.requestor.incoming += b"\x04"
    pair.run()
    pair.requestor.association.handle_timeout(50)
    pair.run()
    passed(pair.requestor, TimeLimit.PDU)


def test_accepting_restarts_the_idle_limit() -> None:
    pair = requested(manual(acceptor=TimeLimits(idle=5)))
    pair.advance(60)
    accept(pair)
    pair.advance(4)
    assert not ends(pair.acceptor)
    pair.advance(1)
    passed(pair.acceptor, TimeLimit.IDLE)


# Of operations ------------------------------------------------------------------------------------


def find(message_id: int = 1) -> CFindRQ:
    return CFindRQ(STUDY_ROOT_FIND, message_id)


def invoke(pair: Pair, command: CEchoRQ | CFindRQ, data: bytes | None = None) -> RequestReceived:
    """The requestor invokes; what the acceptor is told at last."""
    side = pair.requestor
    where = context(side, command.affected_sop_class_uid)
    side.association.send_request(where, command, data)
    pair.run()
    event = pair.acceptor.events[-1]
    assert isinstance(event, RequestReceived)
    return event


def kinds(events: list[Event]) -> list[type[Event]]:
    return [type(event) for event in events]


def test_the_response_limit_counts_from_when_the_request_was_sent_and_each_response() -> None:
    pair = established(manual(TimeLimits(response=10, idle=20)))
    one, two = pair.requestor, pair.acceptor
    request = invoke(pair, find(), b"identifier")
    pair.advance(9)
    two.association.send_response(request.message, CFindRSP(1, 0xFF00, True), b"match")
    pair.advance(9)
    assert not ends(one)
    two.association.send_response(request.message, CFindRSP(1, 0))
    pair.run()
    pair.advance(19)  # now it is idle, and that is another limit
    assert not ends(one)
    pair.advance(1)
    event = end(one)
    assert isinstance(event, Aborted)
    assert event.origin is Origin.TIME_LIMIT


def test_the_response_limit_does_not_run_while_the_request_is_being_sent() -> None:
    pair = established(manual(TimeLimits(response=10, idle=10), capacity=1000))
    one = pair.requestor
    one.association.send_request(context(one, CT), store(), bytes(600_000))
    pair.acceptor.reads = False
    pair.advance(30)
    assert not ends(one)
    pair.acceptor.reads = True
    pair.advance(9)
    assert not ends(one)
    pair.advance(1)
    assert isinstance(end(one), Aborted)


def test_every_pdu_restarts_the_idle_limit() -> None:
    pair = established(manual(acceptor=TimeLimits(idle=10)))
    two = pair.acceptor
    inject_pdvs(two, command_pdv(store(), 3))
    for _ in range(5):
        pair.advance(9)
        inject(two, PDataTF((PDV(3, False, False, b"ab"),)))
        pair.run()
    assert not ends(two)
    pair.advance(10)
    assert isinstance(end(two), Aborted)


def test_there_is_a_deadline_when_any_limit_runs() -> None:
    one = established(manual(TimeLimits(idle=7))).requestor.association
    assert one.deadline == 7
    one = established().requestor.association
    assert one.deadline is None
    pair = established(manual(TimeLimits(idle=7, pdu=5)))
    pair.requestor.incoming += b"\x04"
    pair.run()
    assert pair.requestor.association.deadline == 5
    pair.advance(1)
    pair = established(manual(TimeLimits(idle=7, pdu=9)))
    pair.requestor.incoming += b"\x04"
    pair.run()
    assert pair.requestor.association.deadline == 7
