"""A server in a process of its own, and a door to ask it how it is: run as a program.

    python serving.py ARTIM MAX_ASSOCIATIONS [traced] [sleeping] [computing]

Prints the port it serves and the port of the door; ends when its standard input does. Whoever
sends a line to the door gets one of JSON; after "collect", when the garbage was collected, which
takes a while with thousands of connections.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import sys
import time
import tracemalloc
from collections.abc import Callable

from dul_fsm.aio import Handler, Server, raise_descriptor_limit, serve
from dul_fsm.timers import TimeLimits

STALL = 2.0
"""Seconds for which a server that is spoilt does nothing for anybody."""

STALLS_EVERY = 0.05
"""Seconds between that: not enough for the probes that are made at least."""


def compute() -> None:
    """Take the processor for so long."""
    until = time.thread_time() + STALL
    while time.thread_time() < until:
        pass


SPOILT: dict[str, Callable[[], None]] = {
    "sleeping": lambda: time.sleep(STALL),
    "computing": compute,
}


def spoil(stall: Callable[[], None]) -> None:
    """Stop the loop again and again."""
    stall()
    asyncio.get_running_loop().call_later(STALLS_EVERY, spoil, stall)


def resident() -> int:
    """Bytes of memory that this process has."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


def figures(server: Server) -> dict[str, int]:
    """How the process is."""
    return {
        "connections": server.connections,
        "associations": server.associations,
        "tasks": len(asyncio.all_tasks()),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "resident": resident(),
        "traced": tracemalloc.get_traced_memory()[0],
    }


async def main(artim: float, max_associations: int) -> None:
    """Serve until standard input ends."""
    raise_descriptor_limit()
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(0, ended.set)
    limits = TimeLimits(artim=artim)
    async with serve(
        Handler, port=0, max_associations=max_associations, time_limits=limits
    ) as server:

        async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if await reader.readline() == b"collect\n":
                gc.collect()
            writer.write(json.dumps(figures(server)).encode())
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(tell, "127.0.0.1", 0) as door:
            print(server.port, door.sockets[0].getsockname()[1], flush=True)
            for name in SPOILT.keys() & set(sys.argv):
                loop.call_later(STALLS_EVERY, spoil, SPOILT[name])
            await ended.wait()
    loop.remove_reader(0)


if __name__ == "__main__":
    if "traced" in sys.argv:
        tracemalloc.start()
    asyncio.run(main(float(sys.argv[1]), int(sys.argv[2])))
