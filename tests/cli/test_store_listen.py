"""`dul-fsm store` and `listen`: what one sends the other keeps, whatever happens between."""

from __future__ import annotations

import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dul_fsm.association import Message
from dul_fsm.cli.listen import _signals
from dul_fsm.cli.progress import Progress
from dul_fsm.cli.store import store_files
from dul_fsm.errors import AssociationError
from dul_fsm.files import NotStorable, file_meta, open_data_set, read_part10
from dul_fsm.pdu import AAssociateRQ, PresentationContextRQ, UserInformation, encode
from dul_fsm.scp import serve
from dul_fsm.scu import associate
from dul_fsm.services.handler import Handler
from tests.cli.running import Listening, listening, run, start
from tests.files.samples import CT, CT_IMAGE_STORAGE, EXPLICIT, FILES, FOLDER, data_set, files

CONTEXTS = [(CT_IMAGE_STORAGE, [EXPLICIT])]


def until(there: object, seconds: float = 20.0) -> None:
    """Wait until a call is true; another process makes it so."""
    by = time.monotonic() + seconds
    tick = threading.Event()
    while not there():  # type: ignore[operator]
        assert time.monotonic() < by, "it did not happen"
        tick.wait(0.01)


def data_of(path: Path) -> tuple[str, bytes]:
    part10 = read_part10(path)
    with open_data_set(part10) as data:
        return part10.transfer_syntax_uid, bytes(data)


def storable() -> list[Path]:
    found = []
    for path in FILES:
        try:
            read_part10(path)
        except NotStorable:
            continue
        found.append(path)
    return found


def write(path: Path, uid: str, pixels: bytes = b"") -> Path:
    head = file_meta(CT_IMAGE_STORAGE, uid, EXPLICIT, "1.2.3.4")
    path.write_bytes(head + data_set(uid, pixels=pixels))
    return path


def test_every_file_of_pydicom_arrives_with_an_identical_data_set(tmp_path: Path) -> None:
    paths = storable()
    assert len(paths) >= 68
    with listening("--output", tmp_path / "kept") as peer:
        ran = run("store", peer.host, peer.port, *paths)
        status, log = peer.end()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"{len(paths)} of {len(paths)} stored" in ran.stdout
    assert {data_of(path) for path in files(tmp_path)} == {data_of(path) for path in paths}
    assert status == 0
    assert log.count("stored from DUL-FSM") == len(paths)
    assert f"released; {len(paths)} stored" in log


def test_a_folder_is_sent_and_what_is_no_dicom_in_it_is_counted(tmp_path: Path) -> None:
    with listening("--discard") as peer:
        ran = run("store", peer.host, peer.port, FOLDER, "--max-pdu", 16384)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert re.search(r"skipped \d+ other files", ran.stdout)
        ran = run("store", peer.host, peer.port, FOLDER, "-v")
        assert "skipped" in ran.stdout
        assert "sent P-DATA-TF" in ran.stderr


def test_failures_are_listed_and_exit_with_1(tmp_path: Path) -> None:
    text = tmp_path / "readme.txt"
    text.write_text("not DICOM")
    bad = write(tmp_path / "1.dcm", "1.2.x")
    with listening("--output", tmp_path / "kept") as peer:
        ran = run("store", peer.host, peer.port, text, bad, CT)
        _, log = peer.end()
    assert ran.returncode == 1
    assert f"not sent: {text}: no DICM prefix" in ran.stderr
    assert f"failed {bad}: 0117H Failure (invalid SOP instance)" in ran.stdout
    assert "1 of 2 stored, 1 failed" in ran.stdout
    assert "not stored from DUL-FSM" in log
    assert len(files(tmp_path / "kept")) == 1


def test_a_disk_that_is_full_is_told_and_leaves_no_part_of_a_file(tmp_path: Path) -> None:
    small = write(tmp_path / "1.dcm", "1.2.1")
    large = write(tmp_path / "2.dcm", "1.2.2", pixels=bytes(1_000_000))
    after = write(tmp_path / "3.dcm", "1.2.3")
    # No file may be larger than some 100 KiB: the error that a full disk gives, for one image.
    with listening("--output", tmp_path / "kept", shell="ulimit -f 200") as peer:
        ran = run("store", peer.host, peer.port, small, large, after)
        until(lambda: len(files(tmp_path / "kept")) == 2)
        _, log = peer.end()
    assert ran.returncode == 1
    assert f"failed {large}: A700H Failure (refused: out of resources)" in ran.stdout
    assert "2 of 3 stored, 1 failed" in ran.stdout
    assert "File too large" in log
    assert "released; 2 stored, 1 not stored" in log


def test_nothing_to_send_is_said_and_exits_with_1(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("not DICOM")
    ran = run("store", "127.0.0.1", 1, tmp_path)
    assert ran.returncode == 1
    assert "nothing to send" in ran.stderr


def test_without_a_peer_the_reason_is_said_once(tmp_path: Path) -> None:
    for number in range(20):
        write(tmp_path / f"{number}.dcm", f"1.2.{number}")
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        ran = run("store", "127.0.0.1", sock.getsockname()[1], tmp_path)
    assert ran.returncode == 1
    assert ran.stderr.count("Connection refused") == 1
    assert "0 of 20 stored, 20 failed" in ran.stdout


def test_ctrl_c_waits_for_a_result_that_is_being_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else it would be among those in the sum, and nowhere else."""
    paths = [write(tmp_path / f"{number}.dcm", f"1.2.{number}") for number in range(3)]
    tell = Progress.tell

    def interrupted(self: Progress, text: str) -> None:
        if text.startswith("stored "):
            signal.raise_signal(signal.SIGINT)
        tell(self, text)

    monkeypatch.setattr(Progress, "tell", interrupted)

    class Taking(Handler):
        def c_store_requested(self, message: Message) -> int:
            return 0

    with serve(Taking, port=0) as server:
        result = store_files(
            [*paths],
            "127.0.0.1",
            server.port,
            calling_ae_title="SCU",
            called_ae_title="SCP",
            maximum_length=16384,
            window=1,
            tls=None,
            verbose=False,
        )
    assert result == 130
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == f"stored {paths[0]}"
    assert rest[:2] == [f"not sent {path}" for path in paths[1:]]
    assert rest[2].startswith("1 of 3 stored, 2 not sent")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("window", [1, 8])
def test_ctrl_c_aborts_and_says_what_was_not_sent(tmp_path: Path, window: int) -> None:
    paths = [write(tmp_path / f"{number}.dcm", f"1.2.{number}") for number in range(3)]
    arrived, go_on = threading.Event(), threading.Event()

    class Slow(Handler):
        def c_store_requested(self, message: Message) -> int:
            if message.command.affected_sop_instance_uid == "1.2.1":  # type: ignore[union-attr]
                arrived.set()
                go_on.wait(20)
            return 0

    with serve(Slow, port=0) as server:
        process = start("store", "127.0.0.1", server.port, tmp_path, "--window", window)
        assert arrived.wait(20)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        go_on.set()
    assert process.returncode == 130
    assert "Traceback" not in err
    # With more than one under way, the answer for the first may be on its way still.
    stored = f"stored {paths[0]}" in out
    assert stored or window > 1
    assert (f"not sent {paths[0]}" in out) is not stored
    assert f"not sent {paths[1]}" in out
    assert f"not sent {paths[2]}" in out
    assert f"{int(stored)} of 3 stored, {3 - stored} not sent" in out


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_while_listen_ends_changes_nothing(by: signal.Signals) -> None:
    this = threading.get_ident()
    before = signal.signal(by, signal.default_int_handler)
    try:
        with _signals() as wait:
            signal.pthread_kill(this, by)
            wait()
            signal.pthread_kill(this, by)
    finally:
        signal.signal(by, before)


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_listen_ends_gracefully_with_associations_open(tmp_path: Path, by: signal.Signals) -> None:
    with listening("--output", tmp_path) as peer:
        association = associate(peer.host, peer.port, contexts=CONTEXTS)
        stranger = socket.create_connection((peer.host, peer.port))
        began = time.monotonic()
        status, log = peer.end(by)
        assert time.monotonic() - began < 5
        assert status == 0
        assert "ending" in log
        with pytest.raises(AssociationError):
            association.c_store(CT_IMAGE_STORAGE, "1.2.3", EXPLICIT, data_set())
        association.abort()
        stranger.close()
    assert files(tmp_path) == []


def test_listen_ends_in_the_middle_of_an_image_and_leaves_nothing_of_it(tmp_path: Path) -> None:
    started, ended = threading.Event(), threading.Event()

    def endless() -> Iterator[bytes]:
        yield data_set()
        while not ended.is_set():
            yield bytes(65536)
            started.set()

    def send(peer: Listening) -> None:
        with (
            pytest.raises(AssociationError),
            associate(peer.host, peer.port, contexts=CONTEXTS) as association,
        ):
            association.c_store(CT_IMAGE_STORAGE, "1.2.3", EXPLICIT, endless())

    with listening("--output", tmp_path) as peer:
        sender = threading.Thread(target=send, args=(peer,))
        sender.start()
        assert started.wait(20)
        until(lambda: files(tmp_path))
        status, _ = peer.end()
        ended.set()
        sender.join(20)
        assert not sender.is_alive()
    assert status == 0
    assert files(tmp_path) == []


def test_a_client_that_vanishes_leaves_nothing_and_the_next_image_is_fine(tmp_path: Path) -> None:
    vanished = threading.Event()

    def half() -> Iterator[bytes]:
        yield data_set()
        for _ in range(100):
            yield bytes(65536)
        until(lambda: files(tmp_path))
        vanished.set()
        raise OSError("gone")

    with listening("--output", tmp_path) as peer:
        with (
            pytest.raises(OSError, match="gone"),
            associate(peer.host, peer.port, contexts=CONTEXTS) as association,
        ):
            association.c_store(CT_IMAGE_STORAGE, "1.2.3", EXPLICIT, half())
        assert vanished.is_set()
        until(lambda: not files(tmp_path))
        assert run("store", peer.host, peer.port, CT).returncode == 0
        _, log = peer.end()
    assert [data_of(path) for path in files(tmp_path)] == [data_of(CT)]
    assert "not stored from DUL-FSM" in log


def test_a_called_ae_title_is_checked_only_when_asked_for() -> None:
    with listening("--discard", "-aet", "ARCHIVE") as peer:
        assert run("echo", peer.host, peer.port, "-aec", "OTHER").returncode == 0
    with listening("--discard", "-aet", "ARCHIVE", "--require-called-aet") as peer:
        assert run("echo", peer.host, peer.port, "-aec", "ARCHIVE").returncode == 0
        ran = run("echo", peer.host, peer.port, "-aec", "OTHER")
        assert ran.returncode == 1
        assert "give the peer's AE title with -aec" in ran.stderr
        _, log = peer.end()
        assert re.search(r"association from DUL-FSM \(.*\) to OTHER rejected", log)


def test_what_a_peer_calls_itself_cannot_write_lines_of_the_log() -> None:
    request = AAssociateRQ(
        called_ae_title="ANY-SCP",
        calling_ae_title="BADGUY",
        presentation_contexts=(PresentationContextRQ(1, CT_IMAGE_STORAGE, (EXPLICIT,)),),
        user_information=UserInformation(),
    )
    sent = encode(request).replace(b"BADGUY", b"A\x1b[2J\n")
    with listening("--discard") as peer:
        with socket.create_connection((peer.host, peer.port)) as sock:
            sock.sendall(sent)
            assert sock.recv(1)
        _, log = peer.end()
    assert "\x1b" not in log
    assert r"association from A\x1b[2J\n (" in log


def test_no_more_associations_than_allowed() -> None:
    with listening("--discard", "--max-associations", 1) as peer:
        with associate(peer.host, peer.port):
            ran = run("echo", peer.host, peer.port)
            assert ran.returncode == 1
            assert "try again later" in ran.stderr
        until(lambda: run("echo", peer.host, peer.port).returncode == 0)


def test_who_requests_nothing_is_dropped_after_artim() -> None:
    with (
        listening("--discard", "--artim", "0.2") as peer,
        socket.create_connection((peer.host, peer.port)) as stranger,
    ):
        stranger.settimeout(10)
        assert stranger.recv(1) == b""


def test_who_does_nothing_is_aborted_after_idle() -> None:
    with listening("--discard", "--idle", "0.2") as peer:
        association = associate(peer.host, peer.port)
        until(lambda: _gone(association))
        association.abort()


def _gone(association: object) -> bool:
    try:
        association.c_echo()  # type: ignore[attr-defined]
    except AssociationError:
        return True
    threading.Event().wait(0.5)  # long enough to be idle
    return False


def test_files_go_to_a_folder_named_received_unless_told_otherwise(tmp_path: Path) -> None:
    with listening(cwd=tmp_path) as peer:
        assert run("store", peer.host, peer.port, CT).returncode == 0
        _, log = peer.end()
    assert "storing into received" in log
    assert [data_of(path) for path in files(tmp_path / "received")] == [data_of(CT)]


def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = run("listen", "--discard", "--port", taken.getsockname()[1])
    assert ran.returncode == 1
    assert "cannot listen" in ran.stderr
    assert "another port" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = run("listen", "--port", 0, "--output", tmp_path / "file" / "folder")
    assert ran.returncode == 1
    assert "cannot store into" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_log_that_nobody_reads_stops_no_association(tmp_path: Path) -> None:
    for number in range(1500):
        write(tmp_path / f"{number}.dcm", f"1.2.{number}")
    # Some 100 bytes for each image: more than a pipe holds.
    with listening("--discard", "-v") as peer:
        ran = run("store", peer.host, peer.port, tmp_path)
        assert ran.returncode == 0, ran.stderr
        assert "1500 of 1500 stored" in ran.stdout
