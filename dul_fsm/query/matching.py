"""Matching of PS3.4 §C.2.2.2, and the identifier of a response.

    query = Query(identifier)
    if query.matches(attributes):
        answer = query.response(attributes, retrieve_ae_title="ARCHIVE")

Rules, with what we chose where the standard leaves it to us:
  * Zero length key: everything matches. Zero length attribute, or none: it is unknown, and every
    key matches it (§C.2.2.1.2).
  * Several values in the attribute: one that matches is enough (§C.2.2.3). Several values in the
    key: a list of UIDs by the standard; for any other VR we take it for a list, too.
  * Wild cards `*` and `?` in AE, CS, LO, LT, PN, SH, ST, UC, UR and UT, nowhere else (§C.2.2.2.4).
  * Case counts, but in PN. There accents count; a key without `=` matches a whole name or one of
    its component groups; empty components at the end do not count.
  * DA, TM and DT by their meaning, and ranges of them: see `spans`. Each attribute by itself: a DA
    and a TM are not combined (§C.2.2.2.5.4 asks for that only when it was negotiated).
  * Numbers by their value; bytes (OB, UN and the like) are not matched.
  * A sequence matches if all keys of the key's item match in one of its items (§C.2.2.2.6).

Not here: levels and unique keys (`models`), where the attributes come from (`index`, `worklist`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from dul_fsm.query.character_sets import set_character_set
from dul_fsm.query.elements import BINARY, element_in, element_of, texts_of
from dul_fsm.query.models import QUERY_RETRIEVE_LEVEL, RETRIEVE_AE_TITLE
from dul_fsm.query.spans import DATES_AND_TIMES, moment_of, span_of

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.dataelem import DataElement

WILD_CARD_VRS = frozenset(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"))
"""Where `*` and `?` are wild cards (PS3.4 §C.2.2.2.4)."""

NEVER_MATCHED = frozenset(
    (
        0x00080005,  # Specific Character Set: how the identifier is encoded
        QUERY_RETRIEVE_LEVEL,
        0x00080053,  # Query/Retrieve View
        RETRIEVE_AE_TITLE,
        0x00080056,  # Instance Availability
        0x00080201,  # Timezone Offset From UTC
    )
)
"""Attributes of an identifier that are about the query, and not about what is looked for."""

_NUMBERS = frozenset(("DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"))

Criterion: TypeAlias = Callable[[Sequence[str]], bool]
"""Whether the values of an attribute match a key; not asked about none."""


class Query:
    """An identifier, understood once and held against many attributes."""

    def __init__(self, identifier: Dataset) -> None:
        self.identifier = identifier
        self.criteria: dict[int, Criterion] = {}
        """By tag, what decides; without the keys that everything matches."""
        self._sequences: dict[int, Query] = {}
        for element in identifier:
            tag = int(element.tag)
            if tag in NEVER_MATCHED or not tag & 0xFFFF:
                continue
            if element.VR == "SQ":
                if element.value and len(element.value[0]):
                    self._sequences[tag] = Query(element.value[0])
            elif (criterion := criterion_of(element)) is not None:
                self.criteria[tag] = criterion

    def matches(self, attributes: Dataset) -> bool:
        """Whether all keys match the attributes of one entity."""
        for tag, criterion in self.criteria.items():
            element = element_in(attributes, tag)
            values = [] if element is None else texts_of(element)
            if values and not criterion(values):
                return False
        return all(
            not (items := _items(attributes, tag)) or any(query.matches(item) for item in items)
            for tag, query in self._sequences.items()
        )

    def response(
        self,
        attributes: Dataset,
        *,
        retrieve_ae_title: str = "",
        supported: Container[int] | None = None,
        character_set: str = "",
    ) -> Dataset:
        """The identifier of a response for an entity that matches (PS3.4 §C.4.1.1.3.2).

        It has the requested attributes, zero length where there is none, and of a sequence the
        items that match. What is not in `supported` is left out (§C.2.2.1.3). `character_set` is
        preferred where more than ASCII is needed; else it is UTF-8.
        """
        answer = self._filled(attributes, supported)
        level = element_in(self.identifier, QUERY_RETRIEVE_LEVEL)
        if level is not None:
            answer[QUERY_RETRIEVE_LEVEL] = level
        if retrieve_ae_title:
            answer[RETRIEVE_AE_TITLE] = element_of(RETRIEVE_AE_TITLE, "AE", [retrieve_ae_title])
        set_character_set(answer, character_set)
        return answer

    def _filled(self, attributes: Dataset, supported: Container[int] | None) -> Dataset:
        from pydicom import Dataset
        from pydicom.dataelem import DataElement
        from pydicom.sequence import Sequence as Items

        answer = Dataset()
        for key in self.identifier:
            tag = int(key.tag)
            if tag in NEVER_MATCHED or not tag & 0xFFFF:
                continue
            found = element_in(attributes, tag)
            if found is None:
                if supported is None or tag in supported:
                    empty = Items() if key.VR == "SQ" else None
                    answer[tag] = DataElement(tag, key.VR, empty)
            elif tag in self._sequences and found.VR == "SQ":
                query = self._sequences[tag]
                matching = [item for item in found.value or () if query.matches(item)]
                answer[tag] = DataElement(
                    tag, "SQ", Items([query._filled(item, None) for item in matching])
                )
            else:
                answer[tag] = found
        return answer


def matches(identifier: Dataset, attributes: Dataset) -> bool:
    """Whether the attributes of one entity match an identifier."""
    return Query(identifier).matches(attributes)


def criterion_of(key: DataElement) -> Criterion | None:
    """What decides about an attribute; None if everything matches. Not for sequences."""
    vr = key.VR
    wanted = [one for one in texts_of(key) if one]
    if not wanted or vr in BINARY:
        return None
    if vr in WILD_CARD_VRS:
        if any(set(one) == {"*"} for one in wanted):
            # PS3.4 §C.2.2.2.4, note 1: the same as universal matching.
            return None
        return _any((_name_test if vr == "PN" else _text_test)(one) for one in wanted)
    if vr in DATES_AND_TIMES:
        return _any(_time_test(vr, one) for one in wanted)
    if vr in _NUMBERS:
        return _any(_number_test(one) for one in wanted)
    among = frozenset(wanted)
    return lambda values: not among.isdisjoint(values)


# Tests of one value ------------------------------------------------------------------------------

_Test: TypeAlias = Callable[[str], bool]


def _any(tests: Iterable[_Test]) -> Criterion:
    known = list(tests)
    if len(known) == 1:
        (test,) = known
        return lambda values: any(map(test, values))
    return lambda values: any(test(one) for one in values for test in known)


def wild_card(pattern: str) -> Callable[[str], bool]:
    """Whether a text matches a pattern: `*` any characters, or none; `?` any single one."""
    first, *rest = [
        "".join("." if one == "?" else re.escape(one) for one in part)
        for part in pattern.split("*")
    ]
    # What stands between two asterisks is looked for once, from the left, and never given up for
    # a later one: a peer's pattern takes time in proportion to its length and no more.
    middle = "".join(f"(?>.*?{part})" for part in rest[:-1] if part)
    last = f".*{rest[-1]}" if rest else ""
    compiled = re.compile(first + middle + last, re.DOTALL)
    return lambda text: compiled.fullmatch(text) is not None


def _text_test(wanted: str) -> _Test:
    if "*" in wanted or "?" in wanted:
        return wild_card(wanted)
    return lambda found: found == wanted


def _name_test(wanted: str) -> _Test:
    """A person's name: the whole of it, or one of its component groups (PS3.5 §6.2.1)."""
    pattern = wanted.casefold()
    test = wild_card(pattern) if "*" in pattern or "?" in pattern else pattern.rstrip("^=").__eq__

    def matches_name(found: str) -> bool:
        name = found.casefold()
        groups = [name] if "=" in wanted else [name, *name.split("=")]
        return any(
            test(shape)
            for group in groups
            # As it is without empty components, and with all of them: `DOE^*` is any Doe.
            for shape in (group.rstrip("^="), f"{group}{'^' * (4 - group.count('^'))}")
        )

    return matches_name


def _time_test(vr: str, wanted: str) -> _Test:
    span = span_of(vr, wanted)
    if span is None:
        return lambda found: found == wanted

    def matches_time(found: str) -> bool:
        moment = moment_of(vr, found)
        return moment is not None and span.first <= moment.first <= span.last

    return matches_time


def _number_test(wanted: str) -> _Test:
    number = float(wanted)  # pydicom holds no other values in these VRs

    def matches_number(found: str) -> bool:
        try:
            return float(found) == number
        except ValueError:
            return False

    return matches_number


def _items(attributes: Dataset, tag: int) -> list[Dataset]:
    element = element_in(attributes, tag)
    if element is None or element.VR != "SQ":
        return []
    return list(element.value or ())
