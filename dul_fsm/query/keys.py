"""Keys as people type them, made into an identifier (PS3.4 §C.2.2).

    PatientName=DOE*                                a value to match
    StudyInstanceUID                                no value: universal matching, a return key
    (0010,0020)=42   0010,0020=42   00100020=42     a tag in place of its keyword
    ScheduledProcedureStepSequence[0].Modality=CT   a key in the item of a sequence

Rules: a key is a path of keywords or tags, parted by dots, and a value after the first `=`;
`[0]` after a sequence may be left out. A backslash parts values where the VR has several. What
could not be encoded, or could never match, is an `InvalidKey` that names the key.

Not here: what a value means (`matching`), which keys a level allows (`models`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING

from dul_fsm.errors import DataSetError, DULError
from dul_fsm.query.elements import element_in
from dul_fsm.query.spans import DATES_AND_TIMES, NOTATIONS, span_of
from dul_fsm.value import value

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.dataelem import DataElement

MAX_DEPTH = 16
"""Sequences in sequences: no model of PS3.4 has more than three."""

SPECIFIC_CHARACTER_SET = 0x00080005
UNICODE = "ISO_IR 192"
"""UTF-8: what an identifier is encoded in when it needs more than ASCII and says nothing else."""

_STEP = re.compile(
    r"(?:\((?P<a>[0-9a-fA-F]{4}),\s*(?P<b>[0-9a-fA-F]{4})\)"
    r"|(?P<c>[0-9a-fA-F]{4}),(?P<d>[0-9a-fA-F]{4})"
    r"|(?P<hex>[0-9a-fA-F]{8})(?![A-Za-z0-9])"
    r"|(?P<keyword>[A-Za-z][A-Za-z0-9]*))"
    r"(?P<item>\[\d+\])?"
)

# PS3.5 §6.2: in these VRs a backslash is text.
_ONE_VALUE = frozenset(("LT", "ST", "UR", "UT"))
_INTEGERS = frozenset(("SL", "SS", "SV", "UL", "US", "UV"))
_FLOATS = frozenset(("FD", "FL"))
_BYTES = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "UN"))


class InvalidKey(DULError, ValueError):
    """A key that cannot be understood; the text says which, and why."""


@value
class Key:
    """A key of an identifier."""

    path: tuple[int, ...]
    """Tags, 32-bit, group first; all but the last are of sequences."""
    value: str
    """What to match, as it was typed; empty for universal matching."""

    @property
    def name(self) -> str:
        """The path for people: keywords where there are any."""
        return ".".join(keyword_of(tag) for tag in self.path)


def keyword_of(tag: int) -> str:
    """The keyword of a tag; `(gggg,eeee)` where it has none."""
    from pydicom.datadict import keyword_for_tag

    return keyword_for_tag(tag) or f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def parse_key(text: str) -> Key:
    """A key as it was typed. Raises `InvalidKey`."""
    left, _, given = text.partition("=")
    path: list[int] = []
    position = 0
    left = left.strip()
    while True:
        step = _STEP.match(left, position)
        if step is None:
            raise InvalidKey(
                f"{text!r} is not a key: expected KEYWORD=VALUE, (gggg,eeee)=VALUE or a path as "
                "Sequence[0].Keyword=VALUE"
            )
        path.append(_tag(step, text))
        position = step.end()
        if step["item"] not in (None, "[0]"):
            # PS3.4 §C.2.2.2.6: the sequence of an identifier has a single item.
            raise InvalidKey(f"{text!r}: the sequence of a key has one item, [0]")
        if position == len(left):
            break
        if left[position] != ".":
            raise InvalidKey(f"{text!r} is not a key: what is {left[position:]!r}?")
        position += 1
    if len(path) > MAX_DEPTH:
        raise InvalidKey(f"{text[:80]!r}: more than {MAX_DEPTH} sequences in each other")
    key = Key(tuple(path), given)
    for tag in path[:-1]:
        if _vr(tag) != "SQ":
            raise InvalidKey(f"{text!r}: {keyword_of(tag)} is not a sequence")
    if _vr(path[-1]) == "SQ" and given:
        raise InvalidKey(
            f"{text!r}: a sequence has items, not a value: {key.name}[0].KEYWORD=VALUE"
        )
    if step["item"] and _vr(path[-1]) != "SQ":
        raise InvalidKey(f"{text!r}: {keyword_of(path[-1])} is not a sequence")
    return key


def build_identifier(keys: Iterable[Key]) -> Dataset:
    """The identifier that the keys make up; a later key replaces an earlier one of its path.

    What is not ASCII is encoded as the key SpecificCharacterSet says, and in UTF-8 without one.
    Raises `InvalidKey`.
    """
    from pydicom import Dataset

    identifier = Dataset()
    for key in keys:
        _put(identifier, key)
    _choose_character_set(identifier)
    return identifier


def _tag(step: re.Match[str], text: str) -> int:
    from pydicom.datadict import keyword_dict, tag_for_keyword

    keyword = step["keyword"]
    if keyword and (tag := tag_for_keyword(keyword)) is not None:
        return _checked(tag, text)
    digits = step["hex"] or (step["a"] or step["c"] or "") + (step["b"] or step["d"] or "")
    if digits:
        return _checked(int(digits, 16), text)
    same = [known for known in keyword_dict if known.lower() == keyword.lower()]
    close = same or get_close_matches(keyword, list(keyword_dict), 3, 0.75)
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    raise InvalidKey(f"{text!r}: no attribute has the keyword {keyword}{hint}")


def _checked(tag: int, text: str) -> int:
    if tag >> 16 < 8 or not tag & 0xFFFF:
        # PS3.5 §7.1: groups below 0008 belong to command sets, files and directories.
        raise InvalidKey(f"{text!r}: {keyword_of(tag)} has no place in an identifier")
    if not _vr(tag):
        raise InvalidKey(f"{text!r}: the data dictionary has no {keyword_of(tag)}")
    return tag


def _vr(tag: int) -> str:
    """The VR of a tag, the first if it may have several; empty if it is not known."""
    from pydicom.datadict import dictionary_VR

    if tag >> 16 & 1:
        # PS3.5 §7.8.1: (gggg,0010-00FF) name the creator; what else is private is not known.
        return "LO" if 0x10 <= tag & 0xFFFF <= 0xFF else "UN"
    try:
        return dictionary_VR(tag).partition(" ")[0]
    except KeyError:
        return ""


def _put(identifier: Dataset, key: Key) -> None:
    from pydicom import Dataset
    from pydicom.dataelem import DataElement
    from pydicom.sequence import Sequence

    place = identifier
    for tag in key.path[:-1]:
        if tag not in place or not place[tag].value:
            place[tag] = DataElement(tag, "SQ", Sequence([Dataset()]))
        place = place[tag].value[0]
    tag = key.path[-1]
    vr = _vr(tag)
    if vr == "SQ":
        if tag not in place:
            place[tag] = DataElement(tag, "SQ", Sequence())
    else:
        place[tag] = _element(tag, vr, key)


def _element(tag: int, vr: str, key: Key) -> DataElement:
    from pydicom import config
    from pydicom.dataelem import DataElement

    parts = [key.value] if vr in _ONE_VALUE else key.value.split("\\")
    try:
        converted = [_converted(vr, part) for part in parts] if key.value else [None]
        given = converted[0] if len(converted) == 1 else converted
        # Wild cards, ranges and lists are no values of their VR (PS3.4 §C.2.2.2): not validated.
        return DataElement(tag, vr, given, validation_mode=config.IGNORE)
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidKey(f"{key.name}={key.value!r}: {error}") from None


def _converted(vr: str, text: str) -> str | int | float:
    """A value, or what stands for values. Raises `ValueError`."""
    if vr in _INTEGERS:
        return int(_number(int, text))
    if vr in _FLOATS:
        return _number(float, text)
    if vr == "AT":
        digits = re.sub(r"[(), ]", "", text)
        if not re.fullmatch("[0-9a-fA-F]{8}", digits):
            raise ValueError("a tag is 8 hexadecimal digits")
        return int(digits, 16)
    if vr in _BYTES:
        raise ValueError(f"a {vr} value cannot be typed; leave it out to have it returned")
    if vr in DATES_AND_TIMES and text.strip() and span_of(vr, text) is None:
        raise ValueError(f"a {vr} is {NOTATIONS[vr]}, or two of them with a - between, or one open")
    if vr in ("IS", "DS") and text.strip():
        _number(int if vr == "IS" else float, text)
    return text


def _number(kind: type[int] | type[float], text: str) -> float:
    try:
        return kind(text)
    except ValueError:
        what = "an integer" if kind is int else "a number"
        raise ValueError(f"{what} is expected, and no list or range") from None


def _choose_character_set(identifier: Dataset) -> None:
    """Name the character set, if one is needed, and see that everything can be encoded."""
    from pydicom import Dataset

    from dul_fsm.dimse.data_set import encode_data_set
    from dul_fsm.query.character_sets import fits, is_ascii

    chosen = element_in(identifier, SPECIFIC_CHARACTER_SET)
    if chosen is None or not chosen.value:
        if chosen is not None:
            # PS3.4 §C.2.2.2: it shall not have a zero length value.
            del identifier[SPECIFIC_CHARACTER_SET]
        if not is_ascii(identifier):
            identifier.SpecificCharacterSet = UNICODE
    elif not fits(identifier, chosen.value):
        raise InvalidKey(f"SpecificCharacterSet={chosen.value}: the other keys do not fit into it")
    for element in identifier:
        alone = Dataset()
        if SPECIFIC_CHARACTER_SET in identifier:
            alone.SpecificCharacterSet = identifier.SpecificCharacterSet
        alone[element.tag] = element
        try:
            encode_data_set(alone, "1.2.840.10008.1.2.1")
        except DataSetError as error:
            raise InvalidKey(f"{keyword_of(element.tag)}: {error}") from None
