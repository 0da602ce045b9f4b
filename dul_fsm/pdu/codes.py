"""The codes that PDUs and their items carry, named as PS3.8 §9.3 and Annex D name them.

An enumeration holds only the values that the standard assigns. A received value is kept as the
plain integer it was, because a reserved one must be neither tested nor lost; `describe_reject`
and `describe_abort` put any byte value into words.

Not here: which of these values is sent when (`fsm`, `upper_layer`, `negotiation`).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class PDUType(IntEnum):
    """The seven PDU types, byte 1 of every PDU (PS3.8 §9.3)."""

    A_ASSOCIATE_RQ = 0x01
    A_ASSOCIATE_AC = 0x02
    A_ASSOCIATE_RJ = 0x03
    P_DATA_TF = 0x04
    A_RELEASE_RQ = 0x05
    A_RELEASE_RP = 0x06
    A_ABORT = 0x07


class ItemType(IntEnum):
    """The items and sub-items of the A-ASSOCIATE PDUs (PS3.8 §9.3.2, Annex D; PS3.7 Annex D)."""

    APPLICATION_CONTEXT = 0x10
    PRESENTATION_CONTEXT_RQ = 0x20
    PRESENTATION_CONTEXT_AC = 0x21
    ABSTRACT_SYNTAX = 0x30
    TRANSFER_SYNTAX = 0x40
    USER_INFORMATION = 0x50
    MAXIMUM_LENGTH = 0x51
    IMPLEMENTATION_CLASS_UID = 0x52
    ASYNCHRONOUS_OPERATIONS_WINDOW = 0x53
    ROLE_SELECTION = 0x54
    IMPLEMENTATION_VERSION_NAME = 0x55
    SOP_CLASS_EXTENDED_NEGOTIATION = 0x56
    SOP_CLASS_COMMON_EXTENDED_NEGOTIATION = 0x57
    USER_IDENTITY_RQ = 0x58
    USER_IDENTITY_AC = 0x59


class RejectResult(IntEnum):
    """Result of an A-ASSOCIATE-RJ (PS3.8 Table 9-21)."""

    REJECTED_PERMANENT = 1
    REJECTED_TRANSIENT = 2


class RejectSource(IntEnum):
    """Source of an A-ASSOCIATE-RJ (PS3.8 Table 9-21)."""

    SERVICE_USER = 1
    SERVICE_PROVIDER_ACSE = 2
    SERVICE_PROVIDER_PRESENTATION = 3


class RejectReasonUser(IntEnum):
    """Reason/Diag. of an A-ASSOCIATE-RJ whose source is the UL service-user (PS3.8 Table 9-21)."""

    NO_REASON_GIVEN = 1
    APPLICATION_CONTEXT_NAME_NOT_SUPPORTED = 2
    CALLING_AE_TITLE_NOT_RECOGNIZED = 3
    CALLED_AE_TITLE_NOT_RECOGNIZED = 7


class RejectReasonACSE(IntEnum):
    """Reason/Diag. when the source is the UL service-provider, ACSE (PS3.8 Table 9-21)."""

    NO_REASON_GIVEN = 1
    PROTOCOL_VERSION_NOT_SUPPORTED = 2


class RejectReasonPresentation(IntEnum):
    """Reason/Diag. when the source is the UL service-provider, Presentation (PS3.8 Table 9-21)."""

    TEMPORARY_CONGESTION = 1
    LOCAL_LIMIT_EXCEEDED = 2


class AbortSource(IntEnum):
    """Source of an A-ABORT (PS3.8 Table 9-26); 1 is reserved and never sent."""

    SERVICE_USER = 0
    SERVICE_PROVIDER = 2


class AbortReason(IntEnum):
    """Reason/Diag. of an A-ABORT of the service-provider (PS3.8 Table 9-26); 3 is reserved."""

    REASON_NOT_SPECIFIED = 0
    UNRECOGNIZED_PDU = 1
    UNEXPECTED_PDU = 2
    UNRECOGNIZED_PDU_PARAMETER = 4
    UNEXPECTED_PDU_PARAMETER = 5
    INVALID_PDU_PARAMETER_VALUE = 6


class ContextResult(IntEnum):
    """Result/Reason of a presentation context in an A-ASSOCIATE-AC (PS3.8 Table 9-18)."""

    ACCEPTANCE = 0
    USER_REJECTION = 1
    NO_REASON = 2
    ABSTRACT_SYNTAX_NOT_SUPPORTED = 3
    TRANSFER_SYNTAXES_NOT_SUPPORTED = 4


class UserIdentityType(IntEnum):
    """User-Identity-Type of a 58H sub-item (PS3.7 Table D.3-14)."""

    USERNAME = 1
    USERNAME_AND_PASSCODE = 2
    KERBEROS_SERVICE_TICKET = 3
    SAML_ASSERTION = 4
    JSON_WEB_TOKEN = 5


# The words of Tables 9-21 and 9-26. Text of its own, because the standard's capitals and hyphens
# cannot be had back from a Python name.
_REJECT_RESULT: Final = {1: "rejected-permanent", 2: "rejected-transient"}
_REJECT_SOURCE: Final = {
    1: "UL service-user",
    2: "UL service-provider (ACSE)",
    3: "UL service-provider (Presentation)",
}
_REJECT_REASON: Final = {
    (1, 1): "no-reason-given",
    (1, 2): "application-context-name-not-supported",
    (1, 3): "calling-AE-title-not-recognized",
    (1, 7): "called-AE-title-not-recognized",
    (2, 1): "no-reason-given",
    (2, 2): "protocol-version-not-supported",
    (3, 1): "temporary-congestion",
    (3, 2): "local-limit-exceeded",
}
_ABORT_REASON: Final = {
    0: "reason-not-specified",
    1: "unrecognized-PDU",
    2: "unexpected-PDU",
    4: "unrecognized-PDU-parameter",
    5: "unexpected-PDU-parameter",
    6: "invalid-PDU-parameter-value",
}


def describe_reject(result: int, source: int, reason: int) -> str:
    """The three bytes of an A-ASSOCIATE-RJ in the words of PS3.8 Table 9-21.

    Any value is fine; one that the standard does not assign is shown as `reason 5 (reserved)`.
    """
    return (
        f"{_REJECT_RESULT.get(result, f'result {result} (reserved)')}"
        f" by {_REJECT_SOURCE.get(source, f'source {source} (reserved)')}"
        f": {_REJECT_REASON.get((source, reason), f'reason {reason} (reserved)')}"
    )


def describe_abort(source: int, reason: int) -> str:
    """The two bytes of an A-ABORT in the words of PS3.8 Table 9-26.

    Any value is fine. The reason of a service-user's abort is not significant and not shown.
    """
    if source == AbortSource.SERVICE_USER:
        return "aborted by UL service-user"
    by = (
        "UL service-provider"
        if source == AbortSource.SERVICE_PROVIDER
        else f"source {source} (reserved)"
    )
    return f"aborted by {by}: {_ABORT_REASON.get(reason, f'reason {reason} (reserved)')}"
