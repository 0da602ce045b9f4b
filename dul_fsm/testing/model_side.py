"""One side of the model check: what one upper layer can do, found as it is asked for.

An upper layer is brought into a state by replaying the inputs that first led there, takes one input
more, and what must hold of one side alone is watched. Each (key, input) pair runs the real code
once.

Not here: the two sides together (`model`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import partial
from typing import NamedTuple

from dul_fsm.errors import LocalProtocolError
from dul_fsm.fsm import Event, Kind, State
from dul_fsm.pdu import AAssociateRJ, PDUType
from dul_fsm.testing.ladder_run import Input, take
from dul_fsm.upper_layer import (
    AbortIndication,
    AssociateConfirmation,
    AssociateIndication,
    CloseTransport,
    Indication,
    Observation,
    ProviderAbortIndication,
    ReleaseConfirmation,
    Stepped,
    TimeLimitPassed,
    UpperLayer,
)

_FAREWELL = frozenset((PDUType.A_ABORT, PDUType.A_ASSOCIATE_RJ))
_EXPECTED = frozenset(PDUType) - {PDUType.A_ASSOCIATE_RQ}
"""Types of PDU that are no reason for a side in Sta13 to say anything."""


class Key(NamedTuple):
    """All that what a side will do depends on, and what is watched of it."""

    state: State
    waits: bool
    """Whether a time limit runs."""
    rest: tuple[object, ...]
    """What else the upper layer goes by."""
    aborts: int
    """A-ABORT PDUs sent."""
    wrong: str
    """What must not have happened, if it has."""
    watched: tuple[object, ...]
    """The whole `Monitor`."""


class Effect(NamedTuple):
    """What one input did to one side."""

    key: Key
    sent: tuple[bytes, ...]
    """PDUs that left, in order."""
    closed: bool
    """Whether this side's transport is closed now."""


@dataclass(slots=True)
class Monitor:
    """What is watched of one side beside its state."""

    known: bool = False
    """The user knows of the association."""
    told: int = 0
    """How often the user was told of its end, its own ending included."""
    aborts: int = 0
    """A-ABORT PDUs sent."""
    last: int = 0
    """Type of the last PDU sent, 0 if none."""
    collided: bool = False
    """The A-RELEASE-RQ PDUs crossed, and the user has not answered the peer's."""
    answered: bool = False
    """The peer's A-RELEASE-RP was received."""
    wrong: str = ""
    """What must not have happened."""


class Side:
    """All that one upper layer can do, found as it is asked for."""

    def __init__(self, requestor: bool) -> None:
        self.requestor = requestor
        self._paths: dict[Key, tuple[Input, ...]] = {}
        self._effects: dict[tuple[Key, Input], Effect] = {}
        self.cells: set[tuple[Event, State]] = set()
        self._seen = ""  # what the observer saw that must not have happened
        self.start = self.key(self._fresh(), Monitor())
        self._paths[self.start] = ()

    def after(self, key: Key, given: Input) -> Effect:
        """What an input does; the real code runs if this pair is new."""
        effect = self._effects.get((key, given))
        if effect is None:
            effect = self._run(key, given)
            self._effects[key, given] = effect
        return effect

    @property
    def keys(self) -> int:
        """How many keys were reached."""
        return len(self._paths)

    def _fresh(self) -> UpperLayer:
        return UpperLayer(requestor=self.requestor, observer=self._observe)

    def _observe(self, observation: Observation) -> None:
        if not isinstance(observation, Stepped):
            return
        event, state, action = observation.event, observation.state, observation.action
        if action is None:
            if event.kind is Kind.PDU:
                self._seen = f"unspecified reception: {event.name} in {state.name}"
            return
        self.cells.add((event, state))
        # PS3.8 §9.2.1: in Sta1 there is no transport connection that anything could leave by.
        for outcome in action.outcomes:
            if outcome.next_state is observation.next_state is State.Sta1:
                sends = [e.value for e in outcome.effects if e.name.startswith("SEND_")]
                if sends:
                    self._seen = f"{action.name} comes to Sta1 and is to {sends[0]}"

    def _run(self, key: Key, given: Input) -> Effect:
        path = (*self._paths[key], given)
        upper, monitor, sent = self._follow(path)
        if self._seen:
            monitor.wrong = self._seen
        elif self.requestor and monitor.collided and not self._may_respond(path):
            # PS3.8 §7.2.2.7: the association-requestor's response is the first.
            monitor.wrong = (
                "in a release collision the association-requestor cannot answer first"
                f" ({upper.state.name})"
            )
        after = self.key(upper, monitor)
        if after not in self._paths:
            self._paths[after] = path
        return Effect(after, sent, upper.state is State.Sta1)

    def _follow(self, path: Sequence[Input]) -> tuple[UpperLayer, Monitor, tuple[bytes, ...]]:
        """A new upper layer that took these inputs, and what it sent at the last."""
        upper, monitor = self._fresh(), Monitor()
        sent: tuple[bytes, ...] = ()
        for given in path:
            self._seen = ""
            sent = self.apply(upper, monitor, given)
        return upper, monitor, sent

    def _may_respond(self, path: Sequence[Input]) -> bool:
        upper, monitor, _ = self._follow(path)
        try:
            self.apply(upper, monitor, ("respond", b""))
        except LocalProtocolError:
            return False
        return True

    @classmethod
    def apply(cls, upper: UpperLayer, monitor: Monitor, given: Input) -> tuple[bytes, ...]:
        """Let `upper` take an input, and watch what it does; returns the PDUs that left."""
        name, data = given
        before = upper.state
        begins = name == "receive" and cls._at_a_boundary(upper)
        must_abort = begins and cls._watch_arrival(upper, monitor, data)
        monitor.known |= name == "request"
        sent = take(upper, given, partial(cls._watch_told, upper, monitor))
        # Who ends an association knows that it has ended.
        monitor.told += name in ("reject", "abort")
        monitor.told += name == "respond" and upper.state is State.Sta13
        for pdu in sent:
            cls._watch_sent(upper, monitor, before, pdu)
        if must_abort and not monitor.aborts:
            what = "A-ASSOCIATE-RQ" if data[0] == PDUType.A_ASSOCIATE_RQ else "unrecognized PDU"
            monitor.wrong = f"an {what} in Sta13 was not answered by an A-ABORT"
        if begins and before is State.Sta2 and data[0] == PDUType.A_ASSOCIATE_RQ:
            cls._watch_version(upper, monitor, data)
        cls._watch_rules(upper, monitor)
        return sent

    @staticmethod
    def _watch_version(upper: UpperLayer, monitor: Monitor, request: bytes) -> None:
        # PS3.8 §9.3.2: a receiver of version 1 tests bit 0 of the version, and nothing else.
        indicated = upper.state is State.Sta3
        if indicated != bool(request[7] & 1):
            led = "an indication" if indicated else "a rejection"
            monitor.wrong = f"protocol version {request[6]:02X}{request[7]:02X}H led to {led}"

    @staticmethod
    def _at_a_boundary(upper: UpperLayer) -> bool:
        """Whether bytes that come now begin a PDU: not the rest of another, nor after Evt19."""
        receiver = upper._receiver
        return not (receiver._deaf or receiver._skip or receiver.in_pdu)

    @staticmethod
    def _watch_arrival(upper: UpperLayer, monitor: Monitor, data: bytes) -> bool:
        """What a PDU means before the machine sees it: must it be answered by an abort?"""
        if data[0] == PDUType.A_RELEASE_RP:
            monitor.answered = True
        elif data[0] == PDUType.A_RELEASE_RQ == monitor.last and not monitor.answered:
            monitor.collided = True
        # PS3.8 §9.2.2, Table 9-9, AA-7: whoever waits for the transport to close answers a request
        # for an association, and what is no PDU, by an A-ABORT, once. It ignores the rest.
        return upper.state is State.Sta13 and data[0] not in _EXPECTED and not monitor.aborts

    @staticmethod
    def _watch_told(upper: UpperLayer, monitor: Monitor, indication: Indication) -> None:
        match indication:
            case AssociateIndication():
                monitor.known = True
            case AssociateConfirmation(AAssociateRJ()) | AbortIndication():
                monitor.told += 1
            case ProviderAbortIndication() | TimeLimitPassed():
                monitor.told += 1
            case ReleaseConfirmation() if upper.state is State.Sta1:
                monitor.told += 1
            case CloseTransport() if upper.state is not State.Sta1:
                monitor.wrong = "the transport is closed outside Sta1"

    @staticmethod
    def _watch_sent(upper: UpperLayer, monitor: Monitor, before: State, pdu: bytes) -> None:
        if monitor.last in _FAREWELL and pdu[0] != PDUType.A_ABORT:
            monitor.wrong = f"PDU {pdu[0]:02X}H was sent after PDU {monitor.last:02X}H"
        if before is State.Sta13 and pdu[0] != PDUType.A_ABORT:
            monitor.wrong = f"PDU {pdu[0]:02X}H was sent in Sta13"
        if upper.state is State.Sta1:
            monitor.wrong = f"PDU {pdu[0]:02X}H was sent in Sta1, without a transport connection"
        if monitor.collided and pdu[0] == PDUType.A_RELEASE_RP:
            # PS3.8 §7.2.2.7: the association-requestor's response is the first.
            if not (upper.requestor or monitor.answered):
                monitor.wrong = (
                    "in a release collision the association-acceptor answered before the "
                    "association-requestor"
                )
            monitor.collided = False
        monitor.last = pdu[0]
        monitor.aborts += pdu[0] == PDUType.A_ABORT
        if monitor.aborts > 1:
            monitor.wrong = "two A-ABORT PDUs were sent"

    @staticmethod
    def _watch_rules(upper: UpperLayer, monitor: Monitor) -> None:
        state = upper.state
        if upper.artim_running() != (state in (State.Sta2, State.Sta13)):
            running = "runs" if upper.artim_running() else "does not run"
            monitor.wrong = f"ARTIM {running} in {state.name}"
        if monitor.told > 1:
            monitor.wrong = "the user was told twice that the association ended"
        if monitor.told and not monitor.known:
            monitor.wrong = "the user was told of the end of what it knew nothing of"
        over = state in (State.Sta1, State.Sta13)
        if over:
            monitor.collided = monitor.answered = False
        if monitor.known and over and not monitor.told:
            monitor.wrong = "the association ended and the user was not told"

    @staticmethod
    def key(upper: UpperLayer, monitor: Monitor) -> Key:
        """The key of an upper layer that is watched by `monitor`."""
        receiver, inbox = upper._receiver, upper._receiver.inbox
        rest = (
            upper.core.acceptable,
            receiver._deaf,
            receiver._skip,
            bytes(inbox.view(0, len(inbox))),
            receiver.accepted_ids,
            upper.outbox._abort_sent,
            upper._ended,
        )
        return Key(
            upper.state,
            upper.deadline is not None,
            rest,
            monitor.aborts,
            monitor.wrong,
            astuple(monitor),
        )
