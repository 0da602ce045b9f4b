"""What a ladder diagram is made of: what each side did, one record for each thing.

Not here: recording (`ladder`), order (`ladder_order`), drawing (`ladder_page`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from dul_fsm.fsm import Action, Event, State
from dul_fsm.pdu import PDUType


@dataclass(frozen=True, slots=True)
class Call:
    """A side's user called its service provider."""

    order: int
    """Position in the recording, from 0."""
    side: str
    """Whose."""
    text: str
    """What it called."""


@dataclass(frozen=True, slots=True)
class Told:
    """A side's user was told something."""

    order: int
    side: str
    text: str


@dataclass(frozen=True, slots=True)
class Note:
    """A remark on what happened to both; nothing is drawn across it."""

    order: int
    text: str


@dataclass(frozen=True, slots=True)
class Forged(Note):
    """A remark that a PDU which nobody sent is on its way; it arrives in its turn."""

    side: str
    """Where it seems to come from."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The last byte of a PDU has left a side."""

    order: int
    side: str
    pdu_type: PDUType
    length: int
    """Bytes, header included; 0 where there are no bytes, as in a model of the machine."""


@dataclass(frozen=True, slots=True)
class Step:
    """A side's machine took a step."""

    order: int
    side: str
    event: Event
    state: State
    """Before the step."""
    action: Action | None
    """None when the event was dropped."""
    next_state: State
    detail: str
    """What the PDU of this step says, in words; empty without one."""
    ends_message: bool
    """Whether a DIMSE message was complete with the P-DATA-TF PDU received."""


Record: TypeAlias = Call | Told | Note | Sent | Step
"""One thing that happened (a `Forged` is a `Note`)."""


def sender(record: Record) -> str:
    """The side that a record is of; a forged PDU is of the one that it seems to come from."""
    if isinstance(record, Note):
        return record.side if isinstance(record, Forged) else ""
    return record.side
