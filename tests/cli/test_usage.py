"""`cli.app`: wrong usage is told in a line and exits with 2; help has examples."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from dul_fsm import __version__
from dul_fsm.cli.app import app
from dul_fsm.fsm.render import FORMS
from tests.cli.running import PROGRAM, run

COMMANDS = ["demo", "echo", "store", "find", "get", "move", "listen", "table"]


@pytest.fixture
def runner() -> CliRunner:
    return CliRunner()


def test_the_help_names_every_command(runner: CliRunner) -> None:
    result = runner.invoke(app, ["--help"])
    assert result.exit_code == 0
    for command in COMMANDS:
        assert f"\n  {command} " in result.output
    assert "Exit status" in result.output


@pytest.mark.parametrize("command", COMMANDS[1:])
def test_the_help_of_a_command_has_examples(runner: CliRunner, command: str) -> None:
    result = runner.invoke(app, [command, "-h"])
    assert result.exit_code == 0
    assert f"\n  dul-fsm {command} " in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Usage"),
        (["nonsense"], "nonsense"),
        (["echo"], "HOST"),
        (["echo", "localhost"], "PORT"),
        (["echo", "localhost", "0"], "PORT"),
        (["echo", "localhost", "65536"], "PORT"),
        (["echo", "localhost", "port"], "PORT"),
        (["echo", "localhost", "104", "-aet"], "-aet"),
        (["echo", "localhost", "104", "-aet", "x" * 17], "16 characters"),
        (["echo", "localhost", "104", "-aec", " "], "16 characters"),
        (["echo", "localhost", "104", "-aec", "A\\B"], "backslash"),
        (["echo", "localhost", "104", "--aec", "Ä"], "ASCII"),
        (["echo", "localhost", "104", "--repeat", "0"], "--repeat"),
        (["echo", "localhost", "104", "--nonsense"], "--nonsense"),
        (["store", "localhost", "104"], "PATH"),
        (["store", "localhost", "104", "/no/such/file"], "/no/such/file"),
        (["store", "localhost", "104", ".", "--max-pdu", "7"], "no limit"),
        (["find", "localhost"], "PORT"),
        (["find", "localhost", "104", "-k", "PatientNam=X"], "did you mean PatientName"),
        (["find", "localhost", "104", "-k", "StudyDate=yesterday"], "YYYYMMDD"),
        (["find", "localhost", "104", "--level", "PATIENT"], "STUDY, SERIES, IMAGE"),
        (["find", "localhost", "104", "--level", "FRAME"], "FRAME"),
        (["find", "localhost", "104", "--model", "worklist", "--level", "STUDY"], "no levels"),
        (
            ["find", "localhost", "104", "--level", "STUDY", "-k", "QueryRetrieveLevel=SERIES"],
            "exclude each other",
        ),
        (["find", "localhost", "104", "--max", "0"], "--max"),
        (["find", "localhost", "104", "--format", "xml"], "xml"),
        (["find", "localhost", "104", "--ca", "/dev/null"], "--ca goes with --tls"),
        (["get", "localhost", "104"], "StudyInstanceUID"),
        (["get", "localhost", "104", "-k", "StudyInstanceUID=*"], "wild cards"),
        (["get", "localhost", "104", "--model", "worklist"], "worklist"),
        (["move", "localhost", "104", "-k", "StudyInstanceUID=1"], "--destination"),
        (["move", "localhost", "104", "--destination", "x" * 17], "16 characters"),
        (["move", "localhost", "104", "--destination", "X", "--output", "."], "--listen"),
        (["move", "localhost", "104", "--destination", "X"], "StudyInstanceUID"),
        (["listen", "--output", ".", "--discard"], "exclude each other"),
        (["listen", "--artim", "0"], "positive"),
        (["listen", "--idle", "nan"], "positive"),
        (["listen", "--max-associations", "0"], "--max-associations"),
        (["listen", "--port", "-1"], "--port"),
        (["listen", "--max-pdu", "-1"], "no limit"),
        (["table", "--format", "xml"], "xml"),
    ],
)
def test_wrong_usage_exits_with_2_and_names_what_is_wrong(
    runner: CliRunner, arguments: list[str], words: str
) -> None:
    result = runner.invoke(app, arguments)
    assert result.exit_code == 2
    assert words in result.output


@pytest.mark.parametrize("form", FORMS)
def test_table_prints_each_form(runner: CliRunner, form: str) -> None:
    result = runner.invoke(app, ["table", "--format", form])
    assert result.exit_code == 0
    assert result.output == FORMS[form]()


def test_table_prints_text_unless_told_otherwise(runner: CliRunner) -> None:
    assert runner.invoke(app, ["table"]).output == FORMS["text"]()


def test_the_version_is_the_package_s(runner: CliRunner) -> None:
    assert runner.invoke(app, ["--version"]).output == f"dul-fsm {__version__}\n"


def test_python_m_is_the_program() -> None:
    ran = run("table", "--format", "csv")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == FORMS["csv"]()
    assert run("echo").returncode == 2


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_it_says_how_to_install_it(missing: str) -> None:
    code = f"""
import sys
sys.modules[{missing!r}] = None
from dul_fsm.cli import main
main()
"""
    ran = subprocess.run(
        [sys.executable, "-c", code, "echo", "localhost", "104"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert missing in ran.stderr
    assert "pip install 'dul_fsm[cli]'" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_a_reader_that_goes_early_is_no_traceback() -> None:
    with subprocess.Popen(
        [*PROGRAM, "table"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()


HEAVY = ("pydicom", "numpy", "rich", "typer", "pydantic", "asyncio", "ssl", "multiprocessing")


def test_a_plain_echo_imports_nothing_that_it_does_not_need() -> None:
    code = f"""
import sys
from dul_fsm.cli import main
sys.argv = ["dul-fsm", "echo", "127.0.0.1", "1"]
try:
    main()
except SystemExit as end:
    assert end.code == 1
print(*[name for name in {HEAVY!r} if name in sys.modules])
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "\n"
