"""The 23 commands of DIMSE, in one place (PS3.7 Annex E.1).

`composite` has those of DIMSE-C, `normalized` those of DIMSE-N, `fields` what they share.

Not here: bytes (`command_set`), fragments (`messages`), the meaning of a status (`status`).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from dul_fsm.dimse.composite import (
    CCancelRQ,
    CEchoRQ,
    CEchoRSP,
    CFindRQ,
    CFindRSP,
    CGetRQ,
    CGetRSP,
    CMoveRQ,
    CMoveRSP,
    CStoreRQ,
    CStoreRSP,
)
from dul_fsm.dimse.fields import (
    DATA_SET_PRESENT,
    NO_DATA_SET,
    CommandField,
    DataSetRule,
    Priority,
)
from dul_fsm.dimse.normalized import (
    NActionRQ,
    NActionRSP,
    NCreateRQ,
    NCreateRSP,
    NDeleteRQ,
    NDeleteRSP,
    NEventReportRQ,
    NEventReportRSP,
    NGetRQ,
    NGetRSP,
    NSetRQ,
    NSetRSP,
)

if TYPE_CHECKING:
    from typing_extensions import TypeIs

Request: TypeAlias = (
    CStoreRQ
    | CFindRQ
    | CGetRQ
    | CMoveRQ
    | CEchoRQ
    | NEventReportRQ
    | NGetRQ
    | NSetRQ
    | NActionRQ
    | NCreateRQ
    | NDeleteRQ
)
"""The requests that are answered. All have a `message_id`; `CCancelRQ` has none and no answer."""

Response: TypeAlias = (
    CStoreRSP
    | CFindRSP
    | CGetRSP
    | CMoveRSP
    | CEchoRSP
    | NEventReportRSP
    | NGetRSP
    | NSetRSP
    | NActionRSP
    | NCreateRSP
    | NDeleteRSP
)
"""The responses. All have `message_id_being_responded_to` and `status`."""

Command: TypeAlias = Request | CCancelRQ | Response
"""Any command."""


def awaits_response(command: Command) -> TypeIs[Request]:
    """Whether a command is a `Request`. (`isinstance` would ask after one of them at a time.)"""
    return command.awaits_response


_REQUESTS: tuple[type[Request | CCancelRQ], ...] = (
    CStoreRQ,
    CFindRQ,
    CGetRQ,
    CMoveRQ,
    CEchoRQ,
    CCancelRQ,
    NEventReportRQ,
    NGetRQ,
    NSetRQ,
    NActionRQ,
    NCreateRQ,
    NDeleteRQ,
)
_RESPONSES: tuple[type[Response], ...] = (
    CStoreRSP,
    CFindRSP,
    CGetRSP,
    CMoveRSP,
    CEchoRSP,
    NEventReportRSP,
    NGetRSP,
    NSetRSP,
    NActionRSP,
    NCreateRSP,
    NDeleteRSP,
)

COMMANDS: MappingProxyType[int, type[Command]] = MappingProxyType(
    {kind.command_field: kind for kind in (*_REQUESTS, *_RESPONSES)}
)
"""The command for each command field; a number from the wire will do."""

__all__ = [
    "COMMANDS",
    "DATA_SET_PRESENT",
    "NO_DATA_SET",
    "CCancelRQ",
    "CEchoRQ",
    "CEchoRSP",
    "CFindRQ",
    "CFindRSP",
    "CGetRQ",
    "CGetRSP",
    "CMoveRQ",
    "CMoveRSP",
    "CStoreRQ",
    "CStoreRSP",
    "Command",
    "CommandField",
    "DataSetRule",
    "NActionRQ",
    "NActionRSP",
    "NCreateRQ",
    "NCreateRSP",
    "NDeleteRQ",
    "NDeleteRSP",
    "NEventReportRQ",
    "NEventReportRSP",
    "NGetRQ",
    "NGetRSP",
    "NSetRQ",
    "NSetRSP",
    "Priority",
    "Request",
    "Response",
    "awaits_response",
]
