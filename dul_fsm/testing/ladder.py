"""A ladder diagram of what the two sides of an association did, recorded while they did it.

    ladder = Ladder()
    requestor = UpperLayer(requestor=True, observer=ladder.observer("SCU"))
    acceptor = UpperLayer(requestor=False, observer=ladder.observer("SCP"))
    ladder.call("SCU", "associate request")
    ...
    print(ladder.render())

Rules
  * Whoever has something to say may record it, from any thread: a driver, a simulation, a test.
  * Each side's own order is kept. Between the sides only cause and effect count: a PDU leaves
    before it arrives, a connection is opened and closed before the other side notices. What has
    no such order is drawn in a fixed one, so that the same exchange always gives the same text,
    whatever two threads raced for.
  * A burst of P-DATA-TF PDUs that carries one message is one arrow.
  * An arrow that ends with `x` did not arrive.

One ladder shows one association at a time; several may follow each other. Bytes of a PDU are not
kept, only what the diagram says of it.

Not here: the records (`ladder_records`), their order (`ladder_order`), the page (`ladder_page`);
running anything (`drivers`).
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Callable
from typing import Final, TextIO

from dul_fsm.dimse import SUCCESS, MessageAssembler, MessageReceived, Response, describe
from dul_fsm.dimse import CommandReceived as CommandSet
from dul_fsm.errors import MessageError
from dul_fsm.fsm import Event
from dul_fsm.pdu import (
    PDU,
    AAbort,
    AAssociateAC,
    AAssociateRJ,
    AAssociateRQ,
    PDataTF,
    describe_abort,
    describe_reject,
)
from dul_fsm.testing.ladder_order import Causes, arrange
from dul_fsm.testing.ladder_page import ASCII, Page
from dul_fsm.testing.ladder_records import Call, Forged, Note, Record, Sent, Step, Told
from dul_fsm.upper_layer import Observation, PDUSent, Stepped

__all__ = [
    "MAXIMUM_WIDTH",
    "MINIMUM_WIDTH",
    "Call",
    "Forged",
    "Ladder",
    "Note",
    "Record",
    "Sent",
    "Step",
    "Told",
]

MAXIMUM_WIDTH: Final = 100
"""Columns of a diagram at most: what fits a terminal and a page."""

MINIMUM_WIDTH: Final = 80
"""Columns below which a step and an arrow with its label have no room beside each other."""


class _Observer:
    """One side's eyes: turns observations into records, and looks into what was received."""

    def __init__(self, ladder: Ladder, side: str) -> None:
        self._ladder = ladder
        self._side = side
        self._assembler = MessageAssembler()

    def __call__(self, observation: Observation) -> None:
        side = self._side
        if isinstance(observation, PDUSent):
            pdu_type, length = observation.pdu_type, observation.length
            self._ladder._add(lambda order: Sent(order, side, pdu_type, length))
            return
        if observation.event in (Event.Evt2, Event.Evt5):
            self._assembler = MessageAssembler()
        # Now, for the fragments are valid only now.
        detail, ends = self._look(observation.pdu)
        stepped: Stepped = observation
        self._ladder._add(
            lambda order: Step(
                order,
                side,
                stepped.event,
                stepped.state,
                stepped.action,
                stepped.next_state,
                _printable(detail),
                ends,
            )
        )

    def _look(self, pdu: PDU | None) -> tuple[str, bool]:
        """What a PDU says, and whether it ends a message."""
        match pdu:
            case AAssociateRQ():
                contexts = _count(len(pdu.presentation_contexts), "presentation context")
                return f"{pdu.calling_ae_title} calls {pdu.called_ae_title}\n{contexts}", False
            case AAssociateAC():
                accepted = sum(c.result == 0 for c in pdu.presentation_contexts)
                contexts = _count(len(pdu.presentation_contexts), "context")
                return f"{accepted} of {contexts} accepted", False
            case AAssociateRJ():
                words = describe_reject(pdu.result, pdu.source, pdu.reason)
                return words.replace(": ", "\n"), False
            case AAbort():
                return describe_abort(pdu.source, pdu.reason).replace(": ", "\n"), False
            case PDataTF():
                return self._look_into(pdu)
            case _:
                return "", False

    def _look_into(self, pdu: PDataTF) -> tuple[str, bool]:
        said: list[str] = []
        ends = False
        try:
            for pdv in pdu.pdvs:
                for part in self._assembler.feed(pdv):
                    if isinstance(part, CommandSet):
                        said.append(_describe_command(part))
                    ends = ends or isinstance(part, MessageReceived)
        except MessageError as error:
            self._assembler = MessageAssembler()
            return str(error), True
        return "\n".join(said), ends


def _describe_command(part: CommandSet) -> str:
    command = part.command
    text = command.name
    if isinstance(command, Response):
        known = describe(command.status, command.name)
        text += " " + ("0000H Success" if command.status == SUCCESS else known)
    return text + " and its data set" if command.has_data_set else text


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


class Ladder:
    """Records the two sides of an association, and draws them."""

    def __init__(self, left: str = "SCU", right: str = "SCP") -> None:
        """`left`, `right`: the names of the sides, as given to every other method."""
        self.left = left
        self.right = right
        self._records: list[Record] = []
        self._lock = threading.Lock()

    # Recording ----------------------------------------------------------------------------------

    def observer(self, side: str) -> Callable[[Observation], None]:
        """An observer for that side's `UpperLayer` or `Association`."""
        return _Observer(self, self._known(side))

    def call(self, side: str, text: str) -> None:
        """The user of that side calls its service provider: `call("SCU", "release request")`."""
        self._known(side)
        self._add(lambda order: Call(order, side, _printable(text)))

    def told(self, side: str, text: str) -> None:
        """The user of that side is told something: `told("SCP", "C-STORE requested")`."""
        self._known(side)
        self._add(lambda order: Told(order, side, _printable(text)))

    def note(self, text: str) -> None:
        """A remark between what came before it and what comes after."""
        self._add(lambda order: Note(order, _printable(text)))

    def forged(self, side: str, text: str) -> None:
        """A remark that a PDU which `side` did not send is on its way from there all the same."""
        self._known(side)
        self._add(lambda order: Forged(order, _printable(text), side))

    def _known(self, side: str) -> str:
        if side not in (self.left, self.right):
            raise ValueError(f"{side!r} is neither {self.left!r} nor {self.right!r}")
        return side

    def _add(self, make: Callable[[int], Record]) -> None:
        with self._lock:
            self._records.append(make(len(self._records)))

    @property
    def records(self) -> tuple[Record, ...]:
        """Everything recorded so far, in the order in which it was."""
        with self._lock:
            return tuple(self._records)

    # Drawing ------------------------------------------------------------------------------------

    def render(
        self, width: int = MAXIMUM_WIDTH, *, colour: bool = False, unicode: bool = True
    ) -> str:
        """The diagram, without a final line end.

        `width`: 80 to 100 columns (what is outside counts as the nearer of the two); no line is
        longer. `colour`: with ANSI escape sequences, which do not count. `unicode`: with
        box-drawing characters; else ASCII.
        """
        width = min(max(width, MINIMUM_WIDTH), MAXIMUM_WIDTH)
        page = Page(self.left, self.right, width)
        records = self.records
        causes = Causes(records, (self.left, self.right))
        for node in arrange(records, causes, (self.left, self.right)):
            page.draw(node, records, causes)
        return page.text(colour, unicode)

    def print(self, file: TextIO | None = None, width: int | None = None) -> None:
        """Print the diagram: in colour on a terminal, as wide as that but not wider than 100."""
        file = sys.stdout if file is None else file
        terminal = file.isatty()
        if width is None:
            width = shutil.get_terminal_size().columns if terminal else MAXIMUM_WIDTH
        colour = terminal and not os.environ.get("NO_COLOR")
        print(self.render(width, colour=colour, unicode=_takes_boxes(file)), file=file)


def _printable(text: str) -> str:
    # AE titles come from a peer: nothing of them may steer a terminal.
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)


def _takes_boxes(file: TextIO) -> bool:
    try:
        "".join(map(chr, ASCII)).encode(getattr(file, "encoding", None) or "ascii")
    except UnicodeEncodeError:
        return False
    return True
