"""The C-STORE sub-operations of a C-GET or a C-MOVE (PS3.4 §C.4.2, §C.4.3).

Rules:

- One instance at a time, one response for each: how many remain, were completed, failed, or were
  completed with a warning. The last response lists the instances that failed.
- A C-GET sends on the association it came on, a C-MOVE on one of its own, which it opens. That is
  over TLS if the C-MOVE was, unless its `Destination` says that it may be in clear.
- What goes wrong with one instance costs the others nothing, as long as they can be sent at all.
- What is taken from a handler is closed, and an association that was opened is ended, whatever
  happens.

Not here: what is to be retrieved and where a destination is (the handler).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence, Sized
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from dul_fsm.association import Association, Operation
from dul_fsm.dimse import (
    CGetRQ,
    CMoveRQ,
    CStoreRQ,
    Priority,
    StatusCategory,
    category,
    status,
)
from dul_fsm.dimse.data_set import failed_instances
from dul_fsm.errors import ContextNotAccepted
from dul_fsm.negotiation import MAXIMUM_CONTEXTS, AcceptedContext, ContextLike, build_request
from dul_fsm.services.handler import AbortAssociation
from dul_fsm.services.outcomes import Destination, Instance, Retrieval
from dul_fsm.services.steps import TURN, Run, Steps, Wait

if TYPE_CHECKING:
    from dul_fsm.services.performance import Performance

_NOT_SECURE = "the move destination is not reached over TLS, as this association is"

_MOST = 0xFFFF
"""The largest number of sub-operations that a response can state (PS3.7 §9.3.3.2): US."""

Outcome = Generator[Any, Any, "int | None"]


def answered(association: Association, operation: Operation) -> bool:
    """Whether an operation of ours is over, and its data set its owner's again."""
    # A peer that releases while we wait will not answer any more.
    over = bool(operation.responses) or not association.established
    return over and not association.lends(operation)


def has_room(association: Association) -> bool:
    """Whether a request can be sent, or never will be."""
    return not association.established or not association.operations.full


class Retrieve:
    """The sub-operations of one request."""

    def __init__(self, performance: Performance) -> None:
        self._performance = performance
        self._remaining: int | None = None  # not known
        self._completed = 0
        self._warnings = 0
        self._failed: list[str] = []  # SOP Instance UIDs
        self._unreachable = False  # the destination, last time

    # C-GET --------------------------------------------------------------------------------------

    def get(self, outcome: object) -> Steps:
        """Send on this association what the handler has returned."""
        association = self._performance.association

        def send(instances: Iterator[Instance]) -> Steps:
            # A peer that releases in the middle wants no more of them.
            while (yield from self._may_go_on()) and association.established:
                instance = yield partial(next, instances, None)
                if instance is None:
                    break
                yield from self._store(instance, association, Wait)

        yield from self._take(self._begin(outcome), send)
        self._end()

    def _take(self, retrieval: Retrieval, send: Callable[[Iterator[Instance]], Steps]) -> Steps:
        """Let `send` take the instances, and close what they come from."""
        instances = iter((yield lambda: retrieval.instances))
        failure: Exception | None = None
        try:
            yield from send(instances)
        except Exception as error:
            failure = error
        close = getattr(instances, "close", None)
        if close is not None:
            yield close
        if failure is not None:
            raise failure

    # C-MOVE -------------------------------------------------------------------------------------

    def move(self, request: CMoveRQ) -> Steps:
        """Ask where to and what, and send it there."""
        performance = self._performance
        handler, respond = performance.handler, performance.respond
        destination = yield partial(handler.move_destination, request.move_destination)
        if destination is None:
            respond(status.MOVE_DESTINATION_UNKNOWN, comment="the move destination is not known")
            return
        if performance.secure and not (destination.clear or is_secure(destination.connector)):
            respond(status.UNABLE_TO_PERFORM_SUBOPERATIONS, comment=_NOT_SECURE)
            return
        outcome = yield partial(handler.c_move_requested, performance.message)
        if isinstance(outcome, int):
            respond(outcome)
            return
        retrieval = self._begin(outcome)
        if retrieval.contexts is not None:
            yield from self._take(retrieval, partial(self._send, destination, retrieval.contexts))
        else:
            everything: list[Instance] = []

            def collect(instances: Iterator[Instance]) -> Steps:
                while (yield from self._may_go_on()):
                    instance = yield partial(next, instances, None)
                    if instance is None:
                        break
                    everything.append(instance)

            yield from self._take(retrieval, collect)
            if not performance.cancelled:  # else they are not all of them
                self._remaining = len(everything)
            for contexts, batch in batches(everything):
                yield from self._send(destination, contexts, iter(batch))
        self._end()

    def _send(
        self, destination: Destination, contexts: Sequence[ContextLike], instances: Iterator[Any]
    ) -> Steps:
        """Send to a destination; once more if an association breaks that something came through."""
        while (yield from self._may_go_on()):
            association = self._open(destination, contexts)
            run = partial(Run, association, destination.connector)
            yield run(partial(_settled, association))
            came_through = self._completed + self._warnings
            self._unreachable = not (association.established or came_through)
            try:
                answers = yield from self._send_over(association, run, instances)
            except Exception as error:
                association.send_abort(self._performance.clock(), str(error))
                yield run(_never)
                raise
            if association.established:
                association.send_release_request(self._performance.clock())
                yield run(_never)
                return
            yield run(_never)
            if not answers:
                break
        while (yield from self._may_go_on()):
            instance = yield partial(next, instances, None)
            if instance is None:
                return
            self._count(instance, None)

    def _send_over(
        self, association: Association, run: Callable[[Any], Run], instances: Iterator[Any]
    ) -> Generator[Any, Any, int]:
        """Send while the association is there; returns how many were answered."""
        answers = 0
        while association.established and (yield from self._may_go_on()):
            instance = yield partial(next, instances, None)
            if instance is None:
                break
            outcome = yield from self._store(instance, association, run)
            answers += outcome is not None
        return answers

    def _open(self, destination: Destination, contexts: Sequence[ContextLike]) -> Association:
        mine, clock = self._performance.association, self._performance.clock
        called = "" if mine.request is None else mine.request.called_ae_title
        association = Association(
            requestor=True, maximum_length=mine.maximum_length, time_limits=mine.time_limits
        )
        request = build_request(
            contexts,
            called_ae_title=destination.called_ae_title,
            calling_ae_title=destination.calling_ae_title or called,
            maximum_length=mine.maximum_length,
        )
        association.send_associate_request(request, clock())
        return association

    # Sub-operations -----------------------------------------------------------------------------

    def _begin(self, outcome: object) -> Retrieval:
        if not isinstance(outcome, Retrieval):
            outcome = Retrieval(cast("Iterable[Instance]", outcome))
        self._remaining = outcome.total
        if self._remaining is None and isinstance(outcome.instances, Sized):
            self._remaining = len(outcome.instances)
        return outcome

    def _may_go_on(self) -> Generator[Any, Any, bool]:
        yield TURN  # the response before leaves, and a C-CANCEL may come
        return not (self._performance.cancelled or self._performance.association.ended)

    def _store(
        self, instance: Instance, association: Association, wait: Callable[[Any], Wait | Run]
    ) -> Outcome:
        """Send one instance, count what became of it and say so; None if there was no answer."""
        outcome: int | None = None
        if not has_room(association):  # another operation's request awaits its response
            yield wait(partial(has_room, association))
        try:
            context = context_for(instance, association)
            opened = yield partial(instance.open, context.transfer_syntax)
            with opened as data:
                operation = association.send_request(
                    context, self._request(instance, association), data
                )
                yield wait(partial(answered, association, operation))
                if operation.responses:
                    outcome = operation.responses.popleft().message.status
        except AbortAssociation:
            raise
        except Exception as error:
            self._performance.report(error)
        self._count(instance, outcome)
        if self._remaining != 0:  # else the final response says it
            self._performance.respond(status.PENDING, **self._numbers())
        return outcome

    def _request(self, instance: Instance, association: Association) -> CStoreRQ:
        performance = self._performance
        request = performance.request
        moves = isinstance(request, CMoveRQ)
        return CStoreRQ(
            affected_sop_class_uid=instance.sop_class_uid,
            message_id=association.operations.next_message_id(),
            priority=getattr(request, "priority", Priority.MEDIUM),
            affected_sop_instance_uid=instance.sop_instance_uid,
            move_originator_application_entity_title=self._originator() if moves else None,
            move_originator_message_id=request.message_id if moves else None,
        )

    def _originator(self) -> str | None:
        request = self._performance.association.request
        return None if request is None else request.calling_ae_title

    def _count(self, instance: Instance, outcome: int | None) -> None:
        kind = StatusCategory.FAILURE if outcome is None else category(outcome)
        if kind is StatusCategory.SUCCESS:
            self._completed += 1
        elif kind is StatusCategory.WARNING:
            self._warnings += 1
        else:
            self._failed.append(instance.sop_instance_uid)
        if self._remaining:
            self._remaining -= 1

    def _numbers(self) -> dict[str, Any]:
        remaining = self._remaining
        return {
            "number_of_remaining_suboperations": remaining and min(remaining, _MOST),
            "number_of_completed_suboperations": min(self._completed, _MOST),
            "number_of_failed_suboperations": min(len(self._failed), _MOST),
            "number_of_warning_suboperations": min(self._warnings, _MOST),
        }

    def _end(self) -> None:
        """The last response: how all of it went."""
        performance, numbers = self._performance, self._numbers()
        outcome, comment = status.SUCCESS, ""
        # Who releases in the middle of a C-GET cancels it.
        released = (
            isinstance(performance.request, CGetRQ) and not performance.association.established
        )
        if (performance.cancelled or released) and self._remaining != 0:
            outcome = status.CANCEL
        else:
            del numbers["number_of_remaining_suboperations"]  # PS3.4 §C.4.2.1.6: not in the others
            # PS3.4 §C.4.2.3.1, §C.4.3.3: a failure if all were unsuccessful, else a warning if any
            # was, or had a warning.
            if self._unreachable or (self._failed and not self._completed + self._warnings):
                outcome = status.UNABLE_TO_PERFORM_SUBOPERATIONS
            elif self._failed or self._warnings:
                outcome = status.SUBOPERATIONS_WITH_FAILURES
            if self._unreachable:
                comment = "the move destination cannot be reached"
        data = failed_instances(self._failed) if self._failed else None
        performance.respond(outcome, data, comment=comment, **numbers)


def _settled(association: Association) -> bool:
    return association.established or association.ended


def _never() -> bool:
    return False


def context_for(instance: Instance, association: Association) -> AcceptedContext:
    """The context on which an instance can be sent, the transfer syntax that it is in first.

    Raises `ContextNotAccepted` if there is none.
    """
    refused: ContextNotAccepted | None = None
    for transfer_syntax in instance.transfer_syntaxes:
        try:
            return association.context_for(instance.sop_class_uid, transfer_syntax)
        except ContextNotAccepted as error:
            refused = refused or error
    raise refused or ContextNotAccepted(f"{instance.sop_class_uid} has no transfer syntax")


def batches(
    instances: Iterable[Instance],
) -> Iterator[tuple[tuple[ContextLike, ...], list[Instance]]]:
    """Instances in their order, with the contexts they need: as many as one association has."""
    contexts: dict[tuple[str, tuple[str, ...]], None] = {}
    batch: list[Instance] = []
    for instance in instances:
        # One for each transfer syntax: of several in one context the acceptor takes only one.
        needed: dict[tuple[str, tuple[str, ...]], None] = {
            (instance.sop_class_uid, (uid,)): None for uid in instance.transfer_syntaxes
        }
        if len(contexts | needed) > MAXIMUM_CONTEXTS:
            yield tuple(contexts), batch
            contexts, batch = {}, []
        contexts |= needed
        batch.append(instance)
    if batch:
        yield tuple(contexts), batch


def is_secure(connector: object) -> bool:
    """Whether what is sent over a connector is encrypted on its way."""
    return getattr(connector, "secure", False) is True
