"""Decides whether judging the kept evidence of a test again gives what the document says of its checks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from pytest_l402.boundary.cleaning import flat
from pytest_l402.boundary.input_error import InputError
from pytest_l402.evidence import Check, run_check
from pytest_l402.evidence.check import CheckResult
from pytest_l402.evidence.fields import Declared
from pytest_l402.evidence.kept import read_kept, table_of
from pytest_l402.evidence.recipe import NotImportableError, NotPermittedError, Recipe, RecipeError, build
from pytest_l402.evidence.tables import Evidence, EvidenceError
from pytest_l402.evidence.told_forms import ToldForms, forms_told, is_loose
from pytest_l402.signoff.document import check_entry
from pytest_l402.signoff.document_entries import CheckEntry, NodeEntry
from pytest_l402.signoff.manifest import read_file
from pytest_l402.signoff.results import RESULT_FILE, NodeResult, RecordedFile, ResultError

_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Rejudged:
    """What came of judging one test again.

    `result` is its result with the checks as they were judged now. `differences` are where the document says
    something else, `unknown` what could not be judged again: each one sentence.
    """

    result: NodeResult
    differences: tuple[str, ...]
    unknown: tuple[str, ...]
    mutants: int


class _DifferenceError(Exception):
    """What the document says cannot be what was judged; one sentence."""


class _UnknownError(Exception):
    """A check cannot be judged again; one sentence."""


def rejudge(
    run_folder: Path,
    node: NodeEntry,
    *,
    rehearsal: str,
    teeth: bool,
    present: Collection[str],
    importable: Collection[str] = (),
) -> Rejudged:
    """Build each check of a node by its recipe, judge the kept evidence and its mutants, and compare.

    `present` are the files of the run folder: nothing else is opened. Of `importable` modules factories may
    be imported. Nothing is raised for what the folder holds.
    """
    result = _without_checks(node, rehearsal)

    declared = _declared(run_folder, node, present)

    @cache
    def evidence_of(moment: str) -> Evidence:
        return _evidence(run_folder, node, moment, present, forms_told(declared or {}))

    def freely_evidence_of(moment: str) -> Evidence:
        return evidence_of(moment).whatever_was_declared()

    checks: dict[str, list[CheckResult]] = {"asked": [], "standing": []}
    differences, unknown, mutants = [], [], 0
    for told in node.checks:
        try:
            again = _judged(told, evidence_of, teeth, importable)
            apart = list(_departures(told, again, result))
            if apart and (declared is None or is_loose(declared)):
                # A name that its system declared was not misspelt.
                freely = _judged(told, freely_evidence_of, teeth, importable)
                if not any(_departures(told, freely, result)):
                    raise _UnknownError("what its system declares of its tables decides, and is not kept")
            differences += [f"{node.nodeid}: {told.name}: {each}" for each in apart]
            checks[told.scope].append(again)
            mutants += len(again.mutants)
        except _DifferenceError as error:
            differences.append(f"{node.nodeid}: {told.name}: {error}")
        except _UnknownError as error:
            unknown.append(f"{node.nodeid}: {told.name}: {error}")
    result = replace(result, checks=tuple(checks["asked"]), standing=tuple(checks["standing"]))
    return Rejudged(result, tuple(differences), tuple(unknown), mutants)


def _without_checks(node: NodeEntry, rehearsal: str) -> NodeResult:
    return NodeResult(
        nodeid=node.nodeid,
        rehearsal=rehearsal,
        case=node.case,
        phases=node.phases,
        failure=node.failure,
        evidence_files=tuple(RecordedFile(f.path, f.sha256, f.bytes, f.rows) for f in node.evidence),
        folder=node.folder,
        moments=node.moments,
    )


def _declared(run_folder: Path, node: NodeEntry, present: Collection[str]) -> ToldForms | None:
    path = f"{node.folder}/{RESULT_FILE}"
    if path not in present:
        return None
    try:
        return NodeResult.from_json(read_file(run_folder / path).decode()).declared
    except (OSError, UnicodeDecodeError, ResultError):
        return None


def _evidence(
    run_folder: Path, node: NodeEntry, moment: str, present: Collection[str], declared: Declared
) -> Evidence:
    names = node.moments[moment]
    lost = [name for name in names if f"{node.folder}/{name}" not in present]
    if lost or node.folder is None:
        raise _DifferenceError(f"expected the table that was judged, saw no file {node.folder}/{lost[0]}")
    if len({table_of(name) for name in names}) < len(names):
        raise _DifferenceError(f"expected one file for each table of {moment}, saw two for one")
    try:
        return read_kept(run_folder / node.folder, names, declared)
    except (InputError, EvidenceError) as error:
        raise _DifferenceError(flat(str(error))) from None


def _judged(
    told: CheckEntry, evidence_of: Callable[[str], Evidence], teeth: bool, importable: Collection[str]
) -> CheckResult:
    if told.recipe is None:
        raise _UnknownError("its factory is not described, or was given what cannot be told in JSON")
    if told.moment is None:
        raise _UnknownError("the document does not say which evidence was judged")
    recipe = Recipe(told.recipe.factory, told.recipe.arguments, told.recipe.named)
    try:
        check: Check = build(recipe, importable)
    except NotPermittedError as error:
        raise _UnknownError(f"{flat(str(error))}; --import permits that") from None
    except NotImportableError as error:
        remedy = "verify it where the tests are run, or put the module's folder on PYTHONPATH"
        raise _UnknownError(f"{flat(str(error))}; {remedy}") from None
    except RecipeError as error:
        raise _DifferenceError(f"its recipe builds no check: {flat(str(error))}") from None
    if told.line is not None:
        check = check.proves(told.line.id)
    return replace(run_check(check, evidence_of(told.moment), teeth), moment=told.moment)


def _departures(told: CheckEntry, again: CheckResult, node: NodeResult) -> Iterator[str]:
    seen = check_entry(again, told.scope, lambda _: told.line, node)
    for name in CheckEntry.model_fields:
        said, found = getattr(told, name), getattr(seen, name)
        if said != found:
            yield f"the document says {name} {_shown(said, found)}, judging again says {_shown(found, said)}"


def _shown(value: Any, other: Any) -> str:
    """A value, short; of a list only what the other one lacks."""
    if isinstance(value, tuple):
        lacking = [each for each in value if each not in other]
        texts = [_one(each) for each in lacking[:_SHOWN]]
        more = [f"{len(lacking) - _SHOWN} more"] if len(lacking) > _SHOWN else []
        return "; ".join([*texts, *more]) or f"{len(value)} of them"
    return _one(value)


def _one(value: Any) -> str:
    seen = getattr(value, "seen", None) or getattr(value, "name", None)
    return flat(str(value if seen is None else seen))
