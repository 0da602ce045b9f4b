"""`dul-fsm listen` gives back what it stores, and says what it will not do."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dul_fsm.cli.app import app
from dul_fsm.cli.destinations import Address, check, connect_to, parse
from dul_fsm.transports import TCP
from tests.certificates import Certificates, make
from tests.cli.archive import CT_INSTANCE, CT_STUDY, FILES, studies
from tests.cli.running import Listening, listening, run

STUDY = ("-k", f"StudyInstanceUID={CT_STUDY}")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make(tmp_path_factory.mktemp("certificates"))


def found(peer: Listening) -> int:
    """How many studies `find` finds."""
    ran = run("find", peer.host, peer.port, "-k", "StudyInstanceUID", "--format", "json")
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.count('"0020000D"')


def test_what_is_stored_is_found_retrieved_and_moved(tmp_path: Path) -> None:
    with listening("--output", tmp_path / "moved") as viewer:
        there = f"VIEWER={viewer.host}:{viewer.port}"
        with listening("--output", tmp_path / "kept", "--destination", there) as peer:
            assert found(peer) == 0
            assert run("store", peer.host, peer.port, *FILES).returncode == 0
            assert found(peer) == 2
            got = run("get", peer.host, peer.port, *STUDY, "--output", tmp_path / "got")
            moved = run("move", peer.host, peer.port, *STUDY, "--destination", "VIEWER")
            nowhere = run("move", peer.host, peer.port, *STUDY, "--destination", "NOBODY")
            status, log = peer.end()
    assert (got.returncode, moved.returncode, nowhere.returncode) == (0, 0, 1)
    assert "move destination unknown" in nowhere.stderr
    assert studies(tmp_path / "got") == studies(tmp_path / "moved") == [CT_INSTANCE]
    assert status == 0
    assert "answering queries, moving to VIEWER" in log
    assert re.search(r"^STUDY query from DUL-FSM \(127\.0\.0\.1:\d+\): 0 matches$", log, re.M)
    assert re.search(r"^STUDY query from DUL-FSM \(127\.0\.0\.1:\d+\): 2 matches$", log, re.M)
    assert re.search(r"^sending 1 instance to DUL-FSM \(127\.0\.0\.1:\d+\)$", log, re.M)
    assert re.search(r"^sending 1 instance to VIEWER for DUL-FSM \(127\.0\.0\.1:\d+\)$", log, re.M)


def test_what_is_there_before_and_what_others_put_there_is_found(tmp_path: Path) -> None:
    shutil.copy(FILES[0], tmp_path / "one.dcm")
    with listening("--output", tmp_path) as peer:
        assert found(peer) == 1
        shutil.copy(FILES[1], tmp_path / "two.dcm")
        assert found(peer) == 2


def test_workers_find_what_any_of_them_has_stored(tmp_path: Path) -> None:
    with listening("--output", tmp_path, "--workers", 2) as peer:
        for file in FILES:
            assert run("store", peer.host, peer.port, file).returncode == 0
        assert [found(peer) for _ in range(4)] == [2] * 4


def test_no_query_only_stores(tmp_path: Path) -> None:
    with listening("--output", tmp_path, "--no-query") as peer:
        assert run("store", peer.host, peer.port, *FILES).returncode == 0
        ran = run("find", peer.host, peer.port, "-k", "StudyInstanceUID")
        status, log = peer.end()
    assert ran.returncode == 1
    assert status == 0
    assert "queries" not in log


@pytest.mark.parametrize("scheme", ["tls", "tcp"])
def test_what_came_over_tls_is_moved_over_tls_unless_told_otherwise(
    scheme: str, certificates: Certificates, tmp_path: Path
) -> None:
    server = ("--tls", "--ca", certificates.ca, "--cert", certificates.server)
    client = ("--tls", "--ca", certificates.ca, "--cert", certificates.client)
    with listening("--output", tmp_path / "moved", *(server if scheme == "tls" else ())) as viewer:
        there = f"VIEWER={scheme}://{viewer.host}:{viewer.port}"
        with listening("--output", tmp_path / "kept", *server, "--destination", there) as peer:
            assert run("store", peer.host, peer.port, FILES[0], *client).returncode == 0
            ran = run("move", peer.host, peer.port, *STUDY, "--destination", "VIEWER", *client)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert studies(tmp_path / "moved") == [CT_INSTANCE]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--discard", "--query"], "--discard keeps nothing"),
        (["--discard", "--destination", "A=h:1"], "goes with --query"),
        (["--no-query", "--destination", "A=h:1"], "goes with --query"),
        (["--destination", "VIEWER"], "is not AE=HOST:PORT"),
        (["--destination", "A=h:0"], "is not AE=HOST:PORT"),
        (["--destination", "A=ftp://h:1"], "is not AE=HOST:PORT"),
        (["--destination", "ABCDEFGHIJKLMNOPQ=h:1"], "1 to 16 characters"),
        (["--destination", "A=h:1", "--destination", "A=h:2"], "is there twice"),
        (["--destination", "A=tls://h:1"], "goes with --tls"),
    ],
)
def test_what_makes_no_sense_is_wrong_usage(arguments: list[str], words: str) -> None:
    ran = CliRunner().invoke(app, ["listen", *arguments], env={"COLUMNS": "200"})
    assert ran.exit_code == 2
    assert words in " ".join(ran.output.split())


def test_a_destination_of_a_tls_server_says_whether_it_is_in_clear() -> None:
    with pytest.raises(ValueError, match="say tls://, or tcp://"):
        check(["A=h:1"], tls=True)
    check(["A=tls://h:1", "B=tcp://h:1"], tls=True)
    check(["A=h:1", "B=tcp://h:1"], tls=False)


def test_a_destination_has_a_title_a_host_and_a_port() -> None:
    assert parse("VIEW 1=example.org:104") == Address("VIEW 1", "", "example.org", 104)
    assert parse("A=tls://[::1]:2762") == Address("A", "tls", "::1", 2762)
    (there,) = connect_to(["A=tcp://127.0.0.1:104"], None).values()
    assert isinstance(there.connector, TCP)
    assert (there.called_ae_title, there.clear) == ("A", True)
