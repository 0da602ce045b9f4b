"""Ours, as the tests of services need it: who calls an archive, who receives, and an archive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydicom import Dataset

from dul_fsm import associate
from dul_fsm.files import StudyFolder, read_part10
from dul_fsm.negotiation import ContextLike
from dul_fsm.query import InstanceIndex
from dul_fsm.scp.archive import ArchiveEvent, ArchiveHandler
from dul_fsm.scp.storage import StorageHandler
from dul_fsm.scu.association import SCUAssociation
from dul_fsm.services.handler import Destination
from dul_fsm.services.sop_classes import VERIFICATION
from dul_fsm.transports import Connector
from tests.files.samples import CT_IMAGE_STORAGE, EXPLICIT, stored
from tests.interop.archives import OURS, Archive
from tests.interop.programs import HOST
from tests.interop.studies import Study

MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
IMAGES = (CT_IMAGE_STORAGE, MR_IMAGE_STORAGE)
"""SOP Classes of what is in `studies.STUDIES`."""


def call(archive: Archive, *contexts: ContextLike, **more: Any) -> SCUAssociation:
    """An association with an archive; a SOP Class is proposed in Explicit VR Little Endian."""
    return associate(HOST, archive.port, **proposal(archive, *contexts), **more)


def proposal(archive: Archive, *contexts: ContextLike) -> dict[str, Any]:
    """What `associate` is told, the blocking one or asyncio's."""
    wanted = [(one, (EXPLICIT,)) if isinstance(one, str) else one for one in contexts]
    return {
        "contexts": [VERIFICATION, *wanted],
        "called_ae_title": archive.ae_title,
        "calling_ae_title": OURS,
    }


def data_set(**values: object) -> Dataset:
    """A data set, by keywords."""
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def study_keys(study: Study) -> Dataset:
    """The identifier of a study that is to be retrieved."""
    return data_set(QueryRetrieveLevel="STUDY", StudyInstanceUID=study.uid)


class Received:
    """A folder, and handlers that store into it: for C-GET, and as a move destination."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folder = StudyFolder(root, implementation_class_uid="1.2.3.4")

    def __call__(self) -> StorageHandler:
        return StorageHandler(self._folder)

    @property
    def files(self) -> list[Path]:
        """What has come."""
        return sorted(self.root.rglob("*.dcm"))


def contents(files: Sequence[Path]) -> dict[str, tuple[str, bytes]]:
    """Transfer syntax and encoded data set of files, by SOP Instance UID."""
    found = {}
    for path in files:
        head = read_part10(path)
        assert head.sop_instance_uid not in found
        found[head.sop_instance_uid] = (head.transfer_syntax_uid, stored(path))
    return found


def those_of(study: Study, files: Sequence[Path]) -> dict[str, tuple[str, bytes]]:
    """The same of the files of a study, among those that `studies.write_studies` has written."""
    return {uid: one for uid, one in contents(files).items() if uid in study.instances}


class OurArchive:
    """An archive of ours with these files; called, it makes a handler for one association."""

    def __init__(
        self,
        root: Path,
        files: Sequence[Path] = (),
        destinations: Mapping[str, Connector | Destination] | None = None,
    ) -> None:
        self.folder = StudyFolder(root, implementation_class_uid="1.2.3.4")
        self.index = InstanceIndex()
        self.destinations = dict(destinations or {})
        self.told: list[ArchiveEvent] = []
        for path in files:
            self.index.add_file(path)

    def __call__(self) -> ArchiveHandler:
        return ArchiveHandler(
            self.folder, self.index, destinations=self.destinations, tell=self.told.append
        )
