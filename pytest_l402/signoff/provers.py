"""Reads from the source of rehearsals which check is to prove which line; nothing of it is run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final, NamedTuple

_MARK: Final = "rehearsal"


class Prover(NamedTuple):
    """A check that a rehearsal ties to a line; `rehearsal` is None in a function that several may call.

    `check` is the name of its factory, or of whatever else makes it.
    """

    rehearsal: str | None
    line: str
    check: str


def provers(source: str) -> tuple[Prover, ...]:
    """Return what the source of one module ties to lines that it names; a line that is computed is left out.

    Raises `SyntaxError`.
    """
    module = ast.parse(source)
    everywhere = next(
        (
            _marked(statement.value)
            for statement in module.body
            if isinstance(statement, ast.Assign)
            and any(
                isinstance(target, ast.Name) and target.id == "pytestmark" for target in statement.targets
            )
        ),
        None,
    )
    found: dict[Prover, None] = {}
    for statement in module.body:
        rehearsal = everywhere
        if isinstance(statement, ast.FunctionDef):
            own = (_marked(decorator) for decorator in statement.decorator_list)
            rehearsal = next((name for name in own if name is not None), everywhere)
        found |= dict.fromkeys(Prover(rehearsal, line, check) for line, check in _tied(statement))
    return tuple(found)


def _marked(mark: ast.expr) -> str | None:
    """The id that a mark, or one of a list of marks, gives."""
    if isinstance(mark, ast.List | ast.Tuple):
        return next((name for name in map(_marked, mark.elts) if name is not None), None)
    match mark:
        case ast.Call(func=ast.Attribute(attr=name), args=[ast.Constant(value=str(given)), *_]) if (
            name == _MARK
        ):
            return given
    return None


def _tied(statement: ast.stmt) -> Iterator[tuple[str, str]]:
    for node in ast.walk(statement):
        match node:
            case ast.Call(
                func=ast.Attribute(value=made, attr="proves"), args=[ast.Constant(value=str(line))]
            ):
                yield line, _name(made)


def _name(made: ast.expr) -> str:
    match made:
        case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(attr=name)):
            return name
    return ast.unparse(made)
