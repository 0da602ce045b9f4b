"""Which attributes an index knows, and of which level each is (PS3.4 §C.6.1.1, §C.6.2.1).

Rules: top-level attributes that are text, as far as every composite instance may have them: what a
C-FIND usually asks for. An attribute is of the level of its module's information entity (PS3.3
§A.1.2). What is counted or gathered from the levels below is computed when it is asked for.

Not here: sequences and numbers in binary, which an index does not keep, and so does not return.
"""

from __future__ import annotations

from typing import Final

from dul_fsm.query.models import IMAGE, PATIENT, SERIES, STUDY

SPECIFIC_CHARACTER_SET: Final = 0x00080005
SOP_CLASS_UID: Final = 0x00080016
MODALITY: Final = 0x00080060
AVAILABLE_TRANSFER_SYNTAX_UID: Final = 0x00083002

_PATIENT: Final[dict[int, str]] = {
    0x00100010: "PN",  # Patient's Name
    0x00100020: "LO",  # Patient ID
    0x00100021: "LO",  # Issuer of Patient ID
    0x00100030: "DA",  # Patient's Birth Date
    0x00100032: "TM",  # Patient's Birth Time
    0x00100040: "CS",  # Patient's Sex
    0x00101000: "LO",  # Other Patient IDs (retired)
    0x00101001: "PN",  # Other Patient Names
    0x00102160: "SH",  # Ethnic Group
    0x00104000: "LT",  # Patient Comments
}
_STUDY: Final[dict[int, str]] = {
    0x00080020: "DA",  # Study Date
    0x00080030: "TM",  # Study Time
    0x00080050: "SH",  # Accession Number
    0x00080090: "PN",  # Referring Physician's Name
    0x00081030: "LO",  # Study Description
    0x00081048: "PN",  # Physician(s) of Record
    0x00081060: "PN",  # Name of Physician(s) Reading Study
    0x00081080: "LO",  # Admitting Diagnoses Description
    0x00101010: "AS",  # Patient's Age
    0x00101020: "DS",  # Patient's Size
    0x00101030: "DS",  # Patient's Weight
    0x00102180: "SH",  # Occupation
    0x001021B0: "LT",  # Additional Patient History
    0x0020000D: "UI",  # Study Instance UID
    0x00200010: "SH",  # Study ID
}
_SERIES: Final[dict[int, str]] = {
    0x00080021: "DA",  # Series Date
    0x00080031: "TM",  # Series Time
    MODALITY: "CS",
    0x00080070: "LO",  # Manufacturer
    0x00080080: "LO",  # Institution Name
    0x00081010: "SH",  # Station Name
    0x0008103E: "LO",  # Series Description
    0x00081040: "LO",  # Institutional Department Name
    0x00081050: "PN",  # Performing Physician's Name
    0x00081070: "PN",  # Operators' Name
    0x00081090: "LO",  # Manufacturer's Model Name
    0x00180015: "CS",  # Body Part Examined
    0x00181000: "LO",  # Device Serial Number
    0x00181020: "LO",  # Software Versions
    0x00181030: "LO",  # Protocol Name
    0x00185100: "CS",  # Patient Position
    0x0020000E: "UI",  # Series Instance UID
    0x00200011: "IS",  # Series Number
    0x00200052: "UI",  # Frame of Reference UID
    0x00200060: "CS",  # Laterality
}
_IMAGE: Final[dict[int, str]] = {
    0x00080008: "CS",  # Image Type
    0x00080012: "DA",  # Instance Creation Date
    0x00080013: "TM",  # Instance Creation Time
    SOP_CLASS_UID: "UI",
    0x00080018: "UI",  # SOP Instance UID
    0x00080022: "DA",  # Acquisition Date
    0x00080023: "DA",  # Content Date
    0x0008002A: "DT",  # Acquisition DateTime
    0x00080032: "TM",  # Acquisition Time
    0x00080033: "TM",  # Content Time
    0x00200012: "IS",  # Acquisition Number
    0x00200013: "IS",  # Instance Number
    0x00280004: "CS",  # Photometric Interpretation
    0x00280008: "IS",  # Number of Frames
}

STORED: Final[dict[str, dict[int, str]]] = {
    PATIENT: _PATIENT,
    STUDY: _STUDY,
    SERIES: _SERIES,
    IMAGE: _IMAGE,
}
"""Tag and VR of what is kept of an instance, by level."""

COMPUTED: Final[dict[str, dict[int, str]]] = {
    PATIENT: {
        0x00201200: "IS",  # Number of Patient Related Studies
        0x00201202: "IS",  # Number of Patient Related Series
        0x00201204: "IS",  # Number of Patient Related Instances
    },
    STUDY: {
        0x00080061: "CS",  # Modalities in Study
        0x00080062: "UI",  # SOP Classes in Study
        0x00201206: "IS",  # Number of Study Related Series
        0x00201208: "IS",  # Number of Study Related Instances
    },
    SERIES: {0x00201209: "IS"},  # Number of Series Related Instances
    IMAGE: {AVAILABLE_TRANSFER_SYNTAX_UID: "UI"},
}
"""Tag and VR of what follows from the levels below (PS3.4 Table C.3-1), by level."""

KNOWN: Final[dict[int, tuple[str, str]]] = {
    tag: (level, vr)
    for table in (STORED, COMPUTED)
    for level, attributes in table.items()
    for tag, vr in attributes.items()
}
"""Level and VR of every attribute that an index can return."""

TAGS: Final = frozenset(
    (SPECIFIC_CHARACTER_SET, *(tag for tags in STORED.values() for tag in tags))
)
"""What is looked for in an instance."""
