"""One request and its answer: all eleven services, over two associations in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dul_fsm.association import Aborted
from dul_fsm.dimse import (
    CommandField,
    CStoreRQ,
    NCreateRQ,
)
from dul_fsm.errors import LocalProtocolError
from dul_fsm.services.handler import (
    AbortAssociation,
    Handler,
    Reply,
)
from dul_fsm.services.sop_classes import (
    choose_any,
    stands_for_others,
)
from tests.services.bed import (
    COMMITMENT,
    FILM_SESSION,
    MPPS,
    NORMALIZED,
    PRINT,
    REPLYING,
    REQUESTS,
    SCP,
    UPS_WATCH,
    Bed,
    broken,
    data_set,
    raiser,
)
from tests.services.support import BUG, CT, EXPLICIT, Told


@pytest.fixture
def bed() -> Bed:
    return Bed().associate()


# A status ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [0x0000, 0xC123])
@pytest.mark.parametrize("name", REQUESTS)
def test_every_service_is_performed_by_its_method_and_answered_with_its_status(
    bed: Bed, name: str, status: int
) -> None:
    handler = bed.performer(name)
    handler.outcome = lambda message: status
    response = bed.ask(name)
    assert handler.asked == [name]
    assert response.status == status
    assert response.command.command_field == REQUESTS[name].command_field | 0x8000
    assert not response.command.has_data_set
    assert not bed.failures


@pytest.mark.parametrize("name", [name for name in REQUESTS if name != "c_echo"])
def test_the_handler_as_it_stands_refuses_what_it_does_not_provide(name: str) -> None:
    handlers = (Handler(), Handler())
    for handler in handlers:
        handler.choose = choose_any(lambda uid: True)
    bed = Bed(*handlers).associate()
    expected = 0x0118 if name in NORMALIZED else 0xA801 if name == "c_move" else 0x0122
    assert bed.ask(name).status == expected


def test_a_c_move_whose_destination_is_known_is_refused_by_the_handler_as_it_stands() -> None:
    class Known(Told):
        def move_destination(self, ae_title: str) -> Any:
            return object()

    assert Bed(Known()).associate().ask("c_move").status == 0x0122


@pytest.mark.parametrize("name", REQUESTS)
def test_what_a_handler_raises_fails_the_operation_and_no_more(bed: Bed, name: str) -> None:
    bed.performer(name).outcome = raiser(BUG)
    response = bed.ask(name)
    assert response.status == 0x0110
    assert getattr(response.command, "error_comment", None) is None
    assert bed.failures == [BUG]
    bed.performer(name).outcome = lambda message: 0
    assert bed.ask("c_echo").status == 0


@pytest.mark.parametrize("name", REQUESTS)
def test_a_handler_aborts_from_every_service(bed: Bed, name: str) -> None:
    bed.performer(name).outcome = raiser(AbortAssociation("that is enough"))
    with pytest.raises(ValueError, match="not enough values"):
        bed.ask(name)
    for handler in (bed.scp, bed.scu):
        assert isinstance(handler, Told)
        assert [type(end) for end in handler.ends] == [Aborted]
    assert not bed.failures


@pytest.mark.parametrize("outcome", [None, "0000", 1.5, object()])
@pytest.mark.parametrize("name", REQUESTS)
def test_an_outcome_that_is_none_fails_the_operation(bed: Bed, name: str, outcome: object) -> None:
    bed.performer(name).outcome = lambda message: outcome
    assert bed.ask(name).status == 0x0110
    assert bed.failures


# A reply -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Dataset, bytes])
@pytest.mark.parametrize("name", REPLYING)
def test_a_reply_has_a_data_set_encoded_or_to_be_encoded(bed: Bed, name: str, kind: type) -> None:
    from dul_fsm.dimse.data_set import encode_data_set

    encoded = encode_data_set(data_set(), EXPLICIT)
    bed.performer(name).outcome = lambda message: Reply(
        data=data_set() if kind is Dataset else encoded
    )
    response = bed.ask(name)
    assert response.status == 0
    assert response.data_set == encoded
    assert response.decode().PatientName == "Doe^John"


@pytest.mark.parametrize(
    ("name", "field", "number"),
    [("n_event_report", "event_type_id", 7), ("n_action", "action_type_id", 9)],
)
def test_the_type_goes_with_the_reply_and_only_with_it(
    bed: Bed, name: str, field: str, number: int
) -> None:
    bed.performer(name).outcome = lambda message: Reply(data=b"")
    assert getattr(bed.ask(name).command, field) == number
    bed.performer(name).outcome = lambda message: Reply()
    assert getattr(bed.ask(name).command, field) is None


@pytest.mark.parametrize("name", NORMALIZED)
def test_a_reply_has_a_comment_and_fields(bed: Bed, name: str) -> None:
    bed.performer(name).outcome = lambda message: Reply(
        0x0110, comment="x" * 100, fields={"error_id": 5}
    )
    command: Any = bed.ask(name).command
    assert (command.status, command.error_comment, command.error_id) == (0x0110, "x" * 64, 5)
    assert command.affected_sop_instance_uid == "1.2.3"
    assert command.affected_sop_class_uid == MPPS


def test_a_list_of_attributes_goes_with_a_reply(bed: Bed) -> None:
    bed.performer("n_set").outcome = lambda message: Reply(
        0x0107, fields={"attribute_identifier_list": (0x00100010,)}
    )
    command: Any = bed.ask("n_set").command
    assert command.attribute_identifier_list == (0x00100010,)


@pytest.mark.parametrize("reply", [Reply(fields={"no_such_field": 1}), Reply(0x10000)])
@pytest.mark.parametrize("name", NORMALIZED)
def test_a_reply_that_the_response_cannot_be_fails(bed: Bed, name: str, reply: Reply) -> None:
    bed.performer(name).outcome = lambda message: reply
    assert bed.ask(name).status == 0x0110
    assert len(bed.failures) == 1


def test_the_response_to_an_n_delete_has_no_data_set(bed: Bed) -> None:
    bed.performer("n_delete").outcome = lambda message: Reply(data=b"")
    assert bed.ask("n_delete").status == 0x0110


def test_an_element_that_cannot_be_encoded_is_named_and_the_operation_fails(bed: Bed) -> None:
    bed.performer("n_get").outcome = lambda message: Reply(data=broken())
    command: Any = bed.ask("n_get").command
    assert command.status == 0x0110
    (failure,) = bed.failures
    assert "(0028,0010)" in str(failure)
    assert command.error_comment == str(failure)[:64]


@pytest.mark.parametrize(
    ("requested", "replied", "made"),
    [
        (None, "1.2.9", "1.2.9"),
        ("1.2.3", None, "1.2.3"),
        ("1.2.3", "1.2.9", "1.2.9"),
    ],
)
def test_an_n_create_names_the_instance_it_has_made(
    bed: Bed, requested: str | None, replied: str | None, made: str
) -> None:
    bed.performer("n_create").outcome = lambda message: Reply(sop_instance_uid=replied)
    request = NCreateRQ(MPPS, 1, affected_sop_instance_uid=requested)
    command: Any = bed.ask("n_create", request).command
    assert (command.status, command.affected_sop_instance_uid) == (0, made)


def test_an_n_create_that_names_no_instance_has_made_none(bed: Bed) -> None:
    request = NCreateRQ(MPPS, 1)
    bed.performer("n_create").outcome = lambda message: Reply()
    assert bed.ask("n_create", request).status == 0x0110
    assert isinstance(bed.failures[0], LocalProtocolError)
    bed.performer("n_create").outcome = lambda message: Reply(0x0106)
    assert bed.ask("n_create", request).status == 0x0106


# Refusals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REQUESTS)
def test_a_role_that_was_not_negotiated_is_refused_before_the_handler_sees_it(
    bed: Bed, name: str
) -> None:
    request = REQUESTS[name]
    uid = getattr(request, "affected_sop_class_uid", None) or getattr(
        request, "requested_sop_class_uid", None
    )
    side = bed.pair.requestor if name == "n_event_report" else bed.pair.acceptor
    contexts = side.association.contexts.values()
    context = next(context for context in contexts if context.abstract_syntax == uid)
    side.association.send_request(context, request, b"" if request.has_data_set else None)
    bed.pair.run()
    (response,) = side.responses
    assert response.message.status == (0x0118 if name in NORMALIZED else 0x0122)
    for handler in (bed.scp, bed.scu):
        assert isinstance(handler, SCP)
        assert not handler.asked


@pytest.mark.parametrize("name", ["n_get", "n_set", "n_action", "n_create", "n_delete"])
def test_another_sop_class_than_the_contexts_is_refused_unless_it_stands_for_others(
    bed: Bed, name: str
) -> None:
    association = bed.pair.requestor.association
    for uid, expected in ((MPPS, 0x0118), (PRINT, 0)):
        key = "affected_sop_class_uid" if name == "n_create" else "requested_sop_class_uid"
        known: Any = REQUESTS[name]
        request = replace(known, **{key: FILM_SESSION})
        data = b"" if request.has_data_set else None
        association.send_request(association.context_for(uid), request, data)
        bed.pair.run()
        assert bed.pair.requestor.responses[-1].message.status == expected
    assert bed.performer(name).asked == [name]
    assert bed.performer(name).messages[0].context.abstract_syntax == PRINT


def test_a_composite_operation_never_stands_for_another(bed: Bed) -> None:
    association = bed.pair.requestor.association
    association.send_request(association.context_for(PRINT), CStoreRQ(CT, 1, "1.2.3"), b"")
    bed.pair.run()
    assert bed.pair.requestor.responses[-1].message.status == 0x0122


@pytest.mark.parametrize(
    ("uid", "stands"),
    [(PRINT, True), (UPS_WATCH, True), ("1.2.3.4", True), (MPPS, False), (COMMITMENT, False)],
)
def test_which_contexts_carry_operations_on_other_classes(uid: str, stands: bool) -> None:
    assert stands_for_others(uid) is stands


def test_every_request_has_a_method() -> None:
    fields = {request.command_field for request in REQUESTS.values()}
    known = {field for field in CommandField if not field & 0x8000}
    assert known - fields == {CommandField.C_CANCEL_RQ}
