"""`cli.progress`: a bar on a terminal, and what is worth telling above it."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

from dul_fsm.files import file_meta
from tests.cli.running import ENVIRONMENT, PATIENCE, PROGRAM, listening
from tests.files.samples import CT, CT_IMAGE_STORAGE, EXPLICIT, data_set


def on_a_terminal(*arguments: object) -> tuple[int, str]:
    """Run `dul-fsm` on a terminal of its own; its exit status and what was on it."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [*PROGRAM, *map(str, arguments)],
            stdout=theirs,
            stderr=theirs,
            env={**ENVIRONMENT, "TERM": "xterm", "COLUMNS": "100"},
        )
        os.close(theirs)
        shown = b""
        try:
            while block := os.read(ours, 65536):
                shown += block
        except OSError:
            pass  # the terminal has lost its last program
        return process.wait(PATIENCE), shown.decode()
    finally:
        os.close(ours)


def test_on_a_terminal_there_is_a_bar_and_only_failures_are_lines(tmp_path: Path) -> None:
    bad = tmp_path / "[bold]1.dcm"
    bad.write_bytes(file_meta(CT_IMAGE_STORAGE, "1.x", EXPLICIT, "1.2.3.4") + data_set(""))
    with listening("--output", tmp_path / "kept") as peer:
        status, shown = on_a_terminal("store", peer.host, peer.port, bad, CT)
    assert status == 1
    assert "━" in shown
    assert "2/2" in shown
    assert f"failed {bad}" in shown.replace("\r\n", "")
    assert "stored " + str(CT) not in shown.replace("\r\n", "")
    assert "1 of 2 stored, 1 failed" in shown
    assert "Traceback" not in shown
