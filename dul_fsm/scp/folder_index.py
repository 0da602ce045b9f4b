"""An index of a folder, brought up to date when it is asked.

    index = FolderIndex("received")
    with serve(lambda: ArchiveHandler(folder, index)) as server: ...

Rules: to store costs nothing; what lies in the folder is found by the next query, whoever has put
it there: another process that serves on the same port, or a copy made by hand. A folder is listed
again when its modification time has changed, or was so young that more might come in the same
tick. What was removed from the folder is forgotten with the index, not before.

Not here: matching (`query`), how files are named and come to be (`files`).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
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
        self.files: set[str] = set()
        self.folders: list[str] = []
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
        """Add what is new in the folder. Files that are none of PS3.10, or hidden, are not."""
        with self._reading:
            waiting = [self._root]
            while waiting:
                path = waiting.pop()
                folder = self._folders.setdefault(path, _Folder())
                with suppress(OSError):  # it may be gone
                    modified = os.stat(path).st_mtime_ns
                    if modified != folder.modified or not folder.settled:
                        self._list(path, folder)
                        folder.modified = modified
                        folder.settled = abs(time.time_ns() - modified) > SETTLED
                waiting += folder.folders

    def _list(self, path: str, folder: _Folder) -> None:
        folder.folders = []
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folder.folders.append(entry.path)
                elif entry.name not in folder.files:
                    with suppress(NotStorable, OSError):  # it may be half there: another time
                        self.add_file(entry.path)
                        folder.files.add(entry.name)

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
