"""What the tests of transports are written with: that of the clauses, which is shipped."""

from dul_fsm.testing.transport_tools import (
    PATIENCE,
    SOON,
    MakePair,
    Task,
    clog,
    opened,
    raises,
    receive_exactly,
    receive_to_end,
    send_all,
    send_for_ever,
)

__all__ = [
    "PATIENCE",
    "SOON",
    "MakePair",
    "Task",
    "clog",
    "opened",
    "raises",
    "receive_exactly",
    "receive_to_end",
    "send_all",
    "send_for_ever",
]
