"""What the tests of queries share: data sets made of keywords, and identifiers of typed keys."""

from __future__ import annotations

from pydicom import Dataset, config
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement

from dul_fsm.query import build_identifier, parse_key

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"


def data_set(**values: object) -> Dataset:
    """A data set with these values, whatever they are."""
    made = Dataset()
    for keyword, value in values.items():
        tag = tag_for_keyword(keyword)
        assert tag is not None, keyword
        vr = dictionary_VR(tag).partition(" ")[0]
        made[tag] = DataElement(tag, vr, value, validation_mode=config.IGNORE)
    return made


def identifier(*keys: str) -> Dataset:
    """An identifier of keys as people type them."""
    return build_identifier(parse_key(key) for key in keys)
