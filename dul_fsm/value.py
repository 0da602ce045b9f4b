"""`value`: a frozen, slotted data class that is cheap to make.

It is `dataclasses.dataclass(frozen=True, slots=True)` in all that a reader or a type checker needs
to know. That one writes and compiles six methods for each class; with eighty classes it was a
fifth of what a process that sends a single C-ECHO takes. Here `__init__` is compiled, and the other
methods are the same functions for all classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from typing import Any, TypeVar, dataclass_transform, overload

T = TypeVar("T")


@overload
def value(cls: type[T], /) -> type[T]: ...
@overload
def value(*, kw_only: bool = False) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(cls: type[Any] | None = None, /, *, kw_only: bool = False) -> Any:
    """Make a class a frozen, slotted data class. Methods that it defines itself are kept."""

    def make(cls: type[Any]) -> type[Any]:
        own = cls.__dict__
        made: Any = dataclass(init=False, repr=False, eq=False, slots=True, kw_only=kw_only)(cls)
        made.__value_fields__ = tuple([one.name for one in fields(made)])
        made.__init__ = _init(made, hasattr(made, "__post_init__"))
        for name, method in _METHODS.items():
            if name not in own:
                setattr(made, name, method)
        return made  # type: ignore[no-any-return]

    return make if cls is None else make(cls)


def _init(cls: Any, post_init: bool) -> Callable[..., None]:
    """Compile `__init__`: each field is set by its slot's own descriptor, since ours refuses to.

    `object.__setattr__` would look it up each time, which costs as much as all the rest.
    """
    names: dict[str, Any] = {"_absent": object()}
    positional: list[str] = []
    keyword: list[str] = []
    body: list[str] = []
    for one in fields(cls):
        parameter, given = one.name, one.name
        if one.default is not MISSING:
            names[f"_default_{one.name}"] = one.default
            parameter = f"{one.name}=_default_{one.name}"
        elif one.default_factory is not MISSING:
            names[f"_make_{one.name}"] = one.default_factory
            parameter = f"{one.name}=_absent"
            given = f"_make_{one.name}() if {one.name} is _absent else {one.name}"
        (keyword if one.kw_only else positional).append(parameter)
        names[f"_set_{one.name}"] = getattr(cls, one.name).__set__
        body.append(f" _set_{one.name}(self, {given})")
    if post_init:
        body.append(" self.__post_init__()")
    parameters = ", ".join(["self", *positional, *(["*"] if keyword else []), *keyword])
    exec("\n".join([f"def __init__({parameters}):", *(body or [" pass"])]), names)
    init: Callable[..., None] = names["__init__"]
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    init.__annotations__ = {one.name: one.type for one in fields(cls)}
    return init


def _values(self: Any) -> tuple[object, ...]:
    return tuple([getattr(self, name) for name in self.__value_fields__])


def _repr(self: Any) -> str:
    shown: list[Field[Any]] = [one for one in fields(self) if one.repr]
    told = ", ".join(f"{one.name}={getattr(self, one.name)!r}" for one in shown)
    return f"{type(self).__qualname__}({told})"


def _eq(self: Any, other: object) -> object:
    if self is other:  # as the presentation context of every request is
        return True
    return _values(self) == _values(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _refuse(self: Any, name: str, given: object = None) -> None:
    raise FrozenInstanceError(f"{type(self).__name__} is frozen: {name!r} cannot be changed")


def _setstate(self: Any, state: tuple[object, ...]) -> None:
    for name, given in zip(self.__value_fields__, state, strict=True):
        object.__setattr__(self, name, given)


_METHODS: dict[str, Callable[..., object]] = {
    "__repr__": _repr,
    "__eq__": _eq,
    "__hash__": _hash,
    "__setattr__": _refuse,
    "__delattr__": _refuse,
    "__getstate__": _values,
    "__setstate__": _setstate,
}
