"""Who the user is, and what is accepted, over two associations in memory."""

from __future__ import annotations

from typing import Any

import pytest

from dul_fsm.association import Aborted, Rejected
from dul_fsm.negotiation import SYNCHRONOUS, Window, build_request
from dul_fsm.pdu import (
    SOPClassExtendedNegotiation,
    UserIdentityAC,
    UserIdentityRQ,
)
from dul_fsm.services.handler import (
    AbortAssociation,
    Accept,
    Reject,
)
from dul_fsm.services.sop_classes import (
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
)
from dul_fsm.testing.pair import Pair
from tests.services.bed import CONTEXTS, SCP, raiser
from tests.services.support import BUG, CT

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
