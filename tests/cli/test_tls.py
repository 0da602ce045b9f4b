"""`--tls` on each command: it works, and what does not is told in one line."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dul_fsm.cli.app import app
from dul_fsm.cli.tls import TLSOptions, endpoint
from dul_fsm.scp import serve
from dul_fsm.transports.tls import TLS, server_context
from tests.certificates import Certificates, make
from tests.cli.archive import CT_STUDY, Archive
from tests.cli.running import listening, run
from tests.files.samples import CT


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make(tmp_path_factory.mktemp("certificates"))


def ours(certificates: Certificates, name: str = "client") -> tuple[object, ...]:
    """The options of one end."""
    return ("--tls", "--ca", certificates.ca, "--cert", getattr(certificates, name))


def told(stderr: str) -> str:
    """The one line that a failure is told in."""
    (line,) = stderr.splitlines()
    assert line.startswith("dul-fsm: ")
    return line


def test_echo_and_store_reach_listen_with_both_certificates_checked(
    certificates: Certificates, tmp_path: Path
) -> None:
    options = ("--tls", "--ca", certificates.ca, "--cert", certificates.certificate)
    with listening("--output", tmp_path, *options, "--key", certificates.key) as peer:
        echoed = run("echo", peer.host, peer.port, *ours(certificates), "--tls-profile", "b.13")
        stored = run("store", peer.host, peer.port, CT, *ours(certificates))
        nobody = run("echo", peer.host, peer.port, "--tls", "--ca", certificates.ca)
        plain = run("echo", peer.host, peer.port)
        status, log = peer.end()
    assert (echoed.returncode, echoed.stderr) == (0, "")
    assert (stored.returncode, stored.stderr) == (0, "")
    assert nobody.returncode == plain.returncode == 1
    assert "it asks for a certificate of ours (give one that" in told(nobody.stderr)
    assert "does it want TLS?" in told(plain.stderr)
    assert status == 0
    assert len(list(tmp_path.rglob("*.dcm"))) == 1
    assert "no TLS connection with 127.0.0.1:" in log
    assert "the peer has shown no certificate" in log
    assert "the peer does not speak TLS" in log


@pytest.mark.parametrize("command", ["find", "get", "move"])
def test_queries_and_retrievals_go_over_tls(
    command: str, certificates: Certificates, tmp_path: Path
) -> None:
    context = server_context(cert=certificates.server, ca=certificates.ca)
    keys = ["-k", f"StudyInstanceUID={CT_STUDY}"]
    more = ["--destination", "NOBODY"] if command == "move" else []
    with serve(Archive, TLS("127.0.0.1", 0, context)) as server:
        called = ("127.0.0.1", server.port, *keys, *more)
        ran = run(command, *called, *ours(certificates), cwd=tmp_path)
        plain = run(command, *called, cwd=tmp_path)
    if command == "move":
        assert (ran.returncode, "move destination unknown" in ran.stderr) == (1, True)
    else:
        assert (ran.returncode, ran.stderr) == (0, "")
        assert "1 match" in ran.stdout or "1 stored" in ran.stdout
    assert plain.returncode == 1
    assert "does it want TLS?" in told(plain.stderr)


def test_listen_without_a_ca_lets_anybody_in_and_says_so(certificates: Certificates) -> None:
    with listening("--discard", "--tls", "--cert", certificates.server) as peer:
        anybody = run("echo", peer.host, peer.port, "--tls", "--ca", certificates.ca)
        _, log = peer.end()
    assert (anybody.returncode, anybody.stderr) == (0, "")
    assert "clients need no certificate" in log


def test_a_plain_listen_is_told_by_the_client(certificates: Certificates) -> None:
    with serve(port=0) as server:
        for command in (("echo",), ("store",)):
            files = [CT] if command == ("store",) else []
            ran = run(*command, "127.0.0.1", server.port, *files, *ours(certificates))
            assert ran.returncode == 1
            line = told(ran.stderr)
            assert "the peer does not speak TLS" in line
            assert "may answer without --tls" in line


@pytest.mark.parametrize(
    ("server", "ca", "words"),
    [
        ("elsewhere", "ca", "call the peer by the name in its certificate"),
        ("expired", "ca", "certificate has expired"),
        ("server", "other_ca", "--ca"),
    ],
)
def test_a_server_that_is_not_trusted_is_told_in_a_line(
    certificates: Certificates, server: str, ca: str, words: str
) -> None:
    context = server_context(cert=getattr(certificates, server), require_client_certificate=False)
    with serve(endpoint=TLS("127.0.0.1", 0, context)) as peer:
        ran = run("echo", "127.0.0.1", peer.port, "--tls", "--ca", getattr(certificates, ca))
    assert ran.returncode == 1
    line = told(ran.stderr)
    assert "the peer's certificate is not accepted" in line
    assert words in line


def test_a_tls_alert_to_a_plain_client_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(10_000)
                connection.sendall(b"\x15\x03\x01\x00\x02\x02\x46")
                while connection.recv(10_000):
                    pass

        thread = threading.Thread(target=answer)
        thread.start()
        ran = run("echo", "127.0.0.1", listener.getsockname()[1])
        thread.join()
    assert ran.returncode == 1
    assert "that is a TLS alert: give --tls" in told(ran.stderr)


@pytest.mark.parametrize("command", [("echo", "h", 104), ("store", "h", 104, CT), ("listen",)])
@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("--ca", "ca"), "--ca goes with --tls"),
        (("--cert", "client"), "--cert goes with --tls"),
        (("--key", "key"), "--key goes with --tls"),
        (("--tls", "", "--key", "key"), "--cert"),
        (("--tls", "", "--cert", "missing"), "missing"),
        (("--tls", "", "--cert", "client", "--tls-profile", "B.1"), "B.1"),
    ],
)
def test_wrong_usage_exits_with_2(
    certificates: Certificates,
    command: tuple[object, ...],
    names: tuple[str, ...],
    words: str,
) -> None:
    given = [str(getattr(certificates, name, name)) for name in names if name]
    result = CliRunner().invoke(app, [*map(str, command), *given])
    assert result.exit_code == 2
    assert words in result.output


def test_listen_needs_something_to_show() -> None:
    result = CliRunner().invoke(app, ["listen", "--tls"])
    assert result.exit_code == 2
    assert "--tls needs --cert" in result.output
    with pytest.raises(ValueError, match="--cert"):
        endpoint("", 0, TLSOptions("B.12"), lambda text: None)


@pytest.mark.parametrize("command", [("echo", "127.0.0.1", 1), ("listen",), ("store",)])
def test_files_that_do_not_hold_what_they_should_are_told_in_a_line(
    certificates: Certificates, command: tuple[object, ...]
) -> None:
    if command == ("store",):
        command = ("store", "127.0.0.1", 1, CT)
    ran = run(*command, "--tls", "--cert", certificates.ca)
    assert ran.returncode == 1
    assert "TLS: " in told(ran.stderr)
    assert str(certificates.ca) in told(ran.stderr)


def test_what_openssl_lacks_for_a_profile_is_told_in_a_line(certificates: Certificates) -> None:
    context = server_context(cert=certificates.server, require_client_certificate=False)
    if any("CCM_8" in suite["name"] for suite in context.get_ciphers()):
        pytest.skip("this OpenSSL is configured for B.13")
    ran = run("listen", "--tls", "--cert", certificates.server, "--tls-profile", "B.13")
    assert ran.returncode == 1
    assert "cannot serve the profile B.13: it lacks TLS_AES_128_CCM_SHA256" in told(ran.stderr)
