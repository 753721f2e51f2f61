"""Decides whether a catalogue file is sound: known keys, unique ids, and no runbook line that nothing
proves.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

from pytest_l402.boundary.strict_yaml import YamlError, items, kind_of, mapping, read_yaml, text
from pytest_l402.boundary.text_safety import suggestion
from pytest_l402.signoff.catalogue import (
    Catalogue,
    CatalogueError,
    Line,
    LineSource,
    Rehearsal,
    RehearsalKind,
    Runbook,
    digest_of,
)

VERSION: Final = 1
_NAME: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_LINE_ID: Final = re.compile(r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*")
_Word = TypeVar("_Word", bound=StrEnum)


def read_catalogue(path: Path) -> Catalogue:
    """Read and check a catalogue; raises `CatalogueError` with file, place, what was expected and what was
    seen.
    """
    try:
        document, data = read_yaml(path)
        top = mapping(document, "the file", ("version", "runbooks", "rehearsals"))
        if top["version"] != VERSION or isinstance(top["version"], bool):
            raise YamlError(f"version: expected {VERSION}, saw {kind_of(top['version'])}")
        runbooks = _runbooks(top["runbooks"])
        rehearsals = _rehearsals(top["rehearsals"], {runbook.id: runbook for runbook in runbooks})
        _refuse_unproven_lines(runbooks, rehearsals)
    except YamlError as fault:
        raise CatalogueError(f"{path}: {fault}") from fault
    return Catalogue(
        source=path.as_posix(),
        sha256=digest_of(data),
        version=VERSION,
        runbooks=runbooks,
        rehearsals=rehearsals,
    )


def _runbooks(value: object) -> tuple[Runbook, ...]:
    if not isinstance(value, dict) or not value:
        raise YamlError(f"runbooks: expected a mapping of runbook ids, saw {kind_of(value)}")
    runbooks = []
    for key, entry in value.items():
        runbook_id = _name(key, "runbooks")
        where = f"runbooks.{runbook_id}"
        fields = mapping(entry, where, ("title", "lines"))
        lines: dict[str, Line] = {}
        for index, raw in enumerate(items(fields["lines"], f"{where}.lines")):
            line = _line(raw, f"{where}.lines[{index}]")
            if line.id in lines:
                raise YamlError(
                    f"{where}.lines[{index}].id: expected an id of its own, saw {line.id!r} again"
                )
            lines[line.id] = line
        runbooks.append(Runbook(runbook_id, text(fields["title"], f"{where}.title"), tuple(lines.values())))
    return tuple(runbooks)


def _line(value: object, where: str) -> Line:
    fields = mapping(value, where, ("id", "section", "text", "source"))
    line_id = text(fields["id"], f"{where}.id")
    if not _LINE_ID.fullmatch(line_id):
        raise YamlError(f"{where}.id: expected letters and digits joined by '.', '_' or '-', saw {line_id!r}")
    return Line(
        id=line_id,
        section=text(fields["section"], f"{where}.section"),
        text=text(fields["text"], f"{where}.text"),
        source=_word(fields["source"], LineSource, f"{where}.source"),
    )


def _rehearsals(value: object, runbooks: dict[str, Runbook]) -> tuple[Rehearsal, ...]:
    rehearsals: dict[str, Rehearsal] = {}
    for index, raw in enumerate(items(value, "rehearsals")):
        rehearsal = _rehearsal(raw, f"rehearsals[{index}]", runbooks)
        if rehearsal.id in rehearsals:
            raise YamlError(f"rehearsals[{index}].id: expected an id of its own, saw {rehearsal.id!r} again")
        rehearsals[rehearsal.id] = rehearsal
    return tuple(rehearsals.values())


def _rehearsal(value: object, where: str, runbooks: dict[str, Runbook]) -> Rehearsal:
    fields = mapping(
        value,
        where,
        ("id", "runbook", "family", "section", "title", "kind", "proves"),
        optional=("required",),
    )
    rehearsal_id = _name(fields["id"], f"{where}.id")
    where = f"{where} ({rehearsal_id})"
    runbook = runbooks[_known(fields["runbook"], runbooks, f"{where}.runbook")]
    line_ids = [line.id for line in runbook.lines]
    proves: list[str] = []
    for index, raw in enumerate(items(fields["proves"], f"{where}.proves")):
        line_id = _known(raw, line_ids, f"{where}.proves[{index}]")
        if line_id in proves:
            raise YamlError(f"{where}.proves[{index}]: expected each line once, saw {line_id!r} again")
        proves.append(line_id)
    required = fields.get("required", True)
    if not isinstance(required, bool):
        raise YamlError(f"{where}.required: expected true or false, saw {kind_of(required)}")
    return Rehearsal(
        id=rehearsal_id,
        runbook=runbook.id,
        family=_name(fields["family"], f"{where}.family"),
        section=text(fields["section"], f"{where}.section"),
        title=text(fields["title"], f"{where}.title"),
        kind=_word(fields["kind"], RehearsalKind, f"{where}.kind"),
        proves=tuple(proves),
        required=required,
    )


def _refuse_unproven_lines(runbooks: tuple[Runbook, ...], rehearsals: tuple[Rehearsal, ...]) -> None:
    proven = {(rehearsal.runbook, line_id) for rehearsal in rehearsals for line_id in rehearsal.proves}
    for runbook in runbooks:
        for line in runbook.lines:
            if (runbook.id, line.id) not in proven:
                raise YamlError(
                    f"runbooks.{runbook.id}.lines: expected a rehearsal that proves every line, "
                    f"saw none for {line.id!r}"
                )


def _name(value: object, where: str) -> str:
    name = text(value, where)
    if not _NAME.fullmatch(name):
        raise YamlError(f"{where}: expected a name of lower-case words joined by '-', saw {name!r}")
    return name


def _known(value: Any, known: Collection[str], where: str) -> str:
    name = text(value, where)
    if name not in known:
        raise YamlError(
            f"{where}: expected one of {', '.join(known)}, saw {name!r}{suggestion(name, list(known))}"
        )
    return name


def _word(value: Any, words: type[_Word], where: str) -> _Word:
    return words(_known(value, [word.value for word in words], where))
