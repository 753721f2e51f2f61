"""Decides which small changes can be made to a module: each one is what a careless hand might do to it."""

from __future__ import annotations

import ast
import copy
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "pytest_l402"

_COMPARED = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_COMPUTED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult}
_CALLED = {"min": "max", "max": "min", "any": "all", "all": "any", "sorted": "list"}
_CLEANED = {"strip", "lower", "casefold", "rstrip", "removeprefix"}
_OF_TYPES = {"TypeVar", "cast", "NewType", "ParamSpec", "TypeAdapter"}
_SHOWN = 60


@dataclass(frozen=True)
class Mutant:
    """One change to one module; `lines` are those of the statement that it alters.

    `scope` is the function that it lies in, empty for what runs when the module is imported. `number` tells
    changes of one scope apart that read alike, `place` all changes of a module.
    """

    path: str
    scope: str
    operator: str
    before: str
    after: str
    number: int
    place: int
    lines: tuple[int, int]

    @property
    def key(self) -> str:
        """What it is called in files; line numbers have no part in it."""
        again = f" #{self.number}" if self.number else ""
        return f"{self.path} {self.scope or '-'} {self.operator}: {self.before} => {self.after}{again}"

    @property
    def module(self) -> str:
        """The module's name to Python."""
        parts = ["pytest_l402", *Path(self.path).with_suffix("").parts]
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @property
    def drawn(self) -> int:
        """A number that follows from the key alone: who draws a share of all mutants draws by it."""
        return int.from_bytes(hashlib.sha256(self.key.encode()).digest()[:8], "big")


Put = Callable[[], None]


class _Walk:
    """Goes through a module, and calls `found` with each change and with what makes it."""

    def __init__(self, found: Callable[[str, str, str, str, tuple[int, int], Put], None]) -> None:
        self._found = found
        self._scope: list[str] = []
        self._lines = (0, 0)
        self._in_function = False

    def block(self, statements: list[ast.stmt]) -> None:
        for index, statement in enumerate(statements):
            self.statement(statements, index, statement)

    def statement(self, block: list[ast.stmt], index: int, node: ast.stmt) -> None:
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Pass | ast.Global | ast.Nonlocal):
            return
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            return
        self._lines = (node.lineno, _head_end(node))
        if isinstance(node, ast.FunctionDef):
            self.function(node)
        elif isinstance(node, ast.ClassDef):
            if not any("Protocol" in ast.unparse(parent) for parent in node.bases):
                self._inside(node.name, node.body, self._in_function)
        elif not _is_of_types(node):
            self.simple(block, index, node)

    def function(self, node: ast.FunctionDef) -> None:
        for index, value in enumerate(node.args.defaults):
            self.expression(node.args.defaults, index, value)
        for index, wanted in enumerate(node.args.kw_defaults):
            if wanted is not None:
                self.expression(node.args.kw_defaults, index, wanted)
        is_documented = ast.get_docstring(node, clean=False) is not None
        body = node.body[1:] if is_documented else node.body
        is_generator = any(isinstance(each, ast.Yield | ast.YieldFrom) for each in ast.walk(node))
        if len(body) > 1 and not is_generator:
            was, scope = self._in_function, self._scope
            if not self._in_function:
                self._scope = [*scope, node.name]
            self._in_function, self._lines = True, (body[0].lineno, _head_end(body[0]))
            leaving = ast.copy_location(ast.Return(ast.Constant(None)), body[0])
            self.change("empty the body", "", "return None", lambda: node.body.insert(0, leaving))
            self._in_function, self._scope = was, scope
        # The body itself, not a part of it that was copied: what is put into a copy changes nothing.
        self._inside(node.name, node.body, True)

    def _inside(self, name: str, body: list[ast.stmt], in_function: bool) -> None:
        was, scope = self._in_function, self._scope
        # What a function defines inside belongs to it: it is made anew each time.
        self._scope = scope if was else [*scope, name]
        self._in_function = in_function
        self.block(body)
        self._in_function, self._scope = was, scope

    def simple(self, block: list[ast.stmt], index: int, node: ast.stmt) -> None:
        text = _text(node)
        dropped = isinstance(
            node, ast.Expr | ast.AugAssign | ast.Raise | ast.Delete | ast.Continue | ast.Break
        )
        stores = isinstance(node, ast.Assign) and not isinstance(node.targets[0], ast.Name | ast.Tuple)
        is_yield = isinstance(node, ast.Expr) and isinstance(node.value, ast.Yield | ast.YieldFrom)
        if (dropped or stores) and not is_yield:
            self.put("drop the statement", text, block, index, ast.Pass())
        match node:
            case ast.Return(value=value) if value is not None and not _is_none(value):
                self.put("return nothing", text, block, index, ast.Return(ast.Constant(None)))
            case ast.Return(value=None):
                self.put("do not return", text, block, index, ast.Pass())
            case ast.If(test=test) | ast.While(test=test) if not isinstance(test, ast.Compare | ast.UnaryOp):
                opposite = ast.UnaryOp(ast.Not(), copy.deepcopy(test))
                self.field("negate the condition", node, "test", opposite)
        self.children(node)

    def children(self, node: ast.AST) -> None:
        lines = self._lines
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list", "type_comment"):
                continue
            if isinstance(value, ast.expr):
                self.expression(node, name, value)
            elif isinstance(value, list):
                for index, each in enumerate(value):
                    if isinstance(each, ast.stmt):
                        self.statement(value, index, each)
                    elif isinstance(each, ast.expr):
                        self.expression(value, index, each)
                    elif isinstance(each, ast.AST):
                        self.part(value, index, each)
                    self._lines = lines
            elif isinstance(value, ast.AST):
                self.children(value)

    def part(self, into: list[ast.AST], index: int, node: ast.AST) -> None:
        if isinstance(node, ast.comprehension) and node.ifs:
            filters = node.ifs
            text = " if ".join(_text(each) for each in filters)
            self.change("drop the filter", text, "", filters.clear)
        if (
            isinstance(node, ast.keyword)
            and node.arg is not None
            and not isinstance(node.value, ast.Constant)
        ):
            self.put("give nothing", _text(node), into, index, ast.keyword(node.arg, ast.Constant(None)))
        self.children(node)

    def expression(self, into: object, where: int | str, node: ast.expr) -> None:
        if isinstance(node, ast.Dict):
            # A key that is called otherwise is a key that is dropped.
            self.keys(node)
            for index, value in enumerate(node.values):
                self.expression(node.values, index, value)
            return
        for operator, new in _replacements(node):
            self.put(operator, _text(node), into, where, new)
        if isinstance(node, ast.JoinedStr):
            for value in node.values:
                if isinstance(value, ast.FormattedValue):
                    self.expression(value, "value", value.value)
            return
        if isinstance(node, ast.Call) and ast.unparse(node.func) in _OF_TYPES:
            return
        self.children(node)

    def keys(self, node: ast.Dict) -> None:
        for index, (key, value) in enumerate(zip(list(node.keys), list(node.values), strict=True)):
            told = "**" if key is None else ast.unparse(key)

            def drop(index: int = index) -> None:
                del node.keys[index], node.values[index]

            self.change("drop the key", f"{told}: {_text(value)}", "", drop)
            if key is not None and not _is_none(value):
                self.put("say nothing of", f"{told}: {_text(value)}", node.values, index, ast.Constant(None))

    def field(self, operator: str, node: ast.AST, name: str, new: ast.AST) -> None:
        self.put(operator, _text(getattr(node, name)), node, name, new)

    def put(self, operator: str, before: str, into: object, where: int | str, new: ast.AST) -> None:
        def make() -> None:
            old = into[where] if isinstance(where, int) else getattr(into, where)  # type: ignore[index]
            ast.copy_location(new, old)
            if isinstance(where, int):
                into[where] = new  # type: ignore[index]
            else:
                setattr(into, where, new)

        self.change(operator, before, "" if isinstance(new, ast.Pass) else _text(new), make)

    def change(self, operator: str, before: str, after: str, make: Put) -> None:
        scope = ".".join(self._scope) if self._in_function else ""
        self._found(scope, operator, before, after, self._lines, make)


def _replacements(node: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    match node:
        case ast.Compare(ops=[operation]):
            changed = copy.deepcopy(node)
            changed.ops = [_COMPARED[type(operation)]()]
            yield "compare otherwise", changed
        case ast.BoolOp(op=operation, values=values):
            changed = copy.deepcopy(node)
            changed.op = ast.Or() if isinstance(operation, ast.And) else ast.And()
            yield "and for or", changed
            for index in range(len(values)):
                rest = [copy.deepcopy(each) for place, each in enumerate(values) if place != index]
                kept = rest[0] if len(rest) == 1 else ast.BoolOp(copy.copy(operation), rest)
                yield "drop the operand", kept
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield "drop the not", copy.deepcopy(operand)
        case ast.IfExp(body=body, orelse=orelse):
            yield "take one branch", copy.deepcopy(body)
            yield "take one branch", copy.deepcopy(orelse)
        case ast.BinOp(op=operation) if type(operation) in _COMPUTED:
            changed = copy.deepcopy(node)
            changed.op = _COMPUTED[type(operation)]()
            yield "compute otherwise", changed
        case ast.Constant(value=bool() as value):
            yield "change the constant", ast.Constant(not value)
        case ast.Constant(value=int() as value):
            yield "change the constant", ast.Constant(value + 1)
            yield "change the constant", ast.Constant(value - 1)
        case ast.Constant(value=str() as value) if value:
            yield "change the constant", ast.Constant("")
        case ast.Call():
            yield from _calls(node)


def _calls(node: ast.Call) -> Iterator[tuple[str, ast.expr]]:
    if len(node.args) > 1 and not any(isinstance(each, ast.Starred) for each in node.args[:2]):
        changed = copy.deepcopy(node)
        changed.args[:2] = reversed(changed.args[:2])
        yield "swap the arguments", changed
    if isinstance(node.func, ast.Name) and node.func.id in _CALLED:
        changed = copy.deepcopy(node)
        changed.func = ast.copy_location(ast.Name(_CALLED[node.func.id], ast.Load()), node.func)
        if node.func.id == "sorted":
            changed.keywords = []
        yield "call another", changed
    if isinstance(node.func, ast.Attribute) and node.func.attr in _CLEANED:
        yield "leave it uncleaned", copy.deepcopy(node.func.value)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_of_types(node: ast.stmt) -> bool:
    """Whether a statement is there for a type checker or for an import alone."""
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING"
    if isinstance(node, ast.Assign):
        return ast.unparse(node.targets[0]) in ("__all__", "__slots__")
    return isinstance(node, ast.AnnAssign) and (
        node.value is None or "TypeAlias" in ast.unparse(node.annotation)
    )


def _head_end(node: ast.stmt) -> int:
    """The last line of a statement without the statements inside it."""
    body = getattr(node, "body", None)
    end = node.end_lineno or node.lineno
    return max(node.lineno, body[0].lineno - 1) if isinstance(body, list) and body else end


def _text(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return (
        text
        if len(text) <= _SHOWN
        else f"{text[: _SHOWN - 9]}~{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    )


def mutants_of(path: str) -> list[Mutant]:
    """Return every change to a module, by its path below the package, in the order of its text."""
    found: list[Mutant] = []
    alike: Counter[tuple[str, str, str, str]] = Counter()

    def note(scope: str, operator: str, before: str, after: str, lines: tuple[int, int], make: Put) -> None:
        told = (scope, operator, before, after)
        found.append(Mutant(path, *told, alike[told], len(found), lines))
        alike[told] += 1

    _Walk(note).block(ast.parse(source_of(path)).body)
    return found


def mutated(mutant: Mutant) -> ast.Module:
    """Return the module with this one change made; every line is where it was."""
    tree = ast.parse(source_of(mutant.path))
    made: list[Put] = []
    _Walk(lambda *told: made.append(told[-1])).block(tree.body)
    made[mutant.place]()
    return ast.fix_missing_locations(tree)


@lru_cache
def source_of(path: str) -> str:
    """Return the text of a module."""
    return (PACKAGE / path).read_text()


def modules_of(*rooms: str) -> list[str]:
    """Return the paths below the package of every module of these rooms."""
    # Aperture's file and the program that sells it are reached by no rehearsal: they have tests of their own.
    found = (
        file for room in rooms for file in (PACKAGE / room).rglob("*.py") if file.parent.name != "aperture"
    )
    return sorted(file.relative_to(PACKAGE).as_posix() for file in found)
