"""DCMTK's programs on the other side: accepted, rejected, released, aborted."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.files.samples import CT, EXPLICIT, FOLDER, IMPLICIT, stored
from tests.interop.programs import HOST, Listen, Peer, dul_fsm, free_port, run, storescp
from tests.interop.rows import SCP, SCU, exercises

pytestmark = pytest.mark.interop

MR = FOLDER / "MR_small.dcm"
JPEG_2000 = FOLDER / "JPEG2000.dcm"

Program = Callable[[str], str]
StartListen = Callable[..., Listen]


@pytest.fixture
def scp(peer: Program, tmp_path: Path) -> Callable[..., AbstractContextManager[Peer]]:
    """`with scp("--refuse") as peer:`: a running storescp."""

    def start(*options: object) -> AbstractContextManager[Peer]:
        return storescp(peer("storescp"), tmp_path / "scp", "-v", *options)

    return start


StartSCP = Callable[..., AbstractContextManager[Peer]]


# DCMTK calls -------------------------------------------------------------------------------------


@exercises("C-ECHO", SCP, "echoscu")
def test_echoscu_is_answered_and_released(listen: StartListen, peer: Program) -> None:
    ours = listen()
    done = run(peer("echoscu"), "-v", "--repeat", 3, HOST, ours.port)
    assert done.status == 0, done
    assert done.output.count("Received Echo Response (Success)") == 3
    ours.says("released; 0 stored")


def test_echoscu_may_propose_128_contexts_of_38_transfer_syntaxes(
    listen: StartListen, peer: Program
) -> None:
    ours = listen()
    done = run(peer("echoscu"), "-d", "-ppc", 128, "-pts", 38, HOST, ours.port)
    assert done.status == 0, done
    assert done.output.count("(Accepted)") == 128
    ours.says("released")


def test_echoscu_may_abort_and_the_next_one_is_answered(listen: StartListen, peer: Program) -> None:
    ours = listen()
    done = run(peer("echoscu"), "-v", "--abort", HOST, ours.port)
    assert done.status == 0, done
    assert "Aborting Association" in done.output
    ours.says("aborted by the peer's user")
    assert run(peer("echoscu"), HOST, ours.port).status == 0


@pytest.mark.parametrize("program", ["echoscu", "storescu"])
def test_who_calls_another_ae_title_is_rejected_where_ours_is_required(
    listen: StartListen, peer: Program, program: str
) -> None:
    ours = listen("-aet", "ARCHIVE", "--require-called-aet")
    files = [CT] if program == "storescu" else []
    wrong = run(peer(program), "-v", "-aec", "OTHER", HOST, ours.port, *files)
    assert wrong.status != 0, wrong
    assert "Rejected Permanent, Source: Service User" in wrong.output
    assert "Called AE Title Not Recognized" in wrong.output
    right = run(peer(program), "-v", "-aec", "ARCHIVE", HOST, ours.port, *files)
    assert right.status == 0, right
    ours.says("to OTHER rejected")
    assert len(ours.files) == len(files)


def test_without_that_option_any_ae_title_may_be_called(listen: StartListen, peer: Program) -> None:
    ours = listen("-aet", "ARCHIVE")
    assert run(peer("echoscu"), "-aec", "OTHER", HOST, ours.port).status == 0


@exercises("C-STORE", SCP, "storescu")
def test_storescu_stores_and_releases(listen: StartListen, peer: Program) -> None:
    ours = listen()
    done = run(peer("storescu"), "-v", "-R", HOST, ours.port, CT, MR)
    assert done.status == 0, done
    assert done.output.count("Received Store Response (Success)") == 2
    ours.says("released; 2 stored")
    assert len(ours.files) == 2


def test_what_storescu_stored_before_it_aborted_is_kept(listen: StartListen, peer: Program) -> None:
    ours = listen()
    done = run(peer("storescu"), "-v", "-R", "--abort", HOST, ours.port, CT)
    assert done.status == 0, done
    assert "Aborting Association" in done.output
    ours.says("aborted by the peer's user")
    (file,) = ours.files
    assert file.suffix == ".dcm"


# DCMTK is called ---------------------------------------------------------------------------------


@exercises("C-ECHO", SCU, "storescp")
def test_echo_is_answered_by_storescp_and_released(scp: StartSCP) -> None:
    with scp() as theirs:
        done = dul_fsm("echo", HOST, theirs.port, "--repeat", 3)
        assert done.status == 0, done
        assert done.output.count("Success") == 3
        theirs.says("Association Release")
        assert theirs.output.count("Received Echo Request") == 3


@exercises("C-STORE", SCU, "storescp")
def test_store_sends_to_storescp_and_releases(scp: StartSCP) -> None:
    with scp("+B") as theirs:
        done = dul_fsm("store", HOST, theirs.port, CT, MR)
        assert done.status == 0, done
        assert "2 of 2 stored" in done.output
        theirs.says("Association Release")
        kept = [path for path in theirs.log.parent.iterdir() if path != theirs.log]
        assert {stored(path) for path in kept} == {stored(CT), stored(MR)}


@exercises("C-STORE", SCU, "storescp")
def test_a_small_maximum_length_of_storescp_is_kept(scp: StartSCP) -> None:
    # What exceeds it storescp answers by an abort.
    with scp("+B", "-pdu", 4096) as theirs:
        assert dul_fsm("store", HOST, theirs.port, CT).status == 0
        (kept,) = (path for path in theirs.log.parent.iterdir() if path != theirs.log)
        assert stored(kept) == stored(CT)


@exercises("C-STORE", SCU, "storescp")
def test_a_file_is_recoded_for_a_storescp_that_takes_implicit_vr_only(scp: StartSCP) -> None:
    from pydicom import dcmread

    with scp("+xi", "+B") as theirs:
        done = dul_fsm("store", HOST, theirs.port, CT)
        assert done.status == 0, done
        (kept,) = (path for path in theirs.log.parent.iterdir() if path != theirs.log)
    before, after = dcmread(CT), dcmread(kept)
    assert before.file_meta.TransferSyntaxUID == EXPLICIT
    assert after.file_meta.TransferSyntaxUID == IMPLICIT
    assert before == after


def test_a_file_that_can_neither_be_sent_nor_recoded_fails_and_the_next_is_sent(
    scp: StartSCP,
) -> None:
    with scp("+xi") as theirs:
        done = dul_fsm("store", HOST, theirs.port, JPEG_2000, CT)
        assert done.status == 1, done
        assert f"failed {JPEG_2000}" in done.output
        assert "1 of 2 stored, 1 failed" in done.output


def test_a_storescp_that_refuses_is_reported(scp: StartSCP) -> None:
    with scp("--refuse") as theirs:
        for arguments in (("echo", HOST, theirs.port), ("store", HOST, theirs.port, CT)):
            done = dul_fsm(*arguments)
            assert done.status == 1, done
            assert "rejected-permanent by UL service-user: no-reason-given" in done.output
        theirs.says("Refusing Association")


@pytest.mark.parametrize("option", ["--abort-after", "--abort-during"])
def test_a_storescp_that_aborts_is_reported(scp: StartSCP, option: str) -> None:
    with scp(option) as theirs:
        done = dul_fsm("store", HOST, theirs.port, CT)
        assert done.status == 1, done
        assert "association aborted by the peer's user" in done.output
        assert "0 of 1 stored, 1 failed" in done.output
        theirs.says("ABORT initiated")
        assert dul_fsm("echo", HOST, theirs.port).status == 0


@exercises("C-ECHO", SCU, "dcmqrscp")
def test_a_wrong_called_ae_title_is_reported_where_dcmqrscp_requires_one(
    peer: Program, tmp_path: Path
) -> None:
    # storescp does not look at AE titles; DCMTK's archive does.
    (tmp_path / "archive").mkdir()
    configuration = tmp_path / "archive.cfg"
    configuration.write_text(
        "MaxPDUSize = 16384\nMaxAssociations = 4\n"
        "HostTable BEGIN\nHostTable END\nVendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\nARCHIVE {tmp_path / 'archive'} RW (9, 64mb) ANY\nAETable END\n"
    )
    options = ("-v", "-s", "-c", configuration)
    with storescp(peer("dcmqrscp"), tmp_path / "scp", *options) as theirs:
        wrong = dul_fsm("echo", HOST, theirs.port, "-aec", "OTHER")
        assert wrong.status == 1, wrong
        assert "called-AE-title-not-recognized" in wrong.output
        assert "-aec" in wrong.output
        right = dul_fsm("echo", HOST, theirs.port, "-aec", "ARCHIVE")
        assert right.status == 0, right


def test_nobody_who_listens_is_reported() -> None:
    port = free_port()
    for arguments in (("echo", HOST, port), ("store", HOST, port, CT)):
        done = dul_fsm(*arguments)
        assert done.status == 1, done
        assert "Connection refused" in done.output
