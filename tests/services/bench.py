"""Several associations in one thread under a virtual clock, each run by the loop of the drivers.

A `Bench` makes the calls of each `Loop` in turn. A receive that has nothing to give, and a send
that has no room, wait until there is, or until their seconds are over: time passes when all wait.
A `Station` is what can be connected with: each connection has a handler of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from dul_fsm.association import Aborted, Association, Message, Rejected, Released
from dul_fsm.dimse import Request, SourceLike
from dul_fsm.drivers.loop import Loop
from dul_fsm.negotiation import SYNCHRONOUS, ContextLike, Window, build_request
from dul_fsm.services.handler import Handler
from dul_fsm.services.performer import Performer
from dul_fsm.services.steps import Call
from dul_fsm.timers import TimeLimits
from dul_fsm.upper_layer import Buffer

CAPACITY = 1 << 20
"""Bytes under way in one direction before the sender must wait."""


class Blocked(Exception):
    """A call cannot be made yet."""


class Wire:
    """One end of a connection in memory."""

    def __init__(self, bench: Bench) -> None:
        self.peer: Wire
        self.bench = bench
        self.incoming = bytearray()
        self.ended = False  # nothing more will come
        self.closed = False
        self.most = 0  # bytes that ever waited here

    def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        if self.closed or self.peer.closed:
            raise ConnectionResetError("the peer is gone")
        room = CAPACITY - len(self.peer.incoming)
        if room <= 0:
            raise Blocked
        data = b"".join(map(bytes, buffers))[:room]
        self.peer.incoming += data
        self.peer.most = max(self.peer.most, len(self.peer.incoming))
        return len(data)

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        if self.closed:
            raise ConnectionAbortedError("it was closed")
        if not self.incoming and not self.ended:
            raise Blocked
        count = min(len(view), len(self.incoming))
        view[:count] = self.incoming[:count]
        del self.incoming[:count]
        return count

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.bench.open_wires -= 1
            self.peer.ended = True


class End:
    """One side of one association, and the loop that runs it."""

    def __init__(
        self,
        bench: Bench,
        association: Association,
        handler: Handler,
        *,
        transport: Wire | None = None,
        connect: Callable[[float | None], Wire] | None = None,
        secure: bool = False,
    ) -> None:
        self.association = association
        self.handler = handler
        self.failures: list[BaseException] = []
        self.raised: BaseException | None = None
        self.wire = transport
        self.bench = bench
        self.performer = Performer(
            association, handler, lambda: bench.now, report=self.failures.append, secure=secure
        )
        self.loop = Loop(
            association,
            self.performer,
            transport=transport,
            connect=connect or self._no,
            dial=lambda connector: connector.connect,
            acquire=lambda seconds: True,
            acquire_now=lambda: True,
            release=lambda: None,
            clock=lambda: bench.now,
        )
        self.calls: Generator[Call, Any, bool] | None = None
        self.call: Call | None = None
        self.due = math.inf  # when the call that waits gives up
        self.responses: list[Message] = []
        self.pauses = False
        self.start()

    @staticmethod
    def _no(seconds: float | None) -> Wire:
        raise ConnectionError("there is nothing to connect to")

    @property
    def end(self) -> Released | Rejected | Aborted | None:
        """How the association ended."""
        return self.loop.end

    @property
    def done(self) -> bool:
        """Whether its loop has nothing more to do."""
        return self.calls is None

    def start(self) -> None:
        """Let the loop run, until all is over."""
        self.calls = self.loop.running(lambda: False)
        self._advance(partial(next, self.calls))

    def step(self) -> bool:
        """Make the call that is due; False if it must wait."""
        if self.calls is None or self.call is None or self.pauses:
            return False
        try:
            result = self.call()
        except Blocked:
            seconds = self.call.args[-1]  # type: ignore[attr-defined]
            if self.due is math.inf and seconds is not None:
                self.due = self.bench.now + seconds
            if self.due > self.bench.now:
                return False
            self._advance(partial(self.calls.throw, TimeoutError()))
        except Exception as error:
            self._advance(partial(self.calls.throw, error))
        else:
            self._advance(partial(self.calls.send, result))
        return True

    def _advance(self, advance: Callable[[], Call]) -> None:
        self.due, self.call = math.inf, None
        try:
            self.call = advance()
        except StopIteration:
            self.calls = None
            self.loop.close()  # as a server does
        except Exception as error:
            # As a server does: what a source raised is kept, the rest of the loop goes on.
            self.raised = error
            self.start()

    def kick(self) -> None:
        """The association was touched from outside: what is due is sent before the next read."""
        assert self.calls is not None
        self._advance(partial(self.calls.throw, TimeoutError()))

    def invoke(self, request: Request, data: SourceLike | None = None) -> Callable[[], bool]:
        """Send a request on the context of its SOP Class; returns whether it has been answered."""
        uid = getattr(request, "affected_sop_class_uid", "") or getattr(
            request, "requested_sop_class_uid", ""
        )
        operation = self.association.send_request(self.association.context_for(uid), request, data)
        self.kick()

        def answered() -> bool:
            self.responses += [event.message for event in operation.responses]
            operation.responses.clear()
            return request.message_id not in self.association.operations.invoked

        self.bench.watched.append(answered)
        return answered


class Station:
    """An address: who connects with it gets an end of its own at the other side."""

    def __init__(
        self,
        bench: Bench,
        handler: Callable[[], Handler] = Handler,
        *,
        time_limits: TimeLimits | None = None,
        secure: bool = False,
    ) -> None:
        self.bench = bench
        self.handler = handler
        self.time_limits = time_limits
        self.secure = secure
        self.ends: list[End] = []
        self.listens = True
        self.silent = False  # it takes a connection and runs nothing

    def connect(self, seconds: float | None) -> Wire:
        if not self.listens:
            raise ConnectionRefusedError("nobody listens")
        mine, other = Wire(self.bench), Wire(self.bench)
        mine.peer, other.peer = other, mine
        self.bench.open_wires += 2
        association = Association(requestor=False, time_limits=self.time_limits)
        association.transport_opened(self.bench.now)
        end = End(self.bench, association, self.handler(), transport=other, secure=self.secure)
        end.pauses = self.silent
        self.ends.append(end)
        self.bench.ends.append(end)
        return mine


class Bench:
    """All of them, and the time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.ends: list[End] = []
        self.open_wires = 0
        self.watched: list[Callable[[], bool]] = []

    def associate(
        self,
        station: Station,
        contexts: Iterable[ContextLike],
        *,
        handler: Handler | None = None,
        roles: Mapping[str, tuple[bool, bool]] | None = None,
        window: Window = SYNCHRONOUS,
        calling_ae_title: str = "SCU",
        called_ae_title: str = "SCP",
        time_limits: TimeLimits | None = None,
    ) -> End:
        """An established association with a station."""
        association = Association(requestor=True, time_limits=time_limits)
        request = build_request(
            contexts,
            calling_ae_title=calling_ae_title,
            called_ae_title=called_ae_title,
            maximum_length=association.maximum_length,
            roles=roles,
            window=window,
        )
        association.send_associate_request(request, self.now)
        wires: list[Wire] = []

        def connect(seconds: float | None) -> Wire:
            wires.append(station.connect(seconds))
            return wires[-1]

        end = End(self, association, handler or Handler(), connect=connect)
        self.ends.append(end)
        self.run(lambda: association.established)
        end.wire = wires[0]
        assert association.established, end.end
        return end

    def run(self, until: Callable[[], object] = lambda: False, by: float = math.inf) -> None:
        """Let everything happen, time included, until `until`, `by`, or nothing more can."""
        while not until():
            if self._step():
                continue
            due = min((end.due for end in self.ends if not end.pauses), default=math.inf)
            if due is math.inf or due > by:
                self.now = max(self.now, by) if by < math.inf else self.now
                return
            self.now = max(self.now, due)

    def settle(self) -> None:
        """Let everything happen that takes no time."""
        self.run(by=self.now)

    def _step(self) -> bool:
        moved = any([end.step() for end in list(self.ends)])
        for watch in self.watched:
            watch()
        return moved

    def release(self, end: End) -> None:
        """Release an association, and let that happen."""
        end.association.send_release_request(self.now)
        end.kick()
        self.run(lambda: end.done)
        self.settle()
