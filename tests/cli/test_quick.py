"""`cli.quick`: what it understands, the option parser understands the same way."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from dul_fsm.cli import echo as echo_module
from dul_fsm.cli.app import app
from dul_fsm.cli.quick import parse_echo

LINE = """host 104 0 65536 -5 0x10 1_0 ² A AAAAAAAAAAAAAAAAA B\\C
-aet --aet -aec --aec --repeat --repeat=3 -v --verbose -vv -- -h"""
WORDS = st.sampled_from([*LINE.split(), "", " "])


def by_option_parser(arguments: list[str]) -> dict[str, object] | None:
    """What `echo` is called with; None for wrong usage or help."""
    calls: list[dict[str, object]] = []

    def called(host: str, port: int, **rest: object) -> int:
        calls.append({"host": host, "port": port, **rest})
        return 0

    with patch.object(echo_module, "echo", called):
        CliRunner().invoke(app, arguments)
    return calls[0] if calls else None


@given(st.lists(WORDS, max_size=8))
def test_what_is_understood_quickly_is_what_the_option_parser_understands(
    words: list[str],
) -> None:
    """If the quick parser answers, the option parser calls with the same arguments."""
    arguments = ["echo", "host", "104", *words]
    quickly = parse_echo(arguments)
    if quickly is not None:
        assert quickly == by_option_parser(arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        "echo host 104",
        "echo -v host 104 -aet US -aec THEM --repeat 5",
        "echo --aet US host --aec THEM 104 --verbose",
        "echo host 104 -aet A -aet B",
    ],
)
def test_plain_lines_are_understood_quickly(arguments: str) -> None:
    quickly = parse_echo(arguments.split())
    assert quickly is not None
    assert quickly == by_option_parser(arguments.split())


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "store host 104",
        "echo",
        "echo host",
        "echo host 104 more",
        "echo host 0",
        "echo host 65536",
        "echo host 104 --repeat 0",
        "echo host 104 --repeat",
        "echo host 104 --repeat=2",
        "echo host 104 -aet",
        "echo host 104 -aet -v",
        "echo host 104 -h",
        "echo host 104 -aec ABCDEFGHIJKLMNOPQ",
    ],
)
def test_everything_else_is_left_to_the_option_parser(arguments: str) -> None:
    assert parse_echo(arguments.split()) is None
