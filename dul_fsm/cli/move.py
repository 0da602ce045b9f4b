"""`dul-fsm move`: have files sent to an AE that the peer knows, or to ours (PS3.4 §C.4.2)."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from dul_fsm.cli.asking import Asked, Peer, ask
from dul_fsm.cli.explain import fail, with_names
from dul_fsm.cli.progress import Progress
from dul_fsm.cli.retrieving import Retrieval, open_folder
from dul_fsm.files import StudyFolder
from dul_fsm.scp.server import serve
from dul_fsm.scp.storage import StorageHandler
from dul_fsm.value import value

if TYPE_CHECKING:
    from dul_fsm.drivers.invocations import Invocation
    from dul_fsm.scu import SCUAssociation


@value
class Receiver:
    """Where to receive what is moved, if it is moved here."""

    host: str
    """Address to listen on."""
    port: int
    """TCP port, 0 for any."""
    output: Path


def move(peer: Peer, query: Asked, destination: str, receiver: Receiver | None) -> int:
    """Have the peer send to `destination`, which is us if there is a receiver; the exit status."""

    def request(association: SCUAssociation) -> Invocation:
        return association.move_request(query.model.move, query.identifier, destination)

    folder: StudyFolder | None = None
    if receiver is not None:
        folder = open_folder(receiver.output)
        if folder is None:
            return 1
    with Progress(None) as progress, ExitStack() as stack:
        retrieval = Retrieval(progress, receives=receiver is not None)
        if receiver is not None and folder is not None:
            store_into = folder
            try:
                server = serve(
                    lambda: StorageHandler(store_into, retrieval.tell),
                    host=receiver.host,
                    port=receiver.port,
                    ae_title=destination,
                    maximum_length=peer.maximum_length,
                )
            except OSError as error:
                fail(f"cannot listen on {receiver.host}:{receiver.port}: {with_names(str(error))}")
                return 1
            stack.enter_context(server)
            progress.tell(f"receiving as {destination} on {server.address}")
        result = ask(peer, query.model.move, request, retrieval.take, tell=retrieval.error)
        return retrieval.finish(result)
