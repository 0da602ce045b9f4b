"""What an application writes: a `Handler`, one object for each association.

Its methods are called in the order in which things happen, never two at a time, so what belongs to
the association can be kept on `self`. A method may be a coroutine function where the driver is an
asyncio one. What a method raises ends its operation with status 0110H (A700H if no room is left)
and leaves the association alone; `AbortAssociation` ends the association.
"""

from __future__ import annotations

from collections.abc import Sequence

from dul_fsm.association import Aborted, Memory, Message, Released, Sink
from dul_fsm.dimse import status
from dul_fsm.errors import DULError
from dul_fsm.negotiation import Chooser, Window
from dul_fsm.pdu import AAssociateRQ, UserIdentityAC, UserIdentityRQ
from dul_fsm.services.outcomes import (
    Accept,
    Destination,
    Instance,
    Matches,
    Notification,
    Pending,
    Reject,
    Reply,
    Retrieval,
)
from dul_fsm.services.sop_classes import VERIFICATION, choose_any, is_storage

__all__ = [
    "AbortAssociation",
    "Accept",
    "Destination",
    "Handler",
    "Instance",
    "Matches",
    "Notification",
    "Pending",
    "Reject",
    "Reply",
    "Retrieval",
]


class AbortAssociation(DULError):
    """Raised by a handler to abort the association it serves."""


class Handler:
    """An Application Entity's side of one association; override what you provide.

    As it stands it accepts the Verification and Storage SOP Classes in the transfer syntax that
    the requestor put first, answers C-ECHO, and refuses everything else.
    """

    choose: Chooser = staticmethod(choose_any(VERIFICATION, is_storage))
    """Which presentation contexts are accepted."""

    window: Window = Window(invoked=1, performed=8)
    """The most operations under way at once with a requestor that proposes more than one
    (PS3.7 §D.3.3.3). Methods are still called one at a time; what comes in turns are the matches
    and sub-operations of several requests."""

    peer: str = ""
    """Where the requestor called from, as its transport names it."""

    request: AAssociateRQ | None = None
    """The A-ASSOCIATE-RQ, from `associate_requested` on."""

    def user_identified(self, identity: UserIdentityRQ) -> bool | Reject | UserIdentityAC:
        """The requestor says who its user is (PS3.7 §D.3.3.7): asked before it is accepted.

        Returns True, or the server response to the identity, to go on; False or a `Reject` to
        reject the association. As it stands nobody is asked for anything.
        """
        return True

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

    def c_get_requested(self, message: Message) -> int | Retrieval | Sequence[Instance]:
        """C-GET (PS3.7 §9.1.3). Returns what to send, or a status if there is nothing to send.

        Each instance is sent on the same association, on a context for which the requestor has
        the SCP role; a C-CANCEL ends that between two of them.
        """
        return status.SOP_CLASS_NOT_SUPPORTED

    def c_move_requested(self, message: Message) -> int | Retrieval | Sequence[Instance]:
        """C-MOVE (PS3.7 §9.1.4). Returns what to send, or a status if there is nothing to send.

        Asked once `move_destination` has said where to.
        """
        return status.SOP_CLASS_NOT_SUPPORTED

    def move_destination(self, ae_title: str) -> Destination | None:
        """Where a move destination is; None for one that is not known."""
        return None

    def n_event_report_requested(self, message: Message) -> int | Reply:
        """N-EVENT-REPORT (PS3.7 §10.1.1): this side is the SCU. Returns the status, or more."""
        return status.NO_SUCH_SOP_CLASS

    def n_get_requested(self, message: Message) -> int | Reply:
        """N-GET (PS3.7 §10.1.2). Returns the attributes that were asked for, or a status."""
        return status.NO_SUCH_SOP_CLASS

    def n_set_requested(self, message: Message) -> int | Reply:
        """N-SET (PS3.7 §10.1.3). Returns the status, or the attributes as they are now."""
        return status.NO_SUCH_SOP_CLASS

    def n_action_requested(self, message: Message) -> int | Reply:
        """N-ACTION (PS3.7 §10.1.4). Returns the status, or more."""
        return status.NO_SUCH_SOP_CLASS

    def n_create_requested(self, message: Message) -> int | Reply:
        """N-CREATE (PS3.7 §10.1.5). Returns the status, or more.

        The reply names the instance if the request left that to us.
        """
        return status.NO_SUCH_SOP_CLASS

    def n_delete_requested(self, message: Message) -> int | Reply:
        """N-DELETE (PS3.7 §10.1.6). Returns the status."""
        return status.NO_SUCH_SOP_CLASS

    def answered(self, message: Message) -> None:
        """The last response to a request has left: now is the time for what can wait until then.

        Not called if the association ends before. What has come meanwhile may be served first.
        """

    def released(self, event: Released) -> None:
        """The association ended in order."""

    def aborted(self, event: Aborted) -> None:
        """The association ended by an abort."""

    def closed(self) -> None:
        """The connection is gone. Called last, and always."""
