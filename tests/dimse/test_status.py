"""Status codes: categories over all 65536 of them, meanings by service."""

from __future__ import annotations

import re

import pytest

from dul_fsm.dimse import status
from dul_fsm.dimse.status import StatusCategory, category, describe

# PS3.7 Annex C, on four hexadecimal digits. No code is in two ranges.
RANGES = {
    StatusCategory.SUCCESS: "0000",
    StatusCategory.WARNING: "0001|B...|0107|0116",
    StatusCategory.FAILURE: "A...|C...|01(?!07|16)..|02..",
    StatusCategory.CANCEL: "FE00",
    StatusCategory.PENDING: "FF00|FF01",
}


def allowed(code: int) -> list[StatusCategory]:
    return [name for name, codes in RANGES.items() if re.fullmatch(codes, f"{code:04X}")]


def test_each_of_the_65536_codes_has_the_category_of_its_range() -> None:
    for code in range(65536):
        expected = allowed(code)
        assert len(expected) < 2
        assert [category(code)] == (expected or [StatusCategory.FAILURE])


def test_as_many_codes_as_the_ranges_have_are_in_each_category() -> None:
    counted = dict.fromkeys(StatusCategory, 0)
    unknown = 0
    for code in range(65536):
        counted[category(code)] += 1
        unknown += not allowed(code)
    assert counted == {
        StatusCategory.SUCCESS: 1,
        StatusCategory.WARNING: 4096 + 3,
        StatusCategory.FAILURE: 2 * 4096 + 2 * 256 - 2 + unknown,
        StatusCategory.CANCEL: 1,
        StatusCategory.PENDING: 2,
    }


# PS3.7 Annex C; PS3.4 Tables B.2-1, C.4-1 to C.4-3.
CODES = """
SUCCESS                                     0000 success
REQUESTED_OPTIONAL_ATTRIBUTES_NOT_SUPPORTED 0001 requested optional attributes not supported
NO_SUCH_ATTRIBUTE                           0105 no such attribute
INVALID_ATTRIBUTE_VALUE                     0106 invalid attribute value
ATTRIBUTE_LIST_ERROR                        0107 attribute list error
PROCESSING_FAILURE                          0110 processing failure
DUPLICATE_SOP_INSTANCE                      0111 duplicate SOP instance
NO_SUCH_SOP_INSTANCE                        0112 no such SOP instance
NO_SUCH_EVENT_TYPE                          0113 no such event type
NO_SUCH_ARGUMENT                            0114 no such argument
INVALID_ARGUMENT_VALUE                      0115 invalid argument value
ATTRIBUTE_VALUE_OUT_OF_RANGE                0116 attribute value out of range
INVALID_SOP_INSTANCE                        0117 invalid SOP instance
NO_SUCH_SOP_CLASS                           0118 no such SOP class
CLASS_INSTANCE_CONFLICT                     0119 class-instance conflict
MISSING_ATTRIBUTE                           0120 missing attribute
MISSING_ATTRIBUTE_VALUE                     0121 missing attribute value
SOP_CLASS_NOT_SUPPORTED                     0122 refused: SOP class not supported
NO_SUCH_ACTION_TYPE                         0123 no such action type
NOT_AUTHORIZED                              0124 refused: not authorized
DUPLICATE_INVOCATION                        0210 duplicate invocation
UNRECOGNIZED_OPERATION                      0211 unrecognized operation
MISTYPED_ARGUMENT                           0212 mistyped argument
RESOURCE_LIMITATION                         0213 resource limitation
CANCEL                                      FE00 terminated by cancel
PENDING                                     FF00 continuing
PENDING_OPTIONAL_KEYS_NOT_SUPPORTED         FF01 continuing; some optional keys not supported
"""

GENERAL = [line.split(maxsplit=2) for line in CODES.strip().splitlines()]

SERVICES = (
    *("C-STORE", "C-FIND", "C-GET", "C-MOVE", "C-ECHO"),
    *("N-EVENT-REPORT", "N-GET", "N-SET", "N-ACTION", "N-CREATE", "N-DELETE"),
)


@pytest.mark.parametrize(("name", "code", "meaning"), GENERAL, ids=[row[0] for row in GENERAL])
def test_general_codes_have_a_name_and_mean_the_same_in_every_service(
    name: str, code: str, meaning: str
) -> None:
    value = int(code, 16)
    assert getattr(status, name) == value
    for service in SERVICES:
        category_name = category(value).value
        told = "" if meaning == category_name.lower() else f" ({meaning})"
        assert describe(value, service) == f"{code}H {category_name}{told}"


SPECIFIC = {
    "OUT_OF_RESOURCES": 0xA700,
    "UNABLE_TO_COUNT_MATCHES": 0xA701,
    "UNABLE_TO_PERFORM_SUBOPERATIONS": 0xA702,
    "MOVE_DESTINATION_UNKNOWN": 0xA801,
    "DATA_SET_DOES_NOT_MATCH_SOP_CLASS": 0xA900,
    "COERCION_OF_DATA_ELEMENTS": 0xB000,
    "SUBOPERATIONS_WITH_FAILURES": 0xB000,
    "ELEMENTS_DISCARDED": 0xB006,
    "DATA_SET_DOES_NOT_MATCH_SOP_CLASS_WARNING": 0xB007,
    "CANNOT_UNDERSTAND": 0xC000,
    "UNABLE_TO_PROCESS": 0xC000,
}


def test_the_module_has_the_general_codes_and_those_of_storage_query_and_retrieve() -> None:
    named = {
        name: value for name, value in vars(status).items() if name.isupper() and name[0] != "_"
    }
    assert named == {name: int(code, 16) for name, code, _ in GENERAL} | SPECIFIC


@pytest.mark.parametrize(
    ("service", "code", "text"),
    [
        ("C-STORE", 0xA700, "A700H Failure (refused: out of resources)"),
        ("C-STORE", 0xA7FF, "A7FFH Failure (refused: out of resources)"),
        ("C-STORE", 0xA800, "A800H Failure"),
        ("C-STORE", 0xA9AB, "A9ABH Failure (data set does not match SOP class)"),
        ("C-STORE", 0xB000, "B000H Warning (coercion of data elements)"),
        ("C-STORE", 0xB006, "B006H Warning (elements discarded)"),
        ("C-STORE", 0xB007, "B007H Warning (data set does not match SOP class)"),
        ("C-STORE", 0xC123, "C123H Failure (cannot understand)"),
        ("C-FIND", 0xA700, "A700H Failure (refused: out of resources)"),
        ("C-FIND", 0xA701, "A701H Failure"),
        ("C-FIND", 0xA900, "A900H Failure (identifier does not match SOP class)"),
        ("C-FIND", 0xB001, "B001H Warning (response limit reached)"),
        ("C-FIND", 0xC000, "C000H Failure (unable to process)"),
        ("C-FIND", 0xC100, "C100H Failure (more than one match found)"),
        ("C-FIND", 0xC200, "C200H Failure (requested template not supported)"),
        (
            "C-GET",
            0xA702,
            "A702H Failure (refused: out of resources, cannot perform sub-operations)",
        ),
        ("C-MOVE", 0xA801, "A801H Failure (refused: move destination unknown)"),
        ("C-MOVE", 0xB000, "B000H Warning (sub-operations complete, one or more failures)"),
        ("C-MOVE", 0xAA02, "AA02H Failure (cannot extract frames)"),
        ("N-CREATE", 0xB300, "B300H Warning (UPS: created with modifications)"),
        ("N-ACTION", 0xC603, "C603H Failure (print: image larger than box)"),
        ("N-GET", 0xA700, "A700H Failure"),
        ("C-ECHO", 0xA700, "A700H Failure"),
        ("", 0xC000, "C000H Failure"),
    ],
)
def test_a_code_means_what_its_service_says(service: str, code: int, text: str) -> None:
    assert describe(code, service) == text
    assert describe(code, f"{service}-RSP") == text
    assert describe(code, f"{service}-RQ") == text


def test_without_a_service_a_code_is_one_of_c_store() -> None:
    assert describe(0xA900) == "A900H Failure (data set does not match SOP class)"


@pytest.mark.parametrize("service", [*SERVICES, ""])
def test_every_code_has_a_description_with_its_category(service: str) -> None:
    for code in range(65536):
        assert describe(code, service).startswith(f"{code:04X}H {category(code).value}")
        if not allowed(code):
            assert describe(code, service) == f"{code:04X}H Failure"
