"""Bytes for the wire, most of them wrong, and how to exchange them."""

from __future__ import annotations

import socket
import ssl
import struct
from contextlib import suppress

from dul_fsm.negotiation import build_request
from dul_fsm.pdu import encode
from dul_fsm.services.sop_classes import VERIFICATION
from tests.files.samples import CT_IMAGE_STORAGE
from tests.interop.programs import HOST, PATIENCE


def header(pdu_type: int, length: int) -> bytes:
    """The six bytes that a PDU begins with (PS3.8 §9.3.1)."""
    return struct.pack(">BBL", pdu_type, 0, length)


def a_abort(source: int, reason: int) -> bytes:
    """A-ABORT (PS3.8 §9.3.8)."""
    return header(7, 4) + bytes((0, 0, source, reason))


def associate_request() -> bytes:
    """A valid A-ASSOCIATE-RQ for Verification (context 1) and CT Image Storage (context 3)."""
    contexts = (VERIFICATION, (CT_IMAGE_STORAGE, ("1.2.840.10008.1.2.1",)))
    return encode(
        build_request(
            contexts,
            called_ae_title="ANY-SCP",
            calling_ae_title="HOSTILE",
            maximum_length=16384,
        )
    )


def tls_client_hello() -> bytes:
    """What a TLS client says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


HTTP_GET = b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl/8.0\r\n\r\n"
SSH_BANNER = b"SSH-2.0-OpenSSH_9.2p1\r\n"
P_DATA = header(4, 6) + struct.pack(">LBB", 2, 1, 3)
"""A P-DATA-TF with an empty last command fragment on context 1."""
ENDLESS_P_DATA = header(4, 0xFFFFFFFF) + bytes(64)
TWO_MEBIBYTES = 2 << 20
A_RELEASE_RQ = header(5, 4) + bytes(4)
A_RELEASE_RP = header(6, 4) + bytes(4)


def connect(port: int) -> socket.socket:
    """A plain connection."""
    return socket.create_connection((HOST, port), timeout=PATIENCE)


def read_exactly(sock: socket.socket, count: int) -> bytes:
    """The next bytes; EOFError if there are not so many."""
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            raise EOFError(f"the connection was closed after {data!r}")
        data += more
    return data


def read_pdu(sock: socket.socket) -> bytes:
    """The next PDU, with its header."""
    head = read_exactly(sock, 6)
    return head + read_exactly(sock, int.from_bytes(head[2:6], "big"))


def read_to_the_end(sock: socket.socket) -> bytes:
    """All that comes until the connection is gone; TimeoutError if that takes too long."""
    data = b""
    while True:
        try:
            more = sock.recv(65536)
        except ConnectionError:
            # A reset, if what we sent was never read.
            return data
        if not more:
            return data
        data += more


def associated(port: int) -> socket.socket:
    """A connection on which an association has been accepted."""
    sock = connect(port)
    sock.sendall(associate_request())
    answer = read_pdu(sock)
    assert answer[0] == 2, answer
    return sock
