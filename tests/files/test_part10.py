"""What `read_part10` says of a file, `open_data_set` shows of it, `Part10Source` sends of it, and
`file_meta` writes."""

from __future__ import annotations

import mmap
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TypeAlias

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.filereader import _read_file_meta_info, read_preamble

from dul_fsm.files import (
    NotStorable,
    Part10File,
    Part10Source,
    file_meta,
    open_data_set,
    read_part10,
)
from dul_fsm.files.part10 import GIVE_BACK_LENGTH, HEAD_LENGTH, MEDIA_STORAGE_DIRECTORY
from tests.files import samples
from tests.files.samples import BIG_ENDIAN, CT_IMAGE_STORAGE, EXPLICIT, FILES, IMPLICIT, uid
from tests.files.samples import element as el

Open: TypeAlias = Callable[[Part10File], Part10Source]

REFUSED = {
    **dict.fromkeys(
        (
            "ExplVR_BigEndNoMeta.dcm",
            "ExplVR_LitEndNoMeta.dcm",
            "README.txt",
            "crayons.icc",
            "no_meta.dcm",
            "rtplan.dump",
            "rtstruct.dcm",
            "rtstruct.dump",
            "test1.json",
            "test_PN.json",
            "zipMR.gz",
        ),
        "no DICM prefix: not a DICOM Part 10 file",
    ),
    "empty_charset_LEI.dcm": "no SOP Class UID",
    "nested_priv_SQ.dcm": "no SOP Class UID",
    "meta_missing_tsyntax.dcm": "no Transfer Syntax UID in the File Meta Information",
}
ONLY_IN_META = ("UN_sequence.dcm", "no_meta_group_length.dcm", "priv_SQ.dcm")
ROOT = Path(__file__).resolve().parents[2]
TAIL = el(0x7FE00010, "OW", bytes(32))


def write(folder: Path, content: bytes) -> Path:
    path = folder / "file.dcm"
    path.write_bytes(content)
    return path


def meta(
    sop_class: str = "1.2", instance: str = "1.2.9", syntax: str = EXPLICIT, **more: int | None
) -> bytes:
    parts = (
        (0x00020002, "UI", uid(sop_class)),
        (0x00020003, "UI", uid(instance)),
        (0x00020010, "UI", uid(syntax)),
    )
    return samples.meta(*(el(tag, vr, value) for tag, vr, value in parts if value), **more)


# pydicom's files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_agrees_with_pydicom_about_every_sample_file(path: Path) -> None:
    theirs = samples.read(path)
    if path.name in REFUSED:
        with pytest.raises(NotStorable) as refused:
            read_part10(path)
        assert str(refused.value) == REFUSED[path.name]
        return
    assert theirs is not None
    with path.open("rb") as file:
        read_preamble(file, force=False)
        _read_file_meta_info(file)
        offset = file.tell()
    info = theirs.file_meta
    assert read_part10(path) == Part10File(
        path,
        theirs.get("SOPClassUID") or info.MediaStorageSOPClassUID,
        theirs.get("SOPInstanceUID") or info.MediaStorageSOPInstanceUID,
        info.TransferSyntaxUID,
        offset,
        path.stat().st_size - offset,
    )


def test_the_samples_are_those_the_other_tests_count_on() -> None:
    taken = [path for path in FILES if path.name not in REFUSED]
    in_data_set = [path for path in taken if "SOPInstanceUID" in (samples.read(path) or {})]
    assert len(in_data_set) >= 60
    assert {path.name for path in taken} - {path.name for path in in_data_set} == set(ONLY_IN_META)


# The head ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("group_length", [None, 0, 4, 100_000, 0xFFFFFFFF])
def test_needs_no_group_length(tmp_path: Path, group_length: int | None) -> None:
    head = meta(group_length=group_length)
    found = read_part10(write(tmp_path, head + samples.data_set()))
    assert found.data_set_offset == len(head)
    assert found.data_set_length == len(samples.data_set())


def test_reads_file_meta_information_in_implicit_vr(tmp_path: Path) -> None:
    head = samples.meta(el(0x00020010, "UI", uid(IMPLICIT), implicit=True), group_length=None)
    found = read_part10(write(tmp_path, head + samples.data_set()))
    assert (found.transfer_syntax_uid, found.sop_instance_uid) == (IMPLICIT, "1.2.3")


def test_the_uids_of_the_data_set_win_over_those_of_the_file_meta(tmp_path: Path) -> None:
    found = read_part10(write(tmp_path, meta("7.7", "8.8") + samples.data_set("1.2.3")))
    assert (found.sop_class_uid, found.sop_instance_uid) == (CT_IMAGE_STORAGE, "1.2.3")


def test_empty_uids_in_the_data_set_leave_those_of_the_file_meta(tmp_path: Path) -> None:
    data = el(0x00080016, "UI", b"") + el(0x00080018, "UI", b"") + TAIL
    found = read_part10(write(tmp_path, meta("7.7", "8.8") + data))
    assert (found.sop_class_uid, found.sop_instance_uid) == ("7.7", "8.8")


def test_an_empty_data_set_has_length_0(tmp_path: Path) -> None:
    found = read_part10(write(tmp_path, meta("7.7", "8.8")))
    assert found.data_set_length == 0
    assert (found.sop_class_uid, found.sop_instance_uid) == ("7.7", "8.8")


@pytest.mark.parametrize("where", ["in the file meta", "in the data set"])
def test_finds_the_uids_behind_a_large_private_value(tmp_path: Path, where: str) -> None:
    large = bytes(3 * HEAD_LENGTH)
    in_meta = where == "in the file meta"
    head = meta() + (el(0x00020102, "OB", large) if in_meta else b"")
    data = (b"" if in_meta else el(0x00070010, "OB", large)) + samples.data_set()
    found = read_part10(write(tmp_path, head + data))
    assert found.sop_instance_uid == "1.2.3"
    assert (found.data_set_offset, found.data_set_length) == (len(head), len(data))


def test_accepts_a_path_as_str(tmp_path: Path) -> None:
    path = write(tmp_path, meta() + samples.data_set())
    assert read_part10(str(path)) == read_part10(path)


# What cannot be stored ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no DICM prefix"),
        (b"DICM", "no DICM prefix"),
        (bytes(128) + b"dicm", "no DICM prefix"),
        (bytes(128) + b"DICM", "no Transfer Syntax UID"),
        (meta()[:-1], "truncated"),
        (meta() + b"\x02\x00\x16\x00AE\x10\x00", "truncated"),
        (meta() + el(0x00020102, "OB", b"", length=50_000), "truncated"),
        (meta() + bytes(5), "truncated"),
        (meta(group_length=1000), "truncated"),
        (meta(syntax="") + TAIL, "no Transfer Syntax UID"),
        (meta(syntax="\0") + TAIL, "no Transfer Syntax UID"),
        (meta(syntax="Explicit") + TAIL, "the Transfer Syntax UID is not a UID: 'Explicit'"),
        (meta(sop_class="") + TAIL, "no SOP Class UID"),
        (meta(sop_class="1" * 65) + TAIL, "the SOP Class UID is not a UID"),
        (meta(sop_class="1.2 3") + TAIL, "the SOP Class UID is not a UID"),
        (meta(instance="") + TAIL, "no SOP Instance UID"),
        (meta(instance="1.2\\1.3") + TAIL, "the SOP Instance UID is not a UID"),
        (meta(instance="1" * 65) + TAIL, "the SOP Instance UID is not a UID"),
        (meta(sop_class=MEDIA_STORAGE_DIRECTORY) + TAIL, "a DICOMDIR"),
    ],
)
def test_says_why_a_file_cannot_be_stored(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(NotStorable, match=f"^.*{reason}".replace("\\", "\\\\")):
        read_part10(write(tmp_path, content))


def test_a_sop_instance_uid_with_letters_is_left_to_the_peer(tmp_path: Path) -> None:
    found = read_part10(write(tmp_path, meta(instance="1.2.ABC") + TAIL))
    assert found.sop_instance_uid == "1.2.ABC"


def test_a_folder_is_not_a_regular_file(tmp_path: Path) -> None:
    with pytest.raises(NotStorable, match="not a regular file"):
        read_part10(tmp_path)


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(NotStorable, match="not a regular file"):
        read_part10(tmp_path / "fifo")


def test_a_file_that_is_not_there_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_part10(tmp_path / "none")


def test_every_truncation_of_a_file_is_a_part10_file_or_says_why(tmp_path: Path) -> None:
    whole = samples.CT.read_bytes()
    offset = read_part10(samples.CT).data_set_offset
    for length in range(700):
        path = write(tmp_path, whole[:length])
        try:
            found = read_part10(path)
        except NotStorable:
            assert length < offset + 8
        else:
            assert (found.data_set_offset, found.data_set_length) == (offset, length - offset)


@given(st.integers(132, 600), st.binary(min_size=1, max_size=12), st.booleans())
def test_any_damage_to_a_head_gives_a_part10_file_or_says_why(
    tmp_path_factory: pytest.TempPathFactory, position: int, damage: bytes, cut: bool
) -> None:
    """No bytes make `read_part10` raise anything but NotStorable, or place a data set outside."""
    content = bytearray(samples.CT.read_bytes()[:2000])
    content[position : position + len(damage)] = damage
    if cut:
        del content[position + len(damage) :]
    path = write(tmp_path_factory.getbasetemp(), bytes(content))
    try:
        found = read_part10(path)
    except NotStorable:
        return
    assert found.data_set_offset >= 132
    assert found.data_set_offset + found.data_set_length == len(content)


def test_reading_leaves_no_descriptor_open(tmp_path: Path) -> None:
    good = write(tmp_path, meta() + el(0x00070010, "OB", bytes(9000)) + samples.data_set())
    before = samples.open_descriptors()
    for _ in range(3):
        read_part10(good)
        with pytest.raises(NotStorable):
            read_part10(tmp_path)
    assert samples.open_descriptors() == before


# The data set ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["CT_small.dcm", "image_dfl.dcm", "MR_small_expb.dcm"])
def test_shows_exactly_the_encoded_data_set(name: str) -> None:
    part10 = read_part10(samples.FOLDER / name)
    with open_data_set(part10) as data:
        assert isinstance(data, memoryview)
        assert len(data) == part10.data_set_length
        assert bytes(data) == part10.path.read_bytes()[part10.data_set_offset :]


def test_shows_an_empty_data_set(tmp_path: Path) -> None:
    with open_data_set(read_part10(write(tmp_path, meta()))) as data:
        assert bytes(data) == b""


def test_the_view_ends_with_the_block_and_the_descriptor_with_it() -> None:
    part10 = read_part10(samples.CT)
    before = samples.open_descriptors()
    with open_data_set(part10) as data:
        pass
    assert samples.open_descriptors() == before
    with pytest.raises(ValueError, match="released"):
        data[0]


def test_an_error_inside_the_block_leaves_no_descriptor_open() -> None:
    part10 = read_part10(samples.CT)
    before = samples.open_descriptors()
    with pytest.raises(ZeroDivisionError), open_data_set(part10):
        raise ZeroDivisionError
    assert samples.open_descriptors() == before


def test_a_slice_that_outlives_the_block_stays_readable_and_keeps_the_mapping() -> None:
    part10 = read_part10(samples.CT)
    before = samples.open_descriptors()
    with open_data_set(part10) as data:
        piece = data[:8]
    assert bytes(piece) == part10.path.read_bytes()[part10.data_set_offset :][:8]
    del piece, data
    assert samples.open_descriptors() == before


def test_a_file_that_shrank_is_not_storable(tmp_path: Path) -> None:
    part10 = read_part10(write(tmp_path, meta() + samples.data_set()))
    os.truncate(part10.path, part10.data_set_offset + 4)
    with pytest.raises(NotStorable, match="shorter"), open_data_set(part10):
        pass


def test_a_file_that_shrinks_while_it_is_read_is_not_storable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, meta() + el(0x00070010, "OB", bytes(9000)) + samples.data_set())
    real = os.read

    def read(descriptor: int, length: int) -> bytes:
        head = real(descriptor, length)
        os.truncate(path, HEAD_LENGTH)
        return head

    monkeypatch.setattr(os, "read", read)
    with pytest.raises(NotStorable, match="shorter"):
        read_part10(path)


def test_a_file_that_cannot_be_mapped_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no mappings here")

    part10 = read_part10(samples.CT)
    monkeypatch.setattr(mmap, "mmap", refuse)
    with open_data_set(part10) as data:
        assert bytes(data) == part10.path.read_bytes()[part10.data_set_offset :]


# On its way out -----------------------------------------------------------------------------------


def big_file(tmp_path: Path, length: int) -> Part10File:
    path = write(tmp_path, meta() + samples.data_set())
    with path.open("r+b") as file:
        file.truncate(length)
        file.seek(length - 4)
        file.write(b"last")
    return read_part10(path)


def read(part10: Part10File) -> Part10Source:
    return Part10Source(part10)


def mapped(part10: Part10File) -> Part10Source:
    source = Part10Source(part10)
    source.in_place()
    return source


@pytest.fixture(params=[read, mapped])
def opened(request: pytest.FixtureRequest) -> Open:
    way: Open = request.param
    return way


def data_set_of(part10: Part10File) -> bytes:
    return part10.path.read_bytes()[part10.data_set_offset :]


@pytest.mark.parametrize("limit", [2, 10, 1 << 16])
def test_a_source_cuts_the_data_set(limit: int, opened: Open) -> None:
    part10 = read_part10(samples.CT)
    with opened(part10) as source:
        assert len(source) == part10.data_set_length
        found = bytearray()
        is_last = False
        while not is_last:
            fragment, is_last = source.next(limit)
            assert 0 < len(fragment) <= limit
            found += fragment
        del fragment
    assert found == data_set_of(part10)


def test_a_mapped_source_copies_nothing() -> None:
    with mapped(read_part10(samples.CT)) as source:
        first, _ = source.next(10)
        second, _ = source.next(10)
        assert isinstance(first, memoryview)
        assert isinstance(second, memoryview)
        assert isinstance(first.obj, mmap.mmap)
        assert first.obj is second.obj
        del first, second


def test_a_fragment_that_ends_with_the_data_set_is_the_last(opened: Open) -> None:
    part10 = read_part10(samples.CT)
    data = data_set_of(part10)
    with opened(part10) as source:
        assert source.next(len(data) - 2) == (data[:-2], False)
        assert source.next(2) == (data[-2:], True)


def test_an_empty_data_set_is_one_empty_fragment(tmp_path: Path, opened: Open) -> None:
    with opened(read_part10(write(tmp_path, meta()))) as source:
        fragment, is_last = source.next(2)
        assert is_last
        assert len(fragment) == 0


def test_a_source_gives_its_descriptors_back(opened: Open) -> None:
    part10 = read_part10(samples.CT)
    before = samples.open_descriptors()
    with opened(part10) as source:
        assert samples.open_descriptors() == before + 1
        source.next(2)
    source.close()
    assert samples.open_descriptors() == before


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux")
def test_what_has_left_of_a_large_file_is_given_back_and_reads_as_it_was(tmp_path: Path) -> None:
    part10 = big_file(tmp_path, 8 * GIVE_BACK_LENGTH)
    with mapped(part10) as source:
        fragment, is_last = first, _ = source.next(1 << 17)
        while not is_last:
            fragment, is_last = source.next(1 << 17)
            assert sum(fragment[:: mmap.PAGESIZE]) >= 0
        assert 0 < samples.resident(part10.path) <= 3 * GIVE_BACK_LENGTH
        assert bytes(fragment[-4:]) == b"last"
        assert bytes(first[:1024]) == data_set_of(part10)[:1024]
        del first, fragment


def test_a_file_that_cannot_be_mapped_is_read_on_its_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no mappings here")

    part10 = read_part10(samples.CT)
    monkeypatch.setattr(mmap, "mmap", refuse)
    with mapped(part10) as source:
        assert source.next(part10.data_set_length) == (data_set_of(part10), True)


def test_what_a_file_system_gives_in_pieces_is_put_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    part10 = read_part10(samples.CT)
    real = os.read
    monkeypatch.setattr(os, "read", lambda descriptor, size: real(descriptor, min(size, 7)))
    with read(part10) as source:
        assert source.next(100) == (data_set_of(part10)[:100], False)


def test_a_file_that_shrank_is_not_sent(tmp_path: Path) -> None:
    part10 = read_part10(write(tmp_path, meta() + samples.data_set()))
    os.truncate(part10.path, part10.data_set_offset + 4)
    before = samples.open_descriptors()
    with pytest.raises(NotStorable, match="shorter"):
        Part10Source(part10)
    assert samples.open_descriptors() == before


def test_a_file_that_shrinks_on_its_way_out_says_so_even_if_it_was_to_be_mapped(
    tmp_path: Path,
) -> None:
    part10 = read_part10(write(tmp_path, meta() + samples.data_set()))
    with Part10Source(part10) as source:
        os.truncate(part10.path, part10.data_set_offset + 4)
        source.in_place()
        with pytest.raises(NotStorable, match="shorter while it was sent"):
            source.next(1000)


def test_a_part10_file_cannot_be_changed() -> None:
    part10 = read_part10(samples.CT)
    with pytest.raises(AttributeError):
        part10.data_set_length = 1  # type: ignore[misc]
    assert replace(part10, data_set_length=1).data_set_length == 1


# File Meta Information ---------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["", "ODD", "EVEN"])
@pytest.mark.parametrize("source", ["", "ODD", "EVEN"])
@pytest.mark.parametrize("instance", ["1.2.3", "1.2.34", "1" * 63, "1" * 64])
def test_pydicom_reads_the_file_meta_it_writes(version: str, source: str, instance: str) -> None:
    head = file_meta(CT_IMAGE_STORAGE, instance, EXPLICIT, "1.2.3.4", version, source)
    data = pydicom.dcmread(BytesIO(head + samples.data_set(instance)))
    info = data.file_meta
    assert data.SOPInstanceUID == instance
    assert info.FileMetaInformationVersion == b"\0\1"
    assert info.FileMetaInformationGroupLength == len(head) - 144
    assert info.MediaStorageSOPClassUID == CT_IMAGE_STORAGE
    assert info.MediaStorageSOPInstanceUID == instance
    assert info.TransferSyntaxUID == EXPLICIT
    assert info.ImplementationClassUID == "1.2.3.4"
    assert info.get("ImplementationVersionName", "") == version
    assert info.get("SourceApplicationEntityTitle", "") == source
    assert len(info) == 6 + bool(version) + bool(source)
    assert len(head) % 2 == 0


def test_reads_the_file_meta_it_writes(tmp_path: Path) -> None:
    head = file_meta("1.2", "1.2.3", BIG_ENDIAN, "1.2.3.4")
    path = write(tmp_path, head + el(0x00100020, "LO", b"ID", big=True))
    assert read_part10(path) == Part10File(path, "1.2", "1.2.3", BIG_ENDIAN, len(head), 10)


def test_a_note_on_the_origin_is_made_to_fit() -> None:
    head = file_meta("1.2", "1.3", EXPLICIT, "1.4", "V" * 20, "MÜLLER")
    assert head.endswith(
        struct.pack("<HH2sH", 2, 0x13, b"SH", 16)
        + b"V" * 16
        + struct.pack("<HH2sH", 2, 0x16, b"AE", 6)
        + b"M?LLER"
    )


@pytest.mark.parametrize("bad", ["1" * 65, "1.²"])
@pytest.mark.parametrize("place", range(4))
def test_refuses_what_is_not_a_uid(bad: str, place: int) -> None:
    uids = ["1.2"] * 4
    uids[place] = bad
    with pytest.raises(ValueError, match=r"UID|ascii"):
        file_meta(*uids)


# The room ----------------------------------------------------------------------------------------


def test_importing_the_room_imports_neither_pydicom_nor_numpy() -> None:
    script = "import sys, dul_fsm.files; print({'pydicom', 'numpy'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "set()"
