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


def test_something_is_under_way_in_either_direction() -> None:
    operations = Operations()
    assert not operations.any
    operations.performing[1] = Message(CONTEXT, echo(1))
    assert operations.any
