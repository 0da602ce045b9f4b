"""One SCU session and one SCP session, written once: what changes from wire to wire is one line.

Once for threads and once for asyncio, which differ in nothing but `await`.

Run as a program it is the SCP session on stdin and stdout, the far end of a tunnel.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from hashlib import sha256

from dul_fsm import Handler, Message, aio, associate, serve
from dul_fsm.aio.opening import Opening
from dul_fsm.negotiation import ContextLike
from dul_fsm.scp import Server
from dul_fsm.services.sop_classes import STUDY_ROOT_FIND, VERIFICATION, choose_any
from dul_fsm.transports import Connector
from dul_fsm.transports.aio import AsyncConnector

CT = "1.2.840.10008.5.1.4.1.1.2"
LITTLE = "1.2.840.10008.1.2.1"
CONTEXTS: list[ContextLike] = [VERIFICATION, (CT, [LITTLE]), STUDY_ROOT_FIND]
STUDIES = b"\x08\x00\x52\x00CS\x06\x00STUDY "
IMAGES = [bytes([number]) * length for number, length in enumerate((2, 512, 1 << 20, 3 << 20))]


class Archive(Handler):
    """Takes images, and answers a C-FIND with what it has taken."""

    choose = staticmethod(choose_any(lambda uid: True))

    def __init__(self) -> None:
        self.taken: list[bytes] = []

    def c_store_requested(self, message: Message) -> int:
        self.taken.append(sha256(message.data_set).hexdigest().encode())
        return 0

    def c_find_requested(self, message: Message) -> Iterator[bytes]:
        yield from self.taken


def scp_session(endpoint: Connector) -> Server:
    """Serve there."""
    return serve(Archive, endpoint)


def scu_session(endpoint: Connector) -> None:
    """Call there: echo, store, ask what was stored, release; and once more, with an abort."""
    with associate(endpoint, contexts=CONTEXTS) as association:
        assert association.c_echo().status == 0
        for number, image in enumerate(IMAGES):
            stored = association.c_store(CT, f"1.2.{number}", LITTLE, image)
            assert stored.status == 0
        check(list(association.c_find(STUDY_ROOT_FIND, STUDIES)))
    associate(endpoint).abort()


def check(found: list[Message]) -> None:
    """What was found is what was stored."""
    assert found.pop().status == 0
    taken = [bytes(match.data_set) for match in found]
    assert taken == [sha256(image).hexdigest().encode() for image in IMAGES]


# The same in asyncio -----------------------------------------------------------------------------


class AsyncArchive(aio.Handler):
    """The same archive."""

    choose = staticmethod(Archive.choose)

    def __init__(self) -> None:
        self.taken: list[bytes] = []

    async def c_store_requested(self, message: Message) -> int:
        self.taken.append(sha256(message.data_set).hexdigest().encode())
        return 0

    async def c_find_requested(self, message: Message) -> AsyncIterator[bytes]:
        for taken in self.taken:
            yield taken


def async_scp_session(endpoint: AsyncConnector) -> Opening[aio.Server]:
    """Serve there."""
    return aio.serve(AsyncArchive, endpoint)


async def async_scu_session(endpoint: AsyncConnector) -> None:
    """Call there: echo, store, ask what was stored, release; and once more, with an abort."""
    async with aio.associate(endpoint, contexts=CONTEXTS) as association:
        assert (await association.c_echo()).status == 0
        for number, image in enumerate(IMAGES):
            stored = await association.c_store(CT, f"1.2.{number}", LITTLE, image)
            assert stored.status == 0
        check([match async for match in association.c_find(STUDY_ROOT_FIND, STUDIES)])
    await (await aio.associate(endpoint)).abort()


if __name__ == "__main__":
    from examples.stdio_tunnel import Stdio

    stdio = Stdio()
    with scp_session(stdio):
        stdio.finished.wait()
