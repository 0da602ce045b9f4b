"""Modality Performed Procedure Step as a service class provider (PS3.4 Annex F).

    steps = ProcedureSteps(changed=lambda uid, step: print(uid, step.PerformedProcedureStepStatus))
    with serve(lambda: ProcedureStepHandler(steps)) as server: ...

Rules
  * A step begins IN PROGRESS and ends COMPLETED or DISCONTINUED; then it is not changed any more
    (PS3.4 §F.7.2.2.2).
  * What has to have a value is asked for (Table F.7.2-1, type 1). What may be empty may be left
    out, too: modalities do that.
  * What may be created only, and is set to something else, stays as it is: the answer is 0107H.

Not here: what a hospital's system makes of it: a store that keeps steps elsewhere, or `changed`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, Protocol

from dul_fsm.association import Message
from dul_fsm.dimse import NCreateRQ, NGetRQ, NSetRQ, status
from dul_fsm.errors import DULError
from dul_fsm.files import is_uid
from dul_fsm.query import keyword_of
from dul_fsm.query.character_sets import set_character_set
from dul_fsm.query.elements import element_in
from dul_fsm.services.handler import Handler, Reply
from dul_fsm.services.procedure_step import (
    COMPLETED,
    DISCONTINUED,
    IN_PROGRESS,
    MODALITY_PERFORMED_PROCEDURE_STEP,
    MODALITY_PERFORMED_PROCEDURE_STEP_RETRIEVE,
)
from dul_fsm.services.sop_classes import VERIFICATION, choose_any

if TYPE_CHECKING:
    from pydicom import Dataset

MAY_NO_LONGER_BE_UPDATED: Final = 0xA710
"""Error ID of status 0110H (PS3.4 §F.7.2.2.2)."""

_SPECIFIC_CHARACTER_SET: Final = 0x00080005
_MODALITY: Final = 0x00080060
_STUDY_INSTANCE_UID: Final = 0x0020000D
_STATUS: Final = 0x00400252
_SCHEDULED_STEPS: Final = 0x00400270
_SERIES: Final = 0x00400340

# PS3.4 Table F.7.2-1, type 1 of N-CREATE.
_TO_CREATE: Final = (
    _SCHEDULED_STEPS,
    0x00400253,  # Performed Procedure Step ID
    0x00400241,  # Performed Station AE Title
    0x00400244,  # Performed Procedure Step Start Date
    0x00400245,  # Performed Procedure Step Start Time
    _STATUS,
    _MODALITY,
)
# The same table: type 1 when the step has ended; the series of one that was completed.
_TO_END: Final = (
    0x00400250,  # Performed Procedure Step End Date
    0x00400251,  # Performed Procedure Step End Time
)
# The same table: not allowed in an N-SET.
_CREATED_ONLY: Final = frozenset(
    (
        _MODALITY,
        _SCHEDULED_STEPS,
        0x00081120,  # Referenced Patient Sequence
        0x00100010,  # Patient's Name
        0x00100020,  # Patient ID
        0x00100030,  # Patient's Birth Date
        0x00100040,  # Patient's Sex
        0x00200010,  # Study ID
        0x00400241,  # Performed Station AE Title
        0x00400242,  # Performed Station Name
        0x00400243,  # Performed Location
        0x00400244,  # Performed Procedure Step Start Date
        0x00400245,  # Performed Procedure Step Start Time
        0x00400253,  # Performed Procedure Step ID
    )
)


class StepRefused(DULError):
    """What cannot be done with a step; the text says why."""

    def __init__(
        self, status: int, text: str = "", *, error_id: int | None = None, tags: Iterable[int] = ()
    ) -> None:
        super().__init__(text)
        self.status = status
        """What the SCU is answered."""
        self.error_id = error_id
        """The Error ID that goes with it."""
        self.tags = tuple(tags)
        """The attributes that are to blame."""


class Store(Protocol):
    """Where steps are kept, by their SOP Instance UIDs; a `dict` is one."""

    def get(self, sop_instance_uid: str, /) -> Dataset | None:
        """A step, or None."""
        ...

    def __setitem__(self, sop_instance_uid: str, step: Dataset, /) -> None:
        """A step is new, or has changed: this is all of it, and will not change."""
        ...


class ProcedureSteps:
    """Steps and what may be done with them; any number of handlers share it."""

    def __init__(
        self,
        store: Store | None = None,
        changed: Callable[[str, Dataset], object] = lambda uid, step: None,
    ) -> None:
        """`store`: where steps are kept; None: in memory, for as long as this lives. `changed` is
        told each step that is created or set, as it is now. Both are called one at a time, in the
        thread of an association."""
        self._store: Store = {} if store is None else store
        self._changed = changed
        self._changing = threading.Lock()

    def create(self, sop_instance_uid: str | None, attributes: Dataset) -> str:
        """N-CREATE (PS3.4 §F.7.2.1); the SOP Instance UID. Raises `StepRefused`."""
        if sop_instance_uid is not None and not is_uid(sop_instance_uid):
            raise StepRefused(status.INVALID_SOP_INSTANCE, "the SOP Instance UID is not a UID")
        _require(attributes, _TO_CREATE)
        for item in attributes[_SCHEDULED_STEPS].value:
            _require(item, (_STUDY_INSTANCE_UID,))
        if _state(attributes) != IN_PROGRESS:
            raise _invalid_state(f"a step is created {IN_PROGRESS}")
        with self._changing:
            uid = sop_instance_uid or _new_uid()
            if self._store.get(uid) is not None:
                raise StepRefused(status.DUPLICATE_SOP_INSTANCE)
            self._keep(uid, attributes)
        return uid

    def set(self, sop_instance_uid: str, modifications: Dataset) -> list[int]:
        """N-SET (PS3.4 §F.7.2.2); the tags of what may not be set, and was not. Raises
        `StepRefused`."""
        with self._changing:
            step = self._store.get(sop_instance_uid)
            if step is None:
                raise StepRefused(status.NO_SUCH_SOP_INSTANCE)
            if _state(step) != IN_PROGRESS:
                raise StepRefused(
                    status.PROCESSING_FAILURE,
                    # The words are the standard's.
                    "Performed Procedure Step Object may no longer be updated",
                    error_id=MAY_NO_LONGER_BE_UPDATED,
                )
            changed, refused = _merge(step, modifications)
            state = _state(changed)
            if state not in (IN_PROGRESS, COMPLETED, DISCONTINUED):
                raise _invalid_state(f"not a status: {state[:16]!r}")
            if state != IN_PROGRESS:
                _require(changed, (*_TO_END, _SERIES) if state == COMPLETED else _TO_END)
            self._keep(sop_instance_uid, changed)
        return refused

    def get(self, sop_instance_uid: str, tags: Iterable[int] = ()) -> Dataset:
        """N-GET (PS3.4 §F.8.2): those attributes that there are; without `tags` all of them.

        Raises `StepRefused`.
        """
        from pydicom import Dataset

        step = self._store.get(sop_instance_uid)
        if step is None:
            raise StepRefused(status.NO_SUCH_SOP_INSTANCE)
        wanted = set(tags)
        if not wanted:
            return step
        answer = Dataset()
        for element in step:
            if int(element.tag) in wanted | {_SPECIFIC_CHARACTER_SET}:
                answer[element.tag] = element
        return answer

    def _keep(self, uid: str, step: Dataset) -> None:
        self._store[uid] = step
        self._changed(uid, step)


class ProcedureStepHandler(Handler):
    """Answers C-ECHO, and what modalities report of the procedure steps that they perform."""

    choose = staticmethod(
        choose_any(
            VERIFICATION,
            MODALITY_PERFORMED_PROCEDURE_STEP,
            MODALITY_PERFORMED_PROCEDURE_STEP_RETRIEVE,
        )
    )

    def __init__(self, steps: ProcedureSteps) -> None:
        """`steps`: shared by all handlers."""
        self._steps = steps

    def n_create_requested(self, message: Message) -> int | Reply:
        """See `Handler.n_create_requested`."""
        request = message.command
        if not isinstance(request, NCreateRQ) or (
            request.affected_sop_class_uid != MODALITY_PERFORMED_PROCEDURE_STEP
        ):
            return super().n_create_requested(message)
        try:
            uid = self._steps.create(request.affected_sop_instance_uid, message.decode())
        except StepRefused as error:
            return _refusal(error)
        return Reply(sop_instance_uid=uid)

    def n_set_requested(self, message: Message) -> int | Reply:
        """See `Handler.n_set_requested`."""
        request = message.command
        if not isinstance(request, NSetRQ) or (
            request.requested_sop_class_uid != MODALITY_PERFORMED_PROCEDURE_STEP
        ):
            return super().n_set_requested(message)
        try:
            refused = self._steps.set(request.requested_sop_instance_uid, message.decode())
        except StepRefused as error:
            return _refusal(error)
        if not refused:
            return status.SUCCESS
        return Reply(
            status.ATTRIBUTE_LIST_ERROR, fields={"attribute_identifier_list": tuple(refused)}
        )

    def n_get_requested(self, message: Message) -> int | Reply:
        """See `Handler.n_get_requested`."""
        request = message.command
        if not isinstance(request, NGetRQ) or (
            request.requested_sop_class_uid != MODALITY_PERFORMED_PROCEDURE_STEP_RETRIEVE
        ):
            return super().n_get_requested(message)
        tags = request.attribute_identifier_list
        try:
            step = self._steps.get(request.requested_sop_instance_uid, tags)
        except StepRefused as error:
            return _refusal(error)
        if all(tag in step for tag in tags):
            return Reply(data=step)
        return Reply(status.REQUESTED_OPTIONAL_ATTRIBUTES_NOT_SUPPORTED, step)


def _refusal(error: StepRefused) -> Reply:
    fields: dict[str, object] = {}
    if error.error_id is not None:
        fields["error_id"] = error.error_id
    if error.tags:
        fields["attribute_identifier_list"] = error.tags
    return Reply(error.status, comment=str(error), fields=fields)


def _require(data_set: Dataset, tags: Iterable[int]) -> None:
    """Raise `StepRefused` unless all of them are there with a value."""
    tags = tuple(tags)
    missing = [tag for tag in tags if tag not in data_set]
    if missing:
        raise StepRefused(
            status.MISSING_ATTRIBUTE, ", ".join(map(keyword_of, missing)), tags=missing
        )
    empty = [tag for tag in tags if data_set[tag].is_empty]
    if empty:
        raise StepRefused(
            status.MISSING_ATTRIBUTE_VALUE, ", ".join(map(keyword_of, empty)), tags=empty
        )


def _state(step: Dataset) -> str:
    element = element_in(step, _STATUS)
    return "" if element is None else str(element.value or "").strip()


def _invalid_state(text: str) -> StepRefused:
    return StepRefused(status.INVALID_ATTRIBUTE_VALUE, text, tags=(_STATUS,))


def _merge(step: Dataset, modifications: Dataset) -> tuple[Dataset, list[int]]:
    """A step with modifications, and the tags of those that it may not have."""
    from pydicom import Dataset

    merged, refused = Dataset(), []
    for element in step:  # a copy of pydicom's would share them
        merged[element.tag] = element
    for element in modifications:
        tag = int(element.tag)
        if tag in _CREATED_ONLY:
            if element_in(step, tag) != element:
                refused.append(tag)
        elif tag != _SPECIFIC_CHARACTER_SET:
            merged[tag] = element
    # The two may have come in different character sets.
    known = step.get("SpecificCharacterSet") or ""
    set_character_set(merged, known if isinstance(known, str) else "")
    return merged, refused


def _new_uid() -> str:
    from pydicom.uid import generate_uid

    return str(generate_uid())
