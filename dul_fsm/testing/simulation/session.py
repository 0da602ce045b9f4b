"""One session: two ends take turns, time passes when neither can do anything, faults strike.

Not here: many sessions and what came of them (`simulate`).
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from dul_fsm.association import Aborted, Origin, Rejected, Released
from dul_fsm.fsm import State
from dul_fsm.pdu import PDUType
from dul_fsm.testing.ladder import Ladder
from dul_fsm.testing.simulation.end import NAMES, SimulatedEnd
from dul_fsm.testing.simulation.monitor import Monitor, check_book
from dul_fsm.testing.simulation.plan import FOREVER, HOSTILE, Fault, Plan, make_plan
from dul_fsm.testing.simulation.users import Book
from dul_fsm.testing.simulation.wire import Wire
from dul_fsm.testing.torture import Fuse
from dul_fsm.timers import TimeLimits

MOST_STEPS: Final = 100_000
"""Steps of a session: some ten times what the longest takes."""

MOST_SECONDS: Final = 100_000.0
"""Virtual seconds of a session: the longest time limits, after every operation, and clock jumps."""

MOST_IDLE_STEPS: Final = 200
"""Steps in a row in which nothing moves: no byte, no event, no state, no time."""


@dataclass(slots=True)
class Result:
    """What came of one session."""

    seed: int
    plan: Plan
    problems: list[str] = field(default_factory=list)
    """What must not have been; empty if all is well."""
    tally: Counter[str] = field(default_factory=Counter)
    """What happened, by kind: "outcome ...", "acceptor ...", "fault ...", "limit ...", "lost in
    ...", "cell ...", "PDU ..." and others."""
    steps: int = 0
    seconds: float = 0.0
    """Virtual ones."""


def simulate(seed: int, ladder: Ladder | None = None) -> Result:
    """Run the session of a seed, drawing it on a ladder if there is one. Raises nothing."""
    return run(make_plan(seed), ladder)


def run(plan: Plan, ladder: Ladder | None = None, fuse: Fuse | None = None) -> Result:
    """Run a session; see `simulate`. `fuse`: something more that fails, see `torture`."""
    result = Result(plan.seed, plan)
    session = _Session(plan, result, ladder, fuse or Fuse("send", 0))
    try:
        session.run()
    except Exception as error:
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        where = f"{place.tb_frame.f_code.co_qualname}:{place.tb_lineno}" if place else "nowhere"
        result.problems.append(f"{type(error).__name__} came out of {where}: {error}")
    return result


class _Session:
    def __init__(self, plan: Plan, result: Result, ladder: Ladder | None, fuse: Fuse) -> None:
        self._fuse = fuse
        self._plan = plan
        self._result = result
        self._ladder = ladder
        self._rng = random.Random(plan.seed ^ 0x5EED)
        self._now = 0.0
        self._connect_at: float | None = None
        self._faults = list(plan.faults)
        self._hostile = False
        book = Book(plan.seed, fuse)
        self._book = book
        self._monitors = [Monitor(side, result.problems, result.tally) for side in (0, 1)]
        self._monitors[1].peer_maximum = plan.requestor.maximum_length
        self._wire = Wire(plan, self._rng, self._seen, fuse)
        self._ends = [
            SimulatedEnd(
                side,
                plan,
                self._wire,
                book,
                self._monitors[side],
                lambda: self._now,
                self._connect,
                ladder,
            )
            for side in (0, 1)
        ]

    def _seen(self, side: int, kind: int, length: int) -> None:
        self._monitors[side].pdu_left(kind, length)

    def _connect(self) -> None:
        if self._plan.connect != "never":
            self._connect_at = self._now + self._plan.connect_seconds

    def _note(self, text: str) -> None:
        if self._ladder is not None:
            self._ladder.note(f"{self._now:.3f} s: {text}")

    # The loop -----------------------------------------------------------------------------------

    def run(self) -> None:
        """All of it."""
        result, fuse, first, second = self._result, self._fuse, *self._ends
        idle, before = 0, (0, 0.0, first.association.state, second.association.state)
        while not result.problems:
            if result.steps >= MOST_STEPS or self._now > MOST_SECONDS:
                result.problems.append("the session does not end")
            result.steps += 1
            self._strike()
            if fuse.blows("clock"):
                self._note("the clock jumps to the next deadline")
                self._now = min(self._deadlines(), default=self._now)
            one, other = (first, second) if self._rng.random() < 0.5 else (second, first)
            moved = self._step(one) or self._step(other)
            after = (
                self._wire.moved,
                self._now,
                first.association.state,
                second.association.state,
            )
            # A state may change without an event: a fault may wait for it.
            if not moved and after == before and not self._pass_time():
                break
            idle = idle + 1 if after == before else 0
            before = after
            if idle > MOST_IDLE_STEPS:
                result.problems.append(f"{idle} steps in a row in which nothing moves")
        result.seconds = self._now
        self._finish()

    def _step(self, end: SimulatedEnd) -> bool:
        if not end.step():
            return False
        if end.settled:
            # An end that was told of the loss closes: until it knows, it is as it was.
            lost = not end.connected and end.association._upper._ended and not end.association.idle
            if not lost:
                end.monitor.check(end.association, end.connected, self._now)
        return True

    def _deadlines(self) -> list[float]:
        deadlines = (end.association.deadline for end in self._ends)
        return [max(self._now, deadline) for deadline in deadlines if deadline is not None]

    def _pass_time(self) -> bool:
        times = [time for time in (end.next() for end in self._ends) if time is not None]
        if self._connect_at is not None:
            times.append(self._connect_at)
        times = [time for time in times if time < FOREVER]
        if not times:
            return False
        time = max(self._now, min(times))
        if time > self._now:
            if time > self._now + 0.5:
                self._note(f"{time - self._now:.3g} s pass")
            self._now = time
        if self._connect_at is not None and self._connect_at <= self._now:
            self._connect_at = None
            self._opened()
        return True

    def _opened(self) -> None:
        requestor, acceptor = self._ends
        if requestor.association.state is not State.Sta4:
            return  # given up
        if self._plan.connect == "refused" or self._fuse.blows("open"):
            self._note("the connection is refused")
            requestor.refused("cannot connect: nobody listens")
            return
        acceptor.opened()
        requestor.opened()

    # Faults -------------------------------------------------------------------------------------

    def _strike(self) -> None:
        for fault in self._faults:
            end = self._ends[fault.side]
            count = self._result.steps if fault.steps else self._wire.streams[fault.side].sent
            if (fault.state is None or end.association.state is fault.state) and (
                count >= fault.count
            ):
                self._faults.remove(fault)
                if self._happen(fault, end):
                    self._result.tally[f"fault {fault.kind}"] += 1
                return

    def _happen(self, fault: Fault, end: SimulatedEnd) -> bool:
        """Let it happen; False if it makes no difference any more."""
        connected = any(one.connected for one in self._ends)
        match fault.kind:
            case "release":
                other = self._ends[1]
                if not other.association.established:
                    return False
                other.release()
                return True
            case "abort":
                if end.association.state in (State.Sta1, State.Sta2, State.Sta13):
                    return False
                if end.side == 0 or end.monitor.known:
                    end.abort()
                    return True
                return False
            case "jump":
                self._note(f"the clock jumps by {fault.seconds:.3g} s")
                self._now += fault.seconds
                return True
        if not connected:
            return False
        self._note(str(fault))
        match fault.kind:
            case "cut":
                self._wire.cut(lose=False)
            case "reset":
                self._wire.cut(lose=True)
            case "half-close":
                self._wire.half_close(fault.side)
            case "stall":
                self._wire.stall(fault.side, min(FOREVER, self._now + fault.seconds))
            case _:
                self._hostile = True
                for monitor in self._monitors:
                    monitor.peer_maximum = 0
                if self._ladder is not None:
                    self._ladder.forged(NAMES[1 - fault.side], fault.pdu)
                self._wire.intrude(1 - fault.side, HOSTILE[fault.pdu], self._now)
        return True

    # The end ------------------------------------------------------------------------------------

    def _finish(self) -> None:
        result, (requestor, acceptor) = self._result, self._ends
        if result.problems:
            return
        for end in self._ends:
            begun = end.side == 0 or end.connected or end.handler.told
            if begun and not end.over:
                result.problems.append(
                    f"{end.monitor.name}: never ends, in {end.association.state.name}"
                )
            elif begun:
                end.monitor.finish(end.association, end.handler.told)
        result.problems += check_book(self._book)
        if not self._hostile:
            requestor.monitor.blame(acceptor.monitor)
            acceptor.monitor.blame(requestor.monitor)
        self._count()
        if not self._plan.faults and not self._fuse.blown and self._undisturbed():
            self._check_undisturbed()

    def _undisturbed(self) -> bool:
        plan, parts = self._plan, (self._plan.requestor, self._plan.acceptor)
        return (
            plan.connect == "opens"
            and plan.association == "accept"
            and plan.requestor.ending == "release"
            and all(part.limits == TimeLimits() for part in parts)
            # Two that wait for each other to read wait until a time limit passes.
            and (all(part.duplex for part in parts) or not plan.acceptor.operations)
            and all(
                operation.outcome == "ok" and operation.source != "fails"
                for part in parts
                for operation in part.operations
            )
        )

    def _check_undisturbed(self) -> None:
        """Nothing was the matter: everything succeeds."""
        problems = self._result.problems
        for end in self._ends:
            if not isinstance(next(iter(end.monitor.ends), None), Released):
                problems.append(
                    f"{end.monitor.name}: nothing was the matter, and it ended as "
                    f"{end.monitor.ends}"
                )
            if end.failures and end.part.callbacks == "ok":
                problems.append(f"{end.monitor.name}: its handler raised {end.failures}")
        for invocation in self._book.invocations.values():
            if invocation.side == 0 and not invocation.final:
                problems.append(f"{invocation.uid}: nothing was the matter, and it has no response")

    def _count(self) -> None:
        tally = self._result.tally
        tally[f"outcome {self._outcome()}"] += 1
        for end in self._ends:
            name = end.monitor.name
            for told in end.monitor.ends:
                tally[f"{name} {_text(told)}"] += 1
                if isinstance(told, Aborted) and told.limit is not None:
                    tally[f"limit {told.limit.name}"] += 1
            if end.monitor.rejected:
                tally[f"{name} rejected it"] += 1
        for invocation in self._book.invocations.values():
            kind = invocation.operation.kind
            final = f"{invocation.final[0]:04X}H" if invocation.final else "no response"
            tally[f"operation {kind} {final}"] += 1
            if kind == "store":
                tally["images sent"] += 1
                tally["images acknowledged"] += invocation.final == [0]
                tally["images kept"] += len(invocation.committed)
        tally["bytes"] += self._wire.moved // 2

    def _outcome(self) -> str:
        requestor, acceptor = self._monitors
        end = next(iter(requestor.ends), None)
        if isinstance(end, Released):
            sides = [PDUType.A_RELEASE_RQ in monitor.left for monitor in self._monitors]
            if all(sides):
                return "released by both"
            return "released by the requestor" if sides[0] else "released by the acceptor"
        if not acceptor.left and not requestor.left and isinstance(end, Aborted):
            return "never connected"
        return _text(end)


def _text(end: object) -> str:
    match end:
        case Rejected():
            return "rejected"
        case Released():
            return "released"
        case Aborted(Origin.LOCAL_USER):
            return "aborted by the local user"
        case Aborted(Origin.PEER_USER):
            return "aborted by the peer's user"
        case Aborted(Origin.PEER_PROVIDER):
            return "aborted by the peer's provider"
        case Aborted(Origin.LOCAL_PROVIDER):
            return "aborted by the local provider"
        case Aborted(Origin.TRANSPORT):
            return "connection lost"
        case Aborted(Origin.TIME_LIMIT):
            return "time limit"
    return "never associated"
