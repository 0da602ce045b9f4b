"""Runs a `Handler` on the events of an association: the protocol around what an AE performs.

`perform` is a generator, so that one text serves every driver: it yields what is to be called and
is sent what came of it. A blocking driver calls, an asyncio one may await; neither decides.
Yielding `TURN` asks the driver to send and receive what it can without waiting.

Not here: waiting, sending (`drivers`); what an operation means (the handler).
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from typing import Any, Final, TypeAlias, cast

from dul_fsm.association import (
    Aborted,
    AssociateRequested,
    Association,
    CancelRequested,
    CommandReceived,
    DataReceived,
    Event,
    Memory,
    Message,
    Released,
    ReleaseRequested,
    RequestReceived,
    ResponseReceived,
)
from dul_fsm.dimse import (
    CEchoRQ,
    CFindRQ,
    CStoreRQ,
    NEventReportRQ,
    Request,
    respond_to,
    status,
)
from dul_fsm.errors import DULError
from dul_fsm.negotiation import build_answer
from dul_fsm.pdu import (
    DICOM_APPLICATION_CONTEXT_NAME,
    AAssociateRQ,
    RejectReasonUser,
    RejectResult,
    RejectSource,
)
from dul_fsm.services.handler import AbortAssociation, Accept, Handler, Pending, Reject

Call: TypeAlias = Callable[[], Any]
TURN: Final = None
"""Yielded to let the driver send and receive what it can now."""

Steps: TypeAlias = Generator[Call | None, Any, None]

_NOT_NOW = Reject(
    RejectResult.REJECTED_TRANSIENT,
    RejectSource.SERVICE_USER,
    RejectReasonUser.NO_REASON_GIVEN,
)
_NO_ROOM = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


def status_of(error: BaseException) -> int:
    """The status of an operation that failed with `error`: no room left is A700H, else 0110H."""
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return status.OUT_OF_RESOURCES
    return status.PROCESSING_FAILURE


def comment_on(error: BaseException) -> str:
    """What a peer is told about `error`: what was said on purpose, and why a file failed.

    Never the text of any other exception, nor a path: they may name a patient.
    """
    if isinstance(error, OSError):
        return error.strerror or ""
    return str(error) if isinstance(error, DULError) else ""


class Performer:
    """One handler on one association."""

    def __init__(
        self,
        association: Association,
        handler: Handler,
        clock: Callable[[], float],
        admit: Callable[[AAssociateRQ], Reject | None] = lambda request: None,
        report: Callable[[BaseException], None] = lambda error: None,
    ) -> None:
        """`admit` may reject an association before the handler is asked; `report` is told what a
        handler raised, for a log: the peer is told a status, and no more than `comment_on` says."""
        self._association = association
        self._handler = handler
        self._clock = clock
        self._admit = admit
        self._report = report
        self._cancelled: set[int] = set()
        self._failures: dict[Message, Exception] = {}
        self._held: set[Message] = set()  # with a data set, and not performed yet

    # Fragments arrive by the thousand: they go straight to the sink, without a generator.
    def take(self, event: DataReceived) -> None:
        """Write a fragment to its sink; a failure is kept for the response. Raises nothing."""
        message = event.message
        if message.sink is None:
            return
        try:
            message.sink.write(event.fragment)
        except Exception as error:
            self._fail(message, error)

    def _fail(self, message: Message, error: Exception) -> None:
        if not isinstance(error, AbortAssociation):
            self._report(error)
        self._failures[message] = error
        self._drop(message)

    def _drop(self, message: Message) -> None:
        """Let a sink undo what it holds: its data set will not be used."""
        discard = getattr(message.sink, "discard", None)
        message.sink = None
        if discard is not None:
            try:
                discard()
            except Exception as error:
                self._report(error)

    def _tell(self, call: Call) -> Steps:
        """Tell the handler something to which there is no answer."""
        try:
            yield call
        except Exception as error:
            self._report(error)

    def _abort(self, error: Exception) -> None:
        self._association.send_abort(self._clock(), str(error) or "aborted by the handler")

    def perform(self, event: Event) -> Steps:
        """Do what `event` asks for."""
        match event:
            case DataReceived():
                self.take(event)
            case CommandReceived(message):
                yield from self._open(message)
            case RequestReceived(message):
                yield from self._request(message)
            case CancelRequested(message_id):
                self._cancelled.add(message_id)
            case AssociateRequested(request):
                yield from self._associate(request)
            case ReleaseRequested():
                # A release cannot be refused (PS3.8 §7.2).
                if not self._association.ended:
                    self._association.send_release_response(self._clock())
            case ResponseReceived(message):
                self._held.discard(message)
                failure = self._failures.pop(message, None)
                if failure is not None:
                    # Half a response would pass for a whole one, and there is no way to refuse it.
                    self._abort(failure)
            case Released():
                self._abandon()
                yield TURN  # our answer leaves first: the handler may take its time
                yield from self._tell(partial(self._handler.released, event))
            case Aborted():
                self._abandon()
                yield TURN
                yield from self._tell(partial(self._handler.aborted, event))

    def _abandon(self) -> None:
        """What was not received whole, or not performed yet, will not be."""
        while self._held:
            self._drop(self._held.pop())

    def close(self) -> Steps:
        """The connection is gone: whatever sinks are open are dropped, the handler told."""
        self._abandon()
        yield from self._tell(self._handler.closed)

    def _associate(self, request: AAssociateRQ) -> Steps:
        self._handler.request = request
        decision: object = self._admit(request)
        if decision is None and request.application_context_name != DICOM_APPLICATION_CONTEXT_NAME:
            decision = Reject(reason=RejectReasonUser.APPLICATION_CONTEXT_NAME_NOT_SUPPORTED)
        try:
            if decision is None:
                decision = yield partial(self._handler.associate_requested, request)
            self._decide(request, decision)
        except AbortAssociation as error:
            self._abort(error)
        except Exception as error:
            self._report(error)
            self._decide(request, _NOT_NOW)

    def _decide(self, request: AAssociateRQ, decision: object) -> None:
        association = self._association
        if association.ended:
            return  # while the handler thought about it
        if isinstance(decision, Reject):
            association.send_associate_reject(
                decision.result, decision.source, decision.reason, self._clock()
            )
        elif isinstance(decision, Accept):
            identity = request.user_information.user_identity
            asked = identity is not None and identity.positive_response_requested
            answer = build_answer(
                request,
                decision.choose or self._handler.choose,
                maximum_length=association.maximum_length,
                roles=decision.roles,
                # PS3.7 §D.3.3.7.2: only to those who asked for it.
                user_identity_response=decision.user_identity_response if asked else None,
            )
            association.send_associate_accept(answer, self._clock())
        else:
            raise TypeError(f"associate_requested returned {decision!r}")

    def _open(self, message: Message) -> Steps:
        self._held.add(message)
        if not message.command.is_request:
            message.sink = Memory()
        elif refusal(message) is None:
            try:
                message.sink = yield partial(self._handler.open_sink, message)
            except AbortAssociation as error:
                self._abort(error)
            except Exception as error:
                self._fail(message, error)

    def _request(self, message: Message) -> Steps:
        """Perform one request and answer it, whatever happens."""
        self._held.discard(message)
        request = cast(Request, message.command)
        if self._association.ended:  # while another was performed
            self._drop(message)
            return
        refused = refusal(message)
        try:
            failure = self._failures.pop(message, None)
            if failure is not None:
                raise failure
            if refused is not None:
                self._respond(message, refused)
            elif isinstance(request, CEchoRQ):
                self._respond(message, (yield partial(self._handler.c_echo_requested, message)))
            elif isinstance(request, CStoreRQ):
                self._respond(message, (yield partial(self._handler.c_store_requested, message)))
            elif isinstance(request, CFindRQ):
                outcome = yield partial(self._handler.c_find_requested, message)
                yield from self._matches(message, request, outcome)
            else:
                self._respond(message, status.UNRECOGNIZED_OPERATION)
        except AbortAssociation as error:
            self._drop(message)
            self._abort(error)
        except Exception as error:
            if error is not failure:  # which was reported when it happened
                self._report(error)
            self._drop(message)
            self._respond(message, status_of(error), comment=comment_on(error))
        finally:
            self._cancelled.discard(request.message_id)

    def _matches(self, message: Message, request: Request, outcome: object) -> Steps:
        """Pending responses as the handler makes them, until it ends or the peer cancels."""
        if isinstance(outcome, int):
            self._respond(message, outcome)
            return
        matches: Iterator[bytes | Pending] = iter(cast(Iterable[bytes | Pending], outcome))
        failure: Exception | None = None
        final = status.SUCCESS
        try:
            while True:
                yield TURN  # the match before leaves, and a C-CANCEL may come
                if self._association.ended:
                    break
                if request.message_id in self._cancelled:
                    final = status.CANCEL
                    break
                match = yield partial(next, matches, None)
                if match is None:
                    break
                if not isinstance(match, Pending):
                    match = Pending(match)
                self._respond(message, match.status, match.identifier)
        except Exception as error:
            failure = error
        # Before the final response: what the iterator holds is free when the peer hears of it.
        close = getattr(matches, "close", None)
        if close is not None:
            yield close
        if failure is not None:
            raise failure
        self._respond(message, final)

    def _respond(
        self, message: Message, outcome: int, data: bytes | None = None, comment: str = ""
    ) -> None:
        if not self._association.can_respond:
            return  # the association ended while the handler worked: nobody is there to be told
        values = {} if data is None else {"has_data_set": True}
        request = cast(Request, message.command)
        response = respond_to(request, outcome, comment=comment, **values)
        self._association.send_response(message, response, data)


def refusal(message: Message) -> int | None:
    """Why a request may not reach a handler: a status, or None if it may.

    The role and the SOP Class are those that were negotiated for the context (PS3.7 §D.3.3.4).
    """
    command, context = message.command, message.context
    # PS3.7 §7.2: notifications go the other way, from the SCP to the SCU.
    if not (context.scu if isinstance(command, NEventReportRQ) else context.scp):
        return status.SOP_CLASS_NOT_SUPPORTED
    # The N-services name classes that the context's class only stands for (Meta SOP Classes).
    if (
        isinstance(command, CEchoRQ | CStoreRQ | CFindRQ)
        and command.affected_sop_class_uid != context.abstract_syntax
    ):
        return status.SOP_CLASS_NOT_SUPPORTED
    return None
