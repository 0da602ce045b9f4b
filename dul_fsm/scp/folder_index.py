"""An index of a folder, brought up to date when it is asked.

    index = FolderIndex("received")
    with serve(lambda: ArchiveHandler(folder, index)) as server: ...

Rules: to store costs nothing; what lies in the folder is found by the next query, whoever has put
it there: another process that serves on the same port, or a copy made by hand. What was removed is
found no more. A folder is listed again when its modification time has changed, or was so young that
more might come in the same tick. A file is read once: one that is written over is not seen.

Not here: matching (`query`), how files are named and come to be (`files`).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from dul_fsm.files import NotStorable
from dul_fsm.query import IndexedInstance, InformationModel, InstanceIndex

if TYPE_CHECKING:
    from pydicom import Dataset

SETTLED: Final = 2_000_000_000
"""Nanoseconds after which a folder's modification time tells changes apart: FAT has 2 s."""


class _Folder:
    """A folder as it was when it was listed."""

    __slots__ = ("files", "folders", "modified", "settled")

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        """The SOP Instance UID in each file, by the file's name."""
        self.folders: list[str] = []
        """The paths of those in it."""
        self.modified = -1
        self.settled = False


class FolderIndex(InstanceIndex):
    """Patients, their studies, series and instances, as they are in the files of a folder."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        """Nothing is read before the first question, or `refresh`."""
        super().__init__()
        self._root = os.fspath(root)
        self._reading = threading.Lock()
        self._folders: dict[str, _Folder] = {}

    def refresh(self) -> None:
        """Add what is new in the folder, and forget what is there no more.

        Files that are none of PS3.10, or hidden, are not added.
        """
        with self._reading:
            forgotten: set[str] = set()
            waiting = [self._root]
            while waiting:
                path = waiting.pop()
                folder = self._folders.setdefault(path, _Folder())
                with suppress(OSError):  # it may be gone
                    modified = os.stat(path).st_mtime_ns
                    if modified != folder.modified or not folder.settled:
                        forgotten |= self._list(path, folder)
                        folder.modified = modified
                        folder.settled = abs(time.time_ns() - modified) > SETTLED
                waiting += folder.folders
            if forgotten:
                self._add_again(forgotten)

    def _list(self, path: str, folder: _Folder) -> set[str]:
        """Add what is new in one folder; the UIDs of the instances that are gone from it."""
        folders: list[str] = []
        names: set[str] = set()
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                    continue
                names.add(entry.name)
                if entry.name not in folder.files:
                    with suppress(NotStorable, OSError):  # it may be half there: another time
                        folder.files[entry.name] = self.add_file(entry.path).sop_instance_uid
        # Only now: a listing that was cut short says of nothing that it is gone.
        gone = folder.files.keys() - names
        forgotten = self._forget(path, {name: folder.files.pop(name) for name in gone})
        leaving = list(set(folder.folders) - set(folders))
        folder.folders = folders
        while leaving:
            inner = leaving.pop()
            left = self._folders.pop(inner, None)
            if left is not None:
                forgotten |= self._forget(inner, left.files)
                leaving += left.folders
        return forgotten

    def _forget(self, path: str, files: Mapping[str, str]) -> set[str]:
        """Forget the instances of files that are gone from a folder; the UIDs of those."""
        return {
            uid for name, uid in files.items() if self.remove(uid, path=os.path.join(path, name))
        }

    def _add_again(self, forgotten: Collection[str]) -> None:
        """Of an instance that lay there twice, the other file is the one to be found now."""
        for path, folder in self._folders.items():
            for name, uid in folder.files.items():
                if uid in forgotten:
                    with suppress(NotStorable, OSError):  # the next listing tells
                        self.add_file(os.path.join(path, name))

    def find(
        self,
        identifier: Dataset,
        model: InformationModel,
        *,
        retrieve_ae_title: str = "",
        relational: bool = False,
    ) -> Iterator[Dataset]:
        """See `InstanceIndex.find`."""
        self.refresh()
        return super().find(
            identifier, model, retrieve_ae_title=retrieve_ae_title, relational=relational
        )

    def select(
        self, identifier: Dataset, model: InformationModel, *, relational: bool = False
    ) -> list[IndexedInstance]:
        """See `InstanceIndex.select`."""
        self.refresh()
        return super().select(identifier, model, relational=relational)
