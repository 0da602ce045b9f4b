"""Modality Performed Procedure Step without I/O (PS3.4 Annex F): data sets, and its SCU.

A modality creates a step when it begins to acquire, sets what it has made meanwhile, and ends it
as completed or discontinued; then it may no longer be changed.

Rules: the attributes that Table F.7.2-1 wants to be there are there, empty where nothing is known;
what only the user can know is asked for, the time included.

Not here: waiting (`scu`, `dul_fsm.aio`), the rules of an SCP (`scp.procedure_step`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from dul_fsm.services.outcomes import DataSetLike

if TYPE_CHECKING:
    from pydicom import Dataset

MODALITY_PERFORMED_PROCEDURE_STEP: Final = "1.2.840.10008.3.1.2.3.3"
"""Modality Performed Procedure Step SOP Class: N-CREATE, N-SET (PS3.4 §F.7)."""
MODALITY_PERFORMED_PROCEDURE_STEP_RETRIEVE: Final = "1.2.840.10008.3.1.2.3.4"
"""Modality Performed Procedure Step Retrieve SOP Class: N-GET of the same instances (§F.8)."""

IN_PROGRESS: Final = "IN PROGRESS"
COMPLETED: Final = "COMPLETED"
DISCONTINUED: Final = "DISCONTINUED"

# PS3.4 Table F.7.2-1, N-CREATE: type 2, so present even if empty.
_OF_THE_PATIENT = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex")
_OF_THE_STEP = (
    "PerformedStationName",
    "PerformedLocation",
    "PerformedProcedureStepDescription",
    "PerformedProcedureTypeDescription",
    "PerformedProcedureStepEndDate",
    "PerformedProcedureStepEndTime",
    "StudyID",
)
_SEQUENCES = (
    "ReferencedPatientSequence",
    "ProcedureCodeSequence",
    "PerformedProtocolCodeSequence",
    "PerformedSeriesSequence",
)
# In an item of the Scheduled Step Attributes Sequence: from the worklist item, and from its step.
_REQUESTED = ("AccessionNumber", "RequestedProcedureID", "RequestedProcedureDescription")
_SCHEDULED = ("ScheduledProcedureStepID", "ScheduledProcedureStepDescription")


# Data sets ---------------------------------------------------------------------------------------


def step_attributes(
    item: Dataset,
    *,
    step_id: str,
    station_ae_title: str,
    start: datetime,
    modality: str = "",
    study_instance_uid: str = "",
) -> Dataset:
    """The attributes of a step that begins, for `create` (PS3.4 Table F.7.2-1).

    `item`: the modality worklist item that is performed; an empty data set, or one with the
    patient's attributes, if it was not scheduled. `step_id`: Performed Procedure Step ID, 1 to 16
    characters. `start` and `modality`: as performed. `study_instance_uid` and `modality` are those
    of the item where they are left out. Add what else is known.

    Raises `ValueError` without a Study Instance UID or a modality.
    """
    from pydicom import Dataset

    steps = item.get("ScheduledProcedureStepSequence") or [Dataset()]
    modality = modality or str(steps[0].get("Modality") or "")
    study = study_instance_uid or str(item.get("StudyInstanceUID") or "")
    if not modality or not study:
        raise ValueError("a performed procedure step has a modality and a Study Instance UID")
    step = Dataset()
    if item.get("SpecificCharacterSet"):
        step.SpecificCharacterSet = item.SpecificCharacterSet
    _take(step, item, _OF_THE_PATIENT)
    for keyword in _OF_THE_STEP:
        setattr(step, keyword, None)
    for keyword in _SEQUENCES:
        setattr(step, keyword, item.get(keyword) or [])
    step.PerformedProcedureStepID = step_id
    step.PerformedStationAETitle = station_ae_title
    step.PerformedProcedureStepStartDate = start.strftime("%Y%m%d")
    step.PerformedProcedureStepStartTime = start.strftime("%H%M%S.%f")
    step.PerformedProcedureStepStatus = IN_PROGRESS
    step.Modality = modality
    step.ScheduledStepAttributesSequence = [_scheduled(item, one, study) for one in steps]
    return step


def _scheduled(item: Dataset, step: Dataset, study_instance_uid: str) -> Dataset:
    from pydicom import Dataset

    scheduled = Dataset()
    scheduled.StudyInstanceUID = study_instance_uid
    scheduled.ReferencedStudySequence = item.get("ReferencedStudySequence") or []
    scheduled.ScheduledProtocolCodeSequence = step.get("ScheduledProtocolCodeSequence") or []
    _take(scheduled, item, _REQUESTED)
    _take(scheduled, step, _SCHEDULED)
    return scheduled


def _take(target: Dataset, source: Dataset, keywords: Iterable[str]) -> None:
    for keyword in keywords:
        setattr(target, keyword, source.get(keyword))


def performed_series(instances: Iterable[Dataset], *, retrieve_ae_title: str = "") -> list[Dataset]:
    """The items of a Performed Series Sequence (Table F.7.2-1): one for each series of `instances`.

    `instances`: data sets, or heads of them, with SOP Class, SOP Instance and Series Instance UID.
    All are referenced as images. Protocol Name is that of a series' first instance; the standard
    wants one, so where there is none it is the Series Description, or "UNKNOWN".
    """
    from pydicom import Dataset

    series: dict[str, Dataset] = {}
    for instance in instances:
        uid = str(instance.SeriesInstanceUID)
        item = series.get(uid)
        if item is None:
            item = series[uid] = Dataset()
            _take(item, instance, ("PerformingPhysicianName", "OperatorsName", "SeriesDescription"))
            item.ProtocolName = (
                instance.get("ProtocolName") or instance.get("SeriesDescription") or "UNKNOWN"
            )
            item.SeriesInstanceUID = uid
            item.RetrieveAETitle = retrieve_ae_title or None
            item.ReferencedImageSequence = []
            item.ReferencedNonImageCompositeSOPInstanceSequence = []
        reference = Dataset()
        reference.ReferencedSOPClassUID = instance.SOPClassUID
        reference.ReferencedSOPInstanceUID = instance.SOPInstanceUID
        item.ReferencedImageSequence.append(reference)
    return list(series.values())


def end_attributes(status: str, end: datetime, series: Iterable[Dataset] | None = None) -> Dataset:
    """What a step is set to when it ends (PS3.4 §F.7.2.2).

    `series`: items of the Performed Series Sequence, all of them; None: as they were set before.
    """
    from pydicom import Dataset

    modifications = Dataset()
    modifications.PerformedProcedureStepStatus = status
    modifications.PerformedProcedureStepEndDate = end.strftime("%Y%m%d")
    modifications.PerformedProcedureStepEndTime = end.strftime("%H%M%S.%f")
    if series is not None:
        modifications.PerformedSeriesSequence = list(series)
    return modifications


# The SCU -----------------------------------------------------------------------------------------

T = TypeVar("T")
R = TypeVar("R", covariant=True)


class Association(Protocol[R]):
    """What is needed of an association."""

    def n_create(
        self, sop_class_uid: str, sop_instance_uid: str, attributes: DataSetLike, /
    ) -> R: ...

    def n_set(
        self, sop_class_uid: str, sop_instance_uid: str, modifications: DataSetLike, /
    ) -> R: ...


class StepUser(ABC, Generic[T]):
    """One performed procedure step, as its modality reports it: create, update, and end it.

    Each method gives the response, and raises `OperationFailed` for one that is a failure; the
    standard lets an SCP answer a warning too.
    """

    def __init__(self, association: Association[T], sop_instance_uid: str) -> None:
        self.sop_instance_uid = sop_instance_uid
        """Its SOP Instance UID, which the modality chooses."""
        self._association = association

    @abstractmethod
    def _done(self, response: T) -> T:
        """The response, or what is awaited for it; raises what it says."""

    def create(self, attributes: Dataset) -> T:
        """N-CREATE: the step begins. `attributes`: see `step_attributes`."""
        return self._done(
            self._association.n_create(
                MODALITY_PERFORMED_PROCEDURE_STEP, self.sop_instance_uid, attributes
            )
        )

    def update(self, modifications: Dataset) -> T:
        """N-SET: attributes, and sequences as a whole, are from now on these."""
        return self._done(
            self._association.n_set(
                MODALITY_PERFORMED_PROCEDURE_STEP, self.sop_instance_uid, modifications
            )
        )

    def complete(self, end: datetime, series: Iterable[Dataset] | None = None) -> T:
        """N-SET: all was done. `series`: see `performed_series`; None: as it was set before."""
        return self.update(end_attributes(COMPLETED, end, series))

    def discontinue(
        self, end: datetime, series: Iterable[Dataset] | None = (), reason: Dataset | None = None
    ) -> T:
        """N-SET: it was given up. `series`: what was made of it; `reason`: an item of the
        Performed Procedure Step Discontinuation Reason Code Sequence."""
        modifications = end_attributes(DISCONTINUED, end, series)
        if reason is not None:
            modifications.PerformedProcedureStepDiscontinuationReasonCodeSequence = [reason]
        return self.update(modifications)
