"""An asyncio association for a service class user: it runs in the tasks that wait for it.

    async with associate("127.0.0.1", 11112, contexts=[VERIFICATION]) as association:
        response = await association.c_echo()

The methods, what they return and what they raise are those of `dul_fsm.scu`.

Several tasks may use one association: as many operations are in flight at once as were negotiated
(`window`), and whoever would invoke one more waits.

A task that is cancelled while it waits for a response gives up its operation: a C-CANCEL leaves if
the service has one, and its responses are dropped when they come. What cannot be taken back aborts
the association: a data set of more than 64 KiB, or not in `bytes`, that has not wholly left, and a
handler that was performing something.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, cast

from dul_fsm.aio.handler import AnyHandler
from dul_fsm.aio.opening import Opening
from dul_fsm.association import Aborted, Association, Message
from dul_fsm.dimse import Priority
from dul_fsm.drivers.aio import AsyncDriver
from dul_fsm.drivers.invocations import Invocation
from dul_fsm.drivers.loop import ABORT_PATIENCE
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
from dul_fsm.files import Part10Source, read_part10
from dul_fsm.files.contexts import contexts_of
from dul_fsm.negotiation import SYNCHRONOUS, ContextLike, Window
from dul_fsm.pdu import (
    DEFAULT_MAXIMUM_LENGTH,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityRQ,
)
from dul_fsm.services import handler as services
from dul_fsm.services.sop_classes import VERIFICATION
from dul_fsm.timers import TimeLimits
from dul_fsm.transports.aio import AsyncConnector
from dul_fsm.upper_layer import Observation


def associate(
    peer: str | AsyncConnector,
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
    handler: AnyHandler | None = None,
    observer: Callable[[Observation], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Opening[SCUAssociation]:
    """Open an association: `await` it, or enter it with `async with`.

    Arguments and exceptions as those of `dul_fsm.scu.associate`. `peer`: a host name or address
    with `port`, or any `AsyncConnector`, `TCP`, `TLS` and `Loopback` among them. `handler`: its
    methods may be coroutine functions.
    """
    connector = endpoint_of(peer, port)

    async def open() -> SCUAssociation:
        association = SCUAssociation(
            connector,
            handler or services.Handler(),
            Association(
                requestor=True,
                maximum_length=maximum_length,
                time_limits=time_limits,
                observer=observer,
            ),
            clock,
        )
        await association.open(
            Proposal(
                contexts=[*contexts, *contexts_of(files)],
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

    return Opening(open)


class SCUAssociation(ServiceUser[Coroutine[Any, Any, Message], "AsyncOperation"]):
    """An established association; get one from `associate`."""

    def __init__(
        self,
        connector: AsyncConnector,
        handler: AnyHandler,
        association: Association,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(association, cast(services.Handler, handler), clock)
        self._driver = AsyncDriver(
            association, self._performer, connect=connector.connect_async, clock=clock
        )
        self._turn = asyncio.Lock()  # to invoke the next operation
        self._closed = False

    async def open(self, proposal: Proposal) -> None:
        """Request the association and wait for the answer; `associate` has called this."""
        self._request(proposal)
        try:
            await self._run(lambda: self._association.established)
        except BaseException:
            await self.abort("the association was given up")
            raise

    # Operations ---------------------------------------------------------------------------------

    async def begin(self, invocation: Invocation) -> AsyncOperation:
        """Send a request, as soon as fewer operations are in flight than were negotiated.

        `invocation`: what `echo_request`, `store_request` and their like return. What it lends must
        not change before `response` has returned.
        """
        operation = AsyncOperation(self, lambda: invocation)
        await operation.begin()
        try:
            await self._driver.push()
        except SourceFailed:
            await self._end_after_failure()
            operation.check_source()
        except BaseException:
            await operation.give_up()
            raise
        return operation

    async def first_answered(self, operations: Sequence[AsyncOperation]) -> AsyncOperation:
        """Wait until the `response` of one of these need not be waited for, and return that one.

        Raises what ended the association if that came first. `operations`: one at least.
        """
        await self._run(lambda: first_answered(operations) is not None)
        return cast(AsyncOperation, first_answered(operations))

    async def _begin(self, make: Callable[[], Invocation]) -> Invoked:
        self._driver.check_outside()
        if self._association.ended:
            await self._run(lambda: False)
        invocation = make()
        self._cancel_given_up()
        async with self._turn:
            while not self._has_room():
                await self._run(self._has_room)
            return self._send(invocation)

    async def _invoke(self, make: Callable[[], Invocation]) -> Message:
        return await AsyncOperation(self, make).response()

    def _invoke_each(self, make: Callable[[], Invocation]) -> AsyncOperation:
        return AsyncOperation(self, make)

    async def c_store_file(
        self, path: str | os.PathLike[str], *, priority: int = Priority.MEDIUM
    ) -> Message:
        """C-STORE of the data set in a Part 10 file, as it is; the response, with its status.

        Raises `NotStorable` for a file that is none, `ContextNotAccepted` if the peer does not
        take it in the transfer syntax that it is in.
        """
        head = read_part10(path)
        with Part10Source(head) as data:
            return await self.c_store(
                head.sop_class_uid,
                head.sop_instance_uid,
                head.transfer_syntax_uid,
                data,
                priority=priority,
            )

    async def serve(
        self, until: Callable[[], bool] | None = None, timeout: float | None = None
    ) -> bool:
        """Perform what the peer requests, by the handler given to `associate`.

        Until `until` holds, which is asked whenever something has happened; or `timeout` seconds
        have passed, or the association has ended. Returns whether `until` holds. So a Storage
        Commitment SCU waits for its N-EVENT-REPORT on the same association (PS3.4 §J.3.3).
        """
        driver, holds = self._driver, until or (lambda: False)
        by = None if timeout is None else self._clock() + timeout
        try:
            await driver.run(lambda: driver.end is not None or holds(), by)
        except SourceFailed:
            await self._end_after_failure()
        except asyncio.CancelledError as error:
            if driver.torn:
                await self.abort(f"the local user failed: {error!r}")
            raise
        return holds()

    # The end ------------------------------------------------------------------------------------

    async def release(self) -> None:
        """Release the association in order and wait until it is (PS3.8 §7.2).

        Nothing happens if it has ended. Raises `AssociationAborted` if it ends otherwise.
        """
        driver, association = self._driver, self._association
        driver.check_outside()
        if driver.end is None:
            try:
                await self._take_given_up()
                if association.established:
                    association.send_release_request(self._clock())
                await self._run(lambda: driver.end is not None)
            except BaseException as error:
                await self.abort(f"the local user failed: {error!r}")
                raise
            if isinstance(driver.end, Aborted):
                await self._close()
                raise failure(driver.end)
        await self._close()

    async def abort(self, text: str = "aborted by the local user") -> None:
        """Abort the association (PS3.8 §7.3), from any task; nothing happens if it has ended.

        Returns within a few seconds. A call that waits in another task raises
        `AssociationAborted`. When this is cancelled the connection is closed at once.
        """
        try:
            await self._driver.abort(text)
        finally:
            await self._close()

    async def __aenter__(self) -> SCUAssociation:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            await self.release()
        else:
            await self.abort(f"the local user failed: {error!r}")

    async def _take_given_up(self) -> None:
        """Wait for the final responses of what was given up."""
        given_up = [operation for operation in self._given_up if self._in_flight(operation)]
        if given_up and self.established:
            self._cancel_given_up()
            end = self._association
            await self._run(lambda: end.ended or not any(map(self._in_flight, given_up)))

    async def _run(self, until: Callable[[], bool], invoked: Invoked | None = None) -> None:
        """Run the driver until then; raise what ended the association if that came first.

        When this is cancelled the association is aborted if it is not what it was before.
        """
        driver, ran = self._driver, False
        try:
            while not ran:
                try:
                    await driver.run(lambda: driver.end is not None or until())
                    ran = True
                except SourceFailed:
                    await self._end_after_failure()
                    if invoked is not None and invoked.failure is not None:
                        raise invoked.failure from None
            if driver.end is None or until():
                return
            # The peer may have bytes of ours to take still, and the caller has their source.
            await driver.settle()
        except Exception:
            raise
        except BaseException as error:
            if driver.torn or driver.end is not None:
                await self.abort(f"the local user failed: {error!r}")
            raise
        if invoked is not None and invoked.failure is not None:
            raise invoked.failure
        raise failure(driver.end)

    async def _end_after_failure(self) -> None:
        """A source has failed, whosever it is, and the association is aborted: let that leave."""
        await self._driver.abort("")
        await self._driver.settle()

    async def _close(self) -> None:
        """Wait for the connection to go, and tell the handler, once."""
        settled = True
        try:
            settled = await self._driver.settle()
        finally:
            if settled and not self._closed:
                self._closed = True
                await self._driver.perform(self._performer.close())


class AsyncOperation:
    """An operation that is invoked: its responses, as they come; the final one is the last.

    Those of `c_find`, `c_get` and `c_move` are invoked by the first `anext`. To leave an
    `async for` early is enough to cancel: a C-CANCEL leaves before the next operation, and the
    final response is taken before a release. `aclose` does both at once.
    """

    def __init__(self, association: SCUAssociation, make: Callable[[], Invocation]) -> None:
        self._association = association
        self._make = make
        self._invoked: Invoked | None = None
        self._final: Message | None = None
        self.done = False
        """Whether no response will come any more, or will be told."""

    async def begin(self) -> Invoked:
        """Send the request, if that was not done before."""
        if self._invoked is None:
            self._invoked = await self._association._begin(self._make)
        return self._invoked

    @property
    def answered(self) -> bool:
        """Whether the final response is there, and what the data set lends the caller's again."""
        if self.done or self._invoked is None:
            return self.done
        return self._association._is_answered(self._invoked)

    async def response(self) -> Message:
        """The final response; pending ones that were not taken are passed over."""
        while self._final is None:
            await self._take()
        return self._final

    def __aiter__(self) -> AsyncOperation:
        return self

    async def __anext__(self) -> Message:
        """The next response; `StopAsyncIteration` after the final one."""
        if self.done:
            raise StopAsyncIteration
        return await self._take()

    async def _take(self) -> Message:
        association = self._association
        try:
            invoked = await self.begin()
            operation = invoked.operation
            await association._run(lambda: bool(operation.responses), invoked)
            response = operation.responses.popleft()
            if response.final:
                # An early answer does not end the sending: what the data set lends must be the
                # caller's again.
                await association._run(
                    lambda: not association._association.lends(operation), invoked
                )
                self._final, self.done = response.message, True
        except Exception:
            self.done = True
            raise
        except BaseException:
            await self.give_up()
            raise
        return response.message

    async def cancel(self) -> None:
        """Send a C-CANCEL (PS3.7 §9.3.2.3); the final response still comes.

        Nothing is sent for a service without one, or after the final response.
        """
        if self._invoked is not None:
            self._association._cancel(self._invoked.operation)
            await self._association._driver.push()

    async def aclose(self) -> None:
        """Cancel what is still to come, and take the final response."""
        self._end()
        await self._association._take_given_up()

    async def give_up(self) -> None:
        """Nobody waits for it any more. Aborts the association if it cannot be taken back."""
        association, invoked = self._association, self._invoked
        if invoked is None or association._association.ended:
            return
        if invoked.lent and association._association.lends(invoked.operation):
            await association.abort("a data set that was being sent was given up")
            return
        self._end()
        association._cancel_given_up()
        if association._driver.led:  # else it leaves with what is sent next
            by = association._clock() + ABORT_PATIENCE
            await association._driver.push(by)

    def check_source(self) -> None:
        """Raise what the source of the data set raised, if it did."""
        if self._invoked is not None and self._invoked.failure is not None:
            raise self._invoked.failure from None

    def _end(self) -> None:
        if self._invoked is not None and not self.done:
            self._association._give_up(self._invoked)
        self.done = True

    def __del__(self) -> None:
        # Whoever leaves an `async for` early leaves it to us, and nothing can be awaited here.
        self._end()
