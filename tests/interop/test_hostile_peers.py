"""Peers that speak something else, stop in the middle, or say nothing: told off, and gone."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import pytest

from dul_fsm import AssociationAborted, Handler, TimeLimits, associate, serve
from tests.interop.conftest import StartListen
from tests.interop.programs import HOST, PATIENCE, Listen, dul_fsm, eventually
from tests.interop.wire import (
    A_RELEASE_RP,
    A_RELEASE_RQ,
    ENDLESS_P_DATA,
    HTTP_GET,
    P_DATA,
    SSH_BANNER,
    TWO_MEBIBYTES,
    a_abort,
    associate_request,
    associated,
    connect,
    header,
    read_pdu,
    read_to_the_end,
    tls_client_hello,
)

pytestmark = pytest.mark.interop

ARTIM = 0.5
"""Seconds; how soon each of these peers must be gone."""

# PS3.8 Table 9-9: AA-1 names the service-user, where a reason says nothing (Table 9-26).
AA_1 = a_abort(0, 0)
UNRECOGNIZED_PDU = a_abort(2, 1)
UNEXPECTED_PDU = a_abort(2, 2)
INVALID_PARAMETER_VALUE = a_abort(2, 6)

REQUEST = associate_request()

STRANGERS: dict[str, tuple[bytes, bytes]] = {
    "an HTTP GET": (HTTP_GET, AA_1),
    "an SSH banner": (SSH_BANNER, AA_1),
    "a TLS hello": (tls_client_hello(), AA_1),
    "one byte": (REQUEST[:1], b""),
    "half a header": (REQUEST[:3], b""),
    "half a PDU": (REQUEST[: len(REQUEST) // 2], b""),
    "nothing": (b"", b""),
    "P-DATA-TF before association": (P_DATA, AA_1),
    "P-DATA-TF of length FFFFFFFFH": (ENDLESS_P_DATA, AA_1),
    "A-ASSOCIATE-RQ of length FFFFFFFFH": (header(1, 0xFFFFFFFF), AA_1),
    "A-ASSOCIATE-RQ of 2 MiB": (header(1, TWO_MEBIBYTES) + bytes(TWO_MEBIBYTES), AA_1),
    "A-ASSOCIATE-RQ of zeros": (header(1, 100) + bytes(100), AA_1),
    "A-RELEASE-RQ before association": (A_RELEASE_RQ, AA_1),
    # PS3.8 Table 9-10, Sta2: AA-2, which closes and says nothing.
    "A-ABORT before association": (a_abort(0, 0), b""),
}
"""Without an association: what is sent, and all that is answered."""

ASSOCIATED: dict[str, tuple[bytes, bytes]] = {
    "an HTTP GET": (HTTP_GET, UNRECOGNIZED_PDU),
    "P-DATA-TF of length FFFFFFFFH": (ENDLESS_P_DATA, INVALID_PARAMETER_VALUE),
    "P-DATA-TF longer than allowed": (header(4, 131073), INVALID_PARAMETER_VALUE),
    "P-DATA-TF on a context that nobody accepted": (
        P_DATA[:10] + b"\x63" + P_DATA[11:],
        INVALID_PARAMETER_VALUE,
    ),
    "A-ASSOCIATE-RQ again": (REQUEST, UNEXPECTED_PDU),
    "A-RELEASE-RP unasked": (A_RELEASE_RP, UNEXPECTED_PDU),
    "A-RELEASE-RQ of a wrong length": (header(5, 5) + bytes(5), INVALID_PARAMETER_VALUE),
    "A-ABORT": (a_abort(0, 0), b""),
    "A-RELEASE-RQ": (A_RELEASE_RQ, A_RELEASE_RP),
}
"""The same inside an association."""


class Target:
    """A server under attack, and what it holds."""

    def __init__(self, port: int, pid: int) -> None:
        self.port = port
        self._process = Path(f"/proc/{pid}")
        # Before anybody came: after that, who is just leaving would be counted.
        self._before = self._held()
        self.serves()
        self.holds_nothing()

    def _held(self) -> tuple[int, int]:
        return len(os.listdir(self._process / "fd")), len(os.listdir(self._process / "task"))

    def serves(self) -> None:
        """The next client is served, and at once."""
        began = monotonic()
        with associate(HOST, self.port) as association:
            assert getattr(association.c_echo().command, "status", None) == 0
        assert monotonic() - began < PATIENCE / 4

    def holds_nothing(self) -> None:
        """No descriptor and no thread is left of whoever was there."""
        before = self._before
        eventually(
            lambda: all(now <= then for now, then in zip(self._held(), before, strict=True)),
            f"{self._held()} descriptors and threads, {before} before",
        )


@pytest.fixture(scope="module", params=["listen", "serve"])
def target(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Target]:
    """`dul-fsm listen`, and the server of the API."""
    if request.param == "listen":
        with Listen(tmp_path_factory.mktemp("hostile") / "listen", "--artim", ARTIM) as ours:
            yield Target(ours.port, ours.pid)
    else:
        limits = TimeLimits(artim=ARTIM)
        with serve(Handler, port=0, time_limits=limits) as server:
            yield Target(server.port, os.getpid())


@pytest.mark.parametrize("name", STRANGERS)
def test_a_stranger_is_answered_and_gone(target: Target, name: str) -> None:
    said, answered = STRANGERS[name]
    with connect(target.port) as sock:
        sock.sendall(said)
        target.serves()
        began = monotonic()
        # The peer does not close: ARTIM has to.
        assert read_to_the_end(sock) == answered
        assert monotonic() - began < ARTIM + PATIENCE / 4
    target.serves()
    target.holds_nothing()


@pytest.mark.parametrize("name", ASSOCIATED)
def test_an_associated_peer_is_answered_and_gone(target: Target, name: str) -> None:
    said, answered = ASSOCIATED[name]
    with associated(target.port) as sock:
        sock.sendall(said)
        target.serves()
        began = monotonic()
        assert read_to_the_end(sock) == answered
        assert monotonic() - began < ARTIM + PATIENCE / 4
    target.serves()
    target.holds_nothing()


def test_who_connects_and_closes_leaves_nothing(target: Target) -> None:
    # A load balancer looks whether somebody is there.
    for _ in range(50):
        connect(target.port).close()
    target.serves()
    target.holds_nothing()


@pytest.mark.parametrize("count", [1, 3, 6, 40])
def test_who_closes_in_the_middle_of_a_pdu_leaves_nothing(target: Target, count: int) -> None:
    for sock in (connect(target.port), associated(target.port)):
        with sock:
            sock.sendall(REQUEST[:count] if count < 40 else header(4, 100) + bytes(count))
    target.serves()
    target.holds_nothing()


def test_a_server_that_was_attacked_at_all_sides_at_once_holds_nothing(target: Target) -> None:
    socks = [connect(target.port) for _ in STRANGERS]
    for sock, (said, _) in zip(socks, STRANGERS.values(), strict=True):
        sock.sendall(said)
    target.serves()
    for sock, (_, answered) in zip(socks, STRANGERS.values(), strict=True):
        assert read_to_the_end(sock) == answered
        sock.close()
    target.holds_nothing()


def test_half_a_pdu_inside_an_association_is_aborted_in_its_own_time() -> None:
    limits = TimeLimits(artim=ARTIM, pdu=ARTIM)
    with serve(Handler, port=0, time_limits=limits) as server, associated(server.port) as sock:
        sock.sendall(header(4, 100) + bytes(40))
        # Evt15: this side's user aborts, for the limit is not the standard's.
        assert read_to_the_end(sock) == a_abort(0, 0)


def test_an_association_that_does_nothing_is_aborted(listen: StartListen) -> None:
    ours = listen("--idle", ARTIM, "--artim", ARTIM)
    with associated(ours.port) as sock:
        assert read_to_the_end(sock) == a_abort(0, 0)
    ours.says("nothing happened on the association in time")


# The same as answers -----------------------------------------------------------------------------


class Answerer:
    """A fake SCP for one connection: reads the A-ASSOCIATE-RQ, answers some bytes, listens on."""

    def __init__(self, answer: bytes, stays: bool) -> None:
        self._answer = answer
        self._stays = stays
        self._listener = socket.create_server((HOST, 0))
        self._listener.settimeout(PATIENCE)
        self.port: int = self._listener.getsockname()[1]
        self.heard = b""
        """What came after the A-ASSOCIATE-RQ."""
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with self._listener, self._listener.accept()[0] as sock:
            sock.settimeout(PATIENCE)
            read_pdu(sock)
            sock.sendall(self._answer)
            if self._stays:
                # As a peer should: once aborted, it closes.
                self.heard = read_exactly_or_less(sock, 10)


def read_exactly_or_less(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count and (more := sock.recv(count - len(data))):
        data += more
    return data


@contextmanager
def answerer(answer: bytes, *, stays: bool) -> Iterator[Answerer]:
    scp = Answerer(answer, stays)
    scp.thread.start()
    try:
        yield scp
    finally:
        scp.thread.join(PATIENCE)
        assert not scp.thread.is_alive()


HTTP_ANSWER = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
TLS_ALERT = bytes.fromhex("15030100020246")

ANSWERS: dict[str, tuple[bytes, bytes, str]] = {
    "HTTP": (HTTP_ANSWER, UNRECOGNIZED_PDU, "48H is not the type of a PDU"),
    "SSH": (SSH_BANNER, UNRECOGNIZED_PDU, "53H is not the type of a PDU"),
    "TLS": (TLS_ALERT, UNRECOGNIZED_PDU, "15H is not the type of a PDU"),
    "P-DATA-TF": (P_DATA, UNEXPECTED_PDU, "P-DATA-TF is not expected in Sta5"),
    "A-ASSOCIATE-RQ": (REQUEST, UNEXPECTED_PDU, "A-ASSOCIATE-RQ is not expected in Sta5"),
    "A-RELEASE-RP": (A_RELEASE_RP, UNEXPECTED_PDU, "A-RELEASE-RP is not expected in Sta5"),
    "FFFFFFFFH": (header(2, 0xFFFFFFFF), INVALID_PARAMETER_VALUE, "4294967295"),
    "2 MiB": (
        header(2, TWO_MEBIBYTES) + bytes(TWO_MEBIBYTES),
        INVALID_PARAMETER_VALUE,
        str(TWO_MEBIBYTES),
    ),
    "A-ASSOCIATE-AC of zeros": (header(2, 100) + bytes(100), INVALID_PARAMETER_VALUE, ""),
    "A-ABORT": (a_abort(2, 0), b"", "abort"),
    "A-ASSOCIATE-RJ of reserved values": (header(3, 4) + b"\0\x09\x09\x09", b"", "rejected"),
}
"""What answers the A-ASSOCIATE-RQ, what it is told, and what our user is told."""


@pytest.mark.parametrize("name", ANSWERS)
def test_echo_says_what_is_wrong_with_the_answer(name: str) -> None:
    answer, told, words = ANSWERS[name]
    with answerer(answer, stays=True) as scp:
        done = dul_fsm("echo", HOST, scp.port)
    assert done.status == 1, done
    assert scp.heard == told
    assert f"dul-fsm: {HOST}:{scp.port}: " in done.output
    assert words in done.output
    assert len(done.output.splitlines()) == 1, done


@pytest.mark.parametrize(
    "answer", [b"", REQUEST[:3], header(2, 200) + bytes(100)], ids=["nothing", "header", "PDU"]
)
def test_echo_says_that_the_connection_was_closed(answer: bytes) -> None:
    with answerer(answer, stays=False) as scp:
        done = dul_fsm("echo", HOST, scp.port)
    assert done.status == 1, done
    assert "the connection was" in done.output
    assert len(done.output.splitlines()) == 1, done


@pytest.mark.parametrize(
    "answer", [b"", REQUEST[:3], header(2, 200) + bytes(100)], ids=["nothing", "header", "PDU"]
)
def test_who_never_finishes_an_answer_is_aborted_in_time(answer: bytes) -> None:
    limits = TimeLimits(association=ARTIM, artim=ARTIM)
    with (
        answerer(answer, stays=True) as scp,
        pytest.raises(AssociationAborted, match="in time"),
    ):
        associate(HOST, scp.port, time_limits=limits)
    assert scp.heard == a_abort(0, 0)
