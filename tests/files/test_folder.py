"""A `StudyFolder` loses nothing, overwrites nothing, and shows only what is complete."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dul_fsm.files import InvalidUID, StudyFolder, is_uid, read_part10
from dul_fsm.files import folder as folder_module
from dul_fsm.files.folder import ORPHAN_AGE, STALE_AGE
from tests.files import samples
from tests.files.samples import CT_IMAGE_STORAGE, EXPLICIT, IMPLICIT, files, stored, study_folder

ROOT = Path(__file__).resolve().parents[2]
PLACE = Path("1.2.3.1/1.2.3.2")


def keep(
    folder: StudyFolder,
    data: bytes,
    instance: str = "1.2.3",
    syntax: str = EXPLICIT,
    source: str = "SENDER",
) -> Path:
    incoming = folder.begin(CT_IMAGE_STORAGE, instance, syntax, source)
    incoming.write(data)
    return incoming.commit()


def refuse_links(code: int) -> Callable[..., None]:
    def link(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return link


@pytest.fixture(params=["links", "no links"])
def _file_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With hard links, and as on FAT."""
    if request.param == "no links":
        monkeypatch.setattr(os, "link", refuse_links(errno.EPERM))


# One file for each instance ----------------------------------------------------------------------


@pytest.mark.usefixtures("_file_system")
def test_a_file_is_named_after_its_uids(tmp_path: Path) -> None:
    path = keep(study_folder(tmp_path), samples.data_set())
    assert path == tmp_path / PLACE / "1.2.3.dcm"
    assert files(tmp_path) == [path]
    found = read_part10(path)
    assert (found.sop_class_uid, found.sop_instance_uid) == (CT_IMAGE_STORAGE, "1.2.3")
    assert found.transfer_syntax_uid == EXPLICIT
    assert stored(path) == samples.data_set()


def test_the_file_meta_tells_the_implementation_and_the_source(tmp_path: Path) -> None:
    folder = StudyFolder(
        tmp_path, implementation_class_uid="1.2.3.4", implementation_version_name="V_1"
    )
    info = samples.read(keep(folder, samples.data_set()))
    assert info is not None
    assert info.file_meta.ImplementationClassUID == "1.2.3.4"
    assert info.file_meta.ImplementationVersionName == "V_1"
    assert info.file_meta.SourceApplicationEntityTitle == "SENDER"


@pytest.mark.usefixtures("_file_system")
def test_the_same_instance_again_is_kept_once(tmp_path: Path) -> None:
    folder = study_folder(tmp_path)
    first = keep(folder, samples.data_set())
    before = first.stat().st_ino
    assert keep(folder, samples.data_set(), source="OTHER") == first
    assert files(tmp_path) == [first]
    assert first.stat().st_ino == before


@pytest.mark.usefixtures("_file_system")
def test_other_data_under_the_same_uid_is_stored_beside_it(tmp_path: Path) -> None:
    folder = study_folder(tmp_path)
    contents = [samples.data_set(pixels=bytes([n]) * 600_000) for n in range(3)]
    paths = [keep(folder, data) for data in contents]
    assert [path.name for path in paths] == ["1.2.3.dcm", "1.2.3_2.dcm", "1.2.3_3.dcm"]
    assert [stored(path) for path in paths] == contents
    assert [keep(folder, data) for data in contents] == paths
    assert len(files(tmp_path)) == 3


def test_another_length_or_another_encoding_is_other_data(tmp_path: Path) -> None:
    folder = study_folder(tmp_path)
    data = samples.data_set(pixels=bytes(100))
    names = [
        keep(folder, data).name,
        keep(folder, data + bytes(10)).name,
        keep(folder, data, syntax=IMPLICIT).name,
    ]
    assert names == ["1.2.3.dcm", "1.2.3_2.dcm", "1.2.3_3.dcm"]


def test_a_second_copy_never_has_the_name_of_another_uid(tmp_path: Path) -> None:
    folder = study_folder(tmp_path)
    keep(folder, samples.data_set(pixels=b"ab"))
    second = keep(folder, samples.data_set(pixels=b"cd"))
    assert keep(folder, samples.data_set("1.2.3.2"), "1.2.3.2").name == "1.2.3.2.dcm"
    assert not is_uid(second.stem)


@pytest.mark.parametrize("kind", ["folder", "text", "dangling link"])
@pytest.mark.usefixtures("_file_system")
def test_whatever_else_has_the_name_is_left_alone(tmp_path: Path, kind: str) -> None:
    taken = tmp_path / PLACE / "1.2.3.dcm"
    taken.parent.mkdir(parents=True)
    if kind == "folder":
        taken.mkdir()
    elif kind == "text":
        taken.write_text("mine")
    else:
        taken.symlink_to(tmp_path / "nowhere")
    path = keep(study_folder(tmp_path), samples.data_set())
    assert path.name == "1.2.3_2.dcm"
    assert stored(path) == samples.data_set()
    assert os.path.lexists(taken)


def test_an_unexpected_error_of_link_comes_out_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", refuse_links(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        keep(study_folder(tmp_path), samples.data_set())
    assert files(tmp_path) == []


def test_without_links_and_without_locks_files_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", refuse_links(errno.EOPNOTSUPP))
    monkeypatch.setattr("fcntl.flock", refuse_links(errno.ENOLCK))
    before = samples.open_descriptors()
    assert stored(keep(study_folder(tmp_path), samples.data_set())) == samples.data_set()
    assert samples.open_descriptors() == before


def test_durable_syncs_the_file_before_and_its_folders_after_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    real_link, real_sync = os.link, os.fsync

    def link(source: Path, target: str) -> None:
        real_link(source, target)
        order.append("link")

    def sync(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        order.append("data" if path.is_file() else str(path.relative_to(tmp_path)))
        real_sync(descriptor)

    monkeypatch.setattr(os, "link", link)
    monkeypatch.setattr(os, "fsync", sync)
    keep(study_folder(tmp_path, durable=True), samples.data_set())
    assert order == ["data", "link", "1.2.3.1/1.2.3.2", "1.2.3.1", "."]
    order.clear()
    keep(study_folder(tmp_path), samples.data_set("1.2.4"), "1.2.4")
    assert order == ["link"]


# UIDs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("good", ["1", "0", "1.2.3", "1.02", "1" * 64, "2.25." + "9" * 39])
def test_is_a_uid(good: str) -> None:
    assert is_uid(good)


@pytest.mark.parametrize(
    "bad",
    [
        *("", ".", "..", "1.", ".1", "1..2", "1/2", "../../x", "1\\2", "a", "1 ", "1\n", "1\0"),
        *("1" * 65, "²", "\N{ARABIC-INDIC DIGIT ONE}"),
    ],
)
def test_what_is_not_a_uid_never_becomes_a_file(tmp_path: Path, bad: str) -> None:
    assert not is_uid(bad)
    root = tmp_path / "a" / "b" / "c"
    with pytest.raises(InvalidUID, match="SOP Instance UID"):
        study_folder(root).begin(CT_IMAGE_STORAGE, bad, EXPLICIT)
    assert files(tmp_path) == []


@given(st.text(alphabet="0123456789./\\\n\0a", max_size=70))
def test_every_uid_is_one_harmless_part_of_a_path(text: str) -> None:
    """Whatever passes as a UID has no separator, no parent and no more than 64 bytes."""
    if is_uid(text):
        assert Path(text).parts == (text,)
        assert re.fullmatch(r"[0-9.]{1,64}", text)
        assert ".." not in text


# Prepared ahead ----------------------------------------------------------------------------------


def hidden(root: Path) -> list[Path]:
    return [path for path in files(root) if path.name.startswith(".")]


def test_a_file_that_was_prepared_is_the_one_that_is_written(tmp_path: Path) -> None:
    folder = study_folder(tmp_path)
    prepared = folder.prepare()
    (before,) = hidden(tmp_path)
    inode = before.stat().st_ino
    file = folder.begin(CT_IMAGE_STORAGE, "1.2.3", EXPLICIT, "SENDER", prepared=prepared)
    assert file is prepared
    file.write(samples.data_set())
    path = file.commit()
    assert (path.stat().st_ino, stored(path)) == (inode, samples.data_set())
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("replaced", [False, True])
def test_a_prepared_file_that_somebody_has_removed_is_made_anew(
    tmp_path: Path, replaced: bool
) -> None:
    folder = study_folder(tmp_path)
    prepared = folder.prepare()
    (path,) = hidden(tmp_path)
    path.unlink()
    if replaced:
        path.write_bytes(b"somebody else's")
    file = folder.begin(CT_IMAGE_STORAGE, "1.2.3", EXPLICIT, prepared=prepared)
    file.write(samples.data_set())
    assert stored(file.commit()) == samples.data_set()
    with pytest.raises(ValueError, match="discarded"):
        prepared.write(b"")


def test_a_prepared_file_is_discarded_for_what_is_not_a_uid(tmp_path: Path) -> None:
    folder = study_folder(tmp_path)
    with pytest.raises(InvalidUID):
        folder.begin(CT_IMAGE_STORAGE, "x", EXPLICIT, prepared=folder.prepare())
    assert files(tmp_path) == []


def test_a_prepared_file_of_which_nothing_is_known_is_not_kept(tmp_path: Path) -> None:
    with study_folder(tmp_path).prepare() as prepared, pytest.raises(ValueError, match="what it"):
        prepared.commit()
    assert files(tmp_path) == []


# Many at a time ----------------------------------------------------------------------------------


def together(count: int, work: Callable[[int], object]) -> None:
    """Run `work(0)` ... in threads that all wait for each other before they start."""
    barrier = threading.Barrier(count)
    errors: list[BaseException] = []

    def run(number: int) -> None:
        barrier.wait()
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


@pytest.mark.usefixtures("_file_system")
def test_of_many_writers_of_one_uid_each_finds_its_data_again(tmp_path: Path) -> None:
    folder = study_folder(tmp_path)
    found: dict[int, tuple[Path, bytes]] = {}

    def work(number: int) -> None:
        data = samples.data_set(pixels=bytes([number // 2]) * 1000)
        found[number] = keep(folder, data), data

    together(12, work)
    assert len(found) == 12
    for path, data in found.values():
        assert stored(path) == data
    assert sorted(path.name for path in files(tmp_path)) == sorted(
        {path.name for path, _ in found.values()}
    )
    assert len(files(tmp_path)) == 6


@pytest.mark.usefixtures("_file_system")
def test_many_writers_of_many_uids_share_a_root(tmp_path: Path) -> None:
    def work(number: int) -> None:
        folder = study_folder(tmp_path)
        for count in range(20):
            uid = f"1.{number}.{count}"
            keep(folder, samples.data_set(uid, f"1.{count}", "2"), uid)

    together(6, work)
    assert len(files(tmp_path)) == 120
    assert not [path for path in files(tmp_path) if path.name.startswith(".")]


# Crashes -----------------------------------------------------------------------------------------

CRASH = """
import os, sys
from dul_fsm.files import StudyFolder
folder = StudyFolder(sys.argv[1], implementation_class_uid="1.2.3.4")
incoming = folder.begin("1.2", "1.2.3", "1.2.840.10008.1.2.1")
incoming.write(bytes(205_000))
os._exit(9)
"""


def hidden_file(root: Path, name: str, age: float) -> Path:
    path = root / name
    path.write_bytes(b"part")
    then = time.time() - age
    os.utime(path, (then, then))
    return path


def test_a_crash_leaves_no_visible_file_and_the_next_start_clears_up(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", CRASH, str(tmp_path)], check=False, cwd=ROOT)
    assert done.returncode == 9
    (left,) = files(tmp_path)
    assert left.name.startswith(".incoming-")
    assert left.stat().st_size > 200_000
    study_folder(tmp_path)
    assert files(tmp_path) == [left], "it may be young and another container's"
    then = time.time() - ORPHAN_AGE - 1
    os.utime(left, (then, then))
    study_folder(tmp_path)
    assert files(tmp_path) == []


def dead_process() -> int:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


@pytest.mark.parametrize(
    ("node", "process", "age", "kept"),
    [
        ("here", "dead", ORPHAN_AGE - 60, True),
        ("here", "dead", ORPHAN_AGE + 60, False),
        ("here", "ours", ORPHAN_AGE + 60, True),
        ("here", "init", ORPHAN_AGE + 60, True),
        ("here", "ours", STALE_AGE - 60, True),
        ("here", "ours", STALE_AGE + 60, False),
        ("there", "dead", STALE_AGE - 60, True),
        ("there", "dead", STALE_AGE + 60, False),
    ],
)
def test_only_what_nobody_is_writing_is_cleared_away(
    tmp_path: Path, node: str, process: str, age: float, kept: bool
) -> None:
    host = folder_module._NODE if node == "here" else "elsewhere"
    number = {"dead": dead_process(), "ours": os.getpid(), "init": 1}[process]
    path = hidden_file(tmp_path, f".incoming-{host}-{number}-7.part", age)
    study_folder(tmp_path)
    assert path.exists() == kept


def test_another_users_process_counts_as_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(process: int, signal: int) -> None:
        raise PermissionError

    path = hidden_file(tmp_path, f".incoming-{folder_module._NODE}-1-7.part", ORPHAN_AGE + 60)
    monkeypatch.setattr(os, "kill", refuse)
    study_folder(tmp_path)
    assert path.exists()


@pytest.mark.parametrize(
    "name", [".incoming", ".incoming-a-1-1.part.txt", "incoming-a-1-1.part", ".x", "1.2.3.dcm"]
)
def test_nothing_else_is_cleared_away(tmp_path: Path, name: str) -> None:
    path = hidden_file(tmp_path, name, 10 * STALE_AGE)
    study_folder(tmp_path)
    assert path.exists()


def test_a_hidden_name_that_is_taken_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = study_folder(tmp_path)
    monkeypatch.setattr(folder_module, "_numbers", iter([1, 2]))
    taken = tmp_path / f".incoming-{folder_module._NODE}-{os.getpid()}-1.part"
    taken.write_bytes(b"another's")
    path = keep(folder, samples.data_set())
    assert stored(path) == samples.data_set()
    assert taken.read_bytes() == b"another's"


def test_a_root_that_cannot_be_made_is_an_oserror(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        study_folder(tmp_path / "file" / "root")
