"""What Wireshark's dissector says of our sessions: nothing malformed, the PDUs that were meant.

A session is captured on the loopback interface where the machine allows it, and relayed where it
does not; see `recording`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.files.samples import CT, FOLDER, stored
from tests.interop.conftest import StartListen
from tests.interop.programs import HOST, dul_fsm, run
from tests.interop.recording import NotAllowed, Recording, captured, relayed

pytestmark = pytest.mark.interop

FILES = (CT, *(FOLDER / f"{name}.dcm" for name in ("MR_small", "JPEG2000", "ExplVR_BigEnd")))
ODD = FOLDER / "image_dfl.dcm"
MAXIMUM_LENGTH = 16384

RQ, AC, RJ, DATA, RELEASE_RQ, RELEASE_RP, ABORT = "1234567"

FindPeer = Callable[[str], str]


@contextmanager
def recorded(tshark: str, file: Path, port: int) -> Iterator[Recording]:
    """A capture if this machine lets us, else what a relay writes down."""
    with ExitStack() as stack:
        try:
            recording = stack.enter_context(captured(tshark, file, port))
        except NotAllowed:
            recording = stack.enter_context(relayed(file, port))
        yield recording


def dissect(tshark: str, file: Path, port: int) -> list[str]:
    """The types of the PDUs in a capture; fails if the dissector finds anything wrong."""
    as_dicom = ("-n", "-r", file, "-d", f"tcp.port=={port},dicom")
    # Only there: the marks of a recording are none of ours.
    faults = f"tcp.port == {port} && (_ws.malformed || _ws.expert.severity >= error)"
    wrong = run(tshark, *as_dicom, "-Y", faults)
    assert "127.0.0.1" not in wrong.output, wrong
    notes = run(tshark, *as_dicom, "-T", "fields", "-e", "_ws.expert.message", "-Y", "dicom")
    assert "alformed" not in notes.output, notes
    types = run(tshark, *as_dicom, "-T", "fields", "-e", "dicom.pdu.type", "-Y", "dicom.pdu.type")
    assert types.status == 0, types
    lines = [line for line in types.output.splitlines() if line[:2] == "0x"]
    return [str(int(value, 16)) for line in lines for value in line.split(",")]


def store_session() -> list[str]:
    """The PDUs of a session that stores `FILES`."""
    session = [RQ, AC]
    for path in FILES:
        fragments = -(-len(stored(path)) // (MAXIMUM_LENGTH - 6))
        session += [DATA] + [DATA] * fragments + [DATA]  # command, data set, response
    return [*session, RELEASE_RQ, RELEASE_RP]


def test_a_store_session(listen: StartListen, peer: FindPeer, tmp_path: Path) -> None:
    tshark = peer("tshark")
    ours = listen("--max-pdu", MAXIMUM_LENGTH)
    with recorded(tshark, tmp_path / "session.pcap", ours.port) as recording:
        done = dul_fsm("store", HOST, recording.port, *FILES)
        assert done.status == 0, done
        ours.says("released; 4 stored")
    assert dissect(tshark, recording.file, ours.port) == store_session()


def test_a_store_session_through_a_relay(
    listen: StartListen, peer: FindPeer, tmp_path: Path
) -> None:
    # What stands in where capturing is not allowed shows the same.
    tshark = peer("tshark")
    ours = listen("--max-pdu", MAXIMUM_LENGTH)
    with relayed(tmp_path / "session.pcap", ours.port) as recording:
        assert dul_fsm("store", HOST, recording.port, *FILES).status == 0
        ours.says("released; 4 stored")
    assert dissect(tshark, recording.file, ours.port) == store_session()


def test_a_rejected_and_an_aborted_session(
    listen: StartListen, peer: FindPeer, tmp_path: Path
) -> None:
    tshark = peer("tshark")
    ours = listen("-aet", "ARCHIVE", "--require-called-aet", "--artim", 0.2)
    with recorded(tshark, tmp_path / "session.pcap", ours.port) as recording:
        assert dul_fsm("echo", HOST, recording.port).status == 1
        ours.says("rejected")
        done = run(peer("echoscu"), "--abort", "-aec", "ARCHIVE", HOST, recording.port)
        assert done.status == 0, done
        ours.says("aborted by the peer's user")
    session = [RQ, RJ, RQ, AC, DATA, DATA, ABORT]
    assert dissect(tshark, recording.file, ours.port) == session


def test_the_dissector_finds_what_is_malformed(
    listen: StartListen, peer: FindPeer, tmp_path: Path
) -> None:
    # A data set of odd length goes as it is (spec/choices/odd-data-sets.md), and is objected to.
    tshark = peer("tshark")
    ours = listen()
    with recorded(tshark, tmp_path / "session.pcap", ours.port) as recording:
        assert dul_fsm("store", HOST, recording.port, ODD).status == 0
        ours.says("released; 1 stored")
    with pytest.raises(AssertionError, match="DICOM"):
        dissect(tshark, recording.file, ours.port)
