"""The page of a ladder diagram: that it shows everything, and that it always fits."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dul_fsm.fsm import TABLE, State
from dul_fsm.fsm import Event as Evt
from dul_fsm.pdu import AAssociateRQ, PDUType, UserInformation
from dul_fsm.testing.ladder import Ladder
from dul_fsm.upper_layer import PDUSent, Stepped
from tests.testing.test_ladder import WHOLE, body, p_data, stepped, whole

CELLS = [(event, state) for (event, state), action in TABLE.items() if action]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["SCU", "SCP"]),
            st.one_of(
                st.sampled_from(CELLS),
                st.sampled_from(PDUType),
                st.sampled_from(["call", "told", "note"]),
            ),
        ),
        max_size=40,
    )
)
def test_everything_is_drawn_even_of_what_cannot_have_happened(
    script: list[tuple[str, tuple[Evt, State] | PDUType | str]],
) -> None:
    ladder = Ladder()
    observers = {side: ladder.observer(side) for side in ("SCU", "SCP")}
    for side, what in script:
        if isinstance(what, tuple):
            observers[side](stepped(*what))
        elif isinstance(what, PDUType):
            observers[side](PDUSent(what, 1))
        elif what == "note":
            ladder.note("NOTE")
        else:
            getattr(ladder, what)(side, what.upper())
    text = ladder.render()
    steps = sum(int(count or 1) for count in re.findall(r"Evt\d+(?: ×(\d+))?(?=\s|$)", text))
    assert steps == sum(isinstance(what, tuple) for _, what in script)
    sent = sum(int(size) for size in re.findall(r"\((\d+) bytes\)", text))
    assert sent == sum(isinstance(what, PDUType) for _, what in script)
    for word in ("call", "told", "note"):
        assert text.count(word.upper()) == sum(what == word for _, what in script)


def test_a_pdu_that_did_not_arrive_has_no_point() -> None:
    ladder = Ladder()
    scu, scp = ladder.observer("SCU"), ladder.observer("SCP")
    scp(stepped(Evt.Evt17, State.Sta6))
    scu(stepped(Evt.Evt15, State.Sta6))
    scu(PDUSent(PDUType.A_ABORT, 10))
    assert re.search(r"─ A-ABORT \(10 bytes\) ─+x│", ladder.render())


def test_a_side_that_nobody_recorded_still_sends_and_receives() -> None:
    ladder = Ladder()
    scp = ladder.observer("SCP")
    scp(stepped(Evt.Evt5, State.Sta1))
    request = AAssociateRQ("CALLED", "CALLING", (), UserInformation())
    scp(stepped(Evt.Evt6, State.Sta2, request))
    scp(stepped(Evt.Evt15, State.Sta3))
    scp(PDUSent(PDUType.A_ABORT, 10))
    text = ladder.render()
    assert re.search(r"│─+ A-ASSOCIATE-RQ ─+▶│ Sta3   AE-6    Evt6", text)
    assert "CALLING calls CALLED" in text
    assert re.search(r"│◀─+ A-ABORT \(10 bytes\) ─+│ Sta13  AA-1    Evt15", text)


def test_a_dropped_event_is_shown_without_an_action() -> None:
    ladder = Ladder()
    observer = ladder.observer("SCU")
    observer(Stepped(Evt.Evt18, State.Sta6, None, State.Sta6, None))
    assert body(ladder) == ["         Evt18       -   Sta6 │" + " " * 38 + "│"]


def test_a_model_without_bytes_shows_no_lengths() -> None:
    ladder = Ladder()
    ladder.observer("SCU")(PDUSent(PDUType.A_RELEASE_RQ, 0))
    assert "A-RELEASE-RQ ─" in ladder.render()
    assert "bytes" not in ladder.render()


@pytest.mark.parametrize("width", [1, 80, 85, 90, 95, 100, 200])
def test_no_line_is_longer_than_the_width_whatever_is_recorded(width: int) -> None:
    ladder = whole()
    ladder.call("SCU", "a call with a very long text " * 5)
    ladder.told("SCP", "x" * 150)
    ladder.note("a note " * 50)
    observers = ladder.observer("SCU"), ladder.observer("SCP")
    for _ in range(12345):
        observers[0](stepped(Evt.Evt9, State.Sta6))
        observers[0](PDUSent(PDUType.P_DATA_TF, 1 << 24))
        observers[1](p_data(1, b"", command=True, last=False))
    lines = ladder.render(width).splitlines()
    assert max(map(len, lines)) <= min(max(width, 80), 100)
    assert any("×123" in line for line in lines)


def test_colour_changes_nothing_but_the_colour() -> None:
    coloured = whole().render(colour=True)
    assert "\x1b[36m" in coloured
    assert re.sub(r"\s+$", "", re.sub(r"\x1b\[\d*m", "", coloured), flags=re.M) == (
        re.sub(r"\s+$", "", WHOLE, flags=re.M)
    )


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def printed(encoding: str, *, terminal: bool) -> str:
    raw = io.BytesIO()
    with (Terminal if terminal else io.TextIOWrapper)(raw, encoding=encoding) as file:
        whole().print(file)
        file.flush()
        return raw.getvalue().decode(encoding)


def test_it_is_plain_text_where_it_is_not_read_on_a_terminal() -> None:
    assert printed("utf-8", terminal=False) == WHOLE


def test_it_is_ascii_where_nothing_else_can_be_printed() -> None:
    text = printed("ascii", terminal=False)
    assert "|----- A-ASSOCIATE-RQ (328 bytes) ---->|" in text
    assert len(text) == len(WHOLE)


def test_a_terminal_gets_colour_unless_its_owner_wants_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in printed("utf-8", terminal=True)
    monkeypatch.setenv("NO_COLOR", "1")
    plain = printed("utf-8", terminal=True)
    assert "\x1b[" not in plain
    assert max(map(len, plain.splitlines())) <= 80
