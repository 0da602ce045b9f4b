"""What performing an operation consists of, for any driver to do: the words between the two.

A generator of steps yields what is to be done and is sent what came of it:

- a call, of something that may take time: a handler's method, an iterator's next. A blocking
  driver calls it, an asyncio one may await what it gives;
- `TURN`: send what is due, receive what is there, let others go on;
- `Wait`: go on with all of that until something has happened;
- `SENT`: send what is due, and no more;
- `Run`: run another association, which this operation has opened, until something has happened.

Not here: who yields them (`performer`, `performance`, `retrieve`), who does them (`drivers`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final, TypeAlias

from dul_fsm.association import Association

Call: TypeAlias = Callable[[], Any]

TURN: Final = None
"""Yielded to let the driver send and receive what it can now."""


@dataclass(slots=True)
class Wait:
    """Wait until `until`, or the connection of the association is gone."""

    until: Callable[[], bool]


class Send(Enum):
    """Send what is due now, before anything else."""

    SENT = auto()


SENT: Final = Send.SENT
"""Yielded to go on once what is due has been sent."""


@dataclass(slots=True)
class Run:
    """Run `association` over a connection of `connector` until `until`, or that is gone.

    The first time it must have been requested and is connected. It is run by nothing else.
    """

    association: Association
    connector: Any
    """Whatever the driver can connect with: one of `transports`."""
    until: Callable[[], bool]


Steps: TypeAlias = Generator[Call | Wait | Send | Run | None, Any, None]


def no_steps() -> Steps:
    """What is done already."""
    return
    yield
