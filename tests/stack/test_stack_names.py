"""What the room of the stack offers is one list, whether a reader of types or the interpreter asks."""

from __future__ import annotations

import ast
from pathlib import Path

from pytest_l402 import stack


def test_every_name_comes_from_where_its_type_is_read() -> None:
    tree = ast.parse(Path(str(stack.__file__)).read_text())
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    imported = {
        node.names[0].name: str(node.module).removeprefix("pytest_l402.")
        for node in block.body
        if isinstance(node, ast.ImportFrom)
    }
    assert imported == stack._MODULES
    assert stack.__all__ == sorted(imported)
    assert all(getattr(stack, name) is not None for name in imported)
