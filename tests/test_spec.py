"""The transcription in `spec/` agrees with itself and with the numbers of the standard's tables."""

from __future__ import annotations

import ast
import itertools
import re
from collections import Counter

import pytest

from tests import oracle
from tests.oracle import Cell, Field

FILLED = {cell: action for cell, action in oracle.state_table().items() if action}
ROOT = oracle.SPEC.parent


def cells_with(action: str) -> set[Cell]:
    return {cell for cell, name in FILLED.items() if name == action}


# The grid ----------------------------------------------------------------------------------------


def test_the_grid_has_19_events_by_13_states() -> None:
    assert len(oracle.state_table()) == 247
    assert set(oracle.state_table()) == set(itertools.product(range(1, 20), range(1, 14)))
    assert set(oracle.events()) == set(range(1, 20))
    assert set(oracle.states()) == set(range(1, 14))


def test_123_cells_are_filled_and_124_are_blank() -> None:
    assert len(FILLED) == 123
    assert len(oracle.state_table()) - len(FILLED) == 124


# Counted in Table 9-10 by action, one number for each of the 28 rows of Tables 9-6 to 9-9.
CELLS = {
    **{"AE-1": 1, "AE-2": 1, "AE-3": 1, "AE-4": 1, "AE-5": 1, "AE-6": 1, "AE-7": 1, "AE-8": 1},
    **{"DT-1": 1, "DT-2": 1},
    **{"AR-1": 1, "AR-2": 1, "AR-3": 2, "AR-4": 2, "AR-5": 1},
    **{"AR-6": 1, "AR-7": 1, "AR-8": 1, "AR-9": 1, "AR-10": 1},
    **{"AA-1": 15, "AA-2": 5, "AA-3": 9, "AA-4": 10, "AA-5": 1, "AA-6": 5, "AA-7": 2, "AA-8": 54},
}


def test_each_of_the_28_actions_fills_as_many_cells_as_in_the_standard() -> None:
    assert len(CELLS) == 28
    assert list(oracle.actions()) == list(CELLS)
    assert Counter(FILLED.values()) == CELLS


# Counted in Table 9-10 by row and by column.
PER_EVENT = (1, 1, 11, 11, 1, 11, 1, 1, 2, 11, 1, 11, 11, 3, 10, 11, 12, 2, 11)
PER_STATE = (2, 10, 12, 3, 10, 12, 10, 12, 11, 10, 10, 11, 10)


def test_each_row_and_each_column_has_as_many_filled_cells_as_in_the_standard() -> None:
    events = Counter(event for event, _ in FILLED)
    states = Counter(state for _, state in FILLED)
    assert tuple(events[event] for event in oracle.events()) == PER_EVENT
    assert tuple(states[state] for state in oracle.states()) == PER_STATE


def test_the_grid_of_next_states_agrees_with_the_actions() -> None:
    for cell, action in oracle.state_table().items():
        expected = oracle.next_states(action) if action else ()
        assert oracle.next_state_table()[cell] == expected, cell


def test_every_pdu_has_an_action_wherever_the_transport_is_open_and_nowhere_else() -> None:
    pdus = {event for event, row in oracle.events().items() if row["from"] == "PDU"}
    open_in = {s for s, row in oracle.states().items() if row["transport"] == "open"}
    assert {cell for cell in FILLED if cell[0] in pdus} == set(itertools.product(pdus, open_in))


def test_artim_expiry_has_an_action_only_where_artim_runs() -> None:
    running = {state for state, row in oracle.states().items() if row["ARTIM"] == "running"}
    assert {state for event, state in FILLED if event == 18} == running == {2, 13}


def test_misreadings_known_from_the_field_are_not_here() -> None:
    assert cells_with("AA-7") == {(6, 13), (19, 13)}  # not AA-6
    assert oracle.state_table()[6, 5] == "AA-8"  # not AE-4
    assert oracle.state_table()[10, 8] == "AA-8"  # the peer has said that it is done
    assert oracle.state_table()[9, 8] == "AR-7"  # but this side has not
    assert oracle.state_table()[15, 2] is None
    assert oracle.state_table()[15, 13] is None


# Actions -----------------------------------------------------------------------------------------


def test_only_ae_6_and_ar_8_lead_to_two_states() -> None:
    forks = {name: oracle.next_states(name) for name in CELLS if len(oracle.next_states(name)) > 1}
    assert forks == {"AE-6": (3, 13), "AR-8": (9, 10)}


def test_the_cases_of_an_action_are_told_apart() -> None:
    for name, outcomes in oracle.actions().items():
        cases = [outcome.case for outcome in outcomes]
        assert len(set(cases)) == len(cases), name
        assert len(cases) == 1 or all(cases), name


def walk(role: str) -> dict[int, set[bool]]:
    """The states that a side of an association can reach, with ARTIM running or not."""
    seen: dict[int, set[bool]] = {}
    pending = [(1, False)]
    while pending:
        state, artim = pending.pop()
        if artim in seen.setdefault(state, set()):
            continue
        seen[state].add(artim)
        for event in oracle.events():
            action = oracle.state_table()[event, state]
            # An association has one role: it begins with Evt1 or with Evt5.
            if action is None or (state, event) == (1, {"requestor": 5, "acceptor": 1}[role]):
                continue
            for outcome in oracle.actions()[action]:
                if outcome.case in ("association-requestor", "association-acceptor") and (
                    outcome.case != f"association-{role}"
                ):
                    continue
                after = artim
                for effect in outcome.effects:
                    if effect.endswith("ARTIM"):
                        # A plain start never meets a running timer.
                        assert effect != "start ARTIM" or not after, (event, state, action)
                        after = effect != "stop ARTIM"
                pending.append((outcome.next_state, after))
    return seen


def test_following_the_table_reaches_the_states_of_each_role_and_no_others() -> None:
    for role in ("requestor", "acceptor"):
        listed = {s for s, row in oracle.states().items() if row["role"] in (role, "both")}
        assert set(walk(role)) == listed, role


def test_following_the_actions_runs_artim_in_sta2_and_sta13_and_nowhere_else() -> None:
    for role in ("requestor", "acceptor"):
        for state, running in walk(role).items():
            assert running == {oracle.states()[state]["ARTIM"] == "running"}, (role, state)


def test_a_transport_connection_is_closed_by_actions_that_lead_to_sta1_only() -> None:
    for name in CELLS:
        for outcome in oracle.actions()[name]:
            if "close transport connection" in outcome.effects:
                assert outcome.next_state == 1, name


def test_effects_of_the_actions_that_are_most_often_got_wrong() -> None:
    assert oracle.effects("AE-6", "unacceptable to the provider")[0] == "stop ARTIM"
    assert oracle.effects("AR-3") == ("confirm A-RELEASE", "close transport connection")
    assert oracle.effects("AR-9") == ("send A-RELEASE-RP",)
    assert oracle.effects("AA-4") == ("indicate A-P-ABORT",)
    assert oracle.effects("AA-7") == ("send A-ABORT",)
    with pytest.raises(KeyError):
        oracle.effects("AE-6")


# PDUs --------------------------------------------------------------------------------------------

STRUCTURES = sorted(oracle.layouts().items())


@pytest.mark.parametrize(("name", "fields"), STRUCTURES, ids=[name for name, _ in STRUCTURES])
def test_the_fields_of_a_structure_follow_each_other_without_gap(
    name: str, fields: tuple[Field, ...]
) -> None:
    after = 1
    for field in fields:
        if field.span is None:
            # From here on positions depend on lengths; the first one is still known.
            assert re.match(rf"{after}-", field.bytes), (name, field)
            return
        first, last = field.span
        assert first == after, (name, field)
        if field.type.startswith("u") and field.type != "uid":
            assert (last - first + 1) * 8 == int(field.type[1:]), (name, field)
        after = last + 1


def length_field(name: str) -> Field:
    return next(f for f in oracle.layouts()[name] if f.name in ("PDU-length", "Item-length"))


def test_a_pdu_has_a_header_of_6_bytes_and_an_item_one_of_4() -> None:
    for name in oracle.layouts():
        pdu = name in {f"{code:02X}H" for code in oracle.codes()["PDU-type"]}
        assert length_field(name).bytes == ("3-6" if pdu else "1-4" if name == "PDV" else "3-4")


@pytest.mark.parametrize("name", ["03H", "05H", "06H", "07H", "51H", "53H"])
def test_the_length_of_a_fixed_structure_is_that_of_its_fields(name: str) -> None:
    header = length_field(name).span
    end = oracle.layouts()[name][-1].span
    assert header is not None
    assert end is not None
    assert int(length_field(name).value.removesuffix("H"), 16) == end[1] - header[1]


def test_each_structure_has_its_type_code_and_each_code_its_structure() -> None:
    coded = oracle.codes()["PDU-type"] | oracle.codes()["Item-type"]
    assert {f"{code:02X}H" for code in coded} | {"PDV"} == set(oracle.layouts())
    for name, fields in oracle.layouts().items():
        assert name == "PDV" or fields[0].value == name


def test_the_codes_of_each_field_are_as_many_as_in_the_standard() -> None:
    assert {name: sorted(codes) for name, codes in oracle.codes().items()} == {
        "PDU-type": [*range(1, 8)],
        "Item-type": [0x10, 0x20, 0x21, 0x30, 0x40, *range(0x50, 0x5A)],
        "A-ASSOCIATE-RJ Result": [1, 2],
        "A-ASSOCIATE-RJ Source": [1, 2, 3],
        "A-ASSOCIATE-RJ Reason/Diag. for Source 1": [*range(1, 11)],
        "A-ASSOCIATE-RJ Reason/Diag. for Source 2": [1, 2],
        "A-ASSOCIATE-RJ Reason/Diag. for Source 3": [*range(8)],
        "A-ABORT Source": [0, 1, 2],
        "A-ABORT Reason/Diag. for Source 2": [*range(7)],
        "Presentation Context Result/Reason": [*range(5)],
        "Message control header": [*range(4)],
        "User-Identity-Type": [*range(1, 6)],
        "SCU-role and SCP-role": [0, 1],
    }


# Choices -----------------------------------------------------------------------------------------

CHOICES = sorted(oracle.choices().items())


@pytest.mark.parametrize(("file", "choice"), CHOICES, ids=[file for file, _ in CHOICES])
def test_a_choice_has_its_three_paragraphs_and_names_tests_that_exist(
    file: str, choice: dict[str, str]
) -> None:
    assert list(choice) == ["The standard", "What we do and why", "Test"]
    assert all(choice.values()), file
    tests = re.findall(r"`(tests/[\w/]+\.py)::(\w+)[`[]", choice["Test"])
    assert tests, f"{file} names no test as `tests/test_x.py::test_y`"
    for path, name in tests:
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        functions = {
            node.name
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert name in functions, f"{file}: {path} has no {name}"
