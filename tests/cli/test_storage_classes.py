"""`cli.storage_classes`: what a C-GET proposes fits into an association."""

from __future__ import annotations

from pydicom.uid import UID

from dul_fsm.cli.storage_classes import (
    MAXIMUM,
    TRANSFER_SYNTAXES,
    contexts,
    roles,
    storage_classes,
)
from dul_fsm.negotiation import build_request
from dul_fsm.pdu import encode
from dul_fsm.services.sop_classes import STUDY_ROOT_GET, is_storage


def test_what_is_proposed_is_storage_and_fits_with_the_get_itself() -> None:
    uids = storage_classes()
    assert all(is_storage(uid) for uid in uids)
    assert len(uids) == len(set(uids)) <= MAXIMUM
    request = build_request(
        [STUDY_ROOT_GET, *contexts(uids)],
        called_ae_title="A",
        calling_ae_title="B",
        maximum_length=0,
        roles=roles(uids),
    )
    assert encode(request)


def test_what_archives_are_full_of_is_among_them() -> None:
    names = {UID(uid).name for uid in storage_classes()}
    assert names >= {
        "CT Image Storage",
        "Enhanced MR Image Storage",
        "Digital X-Ray Image Storage - For Presentation",
        "Ultrasound Image Storage",
        "Positron Emission Tomography Image Storage",
        "RT Plan Storage",
        "Segmentation Storage",
        "Encapsulated PDF Storage",
        "X-Ray Radiation Dose SR Storage",
        "Grayscale Softcopy Presentation State Storage",
        "VL Whole Slide Microscopy Image Storage",
    }
    assert "1.2.840.10008.5.1.4.1.1.6" in storage_classes()  # retired, and in old archives
    assert "DICOS CT Image Storage" not in names
    assert "CT Defined Procedure Protocol Storage" not in names


def test_every_transfer_syntax_is_one() -> None:
    assert all(UID(uid).is_transfer_syntax for uid in TRANSFER_SYNTAXES)
    assert not UID(TRANSFER_SYNTAXES[0]).is_compressed


def test_we_are_the_scp_of_what_is_retrieved() -> None:
    assert roles(["1.2"]) == {"1.2": (False, True)}
