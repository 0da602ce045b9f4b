"""What came of an operation, as its SCU wants to know it: identifiers, numbers, or an error.

Rules: a warning is no failure, for what was asked for was done; a final response says what a
retrieval moved, whatever its pending ones have said.

Not here: invoking and waiting (`scu`, `dul_fsm.aio`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from dul_fsm.association import Message
from dul_fsm.dimse.status import CANCEL, StatusCategory, category, describe
from dul_fsm.errors import DataSetError, DULError
from dul_fsm.value import value

if TYPE_CHECKING:
    from pydicom import Dataset


class OperationFailed(DULError):
    """The peer answered with a failure; the text says which, and why as far as it said."""

    def __init__(self, message: Message) -> None:
        command: Any = message.command
        comment = getattr(command, "error_comment", None) or ""
        error_id = getattr(command, "error_id", None)
        text = f"{command.name.removesuffix('-RSP')}: {describe(message.status, command.name)}"
        if error_id is not None:
            text += f", error id {error_id:04X}H"
        super().__init__(f"{text}: {comment}" if comment else text)
        self.status: int = message.status
        """The status of the response (PS3.7 Annex C)."""
        self.comment: str = comment
        """Its Error Comment; empty if it had none."""
        self.error_id: int | None = error_id
        """Its Error ID."""
        self.response = message
        """The response."""


def done(response: Message) -> Message:
    """A final response that is no failure; raises `OperationFailed` for one that is."""
    if category(response.status) is StatusCategory.FAILURE:
        raise OperationFailed(response)
    return response


# C-FIND ------------------------------------------------------------------------------------------


def match_of(response: Message) -> Dataset | None:
    """The identifier of a match; None for the final response. Raises `OperationFailed`.

    Raises `DataSetError` for an identifier that cannot be decoded.
    """
    if category(response.status) is StatusCategory.PENDING:
        return response.decode()
    done(response)
    return None


# C-GET and C-MOVE --------------------------------------------------------------------------------


@value
class Progress:
    """How far a C-GET or a C-MOVE has come: numbers of its sub-operations (PS3.4 §C.4.2.1.6)."""

    remaining: int | None
    """None if the peer does not say."""
    completed: int
    failed: int
    warnings: int
    """Completed with a warning."""

    @property
    def says_nothing(self) -> bool:
        """Whether nothing was counted."""
        return not (self.remaining or self.completed or self.failed or self.warnings)


@value
class Retrieved:
    """How a C-GET or a C-MOVE ended."""

    status: int
    """0000H, B000H if sub-operations failed or had warnings, FE00H if it was cancelled."""
    completed: int
    """Instances that arrived, those with a warning not among them."""
    failed: int
    """Instances that did not."""
    warnings: int
    """Instances that arrived with a warning."""
    remaining: int | None = None
    """Instances that a C-CANCEL spared, where the peer says so."""
    failed_sop_instance_uids: tuple[str, ...] = ()
    """Which did not arrive, as far as the peer says so."""

    @property
    def ok(self) -> bool:
        """Whether all of it arrived."""
        return not self.failed and self.status != CANCEL


def progress_of(response: Message) -> Progress:
    """The numbers of a response to a C-GET or a C-MOVE."""
    command: Any = response.command
    return Progress(
        command.number_of_remaining_suboperations,
        command.number_of_completed_suboperations or 0,
        command.number_of_failed_suboperations or 0,
        command.number_of_warning_suboperations or 0,
    )


class Tally:
    """Takes the responses to a C-GET or a C-MOVE as they come, and tells how it ended."""

    def __init__(self, progress: Callable[[Progress], object] = lambda progress: None) -> None:
        """`progress` is told the numbers of each pending response."""
        self._progress = progress
        self._before: Progress | None = None
        self._final: Message | None = None

    def take(self, response: Message) -> None:
        """The next response."""
        if category(response.status) is StatusCategory.PENDING:
            self._before = progress_of(response)
            self._progress(self._before)
        else:
            self._final = response

    def result(self) -> Retrieved:
        """How it ended; call it after the final response. Raises `OperationFailed`."""
        final = self._final
        if final is None:
            raise LookupError("there was no final response yet")
        done(final)
        numbers = progress_of(final)
        # A final response may leave its numbers out: then those before it hold.
        if numbers.says_nothing and self._before is not None:
            numbers = self._before
        return Retrieved(
            final.status,
            numbers.completed,
            numbers.failed,
            numbers.warnings,
            numbers.remaining if final.status == CANCEL else None,
            _failed(final),
        )


def _failed(final: Message) -> tuple[str, ...]:
    if not final.command.has_data_set:
        return ()
    try:
        listed = final.decode().get("FailedSOPInstanceUIDList") or ()
    except DataSetError:
        return ()  # the numbers are told all the same
    return (str(listed),) if isinstance(listed, str) else tuple(str(uid) for uid in listed)


def scp_roles(sop_class_uids: Iterable[str]) -> dict[str, tuple[bool, bool]]:
    """The `roles` of an association that stores what a C-GET brings (PS3.4 §C.5.3).

    `sop_class_uids`: those of the instances that may come; each needs a context as well.
    """
    return {uid: (False, True) for uid in sop_class_uids}
