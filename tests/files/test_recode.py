"""A recoded data set holds what the file holds, or is refused with a reason."""

from __future__ import annotations

import re
import sys
import warnings
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from dul_fsm.files import (
    RECODE_TARGETS,
    NotRecodable,
    NotStorable,
    Part10File,
    file_meta,
    open_data_set,
    read_part10,
    recode,
    scan,
)
from tests.files import samples
from tests.files.samples import BIG_ENDIAN, CT_IMAGE_STORAGE, DEFLATED, EXPLICIT, IMPLICIT
from tests.files.samples import element as el

RLE = "1.2.840.10008.1.2.5"
# Files with 32-bit pixel data, whose byte order nobody agrees on in big endian.
AMBIGUOUS = (
    "badVR.dcm",
    "rtdose.dcm",
    "rtdose_1frame.dcm",
    "rtdose_expb.dcm",
    "rtdose_expb_1frame.dcm",
)
# Files that end inside their last element.
CUT_OFF = ("MR_truncated.dcm", "rtplan_truncated.dcm")


def storable() -> list[Part10File]:
    found = []
    for path in samples.FILES:
        try:
            found.append(read_part10(path))
        except NotStorable:
            continue
    return found


NATIVE = [file for file in storable() if file.transfer_syntax_uid in RECODE_TARGETS]
RUN_LENGTH = [file for file in storable() if file.transfer_syntax_uid == RLE]
OTHER = [
    file
    for file in storable()
    if file not in NATIVE and file not in RUN_LENGTH and file.path.name != "UN_sequence.dcm"
]


def name(part10: Part10File) -> str:
    return part10.path.name


def save(folder: Path, data: bytes, transfer_syntax_uid: str, like: Part10File) -> Part10File:
    path = folder / f"{transfer_syntax_uid}.dcm"
    head = file_meta(like.sop_class_uid, like.sop_instance_uid, transfer_syntax_uid, "1.2.3")
    path.write_bytes(head + data)
    return read_part10(path)


def values(part10: Part10File) -> Dataset:
    data = samples.read(part10.path)
    assert data is not None
    return data


def assert_same_values(mine: Dataset, theirs: Dataset, *, swapped: bool, untyped: bool) -> None:
    """Element by element; words swap with the byte order, private VRs are lost in implicit VR."""
    kept = [item.tag for item in theirs if item.tag.element != 0]
    assert [item.tag for item in mine if item.tag.element != 0] == kept
    for tag in kept:
        ours, original = mine[tag], theirs[tag]
        if original.VR == "SQ" and ours.VR == "SQ":
            assert len(ours.value) == len(original.value)
            for one, other in zip(ours.value, original.value, strict=True):
                assert_same_values(one, other, swapped=swapped, untyped=untyped)
        elif original.VR == "OW" and swapped and original.value:
            assert ours.value[0::2] == original.value[1::2]
            assert ours.value[1::2] == original.value[0::2]
        elif not (untyped and ours.VR == "UN"):
            assert ours.value == original.value, tag


# pydicom warns about invalid values when the test looks at them.
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("target", RECODE_TARGETS)
@pytest.mark.parametrize("part10", NATIVE, ids=name)
def test_every_native_sample_keeps_its_values(
    tmp_path: Path, part10: Part10File, target: str
) -> None:
    swapped = (target == BIG_ENDIAN) != (part10.transfer_syntax_uid == BIG_ENDIAN)
    if name(part10) in CUT_OFF and target != part10.transfer_syntax_uid:
        with pytest.raises(NotRecodable, match="cut off"):
            recode(part10, target)
        return
    if name(part10) in AMBIGUOUS and swapped:
        with pytest.raises(NotRecodable, match="ambiguous"):
            recode(part10, target)
        return
    again = save(tmp_path, recode(part10, target), target, part10)
    assert again.sop_instance_uid == part10.sop_instance_uid
    mine, theirs = values(again), values(part10)
    assert_same_values(mine, theirs, swapped=swapped, untyped=target == IMPLICIT)
    if "PixelData" in theirs and name(part10) not in ("badVR.dcm", "MR_truncated.dcm"):
        assert (mine.pixel_array == theirs.pixel_array).all()


@pytest.mark.parametrize("target", [EXPLICIT, IMPLICIT, DEFLATED])
@pytest.mark.parametrize("part10", RUN_LENGTH, ids=name)
def test_run_lengths_are_decompressed_and_the_instance_stays_the_same(
    tmp_path: Path, part10: Part10File, target: str
) -> None:
    again = save(tmp_path, recode(part10, target), target, part10)
    mine, theirs = values(again), values(part10)
    assert mine.SOPInstanceUID == theirs.SOPInstanceUID
    assert (mine.pixel_array == theirs.pixel_array).all()
    assert not mine["PixelData"].is_undefined_length


@pytest.mark.parametrize("part10", OTHER, ids=name)
def test_compressed_samples_are_decompressed_or_refused_in_one_line(
    tmp_path: Path, part10: Part10File
) -> None:
    """What is installed decides which."""
    try:
        data = recode(part10, EXPLICIT)
    except NotRecodable as refused:
        reason = str(refused)
    else:
        made = values(save(tmp_path, data, EXPLICIT, part10))
        assert not made["PixelData"].is_undefined_length
        return
    assert re.fullmatch(r"the pixel data cannot be decompressed here \(.+\)", reason)


def test_a_compressed_syntax_without_pixel_data_is_just_recoded(tmp_path: Path) -> None:
    part10 = read_part10(samples.FOLDER / "UN_sequence.dcm")
    theirs = values(part10)
    assert "PixelData" not in theirs
    again = save(tmp_path, recode(part10, IMPLICIT), IMPLICIT, part10)
    assert [item.tag for item in values(again)] == [item.tag for item in theirs]


def test_without_a_decoder_pixel_data_is_not_recodable(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise ImportError("numpy is not installed")

    monkeypatch.setattr(Dataset, "decompress", missing)
    with pytest.raises(NotRecodable, match=r"cannot be decompressed here \(RLE Lossless\)"):
        recode(RUN_LENGTH[0], EXPLICIT)


def test_the_transfer_syntax_of_the_file_gives_the_bytes_of_the_file() -> None:
    part10 = read_part10(samples.CT)
    with open_data_set(part10) as data:
        assert recode(part10, EXPLICIT) == bytes(data)


@pytest.mark.parametrize("target", [RLE, "1.2.840.10008.1.2.4.50", "1.2.3", ""])
def test_other_targets_are_refused(target: str) -> None:
    with pytest.raises(NotRecodable, match="cannot encode"):
        recode(read_part10(samples.CT), target)


def test_pixel_data_behind_a_url_is_refused(tmp_path: Path) -> None:
    part10 = save(tmp_path, samples.data_set(), "1.2.840.10008.1.2.4.94", NATIVE[0])
    with pytest.raises(NotRecodable, match="JPIP"):
        recode(part10, EXPLICIT)


def test_text_that_cannot_be_decoded_is_refused_and_not_replaced(tmp_path: Path) -> None:
    data = el(0x00080005, "CS", b"ISO_IR 192") + el(0x00080016, "UI", b"1.2\0")
    data += el(0x00080018, "UI", b"1.2.3\0") + el(0x00100010, "PN", b"\xff\xfe")
    part10 = save(tmp_path, data, EXPLICIT, NATIVE[0])
    with pytest.raises(NotRecodable, match="replacement characters"):
        recode(part10, IMPLICIT)


def test_a_value_that_cannot_be_encoded_is_refused(tmp_path: Path) -> None:
    data = samples.data_set() + el(0x7FE00010, "OW", b"abc")
    part10 = save(tmp_path, data, EXPLICIT, NATIVE[0])
    with pytest.raises(NotRecodable, match="ValueError"):
        recode(part10, BIG_ENDIAN)


def test_wide_words_are_swapped_as_a_whole(tmp_path: Path) -> None:
    data = el(0x00080018, "UI", b"1.2.3\0") + el(0x7FE00008, "OF", bytes(range(8)))
    data += el(0x7FE00009, "OD", bytes(range(16)))
    part10 = save(tmp_path, data, EXPLICIT, NATIVE[0])
    big = recode(part10, BIG_ENDIAN)
    assert big.endswith(
        el(0x7FE00008, "OF", bytes((3, 2, 1, 0, 7, 6, 5, 4)), big=True)
        + el(0x7FE00009, "OD", bytes(range(7, -1, -1)) + bytes(range(15, 7, -1)), big=True)
    )


def test_a_deflated_data_set_is_even_and_found_in(tmp_path: Path) -> None:
    for instance in ("1.2.3", "1.2.34", "1.2.345", "1.2.3456"):
        source = save(tmp_path, samples.data_set(instance), EXPLICIT, NATIVE[0])
        data = recode(source, DEFLATED)
        assert len(data) % 2 == 0
        assert scan(data, DEFLATED, (0x00080018,)) == {0x00080018: instance}
        assert (
            pydicom.dcmread(
                BytesIO(file_meta(CT_IMAGE_STORAGE, instance, DEFLATED, "1.2") + data)
            ).SOPInstanceUID
            == instance
        )


def test_a_file_that_is_gone_is_an_oserror(tmp_path: Path) -> None:
    part10 = save(tmp_path, samples.data_set(), EXPLICIT, NATIVE[0])
    part10.path.unlink()
    with pytest.raises(FileNotFoundError):
        recode(part10, IMPLICIT)


def test_the_warning_filters_are_as_they_were() -> None:
    before = list(warnings.filters)
    recode(read_part10(samples.FOLDER / "badVR.dcm"), IMPLICIT)
    assert warnings.filters == before
    assert "pydicom" in sys.modules


@pytest.mark.parametrize("cut", [1, 7, 500])
def test_a_data_set_that_is_cut_off_is_refused_and_not_shortened(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "cut.dcm"
    path.write_bytes(samples.CT.read_bytes()[:-cut])
    with pytest.raises(NotRecodable, match="cut off"):
        recode(read_part10(path), IMPLICIT)
