"""Messages: assembled from every split, refused when mixed, cut at every limit."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator

import pytest

from dul_fsm.dimse import (
    COMMAND_SET_LIMIT,
    BytesSource,
    CCancelRQ,
    CEchoRQ,
    CFindRSP,
    Command,
    CommandReceived,
    CStoreRQ,
    CStoreRSP,
    IterableSource,
    MessageAssembler,
    MessageEvent,
    MessageReceived,
    OutgoingMessage,
    UnrecognizedCommandReceived,
    encode_command,
)
from dul_fsm.errors import MessageError
from dul_fsm.pdu import PDV
from tests.dimse.examples import EXAMPLES, label

ECHO = CEchoRQ("1.2.840.10008.1.1", 1)
STORE = CStoreRQ("1.2", 2, "1.2.3")
DATA = bytes(range(10))


def command_pdv(fragment: bytes, *, last: bool = True, context_id: int = 1) -> PDV:
    return PDV(context_id, True, last, fragment)


def data_pdv(fragment: bytes, *, last: bool = True, context_id: int = 1) -> PDV:
    return PDV(context_id, False, last, fragment)


def pdvs(command: Command, data: list[bytes], context_id: int = 1) -> list[PDV]:
    """A message with its command set in one fragment."""
    head = command_pdv(encode_command(command), context_id=context_id)
    return [head] + [
        data_pdv(fragment, last=i == len(data) - 1, context_id=context_id)
        for i, fragment in enumerate(data)
    ]


def feed(assembler: MessageAssembler, fragments: list[PDV]) -> list[MessageEvent]:
    return [event for pdv in fragments for event in assembler.feed(pdv)]


def unrecognized(*, message_id: int | None = 9, has_data_set: bool = False) -> bytes:
    elements = [(0x0100, 0x0042), (0x0800, 0x0001 if has_data_set else 0x0101)]
    if message_id is not None:
        elements.append((0x0110, message_id))
    return b"".join(struct.pack("<HHIH", 0, number, 2, value) for number, value in elements)


# Assembling --------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", EXAMPLES, ids=label)
def test_each_of_the_23_messages_is_received(command: Command) -> None:
    assembler = MessageAssembler()
    if command.has_data_set:
        events = feed(assembler, pdvs(command, [DATA], 3))
        assert events == [
            CommandReceived(3, command),
            data_pdv(DATA, context_id=3),
            MessageReceived(3, command),
        ]
    else:
        events = feed(assembler, pdvs(command, [], 3))
        assert events == [CommandReceived(3, command), MessageReceived(3, command)]
    assert assembler.is_idle


def test_every_split_of_a_command_set_in_two_and_in_three_gives_the_same() -> None:
    data = encode_command(CCancelRQ(1))
    expected = [CommandReceived(1, CCancelRQ(1)), MessageReceived(1, CCancelRQ(1))]
    for first, second in itertools.combinations_with_replacement(range(len(data) + 1), 2):
        assembler = MessageAssembler()
        pieces = [data[:first], data[first:second], data[second:]]
        assert assembler.feed(command_pdv(pieces[0], last=False)) == []
        assert assembler.feed(command_pdv(pieces[1], last=False)) == []
        assert not assembler.is_idle
        assert assembler.feed(command_pdv(pieces[2])) == expected
        assert assembler.feed(command_pdv(data)) == expected


def test_a_command_set_may_come_byte_by_byte_and_end_with_an_empty_fragment() -> None:
    assembler = MessageAssembler()
    for byte in encode_command(ECHO):
        assert assembler.feed(command_pdv(bytes([byte]), last=False)) == []
        assert assembler.feed(command_pdv(b"", last=False)) == []
    assert assembler.feed(command_pdv(b"")) == [CommandReceived(1, ECHO), MessageReceived(1, ECHO)]


def test_every_split_of_a_data_set_streams_through_as_it_came() -> None:
    for cuts in itertools.product((False, True), repeat=len(DATA) - 1):
        edges = [0, *(i + 1 for i, cut in enumerate(cuts) if cut), len(DATA)]
        pieces = [DATA[start:end] for start, end in itertools.pairwise(edges)]
        first, *data, last = feed(MessageAssembler(), pdvs(STORE, pieces))
        assert first == CommandReceived(1, STORE)
        assert data == [
            data_pdv(piece, last=i == len(pieces) - 1) for i, piece in enumerate(pieces)
        ]
        assert last == MessageReceived(1, STORE)


@pytest.mark.parametrize("pieces", [[b""], [b"", b""], [DATA, b""], [b"", DATA, b"", b""]])
def test_empty_data_fragments_are_received(pieces: list[bytes]) -> None:
    first, *data, last = feed(MessageAssembler(), pdvs(STORE, pieces))
    assert (first, last) == (CommandReceived(1, STORE), MessageReceived(1, STORE))
    assert [bytes(event.fragment) for event in data if isinstance(event, PDV)] == pieces


def test_a_data_fragment_is_not_copied() -> None:
    buffer = bytearray(DATA)
    assembler = MessageAssembler()
    assembler.feed(command_pdv(encode_command(STORE)))
    pdv = PDV(1, False, True, memoryview(buffer)[2:6])
    assert assembler.feed(pdv)[0] is pdv


def test_a_command_fragment_need_not_last_longer_than_the_call() -> None:
    data = encode_command(ECHO)
    buffer = bytearray(data)
    assembler = MessageAssembler()
    assembler.feed(PDV(1, True, False, memoryview(buffer)[:20]))
    buffer[:20] = bytes(20)
    events = assembler.feed(PDV(1, True, True, memoryview(buffer)[20:]))
    buffer[:] = bytes(len(buffer))
    assert events == [CommandReceived(1, ECHO), MessageReceived(1, ECHO)]


def test_messages_follow_each_other_on_any_context() -> None:
    assembler = MessageAssembler()
    for context_id in (1, 255, 3, 3):
        events = feed(assembler, pdvs(STORE, [DATA], context_id) + pdvs(ECHO, [], context_id))
        assert [event.context_id for event in events] == [context_id] * 5
        assert assembler.is_idle


# Errors ------------------------------------------------------------------------------------------

HALF = encode_command(STORE)[:20]

UNDER_WAY = {
    "no command yet": [],
    "half a command set": [command_pdv(HALF, last=False)],
    "an empty command fragment": [command_pdv(b"", last=False)],
    "data due": pdvs(STORE, []),
    "half a data set": [*pdvs(STORE, []), data_pdv(DATA, last=False)],
    "data to be skipped": [command_pdv(unrecognized(has_data_set=True))],
    "an earlier message": pdvs(STORE, [DATA]),
    "an earlier message without data": pdvs(ECHO, []),
}

# Whether (command, data) on the same and on another context may come next.
MAY_COME = {
    "no command yet": {"same": (True, False), "other": (True, False)},
    "half a command set": {"same": (True, False), "other": (False, False)},
    "an empty command fragment": {"same": (True, False), "other": (False, False)},
    "data due": {"same": (False, True), "other": (False, False)},
    "half a data set": {"same": (False, True), "other": (False, False)},
    "data to be skipped": {"same": (False, True), "other": (False, False)},
    "an earlier message": {"same": (True, False), "other": (True, False)},
    "an earlier message without data": {"same": (True, False), "other": (True, False)},
}


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("is_command", [False, True], ids=["data", "command"])
@pytest.mark.parametrize("context", ["same", "other"])
@pytest.mark.parametrize("case", UNDER_WAY)
def test_fragments_of_messages_may_not_mix(
    case: str, context: str, is_command: bool, last: bool
) -> None:
    assembler = MessageAssembler()
    feed(assembler, UNDER_WAY[case])
    fragment = encode_command(STORE) if is_command else DATA
    if case == "half a command set" and context == "same" and is_command:
        fragment = fragment[20:]
    pdv = PDV(1 if context == "same" else 3, is_command, last, fragment)
    if MAY_COME[case][context][0 if is_command else 1]:
        assembler.feed(pdv)
    else:
        with pytest.raises(MessageError, match="fragment"):
            assembler.feed(pdv)


@pytest.mark.parametrize(
    ("case", "pdv", "text"),
    [
        ("no command yet", data_pdv(DATA), "a data set fragment without a command"),
        ("an earlier message", data_pdv(DATA), "a data set fragment without a command"),
        ("half a command set", data_pdv(DATA), "before the end of the command set"),
        ("data due", command_pdv(HALF), "a command set fragment while a data set is due"),
        ("data due", data_pdv(DATA, context_id=3), "on context 3 inside a message on 1"),
    ],
)
def test_the_error_says_what_does_not_fit(case: str, pdv: PDV, text: str) -> None:
    assembler = MessageAssembler()
    feed(assembler, UNDER_WAY[case])
    with pytest.raises(MessageError, match=text):
        assembler.feed(pdv)


@pytest.mark.parametrize("cut", [0, 1, COMMAND_SET_LIMIT // 2, COMMAND_SET_LIMIT])
def test_a_command_set_of_the_limit_is_received_and_not_one_byte_more(cut: int) -> None:
    command = encode_command(ECHO)
    filler = COMMAND_SET_LIMIT - len(command) - 8
    longest = command + struct.pack("<HHI", 0, 0xFFFF, filler) + bytes(filler)
    assert len(longest) == 65536
    pieces = [command_pdv(longest[:cut], last=False), command_pdv(longest[cut:])]
    assert feed(MessageAssembler(), pieces)[0] == CommandReceived(1, ECHO)
    for last in (False, True):
        assembler = MessageAssembler()
        assembler.feed(command_pdv(longest[:cut], last=False))
        with pytest.raises(MessageError, match="65537 bytes or more"):
            assembler.feed(command_pdv(longest[cut:] + b"\0", last=last))


def test_a_command_set_that_cannot_be_decoded_is_an_error_that_says_why() -> None:
    with pytest.raises(MessageError, match=r"undecodable.*\(0000,0100\) is missing"):
        MessageAssembler().feed(command_pdv(b""))


# Unrecognized commands ---------------------------------------------------------------------------


@pytest.mark.parametrize("message_id", [None, 0, 9])
def test_an_unrecognized_command_is_told_and_the_next_message_received(
    message_id: int | None,
) -> None:
    assembler = MessageAssembler()
    assert assembler.feed(command_pdv(unrecognized(message_id=message_id), context_id=5)) == [
        UnrecognizedCommandReceived(5, message_id, 0x0042, False)
    ]
    assert assembler.is_idle
    assert len(feed(assembler, pdvs(STORE, [DATA]))) == 3


def test_the_data_set_of_an_unrecognized_command_is_skipped() -> None:
    assembler = MessageAssembler()
    assert assembler.feed(command_pdv(unrecognized(has_data_set=True))) == [
        UnrecognizedCommandReceived(1, 9, 0x0042, True)
    ]
    for fragment in (DATA, b"", DATA):
        assert assembler.feed(data_pdv(fragment, last=False)) == []
        assert not assembler.is_idle
    assert assembler.feed(data_pdv(DATA)) == []
    assert assembler.is_idle
    assert len(feed(assembler, pdvs(STORE, [DATA]))) == 3


def test_skipping_depends_on_the_command_under_way_and_on_no_earlier_one() -> None:
    assembler = MessageAssembler()
    for _ in range(2):
        assert len(feed(assembler, pdvs(STORE, [DATA]))) == 3
        skipped = [command_pdv(unrecognized(has_data_set=True)), data_pdv(DATA)]
        assert feed(assembler, skipped) == [UnrecognizedCommandReceived(1, 9, 0x0042, True)]


# Values ------------------------------------------------------------------------------------------


# Cutting -----------------------------------------------------------------------------------------


def cut(message: OutgoingMessage, limit: int) -> list[tuple[int, bytes]]:
    fragments: list[tuple[int, bytes]] = []
    while (item := message.next_fragment(limit)) is not None:
        fragments.append((item[0], bytes(item[1])))
    assert message.is_done
    assert message.next_fragment(limit) is None
    return fragments


@pytest.mark.parametrize("size", range(20))
def test_a_message_is_cut_at_every_limit_into_even_fragments_that_are_as_long_as_allowed(
    size: int,
) -> None:
    command_set = encode_command(STORE)
    data = bytes(range(size))
    for limit in range(2, len(command_set) + 4, 2):
        fragments = cut(OutgoingMessage(1, STORE, BytesSource(data)), limit)
        command_part = [item for item in fragments if item[0] & 1]
        data_part = [item for item in fragments if not item[0] & 1]
        assert fragments == command_part + data_part
        for part, whole in ((command_part, command_set), (data_part, data)):
            assert b"".join(fragment for _, fragment in part) == whole
            assert [control & 2 for control, _ in part] == [0] * (len(part) - 1) + [2]
            assert all(len(fragment) == limit for _, fragment in part[:-1])
            assert len(part[-1][1]) <= limit
            assert part[-1][1] or not whole


@pytest.mark.parametrize("command", EXAMPLES, ids=label)
def test_what_is_cut_is_assembled_again(command: Command) -> None:
    for limit in (2, 4, 64, 65536):
        data = BytesSource(DATA) if command.has_data_set else None
        assembler = MessageAssembler()
        events = [
            event
            for control, fragment in cut(OutgoingMessage(1, command, data), limit)
            for event in assembler.feed(PDV(1, bool(control & 1), bool(control & 2), fragment))
        ]
        assert events[0] == CommandReceived(1, command)
        assert events[-1] == MessageReceived(1, command)
        received = b"".join(item.fragment for item in events if isinstance(item, PDV))
        assert received == (DATA if command.has_data_set else b"")


def test_a_data_set_is_not_copied() -> None:
    data = bytearray(DATA)
    message = OutgoingMessage(1, STORE, BytesSource(data))
    while (item := message.next_fragment(4)) is not None and item[0] & 1:
        pass
    assert item is not None
    assert isinstance(item[1], memoryview)
    assert item[1].obj is data


def test_a_message_knows_when_it_is_done() -> None:
    message = OutgoingMessage(1, STORE, BytesSource(b"12"))
    assert (message.context_id, message.command) == (1, STORE)
    for expected in (False, True):
        assert not message.is_done
        message.next_fragment(1000)
        assert message.is_done == expected


@pytest.mark.parametrize("limit", [-2, 0, 1, 3, 1001])
def test_a_limit_that_leaves_no_room_or_is_odd_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match=f"at most {limit} bytes"):
        OutgoingMessage(1, ECHO).next_fragment(limit)


@pytest.mark.parametrize("command", [STORE, CFindRSP(1, 0xFF00, True)])
def test_a_command_that_announces_a_data_set_needs_one(command: Command) -> None:
    with pytest.raises(ValueError, match=f"{command.name} without its data set"):
        OutgoingMessage(1, command)


@pytest.mark.parametrize("command", [ECHO, CFindRSP(1, 0), CStoreRSP(1, 0)])
def test_a_command_that_announces_no_data_set_must_have_none(command: Command) -> None:
    with pytest.raises(ValueError, match=f"{command.name} with a data set"):
        OutgoingMessage(1, command, BytesSource(DATA))


def test_a_command_that_cannot_be_encoded_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="C-ECHO-RQ: message_id"):
        OutgoingMessage(1, CEchoRQ("1.2", 65536))


class Boom(Exception):
    pass


def test_what_a_source_raises_goes_through() -> None:
    def chunks() -> Iterator[bytes]:
        yield b"12"
        raise Boom

    message = OutgoingMessage(1, STORE, IterableSource(chunks()))
    message.next_fragment(1000)
    with pytest.raises(Boom):
        message.next_fragment(1000)
