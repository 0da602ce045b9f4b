"""A model check of the protocol, with the real `UpperLayer` as the transition function.

    python -m dul_fsm.testing.model

Two upper layers, a requestor and an acceptor, are joined by two FIFO channels of PDUs. Their users
do anything legal at any time; the connection may fail to open, break or end; timers pass; and a
hostile hand may put a PDU, or bytes that are none, into a channel. Every state that can be reached
is visited, and what must hold is checked in each. What did not hold is told as a numbered list of
moves, shortest first, and drawn as the ladder of that run.

What an upper layer does depends on little of what it holds: its `key`. So each (key, input) pair
runs through the real code once, on an object brought there by replaying how the key was first
reached, and the exploration goes over keys. `tests/testing/test_model.py` walks real objects at
random to see that a key says enough.

Not here: DIMSE (`simulate`), bytes split or late (`tests/upper_layer`).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, field
from functools import partial
from typing import NamedTuple

from dul_fsm.errors import LocalProtocolError
from dul_fsm.fsm import TABLE, Event, Kind, State
from dul_fsm.pdu import (
    AAbort,
    AAssociateRJ,
    AReleaseRP,
    AReleaseRQ,
    PDUType,
    encode,
    p_data_header,
)
from dul_fsm.testing.ladder_run import ACCEPT, FRAGMENT, REJECT, REQUEST, Input, Move, draw, take
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

CAPACITY = 8
"""P-DATA-TF PDUs that a channel holds."""

_DATA = p_data_header(1, 3, len(FRAGMENT)) + FRAGMENT

HOSTILE: dict[str, bytes] = {
    "A-ASSOCIATE-RQ": encode(REQUEST),
    "A-ASSOCIATE-RQ of no version": encode(REQUEST)[:7] + b"\0" + encode(REQUEST)[8:],
    "A-ASSOCIATE-AC": encode(ACCEPT),
    "A-ASSOCIATE-RJ": encode(REJECT),
    "P-DATA-TF": _DATA,
    "P-DATA-TF on a context not accepted": p_data_header(3, 3, len(FRAGMENT)) + FRAGMENT,
    "A-RELEASE-RQ": encode(AReleaseRQ()),
    "A-RELEASE-RP": encode(AReleaseRP()),
    "A-ABORT of the user": encode(AAbort(0, 0)),
    "A-ABORT of the provider": encode(AAbort(2, 0)),
    "A-ABORT of a reserved source": b"\x07\0\0\0\0\4\0\0\1\0",
    "a PDU of unknown type": b"G",
    "an A-RELEASE-RQ of 5 bytes": b"\x05\0\0\0\0\5",
    "half an A-RELEASE-RP": encode(AReleaseRP())[:7],
}
"""What the hostile hand puts into a channel."""

_ABORTABLE = frozenset(State) - {State.Sta1, State.Sta2, State.Sta13}
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
        must_abort = cls._watch_arrival(upper, monitor, given)
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
        cls._watch_rules(upper, monitor)
        return sent

    @staticmethod
    def _watch_arrival(upper: UpperLayer, monitor: Monitor, given: Input) -> bool:
        """What bytes mean before the machine sees them: whether they must be answered by an abort.

        Only where they begin a PDU: not in the rest of another, nor after Evt19.
        """
        name, data = given
        receiver = upper._receiver
        if name != "receive" or receiver._deaf or receiver._skip or receiver.in_pdu:
            return False
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
            upper._core.acceptable,
            receiver._deaf,
            receiver._skip,
            bytes(inbox.view(0, len(inbox))),
            receiver.accepted_ids,
            upper._outbox._abort_sent,
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


class Link(NamedTuple):
    """The transport connection between the two."""

    phase: str
    """"none", "opening", "open" or "over"."""
    requestor_closed: bool
    acceptor_closed: bool


class World(NamedTuple):
    """One state of the whole."""

    requestor: Key
    acceptor: Key
    to_acceptor: tuple[bytes, ...]
    """PDUs under way."""
    to_requestor: tuple[bytes, ...]
    link: Link
    hostile: int
    """How many times more the hostile hand may act."""


@dataclass(slots=True)
class Counterexample:
    """How a property was broken."""

    text: str
    path: list[Move]
    ladder: str
    """The run, drawn when it was found."""

    def __str__(self) -> str:
        steps = "\n".join(f"  {n:3}  {m.who:10} {m.what}" for n, m in enumerate(self.path, 1))
        return f"{self.text}, after:\n{steps}\n\n{self.ladder}"


@dataclass(slots=True)
class Report:
    """What was found."""

    states: int
    edges: int
    seconds: float
    keys: tuple[int, int]
    cells: int
    """Cells of Table 9-10 that ran."""
    missing: list[str] = field(default_factory=list)
    """Cells that name an action and never ran."""
    counterexamples: list[Counterexample] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything held."""
        return not self.counterexamples and not self.missing


class Model:
    """The exploration."""

    def __init__(
        self, *, capacity: int = CAPACITY, hostile: int = 1, disturbed: bool = True
    ) -> None:
        """`hostile`: how often the hostile hand may act in one run. `disturbed`: whether users
        abort, timers pass and connections break; without, no A-ABORT may ever be sent."""
        self._capacity = capacity
        self._disturbed = disturbed
        self.requestor = Side(requestor=True)
        self.acceptor = Side(requestor=False)
        self._start = World(
            self.requestor.start,
            self.acceptor.start,
            (),
            (),
            Link("none", False, False),
            hostile if disturbed else 0,
        )

    def run(self) -> Report:
        """Visit every world; stop at the first that breaks a property, by the shortest way."""
        began = time.perf_counter()
        came: dict[World, tuple[World, Move] | None] = {self._start: None}
        back: dict[World, list[World]] = {}
        queue = deque([self._start])
        edges = 0
        found: list[Counterexample] = []
        while queue and not found:
            world = queue.popleft()
            moved = False
            for move, after in self._moves(world):
                moved = True
                edges += 1
                back.setdefault(after, []).append(world)
                if after not in came:
                    came[after] = (world, move)
                    queue.append(after)
                    wrong = self._wrong(after)
                    if wrong:
                        found.append(_counterexample(wrong, came, after))
                        break
            if not moved and not self._over(world):
                found.append(_counterexample("deadlock", came, world))
        if not found:
            found += self._cannot_end(came, back)
        cells = self.requestor.cells | self.acceptor.cells
        defined = {cell for cell, action in TABLE.items() if action is not None}
        missing = sorted(f"{event.name}/{state.name}" for event, state in defined - cells)
        return Report(
            len(came),
            edges,
            time.perf_counter() - began,
            (self.requestor.keys, self.acceptor.keys),
            len(defined & cells),
            missing if self._disturbed and not found else [],
            found,
        )

    def _over(self, world: World) -> bool:
        return (
            world.requestor.state is State.Sta1
            and world.acceptor.state is State.Sta1
            and world.link.phase != "none"
        )

    def _wrong(self, world: World) -> str:
        link = world.link
        for name, key, closed in (
            ("requestor", world.requestor, link.requestor_closed),
            ("acceptor", world.acceptor, link.acceptor_closed),
        ):
            if key.wrong:
                return f"{name}: {key.wrong}"
            if not self._disturbed and key.aborts:
                return f"{name}: an A-ABORT was sent, and nothing was the matter"
            is_open = link.phase in ("open", "over") and not closed
            if is_open != (key.state not in (State.Sta1, State.Sta4)):
                how = "open" if is_open else "closed"
                return f"{name}: {key.state.name} with its transport {how}"
        return ""

    def _cannot_end(
        self, came: dict[World, tuple[World, Move] | None], back: dict[World, list[World]]
    ) -> list[Counterexample]:
        """Worlds from which both sides cannot come back to Sta1."""
        can = {world for world in came if self._over(world)}
        queue = deque(can)
        while queue:
            for before in back.get(queue.popleft(), ()):
                if before not in can:
                    can.add(before)
                    queue.append(before)
        for world in came:
            if world not in can:
                return [_counterexample("no way back to Sta1", came, world)]
        return []

    # Moves --------------------------------------------------------------------------------------

    def _moves(self, world: World) -> Iterator[tuple[Move, World]]:
        link = world.link
        if link.phase == "none":
            yield self._act(world, True, ("request", b""), "A-ASSOCIATE request", link="opening")
            return
        if link.phase == "opening":
            yield from self._connecting(world)
            return
        for requestor in (True, False):
            closed = link.requestor_closed if requestor else link.acceptor_closed
            if not closed:
                yield from self._network(world, requestor)
                yield from self._user(world, requestor)
        if self._disturbed and link.phase == "open":
            broken = world._replace(
                to_acceptor=(), to_requestor=(), link=link._replace(phase="over")
            )
            yield Move("network", "the connection breaks", ()), broken

    def _connecting(self, world: World) -> Iterator[tuple[Move, World]]:
        opened = self.requestor.after(world.requestor, ("opened", b""))
        accepted = self.acceptor.after(world.acceptor, ("opened", b""))
        yield (
            Move(
                "network",
                "the connection opens",
                (("acceptor", ("opened", b"")), ("requestor", ("opened", b""))),
            ),
            world._replace(
                requestor=opened.key,
                acceptor=accepted.key,
                to_acceptor=opened.sent,
                link=Link("open", False, False),
            ),
        )
        if self._disturbed:
            for name, text in (
                ("ended", "cannot connect"),
                ("abort", "A-ABORT request"),
                ("time passes", "a time limit passes"),
            ):
                yield self._act(world, True, (name, b""), text, link="over", both=True)

    def _network(self, world: World, requestor: bool) -> Iterator[tuple[Move, World]]:
        arriving = world.to_requestor if requestor else world.to_acceptor
        link = world.link
        if arriving:
            taken = (
                world._replace(to_requestor=arriving[1:])
                if requestor
                else world._replace(to_acceptor=arriving[1:])
            )
            yield self._act(
                taken, requestor, ("receive", arriving[0]), f"receives {_describe(arriving[0])}"
            )
        elif link.phase == "over" or (link.acceptor_closed if requestor else link.requestor_closed):
            yield self._act(world, requestor, ("ended", b""), "the connection ends")
        if world.hostile:
            for name, data in HOSTILE.items():
                spoilt = (
                    world._replace(to_requestor=(*arriving, data), hostile=world.hostile - 1)
                    if requestor
                    else world._replace(to_acceptor=(*arriving, data), hostile=world.hostile - 1)
                )
                side = "requestor" if requestor else "acceptor"
                given = (side, ("forged", data))
                yield Move("hostile", f"{name} for the {side}", (given,)), spoilt

    def _user(self, world: World, requestor: bool) -> Iterator[tuple[Move, World]]:
        key = world.requestor if requestor else world.acceptor
        leaving = world.to_acceptor if requestor else world.to_requestor
        state = key.state
        legal: list[tuple[str, str]] = []
        if state is State.Sta3:
            legal += [("accept", "A-ASSOCIATE response, accepted")]
            legal += [("reject", "A-ASSOCIATE response, rejected")]
        if state in (State.Sta6, State.Sta8) and leaving.count(_DATA) < self._capacity:
            legal += [("data", "P-DATA request")]
        if state is State.Sta6:
            legal += [("release", "A-RELEASE request")]
        if state in (State.Sta8, State.Sta9, State.Sta12):
            legal += [("respond", "A-RELEASE response")]
        if self._disturbed and state in _ABORTABLE:
            legal += [("abort", "A-ABORT request")]
        if self._disturbed and key.waits:
            legal += [("time passes", "a time limit passes")]
        for name, text in legal:
            yield self._act(world, requestor, (name, b""), text)

    def _act(
        self,
        world: World,
        requestor: bool,
        given: Input,
        text: str,
        *,
        link: str = "",
        both: bool = False,
    ) -> tuple[Move, World]:
        """One side takes an input; what it sends goes into its channel."""
        phase, requestor_closed, acceptor_closed = world.link
        if both:
            requestor_closed = acceptor_closed = True
        reaches = phase == "open" and not (requestor_closed or acceptor_closed)
        if requestor:
            effect = self.requestor.after(world.requestor, given)
            closed = effect.closed or requestor_closed
            after = world._replace(
                requestor=effect.key,
                to_acceptor=(*world.to_acceptor, *effect.sent) if reaches else world.to_acceptor,
                to_requestor=() if closed else world.to_requestor,
                link=Link(link or phase, closed, acceptor_closed),
            )
        else:
            effect = self.acceptor.after(world.acceptor, given)
            closed = effect.closed or acceptor_closed
            after = world._replace(
                acceptor=effect.key,
                to_requestor=(*world.to_requestor, *effect.sent) if reaches else world.to_requestor,
                to_acceptor=() if closed else world.to_acceptor,
                link=Link(link or phase, requestor_closed, closed),
            )
        side = "requestor" if requestor else "acceptor"
        return Move(side, text, ((side, given),)), after


def _counterexample(
    text: str, came: dict[World, tuple[World, Move] | None], world: World
) -> Counterexample:
    """The way to a world in which something is wrong."""
    path: list[Move] = []
    step = came[world]
    while step is not None:
        world, move = step
        path.append(move)
        step = came[world]
    path.reverse()
    return Counterexample(text, path, draw(path, text))


def _describe(pdu: bytes) -> str:
    for name, data in HOSTILE.items():
        if data == pdu:
            return name
    return PDUType(pdu[0]).name.replace("_", "-")


def main(arguments: list[str] | None = None) -> int:
    """Run the check from a command line; the exit status is 0 if everything held."""
    parser = argparse.ArgumentParser(prog="python -m dul_fsm.testing.model", description=__doc__)
    parser.add_argument("--capacity", type=int, default=CAPACITY, help="P-DATA in one channel")
    parser.add_argument("--hostile", type=int, default=1, help="hostile acts in one run")
    options = parser.parse_args(arguments)
    undisturbed = Model(capacity=options.capacity, disturbed=False).run()
    report = Model(capacity=options.capacity, hostile=options.hostile).run()
    for name, one in (("undisturbed", undisturbed), ("everything", report)):
        print(
            f"{name:12} {one.states:>9,} states {one.edges:>10,} edges {one.seconds:6.1f} s  "
            f"keys {one.keys[0]} + {one.keys[1]}, {one.cells} cells"
        )
        for counterexample in one.counterexamples:
            print(counterexample)
        if one.missing:
            print("never reached:", " ".join(one.missing))
    return 0 if undisturbed.ok and report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
