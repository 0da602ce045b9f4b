"""Which character set an identifier needs (PS3.3 §C.12.1.1.2).

Rules: ASCII needs none. What is more is encoded in the character set that is preferred, where all
of it fits, and in UTF-8 where it does not. Character sets with code extensions are read, and never
chosen: UTF-8 says the same with less to go wrong.

Not here: the encoding itself, which is pydicom's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom import Dataset

# PS3.5 §6.1.2.2: the VRs that Specific Character Set is about.
_TEXTS = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UT"))

_DEFAULT = "iso8859"
"""What pydicom calls ISO-IR 6."""

_ESCAPE = b"\x1b"
_PN_DELIMITERS = {0x5C, 0x5E, 0x3D}


def is_ascii(data_set: Dataset) -> bool:
    """Whether a data set needs no Specific Character Set."""
    return all(text.isascii() for text in _texts(data_set))


def fits(data_set: Dataset, character_set: Any) -> bool:
    """Whether all text of a data set can be encoded in a Specific Character Set."""
    names = [character_set] if isinstance(character_set, str) else list(character_set)
    encodings = _encodings(names)
    if encodings is None:
        return is_ascii(data_set)
    return all(
        # pydicom reads the default repertoire as Latin-1, to be kind; it is ASCII (PS3.5 §6.1.2.1).
        any(_encodes(part, "ascii" if one == _DEFAULT else one) for one in encodings)
        for text in _texts(data_set)
        # PS3.5 §6.1.2.5.3: what parts a value also ends the use of a code extension.
        for part in (text.replace("=", "^").split("^") if len(encodings) > 1 else [text])
    )


def set_character_set(data_set: Dataset, preferred: str = "") -> None:
    """Put the Specific Character Set into a data set that needs one, and take it from another.

    `preferred` is taken if it is a single one and everything fits into it; else it is UTF-8.
    """
    if "SpecificCharacterSet" in data_set:
        del data_set.SpecificCharacterSet
    if not is_ascii(data_set):
        # Several, parted by backslashes, are no name of one and fit nothing.
        data_set.SpecificCharacterSet = preferred if fits(data_set, preferred) else "ISO_IR 192"


def decode_text(text: bytes, character_set: str) -> str:
    """Text as it is encoded in a Specific Character Set; never fails.

    `character_set`: the value of (0008,0005), with its backslashes.
    """
    if text.isascii() and _ESCAPE not in text:
        return text.decode("ascii")
    encodings = _encodings([name.strip() for name in character_set.split("\\")]) or ["latin-1"]
    if _ESCAPE in text:
        from pydicom.charset import decode_bytes

        try:
            return decode_bytes(text, encodings, _PN_DELIMITERS)
        except Exception:  # whatever a peer's bytes make of it, there is a text
            return text.decode("ascii", errors="replace")
    return text.decode(encodings[0], errors="replace")


def _encodings(names: list[str]) -> list[str] | None:
    """Python's names; None if one is not known."""
    from pydicom.charset import python_encoding

    found = [python_encoding.get(name or "ISO_IR 6") for name in names]
    known = [encoding for encoding in found if encoding is not None]
    return known if len(known) == len(found) and known else None


def _encodes(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeError:
        return False
    return True


def _texts(data_set: Dataset) -> Iterator[str]:
    for element in data_set:
        if element.VR == "SQ":
            for item in element.value:
                yield from _texts(item)
        elif element.VR in _TEXTS and element.value:
            values = element.value if element.VM > 1 else [element.value]
            for one in values:
                yield str(one)
