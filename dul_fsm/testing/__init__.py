"""The test kit: what one needs to test an Application Entity, a transport or this package itself.

Rules
  * Nothing is imported before it is asked for: `strategies` needs hypothesis, which an
    installation without it must not notice.

Not here: the tests of this package, which stand in `tests/`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dul_fsm.testing.ladder import Ladder
    from dul_fsm.testing.pair import Pair
    from dul_fsm.testing.transports import TransportFault, check_transport
    from dul_fsm.testing.transports_aio import check_transport_async

_HOMES = {
    "Ladder": "ladder",
    "Pair": "pair",
    "TransportFault": "transports",
    "check_transport": "transports",
    "check_transport_async": "transports_aio",
}

__all__ = ["Ladder", "Pair", "TransportFault", "check_transport", "check_transport_async"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
