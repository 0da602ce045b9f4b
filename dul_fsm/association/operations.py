"""DIMSE operations under way on one association (PS3.7 §7, Annex D.3.3.3).

Which requests of ours await a response, and which of the peer's we are performing.

Not here: when either side must have answered (`association`), what an operation does.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from dul_fsm.dimse import OutgoingMessage, Request
from dul_fsm.errors import LocalProtocolError
from dul_fsm.negotiation import AcceptedContext

if TYPE_CHECKING:
    from dul_fsm.association.events import Message, ResponseReceived

LAST_MESSAGE_ID = 0xFFFF
"""Message ID is an unsigned 16-bit number (PS3.7 §E.1)."""


class Operation:
    """A request of ours, from when it is sent until its final response has come."""

    __slots__ = ("context", "message", "request", "responses")

    def __init__(
        self, context: AcceptedContext, request: Request, message: OutgoingMessage
    ) -> None:
        self.context = context
        """What it left on; its responses come back on the same one."""
        self.request = request
        """What was sent."""
        self.message = message
        """How far it was."""
        self.responses: deque[ResponseReceived] = deque()
        """Responses that were told and that nobody has taken yet: whoever runs the association
        puts them here."""


class Operations:
    """The requests in flight, by Message ID."""

    __slots__ = ("_last_id", "_unsent", "awaiting", "invoked", "performing", "window")

    def __init__(self) -> None:
        self.invoked: dict[int, Operation] = {}
        """Requests of ours without their final response."""
        self.awaiting: dict[Operation, float] = {}
        """Those whose request has wholly left, each with when it last gave a sign of life: its
        request's end, or a response; the oldest first."""
        self._unsent: deque[Operation] = deque()
        self.performing: dict[int, Message] = {}
        """Requests of the peer's that we have not finally answered."""
        self.window = 1
        """How many requests of ours may be in flight at once: one, if nothing was negotiated
        (PS3.7 §D.3.3.3); 0 for any number."""
        self._last_id = 0

    def next_message_id(self) -> int:
        """A Message ID that none of our requests in flight has: 1 to 65535."""
        candidate = self._last_id
        for _ in range(LAST_MESSAGE_ID):
            candidate = candidate % LAST_MESSAGE_ID + 1
            if candidate not in self.invoked:
                self._last_id = candidate
                return candidate
        raise LocalProtocolError("every Message ID is in flight")

    @property
    def full(self) -> bool:
        """Whether as many requests of ours are in flight as were negotiated."""
        return 0 < self.window <= len(self.invoked)

    def invoke(
        self, context: AcceptedContext, request: Request, message: OutgoingMessage
    ) -> Operation:
        """A request of ours is about to be sent, as `message`."""
        message_id = request.message_id
        if message_id in self.invoked:
            raise LocalProtocolError(f"Message ID {message_id} is already in flight")
        if self.full:
            raise LocalProtocolError(
                f"{len(self.invoked)} operation(s) await their response, and "
                f"{self.window} may: take the response before the next request"
            )
        operation = self.invoked[message_id] = Operation(context, request, message)
        self._unsent.append(operation)
        return operation

    def left(self, count: int, now: float) -> None:
        """The first `count` bytes of all have left: the wait for a response begins after the last
        of its request."""
        unsent = self._unsent
        while unsent and (end := unsent[0].message.end) is not None and end <= count:
            operation = unsent.popleft()
            if self.invoked.get(operation.request.message_id) is operation:
                self.awaiting[operation] = now

    def heard(self, operation: Operation, now: float) -> None:
        """A response has come, or a part of one, and it may not be the last."""
        if operation in self.awaiting:
            del self.awaiting[operation]
            self.awaiting[operation] = now

    def answered(self, message_id: int) -> None:
        """The final response has come."""
        self.awaiting.pop(self.invoked.pop(message_id), None)

    def clear(self) -> None:
        """The association is over: forget what was under way."""
        self.invoked.clear()
        self.awaiting.clear()
        self._unsent.clear()
        self.performing.clear()

    @property
    def any(self) -> bool:
        """Whether anything is under way, either way."""
        return bool(self.invoked or self.performing)
