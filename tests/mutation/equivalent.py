"""The list of mutants that no test can tell from the code."""

from __future__ import annotations

from pathlib import Path

LIST = Path(__file__).with_name("equivalent.txt")


def reasons() -> dict[str, str]:
    """By the key of each mutant, why it is equivalent.

    In the file the key is a line of its own, and the reason the indented lines after the last
    key of a block. Lines that begin with `#` are comments.
    """
    found: dict[str, str] = {}
    block: list[str] = []
    closed = False
    for line in LIST.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith(" "):
            for key in block:
                found[key] = f"{found[key]} {line.strip()}".strip()
            closed = True
        else:
            if closed:
                block, closed = [], False
            block.append(line)
            if line in found:
                raise ValueError(f"listed twice: {line}")
            found[line] = ""
    return found
