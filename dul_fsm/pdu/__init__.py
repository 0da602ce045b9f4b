"""PDUs: bytes to values and back (PS3.8 §9.3 and Annex D; PS3.7 Annex D).

Rules
  * Values are frozen and hold what was said; encoding refuses what the wire has no place for.
  * Decoding raises `PDUError` with the reason for the A-ABORT, and nothing else, whatever came.
  * Strict in what is sent. In what is received: reserved bytes are not tested, unknown items are
    skipped, item order and padded UIDs are put up with.

Not here: the state machine (`fsm`), deadlines and buffers (`upper_layer`), what a proposal leads
to (`negotiation`), messages (`dimse`).
"""

from dul_fsm.pdu.codec import check_header, decode, decode_body, encode
from dul_fsm.pdu.codes import (
    AbortReason,
    AbortSource,
    ContextResult,
    ItemType,
    PDUType,
    RejectReasonACSE,
    RejectReasonPresentation,
    RejectReasonUser,
    RejectResult,
    RejectSource,
    UserIdentityType,
    describe_abort,
    describe_reject,
)
from dul_fsm.pdu.limits import (
    DEFAULT_MAXIMUM_LENGTH,
    DICOM_APPLICATION_CONTEXT_NAME,
    HEADER_LENGTH,
    MAX_ASSOCIATE_LENGTH,
    MAX_P_DATA_LENGTH,
    MAX_PDVS,
    PROTOCOL_VERSION,
)
from dul_fsm.pdu.p_data import decode_pdvs, p_data_header
from dul_fsm.pdu.user_information import (
    AsynchronousOperationsWindow,
    RoleSelection,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityAC,
    UserIdentityRQ,
    UserInformation,
)
from dul_fsm.pdu.values import (
    PDU,
    PDV,
    AAbort,
    AAssociateAC,
    AAssociateRJ,
    AAssociateRQ,
    AReleaseRP,
    AReleaseRQ,
    PDataTF,
    PresentationContextAC,
    PresentationContextRQ,
)

__all__ = [
    "DEFAULT_MAXIMUM_LENGTH",
    "DICOM_APPLICATION_CONTEXT_NAME",
    "HEADER_LENGTH",
    "MAX_ASSOCIATE_LENGTH",
    "MAX_PDVS",
    "MAX_P_DATA_LENGTH",
    "PDU",
    "PDV",
    "PROTOCOL_VERSION",
    "AAbort",
    "AAssociateAC",
    "AAssociateRJ",
    "AAssociateRQ",
    "AReleaseRP",
    "AReleaseRQ",
    "AbortReason",
    "AbortSource",
    "AsynchronousOperationsWindow",
    "ContextResult",
    "ItemType",
    "PDUType",
    "PDataTF",
    "PresentationContextAC",
    "PresentationContextRQ",
    "RejectReasonACSE",
    "RejectReasonPresentation",
    "RejectReasonUser",
    "RejectResult",
    "RejectSource",
    "RoleSelection",
    "SOPClassCommonExtendedNegotiation",
    "SOPClassExtendedNegotiation",
    "UserIdentityAC",
    "UserIdentityRQ",
    "UserIdentityType",
    "UserInformation",
    "check_header",
    "decode",
    "decode_body",
    "decode_pdvs",
    "describe_abort",
    "describe_reject",
    "encode",
    "p_data_header",
]
