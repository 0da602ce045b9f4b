"""Runs one fuzz target under atheris: `python -m tests.fuzz.harness TARGET [libFuzzer options]`.

The targets themselves know nothing of atheris, so that any Python replays what it has found.
"""

from __future__ import annotations

import sys
from importlib import import_module

TARGETS = ("pdu_decoder", "upper_layer", "command_set")


def main(arguments: list[str]) -> None:
    """Fuzz until libFuzzer ends the process: status 0, or another one for a finding."""
    name, *options = arguments
    if name not in TARGETS:
        raise SystemExit(f"there is no target {name!r}; there are: {', '.join(TARGETS)}")
    # Not in `dev`, so not there for a type checker.
    atheris = import_module("atheris")
    with atheris.instrument_imports(include=["dul_fsm"]):
        target = import_module(f"tests.fuzz.{name}")
    atheris.Setup([name, *options], target.one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
