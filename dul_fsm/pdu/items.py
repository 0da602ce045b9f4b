"""Items: a type, a reserved byte, a 16-bit length and that many bytes (PS3.8 §9.3.1).

Rules
  * An item lies within its container; one that overruns it, or leaves 1 to 3 bytes behind it,
    makes the PDU invalid.
  * Reserved bytes are not tested.
  * Positions, not copies: an item is a start and an end in the one `bytes` of the PDU.

Not here: what the items mean (`associate`, `user_items`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from dul_fsm.errors import PDUError
from dul_fsm.pdu.codes import AbortReason
from dul_fsm.pdu.limits import MAX_UID_LENGTH

_ITEM_HEADER = struct.Struct(">BxH")
_pack_header = _ITEM_HEADER.pack

unpack_item_header = _ITEM_HEADER.unpack_from
"""(data, position) -> (type, length of content) of the item there, whose 4 bytes must be there."""

# PS3.8 Annex F.1 and PS3.5 §9.1 have no padding of a UID in a PDU. Some peers pad to an even
# length all the same, with the NULL of the VR UI or with a space.
_UID_PADDING = b"\0 "


def invalid(text: str) -> PDUError:
    """An error to raise, with the reason 6, invalid-PDU-parameter-value (PS3.8 Table 9-26)."""
    return PDUError(AbortReason.INVALID_PDU_PARAMETER_VALUE, text)


def unexpected(text: str) -> PDUError:
    """An error to raise, with the reason 5, unexpected-PDU-parameter (PS3.8 Table 9-26)."""
    return PDUError(AbortReason.UNEXPECTED_PDU_PARAMETER, text)


def walk_items(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield (type, start of content, end of content) of each item between `start` and `end`.

    Raises `PDUError` (reason 6) on reaching an item that does not fit.
    """
    while start < end:
        if end - start < 4:
            raise invalid(f"{end - start} bytes are left where an item should start")
        kind, length = unpack_item_header(data, start)
        start += 4
        stop = start + length
        if stop > end:
            raise invalid(f"item {kind:02X}H is {length} bytes long, {end - start} are left")
        yield kind, start, stop
        start = stop


def walk_field(data: bytes, start: int, end: int, name: str) -> tuple[int, int]:
    """Where the content of a field with a 16-bit length at `start` starts and ends.

    Raises `PDUError` (reason 6) if it does not fit before `end`.
    """
    content = start + 2
    if content > end:
        raise invalid(f"{name}: no room for its length")
    stop = content + (data[start] << 8 | data[start + 1])
    if stop > end:
        raise invalid(f"{name}: {stop - content} bytes long, {end - content} are left")
    return content, stop


def decode_uid(data: bytes, start: int, end: int, name: str) -> str:
    """The UID between `start` and `end` without its padding, 1..64 ASCII characters.

    Its digits and dots are not tested: a UID is only ever compared, so a malformed one is just
    one that nobody supports. Raises `PDUError` (reason 6).
    """
    raw = data[start:end].rstrip(_UID_PADDING)
    if not 0 < len(raw) <= MAX_UID_LENGTH:
        raise invalid(f"{name}: a UID of {len(raw)} characters")
    try:
        return raw.decode("ascii")
    except UnicodeDecodeError:
        raise invalid(f"{name}: a UID that is not ASCII") from None


def encode_item(kind: int, content: bytes) -> bytes:
    """An item of type `kind`; raises `ValueError` if the content is longer than 65535 bytes."""
    try:
        return _pack_header(kind, len(content)) + content
    except struct.error:
        raise ValueError(f"item {kind:02X}H: {len(content)} bytes do not fit, 65535 do") from None


def encode_field(content: bytes, name: str) -> bytes:
    """A field with a 16-bit length; raises `ValueError` if it is longer than 65535 bytes."""
    if len(content) > 0xFFFF:
        raise ValueError(f"{name}: {len(content)} bytes do not fit, 65535 do")
    return len(content).to_bytes(2, "big") + content


def encode_uid(uid: str, name: str) -> bytes:
    """The bytes of a UID, unpadded; raises `ValueError` if it is not 1..64 ASCII characters.

    Padding at its end is refused, too, because it would not arrive. Everything that `decode_uid`
    gives is accepted, so that what a peer sent can always be sent back.
    """
    try:
        raw = uid.encode("ascii")
    except UnicodeEncodeError:
        raise ValueError(f"{name}: {uid!r} is not ASCII") from None
    if not 0 < len(raw) <= MAX_UID_LENGTH:
        raise ValueError(f"{name}: {uid!r} has {len(raw)} characters, not 1 to {MAX_UID_LENGTH}")
    if raw[-1] in _UID_PADDING:
        raise ValueError(f"{name}: {uid!r} ends in padding")
    return raw


def encode_number(number: int, size: int, name: str) -> bytes:
    """An unsigned number of `size` bytes; raises `ValueError` if it does not fit."""
    try:
        return number.to_bytes(size, "big")
    except OverflowError:
        raise ValueError(f"{name}: {number} is not in 0..{(1 << 8 * size) - 1}") from None


def check_context_id(context_id: int) -> None:
    """Raise `ValueError` unless the id is odd and in 1..255 (PS3.8 §9.3.2.2)."""
    if not (0 < context_id < 256 and context_id & 1):
        raise ValueError(f"presentation context id {context_id} is not odd and in 1..255")
