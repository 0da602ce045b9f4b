"""C-MOVE: sub-operations on an association of their own, over the loop that every driver runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dul_fsm.association import Aborted, Message, Released
from dul_fsm.dimse import CCancelRQ, CMoveRQ, CStoreRQ, Priority, encode_command
from dul_fsm.drivers.loop import ABORT_PATIENCE
from dul_fsm.pdu import PDV, AAssociateRQ, ContextResult, PDataTF, PresentationContextRQ, encode
from dul_fsm.services.handler import (
    AbortAssociation,
    Accept,
    Destination,
    Instance,
    Reject,
    Retrieval,
)
from dul_fsm.services.sop_classes import STUDY_ROOT_MOVE
from dul_fsm.timers import TimeLimits
from tests.services.bench import Bench, Station
from tests.services.support import (
    BUG,
    CT,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    MR,
    Shelf,
    Store,
    Told,
    failed,
    numbers,
)

ANY_UID = "1.2.840.10008.5.1.4.1.1."


class Archive(Told):
    """Moves what the test says where it says."""

    def __init__(self, destination: Any) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.outcome: Any = 0
        self.destination = destination

    def move_destination(self, ae_title: str) -> Any:
        self.asked.append(ae_title)
        if isinstance(self.destination, Exception):
            raise self.destination
        return self.destination

    def c_move_requested(self, message: Message) -> Any:
        self.asked.append("move")
        return self.outcome


class Far(Store):
    """The move destination."""

    def __init__(self) -> None:
        super().__init__()
        self.decision: Accept | Reject = Accept()

    def associate_requested(self, request: AAssociateRQ) -> Accept | Reject:
        return self.decision


class Moving:
    """A requestor, an archive, a move destination, and what came of it."""

    def __init__(
        self,
        outcome: Any,
        *,
        secure: bool = False,
        far_secure: bool = False,
        clear: bool = False,
        calling_ae_title: str | None = None,
        far_limits: TimeLimits | None = None,
    ) -> None:
        self.bench = Bench()
        self.far = Far()
        self.far_station = Station(
            self.bench, lambda: self.far, secure=far_secure, time_limits=far_limits
        )
        self.archive = Archive(Destination(self.far_station, "FAR", calling_ae_title, clear))
        self.archive.outcome = outcome
        limits = TimeLimits(response=50.0, association=20.0, idle=None)
        self.station = Station(self.bench, lambda: self.archive, secure=secure, time_limits=limits)
        self.scu = Told()
        self.end = self.bench.associate(
            self.station,
            [STUDY_ROOT_MOVE],
            handler=self.scu,
            calling_ae_title="ASKER",
            called_ae_title="ARCHIVE",
            time_limits=TimeLimits(idle=None, response=None),
        )
        self.other = self.station.ends[0]

    def begin(self, priority: int = Priority.MEDIUM) -> Moving:
        self.end.invoke(CMoveRQ(STUDY_ROOT_MOVE, 7, "FAR", priority), b"")
        return self

    def run(self) -> Moving:
        self.begin().bench.run(lambda: not self.end.association.operations.invoked)
        self.bench.settle()
        return self

    def cancel(self) -> None:
        """A C-CANCEL arrives at the archive."""
        context_id = self.end.association.context_for(STUDY_ROOT_MOVE).context_id
        pdv = PDV(context_id, True, True, encode_command(CCancelRQ(7)))
        assert self.other.wire is not None
        self.other.wire.incoming += encode(PDataTF((pdv,)))

    @property
    def final(self) -> Message:
        assert not self.end.association.operations.invoked
        return self.end.responses[-1]

    @property
    def statuses(self) -> list[int]:
        return [message.status for message in self.end.responses]

    @property
    def failures(self) -> list[BaseException]:
        return self.other.failures

    def nothing_left(self) -> None:
        """The requestor releases; then nothing is connected and nothing runs."""
        if self.end.association.established:
            self.bench.release(self.end)
        self.bench.run()
        assert all(end.done for end in self.bench.ends)
        assert self.bench.open_wires == 0


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    """Whatever was opened was left, once."""
    shelf = Shelf()
    yield shelf
    assert shelf.left == shelf.opened


# Where to ----------------------------------------------------------------------------------------


def test_instances_go_to_the_move_destination_on_an_association_of_their_own(shelf: Shelf) -> None:
    moving = Moving(shelf.instances(3)).run()
    assert moving.archive.asked == ["FAR", "move"]
    assert moving.far.uids == ["1.2.1", "1.2.2", "1.2.3"]
    assert [message.data_set for message in moving.far.stored] == [b"image"] * 3
    assert moving.statuses == [0xFF00, 0xFF00, 0]
    assert [numbers(message) for message in moving.end.responses] == [
        (2, 1, 0, 0),
        (1, 2, 0, 0),
        (None, 3, 0, 0),
    ]
    assert moving.far.ends == [Released()]
    assert len(moving.far_station.ends) == 1
    moving.nothing_left()


@pytest.mark.parametrize(("title", "expected"), [(None, "ARCHIVE"), ("MINE", "MINE")])
def test_the_destination_is_told_who_calls_and_who_asked(
    shelf: Shelf, title: str | None, expected: str
) -> None:
    moving = Moving(shelf.instances(1), calling_ae_title=title)
    moving.begin(Priority.HIGH).bench.settle()
    request = moving.far.request
    assert request is not None
    assert (request.calling_ae_title, request.called_ae_title) == (expected, "FAR")
    command: Any = moving.far.stored[0].command
    assert command.move_originator_application_entity_title == "ASKER"
    assert command.move_originator_message_id == 7
    assert command.priority == Priority.HIGH
    moving.nothing_left()


def test_a_destination_that_is_not_known_is_a_failure_and_nothing_is_asked() -> None:
    moving = Moving([])
    moving.archive.destination = None
    moving.run()
    assert moving.statuses == [0xA801]
    assert moving.archive.asked == ["FAR"]
    moving.nothing_left()


@pytest.mark.parametrize(
    ("error", "status"), [(BUG, 0x0110), (OSError(28, "No space left on device"), 0xA700)]
)
def test_who_fails_to_find_the_destination_fails_the_operation(
    error: Exception, status: int
) -> None:
    moving = Moving([])
    moving.archive.destination = error
    moving.run()
    assert moving.statuses == [status]
    assert moving.failures == [error]
    moving.nothing_left()


@pytest.mark.parametrize("destination", [object(), Destination(object(), "FAR")])
def test_a_destination_that_is_none_fails_the_operation(shelf: Shelf, destination: object) -> None:
    moving = Moving(shelf.instances(2))
    moving.archive.destination = destination
    moving.run()
    assert moving.statuses == [0x0110]
    moving.nothing_left()


@pytest.mark.parametrize("title", ["", "x" * 17])
def test_a_title_that_cannot_be_sent_fails_the_operation(shelf: Shelf, title: str) -> None:
    moving = Moving(shelf.instances(2))
    moving.archive.destination = Destination(moving.far_station, title)
    moving.run()
    assert moving.statuses == [0x0110]
    assert moving.far_station.ends == []
    moving.nothing_left()


@pytest.mark.parametrize("generator", [True, False])
def test_a_destination_that_cannot_be_reached_has_all_failed(shelf: Shelf, generator: bool) -> None:
    instances: Any = shelf.instances(3)
    moving = Moving(iter(instances) if generator else instances)
    moving.far_station.listens = False
    moving.run()
    assert moving.statuses == [0xA702]
    assert numbers(moving.final) == (None, 0, 3, 0)
    assert failed(moving.final) == ["1.2.1", "1.2.2", "1.2.3"]
    command: Any = moving.final.command
    assert command.error_comment == "the move destination cannot be reached"
    assert shelf.opened == []
    moving.nothing_left()


def test_a_destination_that_rejects_has_all_failed(shelf: Shelf) -> None:
    moving = Moving(shelf.instances(2))
    moving.far.decision = Reject()
    moving.run()
    assert moving.final.status == 0xA702
    assert failed(moving.final) == ["1.2.1", "1.2.2"]
    moving.nothing_left()


def test_a_destination_that_does_not_answer_is_given_up_when_its_time_is_over(shelf: Shelf) -> None:
    moving = Moving(shelf.instances(2))
    moving.far_station.silent = True
    moving.run()
    assert moving.final.status == 0xA702
    assert 20.0 <= moving.bench.now <= 20.0 + ABORT_PATIENCE
    moving.far_station.ends[0].pauses = False
    moving.nothing_left()


@pytest.mark.parametrize(
    ("secure", "far_secure", "clear", "status"),
    [
        (False, False, False, 0),
        (True, True, False, 0),
        (True, False, True, 0),
        (True, False, False, 0xA702),
        (False, True, False, 0),
    ],
)
def test_what_came_over_tls_goes_over_tls_unless_the_handler_says_otherwise(
    shelf: Shelf, secure: bool, far_secure: bool, clear: bool, status: int
) -> None:
    moving = Moving(shelf.instances(1), secure=secure, far_secure=far_secure, clear=clear).run()
    assert moving.final.status == status
    assert ("move" in moving.archive.asked) is (status == 0)
    assert len(moving.far_station.ends) == (status == 0)
    moving.nothing_left()


# How it goes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "status"),
    [
        ((0, 0), 0),
        ((0, 0xB000), 0xB000),
        ((0xB000, 0xB007), 0xB000),
        ((0, 0xA700), 0xB000),
        ((0xA700, 0xC000), 0xA702),
    ],
)
def test_the_last_status_says_how_all_of_it_went(
    shelf: Shelf, answers: tuple[int, ...], status: int
) -> None:
    """PS3.4 §C.4.2.3.1: success if all were, a failure if all were not, else a warning."""
    moving = Moving(shelf.instances(2))
    moving.far.statuses = {f"1.2.{index}": answer for index, answer in enumerate(answers, 1)}
    moving.run()
    assert moving.final.status == status
    wrong = [uid for uid, answer in moving.far.statuses.items() if answer in (0xA700, 0xC000)]
    assert failed(moving.final) == wrong
    moving.nothing_left()


def test_nothing_to_send_is_a_success_and_connects_to_nobody() -> None:
    moving = Moving([]).run()
    assert moving.statuses == [0]
    assert moving.far_station.ends == []
    moving.nothing_left()


def test_contexts_that_the_destination_refuses_cost_their_instances(shelf: Shelf) -> None:
    def choose(context: PresentationContextRQ) -> str | ContextResult:
        if context.abstract_syntax == MR or context.transfer_syntaxes[0] == JPEG:
            return ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED
        return context.transfer_syntaxes[0]

    instances = [
        shelf.instance("1.2.1"),
        shelf.instance("1.2.2", sop_class_uid=MR),
        shelf.instance("1.2.3", transfer_syntaxes=(JPEG,)),
        shelf.instance("1.2.4", transfer_syntaxes=(JPEG, IMPLICIT)),
    ]
    moving = Moving(instances)
    moving.far.decision = Accept(choose=choose)
    moving.run()
    assert moving.far.uids == ["1.2.1", "1.2.4"]
    assert failed(moving.final) == ["1.2.2", "1.2.3"]
    assert shelf.syntaxes == [EXPLICIT, IMPLICIT]
    moving.nothing_left()


def test_more_contexts_than_one_association_has_take_several(shelf: Shelf) -> None:
    instances = [
        shelf.instance(f"1.2.{number}", sop_class_uid=f"{ANY_UID}{number}")
        for number in range(1, 301)
    ]
    moving = Moving(instances).run()
    assert moving.far.uids == [instance.sop_instance_uid for instance in instances]
    sizes = [len(end.association.request.presentation_contexts) for end in moving.far_station.ends]  # type: ignore[union-attr]
    assert sizes == [128, 128, 44]
    assert moving.final.status == 0
    assert numbers(moving.end.responses[0]) == (299, 1, 0, 0)
    moving.nothing_left()


def test_contexts_that_the_handler_gives_let_instances_be_made_one_by_one(shelf: Shelf) -> None:
    made: list[int] = []
    seen: list[int] = []

    def make() -> Iterator[Instance]:
        for number in range(1, 4):
            made.append(number)
            yield shelf.instance(f"1.2.{number}")

    moving = Moving(Retrieval(make(), contexts=[(CT, [EXPLICIT])]))
    moving.far.on_store = lambda message: seen.append(len(made))
    moving.run()
    assert seen == [1, 2, 3]
    assert moving.final.status == 0
    assert numbers(moving.end.responses[0]) == (None, 1, 0, 0)
    moving.nothing_left()


@pytest.mark.parametrize("contexts", [None, [(CT, [EXPLICIT])]])
def test_a_generator_that_raises_fails_the_operation_and_leaves_no_association(
    shelf: Shelf, contexts: Any
) -> None:
    closed: list[bool] = []

    def make() -> Iterator[Instance]:
        try:
            yield shelf.instance("1.2.1")
            raise BUG
        finally:
            closed.append(True)

    moving = Moving(Retrieval(make(), contexts=contexts)).run()
    assert moving.final.status == 0x0110
    assert moving.failures == [BUG]
    assert closed == [True]
    moving.bench.settle()
    assert [type(end) for end in moving.far.ends] == ([] if contexts is None else [Aborted])
    assert moving.bench.open_wires == 2  # those of the requestor's association
    moving.nothing_left()


def test_an_opener_that_aborts_ends_both_associations(shelf: Shelf) -> None:
    def stop() -> bytes:
        raise AbortAssociation("that is enough")

    moving = Moving([shelf.instance("1.2.1", data=stop)]).begin()
    moving.bench.settle()
    assert [type(end) for end in moving.archive.ends] == [Aborted]
    assert [type(end) for end in moving.far.ends] == [Aborted]
    assert not moving.failures
    moving.nothing_left()


def test_a_source_that_fails_in_the_middle_costs_that_instance_and_its_association(
    shelf: Shelf,
) -> None:
    def half() -> Iterator[bytes]:
        yield bytes(500_000)
        raise BUG

    instances = [
        shelf.instance("1.2.1"),
        shelf.instance("1.2.2", data=half),
        shelf.instance("1.2.3"),
    ]
    moving = Moving(instances).run()
    assert failed(moving.final) == ["1.2.2"]
    assert moving.far.uids == ["1.2.1", "1.2.3"]
    assert [type(end) for end in moving.far.ends] == [Aborted, Released]
    assert moving.failures == [BUG]
    moving.nothing_left()


# A destination that breaks -----------------------------------------------------------------------


def breaking(moving: Moving, at: Callable[[int], bool], how: str) -> None:
    """The destination ends its association instead of answering some instances."""

    def store(message: Message) -> None:
        if at(len(moving.far.stored)):
            end = moving.far_station.ends[-1]
            if how == "abort":
                raise AbortAssociation
            if how == "release":
                end.association.send_release_request(moving.bench.now)
            else:
                assert end.wire is not None
                end.wire.close()

    moving.far.on_store = store


@pytest.mark.parametrize("how", ["abort", "vanish"])
@pytest.mark.parametrize("point", [1, 2, 3])
def test_an_association_that_breaks_is_opened_again_if_something_came_through(
    shelf: Shelf, point: int, how: str
) -> None:
    moving = Moving(shelf.instances(4))
    breaking(moving, lambda count: count == point, how)
    moving.run()
    if point == 1:
        assert len(moving.far_station.ends) == 1
        assert moving.final.status == 0xA702
        assert failed(moving.final) == ["1.2.1", "1.2.2", "1.2.3", "1.2.4"]
    else:
        assert len(moving.far_station.ends) == 2
        assert moving.final.status == 0xB000
        assert failed(moving.final) == [f"1.2.{point}"]
    moving.nothing_left()


def test_an_association_that_breaks_each_time_is_opened_as_long_as_something_comes_through(
    shelf: Shelf,
) -> None:
    moving = Moving(shelf.instances(7))
    breaking(moving, lambda count: count in (2, 4, 5), "abort")
    moving.run()
    assert len(moving.far_station.ends) == 3
    assert failed(moving.final) == ["1.2.2", "1.2.4", "1.2.5", "1.2.6", "1.2.7"]
    assert numbers(moving.final) == (None, 2, 5, 0)
    moving.nothing_left()


def test_a_destination_that_releases_in_the_middle_is_called_again(shelf: Shelf) -> None:
    moving = Moving(shelf.instances(3))
    breaking(moving, lambda count: count == 2, "release")
    moving.run()
    assert len(moving.far_station.ends) == 2
    assert numbers(moving.final)[1] in (2, 3)
    assert moving.far.ends == [Released(), Released()]
    moving.nothing_left()


def test_a_destination_that_is_gone_when_it_is_called_again_fails_the_rest(shelf: Shelf) -> None:
    moving = Moving(shelf.instances(4))
    breaking(moving, lambda count: count == 2, "vanish")
    store = moving.far.on_store

    def last(message: Message) -> None:
        moving.far_station.listens = False
        store(message)

    moving.far.on_store = last
    moving.run()
    assert moving.final.status == 0xB000
    assert numbers(moving.final) == (None, 1, 3, 0)
    command: Any = moving.final.command
    assert command.error_comment is None
    moving.nothing_left()


def test_a_destination_that_falls_silent_is_given_up_when_its_time_is_over(shelf: Shelf) -> None:
    moving = Moving(shelf.instances(3))

    def silent(message: Message) -> None:
        moving.far_station.ends[-1].pauses = True

    moving.far.on_store = silent
    moving.run()
    assert 50.0 <= moving.bench.now <= 50.0 + ABORT_PATIENCE
    assert moving.final.status == 0xA702
    assert failed(moving.final) == ["1.2.1", "1.2.2", "1.2.3"]
    moving.far_station.ends[0].pauses = False
    moving.nothing_left()


# A requestor that does not wait ------------------------------------------------------------------


@pytest.mark.parametrize("point", [0, 1, 2])
@pytest.mark.parametrize("several", [False, True])
def test_a_cancel_ends_it_between_two_instances(shelf: Shelf, point: int, several: bool) -> None:
    instances = [
        shelf.instance(f"1.2.{number}", sop_class_uid=f"{ANY_UID}{number}" if several else CT)
        for number in range(1, 201 if several else 5)
    ]
    moving = Moving(instances)
    moving.far.on_store = lambda message: (
        moving.cancel() if len(moving.far.stored) == point else None
    )
    if point == 0:
        moving.begin()
        association = moving.end.association
        association.send_cancel(association.context_for(STUDY_ROOT_MOVE), 7)
        moving.end.kick()
        moving.bench.settle()
    else:
        moving.run()
    assert moving.final.status == 0xFE00
    count = len(moving.far.stored)
    assert count == point
    assert numbers(moving.final) == (len(instances) - count, count, 0, 0)
    assert len(moving.far_station.ends) == (point > 0)
    assert moving.far.ends == [Released()] * (point > 0)
    moving.nothing_left()


@pytest.mark.parametrize("how", ["abort", "vanish"])
@pytest.mark.parametrize("several", [False, True])
def test_a_requestor_that_goes_away_ends_both_associations(
    shelf: Shelf, how: str, several: bool
) -> None:
    instances = [
        shelf.instance(f"1.2.{number}", sop_class_uid=f"{ANY_UID}{number}" if several else CT)
        for number in range(1, 201 if several else 5)
    ]
    moving = Moving(instances)

    def go(message: Message) -> None:
        if len(moving.far.stored) != 2:
            return
        if how == "abort":
            moving.end.association.send_abort(moving.bench.now)
            moving.end.kick()
        else:
            assert moving.end.wire is not None
            moving.end.wire.close()

    moving.far.on_store = go
    moving.begin().bench.settle()
    assert [type(end) for end in moving.archive.ends] == [Aborted]
    assert moving.far.ends == [Released()]
    assert len(moving.far.stored) <= 3
    assert len(moving.far_station.ends) == 1
    assert not moving.failures
    moving.nothing_left()


def test_a_requestor_that_releases_in_the_middle_is_released_when_all_is_sent(
    shelf: Shelf,
) -> None:
    moving = Moving(shelf.instances(3))

    def release(message: Message) -> None:
        if len(moving.far.stored) == 1:
            moving.end.association.send_release_request(moving.bench.now)
            moving.end.kick()

    moving.far.on_store = release
    moving.begin().bench.settle()
    assert len(moving.far.stored) == 3
    assert moving.archive.ends == [Released()]
    moving.nothing_left()


def test_who_closes_the_association_closes_the_one_that_it_opened(shelf: Shelf) -> None:
    moving = Moving(shelf.instances(3))
    moving.far.on_store = lambda message: setattr(moving.far_station.ends[0], "pauses", True)
    moving.begin().bench.settle()
    assert moving.bench.open_wires == 4
    moving.other.loop.close()
    assert moving.bench.open_wires == 2  # what is left is at the other ends
    moving.far_station.ends[0].pauses = False
    moving.bench.settle()
    moving.nothing_left()


def test_the_destination_may_ask_nothing_in_turn(shelf: Shelf) -> None:
    """On the association to the destination we perform nothing."""
    moving = Moving(shelf.instances(1))

    def ask(message: Message) -> None:
        end = moving.far_station.ends[0]
        end.association.send_request(message.context, CStoreRQ(CT, 1, "1.2.9"), b"image")

    moving.far.on_store = ask
    moving.run()
    assert moving.final.status == 0
    moving.nothing_left()
