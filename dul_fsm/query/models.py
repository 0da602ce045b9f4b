"""Information models of Query/Retrieve and of the Modality Worklist (PS3.4 §C.3, §C.6, §K.6.1).

A model has levels, each with a unique key; an identifier asks at one level, and names one entity
at each level above it.

    check_query(identifier, STUDY_ROOT)     raises IdentifierError, whose status is A900H

Rules: hierarchical queries and retrievals (§C.4.1.2.1, §C.4.2.2.1); `relational=True` is for what
was negotiated otherwise. Keys of levels above are allowed in a query, beyond what the standard
asks for; keys of levels below are ignored. In a retrieval all but unique keys is ignored.

Not here: matching (`matching`), SOP Class UIDs as names (`services.sop_classes`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dul_fsm.dimse.status import DATA_SET_DOES_NOT_MATCH_SOP_CLASS
from dul_fsm.errors import DULError
from dul_fsm.query.elements import element_in, texts_of
from dul_fsm.query.keys import keyword_of
from dul_fsm.services.sop_classes import (
    MODALITY_WORKLIST_FIND,
    PATIENT_ROOT_FIND,
    PATIENT_ROOT_GET,
    PATIENT_ROOT_MOVE,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
)
from dul_fsm.value import value

if TYPE_CHECKING:
    from pydicom import Dataset

QUERY_RETRIEVE_LEVEL: Final = 0x00080052
RETRIEVE_AE_TITLE: Final = 0x00080054

PATIENT: Final = "PATIENT"
STUDY: Final = "STUDY"
SERIES: Final = "SERIES"
IMAGE: Final = "IMAGE"

UNIQUE_KEYS: Final[dict[str, int]] = {
    PATIENT: 0x00100020,  # Patient ID
    STUDY: 0x0020000D,  # Study Instance UID
    SERIES: 0x0020000E,  # Series Instance UID
    IMAGE: 0x00080018,  # SOP Instance UID
}
"""The unique key of each level (PS3.4 Tables C.6-1 to C.6-5)."""


class IdentifierError(DULError):
    """An identifier that its SOP Class does not allow; a response says so by `status`."""

    status: Final = DATA_SET_DOES_NOT_MATCH_SOP_CLASS


@value
class InformationModel:
    """An information model and the SOP Classes that speak about it."""

    name: str
    """As people type it."""
    levels: tuple[str, ...]
    """From the top; none where identifiers have no Query/Retrieve Level."""
    find: str
    """SOP Class UIDs; empty where there is no such service."""
    move: str = ""
    get: str = ""


PATIENT_ROOT: Final = InformationModel(
    "patient",
    (PATIENT, STUDY, SERIES, IMAGE),
    PATIENT_ROOT_FIND,
    PATIENT_ROOT_MOVE,
    PATIENT_ROOT_GET,
)
STUDY_ROOT: Final = InformationModel(
    "study", (STUDY, SERIES, IMAGE), STUDY_ROOT_FIND, STUDY_ROOT_MOVE, STUDY_ROOT_GET
)
PATIENT_STUDY_ONLY: Final = InformationModel(
    "patient-study-only",
    (PATIENT, STUDY),
    "1.2.840.10008.5.1.4.1.2.3.1",
    "1.2.840.10008.5.1.4.1.2.3.2",
    "1.2.840.10008.5.1.4.1.2.3.3",
)
"""Retired (PS3.4 §C.3.3); old devices still ask."""
MODALITY_WORKLIST: Final = InformationModel("worklist", (), MODALITY_WORKLIST_FIND)

MODELS: Final = (PATIENT_ROOT, STUDY_ROOT, PATIENT_STUDY_ONLY, MODALITY_WORKLIST)

_BY_SOP_CLASS: Final = {
    uid: model for model in MODELS for uid in (model.find, model.move, model.get) if uid
}


def model_of(sop_class_uid: str) -> InformationModel | None:
    """The model that a C-FIND, C-MOVE or C-GET SOP Class is about; None if it is none of ours."""
    return _BY_SOP_CLASS.get(sop_class_uid)


def check_query(identifier: Dataset, model: InformationModel, *, relational: bool = False) -> str:
    """The level that a C-FIND asks at (PS3.4 §C.4.1.1.3.1); empty if the model has none.

    Raises `IdentifierError`.
    """
    if not model.levels:
        return ""
    level = _level(identifier, model)
    if not relational:
        _check_above(identifier, model, level)
    return level


def check_retrieval(
    identifier: Dataset, model: InformationModel, *, relational: bool = False
) -> str:
    """The level that a C-MOVE or C-GET retrieves at (PS3.4 §C.4.2.1.4.1, §C.4.3.1.3.1).

    Raises `IdentifierError`.
    """
    if not model.levels:
        raise IdentifierError(f"nothing can be retrieved from the {model.name} model")
    level = _level(identifier, model)
    if not relational:
        _check_above(identifier, model, level)
    tag = UNIQUE_KEYS[level]
    values = unique_values(identifier, level)
    if not values:
        raise IdentifierError(f"a retrieval at level {level} needs {keyword_of(tag)}")
    if level == PATIENT:
        _check_single(tag, values)
    elif any(_is_pattern(one) for one in values):
        raise IdentifierError(f"{keyword_of(tag)} of a retrieval has no wild cards")
    return level


def unique_values(identifier: Dataset, level: str) -> list[str]:
    """The values of a level's unique key in an identifier."""
    element = element_in(identifier, UNIQUE_KEYS[level])
    return [] if element is None else texts_of(element)


def _level(identifier: Dataset, model: InformationModel) -> str:
    element = element_in(identifier, QUERY_RETRIEVE_LEVEL)
    level = "" if element is None else str(element.value or "").strip()
    legal = ", ".join(model.levels)
    if not level:
        raise IdentifierError(f"no QueryRetrieveLevel; the {model.name} root has {legal}")
    if level not in model.levels:
        raise IdentifierError(
            f"QueryRetrieveLevel is {level[:16]!r}; the {model.name} root has {legal}"
        )
    return level


def _check_above(identifier: Dataset, model: InformationModel, level: str) -> None:
    """PS3.4 §C.4.1.2.1: each level above is named by a single value of its unique key."""
    for above in model.levels[: model.levels.index(level)]:
        tag = UNIQUE_KEYS[above]
        values = unique_values(identifier, above)
        if not values:
            raise IdentifierError(f"level {level} needs {keyword_of(tag)} of the {above}")
        _check_single(tag, values)


def _check_single(tag: int, values: list[str]) -> None:
    if len(values) > 1 or _is_pattern(values[0]):
        raise IdentifierError(f"{keyword_of(tag)} has to be a single value here")


def _is_pattern(text: str) -> bool:
    return "*" in text or "?" in text
