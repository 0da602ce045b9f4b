"""Fuzz target: the PDU decoder. The input is a PDU-type and a body; no length has to be right.

What holds for every input:

- `decode_body` raises `PDUError` with a reason of PS3.8 Table 9-26, or nothing;
- `decode` of the same body behind a header says the same, unless the header is already too much;
- what decodes encodes again, and decodes to the same value;
- fragments are slices of the input: not one byte is copied, lost or there twice.
"""

from __future__ import annotations

import struct
from dataclasses import replace

from dul_fsm.errors import PDUError
from dul_fsm.pdu import (
    PDU,
    AAbort,
    AAssociateAC,
    AAssociateRJ,
    AAssociateRQ,
    PDataTF,
    check_header,
    decode,
    decode_body,
    describe_abort,
    describe_reject,
    encode,
)

REASONS = frozenset((0, 1, 2, 4, 5, 6))


def one_input(data: bytes) -> None:
    """Judge one input; raises whatever is a finding."""
    pdu_type, body = (data[0], data[1:]) if data else (0, b"")
    found = _body(pdu_type, body)
    if found is not None:
        assert _body(pdu_type, memoryview(body)) == found
    whole = struct.pack(">BxI", pdu_type, len(body)) + body
    try:
        check_header(pdu_type, len(body), 0)
    except PDUError as error:
        _check(error)
        # Only a length can be too much for a header that the body alone would do without.
        assert found is None or len(body) >= 1 << 20
        return
    try:
        assert decode(whole) == found
    except PDUError as error:
        _check(error)
        assert found is None
    if found is not None:
        _check_value(found, body)


def _body(pdu_type: int, body: bytes | memoryview) -> PDU | None:
    try:
        return decode_body(pdu_type, body)
    except PDUError as error:
        _check(error)
        return None


def _check(error: PDUError) -> None:
    assert error.reason in REASONS
    assert str(error).isprintable()


def _check_value(pdu: PDU, body: bytes) -> None:
    if isinstance(pdu, PDataTF):
        assert sum(6 + len(pdv.fragment) for pdv in pdu.pdvs) == len(body)
        views = [pdv.fragment for pdv in pdu.pdvs]
        assert all(isinstance(view, memoryview) for view in views)
    elif isinstance(pdu, AAssociateRJ):
        assert describe_reject(pdu.result, pdu.source, pdu.reason)
    elif isinstance(pdu, AAbort):
        assert describe_abort(pdu.source, pdu.reason)
    pdu = sendable(pdu)
    assert decode(encode(pdu)) == pdu
    assert repr(pdu)


def sendable(pdu: PDU) -> PDU:
    """The PDU without what is put up with when it arrives, and refused when it is to be sent."""
    if isinstance(pdu, AAssociateRQ):
        pdu = replace(pdu, called_ae_title="A", calling_ae_title="B")
    if isinstance(pdu, AAssociateAC):
        # A rejected presentation context that came without a 40H goes out with one.
        answers = tuple(
            replace(context, transfer_syntax=context.transfer_syntax or "1.2.840.10008.1.2")
            for context in pdu.presentation_contexts
        )
        pdu = replace(pdu, presentation_contexts=answers)
    if isinstance(pdu, AAssociateRQ | AAssociateAC):
        # Free text, which nobody is refused for.
        information = replace(pdu.user_information, implementation_version_name="C")
        pdu = replace(pdu, user_information=information)
    return pdu
