"""Responses made of requests."""

from __future__ import annotations

from typing import Any, cast, get_args

import pytest

from dul_fsm.dimse import (
    COMMANDS,
    CommandField,
    MessageAssembler,
    NGetRQ,
    NGetRSP,
    OutgoingMessage,
    Request,
    UnrecognizedCommandReceived,
    UnrecognizedRSP,
    decode_command,
    encode_command,
    respond_to,
)
from dul_fsm.dimse.status import NO_SUCH_ATTRIBUTE, OUT_OF_RESOURCES, SUCCESS
from dul_fsm.pdu import PDV
from tests.dimse.examples import example

REQUESTS = [cast(Request, example(kind.name, full=True)) for kind in get_args(Request)]
each_request = pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: request.name)


@each_request
def test_the_response_to_each_request_is_its_own_and_echoes_it(request_: Request) -> None:
    response = respond_to(request_, SUCCESS)
    assert type(response) is COMMANDS[request_.command_field + 0x8000]
    assert response.message_id_being_responded_to == request_.message_id
    assert response.status == SUCCESS
    # What the request has, Affected or Requested, the response has as Affected.
    for field in ("sop_class_uid", "sop_instance_uid"):
        asked = [getattr(request_, f"{word}_{field}", None) for word in ("affected", "requested")]
        if any(asked) and hasattr(response, f"affected_{field}"):
            assert getattr(response, f"affected_{field}") in asked
    assert response.affected_sop_class_uid
    assert not response.has_data_set
    assert decode_command(encode_command(response)) == response


@each_request
def test_any_text_may_be_given_as_a_comment(request_: Request) -> None:
    response = respond_to(request_, OUT_OF_RESOURCES, comment="disk\nfull: " + "é" * 99)
    assert response.error_comment == "disk full: " + "?" * 53
    assert respond_to(request_, OUT_OF_RESOURCES).error_comment is None


def test_further_fields_are_given_by_name() -> None:
    request = NGetRQ("1.2", 7, "1.2.3")
    tags = (0x00100010,)
    assert respond_to(
        request,
        NO_SUCH_ATTRIBUTE,
        attribute_identifier_list=tags,
        affected_sop_instance_uid="1.2.4",
        has_data_set=True,
    ) == NGetRSP(7, NO_SUCH_ATTRIBUTE, True, "1.2", "1.2.4", tags)


@each_request
def test_a_field_that_the_response_does_not_have_is_refused(request_: Request) -> None:
    values: Any = {"move_destination": "AET"}
    with pytest.raises(TypeError, match="move_destination"):
        respond_to(request_, SUCCESS, **values)


def test_the_response_to_an_unrecognized_request_is_byte_for_byte_what_the_standard_says() -> None:
    assert UnrecognizedRSP(0x0042, 0x0102).encode() == bytes.fromhex(
        "0000 0000 04000000 28000000"
        "0000 0001 02000000 4280"
        "0000 2001 02000000 0201"
        "0000 0008 02000000 0101"
        "0000 0009 02000000 1102"
    )


def test_the_response_to_an_unrecognized_request_is_a_message() -> None:
    message = OutgoingMessage(5, UnrecognizedRSP(0x0042, 7))
    assembler = MessageAssembler()
    events = []
    while (item := message.next_fragment(10)) is not None:
        control, fragment = item
        events += assembler.feed(PDV(5, bool(control & 1), bool(control & 2), bytes(fragment)))
    assert events == [UnrecognizedCommandReceived(5, None, 0x8042, False)]


def test_every_command_field_of_a_request_but_c_cancel_has_a_response() -> None:
    for field in CommandField:
        if field < 0x8000 and field is not CommandField.C_CANCEL_RQ:
            assert field + 0x8000 in COMMANDS
