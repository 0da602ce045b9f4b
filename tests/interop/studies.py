"""What the archives of the interop tests hold: real images in a few studies, and a worklist.

The images are pydicom's CT and MR; copies get other UIDs, so that there is something to tell apart.
Names, identifiers and UIDs are the same in each run.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from tests.files.samples import CT, FOLDER

MR = FOLDER / "MR_small.dcm"
MODALITY_WORKLIST_ITEM = "1.2.276.0.7230010.3.1.0.1"
"""The private SOP Class that DCMTK's worklist files name; nobody looks at it."""


def uid(*names: str) -> str:
    """A UID of our own making, the same for the same names."""
    return str(generate_uid(entropy_srcs=["interop", *names]))


@dataclass(frozen=True)
class Study:
    """A study and its images, by series."""

    patient_id: str
    patient_name: str
    date: str
    accession_number: str
    series: tuple[tuple[Path, int], ...]
    """Which image, and how many copies of it, for each series."""

    @property
    def uid(self) -> str:
        """Study Instance UID."""
        return uid(self.accession_number)

    def series_uid(self, number: int) -> str:
        """Series Instance UID of the series with this number, from 1."""
        return uid(self.accession_number, str(number))

    @property
    def count(self) -> int:
        """How many images it has."""
        return sum(count for _, count in self.series)

    @property
    def instances(self) -> list[str]:
        """SOP Instance UIDs, sorted."""
        return sorted(str(image.SOPInstanceUID) for image in self.images())

    def images(self) -> list[FileDataset]:
        """Its images, as data sets."""
        return [
            self._image(source, number, instance)
            for number, (source, count) in enumerate(self.series, 1)
            for instance in range(1, count + 1)
        ]

    def _image(self, source: Path, number: int, instance: int) -> FileDataset:
        image = dcmread(source)
        # DCMTK leaves it out when it sends, which is its right (PS3.10 §7.2).
        image.pop("DataSetTrailingPadding", None)
        image.PatientID, image.PatientName = self.patient_id, self.patient_name
        image.StudyDate, image.AccessionNumber = self.date, self.accession_number
        image.StudyInstanceUID = self.uid
        image.SeriesInstanceUID = self.series_uid(number)
        image.SeriesNumber, image.InstanceNumber = number, instance
        image.SOPInstanceUID = uid(self.accession_number, str(number), str(instance))
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        return image


LOVELACE_CT_MR = Study("LOV-1", "LOVELACE^ADA", "20240105", "A-1001", ((CT, 3), (MR, 2)))
LOVELACE_CT = Study("LOV-1", "LOVELACE^ADA", "20240220", "A-1002", ((CT, 1),))
LAMARR_MR = Study("LAM-2", "LAMARR^HEDY", "20240220", "A-1003", ((MR, 2),))
STUDIES = (LOVELACE_CT_MR, LOVELACE_CT, LAMARR_MR)


def write_studies(folder: Path) -> tuple[Path, ...]:
    """Write all of them below `folder`, a file for each image."""
    paths = []
    for image in (image for study in STUDIES for image in study.images()):
        paths.append(folder / f"{image.SOPInstanceUID}.dcm")
        image.save_as(paths[-1], enforce_file_format=True)
    return tuple(paths)


def worklist_item(
    accession_number: str, patient_id: str, patient_name: str, modality: str, date: str
) -> Dataset:
    """A scheduled procedure step with all that DCMTK wants of one (its `wlmscpfs.txt`)."""
    step = Dataset()
    step.Modality = modality
    step.ScheduledStationAETitle = f"{modality}-SCANNER"
    step.ScheduledProcedureStepStartDate = date
    step.ScheduledProcedureStepStartTime = "083000"
    step.ScheduledPerformingPhysicianName = "CURIE^MARIE"
    step.ScheduledProcedureStepDescription = f"{modality} OF THE HEAD"
    step.ScheduledProcedureStepID = f"SPS-{accession_number}"
    item = Dataset()
    item.SpecificCharacterSet = "ISO_IR 100"
    item.AccessionNumber = accession_number
    item.ReferringPhysicianName = "NOETHER^EMMY"
    item.PatientName, item.PatientID = patient_name, patient_id
    item.PatientBirthDate, item.PatientSex = "18151210", "F"
    item.StudyInstanceUID = uid("worklist", accession_number)
    item.RequestedProcedureDescription = "HEAD"
    item.ScheduledProcedureStepSequence = [step]
    item.RequestedProcedureID = f"RP-{accession_number}"
    item.RequestedProcedurePriority = "ROUTINE"
    return item


WORKLIST = (
    worklist_item("W-2001", "LOV-1", "LOVELACE^ADA", "CT", "20240301"),
    worklist_item("W-2002", "LOV-1", "LOVELACE^ADA", "MR", "20240302"),
    worklist_item("W-2003", "LAM-2", "LAMARR^HEDY", "MR", "20240301"),
)


def write_worklist(folder: Path) -> None:
    """Write the worklist files, and the lock file that DCMTK's server wants beside them."""
    folder.mkdir(parents=True)
    (folder / "lockfile").touch()
    for item in WORKLIST:
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = UID(MODALITY_WORKLIST_ITEM)
        meta.MediaStorageSOPInstanceUID = item.StudyInstanceUID
        path = folder / f"{item.AccessionNumber}.wl"
        file = FileDataset(path, item, file_meta=meta, preamble=bytes(128))
        file.save_as(path, enforce_file_format=True)
