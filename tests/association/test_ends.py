"""Every way in which an association ends is told exactly once, on both sides."""

from __future__ import annotations

import pytest

from dul_fsm.association import (
    Aborted,
    AssociateRequested,
    Origin,
    Rejected,
    Released,
    ReleaseRequested,
)
from dul_fsm.dimse import CEchoRQ
from dul_fsm.errors import LocalProtocolError
from dul_fsm.fsm import State
from dul_fsm.pdu import AAbort, AReleaseRP
from dul_fsm.services.sop_classes import VERIFICATION
from dul_fsm.testing.pair import Pair, Side
from dul_fsm.upper_layer import CloseTransport, OpenTransport
from tests.association.support import (
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
)

IDLE = (State.Sta1, State.Sta1)


def aborted(side: Side) -> Aborted:
    event = end(side)
    assert isinstance(event, Aborted)
    return event


# Rejected ----------------------------------------------------------------------------------------


def test_a_rejection_is_told_to_the_requestor_with_its_codes_and_in_words() -> None:
    pair = requested(manual())
    pair.acceptor.association.send_associate_reject(2, 3, 2, pair.now)
    pair.run()
    event = end(pair.requestor)
    assert isinstance(event, Rejected)
    assert (event.result, event.source, event.reason) == (2, 3, 2)
    assert "local-limit" in event.text or "limit" in event.text
    # Who rejects knows: nothing is told, and the association is over all the same.
    assert not ends(pair.acceptor)
    assert pair.acceptor.association.ended
    assert states(pair) == IDLE


def test_a_connection_that_is_refused_ends_the_association_by_the_transport() -> None:
    pair = manual()
    pair.listens = False
    pair.request([VERIFICATION])
    pair.run()
    event = aborted(pair.requestor)
    assert event.origin is Origin.TRANSPORT
    assert event.text == "nobody listens"
    assert pair.requestor.association.idle


# Released ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["requestor", "acceptor"])
def test_a_release_by_either_side_is_told_to_both(by: str) -> None:
    pair = established()
    side: Side = getattr(pair, by)
    side.association.send_release_request(pair.now)
    pair.run()
    assert pair.other(side).events == [ReleaseRequested(collision=False)]
    pair.other(side).association.send_release_response(pair.now)
    pair.run()
    assert isinstance(end(pair.requestor), Released)
    assert isinstance(end(pair.acceptor), Released)
    assert side.events == [Released(), CloseTransport()]
    assert states(pair) == IDLE


@pytest.mark.parametrize("acceptor_first", [False, True])
def test_a_release_collision_ends_in_order_whoever_answers_first(acceptor_first: bool) -> None:
    pair = established()
    pair.requestor.association.send_release_request(pair.now)
    pair.acceptor.association.send_release_request(pair.now)
    pair.run()
    assert states(pair) == (State.Sta9, State.Sta10)
    assert pair.requestor.events == [ReleaseRequested(collision=True)]
    assert pair.acceptor.events == [ReleaseRequested(collision=True)]
    if acceptor_first:
        # PS3.8 §7.2.2.7 lets the requestor answer first: the acceptor's answer is kept for then.
        pair.acceptor.association.send_release_response(pair.now)
        pair.run()
        assert states(pair) == (State.Sta9, State.Sta10)
        pair.requestor.association.send_release_response(pair.now)
    else:
        pair.requestor.association.send_release_response(pair.now)
        pair.run()
        assert states(pair) == (State.Sta11, State.Sta12)
        pair.acceptor.association.send_release_response(pair.now)
    pair.run()
    assert isinstance(end(pair.requestor), Released)
    assert isinstance(end(pair.acceptor), Released)
    assert states(pair) == IDLE


def test_the_peers_release_does_instead_of_one_of_ours_that_waits() -> None:
    pair = established()
    one = pair.requestor.association
    one.send_request(context(pair.requestor), CEchoRQ(VERIFICATION, 1))
    one.send_release_request(pair.now)  # waits for the request to leave
    pair.acceptor.association.send_release_request(pair.now)
    pair.acceptor.step()
    while not pair.requestor.events:  # it hears of the peer's before it sends
        assert pair.requestor._receive(None) or pair.requestor.step()
    assert pair.requestor.events == [ReleaseRequested(collision=False)]
    one.send_release_response(pair.now)
    pair.run()
    assert isinstance(end(pair.requestor), Released)


def test_a_release_is_requested_and_answered_once() -> None:
    pair = established()
    one, two = pair.requestor.association, pair.acceptor.association
    with pytest.raises(LocalProtocolError):
        two.send_release_response(pair.now)
    one.send_release_request(pair.now)
    with pytest.raises(LocalProtocolError, match="Sta7"):
        one.send_release_request(pair.now)
    pair.run()
    two.send_release_response(pair.now)
    with pytest.raises(LocalProtocolError):
        two.send_release_response(pair.now)
    pair.run()
    assert isinstance(end(pair.requestor), Released)


def test_a_release_that_waits_is_not_requested_twice_nor_followed_by_a_request() -> None:
    one = established().requestor
    one.association.send_request(context(one), CEchoRQ(VERIFICATION, 1))
    one.association.send_release_request(0.0)
    with pytest.raises(LocalProtocolError):
        one.association.send_release_request(0.0)
    with pytest.raises(LocalProtocolError):
        one.association.send_request(context(one), CEchoRQ(VERIFICATION, 2))


def test_a_release_answer_that_waits_is_not_given_twice() -> None:
    pair = established()
    one, two = pair.requestor, pair.acceptor
    two.association.send_release_request(pair.now)
    two.step()
    one.association.send_request(context(one), CEchoRQ(VERIFICATION, 1))
    while not one.events:
        assert one._receive(None) or one.step()
    one.association.send_release_response(pair.now)
    with pytest.raises(LocalProtocolError, match="answered before"):
        one.association.send_release_response(pair.now)


# Aborted by a user -------------------------------------------------------------------------------


def in_state(name: str) -> tuple[Pair, Side]:
    """A pair, and the side of it that is in a state."""
    pair = manual()
    if name in ("Sta3", "Sta5"):
        requested(pair)
        return pair, pair.requestor if name == "Sta5" else pair.acceptor
    established(pair)
    if name == "Sta6":
        return pair, pair.requestor
    pair.requestor.association.send_release_request(pair.now)
    if name in ("Sta7", "Sta8"):
        pair.run()
        return pair, pair.requestor if name == "Sta7" else pair.acceptor
    pair.acceptor.association.send_release_request(pair.now)
    pair.run()
    if name in ("Sta9", "Sta10"):
        return pair, pair.requestor if name == "Sta9" else pair.acceptor
    pair.requestor.association.send_release_response(pair.now)
    pair.run()
    return pair, pair.requestor if name == "Sta11" else pair.acceptor


STATES = [f"Sta{n}" for n in (3, 5, 6, 7, 8, 9, 10, 11, 12)]


@pytest.mark.parametrize("name", STATES)
def test_an_abort_by_the_user_is_told_on_both_sides_in_every_state(name: str) -> None:
    pair, side = in_state(name)
    assert side.association.state.name == name
    side.association.send_abort(pair.now, "enough")
    side.association.send_abort(pair.now, "once more")
    pair.run()
    assert aborted(side) == Aborted(Origin.LOCAL_USER, None, "enough")
    assert aborted(pair.other(side)).origin is Origin.PEER_USER
    assert states(pair) == IDLE


@pytest.mark.parametrize("name", STATES)
def test_a_lost_transport_is_told_on_both_sides_in_every_state(name: str) -> None:
    pair, side = in_state(name)
    assert side.association.state.name == name
    pair.cut()
    pair.run()
    for one in (pair.requestor, pair.acceptor):
        assert aborted(one) == Aborted(Origin.TRANSPORT, None, "the connection was lost")
    assert states(pair) == IDLE


@pytest.mark.parametrize("name", STATES)
def test_an_abort_by_the_peers_provider_is_told_in_every_state(name: str) -> None:
    _, side = in_state(name)
    inject(side, AAbort(2, 6))
    side.step()
    side.step()
    event = aborted(side)
    assert (event.origin, event.reason) == (Origin.PEER_PROVIDER, 6)
    assert "invalid-PDU-parameter" in event.text


@pytest.mark.parametrize("name", STATES)
def test_an_abort_by_our_own_provider_is_told_in_every_state(name: str) -> None:
    pair, side = in_state(name)
    side.incoming += b"\xff" * 6
    pair.run()
    event = aborted(side)
    assert (event.origin, event.reason) == (Origin.LOCAL_PROVIDER, 1)
    peer = aborted(pair.other(side))
    assert (peer.origin, peer.reason) == (Origin.PEER_PROVIDER, 1)
    assert states(pair) == IDLE


def test_an_abort_before_the_connection_is_open_closes_it() -> None:
    pair = manual()
    pair.request([VERIFICATION])
    association = pair.requestor.association
    assert association.next_event() == OpenTransport()
    association.send_abort(0.0)
    assert association.next_event() == Aborted(Origin.LOCAL_USER, None, "aborted by the local user")
    assert association.next_event() == CloseTransport()
    assert association.next_event() is None
    assert association.ended
    assert association.idle


def test_an_abort_before_the_driver_knows_of_the_connection_opens_none() -> None:
    pair = manual()
    pair.request([VERIFICATION])
    association = pair.requestor.association
    association.send_abort(0.0)
    told = []
    while (event := association.next_event()) is not None:
        told.append(event)
    assert OpenTransport() not in told
    assert isinstance(told[0], Aborted)


@pytest.mark.parametrize("requestor", [False, True])
def test_there_is_nothing_to_abort_before_and_after(requestor: bool) -> None:
    pair = manual()
    side = pair.requestor if requestor else pair.acceptor
    side.association.send_abort(0.0)  # Sta1
    assert not side.association.ended
    if not requestor:
        side.association.transport_opened(0.0)
        side.association.send_abort(0.0)  # Sta2
        assert not side.association.ended
    assert side.association.next_event() is None
    pair = established()
    side = pair.requestor if requestor else pair.acceptor
    side.association.send_abort(0.0, "first")  # Sta6
    side.association.send_abort(0.0, "second")  # Sta13
    pair.run()
    side.association.send_abort(0.0, "third")  # Sta1
    assert aborted(side).text == "first"


def test_who_calls_and_never_requests_anything_is_no_association() -> None:
    for say in (b"", b"\xff" * 6):
        pair = manual()
        pair.connect()
        pair.acceptor.incoming += say
        pair.acceptor.step()
        pair.cut()
        pair.acceptor.step()
        pair.run()
        assert not ends(pair.acceptor)
        assert pair.acceptor.association.ended
        assert pair.acceptor.association.idle


def test_an_ended_association_cannot_be_requested_again() -> None:
    pair = established()
    request = pair.requestor.association.request
    assert request is not None
    pair.requestor.association.send_abort(0.0)
    pair.run()
    with pytest.raises(LocalProtocolError, match="make another"):
        pair.requestor.association.send_associate_request(request, 0.0)


def test_nothing_is_told_after_the_end() -> None:
    pair = established()
    side = pair.acceptor
    inject_pdvs(side, command_pdv(CEchoRQ(VERIFICATION, 1)))
    side.association.send_abort(pair.now)
    pair.run()
    assert isinstance(side.events[0], Aborted)
    assert [type(event) for event in side.events] == [Aborted]


def test_a_response_that_is_not_expected_ends_it_by_our_provider() -> None:
    pair = established()
    inject(pair.requestor, AReleaseRP())
    pair.run()
    event = aborted(pair.requestor)
    assert (event.origin, event.reason) == (Origin.LOCAL_PROVIDER, 2)


def test_an_end_while_a_request_is_decided_is_told_and_the_answer_comes_too_late() -> None:
    pair = requested(manual())
    assert isinstance(pair.acceptor.events[-1], AssociateRequested)
    pair.requestor.association.send_abort(pair.now)
    pair.run()
    assert aborted(pair.acceptor).origin is Origin.PEER_USER
    with pytest.raises(LocalProtocolError):
        pair.acceptor.association.send_associate_reject(1, 1, 1, pair.now)
    assert len(ends(pair.acceptor)) == 1
