"""Time limits: ARTIM, which the standard owns, and ours, which watch what it leaves unwatched.

PS3.8 §9.1.5 defines one timer, ARTIM, for two waits: an acceptor waiting for the
A-ASSOCIATE-RQ (Sta2) and either side waiting for the peer to close (Sta13). Note 2 of §9.1.4
leaves every other wait to the user. Those limits are ours; when one passes, the user's provider
acts as the user would, by an A-ABORT request (Evt15), and Table 9-10 stays as it is.

Times are seconds on whatever clock the caller reads; only differences matter. Nothing here reads
a clock.
"""

from __future__ import annotations

from dataclasses import fields
from enum import Enum

from dul_fsm.value import value


class TimeLimit(Enum):
    """What a deadline watches."""

    __hash__ = object.__hash__

    ARTIM = "ARTIM"
    CONNECT = "the transport connection did not open in time"
    ASSOCIATION = "no answer to the A-ASSOCIATE-RQ in time"
    PDU = "a PDU that had begun to arrive did not end in time"
    WRITE = "the peer took no byte of what was being sent in time"
    RELEASE = "no answer to the A-RELEASE-RQ in time"
    RESPONSE = "no DIMSE response in time"
    IDLE = "nothing happened on the association in time"


@value(kw_only=True)
class TimeLimits:
    """Seconds that each wait may take; None means no limit.

    Raises `ValueError` for a limit that is not positive.
    """

    artim: float = 30.0
    """ARTIM (PS3.8 §9.1.5), in Sta2 and Sta13. It has no "off": it is what frees a dead peer."""
    connect: float | None = 10.0
    """Opening the transport connection (Sta4)."""
    association: float | None = 30.0
    """From our A-ASSOCIATE-RQ to the peer's answer (Sta5)."""
    pdu: float | None = 60.0
    """From the first byte of a PDU to its last. Progress does not extend it."""
    write: float | None = 60.0
    """Between two bytes that the peer takes, while there is something to send."""
    release: float | None = 30.0
    """From our A-RELEASE-RQ to the A-RELEASE-RP (Sta7, Sta10, Sta11)."""
    response: float | None = 120.0
    """From a DIMSE request, or the last pending response to it, to the next response."""
    idle: float | None = 300.0
    """With no PDU either way and no operation under way (Sta6)."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None and field.name != "artim":
                continue
            if not isinstance(value, (int, float)) or not value > 0:
                raise ValueError(
                    f"time limit {field.name!r} must be a positive number of seconds"
                    f"{'' if field.name == 'artim' else ' or None'}, not {value!r}"
                )


class Timers:
    """The deadlines that are running. At most one per `TimeLimit`."""

    __slots__ = ("_running",)

    def __init__(self) -> None:
        self._running: dict[TimeLimit, float] = {}

    def start(self, limit: TimeLimit, now: float, seconds: float | None) -> None:
        """Start or restart; without a limit, stop."""
        if seconds is None:
            self._running.pop(limit, None)
        else:
            self._running[limit] = now + seconds

    def stop(self, limit: TimeLimit) -> None:
        """Stop; nothing happens if it is not running."""
        self._running.pop(limit, None)

    def stop_all(self) -> None:
        """Stop every one."""
        self._running.clear()

    def running(self, limit: TimeLimit) -> bool:
        """Whether this one runs."""
        return limit in self._running

    @property
    def deadline(self) -> float | None:
        """When the next one passes; None when none runs."""
        return min(self._running.values()) if self._running else None

    def expire(self, now: float) -> TimeLimit | None:
        """Take the one that passed first, if any has passed by `now`; it runs no more."""
        due = [(when, limit) for limit, when in self._running.items() if when <= now]
        if not due:
            return None
        _, limit = min(due, key=lambda item: item[0])
        del self._running[limit]
        return limit
