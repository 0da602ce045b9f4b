"""Association negotiation (PS3.8 §7.1, Annex D; PS3.7 Annex D): pure functions over proposals.

A requestor builds an A-ASSOCIATE-RQ with `build_request`, an acceptor answers one with
`build_answer`, and both learn from the pair of them what was agreed, with `agree`.

Not here: who may associate at all (the user decides), bytes (`pdu`), states (`upper_layer`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final, TypeAlias

from dul_fsm.errors import NegotiationError
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
    UserInformation,
)
from dul_fsm.value import value

IMPLEMENTATION_CLASS_UID = "2.25.206341343985435245712706973782182122901"
"""Ours (PS3.7 §D.3.3.2): a UUID-derived UID (PS3.5 §B.2), the same for every version."""

IMPLEMENTATION_VERSION_NAME = "DUL_FSM_0_1"
"""Ours (PS3.7 §D.3.3.2): at most 16 characters."""

MAXIMUM_CONTEXTS = 128
"""Presentation context ids are the odd numbers of one byte (PS3.8 §9.3.2.2)."""

IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
"""The transfer syntax that every AE supports (PS3.5 §10.1)."""
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"

DEFAULT_TRANSFER_SYNTAXES = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
"""Proposed with an abstract syntax that comes without any."""

_REMEMBERED: Final = 1024
"""Contexts answered and agreed on that are not made anew for the next association: a peer that
comes again proposes what it proposed before, and what it gets can be the same objects."""

Chooser: TypeAlias = Callable[[PresentationContextRQ], "str | ContextResult"]
"""An acceptor's policy: the transfer syntax to accept a context with, or why it is rejected."""

ContextLike: TypeAlias = "str | tuple[str, Iterable[str]]"
"""A context to propose: an abstract syntax, alone or with its transfer syntaxes."""


@value
class Window:
    """How many operations may be under way at once, as one side sees it (PS3.7 §D.3.3.3)."""

    invoked: int = 1
    """Operations of ours without their final response, 0 for any number."""
    performed: int = 1
    """Operations of the peer's that we have not finally answered, 0 for any number."""


SYNCHRONOUS = Window()
"""One at a time, each way: what holds unless both sides say otherwise."""


@value
class AcceptedContext:
    """A presentation context that both sides agreed on, as this side sees it."""

    context_id: int
    """Odd, 1 to 255 (PS3.8 §9.3.2.2)."""
    abstract_syntax: str
    """UID of the SOP Class or Meta SOP Class."""
    transfer_syntax: str
    """UID of the one transfer syntax for its data sets."""
    scu: bool
    """Whether this side may invoke operations on it (PS3.7 §D.3.3.4)."""
    scp: bool
    """Whether this side may perform operations on it."""


def build_request(
    contexts: Iterable[ContextLike],
    *,
    called_ae_title: str,
    calling_ae_title: str,
    maximum_length: int,
    roles: Mapping[str, tuple[bool, bool]] | None = None,
    window: Window = SYNCHRONOUS,
    user_identity: UserIdentityRQ | None = None,
    extended_negotiations: Sequence[SOPClassExtendedNegotiation] = (),
    common_extended_negotiations: Sequence[SOPClassCommonExtendedNegotiation] = (),
) -> AAssociateRQ:
    """An A-ASSOCIATE-RQ that proposes `contexts` in their order, with ids 1, 3, 5, ...

    `roles` maps a SOP Class UID to the roles (SCU, SCP) that the requestor offers for it; a class
    left out has the default, SCU (PS3.7 §D.3.3.4). `maximum_length` is the longest P-DATA-TF that
    the requestor receives, bytes, 0 for no limit. `window`: the operations that it would have under
    way at once, said only if they are more than one (PS3.7 §D.3.3.3).

    Raises `NegotiationError` for no context at all, or more than 128.
    """
    proposed = []
    for index, context in enumerate(contexts):
        abstract_syntax, transfer_syntaxes = (
            (context, DEFAULT_TRANSFER_SYNTAXES) if isinstance(context, str) else context
        )
        proposed.append(
            PresentationContextRQ(2 * index + 1, abstract_syntax, tuple(transfer_syntaxes))
        )
    if not 0 < len(proposed) <= MAXIMUM_CONTEXTS:
        raise NegotiationError(
            f"an association proposes 1 to {MAXIMUM_CONTEXTS} presentation contexts, not "
            f"{len(proposed)}; split what you want over several associations"
        )
    return AAssociateRQ(
        called_ae_title=called_ae_title,
        calling_ae_title=calling_ae_title,
        presentation_contexts=tuple(proposed),
        user_information=UserInformation(
            maximum_length=maximum_length,
            implementation_class_uid=IMPLEMENTATION_CLASS_UID,
            implementation_version_name=IMPLEMENTATION_VERSION_NAME,
            asynchronous_operations_window=(
                None
                if window == SYNCHRONOUS
                else AsynchronousOperationsWindow(window.invoked, window.performed)
            ),
            role_selections=tuple(
                RoleSelection(uid, scu, scp) for uid, (scu, scp) in (roles or {}).items()
            ),
            extended_negotiations=tuple(extended_negotiations),
            common_extended_negotiations=tuple(common_extended_negotiations),
            user_identity=user_identity,
        ),
    )


def choose_from(supported: Mapping[str, Sequence[str]]) -> Chooser:
    """A policy: these abstract syntaxes, each with these transfer syntaxes.

    Of the transfer syntaxes proposed the first that is supported is accepted: the requestor put
    first what it has.
    """

    def choose(context: PresentationContextRQ) -> str | ContextResult:
        transfer_syntaxes = supported.get(context.abstract_syntax)
        if transfer_syntaxes is None:
            return ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED
        for proposed in context.transfer_syntaxes:
            if proposed in transfer_syntaxes:
                return proposed
        return ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED

    return choose


def build_answer(
    request: AAssociateRQ,
    choose: Chooser,
    *,
    maximum_length: int,
    roles: Mapping[str, tuple[bool, bool]] | None = None,
    window: Window = SYNCHRONOUS,
    extended_negotiations: Sequence[SOPClassExtendedNegotiation] = (),
    user_identity_response: UserIdentityAC | None = None,
) -> AAssociateAC:
    """The A-ASSOCIATE-AC that answers `request`: one result for each context proposed.

    `roles` maps a SOP Class UID to the roles (SCU, SCP) that this acceptor grants the requestor;
    never more than was offered (PS3.7 §D.3.3.4). Classes left out keep the default roles.
    `window`: the most operations that this acceptor invokes and performs at once; answered only if
    the requestor proposed one, and never wider. `extended_negotiations`: this acceptor's answers;
    those that answer nothing are left out (PS3.7 §D.3.3.5).
    An acceptance with every context rejected is legal, and what this returns if `choose` says so.

    Raises `NegotiationError` if `choose` accepts with a transfer syntax that was not proposed, or
    with none.
    """
    return AAssociateAC(
        presentation_contexts=tuple(
            [_result(context, choose(context)) for context in request.presentation_contexts]
        ),
        user_information=UserInformation(
            maximum_length=maximum_length,
            implementation_class_uid=IMPLEMENTATION_CLASS_UID,
            implementation_version_name=IMPLEMENTATION_VERSION_NAME,
            asynchronous_operations_window=_answer_window(request, window),
            role_selections=tuple(_grant(request, roles or {})),
            extended_negotiations=tuple(
                answer
                for answer in extended_negotiations
                if any(
                    answer.sop_class_uid == offer.sop_class_uid
                    for offer in request.user_information.extended_negotiations
                )
            ),
            user_identity_response=user_identity_response,
        ),
        application_context_name=request.application_context_name,
    )


def _result(context: PresentationContextRQ, choice: str | ContextResult) -> PresentationContextAC:
    if isinstance(choice, ContextResult):
        if choice is ContextResult.ACCEPTANCE:
            raise NegotiationError(
                f"context {context.context_id} is accepted with a transfer syntax, which to name"
            )
        # PS3.8 §9.3.3.2: a transfer syntax is present even then, and not significant.
        return PresentationContextAC(context.context_id, choice, context.transfer_syntaxes[0])
    if choice not in context.transfer_syntaxes:
        raise NegotiationError(
            f"transfer syntax {choice} was not proposed for context {context.context_id}"
        )
    return _accept(context.context_id, choice)


@lru_cache(_REMEMBERED)
def _accept(context_id: int, transfer_syntax: str) -> PresentationContextAC:
    return PresentationContextAC(context_id, ContextResult.ACCEPTANCE, transfer_syntax)


def _grant(
    request: AAssociateRQ, roles: Mapping[str, tuple[bool, bool]]
) -> Iterable[RoleSelection]:
    for offer in request.user_information.role_selections:
        if offer.sop_class_uid in roles:
            scu, scp = roles[offer.sop_class_uid]
            yield RoleSelection(offer.sop_class_uid, scu and offer.scu, scp and offer.scp)


def _answer_window(request: AAssociateRQ, mine: Window) -> AsynchronousOperationsWindow | None:
    # Both numbers are the requestor's in both PDUs: what it invokes, we perform.
    offer = request.user_information.asynchronous_operations_window
    if offer is None:
        return None
    return AsynchronousOperationsWindow(
        _narrower(offer.invoked, mine.performed), _narrower(offer.performed, mine.invoked)
    )


def _narrower(one: int, other: int) -> int:
    """The smaller of two limits; 0 is none."""
    return min(one, other) if one and other else one or other


def agree_window(request: AAssociateRQ, answer: AAssociateAC, *, requestor: bool) -> Window:
    """How many operations the two agree on (PS3.7 §D.3.3.3): one, unless both said otherwise.

    An answer that is wider than what was proposed does not widen it.
    """
    offer = request.user_information.asynchronous_operations_window
    grant = answer.user_information.asynchronous_operations_window
    if offer is None or grant is None:
        return SYNCHRONOUS
    invoked = _narrower(offer.invoked, grant.invoked)
    performed = _narrower(offer.performed, grant.performed)
    return Window(invoked, performed) if requestor else Window(performed, invoked)


def agree(
    request: AAssociateRQ, answer: AAssociateAC, *, requestor: bool
) -> dict[int, AcceptedContext]:
    """What `request` and `answer` together agree on: the accepted contexts by id.

    `requestor` says whose side this is: it decides which role is whose. Of an answer only what
    was proposed counts; a context id or transfer syntax that was not is left out.
    """
    offered = {role.sop_class_uid: role for role in request.user_information.role_selections}
    granted = {role.sop_class_uid: role for role in answer.user_information.role_selections}
    proposed = {context.context_id: context for context in request.presentation_contexts}
    scu, scp = _roles(None, None, requestor)
    accepted = {}
    for result in answer.presentation_contexts:
        context = proposed.get(result.context_id)
        if (
            context is None
            or result.result != ContextResult.ACCEPTANCE
            or result.transfer_syntax not in context.transfer_syntaxes
        ):
            continue
        uid = context.abstract_syntax
        if granted:
            scu, scp = _roles(offered.get(uid), granted.get(uid), requestor)
        accepted[context.context_id] = _agreed(
            context.context_id, uid, result.transfer_syntax, scu, scp
        )
    return accepted


def _roles(
    offer: RoleSelection | None, grant: RoleSelection | None, requestor: bool
) -> tuple[bool, bool]:
    """This side's roles (SCU, SCP): the default unless both sides say otherwise."""
    scu, scp = True, False
    if offer is not None and grant is not None:
        scu, scp = offer.scu and grant.scu, offer.scp and grant.scp
    return (scu, scp) if requestor else (scp, scu)


@lru_cache(_REMEMBERED)
def _agreed(context_id: int, uid: str, syntax: str, scu: bool, scp: bool) -> AcceptedContext:
    return AcceptedContext(context_id, uid, syntax, scu, scp)
