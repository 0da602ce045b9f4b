"""Messages from fragments, and fragments from messages (PS3.7 §6.3; PS3.8 Annex E).

Rules
  * A message is a command set and, if the command says so, a data set; each comes in fragments,
    of which the last is marked. Fragments of two messages never mix (Annex E.1).
  * Received data streams through: only the command set is gathered here, and that is bounded.
  * Sent data is pulled, a fragment at a time.
  * Empty fragments are received, whatever their mark. We send one only for an empty data set.

Not here: whether a context id was accepted, the meaning of a command (`association`), PDUs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from dul_fsm.dimse.command_set import UnrecognizedCommandError, decode_command, encode_command
from dul_fsm.dimse.commands import Command
from dul_fsm.dimse.responses import UnrecognizedRSP
from dul_fsm.dimse.sources import Buffer, Source
from dul_fsm.errors import CommandSetError, MessageError
from dul_fsm.pdu import PDV
from dul_fsm.value import value

COMMAND_SET_LIMIT: Final = 65536
"""Bytes of the longest command set that is received.

All elements of the standard with the longest values that they may have come to less than 1 KiB,
lists of tags apart; the rest leaves room for 16000 tags.
"""


# Received ----------------------------------------------------------------------------------------


@value
class CommandReceived:
    """The command set is complete. Its data set follows if it has one."""

    context_id: int
    """Odd, 1..255."""
    command: Command
    """The command."""


@dataclass(slots=True)
class MessageReceived:
    """The message is complete."""

    context_id: int
    """Odd, 1..255."""
    command: Command
    """Its command, once more."""


@value
class UnrecognizedCommandReceived:
    """A command set whose Command Field PS3.7 does not know; the only event of its message.

    It is no reason to end an association: a request can be answered with status 0211H
    (PS3.7 §C.5.23). Its data set is skipped.
    """

    context_id: int
    """Odd, 1..255."""
    message_id: int | None
    """(0000,0110); 0..65535. None if there is none: then it was not a request."""
    command_field: int
    """(0000,0100); 0..65535."""
    has_data_set: bool
    """Whether a data set, to be skipped, follows."""


MessageEvent: TypeAlias = CommandReceived | PDV | MessageReceived | UnrecognizedCommandReceived
"""What a `MessageAssembler` tells; a PDV is a fragment of the data set that is under way."""


class MessageAssembler:
    """Makes messages of the PDVs of one association, in the order they came."""

    __slots__ = ("_command", "_command_set", "_context_id", "_data_due")

    def __init__(self) -> None:
        self._context_id: int | None = None
        """The context of the message under way; None between messages."""
        self._command_set = bytearray()
        """The command set so far, while more of it is due."""
        self._data_due = False
        self._command: Command | None = None
        """The command while its data set is due; None if the data set is to be skipped."""

    @property
    def is_idle(self) -> bool:
        """Whether no message is under way."""
        return self._context_id is None

    def feed(self, pdv: PDV) -> list[MessageEvent]:
        """What a PDV leads to, in order.

        Raises `MessageError` if it does not go on with the message that is under way, or starts
        none, or completes a command set that cannot be decoded; then the association is beyond
        repair, and so is this assembler.
        """
        context_id = pdv.context_id
        # PS3.8 Annex E.1: all fragments of a message come on one context, and before the next's.
        if self._context_id != context_id:
            if self._context_id is not None:
                raise MessageError(
                    f"a fragment on context {context_id} inside a message on {self._context_id}",
                )
            if not pdv.is_command:
                raise MessageError("a data set fragment without a command")
            self._context_id = context_id
        if pdv.is_command:
            return self._feed_command(pdv)
        if not self._data_due:
            raise MessageError("a data set fragment before the end of the command set")
        command = self._command
        if not pdv.is_last:
            return [] if command is None else [pdv]
        self._context_id = None
        self._data_due = False
        self._command = None
        return [] if command is None else [pdv, MessageReceived(context_id, command)]

    def _feed_command(self, pdv: PDV) -> list[MessageEvent]:
        if self._data_due:
            raise MessageError("a command set fragment while a data set is due")
        size = len(self._command_set) + len(pdv.fragment)
        if size > COMMAND_SET_LIMIT:
            raise MessageError(f"a command set of {size} bytes or more, over {COMMAND_SET_LIMIT}")
        if not pdv.is_last:
            self._command_set += pdv.fragment
            return []
        command_set: bytes | memoryview = pdv.fragment
        if self._command_set:
            command_set = bytes(self._command_set) + command_set
            self._command_set = bytearray()
        try:
            command = decode_command(command_set)
        except UnrecognizedCommandError as error:
            return [self._skip(pdv.context_id, error)]
        except CommandSetError as error:
            raise MessageError(f"undecodable command set: {error}") from error
        context_id = pdv.context_id
        if command.has_data_set:
            self._command = command
            self._data_due = True
            return [CommandReceived(context_id, command)]
        self._context_id = None
        return [CommandReceived(context_id, command), MessageReceived(context_id, command)]

    def _skip(self, context_id: int, error: UnrecognizedCommandError) -> MessageEvent:
        if error.has_data_set:
            self._data_due = True
        else:
            self._context_id = None
        return UnrecognizedCommandReceived(
            context_id, error.message_id, error.command_field, error.has_data_set
        )


# Sent --------------------------------------------------------------------------------------------

_COMMAND: Final = 0b01
"""Message control header: a fragment of a command set (PS3.8 Annex E.2)."""
LAST: Final = 0b10
"""Message control header: the last fragment of its command set or data set (PS3.8 Annex E.2)."""


class OutgoingMessage:
    """A message on its way out, cut into fragments as they are asked for."""

    __slots__ = ("_command_set", "_cut", "_data", "command", "context_id", "end", "is_done")

    def __init__(
        self, context_id: int, command: Command | UnrecognizedRSP, data: Source | None = None
    ) -> None:
        """`context_id`: odd, 1..255.

        Raises `ValueError` if the command cannot be encoded, or says otherwise about its data set.
        """
        if command.has_data_set != (data is not None):
            raise ValueError(
                f"{command.name} {'without its' if command.has_data_set else 'with a'} data set",
            )
        self.context_id = context_id
        self.command = command
        self._command_set = (
            command.encode() if isinstance(command, UnrecognizedRSP) else encode_command(command)
        )
        self._cut = 0
        """Bytes of the command set that were cut."""
        self._data = data
        """None if there is none or once it was cut."""
        self.is_done = False
        """Whether the last fragment was cut."""
        self.end: int | None = None
        """Where it ends in the stream of what is sent, bytes; for whoever sends it to say."""

    def next_fragment(self, limit: int) -> tuple[int, Buffer] | None:
        """The message control header and the fragment that come next; None when all was cut.

        `limit`: most bytes in the fragment; even, at least 2, or a `ValueError`. The fragment is
        even unless it ends an odd data set, and empty only if it is an empty data set. What the
        source of the data set raises goes through; the message can then not be finished.
        """
        if limit < 2 or limit & 1:
            raise ValueError(f"no fragment can be at most {limit} bytes long and even")
        cut, command_set = self._cut, self._command_set
        if cut < len(command_set):
            self._cut = cut + limit
            if self._cut < len(command_set):
                return _COMMAND, command_set[cut : self._cut]
            self.is_done = self._data is None
            return _COMMAND | LAST, command_set[cut:]
        if self._data is not None:
            data, is_last = self._data.next(limit)
            if not is_last:
                return 0, data
            self._data = None
            self.is_done = True
            return LAST, data
        return None
