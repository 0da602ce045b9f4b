"""A Storage SCP (PS3.4 Annex B): C-STORE into a folder, or into nothing; and C-ECHO.

    folder = StudyFolder("received", implementation_class_uid=IMPLEMENTATION_CLASS_UID)
    with serve(lambda: StorageHandler(folder), port=11112) as server:
        server.wait()

Rules: a data set goes to the disk as its fragments arrive; SUCCESS is answered when the file has
its name, and not before; whatever goes wrong leaves no part of a file behind and concerns no other
image. What happens is told to a callback, in order for each association, for a log; that a file is
stored, when the peer has its answer: what the peer does not wait for comes after that.

Not here: where a file goes and what it is called (`files`), the protocol (`services`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeAlias

from dul_fsm.association import Aborted, ImmediateSink, Message, Released, Sink
from dul_fsm.dimse import CStoreRQ, status
from dul_fsm.files import IncomingFile, InvalidUID, StudyFolder
from dul_fsm.pdu import AAssociateRQ
from dul_fsm.services.handler import Accept, Handler, Reject
from dul_fsm.value import value

MAX_ROOM: Final = 1 << 20
"""Bytes for which a file has room before its data set begins to arrive: a CT or MR image. So many
lie on the disk for an association that has stored something and is idle now."""

ROOM_PATIENCE: Final = 0.005
"""Seconds in which a file with that room has to be made; else an association does without."""


# What is told ------------------------------------------------------------------------------------


@value
class Opened:
    """A peer's association was accepted."""

    peer: str
    """Where it called from, as its transport names it."""
    calling_ae_title: str
    """Its own, as it says."""
    called_ae_title: str
    """The one it called."""


@value
class Stored:
    """A data set was received and is kept (or was discarded, as it was meant to be)."""

    peer: str
    calling_ae_title: str
    sop_class_uid: str
    sop_instance_uid: str
    length: int
    """Bytes of the encoded data set."""
    path: Path | None
    """The file; None if it was discarded."""


@value
class NotStored:
    """A data set was refused or did not arrive whole; nothing of it was kept."""

    peer: str
    calling_ae_title: str
    sop_instance_uid: str
    reason: str
    """Why, in words."""


@value
class Ended:
    """An association, or what would have been one, is over."""

    peer: str
    calling_ae_title: str
    called_ae_title: str
    how: str
    """"released", "rejected", or "aborted: " and why."""
    stored: int
    """Data sets stored during the association."""
    not_stored: int
    """Data sets that were not."""


StorageEvent: TypeAlias = Opened | Stored | NotStored | Ended


# Handlers ----------------------------------------------------------------------------------------


class DiscardHandler(Handler):
    """Answers C-ECHO and C-STORE, and forgets every data set as it arrives."""

    def __init__(self, tell: Callable[[StorageEvent], None] = lambda event: None) -> None:
        """`tell` is called with what happens, in the thread of the association."""
        self._tell = tell
        self._how = ""
        self._accepted = False
        self._stored = 0
        self._not_stored = 0
        self._kept: dict[Message, tuple[int, Path | None]] = {}  # length and file, not told yet

    @property
    def calling_ae_title(self) -> str:
        """The peer's; empty until it has requested the association."""
        return "" if self.request is None else self.request.calling_ae_title

    def associate_requested(self, request: AAssociateRQ) -> Accept | Reject:
        """See `Handler.associate_requested`."""
        self._accepted = True
        self._tell(Opened(self.peer, request.calling_ae_title, request.called_ae_title))
        return Accept()

    def open_sink(self, message: Message) -> Sink:
        """See `Handler.open_sink`."""
        return _Nowhere() if isinstance(message.command, CStoreRQ) else super().open_sink(message)

    def c_store_requested(self, message: Message) -> int:
        """See `Handler.c_store_requested`."""
        sink = message.sink
        if not isinstance(sink, _Nowhere):
            return self._without_data_set(message)
        self._kept[message] = sink.length, None
        return status.SUCCESS

    def answered(self, message: Message) -> None:
        """See `Handler.answered`."""
        self._conclude(message)

    def released(self, event: Released) -> None:
        """See `Handler.released`."""
        self._how = "released"

    def aborted(self, event: Aborted) -> None:
        """See `Handler.aborted`."""
        self._how = f"aborted by {event.origin.value}: {event.text}"

    def closed(self) -> None:
        """See `Handler.closed`."""
        for message in tuple(self._kept):  # was not answered
            self._conclude(message)
        if self.request is not None:
            how = self._how or ("closed" if self._accepted else "rejected")
            self._tell(
                Ended(
                    self.peer,
                    self.calling_ae_title,
                    self.request.called_ae_title,
                    how,
                    self._stored,
                    self._not_stored,
                )
            )

    def _conclude(self, message: Message) -> None:
        """What the peer does not wait for, once for each data set that is kept or discarded."""
        kept = self._kept.pop(message, None)
        if kept is not None:
            self._told_stored(message, *kept)

    def _told_stored(self, message: Message, length: int, path: Path | None) -> None:
        command = message.command
        self._stored += 1
        self._tell(
            Stored(
                self.peer,
                self.calling_ae_title,
                message.context.abstract_syntax,
                getattr(command, "affected_sop_instance_uid", ""),
                length,
                path,
            )
        )

    def _told_not_stored(self, sop_instance_uid: str, reason: str) -> None:
        self._not_stored += 1
        self._tell(NotStored(self.peer, self.calling_ae_title, sop_instance_uid, reason))

    def _without_data_set(self, message: Message) -> int:
        """PS3.7 §9.1.1.1 has no C-STORE without a data set: there is nothing to understand."""
        uid = getattr(message.command, "affected_sop_instance_uid", "")
        self._told_not_stored(uid, "no data set came with it")
        return status.CANNOT_UNDERSTAND


class StorageHandler(DiscardHandler):
    """Answers C-ECHO, and keeps what C-STORE brings in a folder."""

    def __init__(
        self, folder: StudyFolder, tell: Callable[[StorageEvent], None] = lambda event: None
    ) -> None:
        """`folder` may be shared by any number of handlers; `tell` as for `DiscardHandler`."""
        super().__init__(tell)
        self._folder = folder
        self._next: IncomingFile | None = None  # made ahead
        self._makes_room = False

    def associate_requested(self, request: AAssociateRQ) -> Accept | Reject:
        """See `Handler.associate_requested`."""
        window = request.user_information.asynchronous_operations_window
        # Who has several operations under way sends the next image without looking for it first.
        self._makes_room = window is None or window.invoked == 1
        return super().associate_requested(request)

    def open_sink(self, message: Message) -> Sink:
        """See `Handler.open_sink`."""
        command = message.command
        if not isinstance(command, CStoreRQ):
            return super().open_sink(message)
        uid = command.affected_sop_instance_uid
        prepared, self._next = self._next, None
        try:
            file = self._folder.begin(
                command.affected_sop_class_uid,
                uid,
                message.context.transfer_syntax,
                self.calling_ae_title,
                prepared=prepared,
            )
        except InvalidUID as error:
            # What the peer calls it cannot be the name of a file. Its data set still has to be
            # taken off the wire; `c_store_requested` then answers.
            self._told_not_stored(uid, str(error))
            return _Refused()
        except Exception as error:
            self._told_not_stored(uid, str(error))
            raise
        return _Arriving(file, lambda reason: self._told_not_stored(uid, reason))

    def c_store_requested(self, message: Message) -> int:
        """See `Handler.c_store_requested`."""
        sink = message.sink
        if isinstance(sink, _Refused):
            return status.INVALID_SOP_INSTANCE
        if not isinstance(sink, _Arriving):
            return self._without_data_set(message)
        path = sink.commit()
        self._kept[message] = sink.file.data_set_length, path
        return self.kept(path)

    def answered(self, message: Message) -> None:
        """See `Handler.answered`. While the peer looks for its next image, its file is made, with
        room for as much as this one has: most images of a series are of one size."""
        kept = self._kept.get(message)
        super().answered(message)
        if kept is not None and self._next is None:
            began = time.monotonic()
            room = min(kept[0], MAX_ROOM) if self._makes_room else 0
            with suppress(OSError):  # whoever needs it will be told
                self._next = self._folder.prepare(room)
            if time.monotonic() - began > ROOM_PATIENCE:
                self._makes_room = False  # a file system over a network: it has to wait for that

    def closed(self) -> None:
        """See `Handler.closed`."""
        prepared, self._next = self._next, None
        if prepared is not None:
            prepared.discard()
        super().closed()

    def _conclude(self, message: Message) -> None:
        if isinstance(message.sink, _Arriving):
            message.sink.file.clear()
        super()._conclude(message)

    def kept(self, path: Path) -> int:
        """A file has its name; the status to answer, no failure: for those who do more with it."""
        return status.SUCCESS


# Sinks -------------------------------------------------------------------------------------------


class _Nowhere(ImmediateSink):
    """Counts bytes and forgets them."""

    __slots__ = ("length",)

    def __init__(self) -> None:
        self.length = 0

    def write(self, fragment: memoryview, /) -> None:
        self.length += len(fragment)


class _Refused(_Nowhere):
    """Takes what was refused before it arrived."""

    __slots__ = ()


class _Arriving:
    """A file that is being received, and who wants to know if nothing becomes of it."""

    __slots__ = ("_lost", "file")

    def __init__(self, file: IncomingFile, lost: Callable[[str], None]) -> None:
        self.file = file
        self._lost: Callable[[str], None] | None = lost

    def write(self, fragment: memoryview, /) -> None:
        try:
            self.file.write(fragment)
        except Exception as error:
            self._give_up(str(error))
            raise

    def commit(self) -> Path:
        try:
            path = self.file.commit(clears=False)
        except Exception as error:
            self._give_up(str(error))
            raise
        self._lost = None
        return path

    def discard(self) -> None:
        """Called when the association ended before the data set did, and after a failure."""
        self.file.discard()
        self._give_up("the association ended before the data set did")

    def _give_up(self, reason: str) -> None:
        lost, self._lost = self._lost, None
        if lost is not None:
            lost(reason)
