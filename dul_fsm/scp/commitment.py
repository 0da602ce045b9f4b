"""Storage Commitment as a service class provider (PS3.4 Annex J).

    index = InstanceIndex()
    index.add_folder("received")
    with serve(lambda: CommitmentHandler(held_by(index))) as server: ...

Rules: a request is answered at once and checked then; the report goes over the same association,
and to `deliver` if that ends before the report was answered, or the SCU refuses it there. An
instance is committed when its file can be opened and holds it: that the file stays is the promise
of whoever runs the server.

Not here: associations that the SCP requests, which `scu.commitment.report` does; where it sends
to is for whoever has written `deliver` to know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dul_fsm.association import Message
from dul_fsm.dimse import NActionRQ, StatusCategory, category, status
from dul_fsm.errors import DULError
from dul_fsm.files import NotStorable, is_uid, read_part10
from dul_fsm.query import IMAGE, STUDY_ROOT, IndexedInstance, InstanceIndex
from dul_fsm.query.elements import element_of
from dul_fsm.query.models import UNIQUE_KEYS
from dul_fsm.services.commitment import (
    CLASS_INSTANCE_CONFLICT,
    NO_SUCH_OBJECT_INSTANCE,
    PROCESSING_FAILURE,
    REQUEST_STORAGE_COMMITMENT,
    STORAGE_COMMITMENT,
    STORAGE_COMMITMENT_INSTANCE,
    CommitmentResult,
    Reference,
    read_request,
)
from dul_fsm.services.handler import Handler, Notification, Reply
from dul_fsm.services.sop_classes import VERIFICATION, choose_any

_SOP_INSTANCE_UID = UNIQUE_KEYS[IMAGE]

Check = Callable[[Reference], "int | None"]
"""Why an instance cannot be committed, a Failure Reason (PS3.3 §C.14.1.1); None if it can be."""

Deliver = Callable[[str, CommitmentResult], object]
"""Told the AE title of an SCU and a result that could not be reported on its association."""


class CommitmentHandler(Handler):
    """Answers requests for storage commitment, and reports."""

    choose = staticmethod(choose_any(VERIFICATION, STORAGE_COMMITMENT))

    def __init__(
        self, check: Check, deliver: Deliver | None = None, *, same_association: bool = True
    ) -> None:
        """`deliver` is called in the thread of the association, or its task, and so has to leave
        what takes long to others; None: a report that cannot be sent is lost. With
        `same_association` False it is given every report."""
        self._check = check
        self._deliver = deliver or (lambda ae_title, result: None)
        self._same_association = same_association

    def n_action_requested(self, message: Message) -> int | Reply:
        """See `Handler.n_action_requested`."""
        request = message.command
        if not isinstance(request, NActionRQ) or (
            request.requested_sop_class_uid != STORAGE_COMMITMENT
        ):
            return super().n_action_requested(message)
        if request.requested_sop_instance_uid != STORAGE_COMMITMENT_INSTANCE:
            return status.NO_SUCH_SOP_INSTANCE
        if request.action_type_id != REQUEST_STORAGE_COMMITMENT:
            return status.NO_SUCH_ACTION_TYPE
        try:
            transaction_uid, references = read_request(message)
        except DULError as error:
            return Reply(status.INVALID_ARGUMENT_VALUE, comment=str(error))
        return Reply(notifications=self._reports(transaction_uid, references))

    def _reports(
        self, transaction_uid: str, references: tuple[Reference, ...]
    ) -> Iterator[Notification]:
        """The report, made when the response has left."""
        request = self.request
        calling = "" if request is None else request.calling_ae_title
        called = "" if request is None else request.called_ae_title
        failures: list[Exception] = []

        def reason_of(reference: Reference) -> int | None:
            try:
                return self._check(reference)
            except Exception as error:
                failures.append(error)
                return PROCESSING_FAILURE

        checked = [(reference, reason_of(reference)) for reference in references]
        result = CommitmentResult(
            transaction_uid,
            tuple(reference for reference, reason in checked if reason is None),
            tuple((reference, reason) for reference, reason in checked if reason is not None),
            retrieve_ae_title=called,
        )

        def responded(outcome: int | None) -> None:
            # An SCU that has a server of its own may refuse a report here.
            if outcome is None or category(outcome) is StatusCategory.FAILURE:
                self._deliver(calling, result)

        if self._same_association:
            yield result.notification(responded)
        else:
            self._deliver(calling, result)
        if failures:  # for the log; the SCU has its report
            raise failures[0]


def held_by(index: InstanceIndex) -> Check:
    """Checks an instance by its file: known to the index, of that SOP Class, and there."""

    def check(reference: Reference) -> int | None:
        found = _instances(index, reference.sop_instance_uid)
        if not found:
            return NO_SUCH_OBJECT_INSTANCE
        instance = found[0]
        if instance.sop_class_uid != reference.sop_class_uid:
            return CLASS_INSTANCE_CONFLICT
        if instance.path is None:
            return NO_SUCH_OBJECT_INSTANCE
        try:
            head = read_part10(instance.path)
        except FileNotFoundError:
            return NO_SUCH_OBJECT_INSTANCE
        except (NotStorable, OSError):
            return PROCESSING_FAILURE
        same = head.sop_instance_uid == reference.sop_instance_uid
        return None if same else PROCESSING_FAILURE

    return check


def _instances(index: InstanceIndex, sop_instance_uid: str) -> list[IndexedInstance]:
    from pydicom import Dataset

    if not is_uid(sop_instance_uid):
        return []
    identifier = Dataset()
    identifier.QueryRetrieveLevel = IMAGE
    identifier[_SOP_INSTANCE_UID] = element_of(_SOP_INSTANCE_UID, "UI", [sop_instance_uid])
    return index.select(identifier, STUDY_ROOT, relational=True)
