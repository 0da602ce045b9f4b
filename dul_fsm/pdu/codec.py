"""PDUs to bytes and bytes to PDUs (PS3.8 §9.3).

Rules
  * A PDU is judged twice: `check_header` on its first 6 bytes, before anything is buffered, and
    `decode_body` once it is there.
  * Whatever the bytes, decoding raises `PDUError` or nothing, and its work is linear in them.
  * Whatever is decoded encodes again, AE titles and version names that break the rules aside.
  * Encoding raises `ValueError` for what has no place on the wire; reserved code values have one.

Not here: when a PDU may come (`fsm`), what its values lead to (`upper_layer`, `negotiation`).
"""

from __future__ import annotations

import struct
from typing import Final

from dul_fsm.errors import PDUError
from dul_fsm.pdu.associate import (
    decode_associate_ac,
    decode_associate_rq,
    encode_associate_ac,
    encode_associate_rq,
)
from dul_fsm.pdu.codes import AbortReason, PDUType
from dul_fsm.pdu.items import encode_number, invalid
from dul_fsm.pdu.limits import (
    FIXED_LENGTH,
    HEADER_LENGTH,
    MAX_ASSOCIATE_LENGTH,
    MAX_P_DATA_LENGTH,
    MIN_ASSOCIATE_LENGTH,
    MIN_P_DATA_LENGTH,
)
from dul_fsm.pdu.p_data import decode_pdvs, encode_p_data
from dul_fsm.pdu.values import (
    PDU,
    AAbort,
    AAssociateAC,
    AAssociateRJ,
    AAssociateRQ,
    AReleaseRP,
    AReleaseRQ,
    PDataTF,
)

_PDU_HEADER = struct.Struct(">BxI")

_NAMES: Final = {kind.value: kind.name.replace("_", "-") for kind in PDUType}


def _name(pdu_type: int) -> str:
    try:
        return _NAMES[pdu_type]
    except KeyError:
        # PS3.8 §9.3.1 has unknown items ignored, but not unknown PDUs: Evt19.
        raise PDUError(
            AbortReason.UNRECOGNIZED_PDU, f"PDU-type {pdu_type:02X}H is not known"
        ) from None


def check_header(pdu_type: int, pdu_length: int, maximum_length: int) -> None:
    """Judge a PDU by its header, before its body is buffered.

    `maximum_length` is the one that we advertised, in bytes; 0 stands for `MAX_P_DATA_LENGTH`.
    It limits P-DATA-TF only (PS3.8 §D.1). Raises `PDUError`: reason 1 for a PDU-type that is not
    known, else 6 for a PDU-length that its type cannot have.
    """
    if pdu_type == 0x04:
        low, high = MIN_P_DATA_LENGTH, maximum_length or MAX_P_DATA_LENGTH
    elif pdu_type in (0x01, 0x02):
        low, high = MIN_ASSOCIATE_LENGTH, MAX_ASSOCIATE_LENGTH
    else:
        _name(pdu_type)
        low = high = FIXED_LENGTH
    if not low <= pdu_length <= high:
        wanted = f"{low}" if low == high else f"{low} to {high}"
        raise invalid(f"{_name(pdu_type)} with PDU-length {pdu_length}, not {wanted}")


def decode_body(pdu_type: int, body: bytes | memoryview) -> PDU:
    """The PDU of this type with this body, which is what follows the 6-byte header.

    The fragments of a P-DATA-TF are slices of `body`, so they are valid as long as it is; of the
    other PDUs nothing refers to it. Raises `PDUError`: reason 1, 5 or 6 (0: see `decode_pdvs`).
    """
    if pdu_type == 0x04:
        return PDataTF(decode_pdvs(body if isinstance(body, memoryview) else memoryview(body)))
    if pdu_type == 0x01:
        return decode_associate_rq(bytes(body))
    if pdu_type == 0x02:
        return decode_associate_ac(bytes(body))
    name = _name(pdu_type)
    if len(body) != FIXED_LENGTH:
        raise invalid(f"{name} with PDU-length {len(body)}, not {FIXED_LENGTH}")
    if pdu_type == 0x03:
        return AAssociateRJ(body[1], body[2], body[3])
    if pdu_type == 0x05:
        return AReleaseRQ()
    if pdu_type == 0x06:
        return AReleaseRP()
    return AAbort(body[2], body[3])


def decode(data: bytes) -> PDU:
    """The PDU that these bytes are, header included and nothing after it; raises `PDUError`."""
    if len(data) < HEADER_LENGTH:
        raise invalid(f"{len(data)} bytes are no PDU, its header has {HEADER_LENGTH}")
    pdu_type, pdu_length = _PDU_HEADER.unpack_from(data)
    check_header(pdu_type, pdu_length, 0)
    if len(data) - HEADER_LENGTH != pdu_length:
        raise invalid(f"PDU-length {pdu_length}, but {len(data) - HEADER_LENGTH} bytes follow")
    return decode_body(pdu_type, memoryview(data)[HEADER_LENGTH:])


def encode(pdu: PDU) -> bytes:
    """The bytes of a PDU, header included.

    Raises `ValueError` saying which value cannot be put on the wire: an AE title that is empty,
    longer than 16 characters or has forbidden ones; a UID that is not 1..64 ASCII characters; a
    presentation context id that is even, out of range or there twice; a number or a field too
    large for its place; no presentation context, transfer syntax or PDV where one is needed; an
    A-ASSOCIATE PDU longer than `MAX_ASSOCIATE_LENGTH`, which we would not receive either.
    """
    if isinstance(pdu, PDataTF):
        body = encode_p_data(pdu)
    elif isinstance(pdu, AAssociateRQ):
        body = _check_associate_length(encode_associate_rq(pdu))
    elif isinstance(pdu, AAssociateAC):
        body = _check_associate_length(encode_associate_ac(pdu))
    elif isinstance(pdu, AAssociateRJ):
        body = (
            b"\0"
            + encode_number(pdu.result, 1, "result")
            + encode_number(pdu.source, 1, "source")
            + encode_number(pdu.reason, 1, "reason")
        )
    elif isinstance(pdu, AAbort):
        body = (
            b"\0\0"
            + encode_number(pdu.source, 1, "source")
            + encode_number(pdu.reason, 1, "reason")
        )
    else:
        body = bytes(FIXED_LENGTH)
    return _PDU_HEADER.pack(pdu.pdu_type, len(body)) + body


def _check_associate_length(body: bytes) -> bytes:
    if len(body) > MAX_ASSOCIATE_LENGTH:
        raise ValueError(f"A-ASSOCIATE PDU of {len(body)} bytes, {MAX_ASSOCIATE_LENGTH} fit")
    return body
