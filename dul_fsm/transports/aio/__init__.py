"""The same transports for asyncio: the same three methods, awaited.

`TCP`, `TLS` and `Loopback` are endpoints of both worlds; `connect_async` and `listen_async` give
what is here. A custom wire implements the protocols of `dul_fsm.transports.aio.base`.
"""

from dul_fsm.transports.aio.base import AsyncConnector, AsyncListener, AsyncTransport

__all__ = ["AsyncConnector", "AsyncListener", "AsyncTransport"]
