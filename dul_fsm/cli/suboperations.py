"""How far a C-GET or a C-MOVE is: the counters of its responses, in words (PS3.7 §9.1.3, §9.1.4).

Rules: a counter that a response leaves out is not known, which is not zero. What is done is what
was completed, failed, or was completed with a warning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dul_fsm.value import value

if TYPE_CHECKING:
    from dul_fsm.association import Message

FAILED_SOP_INSTANCE_UID_LIST = 0x00080058


@value
class SubOperations:
    """The counters of a response; None where it has none."""

    remaining: int | None = None
    """C-STOREs that have not begun, 0 to 65535."""
    completed: int | None = None
    failed: int | None = None
    warning: int | None = None

    @property
    def done(self) -> int:
        """How many are over, one way or the other."""
        return sum(one or 0 for one in (self.completed, self.failed, self.warning))

    @property
    def total(self) -> int | None:
        """How many there are; None if it is not known how many remain."""
        return None if self.remaining is None else self.done + self.remaining

    @property
    def known(self) -> bool:
        """Whether there is any counter at all."""
        counters = (self.remaining, self.completed, self.failed, self.warning)
        return any(one is not None for one in counters)


def counters_of(message: Message) -> SubOperations:
    """The counters of a C-GET or C-MOVE response."""
    command = message.command
    return SubOperations(
        *(
            getattr(command, f"number_of_{name}_suboperations", None)
            for name in ("remaining", "completed", "failed", "warning")
        )
    )


def in_words(counters: SubOperations) -> str:
    """How far it is: `12 of 20 done, 1 failed, 2 with a warning`."""
    if not counters.known:
        return "no number of sub-operations was told"
    total = counters.total
    parts = [f"{counters.done} done" if total is None else f"{counters.done} of {total} done"]
    if counters.failed:
        parts.append(f"{counters.failed} failed")
    if counters.warning:
        parts.append(f"{counters.warning} with a warning")
    return ", ".join(parts)


def failed_instances(message: Message) -> list[str]:
    """SOP Instance UIDs that a final response names as failed (PS3.4 §C.4.2.1.4.2)."""
    if not message.data_set:
        return []
    from dul_fsm.errors import DataSetError
    from dul_fsm.query.elements import element_in, texts_of

    try:
        element = element_in(message.decode(), FAILED_SOP_INSTANCE_UID_LIST)
    except DataSetError:
        return []
    return [] if element is None else [uid for uid in texts_of(element) if uid]
