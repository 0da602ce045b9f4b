"""How matches of a C-FIND are printed: a table for people, the DICOM JSON model for programs.

JSON is that of PS3.18 Annex F, as an array or as one object a line, and each object is written when
its match comes. A table is written at the end, since its columns are as wide as their values.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from dul_fsm.cli.explain import printable
from dul_fsm.query import Key
from dul_fsm.query.elements import element_in, texts_of

if TYPE_CHECKING:
    from pydicom import Dataset

_INLINE = 1 << 62
"""Bytes up to which a value is in the JSON itself: all of them, there is nowhere else."""

UNLIMITED = 100_000
"""Columns of an output that is no terminal: no table is as wide, and nothing is cut."""


class Printer(Protocol):
    """Prints matches, one by one."""

    def match(self, data_set: Dataset) -> None:
        """One more match."""
        ...

    def end(self, complete: bool) -> None:
        """There are no more; `complete`: that the peer has."""
        ...


def printer(form: str, keys: Sequence[Key]) -> Printer:
    """What prints matches to standard output as `table`, `json` or `jsonl`."""
    if form == "table":
        return Table(keys, write=_write)
    return JSON(_write, lines=form == "jsonl")


class JSON:
    """The DICOM JSON model."""

    def __init__(self, write: Callable[[str], object], *, lines: bool) -> None:
        self._write = write
        self._lines = lines
        self._count = 0

    def match(self, data_set: Dataset) -> None:
        """See `Printer.match`."""
        model = data_set.to_json_dict(bulk_data_threshold=_INLINE, suppress_invalid_tags=True)
        before = "" if self._lines else ",\n" if self._count else "[\n"
        after = "\n" if self._lines else ""
        self._count += 1
        self._write(f"{before}{json.dumps(model, ensure_ascii=False)}{after}")

    def end(self, complete: bool) -> None:
        """See `Printer.end`."""
        if not self._lines:
            self._write("\n]\n" if self._count else "[]\n")


class Table:
    """A column for each key."""

    def __init__(
        self, keys: Sequence[Key], write: Callable[[str], object], width: int | None = None
    ) -> None:
        """`width`: columns of the output; None for what standard output has."""
        self._keys = keys
        self._write = write
        self._width = width or terminal_width()
        self._rows: list[list[str]] = []

    def match(self, data_set: Dataset) -> None:
        """See `Printer.match`."""
        self._rows.append([cell(data_set, key.path) for key in self._keys])

    def end(self, complete: bool) -> None:
        """See `Printer.end`."""
        count = len(self._rows)
        if count:
            self._write(as_table(headers(self._keys), self._rows, self._width))
        if count or complete:
            self._write(f"{count} match{'es' * (count != 1)}{'' if complete else ' so far'}\n")


def cell(data_set: Dataset, path: Sequence[int]) -> str:
    """The values at a path, in one line; those of the items of a sequence one after the other."""
    element = element_in(data_set, path[0])
    if element is None:
        return ""
    if len(path) > 1:
        found = [cell(item, path[1:]) for item in element.value or ()] if element.VR == "SQ" else []
        return "; ".join(text for text in found if text)
    if element.VR == "SQ":
        count = len(element.value or ())
        return f"{count} item{'s' * (count != 1)}"
    return printable("\\".join(texts_of(element)))


def headers(keys: Sequence[Key]) -> list[str]:
    """What stands above the columns: the last part of each key, if that says which it is."""
    short = [key.name.rpartition(".")[2] for key in keys]
    return [
        one if short.count(one) == 1 else key.name for one, key in zip(short, keys, strict=True)
    ]


def as_table(heads: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    """A table with a line for each row, and more lines where it is too wide; nothing is cut."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    table = RichTable(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for head in heads:
        table.add_column(Text(head), overflow="fold")
    for row in rows:
        table.add_row(*(Text(text) for text in row))
    console = Console(width=width, color_system=None, highlight=False, file=sys.stdout)
    with console.capture() as capture:
        console.print(table)
    return "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def terminal_width() -> int:
    """Columns of standard output; `UNLIMITED` if it is no terminal."""
    if not sys.stdout.isatty():
        return UNLIMITED
    from shutil import get_terminal_size

    return get_terminal_size().columns


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
