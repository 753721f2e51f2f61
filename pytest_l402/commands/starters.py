"""What a new folder of rehearsals holds: which drills for whom, and the catalogue that names just those."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pytest_l402.commands.shipped import shipped

if TYPE_CHECKING:
    from pytest_l402.signoff.catalogue import Catalogue, Rehearsal

CATALOGUE: Final = "catalogue.yaml"
ABOUT: Final[Mapping[str, tuple[str, ...]]] = {
    "client": ("cache-reuse", "interrupted-purchase"),
    "gateway": ("hosted-success", "cache-reuse"),
    "own": (),
}
"""Each starter, and the rehearsals that are about that role alone; `own` brings a runbook of its own."""


def starter_files(role: str) -> dict[str, bytes]:
    """Return what a starter consists of: content by path below the folder of rehearsals."""
    files = _tree(shipped("starters") / role)
    chosen = [entry for entry in _catalogue().rehearsals if entry.id in ABOUT[role]]
    return files | _with_modules(chosen) if chosen else files


def rehearsal_files(runbooks: Collection[str] = ()) -> dict[str, bytes]:
    """Return all rehearsals that come with the package, or those of some runbooks; the same form."""
    if not runbooks:
        return _tree(shipped("rehearsals"))
    return _with_modules([entry for entry in _catalogue().rehearsals if entry.runbook in runbooks])


def known_runbooks() -> tuple[str, ...]:
    """Return the ids of the runbooks that are rehearsed."""
    return tuple(runbook.id for runbook in _catalogue().runbooks)


def _catalogue() -> Catalogue:
    from pytest_l402.signoff.catalogue import Catalogue

    return Catalogue.load(shipped("rehearsals") / CATALOGUE)


def _tree(folder: Path) -> dict[str, bytes]:
    files = sorted(file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def _with_modules(chosen: Sequence[Rehearsal]) -> dict[str, bytes]:
    """The modules that rehearse these, as they are, and the catalogue of them."""
    from pytest_l402.signoff.provers import rehearsals

    wanted = {entry.id for entry in chosen}
    modules = {
        path: content
        for path, content in _tree(shipped("rehearsals")).items()
        if path.endswith(".py") and wanted & {*rehearsals(content.decode())}
    }
    return {CATALOGUE: "\n".join([*_catalogue_of(chosen), ""]).encode(), **modules}


def _catalogue_of(chosen: Sequence[Rehearsal]) -> Iterator[str]:
    """A catalogue of these rehearsals, and of the lines that they prove."""
    whole = _catalogue()
    yield "# What must be rehearsed before a release, and which line of its runbook each rehearsal proves."
    yield "# `source: runbook` is a line of the runbook itself, `source: project` one that its purpose needs."
    left_out = len(whole.rehearsals) - len(chosen)
    yield f"# {left_out} rehearsals more come with the package: pytest-l402 init, in another folder."
    yield "version: 1"
    yield ""
    yield "runbooks:"
    for runbook in whole.runbooks:
        proven = {line for entry in chosen if entry.runbook == runbook.id for line in entry.proves}
        if proven:
            yield f"  {runbook.id}:"
            yield f"    title: {json.dumps(runbook.title, ensure_ascii=False)}"
            yield "    lines:"
        for line in runbook.lines:
            if line.id in proven:
                told = {"id": line.id, "section": line.section, "source": line.source, "text": line.text}
                yield f"      - {_flow(told)}"
    yield ""
    yield "rehearsals:"
    for entry in chosen:
        yield f"  - id: {entry.id}"
        yield f"    runbook: {entry.runbook}"
        yield f"    family: {entry.family}"
        yield f"    section: {json.dumps(entry.section)}"
        yield f"    title: {json.dumps(entry.title, ensure_ascii=False)}"
        yield f"    kind: {entry.kind}"
        yield f"    proves: [{', '.join(map(json.dumps, entry.proves))}]"


def _flow(fields: Mapping[str, str]) -> str:
    told = (f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in fields.items())
    return "{" + ", ".join(told) + "}"
