"""The order in which a ladder diagram is drawn: causes before effects, each side in its own order.

Rules
  * A PDU leaves before it arrives; the n-th that left is the n-th that arrives. A connection is
    opened, and closed, before the other side notices.
  * What has no such order is put into a fixed one, whatever two threads raced for.

Not here: what the records are (`ladder_records`), drawing (`ladder_page`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from dul_fsm.fsm import Effect, Event, Kind
from dul_fsm.pdu import PDUType
from dul_fsm.testing.ladder_records import Forged, Note, Record, Sent, Step, Told, sender

Node: TypeAlias = list[Record]
"""Records of one side and one kind that are drawn as one."""


class Causes:
    """Which record comes of which, across the sides. Records are named by their order."""

    def __init__(self, records: Sequence[Record], sides: tuple[str, str]) -> None:
        self.cause: dict[int, int] = {}
        self.arrival: dict[int, int] = {}  # of what was sent: the step that it caused
        self.effect: dict[int, int] = {}  # of a step that opens or closes the connection
        self.lost: set[int] = set()
        self.message: dict[int, object] = {}  # which one a P-DATA record belongs to
        left, right = (list(_connections(records, side)) for side in sides)
        for number, (mine, yours) in enumerate(zip(left, right, strict=False)):
            for before, there, here in ((left, mine, yours), (right, yours, mine)):
                self._link_opening(before[max(number - 1, 0)], there, here)
                self._link_pdus(there, here)
                self._link_closing(there, here)

    def _link_opening(self, before: list[Record], there: list[Record], here: list[Record]) -> None:
        requests, opened = _steps(before, Event.Evt1), _steps(there, Event.Evt2)
        accepted = _steps(here, Event.Evt5)
        if requests and opened and accepted:
            self._link(self.effect, requests[-1], accepted[0])
            # The two ends hear of the connection in either order; the called one is drawn first.
            self.cause[opened[0].order] = accepted[0].order

    def _link_closing(self, there: list[Record], here: list[Record]) -> None:
        closing = [r for r in there if isinstance(r, Step) and _closes(r)]
        noticed = _steps(here, Event.Evt17)
        if closing and noticed and closing[0].order < noticed[0].order:
            self._link(self.effect, closing[0], noticed[0])

    def _link(self, table: dict[int, int], cause: Record, effect: Record) -> None:
        table[cause.order] = effect.order
        self.cause[effect.order] = cause.order

    def _link_pdus(self, there: list[Record], here: list[Record]) -> None:
        """PDUs arrive in the order in which they left."""
        departed = [r for r in there if isinstance(r, Sent | Forged)]
        arrived = [r for r in here if isinstance(r, Step) and r.event.kind is Kind.PDU]
        for departure, arrival in zip(departed, arrived, strict=False):
            self._link(self.arrival, departure, arrival)
        if any(isinstance(r, Step) for r in here):
            self.lost.update(r.order for r in departed[len(arrived) :])
        p_data = _steps(here, Event.Evt10)
        burst = [r for r in there if isinstance(r, Sent) and r.pdu_type is PDUType.P_DATA_TF]
        in_step: tuple[Sequence[Sent | Step], ...] = (_steps(there, Event.Evt9), burst, p_data)
        for series in in_step:
            number = 0
            for index, record in enumerate(series):
                self.message[record.order] = number
                number += index < len(p_data) and p_data[index].ends_message


def _connections(records: Iterable[Record], side: str) -> Iterator[list[Record]]:
    """One side's records: those before the first connection, then those of each connection."""
    connection: list[Record] = []
    for record in records:
        if sender(record) != side:
            continue
        if isinstance(record, Step) and record.event in (Event.Evt2, Event.Evt5):
            yield connection
            connection = []
        connection.append(record)
    yield connection


def _steps(records: Iterable[Record], event: Event) -> list[Step]:
    return [r for r in records if isinstance(r, Step) and r.event is event and r.action]


def effects_of(step: Step) -> Iterator[Effect]:
    """What the action of a step does, whichever way it forks."""
    for outcome in step.action.outcomes if step.action else ():
        yield from outcome.effects


def _closes(step: Step) -> bool:
    return Effect.CLOSE_TRANSPORT in effects_of(step)


# Order -------------------------------------------------------------------------------------------


def arrange(records: Sequence[Record], causes: Causes, sides: tuple[str, str]) -> Iterator[Node]:
    """Every record once, causes before effects, each side in its own order."""
    stretch: list[Record] = []
    for record in _departures_first(records, causes):
        if isinstance(record, Note):
            yield from _interleave(stretch, causes, sides)
            yield [record]
            stretch = []
        else:
            stretch.append(record)
    yield from _interleave(stretch, causes, sides)


def _departures_first(records: Sequence[Record], causes: Causes) -> Iterator[Record]:
    """Between threads, the arrival of a PDU may be recorded before its departure."""
    moved: set[int] = set()
    for record in records:
        cause = causes.cause.get(record.order, -1)
        if cause > record.order and isinstance(records[cause], Sent):
            moved.add(cause)
            yield records[cause]
        if record.order not in moved:
            yield record


def _interleave(
    stretch: Sequence[Record], causes: Causes, sides: tuple[str, str]
) -> Iterator[Node]:
    """One side goes on until it has sent something or waits for the other."""
    waiting = {record.order for record in stretch}
    queues = {
        side: deque(_gather([r for r in stretch if _side(r) == side], causes)) for side in sides
    }

    def ready(side: str) -> bool:
        queue = queues[side]
        return bool(queue) and not any(causes.cause.get(r.order) in waiting for r in queue[0])

    turn = _side(stretch[0]) if stretch else sides[0]
    hand_over = False
    while any(queues.values()):
        other = sides[turn == sides[0]]
        if not ready(turn) and queues[other]:
            turn = other
        node = queues[turn].popleft()
        waiting.difference_update(record.order for record in node)
        yield node
        hand_over = hand_over or node[-1].order in causes.effect
        queue = queues[turn]
        # What comes of a step is told before the other side notices.
        if isinstance(node[-1], Sent) or (
            hand_over and not (queue and isinstance(queue[0][0], Told))
        ):
            turn, hand_over = sides[turn == sides[0]], False


def _side(record: Record) -> str:
    return "" if isinstance(record, Note) else record.side


def _gather(records: Iterable[Record], causes: Causes) -> Iterator[Node]:
    """Bring together what belongs to one burst: the steps that send it, and the PDUs."""
    burst: dict[object, Node] = {}
    for record in records:
        message = causes.message.get(record.order)
        if message is None:
            yield from burst.values()
            burst = {}
            yield [record]
            continue
        incoming = isinstance(record, Step) and record.event is Event.Evt10
        what = (record.action, record.state) if isinstance(record, Step) else None
        if burst and incoming is not _is_incoming(burst):
            yield from burst.values()
            burst = {}
        burst.setdefault((message, what, incoming), []).append(record)
    yield from burst.values()


def _is_incoming(burst: dict[object, Node]) -> bool:
    first = next(iter(burst.values()))[0]
    return isinstance(first, Step) and first.event is Event.Evt10
