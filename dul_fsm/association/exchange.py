"""The messages of one association, both ways (PS3.7 §6.3, §8): the half that speaks DIMSE.

Rules:

- A message being sent is pulled, fragment by fragment; what its source raises comes out.
- A data set being received is handed on, fragment by fragment, and never collected here.
- What PS3.7 Annex C answers for any service is answered here, before an AE is told of it: an
  unrecognized Command Field (0211H), and a Message ID that is being performed already (0210H).
- A response to nothing that awaits one, and a C-CANCEL of nothing that is being performed, are
  dropped: they crossed something, or are the peer's mistake. So is either on another presentation
  context than its request's. They are never answered.

Not here: when messages may be sent at all, how the association ends (`association`).
"""

from __future__ import annotations

from collections import deque

from dul_fsm.association import events
from dul_fsm.association.events import Event, Message
from dul_fsm.association.operations import Operation, Operations
from dul_fsm.dimse import (
    CCancelRQ,
    Command,
    CommandReceived,
    MessageAssembler,
    OutgoingMessage,
    Response,
    SourceLike,
    StatusCategory,
    UnrecognizedCommandReceived,
    UnrecognizedRSP,
    as_source,
    awaits_response,
    category,
    respond_to,
    status,
)
from dul_fsm.errors import ContextNotAccepted
from dul_fsm.negotiation import AcceptedContext
from dul_fsm.pdu import PDV

RESPONSE_BIT = 0x8000
"""Set in the Command Field of every response (PS3.7 §E.1)."""


def outgoing(
    context: AcceptedContext, command: Command, data: SourceLike | None
) -> OutgoingMessage:
    """A message to send. Raises `ValueError` or `TypeError` if it cannot be sent as it is."""
    return OutgoingMessage(context.context_id, command, None if data is None else as_source(data))


class Exchange:
    """What is being sent, what is being received, and which operations that belongs to."""

    __slots__ = (
        "_arriving",
        "_assembler",
        "_events",
        "answered",
        "contexts",
        "operations",
        "outgoing",
    )

    def __init__(self, told: deque[Event]) -> None:
        """`told`: where events for the AE are put."""
        self._events = told
        self._assembler = MessageAssembler()
        self._arriving: Message | None = None
        self.outgoing: deque[OutgoingMessage] = deque()
        """Messages of which fragments were not cut yet."""
        self.operations = Operations()
        self.answered: Operation | None = None
        """Whose response arrived last, or is arriving; None if something else is."""
        self.contexts: dict[int, AcceptedContext] = {}
        """The accepted presentation contexts by id."""

    def clear(self) -> None:
        """The association is over: forget what was under way."""
        self.outgoing.clear()
        self._arriving = None
        self.operations.clear()

    def context_for(
        self, sop_class_uid: str, transfer_syntax: str | None, *, as_scp: bool = False
    ) -> AcceptedContext:
        """See `Association.context_for`."""
        found = [
            context
            for context in self.contexts.values()
            if context.abstract_syntax == sop_class_uid and (context.scp if as_scp else context.scu)
        ]
        for context in found:
            if transfer_syntax is None or context.transfer_syntax == transfer_syntax:
                return context
        if found:
            accepted = ", ".join(sorted({context.transfer_syntax for context in found}))
            raise ContextNotAccepted(
                f"the peer accepted {sop_class_uid} with {accepted}, not with {transfer_syntax}"
            )
        role = "this side as its SCP" if as_scp else "this side as its SCU"
        if any(context.abstract_syntax == sop_class_uid for context in self.contexts.values()):
            raise ContextNotAccepted(f"{sop_class_uid} was accepted, but not {role}")
        raise ContextNotAccepted(f"the peer accepted no presentation context for {sop_class_uid}")

    # Sent ---------------------------------------------------------------------------------------

    def put(self, message: OutgoingMessage) -> None:
        """Send a message, after those that are being sent."""
        self.outgoing.append(message)

    # Received -----------------------------------------------------------------------------------

    def receive(self, pdvs: tuple[PDV, ...], *, answers: bool) -> None:
        """Take fragments, and tell what they make up.

        `answers`: whether anything can still be sent. A request that can never be answered is not
        told (after our A-RELEASE-RQ, PS3.8 Table 9-10 lets nothing leave but an A-ABORT).
        Raises `MessageError` for fragments that make up no message.
        """
        for pdv in pdvs:
            for part in self._assembler.feed(pdv):
                message = self._arriving
                if isinstance(part, PDV):
                    if message is not None:
                        fragment: memoryview = part.fragment  # type: ignore[assignment]  # received
                        self._events.append(events.DataReceived(message, fragment))
                elif isinstance(part, CommandReceived):
                    self._begin(Message(self.contexts[part.context_id], part.command), answers)
                elif isinstance(part, UnrecognizedCommandReceived):
                    self._refuse(part, answers)
                elif message is not None:
                    self._arriving = None
                    self._complete(message, answers)
                elif answers and awaits_response(part.command):
                    # PS3.7 §C.5.9: its Message ID is that of a request being performed.
                    response = respond_to(part.command, status.DUPLICATE_INVOCATION)
                    self.put(OutgoingMessage(part.context_id, response))

    def _refuse(self, part: UnrecognizedCommandReceived, answers: bool) -> None:
        # PS3.7 §C.5.23; a response is never answered.
        field, message_id = part.command_field, part.message_id
        if answers and message_id is not None and not field & RESPONSE_BIT:
            self.put(OutgoingMessage(part.context_id, UnrecognizedRSP(field, message_id)))

    def _begin(self, message: Message, answers: bool) -> None:
        """A command set is there. What is not to be told is not arriving: its data is dropped."""
        command = message.command
        self.answered = None
        if awaits_response(command):
            wanted = answers and command.message_id not in self.operations.performing
        elif isinstance(command, CCancelRQ):
            wanted = True
        else:
            self.answered = self._awaiting(message.context.context_id, command)
            wanted = self.answered is not None
        if wanted:
            self._arriving = message
            if command.has_data_set:
                self._events.append(events.CommandReceived(message))

    def _complete(self, message: Message, answers: bool) -> None:
        command, operations = message.command, self.operations
        if awaits_response(command):
            if answers:  # its data set may have come after our A-RELEASE-RQ had left
                operations.performing[command.message_id] = message
                self._events.append(events.RequestReceived(message))
        elif isinstance(command, CCancelRQ):
            # PS3.7 §9.3.2.3: a cancel of what is not performed any more is normal: they crossed.
            request = operations.performing.get(command.message_id_being_responded_to)
            if request is not None and request.context.context_id == message.context.context_id:
                self._events.append(events.CancelRequested(command.message_id_being_responded_to))
        else:
            message_id = command.message_id_being_responded_to
            operation = operations.invoked[message_id]
            final = category(command.status) is not StatusCategory.PENDING
            if final:
                operations.answered(message_id)
            self._events.append(events.ResponseReceived(message, operation, final))

    def _awaiting(self, context_id: int, response: Response) -> Operation | None:
        operation = self.operations.invoked.get(response.message_id_being_responded_to)
        if (
            operation is not None
            and operation.context.context_id == context_id
            and response.command_field == operation.request.command_field | RESPONSE_BIT
        ):
            return operation
        return None
