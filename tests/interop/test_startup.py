"""What a start costs, in modules: nothing is imported that was not asked for.

How long it takes is measured by `benchmarks/startup.py`.
"""

from __future__ import annotations

import sys

import pytest

from tests.interop.conftest import StartListen
from tests.interop.programs import HOST, run

pytestmark = pytest.mark.interop

HEAVY = ("asyncio", "numpy", "pydicom", "rich", "ssl", "typer", "transitions")


def imported(code: str) -> set[str]:
    """The heavy modules that a process has after it has run `code`."""
    tell = f"print('has', *(name for name in {HEAVY!r} if name in sys.modules))"
    done = run(sys.executable, "-W", "error", "-c", f"import sys\n{code}\n{tell}")
    assert done.status == 0, done
    return set(done.output.splitlines()[-1].split()[1:])


def test_the_package_imports_nothing_heavy() -> None:
    assert imported("import dul_fsm") == set()


def test_an_scu_and_an_scp_need_no_pydicom() -> None:
    # Only `fsm.machine` needs `transitions`.
    assert imported("from dul_fsm import Handler, associate, serve") == {"transitions"}


def test_sending_and_receiving_files_needs_no_pydicom() -> None:
    assert imported("import dul_fsm.scu.store, dul_fsm.scp.storage") == {"transitions"}


@pytest.mark.parametrize("command", ["echo", "store"])
def test_a_command_needs_no_pydicom(listen: StartListen, command: str) -> None:
    from tests.files.samples import CT

    ours = listen("--discard")
    arguments = ["dul-fsm", command, HOST, str(ours.port)]
    if command == "store":
        arguments.append(str(CT))
    code = (
        f"sys.argv = {arguments!r}\n"
        "from dul_fsm.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as error:\n    assert not error.code, error.code"
    )
    assert imported(code) & {"asyncio", "numpy", "pydicom", "rich", "ssl"} == set()
