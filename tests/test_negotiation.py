"""What is proposed, answered and agreed on is what PS3.8 Annex D and PS3.7 Annex D allow."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from dul_fsm.errors import NegotiationError
from dul_fsm.negotiation import (
    DEFAULT_TRANSFER_SYNTAXES,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    IMPLICIT_VR_LITTLE_ENDIAN,
    SYNCHRONOUS,
    AcceptedContext,
    ContextLike,
    Window,
    agree,
    agree_window,
    build_answer,
    build_request,
    choose_from,
)
from dul_fsm.pdu import (
    AAssociateAC,
    AAssociateRQ,
    AsynchronousOperationsWindow,
    ContextResult,
    PresentationContextAC,
    PresentationContextRQ,
    RoleSelection,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityAC,
    UserIdentityRQ,
    decode,
    encode,
)
from dul_fsm.upper_layer.receiver import Receiver

VERIFICATION = "1.2.840.10008.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
JPEG = "1.2.840.10008.1.2.4.50"

SUPPORTED = {
    VERIFICATION: (IMPLICIT_VR_LITTLE_ENDIAN,),
    CT: (IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN),
}


def propose(
    *contexts: ContextLike, roles: dict[str, tuple[bool, bool]] | None = None
) -> AAssociateRQ:
    return build_request(
        contexts,
        called_ae_title="SCP",
        calling_ae_title="SCU",
        maximum_length=131072,
        roles=roles,
    )


# The request -------------------------------------------------------------------------------------


def test_contexts_are_proposed_in_order_with_odd_ids() -> None:
    request = propose(VERIFICATION, (CT, [JPEG, IMPLICIT_VR_LITTLE_ENDIAN]), (CT, (JPEG,)))
    assert request.presentation_contexts == (
        PresentationContextRQ(1, VERIFICATION, DEFAULT_TRANSFER_SYNTAXES),
        PresentationContextRQ(3, CT, (JPEG, IMPLICIT_VR_LITTLE_ENDIAN)),
        PresentationContextRQ(5, CT, (JPEG,)),
    )


def test_a_request_says_who_we_are_and_what_it_was_given() -> None:
    identity = UserIdentityRQ(1, b"user")
    extended = (SOPClassExtendedNegotiation(CT, b"\1"),)
    common = (SOPClassCommonExtendedNegotiation(CT, "1.2.840.10008.4.2", ()),)
    request = build_request(
        [VERIFICATION],
        called_ae_title="SCP",
        calling_ae_title="SCU",
        maximum_length=0,
        roles={CT: (False, True), VERIFICATION: (True, True)},
        user_identity=identity,
        extended_negotiations=extended,
        common_extended_negotiations=common,
    )
    information = request.user_information
    assert (request.called_ae_title, request.calling_ae_title) == ("SCP", "SCU")
    assert information.maximum_length == 0
    assert information.implementation_class_uid == IMPLEMENTATION_CLASS_UID
    assert information.implementation_version_name == IMPLEMENTATION_VERSION_NAME
    assert information.user_identity == identity
    assert information.extended_negotiations == extended
    assert information.common_extended_negotiations == common
    assert information.role_selections == (
        RoleSelection(CT, False, True),
        RoleSelection(VERIFICATION, True, True),
    )
    # PS3.7 §D.3.3.3: without a 53H operations are synchronous.
    assert information.asynchronous_operations_window is None
    assert decode(encode(request)) == request


@pytest.mark.parametrize("count", [1, 2, 127, 128])
def test_up_to_128_contexts_can_be_proposed(count: int) -> None:
    request = propose(*[f"1.2.{index}" for index in range(count)])
    ids = [context.context_id for context in request.presentation_contexts]
    assert ids == list(range(1, 2 * count, 2))
    assert decode(encode(request)) == request


@pytest.mark.parametrize("count", [0, 129, 200])
def test_no_context_and_more_than_128_are_refused(count: int) -> None:
    with pytest.raises(NegotiationError, match=f"1 to 128 presentation contexts, not {count}"):
        propose(*[f"1.2.{index}" for index in range(count)])


def test_our_names_have_the_lengths_that_the_standard_allows() -> None:
    assert 0 < len(IMPLEMENTATION_CLASS_UID) <= 64
    assert 0 < len(IMPLEMENTATION_VERSION_NAME) <= 16


# The answer --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("context", "choice"),
    [
        ((CT, (JPEG, EXPLICIT_VR_LITTLE_ENDIAN)), EXPLICIT_VR_LITTLE_ENDIAN),
        # Of those supported the one that the requestor put first.
        ((CT, (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)), EXPLICIT_VR_LITTLE_ENDIAN),
        ((CT, (IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN)), IMPLICIT_VR_LITTLE_ENDIAN),
        ((CT, (JPEG,)), ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED),
        (("1.2.3", (JPEG,)), ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED),
        (("1.2.3", DEFAULT_TRANSFER_SYNTAXES), ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED),
    ],
)
def test_the_policy_takes_the_first_transfer_syntax_that_it_has_or_says_what_it_lacks(
    context: tuple[str, tuple[str, ...]], choice: str | ContextResult
) -> None:
    assert choose_from(SUPPORTED)(PresentationContextRQ(1, *context)) == choice


def test_an_answer_has_one_result_for_each_context_proposed() -> None:
    request = propose(VERIFICATION, "1.2.3", (CT, (JPEG,)), CT)
    answer = build_answer(request, choose_from(SUPPORTED), maximum_length=16384)
    assert answer.presentation_contexts == (
        PresentationContextAC(1, 0, IMPLICIT_VR_LITTLE_ENDIAN),
        PresentationContextAC(3, 3, EXPLICIT_VR_LITTLE_ENDIAN),
        PresentationContextAC(5, 4, JPEG),
        PresentationContextAC(7, 0, EXPLICIT_VR_LITTLE_ENDIAN),
    )
    information = answer.user_information
    assert information.maximum_length == 16384
    assert information.implementation_class_uid == IMPLEMENTATION_CLASS_UID
    assert information.implementation_version_name == IMPLEMENTATION_VERSION_NAME
    assert decode(encode(answer)) == answer


@pytest.mark.parametrize(
    "result", [result for result in ContextResult if result is not ContextResult.ACCEPTANCE]
)
def test_every_context_may_be_rejected_and_each_result_still_has_a_transfer_syntax(
    result: ContextResult,
) -> None:
    request = propose(VERIFICATION, (CT, (JPEG,)))
    answer = build_answer(request, lambda context: result, maximum_length=0)
    assert answer.presentation_contexts == (
        PresentationContextAC(1, result, EXPLICIT_VR_LITTLE_ENDIAN),
        PresentationContextAC(3, result, JPEG),
    )
    assert decode(encode(answer)) == answer
    assert agree(request, answer, requestor=True) == {}
    assert agree(request, answer, requestor=False) == {}


@pytest.mark.parametrize("choice", [JPEG, "", ContextResult.ACCEPTANCE])
def test_accepting_with_what_was_not_proposed_or_with_nothing_is_refused(
    choice: str | ContextResult,
) -> None:
    with pytest.raises(NegotiationError, match="context 1"):
        build_answer(propose(VERIFICATION), lambda context: choice, maximum_length=0)


def test_an_answer_repeats_the_application_context_and_carries_the_server_response() -> None:
    request = replace(propose(VERIFICATION), application_context_name="1.2.3")
    response = UserIdentityAC(b"ticket")
    answer = build_answer(
        request,
        choose_from(SUPPORTED),
        maximum_length=0,
        user_identity_response=response,
    )
    assert answer.application_context_name == "1.2.3"
    assert answer.user_information.user_identity_response == response


# What is agreed ----------------------------------------------------------------------------------


def test_both_sides_agree_on_the_contexts_that_were_accepted() -> None:
    request = propose(VERIFICATION, "1.2.3", CT)
    answer = build_answer(request, choose_from(SUPPORTED), maximum_length=0)
    assert agree(request, answer, requestor=True) == {
        1: AcceptedContext(1, VERIFICATION, IMPLICIT_VR_LITTLE_ENDIAN, scu=True, scp=False),
        5: AcceptedContext(5, CT, EXPLICIT_VR_LITTLE_ENDIAN, scu=True, scp=False),
    }
    assert agree(request, answer, requestor=False) == {
        1: AcceptedContext(1, VERIFICATION, IMPLICIT_VR_LITTLE_ENDIAN, scu=False, scp=True),
        5: AcceptedContext(5, CT, EXPLICIT_VR_LITTLE_ENDIAN, scu=False, scp=True),
    }


@pytest.mark.parametrize(
    "result",
    [
        PresentationContextAC(3, 0, IMPLICIT_VR_LITTLE_ENDIAN),  # not proposed
        PresentationContextAC(1, 0, JPEG),  # nor this
        PresentationContextAC(1, 0, None),
        PresentationContextAC(1, 1, IMPLICIT_VR_LITTLE_ENDIAN),
        PresentationContextAC(1, 255, IMPLICIT_VR_LITTLE_ENDIAN),
        None,
    ],
)
def test_of_an_answer_only_what_was_proposed_counts(result: PresentationContextAC | None) -> None:
    request = propose(VERIFICATION)
    answer = replace(
        build_answer(request, choose_from(SUPPORTED), maximum_length=0),
        presentation_contexts=() if result is None else (result,),
    )
    assert agree(request, answer, requestor=True) == {}
    # The provider lets data through on the same contexts.
    receiver = Receiver(0)
    receiver.learn_contexts(request, answer)
    assert receiver.accepted_ids == frozenset()


PAIRS = list(product((False, True), repeat=2))
ROLES = list(product(PAIRS, PAIRS))


@pytest.mark.parametrize(("offer", "grant"), ROLES)
def test_a_role_is_had_if_it_was_offered_and_granted(
    offer: tuple[bool, bool], grant: tuple[bool, bool]
) -> None:
    # PS3.7 §D.3.3.4: the answer never gives more than was proposed, and says 0 for the rest.
    request = propose(CT, roles={CT: offer})
    answer = build_answer(request, choose_from(SUPPORTED), maximum_length=0, roles={CT: grant})
    had = (offer[0] and grant[0], offer[1] and grant[1])
    assert answer.user_information.role_selections == (RoleSelection(CT, *had),)
    ours = agree(request, answer, requestor=True)[1]
    theirs = agree(request, answer, requestor=False)[1]
    assert (ours.scu, ours.scp) == had
    assert (theirs.scp, theirs.scu) == had
    # Nor does a peer that grants more give more.
    generous = replace(
        answer,
        user_information=replace(
            answer.user_information, role_selections=(RoleSelection(CT, *grant),)
        ),
    )
    assert agree(request, generous, requestor=True)[1] == ours


@pytest.mark.parametrize("offered", [None, (True, True), (False, True)])
@pytest.mark.parametrize("granted", [None, (True, True), (False, True)])
def test_without_an_offer_or_without_a_grant_roles_are_the_default(
    offered: tuple[bool, bool] | None, granted: tuple[bool, bool] | None
) -> None:
    request = propose(CT, VERIFICATION, roles={CT: offered} if offered else None)
    answer = build_answer(
        request,
        choose_from(SUPPORTED),
        maximum_length=0,
        roles={CT: granted} if granted else None,
    )
    assert len(answer.user_information.role_selections) == (bool(offered) and bool(granted))
    contexts = agree(request, answer, requestor=True)
    wanted = (offered[0] and granted[0], True) if offered and granted else (True, False)
    assert (contexts[1].scu, contexts[1].scp) == wanted
    assert (contexts[3].scu, contexts[3].scp) == (True, False)


def test_a_role_for_a_class_that_was_not_offered_is_not_answered() -> None:
    request = propose(CT)
    answer = build_answer(
        request, choose_from(SUPPORTED), maximum_length=0, roles={CT: (True, True)}
    )
    assert answer.user_information.role_selections == ()


# The asynchronous operations window (PS3.7 §D.3.3.3) ---------------------------------------------


def windowed(window: Window) -> AAssociateRQ:
    return build_request(
        [VERIFICATION],
        called_ae_title="SCP",
        calling_ae_title="SCU",
        maximum_length=0,
        window=window,
    )


def answered(request: AAssociateRQ, window: Window) -> AAssociateAC:
    return build_answer(request, choose_from(SUPPORTED), maximum_length=0, window=window)


def test_a_window_of_one_is_not_proposed_and_not_answered() -> None:
    """Synchronous is what holds unless something else is said."""
    request = windowed(SYNCHRONOUS)
    assert request.user_information.asynchronous_operations_window is None
    answer = answered(request, Window(8, 8))
    assert answer.user_information.asynchronous_operations_window is None
    for requestor in (True, False):
        assert agree_window(request, answer, requestor=requestor) == SYNCHRONOUS


def narrower(one: int, other: int) -> int:
    """By enumeration of what 0 means."""
    return min(one or 1 << 16, other or 1 << 16) % (1 << 16)


@pytest.mark.parametrize(
    ("invoked", "performed", "mine_invoked", "mine_performed"),
    list(product((0, 1, 2, 8, 65535), repeat=4))[1::3],
)
def test_both_sides_agree_on_the_narrower_window_each_way(
    invoked: int, performed: int, mine_invoked: int, mine_performed: int
) -> None:
    request = windowed(Window(invoked, performed))
    answer = answered(request, Window(mine_invoked, mine_performed))
    there = agree_window(request, answer, requestor=True)
    here = agree_window(request, answer, requestor=False)
    if (invoked, performed) == (1, 1):
        assert there == here == SYNCHRONOUS
        return
    assert there == Window(narrower(invoked, mine_performed), narrower(performed, mine_invoked))
    assert here == Window(there.performed, there.invoked)


def test_a_peer_that_answers_no_window_leaves_it_at_one() -> None:
    request = windowed(Window(8, 8))
    answer = answered(request, Window(8, 8))
    silent = replace(
        answer,
        user_information=replace(answer.user_information, asynchronous_operations_window=None),
    )
    assert agree_window(request, silent, requestor=True) == SYNCHRONOUS


def test_an_answer_that_is_wider_than_what_was_proposed_does_not_widen_it() -> None:
    request = windowed(Window(4, 2))
    answer = answered(request, Window(0, 0))
    wide = replace(
        answer,
        user_information=replace(
            answer.user_information,
            asynchronous_operations_window=AsynchronousOperationsWindow(100, 0),
        ),
    )
    assert agree_window(request, wide, requestor=True) == Window(4, 2)
    assert agree_window(request, wide, requestor=False) == Window(2, 4)


def test_an_acceptor_may_switch_the_window_off() -> None:
    request = windowed(Window(0, 0))
    assert agree_window(request, answered(request, SYNCHRONOUS), requestor=True) == SYNCHRONOUS


# Extended negotiation (PS3.7 §D.3.3.5, §D.3.3.6) -------------------------------------------------


def test_only_what_was_asked_about_is_answered() -> None:
    asked = SOPClassExtendedNegotiation(CT, b"\1\0")
    common = SOPClassCommonExtendedNegotiation(CT, "1.2.840.10008.4.2")
    request = build_request(
        [CT],
        called_ae_title="SCP",
        calling_ae_title="SCU",
        maximum_length=0,
        extended_negotiations=[asked],
        common_extended_negotiations=[common],
    )
    assert request.user_information.extended_negotiations == (asked,)
    assert request.user_information.common_extended_negotiations == (common,)
    mine = SOPClassExtendedNegotiation(CT, b"\0\0")
    answer = build_answer(
        request,
        choose_from(SUPPORTED),
        maximum_length=0,
        extended_negotiations=[mine, SOPClassExtendedNegotiation(VERIFICATION, b"\1")],
    )
    assert answer.user_information.extended_negotiations == (mine,)
    assert answer.user_information.common_extended_negotiations == ()  # requests only
