"""The 23 commands have the fields that the standard gives them."""

from __future__ import annotations

from dataclasses import MISSING, FrozenInstanceError, fields
from typing import get_args

import pytest

from dul_fsm.dimse import commands
from dul_fsm.dimse.commands import (
    COMMANDS,
    CCancelRQ,
    CEchoRQ,
    CEchoRSP,
    Command,
    CommandField,
    CStoreRQ,
    Request,
    Response,
    awaits_response,
)
from tests.dimse.examples import example
from tests.dimse.transcription import MESSAGES, Row, field_name

ROWS = [pytest.param(row, id=name) for name, row in MESSAGES.items()]

# Mandatory for the wire, but with a default for the caller.
DEFAULTED = {"priority", "has_data_set"}


def kind_of(row: Row) -> type[Command]:
    return COMMANDS[row.command_field]


def test_there_is_one_command_for_each_command_field() -> None:
    assert set(COMMANDS) == set(CommandField)
    assert len(set(COMMANDS.values())) == 23
    assert set(COMMANDS.values()) == set(get_args(Command))


def test_requests_responses_and_c_cancel_part_the_commands() -> None:
    requests = {kind for kind in COMMANDS.values() if kind.is_request}
    assert requests == {*get_args(Request), CCancelRQ}
    assert {kind for kind in COMMANDS.values() if not kind.is_request} == set(get_args(Response))
    assert {kind for kind in COMMANDS.values() if kind.awaits_response} == set(get_args(Request))
    assert awaits_response(CEchoRQ("1.2", 1))
    assert not awaits_response(CEchoRSP(1, 0))
    assert len(get_args(Request)) == len(get_args(Response)) == 11


def test_a_request_has_a_message_id_and_a_response_that_of_its_request() -> None:
    def names(kind: type[Command]) -> set[str]:
        return {field.name for field in fields(kind)}

    assert all("message_id" in names(kind) for kind in get_args(Request))
    expected = {"message_id_being_responded_to", "status"}
    assert all(expected <= names(kind) for kind in get_args(Response))


@pytest.mark.parametrize("row", ROWS)
def test_a_command_has_the_name_and_the_code_of_the_standard(row: Row) -> None:
    kind = kind_of(row)
    assert kind.name == row.name
    assert kind.__name__.upper() == row.name.replace("-", "")
    assert kind.command_field == row.command_field
    assert kind.is_request == row.name.endswith("-RQ")


@pytest.mark.parametrize("row", ROWS)
def test_a_command_has_the_elements_of_the_standard_and_no_others(row: Row) -> None:
    expected = {field_name(keyword) for keyword in row.usage}
    if row.data_set == "optional":
        expected.add("has_data_set")
    assert {field.name for field in fields(kind_of(row))} == expected


@pytest.mark.parametrize("row", ROWS)
def test_mandatory_fields_have_no_default_and_the_others_are_left_out_by_default(row: Row) -> None:
    mandatory = {field_name(keyword) for keyword, usage in row.usage.items() if usage == "M"}
    for field in fields(kind_of(row)):
        if field.name in mandatory - DEFAULTED:
            assert field.default is MISSING, field.name
        elif field.name not in DEFAULTED:
            assert field.default in (None, ()), field.name


@pytest.mark.parametrize("row", ROWS)
def test_a_command_knows_whether_it_has_a_data_set(row: Row) -> None:
    assert kind_of(row).data_set == row.data_set
    expected = {"always": (True, True), "never": (False, False), "optional": (False, True)}
    minimal, full = example(row.name, full=False), example(row.name, full=True)
    assert (minimal.has_data_set, full.has_data_set) == expected[row.data_set]


@pytest.mark.parametrize("row", ROWS)
def test_a_command_is_frozen_and_has_no_other_attributes(row: Row) -> None:
    command = example(row.name, full=True)
    name = fields(command)[0].name
    with pytest.raises(FrozenInstanceError):
        setattr(command, name, 1)
    assert not hasattr(command, "__dict__")


def test_equal_commands_are_equal_and_hash_alike() -> None:
    command = CStoreRQ("1.2", 1, "1.2.3")
    assert command == CStoreRQ(
        affected_sop_class_uid="1.2", message_id=1, affected_sop_instance_uid="1.2.3"
    )
    assert len({command, CStoreRQ("1.2", 1, "1.2.3"), CStoreRQ("1.2", 2, "1.2.3")}) == 2


def test_the_module_names_all_commands_in_its_all() -> None:
    assert {kind.__name__ for kind in COMMANDS.values()} < set(commands.__all__)
