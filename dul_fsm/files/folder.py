"""A folder that keeps what is received: one Part 10 file for each SOP Instance (PS3.10 §7).

    <root>/<Study Instance UID>/<Series Instance UID>/<SOP Instance UID>.dcm

A data set goes to a hidden file in `root` as its fragments arrive, and gets its name when it is
complete. So what can be seen is complete, at any moment and after any crash.

Rules: nothing is overwritten, and nothing that was acknowledged is lost: the same instance
received again is kept once, another data set under the same UID is stored beside it. What a peer
sent becomes part of a path only when it is known to be a UID. Any number of threads, and of
processes, may share one root.

Not here: receiving (`incoming`); what a C-STORE answers (`services`); finding the files again.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from dul_fsm.errors import DULError
from dul_fsm.files.incoming import IncomingFile
from dul_fsm.files.part10 import NotStorable, Part10File, read_part10

NO_STUDY = "no-study"
"""Stands for a Study Instance UID that is missing or not a UID."""

NO_SERIES = "no-series"
"""Stands for a Series Instance UID that is missing or not a UID."""

# A hidden file is removed at the next start when its process is gone and nobody has written to it
# for ten minutes (the process may live on in another container that has the same host name), or
# when it is a day old, whoever made it: no association stays inside one message for so long.
ORPHAN_AGE = 600.0
STALE_AGE = 86400.0

_node = "" if sys.platform == "win32" else os.uname().nodename
_NODE = re.sub(r"[^A-Za-z0-9]", "", _node)[:32] or "host"
_HIDDEN = re.compile(r"\.incoming-([A-Za-z0-9]+)-([0-9]{1,9})-[0-9]+\.part")
_numbers = itertools.count(1)

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)

# What link() answers where there are no hard links (FAT, some network and FUSE file systems), or
# no more of them.
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})

_COMPARED = 256 * 1024

_UID = re.compile(r"[0-9]+(?:\.[0-9]+)*")


class InvalidUID(DULError):
    """A SOP Instance UID that is not a UID, so that no file can be named after it."""


def is_uid(text: str) -> bool:
    """Digits and single dots, at most 64 (PS3.5 §9.1; leading zeros are tolerated)."""
    return len(text) <= 64 and _UID.fullmatch(text) is not None


class StudyFolder:
    """Where received SOP Instances are kept."""

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        implementation_class_uid: str,
        implementation_version_name: str = "",
        durable: bool = False,
    ) -> None:
        """Create `root` if need be, and remove what a crashed run left hidden in it.

        The implementation goes into the File Meta Information. With `durable`, a commit returns
        only when the file and its name are on the disk. Raises OSError.
        """
        self.root = Path(root)
        self.durable = durable
        self._implementation = implementation_class_uid, implementation_version_name
        self._prefix = os.path.join(root, f".incoming-{_NODE}-")
        self._naming = threading.Lock()
        self.root.mkdir(parents=True, exist_ok=True)
        self._remove_leftovers()

    def prepare(self, room: int = 0) -> IncomingFile:
        """A hidden file for a data set of which nothing is known yet, to be given to `begin`.

        So that a file can be made while nobody waits for it, and `room` for so many bytes of a
        data set in it, if the disk has them. Raises OSError.
        """
        while True:
            hidden = f"{self._prefix}{os.getpid()}-{next(_numbers)}.part"
            # The name may be taken: process ids come back.
            with suppress(FileExistsError):
                descriptor = os.open(hidden, _CREATE, 0o666)
                break
        file = IncomingFile(descriptor, hidden, self._place, self._keep, self.durable)
        if room:
            with suppress(OSError):
                file.make_room(room)
        return file

    def begin(
        self,
        sop_class_uid: str,
        sop_instance_uid: str,
        transfer_syntax_uid: str,
        source_ae_title: str = "",
        *,
        prepared: IncomingFile | None = None,
    ) -> IncomingFile:
        """A file for a data set that is about to arrive.

        `prepared`: what `prepare` gave; used, or discarded. Raises `InvalidUID` for the SOP
        Instance UID, ValueError for another UID that is not ASCII or too long, and OSError.
        """
        if not is_uid(sop_instance_uid):
            if prepared is not None:
                prepared.discard()
            raise InvalidUID(f"the SOP Instance UID is not a UID: {sop_instance_uid[:80]!r}")
        if prepared is not None and not prepared.is_there:
            prepared.discard()
            prepared = None
        file = self.prepare() if prepared is None else prepared
        file.begin(
            (sop_class_uid, sop_instance_uid, transfer_syntax_uid),
            (*self._implementation, source_ae_title),
        )
        return file

    def _place(self, study: str, series: str, instance: str) -> Path:
        """Where an instance goes, whatever its data set calls study and series."""
        path = _folder(self.root, study, series) / f"{instance}.dcm"
        os.fspath(path)  # a path makes its text once: not when the peer waits for it
        return path

    def _keep(self, received: IncomingFile, path: Path) -> Path:
        """Give a complete hidden file its name; or drop it, if its data set is there already."""
        for number in itertools.count(2):
            try:
                self._name(received.hidden, path)
                break
            except FileExistsError:
                if _same_data_set(received.part10(), path):
                    break
            # Not `.2`, which could be the name of another UID.
            path = path.with_name(f"{received.sop_instance_uid}_{number}.dcm")
        if self.durable:
            for parent in (path.parent, path.parent.parent, self.root):
                _sync_folder(parent)
        return path

    def _name(self, hidden: str, path: Path) -> None:
        """Give the file its name; FileExistsError when that is taken."""
        try:
            try:
                os.link(hidden, path)
            except FileNotFoundError:
                os.makedirs(path.parent, exist_ok=True)
                os.link(hidden, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            os.makedirs(path.parent, exist_ok=True)
            # A rename would overwrite, so one at a time, in this process and in others.
            with self._naming, _locked(self.root):
                if os.path.lexists(path):
                    raise FileExistsError(errno.EEXIST, "the name is taken", str(path)) from None
                os.rename(hidden, path)

    def _remove_leftovers(self) -> None:
        now = time.time()
        with os.scandir(self.root) as entries:
            for entry in entries:
                match = _HIDDEN.fullmatch(entry.name)
                # Another process may be removing it, too.
                with suppress(FileNotFoundError):
                    if match and _is_leftover(match[1], match[2], now - entry.stat().st_mtime):
                        os.unlink(entry.path)


@lru_cache(maxsize=64)  # the images of a series come one after the other
def _folder(root: Path, study: str, series: str) -> Path:
    """The folder of a series."""
    return root / (study if is_uid(study) else NO_STUDY) / (series if is_uid(series) else NO_SERIES)


def _is_leftover(node: str, process: str, age: float) -> bool:
    if age > STALE_AGE:
        return True
    return node == _NODE and age > ORPHAN_AGE and not _is_alive(int(process))


def _is_alive(process: int) -> bool:
    if sys.platform == "win32":
        # There, signal 0 would end the process.
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _same_data_set(received: Part10File, path: Path) -> bool:
    """Whether the file at `path` holds what was received, byte for byte, in the same encoding.

    The File Meta Information may differ: it tells who sent the instance, and who wrote the file.
    """
    try:
        kept = read_part10(path)
        if (
            kept.data_set_length != received.data_set_length
            or kept.transfer_syntax_uid != received.transfer_syntax_uid
        ):
            return False
        with open(received.path, "rb") as ours, open(path, "rb") as theirs:
            ours.seek(received.data_set_offset)
            theirs.seek(kept.data_set_offset)
            while block := ours.read(_COMPARED):
                if block != theirs.read(_COMPARED):
                    return False
    except (NotStorable, OSError):
        # Whatever it is, it does not stand for what was received.
        return False
    return True


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes out while a name is looked for and taken; as far as the system can."""
    descriptor = -1
    if sys.platform != "win32":  # there, a rename does not overwrite
        import fcntl

        with suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    if sys.platform != "win32":  # which has no descriptors of folders
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
