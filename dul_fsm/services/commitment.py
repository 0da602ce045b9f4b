"""Storage Commitment Push Model without I/O (PS3.4 Annex J): its data sets, and who takes reports.

An SCU asks, by an N-ACTION, that instances be kept safe; the SCP answers later, by an
N-EVENT-REPORT, on that association or on one of its own, which kept are and which are not.

Rules: a report that nobody waits for is refused, so that what is kept of reports is bounded by
what was asked for.

Not here: checking what is stored (`scp.commitment`), waiting for a report (`scu`, `dul_fsm.aio`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from dul_fsm.association import Message
from dul_fsm.dimse import NEventReportRQ, status
from dul_fsm.errors import DULError
from dul_fsm.services.handler import Handler
from dul_fsm.services.outcomes import Notification, Reply
from dul_fsm.services.sop_classes import VERIFICATION, choose_any
from dul_fsm.value import value

if TYPE_CHECKING:
    from pydicom import Dataset

STORAGE_COMMITMENT: Final = "1.2.840.10008.1.20.1"
"""Storage Commitment Push Model SOP Class."""
STORAGE_COMMITMENT_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
"""The well-known instance that every operation and notification is about (PS3.4 §J.3.5)."""

REQUEST_STORAGE_COMMITMENT: Final = 1
"""Action Type ID (PS3.4 Table J.3-1)."""
ALL_COMMITTED: Final = 1
SOME_FAILED: Final = 2
"""Event Type IDs (PS3.4 Table J.3-2)."""

# Failure Reasons, PS3.3 §C.14.1.1: the status codes of PS3.7, and one more.
PROCESSING_FAILURE: Final = status.PROCESSING_FAILURE
NO_SUCH_OBJECT_INSTANCE: Final = status.NO_SUCH_SOP_INSTANCE
CLASS_INSTANCE_CONFLICT: Final = status.CLASS_INSTANCE_CONFLICT
DUPLICATE_TRANSACTION_UID: Final = 0x0131

REPORT_ROLES: Final = {STORAGE_COMMITMENT: (False, True)}
"""The `roles` of an association that the SCP requests, to report on it (PS3.4 §J.3.3)."""


class InvalidCommitment(DULError):
    """A request or report that is none; the text says why."""


class Reference(NamedTuple):
    """A SOP Instance."""

    sop_class_uid: str
    sop_instance_uid: str


@value
class CommitmentResult:
    """What an SCP reports about one transaction."""

    transaction_uid: str
    """As the SCU has chosen it."""
    committed: tuple[Reference, ...]
    """What is kept safe."""
    failed: tuple[tuple[Reference, int], ...] = ()
    """What is not, each with its Failure Reason (PS3.3 §C.14.1.1); 0110H where there was none."""
    retrieve_ae_title: str = ""
    """Where the committed instances can be retrieved; empty if that was not said."""

    @property
    def ok(self) -> bool:
        """Whether all is kept."""
        return not self.failed

    @property
    def event_type_id(self) -> int:
        """The event that it is."""
        return ALL_COMMITTED if self.ok else SOME_FAILED

    def notification(self, responded: Callable[[int | None], object]) -> Notification:
        """The N-EVENT-REPORT that says it."""
        return Notification(
            STORAGE_COMMITMENT,
            STORAGE_COMMITMENT_INSTANCE,
            self.event_type_id,
            event_information(self),
            responded,
        )


# Data sets ---------------------------------------------------------------------------------------


def action_information(transaction_uid: str, references: Iterable[tuple[str, str]]) -> Dataset:
    """The Action Information of a request (PS3.4 Table J.3-1).

    Raises `ValueError` for no reference at all.
    """
    data_set = _transaction(transaction_uid)
    data_set.ReferencedSOPSequence = [_item(Reference(*reference)) for reference in references]
    if not data_set.ReferencedSOPSequence:
        raise ValueError("a request for storage commitment is about one instance or more")
    return data_set


def read_request(message: Message) -> tuple[str, tuple[Reference, ...]]:
    """Transaction UID and references of an N-ACTION. Raises `InvalidCommitment`, `DataSetError`."""
    data_set = message.decode()
    references = _references(data_set, "ReferencedSOPSequence")
    if not references:
        raise InvalidCommitment("no ReferencedSOPSequence")
    return _transaction_uid(data_set), references


def event_information(result: CommitmentResult) -> Dataset:
    """The Event Information of a report (PS3.4 Table J.3-2)."""
    data_set = _transaction(result.transaction_uid)
    if result.retrieve_ae_title:
        data_set.RetrieveAETitle = result.retrieve_ae_title
    if result.committed:
        data_set.ReferencedSOPSequence = [_item(reference) for reference in result.committed]
    if result.failed:
        data_set.FailedSOPSequence = [_item(one, reason) for one, reason in result.failed]
    return data_set


def read_report(message: Message) -> CommitmentResult:
    """What an N-EVENT-REPORT says. Raises `InvalidCommitment`, `DataSetError`."""
    data_set = message.decode()
    failed = _references(data_set, "FailedSOPSequence")
    reasons = [
        int(item.get("FailureReason") or PROCESSING_FAILURE)
        for item in data_set.get("FailedSOPSequence") or ()
    ]
    return CommitmentResult(
        _transaction_uid(data_set),
        _references(data_set, "ReferencedSOPSequence"),
        tuple(zip(failed, reasons, strict=True)),
        str(data_set.get("RetrieveAETitle") or ""),
    )


def _transaction(uid: str) -> Dataset:
    from pydicom import Dataset

    data_set = Dataset()
    data_set.TransactionUID = uid
    return data_set


def _item(reference: Reference, reason: int | None = None) -> Dataset:
    from pydicom import Dataset

    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = reference
    if reason is not None:
        item.FailureReason = reason
    return item


def _transaction_uid(data_set: Dataset) -> str:
    uid = str(data_set.get("TransactionUID") or "")
    if not uid:
        raise InvalidCommitment("no TransactionUID")
    return uid


def _references(data_set: Dataset, sequence: str) -> tuple[Reference, ...]:
    found = []
    for item in data_set.get(sequence) or ():
        uids = item.get("ReferencedSOPClassUID"), item.get("ReferencedSOPInstanceUID")
        if not all(uids):
            raise InvalidCommitment(f"an item of {sequence} names no SOP Class or no SOP Instance")
        found.append(Reference(*map(str, uids)))
    return tuple(found)


# The SCU -----------------------------------------------------------------------------------------


class CommitmentReports(Handler):
    """Takes the reports of storage commitment: the handler of an SCU's association, or of its own
    server, where the SCP requests an association to report (PS3.4 §J.3.3)."""

    choose = staticmethod(choose_any(VERIFICATION, STORAGE_COMMITMENT))

    def __init__(self, arrived: Callable[[CommitmentResult], bool | None]) -> None:
        """`arrived` is told each result; False if it knows of no such transaction."""
        self._arrived = arrived

    def n_event_report_requested(self, message: Message) -> int | Reply:
        """See `Handler.n_event_report_requested`."""
        request = message.command
        if not isinstance(request, NEventReportRQ) or (
            request.affected_sop_class_uid != STORAGE_COMMITMENT
        ):
            return super().n_event_report_requested(message)
        if request.event_type_id not in (ALL_COMMITTED, SOME_FAILED):
            return status.NO_SUCH_EVENT_TYPE
        try:
            result = read_report(message)
        except DULError as error:
            return Reply(status.INVALID_ARGUMENT_VALUE, comment=str(error))
        if self._arrived(result) is False:
            return Reply(status.INVALID_ARGUMENT_VALUE, comment="no such transaction")
        return status.SUCCESS


class Transactions:
    """Requests whose reports are awaited, and the reports that have come.

    For one thread; `scu` and `dul_fsm.aio` have one to wait for.
    """

    def __init__(self) -> None:
        self._expected: dict[str, CommitmentResult | None] = {}

    def expect(self, transaction_uid: str) -> None:
        """A request with this UID is about to leave."""
        self._expected.setdefault(transaction_uid, None)

    def forget(self, transaction_uid: str) -> None:
        """No report of it is awaited any more."""
        self._expected.pop(transaction_uid, None)

    def arrived(self, result: CommitmentResult) -> bool:
        """A report has come; False if none is awaited."""
        if result.transaction_uid not in self._expected:
            return False
        self._expected[result.transaction_uid] = result
        return True

    def has(self, transaction_uid: str) -> bool:
        """Whether the report of a request has come."""
        return self._expected.get(transaction_uid) is not None

    def take(self, transaction_uid: str) -> CommitmentResult | None:
        """The report of a request, which is forgotten with it; None if it has not come."""
        result = self._expected.get(transaction_uid)
        if result is not None:
            del self._expected[transaction_uid]
        return result
