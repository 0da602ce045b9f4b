"""Patients, studies, series and instances: what an index holds (PS3.4 §C.6).

Rules: an entity has the attributes that its first instance brought, and takes over what was missing
as more arrive. What can be counted or gathered from the levels below is computed when it is asked
for. One thread changes the tree at a time; others may read it meanwhile.

Not here: who may change it when, and who asks (`index`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias

from dul_fsm.query.attributes import AVAILABLE_TRANSFER_SYNTAX_UID, MODALITY
from dul_fsm.value import value

Attributes: TypeAlias = dict[int, str]
"""Tag to text, several values parted by backslashes; no empty ones."""


@value
class IndexedInstance:
    """A SOP Instance that can be retrieved."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    """How its data set is encoded; empty if that is not known."""
    path: Path | None
    """Its file; None if it was added as a data set."""


class Entity:
    """A patient, a study, a series or an instance."""

    __slots__ = ("above", "attributes", "below", "instance", "key")

    def __init__(
        self, key: str, above: Entity | None, instance: IndexedInstance | None = None
    ) -> None:
        self.key = key
        """The value of its unique key."""
        self.above = above
        """What it is part of; None for a patient."""
        self.below: dict[str, Entity] = {}
        """Its parts, by their unique keys."""
        self.attributes: Attributes = {}
        self.instance = instance
        """Set at the lowest level only."""

    def get(self, tag: int) -> str:
        """An attribute of this entity, computed or brought; empty if it is not known."""
        compute = _COMPUTED.get(tag)
        return self.attributes.get(tag, "") if compute is None else compute(self)

    def parts(self, depth: int) -> Iterator[Entity]:
        """The entities that many levels below."""
        if depth == 0:
            yield self
            return
        for part in list(self.below.values()):
            yield from part.parts(depth - 1)

    def instances(self) -> Iterator[IndexedInstance]:
        """All instances that are part of it."""
        if self.instance is not None:
            yield self.instance
        for part in list(self.below.values()):
            yield from part.instances()

    def fill_in(self, more: Mapping[int, str]) -> None:
        """Take over the attributes that are not known yet."""
        for tag, text in more.items():
            self.attributes.setdefault(tag, text)


def _count(depth: int) -> Callable[[Entity], str]:
    """How many parts there are that many levels below."""
    return lambda entity: str(sum(len(part.below) for part in entity.parts(depth - 1)))


def _modalities(study: Entity) -> str:
    return "\\".join(sorted({part.get(MODALITY) for part in study.parts(1)} - {""}))


def _sop_classes(study: Entity) -> str:
    return "\\".join(sorted({instance.sop_class_uid for instance in study.instances()}))


def _transfer_syntax(image: Entity) -> str:
    return "" if image.instance is None else image.instance.transfer_syntax_uid


_COMPUTED: Final[dict[int, Callable[[Entity], str]]] = {
    0x00080061: _modalities,
    0x00080062: _sop_classes,
    AVAILABLE_TRANSFER_SYNTAX_UID: _transfer_syntax,
    0x00201200: _count(1),  # Number of Patient Related Studies
    0x00201202: _count(2),  # Number of Patient Related Series
    0x00201204: _count(3),  # Number of Patient Related Instances
    0x00201206: _count(1),  # Number of Study Related Series
    0x00201208: _count(2),  # Number of Study Related Instances
    0x00201209: _count(1),  # Number of Series Related Instances
}
