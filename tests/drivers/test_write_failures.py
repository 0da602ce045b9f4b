"""A failed write is the end of the transport, after what the peer said before it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from dul_fsm.errors import AssociationAborted, TransportFailed
from dul_fsm.negotiation import build_answer, build_request
from dul_fsm.pdu import AAbort, encode
from dul_fsm.scu import associate
from dul_fsm.services.sop_classes import VERIFICATION, choose_any

REQUEST = build_request(
    [VERIFICATION], called_ae_title="ANY-SCP", calling_ae_title="DUL-FSM", maximum_length=16384
)
ANSWER = encode(build_answer(REQUEST, choose_any(VERIFICATION), maximum_length=16384))


class Broken:
    """A peer that accepts, says something, and takes nothing after the request."""

    def __init__(self, last_words: bytes) -> None:
        self._incoming = [ANSWER, last_words]
        self._sends = 0
        self.patience: float | None = None
        """For how long the last bytes were waited for."""
        self.closed = False

    def connect(self, timeout: float | None) -> Broken:
        return self

    def listen(self) -> Broken:
        raise NotImplementedError

    def send(self, buffers: Sequence[bytes | bytearray | memoryview], timeout: float | None) -> int:
        self._sends += 1
        if self._sends > 1:
            raise BrokenPipeError("nobody reads")
        return sum(map(len, buffers))

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        self.patience = timeout
        data = self._incoming.pop(0) if self._incoming else b""
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self.closed = True


def test_an_abort_that_came_before_sending_failed_is_told_as_the_abort() -> None:
    peer = Broken(encode(AAbort(2, 6)))
    association = associate(peer)  # type: ignore[arg-type]
    with pytest.raises(AssociationAborted, match="invalid-PDU-parameter-value") as caught:
        association.c_echo()
    assert caught.value.reason == 6
    association.abort()
    assert peer.closed


def test_nothing_is_waited_for_once_sending_has_failed() -> None:
    peer = Broken(b"")
    association = associate(peer)  # type: ignore[arg-type]
    assert peer.patience != 0
    with pytest.raises(TransportFailed):
        association.c_echo()
    assert peer.patience == 0


def test_without_last_words_the_connection_was_lost_and_why_is_told() -> None:
    peer = Broken(b"")
    association = associate(peer)  # type: ignore[arg-type]
    with pytest.raises(TransportFailed, match="nobody reads"):
        association.c_echo()
    association.abort()
    assert peer.closed
