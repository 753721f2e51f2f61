"""What the members of an enumeration mean: the text that stands below each of them where it is defined."""

from __future__ import annotations

import ast
import inspect
import textwrap
from enum import Enum


def member_docs(kind: type[Enum]) -> dict[str, str]:
    """Return by value of each member the text below it, on one line; a member without one is left out."""
    (defined,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(defined, ast.ClassDef)
    found: dict[str, str] = {}
    for statement, following in zip(defined.body, defined.body[1:], strict=False):
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            match following:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    found[str(kind[statement.targets[0].id].value)] = " ".join(text.split())
    return found
