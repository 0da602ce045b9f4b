"""A TLS connection that is closed with unsent bytes while its loop ends leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import os
import ssl
from contextlib import suppress
from typing import Any

import pytest

from dul_fsm.transports import TCP
from dul_fsm.transports.aio.tls import AsyncTLSTransport, at_once
from dul_fsm.transports.tls import client_context, server_context
from tests.certificates import Certificates, make

PATIENCE = 30.0


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make(tmp_path_factory.mktemp("certificates"))


async def connected(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> list[AsyncTLSTransport]:
    """Both ends over TCP, after the handshake; the second one takes nothing from now on."""
    listener = await TCP("127.0.0.1", 0).listen_async()
    endpoint = TCP("127.0.0.1", listener.port)
    lower = await asyncio.gather(endpoint.connect_async(PATIENCE), listener.accept())
    listener.close()
    one = AsyncTLSTransport(lower[0], contexts[0], server_hostname="127.0.0.1")
    other = AsyncTLSTransport(lower[1], contexts[1], server_side=True)
    await asyncio.gather(one.handshake(PATIENCE), other.handshake(PATIENCE))
    return [one, other]


def clog(end: AsyncTLSTransport) -> None:
    """Send until nothing more fits, without a suspension: no other task has a turn."""
    with suppress(TimeoutError):
        while True:
            at_once(end.send([bytes(1 << 16)], 0))
    assert end._tail is not None


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("how", ["closed", "while it receives", "by a cancelled task"])
def test_a_close_as_the_loop_ends_leaves_nothing(
    how: str, turns: int, certificates: Certificates
) -> None:
    """However many turns the loop has still had: the tail of what was sent may not have begun."""
    contexts = (
        client_context(ca=certificates.ca, cert=certificates.client),
        server_context(ca=certificates.ca, cert=certificates.server),
    )
    ends: list[AsyncTLSTransport] = []
    problems: list[dict[str, Any]] = []

    async def receive() -> None:
        await ends[0].receive_into(memoryview(bytearray(8)), None)

    async def close_in_the_end() -> None:
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            clog(ends[0])
            ends[0].close()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: problems.append(context))
        ends.extend(await connected(contexts))
        tasks = []
        if how == "by a cancelled task":
            tasks.append(asyncio.create_task(close_in_the_end()))
            await asyncio.sleep(0)
        else:
            if how == "while it receives":
                tasks.append(asyncio.create_task(receive()))
                await asyncio.sleep(0)
            clog(ends[0])
            ends[0].close()
        for _ in range(turns):
            await asyncio.sleep(0)

    before = os.listdir("/proc/self/fd")
    asyncio.run(main())
    assert len(os.listdir("/proc/self/fd")) == len(before) + 1  # the peer's
    ends.pop().close()
    gc.collect()  # what was forgotten would be told now
    assert len(os.listdir("/proc/self/fd")) == len(before)
    assert [problem for problem in problems if "never retrieved" not in problem["message"]] == []
    assert ends[0]._tail is None
