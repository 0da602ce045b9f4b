"""Performs one request of the peer's: asks the handler, and answers (PS3.7 §9.1, §10.1).

Rules:

- What was not negotiated is refused before a handler sees it: role, SOP Class.
- Every request is answered, once, whatever the handler does; unless the association ends.
- Matches and sub-operations give up their turn between two of them: what was made leaves, and a
  C-CANCEL is heard.

Not here: sub-operations (`retrieve`), associations (`performer`).
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, cast

from dul_fsm.association import Association, Message
from dul_fsm.dimse import (
    CEchoRQ,
    CFindRQ,
    CGetRQ,
    CMoveRQ,
    CommandField,
    CStoreRQ,
    NActionRQ,
    NCreateRQ,
    NEventReportRQ,
    OutgoingMessage,
    Request,
    Response,
    SourceLike,
    respond_to,
    status,
)
from dul_fsm.dimse.data_set import encode_data_set, is_data_set
from dul_fsm.errors import ContextNotAccepted, DULError, LocalProtocolError
from dul_fsm.negotiation import AcceptedContext
from dul_fsm.services.handler import AbortAssociation, Handler
from dul_fsm.services.outcomes import DataSetLike, Notification, Pending, Reply
from dul_fsm.services.retrieve import Retrieve, answered, has_room
from dul_fsm.services.sop_classes import (
    UNIFIED_PROCEDURE_STEP,
    UNIFIED_PROCEDURE_STEP_EVENT,
    stands_for_others,
)
from dul_fsm.services.steps import TURN, Steps, Wait

_METHODS = {
    CommandField.C_ECHO_RQ: "c_echo_requested",
    CommandField.C_STORE_RQ: "c_store_requested",
    CommandField.C_FIND_RQ: "c_find_requested",
    CommandField.C_GET_RQ: "c_get_requested",
    CommandField.C_MOVE_RQ: "c_move_requested",
    CommandField.N_EVENT_REPORT_RQ: "n_event_report_requested",
    CommandField.N_GET_RQ: "n_get_requested",
    CommandField.N_SET_RQ: "n_set_requested",
    CommandField.N_ACTION_RQ: "n_action_requested",
    CommandField.N_CREATE_RQ: "n_create_requested",
    CommandField.N_DELETE_RQ: "n_delete_requested",
}
"""What a handler performs each request with."""

_COMPOSITE = (CEchoRQ, CStoreRQ, CFindRQ, CGetRQ, CMoveRQ)
"""The requests of PS3.7 §9."""

_NO_ROOM = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


def status_of(error: BaseException) -> int:
    """The status of an operation that failed with `error`: one of ours may say, as its `status`;
    no room left is A700H; else 0110H."""
    said = getattr(error, "status", None)
    if isinstance(error, DULError) and isinstance(said, int):
        return said
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


class Performance:
    """One request, from when its command set has arrived until it is answered."""

    def __init__(
        self,
        association: Association,
        handler: Handler,
        message: Message,
        clock: Callable[[], float],
        *,
        cancelled: set[Message],
        report: Callable[[BaseException], None],
        secure: bool,
    ) -> None:
        """`cancelled`: the requests that the peer has cancelled. `report` is told what went wrong
        with a sub-operation or a notification. `secure`: whether the association is over TLS."""
        self.association = association
        self.handler = handler
        self.message = message
        self.request = cast(Request, message.command)
        self.clock = clock
        self.report = report
        self.secure = secure
        self._cancelled = cancelled
        self.refused = refusal(message)
        """Why it may not reach the handler: a status, or None if it may."""
        self._ask = partial(getattr(handler, _METHODS[self.request.command_field]), message)
        self._expected: tuple[Response, OutgoingMessage] | None = None

    def expect_success(self) -> None:
        """Make the answer that an image gets if all goes well, while it arrives.

        When it has, the peer waits.
        """
        if isinstance(self.request, CStoreRQ):
            response = respond_to(self.request, status.SUCCESS)
            self._expected = response, self.association.make_response(self.message, response)

    @property
    def cancelled(self) -> bool:
        """Whether the peer has cancelled it."""
        return self.message in self._cancelled

    def perform(self) -> Steps:
        """Ask the handler, and answer. Raises what the handler does: then it is not answered."""
        if self.refused is not None:
            self.respond(self.refused)
            return
        request = self.request
        if isinstance(request, CMoveRQ):
            yield from Retrieve(self).move(request)
            return
        outcome = yield self._ask
        if isinstance(outcome, int):
            self.respond(outcome)
        elif isinstance(request, CFindRQ):
            yield from self._find(outcome)
        elif isinstance(request, CGetRQ):
            yield from Retrieve(self).get(outcome)
        elif isinstance(outcome, Reply):
            self._reply(outcome)
            yield from self._notify(outcome.notifications)
        else:
            raise TypeError(f"{_METHODS[request.command_field]} returned {outcome!r}")

    def fail(self, error: Exception) -> None:
        """Answer that `error` happened, if it was not answered before."""
        performing = self.association.operations.performing
        if performing.get(self.request.message_id) is self.message:
            self.respond(status_of(error), comment=comment_on(error))

    def respond(
        self, outcome: int, data: DataSetLike | None = None, *, comment: str = "", **values: Any
    ) -> None:
        """Send a response. Nothing happens if nothing can be sent any more."""
        if not self.association.can_respond:
            return  # the association ended while the handler worked: nobody is there to be told
        plain = data is None and not comment and not values
        if self._expected is not None and outcome == status.SUCCESS and plain:
            response, made = self._expected
            self.association.send_response(self.message, response, made=made)
            return
        source: SourceLike | None = None
        if data is not None:
            values["has_data_set"] = True
            source = encode(data, self.message.context)
        response = respond_to(self.request, outcome, comment=comment, **values)
        self.association.send_response(self.message, response, source)

    def _reply(self, reply: Reply) -> None:
        request, values = self.request, dict(reply.fields)
        if isinstance(request, NCreateRQ):
            made = reply.sop_instance_uid or request.affected_sop_instance_uid
            if made is None and status.category(reply.status) is not status.StatusCategory.FAILURE:
                raise LocalProtocolError("the Reply to an N-CREATE names the instance it has made")
            values["affected_sop_instance_uid"] = made
        if reply.data is not None:
            # PS3.7 §10.3.1, §10.3.4: the type goes with the reply.
            if isinstance(request, NEventReportRQ):
                values["event_type_id"] = request.event_type_id
            elif isinstance(request, NActionRQ):
                values["action_type_id"] = request.action_type_id
        self.respond(reply.status, reply.data, comment=reply.comment, **values)

    def _find(self, outcome: object) -> Steps:
        """Pending responses as the handler makes them, until it ends or the peer cancels."""
        matches: Iterator[DataSetLike | Pending] = iter(
            cast(Iterable["DataSetLike | Pending"], outcome)
        )
        failure: Exception | None = None
        final = status.SUCCESS
        try:
            while True:
                yield TURN  # the match before leaves, and a C-CANCEL may come
                if self.association.ended:
                    break
                if self.cancelled:
                    final = status.CANCEL
                    break
                match = yield partial(next, matches, None)
                if match is None:
                    break
                if not isinstance(match, Pending):
                    match = Pending(match)
                self.respond(match.status, match.identifier)
        except Exception as error:
            failure = error
        # Before the final response: what the iterator holds is free when the peer hears of it.
        close = getattr(matches, "close", None)
        if close is not None:
            yield close
        if failure is not None:
            raise failure
        self.respond(final)

    # Notifications ------------------------------------------------------------------------------

    def _notify(self, notifications: Iterable[Notification]) -> Steps:
        """Send N-EVENT-REPORTs, once the response has left, each when the last was answered."""
        pending: Iterator[Notification] = iter(notifications)
        abort: AbortAssociation | None = None
        while True:
            yield TURN
            notification = yield partial(next, pending, None)
            if notification is None:
                break
            # What goes wrong with one costs the others nothing: each is told what became of it.
            outcome: int | None = None
            try:
                if abort is None:
                    outcome = yield from self._send(notification)
            except Exception as error:
                self.report(error)
            try:
                yield partial(notification.responded, outcome)
            except AbortAssociation as error:
                abort = abort or error
            except Exception as error:
                self.report(error)
        if abort is not None:
            raise abort

    def _send(self, notification: Notification) -> Generator[Any, Any, int | None]:
        association = self.association
        if not association.established:
            return None
        try:
            context = self._context_for(notification.sop_class_uid)
        except ContextNotAccepted:
            return None
        data = encode(notification.information, context)
        request = NEventReportRQ(
            affected_sop_class_uid=notification.sop_class_uid,
            message_id=association.operations.next_message_id(),
            affected_sop_instance_uid=notification.sop_instance_uid,
            event_type_id=notification.event_type_id,
            has_data_set=data is not None,
        )
        if not has_room(association):
            yield Wait(partial(has_room, association))
            if not association.established:
                return None
        operation = association.send_request(context, request, data)
        yield Wait(partial(answered, association, operation))
        if not operation.responses:
            return None
        return operation.responses.popleft().message.status

    def _context_for(self, sop_class_uid: str) -> AcceptedContext:
        """The context for a notification; raises `ContextNotAccepted` if there is none."""
        mine, context_for = self.message.context, self.association.context_for
        if mine.abstract_syntax.startswith(UNIFIED_PROCEDURE_STEP):
            # PS3.4 §CC.2.4: events have a SOP Class of their own.
            with suppress(ContextNotAccepted):
                return context_for(UNIFIED_PROCEDURE_STEP_EVENT, as_scp=True)
        if mine.scp and (
            sop_class_uid == mine.abstract_syntax or stands_for_others(mine.abstract_syntax)
        ):
            return mine
        return context_for(sop_class_uid, as_scp=True)


def encode(data: DataSetLike | None, context: AcceptedContext) -> SourceLike | None:
    """A data set in a context's transfer syntax. Raises `DataSetError` if it has none."""
    return encode_data_set(data, context.transfer_syntax) if is_data_set(data) else data


def refusal(message: Message) -> int | None:
    """Why a request may not reach a handler: a status, or None if it may.

    The role and the SOP Class are those that were negotiated for the context (PS3.7 §D.3.3.4).
    """
    command, context = message.command, message.context
    composite = isinstance(command, _COMPOSITE)
    not_supported = status.SOP_CLASS_NOT_SUPPORTED if composite else status.NO_SUCH_SOP_CLASS
    # PS3.7 §7.2: notifications go the other way, from the SCP to the SCU.
    if not (context.scu if isinstance(command, NEventReportRQ) else context.scp):
        return not_supported
    if not composite and stands_for_others(context.abstract_syntax):
        return None
    sop_class_uid = getattr(command, "affected_sop_class_uid", None) or getattr(
        command, "requested_sop_class_uid", None
    )
    return None if sop_class_uid == context.abstract_syntax else not_supported
