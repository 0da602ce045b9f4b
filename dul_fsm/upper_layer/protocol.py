"""The Upper Layer protocol machine at work (PS3.8 §9.2): an event, then its effects, in order.

Rules:

- Every PDU and every primitive goes through `fsm.step`, here and nowhere else.
- Effects are performed in the order of the action: bytes to the outbox, indications to the user,
  ARTIM started and stopped. What the step took in is forgotten when it is over.

Not here: primitives, the stream, the clock (`provider`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import cast

from dul_fsm.errors import PDUError
from dul_fsm.fsm import Core, Effect, Event, State, step
from dul_fsm.pdu import (
    PDU,
    AAbort,
    AAssociateAC,
    AAssociateRJ,
    AAssociateRQ,
    AbortReason,
    AbortSource,
    AReleaseRP,
    AReleaseRQ,
    PDataTF,
    PDUType,
    RejectReasonACSE,
    RejectResult,
    RejectSource,
    describe_abort,
)
from dul_fsm.timers import TimeLimits
from dul_fsm.upper_layer.deadlines import Deadlines
from dul_fsm.upper_layer.outbox import Buffer, Outbox
from dul_fsm.upper_layer.primitives import (
    AbortIndication,
    AssociateConfirmation,
    AssociateIndication,
    CloseTransport,
    Indication,
    Observation,
    OpenTransport,
    PDataIndication,
    ProviderAbortIndication,
    ReleaseConfirmation,
    ReleaseIndication,
    Stepped,
)
from dul_fsm.upper_layer.receiver import Arrival, Receiver

NO_P_DATA: tuple[int, int, Buffer] = (0, 0, b"")
"""The P-DATA of a step that has none."""


class ProtocolMachine:
    """The half of the service provider that performs what the machine decides."""

    def __init__(
        self,
        *,
        requestor: bool,
        maximum_length: int,
        time_limits: TimeLimits,
        observer: Callable[[Observation], None] | None,
    ) -> None:
        """See `UpperLayer`."""
        self.core = Core(requestor=requestor)
        """What the machine knows of this association; to be read."""
        self._observer = observer
        self._deadlines = Deadlines(time_limits)
        self._receiver = Receiver(maximum_length)
        self.outbox = Outbox()
        """What waits to leave; to be read."""
        self._indications: deque[Indication] = deque()
        self._now = 0.0
        self._begin()

    def _reset(self) -> None:
        """As before the first connection."""
        self._receiver.reset()
        self.outbox.reset()
        self._deadlines.stop_all()
        self._begin()

    def _begin(self) -> None:
        self._settled = False  # everything that has come so far has happened
        self._ended = False  # the transport has ended
        self._end_text = ""
        self._fault = PDUError(0, "")  # what is wrong with the last PDU that was
        # What the event under way carries. An effect knows which PDU its event came with.
        self._pdu: PDU | None = None
        self._p_data = NO_P_DATA
        self._encoded = b""  # the A-ASSOCIATE PDU that a primitive has asked for
        self._request: AAssociateRQ | None = None  # ours or the peer's
        self._echo = bytes(64)

    # Events -------------------------------------------------------------------------------------

    def _receive(self, arrival: Arrival) -> None:
        pdu, fault = arrival.pdu, arrival.fault
        if fault is not None:
            self._fault = fault
        elif isinstance(pdu, AAssociateRQ) and arrival.body is not None:
            self._echo = bytes(arrival.body[4:68])
            # PS3.8 §9.3.2: a receiver of version 1 tests bit 0 only.
            self.core.acceptable = bool(pdu.protocol_version & 1)
            self._request = pdu
        self._pdu = pdu
        self._step(arrival.event, fault)
        self._pdu = None

    # Performing effects -------------------------------------------------------------------------

    def _step(self, event: Event, fault: PDUError | None = None) -> None:
        """The one way to the machine: step it and perform the effects in order.

        `fault`: what is wrong with the PDU that is the event, if anything is.
        """
        core = self.core
        before = core.state
        action, effects = step(core, event)
        if self._observer is not None:
            wrong = None if fault is None else str(fault)
            self._observer(Stepped(event, before, action, core.state, self._pdu, wrong))
        for effect in effects:
            _PERFORM[effect](self)
        after = core.state
        if after is not before:
            self._settled = False
            self._deadlines.state_changed(before, after, self._now)

    def _watch_writing(self) -> None:
        self._deadlines.writing(self.core.state, self._now)

    def _send(self, pdu: PDU) -> None:
        if not self.outbox.length:
            self._watch_writing()
        self.outbox.put(pdu)

    def _send_encoded(self) -> None:
        if not self.outbox.length:
            self._watch_writing()
        self.outbox.put_encoded(PDUType(self._encoded[0]), self._encoded)
        self._encoded = b""

    def _send_accept(self) -> None:
        answer = cast(AAssociateAC, self._pdu)
        self._receiver.learn_contexts(cast(AAssociateRQ, self._request), answer)
        self._send_encoded()

    def _send_reject(self) -> None:
        if isinstance(self._pdu, AAssociateRJ):
            self._send_encoded()
        else:
            # AE-6: the provider itself rejects (PS3.8 §9.3.4, Table 9-21).
            self._send(_VERSION_NOT_SUPPORTED)

    def _send_p_data(self) -> None:
        outbox = self.outbox
        if not outbox.length:  # not by `_watch_writing`: that is a call for each
            self._deadlines.writing(self.core.state, self._now)
        outbox.put_p_data(*self._p_data)

    def _abort_as_provider(self) -> None:
        self.outbox.put_abort(AAbort(AbortSource.SERVICE_PROVIDER, self._fault.reason))

    def _close_transport(self) -> None:
        self.outbox.clear()
        self._tell(CloseTransport())

    def _start_artim(self) -> None:
        self._deadlines.start_artim(self._now)

    def _tell(self, indication: Indication) -> None:
        self._indications.append(indication)

    def _indicate_associate(self) -> None:
        request = cast(AAssociateRQ, self._pdu)
        self.outbox.learn_maximum(request.user_information.maximum_length)
        self._tell(AssociateIndication(request))

    def _confirm_accepted(self) -> None:
        answer = cast(AAssociateAC, self._pdu)
        self._receiver.learn_contexts(cast(AAssociateRQ, self._request), answer)
        self.outbox.learn_maximum(answer.user_information.maximum_length)
        self._tell(AssociateConfirmation(answer))

    def _confirm_rejected(self) -> None:
        self._tell(AssociateConfirmation(cast(AAssociateRJ, self._pdu)))

    def _indicate_p_data(self) -> None:
        pdu: PDataTF = self._pdu  # type: ignore[assignment]  # not cast: that is a call for each
        self._indications.append(PDataIndication(pdu.pdvs))

    def _indicate_abort(self) -> None:
        abort = cast(AAbort, self._pdu)
        source, reason = abort.source, abort.reason
        if source == AbortSource.SERVICE_USER:
            self._tell(AbortIndication())
        else:
            # Sources 1 and above 2 are reserved; no user of the peer said so.
            self._tell(ProviderAbortIndication(reason, True, describe_abort(source, reason)))

    def _indicate_provider_abort(self) -> None:
        if self.core.state is State.Sta1:  # AA-4; after AA-8 the state is Sta13
            self._tell(ProviderAbortIndication(None, False, self._end_text))
        else:
            self._tell(ProviderAbortIndication(self._fault.reason, False, str(self._fault)))


_VERSION_NOT_SUPPORTED = AAssociateRJ(
    RejectResult.REJECTED_PERMANENT,
    RejectSource.SERVICE_PROVIDER_ACSE,
    RejectReasonACSE.PROTOCOL_VERSION_NOT_SUPPORTED,
)
_ABORT_AS_USER = AAbort(AbortSource.SERVICE_USER, AbortReason.REASON_NOT_SPECIFIED)

_PERFORM: dict[Effect, Callable[[ProtocolMachine], None]] = {
    Effect.OPEN_TRANSPORT: lambda m: m._tell(OpenTransport()),
    Effect.ACCEPT_TRANSPORT: lambda m: None,  # the driver has accepted before it tells us
    Effect.CLOSE_TRANSPORT: ProtocolMachine._close_transport,
    Effect.START_ARTIM: ProtocolMachine._start_artim,
    Effect.RESTART_ARTIM: ProtocolMachine._start_artim,
    Effect.STOP_ARTIM: lambda m: m._deadlines.stop_artim(),
    Effect.SEND_A_ASSOCIATE_RQ: ProtocolMachine._send_encoded,
    Effect.SEND_A_ASSOCIATE_AC: ProtocolMachine._send_accept,
    Effect.SEND_A_ASSOCIATE_RJ: ProtocolMachine._send_reject,
    Effect.SEND_P_DATA_TF: ProtocolMachine._send_p_data,
    Effect.SEND_A_RELEASE_RQ: lambda m: m._send(AReleaseRQ()),
    Effect.SEND_A_RELEASE_RP: lambda m: m._send(AReleaseRP()),
    Effect.SEND_A_ABORT_AS_USER: lambda m: m.outbox.put_abort(_ABORT_AS_USER),
    Effect.SEND_A_ABORT_AS_PROVIDER: ProtocolMachine._abort_as_provider,
    Effect.INDICATE_A_ASSOCIATE: ProtocolMachine._indicate_associate,
    Effect.CONFIRM_A_ASSOCIATE_ACCEPTED: ProtocolMachine._confirm_accepted,
    Effect.CONFIRM_A_ASSOCIATE_REJECTED: ProtocolMachine._confirm_rejected,
    Effect.INDICATE_P_DATA: ProtocolMachine._indicate_p_data,
    Effect.INDICATE_A_RELEASE: lambda m: m._tell(ReleaseIndication(collision=False)),
    Effect.INDICATE_A_RELEASE_COLLISION: lambda m: m._tell(ReleaseIndication(collision=True)),
    Effect.CONFIRM_A_RELEASE: lambda m: m._tell(ReleaseConfirmation()),
    Effect.INDICATE_ABORT_BY_SOURCE: ProtocolMachine._indicate_abort,
    Effect.INDICATE_A_P_ABORT: ProtocolMachine._indicate_provider_abort,
}
"""How each effect of PS3.8 Tables 9-6 to 9-9 is performed."""
