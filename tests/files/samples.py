"""What the tests of this room share: pydicom's real files, and data sets made by hand."""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from pathlib import Path

import pydicom
from pydicom.dataset import FileDataset
from pydicom.errors import InvalidDicomError

from dul_fsm.files import StudyFolder, open_data_set, read_part10

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"

FOLDER = Path(pydicom.__file__).parent / "data" / "test_files"
FILES = sorted(path for path in FOLDER.iterdir() if path.is_file())
CT = FOLDER / "CT_small.dcm"

LONG = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"))
UNDEFINED = 0xFFFFFFFF


def read(path: Path) -> FileDataset | None:
    """pydicom's opinion of a file; None when it has no DICM prefix."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return pydicom.dcmread(path)
        except InvalidDicomError:
            return None


def element(
    tag: int,
    vr: str,
    value: bytes,
    *,
    implicit: bool = False,
    big: bool = False,
    length: int | None = None,
) -> bytes:
    """One encoded element; `length` says something else than the length of `value`."""
    order = ">" if big else "<"
    group, number = tag >> 16, tag & 0xFFFF
    length = len(value) if length is None else length
    if implicit:
        head = struct.pack(order + "HHL", group, number, length)
    elif vr in LONG:
        head = struct.pack(order + "HH2sHL", group, number, vr.encode(), 0, length)
    else:
        head = struct.pack(order + "HH2sH", group, number, vr.encode(), length)
    return head + value


def mark(number: int, length: int = 0, *, big: bool = False) -> bytes:
    """An item (E000H) or a delimiter (E00DH, E0DDH)."""
    return struct.pack(">HHL" if big else "<HHL", 0xFFFE, number, length)


def uid(text: str) -> bytes:
    value = text.encode()
    return value + b"\0" * (len(value) % 2)


def meta(*elements: bytes, group_length: int | None = 0) -> bytes:
    """Preamble, prefix and File Meta Information; no group length when that is None."""
    first = b""
    if group_length is not None:
        first = element(0x00020000, "UL", struct.pack("<L", group_length))
    return bytes(128) + b"DICM" + first + b"".join(elements)


def data_set(
    sop_instance_uid: str = "1.2.3",
    study: str = "1.2.3.1",
    series: str = "1.2.3.2",
    pixels: bytes = b"",
) -> bytes:
    """A small explicit VR little endian data set; parts with an empty value are left out."""
    parts = (
        (0x00080016, "UI", uid(CT_IMAGE_STORAGE)),
        (0x00080018, "UI", uid(sop_instance_uid)),
        (0x0020000D, "UI", uid(study)),
        (0x0020000E, "UI", uid(series)),
        (0x7FE00010, "OW", pixels),
    )
    return b"".join(element(tag, vr, value) for tag, vr, value in parts if value)


def deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


def study_folder(root: Path, *, durable: bool = False) -> StudyFolder:
    return StudyFolder(root, implementation_class_uid="1.2.3.4", durable=durable)


def files(root: Path) -> list[Path]:
    """Everything below `root` that is no folder, hidden files included."""
    return sorted(path for path in root.rglob("*") if not path.is_dir())


def stored(path: Path) -> bytes:
    with open_data_set(read_part10(path)) as data:
        return bytes(data)


def resident(path: Path) -> int:
    """Bytes of a mapped file that count as this process's."""
    total = 0
    ours = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split(" ", 1)[0]:
            ours = line.endswith(str(path))
        elif ours and line.startswith("Rss:"):
            total += int(line.split()[1]) * 1024
    return total


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))
