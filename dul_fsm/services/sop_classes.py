"""SOP Classes that the service classes of PS3.4 are about, and policies that accept them."""

from __future__ import annotations

from collections.abc import Callable

from dul_fsm.negotiation import Chooser
from dul_fsm.pdu import ContextResult, PresentationContextRQ

VERIFICATION = "1.2.840.10008.1.1"
"""Verification SOP Class (PS3.4 Annex A)."""

PATIENT_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.1.1"
PATIENT_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.1.2"
PATIENT_ROOT_GET = "1.2.840.10008.5.1.4.1.2.1.3"
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"
MODALITY_WORKLIST_FIND = "1.2.840.10008.5.1.4.31"

_STORAGE_ROOT = "1.2.840.10008.5.1.4.1.1."
_STORAGE_ELSEWHERE = frozenset(
    (
        "1.2.840.10008.5.1.4.34.7",  # RT Beams Delivery Instruction
        "1.2.840.10008.5.1.4.34.10",  # RT Brachy Application Setup Delivery Instruction
        "1.2.840.10008.5.1.4.38.1",  # Hanging Protocol
        "1.2.840.10008.5.1.4.39.1",  # Color Palette
        "1.2.840.10008.5.1.4.43.1",  # Generic Implant Template
        "1.2.840.10008.5.1.4.44.1",  # Implant Assembly Template
        "1.2.840.10008.5.1.4.45.1",  # Implant Template Group
        "1.2.840.10008.5.1.1.27",  # Stored Print (retired)
        "1.2.840.10008.5.1.1.29",  # Hardcopy Grayscale Image (retired)
        "1.2.840.10008.5.1.1.30",  # Hardcopy Color Image (retired)
    )
)
_DICOM_ROOT = "1.2.840.10008."


def is_storage(sop_class_uid: str) -> bool:
    """Whether a SOP Class is one of instances that C-STORE carries (PS3.4 Annexes B, GG).

    The standard registers storage classes under one branch, and a few elsewhere; a private SOP
    Class is taken for a storage class, for that is what vendors define them for.
    """
    return (
        sop_class_uid.startswith(_STORAGE_ROOT)
        or sop_class_uid in _STORAGE_ELSEWHERE
        or not sop_class_uid.startswith(_DICOM_ROOT)
    )


def choose_any(*accepts: Callable[[str], bool] | str) -> Chooser:
    """A policy: these SOP Classes, or those that a predicate picks, in the first transfer syntax.

    For an acceptor that keeps data sets as they come and so need not know their encoding.
    """

    def choose(context: PresentationContextRQ) -> str | ContextResult:
        uid = context.abstract_syntax
        if any(accept == uid if isinstance(accept, str) else accept(uid) for accept in accepts):
            return context.transfer_syntaxes[0]
        return ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED

    return choose
