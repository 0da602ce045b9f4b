"""Command sets: commands to bytes and back (PS3.7 §6.3.1, §9.3, §10.3, Annex E.1).

Rules
  * Implicit VR Little Endian always, elements in increasing order, group length first, values
    of even length: UIDs are padded with a NULL, texts with a space.
  * Strict in what is sent. In what is received: any order of elements and a wrong or missing
    group length are put up with, and so are padding that is not there, too much or of the other
    kind. Elements that the message does not have, retired ones and those of another group among
    them, are ignored; what they hold is not looked at.
  * An element of length zero, or of nothing but padding, counts as left out.
  * Decoding raises `CommandSetError`, and nothing else, whatever came.
  * What was decoded can be encoded again; only AE titles and error comments that break the rules
    of their VR are decoded and not sent.

Not here: how a command set is gathered from fragments, nor its limit (`messages`).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import MISSING, fields
from functools import lru_cache
from typing import Any, Final, NamedTuple

from dul_fsm.dimse.commands import COMMANDS, DATA_SET_PRESENT, NO_DATA_SET, Command
from dul_fsm.errors import CommandSetError
from dul_fsm.pdu.limits import MAX_UID_LENGTH

MAX_AE_LENGTH: Final = 16
"""Most characters in an AE title (PS3.5 §6.2)."""

MAX_ERROR_COMMENT_LENGTH: Final = 64
"""Most characters in an Error Comment (PS3.7 Annex C; PS3.5 §6.2, LO)."""


class UnrecognizedCommandError(CommandSetError):
    """A sound command set with a Command Field that PS3.7 does not know."""

    def __init__(self, command_field: int, message_id: int | None, has_data_set: bool) -> None:
        super().__init__(f"unrecognized Command Field {command_field:04X}H")
        self.command_field = command_field
        """(0000,0100); 0..65535."""
        self.message_id = message_id
        """(0000,0110); 0..65535. None if there is none: then it was not a request."""
        self.has_data_set = has_data_set
        """Whether a data set follows."""


# Elements, both ways -----------------------------------------------------------------------------

_unpack_header = struct.Struct("<II").unpack_from
_pack_header = struct.Struct("<II").pack
_pack_us = struct.Struct("<IIH").pack
_pack_group_length = struct.Struct("<III").pack
_pack_tag = struct.Struct("<HH").pack

_PADDING: Final = b"\0 "

_CLASSES: Final = 256
"""Elements with the UID of a SOP Class that are remembered: more than the standard has of storage,
and than an association has contexts."""


def _read_us(raw: bytes, what: str) -> int:
    if len(raw) != 2:
        raise CommandSetError(f"{what} is {len(raw)} bytes long, not 2")
    return raw[0] | raw[1] << 8


def _write_us(tag: int, value: int) -> bytes:
    return _pack_us(tag, 2, value)


def _read_uid(raw: bytes, what: str) -> str | None:
    # Its digits and dots are not tested: a UID is only ever compared.
    raw = raw.rstrip(_PADDING)
    if len(raw) > MAX_UID_LENGTH:
        raise CommandSetError(f"{what} is a UID of {len(raw)} characters")
    try:
        return raw.decode("ascii") or None
    except UnicodeDecodeError:
        raise CommandSetError(f"{what} is a UID that is not ASCII") from None


def _write_uid(tag: int, value: str) -> bytes:
    try:
        raw = value.encode("ascii")
    except UnicodeEncodeError:
        raise ValueError(f"UID {value!r} is not ASCII") from None
    size = len(raw)
    # Padding at its end is refused, too: it would not arrive.
    if not 0 < size <= MAX_UID_LENGTH or raw[-1] in _PADDING:
        raise ValueError(f"UID {value!r}: not 1 to {MAX_UID_LENGTH} characters, or padded")
    if size & 1:
        return _pack_header(tag, size + 1) + raw + b"\0"
    return _pack_header(tag, size) + raw


def _read_text(raw: bytes, what: str) -> str | None:
    # The command set has no Specific Character Set, so that is ASCII; but a text that is a little
    # more is no reason to lose an association. ISO 8859-1 keeps each byte.
    return raw.rstrip(_PADDING).lstrip(b" ").decode("latin-1") or None


def _text_writer(maximum: int) -> Callable[[int, str], bytes]:
    def write(tag: int, value: str) -> bytes:
        try:
            raw = value.encode("latin-1")
        except UnicodeEncodeError:
            raise ValueError(f"{value!r} is not ISO 8859-1") from None
        if not 0 < len(raw) <= maximum or raw != raw.strip(b" "):
            raise ValueError(f"{value!r}: not 1 to {maximum} characters, or padded")
        # PS3.5 §6.2: backslash separates values, and neither AE nor LO has control characters.
        if "\\" in value or not value.isprintable():
            raise ValueError(f"{value!r} has a backslash or a control character")
        if len(raw) & 1:
            raw += b" "
        return _pack_header(tag, len(raw)) + raw

    return write


def _read_at(raw: bytes, what: str) -> tuple[int, ...]:
    if len(raw) & 3:
        raise CommandSetError(f"{what} is {len(raw)} bytes long, not a multiple of 4")
    halves = struct.unpack(f"<{len(raw) // 2}H", raw)
    return tuple(group << 16 | element for group, element in zip(*[iter(halves)] * 2, strict=True))


def _write_at(tag: int, value: tuple[int, ...]) -> bytes:
    if not value:
        return b""  # is left out
    tags = b"".join([_pack_tag(item >> 16, item & 0xFFFF) for item in value])
    return _pack_header(tag, len(tags)) + tags


def _write_data_set_type(tag: int, value: bool) -> bytes:
    return _pack_us(tag, 2, DATA_SET_PRESENT if value else NO_DATA_SET)


_Read = Callable[[bytes, str], Any]
_Write = Callable[[int, Any], bytes]

_US: Final[tuple[_Read, _Write]] = (_read_us, _write_us)
_UI: Final[tuple[_Read, _Write]] = (_read_uid, _write_uid)
# SOP Classes are few, and in each command.
_UI_CLASS: Final[tuple[_Read, _Write]] = (_read_uid, lru_cache(_CLASSES)(_write_uid))
_AE: Final[tuple[_Read, _Write]] = (_read_text, _text_writer(MAX_AE_LENGTH))
_LO: Final[tuple[_Read, _Write]] = (_read_text, _text_writer(MAX_ERROR_COMMENT_LENGTH))
_AT: Final[tuple[_Read, _Write]] = (_read_at, _write_at)

_COMMAND_FIELD: Final = 0x0100
_MESSAGE_ID: Final = 0x0110
_DATA_SET_TYPE: Final = 0x0800

# PS3.7 Table E.1-1, in increasing order.
_ELEMENTS: Final[dict[str, tuple[int, tuple[_Read, _Write]]]] = {
    "affected_sop_class_uid": (0x0002, _UI_CLASS),
    "requested_sop_class_uid": (0x0003, _UI_CLASS),
    "command_field": (_COMMAND_FIELD, _US),
    "message_id": (_MESSAGE_ID, _US),
    "message_id_being_responded_to": (0x0120, _US),
    "move_destination": (0x0600, _AE),
    "priority": (0x0700, _US),
    "has_data_set": (_DATA_SET_TYPE, (_read_us, _write_data_set_type)),
    "status": (0x0900, _US),
    "offending_element": (0x0901, _AT),
    "error_comment": (0x0902, _LO),
    "error_id": (0x0903, _US),
    "affected_sop_instance_uid": (0x1000, _UI),
    "requested_sop_instance_uid": (0x1001, _UI),
    "event_type_id": (0x1002, _US),
    "attribute_identifier_list": (0x1005, _AT),
    "action_type_id": (0x1008, _US),
    "number_of_remaining_suboperations": (0x1020, _US),
    "number_of_completed_suboperations": (0x1021, _US),
    "number_of_failed_suboperations": (0x1022, _US),
    "number_of_warning_suboperations": (0x1023, _US),
    "move_originator_application_entity_title": (0x1030, _AE),
    "move_originator_message_id": (0x1031, _US),
}


def _name(element: int) -> str:
    return f"(0000,{element:04X})"


def _wire(element: int) -> int:
    """The tag of an element of group 0000 as it reads in one little-endian word."""
    return element << 16


# Layouts -----------------------------------------------------------------------------------------


class _Reader(NamedTuple):
    """How a field is read."""

    name: str
    where: str
    """"C-STORE-RQ: (0000,0002)", for errors."""
    read: _Read
    mandatory: bool

    def missing(self) -> CommandSetError:
        """What is wrong if it is not there."""
        return CommandSetError(f"{self.where} is missing or empty")


_WriteField = tuple[str, int, _Write, bool]
"""Field, tag, writer, whether it is mandatory."""


class _Layout(NamedTuple):
    """How one command is read and written; made once, since encoding and decoding are hot."""

    kind: type[Command]
    reads: tuple[tuple[int, _Reader], ...]
    """By tag."""
    writes: tuple[_WriteField, ...]


def _layout(kind: type[Command]) -> _Layout:
    mandatory = {item.name: item.default is MISSING for item in fields(kind)}
    # These are mandatory on the wire, whether or not they are fields or have a default here.
    mandatory |= {"command_field": True, "has_data_set": True}
    if "priority" in mandatory:
        mandatory["priority"] = True
    reads: list[tuple[int, _Reader]] = []
    writes: list[_WriteField] = []
    for name, (element, (read, write)) in _ELEMENTS.items():
        if name not in mandatory:
            continue
        writes.append((name, _wire(element), write, mandatory[name]))
        if name not in ("command_field", "has_data_set"):
            where = f"{kind.name}: {_name(element)}"
            reads.append((_wire(element), _Reader(name, where, read, mandatory[name])))
    return _Layout(kind, tuple(reads), tuple(writes))


_LAYOUTS: Final = {field: _layout(kind) for field, kind in COMMANDS.items()}


# Forms -------------------------------------------------------------------------------------------

_REMEMBERED: Final = 512
"""Bytes of the longest command set of which the form is remembered: one for each length. What is
longer has a list of tags, and is rare."""


class _Form(NamedTuple):
    """A command set but for the values of its fields.

    Those of one association differ in little else, so that where everything lies, and whether it
    may lie there, need not be found out for each of them.
    """

    unpack: Callable[[bytes], tuple[bytes, ...]]
    """Cuts into what lies between values and the values, in turn."""
    between: tuple[bytes, ...]
    """What all of this form have there: heads of elements, and elements that are no field's."""
    kind: type[Command]
    has_data_set: dict[str, bool]
    """The field, of a command that has one."""
    readers: tuple[_Reader, ...]
    """For the values, as they lie."""


_FORMS: Final[dict[int, _Form]] = {}


def _form(data: bytes) -> _Form:
    """What there is to say of a command set before its values are read. Raises as decoding does."""
    elements = _split(data)
    command_field = _required_us(data, elements, _COMMAND_FIELD)
    # PS3.7 §9.3: any value but 0101H announces a data set.
    has_data_set = _required_us(data, elements, _DATA_SET_TYPE) != NO_DATA_SET
    layout = _LAYOUTS.get(command_field)
    if layout is None:
        message_id = None
        if elements.get(_wire(_MESSAGE_ID)):
            message_id = _required_us(data, elements, _MESSAGE_ID)
        raise UnrecognizedCommandError(command_field, message_id, has_data_set)
    kind = layout.kind
    places: list[tuple[range, _Reader]] = []
    for tag, reader in layout.reads:
        place = elements.get(tag)
        if place:
            places.append((place, reader))
        elif reader.mandatory:
            raise reader.missing()
    if kind.data_set != "optional" and has_data_set != (kind.data_set == "always"):
        raise CommandSetError(
            f"{kind.name} {'with a' if has_data_set else 'without its'} data set",
        )
    places.sort(key=lambda place: place[0].start)
    lengths, end = [], 0
    for place, _ in places:
        lengths += [place.start - end, len(place)]
        end = place.stop
    unpack = struct.Struct("".join([f"{n}s" for n in (*lengths, len(data) - end)])).unpack
    return _Form(
        unpack,
        unpack(data)[::2],
        kind,
        {"has_data_set": has_data_set} if kind.data_set == "optional" else {},
        tuple([reader for _, reader in places]),
    )


# The codec ---------------------------------------------------------------------------------------


def encode_command(command: Command) -> bytes:
    """The command set of a command, of even length.

    Raises `ValueError` for a value that has no place in it: a number that is not 0..65535, a UID
    that is not 1..64 ASCII characters, an AE title that is not 1..16 characters, an error comment
    that is not 1..64 (see `error_comment`), a mandatory field that is None.
    """
    parts = []
    name = ""
    try:
        for name, tag, write, mandatory in _LAYOUTS[command.command_field].writes:
            value = getattr(command, name)
            if value is not None:
                parts.append(write(tag, value))
            elif mandatory:
                raise ValueError("is mandatory")
    except (ValueError, struct.error) as error:
        raise ValueError(f"{command.name}: {name}: {error}") from None
    elements = b"".join(parts)
    return _pack_group_length(0, 4, len(elements)) + elements


def decode_command(data: bytes | memoryview) -> Command:
    """The command of a whole command set.

    Raises `UnrecognizedCommandError` if nothing but the Command Field is unknown, and otherwise
    `CommandSetError`: an element that overruns the set, is there twice or has a length that its VR
    does not have; a mandatory one missing; a data set announced by a message that has none, or the
    other way about.
    """
    data = bytes(data)
    size = len(data)
    form = _FORMS.get(size)
    parts = () if form is None else form.unpack(data)
    if form is None or parts[::2] != form.between:
        form = _form(data)
        parts = form.unpack(data)
        if size <= _REMEMBERED:
            _FORMS[size] = form
    values: dict[str, Any] = form.has_data_set.copy()
    for reader, raw in zip(form.readers, parts[1::2], strict=True):
        name, where, read, mandatory = reader
        value = read(raw, where)
        if value is not None:
            values[name] = value
        elif mandatory:
            raise reader.missing()
    return form.kind(**values)


def _split(data: bytes) -> dict[int, range]:
    """Where the values of all elements are, by their tag as one little-endian word."""
    elements: dict[int, range] = {}
    size = len(data)
    end = 0
    while end < size:
        start = end + 8
        if start > size:
            raise CommandSetError(f"{size - end} bytes are left where an element should start")
        tag, length = _unpack_header(data, end)
        end = start + length
        if end > size:
            raise CommandSetError(
                f"{_name(tag >> 16)} is {length} bytes long, {size - start} are left",
            )
        if tag & 0xFFFF:
            continue  # of another group: Orthanc 1.10 puts a failed list here, not in an identifier
        if tag in elements:
            raise CommandSetError(f"{_name(tag >> 16)} is there twice")
        elements[tag] = range(start, end)
    return elements


def _required_us(data: bytes, elements: dict[int, range], element: int) -> int:
    place = elements.get(_wire(element))
    if not place:
        raise CommandSetError(f"{_name(element)} is missing or empty")
    return _read_us(data[place.start : place.stop], _name(element))


def error_comment(text: str) -> str | None:
    """Any text, cut down to what an Error Comment may be; None if nothing is left.

    Runs of spaces and line breaks become one space, and what is not printable ASCII, or is a
    backslash, a question mark. At most 64 characters.
    """
    words = " ".join(text.split())
    printable = "".join(
        [char if char.isascii() and char.isprintable() and char != "\\" else "?" for char in words]
    )
    return printable[:MAX_ERROR_COMMENT_LENGTH].rstrip() or None
