"""Who does not use asyncio does not pay for it."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    ["dul_fsm", "dul_fsm.scu", "dul_fsm.scp", "dul_fsm.transports.loopback", "dul_fsm.cli"],
)
def test_the_blocking_kind_does_not_import_asyncio(module: str) -> None:
    code = f"import sys, {module}; sys.exit('asyncio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_names_are_those_of_the_blocking_kind() -> None:
    """And so are the arguments, in their order, and the public methods."""
    import inspect

    import dul_fsm
    from dul_fsm import aio

    for name in ("associate", "serve"):
        mine, theirs = (inspect.signature(getattr(m, name)).parameters for m in (aio, dul_fsm))
        assert list(mine) == list(theirs)
    for name in ("SCUAssociation", "Server"):
        methods, others = (
            {n for n in dir(getattr(m, name)) if not n.startswith("_")} for m in (aio, dul_fsm)
        )
        assert methods == others
