"""An index over SOP Instances that answers queries and finds what to retrieve (PS3.4 Annex C).

    index = InstanceIndex()
    index.add_folder("received")
    for answer in index.find(identifier, STUDY_ROOT): ...
    for instance in index.select(identifier, STUDY_ROOT): ...

Rules: a study is of one patient, and a series of one study: the first that an instance named.
An instance that is added again replaces what was known of it. Instances may be added from any
thread while others are searched for; a search sees at each level what was there when it came to
that level. A unique key is matched as it stands, for it is never unknown (§C.2.2.1.1).
Without a Study or Series Instance UID an instance is of the study or series with the UID "".

Not here: the network; what the keys mean (`matching`); which identifiers are legal (`models`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from dul_fsm.dimse.status import PENDING, PENDING_OPTIONAL_KEYS_NOT_SUPPORTED
from dul_fsm.files import NotStorable, open_data_set, read_part10, scan
from dul_fsm.query.attributes import KNOWN, SOP_CLASS_UID, SPECIFIC_CHARACTER_SET, STORED, TAGS
from dul_fsm.query.character_sets import decode_text
from dul_fsm.query.elements import element_in, element_of, split_values, texts_of
from dul_fsm.query.matching import NEVER_MATCHED, Criterion, Query
from dul_fsm.query.models import (
    IMAGE,
    PATIENT,
    SERIES,
    STUDY,
    UNIQUE_KEYS,
    InformationModel,
    check_query,
    check_retrieval,
    unique_values,
)
from dul_fsm.query.tree import Attributes, Entity, IndexedInstance

if TYPE_CHECKING:
    from pydicom import Dataset

_LEVELS = (PATIENT, STUDY, SERIES, IMAGE)
_UPWARDS = _LEVELS[::-1]
_UNIQUE = frozenset(UNIQUE_KEYS.values())


class InstanceIndex:
    """Patients, their studies, series and instances."""

    def __init__(self) -> None:
        self._changing = Lock()
        self._patients: dict[str, Entity] = {}
        self._studies: dict[str, Entity] = {}
        self._images: dict[str, Entity] = {}

    def __len__(self) -> int:
        """The number of instances."""
        return len(self._images)

    # Adding -------------------------------------------------------------------------------------

    def add_file(self, path: str | os.PathLike[str]) -> IndexedInstance:
        """Add the instance in a Part 10 file. Raises `NotStorable` or OSError if there is none."""
        head = read_part10(path)
        found: Mapping[int, str] = {}
        if head.data_set_length:
            with open_data_set(head) as data_set:
                found = scan(data_set, head.transfer_syntax_uid, TAGS)
        character_set = found.get(SPECIFIC_CHARACTER_SET, "")
        attributes = {
            tag: decode_text(text.encode("latin-1"), character_set)
            for tag, text in found.items()
            if text
        }
        instance = IndexedInstance(
            head.sop_class_uid, head.sop_instance_uid, head.transfer_syntax_uid, head.path
        )
        self._add(instance, attributes)
        return instance

    def add_folder(self, root: str | os.PathLike[str]) -> int:
        """Add all instances in the files of a folder, and in its folders; how many there were.

        What is not a Part 10 file is passed over, and so is a hidden file: it is arriving.
        """
        added = 0
        for folder, folders, names in os.walk(root):
            folders.sort()
            for name in sorted(names):
                if not name.startswith("."):
                    try:
                        self.add_file(Path(folder, name))
                    except (NotStorable, OSError):
                        continue
                    added += 1
        return added

    def add(
        self,
        data_set: Dataset,
        *,
        path: str | os.PathLike[str] | None = None,
        transfer_syntax_uid: str = "",
    ) -> IndexedInstance:
        """Add an instance by its data set, or the head of it; at least SOP Class and Instance UID.

        Raises `ValueError` without these.
        """
        attributes: Attributes = {}
        for tag in TAGS:
            element = element_in(data_set, tag)
            if element is not None and (texts := texts_of(element)):
                attributes[tag] = "\\".join(texts)
        uids = attributes.get(SOP_CLASS_UID, ""), attributes.get(UNIQUE_KEYS[IMAGE], "")
        if not all(uids):
            raise ValueError("an instance has a SOP Class UID and a SOP Instance UID")
        instance = IndexedInstance(*uids, transfer_syntax_uid, None if path is None else Path(path))
        self._add(instance, attributes)
        return instance

    def _add(self, instance: IndexedInstance, attributes: Attributes) -> None:
        parts = _parts(instance, attributes)
        keys = [parts[level].get(UNIQUE_KEYS[level], "") for level in _LEVELS]
        with self._changing:
            self._remove(instance.sop_instance_uid)
            study = self._studies.get(keys[1])
            patient = study.above if study else self._patients.get(keys[0])
            patient = patient or Entity(keys[0], None)
            study = study or Entity(keys[1], patient)
            series = study.below.get(keys[2]) or Entity(keys[2], study)
            image = Entity(keys[3], series, instance)
            # From the instance up: nobody finds an entity with nothing in it.
            for entity, level in zip((image, series, study, patient), _UPWARDS, strict=True):
                entity.fill_in(parts[level])
                if entity.above is not None:
                    entity.above.below[entity.key] = entity
            self._images[image.key] = image
            self._studies[study.key] = study
            self._patients[patient.key] = patient

    def remove(self, sop_instance_uid: str, *, path: str | os.PathLike[str] | None = None) -> bool:
        """Forget an instance, and what is empty without it; False if it is unknown.

        With `path`, only if it is the one in that file.
        """
        with self._changing:
            known = self._images.get(sop_instance_uid)
            if known is None or known.instance is None:
                return False
            if path is not None and known.instance.path != Path(path):
                return False
            self._remove(sop_instance_uid)
            return True

    def _remove(self, sop_instance_uid: str) -> None:
        entity: Entity | None = self._images.pop(sop_instance_uid, None)
        depth = len(_LEVELS) - 1
        while entity is not None and not entity.below:
            if entity.above is not None:
                del entity.above.below[entity.key]
            if _LEVELS[depth] == STUDY:
                del self._studies[entity.key]
            elif _LEVELS[depth] == PATIENT:
                del self._patients[entity.key]
            entity = entity.above
            depth -= 1

    # Asking -------------------------------------------------------------------------------------

    def find(
        self,
        identifier: Dataset,
        model: InformationModel,
        *,
        retrieve_ae_title: str = "",
        relational: bool = False,
    ) -> Iterator[Dataset]:
        """The identifiers of the responses to a C-FIND, one by one (PS3.4 §C.4.1.3.1.1).

        Raises `IdentifierError`, at once and not with the first match.
        """
        level = check_query(identifier, model, relational=relational)
        query = Query(identifier)
        return self._answers(query, level, retrieve_ae_title)

    def select(
        self, identifier: Dataset, model: InformationModel, *, relational: bool = False
    ) -> list[IndexedInstance]:
        """What a C-MOVE or a C-GET retrieves, by unique keys alone (PS3.4 §C.4.2.2.1).

        Raises `IdentifierError`.
        """
        level = check_retrieval(identifier, model, relational=relational)
        criteria = {
            tag: criterion
            for tag, criterion in Query(identifier).criteria.items()
            if tag in _UNIQUE
        }
        return [
            instance
            for entity in self._matching(identifier, criteria, level)
            for instance in entity.instances()
        ]

    def pending_status(self, identifier: Dataset, model: InformationModel) -> int:
        """FF00H, or FF01H if a key is asked for that an index does not have (Table C.4-1)."""
        level = check_query(identifier, model, relational=True)
        asked = {int(one.tag) for one in identifier if one.tag.element} - NEVER_MATCHED
        if asked <= _supported(level):
            return PENDING
        return PENDING_OPTIONAL_KEYS_NOT_SUPPORTED

    def _answers(self, query: Query, level: str, retrieve_ae_title: str) -> Iterator[Dataset]:
        from pydicom import Dataset

        supported = _supported(level)
        asked = [
            (tag, *KNOWN[tag])
            for tag in (int(element.tag) for element in query.identifier)
            if tag in supported
        ]
        for entity in self._matching(query.identifier, query.criteria, level):
            chain = _chain(entity, level)
            attributes = Dataset()
            for tag, owner, vr in asked:
                texts = split_values(vr, chain[owner].get(tag))
                attributes[tag] = element_of(tag, vr, texts)
            sets = (one.get(SPECIFIC_CHARACTER_SET) for one in chain.values())
            yield query.response(
                attributes,
                retrieve_ae_title=retrieve_ae_title,
                supported=supported,
                character_set=next(filter(None, sets), ""),
            )

    def _matching(
        self, identifier: Dataset, criteria: Mapping[int, Criterion], level: str
    ) -> Iterator[Entity]:
        """The entities of a level that match, and whose entities above match."""
        tests: dict[str, list[tuple[int, Criterion]]] = {one: [] for one in _LEVELS}
        for tag, criterion in criteria.items():
            if tag in KNOWN:
                tests[KNOWN[tag][0]].append((tag, criterion))
        named = {one: _named(identifier, one) for one in _LEVELS}

        def matching(entity: Entity, depth: int) -> Iterator[Entity]:
            here = _LEVELS[depth]
            if not all(_meets(entity, tag, criterion) for tag, criterion in tests[here]):
                return
            if here == level:
                yield entity
                return
            for part in _pick(entity.below, named[_LEVELS[depth + 1]]):
                yield from matching(part, depth + 1)

        if level == PATIENT or named[STUDY] is None:
            for patient in _pick(self._patients, named[PATIENT]):
                yield from matching(patient, 0)
            return
        for study in _pick(self._studies, named[STUDY]):
            patient = _above(study)
            if all(_meets(patient, tag, criterion) for tag, criterion in tests[PATIENT]):
                yield from matching(study, 1)


def _parts(instance: IndexedInstance, attributes: Attributes) -> dict[str, Attributes]:
    """The attributes of an instance, by the level that they are of."""
    parts: dict[str, Attributes] = {}
    for level, tags in STORED.items():
        part = {tag: attributes[tag] for tag in tags if tag in attributes}
        if any(not text.isascii() for text in part.values()):
            # What an answer about this entity is best encoded in.
            part[SPECIFIC_CHARACTER_SET] = attributes.get(SPECIFIC_CHARACTER_SET, "")
        parts[level] = part
    parts[IMAGE][SOP_CLASS_UID] = instance.sop_class_uid
    parts[IMAGE][UNIQUE_KEYS[IMAGE]] = instance.sop_instance_uid
    return parts


def _supported(level: str) -> frozenset[int]:
    """What can be asked for at a level: its own attributes, and those of the levels above."""
    levels = _LEVELS[: _LEVELS.index(level) + 1]
    return frozenset(tag for tag, (owner, _) in KNOWN.items() if owner in levels)


def _named(identifier: Dataset, level: str) -> list[str] | None:
    """The entities of a level that an identifier names; None if it names none."""
    values = unique_values(identifier, level)
    if not values or (level == PATIENT and any("*" in one or "?" in one for one in values)):
        return None
    return values


def _pick(entities: Mapping[str, Entity], named: Iterable[str] | None) -> list[Entity]:
    if named is None:
        return list(entities.values())
    return [entities[key] for key in dict.fromkeys(named) if key in entities]


def _meets(entity: Entity, tag: int, criterion: Criterion) -> bool:
    values = split_values(KNOWN[tag][1], entity.get(tag))
    if not values:
        return tag not in _UNIQUE  # PS3.4 §C.2.2.1.2: what is unknown matches
    return criterion(values)


def _above(entity: Entity) -> Entity:
    if entity.above is None:
        raise LookupError("there is nothing above a patient")
    return entity.above


def _chain(entity: Entity, level: str) -> dict[str, Entity]:
    """An entity and those above it, by level."""
    chain = {level: entity}
    for above in reversed(_LEVELS[: _LEVELS.index(level)]):
        entity = _above(entity)
        chain[above] = entity
    return chain
