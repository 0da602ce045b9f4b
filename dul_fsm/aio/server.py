"""An asyncio server: one task accepts, one task runs each association, all in one thread.

    async with serve(MyHandler, port=11112) as server:
        print("listening on", server.address)
        await server.wait()

A connection that carries no association, not yet or not any more, is a stranger. Strangers are
cheap to make; thousands are kept, as many as the process has descriptors for, the oldest going
first when one more calls; ARTIM ends the others. A stranger that requests an association while
there are as many as allowed is told so, with an A-ASSOCIATE-RJ.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import cast

from dul_fsm.aio.descriptors import descriptor_limit
from dul_fsm.aio.handler import AnyHandler
from dul_fsm.aio.opening import Opening
from dul_fsm.association import Association
from dul_fsm.drivers.aio import AsyncDriver
from dul_fsm.drivers.loop import is_in_place
from dul_fsm.pdu import DEFAULT_MAXIMUM_LENGTH, AAssociateRQ
from dul_fsm.services import handler as services
from dul_fsm.services.admission import NO_ROOM, refuse
from dul_fsm.services.handler import Reject
from dul_fsm.services.peer_binding import PeerBinding
from dul_fsm.services.performer import Performer
from dul_fsm.services.retrieve import is_secure
from dul_fsm.timers import TimeLimits
from dul_fsm.transports import TCP, ListenerClosed
from dul_fsm.transports.aio import AsyncConnector, AsyncListener, AsyncTransport
from dul_fsm.upper_layer import Observation

MAX_STRANGERS = 16384
"""Connections kept that carry no association, not yet or not any more: about 256 MiB of memory."""

DESCRIPTORS_KEPT = 128
"""Descriptors that strangers leave to the rest of the program: files, and the event loop."""

DEFAULT_MAX_ASSOCIATIONS = 1000
"""Associations established at a time unless told otherwise."""

STOP_PATIENCE = 5.0
"""Seconds for which a stopping server waits for its associations: an abort takes two twos, and a
handler that was cancelled may have something to clean up."""

ACCEPT_PAUSE = 0.1
"""Seconds until the next try after an accept that failed for a reason of the system's."""

ACCEPTS_AT_ONCE = 16
"""Connections accepted before everybody else has a turn: a burst of thousands must not hold up the
associations that are there."""


@dataclass(eq=False, slots=True)
class _Connection:
    """One connection and the task that runs it."""

    association: Association
    transport: AsyncTransport
    task: asyncio.Task[None] | None = None
    driver: AsyncDriver | None = None  # once the task has a handler


def serve(
    handler: Callable[[], AnyHandler] = services.Handler,
    endpoint: AsyncConnector | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 11112,
    ae_title: str = "DUL-FSM",
    require_called_ae_title: bool = False,
    peer_binding: PeerBinding | None = None,
    maximum_length: int = DEFAULT_MAXIMUM_LENGTH,
    max_associations: int = DEFAULT_MAX_ASSOCIATIONS,
    time_limits: TimeLimits | None = None,
    report: Callable[[BaseException], None] = lambda error: None,
    observer: Callable[[Observation], None] | None = None,
) -> Opening[Server]:
    """Listen: `await` the running server, or enter it with `async with`, which stops it too.

    Arguments as those of `dul_fsm.scp.serve`. `handler` gives the object that serves a connection;
    its methods may be coroutine functions. Each connection takes a descriptor: a program that
    expects many calls `raise_descriptor_limit` first.

    Raises `OSError` if it cannot listen there.
    """

    async def open() -> Server:
        return Server(
            await (endpoint or TCP(host, port)).listen_async(),
            handler,
            ae_title=ae_title,
            require_called_ae_title=require_called_ae_title,
            peer_binding=peer_binding,
            maximum_length=maximum_length,
            max_associations=max_associations,
            time_limits=time_limits,
            report=report,
            observer=observer,
        )

    return Opening(open)


class Server:
    """A running server; get one from `serve`."""

    def __init__(
        self,
        listener: AsyncListener,
        handler: Callable[[], AnyHandler],
        *,
        ae_title: str,
        require_called_ae_title: bool,
        peer_binding: PeerBinding | None,
        maximum_length: int,
        max_associations: int,
        time_limits: TimeLimits | None,
        report: Callable[[BaseException], None],
        observer: Callable[[Observation], None] | None,
    ) -> None:
        self._listener = listener
        self._handler = handler
        self._called_ae_title = ae_title if require_called_ae_title else None
        self._peer_binding = peer_binding
        self._maximum_length = maximum_length
        self._max_associations = max_associations
        self._time_limits = time_limits
        self._report = report
        self._observer = observer
        room = descriptor_limit() - max_associations - DESCRIPTORS_KEPT
        self._max_strangers = max(DESCRIPTORS_KEPT, min(room, MAX_STRANGERS))
        self._connections: set[_Connection] = set()
        self._strangers: OrderedDict[_Connection, None] = OrderedDict()  # oldest first
        self._associations: set[_Connection] = set()  # admitted, and not over
        self._closing = False
        self._stopped = asyncio.Event()
        self._acceptor = asyncio.create_task(self._accept(), name="dul-fsm acceptor")

    # What is ------------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """Where it listens, as HOST:PORT for TCP."""
        return self._listener.address

    @property
    def port(self) -> int:
        """The TCP port it listens on."""
        return int(self.address.rpartition(":")[2])

    @property
    def associations(self) -> int:
        """Associations now: admitted, and not released or aborted yet."""
        return len(self._associations)

    @property
    def connections(self) -> int:
        """Connections open now, associations included."""
        return len(self._connections)

    # Accepting ----------------------------------------------------------------------------------

    async def _accept(self) -> None:
        while True:
            for _ in range(ACCEPTS_AT_ONCE):
                try:
                    transport = await self._listener.accept()
                except ListenerClosed:
                    return
                except Exception as error:
                    self._report(error)
                    await asyncio.sleep(ACCEPT_PAUSE)
                else:
                    self._begin(transport)
            await asyncio.sleep(0)

    def _begin(self, transport: AsyncTransport) -> None:
        association = Association(
            requestor=False,
            maximum_length=self._maximum_length,
            time_limits=self._time_limits,
            observer=self._observer,
        )
        association.transport_opened(time.monotonic(), in_place=is_in_place(transport))
        connection = _Connection(association, transport)
        self._connections.add(connection)
        if len(self._strangers) >= self._max_strangers:
            oldest, _ = self._strangers.popitem(last=False)
            oldest.transport.close()
        self._strangers[connection] = None
        connection.task = asyncio.create_task(self._run(connection), name="dul-fsm association")
        # A task that is cancelled before it began does not come to any `finally`.
        connection.task.add_done_callback(partial(self._gone, connection))

    def _admit(
        self, connection: _Connection, handler: services.Handler, request: AAssociateRQ
    ) -> Reject | None:
        # A transport may know only now who calls: a proxy says it in the first bytes.
        handler.peer = getattr(connection.transport, "peer", "")
        refused = refuse(
            request,
            called_ae_title=self._called_ae_title,
            peer_binding=self._peer_binding,
            certificate=getattr(connection.transport, "peer_certificate", None),
        )
        if refused is not None:
            return refused
        if self._closing or len(self._associations) >= self._max_associations:
            return NO_ROOM
        self._strangers.pop(connection, None)
        self._associations.add(connection)
        return None

    async def _run(self, connection: _Connection) -> None:
        association, transport = connection.association, connection.transport
        try:
            handler = cast(services.Handler, self._handler())
            handler.peer = getattr(transport, "peer", "")
            performer = Performer(
                association,
                handler,
                time.monotonic,
                partial(self._admit, connection, handler),
                self._report,
                secure=is_secure(transport),
            )
            driver = connection.driver = AsyncDriver(association, performer, transport=transport)
            try:
                await driver.run(lambda: association.ended)
                if connection in self._associations:
                    self._associations.discard(connection)
                    self._strangers[connection] = None
                await driver.run(lambda: False)
            except asyncio.CancelledError:
                try:
                    await driver.abort("the server stops")
                finally:
                    await driver.settle()
                raise
            finally:
                transport.close()
                await driver.perform(performer.close())
        except Exception as error:
            self._report(error)

    def _gone(self, connection: _Connection, task: asyncio.Task[None]) -> None:
        connection.transport.close()
        self._connections.discard(connection)
        self._associations.discard(connection)
        self._strangers.pop(connection, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._report(error)

    # The end ------------------------------------------------------------------------------------

    async def wait(self) -> None:
        """Return when the server was closed."""
        await self._stopped.wait()

    async def close(self) -> None:
        """Stop listening, abort what is still open and wait until it is gone; a few seconds.

        A handler that is performing is cancelled; one that does not mind is left to itself.
        """
        self._closing = True
        self._listener.close()
        self._acceptor.cancel()
        tasks = {self._acceptor}
        current = asyncio.current_task()
        try:
            for connection in list(self._connections):
                if connection.task is None or connection.task is current:
                    continue  # a handler may close the server that it serves
                if connection in self._strangers:
                    connection.transport.close()
                else:
                    connection.task.cancel()
                tasks.add(connection.task)
            for connection in self._connections:
                if connection.task is current and connection.driver is not None:
                    await connection.driver.abort("the server stops")
            await asyncio.wait(tasks, timeout=STOP_PATIENCE)
        finally:
            # Stopped in the middle, or waited for in vain: without their transports they end.
            left = [c for c in self._connections if c.task is not current]
            for connection in left:
                connection.transport.close()
            if any(not task.done() for task in tasks):
                await asyncio.wait(tasks, timeout=STOP_PATIENCE)
            self._stopped.set()

    async def __aenter__(self) -> Server:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
