"""Bytes in and out: what carries an association.

`TCP` for networks and `Loopback` for two ends in one process. A custom wire implements the
protocols of `dul_fsm.transports.base`. The loopback is imported when it is first asked for.
"""

from typing import TYPE_CHECKING

from dul_fsm.transports.base import Connector, Listener, ListenerClosed, Transport
from dul_fsm.transports.tcp import TCP

if TYPE_CHECKING:
    from dul_fsm.transports.loopback import Faults, Loopback, pair

__all__ = [
    "TCP",
    "Connector",
    "Faults",
    "Listener",
    "ListenerClosed",
    "Loopback",
    "Transport",
    "pair",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from dul_fsm.transports import loopback

    value: object = getattr(loopback, name)
    globals()[name] = value
    return value
