"""`query.models`: which identifiers a query and a retrieval may have (PS3.4 §C.4, §C.6)."""

from __future__ import annotations

import pytest

from dul_fsm.dimse import status
from dul_fsm.query import (
    MODALITY_WORKLIST,
    MODELS,
    PATIENT_ROOT,
    PATIENT_STUDY_ONLY,
    STUDY_ROOT,
    IdentifierError,
    InformationModel,
    check_query,
    check_retrieval,
    model_of,
)
from dul_fsm.services import sop_classes
from tests.query.samples import identifier

PID, STUDY_UID, SERIES_UID = "PatientID=42", "StudyInstanceUID=1.2", "SeriesInstanceUID=1.2.3"
SOP_UID = "SOPInstanceUID=1.2.3.4"


def test_every_sop_class_has_its_model() -> None:
    assert model_of(sop_classes.STUDY_ROOT_FIND) is STUDY_ROOT
    assert model_of(sop_classes.PATIENT_ROOT_GET) is PATIENT_ROOT
    assert model_of(sop_classes.MODALITY_WORKLIST_FIND) is MODALITY_WORKLIST
    assert model_of("1.2.840.10008.5.1.4.1.2.3.2") is PATIENT_STUDY_ONLY
    assert model_of(sop_classes.VERIFICATION) is None
    uids = [uid for model in MODELS for uid in (model.find, model.move, model.get) if uid]
    assert len(uids) == len(set(uids)) == 10


@pytest.mark.parametrize(
    ("model", "level", "keys"),
    [
        (PATIENT_ROOT, "PATIENT", []),
        (PATIENT_ROOT, "STUDY", [PID]),
        (PATIENT_ROOT, "SERIES", [PID, STUDY_UID]),
        (PATIENT_ROOT, "IMAGE", [PID, STUDY_UID, SERIES_UID]),
        (STUDY_ROOT, "STUDY", []),
        (STUDY_ROOT, "STUDY", ["PatientName=DOE*", "StudyInstanceUID=1.2\\1.3"]),
        (STUDY_ROOT, "SERIES", [STUDY_UID]),
        (STUDY_ROOT, "IMAGE", [STUDY_UID, SERIES_UID]),
        (PATIENT_STUDY_ONLY, "STUDY", [PID]),
    ],
)
def test_a_query_names_what_is_above_its_level(
    model: InformationModel, level: str, keys: list[str]
) -> None:
    asked = [f"QueryRetrieveLevel={level}", *keys]
    assert check_query(identifier(*asked), model) == level
    for key in keys:
        if "=DOE" in key or "\\" in key:
            continue
        with pytest.raises(IdentifierError, match=key.partition("=")[0]):
            check_query(identifier(*(one for one in asked if one != key)), model)
    assert check_query(identifier(asked[0]), model, relational=True) == level


@pytest.mark.parametrize("value", ["4*", "4?", "1\\2", ""])
def test_what_is_above_is_a_single_value(value: str) -> None:
    asked = identifier("QueryRetrieveLevel=STUDY", f"PatientID={value}")
    with pytest.raises(IdentifierError, match="PatientID"):
        check_query(asked, PATIENT_ROOT)


@pytest.mark.parametrize(
    ("model", "level"),
    [
        (STUDY_ROOT, "PATIENT"),
        (PATIENT_STUDY_ONLY, "SERIES"),
        (PATIENT_ROOT, "study"),
        (PATIENT_ROOT, "NONSENSE"),
        (PATIENT_ROOT, ""),
        (STUDY_ROOT, "STUDY\\IMAGE"),
    ],
)
@pytest.mark.parametrize("check", [check_query, check_retrieval])
def test_a_model_has_its_levels_and_no_others(
    check: type, model: InformationModel, level: str
) -> None:
    with pytest.raises(IdentifierError, match="QueryRetrieveLevel"):
        check(identifier(f"QueryRetrieveLevel={level}", PID), model)


def test_no_level_at_all_is_an_error_that_a_response_can_say() -> None:
    with pytest.raises(IdentifierError, match=r"PATIENT, STUDY, SERIES, IMAGE") as caught:
        check_query(identifier(PID), PATIENT_ROOT)
    assert caught.value.status == status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS == 0xA900


def test_a_worklist_has_no_levels_and_nothing_to_retrieve() -> None:
    assert check_query(identifier(PID), MODALITY_WORKLIST) == ""
    with pytest.raises(IdentifierError, match="worklist"):
        check_retrieval(identifier("QueryRetrieveLevel=STUDY"), MODALITY_WORKLIST)


@pytest.mark.parametrize(
    ("model", "level", "keys"),
    [
        (PATIENT_ROOT, "PATIENT", [PID]),
        (PATIENT_ROOT, "STUDY", [PID, "StudyInstanceUID=1.2\\1.3"]),
        (STUDY_ROOT, "STUDY", [STUDY_UID]),
        (STUDY_ROOT, "SERIES", [STUDY_UID, SERIES_UID]),
        (STUDY_ROOT, "IMAGE", [STUDY_UID, SERIES_UID, SOP_UID]),
    ],
)
def test_a_retrieval_names_what_is_at_its_level_too(
    model: InformationModel, level: str, keys: list[str]
) -> None:
    asked = [f"QueryRetrieveLevel={level}", *keys]
    assert check_retrieval(identifier(*asked), model) == level
    for key in keys:
        with pytest.raises(IdentifierError, match=key.partition("=")[0]):
            check_retrieval(identifier(*(one for one in asked if one != key)), model)


@pytest.mark.parametrize(
    ("level", "key"),
    [
        ("PATIENT", "PatientID=1\\2"),
        ("PATIENT", "PatientID=1*"),
        ("PATIENT", "PatientID"),
        ("STUDY", "StudyInstanceUID=1.*"),
    ],
)
def test_a_retrieval_has_no_wild_cards_and_one_patient(level: str, key: str) -> None:
    asked = identifier(f"QueryRetrieveLevel={level}", PID, key)
    with pytest.raises(IdentifierError, match=key.partition("=")[0]):
        check_retrieval(asked, PATIENT_ROOT)


def test_a_relational_retrieval_names_its_level_only() -> None:
    asked = identifier("QueryRetrieveLevel=IMAGE", SOP_UID)
    assert check_retrieval(asked, STUDY_ROOT, relational=True) == "IMAGE"
    with pytest.raises(IdentifierError, match="SOPInstanceUID"):
        check_retrieval(identifier("QueryRetrieveLevel=IMAGE"), STUDY_ROOT, relational=True)
