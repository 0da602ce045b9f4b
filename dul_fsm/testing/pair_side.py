"""One side of a `Pair`, and the way from it to the other: bytes with a delay, and faults.

Rules
  * Nothing waits and nothing reads a clock: what is under way has a time at which it arrives.
  * What leaves first arrives first, the end of the stream last of all.

Not here: whose turn it is, and when time passes (`pair`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from dul_fsm.association import (
    Aborted,
    Association,
    DataReceived,
    Event,
    Rejected,
    Released,
    ReleaseRequested,
    RequestReceived,
    ResponseReceived,
)
from dul_fsm.services.handler import Handler
from dul_fsm.services.performer import Performer
from dul_fsm.services.steps import SENT, TURN, Run, Steps, Wait
from dul_fsm.transports.loopback import NO_LIMIT, Faults, limit
from dul_fsm.upper_layer import CloseTransport, OpenTransport

if TYPE_CHECKING:
    from dul_fsm.testing.pair import Pair

End: TypeAlias = Rejected | Released | Aborted

CLOSED: Final = "the connection was closed"
LOST: Final = "the connection was lost"


class Way:
    """From one side to the other: what has left and not arrived, in order."""

    def __init__(self, delay: float) -> None:
        """`delay`: seconds from one side to the other."""
        self.delay = delay
        self.sent = 0
        """Bytes that ever left."""
        self.count = 0
        """Bytes that are under way."""
        self.ended = False
        """Nothing more will leave."""
        self.stalled = False
        """What leaves stays under way."""
        self._items: deque[tuple[float | None, bytes | Callable[[], None]]] = deque()

    def put(self, item: bytes | Callable[[], None], now: float) -> None:
        """Bytes leave, or what happens when it is its turn to arrive."""
        self._items.append((None if self.stalled else now + self.delay, item))
        self.count += len(item) if isinstance(item, bytes) else 0

    def resume(self, now: float) -> None:
        """What was stalled goes on from here."""
        self.stalled = False
        times = ((now + self.delay if when is None else when, what) for when, what in self._items)
        self._items = deque(times)

    @property
    def next(self) -> float | None:
        """When the next of it arrives; None if nothing will."""
        return self._items[0][0] if self._items else None

    def arrived(self, now: float) -> bytes | Callable[[], None] | None:
        """The next that has arrived by now."""
        when = self.next
        if when is None or when > now:
            return None
        _, item = self._items.popleft()
        self.count -= len(item) if isinstance(item, bytes) else 0
        return item

    def clear(self) -> None:
        """Lose what is under way."""
        self._items.clear()
        self.count = 0


class Side:
    """One side of a `Pair`."""

    def __init__(
        self, association: Association, handler: Handler, pair: Pair, faults: Faults, delay: float
    ) -> None:
        """`faults` are of what this side sends and receives, `delay` of its way to the other."""
        self.association = association
        """The association."""
        self.handler = handler
        """What performs on this side."""
        self.failures: list[BaseException] = []
        """What the handler raised, in order."""
        self.events: list[Event] = []
        """What the AE was told, in order; fragments only where `performs` is False."""
        self.responses: list[ResponseReceived] = []
        """Responses received, in order."""
        self.end: End | None = None
        """How the association ended, once it has."""
        self.performs = True
        """Whether the handler performs; if not, the test does."""
        self.reads = True
        """Whether what arrives is taken; if not, the peer's bytes pile up until it must wait."""
        self.incoming = bytearray()
        """Bytes of the peer's that have arrived and this side has not taken."""
        self.way = Way(delay)
        """What has left this side and not arrived at the other."""
        self._pair = pair
        self._performer = Performer(
            association, handler, lambda: pair.now, report=self.failures.append
        )
        self._receive_limit = limit(faults.max_receive, faults.seed, "receive")
        self._send_limit = limit(faults.max_send, faults.seed, "send")
        due = (
            (faults.stall_after, self.stall),
            (faults.half_close_after, self.half_close),
            (faults.cut_after, self.cut),
        )
        self._due = [(after, fault) for after, fault in due if after is not None]
        self._deferred: deque[Event] = deque()
        self._paused: Steps | None = None  # an operation that gave up its turn
        self._until: Callable[[], bool] | None = None  # and what it waits for
        self._lost: str | None = None  # the incoming stream has ended, and how
        self._open = False

    def step(self) -> bool:
        """Do one thing, if there is one to do: deliver an event, or move bytes."""
        busy = self._paused is not None
        event = None if busy or not self._deferred else self._deferred.popleft()
        event = event or self.association.next_event()
        if event is None:
            return self._move(self._pair)
        if busy and isinstance(event, RequestReceived | ReleaseRequested):
            self._deferred.append(event)
        else:
            self._deliver(event)
        return True

    def take_turn(self) -> bool:
        """Go on with an operation that gave up its turn, if all that it sent has left."""
        steps = self._paused
        if steps is None or self.association.sending:
            return False
        if self._until is not None and not (self._until() or self.association.idle):
            return False
        self._paused = self._until = None
        self._perform(steps)
        return True

    def _deliver(self, event: Event) -> None:
        if isinstance(event, OpenTransport):
            self._pair.connect()
        elif isinstance(event, CloseTransport):
            self.close()
        elif isinstance(event, DataReceived):
            if self.performs:
                self._performer.take((event,))
                return
            # A copy: this one is to be looked at later.
            event = DataReceived(event.message, memoryview(bytes(event.fragment)))
        elif isinstance(event, End):
            self.end = event
        elif isinstance(event, ResponseReceived):
            self.responses.append(event)
            event.operation.responses.append(event)
        self.events.append(event)
        if self.performs:
            self._perform(self._performer.perform(event), isinstance(event, RequestReceived))

    def _perform(self, steps: Steps, pauses: bool = True) -> None:
        """Call what an operation yields until it is done or gives up its turn.

        Only an operation does: of all else, what is due leaves, and it goes on.
        """
        advance = partial(next, steps)
        while True:
            try:
                step = advance()
            except StopIteration:
                return
            turn = step is TURN or step is SENT  # which comes when all has left
            if turn and not pauses:
                self._send(self._pair)
                advance = partial(next, steps)
                continue
            if turn or isinstance(step, Wait):
                self._paused = steps
                self._until = step.until if isinstance(step, Wait) else None
                return
            try:
                if isinstance(step, Run):
                    raise TypeError("a Pair is one association: nothing else can be connected to")
                result = step()
            except Exception as error:
                advance = partial(steps.throw, error)
            else:
                advance = partial(steps.send, result)

    # The wire -----------------------------------------------------------------------------------

    def _move(self, pair: Pair) -> bool:
        sent = self._send(pair)
        return self._receive(pair.split) or sent

    def _send(self, pair: Pair) -> bool:
        way, moved = self.way, False
        peer = pair.other(self)
        while self._open and (room := pair.capacity - len(peer.incoming) - way.count) > 0:
            buffers = self.association.data_to_send()
            if not buffers:
                break
            if way.ended:
                # As a driver does when a send fails: what the peer has said is still read.
                self.association.data_sent(0, pair.now)
                self.lose(f"{LOST}: the stream has ended")
                break
            # A fault due after N bytes happens after exactly N.
            ahead = min((after - way.sent for after, _ in self._due), default=NO_LIMIT)
            data = bytes(memoryview(buffers[0])[: min(room, ahead, self._send_limit())])
            way.put(data, pair.now)
            way.sent += len(data)
            self.association.data_sent(len(data), pair.now)
            pair.arrive()
            self._happen()
            moved = True
        return moved

    def _receive(self, split: int | None) -> bool:
        # While a request waits for its turn nothing more is read, unless an operation needs it.
        held = self._deferred and not (self._paused is not None and self._until is not None)
        if not self._open or not self.reads or held:
            return False
        now = self._pair.now
        if self.incoming:
            view = self.association.receive_buffer()
            most = min(split or len(view), self._receive_limit())
            count = min(len(view), len(self.incoming), most)
            view[:count] = self.incoming[:count]
            del self.incoming[:count]
            self.association.buffer_filled(count, now)
        elif self._lost is not None:
            self._open = False
            self.association.transport_closed(now, self._lost)
        else:
            return False
        return True

    def arrive(self, now: float) -> None:
        """Let what is under way to this side arrive, as far as it has."""
        way = self._pair.other(self).way
        while (item := way.arrived(now)) is not None:
            if not isinstance(item, bytes):
                item()
            elif self._open:
                self.incoming += item

    def opened(self) -> None:
        """The connection is there, unless this side has given it up."""
        if not self.way.ended:
            self._open = True
            self.association.transport_opened(self._pair.now)
            self._happen()

    def lose(self, text: str) -> None:
        """No more bytes will come after those that are there."""
        if self._lost is None:
            self._lost = text

    def close(self) -> None:
        """Close the connection: the peer gets what was sent, then the end."""
        self._open = False
        self.incoming.clear()
        self._end(CLOSED)

    def _end(self, text: str) -> None:
        if not self.way.ended:
            self.way.ended = True
            self.way.put(partial(self._pair.other(self).lose, text), self._pair.now)
            self._pair.arrive()

    # What goes wrong ----------------------------------------------------------------------------

    def stall(self) -> None:
        """From here on what this side sends stays under way, its end too, until `resume`."""
        self.way.stalled = True

    def resume(self) -> None:
        """Let what was stalled go on."""
        self.way.resume(self._pair.now)
        self._pair.arrive()

    def half_close(self) -> None:
        """End this side's stream: the peer is told the end, this side may still receive."""
        self._end(CLOSED)

    def cut(self) -> None:
        """Break the connection: both sides lose it, once what has left has arrived."""
        for side in (self, self._pair.other(self)):
            side.resume()
            side._end(LOST)

    def _happen(self) -> None:
        """Let the faults happen that are due."""
        for due in [due for due in self._due if due[0] <= self.way.sent]:
            self._due.remove(due)
            due[1]()
