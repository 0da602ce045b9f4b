"""The bodies of A-ASSOCIATE-RQ and A-ASSOCIATE-AC (PS3.8 §9.3.2, §9.3.3).

Rules
  * Exactly one 10H and one 50H, at least one 20H (request) or 21H (answer), in any order.
  * PS3.8 §9.3.1: an item that is not known in its container is skipped. That goes for types
    known elsewhere, too, such as a 21H in a request.
  * A context id is odd and occurs once; so there are at most 128 presentation contexts.
  * Reserved bytes and the echo of the request are not tested. The protocol version is kept for
    the upper layer, which answers a bad one with a reject and not with an abort.
  * A peer says the same each time that it comes, AE titles aside: what the last ones said is
    remembered, by its bytes, within bounds, and never with a user identity in it.

Not here: what is in a presentation context (`presentation_contexts`) and in the user information
(`user_items`), the 6-byte PDU header (`codec`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from dul_fsm.pdu.codes import ItemType
from dul_fsm.pdu.items import (
    decode_uid,
    encode_item,
    encode_number,
    encode_uid,
    invalid,
    unexpected,
    walk_items,
)
from dul_fsm.pdu.limits import MIN_ASSOCIATE_LENGTH
from dul_fsm.pdu.presentation_contexts import (
    decode_context_ac,
    decode_context_rq,
    encode_context_ac,
    encode_context_rq,
)
from dul_fsm.pdu.user_information import UserInformation
from dul_fsm.pdu.user_items import decode_user_information, encode_user_information
from dul_fsm.pdu.values import (
    AAssociateAC,
    AAssociateRQ,
    PresentationContextAC,
    PresentationContextRQ,
)

_REMEMBERED: Final = 32
"""Requests and answers."""
_LONGEST_REMEMBERED: Final = 16384
"""Bytes of the longest: 128 contexts with three transfer syntaxes each. So a peer that means harm
makes us keep some 10 MB, and no more."""

_Context = TypeVar("_Context", PresentationContextRQ, PresentationContextAC)


_remembered: dict[tuple[int, bytes], tuple[str, tuple[Any, ...], UserInformation]] = {}


def _decode_items(
    data: bytes, context_type: int, decode_context: Callable[[bytes, int, int], _Context]
) -> tuple[str, tuple[_Context, ...], UserInformation]:
    """Application context name, presentation contexts and user information."""
    if len(data) > _LONGEST_REMEMBERED:
        return _walk(data, context_type, decode_context)
    key = context_type, data[MIN_ASSOCIATE_LENGTH:]
    items = _remembered.get(key)
    if items is None:
        items = _walk(data, context_type, decode_context)
        _, _, info = items
        if info.user_identity is None and info.user_identity_response is None:
            if len(_remembered) >= _REMEMBERED:
                _remembered.clear()
            _remembered[key] = items
    return items


def _walk(
    data: bytes, context_type: int, decode_context: Callable[[bytes, int, int], _Context]
) -> tuple[str, tuple[_Context, ...], UserInformation]:
    name: str | None = None
    information: UserInformation | None = None
    contexts: dict[int, _Context] = {}
    for kind, at, stop in walk_items(data, MIN_ASSOCIATE_LENGTH, len(data)):
        if kind == context_type:
            if stop - at < 4:
                raise invalid(f"{kind:02X}H: {stop - at} bytes long, at least 4 are needed")
            context_id = data[at]
            if not context_id & 1:
                raise invalid(f"{kind:02X}H: presentation context id {context_id} is even")
            if context_id in contexts:
                raise invalid(f"{kind:02X}H: a second presentation context id {context_id}")
            contexts[context_id] = decode_context(data, at, stop)
        elif kind == 0x10:
            if name is not None:
                raise unexpected("a second 10H item")
            name = decode_uid(data, at, stop, "10H")
        elif kind == 0x50:
            if information is not None:
                raise unexpected("a second 50H item")
            information = decode_user_information(data, at, stop)
    if name is None:
        raise invalid("no 10H item")
    if not contexts:
        raise invalid(f"no {context_type:02X}H item")
    if information is None:
        raise invalid("no 50H item")
    return name, tuple(contexts.values()), information


def _check_length(data: bytes) -> None:
    if len(data) < MIN_ASSOCIATE_LENGTH:
        raise invalid(f"A-ASSOCIATE PDU of {len(data)} bytes, {MIN_ASSOCIATE_LENGTH} are needed")


def _ae_title(data: bytes, start: int) -> str:
    # PS3.8 Table 9-11: spaces at both ends are not significant. Latin-1 takes whatever came.
    return data[start : start + 16].decode("latin-1").strip(" ")


def decode_associate_rq(data: bytes) -> AAssociateRQ:
    """The A-ASSOCIATE-RQ with this body; raises `PDUError` (reason 5 or 6)."""
    _check_length(data)
    name, contexts, information = _decode_items(data, 0x20, decode_context_rq)
    return AAssociateRQ(
        called_ae_title=_ae_title(data, 4),
        calling_ae_title=_ae_title(data, 20),
        presentation_contexts=contexts,
        user_information=information,
        application_context_name=name,
        protocol_version=data[0] << 8 | data[1],
        reserved=data[36:68],
    )


def decode_associate_ac(data: bytes) -> AAssociateAC:
    """The A-ASSOCIATE-AC with this body; raises `PDUError` (reason 5 or 6)."""
    _check_length(data)
    name, contexts, information = _decode_items(data, 0x21, decode_context_ac)
    return AAssociateAC(
        presentation_contexts=contexts,
        user_information=information,
        application_context_name=name,
        protocol_version=data[0] << 8 | data[1],
        echo=data[4:68],
    )


def _encode_ae_title(title: str, name: str) -> bytes:
    # PS3.8 Table 9-11 and PS3.5 §6.2 (VR AE): basic G0 set, no backslash, not spaces only.
    text = title.strip(" ")
    if not 0 < len(text) <= 16:
        raise ValueError(f"{name}: {title!r} has {len(text)} characters, not 1 to 16")
    if not (text.isascii() and text.isprintable()) or "\\" in text:
        raise ValueError(f"{name}: {title!r} has a character that an AE title must not have")
    return text.ljust(16).encode("ascii")


def _encode_items(
    name: str,
    contexts: tuple[_Context, ...],
    encode_context: Callable[[_Context], bytes],
    information: UserInformation,
) -> bytes:
    # PS3.8 §9.3.1: in increasing order of item type.
    parts = [
        encode_item(ItemType.APPLICATION_CONTEXT, encode_uid(name, "application context name"))
    ]
    if not contexts:
        raise ValueError("no presentation context")
    parts += map(encode_context, contexts)
    ids = [context.context_id for context in contexts]
    if len(set(ids)) != len(ids):
        twice = next(context_id for context_id in ids if ids.count(context_id) > 1)
        raise ValueError(f"presentation context id {twice} is there twice")
    parts.append(encode_user_information(information))
    return b"".join(parts)


def encode_associate_rq(pdu: AAssociateRQ) -> bytes:
    """The body of an A-ASSOCIATE-RQ; raises `ValueError`."""
    if len(pdu.reserved) != 32:
        raise ValueError(f"reserved: {len(pdu.reserved)} bytes, not 32")
    return b"".join(
        (
            encode_number(pdu.protocol_version, 2, "protocol version"),
            b"\0\0",
            _encode_ae_title(pdu.called_ae_title, "called AE title"),
            _encode_ae_title(pdu.calling_ae_title, "calling AE title"),
            pdu.reserved,
            _encode_items(
                pdu.application_context_name,
                pdu.presentation_contexts,
                encode_context_rq,
                pdu.user_information,
            ),
        )
    )


def encode_associate_ac(pdu: AAssociateAC) -> bytes:
    """The body of an A-ASSOCIATE-AC; raises `ValueError`."""
    if len(pdu.echo) != 64:
        raise ValueError(f"echo: {len(pdu.echo)} bytes, not 64")
    return b"".join(
        (
            encode_number(pdu.protocol_version, 2, "protocol version"),
            b"\0\0",
            pdu.echo,
            _encode_items(
                pdu.application_context_name,
                pdu.presentation_contexts,
                encode_context_ac,
                pdu.user_information,
            ),
        )
    )
