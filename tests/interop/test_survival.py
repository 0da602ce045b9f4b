"""`dul-fsm listen` survives what networks, disks and administrators do to it."""

from __future__ import annotations

import resource
import signal
import socket
import struct
import subprocess
import sys
from time import monotonic, sleep

import pytest

from dul_fsm import SCUAssociation, associate
from dul_fsm.dimse import CStoreRQ, Priority, encode_command
from dul_fsm.files import open_data_set, read_part10
from tests.files.samples import CT, CT_IMAGE_STORAGE, EXPLICIT, data_set, stored
from tests.interop.conftest import StartListen
from tests.interop.programs import HOST, PATIENCE, Listen, dul_fsm, eventually
from tests.interop.wire import associated, connect, header, read_to_the_end

pytestmark = pytest.mark.interop


def echo(port: int) -> int | None:
    with associate(HOST, port) as association:
        status: int | None = getattr(association.c_echo().command, "status", None)
        return status


def storing(ours: Listen) -> SCUAssociation:
    return associate(HOST, ours.port, contexts=[(CT_IMAGE_STORAGE, (EXPLICIT,))])


def send(association: SCUAssociation, uid: str, data: bytes) -> int:
    response = association.c_store(CT_IMAGE_STORAGE, uid, EXPLICIT, data).command
    status: int = getattr(response, "status", -1)
    return status


def begin_an_image(sock: socket.socket) -> None:
    """A C-STORE-RQ on context 3, and the first 100 KiB of a data set of unknown length."""
    request = CStoreRQ(
        affected_sop_class_uid=CT_IMAGE_STORAGE,
        message_id=1,
        priority=Priority.MEDIUM,
        affected_sop_instance_uid="1.2.3.4",
    )
    for control, fragment in ((3, encode_command(request)), (0, bytes(100 << 10))):
        item = struct.pack(">LBB", len(fragment) + 2, 3, control) + fragment
        sock.sendall(header(4, len(item)) + item)


# Connections that never speak --------------------------------------------------------------------


def test_500_connections_a_second_that_never_speak_keep_no_client_out(listen: StartListen) -> None:
    ours = listen("--artim", 1)
    before = ours.descriptors, ours.threads
    silent: list[socket.socket] = []
    echoes = 0
    began = monotonic()
    try:
        for number in range(1500):
            # What is late is made up for: 500 a second in the mean.
            sleep(max(0.0, began + number / 500 - monotonic()))
            silent.append(connect(ours.port))
            if number % 50 == 49:
                assert echo(ours.port) == 0
                echoes += 1
            if len(silent) > 600:
                silent.pop(0).close()
    finally:
        for sock in silent:
            sock.close()
    assert echoes == 30
    assert echo(ours.port) == 0
    eventually(
        lambda: ours.descriptors <= before[0] and ours.threads <= before[1],
        "every descriptor and thread is given back",
    )


def test_a_flood_is_bounded_in_threads_and_descriptors(listen: StartListen) -> None:
    ours = listen()
    silent = [connect(ours.port) for _ in range(400)]
    try:
        assert echo(ours.port) == 0
        eventually(lambda: ours.threads < 150 and ours.descriptors < 150, "the oldest had to go")
    finally:
        for sock in silent:
            sock.close()


# Clients that vanish -----------------------------------------------------------------------------


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_client_that_vanishes_mid_image_leaves_no_part_of_it(
    listen: StartListen, reset: bool
) -> None:
    ours = listen()
    with associated(ours.port) as sock:
        begin_an_image(sock)
        eventually(lambda: len(ours.parts) == 1, "a part of the image is on the disk")
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    eventually(lambda: not ours.parts, "it is gone")
    ours.says("aborted")
    assert dul_fsm("store", HOST, ours.port, CT).status == 0
    (file,) = ours.files
    assert stored(file) == stored(CT)


def test_a_client_that_is_killed_mid_image_leaves_no_part_of_it(
    listen: StartListen,
) -> None:
    ours = listen()
    script = (
        "import sys\n"
        "from dul_fsm import associate\n"
        "def endless():\n"
        "    while True:\n"
        "        yield bytes(65536)\n"
        f"contexts = [({CT_IMAGE_STORAGE!r}, ({EXPLICIT!r},))]\n"
        f"with associate({HOST!r}, {ours.port}, contexts=contexts) as association:\n"
        f"    association.c_store({CT_IMAGE_STORAGE!r}, '1.2.3.4', {EXPLICIT!r}, endless())\n"
    )
    with subprocess.Popen([sys.executable, "-c", script]) as client:
        try:
            eventually(
                lambda: any(path.stat().st_size > 1 << 20 for path in ours.parts),
                "a megabyte of the image is on the disk",
            )
        finally:
            client.kill()
    eventually(lambda: not ours.parts, "it is gone")
    assert dul_fsm("store", HOST, ours.port, CT).status == 0
    assert [stored(path) for path in ours.files] == [stored(CT)]


# The end -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
def test_a_signal_ends_it_with_associations_open(
    listen: StartListen, number: signal.Signals
) -> None:
    ours = listen()
    silent = connect(ours.port)
    idle = associated(ours.port)
    storing = associated(ours.port)
    with silent, idle, storing:
        begin_an_image(storing)
        eventually(lambda: len(ours.parts) == 1, "a part of the image is on the disk")
        ours.signal(number)
        began = monotonic()
        # An A-ABORT of the service-user, to those who have an association.
        assert read_to_the_end(idle) == bytes.fromhex("07 00 00000004 00 00 00 00")
        assert read_to_the_end(storing) == bytes.fromhex("07 00 00000004 00 00 00 00")
        assert read_to_the_end(silent) == b""
        assert ours.wait() == 0, ours.output
        assert monotonic() - began < PATIENCE / 2
    assert ours.files == ours.parts == []
    assert "ending" in ours.output


def test_a_signal_ends_it_with_peers_that_take_nothing(listen: StartListen) -> None:
    # Nobody reads, nobody closes: it does not wait for them.
    ours = listen()
    socks = [associated(ours.port) for _ in range(20)]
    try:
        ours.signal(signal.SIGTERM)
        began = monotonic()
        assert ours.wait() == 0, ours.output
        assert monotonic() - began < PATIENCE / 2
    finally:
        for sock in socks:
            sock.close()


def test_a_second_signal_changes_nothing(listen: StartListen) -> None:
    ours = listen()
    with associated(ours.port):
        for _ in range(2):
            ours.signal(signal.SIGINT)
        assert ours.wait() == 0, ours.output


def test_it_listens_on_the_same_port_at_once_again(listen: StartListen) -> None:
    first = listen()
    with associated(first.port):
        first.signal(signal.SIGTERM)
        assert first.wait() == 0
    second = listen("--port", first.port)
    assert second.port == first.port
    assert echo(second.port) == 0


# The disk ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fragment", [4096, 131072])
def test_a_full_disk_is_answered_a700h_and_keeps_no_part(
    listen: StartListen, fragment: int
) -> None:
    # A limit on the length of a file fails a write as a full disk does, and needs no rights.
    ours = listen("--max-pdu", fragment)
    small = data_set("1.2.1", pixels=bytes(1000))
    large = data_set("1.2.2", pixels=bytes(4 << 20))
    _, hard = resource.prlimit(ours.pid, resource.RLIMIT_FSIZE)
    with storing(ours) as association:
        resource.prlimit(ours.pid, resource.RLIMIT_FSIZE, (1 << 20, hard))
        assert send(association, "1.2.2", large) == 0xA700
        assert ours.files == ours.parts == []
        # The association lives, and so does the server.
        assert send(association, "1.2.1", small) == 0x0000
        resource.prlimit(ours.pid, resource.RLIMIT_FSIZE, (hard, hard))
        assert send(association, "1.2.2", large) == 0x0000
    eventually(lambda: not ours.parts, "nothing is left")
    assert [path.name for path in ours.files] == ["1.2.1.dcm", "1.2.2.dcm"]
    with open_data_set(read_part10(ours.files[1])) as kept:
        assert bytes(kept) == large


def test_a_disk_that_is_full_at_the_last_byte_is_answered_a700h(listen: StartListen) -> None:
    # Little images are written when they are complete: the commit fails, not a write.
    ours = listen()
    image = data_set("1.2.3", pixels=bytes(8000))
    _, hard = resource.prlimit(ours.pid, resource.RLIMIT_FSIZE)
    with storing(ours) as association:
        # The log of the process is a file, too, and shorter.
        resource.prlimit(ours.pid, resource.RLIMIT_FSIZE, (4096, hard))
        assert send(association, "1.2.3", image) == 0xA700
        assert ours.files == ours.parts == []
        resource.prlimit(ours.pid, resource.RLIMIT_FSIZE, (hard, hard))
        assert send(association, "1.2.3", image) == 0x0000
    eventually(lambda: not ours.parts, "nothing is left")
    assert [path.name for path in ours.files] == ["1.2.3.dcm"]


def test_store_says_that_the_peer_is_out_of_resources(listen: StartListen) -> None:
    ours = listen()
    _, hard = resource.prlimit(ours.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(ours.pid, resource.RLIMIT_FSIZE, (8192, hard))
    done = dul_fsm("store", HOST, ours.port, CT)
    assert done.status == 1, done
    assert f"failed {CT}: A700H" in done.output
    assert ours.files == ours.parts == []


def test_a_uid_that_is_a_path_is_refused_and_goes_nowhere(listen: StartListen) -> None:
    ours = listen()
    with storing(ours) as association:
        for uid in ("../../../evil", "1.2/../../3", "/evil", "1.2.3\n4", ".", "1..2"):
            # PS3.7 §C.5: invalid SOP Instance.
            assert send(association, uid, data_set("1.2.3")) == 0x0117
        assert send(association, "1.2.3", data_set("1.2.3", study="../../evil")) == 0x0000
    (file,) = ours.files
    assert file.name == "1.2.3.dcm"
    assert not [path for path in ours.folder.parent.rglob("*") if "evil" in path.name]
    # Nor does it write lines of its own into the log.
    assert all(line[:1] not in ("4", "") for line in ours.output.splitlines())


# Limits ------------------------------------------------------------------------------------------


def test_who_comes_when_all_associations_are_taken_is_told_so(listen: StartListen) -> None:
    ours = listen("--max-associations", 2)
    with associated(ours.port), associated(ours.port):
        done = dul_fsm("echo", HOST, ours.port)
        assert done.status == 1, done
        assert "local-limit-exceeded" in done.output
    eventually(lambda: dul_fsm("echo", HOST, ours.port).status == 0, "there is room again")


def test_it_lives_without_descriptors_and_comes_back(listen: StartListen) -> None:
    ours = listen("--artim", 0.5)
    limit = ours.descriptors + 4
    _, hard = resource.prlimit(ours.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(ours.pid, resource.RLIMIT_NOFILE, (limit, hard))
    socks = [connect(ours.port) for _ in range(12)]
    for sock in socks:
        # ARTIM ends those that were accepted, which lets the next ones in.
        assert read_to_the_end(sock) == b""
        sock.close()
    assert echo(ours.port) == 0
