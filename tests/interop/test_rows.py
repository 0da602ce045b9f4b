"""docs/interoperability.md says what the tests of this folder exercise, and nothing else."""

from __future__ import annotations

import sys

import pytest

from tests.interop.archives import ROOT
from tests.interop.programs import run
from tests.interop.rows import (
    COMMAND,
    OPERATIONS,
    PAGE,
    PROGRAMS,
    SCP,
    SCU,
    Row,
    exercises,
    render,
    versions_of,
)


def test_the_page_has_the_rows_of_all_marked_tests() -> None:
    # In a process of its own: this run may be one of a few tests, or of a part of them.
    done = run(sys.executable, "-m", "tests.interop.rows", "--print", cwd=ROOT)
    assert done.status == 0, done
    page = PAGE.read_text(encoding="utf-8")
    made = done.output[done.output.index("# Interoperability") :]
    assert page == made, f"run `{COMMAND}`"


def test_the_page_tells_a_version_of_each_peer() -> None:
    assert set(versions_of(PAGE.read_text(encoding="utf-8"))) == set(PROGRAMS)


def test_a_page_is_a_table_of_programs_and_a_list_of_tests() -> None:
    rows = [
        Row("C-FIND", SCU, "wlmscpfs", "finds"),
        Row("C-FIND", SCU, "orthanc", "finds"),
        Row("C-FIND", SCU, "dcmqrscp", "cancels"),
        Row("C-ECHO", SCP, "echoscu", "is answered"),
    ]
    page = render(rows, {"DCMTK": "1.2.3", "Orthanc": "4.5"})
    assert "| C-FIND | SCU | dcmqrscp, wlmscpfs | orthanc |  |\n" in page
    assert page.index("| C-ECHO | SCP | echoscu |  |  |") < page.index("| C-FIND |")
    assert "- wlmscpfs, orthanc: finds\n" in page
    assert versions_of(page) == {"DCMTK": "1.2.3", "Orthanc": "4.5"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("C-ECH", SCU, "echoscu"),
        ("C-ECHO", "USER", "echoscu"),
        ("C-ECHO", SCU, "dcm4che"),
        ("C-ECHO", SCU),
    ],
)
def test_a_mark_names_what_there_is(arguments: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"is none of|not a program of"):
        exercises(*arguments)


def test_operations_are_those_of_the_standard() -> None:
    from dul_fsm.dimse import commands

    known = {name.upper() for name in dir(commands) if name.endswith("RQ")}
    assert {f"{operation.replace('-', '')}RQ" for operation in OPERATIONS} <= known
