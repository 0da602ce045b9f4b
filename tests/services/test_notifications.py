"""N-EVENT-REPORTs that follow a response, over two associations in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from dul_fsm.association import Aborted, Message, Released
from dul_fsm.dimse import (
    NActionRQ,
    NEventReportRQ,
)
from dul_fsm.services.handler import (
    AbortAssociation,
    Notification,
    Reply,
)
from dul_fsm.timers import TimeLimits
from tests.services.bed import (
    COMMITMENT,
    CONTEXTS,
    MPPS,
    PRINT,
    PRINTER,
    SCP,
    UPS_EVENT,
    UPS_PUSH,
    UPS_WATCH,
    Bed,
    broken,
    data_set,
    raiser,
)
from tests.services.support import BUG, IMPLICIT


class Reporting(SCP):
    """Notifies the SCU after an N-ACTION, and lists what came of it."""

    def __init__(self, count: int = 2, sop_class_uid: str = COMMITMENT) -> None:
        super().__init__()
        self.told: list[tuple[int, int | None]] = []
        self.count = count
        self.sop_class_uid = sop_class_uid
        self.information: list[Any] = [None] * count
        self.on_told: Callable[[int], None] = lambda index: None
        self.outcome = self._reply

    def _reply(self, message: Message) -> Reply:
        return Reply(notifications=[self.notification(index) for index in range(self.count)])

    def notification(self, index: int) -> Notification:
        def responded(outcome: int | None) -> None:
            self.told.append((index, outcome))
            self.on_told(index)

        return Notification(self.sop_class_uid, "1.2.3", index, self.information[index], responded)


def reporting(
    scp: Reporting, contexts: Iterable[Any] = CONTEXTS, uid: str = COMMITMENT, **keywords: Any
) -> tuple[Bed, SCP]:
    scu = SCP()
    bed = Bed(scp, scu, **keywords).associate(contexts)
    association = bed.pair.requestor.association
    request = NActionRQ(uid, 1, "1.2.3", 1)
    association.send_request(association.context_for(uid), request)
    return bed, scu


def test_notifications_follow_the_response_one_by_one_and_their_outcome_is_told() -> None:
    scp = Reporting()
    bed, scu = reporting(scp)
    seen: list[tuple[int, int]] = []

    def report(message: Message) -> int:
        seen.append((len(bed.pair.requestor.responses), len(scp.told)))
        return 0 if message.command.event_type_id == 0 else 0x0113  # type: ignore[union-attr]

    scu.outcome = report
    bed.pair.run()
    assert [one.message.status for one in bed.pair.requestor.responses] == [0]
    assert seen == [(1, 0), (1, 1)]  # after the response; each when the last was answered
    assert scp.told == [(0, 0), (1, 0x0113)]
    assert not bed.failures
    bed.pair.release()
    assert [type(end) for end in scp.ends] == [Released]


def test_the_information_of_a_notification_is_encoded_for_its_context() -> None:
    scp = Reporting(2)
    scp.information = [data_set(), b""]
    bed, scu = reporting(scp, [(COMMITMENT, [IMPLICIT])])
    bed.pair.run()
    assert scp.told == [(0, 0), (1, 0)]
    assert scu.messages[0].decode().PatientName == "Doe^John"
    assert scu.messages[1].command.has_data_set


@pytest.mark.parametrize("how", ["release", "abort", "cut", "silence"])
def test_who_is_not_answered_is_told_none_and_so_are_the_others(how: str) -> None:
    scp = Reporting(3)
    bed, _ = reporting(scp, time_limits=(TimeLimits(idle=None), TimeLimits(response=50.0)))
    pair = bed.pair
    pair.run_until(lambda: pair.requestor.responses)
    pair.requestor.performs = False  # the N-EVENT-REPORT is not answered
    pair.run()
    assert scp.told == []
    if how == "release":
        pair.requestor.association.send_release_request(pair.now)
    elif how == "abort":
        pair.requestor.association.send_abort(pair.now)
    elif how == "cut":
        pair.cut()
    pair.run()
    if how == "silence":
        pair.advance(49.0)
        assert scp.told == []
        pair.advance(1.0)
    assert scp.told == [(0, None), (1, None), (2, None)]
    assert [type(end) for end in scp.ends] == [Released if how == "release" else Aborted]
    assert not bed.failures


def test_a_notification_that_cannot_be_encoded_costs_the_others_nothing() -> None:
    scp = Reporting(3)
    scp.information[1] = broken()
    bed, _ = reporting(scp)
    bed.pair.run()
    assert scp.told == [(0, 0), (1, None), (2, 0)]
    (failure,) = bed.failures
    assert "(0028,0010)" in str(failure)


def test_who_raises_when_told_costs_the_others_nothing() -> None:
    scp = Reporting(3)
    scp.on_told = raiser(BUG)
    bed, _ = reporting(scp)
    bed.pair.run()
    assert scp.told == [(0, 0), (1, 0), (2, 0)]
    assert bed.failures == [BUG, BUG, BUG]
    assert bed.pair.requestor.association.established


def test_who_aborts_when_told_has_the_others_told_none() -> None:
    scp = Reporting(3)
    scp.on_told = lambda index: raiser(AbortAssociation())() if not index else None
    bed, _ = reporting(scp)
    bed.pair.run()
    assert scp.told == [(0, 0), (1, None), (2, None)]
    assert [type(end) for end in scp.ends] == [Aborted]


def test_notifications_may_be_a_generator_that_raises() -> None:
    scp = Reporting()

    def some() -> Iterator[Notification]:
        yield scp.notification(0)
        raise BUG

    scp.outcome = lambda message: Reply(notifications=some())
    bed, _ = reporting(scp)
    bed.pair.run()
    assert scp.told == [(0, 0)]
    assert bed.failures == [BUG]
    assert bed.pair.requestor.association.established


def test_a_notification_that_no_context_can_carry_is_told_none() -> None:
    scp = Reporting(1, MPPS)  # on the context of storage commitment, and MPPS was not accepted
    bed, _ = reporting(scp, [COMMITMENT])
    bed.pair.run()
    assert scp.told == [(0, None)]
    assert not bed.failures


def test_a_notification_of_another_class_goes_on_that_ones_context() -> None:
    scp = Reporting(1, MPPS)
    bed, scu = reporting(scp)
    bed.pair.run()
    assert scp.told == [(0, 0)]
    assert scu.messages[0].context.abstract_syntax == MPPS


def test_a_notification_about_what_a_meta_class_stands_for_goes_on_its_context() -> None:
    scp = Reporting(1, PRINTER)
    bed, scu = reporting(scp, uid=PRINT)
    bed.pair.run()
    assert scp.told == [(0, 0)]
    assert scu.messages[0].context.abstract_syntax == PRINT


@pytest.mark.parametrize("event", [True, False])
def test_events_of_procedure_steps_go_on_their_own_context_if_there_is_one(event: bool) -> None:
    scp = Reporting(1, UPS_PUSH)
    bed, scu = reporting(scp, [UPS_WATCH, UPS_EVENT] if event else [UPS_WATCH], UPS_WATCH)
    bed.pair.run()
    assert scp.told == [(0, 0)]
    assert scu.messages[0].context.abstract_syntax == (UPS_EVENT if event else UPS_WATCH)


def test_an_scu_cannot_notify_in_turn() -> None:
    scu = Reporting(1)
    bed = Bed(None, scu).associate()
    request = NEventReportRQ(COMMITMENT, 1, "1.2.3", 1)
    assert bed.ask("n_event_report", request).status == 0
    assert scu.told == [(0, None)]
    assert not bed.failures


def test_a_response_that_never_left_has_no_notifications_either() -> None:
    scp = Reporting(2)
    bed, scu = reporting(scp)
    pair = bed.pair
    reply = scp.outcome

    def ended(message: Message) -> Any:
        pair.acceptor.association.send_abort(pair.now)
        return reply(message)

    scp.outcome = ended
    pair.run()
    assert scp.told == [(0, None), (1, None)]
    assert not scu.asked
