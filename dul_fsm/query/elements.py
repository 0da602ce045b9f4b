"""Values of a data set as text, and elements made of text.

Rules: padding is not part of a value (PS3.5 §6.2); a value that pydicom cannot hold in its VR is
given as an empty one and never as an exception, since it came from somebody else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.dataelem import DataElement

# PS3.5 §6.2: text in which a backslash parts nothing.
_ONE_VALUE = frozenset(("LT", "ST", "UR", "UT"))

BINARY = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "UN"))
"""VRs whose values are no text."""


def element_in(data_set: Dataset, tag: int) -> DataElement | None:
    """The element of a data set that has this tag."""
    return data_set.get(tag)


def texts_of(element: DataElement) -> list[str]:
    """The values of an element, as text without padding; none of a sequence, or of bytes."""
    if element.VR == "SQ" or element.VR in BINARY or element.is_empty:
        return []
    values = element.value if element.VM > 1 else [element.value]
    texts = [str(one).strip(" \0") for one in values]
    return texts if any(texts) else []


def element_of(tag: int, vr: str, texts: Sequence[str]) -> DataElement:
    """An element with these values; an empty one if its VR cannot hold them."""
    from pydicom import config
    from pydicom.dataelem import DataElement

    value = None if not texts else texts[0] if len(texts) == 1 else list(texts)
    try:
        return DataElement(tag, vr, value, validation_mode=config.IGNORE)
    except (ValueError, TypeError, OverflowError):
        return DataElement(tag, vr, None)


def split_values(vr: str, text: str) -> list[str]:
    """The values of an element whose text is stored in one piece."""
    if not text:
        return []
    return [text] if vr in _ONE_VALUE else [one.strip(" \0") for one in text.split("\\")]
