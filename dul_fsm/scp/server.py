"""A threaded server: one thread accepts, one thread runs each association, blocked in a read.

    with serve(MyHandler, port=11112) as server:
        print("listening on", server.address)
        server.wait()

A connection that carries no association, not yet or not any more, is a stranger. Strangers are
cheap to make, so only so many are kept, the oldest going first when one more calls; ARTIM ends the
others. A stranger that requests an association while there are as many as allowed is told so, with
an A-ASSOCIATE-RJ.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import TracebackType

from dul_fsm.association import Association
from dul_fsm.drivers.blocking import BlockingDriver
from dul_fsm.drivers.loop import is_in_place
from dul_fsm.pdu import DEFAULT_MAXIMUM_LENGTH, AAssociateRQ
from dul_fsm.scp.threads import Threads
from dul_fsm.services.admission import NO_ROOM, refuse
from dul_fsm.services.handler import Handler, Reject
from dul_fsm.services.peer_binding import PeerBinding
from dul_fsm.services.performer import Performer
from dul_fsm.services.retrieve import is_secure
from dul_fsm.timers import TimeLimits
from dul_fsm.transports import TCP, Connector, Listener, ListenerClosed, Transport
from dul_fsm.upper_layer import Observation

MAX_STRANGERS = 128
"""Connections kept that carry no association, not yet or not any more."""

DEFAULT_MAX_ASSOCIATIONS = 100
"""Associations established at a time unless told otherwise."""

STOP_PATIENCE = 2.0
"""Seconds for which a stopping server waits for its peers to take the abort and close; and again
for its handlers to return."""

ACCEPT_PAUSE = 0.1
"""Seconds until the next try after an accept that failed for a reason of the system's."""


@dataclass(eq=False, slots=True)
class _Connection:
    """One connection."""

    association: Association
    transport: Transport
    driver: BlockingDriver | None = None  # once the thread has a handler
    admitted: bool = False  # it may be, or become, one of so many associations
    dropped: bool = False  # closed to make room, about to be gone

    @property
    def stranger(self) -> bool:
        return not self.admitted or self.association.ended

    def close(self) -> None:
        if self.driver is not None:
            self.driver.close()  # with what was opened for this one
            return
        # A transport never raises here by its contract; one that does costs nobody else anything.
        with suppress(OSError):
            self.transport.close()

    def abort(self, text: str, patience: float) -> None:
        if self.driver is None or self.stranger:
            self.close()
        else:
            self.driver.abort(text, patience)


def serve(
    handler: Callable[[], Handler] = Handler,
    endpoint: Connector | None = None,
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
) -> Server:
    """Listen, and return the running server; `Server.close` stops it, so does leaving `with`.

    `handler` is called once for each connection and gives the object that serves it: a class, or
    a function. `endpoint`: where to listen; by default TCP on `host` and `port` (0: any free
    one). `require_called_ae_title`: reject who calls another AE title than `ae_title`.
    `peer_binding`: reject who calls itself what its certificate may not, over a transport that
    has a `peer_certificate`, as TLS has.
    `report` is told what a handler raised; its peer is told a status only.

    Raises `OSError` if it cannot listen there.
    """
    listener = (endpoint or TCP(host, port)).listen()
    return Server(
        listener,
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


class Server:
    """A running server; get one from `serve`."""

    def __init__(
        self,
        listener: Listener,
        handler: Callable[[], Handler],
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
        self._threads = Threads("dul-fsm association")
        self._lock = threading.Lock()
        self._connections: list[_Connection] = []  # oldest first
        self._closing = threading.Event()
        self._stopped = threading.Event()
        self._acceptor = threading.Thread(target=self._accept, name="dul-fsm acceptor", daemon=True)
        self._acceptor.start()

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
        with self._lock:
            return sum(not c.stranger for c in self._connections)

    @property
    def connections(self) -> int:
        """Connections open now, associations included."""
        with self._lock:
            return len(self._connections)

    # Accepting ----------------------------------------------------------------------------------

    def _accept(self) -> None:
        while True:
            try:
                transport = self._listener.accept()
            except ListenerClosed:
                return
            except Exception as error:
                self._report(error)
                if self._closing.wait(ACCEPT_PAUSE):
                    return
            else:
                self._begin(transport)

    def _begin(self, transport: Transport) -> None:
        association = Association(
            requestor=False,
            maximum_length=self._maximum_length,
            time_limits=self._time_limits,
            observer=self._observer,
        )
        association.transport_opened(time.monotonic(), in_place=is_in_place(transport))
        connection = _Connection(association, transport)
        with self._lock:
            if self._closing.is_set():
                connection.close()
                return
            strangers = [c for c in self._connections if c.stranger and not c.dropped]
            self._connections.append(connection)
            if len(strangers) >= MAX_STRANGERS:
                strangers[0].dropped = True
                strangers[0].close()
        try:
            self._threads.run(partial(self._run, connection))
        except RuntimeError as error:  # no more threads to be had: the others go on
            self._remove(connection)
            self._report(error)

    def _admit(self, connection: _Connection, request: AAssociateRQ) -> Reject | None:
        refused = refuse(
            request,
            called_ae_title=self._called_ae_title,
            peer_binding=self._peer_binding,
            certificate=getattr(connection.transport, "peer_certificate", None),
        )
        if refused is not None:
            return refused
        with self._lock:
            others = sum(not c.stranger for c in self._connections)
            if self._closing.is_set() or others >= self._max_associations:
                return NO_ROOM
            connection.admitted = True
        return None

    def _run(self, connection: _Connection) -> None:
        try:
            handler = self._handler()  # here, for it may take its time
            handler.peer = getattr(connection.transport, "peer", "")
            performer = Performer(
                connection.association,
                handler,
                time.monotonic,
                partial(self._admit, connection),
                self._report,
                secure=is_secure(connection.transport),
            )
            driver = BlockingDriver(
                connection.association, performer, transport=connection.transport
            )
            connection.driver = driver
            try:
                driver.run(lambda: False)
            finally:
                connection.close()
                driver.perform(performer.close())
        except Exception as error:
            self._report(error)
        finally:
            self._remove(connection)

    def _remove(self, connection: _Connection) -> None:
        connection.close()
        with self._lock:
            self._connections.remove(connection)

    # The end ------------------------------------------------------------------------------------

    def wait(self) -> None:
        """Return when the server was closed."""
        self._stopped.wait()

    def close(self) -> None:
        """Stop listening, abort what is still open and wait until it is gone; a few seconds.

        A handler that does not return in that time is left to itself.
        """
        with self._lock:
            self._closing.set()
            connections = list(self._connections)
        self._listener.close()
        by = time.monotonic() + STOP_PATIENCE
        for connection in connections:
            connection.abort("the server stops", max(0.0, by - time.monotonic()))
        self._threads.close(by)
        for connection in connections:
            connection.close()
        self._threads.close(time.monotonic() + STOP_PATIENCE)
        if self._acceptor is not threading.current_thread():
            self._acceptor.join(STOP_PATIENCE)
        self._stopped.set()

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
