"""What an association is to a service class user, whichever way it waits.

Rules
  * As many operations are in flight as were negotiated; whoever would invoke one more waits.
  * An operation that nobody waits for any more is given up: a C-CANCEL leaves if its service has
    one, and its responses are dropped when they come.
  * What the source of a data set raises is told to whoever invoked that operation, whoever sends.

Not here: the services (`service_user`), waiting (`blocking`, `aio`; `scu`, `dul_fsm.aio`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from dul_fsm.association import Aborted, Association, Operation, Origin, Rejected, Released
from dul_fsm.dimse import Source, as_source
from dul_fsm.dimse.sources import Buffer, BytesSource, lay_in_place
from dul_fsm.drivers.invocations import CANCELLABLE, Invocation, Invocations
from dul_fsm.drivers.loop import End
from dul_fsm.errors import (
    AssociationAborted,
    AssociationError,
    AssociationRejected,
    AssociationReleased,
    AssociationTimeout,
    TransportFailed,
)
from dul_fsm.negotiation import SYNCHRONOUS, AcceptedContext, ContextLike, Window, build_request
from dul_fsm.pdu import (
    AAssociateAC,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityRQ,
)
from dul_fsm.services.handler import Handler
from dul_fsm.services.performer import Performer
from dul_fsm.transports import TCP
from dul_fsm.value import value

DEFAULT_CALLING_AE_TITLE = "DUL-FSM"
DEFAULT_CALLED_AE_TITLE = "ANY-SCP"

SMALL = 65536
"""Bytes of a data set that leaves to its end though its operation was given up: a query's, say."""

C = TypeVar("C")


@value(kw_only=True)
class Proposal:
    """What a requestor proposes; the parameters of `associate`."""

    contexts: Sequence[ContextLike]
    calling_ae_title: str = DEFAULT_CALLING_AE_TITLE
    called_ae_title: str = DEFAULT_CALLED_AE_TITLE
    roles: Mapping[str, tuple[bool, bool]] | None = None
    window: Window = SYNCHRONOUS
    user_identity: UserIdentityRQ | None = None
    extended_negotiations: Sequence[SOPClassExtendedNegotiation] = ()
    common_extended_negotiations: Sequence[SOPClassCommonExtendedNegotiation] = ()


@value
class Implementation:
    """Which program the peer is (PS3.7 §D.3.3.2)."""

    class_uid: str | None
    """Implementation Class UID; None from a peer that does not say."""
    version_name: str | None
    """Implementation Version Name, at most 16 characters; None from a peer that does not say."""


class Requestor(Invocations):
    """The half of an SCU's association that does not wait."""

    def __init__(
        self, association: Association, handler: Handler, clock: Callable[[], float]
    ) -> None:
        super().__init__(association)
        self._clock = clock
        self._performer = Performer(association, handler, clock)
        self._given_up: list[Operation] = []  # without their C-CANCEL

    # What was agreed ----------------------------------------------------------------------------

    @property
    def contexts(self) -> tuple[AcceptedContext, ...]:
        """The accepted presentation contexts."""
        return tuple(self._association.contexts.values())

    @property
    def answer(self) -> AAssociateAC:
        """The A-ASSOCIATE-AC; `answer.user_information` is what the peer answered to the rest."""
        answer = self._association.answer
        if answer is None:
            raise AssociationError("no association was established")
        return answer

    @property
    def window(self) -> Window:
        """How many operations may be under way at once (PS3.7 §D.3.3.3)."""
        return self._association.window

    @property
    def peer_implementation(self) -> Implementation:
        """Which program the peer is."""
        said = self.answer.user_information
        return Implementation(said.implementation_class_uid, said.implementation_version_name)

    @property
    def established(self) -> bool:
        """Whether operations can be invoked."""
        return self._association.established

    # What is requested --------------------------------------------------------------------------

    def _request(self, proposal: Proposal) -> None:
        request = build_request(
            proposal.contexts,
            called_ae_title=proposal.called_ae_title,
            calling_ae_title=proposal.calling_ae_title,
            maximum_length=self._association.maximum_length,
            roles=proposal.roles,
            window=proposal.window,
            user_identity=proposal.user_identity,
            extended_negotiations=proposal.extended_negotiations,
            common_extended_negotiations=proposal.common_extended_negotiations,
        )
        self._association.send_associate_request(request, self._clock())

    def _has_room(self) -> bool:
        return not self._association.ended and not self._association.operations.full

    def _send(self, invocation: Invocation) -> Invoked:
        """Send a request; nobody else may send one in between `_has_room` and this."""
        context, request, data = invocation
        operations = self._association.operations
        if request.message_id in operations.invoked:
            request = replace(request, message_id=operations.next_message_id())
        source = None if data is None else as_source(data)
        watched: WatchedSource | None = None
        if source is not None and not isinstance(source, BytesSource):
            source = watched = WatchedSource(source)
        # Only `bytes` cannot change while they leave, whatever becomes of who invoked this.
        lent = source is not None and not (isinstance(data, bytes) and len(data) <= SMALL)
        return Invoked(self._association.send_request(context, request, source), watched, lent)

    def _give_up(self, invoked: Invoked) -> None:
        """Nobody waits for these responses any more. May be called at any time."""
        invoked.operation.responses = deque(maxlen=0)
        self._given_up.append(invoked.operation)

    def _cancel_given_up(self) -> None:
        """Send the C-CANCELs of what was given up."""
        while self._given_up:
            self._cancel(self._given_up.pop())

    def _cancel(self, operation: Operation) -> None:
        association, request = self._association, operation.request
        if isinstance(request, CANCELLABLE) and self._in_flight(operation):
            association.send_cancel(operation.context, request.message_id)

    def _is_answered(self, invoked: Invoked) -> bool:
        responses = invoked.operation.responses
        if not responses or not responses[-1].final:
            return False
        return not self._association.lends(invoked.operation)

    def _in_flight(self, operation: Operation) -> bool:
        request = operation.request
        return self._association.operations.invoked.get(request.message_id) is operation


class Invoked:
    """An operation of this side's."""

    __slots__ = ("lent", "operation", "source")

    def __init__(self, operation: Operation, source: WatchedSource | None, lent: bool) -> None:
        self.operation = operation
        self.source = source
        self.lent = lent
        """Whether its data set must have left before it can be given up."""

    @property
    def failure(self) -> BaseException | None:
        """What the source of its data set raised."""
        return None if self.source is None else self.source.failure


class WatchedSource:
    """A source that remembers what it raised: that may come out of another one's call."""

    __slots__ = ("_source", "failure")

    def __init__(self, source: Source) -> None:
        self._source = source
        self.failure: BaseException | None = None

    def next(self, limit: int) -> tuple[Buffer, bool]:
        """See `Source.next`."""
        try:
            return self._source.next(limit)
        except Exception as error:
            self.failure = error
            raise SourceFailed from error

    def in_place(self) -> None:
        """See `Source`."""
        lay_in_place(self._source)


class SourceFailed(Exception):
    """The source of a data set failed, which may be another operation's."""


class Answerable(Protocol):
    """An operation that somebody waits for, blocking or asyncio."""

    @property
    def answered(self) -> bool: ...


A = TypeVar("A", bound=Answerable)


def first_answered(operations: Iterable[A]) -> A | None:
    """The first that has its answer. It is asked for at each turn of the loop, so no generator."""
    for operation in operations:
        if operation.answered:
            return operation
    return None


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
