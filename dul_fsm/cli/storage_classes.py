"""What a C-GET proposes to receive: Storage SOP Classes, and how they may be encoded.

An association has 128 presentation contexts (PS3.8 §7.1.1.13), one of which is the C-GET's, and the
standard has more Storage SOP Classes than that. So there is one context for each, with all transfer
syntaxes in it, and what archives seldom hold is left out; whoever wants it names it.

Rule: uncompressed transfer syntaxes come first, since every peer can send these. The peer chooses.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

MAXIMUM: Final = 127
"""SOP Classes to propose besides that of the C-GET."""

TRANSFER_SYNTAXES: Final = (
    "1.2.840.10008.1.2.1",  # Explicit VR Little Endian
    "1.2.840.10008.1.2",  # Implicit VR Little Endian
    "1.2.840.10008.1.2.4.70",  # JPEG Lossless, first-order prediction
    "1.2.840.10008.1.2.4.50",  # JPEG Baseline
    "1.2.840.10008.1.2.4.51",  # JPEG Extended
    "1.2.840.10008.1.2.4.57",  # JPEG Lossless
    "1.2.840.10008.1.2.4.80",  # JPEG-LS Lossless
    "1.2.840.10008.1.2.4.81",  # JPEG-LS Lossy
    "1.2.840.10008.1.2.4.90",  # JPEG 2000 Lossless
    "1.2.840.10008.1.2.4.91",  # JPEG 2000
    "1.2.840.10008.1.2.4.201",  # High-Throughput JPEG 2000 Lossless
    "1.2.840.10008.1.2.4.202",  # High-Throughput JPEG 2000 RPCL Lossless
    "1.2.840.10008.1.2.4.203",  # High-Throughput JPEG 2000
    "1.2.840.10008.1.2.5",  # RLE Lossless
    "1.2.840.10008.1.2.4.100",  # MPEG2 Main Profile, Main Level
    "1.2.840.10008.1.2.4.101",  # MPEG2 Main Profile, High Level
    "1.2.840.10008.1.2.4.102",  # MPEG-4 AVC/H.264 High Profile
    "1.2.840.10008.1.2.4.103",  # MPEG-4 AVC/H.264 BD-compatible
    "1.2.840.10008.1.2.4.107",  # HEVC/H.265 Main Profile
    "1.2.840.10008.1.2.1.99",  # Deflated Explicit VR Little Endian
)

_ROOT: Final = "1.2.840.10008.5.1.4.1.1."

# Below the root: branches that archives of images seldom hold.
_SELDOM: Final = (
    "9.5.",  # pulse,
    "9.6.",  # respiratory,
    "9.7.",  # electroencephalogram
    "9.8.",  # and body position waveforms
    "11.6",  # volumetric presentation states: grayscale,
    "11.7",  # compositing
    "11.9",  # and volume rendering
    "11.10",
    "11.11",
    "14.",  # intravascular optical coherence tomography
    "68.",  # surface scans
    "77.1.5.5",  # wide field
    "77.1.5.6",
    "77.1.5.7",  # and derived ophthalmic tomography
    "77.1.5.8",
    "77.1.8",  # confocal microscopy
    "78.",  # eye measurements
    "79.",
    "80.",
    "81.",
    "82.",
    "90.",  # content assessment
    "91.",  # microscopy annotations
    "104.5",  # encapsulated materials
    "131",  # structured display
    "200.",  # protocols
    "201.",  # inventories
    "481.1?",  # second generation radiotherapy
    "481.2?",
    "501.",  # security
    "601.",  # eddy current
)

# Retired, and still in archives.
_RETIRED: Final = ("3", "5", "6", "12.3", "77.1", "77.2", "9.1", "88.1", "88.2", "88.3", "88.4")


def storage_classes() -> list[str]:
    """UIDs of the Storage SOP Classes to propose unless told otherwise; at most `MAXIMUM`."""
    from fnmatch import fnmatchcase

    from pydicom.uid import UID_dictionary  # type: ignore[attr-defined]

    patterns = [f"{_ROOT}{one}*" for one in _SELDOM]
    return [
        uid
        for uid, entry in UID_dictionary.items()
        if uid.startswith(_ROOT)
        and entry[1] == "SOP Class"
        and (not entry[3] or uid.removeprefix(_ROOT) in _RETIRED)
        and not any(fnmatchcase(uid, pattern) for pattern in patterns)
    ]


def contexts(sop_classes: Iterable[str]) -> list[tuple[str, tuple[str, ...]]]:
    """A presentation context to propose for each SOP Class."""
    return [(uid, TRANSFER_SYNTAXES) for uid in sop_classes]


def roles(sop_classes: Iterable[str]) -> dict[str, tuple[bool, bool]]:
    """The roles to propose: we are the SCP, and the peer the SCU (PS3.4 §C.5.3)."""
    return {uid: (False, True) for uid in sop_classes}
