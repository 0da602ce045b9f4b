"""`dul-fsm get` and `dul-fsm move`: what arrives is kept, and what does not is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dul_fsm.scp import serve
from dul_fsm.scp.server import Server
from dul_fsm.scp.storage import DiscardHandler
from tests.cli.archive import CT_INSTANCE, CT_STUDY, MR_STUDY, Archive, free_port, serving, studies
from tests.cli.running import run

STUDY = ("-k", f"StudyInstanceUID={CT_STUDY}")


@pytest.fixture(scope="module")
def archive() -> Iterator[Server]:
    with serving() as server:
        yield server


# get ---------------------------------------------------------------------------------------------


def test_get_stores_what_it_retrieves(archive: Server, tmp_path: Path) -> None:
    ran = run("get", "127.0.0.1", archive.port, *STUDY, "--output", tmp_path / "out")
    assert (ran.returncode, ran.stderr) == (0, "")
    stored, last = ran.stdout.splitlines()
    assert stored.startswith("stored ")
    assert last == "1 stored; sub-operations: 1 done"
    assert studies(tmp_path / "out") == [CT_INSTANCE]


def test_get_stores_into_received_unless_told_otherwise(archive: Server, tmp_path: Path) -> None:
    run("get", "127.0.0.1", archive.port, *STUDY, cwd=tmp_path)
    assert studies(tmp_path / "received") == [CT_INSTANCE]


def test_get_retrieves_a_patient(archive: Server, tmp_path: Path) -> None:
    ran = run(
        *("get", "127.0.0.1", archive.port, "--model", "patient", "--level", "patient"),
        *("-k", "PatientID=1CT1", "--output", tmp_path),
    )
    assert ran.returncode == 0
    assert studies(tmp_path) == [CT_INSTANCE]


def test_get_of_nothing_says_so(archive: Server, tmp_path: Path) -> None:
    ran = run("get", "127.0.0.1", archive.port, "-k", "StudyInstanceUID=9", cwd=tmp_path)
    assert ran.returncode == 0
    assert ran.stdout.startswith("0 stored")


def test_get_names_what_the_peer_failed_to_send(tmp_path: Path) -> None:
    with serving(Archive, missing=(CT_INSTANCE,)) as server:
        ran = run("get", "127.0.0.1", server.port, *STUDY, cwd=tmp_path)
    assert ran.returncode == 1
    assert f"the peer failed to send {CT_INSTANCE}" in ran.stderr
    assert ran.stdout == "0 stored; sub-operations: 1 done, 1 failed\n"


def test_get_of_a_part_is_a_failure_that_keeps_the_part(tmp_path: Path) -> None:
    both = f"StudyInstanceUID={CT_STUDY}\\{MR_STUDY}"
    with serving(Archive, missing=(CT_INSTANCE,)) as server:
        ran = run("get", "127.0.0.1", server.port, "-k", both, cwd=tmp_path)
    assert ran.returncode == 1
    assert "B000H Warning" in ran.stderr
    assert ran.stdout.endswith("1 stored; sub-operations: 2 done, 1 failed\n")
    assert len(studies(tmp_path)) == 1


def test_get_receives_the_sop_classes_that_are_named(archive: Server, tmp_path: Path) -> None:
    mr = "1.2.840.10008.5.1.4.1.1.4"
    ran = run("get", "127.0.0.1", archive.port, *STUDY, "--sop-class", mr, cwd=tmp_path)
    assert ran.returncode == 1
    assert CT_INSTANCE in ran.stderr


def test_get_says_when_it_cannot_store(archive: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    ran = run("get", "127.0.0.1", archive.port, *STUDY, "--output", tmp_path / "file" / "x")
    assert ran.returncode == 1
    assert "cannot store into" in ran.stderr


# move --------------------------------------------------------------------------------------------


def test_move_has_it_sent_to_somebody(tmp_path: Path) -> None:
    with (
        serve(DiscardHandler, port=0) as destination,
        serving(Archive, destinations={"OTHER": destination.port}) as server,
    ):
        ran = run("move", "127.0.0.1", server.port, *STUDY, "--destination", "OTHER")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == "sub-operations: 1 done\n"


def test_move_receives_here(tmp_path: Path) -> None:
    port = free_port()
    with serving(Archive, destinations={"ME": port}) as server:
        ran = run(
            *("move", "127.0.0.1", server.port, *STUDY, "-aet", "ME", "--listen", port),
            *("--listen-host", "127.0.0.1", "--output", tmp_path),
        )
    assert (ran.returncode, ran.stderr) == (0, "")
    first, stored, last = ran.stdout.splitlines()
    assert first == f"receiving as ME on 127.0.0.1:{port}"
    assert stored.startswith("stored ")
    assert last == "1 stored; sub-operations: 1 done"
    assert studies(tmp_path) == [CT_INSTANCE]


def test_move_to_nobody_is_told(archive: Server) -> None:
    ran = run("move", "127.0.0.1", archive.port, *STUDY, "--destination", "NOBODY")
    assert ran.returncode == 1
    assert "A801H Failure (refused: move destination unknown)" in ran.stderr


def test_move_says_when_it_cannot_listen(archive: Server, tmp_path: Path) -> None:
    ran = run(
        *("move", "127.0.0.1", archive.port, *STUDY, "--listen", archive.port),
        *("--listen-host", "127.0.0.1"),
        cwd=tmp_path,
    )
    assert ran.returncode == 1
    assert "cannot listen on" in ran.stderr
