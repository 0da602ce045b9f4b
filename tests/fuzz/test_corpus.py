"""The fuzz targets find nothing in their corpus, nor in what was found once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from dul_fsm.dimse import (
    CEchoRSP,
    MessageAssembler,
    MessageEvent,
    decode_command,
)
from dul_fsm.fsm import State
from dul_fsm.pdu import PDV, decode_pdvs
from dul_fsm.upper_layer import UpperLayer
from dul_fsm.upper_layer.deadlines import Deadlines
from dul_fsm.upper_layer.inbox import Inbox
from dul_fsm.upper_layer.outbox import Outbox
from tests.fuzz.harness import TARGETS
from tests.fuzz.upper_layer import Finding, Session

HERE = Path(__file__).parent
MAX_CORPUS = 300_000
"""Bytes of all seeds together."""


def seeds(target: str) -> list[Path]:
    """The corpus of a target."""
    return sorted((HERE / "corpus" / target).iterdir())


REGRESSIONS = sorted(path for path in (HERE / "regressions").glob("*/*") if path.is_file())


def judge(target: str) -> Callable[[bytes], None]:
    """What raises for a finding."""
    found: Callable[[bytes], None] = import_module(f"tests.fuzz.{target}").one_input
    return found


@pytest.mark.parametrize("target", TARGETS)
def test_target_finds_nothing_in_its_corpus(target: str) -> None:
    one_input = judge(target)
    paths = seeds(target)
    assert len(paths) > 20
    for path in paths:
        try:
            one_input(path.read_bytes())
        except Exception as error:
            raise AssertionError(path.name) from error


@pytest.mark.parametrize("target", TARGETS)
def test_target_finds_nothing_in_the_empty_input_nor_in_any_single_byte(target: str) -> None:
    one_input = judge(target)
    one_input(b"")
    for byte in range(256):
        one_input(bytes((byte,)))


def test_target_finds_nothing_any_more_in_what_it_found_once() -> None:
    for path in REGRESSIONS:
        try:
            judge(path.parent.name)(path.read_bytes())
        except Exception as error:
            raise AssertionError(path) from error


def test_corpus_is_small() -> None:
    size = sum(path.stat().st_size for target in TARGETS for path in seeds(target))
    assert size <= MAX_CORPUS


def test_seeds_of_the_upper_layer_lead_to_every_state() -> None:
    """A corpus that stayed in Sta1 would fuzz nothing."""
    reached: set[State] = set()

    class Watched(Session):
        def check(self) -> None:
            reached.add(self.layer.state)
            super().check()

    for path in seeds("upper_layer"):
        Watched(path.read_bytes()).run()
    assert reached == set(State)


# The targets are not blind ------------------------------------------------------------------------


def find_in_corpus(target: str) -> None:
    """Raises the first finding."""
    for path in seeds(target):
        judge(target)(path.read_bytes())


def test_pdu_decoder_finds_a_fragment_that_was_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    def copying(body: memoryview) -> tuple[PDV, ...]:
        pdvs = decode_pdvs(body)
        return tuple(PDV(p.context_id, p.is_command, p.is_last, bytes(p.fragment)) for p in pdvs)

    monkeypatch.setattr("dul_fsm.pdu.codec.decode_pdvs", copying)
    with pytest.raises(AssertionError):
        find_in_corpus("pdu_decoder")


def test_pdu_decoder_finds_an_exception_of_another_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dul_fsm.pdu.associate.walk_items", lambda data, start, end: [][0])
    with pytest.raises(IndexError):
        find_in_corpus("pdu_decoder")


def test_upper_layer_finds_a_second_abort(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Outbox, "put_abort", Outbox.put)
    with pytest.raises(Finding, match="after an A-ABORT"):
        find_in_corpus("upper_layer")


def test_upper_layer_finds_a_timer_that_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Deadlines, "start_artim", lambda self, now: None)
    with pytest.raises(Finding, match="ARTIM"):
        find_in_corpus("upper_layer")


def test_upper_layer_finds_what_depends_on_the_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    def impatient(self: Inbox, count: int) -> None:
        self.end += count if count > 9 else 0

    monkeypatch.setattr(Inbox, "filled", impatient)
    with pytest.raises(Finding):
        find_in_corpus("upper_layer")


def test_upper_layer_finds_memory_that_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(UpperLayer, "bytes_retained", 1 << 20)
    with pytest.raises(Finding, match="memory"):
        find_in_corpus("upper_layer")


def test_command_set_finds_a_fragment_that_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    feed = MessageAssembler.feed

    def forgetful(self: MessageAssembler, pdv: PDV) -> list[MessageEvent]:
        events = feed(self, pdv)
        return [event for event in events if not isinstance(event, PDV) or event.is_last]

    monkeypatch.setattr(MessageAssembler, "feed", forgetful)
    with pytest.raises(AssertionError):
        find_in_corpus("command_set")


def test_command_set_finds_a_value_that_does_not_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(data: bytes | memoryview) -> object:
        command = decode_command(data)
        return replace(command, status=1) if isinstance(command, CEchoRSP) else command

    monkeypatch.setattr("tests.fuzz.command_set.decode_command", wrong)
    with pytest.raises(AssertionError):
        find_in_corpus("command_set")
