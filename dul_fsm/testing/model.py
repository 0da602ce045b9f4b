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
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from dul_fsm.fsm import TABLE, State
from dul_fsm.pdu import (
    AAbort,
    AReleaseRP,
    AReleaseRQ,
    PDUType,
    encode,
    p_data_header,
)
from dul_fsm.testing.ladder_run import ACCEPT, FRAGMENT, REJECT, REQUEST, Input, Move, draw
from dul_fsm.testing.model_side import Key, Side

CAPACITY = 8
"""P-DATA-TF PDUs that a channel holds."""

_DATA = p_data_header(1, 3, len(FRAGMENT)) + FRAGMENT

HOSTILE: dict[str, bytes] = {
    "A-ASSOCIATE-RQ": encode(REQUEST),
    "A-ASSOCIATE-RQ of no version": encode(REQUEST)[:7] + b"\0" + encode(REQUEST)[8:],
    "A-ASSOCIATE-RQ of versions 1 and 2": encode(REQUEST)[:7] + b"\3" + encode(REQUEST)[8:],
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
