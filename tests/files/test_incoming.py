"""A file that arrives is complete or gone, whichever operation of the system fails."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from dul_fsm.files import IncomingFile
from dul_fsm.files.incoming import GATHER_LENGTH
from dul_fsm.files.part10 import HEAD_LENGTH
from dul_fsm.upper_layer import Buffer
from tests.files import samples
from tests.files.samples import (
    CT_IMAGE_STORAGE,
    DEFLATED,
    EXPLICIT,
    UNDEFINED,
    deflate,
    files,
    mark,
    stored,
    study_folder,
)
from tests.files.samples import element as el

ROOT = Path(__file__).resolve().parents[2]
DATA = samples.data_set(pixels=bytes(range(256)) * 1200)


def begin(root: Path, instance: str = "1.2.3", *, durable: bool = False) -> IncomingFile:
    folder = study_folder(root, durable=durable)
    return folder.begin(CT_IMAGE_STORAGE, instance, EXPLICIT, "SENDER")


@pytest.fixture(autouse=True)
def _no_descriptor_is_left_open() -> Iterator[None]:
    before = samples.open_descriptors()
    yield
    assert samples.open_descriptors() == before


# Fragments ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "size", [1, 16_378, GATHER_LENGTH - 1, GATHER_LENGTH, GATHER_LENGTH + 1, len(DATA)]
)
def test_keeps_what_came_in_fragments_of_any_size(tmp_path: Path, size: int) -> None:
    data = DATA[:3000] if size == 1 else DATA
    incoming = begin(tmp_path)
    for start in range(0, len(data), size):
        incoming.write(memoryview(data)[start : start + size])
    assert incoming.data_set_length == len(data)
    path = incoming.commit()
    assert files(tmp_path) == [path]
    assert stored(path) == data


def test_large_and_small_fragments_keep_their_order(tmp_path: Path) -> None:
    incoming = begin(tmp_path)
    start = 0
    for size in (10, 70_000, 70_000, 0, 5, 70_000, 100):
        incoming.write(DATA[start : start + size])
        start += size
    assert stored(incoming.commit()) == DATA[:start]


def test_a_fragment_may_be_overwritten_after_the_call(tmp_path: Path) -> None:
    incoming = begin(tmp_path)
    buffer = bytearray(4000)
    for start in range(0, len(DATA), len(buffer)):
        piece = DATA[start : start + len(buffer)]
        buffer[: len(piece)] = piece
        incoming.write(memoryview(buffer)[: len(piece)])
        buffer[:] = b"\xff" * len(buffer)
    assert stored(incoming.commit()) == DATA


def test_an_empty_data_set_is_kept(tmp_path: Path) -> None:
    path = begin(tmp_path).commit()
    assert stored(path) == b""
    assert path == tmp_path / "no-study" / "no-series" / "1.2.3.dcm"


def test_memory_does_not_grow_with_the_data_set(tmp_path: Path) -> None:
    incoming = begin(tmp_path)
    with incoming:
        for _ in range(300):
            incoming.write(bytes(16_378))
            assert len(incoming._gathered) < GATHER_LENGTH
        assert incoming.data_set_length == 300 * 16_378


def test_every_write_ends_with_a_page_of_the_file_except_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To write a page in two parts costs the system as much as several whole pages."""
    real = os.writev
    lengths: list[int] = []

    def write(descriptor: int, parts: Sequence[Buffer]) -> int:
        lengths.append(real(descriptor, parts))
        return lengths[-1]

    incoming = begin(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", write)
        for start in range(0, len(DATA), 70_001):
            incoming.write(memoryview(DATA)[start : start + 70_001])
        path = incoming.commit()
    assert [length % 4096 for length in lengths[:-1]] == [0, 0, 0, 0]
    assert stored(path) == DATA


@pytest.mark.parametrize("first", [0, 1, 300, 5000, 69_000])
def test_short_writes_are_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    real, joined = os.write, b"".join
    incoming = begin(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", lambda fd, parts: real(fd, joined(parts)[:first]))
        patch.setattr(os, "write", lambda fd, data: real(fd, bytes(data[:5000])))
        incoming.write(DATA[:100])
        incoming.write(DATA[100:])
        path = incoming.commit()
    assert stored(path) == DATA


def test_a_write_that_takes_nothing_is_an_error_and_not_a_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    incoming = begin(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", lambda fd, parts: 0)
        patch.setattr(os, "write", lambda fd, data: 0)
        with pytest.raises(OSError, match="nothing was written"):
            incoming.write(DATA)
    assert files(tmp_path) == []


# Its hidden name ----------------------------------------------------------------------------------


def test_a_hidden_name_may_be_cleared_later_and_only_once(tmp_path: Path) -> None:
    incoming = begin(tmp_path)
    incoming.write(DATA)
    path = incoming.commit(clears=False)
    hidden = Path(incoming.hidden)
    assert hidden.samefile(path)
    incoming.clear()
    assert not hidden.exists()
    hidden.write_bytes(b"somebody else's")
    incoming.clear()
    incoming.discard()
    assert hidden.exists()
    assert stored(path) == DATA


def test_a_hidden_name_that_cannot_be_removed_costs_nobody_his_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    incoming = begin(tmp_path)
    incoming.write(DATA)
    monkeypatch.setattr(os, "unlink", FailingCall(os.unlink, 1, errno.EPERM))
    assert stored(incoming.commit()) == DATA


# Room made ahead ---------------------------------------------------------------------------------


def with_room(root: Path, length: int) -> IncomingFile:
    folder = study_folder(root)
    prepared = folder.prepare(length)
    return folder.begin(CT_IMAGE_STORAGE, "1.2.3", EXPLICIT, "SENDER", prepared=prepared)


@pytest.mark.parametrize("room", [1, 5000, len(DATA) - 1, len(DATA), len(DATA) + 1, 2 * len(DATA)])
@pytest.mark.parametrize("size", [16_378, 131_066])
def test_what_was_expected_to_be_longer_or_shorter_is_kept_as_it_came(
    tmp_path: Path, room: int, size: int
) -> None:
    incoming = with_room(tmp_path, room)
    assert os.stat(incoming.hidden).st_size == room // 4096 * 4096
    for start in range(0, len(DATA), size):
        incoming.write(memoryview(DATA)[start : start + size])
    path = incoming.commit()
    (tmp_path / "without").mkdir()
    without = begin(tmp_path / "without")
    without.write(DATA)
    assert path.read_bytes() == without.commit().read_bytes()


@pytest.mark.parametrize("longer", [0, 1, 3000])
def test_of_the_room_for_an_image_as_long_as_the_last_nothing_has_to_be_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, longer: int
) -> None:
    incoming = with_room(tmp_path, len(DATA) - longer)
    incoming.write(DATA)
    monkeypatch.setattr(os, "ftruncate", FailingCall(os.ftruncate, 1, errno.EIO))
    assert stored(incoming.commit()) == DATA


def test_of_an_empty_data_set_no_room_is_left(tmp_path: Path) -> None:
    path = with_room(tmp_path, 100_000).commit()
    assert stored(path) == b""


def test_room_that_nothing_is_written_into_is_discarded_with_the_file(tmp_path: Path) -> None:
    with with_room(tmp_path, 100_000):
        pass
    assert files(tmp_path) == []


@pytest.mark.parametrize("taken", [0, 1, 4096, 70_000])
def test_where_there_is_no_room_a_file_is_made_without_or_with_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    real, joined = os.write, b"".join

    def write(descriptor: int, parts: Sequence[Buffer]) -> int:
        if not taken:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, joined(parts)[:taken])

    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", write)
        incoming = with_room(tmp_path, 1_000_000)
    assert os.stat(incoming.hidden).st_size == taken
    incoming.write(DATA[:30_000])
    assert stored(incoming.commit()) == DATA[:30_000]


def test_what_cannot_be_cut_off_is_an_error_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    incoming = with_room(tmp_path, 100_000)
    incoming.write(DATA[:50_000])
    monkeypatch.setattr(os, "ftruncate", FailingCall(os.ftruncate, 1, errno.EIO))
    with pytest.raises(OSError, match=re.escape(os.strerror(errno.EIO))):
        incoming.commit()
    assert files(tmp_path) == []


# The place ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1000, HEAD_LENGTH, 70_000])
def test_the_place_is_looked_for_before_the_last_fragment_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """For its end the peer is waiting."""
    incoming = begin(tmp_path)
    for start in range(0, len(DATA), size):
        incoming.write(DATA[start : start + size])
    monkeypatch.setattr("dul_fsm.files.incoming.scan_head", None)
    monkeypatch.setattr("dul_fsm.files.incoming.scan", None)
    assert incoming.commit() == tmp_path / "1.2.3.1" / "1.2.3.2" / "1.2.3.dcm"


def place(root: Path, data: bytes, syntax: str = EXPLICIT) -> Path:
    incoming = study_folder(root).begin(CT_IMAGE_STORAGE, "1.2.3", syntax)
    incoming.write(data)
    return incoming.commit().parent.relative_to(root)


def test_study_and_series_are_taken_from_the_data_set(tmp_path: Path) -> None:
    assert place(tmp_path, samples.data_set()) == Path("1.2.3.1/1.2.3.2")


def test_study_and_series_are_found_behind_large_values(tmp_path: Path) -> None:
    item = mark(0xE000, UNDEFINED) + samples.data_set(study="9", series="9") + mark(0xE00D)
    sequence = el(0x00080006, "SQ", item * 300 + mark(0xE0DD), length=UNDEFINED)
    large = el(0x00090010, "OB", bytes(300_000))
    data = sequence + large + samples.data_set()
    assert len(sequence) > HEAD_LENGTH
    assert place(tmp_path, data) == Path("1.2.3.1/1.2.3.2")


def test_study_and_series_are_found_in_a_deflated_data_set(tmp_path: Path) -> None:
    noise = b"".join(os.urandom(1) for _ in range(2 * HEAD_LENGTH))
    data = deflate(el(0x00080008, "OB", noise) + samples.data_set())
    assert place(tmp_path, data, DEFLATED) == Path("1.2.3.1/1.2.3.2")


def test_without_study_or_series_there_is_a_place_all_the_same(tmp_path: Path) -> None:
    assert place(tmp_path, samples.data_set(study="")) == Path("no-study/1.2.3.2")
    assert place(tmp_path, samples.data_set(series="")) == Path("1.2.3.1/no-series")
    assert place(tmp_path, b"\xff" * 50_000) == Path("no-study/no-series")


@pytest.mark.parametrize("bad", ["../../x", "..", ".", "1..2", "/etc", "1.2/3", "1" * 65, "1\n"])
def test_no_study_or_series_that_is_not_a_uid_becomes_a_path(tmp_path: Path, bad: str) -> None:
    root = tmp_path / "a" / "b" / "c"
    assert place(root, samples.data_set(study=bad, series=bad)) == Path("no-study/no-series")
    assert [path.relative_to(tmp_path).parts[:3] for path in files(tmp_path)] == [("a", "b", "c")]


# The end -----------------------------------------------------------------------------------------


def test_nothing_can_be_seen_before_the_commit(tmp_path: Path) -> None:
    incoming = begin(tmp_path)
    incoming.write(DATA)
    assert [path.name[0] for path in files(tmp_path)] == ["."]
    incoming.commit()
    assert [path.name for path in files(tmp_path)] == ["1.2.3.dcm"]


def test_discard_leaves_nothing_and_may_be_repeated(tmp_path: Path) -> None:
    incoming = begin(tmp_path)
    incoming.write(DATA)
    incoming.discard()
    incoming.discard()
    assert files(tmp_path) == []


def test_discard_after_a_commit_does_nothing(tmp_path: Path) -> None:
    incoming = begin(tmp_path)
    incoming.write(DATA)
    path = incoming.commit()
    incoming.discard()
    assert stored(path) == DATA


@pytest.mark.parametrize("end", [IncomingFile.commit, IncomingFile.discard])
def test_after_its_end_a_file_takes_nothing_more(
    tmp_path: Path, end: Callable[[IncomingFile], object]
) -> None:
    incoming = begin(tmp_path)
    end(incoming)
    with pytest.raises(ValueError, match="committed or discarded"):
        incoming.write(b"")
    with pytest.raises(ValueError, match="committed or discarded"):
        incoming.commit()


def test_leaving_the_block_without_a_commit_discards(tmp_path: Path) -> None:
    with begin(tmp_path) as incoming:
        incoming.write(DATA)
    assert files(tmp_path) == []
    with pytest.raises(ZeroDivisionError), begin(tmp_path):
        raise ZeroDivisionError
    assert files(tmp_path) == []
    with begin(tmp_path) as incoming:
        incoming.write(DATA)
        path = incoming.commit()
    assert files(tmp_path) == [path]


# Failures ----------------------------------------------------------------------------------------


def receive(root: Path) -> Path:
    with begin(root, durable=True) as incoming:
        for start in range(0, len(DATA), 100_000):
            incoming.write(memoryview(DATA)[start : start + 100_000])
        return incoming.commit()


class FailingCall:
    """Stands for a function of `os`; the call with the given number fails."""

    def __init__(self, real: Callable[..., object], number: int, code: int) -> None:
        self.real = real
        self.number = number
        self.code = code
        self.calls = 0

    def __call__(self, *arguments: object, **keywords: object) -> object:
        self.calls += 1
        if self.calls == self.number:
            raise OSError(self.code, os.strerror(self.code))
        return self.real(*arguments, **keywords)


CALLS = {"writev": 4, "link": 2, "makedirs": 1}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize(
    ("call", "number"), [(call, n) for call, count in CALLS.items() for n in range(1, count + 1)]
)
def test_no_failing_call_leaves_anything_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, code: int
) -> None:
    """The N-th call of each function fails, for every N; then the error comes out, and no file."""
    failing = FailingCall(getattr(os, call), number, code)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing)
        with pytest.raises(OSError, match=re.escape(os.strerror(code))) as raised:
            receive(tmp_path)
    assert raised.value.errno == code
    assert failing.calls >= number
    assert files(tmp_path) == []
    assert stored(receive(tmp_path)) == DATA


def test_the_failures_above_cover_every_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counters = {call: FailingCall(getattr(os, call), 0, 0) for call in CALLS}
    with monkeypatch.context() as patch:
        for call, counter in counters.items():
            patch.setattr(os, call, counter)
        receive(tmp_path)
    # The first link finds no folder; makedirs calls itself for the study.
    assert {call: counter.calls for call, counter in counters.items()} == CALLS | {"makedirs": 2}


def test_a_failing_fsync_of_the_data_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", FailingCall(os.fsync, 1, errno.EIO))
        with pytest.raises(OSError, match="Input/output error"):
            receive(tmp_path)
    assert files(tmp_path) == []


def test_an_error_of_close_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network file system may report a full quota no earlier."""
    incoming = begin(tmp_path)
    incoming.write(DATA)
    real = os.close

    def close(descriptor: int) -> None:
        real(descriptor)
        raise OSError(errno.EDQUOT, "quota")

    with monkeypatch.context() as patch:
        patch.setattr(os, "close", close)
        with pytest.raises(OSError, match="quota"):
            incoming.commit()
    assert files(tmp_path) == []


@pytest.mark.parametrize("bad", ["1.²", "1" * 65])
def test_a_uid_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path, bad: str) -> None:
    with pytest.raises(ValueError, match=r"UID|ascii"):
        study_folder(tmp_path).begin(bad, "1.2.3", EXPLICIT)
    assert files(tmp_path) == []


LIMITED = """
import resource, sys
from dul_fsm.files import StudyFolder
folder = StudyFolder(sys.argv[1], implementation_class_uid="1.2.3.4")
resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))
incoming = folder.begin("1.2", "1.2.3", "1.2.840.10008.1.2.1")
try:
    for _ in range(20):
        incoming.write(bytes(16_378))
except OSError as error:
    print(type(error).__name__, incoming.data_set_length)
"""


def test_a_limit_of_the_system_leaves_nothing_behind(tmp_path: Path) -> None:
    """A real one: the system takes a part of a write, and refuses the next."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    kind, length = done.stdout.split()
    assert kind == "OSError"
    assert 2 * GATHER_LENGTH < int(length) < 150_000 + GATHER_LENGTH
    assert files(tmp_path) == []
