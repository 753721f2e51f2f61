"""Decides what must be rehearsed: which rehearsals exist, which are required, and which runbook line each
must prove.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pytest_l402.boundary.text_safety import closest_name, suggestion
from pytest_l402.evidence.runbook import RunbookLine


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


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that a runbook tells the operator to verify."""

    id: str
    section: str
    text: str
    source: LineSource

    @property
    def cited(self) -> RunbookLine:
        """The line in the form in which a check's result cites it."""
        return RunbookLine(self.id, self.section, self.text)


@dataclass(frozen=True, slots=True)
class Runbook:
    """A runbook and the lines of it that rehearsals prove, in the catalogue's order."""

    id: str
    title: str
    lines: tuple[Line, ...]

    def line(self, line_id: str) -> Line | None:
        """Return the line with this id, or None."""
        return next((line for line in self.lines if line.id == line_id), None)


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """One scenario or drill: what it is called, where in its runbook it stands and which lines it must
    prove.
    """

    id: str
    runbook: str
    family: str
    section: str
    title: str
    kind: RehearsalKind
    proves: tuple[str, ...]
    required: bool = True


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
        """Read a catalogue file; raises `CatalogueError` naming the first thing that is wrong with it."""
        from pytest_l402.signoff._catalogue_yaml import read_catalogue

        return read_catalogue(path)

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


def digest_of(data: bytes) -> str:
    """Return the SHA-256 of `data` in lower hex."""
    return hashlib.sha256(data).hexdigest()
