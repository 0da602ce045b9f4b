"""`cli.matches`: a table loses nothing, and JSON is the DICOM JSON model."""

from __future__ import annotations

import json

import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence

from dul_fsm.cli.matches import JSON, Table, as_table, cell, headers
from dul_fsm.query import parse_key
from tests.query.samples import data_set

STEP = "ScheduledProcedureStepSequence"


def path(key: str) -> tuple[int, ...]:
    return parse_key(key).path


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("PatientName", "Doe^John"),
        ("PatientID", ""),
        ("StudyID", ""),
        ("ModalitiesInStudy", "CT\\MR"),
        ("Rows", "512"),
        (STEP, "2 items"),
        (f"{STEP}.Modality", "CT; MR"),
        (f"{STEP}.ScheduledStationName", ""),
        ("PatientComments", "a\\x1bb\\nc"),
    ],
)
def test_a_cell_is_the_values_in_one_line_that_does_nothing(key: str, text: str) -> None:
    match = data_set(
        PatientName="Doe^John",
        PatientID=None,
        ModalitiesInStudy=["CT", "MR"],
        Rows=512,
        PatientComments="a\x1bb\nc",
        ScheduledProcedureStepSequence=Sequence([data_set(Modality="CT"), data_set(Modality="MR")]),
    )
    assert cell(match, path(key)) == text


def test_a_path_through_what_is_no_sequence_finds_nothing() -> None:
    match = data_set(PatientID="1")
    assert cell(match, (0x00100020, 0x00100020)) == ""


def test_a_header_is_short_where_that_says_which_it_is() -> None:
    keys = [parse_key(key) for key in ("PatientID", f"{STEP}.Modality", "Modality")]
    assert headers(keys) == ["PatientID", f"{STEP}.Modality", "Modality"]
    assert headers(keys[:2]) == ["PatientID", "Modality"]


def test_a_table_is_as_wide_as_its_values() -> None:
    assert as_table(["A", "B"], [["1", "[red]2[/]"], ["3", ""]], 80) == (
        "A   B\n─────────────\n1   [red]2[/]\n3\n"
    )


def test_a_table_that_is_too_wide_is_folded_and_loses_nothing() -> None:
    uid = "1.2.840.10008." * 4
    text = as_table(["UID", "Name"], [[uid, "Doe^John"]], 30)
    assert all(len(line) <= 30 for line in text.splitlines())
    left = [line.split()[0] for line in text.splitlines()[2:]]
    assert "".join(left) == uid


def test_a_table_is_printed_at_the_end_with_its_count() -> None:
    printed: list[str] = []
    table = Table([parse_key("PatientID")], printed.append, width=80)
    table.match(data_set(PatientID="1"))
    assert printed == []
    table.end(complete=True)
    assert "".join(printed).splitlines() == ["PatientID", "─────────", "1", "1 match"]


@pytest.mark.parametrize(("matches", "text"), [(0, ""), (2, "2 matches so far\n")])
def test_an_incomplete_table_says_so(matches: int, text: str) -> None:
    printed: list[str] = []
    table = Table([parse_key("PatientID")], printed.append, width=80)
    for number in range(matches):
        table.match(data_set(PatientID=str(number)))
    table.end(complete=False)
    assert printed[-1:] == ([text] if text else [])


def wrote(*matches: Dataset, lines: bool) -> str:
    printed: list[str] = []
    out = JSON(printed.append, lines=lines)
    for match in matches:
        out.match(match)
    out.end(complete=True)
    return "".join(printed)


MATCHES = (data_set(PatientName="Ä=王"), data_set(PatientID="1\n2", PixelData=bytes(2000)))


def test_json_is_an_array_with_a_line_for_each_match() -> None:
    text = wrote(*MATCHES, lines=False)
    first, second = json.loads(text)
    assert first["00100010"]["Value"] == [{"Alphabetic": "Ä", "Ideographic": "王"}]
    assert len(second["7FE00010"]["InlineBinary"]) > 2000
    assert len(text.splitlines()) == 4


def test_json_lines_are_lines() -> None:
    text = wrote(*MATCHES, lines=True)
    assert [list(json.loads(line)) for line in text.splitlines()] == [
        ["00100010"],
        ["00100020", "7FE00010"],
    ]


def test_no_match_is_an_empty_array_or_nothing() -> None:
    assert json.loads(wrote(lines=False)) == []
    assert wrote(lines=True) == ""


def test_a_match_is_written_when_it_comes() -> None:
    printed: list[str] = []
    JSON(printed.append, lines=False).match(MATCHES[0])
    assert "Ideographic" in "".join(printed)
