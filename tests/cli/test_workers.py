"""`dul-fsm listen --workers` and `dul-fsm store --window`."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from dul_fsm.scp import workers
from dul_fsm.scu import associate
from tests.cli.running import listening, run
from tests.cli.test_store_listen import data_of, write
from tests.files.samples import files

forks = pytest.mark.skipif(not workers.supported(), reason="this system does not fork")


@forks
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_several_processes_keep_what_they_receive_in_one_folder(
    tmp_path: Path, number: signal.Signals
) -> None:
    sent = tmp_path / "sent"
    sent.mkdir()
    paths = [write(sent / f"{n}.dcm", f"1.2.3.{n}", bytes(range(256)) * n) for n in range(1, 9)]
    with listening("--output", tmp_path / "kept", "--workers", 2) as peer:
        for path in paths:  # each on its own connection, to whichever worker that goes
            assert run("store", peer.host, peer.port, path).returncode == 0
        # The same once more: another process may have it already, which changes nothing.
        assert run("store", peer.host, peer.port, *paths).returncode == 0
        status, log = peer.end(number)
    assert status == 0
    assert "2 workers" in log
    kept = files(tmp_path / "kept")
    assert sorted(map(data_of, kept)) == sorted(map(data_of, paths))


@forks
def test_a_port_that_is_taken_is_said_once_and_with_a_hint() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = run("listen", "--port", port, "--discard", "--workers", 2)
    assert ran.returncode == 1
    assert ran.stderr.count("cannot listen") == 1
    assert "--port" in ran.stderr


@forks
def test_two_servers_do_not_share_a_port_by_mistake() -> None:
    with listening("--discard", "--workers", 2) as peer:
        ran = run("listen", "--port", peer.port, "--discard", "--workers", 2)
    assert ran.returncode == 1


@forks
def test_what_no_worker_can_begin_with_ends_them_all(tmp_path: Path) -> None:
    not_a_key = tmp_path / "not.pem"
    not_a_key.write_text("nothing")
    ran = run("listen", "--port", 0, "--discard", "--workers", 2, "--tls", "--cert", not_a_key)
    assert ran.returncode == 1
    assert "TLS:" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("option", [("--workers", 0), ("--workers", "many")])
def test_a_wrong_number_of_workers_is_wrong_usage(option: tuple[object, ...]) -> None:
    assert run("listen", "--discard", *option).returncode == 2


@pytest.mark.parametrize("window", [0, 1, 3])
def test_files_are_under_way_at_once_and_every_one_arrives(tmp_path: Path, window: int) -> None:
    sent = tmp_path / "sent"
    sent.mkdir()
    paths = [write(sent / f"{n}.dcm", f"1.2.3.{n}", bytes([n]) * 100_000) for n in range(20)]
    with listening("--output", tmp_path / "kept") as peer:
        ran = run("store", peer.host, peer.port, sent, "--window", window)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert "20 of 20 stored" in ran.stdout
        with associate(peer.host, peer.port) as association:
            assert association.c_echo().status == 0
    assert sorted(map(data_of, files(tmp_path / "kept"))) == sorted(map(data_of, paths))
