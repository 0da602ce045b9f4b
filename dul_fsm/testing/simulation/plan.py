"""What a seed decides: who does what in a session, over what wire, and what goes wrong.

Rules
  * A third of the sessions have no fault: it must not take a fault for a session to succeed.
  * A third has one fault that waits for a state of one side's machine, each state as often as the
    next: at a random moment nearly all would find the two in Sta6.

Not here: how any of it is done (`wire`, `users`, `session`).
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from dul_fsm.fsm import State
from dul_fsm.pdu import p_data_header
from dul_fsm.testing import model
from dul_fsm.timers import TimeLimits

FOREVER: Final = 1e12
"""Seconds: longer than any session."""

HOSTILE: Final = {
    name: data for name, data in model.HOSTILE.items() if not name.startswith("P-DATA-TF")
} | {
    "P-DATA-TF that is no message": p_data_header(1, 0b11, 2) + b"\0\0",
    "P-DATA-TF on a context not accepted": p_data_header(255, 0b11, 2) + b"\0\0",
}
"""What a hostile hand puts between two PDUs. No request or response that one might take for one of
those that were made: the two sides could not tell, and neither could we."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One DIMSE operation that a side invokes, and what the other makes of it."""

    kind: str
    """"echo", "store" or "find"."""
    size: int = 0
    """Bytes of pixel data of a C-STORE; matches of a C-FIND."""
    source: str = "bytes"
    """How the data set is given: "bytes", "pieces", or "fails" half-way."""
    cancel_after: int | None = None
    """Pending responses after which a C-FIND is cancelled."""
    outcome: str = "ok"
    """What the performer does: "ok", "status", "raises", "aborts", "no room" (in the sink,
    half-way), "no sink" (it cannot be opened), "no commit" (no room for the whole)."""
    think: float = 0.0
    """Seconds before its user invokes it."""
    work: float = 0.0
    """Seconds that the performer takes."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong, once."""

    kind: str
    """"cut", "reset", "half-close", "stall", "hostile", "abort", "release" or "jump"."""
    side: int
    """0 the requestor, 1 the acceptor: whose user, whose sending; whom a hostile hand is after."""
    state: State | None
    """When that side's machine is in this state; None: whatever the state."""
    count: int
    """And has sent so many bytes, or (`steps`) the session has taken so many steps."""
    steps: bool = False
    """What `count` counts."""
    seconds: float = 0.0
    """How long a stall lasts, or how far the clock jumps."""
    pdu: str = ""
    """What a hostile hand puts between two PDUs that the side is sent."""

    def __str__(self) -> str:
        who = ("requestor", "acceptor")[self.side]
        what = {
            "stall": f"for {'ever' if self.seconds >= FOREVER else f'{self.seconds:.3g} s'}",
            "jump": f"by {self.seconds:.3g} s",
            "hostile": f"({self.pdu})",
        }.get(self.kind, "")
        state = f"in {self.state.name} " if self.state else ""
        unit = "steps of the session" if self.steps else "bytes sent"
        return f"{self.kind} {what} at the {who}, {state}after {self.count} {unit}".replace(
            "  ", " "
        )


@dataclass(frozen=True, slots=True)
class Part:
    """What one side does and how."""

    operations: tuple[Operation, ...] = ()
    ending: str = "wait"
    """Afterwards: "release", "abort", "vanish" (close without a word) or "wait" for the other."""
    limits: TimeLimits = field(default_factory=TimeLimits)
    maximum_length: int = 16384
    reads_while_working: bool = False
    """Whether bytes move while a handler works: an asyncio driver does so, a blocking one not."""
    duplex: bool = True
    """Whether it reads while the peer takes none of its bytes: a blocking driver does not."""
    prompt: bool = True
    """Whether a deadline that has passed is seen before bytes that are there."""
    answer: float = 0.0
    """Seconds before it answers a release request."""
    callbacks: str = "ok"
    """"raise": what it is told of the end (`released`, `aborted`, `closed`) raises."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One session."""

    seed: int
    requestor: Part
    acceptor: Part
    connect: str = "opens"
    """"opens", "refused" or "never"."""
    connect_seconds: float = 0.0
    association: str = "accept"
    """The acceptor's decision: "accept", "accept nothing" (no context), "reject", "raises",
    "aborts"."""
    association_seconds: float = 0.0
    """How long it takes."""
    capacity: int = 65536
    """Bytes under way in one direction."""
    max_send: int = 65536
    """Bytes that one send takes at most (partial write)."""
    max_receive: int = 65536
    """Bytes that one receive gives at most (split)."""
    latency: tuple[float, float] = (0.0, 0.0)
    """Seconds that bytes travel: least, most."""
    reset_on_close: bool = False
    """Whether closing loses what travels towards the closed end's peer (a TCP reset)."""
    faults: tuple[Fault, ...] = ()

    def __str__(self) -> str:
        def text(name: str, part: Part) -> str:
            lines = [f"  {name}: then {part.ending}, {part.limits}"]
            lines[0] += f", maximum length {part.maximum_length}"
            flags = "".join(
                f", {flag}"
                for flag, is_set in (
                    ("reads while its handler works", part.reads_while_working),
                    ("does not read while it waits to send", not part.duplex),
                    ("looks at the clock only when nothing is there", not part.prompt),
                    (f"answers a release after {part.answer:.3g} s", bool(part.answer)),
                    ("raises when told of the end", part.callbacks == "raise"),
                )
                if is_set
            )
            lines[0] += flags
            lines += [f"    {operation}" for operation in part.operations]
            return "\n".join(lines)

        lines = [
            f"seed {self.seed}: connection {self.connect} after {self.connect_seconds:.3g} s, "
            f"association: {self.association} after {self.association_seconds:.3g} s",
            f"  wire: capacity {self.capacity}, at most {self.max_send} sent and "
            f"{self.max_receive} received at once, latency {self.latency[0]:.3g} to "
            f"{self.latency[1]:.3g} s{', close resets' if self.reset_on_close else ''}",
            text("requestor", self.requestor),
            text("acceptor", self.acceptor),
        ]
        lines += [f"  fault: {fault}" for fault in self.faults] or ["  no fault"]
        return "\n".join(lines)


# Making one ---------------------------------------------------------------------------------------

_OUTCOMES: Final = {
    "echo": ("status", "raises", "aborts"),
    "store": ("status", "raises", "aborts", "no room", "no sink", "no commit", "no commit"),
    "find": ("status", "raises", "aborts"),
}
_SPLITS: Final = (65536, 65536, 65536, 16384, 3000, 1000, 300)
_PLACES: Final = (
    *((0, State[f"Sta{n}"]) for n in (4, 5, 6, 7, 9, 11, 13)),
    *((1, State[f"Sta{n}"]) for n in (2, 3, 6, 8, 10, 12, 12, 13)),
)
"""Sides and the states that they can be in; Sta12 is the hardest to meet."""
_COLLISION: Final = frozenset((State.Sta9, State.Sta10, State.Sta11, State.Sta12))
_WHILE_IT_THINKS: Final = frozenset((State.Sta3, State.Sta8, *_COLLISION))
"""States in which a side is only as long as somebody's user takes."""
_KINDS: Final = ("cut", "reset", "half-close", "stall", "hostile", "abort", "jump")


def make_plan(seed: int) -> Plan:
    """The session of a seed."""
    rng = random.Random(seed)
    kind = rng.choices(("fair", "focused", "mixed"), (35, 35, 30))[0]
    fair = kind == "fair"
    focus: State | None = None
    faults: list[Fault] = []
    if kind == "focused":
        side, focus = rng.choice(_PLACES)
        faults.append(_fault(rng, side, focus))
    elif kind == "mixed":
        faults += [_fault(rng, *_place(rng)) for _ in range(rng.choice((1, 1, 2, 3)))]
    collision = rng.random() < 0.12 or focus in _COLLISION
    if focus is State.Sta8:
        collision = False
    if focus is State.Sta7 and rng.random() < 0.7:
        collision = False
    if collision:
        faults.append(Fault("release", 0, State.Sta7, 0))
    elif rng.random() < 0.05:
        faults.append(Fault("release", 1, State.Sta6, rng.randrange(250, 1500)))
    tiny = rng.random() < 0.1
    stalls = any(fault.kind == "stall" for fault in faults)
    thinks = focus in _WHILE_IT_THINKS
    slow = not fair and not thinks and rng.random() < 0.3
    manner = _Manner(fair, collision, slow, thinks, stalls, tiny)
    connect, association = "opens", "accept"
    if kind == "mixed":
        connect = rng.choices(("opens", "refused", "never"), (86, 7, 7))[0]
        association = rng.choices(
            ("accept", "accept nothing", "reject", "raises", "aborts"), (64, 6, 18, 6, 6)
        )[0]
    split = (1, 2, 7, 64) if tiny else _SPLITS
    capacity = (200, 1000) if tiny else (2000, 20000, 65536, 262144)
    near = rng.choice((0.0, 0.001, 0.02, 0.3))
    return Plan(
        seed,
        _part(rng, manner, requestor=True),
        _part(rng, manner, requestor=False),
        connect=connect,
        connect_seconds=rng.choice((0.0, 0.0, 0.01, 0.01, 0.3)),
        association=association,
        association_seconds=rng.choice((0.2, 0.2, 20.0)) if slow or thinks else 0.0,
        capacity=rng.choice(capacity[:2] if stalls else capacity),
        max_send=rng.choice(split),
        max_receive=rng.choice(split),
        latency=(near / 2, near),
        reset_on_close=not fair and rng.random() < 0.3,
        faults=tuple(faults),
    )


class _Manner(NamedTuple):
    """What the parts of a session have in common."""

    fair: bool
    """Nothing goes wrong."""
    collision: bool
    """Both sides release."""
    slow: bool
    """Users and handlers take their time."""
    thinks: bool
    """They do over associating and releasing, and come to it without trouble."""
    stalls: bool
    """A stream comes to a halt: it had better be in the middle of an image."""
    tiny: bool
    """Little to send, a few bytes at a time."""


def _part(rng: random.Random, manner: _Manner, *, requestor: bool) -> Part:
    fair, collision, slow, thinks, stalls, tiny = manner
    count = rng.choice((0, 1, 1, 2, 2, 3, 4, 6)) if requestor else rng.choice((0, 0, 0, 0, 1, 2))
    if collision or thinks:
        count = min(count, 1) if requestor else 0
    ending = "wait"
    if requestor:
        ending = rng.choice(
            ("release",)
            if fair or collision or thinks
            else ("release",) * 9 + ("abort", "vanish", "wait")
        )
    answer = 0.0
    if thinks:
        answer = rng.choice((0.05, 0.05, 2.0)) if requestor else rng.choice((2.0, 2.0, 20.0))
    elif slow or collision:
        answer = rng.choice((0.0, 0.05, 0.05, 1.0))
    operations = [_operation(rng, manner, requestor) for _ in range(count)]
    if stalls and requestor and not thinks and not tiny:
        operations.insert(0, Operation("store", int(2 ** rng.uniform(14, 17.5))))
    return Part(
        operations=tuple(operations),
        ending=ending,
        limits=_limits(rng, manner),
        maximum_length=512 if tiny else rng.choice((0, 16384, 16384, 4096, 131072)),
        reads_while_working=slow or thinks or rng.random() < 0.5,
        duplex=rng.random() < 0.7,
        prompt=rng.random() < 0.5,
        answer=answer,
        callbacks="raise" if rng.random() < 0.1 else "ok",
    )


def _operation(rng: random.Random, manner: _Manner, requestor: bool) -> Operation:
    kind = rng.choice(("echo", "store", "store", "store", "find") if requestor else ("store",))
    troubled = not manner.fair and not manner.thinks
    size, cancel_after = 0, None
    if kind == "store":
        size = rng.randrange(0, 600) if manner.tiny else int(2 ** rng.uniform(0, 17.5))
    elif kind == "find":
        size = rng.choice((0, 1, 2, 5, 20))
        cancel_after = rng.choice((None, None, 0, 1, 3))
    source = "bytes"
    if kind == "store":
        source = rng.choices(("bytes", "pieces", "fails"), (70, 25, 5 if troubled else 0))[0]
    return Operation(
        kind,
        size,
        source=source,
        cancel_after=cancel_after,
        outcome=rng.choice(_OUTCOMES[kind]) if troubled and rng.random() < 0.2 else "ok",
        think=rng.choice((0.0, 0.0, 0.1, 30.0)) if manner.slow else 0.0,
        work=rng.choice((0.0, 0.0, 0.05, 1.0, 30.0)) if manner.slow else 0.0,
    )


def _limits(rng: random.Random, manner: _Manner) -> TimeLimits:
    if manner.fair:
        return TimeLimits()
    patient = manner.stalls or manner.thinks
    return TimeLimits(
        artim=rng.choice((0.5, 5.0, 30.0)),
        connect=rng.choice((0.2, 10.0, 10.0, 10.0)),
        association=rng.choice((1.0, 30.0)),
        pdu=rng.choice((1.0, 10.0) if manner.stalls else (1.0, 10.0, 60.0)),
        write=rng.choice((1.0, 10.0) if manner.stalls else (1.0, 10.0, 60.0)),
        release=30.0 if manner.thinks else rng.choice((1.0, 30.0)),
        response=rng.choice((20.0, 120.0) if patient else (2.0, 20.0, 120.0)),
        idle=rng.choice((20.0, 300.0) if patient else (2.0, 20.0, 300.0)),
    )


def _place(rng: random.Random) -> tuple[int, State | None]:
    """A side, and a state of it half of the time."""
    return rng.choice(_PLACES) if rng.random() < 0.5 else (rng.randrange(2), None)


def _fault(rng: random.Random, side: int, state: State | None) -> Fault:
    kind = rng.choices(_KINDS, (20, 13, 10, 16, 26, 15, 8))[0]
    if state is State.Sta4:
        kind = rng.choice(("abort", "jump"))  # nothing else can happen to a connection not open
    count, steps = 0, False
    if state is State.Sta6:
        count = int(2 ** rng.uniform(7, 16))
    elif state is None and rng.random() < 0.6:
        count = int(2 ** rng.uniform(0, 17))
    elif state is None:
        count, steps = int(2 ** rng.uniform(0, 9)), True
    return Fault(
        kind,
        side,
        state,
        count,
        steps,
        seconds=rng.choice((0.5, 5.0, 100.0, FOREVER if kind == "stall" else 1000.0)),
        pdu=rng.choice(tuple(HOSTILE)) if kind == "hostile" else "",
    )
