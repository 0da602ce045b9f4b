"""A blocking association for a service class user: it runs in the caller's thread.

    with associate("127.0.0.1", 11112, contexts=[VERIFICATION]) as association:
        response = association.c_echo()

A method returns when its response is there, and raises a child of `AssociationError` if the
association ended instead: `AssociationRejected`, `AssociationAborted`, `AssociationReleased`.
Leaving the `with` block releases the association, or aborts it when an exception leaves.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType

from dul_fsm.association import Aborted, Association, Message, Operation, ResponseReceived
from dul_fsm.dimse import Priority, SourceLike
from dul_fsm.drivers.blocking import BlockingDriver
from dul_fsm.drivers.requestor import (
    DEFAULT_CALLED_AE_TITLE,
    DEFAULT_CALLING_AE_TITLE,
    Invocation,
    Requestor,
    endpoint_of,
    failure,
)
from dul_fsm.negotiation import ContextLike
from dul_fsm.pdu import DEFAULT_MAXIMUM_LENGTH, UserIdentityRQ
from dul_fsm.services.handler import Handler
from dul_fsm.services.sop_classes import VERIFICATION
from dul_fsm.timers import TimeLimits
from dul_fsm.transports import Connector
from dul_fsm.upper_layer import Observation


def associate(
    peer: str | Connector,
    port: int | None = None,
    *,
    contexts: Iterable[ContextLike] = (VERIFICATION,),
    files: Iterable[str | os.PathLike[str]] = (),
    calling_ae_title: str = DEFAULT_CALLING_AE_TITLE,
    called_ae_title: str = DEFAULT_CALLED_AE_TITLE,
    maximum_length: int = DEFAULT_MAXIMUM_LENGTH,
    roles: Mapping[str, tuple[bool, bool]] | None = None,
    user_identity: UserIdentityRQ | None = None,
    time_limits: TimeLimits | None = None,
    handler: Handler | None = None,
    observer: Callable[[Observation], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> SCUAssociation:
    """Open an association and return it, established.

    `peer`: a host name or address with `port`, or any `Connector`. `contexts`: what to propose,
    each an abstract syntax or a pair of it and its transfer syntaxes; at most 128, with those
    that `files` need to be sent as they are.
    `maximum_length`: the longest P-DATA-TF to receive, bytes, 0 for no limit (PS3.8 §D.1).
    `roles`: SOP Class UID to (SCU, SCP) roles offered (PS3.7 §D.3.3.4). `handler`: performs what
    the peer requests, where a role lets it.

    Raises `AssociationRejected`, `AssociationAborted`, `TransportFailed` or `AssociationTimeout`
    when no association comes about; `NegotiationError` or `ValueError` for a proposal that cannot
    be encoded.
    """
    association = SCUAssociation(
        endpoint_of(peer, port),
        handler or Handler(),
        Association(
            requestor=True,
            maximum_length=maximum_length,
            time_limits=time_limits,
            observer=observer,
        ),
        clock,
    )
    association.open(
        contexts=[*contexts, *_contexts_of(files)],
        calling_ae_title=calling_ae_title,
        called_ae_title=called_ae_title,
        roles=roles,
        user_identity=user_identity,
    )
    return association


def _contexts_of(files: Iterable[str | os.PathLike[str]]) -> list[ContextLike]:
    """A context for each SOP Class and transfer syntax that is among the files."""
    paths = list(files)
    if not paths:
        return []
    from dul_fsm.files.contexts import contexts_of  # an echo does not pay for it

    return contexts_of(paths)


class SCUAssociation(Requestor):
    """An established association; get one from `associate`."""

    def __init__(
        self,
        connector: Connector,
        handler: Handler,
        association: Association,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(association, handler, clock)
        self._closed = False
        self._driver = BlockingDriver(
            association, self._performer, connect=connector.connect, clock=clock
        )

    def open(
        self,
        *,
        contexts: Iterable[ContextLike],
        calling_ae_title: str,
        called_ae_title: str,
        roles: Mapping[str, tuple[bool, bool]] | None,
        user_identity: UserIdentityRQ | None,
    ) -> None:
        """Request the association and wait for the answer; `associate` has called this."""
        self._request(
            contexts=contexts,
            calling_ae_title=calling_ae_title,
            called_ae_title=called_ae_title,
            roles=roles,
            user_identity=user_identity,
        )
        try:
            self._run(lambda: self._association.established)
        except BaseException:
            self.abort("the association was given up")
            raise

    # Operations ---------------------------------------------------------------------------------

    def c_echo(self) -> Message:
        """C-ECHO (PS3.7 §9.1.5); the response, with its status."""
        return self._invoke(self._echo())

    def c_store(
        self,
        sop_class_uid: str,
        sop_instance_uid: str,
        transfer_syntax: str,
        data: SourceLike,
        *,
        priority: int = Priority.MEDIUM,
    ) -> Message:
        """C-STORE (PS3.7 §9.1.1) of an encoded data set; the response, with its status.

        `data` is encoded in `transfer_syntax`: bytes-like, an iterable of bytes-like, or a
        `dimse.Source`. It leaves as it is, uncopied.
        """
        return self._invoke(
            self._store(sop_class_uid, sop_instance_uid, transfer_syntax, data, priority)
        )

    def c_store_file(
        self, path: str | os.PathLike[str], *, priority: int = Priority.MEDIUM
    ) -> Message:
        """C-STORE of the data set in a Part 10 file, as it is; the response, with its status.

        Raises `NotStorable` for a file that is none, `ContextNotAccepted` if the peer does not
        take it in the transfer syntax that it is in.
        """
        from dul_fsm.files import open_data_set, read_part10

        head = read_part10(path)
        with open_data_set(head) as data:
            return self.c_store(
                head.sop_class_uid,
                head.sop_instance_uid,
                head.transfer_syntax_uid,
                data,
                priority=priority,
            )

    def c_find(
        self, sop_class_uid: str, identifier: bytes, *, priority: int = Priority.MEDIUM
    ) -> Iterator[Message]:
        """C-FIND (PS3.7 §9.1.2): each pending response as it comes, at last the final one.

        `identifier` is encoded in the transfer syntax of `context_for(sop_class_uid)`. Closing
        the iterator early sends a C-CANCEL and takes the final response.
        """
        invocation = self._find(sop_class_uid, identifier, priority)
        operation = self._send_request(invocation)
        done = False
        try:
            while not done:
                response = self._next_response(operation)
                done = response.final
                yield response.message
        finally:
            if not done and self.established:
                with self._driver.lock:
                    self._association.send_cancel(invocation.context, invocation.request.message_id)
                while not self._next_response(operation).final:
                    pass

    def _invoke(self, invocation: Invocation) -> Message:
        operation = self._send_request(invocation)
        response = self._next_response(operation)
        # An early answer does not end the sending: what `data` lends must be the caller's again.
        self._run(lambda: not self._association.lends(operation))
        return response.message

    def _send_request(self, invocation: Invocation) -> Operation:
        self._driver.check_outside()
        if self._association.ended:
            self._run(lambda: False)
        with self._driver.lock:
            return self._association.send_request(*invocation)

    def _next_response(self, operation: Operation) -> ResponseReceived:
        responses = operation.responses
        self._run(lambda: bool(responses))
        return responses.popleft()

    # The end ------------------------------------------------------------------------------------

    def release(self) -> None:
        """Release the association in order and wait until it is (PS3.8 §7.2).

        Nothing happens if it has ended. Raises `AssociationAborted` if it ends otherwise.
        """
        driver, association = self._driver, self._association
        driver.check_outside()
        if driver.end is None:
            with driver.lock:
                if association.established:
                    association.send_release_request(self._clock())
            try:
                driver.run(lambda: driver.end is not None)
            except BaseException as error:
                self.abort(f"the local user failed: {error!r}")
                raise
            if isinstance(driver.end, Aborted):
                self._close()
                raise failure(driver.end)
        self._close()

    def abort(self, text: str = "aborted by the local user") -> None:
        """Abort the association (PS3.8 §7.3), from any thread; nothing happens if it has ended.

        Returns within a few seconds. A call that waits in another thread raises
        `AssociationAborted`.
        """
        self._driver.abort(text)
        self._close()

    def __enter__(self) -> SCUAssociation:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.release()
        else:
            self.abort(f"the local user failed: {error!r}")

    def _run(self, until: Callable[[], bool]) -> None:
        """Run the driver until then; raise what ended the association if that came first."""
        driver = self._driver
        driver.run(lambda: driver.end is not None or until())
        if driver.end is not None and not until():
            # The peer may have bytes of ours to take still, and the caller has their source.
            driver.settle()
            raise failure(driver.end)

    def _close(self) -> None:
        """Wait for the connection to go, and tell the handler, once."""
        if self._driver.settle():
            with self._driver.lock:
                closed, self._closed = self._closed, True
            if not closed:
                self._driver.perform(self._performer.close())
