"""Part 10 files (PS3.10): what a C-STORE sends, and where a C-STORE SCP puts what it receives.

`scanner` finds values in an encoded data set, `part10` reads the head of a file and writes the File
Meta Information of a new one, `recode` puts a data set into another transfer syntax, `incoming`
and `folder` keep what arrives. Files are read and written here; no network, and no pydicom until
`recode` needs it.
"""

from dul_fsm.files.folder import NO_SERIES, NO_STUDY, InvalidUID, StudyFolder, is_uid
from dul_fsm.files.incoming import IncomingFile
from dul_fsm.files.part10 import (
    NotStorable,
    OpenDataSet,
    Part10File,
    Part10Source,
    file_meta,
    open_data_set,
    read_part10,
)
from dul_fsm.files.recode import RECODE_TARGETS, NotRecodable, recode
from dul_fsm.files.scanner import scan

__all__ = [
    "NO_SERIES",
    "NO_STUDY",
    "RECODE_TARGETS",
    "IncomingFile",
    "InvalidUID",
    "NotRecodable",
    "NotStorable",
    "OpenDataSet",
    "Part10File",
    "Part10Source",
    "StudyFolder",
    "file_meta",
    "is_uid",
    "open_data_set",
    "read_part10",
    "recode",
    "scan",
]
