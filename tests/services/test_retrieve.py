"""C-GET: the C-STORE sub-operations of a request, over two associations in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dul_fsm.association import Aborted, Message, Released
from dul_fsm.dimse import CCancelRQ, CEchoRQ, CGetRQ, encode_command
from dul_fsm.negotiation import MAXIMUM_CONTEXTS
from dul_fsm.pdu import PDV, AAssociateRQ, PDataTF, encode
from dul_fsm.services.handler import AbortAssociation, Accept, Instance, Retrieval
from dul_fsm.services.retrieve import batches
from dul_fsm.services.sop_classes import STUDY_ROOT_GET, VERIFICATION
from dul_fsm.testing.pair import Pair
from dul_fsm.timers import TimeLimits
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

ROLES = {CT: (False, True), MR: (False, True)}
CONTEXTS = (STUDY_ROOT_GET, VERIFICATION, (CT, [EXPLICIT]), (MR, [JPEG]))
LIMITS = TimeLimits(response=50.0)


class Archive(Told):
    """Answers a C-GET with what the test says."""

    def __init__(self, outcome: Any = 0) -> None:
        super().__init__()
        self.outcome = outcome
        self.roles: dict[str, tuple[bool, bool]] | None = None

    def associate_requested(self, request: AAssociateRQ) -> Accept:
        return Accept(roles=self.roles)

    def c_get_requested(self, message: Message) -> Any:
        return self.outcome


class Getting:
    """A C-GET on its way."""

    def __init__(
        self,
        outcome: Any,
        store: Store | None = None,
        *,
        roles: dict[str, tuple[bool, bool]] | None = None,
        **keywords: Any,
    ) -> None:
        self.archive = Archive(outcome)
        self.store = store or Store()
        limits = (TimeLimits(idle=None, response=None), LIMITS)
        self.pair = Pair(self.archive, self.store, time_limits=limits, **keywords)
        self.pair.associate(CONTEXTS, roles=ROLES if roles is None else roles)
        self.association = self.pair.requestor.association
        self.context = self.association.context_for(STUDY_ROOT_GET)

    def begin(self) -> Getting:
        self.association.send_request(self.context, CGetRQ(STUDY_ROOT_GET, 7), b"")
        return self

    def run(self) -> Getting:
        self.begin().pair.run()
        return self

    @property
    def responses(self) -> list[Message]:
        return [event.message for event in self.pair.requestor.responses]

    @property
    def final(self) -> Message:
        (final,) = (event.message for event in self.pair.requestor.responses if event.final)
        return final

    @property
    def failures(self) -> list[BaseException]:
        return self.pair.acceptor.failures

    def cancel(self, message_id: int = 7, context_id: int | None = None) -> None:
        """A C-CANCEL arrives at the archive, whatever the requestor thinks of it."""
        pdv = PDV(
            context_id or self.context.context_id, True, True, encode_command(CCancelRQ(message_id))
        )
        self.pair.acceptor.incoming += encode(PDataTF((pdv,)))


def statuses(getting: Getting) -> list[int]:
    return [response.status for response in getting.responses]


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    """Whatever was opened was left, once."""
    shelf = Shelf()
    yield shelf
    assert shelf.left == shelf.opened


# Numbers -----------------------------------------------------------------------------------------


def test_each_instance_is_sent_and_counted(shelf: Shelf) -> None:
    getting = Getting(shelf.instances(3)).run()
    assert getting.store.uids == ["1.2.1", "1.2.2", "1.2.3"]
    assert [message.data_set for message in getting.store.stored] == [b"image"] * 3
    assert statuses(getting) == [0xFF00, 0xFF00, 0x0000]
    assert [numbers(response) for response in getting.responses] == [
        (2, 1, 0, 0),
        (1, 2, 0, 0),
        (None, 3, 0, 0),
    ]
    assert not any(response.command.has_data_set for response in getting.responses)


def test_a_sub_operation_does_not_say_that_a_c_move_made_it(shelf: Shelf) -> None:
    command: Any = Getting(shelf.instances(1)).run().store.stored[0].command
    assert command.move_originator_application_entity_title is None
    assert command.move_originator_message_id is None


def test_failures_and_warnings_are_counted_and_the_failed_listed(shelf: Shelf) -> None:
    store = Store({"1.2.2": 0xA700, "1.2.3": 0xB000, "1.2.4": 0x0110})
    getting = Getting(shelf.instances(5), store).run()
    assert [numbers(response) for response in getting.responses] == [
        (4, 1, 0, 0),
        (3, 1, 1, 0),
        (2, 1, 1, 1),
        (1, 1, 2, 1),
        (None, 2, 2, 1),
    ]
    assert getting.final.status == 0xB000
    assert failed(getting.final) == ["1.2.2", "1.2.4"]


@pytest.mark.parametrize(
    ("answers", "status"),
    [
        ((0x0000, 0x0000), 0x0000),
        ((0x0000, 0xB000), 0xB000),
        ((0xB000, 0xB007), 0xB000),
        ((0x0000, 0xA700), 0xB000),
        ((0xB000, 0xC000), 0xB000),
        ((0xA700, 0xC000), 0xA702),
        ((0xFE00, 0x0122), 0xA702),
    ],
)
def test_the_last_status_says_how_all_of_it_went(
    shelf: Shelf, answers: tuple[int, ...], status: int
) -> None:
    """PS3.4 §C.4.3.3: success if all were, a failure if all were not, else a warning."""
    store = Store({f"1.2.{index}": answer for index, answer in enumerate(answers, 1)})
    assert Getting(shelf.instances(2), store).run().final.status == status


def test_nothing_to_send_is_a_success(shelf: Shelf) -> None:
    getting = Getting([]).run()
    assert statuses(getting) == [0]
    assert numbers(getting.final) == (None, 0, 0, 0)


@pytest.mark.parametrize("generator", [True, False])
def test_an_unknown_total_leaves_out_how_many_remain(shelf: Shelf, generator: bool) -> None:
    instances = iter(shelf.instances(2))
    getting = Getting(instances if generator else Retrieval(instances)).run()
    assert [numbers(response) for response in getting.responses] == [
        (None, 1, 0, 0),
        (None, 2, 0, 0),
        (None, 2, 0, 0),
    ]
    assert statuses(getting) == [0xFF00, 0xFF00, 0]


@pytest.mark.parametrize("total", [1, 2, 5, 70_000])
def test_a_total_may_be_wrong_or_more_than_can_be_stated(shelf: Shelf, total: int) -> None:
    getting = Getting(Retrieval(iter(shelf.instances(3)), total)).run()
    assert getting.final.status == 0
    assert numbers(getting.final) == (None, 3, 0, 0)
    assert numbers(getting.responses[0])[0] == (min(total - 1, 0xFFFF) if total > 1 else None)


def test_more_failures_than_an_element_can_list_are_listed(shelf: Shelf) -> None:
    uids = [f"1.2.{10**59 + index}" for index in range(1100)]
    store = Store(dict.fromkeys(uids, 0xA700))
    getting = Getting([shelf.instance(uid) for uid in uids], store)
    with pytest.warns(UserWarning, match="64 kByte"):
        getting.run()
    assert getting.final.status == 0xA702
    assert numbers(getting.final) == (None, 0, 1100, 0)
    assert getting.final.decode()[0x00080058].value.startswith(uids[0].encode())  # as UN


def test_a_uid_that_breaks_the_rules_is_listed_as_it_is(shelf: Shelf) -> None:
    getting = Getting([shelf.instance("1.2.003", transfer_syntaxes=(JPEG,))]).run()
    assert b"1.2.003\0" in getting.final.data_set


# What cannot be sent -----------------------------------------------------------------------------


@pytest.mark.parametrize("total", [None, 3])
def test_a_transfer_syntax_that_was_not_accepted_fails_that_instance(
    shelf: Shelf, total: int | None
) -> None:
    instances = [
        shelf.instance("1.2.1"),
        shelf.instance("1.2.2", transfer_syntaxes=(JPEG,)),
        shelf.instance("1.2.3"),
    ]
    getting = Getting(Retrieval(instances, total)).run()
    assert getting.store.uids == ["1.2.1", "1.2.3"]
    assert failed(getting.final) == ["1.2.2"]
    assert shelf.opened == ["1.2.1", "1.2.3"]
    assert len(getting.failures) == 1


def test_the_first_transfer_syntax_that_was_accepted_is_opened(shelf: Shelf) -> None:
    one = shelf.instance("1.2.1", transfer_syntaxes=(JPEG, IMPLICIT, EXPLICIT))
    two = shelf.instance("1.2.2", sop_class_uid=MR, transfer_syntaxes=(JPEG, EXPLICIT))
    getting = Getting([one, two]).run()
    assert shelf.syntaxes == [EXPLICIT, JPEG]
    assert [message.context.transfer_syntax for message in getting.store.stored] == [EXPLICIT, JPEG]


def test_an_instance_without_transfer_syntaxes_fails(shelf: Shelf) -> None:
    getting = Getting([shelf.instance("1.2.1", transfer_syntaxes=())]).run()
    assert failed(getting.final) == ["1.2.1"]
    assert getting.final.status == 0xA702


@pytest.mark.parametrize("roles", [{}, {CT: (True, False)}, {MR: (False, True)}])
def test_without_the_role_nothing_can_be_sent(
    shelf: Shelf, roles: dict[str, tuple[bool, bool]]
) -> None:
    getting = Getting(shelf.instances(2), roles=roles).run()
    assert getting.final.status == 0xA702
    assert failed(getting.final) == ["1.2.1", "1.2.2"]
    assert shelf.opened == []


def test_an_opener_that_raises_fails_that_instance(shelf: Shelf) -> None:
    def gone(transfer_syntax: str) -> AbstractContextManager[bytes]:
        raise FileNotFoundError("/secret/path")

    class Stuck:
        def __enter__(self) -> bytes:
            raise BUG

        def __exit__(self, *arguments: object) -> None:
            raise AssertionError("it was never entered")

    instances = shelf.instances(4)
    values = {"sop_class_uid": CT, "transfer_syntaxes": (EXPLICIT,)}
    instances[1] = Instance(sop_instance_uid="1.2.2", open=gone, **values)  # type: ignore[arg-type]
    instances[2] = Instance(
        sop_instance_uid="1.2.3",
        open=lambda transfer_syntax: Stuck(),
        **values,  # type: ignore[arg-type]
    )
    getting = Getting(instances).run()
    assert failed(getting.final) == ["1.2.2", "1.2.3"]
    assert getting.store.uids == ["1.2.1", "1.2.4"]
    assert [type(failure) for failure in getting.failures] == [FileNotFoundError, ValueError]


def test_data_that_is_none_fails_that_instance(shelf: Shelf) -> None:
    getting = Getting([shelf.instance("1.2.1", data=lambda: "text")]).run()  # type: ignore[arg-type,return-value]
    assert failed(getting.final) == ["1.2.1"]


def test_an_opener_that_aborts_ends_the_association(shelf: Shelf) -> None:
    def stop() -> bytes:
        raise AbortAssociation("that is enough")

    getting = Getting([shelf.instance("1.2.1", data=stop), *shelf.instances(1)]).run()
    assert [type(end) for end in getting.archive.ends] == [Aborted]
    assert getting.store.stored == []
    assert not getting.failures


def test_a_source_that_fails_in_the_middle_aborts_and_is_left(shelf: Shelf) -> None:
    def half() -> Iterator[bytes]:
        yield bytes(100_000)
        raise BUG

    getting = Getting([shelf.instance("1.2.1", data=half), *shelf.instances(2)]).begin()
    with pytest.raises(ValueError, match="Doe"):
        getting.pair.run()
    getting.pair.run()
    assert shelf.opened == shelf.left == ["1.2.1"]
    assert [type(end) for end in getting.archive.ends] == [Aborted]
    assert getting.store.stored == []


def test_what_are_no_instances_fails_the_operation() -> None:
    getting = Getting(object()).run()
    assert getting.final.status == 0x0110
    assert len(getting.failures) == 1


# Generators --------------------------------------------------------------------------------------


class Made:
    """A generator of instances that tells how it ended."""

    def __init__(self, shelf: Shelf, count: int = 3, error: Exception | None = None) -> None:
        self.closed: list[int] = []
        self.made = 0
        self._shelf, self._count, self._error = shelf, count, error
        self.responses: Callable[[], int] = lambda: 0

    def __call__(self) -> Iterator[Instance]:
        try:
            for index in range(1, self._count + 1):
                self.made = index
                yield self._shelf.instance(f"1.2.{index}")
            if self._error is not None:
                raise self._error
        finally:
            self.closed.append(self.responses())


def test_instances_are_taken_one_by_one(shelf: Shelf) -> None:
    made = Made(shelf)
    seen: list[int] = []
    store = Store()
    store.on_store = lambda message: seen.append(made.made)
    Getting(made(), store).run()
    assert seen == [1, 2, 3]
    assert len(made.closed) == 1


@pytest.mark.parametrize(("error", "status"), [(BUG, 0x0110), (OSError(28, "No space"), 0xA700)])
def test_a_generator_that_raises_fails_the_operation(
    shelf: Shelf, error: Exception, status: int
) -> None:
    getting = Getting(Made(shelf, error=error)()).run()
    assert statuses(getting) == [0xFF00] * 3 + [status]
    assert getting.failures == [error]


def test_a_generator_is_closed_before_the_last_response(shelf: Shelf) -> None:
    made = Made(shelf, 10)
    getting = Getting(made())
    made.responses = lambda: len(getting.responses)
    getting.begin().pair.run_until(lambda: len(getting.responses) == 2)
    getting.cancel()
    getting.pair.run()
    assert made.closed == [len(getting.responses) - 1]


def test_a_generator_that_cannot_be_closed_fails_the_operation(shelf: Shelf) -> None:
    class Stubborn:
        def __iter__(self) -> Stubborn:
            return self

        def __next__(self) -> Instance:
            raise StopIteration

        def close(self) -> None:
            raise BUG

    assert Getting(Stubborn()).run().final.status == 0x0110


# Cancelling --------------------------------------------------------------------------------------


def test_a_cancel_before_the_first_sends_none(shelf: Shelf) -> None:
    getting = Getting(shelf.instances(3)).begin()
    getting.association.send_cancel(getting.context, 7)
    getting.pair.run()
    assert statuses(getting) == [0xFE00]
    assert numbers(getting.final) == (3, 0, 0, 0)
    assert shelf.opened == []


@pytest.mark.parametrize("times", [1, 2])
def test_a_cancel_in_the_middle_says_what_was_not_sent(shelf: Shelf, times: int) -> None:
    store = Store({"1.2.1": 0xA700})
    getting = Getting(shelf.instances(9), store).begin()
    getting.pair.run_until(lambda: len(getting.responses) == 2)
    for _ in range(times):
        getting.cancel()
    getting.pair.run()
    assert getting.final.status == 0xFE00
    remaining, completed, failures, warnings = numbers(getting.final)
    assert remaining is not None
    assert completed is not None
    assert remaining + completed + 1 == 9
    assert (failures, warnings) == (1, 0)
    assert failed(getting.final) == ["1.2.1"]
    assert len(store.stored) == completed + 1
    # And no more than that one is cancelled.
    getting.pair.requestor.responses.clear()
    store.statuses.clear()
    getting.archive.outcome = shelf.instances(2)
    assert getting.run().final.status == 0


def test_a_cancel_after_the_last_comes_too_late(shelf: Shelf) -> None:
    getting = Getting(shelf.instances(2))
    getting.store.on_store = lambda message: getting.cancel() if len(shelf.opened) == 2 else None
    getting.run()
    assert getting.final.status == 0
    assert numbers(getting.final) == (None, 2, 0, 0)
    getting.cancel()
    getting.pair.run()
    assert getting.pair.invoke(CEchoRQ(VERIFICATION, 7)).status == 0


def test_a_cancel_of_another_request_or_on_another_context_is_ignored(shelf: Shelf) -> None:
    getting = Getting(shelf.instances(5)).begin()
    getting.pair.run_until(lambda: len(getting.responses) == 2)
    getting.cancel(8)
    getting.cancel(7, getting.association.context_for(VERIFICATION).context_id)
    getting.pair.run()
    assert getting.final.status == 0
    assert len(getting.store.stored) == 5


# Endings -----------------------------------------------------------------------------------------

POINTS = range(5)
"""Responses of the requestor to sub-operations, after which it ends."""


def check_ended(getting: Getting, made: Made, kind: type) -> None:
    assert [type(end) for end in getting.archive.ends] == [kind]
    assert len(made.closed) == bool(made.made)  # what was never begun has nothing to close
    operations = getting.pair.acceptor.association.operations
    assert not operations.invoked
    assert not operations.performing
    assert getting.pair.acceptor.association.idle
    assert not [error for error in getting.failures if not isinstance(error, ValueError)]


@pytest.mark.parametrize("how", ["abort", "cut"])
@pytest.mark.parametrize("point", POINTS)
def test_an_association_that_is_lost_at_any_point_leaves_nothing(
    shelf: Shelf, point: int, how: str
) -> None:
    made = Made(shelf, 4)
    getting = Getting(made())
    pair = getting.pair

    def end(message: Message | None = None) -> None:
        if message is not None and len(getting.store.stored) < point:
            return
        if how == "abort":
            getting.association.send_abort(pair.now)
        else:
            pair.cut()

    getting.begin()
    if point:
        getting.store.on_store = end
        pair.run()
    else:
        pair.run_until(lambda: pair.acceptor.association.operations.performing)
        end()
        pair.run()
    assert len(shelf.opened) <= max(point, 1)
    check_ended(getting, made, Aborted)


@pytest.mark.parametrize("point", range(1, 5))
def test_a_peer_that_releases_in_the_middle_gets_no_more(shelf: Shelf, point: int) -> None:
    made = Made(shelf, 9)
    getting = Getting(made())
    pair = getting.pair

    def release(message: Message) -> None:
        if len(getting.store.stored) == point:
            getting.association.send_release_request(pair.now)

    getting.store.on_store = release
    getting.run()
    assert getting.archive.ends == [Released()]
    assert getting.final.status == 0xFE00
    assert len(made.closed) == 1
    assert len(getting.store.stored) == len(shelf.opened) == point
    assert not getting.failures


@pytest.mark.parametrize("point", range(1, 4))
def test_a_peer_that_is_silent_is_aborted_when_its_time_is_over(shelf: Shelf, point: int) -> None:
    made = Made(shelf, 3)
    getting = Getting(made())
    pair = getting.pair

    answers = getting.store.c_store_requested

    def silent(message: Message) -> int:
        status = answers(message)
        if len(getting.store.stored) == point:
            pair.requestor.stall()
        return status

    getting.store.c_store_requested = silent  # type: ignore[method-assign]
    getting.run()
    assert len(shelf.opened) == point
    assert len(shelf.left) == point - 1
    pair.advance(49.0)
    assert getting.archive.ends == []
    pair.advance(1.0)
    pair.requestor.resume()
    pair.advance(100.0)
    check_ended(getting, made, Aborted)


def test_a_peer_that_reads_nothing_of_an_instance_is_aborted_and_it_is_left(shelf: Shelf) -> None:
    getting = Getting([shelf.instance("1.2.1", data=lambda: bytes(1_000_000))])
    getting.begin().pair.run_until(lambda: shelf.opened)
    getting.pair.requestor.reads = False
    getting.pair.run()
    assert shelf.left == []
    getting.pair.advance(200.0)
    assert [type(end) for end in getting.archive.ends] == [Aborted]
    assert shelf.left == ["1.2.1"]


# Batches -----------------------------------------------------------------------------------------


def bare(sop_class: int, syntaxes: Iterable[int], number: int) -> Instance:
    return Instance(
        sop_class_uid=f"1.2.{sop_class}",
        sop_instance_uid=f"1.3.{number}",
        transfer_syntaxes=tuple(f"1.4.{syntax}" for syntax in syntaxes),
        open=lambda transfer_syntax: Shelf().instance("1").open(transfer_syntax),
    )


@given(
    st.lists(
        st.tuples(st.integers(1, 400), st.lists(st.integers(1, 9), max_size=4, unique=True)),
        max_size=400,
    )
)
def test_batches_keep_the_order_and_each_proposes_what_its_instances_need(
    kinds: list[tuple[int, list[int]]],
) -> None:
    instances = [bare(*kind, number) for number, kind in enumerate(kinds)]
    seen: list[Instance] = []
    for contexts, batch in batches(instances):
        assert batch
        assert len(contexts) == len(set(contexts)) <= MAXIMUM_CONTEXTS
        needed = {(one.sop_class_uid, (uid,)) for one in batch for uid in one.transfer_syntaxes}
        assert set(contexts) == needed
        seen += batch
    assert seen == instances


def test_a_batch_is_as_long_as_one_association_can_be() -> None:
    instances = [bare(number, [1], number) for number in range(300)]
    assert [len(batch) for _, batch in batches(instances)] == [128, 128, 44]
    same = [bare(1, [1, 2], number) for number in range(300)]
    assert [len(batch) for _, batch in batches(same)] == [300]
