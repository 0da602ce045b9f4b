"""Message IDs and the window."""

from __future__ import annotations

import pytest

from dul_fsm.association import Message
from dul_fsm.association.operations import LAST_MESSAGE_ID, Operation, Operations
from dul_fsm.dimse import CEchoRQ, OutgoingMessage
from dul_fsm.errors import LocalProtocolError
from dul_fsm.negotiation import IMPLICIT_VR_LITTLE_ENDIAN, AcceptedContext
from dul_fsm.services.sop_classes import VERIFICATION

CONTEXT = AcceptedContext(1, VERIFICATION, IMPLICIT_VR_LITTLE_ENDIAN, True, True)


def echo(message_id: int) -> CEchoRQ:
    return CEchoRQ(VERIFICATION, message_id)


def invoke(operations: Operations, request: CEchoRQ) -> Operation:
    return operations.invoke(CONTEXT, request, OutgoingMessage(CONTEXT.context_id, request))


def test_message_ids_go_up_and_wrap_past_those_in_flight() -> None:
    operations = Operations()
    assert [operations.next_message_id() for _ in range(3)] == [1, 2, 3]
    invoke(operations, echo(1))
    for expected in range(4, LAST_MESSAGE_ID + 1):
        assert operations.next_message_id() == expected
    assert operations.next_message_id() == 2


def test_every_message_id_may_be_in_flight_and_not_one_more() -> None:
    operations = Operations()
    operations.window = 0
    for _ in range(LAST_MESSAGE_ID):
        message_id = operations.next_message_id()
        invoke(operations, echo(message_id))
    with pytest.raises(LocalProtocolError, match="every Message ID"):
        operations.next_message_id()


def test_a_message_id_in_flight_is_not_used_again() -> None:
    operations = Operations()
    operations.window = 5
    invoke(operations, echo(1))
    with pytest.raises(LocalProtocolError, match="already in flight"):
        invoke(operations, echo(1))


@pytest.mark.parametrize("window", [1, 3])
def test_no_more_operations_than_the_window_are_in_flight(window: int) -> None:
    operations = Operations()
    operations.window = window
    for message_id in range(window):
        invoke(operations, echo(message_id))
    with pytest.raises(LocalProtocolError, match=f"{window} may"):
        invoke(operations, echo(window))


def test_a_window_of_0_is_no_limit() -> None:
    operations = Operations()
    operations.window = 0
    for message_id in range(100):
        assert not operations.full
        invoke(operations, echo(message_id))


def test_the_wait_for_a_response_begins_when_the_request_has_left() -> None:
    operations = Operations()
    operations.window = 3
    one, two, three = (invoke(operations, echo(n)) for n in (1, 2, 3))
    one.message.end, two.message.end = 100, 250
    operations.left(99, 5.0)
    assert operations.awaiting == {}
    operations.left(100, 6.0)
    assert operations.awaiting == {one: 6.0}
    operations.left(1000, 7.0)
    assert operations.awaiting == {one: 6.0, two: 7.0}
    operations.answered(3)  # before its request has left
    three.message.end = 300
    operations.left(1000, 8.0)
    assert operations.awaiting == {one: 6.0, two: 7.0}


def test_the_oldest_sign_of_life_comes_first() -> None:
    operations = Operations()
    operations.window = 3
    one, two, three = (invoke(operations, echo(n)) for n in (1, 2, 3))
    one.message.end = two.message.end = 100
    operations.left(100, 1.0)
    operations.heard(one, 2.0)
    operations.heard(three, 3.0)  # an early response is no reason to wait for the next
    assert list(operations.awaiting.items()) == [(two, 1.0), (one, 2.0)]
    operations.answered(2)
    assert list(operations.awaiting) == [one]
    assert list(operations.invoked) == [1, 3]
    operations.clear()
    assert not operations.any
    assert not operations.awaiting


def test_something_is_under_way_in_either_direction() -> None:
    operations = Operations()
    assert not operations.any
    operations.performing[1] = Message(CONTEXT, echo(1))
    assert operations.any
