"""`dul-fsm find`: what a peer has, or has planned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dul_fsm.cli.asking import Asked, Peer, ask
from dul_fsm.cli.explain import fail
from dul_fsm.cli.matches import printer
from dul_fsm.dimse import StatusCategory, category
from dul_fsm.errors import DataSetError

if TYPE_CHECKING:
    from dul_fsm.association import Message
    from dul_fsm.drivers.invocations import Invocation
    from dul_fsm.scu import SCUAssociation


def find(peer: Peer, query: Asked, *, form: str, maximum: int | None) -> int:
    """Ask, print the matches, and at most `maximum` of them; the exit status."""
    out = printer(form, query.keys)
    count = unreadable = 0

    def request(association: SCUAssociation) -> Invocation:
        return association.find_request(query.model.find, query.identifier)

    def take(message: Message) -> bool:
        nonlocal count, unreadable
        if category(message.status) is not StatusCategory.PENDING:
            return True
        try:
            out.match(message.decode())
        except DataSetError as error:
            unreadable += 1
            fail(f"a match cannot be read: {error}")
        count += 1
        return count != maximum

    result = 1
    try:
        result = ask(peer, query.model.find, request, take)
    finally:
        out.end(complete=result == 0 and count != maximum)
    if count == maximum:
        fail(f"cancelled after {count}, as --max says")
    return result or (1 if unreadable else 0)
