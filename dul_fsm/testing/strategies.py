"""Hypothesis strategies for the DICOM Upper Layer: every PDU, item and primitive, and bytes.

Rules
  * A strategy of values gives only what can be encoded and comes back equal.
  * A strategy of bytes says in its first line how valid its bytes are.

Needs hypothesis, which the base install does not bring.
Not here: commands and messages of DIMSE, which travel inside PDVs.
"""

from __future__ import annotations

import string
from collections.abc import Callable
from functools import partial
from itertools import pairwise

from hypothesis import strategies as st

from dul_fsm.pdu import (
    PDU,
    PDV,
    AAbort,
    AAssociateAC,
    AAssociateRJ,
    AAssociateRQ,
    AReleaseRP,
    AReleaseRQ,
    AsynchronousOperationsWindow,
    PDataTF,
    PDUType,
    PresentationContextAC,
    PresentationContextRQ,
    RoleSelection,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityAC,
    UserIdentityRQ,
    UserInformation,
    encode,
)
from dul_fsm.upper_layer import UpperLayer

_BYTE = st.integers(0, 255)
_U16 = st.integers(0, 0xFFFF)
_U32 = st.integers(0, 0xFFFF_FFFF)
_EDGES = st.sampled_from([b"\0", b"\1", b"\x7f", b"\x80", b"\xfe", b"\xff"])

# ISO 646 basic G0 without the backslash (PS3.5 §6.2, VR AE).
_AE_CHARACTERS = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "\\")


def uids() -> st.SearchStrategy[str]:
    """UIDs of 1 to 64 characters; well-known ones, generated ones and the longest."""
    components = st.one_of(st.just("0"), st.from_regex(r"[1-9][0-9]{0,11}", fullmatch=True))
    return st.one_of(
        st.sampled_from(
            [
                "1.2.840.10008.1.1",
                "1.2.840.10008.1.2",
                "1.2.840.10008.1.2.1",
                "1.2.840.10008.5.1.4.1.1.2",
                "1." + "2" * 62,
                "1",
            ]
        ),
        st.lists(components, min_size=2, max_size=5).map(".".join),
    )


def ae_titles() -> st.SearchStrategy[str]:
    """AE titles of 1 to 16 characters, with no space at their ends."""
    text = st.text(_AE_CHARACTERS, min_size=1, max_size=16).map(lambda title: title.strip(" "))
    return text.filter(bool)


def context_ids() -> st.SearchStrategy[int]:
    """Presentation context ids: odd, 1 to 255."""
    return st.integers(0, 127).map(lambda half: 2 * half + 1)


def presentation_contexts_rq() -> st.SearchStrategy[PresentationContextRQ]:
    """Proposed presentation contexts (20H with 30H and 40H) with 1 to 4 transfer syntaxes."""
    return st.builds(
        PresentationContextRQ,
        context_ids(),
        uids(),
        st.lists(uids(), min_size=1, max_size=4).map(tuple),
    )


def presentation_contexts_ac() -> st.SearchStrategy[PresentationContextAC]:
    """Answered presentation contexts (21H with 40H), accepted or rejected, reserved results too."""
    results = st.one_of(st.integers(0, 4), _BYTE)
    return st.builds(PresentationContextAC, context_ids(), results, uids())


def asynchronous_operations_windows() -> st.SearchStrategy[AsynchronousOperationsWindow]:
    """53H sub-items."""
    return st.builds(AsynchronousOperationsWindow, _U16, _U16)


def role_selections() -> st.SearchStrategy[RoleSelection]:
    """54H sub-items."""
    return st.builds(RoleSelection, uids(), st.booleans(), st.booleans())


def implementation_version_names() -> st.SearchStrategy[str]:
    """Contents of a 55H sub-item: 1 to 16 characters, with no space at the end."""
    return st.text(string.ascii_letters + string.digits + " ._-", min_size=1, max_size=16).filter(
        lambda name: not name.endswith(" ")
    )


def extended_negotiations() -> st.SearchStrategy[SOPClassExtendedNegotiation]:
    """56H sub-items with up to 16 bytes of information."""
    return st.builds(SOPClassExtendedNegotiation, uids(), st.binary(max_size=16))


def common_extended_negotiations() -> st.SearchStrategy[SOPClassCommonExtendedNegotiation]:
    """57H sub-items with up to 3 related general SOP classes, of any version."""
    related = st.lists(uids(), max_size=3).map(tuple)
    return st.builds(SOPClassCommonExtendedNegotiation, uids(), uids(), related, _BYTE)


def user_identities() -> st.SearchStrategy[UserIdentityRQ]:
    """58H sub-items of every identity type, reserved ones too."""
    return st.builds(
        UserIdentityRQ,
        st.one_of(st.integers(1, 5), _BYTE),
        st.binary(max_size=24),
        st.binary(max_size=24),
        st.booleans(),
    )


def user_identity_responses() -> st.SearchStrategy[UserIdentityAC]:
    """59H sub-items."""
    return st.builds(UserIdentityAC, st.binary(max_size=24))


def user_information() -> st.SearchStrategy[UserInformation]:
    """50H items with any choice of their sub-items 51H-59H."""
    return st.builds(
        UserInformation,
        maximum_length=st.one_of(st.none(), st.just(0), _U32),
        implementation_class_uid=st.none() | uids(),
        implementation_version_name=st.none() | implementation_version_names(),
        asynchronous_operations_window=st.none() | asynchronous_operations_windows(),
        role_selections=st.lists(role_selections(), max_size=2).map(tuple),
        extended_negotiations=st.lists(extended_negotiations(), max_size=2).map(tuple),
        common_extended_negotiations=st.lists(common_extended_negotiations(), max_size=2).map(
            tuple
        ),
        user_identity=st.none() | user_identities(),
        user_identity_response=st.none() | user_identity_responses(),
    )


def a_associate_rqs() -> st.SearchStrategy[AAssociateRQ]:
    """A-ASSOCIATE-RQ PDUs with 1 to 4 presentation contexts."""
    contexts = st.lists(
        presentation_contexts_rq(), min_size=1, max_size=4, unique_by=lambda c: c.context_id
    )
    return st.builds(
        AAssociateRQ,
        called_ae_title=ae_titles(),
        calling_ae_title=ae_titles(),
        presentation_contexts=contexts.map(tuple),
        user_information=user_information(),
        application_context_name=uids(),
        protocol_version=st.one_of(st.just(1), _U16),
        reserved=st.one_of(st.just(bytes(32)), st.binary(min_size=32, max_size=32)),
    )


def a_associate_acs() -> st.SearchStrategy[AAssociateAC]:
    """A-ASSOCIATE-AC PDUs with 1 to 4 presentation contexts and any echo."""
    contexts = st.lists(
        presentation_contexts_ac(), min_size=1, max_size=4, unique_by=lambda c: c.context_id
    )
    return st.builds(
        AAssociateAC,
        presentation_contexts=contexts.map(tuple),
        user_information=user_information(),
        application_context_name=uids(),
        protocol_version=st.one_of(st.just(1), _U16),
        echo=st.one_of(st.just(bytes(64)), st.binary(min_size=64, max_size=64)),
    )


def a_associate_rjs() -> st.SearchStrategy[AAssociateRJ]:
    """A-ASSOCIATE-RJ PDUs with any bytes for result, source and reason, mostly assigned ones."""
    small = st.one_of(st.integers(0, 7), _BYTE)
    return st.builds(AAssociateRJ, small, small, small)


def pdvs(max_fragment: int = 64) -> st.SearchStrategy[PDV]:
    """Presentation data values with fragments of 0 to `max_fragment` bytes, odd lengths too."""
    fragments = st.binary(max_size=max_fragment)
    return st.builds(PDV, context_ids(), st.booleans(), st.booleans(), fragments)


def p_data_tfs(max_pdvs: int = 4, max_fragment: int = 64) -> st.SearchStrategy[PDataTF]:
    """P-DATA-TF PDUs with 1 to `max_pdvs` PDVs."""
    return st.builds(
        PDataTF, st.lists(pdvs(max_fragment), min_size=1, max_size=max_pdvs).map(tuple)
    )


def a_release_rqs() -> st.SearchStrategy[AReleaseRQ]:
    """The A-RELEASE-RQ PDU."""
    return st.just(AReleaseRQ())


def a_release_rps() -> st.SearchStrategy[AReleaseRP]:
    """The A-RELEASE-RP PDU."""
    return st.just(AReleaseRP())


def a_aborts() -> st.SearchStrategy[AAbort]:
    """A-ABORT PDUs with any bytes for source and reason, mostly assigned ones."""
    small = st.one_of(st.integers(0, 6), _BYTE)
    return st.builds(AAbort, small, small)


def pdus() -> st.SearchStrategy[PDU]:
    """PDUs of all seven types."""
    return st.one_of(
        a_release_rqs(),
        a_release_rps(),
        a_aborts(),
        a_associate_rjs(),
        p_data_tfs(),
        a_associate_acs(),
        a_associate_rqs(),
    )


def primitives() -> st.SearchStrategy[Callable[[UpperLayer, float], None]]:
    """Request and response primitives (PS3.8 §7), each to be issued as `primitive(upper, now)`.

    Most are not legal in most states; their parameters are legal.
    """
    fragments = st.binary(max_size=64)
    return st.one_of(
        a_associate_rqs().map(
            lambda request: partial(_issue, UpperLayer.a_associate_request, request)
        ),
        a_associate_acs().map(
            lambda answer: partial(_issue, UpperLayer.a_associate_accept, answer)
        ),
        a_associate_rjs().map(
            lambda answer: partial(_issue, UpperLayer.a_associate_reject, answer)
        ),
        st.tuples(context_ids(), st.integers(0, 3), fragments).map(
            lambda pdv: partial(_issue, UpperLayer.p_data_request, *pdv)
        ),
        st.sampled_from(
            [
                UpperLayer.a_release_request,
                UpperLayer.a_release_response,
                UpperLayer.a_abort_request,
            ]
        ),
    )


def _issue(primitive: Callable[..., None], *given: object) -> None:
    *parameters, upper, now = given
    primitive(upper, *parameters, now)


def encoded_pdus() -> st.SearchStrategy[bytes]:
    """Valid bytes: one PDU of any type, header included."""
    return pdus().map(encode)


def item_bytes() -> st.SearchStrategy[bytes]:
    """Mostly valid bytes: one item of a known or unknown type, whose length fits its content."""

    def item(kind: int, content: bytes) -> bytes:
        return bytes((kind, 0)) + len(content).to_bytes(2, "big") + content

    kinds = st.one_of(
        st.sampled_from([0x10, 0x20, 0x21, 0x30, 0x40, *range(0x50, 0x5A)]), st.integers(0, 255)
    )
    leaves = st.builds(item, kinds, st.binary(max_size=12) | uids().map(str.encode))
    nested = st.lists(leaves, max_size=4).map(b"".join)
    context = st.builds(
        lambda context_id, rest: bytes((context_id, 0, 0, 0)) + rest, context_ids(), nested
    )
    return st.one_of(leaves, st.builds(item, kinds, nested), st.builds(item, kinds, context))


def associate_bodies() -> st.SearchStrategy[bytes]:
    """Rarely valid bytes: the fixed part of an A-ASSOCIATE-RQ or -AC and any items after it."""
    fixed = bytes((0, 1, 0, 0)) + b"ANY-SCP         " + b"ANY-SCU         " + bytes(32)
    return st.lists(item_bytes(), max_size=8).map(lambda parts: fixed + b"".join(parts))


@st.composite
def mutated_pdus(draw: st.DrawFn) -> bytes:
    """Almost valid bytes: one PDU with 1 to 3 places changed, cut out, put in or repeated."""
    data = bytearray(draw(encoded_pdus()))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        span = slice(at, at + draw(st.integers(1, 8)))
        how = draw(st.sampled_from(["change", "bit", "cut", "insert", "repeat", "truncate"]))
        if how == "change":
            data[at : at + 1] = draw(_EDGES | st.binary(min_size=1, max_size=1))
        elif how == "bit" and at < len(data):
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif how == "cut":
            del data[span]
        elif how == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=8))
        elif how == "repeat":
            data[at:at] = data[span]
        else:
            del data[at:]
    if draw(st.booleans()) and len(data) >= 6:
        # With a PDU-length that is right again, the damage lies deeper than the header.
        data[2:6] = (len(data) - 6).to_bytes(4, "big")
    return bytes(data)


def almost_pdus() -> st.SearchStrategy[bytes]:
    """Bytes that range from one valid PDU to noise, most of them with a header that is right."""

    def with_header(pdu_type: int, body: bytes) -> bytes:
        return bytes((pdu_type, 0)) + len(body).to_bytes(4, "big") + body

    types = st.one_of(st.sampled_from([kind.value for kind in PDUType]), _BYTE)
    return st.one_of(
        mutated_pdus(),
        st.builds(with_header, st.sampled_from([0x01, 0x02]), associate_bodies()),
        st.builds(with_header, types, st.binary(max_size=96)),
        encoded_pdus(),
        st.binary(max_size=96),
    )


def byte_streams(max_pdus: int = 5) -> st.SearchStrategy[bytes]:
    """Almost valid bytes: up to `max_pdus` PDUs end to end, as a transport would bring them."""
    return st.lists(st.one_of(encoded_pdus(), almost_pdus()), max_size=max_pdus).map(b"".join)


@st.composite
def chunked(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """`data` cut into pieces of at least one byte, as reads of a stream might deliver it."""
    if not data:
        return []
    cuts = draw(st.lists(st.integers(0, len(data)), max_size=8))
    edges = sorted({0, len(data), *cuts})
    return [data[low:high] for low, high in pairwise(edges)]
