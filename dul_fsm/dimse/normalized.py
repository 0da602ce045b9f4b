"""The commands of DIMSE-N, on normalized SOP instances (PS3.7 §10.3).

Rules
  * A field without a default is mandatory (usage M). So is `has_data_set`, which defaults to
    False. None or () is an element left out.
  * Any value may be put in; what has no place on the wire is refused when it is encoded.

Not here: DIMSE-C (`composite`), bytes (`command_set`), when a service may send which (PS3.4).
"""

from __future__ import annotations

from typing import ClassVar

from dul_fsm.dimse.fields import (
    CommandField,
    WithDataSet,
    WithOptionalDataSet,
    WithoutDataSet,
)
from dul_fsm.value import value


@value
class NEventReportRQ(WithOptionalDataSet):
    """N-EVENT-REPORT-RQ (PS3.7 §10.3.1.1): This happened to a SOP instance."""

    command_field: ClassVar[CommandField] = CommandField.N_EVENT_REPORT_RQ

    affected_sop_class_uid: str
    """(0000,0002) UI; 1..64 characters."""
    message_id: int
    """(0000,0110); 0..65535, unique among the operations outstanding."""
    affected_sop_instance_uid: str
    """(0000,1000) UI; 1..64 characters."""
    event_type_id: int
    """(0000,1002); 0..65535."""
    has_data_set: bool = False
    """(0000,0800): event information follows."""


@value
class NEventReportRSP(WithOptionalDataSet):
    """N-EVENT-REPORT-RSP (PS3.7 §10.3.1.2): How an N-EVENT-REPORT was taken."""

    command_field: ClassVar[CommandField] = CommandField.N_EVENT_REPORT_RSP

    message_id_being_responded_to: int
    """(0000,0120); 0..65535, the Message ID of the request."""
    status: int
    """(0000,0900); 0..65535, see `status.category`."""
    has_data_set: bool = False
    """(0000,0800): an event reply follows."""
    affected_sop_class_uid: str | None = None
    """(0000,0002) UI; 1..64 characters."""
    affected_sop_instance_uid: str | None = None
    """(0000,1000) UI; 1..64 characters."""
    event_type_id: int | None = None
    """(0000,1002); 0..65535, required with an event reply."""
    error_comment: str | None = None
    """(0000,0902) LO; 1..64 characters, for people to read."""
    error_id: int | None = None
    """(0000,0903); 0..65535, what an application says about status 0110H."""


@value
class NGetRQ(WithoutDataSet):
    """N-GET-RQ (PS3.7 §10.3.2.1): Tell me these attributes."""

    command_field: ClassVar[CommandField] = CommandField.N_GET_RQ

    requested_sop_class_uid: str
    """(0000,0003) UI; 1..64 characters."""
    message_id: int
    """(0000,0110); 0..65535, unique among the operations outstanding."""
    requested_sop_instance_uid: str
    """(0000,1001) UI; 1..64 characters."""
    attribute_identifier_list: tuple[int, ...] = ()
    """(0000,1005); tags as 32-bit numbers, empty for all attributes."""


@value
class NGetRSP(WithOptionalDataSet):
    """N-GET-RSP (PS3.7 §10.3.2.2): The attributes, or why not."""

    command_field: ClassVar[CommandField] = CommandField.N_GET_RSP

    message_id_being_responded_to: int
    """(0000,0120); 0..65535, the Message ID of the request."""
    status: int
    """(0000,0900); 0..65535, see `status.category`."""
    has_data_set: bool = False
    """(0000,0800): an attribute list follows; required on success."""
    affected_sop_class_uid: str | None = None
    """(0000,0002) UI; 1..64 characters."""
    affected_sop_instance_uid: str | None = None
    """(0000,1000) UI; 1..64 characters."""
    attribute_identifier_list: tuple[int, ...] = ()
    """(0000,1005); tags as 32-bit numbers."""
    error_comment: str | None = None
    """(0000,0902) LO; 1..64 characters, for people to read."""
    error_id: int | None = None
    """(0000,0903); 0..65535, what an application says about status 0110H."""


@value
class NSetRQ(WithDataSet):
    """N-SET-RQ (PS3.7 §10.3.3.1): Change these attributes."""

    command_field: ClassVar[CommandField] = CommandField.N_SET_RQ

    requested_sop_class_uid: str
    """(0000,0003) UI; 1..64 characters."""
    message_id: int
    """(0000,0110); 0..65535, unique among the operations outstanding."""
    requested_sop_instance_uid: str
    """(0000,1001) UI; 1..64 characters."""


@value
class NSetRSP(WithOptionalDataSet):
    """N-SET-RSP (PS3.7 §10.3.3.2): How an N-SET went."""

    command_field: ClassVar[CommandField] = CommandField.N_SET_RSP

    message_id_being_responded_to: int
    """(0000,0120); 0..65535, the Message ID of the request."""
    status: int
    """(0000,0900); 0..65535, see `status.category`."""
    has_data_set: bool = False
    """(0000,0800): an attribute list follows; on success only."""
    affected_sop_class_uid: str | None = None
    """(0000,0002) UI; 1..64 characters."""
    affected_sop_instance_uid: str | None = None
    """(0000,1000) UI; 1..64 characters."""
    attribute_identifier_list: tuple[int, ...] = ()
    """(0000,1005); tags as 32-bit numbers."""
    error_comment: str | None = None
    """(0000,0902) LO; 1..64 characters, for people to read."""
    error_id: int | None = None
    """(0000,0903); 0..65535, what an application says about status 0110H."""


@value
class NActionRQ(WithOptionalDataSet):
    """N-ACTION-RQ (PS3.7 §10.3.4.1): Do this with a SOP instance."""

    command_field: ClassVar[CommandField] = CommandField.N_ACTION_RQ

    requested_sop_class_uid: str
    """(0000,0003) UI; 1..64 characters."""
    message_id: int
    """(0000,0110); 0..65535, unique among the operations outstanding."""
    requested_sop_instance_uid: str
    """(0000,1001) UI; 1..64 characters."""
    action_type_id: int
    """(0000,1008); 0..65535."""
    has_data_set: bool = False
    """(0000,0800): action information follows."""


@value
class NActionRSP(WithOptionalDataSet):
    """N-ACTION-RSP (PS3.7 §10.3.4.2): How an N-ACTION went."""

    command_field: ClassVar[CommandField] = CommandField.N_ACTION_RSP

    message_id_being_responded_to: int
    """(0000,0120); 0..65535, the Message ID of the request."""
    status: int
    """(0000,0900); 0..65535, see `status.category`."""
    has_data_set: bool = False
    """(0000,0800): an action reply follows; on success only."""
    affected_sop_class_uid: str | None = None
    """(0000,0002) UI; 1..64 characters."""
    affected_sop_instance_uid: str | None = None
    """(0000,1000) UI; 1..64 characters."""
    action_type_id: int | None = None
    """(0000,1008); 0..65535, required with an action reply."""
    error_comment: str | None = None
    """(0000,0902) LO; 1..64 characters, for people to read."""
    error_id: int | None = None
    """(0000,0903); 0..65535, what an application says about status 0110H."""


@value
class NCreateRQ(WithOptionalDataSet):
    """N-CREATE-RQ (PS3.7 §10.3.5.1): Create a SOP instance."""

    command_field: ClassVar[CommandField] = CommandField.N_CREATE_RQ

    affected_sop_class_uid: str
    """(0000,0002) UI; 1..64 characters."""
    message_id: int
    """(0000,0110); 0..65535, unique among the operations outstanding."""
    has_data_set: bool = False
    """(0000,0800): an attribute list follows."""
    affected_sop_instance_uid: str | None = None
    """(0000,1000) UI; 1..64 characters. None leaves the choice to the peer."""


@value
class NCreateRSP(WithOptionalDataSet):
    """N-CREATE-RSP (PS3.7 §10.3.5.2): How an N-CREATE went."""

    command_field: ClassVar[CommandField] = CommandField.N_CREATE_RSP

    message_id_being_responded_to: int
    """(0000,0120); 0..65535, the Message ID of the request."""
    status: int
    """(0000,0900); 0..65535, see `status.category`."""
    has_data_set: bool = False
    """(0000,0800): an attribute list follows; on success only."""
    affected_sop_class_uid: str | None = None
    """(0000,0002) UI; 1..64 characters."""
    affected_sop_instance_uid: str | None = None
    """(0000,1000) UI; 1..64 characters, required if the request left it out."""
    attribute_identifier_list: tuple[int, ...] = ()
    """(0000,1005); tags as 32-bit numbers."""
    error_comment: str | None = None
    """(0000,0902) LO; 1..64 characters, for people to read."""
    error_id: int | None = None
    """(0000,0903); 0..65535, what an application says about status 0110H."""


@value
class NDeleteRQ(WithoutDataSet):
    """N-DELETE-RQ (PS3.7 §10.3.6.1): Delete a SOP instance."""

    command_field: ClassVar[CommandField] = CommandField.N_DELETE_RQ

    requested_sop_class_uid: str
    """(0000,0003) UI; 1..64 characters."""
    message_id: int
    """(0000,0110); 0..65535, unique among the operations outstanding."""
    requested_sop_instance_uid: str
    """(0000,1001) UI; 1..64 characters."""


@value
class NDeleteRSP(WithoutDataSet):
    """N-DELETE-RSP (PS3.7 §10.3.6.2): How an N-DELETE went."""

    command_field: ClassVar[CommandField] = CommandField.N_DELETE_RSP

    message_id_being_responded_to: int
    """(0000,0120); 0..65535, the Message ID of the request."""
    status: int
    """(0000,0900); 0..65535, see `status.category`."""
    affected_sop_class_uid: str | None = None
    """(0000,0002) UI; 1..64 characters."""
    affected_sop_instance_uid: str | None = None
    """(0000,1000) UI; 1..64 characters."""
    error_comment: str | None = None
    """(0000,0902) LO; 1..64 characters, for people to read."""
    error_id: int | None = None
    """(0000,0903); 0..65535, what an application says about status 0110H."""
