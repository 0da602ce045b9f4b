"""Command sets taken apart and put together by hand, well-formed or not, for tests."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import TypeAlias

import pytest

from dul_fsm.dimse import Command, decode_command, encode_command
from dul_fsm.errors import CommandSetError

Elements: TypeAlias = list[tuple[int, bytes]]
"""(element number, value) in group 0000."""


def split(data: bytes) -> Elements:
    """The elements of a well-formed command set."""
    elements = []
    while data:
        group, number, length = struct.unpack_from("<HHI", data)
        assert group == 0
        assert len(data) >= 8 + length
        elements.append((number, data[8 : 8 + length]))
        data = data[8 + length :]
    return elements


def join(elements: Iterable[tuple[int, bytes]]) -> bytes:
    return b"".join(struct.pack("<HHI", 0, number, len(raw)) + raw for number, raw in elements)


def us(value: int) -> bytes:
    return struct.pack("<H", value)


def changed(command: Command, number: int, raw: bytes) -> bytes:
    """The command set with another value in one of its elements."""
    elements = split(encode_command(command))
    assert number in dict(elements)
    return join((item, raw if item == number else value) for item, value in elements)


def refused(data: bytes, text: str | None = None) -> None:
    with pytest.raises(CommandSetError, match=text) as caught:
        decode_command(data)
    assert type(caught.value) is CommandSetError
