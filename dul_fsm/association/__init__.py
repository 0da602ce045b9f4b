"""What an Application Entity sees: negotiation and DIMSE over the upper layer, without I/O."""

from dul_fsm.association.association import Association
from dul_fsm.association.events import (
    Aborted,
    Accepted,
    AssociateRequested,
    CancelRequested,
    CommandReceived,
    DataReceived,
    Event,
    ImmediateSink,
    Memory,
    Message,
    Origin,
    Rejected,
    Released,
    ReleaseRequested,
    RequestReceived,
    ResponseReceived,
    Sink,
)
from dul_fsm.association.operations import Operation

__all__ = [
    "Aborted",
    "Accepted",
    "AssociateRequested",
    "Association",
    "CancelRequested",
    "CommandReceived",
    "DataReceived",
    "Event",
    "ImmediateSink",
    "Memory",
    "Message",
    "Operation",
    "Origin",
    "Rejected",
    "ReleaseRequested",
    "Released",
    "RequestReceived",
    "ResponseReceived",
    "Sink",
]
