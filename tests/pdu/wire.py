"""Bytes written by hand from the tables of PS3.8 §9.3 and Annex D and of PS3.7 Annex D.3.3.

Nothing of the package is used to make them: lengths are counted, not computed, where a whole PDU
is spelled out. Each constant has the value beside it that the bytes stand for.
"""

from __future__ import annotations

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
    PresentationContextAC,
    PresentationContextRQ,
    RoleSelection,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityAC,
    UserIdentityRQ,
    UserInformation,
)

VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"

RQ_BYTES = b"".join(
    (
        bytes.fromhex("01 00 00000146"),  # PDU-type, reserved, PDU-length 326
        bytes.fromhex("0001 0000"),  # Protocol-version, reserved
        b"ANY-SCP         ",
        b"ANY-SCU         ",
        bytes(32),
        bytes.fromhex("10 00 0015") + b"1.2.840.10008.3.1.1.1",
        bytes.fromhex("20 00 0045 01 00 00 00"),
        bytes.fromhex("30 00 0011") + b"1.2.840.10008.1.1",
        bytes.fromhex("40 00 0011") + b"1.2.840.10008.1.2",
        bytes.fromhex("40 00 0013") + b"1.2.840.10008.1.2.1",
        bytes.fromhex("50 00 009C"),
        bytes.fromhex("51 00 0004 00020000"),
        bytes.fromhex("52 00 0005") + b"1.2.3",
        bytes.fromhex("53 00 0004 0010 0001"),
        bytes.fromhex("54 00 0015 0011") + b"1.2.840.10008.1.1" + bytes.fromhex("00 01"),
        bytes.fromhex("55 00 0007") + b"DUL_FSM",
        bytes.fromhex("56 00 0016 0011") + b"1.2.840.10008.1.1" + bytes.fromhex("01 02 03"),
        bytes.fromhex("57 00 002F 0011") + b"1.2.840.10008.1.1",
        bytes.fromhex("0011") + b"1.2.840.10008.4.2" + bytes.fromhex("0007 0005") + b"1.2.9",
        bytes.fromhex("58 00 000E 02 01 0004") + b"user" + bytes.fromhex("0004") + b"pass",
    )
)
RQ = AAssociateRQ(
    "ANY-SCP",
    "ANY-SCU",
    (PresentationContextRQ(1, VERIFICATION, (IMPLICIT, EXPLICIT)),),
    UserInformation(
        maximum_length=131072,
        implementation_class_uid="1.2.3",
        implementation_version_name="DUL_FSM",
        asynchronous_operations_window=AsynchronousOperationsWindow(16, 1),
        role_selections=(RoleSelection(VERIFICATION, False, True),),
        extended_negotiations=(SOPClassExtendedNegotiation(VERIFICATION, b"\1\2\3"),),
        common_extended_negotiations=(
            SOPClassCommonExtendedNegotiation(VERIFICATION, "1.2.840.10008.4.2", ("1.2.9",)),
        ),
        user_identity=UserIdentityRQ(2, b"user", b"pass", True),
    ),
)

AC_BYTES = b"".join(
    (
        bytes.fromhex("02 00 000000B5"),  # PDU-type, reserved, PDU-length 181
        bytes.fromhex("0001 0000"),
        b"ANY-SCP         ",
        b"ANY-SCU         ",
        bytes(32),
        bytes.fromhex("10 00 0015") + b"1.2.840.10008.3.1.1.1",
        bytes.fromhex("21 00 0019 01 00 00 00 40 00 0011") + b"1.2.840.10008.1.2",
        bytes.fromhex("21 00 0019 03 00 03 00 40 00 0011") + b"1.2.840.10008.1.2",
        bytes.fromhex("50 00 001A"),
        bytes.fromhex("51 00 0004 00004000"),
        bytes.fromhex("52 00 0005") + b"1.2.3",
        bytes.fromhex("59 00 0005 0003") + b"yes",
    )
)
AC = AAssociateAC(
    (PresentationContextAC(1, 0, IMPLICIT), PresentationContextAC(3, 3, IMPLICIT)),
    UserInformation(
        maximum_length=16384,
        implementation_class_uid="1.2.3",
        user_identity_response=UserIdentityAC(b"yes"),
    ),
    echo=b"ANY-SCP         ANY-SCU         " + bytes(32),
)

P_DATA_BYTES = b"".join(
    (
        bytes.fromhex("04 00 00000011"),  # PDU-type, reserved, PDU-length 17
        bytes.fromhex("00000006 01 03 AABBCCDD"),
        bytes.fromhex("00000003 FF 00 EE"),
    )
)
P_DATA = PDataTF(
    (PDV(1, True, True, bytes.fromhex("AABBCCDD")), PDV(255, False, False, bytes.fromhex("EE")))
)

KNOWN: dict[str, tuple[bytes, PDU]] = {
    "A-ASSOCIATE-RQ": (RQ_BYTES, RQ),
    "A-ASSOCIATE-AC": (AC_BYTES, AC),
    "A-ASSOCIATE-RJ": (bytes.fromhex("03 00 00000004 00 01 02 03"), AAssociateRJ(1, 2, 3)),
    "P-DATA-TF": (P_DATA_BYTES, P_DATA),
    "A-RELEASE-RQ": (bytes.fromhex("05 00 00000004 00000000"), AReleaseRQ()),
    "A-RELEASE-RP": (bytes.fromhex("06 00 00000004 00000000"), AReleaseRP()),
    "A-ABORT": (bytes.fromhex("07 00 00000004 00 00 02 06"), AAbort(2, 6)),
}
"""Each of the seven PDUs: its bytes, and what they stand for."""


def item(kind: int, content: bytes) -> bytes:
    """An item or sub-item: type, reserved, 16-bit length, content."""
    return bytes((kind, 0)) + len(content).to_bytes(2, "big") + content


def field(content: bytes) -> bytes:
    """A 16-bit length and the content."""
    return len(content).to_bytes(2, "big") + content


FIXED = RQ_BYTES[6:74]
"""The 68 bytes before the first item of an A-ASSOCIATE-RQ or -AC."""

NAME = item(0x10, b"1.2.840.10008.3.1.1.1")
CONTEXT_RQ = item(0x20, b"\1\0\0\0" + item(0x30, b"1.1") + item(0x40, b"1.2"))
CONTEXT_AC = item(0x21, b"\1\0\0\0" + item(0x40, b"1.2"))
USER = item(0x50, item(0x51, bytes.fromhex("00004000")))


def rq_body(*items: bytes) -> bytes:
    """The body of an A-ASSOCIATE-RQ with these items; without any, the least that is valid."""
    return FIXED + b"".join(items or (NAME, CONTEXT_RQ, USER))


def ac_body(*items: bytes) -> bytes:
    """The body of an A-ASSOCIATE-AC with these items; without any, the least that is valid."""
    return FIXED + b"".join(items or (NAME, CONTEXT_AC, USER))
