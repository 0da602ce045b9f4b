"""P-DATA-TF and its presentation data values: the hot path (PS3.8 §9.3.5, Annex E.2).

Rules
  * A fragment is never copied: decoded, it is a slice of the buffer; to be sent, it goes after
    the 12 bytes of `p_data_header` as it is.
  * Bits 0 and 1 of the message control header are looked at, bits 2-7 never.
  * An empty fragment is not sent by anyone who keeps to Annex E.1, but it is received.

Not here: whether a context id was accepted, how fragments make up a message (`dimse`).
"""

from __future__ import annotations

import struct

from dul_fsm.errors import PDUError
from dul_fsm.pdu.codes import AbortReason
from dul_fsm.pdu.items import check_context_id, invalid
from dul_fsm.pdu.limits import MAX_PDVS
from dul_fsm.pdu.values import PDV, PDataTF

_pack_pdu_and_pdv = struct.Struct(">BxIIBB").pack
_PDV_HEADER = struct.Struct(">IBB")
_unpack_pdv = _PDV_HEADER.unpack_from
_pack_pdv = _PDV_HEADER.pack


def p_data_header(context_id: int, control: int, fragment_length: int) -> bytes:
    """The 12 bytes that go before the fragment in a P-DATA-TF PDU with one PDV.

    `context_id`: odd, 1..255. `control`: bit 0 command set, bit 1 last fragment; 0..3.
    `fragment_length`: in bytes, at most the peer's maximum length - 6. Only what has no bytes at
    all is refused (`struct.error`): the caller has checked the id once, for a whole message.
    """
    return _pack_pdu_and_pdv(0x04, fragment_length + 6, fragment_length + 2, context_id, control)


def decode_pdvs(body: memoryview) -> tuple[PDV, ...]:
    """The PDVs of a P-DATA-TF with this body, at least one; fragments are slices of `body`.

    Raises `PDUError`: reason 6, or 0 for more than `MAX_PDVS`.
    """
    size = len(body)
    pdvs = []
    start = 0
    while True:
        fragment = start + 6
        if fragment > size:
            raise invalid(f"{size - start} bytes are left where a PDV should start")
        length, context_id, control = _unpack_pdv(body, start)
        start += 4 + length
        if length < 2 or start > size:
            raise invalid(f"PDV is {length} bytes long, {size - fragment + 2} are left")
        if not context_id & 1:
            raise invalid(f"PDV: presentation context id {context_id} is even")
        pdvs.append(
            PDV(context_id, control & 1 == 1, control & 2 == 2, body[fragment:start]),
        )
        if start == size:
            return tuple(pdvs)
        if len(pdvs) == MAX_PDVS:
            raise PDUError(AbortReason.REASON_NOT_SPECIFIED, f"more than {MAX_PDVS} PDVs in a PDU")


def encode_p_data(pdu: PDataTF) -> bytes:
    """The body of a P-DATA-TF; raises `ValueError`."""
    if not 0 < len(pdu.pdvs) <= MAX_PDVS:
        raise ValueError(f"P-DATA-TF with {len(pdu.pdvs)} PDVs, not 1 to {MAX_PDVS}")
    parts: list[bytes | memoryview] = []
    for pdv in pdu.pdvs:
        check_context_id(pdv.context_id)
        control = bool(pdv.is_command) | bool(pdv.is_last) << 1
        parts.append(_pack_pdv(len(pdv.fragment) + 2, pdv.context_id, control))
        parts.append(pdv.fragment)
    return b"".join(parts)
