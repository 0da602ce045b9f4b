"""A modality worklist as a service class provider (PS3.4 Annex K).

    def scheduled() -> Iterable[Dataset]:
        ...  # ask the hospital's system

    with serve(lambda: WorklistHandler(scheduled)) as server: ...

Rules: items are asked for anew by each C-FIND, so that what is scheduled is what is answered; one
item with several Scheduled Procedure Steps is several.

Not here: matching (`query`), where items come from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from dul_fsm.association import Message
from dul_fsm.query import Worklist
from dul_fsm.services.handler import Handler, Matches
from dul_fsm.services.sop_classes import MODALITY_WORKLIST_FIND, VERIFICATION, choose_any

if TYPE_CHECKING:
    from pydicom import Dataset


class WorklistHandler(Handler):
    """Answers C-ECHO, and C-FIND of a modality worklist."""

    choose = staticmethod(choose_any(VERIFICATION, MODALITY_WORKLIST_FIND))

    def __init__(self, items: Worklist | Callable[[], Iterable[Dataset]]) -> None:
        """`items`: a `Worklist` that all handlers share, or what gives all items."""
        self._items = items

    def c_find_requested(self, message: Message) -> int | Matches:
        """See `Handler.c_find_requested`."""
        if message.context.abstract_syntax != MODALITY_WORKLIST_FIND:
            return super().c_find_requested(message)
        identifier = message.decode()
        if isinstance(self._items, Worklist):
            return self._items.find(identifier)
        worklist = Worklist()
        for item in self._items():
            worklist.add(item)
        return worklist.find(identifier)
