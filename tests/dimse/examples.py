"""One minimal and one full command for each of the 23 messages, for tests that go through all."""

from __future__ import annotations

from typing import Any

from dul_fsm.dimse import COMMANDS, Command
from tests.dimse.transcription import MESSAGES, field_name

# By keyword; no two elements have the same value, and texts are both odd and even in length.
VALUES: dict[str, Any] = {
    "AffectedSOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
    "RequestedSOPClassUID": "1.2.840.10008.5.1.1.16",
    "MessageID": 0x1234,
    "MessageIDBeingRespondedTo": 0xFFFE,
    "MoveDestination": "ARCHIVE",
    "Priority": 2,
    "Status": 0xB007,
    "OffendingElement": (0x00100010, 0x7FE00010),
    "ErrorComment": "no such thing",
    "ErrorID": 0xA710,
    "AffectedSOPInstanceUID": "1.2.826.0.1.3680043.2.1125.1",
    "RequestedSOPInstanceUID": "1.2.826.0.1.3680043.2.1125.20",
    "EventTypeID": 3,
    "AttributeIdentifierList": (0x00080005, 0x00081190, 0x00400275),
    "ActionTypeID": 4,
    "NumberOfRemainingSuboperations": 500,
    "NumberOfCompletedSuboperations": 501,
    "NumberOfFailedSuboperations": 502,
    "NumberOfWarningSuboperations": 503,
    "MoveOriginatorApplicationEntityTitle": "WORKSTATION 1",
    "MoveOriginatorMessageID": 0x4321,
}


def example(name: str, *, full: bool) -> Command:
    """The message `name` with all its elements, or with the mandatory ones and no data set."""
    row = MESSAGES[name]
    fields = {
        field_name(keyword): VALUES[keyword]
        for keyword, usage in row.usage.items()
        if full or usage == "M"
    }
    if full and row.data_set == "optional":
        fields["has_data_set"] = True
    return COMMANDS[row.command_field](**fields)


EXAMPLES = [example(name, full=full) for name in MESSAGES for full in (False, True)]


def label(command: Command) -> str:
    """For the ids of parametrized tests: "C-STORE-RQ-full"."""
    is_full = command == example(command.name, full=True)
    return f"{command.name}-{'full' if is_full else 'minimal'}"
