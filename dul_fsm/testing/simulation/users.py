"""The two Application Entities: what they invoke, how they perform it, and what they remember.

A `Book` remembers every operation from both sides: what was asked, what the performer decided and
committed, what the invoker was answered. Whether that fits together is judged by `monitor`.

Not here: when a user acts (`end`).
"""

from __future__ import annotations

import errno
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from dul_fsm.association import Aborted, Memory, Message, Released, Sink
from dul_fsm.dimse import status
from dul_fsm.negotiation import EXPLICIT_VR_LITTLE_ENDIAN
from dul_fsm.pdu import AAssociateRQ, ContextResult, PresentationContextRQ
from dul_fsm.services.handler import AbortAssociation, Accept, Handler, Matches, Reject
from dul_fsm.services.sop_classes import PATIENT_ROOT_FIND, VERIFICATION, choose_any, is_storage
from dul_fsm.services.steps import Call
from dul_fsm.testing.simulation.plan import Operation, Part, Plan
from dul_fsm.testing.torture import Fuse

CT_IMAGE: Final = "1.2.840.10008.5.1.4.1.1.2"
_PIXELS: Final = random.Random(1).randbytes(1 << 18)
_ANSWERED: Final = {"echo": 0x0122, "store": 0xA900, "find": 0xA900}
"""The status for an outcome of "status"."""


class Failed(Exception):
    """What a handler or a source raises when the plan says so."""


def data_set(uid: str, size: int) -> bytes:
    """An image in Explicit VR Little Endian: who it is, and `size` bytes of pixel data."""

    def element(group: int, number: int, vr: bytes, value: bytes) -> bytes:
        value += b"\0" * (len(value) & 1)
        return struct.pack("<HH2sH", group, number, vr, len(value)) + value

    start = sum(uid.encode()) * 97 % 4096
    return (
        element(0x0008, 0x0016, b"UI", CT_IMAGE.encode())
        + element(0x0008, 0x0018, b"UI", uid.encode())
        + struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, size)
        + _PIXELS[start : start + size]
    )


@dataclass(slots=True, eq=False)
class Invocation:
    """One operation, as both sides know it."""

    side: int
    """Who invoked it."""
    message_id: int
    operation: Operation
    uid: str
    data: bytes
    """Its data set; empty if it has none."""
    decided: list[int] = field(default_factory=list)
    """Statuses that the performer's application came to."""
    performed: int = 0
    """How often the performer's application was asked."""
    committed: list[bytes] = field(default_factory=list)
    """What the performer's application keeps of it."""
    pending: list[bytes] = field(default_factory=list)
    """Data sets of pending responses, as they came back."""
    final: list[int] = field(default_factory=list)
    """Statuses of final responses, as they came back."""
    cancelled: bool = False
    tortured: bool = False
    """Performing it has failed otherwise than planned."""

    def matches(self) -> list[bytes]:
        """What a C-FIND finds."""
        return [f"{self.uid} match {n:04}".encode() for n in range(self.operation.size)]


class Book:
    """Every operation of a session."""

    def __init__(self, seed: int, fuse: Fuse) -> None:
        self.fuse = fuse
        """Blows at a callback or in a sink, if that is where it is."""
        self.invocations: dict[tuple[int, int], Invocation] = {}
        """By invoking side and Message ID."""
        self.sinks: list[Sink] = []
        """Sinks neither committed nor discarded."""
        self._seed = seed

    def invoke(self, side: int, message_id: int, operation: Operation) -> Invocation:
        """A side invokes an operation."""
        uid = f"1.2.826.0.{self._seed}.{side}.{message_id}"
        data = b""
        if operation.kind == "store":
            data = data_set(uid, operation.size)
        elif operation.kind == "find":
            data = struct.pack("<HH2sH", 0x0010, 0x0020, b"LO", 0)
        invocation = Invocation(side, message_id, operation, uid, data)
        self.invocations[side, message_id] = invocation
        return invocation


class SourceOf:
    """Chunks of a data set; some end in an exception."""

    def __init__(self, invocation: Invocation) -> None:
        self._invocation = invocation

    def __iter__(self) -> Iterator[bytes]:
        data = self._invocation.data
        fails = self._invocation.operation.source == "fails"
        step = max(1, len(data) // 7)
        for start in range(0, len(data), step):
            if fails and start >= len(data) // 2:
                raise Failed("the source of the data set")
            yield data[start : start + step]


class ImageSink:
    """Keeps an image, or runs out of room."""

    def __init__(self, book: Book, invocation: Invocation) -> None:
        self._book = book
        self._invocation = invocation
        self._kept = bytearray()
        book.sinks.append(self)

    def write(self, fragment: memoryview, /) -> None:
        """See `Sink.write`."""
        self._kept += fragment
        if self._book.fuse.blows("sink write"):
            self._invocation.tortured = True
            raise OSError(errno.ENOSPC, "the fuse has blown")
        if (
            self._invocation.operation.outcome == "no room"
            and len(self._kept) > len(self._invocation.data) // 2
        ):
            raise OSError(errno.ENOSPC, "no room")

    def commit(self) -> None:
        """It is complete."""
        if self._invocation.operation.outcome == "no commit":
            raise OSError(errno.ENOSPC, "no room")
        self._book.sinks.remove(self)
        self._invocation.committed.append(bytes(self._kept))

    def discard(self) -> None:
        """It will not be used."""
        if self in self._book.sinks:
            self._book.sinks.remove(self)


class SimulatedHandler(Handler):
    """Performs what the plan says, and fails as it says."""

    def __init__(self, side: int, plan: Plan, book: Book) -> None:
        self.side = side
        self.told: list[str] = []
        """Of the end of the association: "released", "aborted", "closed"."""
        self._plan = plan
        self._part: Part = plan.acceptor if side else plan.requestor
        self._book = book
        self.choose = choose_any(VERIFICATION, is_storage, PATIENT_ROOT_FIND)
        if plan.association == "accept nothing":
            self.choose = _nothing

    def seconds(self, call: Call) -> float:
        """How long what the performer is about to call takes."""
        name = getattr(getattr(call, "func", None), "__name__", "")
        if name == "associate_requested":
            return self._plan.association_seconds
        if name.startswith("c_"):
            message = call.args[0]  # type: ignore[attr-defined]  # a partial, as its `func` shows
            invocation = self._of(message)
            return invocation.operation.work if invocation else 0.0
        return 0.0

    def _of(self, message: Message) -> Invocation | None:
        message_id = getattr(message.command, "message_id", 0)
        return self._book.invocations.get((1 - self.side, message_id))

    def associate_requested(self, request: AAssociateRQ) -> Accept | Reject:
        """See `Handler.associate_requested`."""
        self._pass(None)
        match self._plan.association:
            case "reject":
                return Reject(*((1, 1, 1), (1, 1, 7), (2, 3, 2))[self._plan.seed % 3])
            case "raises":
                raise Failed("associate_requested")
            case "aborts":
                raise AbortAssociation("the acceptor does not like it")
        return Accept(roles={CT_IMAGE: (True, True)})

    def open_sink(self, message: Message) -> Sink:
        """See `Handler.open_sink`."""
        invocation = self._of(message)
        if invocation is None or invocation.operation.kind != "store":
            return Memory()
        self._pass(invocation)
        if invocation.operation.outcome == "no sink":
            raise OSError(errno.ENOSPC, "no room")
        return ImageSink(self._book, invocation)

    def c_echo_requested(self, message: Message) -> int:
        """See `Handler.c_echo_requested`."""
        invocation = self._begin(message)
        return self._decide(invocation)

    def c_store_requested(self, message: Message) -> int:
        """See `Handler.c_store_requested`."""
        invocation = self._begin(message)
        outcome = self._decide(invocation)
        if isinstance(message.sink, ImageSink):
            if outcome == status.SUCCESS:
                message.sink.commit()
            else:
                message.sink.discard()
        return outcome

    def c_find_requested(self, message: Message) -> int | Matches:
        """See `Handler.c_find_requested`."""
        invocation = self._begin(message)
        if invocation is not None and invocation.operation.outcome in ("ok", "raises"):
            return self._find(invocation)
        return self._decide(invocation)

    def _find(self, invocation: Invocation) -> Iterator[bytes]:
        matches = invocation.matches()
        for number, match in enumerate(matches):
            if invocation.operation.outcome == "raises" and number >= len(matches) // 2:
                break
            yield match
        self._decide(invocation)

    def _begin(self, message: Message) -> Invocation | None:
        invocation = self._of(message)
        if invocation is not None:
            invocation.performed += 1
        self._pass(invocation)
        return invocation

    def _pass(self, invocation: Invocation | None) -> None:
        """A callback was called."""
        if self._book.fuse.blows("callback"):
            if invocation is not None:
                invocation.tortured = True
            raise Failed("the fuse has blown")

    def _decide(self, invocation: Invocation | None) -> int:
        if invocation is None:
            return status.PROCESSING_FAILURE
        match invocation.operation.outcome:
            case "raises":
                raise Failed(invocation.operation.kind)
            case "aborts":
                raise AbortAssociation("the performer does not like it")
            case "status":
                outcome = _ANSWERED[invocation.operation.kind]
            case _:
                outcome = int(status.SUCCESS)
        invocation.decided.append(outcome)
        return outcome

    def released(self, event: Released) -> None:
        """See `Handler.released`."""
        self._tell("released")

    def aborted(self, event: Aborted) -> None:
        """See `Handler.aborted`."""
        self._tell("aborted")

    def closed(self) -> None:
        """See `Handler.closed`."""
        self._tell("closed")

    def _tell(self, what: str) -> None:
        self.told.append(what)
        self._pass(None)
        if self._part.callbacks == "raise":
            raise Failed(what)


def _nothing(context: PresentationContextRQ) -> str | ContextResult:
    return ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED


def expected(invocation: Invocation) -> frozenset[int]:
    """The statuses that may come back as final."""
    operation = invocation.operation
    match operation.outcome:
        case "ok":
            statuses = {int(status.SUCCESS)}
        case "status":
            statuses = {_ANSWERED[operation.kind]}
        case "raises":
            statuses = {int(status.PROCESSING_FAILURE)}
        case "aborts":
            statuses = set()
        case _:
            statuses = {int(status.OUT_OF_RESOURCES)}
    if invocation.tortured:
        statuses |= {int(status.PROCESSING_FAILURE), int(status.OUT_OF_RESOURCES)}
    if invocation.cancelled:
        statuses.add(int(status.CANCEL))
    return frozenset(statuses)


CONTEXTS: Final = (
    VERIFICATION,
    (CT_IMAGE, (EXPLICIT_VR_LITTLE_ENDIAN,)),
    PATIENT_ROOT_FIND,
)
"""What the requestor proposes."""
