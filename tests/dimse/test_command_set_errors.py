"""Command sets that are malformed, unrecognized, or cannot be made."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Any

import pytest

from dul_fsm.dimse import (
    Command,
    CommandField,
    CStoreRQ,
    NCreateRQ,
    UnrecognizedCommandError,
    decode_command,
    encode_command,
)
from dul_fsm.errors import CommandSetError
from tests.dimse.elements import changed, join, refused, split, us
from tests.dimse.examples import example
from tests.dimse.transcription import ELEMENTS, MESSAGES, field_name

FULL = [example(name, full=True) for name in MESSAGES]
each_message = pytest.mark.parametrize("command", FULL, ids=lambda command: command.name)

# What is refused ---------------------------------------------------------------------------------


@each_message
def test_each_mandatory_element_must_be_there_and_each_other_may_be_missing(
    command: Command,
) -> None:
    elements = split(encode_command(command))
    usage = {
        ELEMENTS[name].number: (name, use) for name, use in MESSAGES[command.name].usage.items()
    }
    for number, _ in elements[1:]:
        data = join(item for item in elements if item[0] != number)
        keyword, use = usage.get(number, ("", "M"))
        if use == "M":
            refused(data, rf"\(0000,{number:04X}\) is missing")
        else:
            name = field_name(keyword)
            assert getattr(command, name)
            default = () if isinstance(getattr(command, name), tuple) else None
            assert decode_command(data) == replace(command, **{name: default})  # type: ignore[arg-type]


@each_message
def test_each_mandatory_element_must_have_a_value(command: Command) -> None:
    for keyword, usage in MESSAGES[command.name].usage.items():
        number, vr = ELEMENTS[keyword]
        if usage == "M":
            refused(changed(command, number, b""), rf"\(0000,{number:04X}\) is missing or empty")
            if vr in ("UI", "AE"):
                refused(changed(command, number, b"\0 "), "is missing or empty")
    refused(changed(command, 0x0100, b""), "0100")
    refused(changed(command, 0x0800, b""), "0800")


@each_message
def test_each_element_must_have_a_length_that_its_vr_has(command: Command) -> None:
    for number, raw in split(encode_command(command))[1:]:
        vr = next(item.vr for item in ELEMENTS.values() if item.number == number)
        if vr == "US":
            for length in (1, 3, 4, 6, 256):
                refused(
                    changed(command, number, bytes(length)), rf"{number:04X}\) is {length} byte"
                )
        elif vr == "AT":
            for length in range(1, 40):
                data = changed(command, number, bytes(length))
                if length % 4:
                    refused(data, rf"{number:04X}\) is {length} bytes long, not a multiple of 4")
                else:
                    decode_command(data)
        elif vr == "UI":
            refused(changed(command, number, b"1" * 65), rf"{number:04X}\) is a UID of 65 char")
            decode_command(changed(command, number, b"1" * 64))
            refused(changed(command, number, b"1.\xb2"), "not ASCII")
        else:
            assert vr in ("AE", "LO")
            assert raw


@each_message
def test_no_element_may_be_there_twice(command: Command) -> None:
    elements = split(encode_command(command))
    for element in elements:
        refused(join([*elements, element]), rf"\(0000,{element[0]:04X}\) is there twice")
    refused(join([*elements, (0x0001, b""), (0x0001, b"")]), "there twice")


@each_message
@pytest.mark.parametrize("group", [0x0001, 0x0002, 0x0008, 0x0100, 0x7FE0, 0xFFFF])
def test_elements_of_another_group_are_ignored_wherever_they_are(
    command: Command, group: int
) -> None:
    data, stranger = encode_command(command), struct.pack("<HHI2s", group, 0x0010, 2, b"xy")
    assert decode_command(data + stranger) == command
    assert decode_command(data + stranger + stranger) == command  # nobody looks at them
    assert decode_command(stranger + data) == command


@each_message
def test_an_element_of_another_group_does_not_overrun_the_set(command: Command) -> None:
    data = encode_command(command) + struct.pack("<HHI", 0x0008, 0x0010, 2)
    refused(data, "2 bytes long, 0 are left")


@each_message
def test_a_command_set_cut_off_anywhere_but_between_elements_is_refused(command: Command) -> None:
    data = encode_command(command)
    ends = {0}
    for _, raw in split(data):
        ends.add(max(ends) + 8 + len(raw))
    assert max(ends) == len(data)
    for size in range(len(data)):
        if size in ends:
            continue
        refused(data[:size], "are left")


@each_message
def test_no_element_may_overrun_the_command_set(command: Command) -> None:
    data = encode_command(command)
    start = 0
    for number, raw in split(data):
        left = len(data) - start - 8
        for length in (left + 1, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF):
            changed = data[: start + 4] + struct.pack("<I", length) + data[start + 8 :]
            refused(changed, rf"{number:04X}\) is {length} bytes long, {left} are left")
        start += 8 + len(raw)


@pytest.mark.parametrize("data", [b"", b"\0", bytes(7), bytes(8), bytes(64)])
def test_what_is_no_command_set_at_all_is_refused(data: bytes) -> None:
    refused(data)


# Unrecognized commands ---------------------------------------------------------------------------


def test_every_other_command_field_is_unrecognized() -> None:
    known = {int(field) for field in CommandField}
    head, tail = join([(0x0110, us(7))]), join([(0x0800, us(0x0101))])
    for command_field in range(65536):
        data = join([(0x0100, us(command_field))]) + head + tail
        with pytest.raises(CommandSetError) as caught:
            decode_command(data)
        assert isinstance(caught.value, UnrecognizedCommandError) == (command_field not in known)
        if isinstance(caught.value, UnrecognizedCommandError):
            assert caught.value.command_field == command_field


@pytest.mark.parametrize(("message_id", "raw"), [(None, None), (None, b""), (7, us(7))])
@pytest.mark.parametrize(("has_data_set", "data_set_type"), [(False, 0x0101), (True, 0x0001)])
def test_an_unrecognized_command_tells_what_an_answer_needs(
    message_id: int | None, raw: bytes | None, has_data_set: bool, data_set_type: int
) -> None:
    elements = [(0x0100, us(0x0042)), (0x0800, us(data_set_type))]
    if raw is not None:
        elements.append((0x0110, raw))
    with pytest.raises(UnrecognizedCommandError, match="0042H") as caught:
        decode_command(join(elements))
    assert caught.value.command_field == 0x0042
    assert caught.value.message_id == message_id
    assert caught.value.has_data_set == has_data_set


def test_an_unrecognized_command_must_be_sound_apart_from_that() -> None:
    refused(join([(0x0100, us(0x0042))]), r"\(0000,0800\) is missing")
    sound = [(0x0100, us(0x0042)), (0x0800, us(0x0101))]
    refused(join([*sound, (0x0110, b"\1")]), r"\(0000,0110\) is 1 bytes long")


# What cannot be encoded --------------------------------------------------------------------------

NUMBERS = (-1, 65536, 1 << 32, 1.5, "1")
UIDS = ("", "1" * 65, "1.2 ", "1.2\0", "1.é")
TEXTS = ("", " x", "x ", "a\\b", "a\tb", "a\nb", "a\0b", "\x7f", "\u20ac")
WRONG: dict[str, tuple[Any, ...]] = {
    "US": NUMBERS,
    "UI": UIDS,
    "AE": (*TEXTS, "x" * 17),
    "LO": (*TEXTS, "x" * 65),
    "AT": ((1 << 32,), (-1,)),
}
LONGEST = {"UI": "1" * 64, "AE": "x" * 16, "LO": "x" * 64, "US": 65535, "AT": (0xFFFFFFFF,)}


@each_message
def test_a_value_that_has_no_place_on_the_wire_is_refused(command: Command) -> None:
    for keyword in MESSAGES[command.name].usage:
        name = field_name(keyword)
        for value in WRONG[ELEMENTS[keyword].vr]:
            wrong = replace(command, **{name: value})
            with pytest.raises(ValueError, match=f"^{command.name}: {name}: "):
                encode_command(wrong)


@each_message
def test_the_longest_values_are_encoded(command: Command) -> None:
    for keyword in MESSAGES[command.name].usage:
        value: Any = LONGEST[ELEMENTS[keyword].vr]
        longest = replace(command, **{field_name(keyword): value})
        assert decode_command(encode_command(longest)) == longest


@each_message
def test_a_mandatory_field_cannot_be_none(command: Command) -> None:
    for keyword, usage in MESSAGES[command.name].usage.items():
        if usage == "M":
            name = field_name(keyword)
            missing: Any = {name: None}
            with pytest.raises(ValueError, match=f"{command.name}: {name}: is mandatory"):
                encode_command(replace(command, **missing))


def test_an_ae_title_that_is_not_ascii_can_be_sent_back_as_it_came() -> None:
    command = CStoreRQ("1.2", 1, "1.2.3", 0, "HÔPITAL", 1)
    assert b"H\xd4PITAL " in encode_command(command)
    assert decode_command(encode_command(command)) == command


def test_a_uid_that_is_none_but_was_decoded_can_be_sent_back_as_it_came() -> None:
    command = decode_command(changed(NCreateRQ("1.2", 1, False, "1.2"), 0x1000, b"x\\y\n\0z"))
    assert isinstance(command, NCreateRQ)
    assert command.affected_sop_instance_uid == "x\\y\n\0z"
    assert decode_command(encode_command(command)) == command
