"""From received bytes to events (PS3.8 §9.3): the half of the provider that reads.

Rules:

- A PDU is judged by its first six bytes, an unknown type by the first alone: is the type wanted
  in this state, is the length legal? Only then is it buffered.
- A PDU that the state does not want happens at once, and its body is skipped unread.
- After Evt19 there are no PDU boundaries any more: what follows is discarded.
- Nothing that a peer sends raises.

Not here: what an event does (`fsm`), deadlines and indications (`provider`).
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from dul_fsm.errors import PDUError
from dul_fsm.fsm import TABLE, Event, State
from dul_fsm.fsm.actions import AA_1, AA_6, AA_7, AA_8
from dul_fsm.pdu import (
    PDU,
    AAssociateAC,
    AAssociateRQ,
    AbortReason,
    ContextResult,
    PDataTF,
    PDUType,
    check_header,
    decode_body,
)
from dul_fsm.upper_layer.inbox import Inbox

EVENT_OF_PDU: dict[int, Event] = {
    PDUType.A_ASSOCIATE_AC: Event.Evt3,
    PDUType.A_ASSOCIATE_RJ: Event.Evt4,
    PDUType.A_ASSOCIATE_RQ: Event.Evt6,
    PDUType.P_DATA_TF: Event.Evt10,
    PDUType.A_RELEASE_RQ: Event.Evt12,
    PDUType.A_RELEASE_RP: Event.Evt13,
    PDUType.A_ABORT: Event.Evt16,
}
"""Which event the reception of a PDU type is; any other type is Evt19."""

_UNWANTED: dict[Event, frozenset[State]] = {
    event: frozenset(state for state in State if TABLE[event, state] in (AA_1, AA_6, AA_7, AA_8))
    for event in EVENT_OF_PDU.values()
}
"""In which states the reception of a PDU is an error, whatever its body says."""
_NO_TRANSPORT = frozenset((State.Sta1, State.Sta4))
_HEADER = 6
_unpack_length = Struct(">I").unpack_from

READ_AT_ONCE = 262144
"""Bytes of the least that is read at once from a peer that sends as fast as it can, however short
its PDUs are: a read for each of them costs more than all else that is done for one."""


@dataclass(slots=True)
class Arrival:
    """One PDU, judged."""

    event: Event
    """Evt3, Evt4, Evt6, Evt10, Evt12, Evt13, Evt16 or Evt19."""
    pdu: PDU | None
    """The PDU if it was wanted and valid."""
    body: memoryview | None
    """Its bytes after the header."""
    fault: PDUError | None
    """What is wrong with it otherwise."""


class Receiver:
    """Takes PDUs off the stream, one at a time."""

    __slots__ = ("_deaf", "_maximum_length", "_skip", "accepted_ids", "inbox", "needed")

    def __init__(self, maximum_length: int) -> None:
        """`maximum_length`: longest P-DATA-TF that this side receives, bytes; 0 for no limit."""
        self._maximum_length = maximum_length
        # Room for the rest of one PDU and all of the next.
        self.inbox = Inbox(max(2 * (maximum_length + _HEADER), READ_AT_ONCE))
        self.reset()

    def reset(self) -> None:
        """As before the first byte."""
        self.inbox.clear()
        self.accepted_ids: frozenset[int] = frozenset()
        """The presentation contexts that P-DATA may use (PS3.8 §7.6.1)."""
        self._deaf = False
        self._skip = 0  # bytes of an unwanted PDU that are still to come
        self.needed = 0
        """Length of the PDU that is arriving, header included; 0 if unknown."""

    def learn_contexts(self, request: AAssociateRQ, answer: AAssociateAC) -> None:
        """Which contexts may carry data: accepted, and with something that was proposed."""
        proposed = {
            context.context_id: context.transfer_syntaxes
            for context in request.presentation_contexts
        }
        self.accepted_ids = frozenset(
            [
                context.context_id
                for context in answer.presentation_contexts
                if context.result == ContextResult.ACCEPTANCE
                and context.transfer_syntax in proposed.get(context.context_id, ())
            ]
        )

    @property
    def in_pdu(self) -> bool:
        """Whether a PDU has begun to arrive and is not complete."""
        inbox = self.inbox
        return inbox.end > inbox.start

    def filled(self, count: int, state: State) -> None:
        """`count` bytes were written there."""
        if not self._deaf and state not in _NO_TRANSPORT:
            self.inbox.filled(count)

    def discard(self) -> None:
        """Forget what has arrived and was not judged."""
        self.inbox.skip(len(self.inbox))
        self._skip = self.needed = 0

    def next(self, state: State) -> Arrival | None:
        """The next PDU if enough of it is there to judge it in this state."""
        inbox = self.inbox
        if self._skip:
            count = min(self._skip, len(inbox))
            inbox.skip(count)
            self._skip -= count
        start, buffer, needed = inbox.start, inbox.buffer, self.needed
        length = inbox.end - start
        # In Sta13 not even the rest of a PDU that was wanted when it began is waited for.
        if not length or (length < needed and state is not State.Sta13):
            return None
        pdu_type = buffer[start]
        try:
            event = EVENT_OF_PDU.get(pdu_type)
            if event is None:
                raise PDUError(
                    AbortReason.UNRECOGNIZED_PDU, f"{pdu_type:02X}H is not the type of a PDU"
                )
            if length < _HEADER:
                return None
            if not needed:
                (body_length,) = _unpack_length(buffer, start + 2)
                needed = _HEADER + body_length
            if state in _UNWANTED[event]:
                inbox.skip(_HEADER)
                self._skip = needed - _HEADER
                self.needed = 0
                name = PDUType(pdu_type).name.replace("_", "-")
                text = f"{name} is not expected in {state.name}"
                return Arrival(event, None, None, PDUError(AbortReason.UNEXPECTED_PDU, text))
            if not self.needed:
                check_header(pdu_type, needed - _HEADER, self._maximum_length)
                self.needed = needed
            if length < needed:
                return None
            body = inbox.view(_HEADER, needed)
            pdu = decode_body(pdu_type, body)
            if isinstance(pdu, PDataTF):
                for pdv in pdu.pdvs:
                    if pdv.context_id not in self.accepted_ids:
                        raise _not_accepted(pdv.context_id)
        except PDUError as fault:
            self.discard()
            self._deaf = True
            return Arrival(Event.Evt19, None, None, fault)
        inbox.start = start + needed  # not by `skip`: that is a call for each
        self.needed = 0
        return Arrival(event, pdu, body, None)


def _not_accepted(context_id: int) -> PDUError:
    # PS3.8 §7.6.1: data travels on accepted presentation contexts only.
    text = f"presentation context {context_id} was not accepted"
    return PDUError(AbortReason.INVALID_PDU_PARAMETER_VALUE, text)
