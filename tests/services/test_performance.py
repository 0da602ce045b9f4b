"""One request and its answer: all eleven services, over two associations in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dul_fsm.association import Aborted, Message, Rejected, Released
from dul_fsm.dimse import (
    CEchoRQ,
    CFindRQ,
    CGetRQ,
    CMoveRQ,
    CommandField,
    CStoreRQ,
    NActionRQ,
    NCreateRQ,
    NDeleteRQ,
    NEventReportRQ,
    NGetRQ,
    NSetRQ,
    Request,
)
from dul_fsm.errors import LocalProtocolError
from dul_fsm.negotiation import SYNCHRONOUS, Window, build_request
from dul_fsm.pdu import (
    SOPClassExtendedNegotiation,
    UserIdentityAC,
    UserIdentityRQ,
)
from dul_fsm.services.handler import (
    AbortAssociation,
    Accept,
    Handler,
    Notification,
    Reject,
    Reply,
)
from dul_fsm.services.sop_classes import (
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    VERIFICATION,
    choose_any,
    stands_for_others,
)
from dul_fsm.testing.pair import Pair
from dul_fsm.timers import TimeLimits
from tests.services.support import BUG, CT, EXPLICIT, IMPLICIT, Told

MPPS = "1.2.840.10008.3.1.2.3.3"
COMMITMENT = "1.2.840.10008.1.20.1"
PRINT = "1.2.840.10008.5.1.1.9"
FILM_SESSION = "1.2.840.10008.5.1.1.1"
PRINTER = "1.2.840.10008.5.1.1.16"
UPS_PUSH = "1.2.840.10008.5.1.4.34.6.1"
UPS_WATCH = "1.2.840.10008.5.1.4.34.6.2"
UPS_EVENT = "1.2.840.10008.5.1.4.34.6.4"
CONTEXTS = (
    VERIFICATION,
    CT,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    (MPPS, [EXPLICIT]),
    COMMITMENT,
    PRINT,
)

REQUESTS: dict[str, Request] = {
    "c_echo": CEchoRQ(VERIFICATION, 1),
    "c_store": CStoreRQ(CT, 1, "1.2.3"),
    "c_find": CFindRQ(STUDY_ROOT_FIND, 1),
    "c_get": CGetRQ(STUDY_ROOT_GET, 1),
    "c_move": CMoveRQ(STUDY_ROOT_MOVE, 1, "ELSEWHERE"),
    "n_event_report": NEventReportRQ(MPPS, 1, "1.2.3", 7, has_data_set=True),
    "n_get": NGetRQ(MPPS, 1, "1.2.3"),
    "n_set": NSetRQ(MPPS, 1, "1.2.3"),
    "n_action": NActionRQ(MPPS, 1, "1.2.3", 9, has_data_set=True),
    "n_create": NCreateRQ(MPPS, 1, has_data_set=True, affected_sop_instance_uid="1.2.3"),
    "n_delete": NDeleteRQ(MPPS, 1, "1.2.3"),
}
"""One of each."""

NORMALIZED = [name for name in REQUESTS if name.startswith("n_")]
REPLYING = [name for name in NORMALIZED if name != "n_delete"]
"""Their responses may have a data set."""


class SCP(Told):
    """Does what the test says, and lists what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.messages: list[Message] = []
        self.outcome: Callable[[Message], Any] = lambda message: 0
        self.identify: Callable[[UserIdentityRQ], Any] = lambda identity: True
        self.accept: Accept | Reject = Accept()

    def _asked(self, name: str, message: Message) -> Any:
        self.asked.append(name)
        self.messages.append(message)
        return self.outcome(message)

    def user_identified(self, identity: UserIdentityRQ) -> bool | Reject | UserIdentityAC:
        self.asked.append("user_identified")
        answer: bool | Reject | UserIdentityAC = self.identify(identity)
        return answer

    def associate_requested(self, request: Any) -> Accept | Reject:
        return self.accept

    def c_echo_requested(self, message: Message) -> Any:
        return self._asked("c_echo", message)

    def c_store_requested(self, message: Message) -> Any:
        return self._asked("c_store", message)

    def c_find_requested(self, message: Message) -> Any:
        return self._asked("c_find", message)

    def c_get_requested(self, message: Message) -> Any:
        return self._asked("c_get", message)

    def c_move_requested(self, message: Message) -> Any:
        return self._asked("c_move", message)

    def move_destination(self, ae_title: str) -> Any:
        return object()  # somewhere

    def n_event_report_requested(self, message: Message) -> Any:
        return self._asked("n_event_report", message)

    def n_get_requested(self, message: Message) -> Any:
        return self._asked("n_get", message)

    def n_set_requested(self, message: Message) -> Any:
        return self._asked("n_set", message)

    def n_action_requested(self, message: Message) -> Any:
        return self._asked("n_action", message)

    def n_create_requested(self, message: Message) -> Any:
        return self._asked("n_create", message)

    def n_delete_requested(self, message: Message) -> Any:
        return self._asked("n_delete", message)


class Bed:
    """A pair, and who performs a service on it: the SCU of MPPS performs N-EVENT-REPORT."""

    def __init__(
        self, scp: Handler | None = None, scu: Handler | None = None, **keywords: Any
    ) -> None:
        self.scp, self.scu = scp or SCP(), scu or SCP()
        self.pair = Pair(self.scp, self.scu, **keywords)

    def associate(self, contexts: Iterable[Any] = CONTEXTS) -> Bed:
        self.pair.associate(contexts)
        return self

    def performer(self, name: str) -> Any:
        return self.scu if name == "n_event_report" else self.scp

    def ask(self, name: str, request: Request | None = None, data: Any = None) -> Message:
        """Invoke a service; the final response."""
        request = request or REQUESTS[name]
        if data is None and request.has_data_set:
            data = b""
        side = self.pair.acceptor if name == "n_event_report" else self.pair.requestor
        association = side.association
        uid = getattr(request, "affected_sop_class_uid", None) or getattr(
            request, "requested_sop_class_uid", None
        )
        context = association.context_for(uid or "", as_scp=name == "n_event_report")
        association.send_request(context, request, data)
        self.pair.run()
        (final,) = (one for one in side.responses if one.final)
        side.responses.clear()
        return final.message

    @property
    def failures(self) -> list[BaseException]:
        return self.pair.acceptor.failures + self.pair.requestor.failures


@pytest.fixture
def bed() -> Bed:
    return Bed().associate()


def raiser(error: BaseException) -> Callable[..., Any]:
    def fail(*arguments: object) -> Any:
        raise error

    return fail


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


def broken() -> Dataset:
    """A data set that cannot be encoded."""
    broken = Dataset()
    broken.Rows = 1
    broken["Rows"]._value = "many"
    return broken


def data_set() -> Dataset:
    data_set = Dataset()
    data_set.PatientName = "Doe^John"
    return data_set


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


# Notifications -----------------------------------------------------------------------------------


class Reporting(SCP):
    """Notifies the SCU after an N-ACTION, and lists what came of it."""

    def __init__(self, count: int = 2, sop_class_uid: str = COMMITMENT) -> None:
        super().__init__()
        self.told: list[tuple[int, int | None]] = []
        self.count = count
        self.sop_class_uid = sop_class_uid
        self.information: list[Any] = [None] * count
        self.on_told: Callable[[int], None] = lambda index: None
        self.outcome = self._reply

    def _reply(self, message: Message) -> Reply:
        return Reply(notifications=[self.notification(index) for index in range(self.count)])

    def notification(self, index: int) -> Notification:
        def responded(outcome: int | None) -> None:
            self.told.append((index, outcome))
            self.on_told(index)

        return Notification(self.sop_class_uid, "1.2.3", index, self.information[index], responded)


def reporting(
    scp: Reporting, contexts: Iterable[Any] = CONTEXTS, uid: str = COMMITMENT, **keywords: Any
) -> tuple[Bed, SCP]:
    scu = SCP()
    bed = Bed(scp, scu, **keywords).associate(contexts)
    association = bed.pair.requestor.association
    request = NActionRQ(uid, 1, "1.2.3", 1)
    association.send_request(association.context_for(uid), request)
    return bed, scu


def test_notifications_follow_the_response_one_by_one_and_their_outcome_is_told() -> None:
    scp = Reporting()
    bed, scu = reporting(scp)
    seen: list[tuple[int, int]] = []

    def report(message: Message) -> int:
        seen.append((len(bed.pair.requestor.responses), len(scp.told)))
        return 0 if message.command.event_type_id == 0 else 0x0113  # type: ignore[union-attr]

    scu.outcome = report
    bed.pair.run()
    assert [one.message.status for one in bed.pair.requestor.responses] == [0]
    assert seen == [(1, 0), (1, 1)]  # after the response; each when the last was answered
    assert scp.told == [(0, 0), (1, 0x0113)]
    assert not bed.failures
    bed.pair.release()
    assert [type(end) for end in scp.ends] == [Released]


def test_the_information_of_a_notification_is_encoded_for_its_context() -> None:
    scp = Reporting(2)
    scp.information = [data_set(), b""]
    bed, scu = reporting(scp, [(COMMITMENT, [IMPLICIT])])
    bed.pair.run()
    assert scp.told == [(0, 0), (1, 0)]
    assert scu.messages[0].decode().PatientName == "Doe^John"
    assert scu.messages[1].command.has_data_set


@pytest.mark.parametrize("how", ["release", "abort", "cut", "silence"])
def test_who_is_not_answered_is_told_none_and_so_are_the_others(how: str) -> None:
    scp = Reporting(3)
    bed, _ = reporting(scp, time_limits=(TimeLimits(idle=None), TimeLimits(response=50.0)))
    pair = bed.pair
    pair.run_until(lambda: pair.requestor.responses)
    pair.requestor.performs = False  # the N-EVENT-REPORT is not answered
    pair.run()
    assert scp.told == []
    if how == "release":
        pair.requestor.association.send_release_request(pair.now)
    elif how == "abort":
        pair.requestor.association.send_abort(pair.now)
    elif how == "cut":
        pair.cut()
    pair.run()
    if how == "silence":
        pair.advance(49.0)
        assert scp.told == []
        pair.advance(1.0)
    assert scp.told == [(0, None), (1, None), (2, None)]
    assert [type(end) for end in scp.ends] == [Released if how == "release" else Aborted]
    assert not bed.failures


def test_a_notification_that_cannot_be_encoded_costs_the_others_nothing() -> None:
    scp = Reporting(3)
    scp.information[1] = broken()
    bed, _ = reporting(scp)
    bed.pair.run()
    assert scp.told == [(0, 0), (1, None), (2, 0)]
    (failure,) = bed.failures
    assert "(0028,0010)" in str(failure)


def test_who_raises_when_told_costs_the_others_nothing() -> None:
    scp = Reporting(3)
    scp.on_told = raiser(BUG)
    bed, _ = reporting(scp)
    bed.pair.run()
    assert scp.told == [(0, 0), (1, 0), (2, 0)]
    assert bed.failures == [BUG, BUG, BUG]
    assert bed.pair.requestor.association.established


def test_who_aborts_when_told_has_the_others_told_none() -> None:
    scp = Reporting(3)
    scp.on_told = lambda index: raiser(AbortAssociation())() if not index else None
    bed, _ = reporting(scp)
    bed.pair.run()
    assert scp.told == [(0, 0), (1, None), (2, None)]
    assert [type(end) for end in scp.ends] == [Aborted]


def test_notifications_may_be_a_generator_that_raises() -> None:
    scp = Reporting()

    def some() -> Iterator[Notification]:
        yield scp.notification(0)
        raise BUG

    scp.outcome = lambda message: Reply(notifications=some())
    bed, _ = reporting(scp)
    bed.pair.run()
    assert scp.told == [(0, 0)]
    assert bed.failures == [BUG]
    assert bed.pair.requestor.association.established


def test_a_notification_that_no_context_can_carry_is_told_none() -> None:
    scp = Reporting(1, MPPS)  # on the context of storage commitment, and MPPS was not accepted
    bed, _ = reporting(scp, [COMMITMENT])
    bed.pair.run()
    assert scp.told == [(0, None)]
    assert not bed.failures


def test_a_notification_of_another_class_goes_on_that_ones_context() -> None:
    scp = Reporting(1, MPPS)
    bed, scu = reporting(scp)
    bed.pair.run()
    assert scp.told == [(0, 0)]
    assert scu.messages[0].context.abstract_syntax == MPPS


def test_a_notification_about_what_a_meta_class_stands_for_goes_on_its_context() -> None:
    scp = Reporting(1, PRINTER)
    bed, scu = reporting(scp, uid=PRINT)
    bed.pair.run()
    assert scp.told == [(0, 0)]
    assert scu.messages[0].context.abstract_syntax == PRINT


@pytest.mark.parametrize("event", [True, False])
def test_events_of_procedure_steps_go_on_their_own_context_if_there_is_one(event: bool) -> None:
    scp = Reporting(1, UPS_PUSH)
    bed, scu = reporting(scp, [UPS_WATCH, UPS_EVENT] if event else [UPS_WATCH], UPS_WATCH)
    bed.pair.run()
    assert scp.told == [(0, 0)]
    assert scu.messages[0].context.abstract_syntax == (UPS_EVENT if event else UPS_WATCH)


def test_an_scu_cannot_notify_in_turn() -> None:
    scu = Reporting(1)
    bed = Bed(None, scu).associate()
    request = NEventReportRQ(COMMITMENT, 1, "1.2.3", 1)
    assert bed.ask("n_event_report", request).status == 0
    assert scu.told == [(0, None)]
    assert not bed.failures


def test_a_response_that_never_left_has_no_notifications_either() -> None:
    scp = Reporting(2)
    bed, scu = reporting(scp)
    pair = bed.pair
    reply = scp.outcome

    def ended(message: Message) -> Any:
        pair.acceptor.association.send_abort(pair.now)
        return reply(message)

    scp.outcome = ended
    pair.run()
    assert scp.told == [(0, None), (1, None)]
    assert not scu.asked


# Who the user is ---------------------------------------------------------------------------------


def identified(
    scp: SCP, identity: UserIdentityRQ | None, window: Window = SYNCHRONOUS, **keywords: Any
) -> Pair:
    pair = Pair(scp)
    request = build_request(
        CONTEXTS,
        called_ae_title="SCP",
        calling_ae_title="SCU",
        maximum_length=16384,
        user_identity=identity,
        window=window,
        **keywords,
    )
    pair.requestor.association.send_associate_request(request, 0.0)
    pair.run()
    return pair


USER = UserIdentityRQ(2, b"user", b"secret", True)


def test_who_does_not_say_who_the_user_is_is_not_asked_about() -> None:
    scp = SCP()
    assert identified(scp, None).requestor.association.established
    assert not scp.asked


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("answer", [True, UserIdentityAC(b"ticket")])
def test_a_user_that_is_known_is_accepted_and_the_response_sent_to_who_asked(
    answer: object, asked: bool
) -> None:
    scp = SCP()
    seen: list[UserIdentityRQ] = []

    def identify(identity: UserIdentityRQ) -> object:
        seen.append(identity)
        return answer

    scp.identify = identify
    identity = UserIdentityRQ(2, b"user", b"secret", asked)
    pair = identified(scp, identity)
    assert seen == [identity]
    acceptance = pair.requestor.association.answer
    assert acceptance is not None
    expected = answer if asked and answer is not True else None
    assert acceptance.user_information.user_identity_response == expected


@pytest.mark.parametrize(
    ("answer", "codes"),
    [
        (False, (1, 1, 1)),
        (None, (1, 1, 1)),
        (Reject(2, 3, 2), (2, 3, 2)),
        ("yes", (2, 1, 1)),
    ],
)
def test_a_user_that_is_not_known_is_rejected(answer: object, codes: tuple[int, ...]) -> None:
    scp = SCP()
    scp.identify = lambda identity: answer
    event = identified(scp, USER).requestor.end
    assert isinstance(event, Rejected)
    assert (event.result, event.source, event.reason) == codes


def test_who_fails_to_find_out_rejects_for_now() -> None:
    scp = SCP()
    scp.identify = raiser(BUG)
    pair = identified(scp, USER)
    event = pair.requestor.end
    assert isinstance(event, Rejected)
    assert (event.result, event.source, event.reason) == (2, 1, 1)
    assert pair.acceptor.failures == [BUG]


def test_who_finds_out_may_abort() -> None:
    scp = SCP()
    scp.identify = raiser(AbortAssociation())
    assert isinstance(identified(scp, USER).requestor.end, Aborted)


# What is accepted --------------------------------------------------------------------------------


def test_a_window_is_agreed_on_if_it_was_proposed_and_never_wider() -> None:
    scp = SCP()
    for proposed, mine, agreed in (
        (Window(4, 4), None, Window(4, 1)),
        (Window(20, 1), None, Window(8, 1)),
        (Window(0, 0), None, Window(8, 1)),
        (Window(4, 4), Window(2, 3), Window(3, 2)),
        (Window(4, 4), SYNCHRONOUS, SYNCHRONOUS),
        (SYNCHRONOUS, Window(8, 8), SYNCHRONOUS),
    ):
        scp.accept = Accept(window=mine)
        pair = identified(scp, None, proposed)
        assert pair.requestor.association.window == agreed
        other = pair.acceptor.association.window
        assert (other.performed, other.invoked) == (agreed.invoked, agreed.performed)


@pytest.mark.parametrize("granted", [None, {CT: (True, True)}, {CT: (False, True)}, {}])
def test_roles_are_all_that_were_offered_unless_the_handler_says_less(
    granted: dict[str, tuple[bool, bool]] | None,
) -> None:
    scp = SCP()
    scp.accept = Accept(roles=granted)
    pair = identified(scp, None, roles={CT: (True, True)})
    contexts = pair.requestor.association.contexts.values()
    context = next(context for context in contexts if context.abstract_syntax == CT)
    expected = {CT: (True, True)} if granted is None else granted
    assert (context.scu, context.scp) == expected.get(CT, (True, False))


def test_extended_negotiations_answer_only_what_was_asked() -> None:
    scp = SCP()
    answers = [
        SOPClassExtendedNegotiation(STUDY_ROOT_FIND, b"\1"),
        SOPClassExtendedNegotiation(STUDY_ROOT_GET, b"\1"),
    ]
    scp.accept = Accept(extended_negotiations=answers)
    pair = identified(
        scp, None, extended_negotiations=[SOPClassExtendedNegotiation(STUDY_ROOT_FIND, b"\1\1")]
    )
    answer = pair.requestor.association.answer
    assert answer is not None
    assert answer.user_information.extended_negotiations == (answers[0],)


def test_every_request_has_a_method() -> None:
    fields = {request.command_field for request in REQUESTS.values()}
    known = {field for field in CommandField if not field & 0x8000}
    assert known - fields == {CommandField.C_CANCEL_RQ}
