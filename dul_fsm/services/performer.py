"""Runs a `Handler` on the events of an association: the protocol around what an AE performs.

`perform` is a generator of `steps`, so that one text serves every driver. A blocking driver calls,
an asyncio one may await; neither decides.

Not here: waiting, sending (`drivers`); one operation (`performance`); what it means (the handler).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

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
from dul_fsm.negotiation import build_answer
from dul_fsm.pdu import (
    DICOM_APPLICATION_CONTEXT_NAME,
    AAssociateRQ,
    RejectReasonUser,
    RejectResult,
    RejectSource,
    UserIdentityAC,
)
from dul_fsm.services.handler import AbortAssociation, Handler
from dul_fsm.services.outcomes import Accept, Reject
from dul_fsm.services.performance import Performance
from dul_fsm.services.steps import SENT, TURN, Call, Steps, no_steps

_NOT_NOW = Reject(
    RejectResult.REJECTED_TRANSIENT,
    RejectSource.SERVICE_USER,
    RejectReasonUser.NO_REASON_GIVEN,
)


class Performer:
    """One handler on one association."""

    def __init__(
        self,
        association: Association,
        handler: Handler,
        clock: Callable[[], float],
        admit: Callable[[AAssociateRQ], Reject | None] = lambda request: None,
        report: Callable[[BaseException], None] = lambda error: None,
        secure: bool = False,
    ) -> None:
        """`admit` may reject an association before the handler is asked; `report` is told what a
        handler raised, for a log: the peer is told a status, and no more than `comment_on` says.
        `secure`: whether the association is over TLS."""
        self._association = association
        self._handler = handler
        self._clock = clock
        self._admit = admit
        self._report = report
        self._secure = secure
        # Most have nothing to do then, and need not give up their turn for it.
        self._tells_answered = type(handler).answered is not Handler.answered
        self._cancelled: set[Message] = set()  # requests
        self._failures: dict[Message, Exception] = {}
        # With a data set, and not performed yet; None for a response.
        self._held: dict[Message, Performance | None] = {}

    def take(self, events: Iterable[DataReceived]) -> None:
        """Write fragments to their sinks; a failure is kept for the response. Raises nothing.

        They arrive by the thousand, so no generator is asked for them.
        """
        for event in events:
            message = event.message
            if message.sink is not None:
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
        """Do what `event` asks for; or begin to, and return the steps that are left."""
        match event:
            case RequestReceived(message):
                return self.perform_request(message)
            case CommandReceived(message):
                return self._open(message)
            case ResponseReceived(message):
                self._held.pop(message, None)
                failure = self._failures.pop(message, None)
                if failure is not None:
                    # Half a response would pass for a whole one, and there is no way to refuse it.
                    self._abort(failure)
            case DataReceived():
                self.take((event,))
            case CancelRequested(message_id):
                cancelled = self._association.operations.performing.get(message_id)
                if cancelled is not None:  # else it was answered meanwhile
                    self._cancelled.add(cancelled)
            case AssociateRequested(request):
                return self._associate(request)
            case ReleaseRequested():
                # A release cannot be refused (PS3.8 §7.2).
                if not self._association.ended:
                    self._association.send_release_response(self._clock())
            case Released():
                return self._end(partial(self._handler.released, event))
            case Aborted():
                return self._end(partial(self._handler.aborted, event))
        return no_steps()

    def _end(self, tell: Call) -> Steps:
        self._abandon()
        yield TURN  # our answer leaves first: the handler may take its time
        yield from self._tell(tell)

    def _abandon(self) -> None:
        """What was not received whole, or not performed yet, will not be."""
        while self._held:
            self._drop(self._held.popitem()[0])

    def close(self) -> Steps:
        """The connection is gone: whatever sinks are open are dropped, the handler told."""
        self._abandon()
        yield from self._tell(self._handler.closed)

    def _associate(self, request: AAssociateRQ) -> Steps:
        self._handler.request = request
        decision: object = self._admit(request)
        if decision is None and request.application_context_name != DICOM_APPLICATION_CONTEXT_NAME:
            decision = Reject(reason=RejectReasonUser.APPLICATION_CONTEXT_NAME_NOT_SUPPORTED)
        identity = request.user_information.user_identity
        response: UserIdentityAC | None = None
        try:
            if decision is None and identity is not None:
                identified = yield partial(self._handler.user_identified, identity)
                if isinstance(identified, UserIdentityAC):
                    response = identified
                elif identified is not True:
                    decision = identified or Reject()
            if decision is None:
                decision = yield partial(self._handler.associate_requested, request)
            self._decide(request, decision, response)
        except AbortAssociation as error:
            self._abort(error)
        except Exception as error:
            self._report(error)
            self._decide(request, _NOT_NOW)

    def _decide(
        self, request: AAssociateRQ, decision: object, identified: UserIdentityAC | None = None
    ) -> None:
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
                roles=_offered(request) if decision.roles is None else decision.roles,
                window=self._handler.window if decision.window is None else decision.window,
                extended_negotiations=decision.extended_negotiations,
                # PS3.7 §D.3.3.7.2: only to those who asked for it.
                user_identity_response=(
                    decision.user_identity_response or identified if asked else None
                ),
            )
            association.send_associate_accept(answer, self._clock())
        else:
            raise TypeError(f"associate_requested returned {decision!r}")

    def _open(self, message: Message) -> Steps:
        if not message.command.is_request:
            self._held[message] = None
            message.sink = Memory()
            return
        performance = self._held[message] = self._performance(message)
        if performance.refused is None:
            try:
                message.sink = yield partial(self._handler.open_sink, message)
                performance.expect_success()
            except AbortAssociation as error:
                self._abort(error)
            except Exception as error:
                self._fail(message, error)

    def _performance(self, message: Message) -> Performance:
        return Performance(
            self._association,
            self._handler,
            message,
            self._clock,
            cancelled=self._cancelled,
            report=self._report,
            secure=self._secure,
        )

    def perform_request(self, message: Message) -> Steps:
        """Perform one request and answer it, whatever happens."""
        performance = self._held.pop(message, None) or self._performance(message)
        failure = self._failures.pop(message, None)
        if self._association.ended:  # while another was performed
            self._drop(message)
            return
        try:
            if failure is not None:
                raise failure
            yield from performance.perform()
        except AbortAssociation as error:
            self._drop(message)
            self._abort(error)
        except Exception as error:
            if error is not failure:  # which was reported when it happened
                self._report(error)
            self._drop(message)
            performance.fail(error)
        finally:
            self._cancelled.discard(message)
        if self._tells_answered:
            yield SENT
            if not self._association.ended:
                yield from self._tell(partial(self._handler.answered, message))


def _offered(request: AAssociateRQ) -> dict[str, tuple[bool, bool]]:
    offers = request.user_information.role_selections
    return {offer.sop_class_uid: (offer.scu, offer.scp) for offer in offers}
