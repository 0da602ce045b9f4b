"""Bytes in and out: what carries an association.

`TCP` for networks, `TLS` for networks that others use too, and `Loopback` for two ends in one
process. A custom wire implements the protocols of `dul_fsm.transports.base`. The loopback and TLS
are imported when they are first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from dul_fsm.transports.base import Connector, Listener, ListenerClosed, Transport
from dul_fsm.transports.tcp import TCP

if TYPE_CHECKING:
    from dul_fsm.transports.loopback import Faults, Loopback, pair
    from dul_fsm.transports.tls import TLS, TLSError, client_context, server_context

_HOMES = {
    "Faults": "loopback",
    "Loopback": "loopback",
    "TLS": "tls",
    "TLSError": "tls",
    "client_context": "tls",
    "pair": "loopback",
    "server_context": "tls",
}

__all__ = [
    "TCP",
    "TLS",
    "Connector",
    "Faults",
    "Listener",
    "ListenerClosed",
    "Loopback",
    "TLSError",
    "Transport",
    "client_context",
    "pair",
    "server_context",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
