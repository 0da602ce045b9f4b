"""An acceptor that a test scripts: its own thread, its own loop, no handler."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from dul_fsm.association import (
    AssociateRequested,
    Association,
    CancelRequested,
    CommandReceived,
    DataReceived,
    Event,
    Memory,
    Message,
    ReleaseRequested,
    RequestReceived,
)
from dul_fsm.dimse import Request, respond_to
from dul_fsm.negotiation import Window, build_answer
from dul_fsm.services.sop_classes import choose_any
from dul_fsm.transports import Connector, Transport
from dul_fsm.upper_layer import CloseTransport
from tests.drivers.support import PATIENCE, Background

Script = Callable[["Acceptor", Event], None]


class Acceptor:
    """Accepts one association and grants what is proposed; the script does the rest."""

    def __init__(self, endpoint: Connector, script: Script) -> None:
        self.association = Association(requestor=False)
        self.events: list[Event] = []
        self.most = 0
        """Requests that were in flight at once, at most."""
        self._script = script
        self._listener = endpoint.listen()
        self._thread = Background(self._run)

    def join(self) -> None:
        """Wait for its end, and raise what the script raised."""
        self._thread.join()
        if self._thread.error is not None:
            raise self._thread.error

    def respond(self, message: Message, status: int = 0, data: bytes | None = None) -> None:
        """Respond to a request."""
        assert isinstance(message.command, Request)
        values: dict[str, Any] = {} if data is None else {"has_data_set": True}
        response = respond_to(message.command, status, **values)
        self.association.send_response(message, response, data)

    def _run(self) -> None:
        transport = self._listener.accept()
        association = self.association
        by = time.monotonic() + PATIENCE
        association.transport_opened(time.monotonic())
        try:
            while not association.idle and time.monotonic() < by:
                while (event := association.next_event()) is not None:
                    self._take(event, transport)
                while buffers := association.data_to_send():
                    try:
                        count = transport.send(buffers, PATIENCE)
                    except OSError:
                        association.transport_closed(time.monotonic())
                        break
                    association.data_sent(count, time.monotonic())
                if association.idle:
                    break
                try:
                    count = transport.receive_into(association.receive_buffer(), PATIENCE)
                except OSError:
                    count = 0
                if count:
                    association.buffer_filled(count, time.monotonic())
                else:
                    association.transport_closed(time.monotonic())
        finally:
            transport.close()
            self._listener.close()

    def _take(self, event: Event, transport: Transport) -> None:
        association = self.association
        if isinstance(event, DataReceived):
            assert event.message.sink is not None
            event.message.sink.write(event.fragment)
            return
        self.events.append(event)
        self.most = max(self.most, len(association.operations.performing))
        match event:
            case AssociateRequested(request):
                answer = build_answer(
                    request,
                    choose_any(lambda uid: True),
                    maximum_length=association.maximum_length,
                    roles={
                        role.sop_class_uid: (role.scu, role.scp)
                        for role in request.user_information.role_selections
                    },
                    window=Window(0, 0),
                )
                association.send_associate_accept(answer, time.monotonic())
            case ReleaseRequested():
                association.send_release_response(time.monotonic())
            case CommandReceived(message):
                message.sink = Memory()
            case CloseTransport():
                transport.close()
        self._script(self, event)


def in_batches(total: int, size: int, seed: int = 0) -> Script:
    """Answer `total` requests in a random order, `size` of them at once, or all that are left.

    The status is B000H and the number of the Message ID.
    """
    shuffle = random.Random(seed).shuffle
    waiting: list[Message] = []
    answered = 0

    def script(acceptor: Acceptor, event: Event) -> None:
        nonlocal answered
        if not isinstance(event, RequestReceived):
            return
        waiting.append(event.message)
        if len(waiting) == min(size, total - answered):
            shuffle(waiting)
            answered += len(waiting)
            for message in waiting:
                assert isinstance(message.command, Request)
                acceptor.respond(message, 0xB000 + message.command.message_id)
            waiting.clear()

    return script


def until_cancelled(acceptor: Acceptor, event: Event) -> None:
    """A query has one match at once, and no end before a C-CANCEL; all else succeeds at once."""
    if isinstance(event, RequestReceived):
        if event.message.command.name.startswith(("C-FIND", "C-GET", "C-MOVE")):
            acceptor.respond(event.message, 0xFF00, *_match(event.message))
        else:
            acceptor.respond(event.message)
    elif isinstance(event, CancelRequested):
        acceptor.respond(acceptor.association.operations.performing[event.message_id], 0xFE00)


def _match(message: Message) -> list[bytes]:
    return [b"match "] if message.command.name.startswith("C-FIND") else []
