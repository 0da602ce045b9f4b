"""What an Application Entity is told of its association.

Values, in the order in which they happened. An association ends with exactly one of `Rejected`,
`Released` or `Aborted`; nothing of it follows.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Protocol, TypeAlias

from dul_fsm.association.operations import Operation
from dul_fsm.dimse import Command, Request, Response
from dul_fsm.dimse.data_set import decode_data_set
from dul_fsm.negotiation import AcceptedContext
from dul_fsm.pdu import AAssociateAC, AAssociateRQ
from dul_fsm.timers import TimeLimit
from dul_fsm.upper_layer import CloseTransport, OpenTransport
from dul_fsm.value import value

if TYPE_CHECKING:
    from pydicom import Dataset


class Sink(Protocol):
    """Where the data set of a message goes while it arrives."""

    def write(self, fragment: memoryview, /) -> object:
        """Take one fragment: copy or write it now, the view is not valid afterwards."""


class ImmediateSink:
    """A sink whose `write` takes no time: base of those that write to no disk, no network.

    It is written to while the association is held, so it must not wait for anything.
    """

    __slots__ = ()


MEMORY_LIMIT = 1 << 28
"""Bytes of the longest data set that a `Memory` keeps unless told otherwise: 256 MiB.

Identifiers and most images are far below; who takes longer ones writes them to files.
"""


class Memory(ImmediateSink):
    """A sink that keeps the data set in memory."""

    __slots__ = ("_fragments", "_limit")

    def __init__(self, limit: int = MEMORY_LIMIT) -> None:
        """`limit`: the most bytes that are kept; a peer decides how many it sends."""
        self._fragments = bytearray()
        self._limit = limit

    def write(self, fragment: memoryview, /) -> None:
        """Append a copy. Raises `OSError` (ENOSPC) for a data set longer than the limit."""
        if len(self._fragments) + len(fragment) > self._limit:
            raise OSError(errno.ENOSPC, f"a data set of more than {self._limit} bytes")
        self._fragments += fragment

    def value(self) -> bytes:
        """All of it."""
        return bytes(self._fragments)


@dataclass(slots=True, eq=False)
class Message:
    """A DIMSE message that is arriving or has arrived (PS3.7 §6.3)."""

    context: AcceptedContext
    """The presentation context that it came on: SOP Class, transfer syntax, roles."""
    command: Command
    """Its command set."""
    sink: Sink | None = field(default=None, repr=False)
    """Where its data set goes; whoever is told `CommandReceived` may set it. None discards it."""

    @property
    def status(self) -> int:
        """The status of a response (PS3.7 Annex C). Raises `TypeError` for a request."""
        if isinstance(self.command, Response):
            return self.command.status
        raise TypeError(f"a {self.command.name} has no status")

    @property
    def data_set(self) -> bytes:
        """The encoded data set, if it was kept in memory; else empty."""
        return self.sink.value() if isinstance(self.sink, Memory) else b""

    def decode(self) -> Dataset:
        """The data set as a `pydicom.Dataset`, if it was kept in memory.

        Raises `DataSetError` if it is not one in the context's transfer syntax.
        """
        return decode_data_set(self.data_set, self.context.transfer_syntax)


class Origin(Enum):
    """Who ended an association by an abort."""

    PEER_USER = "the peer's user"
    PEER_PROVIDER = "the peer's provider"
    LOCAL_USER = "the local user"
    LOCAL_PROVIDER = "the local provider"
    TRANSPORT = "the transport"
    TIME_LIMIT = "a time limit of ours"


@value
class AssociateRequested:
    """The peer requests an association: accept or reject it."""

    request: AAssociateRQ
    """As it arrived."""


@value
class Accepted:
    """The association is established, on both sides."""

    answer: AAssociateAC
    """The acceptance."""


@value
class Rejected:
    """The peer rejected the association."""

    result: int
    """1 permanent, 2 transient (PS3.8 Table 9-21)."""
    source: int
    """1 service-user, 2 service-provider (ACSE), 3 service-provider (Presentation)."""
    reason: int
    """Reason/Diag.; its meaning depends on `source`."""
    text: str
    """The three in words."""


@value
class CommandReceived:
    """A command set has arrived and its data set is about to: choose where it goes."""

    message: Message
    """Its `sink` is None: what arrives is discarded unless somebody sets it."""


@dataclass(slots=True)
class DataReceived:
    """A fragment of a data set has arrived."""

    message: Message
    """The message that it belongs to."""
    fragment: memoryview
    """Valid until the next event is asked for after more bytes were received."""


@value
class RequestReceived:
    """A whole request has arrived: perform it and answer with `send_response`."""

    message: Message


@value
class ResponseReceived:
    """A whole response has arrived, to a request of ours that awaited it."""

    message: Message
    operation: Operation
    """What it answers."""
    final: bool
    """Whether no more will come for that request."""

    @property
    def request(self) -> Request:
        """The request that it answers."""
        return self.operation.request


@value
class CancelRequested:
    """The peer sent a C-CANCEL (PS3.7 §9.3.2.3): end the operation with status FE00H."""

    message_id: int
    """Message ID of the request to cancel; that operation is being performed."""


@value
class ReleaseRequested:
    """The peer requests the release: answer it with `send_release_response`."""

    collision: bool
    """Whether our own release request is under way."""


@value
class Released:
    """The association ended in order."""


@value
class Aborted:
    """The association ended by an abort, or could not begin."""

    origin: Origin
    """Who did it."""
    reason: int | None
    """Reason/Diag. of the A-ABORT if a provider sent or received one (PS3.8 Table 9-26)."""
    text: str
    """What happened, in words."""
    limit: TimeLimit | None = None
    """Which time limit passed, if one did."""


Event: TypeAlias = (
    OpenTransport
    | CloseTransport
    | AssociateRequested
    | Accepted
    | Rejected
    | CommandReceived
    | DataReceived
    | RequestReceived
    | ResponseReceived
    | CancelRequested
    | ReleaseRequested
    | Released
    | Aborted
)
