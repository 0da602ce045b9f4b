"""A C-ECHO without the option parser.

Scripts send C-ECHOs by the hundred, and nearly all of the time that one takes is imports. The
option parser's are as many as the association's own. So the plain form of the command line is
understood here, and everything else, wrong usage above all, is left to the option parser.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypedDict

from dul_fsm.cli.options import DEFAULT_CALLED, DEFAULT_CALLING, check_ae_title


class Echo(TypedDict):
    """The arguments of `echo.echo`."""

    host: str
    port: int
    calling_ae_title: str
    called_ae_title: str
    repeat: int
    tls: None
    verbose: bool


def parse_echo(arguments: Sequence[str]) -> Echo | None:
    """What `dul-fsm` with these arguments is to echo; None if the option parser is to say.

    Understood: `echo HOST PORT` with `-aet`, `-aec`, `--repeat` and `-v`, each option followed by
    its value and no value that starts with a hyphen.
    """
    if not arguments or arguments[0] != "echo":
        return None
    parsed = Echo(
        host="",
        port=0,
        calling_ae_title=DEFAULT_CALLING,
        called_ae_title=DEFAULT_CALLED,
        repeat=1,
        tls=None,
        verbose=False,
    )
    positional: list[str] = []
    rest = iter(arguments[1:])
    try:
        for word in rest:
            if word in ("-aet", "--aet"):
                parsed["calling_ae_title"] = check_ae_title(_value(rest))
            elif word in ("-aec", "--aec"):
                parsed["called_ae_title"] = check_ae_title(_value(rest))
            elif word == "--repeat":
                parsed["repeat"] = _number(_value(rest), 1 << 31)
            elif word in ("-v", "--verbose"):
                parsed["verbose"] = True
            elif word.startswith("-"):
                return None
            else:
                positional.append(word)
        parsed["host"], port = positional
        parsed["port"] = _number(port, 65535)
    except (StopIteration, ValueError):
        return None
    return parsed if parsed["host"] else None


def _value(rest: Iterator[str]) -> str:
    value = next(rest)
    if value.startswith("-"):
        raise ValueError("an option where a value is due")
    return value


def _number(text: str, most: int) -> int:
    """Digits only: what else is a number, the option parser knows."""
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= most):
        raise ValueError("not a plain number in its range")
    return int(text)
