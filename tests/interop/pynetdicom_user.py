"""Runs `pynetdicom_scu.py` against a port, and reads what it tells."""

from __future__ import annotations

import json
import sys
from typing import Any

from tests.interop.archives import ROOT
from tests.interop.programs import run


def use(role: str, port: int, *arguments: object) -> list[dict[str, Any]]:
    """What it told, line by line."""
    command = (sys.executable, "-m", "tests.interop.pynetdicom_scu", role, port, *arguments)
    done = run(*command, cwd=ROOT)
    assert done.status == 0, done
    return [json.loads(line) for line in done.output.splitlines() if line.startswith("{")]
