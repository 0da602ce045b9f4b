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

from dul_fsm.association import (
    Aborted,
    Association,
    Message,
    Origin,
    Rejected,
    Released,
    ResponseReceived,
)
from dul_fsm.dimse import CEchoRQ, CFindRQ, CStoreRQ, Priority, Request, SourceLike
from dul_fsm.drivers.blocking import BlockingDriver, End
from dul_fsm.errors import (
    AssociationAborted,
    AssociationError,
    AssociationRejected,
    AssociationReleased,
    AssociationTimeout,
    TransportFailed,
)
from dul_fsm.negotiation import AcceptedContext, ContextLike, build_request
from dul_fsm.pdu import DEFAULT_MAXIMUM_LENGTH, AAssociateAC, UserIdentityRQ
from dul_fsm.services.handler import Handler
from dul_fsm.services.performer import Performer
from dul_fsm.services.sop_classes import VERIFICATION
from dul_fsm.timers import TimeLimits
from dul_fsm.transports import TCP, Connector
from dul_fsm.upper_layer import Observation

DEFAULT_CALLING_AE_TITLE = "DUL-FSM"
DEFAULT_CALLED_AE_TITLE = "ANY-SCP"


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
    if isinstance(peer, str):
        if port is None:
            raise ValueError("a host needs a port: associate('127.0.0.1', 11112)")
        peer = TCP(peer, port)
    elif port is not None:
        raise ValueError("a port goes with a host name, not with a connector")
    association = SCUAssociation(
        peer,
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
    from dul_fsm.files import read_part10  # an echo does not pay for it

    heads = [read_part10(path) for path in paths]
    pairs = dict.fromkeys((head.sop_class_uid, head.transfer_syntax_uid) for head in heads)
    return [(sop_class, (transfer_syntax,)) for sop_class, transfer_syntax in pairs]


class SCUAssociation:
    """An established association; get one from `associate`."""

    def __init__(
        self,
        connector: Connector,
        handler: Handler,
        association: Association,
        clock: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._closed = False
        self._association = association
        self._performer = Performer(association, handler, clock)
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
        association = self._association
        request = build_request(
            contexts,
            called_ae_title=called_ae_title,
            calling_ae_title=calling_ae_title,
            maximum_length=association.maximum_length,
            roles=roles,
            user_identity=user_identity,
        )
        association.send_associate_request(request, self._clock())
        try:
            self._run(lambda: association.established)
        except BaseException:
            self.abort("the association was given up")
            raise

    # What was agreed ----------------------------------------------------------------------------

    @property
    def contexts(self) -> tuple[AcceptedContext, ...]:
        """The accepted presentation contexts."""
        return tuple(self._association.contexts.values())

    @property
    def answer(self) -> AAssociateAC:
        """The A-ASSOCIATE-AC."""
        answer = self._association.answer
        if answer is None:
            raise AssociationError("no association was established")
        return answer

    @property
    def established(self) -> bool:
        """Whether operations can be invoked."""
        return self._association.established

    def context_for(
        self, sop_class_uid: str, transfer_syntax: str | None = None
    ) -> AcceptedContext:
        """The accepted context for a SOP Class; raises `ContextNotAccepted`."""
        return self._association.context_for(sop_class_uid, transfer_syntax)

    # Operations ---------------------------------------------------------------------------------

    def c_echo(self) -> Message:
        """C-ECHO (PS3.7 §9.1.5); the response, with its status."""
        context = self.context_for(VERIFICATION)
        return self._invoke(context, CEchoRQ(VERIFICATION, self.next_message_id()))

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
        context = self.context_for(sop_class_uid, transfer_syntax)
        request = CStoreRQ(
            affected_sop_class_uid=sop_class_uid,
            message_id=self.next_message_id(),
            priority=priority,
            affected_sop_instance_uid=sop_instance_uid,
        )
        return self._invoke(context, request, data)

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
        context = self.context_for(sop_class_uid)
        request = CFindRQ(
            affected_sop_class_uid=sop_class_uid,
            message_id=self.next_message_id(),
            priority=priority,
        )
        self._send_request(context, request, identifier)
        done = False
        try:
            while not done:
                response = self._next_response()
                done = response.final
                yield response.message
        finally:
            if not done and self.established:
                with self._driver.lock:
                    self._association.send_cancel(context, request.message_id)
                while not self._next_response().final:
                    pass

    def next_message_id(self) -> int:
        """A Message ID that is not in flight, 1 to 65535."""
        return self._association.operations.next_message_id()

    def _invoke(
        self, context: AcceptedContext, request: Request, data: SourceLike | None = None
    ) -> Message:
        self._send_request(context, request, data)
        response = self._next_response()
        # An early answer does not end the sending: what `data` lends must be the caller's again.
        self._run(lambda: not self._association.sending)
        return response.message

    def _send_request(
        self, context: AcceptedContext, request: Request, data: SourceLike | None
    ) -> None:
        self._driver.check_outside()
        if self._association.ended:
            self._run(lambda: False)
        with self._driver.lock:
            self._association.send_request(context, request, data)

    def _next_response(self) -> ResponseReceived:
        responses = self._driver.responses
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


def failure(end: End) -> AssociationError:
    """The exception that says how an association ended."""
    match end:
        case Rejected(result, source, reason, text):
            return AssociationRejected(result, source, reason, f"association rejected: {text}")
        case Released():
            return AssociationReleased("the association was released")
        case Aborted(origin, reason, text):
            kind = {Origin.TRANSPORT: TransportFailed, Origin.TIME_LIMIT: AssociationTimeout}
            said = f"association aborted by {origin.value}: {text}"
            return kind.get(origin, AssociationAborted)(text if origin in kind else said, reason)
