"""Query/Retrieve and worklist as a service class user: `Dataset` in, `Dataset` out (PS3.4 C, K).

    for match in find(association, identifier):
        print(match.StudyInstanceUID)
    print(move(association, identifier, "WORKSTATION").completed)

Rules: what the peer answers with a failure is an `OperationFailed`; to leave `find` early, or to
close it, sends a C-CANCEL. `get` needs an association whose handler stores, and that offered the
SCP role for the SOP Classes that come: see `scp_roles`.

Not here: keys as people type them, and the models (`query`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from typing import TYPE_CHECKING, cast

from dul_fsm.association import Message
from dul_fsm.query.models import MODALITY_WORKLIST, STUDY_ROOT, InformationModel
from dul_fsm.scu.association import SCUAssociation
from dul_fsm.services.results import (
    OperationFailed,
    Progress,
    Retrieved,
    Tally,
    match_of,
    scp_roles,
)

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = [
    "MODALITY_WORKLIST",
    "STUDY_ROOT",
    "OperationFailed",
    "Progress",
    "Retrieved",
    "find",
    "get",
    "move",
    "scp_roles",
]


def find(
    association: SCUAssociation, identifier: Dataset, model: InformationModel = STUDY_ROOT
) -> Generator[Dataset, None, None]:
    """C-FIND: the identifiers of the matches, as they come (PS3.4 §C.4.1, §K.4.1).

    `model`: whose C-FIND SOP Class is used; `MODALITY_WORKLIST` for a worklist. Raises
    `OperationFailed`, `DataSetError` for a match that cannot be decoded, and what `c_find` raises.
    """
    responses = cast("Generator[Message]", association.c_find(model.find, identifier))
    with closing(responses):
        for response in responses:
            match = match_of(response)
            if match is not None:
                yield match


def get(
    association: SCUAssociation,
    identifier: Dataset,
    model: InformationModel = STUDY_ROOT,
    progress: Callable[[Progress], object] = lambda progress: None,
) -> Retrieved:
    """C-GET: what matches comes to the handler given to `associate` (PS3.4 §C.4.3).

    `progress` is told the numbers of each pending response. Raises `OperationFailed`, and what
    `c_get` raises.
    """
    tally = Tally(progress)
    for response in association.c_get(model.get, identifier):
        tally.take(response)
    return tally.result()


def move(
    association: SCUAssociation,
    identifier: Dataset,
    destination: str,
    model: InformationModel = STUDY_ROOT,
    progress: Callable[[Progress], object] = lambda progress: None,
) -> Retrieved:
    """C-MOVE: what matches goes to `destination`, an AE title that the peer knows (PS3.4 §C.4.2).

    `progress` as for `get`. Raises `OperationFailed`, and what `c_move` raises.
    """
    tally = Tally(progress)
    for response in association.c_move(model.move, identifier, destination):
        tally.take(response)
    return tally.result()
