"""The response that belongs to a request (PS3.7 §9.3, §10.3).

Not here: which status a request deserves (`association`, `services`).
"""

from __future__ import annotations

import struct
from dataclasses import fields
from typing import Any, ClassVar, Final

from dul_fsm.dimse.command_set import error_comment as fit_comment
from dul_fsm.dimse.commands import (
    COMMANDS,
    NO_DATA_SET,
    Command,
    Request,
    Response,
)
from dul_fsm.dimse.status import UNRECOGNIZED_OPERATION
from dul_fsm.value import value

_RESPONSE_BIT: Final = 0x8000

# PS3.7 §10.3: what a request calls Requested, its response calls Affected.
_ECHOED: Final = {
    "affected_sop_class_uid": ("affected_sop_class_uid", "requested_sop_class_uid"),
    "affected_sop_instance_uid": ("affected_sop_instance_uid", "requested_sop_instance_uid"),
}

_FIELDS: Final = {
    command: frozenset(field.name for field in fields(command)) for command in COMMANDS.values()
}


def _echoes(request: type[Command], response: type[Command]) -> dict[str, str]:
    """What a response takes from its request: its field, and the request's."""
    return {
        name: source
        for name, sources in _ECHOED.items()
        for source in sources
        if name in _FIELDS[response] and source in _FIELDS[request]
    }


_RESPONSES: Final = {
    request: (response, _echoes(request, response))
    for field, request in COMMANDS.items()
    if not field & _RESPONSE_BIT and (response := COMMANDS.get(field | _RESPONSE_BIT))
}
"""The response to each request, and what it echoes."""


def respond_to(request: Request, status: int, *, comment: str = "", **values: Any) -> Response:
    """The response to `request` with this status.

    SOP Class and SOP Instance are those of the request. `comment`: any text, cut to what an Error
    Comment may be, and left out where the response has none. `values`: further fields of the
    response by name. Raises `TypeError` for a field that the response does not have.
    """
    kind: Any
    kind, echoes = _RESPONSES[type(request)]
    for name, source in echoes.items():
        if name not in values:
            values[name] = getattr(request, source) or None
    if comment and "error_comment" in _FIELDS[kind]:
        values["error_comment"] = fit_comment(comment)
    response: Response = kind(
        message_id_being_responded_to=request.message_id, status=status, **values
    )
    return response


@value
class UnrecognizedRSP:
    """The response to a request whose Command Field PS3.7 does not know: status 0211H (§C.5.23)."""

    request_field: int
    """(0000,0100) of the request; 0..7FFFH."""
    message_id_being_responded_to: int
    """(0000,0120); 0..65535, the Message ID of the request."""

    name: ClassVar[str] = "response to an unrecognized request"
    has_data_set: ClassVar[bool] = False

    def encode(self) -> bytes:
        """The command set, which no `Command` stands for."""
        elements = b"".join(
            struct.pack("<HHIH", 0x0000, element, 2, value)
            for element, value in (
                (0x0100, self.request_field | _RESPONSE_BIT),
                (0x0120, self.message_id_being_responded_to),
                (0x0800, NO_DATA_SET),
                (0x0900, UNRECOGNIZED_OPERATION),
            )
        )
        return struct.pack("<HHII", 0x0000, 0x0000, 4, len(elements)) + elements
