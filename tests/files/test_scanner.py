"""`scan` finds what pydicom finds, in any encoding, and survives any bytes."""

from __future__ import annotations

import re
import tracemalloc
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

from dul_fsm.files import NotStorable, open_data_set, read_part10, scan
from dul_fsm.files.scanner import _LONG, _SHORT, VALUE_LIMIT, _plain, scan_head, walk
from tests.files import samples
from tests.files.samples import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    FILES,
    IMPLICIT,
    UNDEFINED,
    deflate,
    mark,
)
from tests.files.samples import element as el

CLASS, INSTANCE, STUDY, SERIES = 0x00080016, 0x00080018, 0x0020000D, 0x0020000E
WANTED = (CLASS, INSTANCE, 0x00080060, 0x00100020, STUDY, SERIES, 0x00200010)
FOUND = {INSTANCE: "1.2.3"}
GOAL = el(INSTANCE, "UI", b"1.2.3\0")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_finds_in_every_sample_file_what_pydicom_finds(path: Path) -> None:
    try:
        part10 = read_part10(path)
    except NotStorable:
        return
    theirs = samples.read(path)
    assert theirs is not None
    with open_data_set(part10) as data:
        mine = scan(data, part10.transfer_syntax_uid, WANTED)
    expected = {tag: str(theirs[tag].value or "") for tag in WANTED if tag in theirs}
    assert mine == expected


def test_every_head_of_a_file_yields_a_part_of_what_the_file_yields() -> None:
    part10 = read_part10(samples.CT)
    with open_data_set(part10) as data:
        head = bytes(data[:2100])
    whole = scan(head, EXPLICIT, WANTED)
    assert len(whole) == len(WANTED)
    seen = set()
    for length in range(len(head)):
        values, position, finished = scan_head(head[:length], EXPLICIT, WANTED)
        assert values.items() <= whole.items()
        assert finished == (len(values) == len(WANTED))
        assert position >= 0
        seen.add(len(values))
    assert seen == set(range(len(WANTED) + 1))


# Values of undefined length ----------------------------------------------------------------------

DECOY = el(INSTANCE, "UI", b"9.9.9\0")
DECOY_IMPLICIT = el(INSTANCE, "UI", b"9.9.9\0", implicit=True)
ITEM_END, SEQUENCE_END = mark(0xE00D), mark(0xE0DD)


@pytest.mark.parametrize(
    "value",
    [
        SEQUENCE_END,
        mark(0xE000, len(DECOY)) + DECOY + SEQUENCE_END,
        mark(0xE000, UNDEFINED) + DECOY + ITEM_END + SEQUENCE_END,
        mark(0xE000, UNDEFINED) + ITEM_END + mark(0xE000, UNDEFINED) + ITEM_END + SEQUENCE_END,
        mark(0xE000, UNDEFINED)
        + el(0x00081115, "SQ", b"", length=UNDEFINED)
        + (mark(0xE000, UNDEFINED) + DECOY + ITEM_END + SEQUENCE_END)
        + (DECOY + ITEM_END + SEQUENCE_END),
    ],
    ids=["empty", "item", "open item", "two open items", "nested"],
)
def test_skips_a_sequence_of_undefined_length(value: bytes) -> None:
    head = el(0x00080006, "SQ", value, length=UNDEFINED) + GOAL
    assert scan(head, EXPLICIT, (INSTANCE,)) == FOUND


def test_skips_an_implicit_vr_sequence_of_undefined_length() -> None:
    value = mark(0xE000, UNDEFINED) + DECOY_IMPLICIT + ITEM_END + SEQUENCE_END
    head = el(0x00080006, "SQ", value, length=UNDEFINED, implicit=True)
    head += el(INSTANCE, "UI", b"1.2.3\0", implicit=True)
    assert scan(head, IMPLICIT, (INSTANCE,)) == FOUND


def test_skips_a_big_endian_sequence_of_undefined_length() -> None:
    value = mark(0xE000, UNDEFINED, big=True) + el(INSTANCE, "UI", b"9.9.9\0", big=True)
    value += mark(0xE00D, big=True) + mark(0xE0DD, big=True)
    head = el(0x00080006, "SQ", value, length=UNDEFINED, big=True)
    head += el(INSTANCE, "UI", b"1.2.3\0", big=True)
    assert scan(head, BIG_ENDIAN, (INSTANCE,)) == FOUND


LIKE_A_VR = bytes(int.from_bytes(b"UI", "little"))
"""A value of which the implicit VR length reads as a VR, and a 16-bit length of zero after it."""


def test_a_length_that_looks_like_a_vr_is_a_length_where_the_vr_is_implicit() -> None:
    head = el(0x00080005, "CS", b"ISO_IR 100", implicit=True)
    head += el(0x00080008, "CS", LIKE_A_VR, implicit=True)
    head += el(STUDY, "UI", b"1.2.3\0", implicit=True)
    assert scan(head, IMPLICIT, (STUDY,)) == {STUDY: "1.2.3"}


def test_a_length_that_looks_like_a_vr_is_a_length_in_a_un_of_undefined_length() -> None:
    item = el(0x00080005, "CS", LIKE_A_VR, implicit=True)
    value = mark(0xE000, UNDEFINED) + item + ITEM_END + SEQUENCE_END
    head = el(0x00080005, "CS", b"ISO_IR 100") + el(0x00090010, "UN", value, length=UNDEFINED)
    head += el(STUDY, "UI", b"1.2.3\0")
    assert scan(head, EXPLICIT, (STUDY,)) == {STUDY: "1.2.3"}


@pytest.mark.parametrize("big", [False, True])
def test_reads_an_un_of_undefined_length_as_implicit_vr_little_endian(big: bool) -> None:
    """PS3.5 §6.2.2; with its content taken for explicit VR, the walk would go astray."""
    value = mark(0xE000, UNDEFINED) + DECOY_IMPLICIT + ITEM_END + SEQUENCE_END
    head = el(0x00080005, "CS", b"ISO_IR 100", big=big)
    head += el(0x00080006, "UN", value, length=UNDEFINED, big=big)
    head += el(INSTANCE, "UI", b"1.2.3\0", big=big)
    assert scan(head, BIG_ENDIAN if big else EXPLICIT, (INSTANCE,)) == FOUND


def test_skips_encapsulated_fragments() -> None:
    fragments = mark(0xE000) + mark(0xE000, 4) + b"\xfe\xff\xdd\xe0" + SEQUENCE_END
    head = el(0x00080008, "OB", fragments, length=UNDEFINED) + GOAL
    assert scan(head, EXPLICIT, (INSTANCE,)) == FOUND


# What real files get wrong -----------------------------------------------------------------------


@pytest.mark.parametrize("declared", [IMPLICIT, EXPLICIT, "1.2.840.10008.1.2.4.50", "1.2.3.4"])
@pytest.mark.parametrize("implicit", [False, True])
def test_believes_the_first_element_about_explicit_vr(declared: str, implicit: bool) -> None:
    head = el(CLASS, "UI", b"1.2\0", implicit=implicit)
    head += el(INSTANCE, "UI", b"1.2.3\0", implicit=implicit)
    assert scan(head, declared, (INSTANCE,)) == FOUND


@pytest.mark.parametrize(
    "odd",
    [
        b"\x08\x00\x08\x00ZZ\x04\x00abcd",
        b"\x08\x00\x08\x00ZZ\x00\x00\x04\x00\x00\x00abcd",
        b"\x08\x00\x08\x00\x04\x00\x00\x00abcd",
    ],
    ids=["unknown VR, 16-bit length", "unknown VR, 32-bit length", "stray implicit VR"],
)
def test_gets_past_an_element_without_a_known_vr(odd: bytes) -> None:
    head = el(0x00080005, "CS", b"ISO_IR 100") + odd + GOAL
    assert scan(head, EXPLICIT, (INSTANCE,)) == FOUND


@pytest.mark.parametrize("padded", [b"1.2.3\0", b"1.2.3 ", b" 1.2.3", b"1.2.3\0\0\0", b"1.2.3"])
def test_strips_any_padding(padded: bytes) -> None:
    assert scan(el(INSTANCE, "UI", padded), EXPLICIT, (INSTANCE,)) == FOUND


def test_takes_no_value_that_is_too_long_for_text() -> None:
    longest = el(INSTANCE, "UT", b"1" * VALUE_LIMIT)
    assert scan(longest, EXPLICIT, (INSTANCE,)) == {INSTANCE: "1" * VALUE_LIMIT}
    longer = el(CLASS, "UT", b"1" * (VALUE_LIMIT + 2)) + GOAL
    assert scan(longer, EXPLICIT, (CLASS, INSTANCE)) == FOUND


def test_stops_at_the_first_tag_after_those_wanted() -> None:
    head = el(0x00080060, "CS", b"CT") + GOAL
    assert scan_head(head, EXPLICIT, (INSTANCE,)) == ({}, 0, True)


def test_a_walk_ends_at_its_last_tag_whatever_is_wanted_beyond_it() -> None:
    head = GOAL + el(0x00100020, "LO", b"12") + el(STUDY, "UI", b"1.2.3.1\0")
    assert walk(head, 0, {STUDY}, last=0x0008FFFF) == ({}, len(GOAL), True)


def test_a_walk_ends_at_what_stands_before_its_first_tag() -> None:
    head = el(0x00010010, "LO", b"12") + el(0x00020010, "UI", b"1.2.3\0")
    assert walk(head, 0, {0x00020010}, first=0x00020000, last=0x0002FFFF) == ({}, 0, True)


def test_nothing_wanted_is_nothing_found() -> None:
    assert scan(GOAL, EXPLICIT, ()) == {}


def test_hostile_nesting_ends_at_the_step_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dul_fsm.files.scanner.STEP_LIMIT", 1000)
    opening = el(0x00080006, "SQ", b"", length=UNDEFINED) + mark(0xE000, UNDEFINED)
    walked = walk(opening * 1000, 0, (INSTANCE,), last=INSTANCE)
    assert walked.values == {}
    assert walked.finished
    assert walked.position < len(opening) * 1000


def test_a_value_that_ends_beyond_the_head_is_where_the_walk_stops() -> None:
    head = el(0x00080005, "OB", b"cut", length=1000)
    assert walk(head, 0, {STUDY}, last=STUDY) == ({}, 12 + 1000, False)


def test_finds_a_value_of_a_high_group() -> None:
    wanted = 0x40080100
    head = b"".join(el(tag, "LO", b"no") for tag in (0x00080005, 0x00FF0010, 0x01000010))
    head += el(0x40080040, "LO", b"no") + el(wanted, "LO", b"ID")
    assert scan(head, EXPLICIT, (wanted,)) == {wanted: "ID"}


def test_hostile_emptiness_ends_at_the_step_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dul_fsm.files.scanner.STEP_LIMIT", 100)
    empty = el(0x00080005, "CS", b"")
    walked = walk(empty * 1000 + el(STUDY, "UI", b"1.2.3\0"), 0, (STUDY,), last=STUDY)
    assert walked == ({}, len(empty) * 100, True)


def test_what_stands_behind_more_elements_than_one_run_takes_is_found() -> None:
    plain = el(0x00080005, "CS", b"") + el(0x00080008, "CS", b"AB")
    head = plain * 5000 + el(STUDY, "UI", b"1.2.3\0")
    assert walk(head, 0, (STUDY,), last=STUDY) == ({STUDY: "1.2.3"}, len(head), True)


def test_many_elements_take_little_memory() -> None:
    """To look at each of them once more, the pattern matcher would keep dozens of megabytes."""
    head = el(0x00080005, "CS", b"") * 200_000
    tracemalloc.start()
    try:
        scan(head, EXPLICIT, (STUDY,))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


def test_a_run_is_found_without_what_early_pythons_match_wrongly() -> None:
    """Possessive quantifiers, before Python 3.11.5 (python/cpython#106052)."""
    pattern = _plain(0x20)
    assert pattern is not None
    assert not re.search(rb"[*+?}]\+", pattern.pattern)


# Deflated ----------------------------------------------------------------------------------------


def test_finds_in_the_head_of_a_deflated_data_set() -> None:
    whole = deflate(GOAL + el(0x7FE00010, "OB", bytes(range(256)) * 64))
    assert scan(whole[:200], DEFLATED, (INSTANCE,)) == FOUND


def test_what_cannot_be_inflated_has_no_values() -> None:
    assert scan(b"\xff" * 100, DEFLATED, (INSTANCE,)) == {}


# Generated ---------------------------------------------------------------------------------------


@given(st.binary(max_size=400), st.sampled_from([IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED]))
def test_never_raises(head: bytes, transfer_syntax_uid: str) -> None:
    """Any bytes give a dictionary of wanted tags, from bytes and from a memoryview alike."""
    values = scan(head, transfer_syntax_uid, WANTED)
    assert set(values) <= set(WANTED)
    assert scan(memoryview(head), transfer_syntax_uid, WANTED) == values


DECOY = el(STUDY, "UI", b"9.9.9\0")
ANY_ELEMENT = st.builds(
    el,
    st.sampled_from([0x00080005, 0x00091010, 0x00100010, 0x00181030, 0x001FFFFF]),
    st.sampled_from([vr.decode() for vr in sorted(_SHORT | _LONG)]),
    st.one_of(st.binary(max_size=80), st.integers(0, 80).map(bytes), st.just(DECOY)),
)


@given(st.lists(ANY_ELEMENT, max_size=40))
def test_finds_what_stands_after_any_elements(before: list[bytes]) -> None:
    """Of whatever VR and length, odd ones too; and nothing that looks like it in their values."""
    place = el(STUDY, "UI", b"1.2.3\0") + el(SERIES, "UI", b"1.2.4\0")
    head = b"".join(before) + place + el(0x00200010, "SH", b"12")
    found = {STUDY: "1.2.3", SERIES: "1.2.4"}
    assert scan_head(head, EXPLICIT, (STUDY, SERIES)) == (found, len(head) - 10, True)
    cut = scan_head(head[: -len(place) - 10], EXPLICIT, (STUDY, SERIES))
    assert cut == ({}, len(head) - len(place) - 10, False)


def items(children: st.SearchStrategy[Dataset]) -> st.SearchStrategy[Dataset]:
    def build(parts: list[Dataset], defined: list[bool], sequence_defined: bool) -> Dataset:
        made = Dataset()
        made.SOPInstanceUID = "9.9.9"
        made.LanguageCodeSequence = Sequence(parts)
        made["LanguageCodeSequence"].is_undefined_length = not sequence_defined
        for part, known in zip(parts, defined, strict=False):
            part.is_undefined_length_sequence_item = not known
        return made

    return st.builds(
        build,
        st.lists(children, max_size=3),
        st.lists(st.booleans(), min_size=3, max_size=3),
        st.booleans(),
    )


@given(
    st.recursive(st.builds(Dataset), items, max_leaves=12),
    st.sampled_from([(True, True), (False, True), (False, False)]),
)
def test_finds_what_stands_after_any_nest_of_sequences(
    nest: Dataset, encoding: tuple[bool, bool]
) -> None:
    """However pydicom encodes what comes before, the value at the top level is found."""
    nest.SOPInstanceUID = "1.2.3"
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = encoding
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_dataset(buffer, nest)
    syntax = IMPLICIT if encoding[0] else EXPLICIT if encoding[1] else BIG_ENDIAN
    assert scan(buffer.getvalue(), syntax, (INSTANCE,)) == FOUND
