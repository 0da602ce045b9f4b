"""`scp.commitment`: what is asked for is checked and reported, one way or the other (PS3.4 J)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from pydicom import Dataset

from dul_fsm.association import Message, RequestReceived
from dul_fsm.dimse import CFindRQ, NActionRQ, NCreateRQ, NEventReportRQ, status
from dul_fsm.dimse.data_set import encode_data_set
from dul_fsm.query import InstanceIndex
from dul_fsm.scp.archive import ArchiveHandler
from dul_fsm.scp.commitment import CommitmentHandler, held_by
from dul_fsm.scp.procedure_step import ProcedureStepHandler, ProcedureSteps
from dul_fsm.services.commitment import (
    CLASS_INSTANCE_CONFLICT,
    NO_SUCH_OBJECT_INSTANCE,
    PROCESSING_FAILURE,
    STORAGE_COMMITMENT,
    STORAGE_COMMITMENT_INSTANCE,
    CommitmentReports,
    CommitmentResult,
    Reference,
    Transactions,
    action_information,
    event_information,
)
from dul_fsm.services.handler import Handler
from dul_fsm.services.procedure_step import MODALITY_PERFORMED_PROCEDURE_STEP
from dul_fsm.services.sop_classes import STUDY_ROOT_FIND, choose_any
from dul_fsm.testing import Pair
from tests.scp.steps import begun
from tests.scp.studies import CT, STUDY, Archive, identifier, instance

EXPLICIT = "1.2.840.10008.1.2.1"
HERE, GONE = Reference(CT, "1.2.1"), Reference(CT, "1.2.2")
Delivered = list[tuple[str, CommitmentResult]]


def check(reference: Reference) -> int | None:
    return None if reference == HERE else NO_SUCH_OBJECT_INSTANCE


def encoded(data_set: Dataset) -> bytes:
    return encode_data_set(data_set, EXPLICIT)


def request(*references: Reference, uid: str = "1.9") -> bytes:
    return encoded(action_information(uid, references))


def action(
    action_type_id: int = 1, instance_uid: str = STORAGE_COMMITMENT_INSTANCE, data: bool = True
) -> NActionRQ:
    return NActionRQ(STORAGE_COMMITMENT, 1, instance_uid, action_type_id, data)


def joined(acceptor: Handler, requestor: Handler | None = None) -> Pair:
    pair = Pair(acceptor, requestor)
    pair.associate([(STORAGE_COMMITMENT, [EXPLICIT])])
    return pair


class SCU:
    """Takes reports, and may leave instead."""

    def __init__(self, acceptor: Handler) -> None:
        self.reports: list[CommitmentResult] = []
        self.pair = joined(acceptor, CommitmentReports(self.reports.append))

    def ask(self, *references: Reference) -> int:
        return self.pair.invoke(action(), request(*references)).status


@pytest.mark.parametrize(
    ("asked", "committed", "failed"),
    [
        ([HERE], [HERE], []),
        ([HERE, GONE], [HERE], [(GONE, NO_SUCH_OBJECT_INSTANCE)]),
        ([GONE], [], [(GONE, NO_SUCH_OBJECT_INSTANCE)]),
    ],
)
def test_a_request_is_answered_and_then_reported_on_the_same_association(
    asked: list[Reference], committed: list[Reference], failed: list[tuple[Reference, int]]
) -> None:
    delivered: Delivered = []
    scu = SCU(CommitmentHandler(check, lambda *told: delivered.append(told)))
    assert scu.ask(*asked) == status.SUCCESS
    scu.pair.run_until(lambda: scu.reports)
    (result,) = scu.reports
    assert result == CommitmentResult("1.9", tuple(committed), tuple(failed), "SCP")
    assert result.ok == (not failed)
    assert event_types(scu.pair) == [2 if failed else 1]
    scu.pair.run()
    scu.pair.release()
    assert delivered == []


def event_types(pair: Pair) -> list[int]:
    commands = [
        event.message.command
        for event in pair.requestor.events
        if isinstance(event, RequestReceived)
    ]
    return [one.event_type_id for one in commands if isinstance(one, NEventReportRQ)]


def test_a_report_is_delivered_otherwise_if_the_association_is_released_before() -> None:
    delivered: Delivered = []
    pair = joined(CommitmentHandler(check, lambda *told: delivered.append(told)))
    pair.requestor.performs = False  # it takes no report
    pair.invoke(action(), request(HERE, GONE))
    pair.release()
    assert delivered == [
        ("SCU", CommitmentResult("1.9", (HERE,), ((GONE, NO_SUCH_OBJECT_INSTANCE),), "SCP"))
    ]


def test_a_report_is_delivered_otherwise_if_the_connection_is_lost() -> None:
    delivered: Delivered = []
    pair = joined(CommitmentHandler(check, lambda *told: delivered.append(told)))
    pair.requestor.performs = False
    pair.invoke(action(), request(HERE))
    pair.cut()
    pair.run()
    assert [ae_title for ae_title, _ in delivered] == ["SCU"]


def test_a_report_is_delivered_otherwise_if_the_scu_refuses_it_here() -> None:
    delivered: Delivered = []
    pair = joined(CommitmentHandler(check, lambda *told: delivered.append(told)))
    pair.invoke(action(), request(HERE))
    pair.run()
    assert event_types(pair) == [1]
    assert [ae_title for ae_title, _ in delivered] == ["SCU"]


def test_reports_can_all_go_over_other_associations() -> None:
    delivered: Delivered = []
    scu = SCU(
        CommitmentHandler(check, lambda *told: delivered.append(told), same_association=False)
    )
    assert scu.ask(HERE) == status.SUCCESS
    scu.pair.run()
    assert scu.reports == []
    assert delivered == [("SCU", CommitmentResult("1.9", (HERE,), (), "SCP"))]


def test_a_report_that_can_go_nowhere_is_lost_and_no_failure() -> None:
    pair = joined(CommitmentHandler(check))
    pair.requestor.performs = False
    pair.invoke(action(), request(HERE))
    pair.release()
    assert pair.acceptor.failures == []


def test_a_check_that_fails_is_a_failure_of_its_instance_and_told() -> None:
    def broken(reference: Reference) -> int | None:
        if reference == GONE:
            raise OSError("no disk")
        return None

    scu = SCU(CommitmentHandler(broken))
    scu.ask(HERE, GONE)
    scu.pair.run()
    (result,) = scu.reports
    assert (result.committed, result.failed) == ((HERE,), ((GONE, PROCESSING_FAILURE),))
    assert [str(error) for error in scu.pair.acceptor.failures] == ["no disk"]


def without(keyword: str) -> bytes:
    data_set = action_information("1.9", [HERE])
    delattr(data_set, keyword)
    return encoded(data_set)


def nameless() -> bytes:
    data_set = action_information("1.9", [HERE])
    del data_set.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    return encoded(data_set)


@pytest.mark.parametrize(
    ("command", "data", "expected"),
    [
        (action(2), request(HERE), status.NO_SUCH_ACTION_TYPE),
        (action(instance_uid="1.2"), request(HERE), status.NO_SUCH_SOP_INSTANCE),
        (action(data=False), None, status.INVALID_ARGUMENT_VALUE),
        (action(), without("TransactionUID"), status.INVALID_ARGUMENT_VALUE),
        (action(), without("ReferencedSOPSequence"), status.INVALID_ARGUMENT_VALUE),
        (action(), nameless(), status.INVALID_ARGUMENT_VALUE),
        (action(), b"\xff" * 9, status.INVALID_ARGUMENT_VALUE),
    ],
)
def test_what_is_no_request_is_refused(
    command: NActionRQ, data: bytes | None, expected: int
) -> None:
    scu = SCU(CommitmentHandler(check))
    assert scu.pair.invoke(command, data).status == expected
    scu.pair.run()
    assert scu.reports == []


# Reports -----------------------------------------------------------------------------------------


def reported(
    arrived: Callable[[CommitmentResult], bool | None], data: bytes | None, event_type_id: int = 1
) -> Message:
    """The response to a report, on an association that the SCP requests."""
    pair = Pair(CommitmentReports(arrived))
    pair.associate([(STORAGE_COMMITMENT, [EXPLICIT])], roles={STORAGE_COMMITMENT: (False, True)})
    association = pair.requestor.association
    context = association.context_for(STORAGE_COMMITMENT, as_scp=True)
    command = NEventReportRQ(
        STORAGE_COMMITMENT, 1, STORAGE_COMMITMENT_INSTANCE, event_type_id, data is not None
    )
    association.send_request(context, command, data)
    pair.run_until(lambda: pair.requestor.responses)
    pair.release()
    return pair.requestor.responses[-1].message


def result_of(*references: Reference, failed: Iterable[Reference] = ()) -> CommitmentResult:
    return CommitmentResult("1.9", references, tuple((one, 0x0213) for one in failed))


def test_a_report_on_an_association_of_the_scp_is_taken() -> None:
    taken: list[CommitmentResult] = []
    result = result_of(HERE, failed=[GONE])
    response = reported(taken.append, encoded(event_information(result)), 2)
    assert response.status == status.SUCCESS
    assert taken == [result]


def test_a_report_of_what_was_not_asked_for_is_refused() -> None:
    transactions = Transactions()
    data = encoded(event_information(result_of(HERE)))
    assert reported(transactions.arrived, data).status == status.INVALID_ARGUMENT_VALUE
    transactions.expect("1.9")
    assert not transactions.has("1.9")
    assert transactions.take("1.9") is None
    assert reported(transactions.arrived, data).status == status.SUCCESS
    assert transactions.has("1.9")
    assert transactions.take("1.9") == result_of(HERE)
    assert reported(transactions.arrived, data).status == status.INVALID_ARGUMENT_VALUE
    transactions.expect("1.9")
    transactions.forget("1.9")
    assert not transactions.arrived(result_of(HERE))


@pytest.mark.parametrize(
    ("event_type_id", "data", "expected"),
    [
        (3, encoded(event_information(result_of(HERE))), status.NO_SUCH_EVENT_TYPE),
        (1, None, status.INVALID_ARGUMENT_VALUE),
        (1, without("TransactionUID"), status.INVALID_ARGUMENT_VALUE),
    ],
)
def test_what_is_no_report_is_refused(
    event_type_id: int, data: bytes | None, expected: int
) -> None:
    taken: list[CommitmentResult] = []
    assert reported(taken.append, data, event_type_id).status == expected
    assert taken == []


def test_a_failure_without_a_reason_is_a_processing_failure() -> None:
    taken: list[CommitmentResult] = []
    data_set = event_information(result_of(failed=[GONE]))
    del data_set.FailedSOPSequence[0].FailureReason
    reported(taken.append, encoded(data_set), 2)
    assert taken[0].failed == ((GONE, PROCESSING_FAILURE),)


def test_a_request_about_nothing_is_not_made() -> None:
    with pytest.raises(ValueError, match="one instance or more"):
        action_information("1.9", [])


# Checking ----------------------------------------------------------------------------------------


def test_an_instance_is_held_as_long_as_its_file_is_there(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    archive.put(instance(1), instance(2), instance(3), instance(4))
    held = held_by(archive.index)
    uids = [f"{STUDY}.1.{number}" for number in (1, 2, 3)]
    assert [held(Reference(CT, uid)) for uid in uids] == [None] * 3
    assert held(Reference("1.2.840.10008.5.1.4.1.1.4", uids[0])) == CLASS_INSTANCE_CONFLICT
    assert held(Reference(CT, "1.2.9")) == NO_SUCH_OBJECT_INSTANCE
    assert held(Reference(CT, "*")) == NO_SUCH_OBJECT_INSTANCE
    for uid, content in ((uids[0], None), (uids[1], b"no DICOM"), (uids[2], "another")):
        (path,) = tmp_path.glob(f"{uid}-*.dcm")
        if content is None:
            path.unlink()
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            instance(4).save_as(path, enforce_file_format=True)
    assert [held(Reference(CT, uid)) for uid in uids] == [
        NO_SUCH_OBJECT_INSTANCE,
        PROCESSING_FAILURE,
        PROCESSING_FAILURE,
    ]


def test_an_instance_without_a_file_is_not_held() -> None:
    index = InstanceIndex()
    index.add(instance(1))
    assert held_by(index)(Reference(CT, f"{STUDY}.1.1")) == NO_SUCH_OBJECT_INSTANCE


# With other services -----------------------------------------------------------------------------


def test_handlers_can_be_joined_and_each_answers_for_its_own_classes(tmp_path: Path) -> None:
    class All(CommitmentReports, CommitmentHandler, ProcedureStepHandler, ArchiveHandler):
        choose = staticmethod(choose_any(lambda uid: True))

        def __init__(self) -> None:
            archive = Archive(tmp_path)
            ArchiveHandler.__init__(self, archive.folder, archive.index)
            ProcedureStepHandler.__init__(self, ProcedureSteps())
            CommitmentHandler.__init__(self, held_by(archive.index))
            CommitmentReports.__init__(self, lambda result: False)

    requestor = CommitmentReports(lambda result: None)
    pair = Pair(All(), requestor)
    other = "1.2.840.10008.5.1.1.33"
    contexts = [STORAGE_COMMITMENT, other, MODALITY_PERFORMED_PROCEDURE_STEP, STUDY_ROOT_FIND]
    roles = {uid: (True, True) for uid in contexts}
    pair.associate([(uid, [EXPLICIT]) for uid in contexts], roles=roles)
    studies = identifier("QueryRetrieveLevel=STUDY", "StudyInstanceUID")
    for command, data, expected in (
        (action(), request(HERE), 0x0000),
        (NActionRQ(other, 1, "1.2", 1), None, status.NO_SUCH_SOP_CLASS),
        (NCreateRQ(MODALITY_PERFORMED_PROCEDURE_STEP, 1, True, "1.2"), encoded(begun()), 0x0000),
        (NEventReportRQ(other, 1, "1.2", 1), None, status.NO_SUCH_SOP_CLASS),
        (CFindRQ(STUDY_ROOT_FIND, 1), encoded(studies), 0x0000),
    ):
        assert pair.invoke(command, data).status == expected
        pair.run()
