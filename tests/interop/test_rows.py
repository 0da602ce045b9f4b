"""docs/interoperability.md says what the tests of this folder exercise, and nothing else."""

from __future__ import annotations

import re
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


@pytest.mark.parametrize("ours", [SCU, SCP])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_operation_is_tried_with_a_peer_in_both_roles(operation: str, ours: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\| {operation} \| {ours} \|(.*)\|$", page, re.MULTILINE)
    programs = {name.strip() for cell in row.split("|") for name in cell.split(",")}
    assert programs & {name for names in PROGRAMS.values() for name in names}


def test_there_are_eleven_operations_and_a_cancel() -> None:
    from dul_fsm.dimse.commands import COMMANDS

    names = {kind.name for kind in COMMANDS.values()}
    requests = {name.removesuffix("-RQ") for name in names if name.endswith("-RQ")}
    assert requests == set(OPERATIONS)
    assert len(OPERATIONS) == 11 + 1


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
