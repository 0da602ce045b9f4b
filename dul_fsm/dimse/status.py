"""Status codes: their categories, names and meanings (PS3.7 Annex C; PS3.4).

Rules
  * The category of a code follows from its range, whatever the service.
  * A code says more only together with the service: C000H is one thing for C-STORE and another
    for C-FIND. `describe` therefore asks for it.

Not here: which fields go with a status in a response; who sends which (PS3.4).
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from typing import Final, NamedTuple


class StatusCategory(Enum):
    """What a status means for the operation (PS3.7 Annex C)."""

    SUCCESS = "Success"
    """Done."""
    WARNING = "Warning"
    """Done, but not quite as asked."""
    FAILURE = "Failure"
    """Not done."""
    CANCEL = "Cancel"
    """Ended by a C-CANCEL-RQ."""
    PENDING = "Pending"
    """Not the last response: more will follow."""


# PS3.7 Annex C, and of PS3.4 those that the services of this package send.

SUCCESS: Final = 0x0000
REQUESTED_OPTIONAL_ATTRIBUTES_NOT_SUPPORTED: Final = 0x0001
NO_SUCH_ATTRIBUTE: Final = 0x0105
INVALID_ATTRIBUTE_VALUE: Final = 0x0106
ATTRIBUTE_LIST_ERROR: Final = 0x0107
PROCESSING_FAILURE: Final = 0x0110
DUPLICATE_SOP_INSTANCE: Final = 0x0111
NO_SUCH_SOP_INSTANCE: Final = 0x0112
NO_SUCH_EVENT_TYPE: Final = 0x0113
NO_SUCH_ARGUMENT: Final = 0x0114
INVALID_ARGUMENT_VALUE: Final = 0x0115
ATTRIBUTE_VALUE_OUT_OF_RANGE: Final = 0x0116
INVALID_SOP_INSTANCE: Final = 0x0117
NO_SUCH_SOP_CLASS: Final = 0x0118
CLASS_INSTANCE_CONFLICT: Final = 0x0119
MISSING_ATTRIBUTE: Final = 0x0120
MISSING_ATTRIBUTE_VALUE: Final = 0x0121
SOP_CLASS_NOT_SUPPORTED: Final = 0x0122
NO_SUCH_ACTION_TYPE: Final = 0x0123
NOT_AUTHORIZED: Final = 0x0124
DUPLICATE_INVOCATION: Final = 0x0210
UNRECOGNIZED_OPERATION: Final = 0x0211
MISTYPED_ARGUMENT: Final = 0x0212
RESOURCE_LIMITATION: Final = 0x0213
OUT_OF_RESOURCES: Final = 0xA700
UNABLE_TO_COUNT_MATCHES: Final = 0xA701
UNABLE_TO_PERFORM_SUBOPERATIONS: Final = 0xA702
MOVE_DESTINATION_UNKNOWN: Final = 0xA801
DATA_SET_DOES_NOT_MATCH_SOP_CLASS: Final = 0xA900
COERCION_OF_DATA_ELEMENTS: Final = 0xB000
SUBOPERATIONS_WITH_FAILURES: Final = 0xB000
ELEMENTS_DISCARDED: Final = 0xB006
DATA_SET_DOES_NOT_MATCH_SOP_CLASS_WARNING: Final = 0xB007
CANNOT_UNDERSTAND: Final = 0xC000
UNABLE_TO_PROCESS: Final = 0xC000
CANCEL: Final = 0xFE00
PENDING: Final = 0xFF00
PENDING_OPTIONAL_KEYS_NOT_SUPPORTED: Final = 0xFF01


_WARNINGS: Final = frozenset(
    (
        REQUESTED_OPTIONAL_ATTRIBUTES_NOT_SUPPORTED,
        ATTRIBUTE_LIST_ERROR,
        ATTRIBUTE_VALUE_OUT_OF_RANGE,
    )
)
"""The warnings that are not in Bxxx."""


def category(code: int) -> StatusCategory:
    """The category of a status, 0..65535.

    PS3.7 Annex C allows no codes outside its ranges, and does not say what a receiver of one
    should think. We take it for a failure: that is final, and claims nothing was done.
    """
    if code == SUCCESS:
        return StatusCategory.SUCCESS
    if code in (PENDING, PENDING_OPTIONAL_KEYS_NOT_SUPPORTED):
        return StatusCategory.PENDING
    if code == CANCEL:
        return StatusCategory.CANCEL
    if code >> 12 == 0xB or code in _WARNINGS:
        return StatusCategory.WARNING
    return StatusCategory.FAILURE


# Meanings ----------------------------------------------------------------------------------------


class _Range(NamedTuple):
    first: int
    last: int
    meaning: str


# PS3.7 Annex C: these mean the same in every service.
_GENERAL: Final[dict[int, str]] = {
    0x0000: "success",
    0x0001: "requested optional attributes not supported",
    0x0105: "no such attribute",
    0x0106: "invalid attribute value",
    0x0107: "attribute list error",
    0x0110: "processing failure",
    0x0111: "duplicate SOP instance",
    0x0112: "no such SOP instance",
    0x0113: "no such event type",
    0x0114: "no such argument",
    0x0115: "invalid argument value",
    0x0116: "attribute value out of range",
    0x0117: "invalid SOP instance",
    0x0118: "no such SOP class",
    0x0119: "class-instance conflict",
    0x0120: "missing attribute",
    0x0121: "missing attribute value",
    0x0122: "refused: SOP class not supported",
    0x0123: "no such action type",
    0x0124: "refused: not authorized",
    0x0210: "duplicate invocation",
    0x0211: "unrecognized operation",
    0x0212: "mistyped argument",
    0x0213: "resource limitation",
    0xFE00: "terminated by cancel",
    0xFF00: "continuing",
    0xFF01: "continuing; some optional keys not supported",
}

_RETRIEVE: Final[tuple[_Range, ...]] = (
    _Range(0xA701, 0xA701, "refused: out of resources, cannot count matches"),
    _Range(0xA702, 0xA702, "refused: out of resources, cannot perform sub-operations"),
    _Range(0xA801, 0xA801, "refused: move destination unknown"),
    _Range(0xA900, 0xA900, "identifier does not match SOP class"),
    _Range(0xAA00, 0xAA00, "no requested frames found"),
    _Range(0xAA01, 0xAA01, "cannot create new object"),
    _Range(0xAA02, 0xAA02, "cannot extract frames"),
    _Range(0xAA03, 0xAA03, "time-based request on non-time-based instance"),
    _Range(0xAA04, 0xAA04, "invalid request"),
    _Range(0xB000, 0xB000, "sub-operations complete, one or more failures"),
    _Range(0xC000, 0xCFFF, "unable to process"),
)

# The first range that has the code decides (PS3.4 Annexes B, C, GG, K, Q, V, Y).
_COMPOSITE: Final[dict[str, tuple[_Range, ...]]] = {
    "C-STORE": (
        _Range(0xA700, 0xA7FF, "refused: out of resources"),
        _Range(0xA900, 0xA9FF, "data set does not match SOP class"),
        _Range(0xB000, 0xB000, "coercion of data elements"),
        _Range(0xB006, 0xB006, "elements discarded"),
        _Range(0xB007, 0xB007, "data set does not match SOP class"),
        _Range(0xC000, 0xCFFF, "cannot understand"),
    ),
    "C-FIND": (
        _Range(0xA700, 0xA700, "refused: out of resources"),
        _Range(0xA710, 0xA710, "invalid prior record key"),
        _Range(0xA900, 0xA900, "identifier does not match SOP class"),
        _Range(0xB001, 0xB001, "response limit reached"),
        _Range(0xB010, 0xB010, "some key attributes not supported for matching"),
        _Range(0xC100, 0xC100, "more than one match found"),
        _Range(0xC200, 0xC200, "requested template not supported"),
        _Range(0xC000, 0xCFFF, "unable to process"),
    ),
    "C-GET": _RETRIEVE,
    "C-MOVE": _RETRIEVE,
}

# The N-services share a number space, parted by service class (PS3.4 Annexes F, H, P, S, CC, DD).
_NORMALIZED: Final[dict[int, str]] = {
    0xA510: "media creation: creation already initiated",
    0xB101: "event logging: frame of reference mismatch",
    0xB102: "event logging: study UID coerced",
    0xB104: "event logging: ids inconsistent, logged",
    0xB300: "UPS: created with modifications",
    0xB301: "UPS: deletion lock not granted",
    0xB304: "UPS: already canceled",
    0xB305: "UPS: invalid values coerced",
    0xB306: "UPS: already completed",
    0xB600: "print: memory allocation not supported",
    0xB601: "print: film session collation not supported",
    0xB602: "print: film session has no image boxes",
    0xB603: "print: film box has no image boxes",
    0xB604: "print: image demagnified",
    0xB605: "print: density outside printer range",
    0xB609: "print: image cropped",
    0xB60A: "print: image decimated",
    0xC101: "event logging: logging not available",
    0xC102: "event logging: template mismatch",
    0xC103: "event logging: cannot match study",
    0xC104: "event logging: ids inconsistent, not logged",
    0xC10E: "substance administration: operator not authorized",
    0xC110: "substance administration: patient not identified",
    0xC111: "substance administration: record update failed",
    0xC112: "RT verification: verification instance not found",
    0xC201: "media creation: already completed",
    0xC202: "media creation: in progress, not interruptible",
    0xC203: "media creation: cancel denied",
    0xC221: "RT verification: fraction group not found",
    0xC222: "RT verification: no beams in fraction group",
    0xC223: "RT verification: already verifying",
    0xC224: "RT verification: beam number not found",
    0xC225: "RT verification: device not supported",
    0xC226: "RT verification: device not in beam",
    0xC227: "RT verification: plan not found",
    0xC300: "UPS: may no longer be updated",
    0xC301: "UPS: wrong transaction UID",
    0xC302: "UPS: already in progress",
    0xC303: "UPS: scheduled only via N-CREATE",
    0xC304: "UPS: final state requirements not met",
    0xC307: "UPS: unknown UPS instance",
    0xC308: "UPS: unknown receiving AE",
    0xC309: "UPS: initial state not SCHEDULED",
    0xC310: "UPS: not in progress",
    0xC311: "UPS: already completed",
    0xC312: "UPS: performer cannot be contacted",
    0xC313: "UPS: performer refuses to cancel",
    0xC314: "UPS: action not appropriate for instance",
    0xC315: "UPS: no event reports",
    0xC600: "print: film session has no film boxes",
    0xC601: "print: print queue full (session)",
    0xC602: "print: print queue full (film box)",
    0xC603: "print: image larger than box",
    0xC605: "print: printer out of memory",
    0xC613: "print: combined image larger than box",
    0xC616: "print: existing unprinted film box",
}


def _meaning(code: int, service: str) -> str | None:
    if code in _GENERAL:
        return _GENERAL[code]
    if service.startswith("N-"):
        return _NORMALIZED.get(code)
    for first, last, meaning in _COMPOSITE.get(service, ()):
        if first <= code <= last:
            return meaning
    return None


@lru_cache(maxsize=256)  # of thousands of answers nearly all are the same
def describe(code: int, service: str = "C-STORE") -> str:
    """A status for people: "A700H Failure (refused: out of resources)".

    `code`: 0..65535. `service`: "C-STORE", "N-GET" and so on, or the name of a message of it.
    Without a known meaning there is only the category.
    """
    service = service.removesuffix("-RQ").removesuffix("-RSP")
    meaning = _meaning(code, service)
    text = f"{code:04X}H {category(code).value}"
    if not meaning or meaning == category(code).value.lower():
        return text
    return f"{text} ({meaning})"
