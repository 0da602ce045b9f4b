"""Data sets between bytes and `pydicom.Dataset`, for those who want to look inside.

A data set travels encoded, and nothing here is called unless somebody asks: pydicom is imported
by the first call. Transfer syntaxes of compressed pixel data are Explicit VR Little Endian for all
but the pixels (PS3.5 §A.4), which stay as they are.

Not here: files (`files`), fragments (`messages`).
"""

from __future__ import annotations

import sys
import zlib
from io import BytesIO
from typing import TYPE_CHECKING, TypeGuard

from dul_fsm.errors import DataSetError

if TYPE_CHECKING:
    from pydicom import Dataset

IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_VR_BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1.99"


def is_data_set(data: object) -> TypeGuard[Dataset]:
    """Whether `data` is a `pydicom.Dataset`: there is none before somebody has imported pydicom."""
    pydicom = sys.modules.get("pydicom.dataset")
    return pydicom is not None and isinstance(data, pydicom.Dataset)


def failed_instances(sop_instance_uids: list[str]) -> Dataset:
    """The identifier of a last response to a C-GET or C-MOVE: what could not be sent
    (PS3.4 §C.4.2.1.4.2)."""
    from pydicom.config import IGNORE
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset

    data_set = Dataset()
    # As they are: not every UID that is about keeps to the rules.
    data_set.add(DataElement(0x00080058, "UI", sop_instance_uids, validation_mode=IGNORE))
    return data_set


def decode_data_set(data: bytes, transfer_syntax_uid: str) -> Dataset:
    """The data set that `data` encodes. Raises `DataSetError` if it does not."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.filereader import read_dataset
    from pydicom.uid import UID

    try:
        if transfer_syntax_uid == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN:
            data = zlib.decompress(data, -zlib.MAX_WBITS)
        data_set = read_dataset(
            BytesIO(data),
            is_implicit_VR=transfer_syntax_uid == IMPLICIT_VR_LITTLE_ENDIAN,
            is_little_endian=transfer_syntax_uid != EXPLICIT_VR_BIG_ENDIAN,
        )
        list(data_set)  # pydicom decodes an element when it is asked for; ask while we can say why
    except Exception as error:
        raise DataSetError(f"not a data set in {transfer_syntax_uid}: {error}") from error
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    return data_set


def encode_data_set(data_set: Dataset, transfer_syntax_uid: str) -> bytes:
    """The bytes of a data set. Raises `DataSetError`, naming the element, if it has none."""
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    buffer = DicomBytesIO()
    buffer.is_implicit_VR = transfer_syntax_uid == IMPLICIT_VR_LITTLE_ENDIAN
    buffer.is_little_endian = transfer_syntax_uid != EXPLICIT_VR_BIG_ENDIAN
    try:
        write_dataset(buffer, data_set)
    except Exception as error:
        raise DataSetError(f"cannot be encoded in {transfer_syntax_uid}: {error}") from error
    data = buffer.getvalue()
    if transfer_syntax_uid == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN:
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        data = deflater.compress(data) + deflater.flush()
        data += b"\0" * (len(data) % 2)  # PS3.5 §A.5
    return data
