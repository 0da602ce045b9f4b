"""`dul-fsm find`: matches as a table or JSON; every end is told, and Ctrl-C cancels."""

from __future__ import annotations

import json
import signal
import socket
import threading
from collections.abc import Iterator
from queue import SimpleQueue

import pytest

from dul_fsm.association import Message
from dul_fsm.dimse.data_set import encode_data_set
from dul_fsm.negotiation import choose_from
from dul_fsm.scp.server import Server
from dul_fsm.services.sop_classes import STUDY_ROOT_FIND
from tests.cli.archive import CT_STUDY, Archive, Endless, free_port, serving
from tests.cli.running import PATIENCE, run, start
from tests.query.samples import identifier


@pytest.fixture(scope="module")
def archive() -> Iterator[Server]:
    with serving() as server:
        yield server


def test_without_keys_it_shows_all_studies_with_the_usual_columns(archive: Server) -> None:
    ran = run("find", "127.0.0.1", archive.port)
    assert (ran.returncode, ran.stderr) == (0, "")
    head, _, *rows, last = ran.stdout.splitlines()
    assert head.split() == [
        "PatientName",
        "PatientID",
        "StudyDate",
        "ModalitiesInStudy",
        "StudyDescription",
        "StudyInstanceUID",
    ]
    assert rows[0].split() == ["CompressedSamples^CT1", "1CT1", "20040119", "CT", "e+1", CT_STUDY]
    assert (len(rows), last) == (2, "2 matches")


def test_columns_are_the_keys_in_their_order(archive: Server) -> None:
    ran = run("find", "127.0.0.1", archive.port, "-k", "StudyDate=2004-", "-k", "PatientID")
    assert ran.returncode == 2
    ran = run("find", "127.0.0.1", archive.port, "-k", "PatientID", "-k", "StudyDate=20040101-")
    assert [line.split() for line in ran.stdout.splitlines()[::2]] == [
        ["PatientID", "StudyDate"],
        ["1CT1", "20040119"],
        ["2", "matches"],
    ]


def test_a_series_is_searched_in_its_study(archive: Server) -> None:
    keys = ["-k", f"StudyInstanceUID={CT_STUDY}", "-k", "Modality", "--level", "series"]
    ran = run("find", "127.0.0.1", archive.port, *keys)
    assert ran.stdout.splitlines()[2:] == [f"{CT_STUDY}   CT", "1 match"]


def test_no_match_is_success(archive: Server) -> None:
    ran = run("find", "127.0.0.1", archive.port, "-k", "PatientID=none")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "0 matches\n", "")


def test_json_is_one_array_of_the_dicom_model(archive: Server) -> None:
    arguments = ["127.0.0.1", archive.port, "-k", "PatientName", "--format", "json"]
    ran = run("find", *arguments)
    found = json.loads(ran.stdout)
    assert [one["00100010"]["Value"][0]["Alphabetic"] for one in found] == [
        "CompressedSamples^CT1",
        "CompressedSamples^MR1",
    ]
    assert run("find", *arguments, "-k", "PatientID=none").stdout == "[]\n"


def test_a_worklist_is_searched_and_its_names_are_read(archive: Server) -> None:
    ran = run(
        *("find", "127.0.0.1", archive.port, "--model", "worklist", "--format", "jsonl"),
        *("-k", "PatientName", "-k", "(0040,0100)[0].Modality=MR"),
    )
    (line,) = ran.stdout.splitlines()
    found = json.loads(line)
    assert found["00100010"]["Value"] == [{"Alphabetic": "Plänned^MR"}]
    assert found["00400100"]["Value"][0]["00080060"]["Value"] == ["MR"]


def test_a_worklist_has_columns_of_its_own(archive: Server) -> None:
    ran = run("find", "127.0.0.1", archive.port, "--model", "worklist")
    assert ran.stdout.splitlines()[0].split()[3:6] == [
        "ScheduledProcedureStepStartDate",
        "ScheduledProcedureStepStartTime",
        "Modality",
    ]
    assert "Plänned^CT" in ran.stdout


def test_a_refused_query_is_told_with_its_status(archive: Server) -> None:
    ran = run("find", "127.0.0.1", archive.port, "--level", "SERIES")
    assert ran.returncode == 1
    assert ran.stdout == ""
    assert "Failure" in ran.stderr
    with serving(Archive, status=0xA700) as other:
        ran = run("find", "127.0.0.1", other.port, "--format", "json")
    assert (ran.returncode, ran.stdout) == (1, "[]\n")
    assert ran.stderr == "dul-fsm: A700H Failure (refused: out of resources)\n"


def test_a_peer_without_the_service_is_told_in_a_line(archive: Server) -> None:
    with serving(Archive, choose=staticmethod(choose_from({}))) as other:
        ran = run("find", "127.0.0.1", other.port)
    assert ran.returncode == 1
    assert len(ran.stderr.splitlines()) == 1
    assert "does not provide this service" in ran.stderr


def test_nobody_there_is_told_in_a_line() -> None:
    ran = run("find", "127.0.0.1", free_port())
    assert ran.returncode == 1
    assert "is the peer running" in ran.stderr


def test_max_cancels_and_is_success() -> None:
    Endless.cancelled.clear()
    with serving(Endless) as server:
        ran = run("find", "127.0.0.1", server.port, "-k", "PatientID=1", "--max", "5")
        assert Endless.cancelled.wait(PATIENCE)
    assert ran.returncode == 0
    assert ran.stdout.endswith("5 matches so far\n")
    assert ran.stderr == "dul-fsm: cancelled after 5, as --max says\n"


class Noted:
    """Which ends the associations of an archive have come to."""

    def __init__(self) -> None:
        self.ends: SimpleQueue[str] = SimpleQueue()

    @property
    def methods(self) -> dict[str, object]:
        return {
            "released": lambda archive, event: self.ends.put("released"),
            "aborted": lambda archive, event: self.ends.put("aborted"),
        }


def test_ctrl_c_cancels_and_the_association_is_released() -> None:
    Endless.cancelled.clear()
    noted = Noted()
    with serving(Endless, **noted.methods) as server:
        process = start("find", "127.0.0.1", server.port, "--format", "json", "-k", "PatientID=1")
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.readline() + process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, told = process.stdout.read(), process.stderr.read()
        assert process.wait(PATIENCE) == 130
        assert Endless.cancelled.wait(PATIENCE)
        assert noted.ends.get(timeout=PATIENCE) == "released"
    process.stdout.close()
    process.stderr.close()
    assert told.startswith("dul-fsm: interrupted: cancelling")
    assert len(told.splitlines()) == 1
    assert json.loads(first + rest)


def test_ctrl_c_twice_aborts_what_a_peer_does_not_end() -> None:
    asked, go_on = threading.Event(), threading.Event()

    def stuck(self: Archive, message: Message) -> Iterator[bytes]:
        asked.set()
        go_on.wait(PATIENCE)
        return iter(())

    with serving(Archive, c_find_requested=stuck) as server:
        process = start("find", "127.0.0.1", server.port)
        try:
            assert asked.wait(PATIENCE)
            assert process.stderr is not None
            process.send_signal(signal.SIGINT)
            assert "once more aborts" in process.stderr.readline()
            process.send_signal(signal.SIGINT)
            assert process.stderr.readline() == "dul-fsm: interrupted: aborting\n"
            assert process.wait(PATIENCE) == 130
        finally:
            go_on.set()
            process.kill()
            process.communicate()


def test_ctrl_c_before_there_is_an_association_ends_it_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        process = start("find", "127.0.0.1", silent.getsockname()[1])
        peer, _ = silent.accept()
        with peer:
            assert peer.recv(1) == b"\1"
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (130, "", "dul-fsm: interrupted\n")


def test_a_match_that_cannot_be_read_is_told_and_costs_the_others_nothing() -> None:
    def matches(self: Archive, message: Message) -> Iterator[bytes]:
        yield b"\x20\0\x13\0\x02\0\0\0x "  # Instance Number, which is an integer string
        yield encode_data_set(identifier("PatientID=42"), message.context.transfer_syntax)

    implicit = staticmethod(choose_from({STUDY_ROOT_FIND: ["1.2.840.10008.1.2"]}))
    with serving(Archive, c_find_requested=matches, choose=implicit) as server:
        ran = run("find", "127.0.0.1", server.port, "-k", "PatientID")
    assert ran.returncode == 1
    assert ran.stdout.splitlines()[-2:] == ["42", "1 match"]
    assert "cannot be read" in ran.stderr
