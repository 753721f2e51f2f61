"""Decides which expressions a constraint may be: whole numbers and comparisons, and nothing to call."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = ["NoExpression", "compiled"]

_ALLOWED: Final = (
    ast.Expression, ast.Compare, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.BinOp,
    ast.Add, ast.Sub, ast.Mult, ast.Name, ast.Load, ast.Constant, ast.Gt, ast.GtE, ast.Lt, ast.LtE, ast.Eq,
    ast.NotEq,
)  # fmt: skip
_LONGEST: Final = 500


class NoExpression(ValueError):  # noqa: N818 - the name of the condition
    """A text is no expression that a constraint may be."""


def compiled(text: str) -> Callable[[Mapping[str, Any]], bool]:
    """Compile `limit >= spent` and the like; numbers are exact, however large.

    What it returns raises `KeyError` for a name that has no value and `TypeError` for one that is no number.

    Raises:
        NoExpression: it is not one, or uses more than names, whole numbers, + - *, comparisons, and, or, not.
    """
    try:
        tree = ast.parse(text[: _LONGEST + 1], mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise NoExpression(f"{type(error).__name__} in {text[:80]!r}") from None
    for node in ast.walk(tree):
        if not isinstance(node, _ALLOWED) or (isinstance(node, ast.Constant) and type(node.value) is not int):
            raise NoExpression(f"{type(node).__name__} in {text[:80]!r}")
    if len(text) > _LONGEST:
        raise NoExpression(f"more than {_LONGEST} characters")
    code = compile(tree, "constraint", "eval")
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}

    def holds(values: Mapping[str, Any]) -> bool:
        known = {name: values[name] for name in names}
        for name, value in known.items():
            if type(value) is not int:
                raise TypeError(f"{name} is no whole number")
        return bool(eval(code, {"__builtins__": {}}, known))  # noqa: S307 - only the nodes above

    return holds
