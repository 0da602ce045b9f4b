"""A modality worklist that answers queries (PS3.4 Annex K).

    worklist = Worklist()
    worklist.add(item)
    for answer in worklist.find(identifier): ...

Rules: an entity of this model is a Scheduled Procedure Step (§K.6.1.1), so an item with several
steps in its sequence is several, with all else in common. Items may be added and removed from any
thread while others are searched for.

Not here: where items come from, which is the hospital's affair; the network.
"""

from __future__ import annotations

from collections.abc import Iterator
from threading import Lock
from typing import TYPE_CHECKING

from dul_fsm.query.elements import element_in
from dul_fsm.query.matching import Query

if TYPE_CHECKING:
    from pydicom import Dataset

SCHEDULED_PROCEDURE_STEP_SEQUENCE = 0x00400100


class Worklist:
    """Scheduled Procedure Steps."""

    def __init__(self) -> None:
        self._changing = Lock()
        self._items: dict[int, list[Dataset]] = {}
        self._added = 0

    def __len__(self) -> int:
        """The number of Scheduled Procedure Steps."""
        return sum(len(steps) for steps in list(self._items.values()))

    def add(self, item: Dataset) -> int:
        """Add an item, which must not be changed from now on; a number to `remove` it by."""
        steps = _steps(item)
        with self._changing:
            self._added += 1
            self._items[self._added] = steps
            return self._added

    def remove(self, number: int) -> None:
        """Remove an item; nothing happens if it is not there."""
        with self._changing:
            self._items.pop(number, None)

    def find(self, identifier: Dataset) -> Iterator[Dataset]:
        """The identifiers of the responses to a C-FIND, one by one (PS3.4 §K.4.1.3)."""
        query = Query(identifier)
        for steps in list(self._items.values()):
            for step in steps:
                if query.matches(step):
                    character_set = step.get("SpecificCharacterSet") or ""
                    yield query.response(
                        step,
                        character_set=character_set if isinstance(character_set, str) else "",
                    )


def _steps(item: Dataset) -> list[Dataset]:
    """An item for each of its steps; itself, if it has no more than one."""
    from pydicom import Dataset
    from pydicom.dataelem import DataElement
    from pydicom.sequence import Sequence

    element = element_in(item, SCHEDULED_PROCEDURE_STEP_SEQUENCE)
    if element is None or element.VR != "SQ" or len(element.value or ()) <= 1:
        return [item]
    found = []
    for step in element.value:
        one = Dataset()
        for other in item:
            one[other.tag] = other
        one[SCHEDULED_PROCEDURE_STEP_SEQUENCE] = DataElement(
            SCHEDULED_PROCEDURE_STEP_SEQUENCE, "SQ", Sequence([step])
        )
        found.append(one)
    return found
