"""The page of a ladder diagram: two lifelines, their steps outside, the arrows between them.

Not here: what comes before what (`ladder_order`), where a page is printed (`ladder`).
"""

from __future__ import annotations

import textwrap
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from dul_fsm.fsm import Event, Kind
from dul_fsm.testing.ladder_order import Causes, Node, effects_of
from dul_fsm.testing.ladder_records import Call, Forged, Note, Record, Sent, Step, Told

_PANEL: Final = 30  # columns outside a lifeline, fewer on a narrow page
_ROOMY: Final = 26
_LEFT, _MIDDLE, _RIGHT = range(3)
_BOLD, _DIM, _GREEN, _CYAN, _YELLOW = "1", "2", "32", "36", "33"
ASCII: Final = str.maketrans("│─┄▶◀×…", "|-.><x~")
"""What an encoding without box-drawing characters gets instead."""


@dataclass(slots=True)
class _Row:
    """One line: what stands left of the lifelines, between them, and right of them."""

    cells: list[str] = field(default_factory=lambda: ["", "", ""])
    styles: list[str] = field(default_factory=lambda: ["", "", ""])
    below: list[str] = field(default_factory=list)
    """Words about the arrow, to stand below it."""
    expects: int = -1
    """The record that the arrow causes, and that may end on the same line."""
    sends: int = -1
    """The panel with a step that an arrow may start from on the same line."""


class Page:
    """The lines of a diagram."""

    def __init__(self, left: str, right: str, width: int) -> None:
        """`left`, `right`: the names of the sides. `width`: columns, 80 or more."""
        self._names = (left, right)
        self._panel = min(_PANEL, (width - 36) // 2)
        self._middle = width - 2 * self._panel - 2
        self._gap = "  " if self._panel >= _ROOMY else " "
        self._rows: list[_Row] = []

    def _row(self) -> _Row:
        self._rows.append(_Row())
        return self._rows[-1]

    def draw(self, node: Node, records: Sequence[Record], causes: Causes) -> None:
        """Add what is to be seen of a node."""
        first = node[0]
        match first:
            case Note():
                for line in textwrap.wrap(first.text, self._middle - 4):
                    self._put(self._row(), _MIDDLE, line.center(self._middle), _BOLD)
            case Call() | Told():
                self._user(first)
            case Step():
                self._step(first, node, records, causes)
            case _:
                self._departure(first, node, records, causes)

    def _put(self, row: _Row, cell: int, text: str, style: str) -> None:
        row.cells[cell], row.styles[cell] = text, style

    def _cell(self, side: str) -> int:
        return _LEFT if side == self._names[0] else _RIGHT

    def _user(self, record: Call | Told) -> None:
        cell = self._cell(record.side)
        called = isinstance(record, Call)
        if called and cell is _LEFT and self._rows:
            self._row()  # a new thing begins
        lines = textwrap.wrap(record.text, self._panel - 4)
        # The arrow of a call points to the lifeline, that of an indication away from it.
        before, after = ("", " ─▶") if called is (cell is _LEFT) else ("◀─ ", "")
        for number, line in enumerate(lines):
            # At its end, or at its beginning.
            pointed = number == (len(lines) - 1 if after else 0)
            head, tail = (before, after) if pointed else (" " * len(before), " " * len(after))
            self._put(
                self._row(),
                cell,
                f"{head}{line}{tail} " if cell is _LEFT else f" {head}{line}{tail}",
                _GREEN,
            )

    def _step(self, step: Step, node: Node, records: Sequence[Record], causes: Causes) -> None:
        cell = self._cell(step.side)
        cause = causes.cause.get(step.order)
        if step.event.kind is Kind.PDU and (cause is None or isinstance(records[cause], Forged)):
            # Nobody recorded that it left: it still came from over there.
            name = _ARRIVED.get(step.event, "PDU")
            self._arrow(_RIGHT - cell, name, step.detail, expects=step.order)
        elif cause in causes.effect and causes.effect[cause] == step.order:
            label = "connect" if step.event is Event.Evt5 else "close"
            self._arrow(_RIGHT - cell, label, "", expects=step.order, dash="┄")
        event = step.event.name + (f" ×{len(node)}" if len(node) > 1 else "")
        action = step.action.name if step.action else "-"
        state = step.next_state.name
        if cell is _LEFT:
            text = f"{event}{self._gap}{action:>6}{self._gap}{state:>5} "
        else:
            text = f" {state:<5}{self._gap}{action:<6}{self._gap}{event}"
        row = self._rows[-1] if self._rows else None
        if row is None or row.expects not in {record.order for record in node}:
            row = self._row()
            row.sends = cell if _sends(step) else -1
        row.expects = -1
        self._put(row, cell, text, _BOLD if step.state is not step.next_state else "")

    def _departure(self, sent: Sent, node: Node, records: Sequence[Record], causes: Causes) -> None:
        length = sum(record.length for record in node if isinstance(record, Sent))
        label = sent.pdu_type.name.replace("_", "-")
        label += f" ×{len(node)}" if len(node) > 1 else ""
        label += f" ({length:,} bytes)" if length else ""
        arrivals = [causes.arrival.get(record.order, -1) for record in node]
        details = [records[arrival] for arrival in arrivals if arrival >= 0]
        detail = "\n".join(r.detail for r in details if isinstance(r, Step) and r.detail)
        lost = node[-1].order in causes.lost
        self._arrow(self._cell(sent.side), label, detail, expects=arrivals[0], lost=lost)

    def _arrow(
        self,
        start: int,
        label: str,
        detail: str,
        *,
        expects: int,
        dash: str = "─",
        lost: bool = False,
    ) -> None:
        """An arrow from one lifeline to the other, on the line of the step it comes from."""
        if not self._rows or self._rows[-1].sends != start:
            self._row()
        row = self._rows[-1]
        row.sends, row.expects = -1, expects
        width = self._middle - 1
        body = f" {label[: width - 4]} ".center(width, dash)
        if start is _LEFT:
            self._put(row, _MIDDLE, body + ("x" if lost else "▶"), _CYAN)
        else:
            self._put(row, _MIDDLE, ("x" if lost else "◀") + body, _YELLOW)
        row.below = [
            line.center(self._middle)
            for said in detail.split("\n")
            for line in textwrap.wrap(said, self._middle, break_on_hyphens=False)
        ]

    def text(self, colour: bool, unicode: bool) -> str:
        """The page; `colour` and `unicode` as for `Ladder.render`."""
        left, right = self._names
        gap = " " * self._middle
        titles = ("event", "action", "state")
        lines = [
            self._line([f"{left}  ", gap, f"  {right}"], [_BOLD] * 3, colour, " "),
            self._line(
                [f"{self._gap.join(titles)} ", gap, f" {self._gap.join(titles[::-1])}"],
                [_DIM] * 3,
                colour,
            ),
        ]
        below: deque[str] = deque()
        for row in self._rows:
            # Words about an arrow share their line with what a user calls or is told meanwhile.
            if below and not row.cells[_MIDDLE] and any(row.cells):
                self._put(row, _MIDDLE, below.popleft(), _DIM)
            else:
                lines += [self._line(["", line, ""], [_DIM] * 3, colour) for line in below]
                below.clear()
            lines.append(self._line(row.cells, row.styles, colour))
            below.extend(row.below)
        lines += [self._line(["", line, ""], [_DIM] * 3, colour) for line in below]
        text = "\n".join(lines)
        return text if unicode else text.translate(ASCII)

    def _line(
        self, cells: Sequence[str], styles: Sequence[str], colour: bool, lifeline: str = "│"
    ) -> str:
        left, middle, right = cells
        texts = [
            left.rjust(self._panel)[-self._panel :],
            middle.ljust(self._middle),
            right[: self._panel],
        ]
        if colour:
            texts = [
                f"\x1b[{style}m{text}\x1b[0m" if style and text.strip() else text
                for text, style in zip(texts, styles, strict=True)
            ]
        return lifeline.join(texts).rstrip()


def _sends(step: Step) -> bool:
    """Whether an arrow may come of a step."""
    return any(effect.name.startswith(("SEND", "OPEN", "CLOSE")) for effect in effects_of(step))


_ARRIVED: Final = {
    Event.Evt3: "A-ASSOCIATE-AC",
    Event.Evt4: "A-ASSOCIATE-RJ",
    Event.Evt6: "A-ASSOCIATE-RQ",
    Event.Evt10: "P-DATA-TF",
    Event.Evt12: "A-RELEASE-RQ",
    Event.Evt13: "A-RELEASE-RP",
    Event.Evt16: "A-ABORT",
}
