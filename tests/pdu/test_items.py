"""Items, fields with a length, UIDs and numbers: what fits, and the reason when it does not."""

from __future__ import annotations

import pytest

from dul_fsm.errors import PDUError
from dul_fsm.pdu import items

NOT_ASCII = "1.2.\N{LATIN SMALL LETTER E WITH ACUTE}"


def walk(data: bytes) -> list[tuple[int, bytes]]:
    return [(kind, data[start:end]) for kind, start, end in items.walk_items(data, 0, len(data))]


def test_items_are_walked_one_by_one_with_their_reserved_byte_ignored() -> None:
    data = bytes.fromhex("10 00 0002 AABB  21 FF 0000  99 7F 0001 CC")
    assert walk(data) == [(0x10, b"\xaa\xbb"), (0x21, b""), (0x99, b"\xcc")]


def test_no_bytes_are_no_items() -> None:
    assert walk(b"") == []


@pytest.mark.parametrize("left", [1, 2, 3])
def test_less_than_an_item_header_at_the_end_is_invalid(left: int) -> None:
    with pytest.raises(PDUError, match=f"{left} bytes are left") as error:
        walk(bytes.fromhex("10 00 0001 AA") + bytes(left))
    assert error.value.reason == 6


@pytest.mark.parametrize("length", range(69))
@pytest.mark.parametrize("there", [0, 1, 4, 67, 68])
def test_an_item_fits_if_all_its_bytes_are_there(length: int, there: int) -> None:
    data = b"\x10\0" + length.to_bytes(2, "big") + bytes(there)
    if length == there:
        assert walk(data) == [(0x10, bytes(there))]
    elif length > there:
        with pytest.raises(PDUError, match=f"{length} bytes long, {there} are left") as error:
            walk(data)
        assert error.value.reason == 6


def test_an_item_must_not_run_over_its_container_even_if_bytes_follow_it() -> None:
    data = bytes.fromhex("10 00 0004 AABBCCDD")
    with pytest.raises(PDUError, match="are left"):
        list(items.walk_items(data, 0, 7))


@pytest.mark.parametrize("length", [*range(69), 0x1234, 0xFFFF])
def test_a_field_fits_if_all_its_bytes_are_there(length: int) -> None:
    data = length.to_bytes(2, "big") + bytes(length)
    assert items.walk_field(data, 0, len(data), "x") == (2, len(data))
    with pytest.raises(PDUError, match=r"x: ") as error:
        items.walk_field(data, 0, len(data) - 1, "x")
    assert error.value.reason == 6


@pytest.mark.parametrize("length", range(69))
def test_a_uid_has_1_to_64_characters(length: int) -> None:
    data = b"1" * length
    if 1 <= length <= 64:
        assert items.decode_uid(data, 0, length, "x") == "1" * length
        assert items.encode_uid("1" * length, "x") == data
        return
    with pytest.raises(PDUError, match=f"x: a UID of {length} characters") as error:
        items.decode_uid(data, 0, length, "x")
    assert error.value.reason == 6
    with pytest.raises(ValueError, match=f"x: .* has {length} characters"):
        items.encode_uid("1" * length, "x")


@pytest.mark.parametrize("padding", [b"\0", b" ", b"\0\0", b" \0 "])
def test_padding_after_a_uid_is_stripped_and_not_counted(padding: bytes) -> None:
    data = b"1" * 64 + padding
    assert items.decode_uid(data, 0, len(data), "x") == "1" * 64


@pytest.mark.parametrize("padding", [b"\0", b" ", b"\0\0 "])
def test_a_uid_of_padding_only_is_invalid(padding: bytes) -> None:
    with pytest.raises(PDUError, match="a UID of 0 characters"):
        items.decode_uid(padding, 0, len(padding), "x")


@pytest.mark.parametrize("code", range(0x80, 0x100))
def test_a_uid_with_a_byte_that_is_not_ascii_is_invalid(code: int) -> None:
    with pytest.raises(PDUError, match="not ASCII") as error:
        items.decode_uid(bytes((0x31, code)), 0, 2, "x")
    assert error.value.reason == 6


def test_a_uid_that_is_not_ascii_is_not_sent() -> None:
    with pytest.raises(ValueError, match="is not ASCII"):
        items.encode_uid(NOT_ASCII, "x")


@pytest.mark.parametrize("uid", ["1.2\0", "1.2 "])
def test_a_uid_is_sent_without_padding(uid: str) -> None:
    with pytest.raises(ValueError, match="ends in padding"):
        items.encode_uid(uid, "x")


def test_an_item_is_type_reserved_byte_length_content() -> None:
    assert items.encode_item(0x56, b"abc") == bytes.fromhex("56 00 0003 616263")
    assert items.encode_item(0x56, bytes(0xFFFF))[:4] == bytes.fromhex("56 00 FFFF")


def test_an_item_longer_than_its_length_can_say_is_not_sent() -> None:
    with pytest.raises(ValueError, match="item 56H: 65536 bytes do not fit"):
        items.encode_item(0x56, bytes(0x10000))


def test_a_field_longer_than_its_length_can_say_is_not_sent() -> None:
    assert items.encode_field(bytes(0xFFFF), "x")[:2] == b"\xff\xff"
    with pytest.raises(ValueError, match="x: 65536 bytes do not fit"):
        items.encode_field(bytes(0x10000), "x")


@pytest.mark.parametrize(("size", "largest"), [(1, 255), (2, 65535), (4, 4294967295)])
def test_a_number_is_sent_if_it_fits(size: int, largest: int) -> None:
    assert items.encode_number(largest, size, "x") == b"\xff" * size
    for number in (-1, largest + 1):
        with pytest.raises(ValueError, match=rf"x: {number} is not in 0\.\.{largest}"):
            items.encode_number(number, size, "x")


@pytest.mark.parametrize("context_id", range(-2, 260))
def test_a_presentation_context_id_is_odd_and_a_byte(context_id: int) -> None:
    if 0 < context_id < 256 and context_id % 2:
        items.check_context_id(context_id)
    else:
        with pytest.raises(ValueError, match=f"id {context_id} is not odd"):
            items.check_context_id(context_id)
