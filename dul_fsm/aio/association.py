"""An asyncio association for a service class user: it runs in the tasks that wait for it.

    async with associate("127.0.0.1", 11112, contexts=[VERIFICATION]) as association:
        response = await association.c_echo()

The methods, what they return and what they raise are those of `dul_fsm.scu`. One task at a time
invokes operations; any may `abort`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import cast

from dul_fsm.aio.handler import AnyHandler
from dul_fsm.aio.opening import Opening
from dul_fsm.association import Aborted, Association, Message, Operation, ResponseReceived
from dul_fsm.dimse import Priority, SourceLike
from dul_fsm.drivers.aio import AsyncDriver
from dul_fsm.drivers.requestor import (
    DEFAULT_CALLED_AE_TITLE,
    DEFAULT_CALLING_AE_TITLE,
    Invocation,
    Requestor,
    endpoint_of,
    failure,
)
from dul_fsm.files import open_data_set, read_part10
from dul_fsm.files.contexts import contexts_of
from dul_fsm.negotiation import ContextLike
from dul_fsm.pdu import DEFAULT_MAXIMUM_LENGTH, UserIdentityRQ
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
    user_identity: UserIdentityRQ | None = None,
    time_limits: TimeLimits | None = None,
    handler: AnyHandler | None = None,
    observer: Callable[[Observation], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Opening[SCUAssociation]:
    """Open an association: `await` it, or enter it with `async with`.

    Arguments and exceptions as those of `dul_fsm.scu.associate`. `peer`: a host name or address
    with `port`, or any `AsyncConnector`, `TCP` and `Loopback` among them. `handler`: its methods
    may be coroutine functions.
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
            contexts=[*contexts, *contexts_of(files)],
            calling_ae_title=calling_ae_title,
            called_ae_title=called_ae_title,
            roles=roles,
            user_identity=user_identity,
        )
        return association

    return Opening(open)


class SCUAssociation(Requestor):
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
        self._given_up: Operation | None = None  # a C-FIND that nobody waits for any more
        self._closed = False

    async def open(
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
            await self._run(lambda: self._association.established)
        except BaseException:
            await self.abort("the association was given up")
            raise

    # Operations ---------------------------------------------------------------------------------

    async def c_echo(self) -> Message:
        """C-ECHO (PS3.7 §9.1.5); the response, with its status."""
        return await self._invoke(self._echo())

    async def c_store(
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
        `dimse.Source`. It leaves as it is, uncopied. It is read in the event loop.
        """
        return await self._invoke(
            self._store(sop_class_uid, sop_instance_uid, transfer_syntax, data, priority)
        )

    async def c_store_file(
        self, path: str | os.PathLike[str], *, priority: int = Priority.MEDIUM
    ) -> Message:
        """C-STORE of the data set in a Part 10 file, as it is; the response, with its status.

        Raises `NotStorable` for a file that is none, `ContextNotAccepted` if the peer does not
        take it in the transfer syntax that it is in.
        """
        head = read_part10(path)
        with open_data_set(head) as data:
            return await self.c_store(
                head.sop_class_uid,
                head.sop_instance_uid,
                head.transfer_syntax_uid,
                data,
                priority=priority,
            )

    def c_find(
        self, sop_class_uid: str, identifier: bytes, *, priority: int = Priority.MEDIUM
    ) -> Responses:
        """C-FIND (PS3.7 §9.1.2): each pending response as it comes, at last the final one.

        `identifier` is encoded in the transfer syntax of `context_for(sop_class_uid)`. To leave
        the loop early is enough: before its next operation, or its release, the association sends
        a C-CANCEL and takes the final response. `aclose` does that at once.
        """
        return Responses(self, lambda: self._find(sop_class_uid, identifier, priority))

    async def _invoke(self, invocation: Invocation) -> Message:
        operation = await self._send_request(invocation)
        response = await self._next_response(operation)
        # An early answer does not end the sending: what `data` lends must be the caller's again.
        await self._run(lambda: not self._association.lends(operation))
        return response.message

    async def _send_request(self, invocation: Invocation) -> Operation:
        self._driver.check_outside()
        await self._cancel_given_up()
        if self._association.ended:
            await self._run(lambda: False)
        return self._association.send_request(*invocation)

    async def _next_response(self, operation: Operation) -> ResponseReceived:
        responses = operation.responses
        await self._run(lambda: bool(responses))
        return responses.popleft()

    def _give_up(self, operation: Operation) -> None:
        self._given_up = operation

    async def _cancel_given_up(self) -> None:
        operation, self._given_up = self._given_up, None
        if operation is not None and self.established:
            self._association.send_cancel(operation.context, operation.request.message_id)
            while not (await self._next_response(operation)).final:
                pass

    # The end ------------------------------------------------------------------------------------

    async def release(self) -> None:
        """Release the association in order and wait until it is (PS3.8 §7.2).

        Nothing happens if it has ended. Raises `AssociationAborted` if it ends otherwise.
        """
        driver, association = self._driver, self._association
        driver.check_outside()
        if driver.end is None:
            try:
                await self._cancel_given_up()
                if association.established:
                    association.send_release_request(self._clock())
                await driver.run(lambda: driver.end is not None)
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

    async def _run(self, until: Callable[[], bool]) -> None:
        """Run the driver until then; raise what ended the association if that came first.

        When this is cancelled the association is aborted: what was begun cannot be taken back.
        """
        driver = self._driver
        try:
            await driver.run(lambda: driver.end is not None or until())
            if driver.end is None or until():
                return
            # The peer may have bytes of ours to take still, and the caller has their source.
            await driver.settle()
        except Exception:
            raise
        except BaseException as error:
            await self.abort(f"the local user failed: {error!r}")
            raise
        raise failure(driver.end)

    async def _close(self) -> None:
        """Wait for the connection to go, and tell the handler, once."""
        settled = True
        try:
            settled = await self._driver.settle()
        finally:
            if settled and not self._closed:
                self._closed = True
                await self._driver.perform(self._performer.close())


class Responses:
    """The responses to a C-FIND, as they come; the final one is the last."""

    def __init__(self, association: SCUAssociation, prepare: Callable[[], Invocation]) -> None:
        self._association = association
        self._prepare = prepare
        self._operation: Operation | None = None
        self._done = False

    def __aiter__(self) -> Responses:
        return self

    async def __anext__(self) -> Message:
        if self._done:
            raise StopAsyncIteration
        association = self._association
        try:
            if self._operation is None:
                self._operation = await association._send_request(self._prepare())
            response = await association._next_response(self._operation)
        except BaseException:
            self._done = True
            raise
        self._done = response.final
        return response.message

    async def aclose(self) -> None:
        """Cancel what is still to come, and take the final response."""
        self._end()
        await self._association._cancel_given_up()

    def _end(self) -> None:
        if self._operation is not None and not self._done:
            self._association._give_up(self._operation)
        self._done = True

    def __del__(self) -> None:
        # Whoever leaves an `async for` early leaves it to us, and nothing can be awaited here.
        self._end()
