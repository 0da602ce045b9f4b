"""The seven PDUs and their presentation contexts as values (PS3.8 §9.3).

Values hold what was said, not what it means: nothing is checked when one is made, and reserved
code values are kept as they came. What cannot be put on the wire is refused by `encode`.

Not here: user information (`user_information`), codes (`codes`), bytes (`codec`).
"""

from __future__ import annotations

from typing import ClassVar

from dul_fsm.pdu.codes import PDUType
from dul_fsm.pdu.limits import DICOM_APPLICATION_CONTEXT_NAME, PROTOCOL_VERSION
from dul_fsm.pdu.user_information import UserInformation
from dul_fsm.value import value


@value
class PresentationContextRQ:
    """20H: a presentation context as it is proposed (PS3.8 §9.3.2.2)."""

    context_id: int
    """Presentation-context-ID; odd, 1..255, unique in its PDU."""
    abstract_syntax: str
    """The SOP class or Meta SOP class UID; 1..64 characters."""
    transfer_syntaxes: tuple[str, ...]
    """The transfer syntax UIDs proposed for it; at least one, each 1..64 characters."""


@value
class PresentationContextAC:
    """21H: the answer to one proposed presentation context (PS3.8 §9.3.3.2)."""

    context_id: int
    """Presentation-context-ID of the proposal; odd, 1..255, unique in its PDU."""
    result: int
    """A `ContextResult`; 0 acceptance, anything else a rejection. Kept as it came."""
    transfer_syntax: str | None
    """The accepted transfer syntax UID; 1..64 characters.

    Not significant in a rejection, and None there when the peer sent none, or none to be read.
    """


@value
class AAssociateRQ:
    """A-ASSOCIATE-RQ (PS3.8 §9.3.2)."""

    pdu_type: ClassVar[PDUType] = PDUType.A_ASSOCIATE_RQ
    """01H."""

    called_ae_title: str
    """Called-AE-title; 1..16 characters without the padding; a received one may be empty."""
    calling_ae_title: str
    """Calling-AE-title; 1..16 characters without the padding; a received one may be empty."""
    presentation_contexts: tuple[PresentationContextRQ, ...]
    """The proposed presentation contexts, 1..128, in the order of the wire."""
    user_information: UserInformation
    """The user information item."""
    application_context_name: str = DICOM_APPLICATION_CONTEXT_NAME
    """A UID; 1..64 characters."""
    protocol_version: int = PROTOCOL_VERSION
    """Bit mask of 16 bits; kept as it came, for the upper layer to test bit 0."""
    reserved: bytes = bytes(32)
    """Bytes 43-74; sent as zeros, never tested, echoed in an A-ASSOCIATE-AC."""


@value
class AAssociateAC:
    """A-ASSOCIATE-AC (PS3.8 §9.3.3)."""

    pdu_type: ClassVar[PDUType] = PDUType.A_ASSOCIATE_AC
    """02H."""

    presentation_contexts: tuple[PresentationContextAC, ...]
    """The answers, one per proposed presentation context, in any order."""
    user_information: UserInformation
    """The user information item."""
    application_context_name: str = DICOM_APPLICATION_CONTEXT_NAME
    """A UID; 1..64 characters."""
    protocol_version: int = PROTOCOL_VERSION
    """Bit mask of 16 bits; kept as it came, for the upper layer to test bit 0."""
    echo: bytes = bytes(64)
    """Bytes 11-74: a copy of those of the A-ASSOCIATE-RQ (bytes 4..67 of its body); never tested.

    The copy is of the wire, not of the AE titles, which lost their padding when they were decoded.
    """


@value
class AAssociateRJ:
    """A-ASSOCIATE-RJ (PS3.8 §9.3.4)."""

    pdu_type: ClassVar[PDUType] = PDUType.A_ASSOCIATE_RJ
    """03H."""

    result: int
    """A `RejectResult`; 0..255, kept as it came."""
    source: int
    """A `RejectSource`; 0..255, kept as it came."""
    reason: int
    """Reason/Diag., whose meaning depends on `source`; 0..255, kept as it came."""


@value
class PDV:
    """A presentation data value: one fragment of a message (PS3.8 §9.3.5.1, Annex E)."""

    context_id: int
    """Presentation-context-ID; odd, 1..255."""
    is_command: bool
    """Message control header bit 0: a fragment of the command set, else of the data set."""
    is_last: bool
    """Message control header bit 1: the last fragment of its command set or data set."""
    fragment: bytes | memoryview
    """The fragment, in bytes (a memoryview of format "B").

    A decoded one is a slice of the buffer that it was decoded from, not a copy.
    """

    def __repr__(self) -> str:
        # Not the fragment itself: it is large, and it is a patient's.
        return (
            f"PDV(context_id={self.context_id}, is_command={self.is_command},"
            f" is_last={self.is_last}, fragment=<{len(self.fragment)} bytes>)"
        )


@value
class PDataTF:
    """P-DATA-TF (PS3.8 §9.3.5)."""

    pdu_type: ClassVar[PDUType] = PDUType.P_DATA_TF
    """04H."""

    pdvs: tuple[PDV, ...]
    """The presentation data values, at least one, in the order of the wire."""


@value
class AReleaseRQ:
    """A-RELEASE-RQ (PS3.8 §9.3.6); it carries nothing."""

    pdu_type: ClassVar[PDUType] = PDUType.A_RELEASE_RQ
    """05H."""


@value
class AReleaseRP:
    """A-RELEASE-RP (PS3.8 §9.3.7); it carries nothing."""

    pdu_type: ClassVar[PDUType] = PDUType.A_RELEASE_RP
    """06H."""


@value
class AAbort:
    """A-ABORT (PS3.8 §9.3.8)."""

    pdu_type: ClassVar[PDUType] = PDUType.A_ABORT
    """07H."""

    source: int
    """An `AbortSource`; 0..255, kept as it came."""
    reason: int
    """An `AbortReason`, significant only if the source is the service-provider; 0..255."""


PDU = AAssociateRQ | AAssociateAC | AAssociateRJ | PDataTF | AReleaseRQ | AReleaseRP | AAbort
"""Any of the seven PDUs."""
