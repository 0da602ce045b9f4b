"""The same for asyncio: `associate` and `serve`, with the same names, arguments and events.

    async with serve(MyHandler, port=11112) as server:
        await server.wait()

    async with associate("127.0.0.1", 11112) as association:
        response = await association.c_echo()
        async for response in association.c_find(STUDY_ROOT_FIND, identifier):
            ...

One thread carries thousands of associations. What differs from the blocking kind is how one waits,
and what follows from that:

- A method of a handler may be a coroutine function, and `c_find_requested` an asynchronous
  generator. A plain one runs in the event loop, and nothing else does meanwhile: what takes its
  time belongs in a coroutine, or in `asyncio.to_thread`.
- An operation that is cancelled, by a time-out of its caller's for one, is given up: a C-CANCEL
  leaves if its service has one, its responses are dropped when they come, and the association goes
  on. What cannot be taken back aborts the association: a data set that has not wholly left, a
  handler that was performing something. The A-ABORT leaves if the peer takes it, nothing is left
  behind, and that takes a few seconds at most.
"""

from dul_fsm.aio.association import AsyncOperation, SCUAssociation, associate
from dul_fsm.aio.descriptors import raise_descriptor_limit
from dul_fsm.aio.handler import Handler
from dul_fsm.aio.server import Server, serve

__all__ = [
    "AsyncOperation",
    "Handler",
    "SCUAssociation",
    "Server",
    "associate",
    "raise_descriptor_limit",
    "serve",
]
