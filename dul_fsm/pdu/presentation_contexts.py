"""Presentation contexts: 20H and 21H with their 30H and 40H (PS3.8 §9.3.2.2, §9.3.3.2).

Rules
  * Proposed: exactly one 30H and at least one 40H. Accepted: exactly one 40H. In any order.
  * PS3.8 §9.3.1: a sub-item that is not known in its container is skipped. That goes for types
    known elsewhere, too, such as the 30H that some peers repeat in a 21H.
  * PS3.8 Table 9-18: in a rejected presentation context the 40H is not significant: it may be
    missing, be there twice, or hold anything.
  * The same few answers are given again and again: their bytes are remembered, so many at most.

Not here: whether a received id is odd, and whether each is there once (`associate`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from dul_fsm.errors import PDUError
from dul_fsm.pdu.codes import ContextResult
from dul_fsm.pdu.items import (
    check_context_id,
    decode_uid,
    encode_item,
    encode_number,
    encode_uid,
    invalid,
    unpack_item_header,
    walk_items,
)
from dul_fsm.pdu.values import PresentationContextAC, PresentationContextRQ

# Sent in the 40H of a rejected presentation context, which must be there and is not significant
# (PS3.8 Table 9-18): Implicit VR Little Endian, which every peer can read.
_INSIGNIFICANT_TRANSFER_SYNTAX = "1.2.840.10008.1.2"

_REMEMBERED: Final = 1024
"""Answers: eight transfer syntaxes, each with every context id."""


def decode_context_rq(data: bytes, start: int, end: int) -> PresentationContextRQ:
    """The 20H with its content, at least 4 bytes, from `start` to `end`; raises `PDUError`."""
    # `walk_items` written out: nine tenths of an A-ASSOCIATE-RQ go through here, and without a
    # generator for each presentation context it takes a fifth less time.
    abstract_syntax = None
    transfer_syntaxes = []
    at = start + 4
    while at < end:
        if end - at < 4:
            raise invalid(f"20H: {end - at} bytes are left where a sub-item should start")
        kind, length = unpack_item_header(data, at)
        at += 4
        stop = at + length
        if stop > end:
            raise invalid(f"20H: sub-item {kind:02X}H is {length} bytes long, {end - at} are left")
        if kind == 0x40:
            transfer_syntaxes.append(decode_uid(data, at, stop, "40H"))
        elif kind == 0x30:
            if abstract_syntax is not None:
                raise invalid("20H: a second 30H sub-item")
            abstract_syntax = decode_uid(data, at, stop, "30H")
        at = stop
    if abstract_syntax is None:
        raise invalid("20H: no 30H sub-item")
    if not transfer_syntaxes:
        raise invalid("20H: no 40H sub-item")
    return PresentationContextRQ(data[start], abstract_syntax, tuple(transfer_syntaxes))


def decode_context_ac(data: bytes, start: int, end: int) -> PresentationContextAC:
    """The 21H with its content, at least 4 bytes, from `start` to `end`; raises `PDUError`."""
    result = data[start + 2]
    accepted = result == ContextResult.ACCEPTANCE
    transfer_syntax = None
    count = 0
    for kind, at, stop in walk_items(data, start + 4, end):
        if kind != 0x40:
            continue
        count += 1
        if count == 1:
            try:
                transfer_syntax = decode_uid(data, at, stop, "40H")
            except PDUError:
                if accepted:
                    raise
        elif accepted:
            raise invalid("21H: a second 40H sub-item in an accepted presentation context")
    if accepted and not count:
        raise invalid("21H: no 40H sub-item in an accepted presentation context")
    return PresentationContextAC(data[start], result, transfer_syntax)


def encode_context_rq(context: PresentationContextRQ) -> bytes:
    """The whole 20H item; raises `ValueError`."""
    check_context_id(context.context_id)
    if not context.transfer_syntaxes:
        raise ValueError(f"presentation context {context.context_id} has no transfer syntax")
    parts = [
        bytes((context.context_id, 0, 0, 0)),
        encode_item(0x30, encode_uid(context.abstract_syntax, "abstract syntax")),
    ]
    for uid in context.transfer_syntaxes:
        parts.append(encode_item(0x40, encode_uid(uid, "transfer syntax")))
    return encode_item(0x20, b"".join(parts))


def encode_context_ac(context: PresentationContextAC) -> bytes:
    """The whole 21H item; raises `ValueError`."""
    return _encode_context_ac(context.context_id, context.result, context.transfer_syntax)


@lru_cache(_REMEMBERED)
def _encode_context_ac(context_id: int, result: int, uid: str | None) -> bytes:
    check_context_id(context_id)
    if uid is None:
        if result == ContextResult.ACCEPTANCE:
            raise ValueError(
                f"presentation context {context_id} is accepted without transfer syntax"
            )
        uid = _INSIGNIFICANT_TRANSFER_SYNTAX
    return encode_item(
        0x21,
        bytes((context_id, 0))
        + encode_number(result, 1, "presentation context result")
        + b"\0"
        + encode_item(0x40, encode_uid(uid, "transfer syntax")),
    )
