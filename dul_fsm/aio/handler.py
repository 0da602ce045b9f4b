"""The `Handler` of asyncio: the same object, of which any method may be a coroutine function.

`dul_fsm.services.handler.Handler` works as well. This one is that one, with types that let a
coroutine function override a method: only a driver that awaits may be given such a handler.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from dul_fsm.association import Aborted, Message, Released, Sink
from dul_fsm.negotiation import Chooser, Window
from dul_fsm.pdu import AAssociateRQ, UserIdentityAC, UserIdentityRQ
from dul_fsm.services import handler
from dul_fsm.services.outcomes import (
    Accept,
    DataSetLike,
    Destination,
    Instance,
    Matches,
    Pending,
    Reject,
    Reply,
    Retrieval,
)

T = TypeVar("T")

Perhaps: TypeAlias = T | Awaitable[T]
"""What a function returns that may be a coroutine function."""

AsyncMatches: TypeAlias = "AsyncIterator[DataSetLike | Pending]"
Instances: TypeAlias = Retrieval | Sequence[Instance]

if TYPE_CHECKING:

    class Handler:
        """An Application Entity's side of one association; override what you provide.

        See `services.handler.Handler` for what each method is for. `c_find_requested` may be an
        asynchronous generator, and so may be the instances that are retrieved. Sinks are plain: a
        fragment is copied or written at once.
        """

        choose: Chooser
        window: Window
        peer: str
        request: AAssociateRQ | None

        def user_identified(
            self, identity: UserIdentityRQ
        ) -> Perhaps[bool | Reject | UserIdentityAC]: ...

        def associate_requested(self, request: AAssociateRQ) -> Perhaps[Accept | Reject]: ...

        def open_sink(self, message: Message) -> Perhaps[Sink]: ...

        def c_echo_requested(self, message: Message) -> Perhaps[int]: ...

        def c_store_requested(self, message: Message) -> Perhaps[int]: ...

        def c_find_requested(
            self, message: Message
        ) -> AsyncMatches | Perhaps[int | Matches | AsyncMatches]: ...

        def c_get_requested(self, message: Message) -> Perhaps[int | Instances]: ...

        def c_move_requested(self, message: Message) -> Perhaps[int | Instances]: ...

        def move_destination(self, ae_title: str) -> Perhaps[Destination | None]: ...

        def n_event_report_requested(self, message: Message) -> Perhaps[int | Reply]: ...

        def n_get_requested(self, message: Message) -> Perhaps[int | Reply]: ...

        def n_set_requested(self, message: Message) -> Perhaps[int | Reply]: ...

        def n_action_requested(self, message: Message) -> Perhaps[int | Reply]: ...

        def n_create_requested(self, message: Message) -> Perhaps[int | Reply]: ...

        def n_delete_requested(self, message: Message) -> Perhaps[int | Reply]: ...

        def answered(self, message: Message) -> Perhaps[None]: ...

        def released(self, event: Released) -> Perhaps[None]: ...

        def aborted(self, event: Aborted) -> Perhaps[None]: ...

        def closed(self) -> Perhaps[None]: ...

    AnyHandler: TypeAlias = Handler | handler.Handler

else:

    class Handler(handler.Handler):
        __doc__ = handler.Handler.__doc__

    AnyHandler = handler.Handler
