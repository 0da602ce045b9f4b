"""Several operations at once (PS3.7 §D.3.3.3), over the loop that every driver runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dul_fsm.association import Aborted, Message, Origin, Released
from dul_fsm.dimse import (
    CCancelRQ,
    CEchoRQ,
    CFindRQ,
    CGetRQ,
    CStoreRSP,
    NActionRQ,
    encode_command,
)
from dul_fsm.drivers.loop import MAX_DEFERRED
from dul_fsm.negotiation import SYNCHRONOUS, Window
from dul_fsm.pdu import PDV, AReleaseRQ, PDataTF, encode
from dul_fsm.services.handler import Notification, Reply
from dul_fsm.services.sop_classes import STUDY_ROOT_FIND, STUDY_ROOT_GET, VERIFICATION
from dul_fsm.timers import TimeLimits
from tests.services.bench import CAPACITY, Bench, Station
from tests.services.support import BUG, CT, EXPLICIT, Shelf, Store, Told

COMMITMENT = "1.2.840.10008.1.20.1"
CONTEXTS = (VERIFICATION, STUDY_ROOT_FIND, STUDY_ROOT_GET, COMMITMENT, (CT, [EXPLICIT]))
WIDE = Window(4, 1)


class SCP(Told):
    """Lists what it was asked for, and does what the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Any] = []
        self.matches: Callable[[Message], Any] = lambda message: iter([b"one", b"two", b"three"])
        self.get: Callable[[Message], Any] = lambda message: 0
        self.action: Callable[[Message], Any] = lambda message: 0

    def c_echo_requested(self, message: Message) -> int:
        self.told.append("echo")
        return 0

    def c_find_requested(self, message: Message) -> Any:
        self.told.append("find")
        return self.matches(message)

    def c_get_requested(self, message: Message) -> Any:
        self.told.append("get")
        return self.get(message)

    def n_action_requested(self, message: Message) -> Any:
        self.told.append("action")
        return self.action(message)


class Answers(Store):
    """The requestor's handler: notifications are answered when the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.on_report: Callable[[Message], int] = lambda message: 0

    def n_event_report_requested(self, message: Message) -> int:
        return self.on_report(message)


class Table:
    """A bench with one association."""

    def __init__(self, window: Window = WIDE, **keywords: Any) -> None:
        self.bench = Bench()
        self.scp, self.scu = SCP(), Answers()
        self.station = Station(self.bench, lambda: self.scp, **keywords)
        self.end = self.bench.associate(
            self.station,
            CONTEXTS,
            handler=self.scu,
            window=window,
            roles={CT: (False, True)},
            time_limits=TimeLimits(idle=None, response=None),
        )
        self.other = self.station.ends[0]

    def inject(self, *commands: Any, uid: str = VERIFICATION) -> None:
        """Requests arrive, whatever was agreed on."""
        context_id = self.end.association.context_for(uid, as_scp=uid == CT).context_id
        assert self.other.wire is not None
        for command in commands:
            pdvs = [PDV(context_id, True, True, encode_command(command))]
            if command.has_data_set:
                pdvs.append(PDV(context_id, False, True, b""))
            for pdv in pdvs:
                self.other.wire.incoming += encode(PDataTF((pdv,)))

    @property
    def order(self) -> list[int]:
        """Message IDs of the responses, in the order in which they came."""
        return [message.command.message_id_being_responded_to for message in self.end.responses]  # type: ignore[union-attr]

    def statuses(self, message_id: int) -> list[int]:
        return [
            message.status
            for number, message in zip(self.order, self.end.responses, strict=True)
            if number == message_id
        ]


def echo(message_id: int) -> CEchoRQ:
    return CEchoRQ(VERIFICATION, message_id)


def find(message_id: int) -> CFindRQ:
    return CFindRQ(STUDY_ROOT_FIND, message_id)


def get(message_id: int) -> CGetRQ:
    return CGetRQ(STUDY_ROOT_GET, message_id)


def finish(table: Table) -> None:
    """Release; nothing is left."""
    table.bench.release(table.end)
    assert table.scp.ends == [Released()]
    assert all(end.done for end in table.bench.ends)
    assert table.bench.open_wires == 0
    for end in table.bench.ends:
        operations = end.association.operations
        assert not operations.invoked
        assert not operations.performing


# Taking turns ------------------------------------------------------------------------------------


def test_an_echo_is_answered_between_the_matches_of_a_find() -> None:
    table = Table()
    assert table.end.association.window == WIDE
    table.end.invoke(find(1), b"")
    table.end.invoke(echo(2))
    table.bench.settle()
    assert table.order.index(2) < len(table.order) - 1
    assert table.statuses(1) == [0xFF00, 0xFF00, 0xFF00, 0]
    assert table.statuses(2) == [0]
    finish(table)


def test_the_matches_of_several_finds_come_in_turns() -> None:
    table = Table()
    for message_id in (1, 2, 3):
        table.end.invoke(find(message_id), b"")
    table.bench.settle()
    assert table.order != sorted(table.order)
    for message_id in (1, 2, 3):
        assert table.statuses(message_id) == [0xFF00, 0xFF00, 0xFF00, 0]
    finish(table)


def test_with_a_window_of_one_a_request_waits_its_turn() -> None:
    table = Table(SYNCHRONOUS)
    table.end.association.operations.window = 0  # it sends more than it may
    table.end.invoke(find(1), b"")
    table.end.invoke(echo(2))
    table.bench.settle()
    assert table.order == [1, 1, 1, 1, 2]
    finish(table)


def test_what_is_beyond_the_window_waits_its_turn() -> None:
    table = Table(Window(2, 1))
    table.end.association.operations.window = 0
    for message_id in (1, 2, 3):
        table.end.invoke(find(message_id), b"")
    table.bench.settle()
    order = table.order
    assert order.index(3) > min(
        i for i, number in enumerate(order) if order[: i + 1].count(number) == 4
    )
    assert table.statuses(3) == [0xFF00, 0xFF00, 0xFF00, 0]
    finish(table)


def test_a_cancel_ends_the_operation_that_it_names() -> None:
    table = Table()
    closed: list[int] = []

    def endless(message: Message) -> Iterator[bytes]:
        number: int = message.command.message_id  # type: ignore[union-attr]
        try:
            while number == 1 or len(table.end.responses) < 20:
                yield b"match"
        finally:
            closed.append(number)

    table.scp.matches = endless
    table.end.invoke(find(1), b"")
    table.end.invoke(find(2), b"")
    table.bench.run(lambda: len(table.end.responses) >= 6)
    table.inject(CCancelRQ(1), uid=STUDY_ROOT_FIND)
    table.bench.settle()
    assert table.statuses(1)[-1] == 0xFE00
    assert table.statuses(2)[-1] == 0
    assert closed == [1, 2]
    finish(table)


def test_a_cancel_of_a_request_that_waits_its_turn_is_heard() -> None:
    table = Table(SYNCHRONOUS)
    table.end.association.operations.window = 0
    table.end.invoke(find(1), b"")
    table.end.invoke(find(2), b"")
    association = table.end.association
    association.send_cancel(association.context_for(STUDY_ROOT_FIND), 2)
    table.end.kick()
    table.bench.settle()
    assert table.statuses(1) == [0xFF00, 0xFF00, 0xFF00, 0]
    assert table.statuses(2) == [0xFE00]
    finish(table)


def test_an_operation_that_fails_costs_the_others_nothing() -> None:
    table = Table()

    def some(message: Message) -> Iterator[bytes]:
        yield b"one"
        if message.command.message_id == 1:  # type: ignore[union-attr]
            raise BUG
        yield b"two"

    table.scp.matches = some
    table.end.invoke(find(1), b"")
    table.end.invoke(find(2), b"")
    table.bench.settle()
    assert table.statuses(1) == [0xFF00, 0x0110]
    assert table.statuses(2) == [0xFF00, 0xFF00, 0]
    assert table.other.failures == [BUG]
    finish(table)


# Sub-operations ----------------------------------------------------------------------------------


def test_the_sub_operations_of_two_gets_keep_to_the_window_of_the_other_way() -> None:
    """One C-STORE at a time was agreed on: those of another C-GET wait, and do not fail."""
    table = Table()
    shelf = Shelf()
    table.scp.get = lambda message: shelf.instances(3)
    most: list[int] = []
    table.scu.on_store = lambda message: most.append(
        len(table.end.association.operations.performing)
    )
    table.end.invoke(get(1), b"")
    table.end.invoke(get(2), b"")
    table.bench.settle()
    assert table.statuses(1) == table.statuses(2) == [0xFF00, 0xFF00, 0]
    assert most == [1] * 6
    assert shelf.left == shelf.opened
    assert len(shelf.opened) == 6
    finish(table)


def test_an_echo_is_answered_while_a_sub_operation_waits_for_its_response() -> None:
    table = Table()
    shelf = Shelf()
    table.scp.get = lambda message: shelf.instances(1)
    table.end.pauses = True  # it answers nothing
    table.inject(get(1), uid=STUDY_ROOT_GET)
    table.bench.settle()
    table.inject(echo(9))
    table.bench.settle()
    assert table.scp.told == ["get", "echo"]
    assert (shelf.opened, shelf.left) == (["1.2.1"], [])


def test_an_instance_is_left_when_its_bytes_have_left_not_when_the_peer_has_answered() -> None:
    table = Table()
    shelf = Shelf()
    table.scp.get = lambda message: [shelf.instance("1.2.1", data=lambda: bytes(2 * CAPACITY))]
    table.end.pauses = True  # it takes no more than fits
    table.inject(get(1), uid=STUDY_ROOT_GET)
    table.bench.settle()
    table.inject(CStoreRSP(1, 0), uid=CT)
    table.bench.settle()
    assert (shelf.opened, shelf.left) == (["1.2.1"], [])
    table.end.pauses = False
    table.bench.settle()
    assert shelf.left == ["1.2.1"]
    assert table.scu.uids == ["1.2.1"]
    finish(table)


@pytest.mark.parametrize("how", ["abort", "vanish"])
def test_the_operations_of_an_association_that_ends_all_end(how: str) -> None:
    table = Table()
    shelf = Shelf()
    table.scp.get = lambda message: shelf.instances(3)
    closed: list[bool] = []

    def endless(message: Message) -> Iterator[bytes]:
        try:
            while True:
                yield b"match"
        finally:
            closed.append(True)

    table.scp.matches = endless
    table.end.invoke(find(1), b"")
    table.end.invoke(get(2), b"")
    table.end.invoke(get(3), b"")
    table.bench.run(lambda: len(table.end.responses) >= 2)
    if how == "abort":
        table.end.association.send_abort(table.bench.now)
        table.end.kick()
    else:
        assert table.end.wire is not None
        table.end.wire.close()
    table.bench.settle()
    assert closed == [True]
    assert shelf.left == shelf.opened
    assert [type(end) for end in table.scp.ends] == [Aborted]
    assert all(end.done for end in table.bench.ends)
    assert table.bench.open_wires == 0


# Notifications -----------------------------------------------------------------------------------


class Notifying:
    """An N-ACTION is answered, and its notification waits for the SCU."""

    def __init__(self, table: Table) -> None:
        self.outcomes: list[int | None] = []
        table.scp.action = lambda message: Reply(
            notifications=[
                Notification(COMMITMENT, "1.2.3", 1, None, self.outcomes.append),
            ]
        )


def action(message_id: int) -> NActionRQ:
    return NActionRQ(COMMITMENT, message_id, "1.2.3", 1)


def test_an_scu_may_first_want_an_answer_to_its_next_request() -> None:
    """A synchronous SCU that handles one thing at a time must not wait for us as we for it."""
    table = Table(SYNCHRONOUS)
    notifying = Notifying(table)
    seen: list[list[str]] = []

    def report(message: Message) -> int:
        seen.append(list(table.scp.told))
        return 0

    table.scu.on_report = report
    table.end.invoke(action(1))
    table.bench.run(lambda: 1 in table.order)
    table.end.pauses = True
    table.bench.settle()
    table.inject(echo(2))
    table.bench.settle()
    assert table.scp.told == ["action", "echo"]
    assert notifying.outcomes == []
    table.end.pauses = False
    table.bench.settle()
    assert notifying.outcomes == [0]
    assert len(seen) == 1
    finish(table)


def test_who_releases_before_it_has_answered_a_notification_is_released() -> None:
    table = Table()
    notifying = Notifying(table)
    table.end.invoke(action(1))
    table.end.invoke(action(2))
    table.bench.run(lambda: len(table.order) == 2)
    table.end.pauses = True
    table.bench.settle()
    assert notifying.outcomes == []
    assert table.other.wire is not None
    table.other.wire.incoming += encode(AReleaseRQ())
    table.bench.settle()
    assert notifying.outcomes == [None, None]
    assert table.scp.ends == [Released()]


# Floods ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [SYNCHRONOUS, WIDE])
def test_a_peer_that_floods_an_operation_that_waits_for_it_is_aborted(window: Window) -> None:
    table = Table(window)
    shelf = Shelf()
    table.scp.get = lambda message: shelf.instances(1)
    table.end.pauses = True  # it answers no C-STORE
    table.inject(*[get(number) for number in range(1, window.invoked + 1)], uid=STUDY_ROOT_GET)
    table.bench.settle()
    table.inject(*[find(number) for number in range(10, 10 + MAX_DEFERRED)], uid=STUDY_ROOT_FIND)
    table.bench.settle()
    assert table.scp.ends == []
    table.inject(echo(5000), echo(5001))
    table.bench.settle()
    table.end.pauses = False
    table.bench.settle()
    (end,) = table.scp.ends
    assert isinstance(end, Aborted)
    assert end.origin is Origin.LOCAL_USER
    assert "negotiated" in end.text
    assert table.scp.told == ["get"] * window.invoked
    assert shelf.left == shelf.opened


def test_a_peer_that_floods_an_operation_that_goes_on_waits_and_fills_no_memory() -> None:
    table = Table(SYNCHRONOUS)
    unread: list[int] = []
    wire = table.other.wire
    assert wire is not None

    def some(message: Message) -> Iterator[bytes]:
        for _ in range(50):
            unread.append(len(wire.incoming))
            yield b"match"

    table.scp.matches = some
    table.end.pauses = True
    table.inject(find(1), uid=STUDY_ROOT_FIND)
    for number in range(2, 20_000):
        table.inject(echo(number))
    total = len(wire.incoming)
    table.bench.run(lambda: table.scp.told[-1:] == ["echo"], by=table.bench.now)
    assert min(unread) > 0.8 * total  # a read or two, and then no more
    assert table.scp.told == ["find", "echo"]


def test_notifications_that_are_never_answered_fill_no_memory() -> None:
    table = Table(SYNCHRONOUS)
    notifying = Notifying(table)
    table.end.pauses = True
    for number in range(1, MAX_DEFERRED + 1):
        table.inject(action(number), uid=COMMITMENT)
        table.bench.settle()
    assert table.scp.told == ["action"] * MAX_DEFERRED
    for number in range(1000, 1000 + MAX_DEFERRED + 1):
        table.inject(action(number), uid=COMMITMENT)
        table.bench.settle()
    table.end.pauses = False
    table.bench.settle()
    assert [type(end) for end in table.scp.ends] == [Aborted]
    assert notifying.outcomes == [None] * MAX_DEFERRED
    assert table.scp.told == ["action"] * MAX_DEFERRED
