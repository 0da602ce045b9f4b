"""Decode a file's data set and encode it again in another transfer syntax (PS3.5 §10, Annex A).

What a peer must accept is implicit VR little endian (PS3.5 §10.1); what a file holds may be
anything. pydicom does the decoding and encoding, and the decompression where it has numpy and a
codec for it.

Rules: the SOP Instance stays the same one, its UID with it; a recoded data set holds every value
of the original or is refused (`NotRecodable`), text in a character set that cannot be decoded
included. pydicom leaves the words of OW, OF, OL, OD and OV values in the byte order of their
source, so they are swapped here.

Not here: choosing the transfer syntax (the SCU does, from what its peer accepted).
"""

from __future__ import annotations

import threading
import warnings
import zlib
from array import array
from typing import TYPE_CHECKING

from dul_fsm.errors import DULError
from dul_fsm.files.part10 import Part10File, open_data_set
from dul_fsm.files.scanner import DEFLATED, walk

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1.99"
EXPLICIT_VR_BIG_ENDIAN = "1.2.840.10008.1.2.2"

RECODE_TARGETS = (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
)
"""What `recode` can make, the best first: explicit VRs keep those of private elements, deflating
costs time, and big endian is retired."""

# PS3.5 §A.8: the pixel data lies elsewhere, behind a URL, and only these syntaxes say so.
_JPIP = frozenset(f"1.2.840.10008.1.2.4.{last}" for last in (94, 95, 204, 205))

# The size of a word in bytes, for the VRs that pydicom keeps as bytes (PS3.5 §7.3).
_WORDS = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}

# `warnings.catch_warnings` changes the process, so only one thread may be inside of it. They
# would take turns anyway: pydicom holds the interpreter.
_one_at_a_time = threading.Lock()


class NotRecodable(DULError):
    """A data set that cannot be put into another transfer syntax; the text is the reason."""


def recode(part10: Part10File, transfer_syntax_uid: str) -> bytes:
    """The data set of a file, encoded in one of `RECODE_TARGETS`.

    All of it is in memory, more than once. Raises `NotRecodable` when that is not among the
    targets, when the pixel data cannot be decompressed here, and when pydicom cannot decode or
    encode a value; OSError when the file cannot be read.
    """
    if transfer_syntax_uid not in RECODE_TARGETS:
        raise NotRecodable(f"cannot encode in transfer syntax {transfer_syntax_uid}")
    if transfer_syntax_uid == part10.transfer_syntax_uid:
        with open_data_set(part10) as data_set:
            return bytes(data_set)
    if part10.transfer_syntax_uid in _JPIP:
        raise NotRecodable("the pixel data is not in the file (JPIP referenced)")
    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # pydicom only warns when it puts replacement characters into a text.
        warnings.filterwarnings("error", message="Failed to (en|de)code")
        try:
            return _recode(part10, transfer_syntax_uid)
        except (DULError, OSError):
            raise
        except Exception as error:
            # A broken data set makes pydicom raise nearly anything.
            text = str(error).splitlines()[0] if str(error) else ""
            raise NotRecodable(f"{type(error).__name__}: {text}") from error


def _recode(part10: Part10File, transfer_syntax_uid: str) -> bytes:
    from pydicom import dcmread
    from pydicom.charset import default_encoding
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import correct_ambiguous_vr, write_dataset

    _check_whole(part10)
    data_set = dcmread(part10.path)
    if part10.transfer_syntax_uid not in RECODE_TARGETS and "PixelData" in data_set:
        _decompress(data_set)

    little = transfer_syntax_uid != EXPLICIT_VR_BIG_ENDIAN
    was_little = part10.transfer_syntax_uid != EXPLICIT_VR_BIG_ENDIAN
    if little != was_little:
        # From implicit VR, first tell OB (bytes) from OW (words).
        correct_ambiguous_vr(data_set, was_little)
        _swap_words(data_set)

    buffer = DicomBytesIO()
    buffer.is_implicit_VR = transfer_syntax_uid == IMPLICIT_VR_LITTLE_ENDIAN
    buffer.is_little_endian = little
    write_dataset(buffer, data_set, default_encoding)
    encoded = buffer.getvalue()
    if transfer_syntax_uid != DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN:
        return encoded
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    encoded = deflate.compress(encoded) + deflate.flush()
    # PS3.5 §A.5: padded to an even length.
    return encoded + b"\0" * (len(encoded) % 2)


def _check_whole(part10: Part10File) -> None:
    """pydicom leaves out, in silence, what follows an element that is cut off."""
    if part10.transfer_syntax_uid in DEFLATED:
        return  # zlib complains of itself
    big = part10.transfer_syntax_uid == EXPLICIT_VR_BIG_ENDIAN
    with open_data_set(part10) as data_set:
        walked = walk(data_set, 0, (), last=0xFFFFFFFF, big=big, to_the_end=True)
        if walked.position != len(data_set):
            raise NotRecodable(f"the data set is cut off, or broken, near byte {walked.position}")


def _decompress(data_set: Dataset) -> None:
    try:
        # The same SOP Instance: pydicom would by default give it a new UID.
        data_set.decompress(generate_instance_uid=False)
    except Exception as error:
        # numpy or a codec is missing, the codec fails, or pydicom does not know the syntax.
        name = data_set.file_meta.TransferSyntaxUID.name
        raise NotRecodable(f"the pixel data cannot be decompressed here ({name})") from error


def _swap_words(data_set: Dataset) -> None:
    """Change the byte order of all values that pydicom keeps as bytes, at any depth."""
    waiting = [data_set]
    while waiting:
        item = waiting.pop()
        for element in item:
            if element.VR == "SQ":
                waiting.extend(element.value)
                continue
            size = _WORDS.get(element.VR)
            if size is None or not element.value:
                continue
            if element.keyword == "PixelData" and item.get("BitsAllocated", 0) > 16:
                # PS3.5 §6.2: OW swaps within words of 16 bits. Real files have swapped 32 bits.
                raise NotRecodable("big endian pixel data of more than 16 bits is ambiguous")
            words = array({2: "H", 4: "I", 8: "Q"}[size], element.value)
            words.byteswap()
            element.value = words.tobytes()
