"""The demonstration: what it shows, that both transports show the same, and when it fails."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from dul_fsm.cli import demo as module
from dul_fsm.cli.demo import demo
from dul_fsm.files import IncomingFile
from dul_fsm.services.handler import Handler
from dul_fsm.transports import TCP, Loopback
from dul_fsm.transports.loopback import LoopbackTransport


def show(capsys: pytest.CaptureFixture[str], **arguments: bool | int) -> tuple[int, str]:
    status = demo(**arguments)  # type: ignore[arg-type]
    return status, capsys.readouterr().out


def ladders(text: str, name: str) -> list[str]:
    """The three diagrams of a transport, without their headings."""
    sections = re.split(r"^.+, association \d: .+$", text, flags=re.M)
    assert len(sections) in (4, 7)
    wanted = sections[1:4] if name == "In memory" else sections[-3:]
    return [re.split(r"\n\n\n", section)[0].strip("\n") for section in wanted]


def said(ladder: str) -> list[str]:
    """The lines of a diagram without what is only drawn."""
    lines = [re.sub(r"[│┄─\s]+", " ", line).strip() for line in ladder.splitlines()]
    return [line for line in lines if line]


STORED = [
    "Evt2 AE-2 Sta5 A-ASSOCIATE-RQ (307 bytes) ▶ Sta3 AE-6 Evt6",
    "Evt3 AE-3 Sta6 ◀ A-ASSOCIATE-AC (236 bytes) Sta6 AE-7 Evt7",
    "Evt9 DT-1 Sta6 P-DATA-TF (80 bytes) ▶ Sta6 DT-2 Evt10",
    "Evt10 DT-2 Sta6 ◀ P-DATA-TF (90 bytes) Sta6 DT-1 Evt9",
    "Evt9 ×4 DT-1 Sta6 P-DATA-TF ×4 (39,060 bytes) ▶ Sta6 DT-2 Evt10",
    "Evt10 DT-2 Sta6 ◀ P-DATA-TF (154 bytes) Sta6 DT-1 Evt9",
    "Evt11 AR-1 Sta7 A-RELEASE-RQ (10 bytes) ▶ Sta8 AR-2 Evt12",
    "Evt13 AR-3 Sta1 ◀ A-RELEASE-RP (10 bytes) Sta13 AR-4 Evt14",
    "close ▶ Sta1 AR-5 Evt17",
]
REJECTED = [
    "Evt2 AE-2 Sta5 A-ASSOCIATE-RQ (307 bytes) ▶ Sta3 AE-6 Evt6",
    "Evt4 AE-4 Sta1 ◀ A-ASSOCIATE-RJ (10 bytes) Sta13 AE-8 Evt8",
    "close ▶ Sta1 AR-5 Evt17",
]
ABORTED = [
    "Evt2 AE-2 Sta5 A-ASSOCIATE-RQ (307 bytes) ▶ Sta3 AE-6 Evt6",
    "Evt3 AE-3 Sta6 ◀ A-ASSOCIATE-AC (236 bytes) Sta6 AE-7 Evt7",
    "Evt15 AA-1 Sta13 A-ABORT (10 bytes) ▶ Sta1 AA-3 Evt16",
    "Evt17 AR-5 Sta1 ◀ close",
]


@pytest.mark.parametrize(
    ("name", "arguments"), [("In memory", {"tcp": False}), ("Over TCP", {"memory": False})]
)
def test_each_pdu_is_shown_in_order_and_direction_with_states_and_actions(
    name: str, arguments: dict[str, bool], capsys: pytest.CaptureFixture[str]
) -> None:
    status, text = show(capsys, **arguments)
    assert status == 0, text
    for ladder, wanted in zip(ladders(text, name), (STORED, REJECTED, ABORTED), strict=True):
        lines = said(ladder)
        shown = [line for line in lines if re.search(r"bytes\)|close", line)]
        assert shown == wanted
        assert "Evt1 AE-1 Sta4 connect ▶ Sta2 AE-5 Evt5" in lines


def test_both_transports_show_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    status, text = show(capsys)
    assert status == 0, text
    assert ladders(text, "In memory") == ladders(text, "Over TCP")
    assert text.rstrip().endswith("Everything was as it should be.")


def test_who_calls_and_who_is_told_is_shown_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    ladder = ladders(show(capsys, tcp=False)[1], "In memory")[0]
    right = [line[70:].strip() for line in ladder.splitlines()]
    assert [text for text in right if "─▶" in text or "◀─" in text] == [
        "◀─ listen",
        "connection accepted ─▶",
        "associate requested ─▶",
        "◀─ associate accept",
        "C-ECHO requested ─▶",
        "◀─ C-ECHO response 0000H",
        "C-STORE-RQ received ─▶",
        "data set received ─▶",
        "C-STORE requested ─▶",
        "◀─ C-STORE response 0000H",
        "release requested ─▶",
        "◀─ release response",
    ]
    left = [line[:30].strip() for line in ladder.splitlines()]
    assert [text for text in left if "─▶" in text or "◀─" in text] == [
        "connect, associate request ─▶",
        "◀─ associate accepted",
        "C-ECHO request ─▶",
        "◀─ C-ECHO response 0000H",
        "C-STORE request ─▶",
        "◀─ C-STORE response 0000H",
        "release request ─▶",
        "◀─ released",
    ]


@pytest.mark.parametrize("width", [80, 91, 100, 140])
def test_every_line_fits(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = show(capsys, width=width)
    assert status == 0, text
    assert max(map(len, text.splitlines())) <= min(width, 100)


def test_the_comparison_shows_both_images(capsys: pytest.CaptureFixture[str]) -> None:
    text = show(capsys)[1]
    end = text[text.index("byte for byte") :]
    assert end.count("38,870 bytes") == 3
    assert len(set(re.findall(r"sha256 ([0-9a-f]{64})", end))) == 1
    assert len(re.findall(r"^ +identical$", end, re.M)) == 2
    assert end.count("1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322.dcm") == 2


# What must not go unnoticed ----------------------------------------------------------------------


def test_a_single_wrong_byte_is_noticed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write = IncomingFile.write

    def corrupt(self: IncomingFile, fragment: bytes | bytearray | memoryview) -> None:
        write(self, bytes(fragment[:-1]) + bytes((fragment[-1] ^ 1,)))

    monkeypatch.setattr(IncomingFile, "write", corrupt)
    status, text = show(capsys, tcp=False)
    assert status == 1
    assert "NOT IDENTICAL" in text
    assert text.rstrip().endswith("In memory: the bytes stored are not the bytes sent")


def test_a_failed_store_is_noticed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(self: IncomingFile) -> None:
        raise OSError("no luck")

    monkeypatch.setattr(IncomingFile, "commit", full)
    status, text = show(capsys, tcp=False)
    assert status == 1
    assert "In memory: status of the C-STORE: 0110H instead of 0000H" in text
    assert "In memory: the image was not stored" in text


def test_an_scp_that_answers_to_any_name_is_noticed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "UNKNOWN_AE_TITLE", module.SCP_AE_TITLE)
    status, text = show(capsys, tcp=False)
    assert status == 1
    assert re.search(
        r"result, source and reason of the rejection: nothing instead of REJECTED_PERMANENT "
        r"SERVICE_USER CALLED_AE_TITLE_NOT_RECOGNIZED$",
        text,
        re.M,
    )
    assert "states of the SCU: Sta4 Sta5 Sta6 Sta13 Sta1 instead of Sta4 Sta5 Sta1" in text


def test_an_abort_that_nobody_is_told_of_is_noticed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module._Handler, "aborted", Handler.aborted)
    status, text = show(capsys, tcp=False)
    assert status == 1
    assert "who aborted, as the SCP was told: nobody instead of PEER_USER" in text


@pytest.mark.parametrize("kind", [Loopback, TCP])
def test_a_connection_that_fails_is_told_and_not_raised(
    kind: type[Loopback | TCP],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(self: object, timeout: float | None) -> LoopbackTransport:
        raise ConnectionRefusedError("nobody is there")

    monkeypatch.setattr(kind, "connect", refuse)
    # Nothing will ever be accepted: there is nothing to wait for.
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    status, text = show(capsys, memory=kind is Loopback, tcp=kind is TCP)
    assert status == 1
    assert "nobody is there" in text
    assert text.count("states of the SCU: Sta4 Sta1 instead of") == 3


def test_an_image_that_pydicom_came_without_is_said_to_be_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nothing: Callable[..., None] = lambda name, download: None  # noqa: E731
    monkeypatch.setattr("pydicom.data.get_testdata_file", nothing)
    with pytest.raises(FileNotFoundError, match="CT_small"):
        demo()
