"""One loop for several callers: one of them runs it, the others follow.

Rules
  * Whoever waits for something and finds the loop free leads: it runs the loop until what it waits
    for is there. Then the one that has followed longest leads.
  * A follower sends what is due, its request for one, and is then told by the leader when what it
    waits for is there. The leader may be blocked in a read meanwhile.
  * The leader keeps the time limits. A follower does so where a limit came up that is shorter than
    the read that the leader is blocked in.

Not here: how one is blocked and told (`blocking`, `aio`); what the loop does (`loop`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dul_fsm.drivers.loop import Loop
from dul_fsm.services.steps import Call


class Follower:
    """Somebody who waits while another one runs the loop."""

    __slots__ = ("until", "wake")

    def __init__(self, until: Callable[[], bool], wake: Callable[[], object]) -> None:
        """`until`: what is waited for. `wake`: called, once or more, when it is there."""
        self.until = until
        self.wake = wake


class SharedLoop(Loop):
    """A loop that several may wait for."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        """See `Loop`."""
        super().__init__(*arguments, **keywords)
        self._runner: object = None  # the thread or task that leads
        self._followers: dict[Follower, None] = {}  # in the order in which they came
        self._call: Call | None = None  # what the leader has called last

    # The leader ---------------------------------------------------------------------------------

    def tell_followers(self) -> None:
        """Wake those for whom what they wait for is there."""
        for follower in [one for one in self._followers if one.until()]:
            del self._followers[follower]
            follower.wake()

    def leave(self) -> None:
        """The leader leaves: the next follower may lead."""
        self._runner = None
        self.tell_followers()
        self.wake_next()

    def wake_next(self) -> None:
        """Let the first follower find out that nobody leads."""
        if self._runner is None:
            for follower in self._followers:
                follower.wake()
                break

    def is_io(self, call: Call | None) -> bool:
        """Whether a call of the loop moves bytes, or waits to: it can be made again."""
        function = getattr(call, "func", call)
        if function == self._acquire:
            return True
        transport = self._transport
        return transport is not None and function in (transport.send, transport.receive_into)

    # Followers ----------------------------------------------------------------------------------

    def follow_for(self, by: float | None) -> float | None:
        """Seconds for which a follower may wait before it must look itself; None for no limit."""
        now, times = self._clock(), []
        deadline = self._association.deadline
        if deadline is not None and deadline > now:
            times.append(deadline)
        if by is not None:
            times.append(by)
        return max(0.0, min(times) - now) if times else None

    @property
    def overslept(self) -> bool:
        """Whether a time limit has passed and the leader will not see it in time."""
        deadline, until = self._association.deadline, self._reads_until
        return (
            deadline is not None
            and deadline <= self._clock()
            and self.is_io(self._call)
            and (until is None or until > deadline)
        )
