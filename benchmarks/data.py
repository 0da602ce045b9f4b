"""What is sent: CT images as a scanner makes them, from pydicom's CT_small.dcm; and a worklist.

Its 128 x 128 pixels are laid side by side to 512 x 512 of 16 bits, 512 KiB; a large object is a
number of such frames. Compression would tell the difference; nothing here compresses.
"""

from __future__ import annotations

import shutil
import struct
from dataclasses import dataclass
from pathlib import Path

FRAME = 512 * 512 * 2
"""Bytes of a frame."""

_PIXEL_DATA = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, 0)[:-4]
"""Tag and VR, in Explicit VR Little Endian; the length follows."""


@dataclass(frozen=True, slots=True)
class DataSets:
    """A folder of files, as one run sends them."""

    folder: Path
    files: tuple[Path, ...]
    length: int
    """Bytes of the files."""


def make_series(folder: Path, count: int) -> DataSets:
    """A CT series of `count` images of 512 KiB."""
    return _made(folder, [1] * count)


def make_object(folder: Path, size: int) -> DataSets:
    """One object of about `size` bytes; less than a frame makes a smaller image."""
    return _made(folder, [size / FRAME])


def make_worklist(folder: Path, count: int) -> None:
    """Worklist items as DCMTK's wlmscpfs wants them, a file each, and its lock file."""
    from pydicom import Dataset
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian

    step = Dataset()
    step.Modality, step.ScheduledStationAETitle = "CT", "CT-SCANNER"
    step.ScheduledProcedureStepStartDate = "20240301"
    step.ScheduledProcedureStepStartTime = "083000"
    step.ScheduledPerformingPhysicianName = "CURIE^MARIE"
    step.ScheduledProcedureStepDescription = "CT OF THE HEAD"
    step.ScheduledProcedureStepID = "SPS"
    item = Dataset()
    item.SpecificCharacterSet = "ISO_IR 100"
    item.ReferringPhysicianName = "NOETHER^EMMY"
    item.PatientName, item.PatientID = "LOVELACE^ADA", "LOV-1"
    item.PatientBirthDate, item.PatientSex = "18151210", "F"
    item.StudyInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    item.RequestedProcedureDescription = "HEAD"
    item.RequestedProcedureID, item.RequestedProcedurePriority = "RP", "ROUTINE"
    item.ScheduledProcedureStepSequence = [step]
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    # DCMTK's own files name a private SOP Class, too; nobody looks at it.
    meta.MediaStorageSOPClassUID = UID("1.2.276.0.7230010.3.1.0.1")
    meta.MediaStorageSOPInstanceUID = item.StudyInstanceUID
    folder.mkdir(parents=True)
    (folder / "lockfile").touch()
    item.AccessionNumber = "A-000000"
    path = folder / "000000.wl"
    FileDataset(path, item, file_meta=meta, preamble=bytes(128)).save_as(path)
    first = path.read_bytes()
    for number in range(1, count):
        other = first.replace(b"A-000000", f"A-{number:06}".encode())
        (folder / f"{number:06}.wl").write_bytes(other)


def require_space(folder: Path, size: int) -> bool:
    """Whether there is room for `size` bytes, and some to spare for everybody else."""
    return shutil.disk_usage(folder).free > size + (2 << 30)


def _made(folder: Path, frames: list[int] | list[float]) -> DataSets:
    import numpy
    from pydicom import dcmread
    from pydicom.data import get_testdata_file
    from pydicom.uid import generate_uid

    folder.mkdir()
    image = dcmread(str(get_testdata_file("CT_small.dcm")))
    frame = numpy.tile(image.pixel_array, (4, 4)).astype("<i2").tobytes()
    assert len(frame) == FRAME
    image.pop("DataSetTrailingPadding", None)
    del image.PixelData
    image.Rows = image.Columns = 512
    series = generate_uid()
    image.SeriesInstanceUID = series
    files = []
    for number, many in enumerate(frames, 1):
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        image.InstanceNumber = number
        if many > 1:
            image.NumberOfFrames = round(many)
        if many < 1:
            image.Rows = max(1, int(many * 512))  # of 512 pixels
        length = round(many) * FRAME if many >= 1 else image.Rows * 1024
        path = folder / f"{number:04}.dcm"
        image.save_as(path)
        with path.open("ab") as file:
            file.write(_PIXEL_DATA + struct.pack("<I", length))
            left = length
            while left:
                left -= file.write(frame[:left])
        files.append(path)
    return DataSets(folder, tuple(files), sum(file.stat().st_size for file in files))
