"""`query.keys`: what people type becomes an identifier, or an error that names the key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dul_fsm.dimse.data_set import decode_data_set, encode_data_set
from dul_fsm.query import InvalidKey, build_identifier, keyword_of, parse_key
from tests.query.samples import identifier

EXPLICIT = "1.2.840.10008.1.2.1"
NAME = 0x00100010
MODALITY = (0x00400100, 0x00080060)


@pytest.mark.parametrize(
    "text",
    [
        "PatientName=DOE*",
        "(0010,0010)=DOE*",
        "0010,0010=DOE*",
        "00100010=DOE*",
        " PatientName=DOE*",
    ],
)
def test_an_attribute_has_a_keyword_and_three_ways_to_write_its_tag(text: str) -> None:
    key = parse_key(text)
    assert (key.path, key.value, key.name) == ((NAME,), "DOE*", "PatientName")


@pytest.mark.parametrize(
    "text",
    [
        "ScheduledProcedureStepSequence[0].Modality=CT",
        "ScheduledProcedureStepSequence.Modality=CT",
        "(0040,0100)[0].Modality=CT",
        "00400100[0].00080060=CT",
        "0040,0100.(0008,0060)=CT",
    ],
)
def test_a_key_in_a_sequence_is_a_path(text: str) -> None:
    key = parse_key(text)
    assert (key.path, key.value) == (MODALITY, "CT")
    assert key.name == "ScheduledProcedureStepSequence.Modality"
    assert build_identifier([key]).ScheduledProcedureStepSequence[0].Modality == "CT"


def test_keys_of_one_sequence_are_in_one_item() -> None:
    made = identifier(
        "ScheduledProcedureStepSequence[0].Modality=CT",
        "ScheduledProcedureStepSequence",
        "ScheduledProcedureStepSequence.ScheduledStationAETitle",
    )
    (item,) = made.ScheduledProcedureStepSequence
    assert [element.keyword for element in item] == ["Modality", "ScheduledStationAETitle"]


def test_a_sequence_by_itself_has_no_item() -> None:
    assert len(identifier("ScheduledProcedureStepSequence").ScheduledProcedureStepSequence) == 0


def test_a_keyword_alone_asks_for_a_value() -> None:
    assert identifier("PatientName")["PatientName"].is_empty
    assert identifier("PatientName=")["PatientName"].is_empty


def test_the_value_is_what_follows_the_first_equals_sign() -> None:
    assert str(identifier("PatientName=A^B=C")["PatientName"].value) == "A^B=C"


def test_a_later_key_replaces_an_earlier_one() -> None:
    assert identifier("PatientID=1", "PatientID=2").PatientID == "2"


def test_a_backslash_parts_values_but_not_in_text() -> None:
    made = identifier("ModalitiesInStudy=CT\\MR", "PatientComments=a\\b")
    assert list(made.ModalitiesInStudy) == ["CT", "MR"]
    assert made.PatientComments == "a\\b"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Rows=512", 512),
        ("RecommendedDisplayFrameRateInFloat=1.5", 1.5),
        ("FrameIncrementPointer=(0018,1063)", 0x00181063),
        ("InstanceNumber=7", 7),
        ("PatientWeight=7.5", 7.5),
        ("StudyDate=20200101-", "20200101-"),
        ("StudyTime=1000-1200", "1000-1200"),
        ("Modality=C*", "C*"),
        ("00090010=ACME", "ACME"),
    ],
)
def test_a_value_gets_the_vr_of_its_attribute(text: str, value: object) -> None:
    (element,) = identifier(text)
    assert element.value == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("PatientNam=X", "did you mean PatientName"),
        ("patientname=X", "did you mean PatientName?"),
        ("Zyx=X", "no attribute has the keyword Zyx$"),
        ("=X", "is not a key"),
        ("", "is not a key"),
        ("PatientName X=X", "is not a key: what is .* X"),
        ("(0010,0010=X", "is not a key"),
        ("PatientName.=X", "is not a key"),
        ("(0012,FFFE)=X", "no \\(0012,FFFE\\)"),
        ("TransferSyntaxUID=1.2", "no place in an identifier"),
        ("00000110=1", "no place in an identifier"),
        ("00080000=1", "no place in an identifier"),
        ("PatientName[0]", "PatientName is not a sequence"),
        ("PatientName.Modality", "PatientName is not a sequence"),
        ("ScheduledProcedureStepSequence[1].Modality", "one item"),
        ("ScheduledProcedureStepSequence=CT", "items, not a value"),
        ("Rows=many", "Rows='many': an integer is expected"),
        (
            "InstanceNumber=1-5",
            "InstanceNumber='1-5': an integer is expected, and no list or range",
        ),
        ("PatientWeight=x", "PatientWeight='x': a number is expected"),
        ("StudyDate=2020-01-01", "StudyDate='2020-01-01': a DA is YYYYMMDD"),
        ("StudyDate=20201301", "StudyDate"),
        ("StudyTime=1000-x", "StudyTime"),
        ("FrameIncrementPointer=x", "8 hexadecimal digits"),
        ("PixelData=x", "cannot be typed"),
        (".".join(["ContentSequence"] * 20), "more than 16"),
    ],
)
def test_what_is_wrong_is_told_with_the_key(text: str, words: str) -> None:
    with pytest.raises(InvalidKey, match=words):
        identifier(text)


def test_what_is_not_ascii_is_encoded_in_utf_8() -> None:
    made = identifier("PatientName=Döring*", "PatientID=*")
    assert made.SpecificCharacterSet == "ISO_IR 192"
    decoded = decode_data_set(encode_data_set(made, EXPLICIT), EXPLICIT)
    assert str(decoded.PatientName) == "Döring*"


def test_a_character_set_that_is_asked_for_is_used() -> None:
    made = identifier("SpecificCharacterSet=ISO_IR 100", "PatientName=Döring")
    assert b"D\xf6ring" in encode_data_set(made, EXPLICIT)


@pytest.mark.parametrize("character_set", ["ISO_IR 144", "ISO 8859", "ISO_IR 6"])
def test_a_character_set_that_does_not_do_is_an_error(character_set: str) -> None:
    with pytest.raises(InvalidKey, match="do not fit"):
        identifier(f"SpecificCharacterSet={character_set}", "PatientName=Döring")


def test_ascii_has_no_character_set_and_an_empty_one_is_left_out() -> None:
    assert "SpecificCharacterSet" not in identifier("PatientName=X")
    assert "SpecificCharacterSet" not in identifier("SpecificCharacterSet", "PatientName=X")


def test_a_tag_without_a_keyword_is_written_as_a_tag() -> None:
    assert keyword_of(NAME) == "PatientName"
    assert keyword_of(0x00091001) == "(0009,1001)"


@given(st.text(max_size=40))
def test_any_text_is_a_key_or_an_invalid_key(text: str) -> None:
    """What becomes a key can be encoded."""
    try:
        made = identifier(text)
    except InvalidKey:
        return
    encode_data_set(made, EXPLICIT)


@given(st.sampled_from(["PatientName", "StudyDate", "Rows", "Modality", "PatientID"]), st.text())
def test_any_value_can_be_encoded_or_is_an_invalid_key(keyword: str, value: str) -> None:
    """What a user types as a value never fails later."""
    told = ""
    try:
        encode_data_set(identifier(f"{keyword}={value}"), EXPLICIT)
    except InvalidKey as error:
        told = str(error)
    assert not told or keyword in told
