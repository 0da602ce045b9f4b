"""Which records TLS makes of what is sent: few, and all of it in order."""

from __future__ import annotations

import random

import pytest

from dul_fsm.transports.tls import client_context, server_context
from dul_fsm.transports.tls_engine import WRITE_LIMIT, TLSEngine
from tests.certificates import Certificates

RECORD = 16384
APPLICATION_DATA = 0x17


@pytest.fixture
def engines(certificates: Certificates) -> tuple[TLSEngine, TLSEngine]:
    """A client and a server that have shaken hands."""
    client = TLSEngine(
        client_context(ca=certificates.ca, cert=certificates.client),
        server_side=False,
        server_hostname="127.0.0.1",
    )
    server = TLSEngine(
        server_context(ca=certificates.ca, cert=certificates.server), server_side=True
    )
    for one, other in [(client, server), (server, client)] * 3:
        one.handshake()
        if one.has_outgoing:
            other.feed(memoryview(one.outgoing()))
    assert client.handshake()
    assert server.handshake()
    return client, server


def lengths_of_records(ciphertext: bytes) -> list[int]:
    lengths, at = [], 0
    while at < len(ciphertext):
        assert ciphertext[at] == APPLICATION_DATA
        lengths.append(int.from_bytes(ciphertext[at + 3 : at + 5], "big"))
        at += 5 + lengths[-1]
    return lengths


@pytest.mark.parametrize(
    "sizes",
    [
        [12, 50_000],
        [12, 131_060],
        [12, 131_060, 12, 131_060],
        [RECORD],
        [RECORD - 1, 1, RECORD + 1],
        [1] * 40,
        [0, 12, 0, RECORD - 12, 0],
        [3 * RECORD, 5, 2 * RECORD],
    ],
    ids=str,
)
def test_a_write_fills_its_records_and_nothing_is_lost(
    engines: tuple[TLSEngine, TLSEngine], sizes: list[int]
) -> None:
    client, server = engines
    buffers = [random.Random(number).randbytes(size) for number, size in enumerate(sizes)]
    whole = b"".join(buffers)
    sent = client.write(buffers)
    assert sent == min(len(whole), WRITE_LIMIT)
    ciphertext = client.outgoing()
    assert len(lengths_of_records(ciphertext)) == -(-sent // RECORD)
    server.feed(memoryview(ciphertext))
    received = bytearray(len(whole) + 1)
    assert server.read_into(memoryview(received)) == sent
    assert received[:sent] == whole[:sent]
