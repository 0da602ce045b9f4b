"""The user information item, 50H, and its sub-items 51H-59H (PS3.8 §9.3.2.3, D.1; PS3.7 D.3.3).

Rules
  * Sub-items come in any order (PS3.8 §9.3.2.3 note).
  * PS3.8 §D.2 note 2: a sub-item of unknown type is skipped, never a reason to refuse.
  * Those that may occur once may not occur twice (reason 5). Several 54H, 56H or 57H for one SOP
    class are left to `negotiation`.
  * The lengths within a sub-item add up to its own length, else it is invalid (reason 6), except
    at the end of a 57H, where later versions may append fields (PS3.7 §D.3.3.6).
  * Which sub-items belong in a request and which in an answer is not tested here.

Not here: the values (`user_information`), and what they lead to (`negotiation`).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

from dul_fsm.pdu.codes import ItemType
from dul_fsm.pdu.items import (
    decode_uid,
    encode_field,
    encode_item,
    encode_number,
    encode_uid,
    invalid,
    unexpected,
    walk_field,
    walk_items,
)
from dul_fsm.pdu.user_information import (
    AsynchronousOperationsWindow,
    RoleSelection,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityAC,
    UserIdentityRQ,
    UserInformation,
)

_unpack_u32 = struct.Struct(">I").unpack_from
_unpack_u16_u16 = struct.Struct(">HH").unpack_from


def _decode_maximum_length(data: bytes, start: int, end: int) -> int:
    if end - start != 4:
        raise invalid(f"51H: {end - start} bytes long, not 4")
    (value,) = _unpack_u32(data, start)
    return int(value)


def _decode_implementation_class_uid(data: bytes, start: int, end: int) -> str:
    return decode_uid(data, start, end, "52H")


def _decode_window(data: bytes, start: int, end: int) -> AsynchronousOperationsWindow:
    if end - start != 4:
        raise invalid(f"53H: {end - start} bytes long, not 4")
    return AsynchronousOperationsWindow(*_unpack_u16_u16(data, start))


def _decode_role_selection(data: bytes, start: int, end: int) -> RoleSelection:
    uid, stop = walk_field(data, start, end, "54H SOP-class-uid")
    if end - stop != 2:
        raise invalid(f"54H: {end - stop} bytes after its UID, not 2")
    return RoleSelection(decode_uid(data, uid, stop, "54H"), data[stop] != 0, data[stop + 1] != 0)


def _decode_implementation_version_name(data: bytes, start: int, end: int) -> str | None:
    # Informative text: one that is empty, too long or not ISO 646 harms nobody.
    return data[start:end].rstrip(b"\0 ").decode("latin-1") or None


def _decode_extended(data: bytes, start: int, end: int) -> SOPClassExtendedNegotiation:
    uid, stop = walk_field(data, start, end, "56H SOP-class-uid")
    return SOPClassExtendedNegotiation(decode_uid(data, uid, stop, "56H"), data[stop:end])


def _decode_common(data: bytes, start: int, end: int) -> SOPClassCommonExtendedNegotiation:
    sop_class, stop = walk_field(data, start, end, "57H SOP-class-uid")
    sop_class_uid = decode_uid(data, sop_class, stop, "57H SOP-class-uid")
    service, stop = walk_field(data, stop, end, "57H Service-class-uid")
    service_class_uid = decode_uid(data, service, stop, "57H Service-class-uid")
    at, list_end = walk_field(data, stop, end, "57H Related-general-sop-class-identification")
    related = []
    while at < list_end:
        uid, at = walk_field(data, at, list_end, "57H Related-general-sop-class-uid")
        related.append(decode_uid(data, uid, at, "57H Related-general-sop-class-uid"))
    # Here the second byte of the item header is not reserved: it is the Sub-Item-version.
    return SOPClassCommonExtendedNegotiation(
        sop_class_uid, service_class_uid, tuple(related), data[start - 3]
    )


def _decode_user_identity(data: bytes, start: int, end: int) -> UserIdentityRQ:
    primary, primary_end = walk_field(data, start + 2, end, "58H Primary-field")
    secondary, stop = walk_field(data, primary_end, end, "58H Secondary-field")
    if stop != end:
        raise invalid(f"58H: {end - stop} bytes after its last field")
    return UserIdentityRQ(
        data[start], data[primary:primary_end], data[secondary:stop], data[start + 1] != 0
    )


def _decode_user_identity_response(data: bytes, start: int, end: int) -> UserIdentityAC:
    response, stop = walk_field(data, start, end, "59H Server-response")
    if stop != end:
        raise invalid(f"59H: {end - stop} bytes after its last field")
    return UserIdentityAC(data[response:stop])


_Decoder = Callable[[bytes, int, int], Any]

# type -> the field of UserInformation that it fills, how, and whether it may come more than once
_SUB_ITEMS: Final[dict[int, tuple[str, _Decoder, bool]]] = {
    0x51: ("maximum_length", _decode_maximum_length, False),
    0x52: ("implementation_class_uid", _decode_implementation_class_uid, False),
    0x53: ("asynchronous_operations_window", _decode_window, False),
    0x54: ("role_selections", _decode_role_selection, True),
    0x55: ("implementation_version_name", _decode_implementation_version_name, False),
    0x56: ("extended_negotiations", _decode_extended, True),
    0x57: ("common_extended_negotiations", _decode_common, True),
    0x58: ("user_identity", _decode_user_identity, False),
    0x59: ("user_identity_response", _decode_user_identity_response, False),
}
_REPEATABLE: Final = {name for name, _, repeatable in _SUB_ITEMS.values() if repeatable}


def decode_user_information(data: bytes, start: int, end: int) -> UserInformation:
    """The user information whose content lies between `start` and `end`; raises `PDUError`."""
    fields: dict[str, Any] = {"maximum_length": None}
    seen = set()
    for kind, at, stop in walk_items(data, start, end):
        if kind not in _SUB_ITEMS:
            continue
        name, decode, repeatable = _SUB_ITEMS[kind]
        if repeatable:
            fields.setdefault(name, []).append(decode(data, at, stop))
        elif kind in seen:
            raise unexpected(f"a second {kind:02X}H sub-item")
        else:
            seen.add(kind)
            fields[name] = decode(data, at, stop)
    for name in _REPEATABLE & fields.keys():
        fields[name] = tuple(fields[name])
    return UserInformation(**fields)


def _encode_version_name(name: str) -> bytes:
    # PS3.7 §D.3.3.2.3: 1 to 16 characters of the ISO 646 basic G0 set.
    if not (0 < len(name) <= 16 and name.isascii() and name.isprintable()):
        raise ValueError(f"55H: {name!r} is not 1 to 16 printable ASCII characters")
    return name.encode("ascii")


def _encode_common(item: SOPClassCommonExtendedNegotiation) -> bytes:
    related = b"".join(
        encode_field(encode_uid(uid, "57H Related-general-sop-class-uid"), "57H")
        for uid in item.related_general_sop_classes
    )
    encoded = encode_item(
        ItemType.SOP_CLASS_COMMON_EXTENDED_NEGOTIATION,
        encode_field(encode_uid(item.sop_class_uid, "57H SOP-class-uid"), "57H")
        + encode_field(encode_uid(item.service_class_uid, "57H Service-class-uid"), "57H")
        + encode_field(related, "57H Related-general-sop-class-identification"),
    )
    return encoded[:1] + encode_number(item.version, 1, "57H Sub-Item-version") + encoded[2:]


def encode_user_information(info: UserInformation) -> bytes:
    """The whole 50H item, sub-items in increasing type order; raises `ValueError`."""
    parts = []
    if info.maximum_length is not None:
        parts.append(encode_item(0x51, encode_number(info.maximum_length, 4, "51H")))
    if info.implementation_class_uid is not None:
        parts.append(encode_item(0x52, encode_uid(info.implementation_class_uid, "52H")))
    if (window := info.asynchronous_operations_window) is not None:
        numbers = encode_number(window.invoked, 2, "53H invoked")
        numbers += encode_number(window.performed, 2, "53H performed")
        parts.append(encode_item(0x53, numbers))
    for role in info.role_selections:
        uid = encode_field(encode_uid(role.sop_class_uid, "54H"), "54H")
        parts.append(encode_item(0x54, uid + bytes((bool(role.scu), bool(role.scp)))))
    if info.implementation_version_name is not None:
        parts.append(encode_item(0x55, _encode_version_name(info.implementation_version_name)))
    for extended in info.extended_negotiations:
        uid = encode_field(encode_uid(extended.sop_class_uid, "56H"), "56H")
        parts.append(encode_item(0x56, uid + extended.information))
    for common in info.common_extended_negotiations:
        parts.append(_encode_common(common))
    if (identity := info.user_identity) is not None:
        content = encode_number(identity.identity_type, 1, "58H User-Identity-Type")
        content += bytes((bool(identity.positive_response_requested),))
        content += encode_field(identity.primary_field, "58H Primary-field")
        content += encode_field(identity.secondary_field, "58H Secondary-field")
        parts.append(encode_item(0x58, content))
    if (response := info.user_identity_response) is not None:
        field = encode_field(response.server_response, "59H Server-response")
        parts.append(encode_item(0x59, field))
    return encode_item(ItemType.USER_INFORMATION, b"".join(parts))
