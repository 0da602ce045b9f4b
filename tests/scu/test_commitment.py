"""`scu.commitment`: reports on the same association, or on one that the SCP requests."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from dul_fsm.dimse import status
from dul_fsm.scp import serve
from dul_fsm.scp.commitment import CommitmentHandler
from dul_fsm.scu import associate
from dul_fsm.scu.commitment import (
    STORAGE_COMMITMENT,
    CommitmentReports,
    CommitmentResult,
    OperationFailed,
    Reference,
    Transactions,
    commit,
    report,
    request_commitment,
)
from dul_fsm.services.handler import Handler
from dul_fsm.services.sop_classes import VERIFICATION, choose_any
from dul_fsm.transports import Loopback

HERE, GONE = Reference("1.2.840.10008.5.1.4.1.1.2", "1.2.1"), Reference("1.2.840", "1.2.2")
PATIENCE = 30.0


def check(reference: Reference) -> int | None:
    return None if reference == HERE else 0x0112


def test_commit_waits_for_the_report_on_the_same_association() -> None:
    transactions, endpoint = Transactions(), Loopback()
    reports = CommitmentReports(transactions.arrived)
    with (
        serve(lambda: CommitmentHandler(check), endpoint),
        associate(
            endpoint, contexts=[STORAGE_COMMITMENT, VERIFICATION], handler=reports
        ) as association,
    ):
        for _ in range(2):
            result = commit(association, [HERE, GONE], transactions, PATIENCE)
            assert result is not None
            assert (result.committed, result.failed) == ((HERE,), ((GONE, 0x0112),))
        assert association.c_echo().status == status.SUCCESS


def test_a_report_on_another_association_reaches_a_server_of_ours() -> None:
    transactions, archive, ours = Transactions(), Loopback(), Loopback()
    with ThreadPoolExecutor(1) as pool:

        def deliver(ae_title: str, result: CommitmentResult) -> None:
            pool.submit(report, result, ours, called_ae_title=ae_title)

        handler = CommitmentHandler(check, deliver, same_association=False)
        with (
            serve(lambda: CommitmentReports(transactions.arrived), ours),
            serve(lambda: handler, archive),
        ):
            with associate(archive, contexts=[STORAGE_COMMITMENT]) as association:
                uid = request_commitment(association, [HERE], transactions)
            result = transactions.wait(uid, PATIENCE)
            assert result is not None
            assert result.committed == (HERE,)
            assert transactions.wait(uid, timeout=0) is None


def test_a_report_that_a_released_association_does_not_take_is_delivered_otherwise() -> None:
    transactions, endpoint = Transactions(), Loopback()

    def deliver(ae_title: str, result: CommitmentResult) -> None:
        assert transactions.arrived(result)

    with serve(lambda: CommitmentHandler(check, deliver), endpoint):
        with associate(endpoint, contexts=[STORAGE_COMMITMENT]) as association:
            uid = request_commitment(association, [HERE], transactions)
        assert transactions.wait(uid, PATIENCE) is not None


def test_commit_gives_up_after_its_time_and_the_report_may_still_come() -> None:
    transactions, endpoint, results = Transactions(), Loopback(), list[CommitmentResult]()
    handler = CommitmentHandler(
        check, lambda ae_title, result: results.append(result), same_association=False
    )
    with (
        serve(lambda: handler, endpoint),
        associate(endpoint, contexts=[STORAGE_COMMITMENT]) as association,
    ):
        assert commit(association, [HERE], transactions, timeout=0.01) is None
    (late,) = results
    assert transactions.arrived(late)
    assert transactions.take(late.transaction_uid) == late


def test_a_request_that_is_refused_is_an_error_and_awaits_nothing() -> None:
    class Refuses(Handler):
        choose = staticmethod(choose_any(STORAGE_COMMITMENT))

    transactions, endpoint = Transactions(), Loopback()
    with (
        serve(Refuses, endpoint),
        associate(endpoint, contexts=[STORAGE_COMMITMENT]) as association,
        pytest.raises(OperationFailed),
    ):
        request_commitment(association, [HERE], transactions, "1.9")
    assert not transactions.arrived(CommitmentResult("1.9", (HERE,)))


def test_a_report_that_is_refused_is_an_error() -> None:
    transactions, ours = Transactions(), Loopback()
    with (
        serve(lambda: CommitmentReports(transactions.arrived), ours),
        pytest.raises(OperationFailed, match="no such transaction"),
    ):
        report(CommitmentResult("1.9", (HERE,)), ours)


def test_who_waits_is_woken_by_the_report_and_not_by_the_clock() -> None:
    transactions, results = Transactions(), list[CommitmentResult | None]()
    transactions.expect("1.9")
    waiting = threading.Thread(target=lambda: results.append(transactions.wait("1.9")), daemon=True)
    waiting.start()
    result = CommitmentResult("1.9", (HERE,))
    assert transactions.arrived(result)
    waiting.join(PATIENCE)
    assert results == [result]
