"""A small archive: Storage, and Query/Retrieve of what was stored (PS3.4 Annexes B and C).

    folder = StudyFolder("received", implementation_class_uid=IMPLEMENTATION_CLASS_UID)
    index = InstanceIndex()
    index.add_folder("received")
    destinations = {"WORKSTATION": TCP("127.0.0.1", 11113)}
    with serve(lambda: ArchiveHandler(folder, index, destinations=destinations)) as server:
        server.wait()

Rules: one folder and one index for all associations, so what one has stored the next one finds; an
instance is found from when its C-STORE is answered. A file is opened when its turn to be sent has
come. It leaves as it is where the peer accepts its transfer syntax, and else in an uncompressed
one, as far as `files.recode` can make that of it.

Not here: matching (`query`), sub-operations (`services`), which files there are (`files`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from dul_fsm.association import Message
from dul_fsm.dimse import status
from dul_fsm.files import NotStorable, Part10Source, StudyFolder, read_part10, recode
from dul_fsm.files.recode import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from dul_fsm.pdu import AAssociateRQ, SOPClassExtendedNegotiation
from dul_fsm.query import (
    MODELS,
    IndexedInstance,
    InformationModel,
    InstanceIndex,
    model_of,
)
from dul_fsm.scp.folder_index import FolderIndex
from dul_fsm.scp.storage import StorageEvent, StorageHandler
from dul_fsm.services.handler import (
    Accept,
    Destination,
    Instance,
    Matches,
    Pending,
    Reject,
    Retrieval,
)
from dul_fsm.services.sop_classes import VERIFICATION, choose_any, is_storage
from dul_fsm.transports import Connector
from dul_fsm.value import value

if TYPE_CHECKING:
    from pydicom import Dataset

QUERY_RETRIEVE: Final = tuple(
    uid for model in MODELS if model.levels for uid in (model.find, model.move, model.get)
)
"""The SOP Classes that are served beside Storage and Verification."""

_UNCOMPRESSED = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)

# MPEG and the like (PS3.5 §A.4.5 to §A.4.10): a video is not decompressed to be sent.
_VIDEO = "1.2.840.10008.1.2.4.10"

_RELATIONAL = 0
"""Which byte of an extended negotiation asks for relational queries or retrievals (PS3.4 §C.5)."""


@value
class Queried:
    """A C-FIND is over: every match was made, or it was cancelled or failed."""

    peer: str
    """Where the SCU called from, as its transport names it."""
    calling_ae_title: str
    """Its own, as it says."""
    level: str
    """The Query/Retrieve Level."""
    matches: int
    """How many were made."""
    complete: bool
    """Whether that is all of them."""


@value
class Retrieving:
    """What a C-GET or a C-MOVE asks for is known, and about to be sent."""

    peer: str
    """Where the SCU called from, as its transport names it."""
    calling_ae_title: str
    """Its own, as it says."""
    destination: str
    """The AE title of the move destination; empty for a C-GET, which brings it back."""
    instances: int
    """How many there are."""


ArchiveEvent: TypeAlias = StorageEvent | Queried | Retrieving


class ArchiveHandler(StorageHandler):
    """Answers C-ECHO, keeps what C-STORE brings, and gives it back by C-FIND, C-GET and C-MOVE."""

    choose = staticmethod(choose_any(VERIFICATION, is_storage, *QUERY_RETRIEVE))
    _tell: Callable[[ArchiveEvent], None]

    def __init__(
        self,
        folder: StudyFolder,
        index: InstanceIndex,
        *,
        destinations: Mapping[str, Connector | Destination] | None = None,
        tell: Callable[[ArchiveEvent], None] = lambda event: None,
    ) -> None:
        """`folder` and `index` are shared by all handlers of an archive. `destinations`: where
        C-MOVE may send, by AE title. `tell` as for `DiscardHandler`. An `InstanceIndex` is told
        what is stored, which takes as long as to store a small image; a `FolderIndex` is not."""
        super().__init__(folder, tell)
        self._index = index
        self._destinations = {} if destinations is None else destinations
        self._relational: frozenset[str] = frozenset()

    def associate_requested(self, request: AAssociateRQ) -> Accept | Reject:
        """See `Handler.associate_requested`. Relational queries and retrievals are granted to who
        asks for them (PS3.4 §C.5)."""
        super().associate_requested(request)
        answers = [
            SOPClassExtendedNegotiation(offer.sop_class_uid, _grant(offer.information))
            for offer in request.user_information.extended_negotiations
            if offer.sop_class_uid in QUERY_RETRIEVE and offer.information
        ]
        self._relational = frozenset(
            answer.sop_class_uid for answer in answers if answer.information[_RELATIONAL]
        )
        return Accept(extended_negotiations=answers)

    # Storage ------------------------------------------------------------------------------------

    def kept(self, path: Path) -> int:
        """See `StorageHandler.kept`."""
        if isinstance(self._index, FolderIndex):  # which looks for itself
            return super().kept(path)
        try:
            self._index.add_file(path)
        except NotStorable:
            # It is kept as it came, but there is no instance in it that could be asked for.
            return status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS_WARNING
        return super().kept(path)

    # Query/Retrieve -----------------------------------------------------------------------------

    def c_find_requested(self, message: Message) -> int | Matches:
        """See `Handler.c_find_requested`."""
        model = model_of(message.context.abstract_syntax)
        if model is None or not model.levels:
            return super().c_find_requested(message)
        identifier = message.decode()
        pending = self._index.pending_status(identifier, model)
        found = self._index.find(
            identifier,
            model,
            retrieve_ae_title="" if self.request is None else self.request.called_ae_title,
            relational=self._is_relational(message),
        )
        return self._matches(found, pending, str(identifier.QueryRetrieveLevel))

    def c_get_requested(self, message: Message) -> int | Retrieval | Sequence[Instance]:
        """See `Handler.c_get_requested`."""
        model = model_of(message.context.abstract_syntax)
        return super().c_get_requested(message) if model is None else self._select(message, model)

    def c_move_requested(self, message: Message) -> int | Retrieval | Sequence[Instance]:
        """See `Handler.c_move_requested`."""
        model = model_of(message.context.abstract_syntax)
        return super().c_move_requested(message) if model is None else self._select(message, model)

    def move_destination(self, ae_title: str) -> Destination | None:
        """See `Handler.move_destination`."""
        found = self._destinations.get(ae_title)
        if found is None or isinstance(found, Destination):
            return found
        return Destination(connector=found, called_ae_title=ae_title)

    def _matches(self, found: Iterator[Dataset], pending: int, level: str) -> Matches:
        """A pending response for each match; how many there were is told."""
        count, complete = 0, False
        try:
            for answer in found:
                count += 1
                yield Pending(answer, pending)
            complete = True
        finally:
            self._tell(Queried(self.peer, self.calling_ae_title, level, count, complete))

    def _select(self, message: Message, model: InformationModel) -> list[Instance]:
        selected = self._index.select(
            message.decode(), model, relational=self._is_relational(message)
        )
        instances = [instance_of(one, one.path) for one in selected if one.path is not None]
        to = getattr(message.command, "move_destination", "")
        self._tell(Retrieving(self.peer, self.calling_ae_title, to, len(instances)))
        return instances

    def _is_relational(self, message: Message) -> bool:
        return message.context.abstract_syntax in self._relational


def _grant(information: bytes) -> bytes:
    """Of what may be negotiated, relational queries and nothing else."""
    asked = information[_RELATIONAL : _RELATIONAL + 1] == b"\x01"
    return bytes((asked,)) + bytes(len(information) - 1)


def instance_of(known: IndexedInstance, path: Path) -> Instance:
    """What a C-STORE sub-operation sends of an instance in a Part 10 file."""
    stored = known.transfer_syntax_uid
    others = () if stored.startswith(_VIDEO) else _UNCOMPRESSED
    return Instance(
        sop_class_uid=known.sop_class_uid,
        sop_instance_uid=known.sop_instance_uid,
        transfer_syntaxes=tuple(dict.fromkeys((stored, *others))),
        open=partial(_opened, path),
    )


@contextmanager
def _opened(path: Path, transfer_syntax: str) -> Iterator[Part10Source | bytes]:
    """The data set of a file, encoded in a transfer syntax."""
    head = read_part10(path)
    if head.transfer_syntax_uid == transfer_syntax:
        with Part10Source(head) as source:
            yield source
    else:
        yield recode(head, transfer_syntax)
