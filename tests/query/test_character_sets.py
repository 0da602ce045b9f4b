"""`query.character_sets`: any text can be read, and every answer can be written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dul_fsm.query.character_sets import decode_text, fits, is_ascii, set_character_set
from tests.query.samples import data_set


@pytest.mark.parametrize(
    ("text", "character_set", "expected"),
    [
        (b"Doe", "", "Doe"),
        (b"D\xf6e", "ISO_IR 100", "Döe"),
        (b"D\xf6e", "", "Döe"),
        (b"D\xc3\xb6e", "ISO_IR 192", "Döe"),
        (b"D\xf6e", "nonsense", "Döe"),
        (b"D\xf6e", "ISO_IR 192", "D\ufffde"),
        (b"\x1b$B;3ED\x1b(B", "\\ISO 2022 IR 87", "山田"),
    ],
)
def test_text_is_read_in_its_character_set(text: bytes, character_set: str, expected: str) -> None:
    assert decode_text(text, character_set) == expected


def test_a_code_extension_that_is_not_known_is_no_exception() -> None:
    assert decode_text(b"\x1b$)Zx\xff", "ISO 2022 IR 6\\ISO 2022 IR 87")


@given(st.binary(max_size=20), st.sampled_from(["", "ISO_IR 192", "ISO_IR 13", "GB18030", "x\\y"]))
def test_no_bytes_are_an_exception(text: bytes, character_set: str) -> None:
    """Whatever a file has for a name, there is a text."""
    assert isinstance(decode_text(text, character_set), str)


def test_texts_in_sequences_and_of_several_values_count() -> None:
    inner = data_set(PatientName="Ä")
    assert is_ascii(data_set(OtherPatientNames=["A", "B"]))
    assert not is_ascii(data_set(OtherPatientNames=["A", "Ä"]))
    assert not is_ascii(data_set(ScheduledProcedureStepSequence=[inner]))


@pytest.mark.parametrize(
    ("name", "character_set", "expected"),
    [
        ("Ä", "ISO_IR 100", True),
        ("王", "ISO_IR 100", False),
        ("Doe", "nonsense", True),
        ("Ä", "nonsense", False),
        ("Wang=王", ["", "ISO 2022 IR 58"], True),
    ],
)
def test_a_character_set_fits_or_it_does_not(
    name: str, character_set: str | list[str], expected: bool
) -> None:
    assert fits(data_set(PatientName=name), character_set) is expected


def test_ascii_loses_the_character_set_that_it_does_not_need() -> None:
    made = data_set(PatientName="Doe", SpecificCharacterSet="ISO_IR 100")
    set_character_set(made, "ISO_IR 100")
    assert "SpecificCharacterSet" not in made
