"""`dul-fsm echo`: an answer is success, and everything else says what to do about it."""

from __future__ import annotations

import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from dul_fsm.association import Message
from dul_fsm.pdu import AAssociateRQ
from dul_fsm.scp import serve
from dul_fsm.services.handler import AbortAssociation, Accept, Handler, Reject
from tests.cli.running import run, start


class Answering(Handler):
    """Answers a C-ECHO with a status."""

    status = 0

    def c_echo_requested(self, message: Message) -> int:
        return self.status


def handler_that(**methods: Callable[..., object]) -> Callable[[], Handler]:
    return type("Told", (Handler,), methods)


@contextmanager
def nobody() -> Iterator[int]:
    """A port on which nothing listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def test_an_answer_is_a_line_and_status_0() -> None:
    with serve(port=0) as server:
        ran = run("echo", "127.0.0.1", server.port)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert re.fullmatch(
        r"C-ECHO 127\.0\.0\.1:\d+ ANY-SCP: 0000H Success.*, \d+\.\d\d ms\n", ran.stdout
    )


def test_repeat_has_a_line_for_each_and_a_summary() -> None:
    with serve(port=0) as server:
        ran = run("echo", "127.0.0.1", server.port, "--repeat", 5)
    lines = ran.stdout.splitlines()
    assert len(lines) == 6
    assert re.fullmatch(r"5 of 5 answered; min \S+, mean \S+, max \S+ ms", lines[-1])


def test_ae_titles_are_sent_as_given() -> None:
    seen: list[AAssociateRQ] = []

    def associate_requested(self: Handler, request: AAssociateRQ) -> Accept:
        seen.append(request)
        return Accept()

    with serve(handler_that(associate_requested=associate_requested), port=0) as server:
        assert run("echo", "127.0.0.1", server.port, "-aet", "US", "-aec", "THEM").returncode == 0
        assert run("echo", "127.0.0.1", server.port, "--aet=US", "-aec", "THEM").returncode == 0
    assert [(r.calling_ae_title, r.called_ae_title) for r in seen] == [("US", "THEM")] * 2


def test_verbose_prints_each_step_and_each_pdu_sent() -> None:
    with serve(port=0) as server:
        ran = run("echo", "127.0.0.1", server.port, "-v")
    assert ran.returncode == 0
    lines = [line.strip() for line in ran.stderr.splitlines()]
    assert lines[0] == "Sta1 Evt1 A-ASSOCIATE request: AE-1, Sta4"
    assert any(re.fullmatch(r"sent A-ASSOCIATE-RQ, \d+ bytes", line) for line in lines)
    assert "Sta5 Evt3 A-ASSOCIATE-AC PDU received: AE-3, Sta6" in lines
    assert lines[-1] == "Sta7 Evt13 A-RELEASE-RP PDU received: AR-3, Sta1"


def test_a_status_that_is_no_success_is_status_1() -> None:
    def c_echo_requested(self: Handler, message: Message) -> int:
        return 0x0122

    with serve(handler_that(c_echo_requested=c_echo_requested), port=0) as server:
        ran = run("echo", "127.0.0.1", server.port)
    assert ran.returncode == 1
    assert "0122H Failure (refused: SOP class not supported)" in ran.stdout


def told(ran_stderr: str) -> str:
    """The one line that a failure is told in."""
    (line,) = ran_stderr.splitlines()
    assert line.startswith("dul-fsm: ")
    return line


def test_nobody_there() -> None:
    with nobody() as port:
        ran = run("echo", "127.0.0.1", port)
    assert ran.returncode == 1
    line = told(ran.stderr)
    assert f"127.0.0.1:{port}" in line
    assert "Connection refused" in line
    assert "is the port right" in line
    assert "Errno" not in line


def test_an_unknown_host() -> None:
    ran = run("echo", "no-such-host.invalid", 104)
    assert ran.returncode == 1
    assert "host name" in told(ran.stderr)


@pytest.mark.parametrize(
    ("reject", "words"),
    [
        (Reject(1, 1, 7), "give the peer's AE title with -aec"),
        (Reject(1, 1, 3), "-aet"),
        (Reject(1, 1, 1), "-aet, -aec"),
        (Reject(2, 3, 1), "try again later"),
        (Reject(2, 3, 2), "try again later"),
        (Reject(1, 2, 2), "protocol-version-not-supported"),
        (Reject(1, 1, 200), "200"),
    ],
)
def test_a_rejection_is_told_in_words_with_a_hint(reject: Reject, words: str) -> None:
    def associate_requested(self: Handler, request: AAssociateRQ) -> Reject:
        return reject

    with serve(handler_that(associate_requested=associate_requested), port=0) as server:
        ran = run("echo", "127.0.0.1", server.port)
    assert ran.returncode == 1
    assert "rejected" in told(ran.stderr)
    assert words in told(ran.stderr)


def test_an_abort_in_the_middle_is_told() -> None:
    def c_echo_requested(self: Handler, message: Message) -> int:
        raise AbortAssociation("as told")

    with serve(handler_that(c_echo_requested=c_echo_requested), port=0) as server:
        ran = run("echo", "127.0.0.1", server.port)
    assert ran.returncode == 1
    assert "aborted by the peer" in told(ran.stderr)


def test_a_peer_without_verification_is_told() -> None:
    def associate_requested(self: Handler, request: AAssociateRQ) -> Accept:
        return Accept(choose=lambda context: _NOT_SUPPORTED)

    from dul_fsm.pdu import ContextResult

    _NOT_SUPPORTED = ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED
    with serve(handler_that(associate_requested=associate_requested), port=0) as server:
        ran = run("echo", "127.0.0.1", server.port)
    assert ran.returncode == 1
    assert "Verification SOP Class (1.2.840.10008.1.1)" in told(ran.stderr)


def test_a_peer_that_speaks_no_dicom_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                connection.recv(1000)

        thread = threading.Thread(target=answer)
        thread.start()
        ran = run("echo", "127.0.0.1", listener.getsockname()[1])
        thread.join()
    assert ran.returncode == 1
    assert "does it want TLS?" in told(ran.stderr)


def test_ctrl_c_aborts_and_exits_with_130() -> None:
    arrived, ended = threading.Event(), threading.Event()

    def c_echo_requested(self: Handler, message: Message) -> int:
        arrived.set()
        ended.wait(20)
        return 0

    handler = handler_that(c_echo_requested=c_echo_requested)
    with serve(handler, port=0) as server:
        process = start("echo", "127.0.0.1", server.port)
        assert arrived.wait(20)
        process.send_signal(signal.SIGINT)
        # The peer is busy with the C-ECHO, so it takes the abort only when it is done.
        _, err = process.communicate(timeout=20)
        ended.set()
    assert process.returncode == 130
    assert "interrupted; 0 of 1" in told(err)
