"""Command fields, priorities and the data set rule."""

from __future__ import annotations

import pytest

from dul_fsm.dimse.fields import CommandField, Priority, WithDataSet, WithoutDataSet
from tests.dimse.transcription import MESSAGES


def test_there_are_the_23_command_fields_of_the_standard() -> None:
    assert len(CommandField) == 23
    assert {field.name.replace("_", "-"): field.value for field in CommandField} == {
        name: row.command_field for name, row in MESSAGES.items()
    }


def test_a_response_is_its_request_plus_8000h_and_only_c_cancel_has_none() -> None:
    requests = {field for field in CommandField if field < 0x8000}
    responses = {field for field in CommandField if field >= 0x8000}
    assert {request + 0x8000 for request in requests - {CommandField.C_CANCEL_RQ}} == responses


def test_priorities_have_the_values_of_the_standard() -> None:
    assert {item.name: item.value for item in Priority} == {"LOW": 2, "MEDIUM": 0, "HIGH": 1}


@pytest.mark.parametrize(("base", "expected"), [(WithDataSet, True), (WithoutDataSet, False)])
def test_where_there_is_no_choice_has_data_set_cannot_be_set(base: type, expected: bool) -> None:
    value = base()
    assert value.has_data_set is expected
    with pytest.raises(AttributeError):
        value.has_data_set = not expected
