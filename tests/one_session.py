"""One SCU session and one SCP session, written once: what changes from wire to wire is one line.

Run as a program it is the SCP session on stdin and stdout, the far end of a tunnel.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

from dul_fsm import Handler, Message, associate, serve
from dul_fsm.negotiation import ContextLike
from dul_fsm.scp import Server
from dul_fsm.services.sop_classes import STUDY_ROOT_FIND, VERIFICATION, choose_any
from dul_fsm.transports import Connector

CT = "1.2.840.10008.5.1.4.1.1.2"
LITTLE = "1.2.840.10008.1.2.1"
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
    contexts: list[ContextLike] = [VERIFICATION, (CT, [LITTLE]), STUDY_ROOT_FIND]
    with associate(endpoint, contexts=contexts) as association:
        assert association.c_echo().status == 0
        for number, image in enumerate(IMAGES):
            stored = association.c_store(CT, f"1.2.{number}", LITTLE, image)
            assert stored.status == 0
        found = list(association.c_find(STUDY_ROOT_FIND, b"\x08\x00\x52\x00CS\x06\x00STUDY "))
        assert found.pop().status == 0
        taken = [bytes(match.data_set) for match in found]
        assert taken == [sha256(image).hexdigest().encode() for image in IMAGES]
    associate(endpoint).abort()


if __name__ == "__main__":
    from examples.stdio_tunnel import Stdio

    stdio = Stdio()
    with scp_session(stdio):
        stdio.finished.wait()
