"""Storage Commitment as a service class user, for asyncio: `dul_fsm.scu.commitment`, awaited.

transactions = Transactions()
reports = CommitmentReports(transactions.arrived)
async with associate(host, port, contexts=[STORAGE_COMMITMENT], handler=reports) as association:
    result = await commit(association, references, transactions, timeout=30)
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from dul_fsm.aio.association import SCUAssociation, associate
from dul_fsm.association import Message
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
from dul_fsm.transports.aio import AsyncConnector

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
    """Requests whose reports are awaited; for any number of tasks of one event loop."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = asyncio.Event()

    def arrived(self, result: CommitmentResult) -> bool:
        """A report has come; False if none is awaited."""
        known = super().arrived(result)
        self._changed.set()
        return known

    async def wait(
        self, transaction_uid: str, timeout: float | None = None
    ) -> CommitmentResult | None:
        """Wait for a report, which is forgotten with it; None after `timeout` seconds without."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while not self.has(transaction_uid):
                    self._changed.clear()
                    await self._changed.wait()
        return self.take(transaction_uid)


async def request_commitment(
    association: SCUAssociation,
    references: Iterable[tuple[str, str]],
    transactions: commitment.Transactions,
    transaction_uid: str | None = None,
) -> str:
    """See `dul_fsm.scu.commitment.request_commitment`."""
    from pydicom.uid import generate_uid

    uid = transaction_uid or generate_uid()
    information = action_information(uid, references)
    transactions.expect(uid)
    try:
        done(
            await association.n_action(
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


async def commit(
    association: SCUAssociation,
    references: Iterable[tuple[str, str]],
    transactions: commitment.Transactions,
    timeout: float | None = None,
) -> CommitmentResult | None:
    """See `dul_fsm.scu.commitment.commit`."""
    uid = await request_commitment(association, references, transactions)
    await association.serve(lambda: transactions.has(uid), timeout)
    return transactions.take(uid)


async def report(
    result: CommitmentResult, peer: str | AsyncConnector, port: int | None = None, **keywords: Any
) -> Message:
    """See `dul_fsm.scu.commitment.report`."""
    async with associate(
        peer, port, contexts=[STORAGE_COMMITMENT], roles=REPORT_ROLES, **keywords
    ) as association:
        return done(
            await association.n_event_report(
                STORAGE_COMMITMENT,
                STORAGE_COMMITMENT_INSTANCE,
                result.event_type_id,
                event_information(result),
            )
        )
