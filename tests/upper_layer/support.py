"""An upper layer on a bench: a clock that is turned by hand, a transport that only keeps bytes.

The bytes of the peer are those spelled out in tests/pdu/wire.py, or written out here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from dul_fsm.fsm import Event, State
from dul_fsm.pdu import DEFAULT_MAXIMUM_LENGTH, AAssociateRJ, encode
from dul_fsm.timers import TimeLimits
from dul_fsm.upper_layer import (
    Indication,
    Observation,
    PDataIndication,
    PDUSent,
    ProviderAbortIndication,
    Stepped,
    UpperLayer,
)
from tests.pdu import wire

LIMITS: Final = TimeLimits(
    artim=7.0, connect=11.0, association=13.0, pdu=17.0, write=19.0, release=23.0
)
"""Each another number, so that none passes for another."""

ROLES: Final = ("requestor", "acceptor")

REJECT: Final = AAssociateRJ(1, 1, 7)
FRAGMENT: Final = bytes.fromhex("A1A2")

RQ: Final = wire.RQ_BYTES
AC: Final = wire.AC_BYTES
RJ: Final = bytes.fromhex("03 00 00000004 00 01 01 07")
P_DATA: Final = bytes.fromhex("04 00 0000000A 00000006 01 03 AABBCCDD")
RELEASE_RQ: Final = bytes.fromhex("05 00 00000004 00000000")
RELEASE_RP: Final = bytes.fromhex("06 00 00000004 00000000")
ABORT_BY_USER: Final = bytes.fromhex("07 00 00000004 00 00 00 00")
ABORT_BY_PROVIDER: Final = bytes.fromhex("07 00 00000004 00 00 02 06")
UNRECOGNIZED: Final = b"\x08"

OUR_P_DATA: Final = bytes.fromhex("04 00 00000008 00000004 01 03 A1A2")
OUR_AC: Final = encode(replace(wire.AC, echo=RQ[10:74]))
VERSION_REJECTED: Final = bytes.fromhex("03 00 00000004 00 01 02 02")

PDU_OF: Final[dict[Event, bytes]] = {
    Event.Evt3: AC,
    Event.Evt4: RJ,
    Event.Evt6: RQ,
    Event.Evt10: P_DATA,
    Event.Evt12: RELEASE_RQ,
    Event.Evt13: RELEASE_RP,
    Event.Evt16: ABORT_BY_USER,
    Event.Evt19: UNRECOGNIZED,
}
"""A PDU for each event that is the reception of one; for Evt19 the shortest."""


def abort(reason: int) -> bytes:
    """The A-ABORT that the service-provider sends."""
    return bytes.fromhex("07 00 00000004 00 00 02") + bytes((reason,))


def rq(protocol_version: int) -> bytes:
    """The A-ASSOCIATE-RQ with another protocol version."""
    return RQ[:6] + protocol_version.to_bytes(2, "big") + RQ[8:]


_REQUESTOR_TO_STA6 = (Event.Evt1, Event.Evt2, Event.Evt3)
_ACCEPTOR_TO_STA6 = (Event.Evt5, Event.Evt6, Event.Evt7)

PATHS: Final[dict[str, dict[State, tuple[Event, ...]]]] = {
    "requestor": {
        State.Sta1: (),
        State.Sta4: (Event.Evt1,),
        State.Sta5: (Event.Evt1, Event.Evt2),
        State.Sta6: _REQUESTOR_TO_STA6,
        State.Sta7: (*_REQUESTOR_TO_STA6, Event.Evt11),
        State.Sta8: (*_REQUESTOR_TO_STA6, Event.Evt12),
        State.Sta9: (*_REQUESTOR_TO_STA6, Event.Evt11, Event.Evt12),
        State.Sta11: (*_REQUESTOR_TO_STA6, Event.Evt11, Event.Evt12, Event.Evt14),
        # By AR-4, so that no A-ABORT has left yet.
        State.Sta13: (*_REQUESTOR_TO_STA6, Event.Evt12, Event.Evt14),
    },
    "acceptor": {
        State.Sta1: (),
        State.Sta2: (Event.Evt5,),
        State.Sta3: (Event.Evt5, Event.Evt6),
        State.Sta6: _ACCEPTOR_TO_STA6,
        State.Sta7: (*_ACCEPTOR_TO_STA6, Event.Evt11),
        State.Sta8: (*_ACCEPTOR_TO_STA6, Event.Evt12),
        State.Sta10: (*_ACCEPTOR_TO_STA6, Event.Evt11, Event.Evt12),
        State.Sta12: (*_ACCEPTOR_TO_STA6, Event.Evt11, Event.Evt12, Event.Evt13),
        # By AE-8, for the same reason.
        State.Sta13: (Event.Evt5, Event.Evt6, Event.Evt8),
    },
}
"""A legal way to each state that a role can be in."""

PLACES: Final = [(role, state) for role in ROLES for state in PATHS[role]]
"""Every state of every role."""

CONNECTED: Final = [(r, s) for r, s in PLACES if s not in (State.Sta1, State.Sta4)]
"""Those with a transport connection."""


def place_id(place: tuple[str, State]) -> str:
    """How a place is called in the name of a test."""
    return f"{place[0]}-{place[1].name}"


def place_ids(places: Sequence[tuple[str, State]]) -> list[str]:
    """How places are called in the names of tests."""
    return [place_id(place) for place in places]


def shown(indications: list[Indication]) -> list[object]:
    """Indications as values: the fragments copied, texts left out."""
    values: list[object] = []
    for indication in indications:
        if isinstance(indication, PDataIndication):
            for pdv in indication.pdvs:
                values.append((pdv.context_id, pdv.is_command, pdv.is_last, bytes(pdv.fragment)))
        elif isinstance(indication, ProviderAbortIndication):
            values.append(("A-P-ABORT", indication.reason, indication.received))
        else:
            values.append(indication)
    return values


def p_data(fragment: bytes, context_id: int = 1) -> bytes:
    """A P-DATA-TF with one PDV."""
    length = len(fragment)
    return (
        b"".join((b"\4\0", (length + 6).to_bytes(4, "big"), (length + 2).to_bytes(4, "big")))
        + bytes((context_id, 2))
        + fragment
    )


class Bench:
    """One `UpperLayer`, and all that can be seen of it from outside."""

    def __init__(
        self,
        role: str,
        *,
        maximum_length: int = DEFAULT_MAXIMUM_LENGTH,
        limits: TimeLimits = LIMITS,
    ) -> None:
        self.now = 100.0
        self.steps: list[Stepped] = []
        self.sent: list[PDUSent] = []
        self.upper = UpperLayer(
            requestor=role == "requestor",
            maximum_length=maximum_length,
            time_limits=limits,
            observer=self._observe,
        )

    @classmethod
    def at(cls, role: str, state: State, **settings: object) -> Bench:
        """A bench that has gone to `state`, a second a step, with nothing left to tell or send."""
        bench = cls(role, **settings)  # type: ignore[arg-type]
        for event in PATHS[role][state]:
            bench.now += 1.0
            bench.apply(event)
            bench.told()
            bench.leave()
        bench.steps.clear()
        bench.sent.clear()
        assert bench.upper.state is state
        return bench

    def state(self) -> State:
        """The state; a call, so that no checker takes it for a constant."""
        return self.upper.state

    def _observe(self, observation: Observation) -> None:
        if isinstance(observation, Stepped):
            self.steps.append(observation)
        else:
            self.sent.append(observation)

    def apply(self, event: Event) -> None:
        """Let `event` happen through the public API, now."""
        upper, now = self.upper, self.now
        if event in PDU_OF:
            upper.receive_data(PDU_OF[event], now)
        elif event is Event.Evt1:
            upper.a_associate_request(wire.RQ, now)
        elif event in (Event.Evt2, Event.Evt5):
            upper.transport_opened(now)
        elif event is Event.Evt7:
            upper.a_associate_accept(wire.AC, now)
        elif event is Event.Evt8:
            upper.a_associate_reject(REJECT, now)
        elif event is Event.Evt9:
            upper.p_data_request(1, 3, FRAGMENT, now)
        elif event is Event.Evt11:
            upper.a_release_request(now)
        elif event is Event.Evt14:
            upper.a_release_response(now)
        elif event is Event.Evt15:
            upper.a_abort_request(now)
        elif event is Event.Evt17:
            upper.transport_closed(now)
        else:  # Evt18, which only time can bring about
            if upper.artim_running():
                self.turn_to_deadline()
            upper.handle_timeout(self.now)

    def receive(self, data: bytes) -> list[Indication]:
        """These bytes arrive, now; what the user is told."""
        self.upper.receive_data(data, self.now)
        return self.told()

    def end(self) -> list[Indication]:
        """The transport ends, now; what the user is told."""
        self.upper.transport_closed(self.now)
        return self.told()

    def told(self) -> list[Indication]:
        """Everything that there is to tell."""
        return list(self._tell())

    def _tell(self) -> Iterator[Indication]:
        while (indication := self.upper.next_indication()) is not None:
            yield indication

    def leave(self) -> bytes:
        """Let the transport take all there is to send; returns it."""
        taken = b""
        while buffers := self.upper.data_to_send():
            data = b"".join(buffers)
            taken += data
            self.upper.data_sent(len(data), self.now)
        return taken

    def turn_to_deadline(self) -> None:
        """Turn the clock to the next deadline."""
        deadline = self.upper.deadline
        assert deadline is not None
        self.now = deadline

    def pass_deadline(self) -> list[Indication]:
        """Turn the clock to the next deadline and say so; what the user is told."""
        self.turn_to_deadline()
        self.upper.handle_timeout(self.now)
        return self.told()
