"""What holds for generated commands, bytes and fragments of DIMSE."""

from __future__ import annotations

import io
import itertools
from dataclasses import fields, replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dul_fsm.dimse import (
    COMMANDS,
    BytesSource,
    CEchoRSP,
    Command,
    CommandReceived,
    FileSource,
    IterableSource,
    MessageAssembler,
    MessageEvent,
    MessageReceived,
    OutgoingMessage,
    Source,
    UnrecognizedCommandReceived,
    command_set,
    decode_command,
    encode_command,
    error_comment,
)
from dul_fsm.errors import CommandSetError, MessageError
from dul_fsm.pdu import PDV

# Strategies --------------------------------------------------------------------------------------

us = st.integers(0, 65535)
uids = st.text("0123456789.", min_size=1, max_size=64)
ae_titles = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\\"))
ae_titles = ae_titles.filter(bool).map(lambda text: text[:16])
texts = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="\\"))
comments = texts.map(lambda text: text[:64].strip()).filter(bool)
tags = st.lists(st.integers(0, 0xFFFFFFFF), max_size=5).map(tuple)
context_ids = st.integers(0, 127).map(lambda i: 2 * i + 1)
even = st.integers(1, 40).map(lambda i: 2 * i)

BY_FIELD: dict[str, st.SearchStrategy[Any]] = {
    "offending_element": tags,
    "attribute_identifier_list": tags,
    "error_comment": comments,
    "move_destination": ae_titles,
    "move_originator_application_entity_title": ae_titles,
    "has_data_set": st.booleans(),
}

TEXTS = ("error_comment", "move_destination", "move_originator_application_entity_title")


@st.composite
def commands(draw: st.DrawFn) -> Command:
    """Any command that can be encoded."""
    kind = draw(st.sampled_from(list(COMMANDS.values())))
    values = {}
    for field in fields(kind):
        strategy = BY_FIELD.get(field.name, uids if field.name.endswith("_uid") else us)
        if field.default is None:
            strategy = st.none() | strategy
        values[field.name] = draw(strategy)
    return kind(**values)


@st.composite
def damaged_command_sets(draw: st.DrawFn) -> bytes:
    """A command set in which a few bytes were changed, taken out or put in."""
    data = bytearray(encode_command(draw(commands())))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        data[start : start + draw(st.integers(0, 4))] = draw(st.binary(max_size=4))
    return bytes(data)


@st.composite
def alike(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Two command sets as long as each other: of two commands that differ in a field of the same
    length, or the second a damaged first."""
    command = draw(commands())
    first = encode_command(command)
    if draw(st.booleans()):
        numbers = [field.name for field in fields(command) if field.type in ("int", int)]
        if numbers:
            given: Any = {draw(st.sampled_from(numbers)): draw(us)}
            other = replace(command, **given)
            return first, encode_command(other)
    second = bytearray(first)
    for _ in range(draw(st.integers(1, 3))):
        second[draw(st.integers(0, len(second) - 1))] = draw(st.integers(0, 255))
    return first, bytes(second)


@st.composite
def chopped(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The data in pieces, empty ones among them; at least one."""
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    edges = [0, *cuts, len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


pdvs = st.builds(
    PDV,
    st.sampled_from([1, 3]),
    st.booleans(),
    st.booleans(),
    st.binary(max_size=8) | commands().map(encode_command),
)


# Command sets ------------------------------------------------------------------------------------


@given(commands())
def test_every_command_survives_the_round_trip(command: Command) -> None:
    """decode(encode(x)) == x, and what is encoded is even and states its length."""
    data = encode_command(command)
    assert decode_command(data) == command
    assert len(data) % 2 == 0
    assert int.from_bytes(data[8:12], "little") == len(data) - 12


@given(st.binary(max_size=300) | damaged_command_sets())
def test_whatever_bytes_come_only_a_command_set_error_is_raised(data: bytes) -> None:
    """Bytes decode to a command or to a `CommandSetError`; and that command survives."""
    try:
        command = decode_command(data)
    except CommandSetError:
        return
    # Texts are the one thing that is received but not sent when it breaks its VR.
    texts = {name: "X" for name in TEXTS if getattr(command, name, None) is not None}
    command = replace(command, **texts)  # type: ignore[arg-type]
    assert decode_command(encode_command(command)) == command


def outcome(data: bytes) -> Command | str:
    """What comes of decoding it."""
    try:
        return decode_command(data)
    except CommandSetError as error:
        return str(error)


@given(alike())
def test_what_was_decoded_before_changes_nothing(pair: tuple[bytes, bytes]) -> None:
    """A command set decodes to the same whether or not one of the same length came before it."""
    first, second = pair
    command_set._FORMS.clear()
    alone = outcome(second)
    command_set._FORMS.clear()
    outcome(first)
    assert outcome(second) == alone
    assert outcome(second) == alone


@given(st.text())
def test_any_text_makes_an_error_comment_that_can_be_sent(text: str) -> None:
    """What `error_comment` gives is encoded, and decoded to the same."""
    command = CEchoRSP(1, 0, error_comment=error_comment(text))
    assert decode_command(encode_command(command)) == command


# Messages ----------------------------------------------------------------------------------------


def assemble(fragments: list[PDV]) -> tuple[list[MessageEvent], bytes]:
    """The events but those of data, and the data."""
    assembler = MessageAssembler()
    events = [event for pdv in fragments for event in assembler.feed(pdv)]
    assert assembler.is_idle
    data = b"".join(event.fragment for event in events if isinstance(event, PDV))
    return [event for event in events if not isinstance(event, PDV)], data


@given(context_ids, commands(), st.binary(max_size=100), st.data())
def test_however_a_message_is_cut_it_is_assembled_to_the_same(
    context_id: int, command: Command, data: bytes, draw: st.DataObject
) -> None:
    """Any fragments, empty ones too, give the command and the bytes that were cut."""
    fragments = []
    parts = [(True, encode_command(command)), (False, data)]
    for is_command, whole in parts if command.has_data_set else parts[:1]:
        pieces = draw.draw(chopped(whole))
        for i, piece in enumerate(pieces):
            fragments.append(PDV(context_id, is_command, i == len(pieces) - 1, piece))
    events, received = assemble(fragments)
    assert events == [CommandReceived(context_id, command), MessageReceived(context_id, command)]
    assert received == (data if command.has_data_set else b"")


@given(context_ids, commands(), st.binary(max_size=200), st.data())
def test_what_we_cut_at_any_limits_is_even_and_assembled_to_the_same(
    context_id: int, command: Command, data: bytes, draw: st.DataObject
) -> None:
    """Fragments are within the limit, even but for the end of odd data, and lose nothing."""
    chunks = draw.draw(chopped(data))
    sources: list[Source] = [BytesSource(data), IterableSource(chunks)]
    source = draw.draw(st.sampled_from(sources)) if command.has_data_set else None
    message = OutgoingMessage(context_id, command, source)
    fragments = []
    while not message.is_done:
        limit = draw.draw(even)
        item = message.next_fragment(limit)
        assert item is not None
        control, fragment = item
        assert len(fragment) <= limit
        is_last = bool(control & 2)
        assert is_last or len(fragment) == limit
        assert len(fragment) or data == b""
        fragments.append(PDV(context_id, bool(control & 1), is_last, bytes(fragment)))
    events, received = assemble(fragments)
    assert events == [CommandReceived(context_id, command), MessageReceived(context_id, command)]
    assert received == (data if command.has_data_set else b"")


@given(st.lists(pdvs, max_size=20))
def test_whatever_fragments_come_only_a_message_error_is_raised(fragments: list[PDV]) -> None:
    """Each message is told once and whole: command, its data, end; until a `MessageError`."""
    assembler = MessageAssembler()
    events: list[MessageEvent] = []
    for pdv in fragments:
        try:
            events += assembler.feed(pdv)
        except MessageError:
            break
    open_command: CommandReceived | None = None
    for event in events:
        match event:
            case CommandReceived():
                assert open_command is None
                open_command = event
            case PDV():
                assert open_command is not None
                assert event.context_id == open_command.context_id
                assert open_command.command.has_data_set
            case MessageReceived():
                assert open_command is not None
                assert (event.context_id, event.command) == (
                    open_command.context_id,
                    open_command.command,
                )
                open_command = None
            case UnrecognizedCommandReceived():
                assert open_command is None


# Sources -----------------------------------------------------------------------------------------


@given(st.binary(max_size=300), st.data())
def test_all_sources_of_the_same_bytes_give_the_same_fragments(
    data: bytes, draw: st.DataObject
) -> None:
    """Memory, chunks and files differ in nothing but where the bytes come from."""
    sources: list[Source] = [
        BytesSource(data),
        IterableSource(draw.draw(chopped(data))),
        FileSource(io.BytesIO(data), len(data)),
    ]
    is_last = False
    while not is_last:
        limit = draw.draw(even)
        first, *others = [source.next(limit) for source in sources]
        assert all((bytes(item[0]), item[1]) == (bytes(first[0]), first[1]) for item in others)
        is_last = first[1]
