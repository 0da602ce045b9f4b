"""`dul-fsm get`: have files sent over the association that asks for them (PS3.4 §C.4.3)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dul_fsm.cli.asking import Asked, Peer, ask
from dul_fsm.cli.progress import Progress
from dul_fsm.cli.retrieving import Retrieval, open_folder
from dul_fsm.cli.storage_classes import MAXIMUM, contexts, roles, storage_classes
from dul_fsm.scp.storage import StorageHandler

if TYPE_CHECKING:
    from dul_fsm.drivers.invocations import Invocation
    from dul_fsm.scu import SCUAssociation


def get(peer: Peer, query: Asked, output: Path, *, sop_classes: list[str] | None) -> int:
    """Retrieve into a folder; the exit status. `sop_classes`: what to receive; None: the usual."""
    folder = open_folder(output)
    if folder is None:
        return 1
    wanted = list(dict.fromkeys(sop_classes or storage_classes()))[:MAXIMUM]

    def request(association: SCUAssociation) -> Invocation:
        return association.get_request(query.model.get, query.identifier)

    with Progress(None) as progress:
        retrieval = Retrieval(progress, receives=True)
        result = ask(
            peer,
            query.model.get,
            request,
            retrieval.take,
            contexts=contexts(wanted),
            roles=roles(wanted),
            handler=StorageHandler(folder, retrieval.tell),
            tell=retrieval.error,
        )
        return retrieval.finish(result)
