"""Files of PS3.10: where a file's data set lies, and the File Meta Information of a new one.

To send a file by C-STORE takes three UIDs and the encoded data set as it lies in the file; no
element of it is decoded. `read_part10` reads the first kilobytes, `Part10Source` sends the rest,
`open_data_set` shows it.

Rules: the SOP Class and Instance UID in the data set win over those in the File Meta
Information, since the peer holds them against its command set (PS3.4 §B.2.1: they shall match);
the File Meta Information ends where group 0002 ends, whatever its group length says; whatever
the bytes are, the answer is a `Part10File` or a `NotStorable` with a reason for a human.

Not here: decoding and re-encoding (`recode`), writing files (`folder`).
"""

from __future__ import annotations

import mmap
import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from types import TracebackType

from dul_fsm.errors import DULError
from dul_fsm.files.scanner import scan_head, walk

# Enough for the File Meta Information and the first elements of the data set, in one read. When
# it is not (a large private element comes first), the file is mapped and walked in place.
HEAD_LENGTH = 8192

PREAMBLE_LENGTH = 128
"""Bytes before the prefix `DICM` (PS3.10 §7.1)."""

MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"
"""The SOP Class of a DICOMDIR, which PS3.4 has no C-STORE for."""

SOP_CLASS_UID = 0x00080016
SOP_INSTANCE_UID = 0x00080018
_IDENTITY = frozenset({SOP_CLASS_UID, SOP_INSTANCE_UID})

_MEDIA_STORAGE_SOP_CLASS_UID = 0x00020002
_MEDIA_STORAGE_SOP_INSTANCE_UID = 0x00020003
_TRANSFER_SYNTAX_UID = 0x00020010
_META = frozenset(
    {_MEDIA_STORAGE_SOP_CLASS_UID, _MEDIA_STORAGE_SOP_INSTANCE_UID, _TRANSFER_SYNTAX_UID}
)

_ELEMENT = Struct("<HH2sH")
_PREFIX = bytes(PREAMBLE_LENGTH) + b"DICM" + _ELEMENT.pack(0x0002, 0x0000, b"UL", 4)
_GROUP_LENGTH = Struct("<L")

# O_NONBLOCK: opening a FIFO must not wait for its writer. O_BINARY: Windows has text descriptors.
_OPEN = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

_UID = re.compile(r"[0-9.]{1,64}")
# A SOP Instance UID is passed on as it is found, unless it cannot be: letters in it are the
# peer's to judge, and concern no other file. The other two go into a presentation context.
_SENDABLE = re.compile(r"[!-\[\]-~]{1,64}")


class NotStorable(DULError):
    """A file that cannot be sent by C-STORE; the text is the reason, in words."""


class _HeadTooShort(Exception):
    """More of the file is needed."""


@dataclass(frozen=True, slots=True)
class Part10File:
    """What a C-STORE needs to know of a file."""

    path: Path
    """The file, as it was given."""
    sop_class_uid: str
    """(0008,0016) of the data set; (0002,0002) where the data set has none."""
    sop_instance_uid: str
    """(0008,0018) of the data set; (0002,0003) where the data set has none."""
    transfer_syntax_uid: str
    """(0002,0010): how the data set is encoded."""
    data_set_offset: int
    """Bytes before the data set."""
    data_set_length: int
    """Bytes of the encoded data set, to the end of the file; 0 is an empty data set."""


def read_part10(path: str | os.PathLike[str]) -> Part10File:
    """Read the head of a file (PS3.10 §7.1).

    Raises `NotStorable` for what is not a Part 10 file of a composite SOP Instance, and OSError
    for what cannot be opened or read.
    """
    descriptor = os.open(path, _OPEN)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise NotStorable("not a regular file")
        size = status.st_size
        head = os.read(descriptor, HEAD_LENGTH)
        if head[PREAMBLE_LENGTH : PREAMBLE_LENGTH + 4] != b"DICM":
            raise NotStorable("no DICM prefix: not a DICOM Part 10 file")
        try:
            return _read_head(path, head, size)
        except _HeadTooShort:
            whole = _map(descriptor, size)
            try:
                return _read_head(path, whole, size)
            finally:
                _unmap(whole)
    finally:
        os.close(descriptor)


def _read_head(path: str | os.PathLike[str], head: bytes | memoryview, size: int) -> Part10File:
    """Raises `_HeadTooShort` when `head` is not the whole file and the answer lies further on."""
    whole = len(head) >= size
    meta, offset, finished = walk(
        head, PREAMBLE_LENGTH + 4, _META, first=0x00020000, last=0x0002FFFF, to_the_end=True
    )
    if not finished:
        if not whole:
            raise _HeadTooShort
        # The walk ends in front of an element that it cannot see the end of. There is none when
        # the file ends with its File Meta Information; or when it was cut between two elements.
        if offset != size or _declared_end(head) > size:
            raise NotStorable("the File Meta Information is truncated")
    transfer_syntax_uid = meta.get(_TRANSFER_SYNTAX_UID, "")
    if not transfer_syntax_uid:
        raise NotStorable("no Transfer Syntax UID in the File Meta Information")
    if not _UID.fullmatch(transfer_syntax_uid):
        raise NotStorable(f"the Transfer Syntax UID is not a UID: {transfer_syntax_uid[:80]!r}")

    identity, _, finished = scan_head(head[offset:], transfer_syntax_uid, _IDENTITY)
    if not finished and not whole:
        raise _HeadTooShort
    sop_class_uid = identity.get(SOP_CLASS_UID) or meta.get(_MEDIA_STORAGE_SOP_CLASS_UID, "")
    if sop_class_uid == MEDIA_STORAGE_DIRECTORY:
        raise NotStorable("a DICOMDIR: a directory of files, not a composite SOP Instance")
    if not sop_class_uid:
        raise NotStorable("no SOP Class UID")
    if not _UID.fullmatch(sop_class_uid):
        raise NotStorable(f"the SOP Class UID is not a UID: {sop_class_uid[:80]!r}")
    sop_instance_uid = identity.get(SOP_INSTANCE_UID) or meta.get(
        _MEDIA_STORAGE_SOP_INSTANCE_UID, ""
    )
    if not sop_instance_uid:
        raise NotStorable("no SOP Instance UID")
    if not _SENDABLE.fullmatch(sop_instance_uid):
        raise NotStorable(f"the SOP Instance UID is not a UID: {sop_instance_uid[:80]!r}")
    return Part10File(
        Path(path), sop_class_uid, sop_instance_uid, transfer_syntax_uid, offset, size - offset
    )


def _declared_end(head: bytes | memoryview) -> int:
    """The end of the File Meta Information by its group length; 0 without one."""
    start = PREAMBLE_LENGTH + 4
    first, value = start + _ELEMENT.size, start + _ELEMENT.size + _GROUP_LENGTH.size
    if bytes(head[start:first]) != _PREFIX[start:] or len(head) < value:
        return 0
    return value + int(_GROUP_LENGTH.unpack_from(head, first)[0])


def open_data_set(part10: Part10File) -> OpenDataSet:
    """The encoded data set as it lies in the file, without reading it into memory.

    Raises OSError, and `NotStorable` for a file that is shorter than it was. It must not be
    truncated from here on: as with every mapped file, the operating system then ends the process.
    To send it, see `Part10Source`.
    """
    descriptor = os.open(part10.path, _OPEN)
    try:
        whole = _map(descriptor, part10.data_set_offset + part10.data_set_length)
    finally:
        os.close(descriptor)  # a mapping needs none
    return OpenDataSet(whole, part10.data_set_offset)


class OpenDataSet:
    """An encoded data set that can be looked at until `close`, or the end of a `with` block, which
    gives the view of it."""

    __slots__ = ("_whole", "view")

    def __init__(self, whole: memoryview, offset: int) -> None:
        """Take over a mapped file, or one in memory."""
        self._whole = whole
        self.view = whole[offset:]
        """The data set."""

    def close(self) -> None:
        """Give it back; `view` is not valid any more."""
        with suppress(BufferError):
            self.view.release()
        _unmap(self._whole)

    def __enter__(self) -> memoryview:
        return self.view

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _map(descriptor: int, size: int) -> memoryview:
    """The first `size` bytes of a file; `size` is at least 1. Raises `NotStorable` if too short."""
    try:
        return memoryview(mmap.mmap(descriptor, size, access=mmap.ACCESS_READ))
    except (OSError, ValueError):
        # Some network and FUSE file systems have no mappings: such a file is read into memory.
        # (ValueError: the file has not that many bytes.)
        with open(descriptor, "rb", closefd=False) as file:
            file.seek(0)
            content = file.read(size)
        if len(content) < size:
            raise NotStorable("the file is shorter than it was") from None
        return memoryview(content)


def _unmap(whole: memoryview) -> None:
    close = getattr(whole.obj, "close", None)  # bytes have none
    # Whatever else still looks into the mapping keeps it until it goes.
    with suppress(BufferError):
        whole.release()
        if close is not None:
            close()


GIVE_BACK_LENGTH = 4 << 20
"""Bytes of a mapped file that a `Part10Source` gives back at once, and as many that it keeps behind
what it cuts: far more than waits to be sent."""

# Not on every system; without it, a mapped file stays in memory as long as there is room.
_GIVE_BACK: int = getattr(mmap, "MADV_DONTNEED", 0)


class Part10Source:
    """The data set of a file on its way out (a `dimse.Source`), until `close` or in a `with` block.

    It is read as it leaves: who looks at a mapped file that somebody makes shorter, or that its
    disk does not give, is ended by the operating system. A transport that looks at nothing itself
    gets an error then, and so may have it mapped (`in_place`), which saves a copy. What has left of
    a mapped file is given back: else it would count as the process's own until the end, and to send
    a file would take as much memory as the file is long.
    """

    __slots__ = ("_at", "_descriptor", "_end", "_given_back", "_length", "_mapping", "_whole")

    def __init__(self, part10: Part10File) -> None:
        """Raises OSError, and `NotStorable` for a file that is shorter than it was."""
        self._length = part10.data_set_length
        self._at = part10.data_set_offset
        self._end = self._at + self._length
        self._mapping: mmap.mmap | None = None
        self._whole = memoryview(b"")
        self._given_back = 0  # so much of the file
        self._descriptor = os.open(part10.path, _OPEN)
        try:
            if os.fstat(self._descriptor).st_size < self._end:
                raise NotStorable("the file is shorter than it was")
            os.lseek(self._descriptor, self._at, os.SEEK_SET)
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        """Bytes of the whole data set."""
        return self._length

    def in_place(self) -> None:
        """See `dimse.Source`: map the file, if its file system knows how to."""
        # ValueError: it is shorter by now, which a read will say.
        with suppress(OSError, ValueError):
            mapping = mmap.mmap(self._descriptor, self._end, access=mmap.ACCESS_READ)
            self._mapping, self._whole = mapping, memoryview(mapping)
            self._close_descriptor()

    def next(self, limit: int) -> tuple[bytes | memoryview, bool]:
        """See `dimse.Source.next`. Raises OSError, and `NotStorable` if the file ends early."""
        at = self._at
        self._at = end = min(at + limit, self._end)
        if self._mapping is None:
            return self._read(end - at), end == self._end
        left = at - GIVE_BACK_LENGTH
        if left - self._given_back >= GIVE_BACK_LENGTH and _GIVE_BACK:
            left -= left % mmap.PAGESIZE
            self._mapping.madvise(_GIVE_BACK, self._given_back, left - self._given_back)
            self._given_back = left
        return self._whole[at:end], end == self._end

    def _read(self, size: int) -> bytes:
        fragment = os.read(self._descriptor, size)
        while len(fragment) < size:  # network file systems may give less than was asked for
            more = os.read(self._descriptor, size - len(fragment))
            if not more:
                raise NotStorable("the file has become shorter while it was sent")
            fragment += more
        return fragment

    def close(self) -> None:
        """Give the file back; there is no fragment any more."""
        self._close_descriptor()
        whole, self._whole = self._whole, memoryview(b"")
        _unmap(whole)

    def _close_descriptor(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Part10Source:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


# --- File Meta Information (PS3.10 §7.1) -------------------------------------------------------

# (0002,0001) File Meta Information Version: OB, 00H 01H.
_VERSION = b"\x02\x00\x01\x00OB\x00\x00\x02\x00\x00\x00\x00\x01"


def file_meta(
    sop_class_uid: str,
    sop_instance_uid: str,
    transfer_syntax_uid: str,
    implementation_class_uid: str,
    implementation_version_name: str = "",
    source_ae_title: str = "",
) -> bytes:
    """All that comes before the data set: preamble, prefix and File Meta Information (§7.1).

    The UIDs are ASCII, at most 64 characters each: ValueError. Version name and AE title are
    left out when empty; they are a note on where the file came from, so what is not ASCII in
    them becomes `?`, and they end after 16 characters.
    """
    elements = b"".join(
        (
            _VERSION,
            _uid(0x0002, sop_class_uid),
            _uid(0x0003, sop_instance_uid),
            _uid(0x0010, transfer_syntax_uid),
            _uid(0x0012, implementation_class_uid),
            _text(0x0013, b"SH", implementation_version_name),
            _text(0x0016, b"AE", source_ae_title),
        )
    )
    return _PREFIX + _GROUP_LENGTH.pack(len(elements)) + elements


def _uid(element: int, uid: str) -> bytes:
    if len(uid) > 64:
        raise ValueError(f"a UID has at most 64 characters: {uid[:80]!r}")
    value = uid.encode("ascii")
    if len(value) % 2:
        value += b"\0"
    return _ELEMENT.pack(0x0002, element, b"UI", len(value)) + value


def _text(element: int, vr: bytes, text: str) -> bytes:
    value = text.encode("ascii", "replace")[:16]
    if not value:
        return b""
    if len(value) % 2:
        value += b" "
    return _ELEMENT.pack(0x0002, element, vr, len(value)) + value
