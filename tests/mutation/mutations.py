"""Mutants of a module: what they are. How they are run: `run`.

A mutant is the module with one expression or statement replaced by another that a test should
tell from it:

- a comparison by its negation and by its neighbour; `and` by `or`; a condition by its negation
- an integer by the next and the one before; a bool by the other; a bytes constant, which here is
  a code on the wire, by one with another last byte
- an arithmetic operator by its opposite
- what is returned by None, or by True and False
- a statement by nothing; `break` by `continue`
- a member of an enumeration of this package by the next one
- a cell of Table 9-10 by a blank one and by another action; an effect of an action by nothing,
  two of them by each other

Left alone: annotations, decorators, docstrings, text, and what only a type checker sees.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import CodeType

ROOT = Path(__file__).parent.parent.parent

Site = tuple[tuple[str, int | None], ...]
"""From the root of the tree: a field, and an index if it is a list, at each step."""

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
BLANK = "____"
"""A blank cell of Table 9-10."""


@dataclass(frozen=True)
class Mutant:
    """A module with one thing in it replaced."""

    path: str
    """Of the module, from the root of the repository."""
    line: int
    where: str
    """The qualified name of the function or class, or `-`."""
    text: str
    """The line as it stands."""
    before: str
    after: str
    number: int
    """1, or more for those that look like an earlier one of the same module."""
    functions: tuple[tuple[int, str], ...]
    """First line and qualified name of the functions it is in; none: it is there at import."""
    site: Site
    replacement: ast.AST
    source: str
    """The module as it was when the mutant was made; it may change while a run lasts."""

    @property
    def key(self) -> str:
        """A line that names it, and goes on doing so when lines above it come and go."""
        again = "" if self.number == 1 else f" ({self.number})"
        return f"{self.path} {self.where} | {self.text} | {self.before} -> {self.after}{again}"

    def compile(self) -> CodeType:
        """The code of the mutated module."""
        tree = ast.parse(self.source)
        node = _follow(tree, self.site[:-1])
        name, index = self.site[-1]
        if index is None:
            setattr(node, name, self.replacement)
        else:
            getattr(node, name)[index] = self.replacement
        ast.fix_missing_locations(tree)
        return compile(tree, str(ROOT / self.path), "exec", dont_inherit=True)

    def unchanged(self) -> Mutant:
        """The code as it stands, as a mutant."""
        tree = ast.parse(self.source)
        return replace(self, after="itself", replacement=_follow(tree, self.site))


def _follow(node: ast.AST, site: Site) -> ast.AST:
    for name, index in site:
        value = getattr(node, name)
        node = value if index is None else value[index]
    return node


def mutants(path: str) -> list[Mutant]:
    """All mutants of a module, in the order of its lines."""
    source = (ROOT / path).read_text(encoding="utf-8")
    found: list[Mutant] = []
    seen: dict[str, int] = {}
    lines = source.splitlines()
    for place, node, replacement in _Walker(enumerations(ROOT)).walk(ast.parse(source)):
        line = node.lineno
        first = Mutant(
            path,
            line,
            place.where,
            lines[line - 1].strip(),
            _short(node),
            _short(replacement),
            1,
            place.functions,
            place.site,
            ast.copy_location(replacement, node),
            source,
        )
        seen[first.key] = number = seen.get(first.key, 0) + 1
        found.append(replace(first, number=number))
    return sorted(found, key=lambda mutant: mutant.line)


def _short(node: ast.AST) -> str:
    return ast.unparse(node).partition("\n")[0][:100]


@cache
def enumerations(root: Path) -> dict[str, list[str]]:
    """The members of each enumeration of the package, by its name, as its source has them."""
    found: dict[str, list[str]] = {}
    for path in sorted((root / "dul_fsm").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            bases = [base.id for base in getattr(node, "bases", ()) if isinstance(base, ast.Name)]
            if isinstance(node, ast.ClassDef) and {"Enum", "IntEnum"} & set(bases):
                found[node.name] = [
                    target.id
                    for statement in node.body
                    if isinstance(statement, ast.Assign)
                    for target in statement.targets
                    if isinstance(target, ast.Name) and not target.id.startswith("_")
                ]
    return found


@dataclass(frozen=True)
class _Place:
    site: Site = ()
    where: str = "-"
    functions: tuple[tuple[int, str], ...] = ()
    qualified: str = ""
    returns: str = ""
    grid: bool = False

    def step(self, field: str, index: int | None) -> _Place:
        return _Place(
            (*self.site, (field, index)),
            self.where,
            self.functions,
            self.qualified,
            self.returns,
            self.grid,
        )


_Found = Iterator[tuple[_Place, "ast.expr | ast.stmt", ast.AST]]


class _Walker:
    """Goes through a tree, and knows where it is."""

    def __init__(self, enums: dict[str, list[str]]) -> None:
        # `_E` is what fsm/actions.py calls Effect in its table.
        self.enums = {**enums, "_E": enums.get("Effect", [])}

    def walk(self, node: ast.AST, place: _Place | None = None) -> _Found:
        """Each replacement of the node, and of what is in it."""
        place = place or _Place()
        if isinstance(node, ast.stmt | ast.expr):
            for replacement in self._replacements(node, place):
                yield place, node, replacement
        for field, value in ast.iter_fields(node):
            if self._alone(node, field):
                continue
            inner = self._inside(node, field, place)
            if isinstance(value, ast.AST):
                yield from self.walk(value, inner.step(field, None))
            elif isinstance(value, list):
                for index, item in enumerate(value):
                    if isinstance(item, ast.AST):
                        yield from self.walk(item, inner.step(field, index))

    @staticmethod
    def _alone(node: ast.AST, field: str) -> bool:
        if field in ("annotation", "returns", "decorator_list", "bases", "targets", "target"):
            return True
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return True
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            # `Final["..."]` and the like stand in annotations only; an index is a number.
            return isinstance(node.slice.value, str)
        return isinstance(node, ast.JoinedStr)

    @staticmethod
    def _inside(node: ast.AST, field: str, place: _Place) -> _Place:
        """The place of what is in this field of the node."""
        grid = place.grid
        if isinstance(node, ast.AnnAssign):
            grid = isinstance(node.target, ast.Name) and node.target.id == "_GRID"
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda) and field == "body":
            name = "<lambda>" if isinstance(node, ast.Lambda) else node.name
            qualified = place.qualified + name
            if isinstance(node, ast.ClassDef):
                return _Place(place.site, qualified, place.functions, qualified + ".", "", grid)
            line, returns = node.lineno, ""
            if isinstance(node, ast.FunctionDef) and node.decorator_list:
                line = node.decorator_list[0].lineno  # as its code has it
            if isinstance(node, ast.FunctionDef) and node.returns is not None:
                returns = ast.unparse(node.returns)
            functions = (*place.functions, (line, qualified))
            return _Place(place.site, qualified, functions, qualified + ".<locals>.", returns, grid)
        return _Place(
            place.site, place.where, place.functions, place.qualified, place.returns, grid
        )

    def _replacements(self, node: ast.stmt | ast.expr, place: _Place) -> Iterator[ast.AST]:
        in_function = bool(place.functions)
        match node:
            case ast.Compare():
                yield from _each_comparison(node)
            case ast.BoolOp():
                other = ast.Or if isinstance(node.op, ast.And) else ast.And
                yield ast.BoolOp(other(), node.values)
            case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert()):
                yield node.operand
            case ast.BinOp() if type(node.op) in OPERATORS and not _is_type(node):
                yield ast.BinOp(node.left, OPERATORS[type(node.op)](), node.right)
            case ast.AugAssign() if type(node.op) in OPERATORS:
                yield ast.AugAssign(node.target, OPERATORS[type(node.op)](), node.value)
                yield ast.Pass()
            case ast.Constant():
                yield from _constants(node.value)
            case ast.Return(value=ast.expr()) if not _is_none(node.value):
                if place.returns == "bool":
                    for value in (True, False):
                        if not (isinstance(node.value, ast.Constant) and node.value.value is value):
                            yield ast.Return(ast.Constant(value))
                else:
                    yield ast.Return(ast.Constant(None))
            case ast.Expr(value=ast.Constant()):
                return
            case ast.Expr() | ast.Raise() | ast.Assign() | ast.Delete() if in_function:
                yield ast.Pass()
            case ast.Break():
                yield ast.Continue()
            case ast.Continue():
                yield ast.Break()
            case ast.If() | ast.While() | ast.IfExp() if _is_bare(node.test):
                negated = copy.copy(node)
                negated.test = ast.UnaryOp(ast.Not(), node.test)
                yield negated
            case ast.Attribute(value=ast.Name(id=name), attr=attr) if attr in self.enums.get(
                name, ()
            ):
                members = self.enums[name]
                following = members[(members.index(attr) + 1) % len(members)]
                yield ast.Attribute(node.value, following, ast.Load())
            case ast.Name(id=name) if place.grid and (name == BLANK or _is_action(name)):
                others = (
                    ("AA_8",) if name == BLANK else (BLANK, "AA_8" if name != "AA_8" else "AA_1")
                )
                for other_name in others:
                    yield ast.Name(other_name, ast.Load())
            case ast.Call(func=ast.Name(id="_action")):
                for effects in _effects(node.args[1:]):
                    yield ast.Call(node.func, [node.args[0], *effects], node.keywords)
            case ast.Call(func=ast.Name(id="Outcome"), args=[ast.Tuple() as first, *rest]):
                for effects in _effects(first.elts):
                    yield ast.Call(node.func, [ast.Tuple(effects, ast.Load()), *rest], [])


def _each_comparison(node: ast.Compare) -> Iterator[ast.Compare]:
    for index, operator in enumerate(node.ops):
        for other in COMPARISONS[type(operator)]:
            operators = [*node.ops[:index], other(), *node.ops[index + 1 :]]
            yield ast.Compare(node.left, operators, node.comparators)


def _constants(value: object) -> Iterator[ast.Constant]:
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int | float):
        yield ast.Constant(value + 1)
        yield ast.Constant(value - 1)
    elif isinstance(value, bytes) and value:
        yield ast.Constant(value[:-1] + bytes((value[-1] ^ 1,)))


def _effects(effects: list[ast.expr]) -> Iterator[list[ast.expr]]:
    """One effect less; two next to each other swapped."""
    for index in range(len(effects)):
        yield effects[:index] + effects[index + 1 :]
    for index in range(len(effects) - 1):
        yield [*effects[:index], effects[index + 1], effects[index], *effects[index + 2 :]]


def _is_action(name: str) -> bool:
    return name[:3] in ("AE_", "DT_", "AR_", "AA_") and name[3:].isdigit()


def _is_bare(test: ast.expr) -> bool:
    """Whether a condition has nothing in it that is negated for itself."""
    if isinstance(test, ast.Name) and test.id == "TYPE_CHECKING":
        return False
    return isinstance(test, ast.Name | ast.Attribute | ast.Call | ast.BinOp | ast.NamedExpr)


def _is_none(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_type(node: ast.BinOp) -> bool:
    """`A | B` of classes."""
    sides: list[ast.expr] = [node.left, node.right]
    names = [side.id for side in sides if isinstance(side, ast.Name)]
    return isinstance(node.op, ast.BitOr) and any(name[:1].isupper() for name in names)
