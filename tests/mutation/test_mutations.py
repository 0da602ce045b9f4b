"""The mutants are what `mutations` says, and each of those listed as equivalent is there."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.mutation import mutations
from tests.mutation.equivalent import reasons
from tests.mutation.mutations import mutants
from tests.mutation.run import GUARDS, modules

MODULES = [module for part in GUARDS for module in modules(part)]


def changes(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is replaced by what in this source."""
    (tmp_path / "dul_fsm").mkdir()
    (tmp_path / "dul_fsm" / "m.py").write_text(source)
    monkeypatch.setattr(mutations, "ROOT", tmp_path)
    found = mutants("dul_fsm/m.py")
    for mutant in found:
        assert mutant.compile() != mutant.unchanged().compile()
    return [f"{mutant.before} -> {mutant.after}" for mutant in found]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a < b", {"a < b -> a <= b", "a < b -> a >= b"}),
        ("a == b", {"a == b -> a != b"}),
        ("a is None", {"a is None -> a is not None"}),
        ("a in b", {"a in b -> a not in b"}),
        ("0 < a", {"0 < a -> 0 <= a", "0 < a -> 0 >= a", "0 -> 1", "0 -> -1"}),
        ("a and b", {"a and b -> a or b"}),
        ("not a", {"not a -> a"}),
        ("a + b", {"a + b -> a - b"}),
        ("a & 3", {"a & 3 -> a | 3", "3 -> 4", "3 -> 2"}),
        ("a = 5", {"5 -> 6", "5 -> 4"}),
        ("a = True", {"True -> False"}),
        ("a = b'\\0\\1'", {"b'\\x00\\x01' -> b'\\x00\\x00'"}),
        ("a = 'text'", set()),
        ("def f() -> int:\n return a", {"return a -> return None"}),
        ("def f() -> bool:\n return a", {"return a -> return True", "return a -> return False"}),
        ("def f():\n 'docstring'\n g()", {"g() -> pass"}),
        ("def f():\n raise e", {"raise e -> pass"}),
        ("def f():\n a = b", {"a = b -> pass"}),
        ("def f():\n a += b", {"a += b -> a -= b", "a += b -> pass"}),
        ("while a:\n break", {"while a: -> while not a:", "break -> continue"}),
        ("if f(a):\n pass", {"if f(a): -> if not f(a):"}),
        ("class E(Enum):\n x = A\n y = B\nE.y", {"E.y -> E.x"}),
        ("_GRID: T = (AA_1, ____)", {"AA_1 -> ____", "AA_1 -> AA_8", "____ -> AA_8"}),
        ("_action(n, x, y)", {f"_action(n, x, y) -> _action(n, {r})" for r in ("x", "y", "y, x")}),
        ("if TYPE_CHECKING:\n a = 5", set()),
        ("a: Final = b'\\0'", {"b'\\x00' -> b'\\x01'"}),
        ("def f(a: T[5]) -> T[5]: pass", set()),
        ("a = f'{b + 1}'", set()),
    ],
)
def test_source_has_these_mutants(
    source: str, expected: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(changes(source, tmp_path, monkeypatch)) == expected


def test_every_cell_of_the_table_has_a_mutant() -> None:
    cells = Counter(m.text for m in mutants("dul_fsm/fsm/table.py") if m.text.startswith("Evt"))
    assert len(cells) == 19
    # Two for each of the 123 cells with an action, one for each of the 124 blank ones.
    assert cells.total() == 2 * 123 + 124


def test_every_mutant_has_a_key_of_its_own() -> None:
    keys = [mutant.key for module in MODULES for mutant in mutants(module)]
    assert len(set(keys)) == len(keys)


def test_every_module_named_is_there() -> None:
    assert all((mutations.ROOT / module).is_file() for module in MODULES)


def test_every_equivalent_mutant_stands_in_the_code_and_has_a_reason() -> None:
    keys = {mutant.key for module in MODULES for mutant in mutants(module)}
    for key, reason in reasons().items():
        assert key in keys, f"the line has changed, look at it again: {key}"
        assert len(reason.split()) > 4, key
