"""One end: an association, what performs on it, its user, and what a driver does for them.

It does what the drivers of `dul_fsm.drivers` do, one thing a step, and nothing in it waits: when
there is nothing to do, `next` says until when.

Not here: which end takes the next step, and when time passes (`session`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from dul_fsm.association import (
    Accepted,
    Association,
    DataReceived,
    Event,
    Memory,
    ReleaseRequested,
    RequestReceived,
    ResponseReceived,
)
from dul_fsm.dimse import CEchoRQ, CFindRQ, CStoreRQ, Priority, Request
from dul_fsm.errors import ContextNotAccepted
from dul_fsm.fsm import State
from dul_fsm.negotiation import build_request
from dul_fsm.services.performer import Performer
from dul_fsm.services.sop_classes import PATIENT_ROOT_FIND, VERIFICATION
from dul_fsm.services.steps import Call, Steps
from dul_fsm.testing.ladder import Ladder
from dul_fsm.testing.simulation.monitor import Monitor, check_request, check_response
from dul_fsm.testing.simulation.plan import Operation, Plan
from dul_fsm.testing.simulation.users import (
    CONTEXTS,
    CT_IMAGE,
    Book,
    Failed,
    Invocation,
    SimulatedHandler,
    SourceOf,
)
from dul_fsm.testing.simulation.wire import Wire
from dul_fsm.upper_layer import CloseTransport, Observation, OpenTransport

NAMES = ("SCU", "SCP")
"""What a ladder calls the two sides."""


class SimulatedEnd:
    """One side of a session."""

    def __init__(
        self,
        side: int,
        plan: Plan,
        wire: Wire,
        book: Book,
        monitor: Monitor,
        clock: Callable[[], float],
        connect: Callable[[], None],
        ladder: Ladder | None,
    ) -> None:
        """`connect` asks the session to open the connection."""
        self.side = side
        self.part = plan.acceptor if side else plan.requestor
        self.monitor = monitor
        self.connected = False
        """Whether the transport is open, as this side's driver sees it."""
        self.over = False
        """Whether the driver's loop has ended."""
        self.handler = SimulatedHandler(side, plan, book)
        self.association = Association(
            requestor=side == 0,
            maximum_length=self.part.maximum_length,
            time_limits=self.part.limits,
            observer=self._observer(ladder),
        )
        self.failures: list[BaseException] = []
        """What the handler raised."""
        self._plan = plan
        self._wire = wire
        self._book = book
        self._clock = clock
        self._connect = connect
        self._ladder = ladder
        self._performer = Performer(
            self.association, self.handler, clock, report=self.failures.append
        )
        self._deferred: deque[Event] = deque()
        self._paused: Steps | None = None  # an operation that gave up its turn
        self._working: tuple[float, Steps, Call] | None = None  # a handler at work, and until when
        self._answering: tuple[float, Event] | None = None  # a release request, answered when
        self._broken = ""  # why nothing can be sent any more
        self._script: deque[Operation] = deque(self.part.operations)
        self._invocation: Invocation | None = None  # awaits its response
        self._act_at = 0.0
        self._ending: str = self.part.ending

    def _observer(self, ladder: Ladder | None) -> Callable[[Observation], None]:
        if ladder is None:
            return self.monitor.observe
        draw = ladder.observer(NAMES[self.side])

        def observe(observation: Observation) -> None:
            self.monitor.observe(observation)
            draw(observation)

        return observe

    def _note(self, text: str, *, called: bool = False) -> None:
        if self._ladder is not None:
            (self._ladder.call if called else self._ladder.told)(NAMES[self.side], text)

    # The loop -----------------------------------------------------------------------------------

    def step(self) -> bool:
        """Do one thing; False if there is nothing to do now."""
        if self.over:
            return False
        now = self._clock()
        if self._working is not None:
            until, steps, call = self._working
            if now >= until:
                self._working = None
                self._perform(steps, call)
                return True
            return self.part.reads_while_working and self._turn(now)
        if self._paused is not None:
            moved = self._turn(now)
            steps, self._paused = self._paused, None
            self._perform(steps)
            return moved or True
        if self._answering is not None and self._answering[0] <= now:
            answered, self._answering = self._answering[1], None
            self._perform(self._performer.perform(answered))
            return True
        if self._user(now):
            return True
        event = self._deferred.popleft() if self._deferred else self._next_event()
        if event is not None:
            self._deliver(event)
            return True
        if self.association.idle and self.association.ended:
            self._finish()
            return True
        return self._move(now)

    def _turn(self, now: float) -> bool:
        """In the middle of an operation: as `BlockingDriver._turn`."""
        sent = False
        while self.connected and self._send(now)[0]:
            sent = True
        event = self._next_event()
        if event is None:
            return self._move(now) or sent
        while event is not None:
            if isinstance(event, RequestReceived | ReleaseRequested):
                self._deferred.append(event)
            else:
                self._deliver(event)
            event = self._next_event()
        return True

    def _next_event(self) -> Event | None:
        event = self.association.next_event()
        if event is not None:
            self.monitor.told(event)
        return event

    def next(self) -> float | None:
        """When there will be something to do, if the other end does nothing; None: never."""
        if self.over:
            return None
        times = [] if self.association.deadline is None else [self.association.deadline]
        if self._working is not None:
            times = (
                [*times, self._working[0]] if self.part.reads_while_working else [self._working[0]]
            )
        elif self._wants() and self._act_at > self._clock():
            times.append(self._act_at)
        if self._answering is not None:
            times.append(self._answering[0])
        arrival = self._wire.arrival(self.side) if self.connected else None
        if arrival is not None and arrival > self._clock():
            times.append(arrival)
        return min(times, default=None)

    def _finish(self) -> None:
        """The driver's loop is over."""
        self.over = True
        self._wire.close(self.side)
        self._perform(self._performer.close())

    # Events -------------------------------------------------------------------------------------

    def _deliver(self, event: Event) -> None:
        if isinstance(event, DataReceived):
            self._performer.take((event,))
            return
        if isinstance(event, OpenTransport):
            self._connect()
            return
        if isinstance(event, CloseTransport):
            self.connected = False
            self._wire.close(self.side)
            return
        self._note(type(event).__name__)
        if isinstance(event, Accepted):
            maximum = event.answer.user_information.maximum_length
            self.monitor.peer_maximum = maximum or 0
        elif isinstance(event, RequestReceived):
            wrong = check_request(event, 1 - self.side, self._book)
            if wrong:
                self.monitor.wrong(wrong)
        elif isinstance(event, ReleaseRequested) and self.part.answer:
            self._answering = self._clock() + self.part.answer, event
            return
        self._perform(self._performer.perform(event))
        if isinstance(event, ResponseReceived) and not self.association.ended:
            self._responded(event)

    def _perform(self, steps: Steps, call: Call | None = None) -> None:
        """Call what the performer yields until it is done, gives up its turn, or takes time."""
        # The simulated users invoke nothing that waits for the peer: there are calls and turns.
        advance: Callable[[], Any] = partial(next, steps)
        while True:
            if call is not None:
                try:
                    result = call()
                except Exception as error:
                    advance = partial(steps.throw, error)
                else:
                    advance = partial(steps.send, result)
            try:
                call = advance()
            except StopIteration:
                return
            if call is None:
                if self._paused is None and self._working is None:
                    self._paused = steps
                    return
                advance = partial(next, steps)
                continue
            seconds = self.handler.seconds(call)
            if seconds and self._working is None and self._paused is None:
                self._working = self._clock() + seconds, steps, call
                return

    # Bytes --------------------------------------------------------------------------------------

    def opened(self) -> None:
        """The connection is open."""
        self.connected = True
        self.association.transport_opened(self._clock())

    def refused(self, text: str) -> None:
        """It cannot be opened."""
        self.association.transport_closed(self._clock(), text)

    def _move(self, now: float) -> bool:
        """Send, and receive or look at the clock."""
        late = self.association.deadline is not None and self.association.deadline <= now
        if not self.connected:
            return late and self._time_out(now)
        sent, blocked = self._send(now)
        if sent or (late and (self.part.prompt or blocked)):
            return sent or self._time_out(now)
        if (blocked and not self.part.duplex) or self._deferred:
            return late and self._time_out(now)
        return self._receive(now) or (late and self._time_out(now))

    def _time_out(self, now: float) -> bool:
        association = self.association
        association.handle_timeout(now)
        if association.deadline is not None and association.deadline <= now:
            self.monitor.wrong(f"a deadline at {association.deadline} s stays, at {now} s")
        return True

    def _send(self, now: float) -> tuple[bool, bool]:
        """Whether bytes left, and whether some could not."""
        try:
            buffers = self.association.data_to_send()
        except Failed:  # the source of our own data set: the association is aborted
            if self._invocation is None or self._invocation.operation.source != "fails":
                self.monitor.wrong("a source failed that was not to fail")
            return True, False
        if not buffers or self._broken:
            return False, False
        try:
            count = self._wire.send(self.side, buffers, now)
        except OSError as error:
            self._broken = f"the connection was lost: {error}"
            return True, False
        if count is None:
            return False, True
        self.association.data_sent(count, now)
        return True, False

    def _receive(self, now: float) -> bool:
        view = self.association.receive_buffer()
        try:
            count = self._wire.receive(self.side, view, now)
        except OSError as error:
            count, end = 0, self._broken or f"the connection was lost: {error}"
        else:
            end = "the connection was closed"
            if count is None and self._broken:
                count, end = 0, self._broken
        if count is None:
            return False
        if count:
            self.monitor.received += count
            self.association.buffer_filled(count, now)
            return True
        self.connected = False
        self.association.transport_closed(now, end)
        return True

    # The user -----------------------------------------------------------------------------------

    def _wants(self) -> bool:
        """Whether the user would do something if it were time."""
        association = self.association
        if self._invocation is not None or not association.established or association.ended:
            return False
        if self._script:
            return True
        return self._ending in ("release", "abort", "vanish")

    def _user(self, now: float) -> bool:
        if self.side == 0 and association_is_new(self.association) and not self.monitor.known:
            self._note("associate request", called=True)
            self.monitor.known = True
            request = build_request(
                CONTEXTS,
                called_ae_title="SCP",
                calling_ae_title="SCU",
                maximum_length=self.part.maximum_length,
                roles={CT_IMAGE: (True, True)},
            )
            self.association.send_associate_request(request, now)
            return True
        if not self._wants() or now < self._act_at:
            return False
        if self._script:
            self._invoke(self._script.popleft())
            return True
        ending, self._ending = self._ending, "done"
        if ending == "release":
            self.release()
        elif ending == "abort":
            self.abort()
        else:
            self._note("closes without a word", called=True)
            self._wire.close(self.side)
        return True

    def release(self) -> None:
        """Request the release, if that can be done."""
        if self.association.established and self._ending != "released":
            self._ending = "released"
            self._script.clear()
            self._note("release request", called=True)
            self.association.send_release_request(self._clock())

    def abort(self) -> None:
        """Abort, if there is anything to abort."""
        self._note("abort", called=True)
        self.association.send_abort(self._clock())

    def _invoke(self, operation: Operation) -> None:
        association, side = self.association, self.side
        sop_class = {"echo": VERIFICATION, "store": CT_IMAGE}.get(operation.kind, PATIENT_ROOT_FIND)
        try:
            context = association.context_for(sop_class)
        except ContextNotAccepted:
            return
        message_id = association.operations.next_message_id()
        invocation = self._book.invoke(side, message_id, operation)
        command: Request
        match operation.kind:
            case "echo":
                command = CEchoRQ(sop_class, message_id)
            case "store":
                command = CStoreRQ(
                    affected_sop_class_uid=sop_class,
                    message_id=message_id,
                    priority=Priority.MEDIUM,
                    affected_sop_instance_uid=invocation.uid,
                )
            case _:
                command = CFindRQ(
                    affected_sop_class_uid=sop_class,
                    message_id=message_id,
                    priority=Priority.MEDIUM,
                )
        data = None
        if command.has_data_set:
            data = invocation.data if operation.source == "bytes" else SourceOf(invocation)
        self._note(f"{command.name} {message_id}", called=True)
        association.send_request(context, command, data)
        self._invocation = invocation
        if operation.cancel_after == 0:
            self._cancel(invocation)

    def _cancel(self, invocation: Invocation) -> None:
        invocation.cancelled = True
        self._note(f"C-CANCEL {invocation.message_id}", called=True)
        context = self.association.context_for(PATIENT_ROOT_FIND)
        self.association.send_cancel(context, invocation.message_id)

    def _responded(self, event: ResponseReceived) -> None:
        invocation = self._invocation
        sink = event.message.sink
        data = sink.value() if isinstance(sink, Memory) else b""
        wrong = check_response(event, invocation, data)
        if wrong:
            self.monitor.wrong(wrong)
        elif event.final:
            self._invocation = None
            self._act_at = self._clock() + (self._script[0].think if self._script else 0.0)
        elif (
            invocation is not None and len(invocation.pending) == invocation.operation.cancel_after
        ):
            self._cancel(invocation)

    @property
    def settled(self) -> bool:
        """Whether the user has been told all there is: what must hold holds between events."""
        return (
            self._paused is None
            and self._working is None
            and not self._deferred
            and not self.association._events
            and not self.association._upper._indications
        )


def association_is_new(association: Association) -> bool:
    """Whether nothing has happened to it."""
    return association.state is State.Sta1 and association.request is None
