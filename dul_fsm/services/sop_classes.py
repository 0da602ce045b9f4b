"""SOP Classes that the service classes of PS3.4 are about, and policies that accept them."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

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


_REMEMBERED: Final = 512
"""Answers of `is_storage`: there are some 200 classes of storage, and a peer asks for all."""


@lru_cache(_REMEMBERED)
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


_META = frozenset(
    (
        "1.2.840.10008.5.1.1.9",  # Basic Grayscale Print Management
        "1.2.840.10008.5.1.1.18",  # Basic Color Print Management
        "1.2.840.10008.5.1.1.9.1",  # Referenced Grayscale Print Management (retired)
        "1.2.840.10008.5.1.1.18.1",  # Referenced Color Print Management (retired)
        "1.2.840.10008.5.1.1.32",  # Pull Stored Print Management (retired)
        "1.2.840.10008.3.1.2.5.4",  # Detached Patient Management (retired)
        "1.2.840.10008.3.1.2.5.5",  # Detached Results Management (retired)
        "1.2.840.10008.3.1.2.5.6",  # Detached Study Management (retired)
    )
)
UNIFIED_PROCEDURE_STEP = "1.2.840.10008.5.1.4.34.6."
"""What the UIDs of the classes of this service begin with (PS3.4 Table CC.3-1)."""
UNIFIED_PROCEDURE_STEP_EVENT = "1.2.840.10008.5.1.4.34.6.4"


def stands_for_others(sop_class_uid: str) -> bool:
    """Whether operations on a context of this class name another SOP Class.

    So it is with Meta SOP Classes (PS3.4 §H.3.2), and with the Unified Procedure Step, whose
    instances are all of the Push class (PS3.4 §CC.3.1). A private class is taken to do so.
    """
    return (
        sop_class_uid in _META
        or sop_class_uid.startswith(UNIFIED_PROCEDURE_STEP)
        or not sop_class_uid.startswith(_DICOM_ROOT)
    )


def choose_any(*accepts: Callable[[str], bool] | str) -> Chooser:
    """A policy: these SOP Classes, or those that a predicate picks, in the first transfer syntax.

    For an acceptor that keeps data sets as they come and so need not know their encoding.
    """
    classes = frozenset(accept for accept in accepts if isinstance(accept, str))
    predicates = [accept for accept in accepts if not isinstance(accept, str)]

    def choose(context: PresentationContextRQ) -> str | ContextResult:
        uid = context.abstract_syntax
        if uid in classes:
            return context.transfer_syntaxes[0]
        for accepts_it in predicates:
            if accepts_it(uid):
                return context.transfer_syntaxes[0]
        return ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED

    return choose
