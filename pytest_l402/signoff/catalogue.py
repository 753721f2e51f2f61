"""Decides what must be rehearsed: which rehearsals exist, which are required, and which runbook line each
must prove.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

from pydantic import TypeAdapter

from pytest_l402.boundary.strict_yaml import YamlError, read_yaml
from pytest_l402.boundary.text_safety import closest_name, suggestion
from pytest_l402.boundary.yaml_entries import (
    Entries,
    Flag,
    OneLine,
    YamlEntry,
    accepts,
    one_of,
    place_of,
    spelled,
    validated,
    word_of,
)
from pytest_l402.evidence.check import RunbookLine


class CatalogueError(ValueError):
    """The catalogue cannot be used; the message is one line that names the file and the place in it."""


class LineSource(StrEnum):
    """Who asks for a line: the runbook's own text, or this project because the runbook's purpose needs it."""

    RUNBOOK = "runbook"
    PROJECT = "project"


class RehearsalKind(StrEnum):
    """Whether a rehearsal walks a path that works, or injects a fault and asks the operator to find it."""

    SCENARIO = "scenario"
    DRILL = "drill"


Name = Annotated[OneLine, spelled(r"[a-z0-9]+(?:-[a-z0-9]+)*", "a name of lower-case words joined by '-'")]
"""The id of a runbook, a rehearsal or a family."""
LineId = Annotated[
    OneLine, spelled(r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*", "letters and digits joined by '.', '_' or '-'")
]
"""The id of a line, such as `3.paid-once`."""


class Line(YamlEntry):
    """One thing that a runbook tells the operator to verify."""

    id: LineId
    section: OneLine
    text: OneLine
    source: Annotated[LineSource, word_of(LineSource)]

    @property
    def cited(self) -> RunbookLine:
        """The line in the form in which a check's result cites it."""
        return RunbookLine(self.id, self.section, self.text)


class _RunbookEntry(YamlEntry):
    title: OneLine
    lines: Entries[Line]


class Runbook(_RunbookEntry):
    """A runbook and the lines of it that rehearsals prove, in the catalogue's order."""

    id: Name

    def line(self, line_id: str) -> Line | None:
        """Return the line with this id, or None."""
        return next((line for line in self.lines if line.id == line_id), None)


class Rehearsal(YamlEntry):
    """One scenario or drill: what it is called, where in its runbook it stands and which lines it must
    prove.
    """

    id: Name
    runbook: OneLine
    family: Name
    section: OneLine
    title: OneLine
    kind: Annotated[RehearsalKind, word_of(RehearsalKind)]
    proves: Entries[OneLine]
    required: Flag = True


class _CatalogueFile(YamlEntry):
    version: Annotated[int, accepts(lambda value: type(value) is int and value == 1, "1")]
    runbooks: Annotated[
        dict[Name, _RunbookEntry],
        accepts(lambda value: isinstance(value, dict) and value != {}, "a mapping of runbook ids"),
    ]
    rehearsals: Entries[Rehearsal]


_FILE: Final = TypeAdapter(_CatalogueFile)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Everything that `rehearsals/catalogue.yaml` says; `sha256` (lower hex) is over the file's bytes."""

    source: str
    sha256: str
    version: int
    runbooks: tuple[Runbook, ...]
    rehearsals: tuple[Rehearsal, ...]

    @classmethod
    def load(cls, path: Path) -> Catalogue:
        """Read a catalogue file; raises `CatalogueError` naming the first thing that is wrong with it: file,
        place, what was expected and what was seen.
        """
        try:
            document, data = read_yaml(path)
            file = validated(_FILE, document)
            for place, expected, seen in _contradictions(file):
                raise YamlError(f"{place_of(document, place)}: expected {expected}, saw {seen}")
        except YamlError as error:
            raise CatalogueError(f"{path}: {error}") from error
        return cls(
            source=path.as_posix(),
            sha256=hashlib.sha256(data).hexdigest(),
            version=file.version,
            runbooks=tuple(Runbook(id=key, **dict(entry)) for key, entry in file.runbooks.items()),
            rehearsals=file.rehearsals,
        )

    @property
    def families(self) -> tuple[str, ...]:
        """The families that have rehearsals, in the catalogue's order."""
        return tuple(dict.fromkeys(rehearsal.family for rehearsal in self.rehearsals))

    def rehearsal(self, rehearsal_id: str) -> Rehearsal | None:
        """Return the rehearsal with this id, or None."""
        return next((entry for entry in self.rehearsals if entry.id == rehearsal_id), None)

    def runbook(self, runbook_id: str) -> Runbook | None:
        """Return the runbook with this id, or None."""
        return next((entry for entry in self.runbooks if entry.id == runbook_id), None)

    def line(self, runbook_id: str, line_id: str) -> Line | None:
        """Return one line of one runbook, or None if either is unknown."""
        runbook = self.runbook(runbook_id)
        return None if runbook is None else runbook.line(line_id)

    def closest(self, rehearsal_id: str) -> str | None:
        """Return the known rehearsal id that is spelled most like this one, or None if none is near."""
        return closest_name(rehearsal_id, [entry.id for entry in self.rehearsals])

    def required(self, families: Sequence[str] = ()) -> tuple[Rehearsal, ...]:
        """Return the rehearsals that a sign-off of these families needs; of every family, if none is named.

        Raises `CatalogueError` for a family that the catalogue does not have, with the closest name.
        """
        for family in families:
            if family not in self.families:
                hint = suggestion(family, self.families)
                raise CatalogueError(
                    f"{self.source}: expected a family of this catalogue ({', '.join(self.families)}), "
                    f"saw {family!r}{hint}"
                )
        wanted = families or self.families
        return tuple(entry for entry in self.rehearsals if entry.required and entry.family in wanted)


def _contradictions(file: _CatalogueFile) -> Iterator[tuple[tuple[int | str, ...], str, str]]:
    """Yield each place whose entry does not fit the others, with what was expected and seen there."""
    for index, rehearsal in enumerate(file.rehearsals):
        if rehearsal.runbook not in file.runbooks:
            yield ("rehearsals", index, "runbook"), *one_of(list(file.runbooks), rehearsal.runbook)
    for index, rehearsal_id in _again([rehearsal.id for rehearsal in file.rehearsals]):
        yield ("rehearsals", index, "id"), "an id of its own", f"{rehearsal_id!r} again"
    for runbook_id, runbook in file.runbooks.items():
        line_ids = [line.id for line in runbook.lines]
        place = ("runbooks", runbook_id, "lines")
        for index, line_id in _again(line_ids):
            yield (*place, index, "id"), "an id of its own", f"{line_id!r} again"
        proven = {line for each in file.rehearsals if each.runbook == runbook_id for line in each.proves}
        for index, rehearsal in enumerate(file.rehearsals):
            if rehearsal.runbook == runbook_id:
                proves = ("rehearsals", index, "proves")
                for number, line_id in enumerate(rehearsal.proves):
                    if line_id not in line_ids:
                        yield (*proves, number), *one_of(line_ids, line_id)
                for number, line_id in _again(rehearsal.proves):
                    yield (*proves, number), "each line once", f"{line_id!r} again"
        for line_id in line_ids:
            if line_id not in proven:
                yield place, "a rehearsal that proves every line", f"none for {line_id!r}"


def _again(names: Sequence[str]) -> Iterator[tuple[int, str]]:
    return ((index, name) for index, name in enumerate(names) if name in names[:index])
