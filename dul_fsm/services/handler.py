"""What an application writes: a `Handler`, one object for each association.

Its methods are called in the order in which things happen, never two at a time, so what belongs to
the association can be kept on `self`. A method may be a coroutine function where the driver is an
asyncio one. What a method raises ends its operation with status 0110H (A700H if no room is left)
and leaves the association alone; `AbortAssociation` ends the association.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import TypeAlias

from dul_fsm.association import Aborted, Memory, Message, Released, Sink
from dul_fsm.dimse import status
from dul_fsm.errors import DULError
from dul_fsm.negotiation import Chooser
from dul_fsm.pdu import (
    AAssociateRQ,
    RejectReasonUser,
    RejectResult,
    RejectSource,
    UserIdentityAC,
)
from dul_fsm.services.sop_classes import VERIFICATION, choose_any, is_storage
from dul_fsm.value import value


class AbortAssociation(DULError):
    """Raised by a handler to abort the association it serves."""


@value(kw_only=True)
class Accept:
    """Accept the association."""

    choose: Chooser | None = None
    """Which presentation contexts, each with which transfer syntax; None: the handler's own."""
    roles: Mapping[str, tuple[bool, bool]] = field(default_factory=dict)
    """Roles (SCU, SCP) granted to the requestor, by SOP Class UID (PS3.7 §D.3.3.4)."""
    user_identity_response: UserIdentityAC | None = None
    """Sent only if the requestor asked for a response (PS3.7 §D.3.3.7)."""


@value
class Reject:
    """Reject the association: the codes of PS3.8 Table 9-21."""

    result: int = RejectResult.REJECTED_PERMANENT
    source: int = RejectSource.SERVICE_USER
    reason: int = RejectReasonUser.NO_REASON_GIVEN


@value
class Pending:
    """One match of a C-FIND: an identifier for a pending response."""

    identifier: bytes
    """Encoded in the transfer syntax of the request's context."""
    status: int = 0xFF00
    """FF00H, or FF01H if some optional keys were not supported (PS3.4 Table C.4-1)."""


Matches: TypeAlias = Iterator[bytes | Pending]


class Handler:
    """An Application Entity's side of one association; override what you provide.

    As it stands it accepts the Verification and Storage SOP Classes in the transfer syntax that
    the requestor put first, answers C-ECHO, and refuses everything else.
    """

    choose: Chooser = staticmethod(choose_any(VERIFICATION, is_storage))
    """Which presentation contexts are accepted."""

    peer: str = ""
    """Where the requestor called from, as its transport names it."""

    request: AAssociateRQ | None = None
    """The A-ASSOCIATE-RQ, from `associate_requested` on."""

    def associate_requested(self, request: AAssociateRQ) -> Accept | Reject:
        """The peer requests an association. What this raises rejects it, for now."""
        return Accept()

    def open_sink(self, message: Message) -> Sink:
        """A data set is about to arrive: where shall its fragments go? In memory, by default."""
        return Memory()

    def c_echo_requested(self, message: Message) -> int:
        """C-ECHO (PS3.7 §9.1.5). Returns the status."""
        return status.SUCCESS

    def c_store_requested(self, message: Message) -> int:
        """C-STORE (PS3.7 §9.1.1): the data set is in `message.sink`. Returns the status."""
        return status.SOP_CLASS_NOT_SUPPORTED

    def c_find_requested(self, message: Message) -> int | Matches:
        """C-FIND (PS3.7 §9.1.2). Returns an iterator of matches, or a status if there are none.

        Each match is sent as it comes; a C-CANCEL closes the iterator between two of them.
        """
        return status.SOP_CLASS_NOT_SUPPORTED

    def released(self, event: Released) -> None:
        """The association ended in order."""

    def aborted(self, event: Aborted) -> None:
        """The association ended by an abort."""

    def closed(self) -> None:
        """The connection is gone. Called last, and always."""
