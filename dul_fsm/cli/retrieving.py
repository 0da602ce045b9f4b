"""What `get` and `move` have in common: the folder, the progress, and the sum.

Rules: a file is told when it is stored; the sub-operations are told at the end, and on the way by a
bar where there is a terminal. What failed there, or here, is a failure of the command.

Not here: who calls whom (`get`, `move`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dul_fsm.cli.explain import fail, printable, with_names
from dul_fsm.cli.progress import Progress
from dul_fsm.cli.suboperations import SubOperations, counters_of, failed_instances, in_words
from dul_fsm.dimse import StatusCategory, category
from dul_fsm.files import StudyFolder
from dul_fsm.negotiation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dul_fsm.scp.storage import NotStored, StorageEvent, Stored

if TYPE_CHECKING:
    from dul_fsm.association import Message


def open_folder(output: Path) -> StudyFolder | None:
    """The folder to store into; None, and told, if there cannot be one."""
    try:
        return StudyFolder(
            output,
            implementation_class_uid=IMPLEMENTATION_CLASS_UID,
            implementation_version_name=IMPLEMENTATION_VERSION_NAME,
        )
    except OSError as error:
        fail(f"cannot store into {output}: {with_names(str(error))}")
        return None


class Retrieval:
    """Tells how a retrieval goes; its methods may be called from several threads."""

    def __init__(self, progress: Progress, *, receives: bool) -> None:
        """`receives`: whether the instances come here, to be counted."""
        self._progress = progress
        self._receives = receives
        self._counters = SubOperations()
        self._finished = False
        self._stored = 0
        self._not_stored = 0

    def take(self, message: Message) -> bool:
        """A response of the peer's; there is never a reason to cancel."""
        counters = counters_of(message)
        if counters.known:
            self._counters = counters
            self._progress.reach(counters.done, counters.total)
        self._finished = category(message.status) is not StatusCategory.PENDING
        if self._finished:
            for uid in failed_instances(message):
                self._progress.error(f"dul-fsm: the peer failed to send {printable(uid)}")
        return True

    def tell(self, event: StorageEvent) -> None:
        """What a handler has stored, or not."""
        match event:
            case Stored():
                self._stored += 1
                self._progress.tell(printable(f"stored {event.path}"))
            case NotStored():
                self._not_stored += 1
                self._progress.error(
                    printable(f"dul-fsm: not stored: {event.sop_instance_uid}: {event.reason}")
                )
            case _:
                pass

    def error(self, text: str) -> None:
        """Something went wrong."""
        self._progress.error(f"dul-fsm: {text}")

    def finish(self, result: int) -> int:
        """Tell the sum; the exit status, given that of the operation."""
        parts = [f"{self._stored} stored"] if self._receives else []
        if self._not_stored:
            parts.append(f"{self._not_stored} not stored")
        if self._counters.known or not parts:
            parts.append(f"sub-operations: {in_words(self._counters)}")
        self._progress.tell("; ".join(parts))
        return result or (1 if self._not_stored or self._counters.failed else 0)
