"""A Part 10 file that grows as the fragments of its data set arrive.

Rules: nothing is kept in memory but the fragments of the next write, and the head in which the
place of the file is looked for; a fragment is copied or written before `write` returns; whatever
goes wrong, the hidden file is gone afterwards. What need not wait for the last fragment does not:
for its end the peer is waiting.

Not here: where the file goes when it is complete (`folder`).
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

from dul_fsm.files.part10 import HEAD_LENGTH, Part10File, file_meta, open_data_set
from dul_fsm.files.scanner import scan, scan_head

# Fragments of 16 KiB are common. They are gathered up to this size: to copy four of them costs no
# more than three system calls, each of which gives the interpreter to another thread. Larger
# fragments go to the file as they are.
GATHER_LENGTH = 64 * 1024

# A write ends with a page of the file, and what is over goes with the next one: a page that is
# written in two parts costs the system as much as several whole ones.
_PAGE_LENGTH = 4096

_ZEROS = bytes(64 * 1024)

STUDY_INSTANCE_UID = 0x0020000D
SERIES_INSTANCE_UID = 0x0020000E
_PLACE = frozenset({STUDY_INSTANCE_UID, SERIES_INSTANCE_UID})

Place: TypeAlias = "Callable[[str, str, str], Path]"
"""Answers where an instance goes: its Study and Series Instance UID (empty: none), its own."""

Keep: TypeAlias = "Callable[[IncomingFile, Path], Path]"
"""Takes a file that is complete, and where it goes; answers where it is now."""


class IncomingFile:
    """A SOP Instance that is being received, or about to be; `StudyFolder` makes it.

    For one thread. `commit` or `discard` ends it. An error discards it, and so does leaving a
    `with` block without a commit.
    """

    __slots__ = (
        "_descriptor",
        "_durable",
        "_gathered",
        "_head",
        "_identity",
        "_keep",
        "_offset",
        "_path",
        "_place",
        "_room",
        "data_set_length",
        "hidden",
    )

    def __init__(
        self, descriptor: int, hidden: str, place: Place, keep: Keep, durable: bool
    ) -> None:
        """Take over `descriptor`, the empty file `hidden` open for writing."""
        self._descriptor = descriptor
        self.hidden = hidden
        """The path of the hidden file; empty when there is none any more."""
        self._place = place
        self._keep = keep
        self._durable = durable
        self._identity = "", "", ""
        self._gathered = bytearray()
        self._head = bytearray()  # of the data set
        self._path: Path | None = None  # where it goes, as far as the head told
        self._offset = 0  # of the data set; 0 before `begin`
        self._room = 0  # bytes that the file has had from the beginning
        self.data_set_length = 0
        """Bytes of the data set so far."""

    @property
    def is_there(self) -> bool:
        """Whether nobody has removed the hidden file."""
        descriptor = self._open()
        try:
            # Not by the number of its links: on NFS a file that is open keeps one.
            return os.path.samestat(os.stat(self.hidden), os.fstat(descriptor))
        except FileNotFoundError:
            return False

    def make_room(self, length: int) -> None:
        """Fill the file with zeros ahead, for `write` to write over; before that.

        As many whole pages as `length` bytes fill. To find pages for a file takes the system
        several times as long as to copy something into them, and now nobody may be waiting. What
        is too much `commit` cuts off, for which the peer does wait. Raises OSError.
        """
        descriptor = self._open()
        count, rest = divmod(length // _PAGE_LENGTH * _PAGE_LENGTH, len(_ZEROS))
        self._room = _write(descriptor, [*[_ZEROS] * count, _ZEROS[:rest]])
        os.lseek(descriptor, 0, os.SEEK_SET)

    def begin(self, identity: tuple[str, str, str], origin: tuple[str, str, str]) -> None:
        """Say what the data set is.

        `identity`: SOP class, SOP instance, transfer syntax. `origin`: implementation class UID
        and version name, source AE title. Raises ValueError for a UID that is none.
        """
        self._identity = identity
        try:
            self._gathered += file_meta(*identity, *origin)
        except ValueError:
            self.discard()
            raise
        self._offset = len(self._gathered)

    def write(self, fragment: bytes | bytearray | memoryview) -> None:
        """Append a fragment of the data set; it may be reused after the call. Raises OSError."""
        descriptor = self._open()
        gathered = self._gathered
        before, length = len(gathered), len(fragment)
        whole = (before + length) // _PAGE_LENGTH * _PAGE_LENGTH
        view = memoryview(fragment)
        try:
            if whole < GATHER_LENGTH:
                gathered += view
            else:
                _write_all(descriptor, gathered, view[: whole - before])
                gathered[:] = view[whole - before :]
        except BaseException:
            self.discard()
            raise
        head_due = HEAD_LENGTH - self.data_set_length
        self.data_set_length += length
        if head_due > 0:
            self._head += view[:head_due]
            if length >= head_due:
                self._path = self._look_for_path()

    def commit(self, *, clears: bool = True) -> Path:
        """The data set is complete: give the file its name, and return it. Raises OSError.

        `clears`: as `clear`, which need not be while the peer waits.
        """
        descriptor = self._open()
        if not self._offset:
            raise ValueError("nobody has said yet what it is")
        try:
            _write_all(descriptor, self._gathered)
            self._gathered.clear()
            size = self._offset + self.data_set_length
            if self._room > size:
                os.ftruncate(descriptor, size)
            path = self._path or self._find_path()
            if self._durable:
                os.fsync(descriptor)
            # A full quota on a network file system may be told no earlier than here.
            self._descriptor = -1
            os.close(descriptor)
            path = self._keep(self, path)
        except BaseException:
            self.discard()
            raise
        if clears:
            self.clear()
        return path

    def clear(self) -> None:
        """Remove the hidden name that is left of what was committed, or of what was discarded.

        Never raises: should it stay, the next start of a `StudyFolder` removes it.
        """
        hidden, self.hidden = self.hidden, ""
        with suppress(OSError):
            if hidden:
                os.unlink(hidden)

    @property
    def sop_instance_uid(self) -> str:
        """What `begin` was told."""
        return self._identity[1]

    def part10(self) -> Part10File:
        """What was received, as the hidden file has it."""
        return Part10File(Path(self.hidden), *self._identity, self._offset, self.data_set_length)

    def _look_for_path(self) -> Path | None:
        """Where it goes; None if the head does not tell."""
        values, _, finished = scan_head(self._head, self._identity[2], _PLACE)
        return self._path_for(values) if finished else None

    def _find_path(self) -> Path:
        """Where it goes, by what is complete."""
        if len(self._head) == self.data_set_length:
            return self._path_for(scan(self._head, self._identity[2], _PLACE))
        with open_data_set(self.part10()) as data_set:
            return self._path_for(scan(data_set, self._identity[2], _PLACE))

    def _path_for(self, values: Mapping[int, str]) -> Path:
        study, series = (values.get(tag, "") for tag in (STUDY_INSTANCE_UID, SERIES_INSTANCE_UID))
        return self._place(study, series, self.sop_instance_uid)

    def discard(self) -> None:
        """Remove what was received. What was committed stays; never raises."""
        descriptor, self._descriptor = self._descriptor, -1
        with suppress(OSError):
            if descriptor >= 0:
                os.close(descriptor)
        self.clear()

    def _open(self) -> int:
        if self._descriptor < 0:
            raise ValueError("the file was committed or discarded before")
        return self._descriptor

    def __enter__(self) -> IncomingFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.discard()


def _write_all(descriptor: int, *parts: bytes | bytearray | memoryview) -> None:
    written = _write(descriptor, parts)
    if written == sum(map(len, parts)):
        return
    # What a nearly full disk takes of a write is what there is room for; the next one tells.
    rest = memoryview(b"".join(parts))[written:]
    while rest:
        taken = os.write(descriptor, rest)
        if not taken:
            raise OSError(errno.EIO, "nothing was written")
        rest = rest[taken:]


def _write(descriptor: int, parts: Sequence[bytes | bytearray | memoryview]) -> int:
    """One write of all parts, in order; how many bytes were taken."""
    if sys.platform == "win32":  # which has no writev
        return os.write(descriptor, b"".join(parts))
    return os.writev(descriptor, parts)
