"""Two associations joined in memory, under a virtual clock: a whole exchange in one thread.

    pair = Pair(MyHandler())
    pair.associate([VERIFICATION])
    assert pair.invoke(CEchoRQ(VERIFICATION, message_id=1)).status == 0x0000
    pair.release()
    assert isinstance(pair.acceptor.end, Released)

`Pair(delay=0.005)` is a network with a round trip of 10 ms, and `pair.now` tells what it cost.
`Pair(faults=(Faults(cut_after=100), None))` breaks it after 100 bytes of the requestor's.

Rules
  * Nothing waits, sleeps or reads a clock: time passes in `advance`, and, where bytes have a delay,
    in what waits for them: `run_until`, `associate`, `invoke`, `release`.
  * The two sides take turns, one thing at a time, always in the same order: a run is repeatable.
  * What a side's own data source raises comes out of the call that ran the pair.
  * `performs = False` leaves a side to the test: its events are listed, and nothing is answered.

Not here: threads and transports (`drivers`, `transports`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from dul_fsm.association import Association, Message
from dul_fsm.dimse import Request, SourceLike
from dul_fsm.negotiation import ContextLike, build_request
from dul_fsm.pdu import DEFAULT_MAXIMUM_LENGTH
from dul_fsm.services.handler import Handler
from dul_fsm.testing.pair_side import LOST, End, Side
from dul_fsm.timers import TimeLimits
from dul_fsm.transports.loopback import Faults
from dul_fsm.upper_layer import Observation

__all__ = ["CAPACITY", "End", "Observer", "Pair", "Side"]

Observer: TypeAlias = Callable[[Observation], None]

CAPACITY = 262144
"""Bytes that are under way in one direction before its sender must wait."""


class Pair:
    """A requestor and an acceptor."""

    def __init__(
        self,
        acceptor: Handler | None = None,
        requestor: Handler | None = None,
        *,
        time_limits: tuple[TimeLimits | None, TimeLimits | None] = (None, None),
        maximum_lengths: tuple[int, int] = (DEFAULT_MAXIMUM_LENGTH, DEFAULT_MAXIMUM_LENGTH),
        observers: tuple[Observer | None, Observer | None] = (None, None),
        capacity: int = CAPACITY,
        split: int | None = None,
        delay: float = 0.0,
        faults: tuple[Faults | None, Faults | None] = (None, None),
    ) -> None:
        """Handlers, by default those that accept Verification and Storage and answer C-ECHO.

        The pairs of values are the requestor's and the acceptor's, as for `Association`.
        `capacity`: bytes under way in one direction before the sender must wait. `split`: the most
        bytes that arrive at once; None for as many as there are. `delay`: seconds of virtual time
        that a byte takes from one side to the other, 0 or more; to open the connection takes two.
        `faults`: what goes wrong with the bytes that a side sends and receives.
        """
        if not 0 <= delay < math.inf:
            raise ValueError(f"a delay is 0 s or more, not {delay}")
        self.now = 0.0
        """The time, in seconds."""
        self.capacity = capacity
        self.split = split
        self.listens = True
        """Whether a connection can be opened."""
        handlers = (requestor or Handler(), acceptor or Handler())
        self.requestor, self.acceptor = (
            Side(
                Association(
                    requestor=index == 0,
                    maximum_length=maximum_lengths[index],
                    time_limits=time_limits[index],
                    observer=observers[index],
                ),
                handler,
                self,
                faults[index] or Faults(),
                delay,
            )
            for index, handler in enumerate(handlers)
        )

    def other(self, side: Side) -> Side:
        """The other side."""
        return self.acceptor if side is self.requestor else self.requestor

    # The wire -----------------------------------------------------------------------------------

    def connect(self) -> None:
        """Open the connection; the requestor asks for it by itself."""
        there, back = self.requestor.way, self.acceptor.way
        answer = self.requestor.opened if self.listens else self._refuse
        if self.listens:
            there.put(self.acceptor.opened, self.now)
        back.put(answer, self.now + there.delay)
        self.arrive()

    def _refuse(self) -> None:
        if not self.requestor.way.ended:
            self.requestor.association.transport_closed(self.now, "nobody listens")

    def cut(self) -> None:
        """Lose the connection, and all bytes that are under way, for both sides."""
        for side in (self.requestor, self.acceptor):
            side.way.clear()
            side.incoming.clear()
            side.lose(LOST)

    def arrive(self) -> None:
        """Let arrive what has had the time to; it happens by itself whenever time passes."""
        self.acceptor.arrive(self.now)
        self.requestor.arrive(self.now)

    # Time ---------------------------------------------------------------------------------------

    def run(self) -> None:
        """Let everything happen that can happen now."""
        while self._step():
            pass

    def run_until(self, condition: Callable[[], object]) -> None:
        """Let things happen, one by one, until `condition` is true.

        Time passes while all there is to wait for is under way, and time limits with it. Raises
        `AssertionError` if nothing more can happen, or only at a time limit, and it is not.
        """
        while not condition():
            if not self._step() and not self._wait():
                raise AssertionError(
                    f"nothing more happens at {self.now} s: the requestor is in "
                    f"{self.requestor.association.state.name}, the acceptor in "
                    f"{self.acceptor.association.state.name}"
                )

    def _step(self) -> bool:
        one, two = self.requestor, self.acceptor
        return one.step() or two.step() or one.take_turn() or two.take_turn()

    def advance(self, seconds: float) -> None:
        """Let time pass, and every arrival and time limit with it, and what follows happen."""
        end = self.now + seconds
        self.run()
        while (due := self._next(self._arrivals() + self._deadlines())) <= end:
            self._pass(due)
            self.run()
        self.now = end

    def _wait(self) -> bool:
        """Let time pass until something arrives; False if nothing is under way."""
        arrivals = self._arrivals()
        if arrivals:
            self._pass(self._next(arrivals + self._deadlines()))
        return bool(arrivals)

    def _pass(self, due: float) -> None:
        """Let time pass until then, when something arrives or a time limit passes."""
        self.now = max(self.now, due)
        if self._next(self._arrivals()) <= self.now:
            self.arrive()  # and is heard before a limit that passes at the same time
            return
        for side in (self.requestor, self.acceptor):
            side.association.handle_timeout(self.now)

    def _arrivals(self) -> list[float]:
        times = (side.way.next for side in (self.requestor, self.acceptor))
        return [time for time in times if time is not None]

    def _deadlines(self) -> list[float]:
        times = (side.association.deadline for side in (self.requestor, self.acceptor))
        return [time for time in times if time is not None]

    @staticmethod
    def _next(times: Iterable[float]) -> float:
        return min(times, default=math.inf)

    # What a requestor does ----------------------------------------------------------------------

    def request(
        self,
        contexts: Iterable[ContextLike],
        *,
        calling_ae_title: str = "SCU",
        called_ae_title: str = "SCP",
        roles: Mapping[str, tuple[bool, bool]] | None = None,
    ) -> None:
        """Request the association; `run` lets the rest happen."""
        association = self.requestor.association
        request = build_request(
            contexts,
            calling_ae_title=calling_ae_title,
            called_ae_title=called_ae_title,
            maximum_length=association.maximum_length,
            roles=roles,
        )
        association.send_associate_request(request, self.now)

    def associate(
        self,
        contexts: Iterable[ContextLike],
        *,
        calling_ae_title: str = "SCU",
        called_ae_title: str = "SCP",
        roles: Mapping[str, tuple[bool, bool]] | None = None,
    ) -> None:
        """Request the association, and let it come about; `AssertionError` if it does not."""
        self.request(
            contexts,
            calling_ae_title=calling_ae_title,
            called_ae_title=called_ae_title,
            roles=roles,
        )
        sides = (self.requestor, self.acceptor)
        self.run_until(lambda: all(side.association.established for side in sides))

    def invoke(self, request: Request, data: SourceLike | None = None) -> Message:
        """Send a request on the context of its SOP Class; returns its final response."""
        association, responses = self.requestor.association, self.requestor.responses
        known = {field: getattr(request, field) for field in request.__dataclass_fields__}
        uid = known.get("affected_sop_class_uid") or known["requested_sop_class_uid"]
        association.send_request(association.context_for(uid), request, data)
        before = len(responses)
        self.run_until(lambda: any(response.final for response in responses[before:]))
        return responses[-1].message

    def release(self) -> None:
        """Release the association, and let that happen on both sides."""
        self.requestor.association.send_release_request(self.now)
        self.run_until(lambda: self.requestor.end and self.acceptor.end)
        self.run()
        while self._wait():
            self.run()
