"""What a handler's methods return: the values that say how an association or operation goes on.

Not here: the methods (`handler`), what becomes of the values (`performer`, `performance`).
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import field
from typing import TYPE_CHECKING, Any, TypeAlias

from dul_fsm.dimse import SourceLike, status
from dul_fsm.negotiation import Chooser, ContextLike, Window
from dul_fsm.pdu import (
    RejectReasonUser,
    RejectResult,
    RejectSource,
    SOPClassExtendedNegotiation,
    UserIdentityAC,
)
from dul_fsm.value import value

if TYPE_CHECKING:
    from pydicom import Dataset

DataSetLike: TypeAlias = "Dataset | SourceLike"
"""A data set: a `pydicom.Dataset`, which is encoded in the context's transfer syntax, or one that
is encoded in it already."""


# Associations ------------------------------------------------------------------------------------


@value(kw_only=True)
class Accept:
    """Accept the association."""

    choose: Chooser | None = None
    """Which presentation contexts, each with which transfer syntax; None: the handler's own."""
    roles: Mapping[str, tuple[bool, bool]] | None = None
    """Roles (SCU, SCP) granted to the requestor, by SOP Class UID (PS3.7 §D.3.3.4); never more than
    it offered. None: all that it offered."""
    window: Window | None = None
    """The most operations under way at once (PS3.7 §D.3.3.3); None: the handler's own.
    `negotiation.SYNCHRONOUS` turns that off for this peer."""
    extended_negotiations: Sequence[SOPClassExtendedNegotiation] = ()
    """Answers to the SOP Class extended negotiation, sent only for classes that were asked about
    (PS3.7 §D.3.3.5)."""
    user_identity_response: UserIdentityAC | None = None
    """Sent only if the requestor asked for a response (PS3.7 §D.3.3.7)."""


@value
class Reject:
    """Reject the association: the codes of PS3.8 Table 9-21."""

    result: int = RejectResult.REJECTED_PERMANENT
    source: int = RejectSource.SERVICE_USER
    reason: int = RejectReasonUser.NO_REASON_GIVEN


# Operations --------------------------------------------------------------------------------------


@value
class Pending:
    """One match of a C-FIND: an identifier for a pending response."""

    identifier: DataSetLike
    """A data set, encoded in the transfer syntax of the request's context or to be so."""
    status: int = status.PENDING
    """FF00H, or FF01H if some optional keys were not supported (PS3.4 Table C.4-1)."""


Matches: TypeAlias = Iterator["DataSetLike | Pending"]


@value
class Notification:
    """An N-EVENT-REPORT to send to the SCU (PS3.7 §10.1.1)."""

    sop_class_uid: str
    sop_instance_uid: str
    event_type_id: int
    """0 to 65535; the SOP Class defines them."""
    information: DataSetLike | None = None
    """The Event Information, if there is any."""
    responded: Callable[[int | None], object] = lambda outcome: None
    """Told the status of the response; None if the association ended before, or could not carry
    it: then it is to be sent on another one."""


@value
class Reply:
    """The response to a request, where it says more than a status."""

    status: int = status.SUCCESS
    data: DataSetLike | None = None
    """The Attribute List, Action Reply or Event Reply (PS3.7 §10.1)."""
    sop_instance_uid: str | None = None
    """The instance that an N-CREATE without one has made; None: that of the request."""
    comment: str = ""
    """Error Comment; cut to 64 characters."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Other fields of the response, by their names in `dimse`: `error_id`, ..."""
    notifications: Iterable[Notification] = ()
    """Sent on the same association, one after the other, after the response."""


@value(kw_only=True)
class Instance:
    """A composite SOP Instance to send by a C-STORE sub-operation."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntaxes: tuple[str, ...]
    """UIDs of those that it can be had in, the one that it is in first."""
    open: Callable[[str], AbstractContextManager[SourceLike]]
    """Called with one of them when its turn has come; what it gives is entered for the encoded
    data set and left when that was sent."""


@value
class Retrieval:
    """What a C-GET or C-MOVE retrieves."""

    instances: Iterable[Instance] | AsyncIterable[Instance]
    """Taken one by one, when the one before was sent."""
    total: int | None = None
    """How many there are, for the number of remaining sub-operations; None: what `len` says, and no
    such number if that says nothing."""
    contexts: Sequence[ContextLike] | None = None
    """What to propose to a move destination, at most 128; None: what the instances need, all of
    which are taken before the first is sent."""


@value
class Destination:
    """Where the C-STORE sub-operations of a C-MOVE go (PS3.4 §C.4.2)."""

    connector: Any
    """What to connect with: one of `transports`."""
    called_ae_title: str
    """The AE title of the move destination."""
    calling_ae_title: str | None = None
    """Ours; None: what the requestor of the C-MOVE called us."""
    clear: bool = False
    """Whether it may be reached without TLS even if the C-MOVE came over TLS."""
