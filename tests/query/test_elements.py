"""`query.elements`: values as text, whatever somebody else put into them."""

from __future__ import annotations

import pytest

from dul_fsm.query.elements import element_in, element_of, split_values, texts_of
from tests.query.samples import data_set

ROWS, NAME, TYPE, COMMENTS = 0x00280010, 0x00100010, 0x00080008, 0x00104000


def test_values_are_text_without_padding() -> None:
    made = data_set(Rows=512, PatientName="A^B ", ImageType=["A ", "", "B"], PixelData=b"xx")
    assert {element.keyword: texts_of(element) for element in made} == {
        "ImageType": ["A", "", "B"],
        "PatientName": ["A^B"],
        "Rows": ["512"],
        "PixelData": [],
    }


@pytest.mark.parametrize("value", [None, "", " "])
def test_nothing_is_no_value(value: object) -> None:
    assert texts_of(data_set(PatientID=value)["PatientID"]) == []


def test_an_element_that_is_not_there_is_none() -> None:
    made = data_set(Rows=1)
    assert element_in(made, ROWS) is made["Rows"]
    assert element_in(made, NAME) is None


@pytest.mark.parametrize("texts", [["abc"], ["1", "x"], ["1e999"]])
def test_a_value_that_its_vr_cannot_hold_is_left_empty(texts: list[str]) -> None:
    assert element_of(0x00200013, "IS", texts).is_empty


def test_an_element_has_all_its_values() -> None:
    assert list(element_of(TYPE, "CS", ["A", "B"]).value) == ["A", "B"]
    assert element_of(TYPE, "CS", ["A"]).value == "A"
    assert element_of(TYPE, "CS", []).is_empty


def test_text_in_one_piece_is_parted_where_its_vr_has_values() -> None:
    assert split_values("CS", "A \\B") == ["A", "B"]
    assert split_values("LT", "A \\B") == ["A \\B"]
    assert split_values("CS", "") == []
