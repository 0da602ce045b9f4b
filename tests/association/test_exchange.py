"""Messages both ways on one association."""

from __future__ import annotations

import struct

import pytest

from dul_fsm.association import (
    Aborted,
    CancelRequested,
    CommandReceived,
    DataReceived,
    Event,
    Origin,
    Released,
    ReleaseRequested,
    RequestReceived,
    ResponseReceived,
)
from dul_fsm.dimse import (
    CCancelRQ,
    CEchoRQ,
    CEchoRSP,
    CFindRQ,
    CFindRSP,
    CStoreRSP,
    decode_command,
)
from dul_fsm.errors import ContextNotAccepted, LocalProtocolError
from dul_fsm.fsm import State
from dul_fsm.negotiation import AcceptedContext
from dul_fsm.pdu import PDV
from dul_fsm.services.sop_classes import STUDY_ROOT_FIND, VERIFICATION
from dul_fsm.testing.pair import Pair
from tests.association.support import (
    CT,
    command_pdv,
    context,
    drain,
    end,
    established,
    inject_pdvs,
    manual,
    store,
)


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


# Whole messages ----------------------------------------------------------------------------------


def test_a_request_and_its_response_are_told_to_those_they_are_for() -> None:
    pair = established()
    request = invoke(pair, CEchoRQ(VERIFICATION, 7))
    assert pair.acceptor.association.operations.performing == {7: request.message}
    response = CEchoRSP(7, 0x0000)
    pair.acceptor.association.send_response(request.message, response)
    assert not pair.acceptor.association.operations.any
    pair.run()
    (told,) = pair.requestor.events
    assert isinstance(told, ResponseReceived)
    assert told.message.command == response
    assert told.request == CEchoRQ(VERIFICATION, 7)
    assert told.final
    assert not pair.requestor.association.operations.any
    assert not pair.requestor.association.sending


def test_a_data_set_is_told_between_its_command_and_its_request() -> None:
    pair = established(manual(maximum_lengths=(16384, 128)))
    data = bytes(range(256)) * 2
    pair.requestor.association.send_request(context(pair.requestor, CT), store(), data)
    pair.run()
    told = pair.acceptor.events
    assert isinstance(told[0], CommandReceived)
    assert isinstance(told[-1], RequestReceived)
    assert told[0].message is told[-1].message
    fragments = [event for event in told[1:-1] if isinstance(event, DataReceived)]
    assert len(fragments) == len(told) - 2
    assert b"".join(event.fragment for event in fragments) == data
    assert all(len(event.fragment) <= 122 for event in fragments)


def test_pending_responses_leave_the_operation_under_way() -> None:
    pair = established()
    request = invoke(pair, find(), b"identifier")
    where = pair.acceptor.association
    for status, data in ((0xFF00, b"one"), (0xFF01, b"two"), (0x0000, None)):
        where.send_response(request.message, CFindRSP(1, status, data is not None), data)
    pair.run()
    finals = [e.final for e in pair.requestor.events if isinstance(e, ResponseReceived)]
    assert finals == [False, False, True]
    with pytest.raises(LocalProtocolError, match="Message ID 1"):
        where.send_response(request.message, CFindRSP(1, 0x0000))


def test_a_message_that_cannot_be_sent_changes_nothing() -> None:
    pair = established()
    one, two = pair.requestor, pair.acceptor
    with pytest.raises(ValueError, match="data set"):
        one.association.send_request(context(one), CEchoRQ(VERIFICATION, 1), b"data")
    with pytest.raises(TypeError):
        one.association.send_request(context(one, CT), store(), "text")  # type: ignore[arg-type]
    assert not one.association.operations.any
    request = invoke(pair, CEchoRQ(VERIFICATION, 1))
    with pytest.raises(ValueError, match="status"):
        two.association.send_response(request.message, CEchoRSP(1, 0x10000))
    two.association.send_response(request.message, CEchoRSP(1, 0))
    pair.run()
    assert kinds(one.events) == [ResponseReceived]


def test_the_window_is_synchronous_unless_it_was_negotiated() -> None:
    pair = established()
    one = pair.requestor
    one.association.send_request(context(one), CEchoRQ(VERIFICATION, 1))
    with pytest.raises(LocalProtocolError, match="1 operation"):
        one.association.send_request(context(one), CEchoRQ(VERIFICATION, 2))
    pair.run()
    assert len(pair.acceptor.events) == 1


def test_a_response_that_nobody_waits_for_is_a_mistake_of_the_caller() -> None:
    pair = established()
    request = invoke(pair, CEchoRQ(VERIFICATION, 1))
    with pytest.raises(LocalProtocolError, match="Message ID 2"):
        pair.acceptor.association.send_response(request.message, CEchoRSP(2, 0))


def test_only_an_established_association_sends_requests() -> None:
    one = established().requestor
    where = context(one)
    one.association.send_abort(0.0)
    with pytest.raises(LocalProtocolError, match="established"):
        one.association.send_request(where, CEchoRQ(VERIFICATION, 1))


# Contexts ----------------------------------------------------------------------------------------


def test_a_context_is_found_by_sop_class_transfer_syntax_and_role() -> None:
    pair = established()
    one = pair.requestor.association
    found = one.context_for(CT)
    assert one.context_for(CT, found.transfer_syntax) == found
    assert found.scu
    assert not found.scp
    with pytest.raises(ContextNotAccepted, match=found.transfer_syntax):
        one.context_for(CT, "1.2.840.10008.1.2.4.50")
    with pytest.raises(ContextNotAccepted, match=r"1\.2\.3"):
        one.context_for("1.2.3")
    # The acceptor is the SCP of all of them: it may invoke nothing.
    with pytest.raises(ContextNotAccepted):
        pair.acceptor.association.context_for(CT)


def test_a_request_goes_on_a_context_of_this_association_only() -> None:
    one = established().requestor.association
    with pytest.raises(ContextNotAccepted):
        one.send_request(
            AcceptedContext(9, VERIFICATION, "1.2", True, False), CEchoRQ(VERIFICATION, 1)
        )
    assert not one.operations.any


# What a peer gets wrong --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "response",
    [CEchoRSP(2, 0), CStoreRSP(1, 0), CEchoRSP(1, 0), CFindRSP(1, 0xFF00, True)],
    ids=["unknown id", "other command", "a second final one", "a late pending one"],
)
def test_a_response_to_nothing_is_dropped_and_never_answered(
    response: CEchoRSP | CStoreRSP | CFindRSP,
) -> None:
    pair = established()
    one, two = pair.requestor, pair.acceptor
    one.association.send_request(context(one), CEchoRQ(VERIFICATION, 1))
    if response.command_field == CEchoRSP.command_field:
        request = invoke_again(pair)
        two.association.send_response(request.message, CEchoRSP(1, 0))
    pair.run()
    one.events.clear()
    two.events.clear()
    pdvs = [command_pdv(response)]
    if response.has_data_set:
        pdvs += [PDV(1, False, False, b"ab"), PDV(1, False, True, b"c")]
    inject_pdvs(one, *pdvs)
    if response != CEchoRSP(1, 0) or not one.association.operations.invoked:
        pair.run()
        assert not one.events
    assert not two.events
    assert one.association.established


def invoke_again(pair: Pair) -> RequestReceived:
    pair.run()
    event = pair.acceptor.events[-1]
    assert isinstance(event, RequestReceived)
    return event


def unrecognized(command_field: int, *extra: tuple[int, int], data: bool = False) -> PDV:
    elements = b"".join(
        struct.pack("<HHIH", 0, element, 2, value)
        for element, value in (
            (0x0100, command_field),
            *extra,
            (0x0800, 0x0001 if data else 0x0101),
        )
    )
    return PDV(1, True, True, struct.pack("<HHII", 0, 0, 4, len(elements)) + elements)


@pytest.mark.parametrize("data", [False, True])
def test_an_unrecognized_command_field_is_answered_with_0211(data: bool) -> None:
    pair = established()
    two = pair.acceptor
    sent: list[bytes] = []
    inject_pdvs(two, unrecognized(0x0F00, (0x0110, 9), data=data))
    if data:
        inject_pdvs(two, PDV(1, False, True, b"skipped"))
    while two.incoming:
        two._receive(None)
    assert two.association.next_event() is None
    sent.append(drain(two.association, 4096))
    (answer,) = sent
    command_set = answer[12:]
    assert struct.pack("<HHIH", 0, 0x0100, 2, 0x8F00) in command_set
    assert struct.pack("<HHIH", 0, 0x0120, 2, 9) in command_set
    assert struct.pack("<HHIH", 0, 0x0900, 2, 0x0211) in command_set
    assert two.association.established


@pytest.mark.parametrize(
    "pdv",
    [unrecognized(0x8F00, (0x0110, 9)), unrecognized(0x0F00)],
    ids=["a response", "without a Message ID"],
)
def test_an_unrecognized_command_that_is_no_request_is_dropped(pdv: PDV) -> None:
    pair = established()
    inject_pdvs(pair.acceptor, pdv)
    pair.run()
    assert not pair.acceptor.events
    assert not pair.requestor.incoming
    assert pair.acceptor.association.established


def test_a_message_id_that_is_being_performed_is_a_duplicate_invocation() -> None:
    pair = established()
    request = invoke(pair, CEchoRQ(VERIFICATION, 1))
    two = pair.acceptor
    two.events.clear()
    inject_pdvs(
        two, command_pdv(store(1), 3), PDV(3, False, False, b"ab"), PDV(3, False, True, b"")
    )
    two._receive(None)
    assert two.association.next_event() is None  # nobody is told of it
    answer = decode_command(drain(two.association, 4096)[12:])
    assert isinstance(answer, CStoreRSP)
    assert (answer.message_id_being_responded_to, answer.status) == (1, 0x0210)
    # The first one goes on.
    two.association.send_response(request.message, CEchoRSP(1, 0))
    pair.run()
    assert kinds(pair.requestor.events) == [ResponseReceived]


@pytest.mark.parametrize(
    "pdvs",
    [
        [PDV(1, False, True, b"data")],
        [command_pdv(store(), 3), command_pdv(CEchoRQ(VERIFICATION, 2), 1)],
        [command_pdv(store(), 3), command_pdv(CEchoRQ(VERIFICATION, 2), 3)],
        [PDV(3, True, False, b"ab"), PDV(3, False, True, b"ab")],
        [PDV(1, True, True, b"nonsense")],
    ],
    ids=["data first", "other context", "command inside data", "data inside command", "garbage"],
)
def test_fragments_that_make_no_message_end_the_association_by_a_users_abort(
    pdvs: list[PDV],
) -> None:
    pair = established()
    inject_pdvs(pair.acceptor, *pdvs)
    pair.run()
    event = end(pair.acceptor)
    assert isinstance(event, Aborted)
    assert event.origin is Origin.LOCAL_USER
    # A-ABORT source 0 (PS3.8 Table 9-26): that of a service-user.
    assert end(pair.requestor) == Aborted(Origin.PEER_USER, None, "the peer's user aborted")


# C-CANCEL ----------------------------------------------------------------------------------------


def test_a_cancel_is_told_while_its_request_is_performed() -> None:
    pair = established()
    request = invoke(pair, find(5), b"identifier")
    one, two = pair.requestor, pair.acceptor
    two.events.clear()
    one.association.send_cancel(context(one, STUDY_ROOT_FIND), 5)
    pair.run()
    assert two.events == [CancelRequested(5)]
    two.association.send_response(request.message, CFindRSP(5, 0xFE00))
    pair.run()
    assert isinstance(one.events[-1], ResponseReceived)
    assert one.events[-1].final


def test_a_cancel_that_crosses_the_final_response_is_dropped() -> None:
    pair = established()
    request = invoke(pair, find(5), b"identifier")
    one, two = pair.requestor, pair.acceptor
    one.association.send_cancel(context(one, STUDY_ROOT_FIND), 5)
    two.association.send_response(request.message, CFindRSP(5, 0))
    two.events.clear()
    pair.run()
    assert not two.events
    assert kinds(one.events) == [ResponseReceived]


def test_nothing_is_cancelled_that_is_over_or_unknown() -> None:
    pair = established()
    one = pair.requestor
    one.association.send_cancel(context(one, STUDY_ROOT_FIND), 5)
    assert not one.association.sending
    one.association.send_request(context(one, STUDY_ROOT_FIND), find(5), b"")
    one.association.send_release_request(0.0)
    one.association.send_cancel(context(one, STUDY_ROOT_FIND), 5)
    pair.run()
    assert not any(isinstance(event, CancelRequested) for event in pair.acceptor.events)


def test_a_cancel_of_what_is_not_performed_is_dropped() -> None:
    pair = established()
    inject_pdvs(pair.acceptor, command_pdv(CCancelRQ(3)))
    pair.run()
    assert not pair.acceptor.events
    assert pair.acceptor.association.established


# Release -----------------------------------------------------------------------------------------


def test_a_release_request_leaves_after_what_is_still_being_sent() -> None:
    pair = established()
    one, two = pair.requestor, pair.acceptor
    one.association.send_request(context(one, CT), store(), bytes(50_000))
    one.association.send_release_request(pair.now)
    assert one.association.established
    pair.run()
    assert isinstance(two.events[-2], RequestReceived)
    assert two.events[-1] == ReleaseRequested(collision=False)
    assert one.association.state is State.Sta7


def test_a_response_leaves_before_a_release_request_that_waits() -> None:
    pair = established()
    request = invoke(pair, CEchoRQ(VERIFICATION, 1))
    one, two = pair.requestor, pair.acceptor
    performing = request.message
    # The acceptor has something of its own to send, and wants to leave.
    inject_pdvs(two, unrecognized(0x0F00, (0x0110, 9)))
    two._receive(None)
    assert two.association.next_event() is None
    assert two.association.sending
    two.association.send_release_request(pair.now)
    two.association.send_response(performing, CEchoRSP(1, 0))
    pair.run()
    assert kinds(one.events) == [ResponseReceived, ReleaseRequested]


def test_a_release_answer_leaves_after_what_is_still_being_sent() -> None:
    pair = established()
    request = invoke(pair, find(), b"identifier")
    one, two = pair.requestor, pair.acceptor
    two.association.send_response(request.message, CFindRSP(1, 0xFF00, True), bytes(40_000))
    one.association.send_release_request(pair.now)
    one._move(pair)
    two._receive(None)
    assert two.association.next_event() == ReleaseRequested(collision=False)
    assert two.association.can_respond
    two.association.send_response(request.message, CFindRSP(1, 0))
    two.association.send_release_response(pair.now)
    pair.run()
    assert [type(e) for e in one.events if not isinstance(e, DataReceived)][:4] == [
        CommandReceived,
        ResponseReceived,
        ResponseReceived,
        Released,
    ]


def test_a_release_request_from_the_peer_while_a_request_awaits_its_response() -> None:
    pair = established()
    invoke(pair, CEchoRQ(VERIFICATION, 1))
    one, two = pair.requestor, pair.acceptor
    two.association.send_release_request(pair.now)
    pair.run()
    assert one.events == [ReleaseRequested(collision=False)]
    one.association.send_release_response(pair.now)
    pair.run()
    assert isinstance(end(one), Released)
    assert isinstance(end(two), Released)
    assert not one.association.operations.any


def test_nothing_is_answered_after_our_release_request() -> None:
    pair = established()
    request = invoke(pair, CEchoRQ(VERIFICATION, 1))
    two = pair.acceptor
    two.association.send_release_request(pair.now)
    assert not two.association.can_respond
    with pytest.raises(LocalProtocolError, match="Sta7"):
        two.association.send_response(request.message, CEchoRSP(1, 0))
    two.events.clear()
    inject_pdvs(
        two,
        command_pdv(CEchoRQ(VERIFICATION, 2)),
        command_pdv(CEchoRQ(VERIFICATION, 1)),
        unrecognized(0x0F00, (0x0110, 9)),
    )
    two._receive(None)
    assert two.association.next_event() is None
    assert two.association.state is State.Sta7
    assert len(drain(two.association, 4096)) == 10  # the A-RELEASE-RQ


def test_a_request_that_is_complete_only_after_our_release_request_is_not_told() -> None:
    pair = established()
    two = pair.acceptor
    inject_pdvs(two, command_pdv(store(), 3))
    pair.run()
    assert kinds(two.events) == [CommandReceived]
    two.association.send_release_request(pair.now)
    inject_pdvs(two, PDV(3, False, True, b"data"))
    two._receive(None)
    told = []
    while (event := two.association.next_event()) is not None:
        told.append(type(event))
    assert told == [DataReceived]


def test_responses_still_arrive_after_our_release_request() -> None:
    pair = established()
    request = invoke(pair, CEchoRQ(VERIFICATION, 1))
    one, two = pair.requestor, pair.acceptor
    two.association.send_response(request.message, CEchoRSP(1, 0))
    one.association.send_release_request(pair.now)
    pair.run()
    assert kinds(one.events) == [ResponseReceived]


# Together ----------------------------------------------------------------------------------------


def test_bytes_may_come_in_any_pieces() -> None:
    pair = manual()
    pair.split = 1
    established(pair)
    pair.requestor.association.send_request(context(pair.requestor, CT), store(), b"abc")
    pair.run()
    assert kinds(pair.acceptor.events) == [CommandReceived, DataReceived, RequestReceived]


def test_bytes_may_be_given_instead_of_read() -> None:
    pair = established()
    pair.requestor.association.send_request(context(pair.requestor), CEchoRQ(VERIFICATION, 1))
    data = drain(pair.requestor.association, 4096)
    pair.acceptor.association.receive_data(data, 0.0)
    assert isinstance(pair.acceptor.association.next_event(), RequestReceived)
