"""A blocking association for a service class user: it runs in its callers' threads.

    with associate("127.0.0.1", 11112, contexts=[VERIFICATION]) as association:
        response = association.c_echo()

A method returns when its response is there, and raises a child of `AssociationError` if the
association ended instead: `AssociationRejected`, `AssociationAborted`, `AssociationReleased`.
Leaving the `with` block releases the association, or aborts it when an exception leaves.

Several threads may use one association: as many operations are in flight at once as were
negotiated (`window`), and whoever would invoke one more waits. `begin` has several in flight from
one thread.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import cast

from dul_fsm.association import Aborted, Association, Message
from dul_fsm.dimse import Priority
from dul_fsm.drivers.blocking import BlockingDriver
from dul_fsm.drivers.invocations import Invocation
from dul_fsm.drivers.requestor import (
    DEFAULT_CALLED_AE_TITLE,
    DEFAULT_CALLING_AE_TITLE,
    Invoked,
    Proposal,
    SourceFailed,
    endpoint_of,
    failure,
    first_answered,
)
from dul_fsm.drivers.service_user import ServiceUser
from dul_fsm.errors import AssociationError
from dul_fsm.negotiation import SYNCHRONOUS, ContextLike, Window
from dul_fsm.pdu import (
    DEFAULT_MAXIMUM_LENGTH,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityRQ,
)
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
    window: Window = SYNCHRONOUS,
    user_identity: UserIdentityRQ | None = None,
    extended_negotiations: Sequence[SOPClassExtendedNegotiation] = (),
    common_extended_negotiations: Sequence[SOPClassCommonExtendedNegotiation] = (),
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
    `roles`: SOP Class UID to (SCU, SCP) roles offered (PS3.7 §D.3.3.4). `window`: the operations to
    have under way at once; the peer may agree to fewer (PS3.7 §D.3.3.3). `user_identity`: who asks
    (PS3.7 §D.3.3.7). `extended_negotiations`, `common_extended_negotiations`: what the service
    classes want to tell the peer (PS3.7 §D.3.3.5, §D.3.3.6). `handler`: performs what the peer
    requests, where a role lets it.

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
        Proposal(
            contexts=[*contexts, *_contexts_of(files)],
            calling_ae_title=calling_ae_title,
            called_ae_title=called_ae_title,
            roles=roles,
            window=window,
            user_identity=user_identity,
            extended_negotiations=extended_negotiations,
            common_extended_negotiations=common_extended_negotiations,
        )
    )
    return association


def _contexts_of(files: Iterable[str | os.PathLike[str]]) -> list[ContextLike]:
    """A context for each SOP Class and transfer syntax that is among the files."""
    paths = list(files)
    if not paths:
        return []
    from dul_fsm.files.contexts import contexts_of  # an echo does not pay for it

    return contexts_of(paths)


class SCUAssociation(ServiceUser[Message, Iterator[Message]]):
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
        self._turn = threading.Lock()  # to invoke the next operation
        self._driver = BlockingDriver(
            association, self._performer, connect=connector.connect, clock=clock
        )

    def open(self, proposal: Proposal) -> None:
        """Request the association and wait for the answer; `associate` has called this."""
        self._request(proposal)
        try:
            self._run(lambda: self._association.established)
        except BaseException:
            self.abort("the association was given up")
            raise

    # Operations ---------------------------------------------------------------------------------

    def begin(self, invocation: Invocation) -> BlockingOperation:
        """Send a request, as soon as fewer operations are in flight than were negotiated.

        `invocation`: what `echo_request`, `store_request` and their like return. What it lends must
        not change before `response` has returned.
        """
        operation = self._begin(invocation)
        try:
            self._driver.push()
        except SourceFailed:
            self._end_after_failure()
            operation.check_source()
        return operation

    def first_answered(self, operations: Sequence[BlockingOperation]) -> BlockingOperation:
        """Wait until the `response` of one of these need not be waited for, and return that one.

        Raises what ended the association if that came first. `operations`: one at least.
        """
        self._run(lambda: first_answered(operations) is not None)
        return cast(BlockingOperation, first_answered(operations))

    def _begin(self, invocation: Invocation) -> BlockingOperation:
        driver = self._driver
        driver.check_outside()
        with self._turn:
            while True:
                with driver.lock:
                    if self._has_room():
                        return BlockingOperation(self, self._send(invocation))
                self._run(self._has_room)

    def _invoke(self, make: Callable[[], Invocation]) -> Message:
        return self._begin(self._make(make)).response()

    def _invoke_each(self, make: Callable[[], Invocation]) -> Generator[Message]:
        operation = self._begin(self._make(make))
        try:
            yield from operation
        finally:
            operation.close()

    def _make(self, make: Callable[[], Invocation]) -> Invocation:
        if self._association.ended:
            self._run(lambda: False)
        return make()

    def c_store_file(
        self, path: str | os.PathLike[str], *, priority: int = Priority.MEDIUM
    ) -> Message:
        """C-STORE of the data set in a Part 10 file, as it is; the response, with its status.

        Raises `NotStorable` for a file that is none, `ContextNotAccepted` if the peer does not
        take it in the transfer syntax that it is in.
        """
        from dul_fsm.files import Part10Source, read_part10

        head = read_part10(path)
        with Part10Source(head) as data:
            return self.c_store(
                head.sop_class_uid,
                head.sop_instance_uid,
                head.transfer_syntax_uid,
                data,
                priority=priority,
            )

    def serve(self, until: Callable[[], bool] | None = None, timeout: float | None = None) -> bool:
        """Perform what the peer requests, by the handler given to `associate`.

        Until `until` holds, which is asked whenever something has happened; or `timeout` seconds
        have passed, or the association has ended. Returns whether `until` holds. So a Storage
        Commitment SCU waits for its N-EVENT-REPORT on the same association (PS3.4 §J.3.3).
        """
        driver, holds = self._driver, until or (lambda: False)
        by = None if timeout is None else self._clock() + timeout
        try:
            driver.run(lambda: driver.end is not None or holds(), by)
        except SourceFailed:
            self._end_after_failure()
        return holds()

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
                self._run(lambda: driver.end is not None)
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

    def _run(self, until: Callable[[], bool], invoked: Invoked | None = None) -> None:
        """Run the driver until then; raise what ended the association if that came first."""
        driver = self._driver
        ran = driver.end is None and until()  # as it often is: nothing need be run
        while not ran:
            try:
                driver.run(lambda: driver.end is not None or until())
                ran = True
            except SourceFailed:
                self._end_after_failure()
                if invoked is not None and invoked.failure is not None:
                    raise invoked.failure from None
        if driver.end is not None and not until():
            # The peer may have bytes of ours to take still, and the caller has their source.
            driver.settle()
            if invoked is not None and invoked.failure is not None:
                raise invoked.failure
            raise failure(driver.end)

    def _end_after_failure(self) -> None:
        """A source has failed, whosever it is, and the association is aborted: let that leave."""
        self._driver.abort("")
        self._driver.settle()

    def _close(self) -> None:
        """Wait for the connection to go, and tell the handler, once."""
        if self._driver.settle():
            with self._driver.lock:
                closed, self._closed = self._closed, True
            if not closed:
                self._driver.perform(self._performer.close())


class BlockingOperation:
    """An operation that was invoked: its responses, as they come; the final one is the last."""

    def __init__(self, association: SCUAssociation, invoked: Invoked) -> None:
        self._association = association
        self._invoked = invoked
        self._operation = invoked.operation
        self._final: Message | None = None
        self.done = False
        """Whether no response will come any more."""

    @property
    def answered(self) -> bool:
        """Whether the final response is there, and what the data set lends the caller's again."""
        if self.done or not self._operation.responses:  # as it mostly is when it is asked
            return self.done
        return self._association._is_answered(self._invoked)

    def response(self) -> Message:
        """The final response; pending ones that were not taken are passed over."""
        while self._final is None:
            self._take()
        return self._final

    def __iter__(self) -> BlockingOperation:
        return self

    def __next__(self) -> Message:
        """The next response; `StopIteration` after the final one."""
        if self.done:
            raise StopIteration
        return self._take()

    def _take(self) -> Message:
        association, invoked, operation = self._association, self._invoked, self._operation
        try:
            responses, lends = operation.responses, association._association.lends
            if not responses:
                association._run(lambda: bool(responses), invoked)
            response = responses.popleft()
            if response.final:
                # An early answer does not end the sending: what the data set lends must be the
                # caller's again.
                if lends(operation):
                    association._run(lambda: not lends(operation), invoked)
                self._final, self.done = response.message, True
        except AssociationError:
            self.done = True
            raise
        return response.message

    def cancel(self) -> None:
        """Send a C-CANCEL (PS3.7 §9.3.2.3); the final response still comes.

        Nothing is sent for a service without one, or after the final response.
        """
        with self._association._driver.lock:
            self._association._cancel(self._operation)
        self._association._driver.push()

    def close(self) -> None:
        """Cancel what is still to come, and take the final response."""
        if not self.done and self._association.established:
            self.cancel()
            self.response()

    def check_source(self) -> None:
        """Raise what the source of the data set raised, if it did."""
        if self._invoked.failure is not None:
            raise self._invoked.failure from None
