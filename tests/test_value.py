"""`value` makes what `dataclasses.dataclass(frozen=True, slots=True)` makes."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace
from typing import Any, ClassVar

import pytest

from dul_fsm.value import value


@value
class Light:
    """As `Heavy`."""

    number: int
    text: str = "text"
    items: list[int] = field(default_factory=list)
    secret: bytes = field(default=b"secret", repr=False)
    constant: ClassVar[int] = 7

    def double(self) -> int:
        return 2 * self.number


@dataclass(frozen=True, slots=True)
class Heavy:
    """The model."""

    number: int
    text: str = "text"
    items: list[int] = field(default_factory=list)
    secret: bytes = field(default=b"secret", repr=False)
    constant: ClassVar[int] = 7

    def double(self) -> int:
        return 2 * self.number


BOTH: list[Any] = [Light, Heavy]


@pytest.mark.parametrize("kind", BOTH)
def test_fields_defaults_and_methods_are_those_of_a_dataclass(kind: Any) -> None:
    one = kind(1, items=[2])
    assert (one.number, one.text, one.items, one.secret) == (1, "text", [2], b"secret")
    assert [each.name for each in fields(kind)] == ["number", "text", "items", "secret"]
    assert kind.__match_args__ == ("number", "text", "items", "secret")
    assert kind.constant == 7
    assert one.double() == 2
    assert kind(1).items is not kind(1).items
    assert repr(one).endswith("(number=1, text='text', items=[2])")
    with pytest.raises(TypeError):
        kind()
    with pytest.raises(TypeError):
        kind(1, wrong=2)


@pytest.mark.parametrize("kind", BOTH)
def test_an_instance_cannot_be_changed_nor_grow(kind: Any) -> None:
    one = kind(1)
    with pytest.raises(FrozenInstanceError):
        one.number = 2
    with pytest.raises(FrozenInstanceError):
        del one.number
    with pytest.raises((FrozenInstanceError, TypeError, AttributeError)):
        one.other = 2
    assert not hasattr(one, "__dict__")


@pytest.mark.parametrize("kind", BOTH)
def test_equality_and_hash_go_by_the_values_and_the_class(kind: Any) -> None:
    assert kind(1) == kind(1)
    assert kind(1) != kind(2)
    other: object = Heavy(1)
    assert Light(1) != other
    with pytest.raises(TypeError):
        hash(kind(1))  # a list has no hash
    assert hash(replace(kind(1), items=())) == hash(replace(kind(1), items=()))


@pytest.mark.parametrize("kind", BOTH)
def test_copies_replacements_and_pickles_are_equal(kind: Any) -> None:
    one = kind(1, "a", [3])
    assert copy.copy(one) == copy.deepcopy(one) == pickle.loads(pickle.dumps(one)) == one
    assert replace(one, text="b") == kind(1, "b", [3])


def test_methods_that_a_class_defines_are_kept() -> None:
    @value
    class Own:
        number: int

        def __repr__(self) -> str:
            return "mine"

        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = object.__hash__

    assert repr(Own(1)) == "mine"
    assert Own(1) == 2


def test_keyword_only_and_what_runs_after_init() -> None:
    @value(kw_only=True)
    class Positive:
        number: float = 1.0

        def __post_init__(self) -> None:
            if self.number <= 0:
                raise ValueError(self.number)

    assert Positive(number=2).number == 2
    with pytest.raises(ValueError, match="-1"):
        Positive(number=-1)
    with pytest.raises(TypeError):
        Positive(2)  # type: ignore[call-arg]
