"""What an association is to a service class user, whichever way it waits.

Not here: waiting (`blocking`, `aio`), the methods that wait (`scu`, `dul_fsm.aio`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeVar

from dul_fsm.association import Aborted, Association, Origin, Rejected, Released
from dul_fsm.dimse import CEchoRQ, CFindRQ, CStoreRQ, Request, SourceLike
from dul_fsm.drivers.loop import End
from dul_fsm.errors import (
    AssociationAborted,
    AssociationError,
    AssociationRejected,
    AssociationReleased,
    AssociationTimeout,
    TransportFailed,
)
from dul_fsm.negotiation import AcceptedContext, ContextLike, build_request
from dul_fsm.pdu import AAssociateAC, UserIdentityRQ
from dul_fsm.services.handler import Handler
from dul_fsm.services.performer import Performer
from dul_fsm.services.sop_classes import VERIFICATION
from dul_fsm.transports import TCP

DEFAULT_CALLING_AE_TITLE = "DUL-FSM"
DEFAULT_CALLED_AE_TITLE = "ANY-SCP"

C = TypeVar("C")


class Invocation(NamedTuple):
    """An operation to invoke."""

    context: AcceptedContext
    request: Request
    data: SourceLike | None = None


class Requestor:
    """The half of an SCU's association that does not wait."""

    def __init__(
        self, association: Association, handler: Handler, clock: Callable[[], float]
    ) -> None:
        self._clock = clock
        self._association = association
        self._performer = Performer(association, handler, clock)

    # What was agreed ----------------------------------------------------------------------------

    @property
    def contexts(self) -> tuple[AcceptedContext, ...]:
        """The accepted presentation contexts."""
        return tuple(self._association.contexts.values())

    @property
    def answer(self) -> AAssociateAC:
        """The A-ASSOCIATE-AC."""
        answer = self._association.answer
        if answer is None:
            raise AssociationError("no association was established")
        return answer

    @property
    def established(self) -> bool:
        """Whether operations can be invoked."""
        return self._association.established

    def context_for(
        self, sop_class_uid: str, transfer_syntax: str | None = None
    ) -> AcceptedContext:
        """The accepted context for a SOP Class; raises `ContextNotAccepted`."""
        return self._association.context_for(sop_class_uid, transfer_syntax)

    def next_message_id(self) -> int:
        """A Message ID that is not in flight, 1 to 65535."""
        return self._association.operations.next_message_id()

    # What is requested --------------------------------------------------------------------------

    def _request(
        self,
        *,
        contexts: Iterable[ContextLike],
        calling_ae_title: str,
        called_ae_title: str,
        roles: Mapping[str, tuple[bool, bool]] | None,
        user_identity: UserIdentityRQ | None,
    ) -> None:
        request = build_request(
            contexts,
            called_ae_title=called_ae_title,
            calling_ae_title=calling_ae_title,
            maximum_length=self._association.maximum_length,
            roles=roles,
            user_identity=user_identity,
        )
        self._association.send_associate_request(request, self._clock())

    def _echo(self) -> Invocation:
        context = self.context_for(VERIFICATION)
        return Invocation(context, CEchoRQ(VERIFICATION, self.next_message_id()))

    def _store(
        self,
        sop_class_uid: str,
        sop_instance_uid: str,
        transfer_syntax: str,
        data: SourceLike,
        priority: int,
    ) -> Invocation:
        context = self.context_for(sop_class_uid, transfer_syntax)
        request = CStoreRQ(
            affected_sop_class_uid=sop_class_uid,
            message_id=self.next_message_id(),
            priority=priority,
            affected_sop_instance_uid=sop_instance_uid,
        )
        return Invocation(context, request, data)

    def _find(self, sop_class_uid: str, identifier: bytes, priority: int) -> Invocation:
        context = self.context_for(sop_class_uid)
        request = CFindRQ(
            affected_sop_class_uid=sop_class_uid,
            message_id=self.next_message_id(),
            priority=priority,
        )
        return Invocation(context, request, identifier)


def endpoint_of(peer: str | C, port: int | None) -> TCP | C:
    """What `associate` was told to connect to. Raises `ValueError` for half of it."""
    if isinstance(peer, str):
        if port is None:
            raise ValueError("a host needs a port: associate('127.0.0.1', 11112)")
        return TCP(peer, port)
    if port is not None:
        raise ValueError("a port goes with a host name, not with a connector")
    return peer


def failure(end: End) -> AssociationError:
    """The exception that says how an association ended."""
    match end:
        case Rejected(result, source, reason, text):
            return AssociationRejected(result, source, reason, f"association rejected: {text}")
        case Released():
            return AssociationReleased("the association was released")
        case Aborted(origin, reason, text):
            kind = {Origin.TRANSPORT: TransportFailed, Origin.TIME_LIMIT: AssociationTimeout}
            said = f"association aborted by {origin.value}: {text}"
            return kind.get(origin, AssociationAborted)(text if origin in kind else said, reason)
