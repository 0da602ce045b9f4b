"""Which SOP Classes are of storage, and policies that accept them."""

from __future__ import annotations

import pytest

from dul_fsm.pdu import ContextResult, PresentationContextRQ
from dul_fsm.services.sop_classes import (
    MODALITY_WORKLIST_FIND,
    PATIENT_ROOT_FIND,
    PATIENT_ROOT_GET,
    PATIENT_ROOT_MOVE,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    VERIFICATION,
    choose_any,
    is_storage,
)


@pytest.mark.parametrize(
    "uid",
    [
        "1.2.840.10008.5.1.4.1.1.2",
        "1.2.840.10008.5.1.4.1.1.88.22",
        "1.2.840.10008.5.1.4.34.7",
        "1.2.840.10008.5.1.4.38.1",
        "1.3.12.2.1107.5.9.1",  # a vendor's own
    ],
)
def test_instances_are_stored(uid: str) -> None:
    assert is_storage(uid)


@pytest.mark.parametrize(
    "uid",
    [
        VERIFICATION,
        PATIENT_ROOT_FIND,
        PATIENT_ROOT_MOVE,
        PATIENT_ROOT_GET,
        STUDY_ROOT_FIND,
        STUDY_ROOT_MOVE,
        STUDY_ROOT_GET,
        MODALITY_WORKLIST_FIND,
        "1.2.840.10008.1.20.1",  # Storage Commitment Push Model
    ],
)
def test_services_are_not(uid: str) -> None:
    assert not is_storage(uid)


def test_a_policy_takes_the_first_transfer_syntax_of_what_it_accepts() -> None:
    choose = choose_any(VERIFICATION, is_storage)
    syntaxes = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2")
    for uid in (VERIFICATION, "1.2.840.10008.5.1.4.1.1.2"):
        assert choose(PresentationContextRQ(1, uid, syntaxes)) == syntaxes[0]
    refused = choose(PresentationContextRQ(1, STUDY_ROOT_FIND, syntaxes))
    assert refused is ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED
