"""`scp.folder_index`: whoever puts a file into the folder, the next query finds it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from dul_fsm.query import STUDY_ROOT, IndexedInstance
from dul_fsm.scp import serve
from dul_fsm.scp.archive import ArchiveHandler
from dul_fsm.scp.folder_index import FolderIndex
from dul_fsm.scu import associate
from dul_fsm.scu.query import find
from dul_fsm.services.sop_classes import STUDY_ROOT_FIND
from dul_fsm.transports import Loopback
from tests.scp.studies import CT, STUDY, Archive, identifier, instance

THE_STUDY = identifier("QueryRetrieveLevel=STUDY", f"StudyInstanceUID={STUDY}")


def put(folder: Path, *numbers: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        instance(number).save_as(folder / f"{number}.dcm", enforce_file_format=True)


def uids(index: FolderIndex) -> list[str]:
    return sorted(one.sop_instance_uid for one in index.select(THE_STUDY, STUDY_ROOT))


def test_files_at_any_depth_are_found_and_what_is_no_instance_is_passed_over(
    tmp_path: Path,
) -> None:
    index = FolderIndex(tmp_path)
    assert list(index.find(THE_STUDY, STUDY_ROOT)) == []
    put(tmp_path / "a" / "b", 1)
    put(tmp_path, 2)
    put(tmp_path / ".hidden", 3)
    (tmp_path / ".incoming-1.part").write_bytes((tmp_path / "2.dcm").read_bytes())
    (tmp_path / "note.txt").write_text("no DICOM")
    assert uids(index) == ["1.2.3.1.1", "1.2.3.1.2"]
    assert len(list(index.find(THE_STUDY, STUDY_ROOT))) == 1


def test_a_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    index = FolderIndex(tmp_path / "later")
    assert uids(index) == []
    put(tmp_path / "later", 1)
    assert uids(index) == ["1.2.3.1.1"]


def test_a_file_that_comes_in_the_same_tick_is_found(tmp_path: Path) -> None:
    put(tmp_path, 1)
    before = os.stat(tmp_path)
    index = FolderIndex(tmp_path)
    assert len(uids(index)) == 1
    put(tmp_path, 2)
    os.utime(tmp_path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert len(uids(index)) == 2


class Noting(FolderIndex):
    """Says which files it has read."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.read: list[object] = []

    def add_file(self, path: str | os.PathLike[str]) -> IndexedInstance:
        self.read.append(path)
        return super().add_file(path)


def test_a_file_is_read_once_however_often_its_folder_is_listed(tmp_path: Path) -> None:
    index = Noting(tmp_path)
    for number in (1, 2, 3):
        put(tmp_path, number)
        assert len(uids(index)) == number
    assert len(index.read) == 3


def test_a_copy_that_is_removed_leaves_what_is_known_of_the_other(tmp_path: Path) -> None:
    put(tmp_path / "a", 1)
    put(tmp_path / "b", 1)
    index = Noting(tmp_path)
    (known,) = index.select(THE_STUDY, STUDY_ROOT)
    assert len(index.read) == 2
    other = "b" if known.path == tmp_path / "a" / "1.dcm" else "a"
    (tmp_path / other / "1.dcm").unlink()
    assert index.select(THE_STUDY, STUDY_ROOT) == [known]
    assert len(index.read) == 2


def test_a_file_that_was_half_there_is_found_when_it_is_whole(tmp_path: Path) -> None:
    put(tmp_path, 1)
    whole = (tmp_path / "1.dcm").read_bytes()
    (tmp_path / "1.dcm").write_bytes(whole[:100])
    index = FolderIndex(tmp_path)
    assert uids(index) == []
    (tmp_path / "1.dcm").write_bytes(whole)
    assert uids(index) == ["1.2.3.1.1"]


def test_a_folder_that_has_not_changed_for_long_is_not_listed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "a", 1)
    for path in (tmp_path / "a", tmp_path):
        os.utime(path, ns=(0, 10**18))
    listed: list[str] = []
    scandir = os.scandir

    def noted(path: str) -> object:
        listed.append(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", noted)
    index = FolderIndex(tmp_path)
    assert len(uids(index)) == 1
    assert listed == [str(tmp_path), str(tmp_path / "a")]
    assert len(uids(index)) == 1
    assert len(listed) == 2
    put(tmp_path / "a", 2)  # changes that folder alone
    assert len(uids(index)) == 2
    assert listed[2:] == [str(tmp_path / "a")]


def test_what_was_removed_is_found_no_more(tmp_path: Path) -> None:
    put(tmp_path, 1, 2)
    index = FolderIndex(tmp_path)
    assert len(uids(index)) == 2
    (tmp_path / "1.dcm").unlink()
    assert uids(index) == ["1.2.3.1.2"]
    (tmp_path / "2.dcm").rename(tmp_path / ".2.dcm")
    assert uids(index) == []
    assert list(index.find(THE_STUDY, STUDY_ROOT)) == []
    (tmp_path / ".2.dcm").rename(tmp_path / "2.dcm")
    assert uids(index) == ["1.2.3.1.2"]


def test_a_folder_that_was_removed_takes_along_what_was_in_it_at_any_depth(tmp_path: Path) -> None:
    put(tmp_path / "a" / "b" / "c", 1)
    put(tmp_path / "a", 2)
    put(tmp_path / "d", 3)
    index = FolderIndex(tmp_path)
    assert len(uids(index)) == 3
    shutil.rmtree(tmp_path / "a")
    assert uids(index) == ["1.2.3.1.3"]
    put(tmp_path / "a" / "b" / "c", 1)
    assert uids(index) == ["1.2.3.1.1", "1.2.3.1.3"]


@pytest.mark.parametrize("there", ["a", "z"])
def test_a_file_that_was_moved_is_found_where_it_is(tmp_path: Path, there: str) -> None:
    put(tmp_path / "m", 1)
    (tmp_path / there).mkdir()
    index = FolderIndex(tmp_path)
    assert len(uids(index)) == 1
    moved = (tmp_path / "m" / "1.dcm").rename(tmp_path / there / "1.dcm")
    (found,) = index.select(THE_STUDY, STUDY_ROOT)
    assert found.path == moved


@pytest.mark.parametrize("removed", ["a/1.dcm", "b/1.dcm", "a/2.dcm"])
def test_an_instance_that_lies_there_more_than_once_is_found_until_the_last_file_is_gone(
    tmp_path: Path, removed: str
) -> None:
    put(tmp_path / "a", 1)
    put(tmp_path / "b", 1)
    shutil.copy(tmp_path / "a" / "1.dcm", tmp_path / "a" / "2.dcm")
    files = {tmp_path / "a" / "1.dcm", tmp_path / "b" / "1.dcm", tmp_path / "a" / "2.dcm"}
    index = FolderIndex(tmp_path)
    assert len(uids(index)) == 1
    path = tmp_path / removed
    for _ in range(3):
        path.unlink()
        files.remove(path)
        found = index.select(THE_STUDY, STUDY_ROOT)
        assert len(found) == bool(files)
        for one in found:
            assert one.path in files
            path = one.path


def test_a_listing_that_was_cut_short_says_of_nothing_that_it_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "a", 1)
    put(tmp_path, 2)
    index = FolderIndex(tmp_path)
    assert len(uids(index)) == 2

    class Cut:
        def __enter__(self) -> Cut:
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def __iter__(self) -> Cut:
            return self

        def __next__(self) -> object:
            raise OSError("the server does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", lambda path: Cut())
        put(tmp_path, 3)
        assert len(uids(index)) == 2
    (tmp_path / "2.dcm").unlink()
    shutil.rmtree(tmp_path / "a")
    assert uids(index) == ["1.2.3.1.3"]


def test_an_archive_with_one_finds_what_it_and_others_store(tmp_path: Path) -> None:
    made, endpoint = Archive(tmp_path), Loopback()
    index = FolderIndex(tmp_path)
    with (
        serve(lambda: ArchiveHandler(made.folder, index), endpoint),
        associate(endpoint, contexts=[CT, STUDY_ROOT_FIND]) as association,
    ):
        asked = identifier("QueryRetrieveLevel=STUDY", "NumberOfStudyRelatedInstances")
        assert association.c_store_data_set(instance(1)).status == 0
        assert len(index) == 0  # nobody has asked yet
        (match,) = find(association, asked)
        assert match.NumberOfStudyRelatedInstances == 1
        put(tmp_path, 2)
        (match,) = find(association, asked)
        assert match.NumberOfStudyRelatedInstances == 2
