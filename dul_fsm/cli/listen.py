"""`dul-fsm listen`: answer C-ECHO, receive what is sent by C-STORE, and give it back."""

from __future__ import annotations

import errno
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from dul_fsm.cli.destinations import connect_to
from dul_fsm.cli.explain import fail, printable, with_names
from dul_fsm.cli.log import Log
from dul_fsm.cli.options import DEFAULT_PORT
from dul_fsm.cli.tls import TLSOptions, endpoint
from dul_fsm.cli.watch import observer
from dul_fsm.files import StudyFolder
from dul_fsm.negotiation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dul_fsm.scp.server import serve
from dul_fsm.scp.storage import (
    DiscardHandler,
    NotStored,
    Opened,
    StorageEvent,
    StorageHandler,
    Stored,
)
from dul_fsm.scp.workers import supervise
from dul_fsm.services.handler import Destination
from dul_fsm.timers import TimeLimits
from dul_fsm.transports import TCP

if TYPE_CHECKING:
    from dul_fsm.scp.archive import ArchiveEvent


def listen(
    output: Path | None,
    host: str,
    port: int,
    *,
    ae_title: str,
    require_called_ae_title: bool,
    maximum_length: int,
    max_associations: int,
    workers: int,
    query: bool,
    destinations: Sequence[str],
    time_limits: TimeLimits,
    tls: TLSOptions | None,
    verbose: bool,
) -> int:
    """Serve until a signal comes; the exit status. Without `output` what comes is discarded.

    `query`: whether what is stored can be found and retrieved, moved to `destinations` too.
    """
    folder: StudyFolder | None = None
    if output is not None:
        try:
            folder = StudyFolder(
                output,
                implementation_class_uid=IMPLEMENTATION_CLASS_UID,
                implementation_version_name=IMPLEMENTATION_VERSION_NAME,
            )
        except OSError as error:
            fail(f"cannot store into {output}: {with_names(str(error))}")
            return 1

    named = ", ".join(one.partition("=")[0] for one in destinations)

    def announce(address: str) -> None:
        print(f"listening on {address}")
        print("discarding what is received" if output is None else f"storing into {output}")
        if query:
            print("answering queries" + (f", moving to {named}" if named else ""))
        if workers > 1:
            print(f"{workers} workers")
        if tls is not None and tls.ca is None:
            print("TLS without --ca: clients need no certificate")
        sys.stdout.flush()

    def work(port: int, started: Callable[[str], object]) -> int:
        """Serve in this process, until a signal comes."""
        with Log() as log:

            def line(text: str) -> None:
                log.line(printable(text))

            def report(error: BaseException) -> None:
                log.line(f"error: {with_names(str(error))}")

            try:
                where = endpoint(host, port, tls, line, reuse_port=workers > 1)
                make_handler = _handlers(folder, line, query, connect_to(destinations, tls))
            except (OSError, ValueError) as error:
                fail(f"TLS: {with_names(str(error))}")
                return 1
            try:
                server = serve(
                    make_handler,
                    where,
                    ae_title=ae_title,
                    require_called_ae_title=require_called_ae_title,
                    maximum_length=maximum_length,
                    max_associations=max_associations,
                    time_limits=time_limits,
                    report=report,
                    observer=observer(verbose, log.line),
                )
            except OSError as error:
                _cannot_listen(host, port, error)
                return 1
            with server:
                started(server.address)
                wait()
                log.line("ending")
        return 0

    with _signals() as wait:
        if workers == 1:
            return work(port, announce)
        try:
            address = _free(host, port)
        except OSError as error:
            _cannot_listen(host, port, error)
            return 1
        shared = int(address.rpartition(":")[2])
        return supervise(
            lambda ready: work(shared, lambda address: ready()),
            workers,
            started=lambda: announce(address),
            tell=fail,
        )


def _handlers(
    folder: StudyFolder | None,
    line: Callable[[str], None],
    query: bool,
    destinations: Mapping[str, Destination],
) -> Callable[[], DiscardHandler]:
    """What makes a handler for each connection; what happens is a line of the log."""

    def tell(event: StorageEvent) -> None:
        line(in_words(event))

    if folder is None:
        return lambda: DiscardHandler(tell)
    if not query:
        return lambda: StorageHandler(folder, tell)
    from dul_fsm.scp.archive import ArchiveHandler, Queried, Retrieving
    from dul_fsm.scp.folder_index import FolderIndex

    def tell_all(event: ArchiveEvent) -> None:
        match event:
            case Queried(matches=number):
                found = f"{number} {'match' if number == 1 else 'matches'}"
                found += "" if event.complete else ", not all there are"
                line(f"{event.level} query from {_who(event)}: {found}")
            case Retrieving(instances=number):
                to = f"{event.destination} for " if event.destination else ""
                what = f"{number} {'instance' if number == 1 else 'instances'}"
                line(f"sending {what} to {to}{_who(event)}")
            case _:
                tell(event)

    index = FolderIndex(folder.root)
    # What is there from before need not wait for the first query.
    threading.Thread(target=index.refresh, name="dul-fsm index", daemon=True).start()
    return lambda: ArchiveHandler(folder, index, destinations=destinations, tell=tell_all)


def _free(host: str, port: int) -> str:
    """An address that nobody listens on: who shares a port does not notice a stranger there."""
    listener = TCP(host, port).listen()
    listener.close()
    return listener.address


def _cannot_listen(host: str, port: int, error: OSError) -> None:
    fail(f"cannot listen on {host}:{port}: {with_names(str(error))}{_hint(error, port)}")


def _hint(error: OSError, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return " (choose another port with --port, 0 for any)"
    if error.errno == errno.EACCES and port < 1024:
        return f" (ports below 1024 need a privilege; the other DICOM port is {DEFAULT_PORT})"
    return ""


@contextmanager
def _signals() -> Iterator[Callable[[], None]]:
    """Hold SIGINT and SIGTERM back, for all threads, and give what waits for one of them.

    A handler would run in the middle of whatever the main thread is doing, a lock held or not. One
    more that comes while the first is obeyed changes nothing.
    """
    if sys.platform == "win32":  # which has no signal masks

        def sleep() -> None:
            with suppress(KeyboardInterrupt):
                threading.Event().wait()

        yield sleep
        return
    ends = {signal.SIGINT, signal.SIGTERM}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    try:
        yield lambda: (signal.sigwait(ends), None)[1]
    finally:
        while pending := ends & signal.sigpending():
            signal.sigwait(pending)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def in_words(event: StorageEvent) -> str:
    """A line for the log."""
    who = _who(event)
    match event:
        case Opened():
            return f"association from {who} to {event.called_ae_title}"
        case Stored(path=None):
            return f"received from {who}: {event.sop_instance_uid}, {event.length} bytes"
        case Stored():
            return f"stored from {who}: {event.path}"
        case NotStored():
            return f"not stored from {who}: {event.sop_instance_uid!r}: {event.reason}"
        case _:
            counts = f"{event.stored} stored"
            counts += f", {event.not_stored} not stored" if event.not_stored else ""
            to = f" to {event.called_ae_title}" if event.how == "rejected" else ""
            return f"association from {who}{to} {event.how}; {counts}"


def _who(event: ArchiveEvent) -> str:
    return f"{event.calling_ae_title} ({event.peer})"
