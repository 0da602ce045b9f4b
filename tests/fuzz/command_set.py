"""Fuzz target: the command set decoder and the message assembler.

The first byte of the input says which, and how small the pieces are; the rest is a command set,
or the body of a P-DATA-TF. What holds for every input:

- `decode_command` raises `CommandSetError`, or nothing; what decodes survives the round trip;
- a command set in pieces is assembled to what it is in one;
- `MessageAssembler.feed` raises `MessageError`, or nothing; until then each message is told once
  and whole: its command, its data in order, its end;
- it holds no more than the limit of a command set.
"""

from __future__ import annotations

from dataclasses import replace

from dul_fsm.dimse import (
    COMMAND_SET_LIMIT,
    Command,
    CommandReceived,
    MessageAssembler,
    MessageEvent,
    MessageReceived,
    OutgoingMessage,
    UnrecognizedCommandError,
    UnrecognizedCommandReceived,
    as_source,
    decode_command,
    encode_command,
)
from dul_fsm.errors import CommandSetError, MessageError, PDUError
from dul_fsm.pdu import PDV, decode_pdvs

# Texts that break the rules of their VR are received, and not sent.
TEXTS = ("error_comment", "move_destination", "move_originator_application_entity_title")


def one_input(data: bytes) -> None:
    """Judge one input; raises whatever is a finding."""
    if not data:
        return
    if data[0] & 1:
        one_command_set(data[1:], piece=1 + (data[0] >> 1))
    else:
        one_body(data[1:], piece=1 + (data[0] >> 1))


def one_command_set(data: bytes, piece: int) -> None:
    """These bytes are a command set, whole and in pieces of this size."""
    command: Command | None = None
    unrecognized: UnrecognizedCommandError | None = None
    try:
        command = decode_command(data)
    except UnrecognizedCommandError as error:
        unrecognized = error
    except CommandSetError as error:
        _check_text(error)
    if command is not None:
        _check_round_trip(command)
    if len(data) > COMMAND_SET_LIMIT:
        return
    assembler = MessageAssembler()
    events: list[MessageEvent] = []
    starts = range(0, len(data), piece) or range(1)
    try:
        for start in starts:
            fragment = memoryview(data)[start : start + piece]
            events += assembler.feed(PDV(1, True, start == starts[-1], fragment))
    except MessageError:
        assert command is None
        assert unrecognized is None
        return
    if command is not None:
        told: list[MessageEvent] = [CommandReceived(1, command), MessageReceived(1, command)]
        assert events == (told[:1] if command.has_data_set else told)
        assert assembler.is_idle != command.has_data_set
    else:
        assert unrecognized is not None
        assert events == [
            UnrecognizedCommandReceived(
                1, unrecognized.message_id, unrecognized.command_field, unrecognized.has_data_set
            )
        ]


def _check_text(error: Exception) -> None:
    """What a log shows of it is one line of text."""
    assert str(error).isprintable()


def _check_round_trip(command: Command) -> None:
    assert repr(command)
    texts = {name: "X" for name in TEXTS if getattr(command, name, None) is not None}
    command = replace(command, **texts)  # type: ignore[arg-type]
    encoded = encode_command(command)
    assert decode_command(encoded) == command
    assert len(encoded) % 2 == 0


def one_body(body: bytes, piece: int) -> None:
    """These bytes are the PDVs that arrive; each message that they make is sent on, in pieces."""
    try:
        pdvs = decode_pdvs(memoryview(body))
    except PDUError:
        return
    assembler = MessageAssembler()
    open_command: CommandReceived | None = None
    data = b""
    for pdv in pdvs:
        try:
            events = assembler.feed(pdv)
        except MessageError as error:
            _check_text(error)
            return
        for event in events:
            match event:
                case CommandReceived():
                    assert open_command is None
                    open_command, data = event, b""
                case PDV():
                    assert open_command is not None
                    assert open_command.command.has_data_set
                    assert event.context_id == open_command.context_id
                    data += event.fragment
                case MessageReceived():
                    assert open_command is not None
                    assert event.command is open_command.command
                    assert event.context_id == open_command.context_id
                    _check_sent_on(event, data, piece)
                    open_command = None
                case UnrecognizedCommandReceived():
                    assert open_command is None
        assert not (assembler.is_idle and open_command)


def _check_sent_on(message: MessageReceived, data: bytes, piece: int) -> None:
    """A message that was received, cut anew at most `2 * piece` bytes long, arrives as it was."""
    command = message.command
    source = as_source(data) if command.has_data_set else None
    try:
        outgoing = OutgoingMessage(message.context_id, command, source)
    except ValueError:
        # Its texts, see above.
        return
    assembler = MessageAssembler()
    arrived: list[MessageEvent] = []
    while (item := outgoing.next_fragment(2 * piece)) is not None:
        control, fragment = item
        assert len(fragment) <= 2 * piece
        arrived += assembler.feed(
            PDV(message.context_id, bool(control & 1), bool(control & 2), memoryview(fragment))
        )
    assert outgoing.is_done
    assert arrived[0] == CommandReceived(message.context_id, command)
    assert arrived[-1] == message
    assert b"".join(event.fragment for event in arrived if isinstance(event, PDV)) == data
