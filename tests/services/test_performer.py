"""The protocol around what a handler performs, over two associations in memory."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dul_fsm.association import Aborted, DataReceived, Message, Origin, Rejected, Released, Sink
from dul_fsm.dimse import (
    CEchoRQ,
    CFindRQ,
    CFindRSP,
    CStoreRQ,
    CStoreRSP,
    NEventReportRQ,
    Request,
    Response,
    encode_command,
    respond_to,
)
from dul_fsm.negotiation import choose_from
from dul_fsm.pdu import PDV, AAssociateRQ, PDataTF, UserIdentityAC, UserIdentityRQ, encode
from dul_fsm.services import performance
from dul_fsm.services.handler import AbortAssociation, Accept, Handler, Matches, Pending, Reject
from dul_fsm.services.performance import comment_on, status_of
from dul_fsm.services.sop_classes import (
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    VERIFICATION,
    choose_any,
    is_storage,
)
from dul_fsm.testing.pair import Pair
from dul_fsm.timers import TimeLimits

CT = "1.2.840.10008.5.1.4.1.1.2"
NO_ROOM = OSError(errno.ENOSPC, "No space left on device", "/secret/path")
BUG = ValueError("Doe^John has no such attribute")


class Kept:
    """A sink that fails on demand and counts what is done to it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.data = bytearray()
        self.discarded = 0

    def write(self, fragment: memoryview, /) -> None:
        if self.error is not None:
            raise self.error
        self.data += fragment

    def discard(self) -> None:
        self.discarded += 1


class SCP(Handler):
    """Accepts everything, and does what the test says."""

    choose = staticmethod(choose_any(lambda uid: True))

    def __init__(self) -> None:
        self.told: list[object] = []
        self.sinks: list[Kept] = []
        self.sink_error: Exception | None = None
        self.on_associate: Callable[[AAssociateRQ], Any] = lambda request: Accept()
        self.on_open: Callable[[Message], None] = lambda message: None
        self.on_echo: Callable[[Message], Any] = lambda message: 0
        self.on_store: Callable[[Message], Any] = lambda message: 0
        self.on_find: Callable[[Message], Any] = lambda message: 0
        self.on_end: Callable[[], None] = lambda: None

    def associate_requested(self, request: AAssociateRQ) -> Accept | Reject:
        self.told.append("associate")
        decision: Accept | Reject = self.on_associate(request)
        return decision

    def open_sink(self, message: Message) -> Sink:
        self.told.append("open")
        self.on_open(message)
        if not isinstance(message.command, CStoreRQ):
            return super().open_sink(message)
        self.sinks.append(Kept(self.sink_error))
        return self.sinks[-1]

    def c_echo_requested(self, message: Message) -> int:
        self.told.append("echo")
        status: int = self.on_echo(message)
        return status

    def c_store_requested(self, message: Message) -> int:
        self.told.append("store")
        status: int = self.on_store(message)
        return status

    def c_find_requested(self, message: Message) -> int | Matches:
        self.told.append("find")
        found: int | Matches = self.on_find(message)
        return found

    def released(self, event: Released) -> None:
        self.told.append(event)
        self.on_end()

    def aborted(self, event: Aborted) -> None:
        self.told.append(event)
        self.on_end()

    def closed(self) -> None:
        self.told.append("closed")


CONTEXTS = (VERIFICATION, CT, STUDY_ROOT_FIND, STUDY_ROOT_GET)


@pytest.fixture
def scp() -> SCP:
    return SCP()


@pytest.fixture
def pair(scp: SCP) -> Pair:
    pair = Pair(scp)
    pair.associate(CONTEXTS)
    scp.told.clear()
    return pair


def echo(message_id: int = 1) -> CEchoRQ:
    return CEchoRQ(VERIFICATION, message_id)


def store(message_id: int = 1, sop_class: str = CT) -> CStoreRQ:
    return CStoreRQ(sop_class, message_id, "1.2.3")


def find(message_id: int = 1) -> CFindRQ:
    return CFindRQ(STUDY_ROOT_FIND, message_id)


REQUESTS: dict[str, CEchoRQ | CStoreRQ | CFindRQ] = {
    "echo": echo(),
    "store": store(),
    "find": find(),
}


def raiser(error: BaseException) -> Callable[..., Any]:
    def fail(*arguments: object) -> Any:
        raise error

    return fail


def inject(pair: Pair, *pdvs: PDV) -> None:
    pair.acceptor.incoming += b"".join(encode(PDataTF((pdv,))) for pdv in pdvs)


# Associating -------------------------------------------------------------------------------------


def test_a_handler_accepts_with_its_own_policy(scp: SCP, pair: Pair) -> None:
    assert scp.request is pair.acceptor.association.request
    assert pair.requestor.association.context_for(CT).scu


def test_a_handler_accepts_with_a_policy_of_the_moment(scp: SCP) -> None:
    scp.on_associate = lambda request: Accept(choose=choose_from({CT: ["1.2.840.10008.1.2"]}))
    pair = Pair(scp)
    pair.associate(CONTEXTS)
    (context,) = pair.requestor.association.contexts.values()
    assert (context.abstract_syntax, context.transfer_syntax) == (CT, "1.2.840.10008.1.2")


def rejected(scp: SCP, **keywords: Any) -> tuple[int, int, int]:
    pair = Pair(scp)
    pair.request(CONTEXTS)
    pair.run()
    event = pair.requestor.end
    assert isinstance(event, Rejected)
    assert pair.acceptor.association.ended
    assert pair.acceptor.end is None
    return event.result, event.source, event.reason


def test_a_handler_rejects_with_its_codes(scp: SCP) -> None:
    scp.on_associate = lambda request: Reject(2, 3, 1)
    assert rejected(scp) == (2, 3, 1)


@pytest.mark.parametrize(
    "decide",
    [
        raiser(BUG),
        lambda request: None,
        lambda request: Reject(300, 1, 1),
        lambda request: Accept(choose=lambda context: "1.2.3"),
    ],
    ids=["raises", "forgets to return", "impossible code", "impossible choice"],
)
def test_a_handler_that_fails_rejects_for_now(scp: SCP, decide: Callable[..., Any]) -> None:
    scp.on_associate = decide
    assert rejected(scp) == (2, 1, 1)


def test_what_a_handler_raises_is_reported(scp: SCP) -> None:
    scp.on_associate = raiser(BUG)
    pair = Pair(scp)
    pair.request(CONTEXTS)
    pair.run()
    assert pair.acceptor.failures == [BUG]


def test_a_handler_aborts_instead_of_deciding(scp: SCP) -> None:
    scp.on_associate = raiser(AbortAssociation())
    pair = Pair(scp)
    pair.request(CONTEXTS)
    pair.run()
    assert pair.acceptor.end == Aborted(Origin.LOCAL_USER, None, "aborted by the handler")
    assert isinstance(pair.requestor.end, Aborted)


def test_another_application_context_is_rejected_before_the_handler_is_asked(scp: SCP) -> None:
    pair = Pair(scp)
    pair.request(CONTEXTS)
    request = pair.requestor.association.request
    assert request is not None
    pair = Pair(scp)
    other = AAssociateRQ(
        "SCP", "SCU", request.presentation_contexts, request.user_information, "1.2.3"
    )
    pair.requestor.association.send_associate_request(other, 0.0)
    pair.run()
    event = pair.requestor.end
    assert isinstance(event, Rejected)
    assert (event.result, event.source, event.reason) == (1, 1, 2)
    assert not scp.told


@pytest.mark.parametrize("asked", [None, False, True])
def test_a_user_identity_is_answered_only_if_that_was_asked_for(
    scp: SCP, asked: bool | None
) -> None:
    from dul_fsm.negotiation import build_request

    scp.on_associate = lambda request: Accept(user_identity_response=UserIdentityAC(b"token"))
    pair = Pair(scp)
    identity = None if asked is None else UserIdentityRQ(1, b"user", b"", asked)
    request = build_request(
        CONTEXTS,
        called_ae_title="SCP",
        calling_ae_title="SCU",
        maximum_length=16384,
        user_identity=identity,
    )
    pair.requestor.association.send_associate_request(request, 0.0)
    pair.run()
    answer = pair.requestor.association.answer
    assert answer is not None
    assert (answer.user_information.user_identity_response is not None) == (asked is True)


def test_a_decision_about_an_association_that_has_ended_is_dropped(scp: SCP) -> None:
    pair = Pair(scp)

    def decide(request: AAssociateRQ) -> Accept:
        pair.acceptor.association.send_abort(0.0, "the server stops")
        return Accept()

    scp.on_associate = decide
    pair.request(CONTEXTS)
    pair.run()
    assert pair.acceptor.end == Aborted(Origin.LOCAL_USER, None, "the server stops")
    assert not pair.acceptor.failures


# Operations --------------------------------------------------------------------------------------


def test_an_operation_is_answered_with_the_status_that_the_handler_returns(
    scp: SCP, pair: Pair
) -> None:
    assert pair.invoke(echo()).status == 0
    assert pair.invoke(store(2), b"data").status == 0
    assert bytes(scp.sinks[0].data) == b"data"
    scp.on_store = lambda message: 0xB000
    assert pair.invoke(store(3), b"data").status == 0xB000
    scp.on_find = lambda message: 0xA700
    assert pair.invoke(find(4), b"").status == 0xA700
    assert [sink.discarded for sink in scp.sinks] == [0, 0]


@pytest.mark.parametrize("outcome", [0, 0xB000, 0xA700])
def test_that_an_image_is_stored_is_said_by_an_answer_made_before_it_is_whole(
    scp: SCP, pair: Pair, monkeypatch: pytest.MonkeyPatch, outcome: int
) -> None:
    made: list[int] = []

    def noted(request: Request, status: int, **values: Any) -> Response:
        made.append(status)
        return respond_to(request, status, **values)

    def stored(message: Message) -> int:
        made.append(-1)
        return outcome

    monkeypatch.setattr(performance, "respond_to", noted)
    scp.on_store = stored
    for number in (1, 2):
        response = pair.invoke(store(number), b"data")
        assert response.status == outcome
        assert response.command == respond_to(store(number), outcome)
    assert made == ([0, -1] if outcome == 0 else [0, -1, outcome]) * 2


@pytest.mark.parametrize("operation", ["echo", "store", "find"])
def test_an_operation_that_raises_fails_and_the_association_lives(
    scp: SCP, pair: Pair, operation: str
) -> None:
    setattr(scp, f"on_{operation}", raiser(BUG))
    request = REQUESTS[operation]
    response = pair.invoke(request, None if operation == "echo" else b"data")
    assert response.status == 0x0110
    # What went wrong is for the log: it may name a patient.
    assert getattr(response.command, "error_comment", None) is None
    assert pair.acceptor.failures == [BUG]
    scp.on_echo = lambda message: 0
    assert pair.invoke(echo(2)).status == 0
    if operation == "store":
        assert scp.sinks[0].discarded == 1


@pytest.mark.parametrize("operation", ["echo", "store", "find"])
@pytest.mark.parametrize("outcome", [None, 0x10000, "0000", 1.5])
def test_a_status_that_is_none_is_a_failure(
    scp: SCP, pair: Pair, operation: str, outcome: object
) -> None:
    setattr(scp, f"on_{operation}", lambda message: outcome)
    request = REQUESTS[operation]
    response = pair.invoke(request, None if operation == "echo" else b"data")
    assert response.status == 0x0110
    assert len(pair.acceptor.failures) == 1


class Answering(SCP):
    """Wants to know when it has answered."""

    pair: Pair

    def __init__(self) -> None:
        super().__init__()
        self.on_answered: Callable[[], None] = lambda: None

    def answered(self, message: Message) -> None:
        association = self.pair.acceptor.association
        self.told.append((type(message.command), association.sending))
        self.on_answered()


@pytest.fixture
def answering() -> Answering:
    scp = Answering()
    scp.pair = Pair(scp)
    scp.pair.associate(CONTEXTS)
    scp.told.clear()
    return scp


def test_a_handler_hears_when_its_answer_has_left_whatever_it_was(answering: Answering) -> None:
    pair = answering.pair
    assert pair.invoke(echo(1)).status == 0
    assert pair.invoke(store(2), b"data").status == 0
    answering.on_store = raiser(BUG)
    assert pair.invoke(store(3), b"data").status == 0x0110
    assert pair.invoke(find(4), b"").status == 0
    pair.run()
    told = [event for event in answering.told if event != "open"]
    assert told == [
        *("echo", (CEchoRQ, False)),
        *("store", (CStoreRQ, False)),
        *("store", (CStoreRQ, False)),
        *("find", (CFindRQ, False)),
    ]


def test_what_a_handler_raises_once_it_has_answered_is_reported_and_no_more(
    answering: Answering,
) -> None:
    answering.on_answered = raiser(BUG)
    assert answering.pair.invoke(echo(1)).status == 0
    answering.pair.run()
    assert answering.pair.acceptor.failures == [BUG]
    answering.on_answered = lambda: None
    assert answering.pair.invoke(echo(2)).status == 0


def test_a_handler_whose_answer_cannot_leave_is_not_told_that_it_has(answering: Answering) -> None:
    pair = answering.pair
    answering.on_echo = raiser(AbortAssociation("enough"))
    pair.requestor.association.send_request(
        pair.requestor.association.context_for(VERIFICATION), echo(1)
    )
    pair.run()
    assert isinstance(pair.acceptor.end, Aborted)
    assert [type(event) for event in answering.told[:2]] == [str, Aborted]


def test_no_room_left_is_told_without_the_path(scp: SCP, pair: Pair) -> None:
    scp.on_store = raiser(NO_ROOM)  # as a commit would
    response = pair.invoke(store(), b"data")
    assert isinstance(response.command, CStoreRSP)
    assert response.status == 0xA700
    assert response.command.error_comment == "No space left on device"
    assert scp.sinks[0].discarded == 1


def test_a_sink_that_fails_fails_its_message_only(scp: SCP, pair: Pair) -> None:
    scp.sink_error = NO_ROOM
    assert pair.invoke(store(), bytes(500_000)).status == 0xA700
    assert scp.told == ["open"]  # not "store": there is nothing to store
    assert scp.sinks[0].discarded == 1
    assert pair.acceptor.failures == [NO_ROOM]  # once, not for each fragment
    scp.sink_error = None
    assert pair.invoke(store(2), b"data").status == 0


def test_a_sink_that_cannot_be_opened_fails_its_message_only(scp: SCP, pair: Pair) -> None:
    scp.on_open = raiser(PermissionError(errno.EACCES, "Permission denied", "/secret/path"))
    response = pair.invoke(store(), b"data")
    assert response.status == 0x0110
    assert scp.told == ["open"]
    assert isinstance(response.command, CStoreRSP)
    assert response.command.error_comment == "Permission denied"


def test_a_sink_that_cannot_be_discarded_is_reported(scp: SCP, pair: Pair) -> None:
    def fail(message: Message) -> int:
        scp.sinks[0].discard = raiser(NO_ROOM)  # type: ignore[method-assign]
        raise BUG

    scp.on_store = fail
    assert pair.invoke(store(), b"data").status == 0x0110
    assert pair.acceptor.failures == [BUG, NO_ROOM]


@pytest.mark.parametrize("where", ["echo", "store", "find", "open", "sink"])
def test_a_handler_aborts_anywhere(scp: SCP, pair: Pair, where: str) -> None:
    abort = AbortAssociation("that is enough")
    if where == "sink":
        scp.sink_error = abort
    else:
        setattr(scp, f"on_{where}", raiser(abort))
    request = REQUESTS.get(where, store())
    association = pair.requestor.association
    context = association.context_for(request.affected_sop_class_uid)
    association.send_request(context, request, None if where == "echo" else b"data")
    pair.run()
    event = Aborted(Origin.LOCAL_USER, None, "that is enough")
    assert pair.acceptor.end == event
    assert scp.told[-1] == event
    assert isinstance(pair.requestor.end, Aborted)
    assert all(sink.discarded == 1 for sink in scp.sinks)
    assert not pair.acceptor.failures


# Refusals ----------------------------------------------------------------------------------------


def test_another_sop_class_than_the_contexts_is_refused_before_the_handler_sees_it(
    scp: SCP, pair: Pair
) -> None:
    association = pair.requestor.association
    request = store(1, "1.2.840.10008.5.1.4.1.1.4")
    association.send_request(association.context_for(CT), request, b"data")
    pair.run()
    (response,) = pair.requestor.responses
    assert response.message.status == 0x0122
    assert not scp.told


def test_a_role_that_was_not_negotiated_is_refused(scp: SCP) -> None:
    requestor = SCP()
    pair = Pair(scp, requestor)
    pair.associate(CONTEXTS)
    association = pair.acceptor.association
    context = next(c for c in association.contexts.values() if c.abstract_syntax == VERIFICATION)
    association.send_request(context, echo())
    pair.run()
    (response,) = pair.acceptor.responses
    assert response.message.status == 0x0122
    assert "echo" not in requestor.told


def test_a_role_that_was_negotiated_lets_the_acceptor_invoke(scp: SCP) -> None:
    requestor = SCP()
    scp.on_associate = lambda request: Accept(roles={CT: (True, True)})
    pair = Pair(scp, requestor)
    pair.associate(CONTEXTS, roles={CT: (True, True)})
    association = pair.acceptor.association
    association.send_request(association.context_for(CT), store(), b"image")
    pair.run()
    (response,) = pair.acceptor.responses
    assert response.message.status == 0
    assert bytes(requestor.sinks[0].data) == b"image"


def test_a_notification_goes_from_the_scp_to_the_scu(scp: SCP, pair: Pair) -> None:
    report = NEventReportRQ(VERIFICATION, 5, "1.2.3", 1)
    for side in (pair.acceptor, pair.requestor):
        context = next(iter(side.association.contexts.values()))
        side.association.send_request(context, report)
        pair.run()
        assert side.responses[-1].message.status == 0x0118
    assert scp.told == []  # the SCP was not asked


@pytest.mark.parametrize("kind", [CStoreRQ, CFindRQ])
def test_the_default_handler_stores_and_finds_nothing(kind: type) -> None:
    handler = Handler()
    handler.choose = choose_any(lambda uid: True)
    pair = Pair(handler)
    pair.associate(CONTEXTS)
    request = store() if kind is CStoreRQ else find()
    assert pair.invoke(request, b"data").status == 0x0122
    assert pair.invoke(echo(2)).status == 0


# C-FIND ------------------------------------------------------------------------------------------


def matches(pair: Pair) -> list[tuple[int, bytes]]:
    return [
        (response.message.status, response.message.data_set)
        for response in pair.requestor.responses
    ]


def test_matches_are_sent_as_they_are_made(scp: SCP, pair: Pair) -> None:
    seen: list[int] = []

    def find_some(message: Message) -> Matches:
        assert message.data_set == b"identifier"
        for index in range(3):
            seen.append(len(pair.requestor.responses))
            yield b"match" if index else Pending(b"first", 0xFF01)

    scp.on_find = find_some
    assert pair.invoke(find(), b"identifier").status == 0
    assert matches(pair) == [(0xFF01, b"first"), (0xFF00, b"match"), (0xFF00, b"match"), (0, b"")]
    assert seen == [0, 1, 2]  # each was there before the next one was made


def test_matches_may_be_any_iterable(scp: SCP, pair: Pair) -> None:
    scp.on_find = lambda message: [b"one", b"two"]
    pair.invoke(find(), b"identifier")
    assert [status for status, _ in matches(pair)] == [0xFF00, 0xFF00, 0]


def test_a_cancel_between_two_matches_closes_the_iterator_and_ends_with_fe00(
    scp: SCP, pair: Pair
) -> None:
    closed: list[int] = []

    def endless(message: Message) -> Iterator[bytes]:
        try:
            while True:
                yield b"match"
        finally:
            closed.append(len(pair.requestor.responses))

    scp.on_find = endless
    association = pair.requestor.association
    context = association.context_for(STUDY_ROOT_FIND)
    association.send_request(context, find(9), b"identifier")
    pair.run_until(lambda: len(pair.requestor.responses) >= 2)
    association.send_cancel(context, 9)
    pair.run()
    assert matches(pair)[-1] == (0xFE00, b"")
    assert len(closed) == 1
    assert closed[0] < len(pair.requestor.responses)  # before the peer is told
    # The Message ID is free again, and not cancelled any more.
    scp.on_find = lambda message: iter([b"match"])
    assert pair.invoke(find(9), b"identifier").status == 0


def test_a_cancel_in_the_same_bytes_as_its_request_is_seen(scp: SCP, pair: Pair) -> None:
    scp.on_find = lambda message: iter([b"match"] * 1000)
    association = pair.requestor.association
    context = association.context_for(STUDY_ROOT_FIND)
    association.send_request(context, find(9), b"identifier")
    association.send_cancel(context, 9)
    pair.run()
    assert matches(pair) == [(0xFE00, b"")]


def test_a_cancel_of_another_request_is_ignored(scp: SCP, pair: Pair) -> None:
    from dul_fsm.dimse import CCancelRQ

    scp.on_find = lambda message: iter([b"match"])
    context = pair.requestor.association.context_for(STUDY_ROOT_FIND)
    inject(pair, PDV(context.context_id, True, True, encode_command(CCancelRQ(77))))
    assert pair.invoke(find(9), b"identifier").status == 0


def test_a_cancel_of_an_operation_that_cannot_be_cancelled_does_not_outlive_it(
    scp: SCP, pair: Pair
) -> None:
    from dul_fsm.dimse import CCancelRQ

    echo_context = pair.requestor.association.context_for(VERIFICATION).context_id
    cancel = PDV(echo_context, True, True, encode_command(CCancelRQ(1)))
    scp.on_find = lambda message: iter([b"one"])
    association = pair.requestor.association
    association.send_request(association.context_for(STUDY_ROOT_FIND), find(5), b"")
    # A second request and its cancel arrive while the first is performed.
    pair.run_until(lambda: "find" in scp.told)
    inject(pair, PDV(echo_context, True, True, encode_command(echo(1))), cancel)
    pair.run()
    assert scp.told[-1] == "echo"
    assert pair.invoke(find(1), b"").status == 0


@pytest.mark.parametrize("after", [0, 2])
@pytest.mark.parametrize(("error", "status"), [(BUG, 0x0110), (NO_ROOM, 0xA700)])
def test_an_iterator_that_raises_ends_with_a_failure(
    scp: SCP, pair: Pair, after: int, error: Exception, status: int
) -> None:
    def failing(message: Message) -> Iterator[bytes]:
        for _ in range(after):
            yield b"match"
        raise error

    scp.on_find = failing
    assert pair.invoke(find(), b"identifier").status == status
    assert [code for code, _ in matches(pair)] == [0xFF00] * after + [status]
    assert pair.acceptor.failures == [error]


def test_an_iterator_that_cannot_be_closed_ends_with_a_failure_and_one_response(
    scp: SCP, pair: Pair
) -> None:
    class Stubborn:
        def __iter__(self) -> Stubborn:
            return self

        def __next__(self) -> bytes:
            raise StopIteration

        def close(self) -> None:
            raise BUG

    scp.on_find = lambda message: Stubborn()
    assert pair.invoke(find(), b"identifier").status == 0x0110
    assert len(matches(pair)) == 1


def test_a_match_that_is_none_is_a_failure(scp: SCP, pair: Pair) -> None:
    scp.on_find = lambda message: iter([b"match", 3])
    assert pair.invoke(find(), b"identifier").status == 0x0110


# The end -----------------------------------------------------------------------------------------


def test_a_release_is_answered_and_told(scp: SCP, pair: Pair) -> None:
    pair.release()
    assert scp.told == [Released()]
    assert isinstance(pair.requestor.end, Released)


@pytest.mark.parametrize("release", [False, True])
def test_what_a_handler_raises_at_the_end_is_reported(scp: SCP, pair: Pair, release: bool) -> None:
    scp.on_end = raiser(BUG)
    if release:
        pair.release()
    else:
        pair.cut()
        pair.run()
    assert pair.acceptor.failures == [BUG]
    assert pair.acceptor.association.idle


@pytest.mark.parametrize("after", [1, 3])
def test_an_association_that_ends_while_matches_are_made_closes_the_iterator(
    scp: SCP, pair: Pair, after: int
) -> None:
    closed: list[bool] = []

    def endless(message: Message) -> Iterator[bytes]:
        try:
            while True:
                yield b"match"
        finally:
            closed.append(True)

    scp.on_find = endless
    association = pair.requestor.association
    association.send_request(association.context_for(STUDY_ROOT_FIND), find(), b"identifier")
    pair.run_until(lambda: len(pair.requestor.responses) >= after)
    association.send_abort(pair.now)
    pair.run()
    assert closed == [True]
    assert isinstance(scp.told[-1], Aborted)
    assert not pair.acceptor.failures


def test_an_association_that_ends_while_the_handler_works_is_told_no_status(
    scp: SCP, pair: Pair
) -> None:
    def slow(message: Message) -> int:
        pair.acceptor.association.send_abort(pair.now, "the server stops")
        return 0

    scp.on_store = slow
    association = pair.requestor.association
    association.send_request(association.context_for(CT), store(), b"data")
    pair.run()
    assert not pair.requestor.responses
    assert isinstance(pair.requestor.end, Aborted)
    assert not pair.acceptor.failures
    assert scp.sinks[0].discarded == 0  # it was the handler's by then


@pytest.mark.parametrize("how", ["abort", "cut", "release"])
def test_a_data_set_that_is_not_completed_is_discarded_once(scp: SCP, pair: Pair, how: str) -> None:
    context_id = pair.requestor.association.context_for(CT).context_id
    inject(
        pair,
        PDV(context_id, True, True, encode_command(store())),
        PDV(context_id, False, False, b"half"),
    )
    pair.run()
    assert bytes(scp.sinks[0].data) == b"half"
    if how == "abort":
        pair.requestor.association.send_abort(pair.now)
    elif how == "release":
        pair.requestor.association.send_release_request(pair.now)
    else:
        pair.cut()
    pair.run()
    pair.acceptor._perform(pair.acceptor._performer.close())
    assert scp.told[-1] == "closed"
    assert scp.sinks[0].discarded == 1


def test_a_request_that_waits_when_the_association_ends_is_not_performed(
    scp: SCP, pair: Pair
) -> None:
    context_id = pair.requestor.association.context_for(CT).context_id

    def ending(message: Message) -> Iterator[bytes]:
        yield b"match"
        inject(
            pair,
            PDV(context_id, True, True, encode_command(store(2))),
            PDV(context_id, False, True, b"data"),
            PDV(1, True, True, encode_command(echo(3))),
        )
        yield b"match"
        yield b"match"
        pair.acceptor.association.send_abort(pair.now)
        yield b"match"

    scp.on_find = ending
    association = pair.requestor.association
    association.send_request(association.context_for(STUDY_ROOT_FIND), find(), b"identifier")
    pair.run()
    assert [told for told in scp.told if isinstance(told, str)] == ["open", "find", "open"]
    assert scp.sinks[0].discarded == 1
    assert bytes(scp.sinks[0].data) == b"data"


def test_a_peer_that_does_not_keep_to_the_window_is_served_in_order(scp: SCP, pair: Pair) -> None:
    context_id = pair.requestor.association.context_for(CT).context_id
    scp.on_find = lambda message: iter([b"match"] * 5)
    association = pair.requestor.association
    association.operations.window = 0
    association.send_request(association.context_for(STUDY_ROOT_FIND), find(1), b"identifier")
    pair.run_until(lambda: "find" in scp.told)
    association.send_request(association.context_for(CT), store(2), b"data")
    association.send_request(association.context_for(VERIFICATION), echo(3))
    pair.run()
    assert scp.told == ["open", "find", "open", "store", "echo"]
    assert [r.message.status for r in pair.requestor.responses if r.final] == [0, 0, 0]
    assert context_id


def test_a_response_too_long_to_keep_aborts(
    monkeypatch: pytest.MonkeyPatch, scp: SCP, pair: Pair
) -> None:
    monkeypatch.setattr("dul_fsm.services.performer.Memory", lambda: Kept(NO_ROOM))
    scp.on_find = lambda message: iter([b"match"])
    association = pair.requestor.association
    association.send_request(association.context_for(STUDY_ROOT_FIND), find(), b"identifier")
    pair.run()
    assert isinstance(pair.requestor.end, Aborted)
    assert isinstance(pair.acceptor.end, Aborted)


def test_a_release_request_that_waits_when_the_association_ends_is_not_answered(
    scp: SCP, pair: Pair
) -> None:
    def ending(message: Message) -> Iterator[bytes]:
        yield b"match"
        pair.requestor.association.send_release_request(pair.now)
        yield b"match"
        yield b"match"
        pair.acceptor.association.send_abort(pair.now, "enough")

    scp.on_find = ending
    association = pair.requestor.association
    association.send_request(association.context_for(STUDY_ROOT_FIND), find(), b"identifier")
    pair.run()
    assert pair.acceptor.end == Aborted(Origin.LOCAL_USER, None, "enough")
    assert not pair.acceptor.failures


def test_a_fragment_may_be_performed_like_any_other_event(scp: SCP, pair: Pair) -> None:
    message = Message(pair.requestor.association.context_for(CT), store(), Kept())
    performer = pair.acceptor._performer
    assert not list(performer.perform(DataReceived(message, memoryview(b"data"))))
    assert isinstance(message.sink, Kept)
    assert bytes(message.sink.data) == b"data"


def test_an_idle_limit_ends_the_association_for_the_handler_too(scp: SCP) -> None:
    pair = Pair(scp, time_limits=(None, TimeLimits(idle=5)))
    pair.associate(CONTEXTS)
    pair.advance(5)
    assert isinstance(scp.told[-1], Aborted)
    assert scp.told[-1].origin is Origin.TIME_LIMIT


# What is told ------------------------------------------------------------------------------------


def test_a_status_and_a_comment_for_each_error() -> None:
    assert status_of(NO_ROOM) == 0xA700
    assert status_of(OSError(errno.EDQUOT, "Quota")) == 0xA700
    assert status_of(OSError("no number")) == 0x0110
    assert status_of(BUG) == 0x0110
    assert comment_on(NO_ROOM) == "No space left on device"
    assert comment_on(OSError("no number")) == ""
    assert comment_on(BUG) == ""
    assert comment_on(AbortAssociation("said on purpose")) == "said on purpose"


def test_a_final_response_carries_what_the_request_was_about(scp: SCP, pair: Pair) -> None:
    response = pair.invoke(store(), b"data").command
    assert isinstance(response, CStoreRSP)
    assert response.affected_sop_instance_uid == "1.2.3"
    scp.on_find = lambda message: iter([b"match"])
    final = pair.invoke(find(2), b"").command
    assert isinstance(final, CFindRSP)
    assert final.affected_sop_class_uid == STUDY_ROOT_FIND


def test_storage_is_told_from_other_services() -> None:
    assert is_storage(CT)
    assert not is_storage(STUDY_ROOT_FIND)
