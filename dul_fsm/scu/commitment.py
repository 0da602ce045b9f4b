"""Storage Commitment as a service class user (PS3.4 Annex J), and the report of an SCP.

    transactions = Transactions()
    reports = CommitmentReports(transactions.arrived)
    with associate(host, port, contexts=[STORAGE_COMMITMENT], handler=reports) as association:
        result = commit(association, references, transactions, timeout=30)

An SCP that reports on an association of its own calls a server of ours:

    with serve(lambda: CommitmentReports(transactions.arrived), port=11113):
        uid = request_commitment(association, references, transactions)
        result = transactions.wait(uid, timeout=600)

Not here: data sets (`services.commitment`), the SCP (`scp.commitment`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from dul_fsm.association import Message
from dul_fsm.scu.association import SCUAssociation, associate
from dul_fsm.services import commitment
from dul_fsm.services.commitment import (
    REPORT_ROLES,
    REQUEST_STORAGE_COMMITMENT,
    STORAGE_COMMITMENT,
    STORAGE_COMMITMENT_INSTANCE,
    CommitmentReports,
    CommitmentResult,
    Reference,
    action_information,
    event_information,
)
from dul_fsm.services.results import OperationFailed, done
from dul_fsm.transports import Connector

__all__ = [
    "STORAGE_COMMITMENT",
    "CommitmentReports",
    "CommitmentResult",
    "OperationFailed",
    "Reference",
    "Transactions",
    "commit",
    "report",
    "request_commitment",
]


class Transactions(commitment.Transactions):
    """Requests whose reports are awaited; for any number of threads."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()

    def arrived(self, result: CommitmentResult) -> bool:
        """A report has come; False if none is awaited."""
        with self._changed:
            known = super().arrived(result)
            self._changed.notify_all()
        return known

    def wait(self, transaction_uid: str, timeout: float | None = None) -> CommitmentResult | None:
        """Wait for a report, which is forgotten with it; None after `timeout` seconds without."""
        with self._changed:
            self._changed.wait_for(lambda: self.has(transaction_uid), timeout)
            return self.take(transaction_uid)


def request_commitment(
    association: SCUAssociation,
    references: Iterable[tuple[str, str]],
    transactions: commitment.Transactions,
    transaction_uid: str | None = None,
) -> str:
    """Ask that instances be kept safe; the Transaction UID of the report that will come.

    `references`: SOP Class and SOP Instance UIDs. `transaction_uid`: None for a new one. Raises
    `OperationFailed`, and what `n_action` raises.
    """
    from pydicom.uid import generate_uid

    uid = transaction_uid or generate_uid()
    information = action_information(uid, references)
    transactions.expect(uid)
    try:
        done(
            association.n_action(
                STORAGE_COMMITMENT,
                STORAGE_COMMITMENT_INSTANCE,
                REQUEST_STORAGE_COMMITMENT,
                information,
            )
        )
    except BaseException:
        transactions.forget(uid)
        raise
    return uid


def commit(
    association: SCUAssociation,
    references: Iterable[tuple[str, str]],
    transactions: commitment.Transactions,
    timeout: float | None = None,
) -> CommitmentResult | None:
    """Ask that instances be kept safe, and wait for the report on the same association.

    `transactions`: what the association's handler, a `CommitmentReports`, tells. None if no report
    has come in `timeout` seconds: it may still come, on this association or to a server of ours,
    until `transactions.forget`. Raises as `request_commitment` does.
    """
    uid = request_commitment(association, references, transactions)
    association.serve(lambda: transactions.has(uid), timeout)
    return transactions.take(uid)


def report(
    result: CommitmentResult, peer: str | Connector, port: int | None = None, **keywords: Any
) -> Message:
    """As the SCP, report on an association of its own (PS3.4 §J.3.3); the response.

    `keywords`: those of `associate`, `called_ae_title` first of all. Raises what that and
    `n_event_report` raise, and `OperationFailed`.
    """
    with associate(
        peer, port, contexts=[STORAGE_COMMITMENT], roles=REPORT_ROLES, **keywords
    ) as association:
        return done(
            association.n_event_report(
                STORAGE_COMMITMENT,
                STORAGE_COMMITMENT_INSTANCE,
                result.event_type_id,
                event_information(result),
            )
        )
