"""PS3.7 Tables 9.3-1 to 9.3-17, 10.3-1 to 10.3-12 and E.1-1 once more, for tests to compare with.

From PS3.7 of 2020. It does not import the package: a mistake there cannot vouch for itself here.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# Command field, data set, then usage and keyword of each element but the group length, the
# command field and the data set type, which all messages have.
_MESSAGES = """
C-STORE-RQ 0001 always
    M:AffectedSOPClassUID M:MessageID M:Priority M:AffectedSOPInstanceUID
    U:MoveOriginatorApplicationEntityTitle U:MoveOriginatorMessageID
C-STORE-RSP 8001 never
    U:AffectedSOPClassUID M:MessageIDBeingRespondedTo M:Status U:AffectedSOPInstanceUID
    C:OffendingElement C:ErrorComment
C-FIND-RQ 0020 always
    M:AffectedSOPClassUID M:MessageID M:Priority
C-FIND-RSP 8020 optional
    U:AffectedSOPClassUID M:MessageIDBeingRespondedTo M:Status C:OffendingElement
    C:ErrorComment
C-CANCEL-RQ 0FFF never
    M:MessageIDBeingRespondedTo
C-GET-RQ 0010 always
    M:AffectedSOPClassUID M:MessageID M:Priority
C-GET-RSP 8010 optional
    U:AffectedSOPClassUID M:MessageIDBeingRespondedTo M:Status
    C:NumberOfRemainingSuboperations C:NumberOfCompletedSuboperations
    C:NumberOfFailedSuboperations C:NumberOfWarningSuboperations C:OffendingElement
    C:ErrorComment
C-MOVE-RQ 0021 always
    M:AffectedSOPClassUID M:MessageID M:MoveDestination M:Priority
C-MOVE-RSP 8021 optional
    U:AffectedSOPClassUID M:MessageIDBeingRespondedTo M:Status
    C:NumberOfRemainingSuboperations C:NumberOfCompletedSuboperations
    C:NumberOfFailedSuboperations C:NumberOfWarningSuboperations C:OffendingElement
    C:ErrorComment
C-ECHO-RQ 0030 never
    M:AffectedSOPClassUID M:MessageID
C-ECHO-RSP 8030 never
    U:AffectedSOPClassUID M:MessageIDBeingRespondedTo M:Status C:ErrorComment
N-EVENT-REPORT-RQ 0100 optional
    M:AffectedSOPClassUID M:MessageID M:AffectedSOPInstanceUID M:EventTypeID
N-EVENT-REPORT-RSP 8100 optional
    U:AffectedSOPClassUID M:MessageIDBeingRespondedTo M:Status U:AffectedSOPInstanceUID
    C:EventTypeID C:ErrorComment C:ErrorID
N-GET-RQ 0110 never
    M:RequestedSOPClassUID M:MessageID M:RequestedSOPInstanceUID U:AttributeIdentifierList
N-GET-RSP 8110 optional
    U:AffectedSOPClassUID M:MessageIDBeingRespondedTo M:Status U:AffectedSOPInstanceUID
    C:AttributeIdentifierList C:ErrorComment C:ErrorID
N-SET-RQ 0120 always
    M:RequestedSOPClassUID M:MessageID M:RequestedSOPInstanceUID
N-SET-RSP 8120 optional
    U:AffectedSOPClassUID M:MessageIDBeingRespondedTo M:Status U:AffectedSOPInstanceUID
    C:AttributeIdentifierList C:ErrorComment C:ErrorID
N-ACTION-RQ 0130 optional
    M:RequestedSOPClassUID M:MessageID M:RequestedSOPInstanceUID M:ActionTypeID
N-ACTION-RSP 8130 optional
    U:AffectedSOPClassUID M:MessageIDBeingRespondedTo M:Status U:AffectedSOPInstanceUID
    C:ActionTypeID C:ErrorComment C:ErrorID
N-CREATE-RQ 0140 optional
    M:AffectedSOPClassUID M:MessageID U:AffectedSOPInstanceUID
N-CREATE-RSP 8140 optional
    U:AffectedSOPClassUID M:MessageIDBeingRespondedTo M:Status C:AffectedSOPInstanceUID
    C:AttributeIdentifierList C:ErrorComment C:ErrorID
N-DELETE-RQ 0150 never
    M:RequestedSOPClassUID M:MessageID M:RequestedSOPInstanceUID
N-DELETE-RSP 8150 never
    U:AffectedSOPClassUID M:MessageIDBeingRespondedTo M:Status U:AffectedSOPInstanceUID
    C:ErrorComment C:ErrorID
"""

_ELEMENTS = """
0000 UL CommandGroupLength
0002 UI AffectedSOPClassUID
0003 UI RequestedSOPClassUID
0100 US CommandField
0110 US MessageID
0120 US MessageIDBeingRespondedTo
0600 AE MoveDestination
0700 US Priority
0800 US CommandDataSetType
0900 US Status
0901 AT OffendingElement
0902 LO ErrorComment
0903 US ErrorID
1000 UI AffectedSOPInstanceUID
1001 UI RequestedSOPInstanceUID
1002 US EventTypeID
1005 AT AttributeIdentifierList
1008 US ActionTypeID
1020 US NumberOfRemainingSuboperations
1021 US NumberOfCompletedSuboperations
1022 US NumberOfFailedSuboperations
1023 US NumberOfWarningSuboperations
1030 AE MoveOriginatorApplicationEntityTitle
1031 US MoveOriginatorMessageID
"""


class Row(NamedTuple):
    """One message."""

    name: str
    command_field: int
    data_set: str
    usage: dict[str, str]
    """M, U or C by keyword."""


class Element(NamedTuple):
    """One element of group 0000."""

    number: int
    vr: str


def _messages() -> dict[str, Row]:
    rows: dict[str, Row] = {}
    # A row is a line and the indented lines after it.
    for row in re.split(r"\n(?! )", _MESSAGES.strip()):
        name, command_field, data_set, *cells = row.split()
        usage = {keyword: usage for usage, keyword in (cell.split(":") for cell in cells)}
        rows[name] = Row(name, int(command_field, 16), data_set, usage)
    return rows


MESSAGES = _messages()
"""By name."""

ELEMENTS = {
    keyword: Element(int(number, 16), vr)
    for number, vr, keyword in map(str.split, _ELEMENTS.strip().splitlines())
}
"""By keyword."""


def field_name(keyword: str) -> str:
    """A keyword as Python writes names: AffectedSOPClassUID is affected_sop_class_uid."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", keyword).lower()
