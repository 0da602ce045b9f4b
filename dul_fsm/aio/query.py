"""Query/Retrieve and worklist as a service class user, for asyncio: `dul_fsm.scu.query`, awaited.

async for match in find(association, identifier):
    print(match.StudyInstanceUID)
print((await move(association, identifier, "WORKSTATION")).completed)
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING

from dul_fsm.aio.association import SCUAssociation
from dul_fsm.query.models import MODALITY_WORKLIST, STUDY_ROOT, InformationModel
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


async def find(
    association: SCUAssociation, identifier: Dataset, model: InformationModel = STUDY_ROOT
) -> AsyncGenerator[Dataset, None]:
    """See `dul_fsm.scu.query.find`; to leave it early wants an `aclosing` around it."""
    async with aclosing(association.c_find(model.find, identifier)) as responses:
        async for response in responses:
            match = match_of(response)
            if match is not None:
                yield match


async def get(
    association: SCUAssociation,
    identifier: Dataset,
    model: InformationModel = STUDY_ROOT,
    progress: Callable[[Progress], object] = lambda progress: None,
) -> Retrieved:
    """See `dul_fsm.scu.query.get`."""
    tally = Tally(progress)
    async for response in association.c_get(model.get, identifier):
        tally.take(response)
    return tally.result()


async def move(
    association: SCUAssociation,
    identifier: Dataset,
    destination: str,
    model: InformationModel = STUDY_ROOT,
    progress: Callable[[Progress], object] = lambda progress: None,
) -> Retrieved:
    """See `dul_fsm.scu.query.move`."""
    tally = Tally(progress)
    async for response in association.c_move(model.move, identifier, destination):
        tally.take(response)
    return tally.result()
