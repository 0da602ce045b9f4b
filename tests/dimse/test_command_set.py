"""Command sets: hand-written bytes, pynetdicom's bytes, and what is put up with."""

from __future__ import annotations

import struct
from dataclasses import fields, replace

import pytest
from pynetdicom import dimse_messages
from pynetdicom.dsutils import encode as pynetdicom_encode

from dul_fsm.dimse import (
    CCancelRQ,
    CEchoRQ,
    CEchoRSP,
    CFindRQ,
    CFindRSP,
    CMoveRQ,
    Command,
    CStoreRQ,
    CStoreRSP,
    NGetRQ,
    command_set,
    decode_command,
    encode_command,
    error_comment,
)
from tests.dimse.elements import changed, join, refused, split, us
from tests.dimse.examples import EXAMPLES, VALUES, example, label
from tests.dimse.transcription import ELEMENTS, MESSAGES, field_name

FULL = [example(name, full=True) for name in MESSAGES]
each_example = pytest.mark.parametrize("command", EXAMPLES, ids=label)
each_message = pytest.mark.parametrize("command", FULL, ids=lambda command: command.name)


# Bytes by hand -----------------------------------------------------------------------------------

VERIFICATION = "1.2.840.10008.1.1"

BY_HAND = [
    (
        CEchoRQ(VERIFICATION, 7),
        "0000 0000 04000000 38000000"
        "0000 0200 12000000 312e322e3834302e31303030382e312e3100"
        "0000 0001 02000000 3000"
        "0000 1001 02000000 0700"
        "0000 0008 02000000 0101",
    ),
    (
        CEchoRSP(7, 0),
        "0000 0000 04000000 28000000"
        "0000 0001 02000000 3080"
        "0000 2001 02000000 0700"
        "0000 0008 02000000 0101"
        "0000 0009 02000000 0000",
    ),
    (
        CStoreRQ("1.2", 0x0102, "1.2.34", 1, "AET", 0x0304),
        "0000 0000 04000000 58000000"
        "0000 0200 04000000 312e3200"
        "0000 0001 02000000 0100"
        "0000 1001 02000000 0201"
        "0000 0007 02000000 0100"
        "0000 0008 02000000 0100"
        "0000 0010 06000000 312e322e3334"
        "0000 3010 04000000 41455420"
        "0000 3110 02000000 0403",
    ),
    (
        CStoreRSP(0x0102, 0xB000, "1.2", "1.2.34", (0x00100020, 0x7FE00010), "odd"),
        "0000 0000 04000000 5e000000"
        "0000 0200 04000000 312e3200"
        "0000 0001 02000000 0180"
        "0000 2001 02000000 0201"
        "0000 0008 02000000 0101"
        "0000 0009 02000000 00b0"
        "0000 0109 08000000 1000 2000 e07f 1000"
        "0000 0209 04000000 6f646420"
        "0000 0010 06000000 312e322e3334",
    ),
    (
        CCancelRQ(65535),
        "0000 0000 04000000 1e000000"
        "0000 0001 02000000 ff0f"
        "0000 2001 02000000 ffff"
        "0000 0008 02000000 0101",
    ),
    (
        CMoveRQ("1.2", 1, "DEST", 2),
        "0000 0000 04000000 40000000"
        "0000 0200 04000000 312e3200"
        "0000 0001 02000000 2100"
        "0000 1001 02000000 0100"
        "0000 0006 04000000 44455354"
        "0000 0007 02000000 0200"
        "0000 0008 02000000 0100",
    ),
    (
        CFindRSP(1, 0xFF00, has_data_set=True),
        "0000 0000 04000000 28000000"
        "0000 0001 02000000 2080"
        "0000 2001 02000000 0100"
        "0000 0008 02000000 0100"
        "0000 0009 02000000 00ff",
    ),
    (
        NGetRQ("1.2", 1, "1.2.3", (0x00080005,)),
        "0000 0000 04000000 44000000"
        "0000 0300 04000000 312e3200"
        "0000 0001 02000000 1001"
        "0000 1001 02000000 0100"
        "0000 0008 02000000 0101"
        "0000 0110 06000000 312e322e3300"
        "0000 0510 04000000 0800 0500",
    ),
]


@pytest.mark.parametrize(
    ("command", "by_hand"), [pytest.param(*case, id=case[0].name) for case in BY_HAND]
)
def test_a_command_set_is_byte_for_byte_what_the_standard_says(
    command: Command, by_hand: str
) -> None:
    assert encode_command(command).hex() == by_hand.replace(" ", "")
    assert decode_command(bytes.fromhex(by_hand)) == command


def by_pynetdicom(command: Command) -> bytes:
    """The command set that pynetdicom makes of the same values."""
    message = getattr(dimse_messages, command.name.replace("-", "_"))()
    primitive = dimse_messages._MSG_TO_PRIMITVE[command.name.rpartition("-")[0].replace("-", "_")]()
    names = {field.name for field in fields(command)}
    # It leaves out of its own table what the standard has in an N-CREATE-RSP.
    missing = {}
    for keyword, value in VALUES.items():
        if field_name(keyword) not in names:
            continue
        if not getattr(command, field_name(keyword)):
            continue
        value = list(value) if isinstance(value, tuple) else value
        if keyword in message.command_set and hasattr(primitive, keyword):
            setattr(primitive, keyword, value)
        else:
            missing[keyword] = value
    assert not missing or command.name == "N-CREATE-RSP"
    message.primitive_to_message(primitive)
    for keyword, value in missing.items():
        setattr(message.command_set, keyword, value)
    message.command_set.CommandDataSetType = 0x0001 if command.has_data_set else 0x0101
    message._set_command_group_length()
    encoded = pynetdicom_encode(message.command_set, True, True)
    assert encoded is not None
    return encoded


@each_example
def test_all_23_messages_are_byte_for_byte_what_pynetdicom_makes_of_them(command: Command) -> None:
    assert encode_command(command) == by_pynetdicom(command)


# Rules for all messages --------------------------------------------------------------------------


@each_example
def test_what_was_encoded_decodes_to_the_same(command: Command) -> None:
    data = encode_command(command)
    assert decode_command(data) == command
    assert decode_command(memoryview(data)) == command


@each_example
def test_elements_go_up_and_are_even_and_the_group_length_counts_them(command: Command) -> None:
    data = encode_command(command)
    (first, group_length), *rest = split(data)
    assert first == 0
    assert struct.unpack("<I", group_length) == (len(data) - 12,)
    numbers = [number for number, _ in rest]
    assert numbers == sorted(set(numbers))
    assert all(len(raw) % 2 == 0 for _, raw in rest)


@each_message
def test_a_full_message_has_all_elements_of_the_standard(command: Command) -> None:
    expected = {ELEMENTS[keyword].number for keyword in MESSAGES[command.name].usage}
    assert {number for number, _ in split(encode_command(command))} == expected | {0, 0x100, 0x800}


# What is put up with -----------------------------------------------------------------------------


@each_message
def test_elements_may_come_in_any_order(command: Command) -> None:
    assert decode_command(join(reversed(split(encode_command(command))))) == command


@each_message
@pytest.mark.parametrize("group_length", [b"", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\1\0"])
def test_a_wrong_group_length_does_not_matter(command: Command, group_length: bytes) -> None:
    assert decode_command(changed(command, 0, group_length)) == command


@each_message
def test_a_missing_group_length_does_not_matter(command: Command) -> None:
    assert decode_command(encode_command(command)[12:]) == command


# PS3.7 Table E.2-1, two unknown ones, and one of a length that no VR has.
RETIRED = (0x0001, 0x0010, 0x0200, 0x0300, 0x0400, 0x0850, 0x0860, 0x4000, 0x5010, 0x51B0)


@each_message
@pytest.mark.parametrize("number", [*RETIRED, 0x0004, 0xFFFF], ids=lambda number: f"{number:04X}")
def test_elements_that_are_retired_or_unknown_do_not_matter(command: Command, number: int) -> None:
    elements = split(encode_command(command))
    assert decode_command(join([*elements, (number, b"\xff\xfe\xfd")])) == command


@each_message
def test_elements_of_other_messages_do_not_matter_whatever_they_hold(command: Command) -> None:
    data = encode_command(command)
    own = {number for number, _ in split(data)}
    others = [(item.number, b"\xff" * 99) for item in ELEMENTS.values() if item.number not in own]
    assert decode_command(data + join(others)) == command


@pytest.mark.parametrize("padding", [b"", b"\0", b"\0\0\0", b" ", b"  ", b"\0 "])
def test_a_uid_may_be_padded_with_anything_or_not_at_all(padding: bytes) -> None:
    command = CEchoRQ("1.2.3", 1)
    assert decode_command(changed(command, 0x0002, b"1.2.3" + padding)) == command


@pytest.mark.parametrize("raw", [b"AET", b"AET ", b"  AET", b"  AET\0", b" AET \0\0"])
def test_an_ae_title_may_be_padded_on_both_sides(raw: bytes) -> None:
    command = CMoveRQ("1.2", 1, "AET")
    assert decode_command(changed(command, 0x0600, raw)) == command


def test_texts_that_are_too_long_or_not_ascii_are_taken_as_they_come() -> None:
    command = CStoreRSP(1, 0xC000, error_comment="x")
    raw = bytes(range(0x21, 0x100))
    assert decode_command(changed(command, 0x0902, raw)) == replace(
        command, error_comment=raw.decode("latin-1")
    )


def test_every_priority_is_taken_as_it_comes() -> None:
    command = CFindRQ("1.2", 1, 0)
    for value in range(65536):
        assert decode_command(changed(command, 0x0700, us(value))) == replace(
            command, priority=value
        )


@each_example
@pytest.mark.parametrize("raw", [b"", b"\0\0", b"    ", b" \0"])
def test_an_optional_uid_or_text_of_padding_alone_counts_as_left_out(
    command: Command, raw: bytes
) -> None:
    for keyword, usage in MESSAGES[command.name].usage.items():
        number, vr = ELEMENTS[keyword]
        if usage == "M" or vr not in ("UI", "AE", "LO"):
            continue
        elements = [item for item in split(encode_command(command)) if item[0] != number]
        expected = replace(command, **{field_name(keyword): None})  # type: ignore[arg-type]
        assert decode_command(join([*elements, (number, raw)])) == expected


# The data set type -------------------------------------------------------------------------------


def test_any_data_set_type_but_0101h_announces_a_data_set() -> None:
    command = CFindRSP(1, 0xFF00, has_data_set=True)
    without = replace(command, has_data_set=False)
    for value in range(65536):
        expected = without if value == 0x0101 else command
        assert decode_command(changed(command, 0x0800, us(value))) == expected


@each_message
def test_a_data_set_that_the_message_must_or_must_not_have_is_not_a_choice(
    command: Command,
) -> None:
    rule = MESSAGES[command.name].data_set
    if rule != "always":
        refuses = rule == "never"
        data = changed(command, 0x0800, us(0x0102))
    else:
        refuses = True
        data = changed(command, 0x0800, us(0x0101))
    if refuses:
        refused(data, f"{command.name} with.* data set")
    else:
        assert decode_command(data).has_data_set


# Error comments ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "comment"),
    [
        ("disk full", "disk full"),
        ("  disk\r\n\tfull  ", "disk full"),
        ("C:\\x", "C:?x"),
        ("Müller\x07", "M?ller?"),
        ("x" * 70, "x" * 64),
        ("x" * 63 + " y", "x" * 63),
        ("", None),
        (" \n", None),
    ],
)
def test_any_text_can_be_made_an_error_comment(text: str, comment: str | None) -> None:
    assert error_comment(text) == comment
    command = CStoreRSP(1, 0x0110, error_comment=error_comment(text))
    assert decode_command(encode_command(command)) == command


def test_what_is_remembered_of_command_sets_is_bounded() -> None:
    """One form for each length up to a limit, and the elements of so many SOP Classes."""
    command_set._FORMS.clear()
    for number in range(2000):
        uid = f"1.2.{number}" + number % 50 * "1"
        decode_command(encode_command(CEchoRQ(uid, message_id=number)))
        tags = tuple(range(number % 400))
        decode_command(encode_command(NGetRQ(uid, 1, uid, tags)))
    assert 25 < len(command_set._FORMS) <= command_set._REMEMBERED // 2
    assert max(command_set._FORMS) <= command_set._REMEMBERED
    remembered = command_set._UI_CLASS[1].cache_info()  # type: ignore[attr-defined]
    assert 0 < remembered.currsize <= 256
