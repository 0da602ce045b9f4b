"""The commands of DIMSE-C, on composite SOP instances (PS3.7 §9.3).

Rules
  * A field without a default is mandatory (usage M). So are `priority` and `has_data_set`, which
    default to what is meant most of the time. None or () is an element left out.
  * Any value may be put in; what has no place on the wire is refused when it is encoded.

Not here: DIMSE-N (`normalized`), bytes (`command_set`), when a service may send which (PS3.4).
"""

from __future__ import annotations

from typing import ClassVar

from dul_fsm.dimse.fields import (
    CommandField,
    Priority,
    WithDataSet,
    WithOptionalDataSet,
    WithoutDataSet,
)
from dul_fsm.value import value


@value
class CStoreRQ(WithDataSet):
    """C-STORE-RQ (PS3.7 §9.3.1.1): Store this composite SOP instance."""

    command_field: ClassVar[CommandField] = CommandField.C_STORE_RQ

    affected_sop_class_uid: str
    """(0000,0002) UI; 1..64 characters."""
    message_id: int
    """(0000,0110); 0..65535, unique among the operations outstanding."""
    affected_sop_instance_uid: str
    """(0000,1000) UI; 1..64 characters."""
    priority: int = Priority.MEDIUM
    """(0000,0700); a `Priority`, but 0..65535 when a peer sent it."""
    move_originator_application_entity_title: str | None = None
    """(0000,1030) AE; 1..16 characters, in a sub-operation of a C-MOVE."""
    move_originator_message_id: int | None = None
    """(0000,1031); 0..65535, of the C-MOVE-RQ."""


@value
class CStoreRSP(WithoutDataSet):
    """C-STORE-RSP (PS3.7 §9.3.1.2): How a C-STORE went."""

    command_field: ClassVar[CommandField] = CommandField.C_STORE_RSP

    message_id_being_responded_to: int
    """(0000,0120); 0..65535, the Message ID of the request."""
    status: int
    """(0000,0900); 0..65535, see `status.category`."""
    affected_sop_class_uid: str | None = None
    """(0000,0002) UI; 1..64 characters."""
    affected_sop_instance_uid: str | None = None
    """(0000,1000) UI; 1..64 characters."""
    offending_element: tuple[int, ...] = ()
    """(0000,0901); tags that the status is about, as 32-bit numbers."""
    error_comment: str | None = None
    """(0000,0902) LO; 1..64 characters, for people to read."""


@value
class CFindRQ(WithDataSet):
    """C-FIND-RQ (PS3.7 §9.3.2.1): Find what matches the identifier."""

    command_field: ClassVar[CommandField] = CommandField.C_FIND_RQ

    affected_sop_class_uid: str
    """(0000,0002) UI; 1..64 characters."""
    message_id: int
    """(0000,0110); 0..65535, unique among the operations outstanding."""
    priority: int = Priority.MEDIUM
    """(0000,0700); a `Priority`, but 0..65535 when a peer sent it."""


@value
class CFindRSP(WithOptionalDataSet):
    """C-FIND-RSP (PS3.7 §9.3.2.2): One match, or how a C-FIND ended."""

    command_field: ClassVar[CommandField] = CommandField.C_FIND_RSP

    message_id_being_responded_to: int
    """(0000,0120); 0..65535, the Message ID of the request."""
    status: int
    """(0000,0900); 0..65535, see `status.category`."""
    has_data_set: bool = False
    """(0000,0800): an identifier follows; if and only if the status is Pending."""
    affected_sop_class_uid: str | None = None
    """(0000,0002) UI; 1..64 characters."""
    offending_element: tuple[int, ...] = ()
    """(0000,0901); tags that the status is about, as 32-bit numbers."""
    error_comment: str | None = None
    """(0000,0902) LO; 1..64 characters, for people to read."""


@value
class CGetRQ(WithDataSet):
    """C-GET-RQ (PS3.7 §9.3.3.1): Store on this association what matches the identifier."""

    command_field: ClassVar[CommandField] = CommandField.C_GET_RQ

    affected_sop_class_uid: str
    """(0000,0002) UI; 1..64 characters."""
    message_id: int
    """(0000,0110); 0..65535, unique among the operations outstanding."""
    priority: int = Priority.MEDIUM
    """(0000,0700); a `Priority`, but 0..65535 when a peer sent it."""


@value
class CGetRSP(WithOptionalDataSet):
    """C-GET-RSP (PS3.7 §9.3.3.2): How far a C-GET is, or how it ended."""

    command_field: ClassVar[CommandField] = CommandField.C_GET_RSP

    message_id_being_responded_to: int
    """(0000,0120); 0..65535, the Message ID of the request."""
    status: int
    """(0000,0900); 0..65535, see `status.category`."""
    has_data_set: bool = False
    """(0000,0800): an identifier follows, with the SOP instances that failed; never when
    Pending."""
    affected_sop_class_uid: str | None = None
    """(0000,0002) UI; 1..64 characters."""
    number_of_remaining_suboperations: int | None = None
    """(0000,1020); 0..65535, for Pending and Cancel only."""
    number_of_completed_suboperations: int | None = None
    """(0000,1021); 0..65535, stated when Pending."""
    number_of_failed_suboperations: int | None = None
    """(0000,1022); 0..65535, stated when Pending."""
    number_of_warning_suboperations: int | None = None
    """(0000,1023); 0..65535, stated when Pending."""
    offending_element: tuple[int, ...] = ()
    """(0000,0901); tags that the status is about, as 32-bit numbers."""
    error_comment: str | None = None
    """(0000,0902) LO; 1..64 characters, for people to read."""


@value
class CMoveRQ(WithDataSet):
    """C-MOVE-RQ (PS3.7 §9.3.4.1): Store at the move destination what matches the identifier."""

    command_field: ClassVar[CommandField] = CommandField.C_MOVE_RQ

    affected_sop_class_uid: str
    """(0000,0002) UI; 1..64 characters."""
    message_id: int
    """(0000,0110); 0..65535, unique among the operations outstanding."""
    move_destination: str
    """(0000,0600) AE; 1..16 characters: where the C-STORE sub-operations go."""
    priority: int = Priority.MEDIUM
    """(0000,0700); a `Priority`, but 0..65535 when a peer sent it."""


@value
class CMoveRSP(WithOptionalDataSet):
    """C-MOVE-RSP (PS3.7 §9.3.4.2): How far a C-MOVE is, or how it ended."""

    command_field: ClassVar[CommandField] = CommandField.C_MOVE_RSP

    message_id_being_responded_to: int
    """(0000,0120); 0..65535, the Message ID of the request."""
    status: int
    """(0000,0900); 0..65535, see `status.category`."""
    has_data_set: bool = False
    """(0000,0800): an identifier follows, with the SOP instances that failed; never when
    Pending."""
    affected_sop_class_uid: str | None = None
    """(0000,0002) UI; 1..64 characters."""
    number_of_remaining_suboperations: int | None = None
    """(0000,1020); 0..65535, for Pending and Cancel only."""
    number_of_completed_suboperations: int | None = None
    """(0000,1021); 0..65535, stated when Pending."""
    number_of_failed_suboperations: int | None = None
    """(0000,1022); 0..65535, stated when Pending."""
    number_of_warning_suboperations: int | None = None
    """(0000,1023); 0..65535, stated when Pending."""
    offending_element: tuple[int, ...] = ()
    """(0000,0901); tags that the status is about, as 32-bit numbers."""
    error_comment: str | None = None
    """(0000,0902) LO; 1..64 characters, for people to read."""


@value
class CEchoRQ(WithoutDataSet):
    """C-ECHO-RQ (PS3.7 §9.3.5.1): Are you there?"""

    command_field: ClassVar[CommandField] = CommandField.C_ECHO_RQ

    affected_sop_class_uid: str
    """(0000,0002) UI; 1.2.840.10008.1.1, the Verification SOP class."""
    message_id: int
    """(0000,0110); 0..65535, unique among the operations outstanding."""


@value
class CEchoRSP(WithoutDataSet):
    """C-ECHO-RSP (PS3.7 §9.3.5.2): Yes."""

    command_field: ClassVar[CommandField] = CommandField.C_ECHO_RSP

    message_id_being_responded_to: int
    """(0000,0120); 0..65535, the Message ID of the request."""
    status: int
    """(0000,0900); 0..65535, see `status.category`."""
    affected_sop_class_uid: str | None = None
    """(0000,0002) UI; 1..64 characters."""
    error_comment: str | None = None
    """(0000,0902) LO; 1..64 characters, for people to read."""


@value
class CCancelRQ(WithoutDataSet):
    """C-CANCEL-RQ (PS3.7 §9.3.2.3, §9.3.3.3, §9.3.4.3): Stop a C-FIND, C-GET or C-MOVE.

    It has no response: the last response of what it cancels is the answer.
    """

    command_field: ClassVar[CommandField] = CommandField.C_CANCEL_RQ

    message_id_being_responded_to: int
    """(0000,0120); 0..65535, the Message ID of the C-FIND-RQ, C-GET-RQ or C-MOVE-RQ to cancel."""
