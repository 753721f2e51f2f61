"""Reads from the source of rehearsals which check is to prove which line; nothing of it is run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from pytest_l402.signoff.catalogue import Catalogue

_MARK: Final = "rehearsal"
_RECORDED: Final = re.compile(r'\b(?:record|note|result_shows)\(\s*"([a-z][a-z0-9_]*)"')
"""How a test names a table that it fills itself, or the one row of a result that its procedure leaves."""


class Prover(NamedTuple):
    """A check that a rehearsal ties to a line; `rehearsal` is None in a function that several may call.

    `check` is the name of its factory, or of whatever else makes it.
    """

    rehearsal: str | None
    line: str
    check: str


class Rehearsed:
    """A catalogue, and what the sources beside it rehearse, tie to its lines, and record.

    `recorded` names the tables of tests that no system declares.

    Raises:
        CatalogueError: the catalogue cannot be used.
        OSError: a source cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.catalogue = Catalogue.load(path)
        self.recorded: set[str] = set()
        self._provers: dict[str, list[Prover]] = {}
        self._modules: dict[str, list[Path]] = {}
        for file in sorted(path.parent.rglob("test_*.py")):
            source = file.read_text(encoding="utf-8")
            self.recorded.update(_RECORDED.findall(source))
            with suppress(SyntaxError):  # pytest says what is wrong with it
                for name in rehearsals(source):
                    self._modules.setdefault(name, []).append(file)
                for each in provers(source):
                    self._provers.setdefault(each.line, []).append(each)

    def modules_of(self, rehearsal: str) -> tuple[Path, ...]:
        """Return the files that hold tests of a rehearsal."""
        return tuple(self._modules.get(rehearsal, ()))

    def checks_of(self, rehearsal: str, line: str) -> tuple[str, ...]:
        """Return the checks that a rehearsal ties to a line by its name."""
        found = [each.check for each in self._provers.get(line, ()) if each.rehearsal in (rehearsal, None)]
        return tuple(dict.fromkeys(found))

    def lines_of(self, check: str) -> tuple[str, ...]:
        """Return the lines that some rehearsal ties a check to, as they are cited."""
        found: dict[str, None] = {}
        for entry in self.catalogue.rehearsals:
            for line in entry.proves:
                if check in self.checks_of(entry.id, line):
                    found[self.cited(entry.runbook, line)] = None
        return tuple(found)

    def cited(self, runbook: str, line: str) -> str:
        """Return a line with its runbook, section and text."""
        known = self.catalogue.line(runbook, line)
        return f"{runbook} {line}" if known is None else f"{runbook} {known.section} ({line}): {known.text}"


def rehearsals(source: str) -> tuple[str, ...]:
    """Return the ids of the rehearsals that the source of one module has tests of. Raises `SyntaxError`."""
    marks = (name for node in ast.walk(ast.parse(source)) if (name := _marked(node)) is not None)
    return tuple(dict.fromkeys(marks))


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


def _marked(mark: ast.AST) -> str | None:
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
    """Each line with the check that is tied to it, as they stand in the source."""
    calls = [node for node in ast.walk(statement) if isinstance(node, ast.Call)]
    for call in sorted(calls, key=lambda node: (node.lineno, node.col_offset)):
        match call:
            case ast.Call(
                func=ast.Attribute(value=made, attr="proves"), args=[ast.Constant(value=str(line))]
            ):
                yield line, _name(made)


def _name(made: ast.expr) -> str:
    match made:
        case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(attr=name)):
            return name
    return ast.unparse(made)
