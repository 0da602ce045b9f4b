"""What the tests of services share: UIDs, and instances that count what is done to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dul_fsm.association import Aborted, Message, Released, Sink
from dul_fsm.dimse import SourceLike
from dul_fsm.services.handler import Handler, Instance
from dul_fsm.services.sop_classes import choose_any

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
JPEG = "1.2.840.10008.1.2.4.50"
BUG = ValueError("Doe^John has no such attribute")


class Shelf:
    """Makes instances, and counts which were opened and left."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.left: list[str] = []
        self.syntaxes: list[str] = []

    def instance(
        self,
        uid: str,
        *,
        sop_class_uid: str = CT,
        transfer_syntaxes: tuple[str, ...] = (EXPLICIT,),
        data: Callable[[], SourceLike] = lambda: b"image",
    ) -> Instance:
        @contextmanager
        def opener(transfer_syntax: str) -> Iterator[SourceLike]:
            self.opened.append(uid)
            self.syntaxes.append(transfer_syntax)
            try:
                yield data()
            finally:
                self.left.append(uid)

        return Instance(
            sop_class_uid=sop_class_uid,
            sop_instance_uid=uid,
            transfer_syntaxes=transfer_syntaxes,
            open=opener,
        )

    def instances(self, count: int) -> list[Instance]:
        return [self.instance(f"1.2.{index}") for index in range(1, count + 1)]


class Told(Handler):
    """Accepts everything, and lists how its association ended."""

    choose = staticmethod(choose_any(lambda uid: True))

    def __init__(self) -> None:
        self.ends: list[Released | Aborted] = []

    def released(self, event: Released) -> None:
        self.ends.append(event)

    def aborted(self, event: Aborted) -> None:
        self.ends.append(event)


class Store(Told):
    """Stores in memory, and answers what it is told to."""

    def __init__(self, statuses: dict[str, int] | None = None) -> None:
        super().__init__()
        self.stored: list[Message] = []
        self.statuses = statuses or {}
        self.on_store: Callable[[Message], Any] = lambda message: None

    @property
    def uids(self) -> list[str]:
        return [uid_of(message) for message in self.stored]

    def open_sink(self, message: Message) -> Sink:
        return super().open_sink(message)

    def c_store_requested(self, message: Message) -> int:
        self.stored.append(message)
        self.on_store(message)
        return self.statuses.get(uid_of(message), 0)


def uid_of(message: Message) -> str:
    command: Any = message.command
    uid: str = command.affected_sop_instance_uid
    return uid


def numbers(message: Message) -> tuple[int | None, ...]:
    """Remaining, completed, failed, warnings."""
    command: Any = message.command
    return (
        command.number_of_remaining_suboperations,
        command.number_of_completed_suboperations,
        command.number_of_failed_suboperations,
        command.number_of_warning_suboperations,
    )


def failed(message: Message) -> list[str]:
    """The Failed SOP Instance UID List of a final response."""
    if not message.command.has_data_set:
        return []
    value = message.decode().FailedSOPInstanceUIDList
    return [value] if isinstance(value, str) else list(value)
