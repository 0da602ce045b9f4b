"""What the tests of archives share: a small study in files, and an archive that has it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset, FileMetaDataset

from dul_fsm.files import StudyFolder
from dul_fsm.query import InstanceIndex, build_identifier, parse_key
from dul_fsm.scp.archive import ArchiveEvent, ArchiveHandler
from dul_fsm.services.handler import Destination
from dul_fsm.transports import Connector

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
STUDY = "1.2.3"


def instance(number: int, *, transfer_syntax: str = EXPLICIT, **values: object) -> FileDataset:
    """The instance `1.2.3.<series>.<number>`; three of them make up a series."""
    from pydicom.uid import UID

    series = f"{STUDY}.{1 + (number - 1) // 3}"
    data_set = Dataset()
    data_set.SOPClassUID = CT
    data_set.SOPInstanceUID = f"{series}.{number}"
    data_set.StudyInstanceUID = STUDY
    data_set.SeriesInstanceUID = series
    data_set.PatientName = "Doe^Jane"
    data_set.PatientID = "42"
    data_set.Modality = "CT"
    data_set.InstanceNumber = number
    for keyword, value in values.items():
        setattr(data_set, keyword, value)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(transfer_syntax)
    meta.MediaStorageSOPClassUID = data_set.SOPClassUID
    meta.MediaStorageSOPInstanceUID = data_set.SOPInstanceUID
    file = FileDataset("", data_set, preamble=bytes(128))
    file.file_meta = meta
    return file


def identifier(*keys: str) -> Dataset:
    """An identifier of keys as people type them."""
    return build_identifier(parse_key(key) for key in keys)


class Archive:
    """A folder, its index, and handlers of both."""

    def __init__(
        self, root: Path, destinations: Mapping[str, Connector | Destination] | None = None
    ) -> None:
        self.root = root
        self.folder = StudyFolder(root, implementation_class_uid="1.2.3.4")
        self.index = InstanceIndex()
        self.destinations = destinations or {}
        self.told: list[ArchiveEvent] = []

    def put(self, *instances: FileDataset) -> None:
        """Have these instances."""
        for number, one in enumerate(instances):
            path = self.root / f"{one.SOPInstanceUID}-{number}.dcm"
            one.save_as(path, enforce_file_format=True)
            self.index.add_file(path)

    def __call__(self) -> ArchiveHandler:
        """A handler for one more association."""
        return ArchiveHandler(
            self.folder, self.index, destinations=self.destinations, tell=self.told.append
        )

    def stored(self) -> list[Dataset]:
        """What is in the folder."""
        return [dcmread(path) for path in sorted(self.root.rglob("*.dcm"))]

    def uids(self) -> list[str]:
        """The SOP Instance UIDs of what is in the folder."""
        return sorted(str(one.SOPInstanceUID) for one in self.stored())
