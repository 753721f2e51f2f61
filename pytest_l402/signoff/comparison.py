"""Decides what changed from one run to another, and what of it is a regression.

Less than before is a regression, whatever the verdict: a line, a check, a mutant, a required rehearsal that
is no longer proven. More than before is a change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pytest_l402.signoff.document_entries import CheckEntry, CheckState, LineState, RehearsalEntry
from pytest_l402.signoff.document_model import SignOffDocument
from pytest_l402.signoff.judged import RehearsalState, Verdict
from pytest_l402.signoff.wording import plural

_RANK: Final = {
    Verdict.SIGNED_OFF: 2,
    Verdict.DRILL: 1,
    Verdict.INCOMPLETE: 1,
    Verdict.NOT_SIGNED_OFF: 0,
}
_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a later run lacks of an earlier one, and what else is different: one sentence each."""

    regressions: tuple[str, ...]
    changes: tuple[str, ...]


def compare(before: SignOffDocument, after: SignOffDocument) -> Comparison:
    """Compare a run with an earlier one; a drill is compared by the tests that it ran alone."""
    is_drill = after.verdict is Verdict.DRILL
    known = {entry.id: entry for entry in before.rehearsals}
    now = {entry.id: entry for entry in after.rehearsals}
    regressions = [] if is_drill else [*_verdict_worse(before, after)]
    for name, entry in known.items():
        later = now.get(name)
        if not is_drill:
            regressions += _less(entry, later)
        elif later is not None:
            regressions += _fewer_checks(entry, later, {node.nodeid for node in later.nodes})
    changes = [*_differences(before, after)]
    for name, entry in now.items():
        earlier = known.get(name)
        changes += [f"{name}: new"] if earlier is None else _more(earlier, entry)
    return Comparison(tuple(regressions), tuple(changes))


def _verdict_worse(before: SignOffDocument, after: SignOffDocument) -> Iterator[str]:
    if _RANK[after.verdict] < _RANK[before.verdict]:
        yield f"the verdict was {before.verdict}, and is {after.verdict}"
    for family in before.catalogue.families:
        if family not in after.catalogue.families:
            yield f"family {family} was required, and is not"


def _less(before: RehearsalEntry, after: RehearsalEntry | None) -> Iterator[str]:
    if after is None:
        yield f"{before.id}: gone"
        return
    if (before.need, after.need) == ("required", "optional"):
        yield f"{before.id}: was required, and is optional"
    if before.state is RehearsalState.PASSED and after.state is not RehearsalState.PASSED:
        yield f"{before.id}: was PASSED, and is {after.state}"
    states = {line.id: line.state for line in after.lines}
    for line in before.lines:
        if line.state is LineState.PROVEN and states.get(line.id) is not LineState.PROVEN:
            yield f"{before.id}: line {line.id} was PROVEN, and is {states.get(line.id, 'gone')}"
    yield from _fewer_checks(before, after, {node.nodeid for node in before.nodes})


def _fewer_checks(before: RehearsalEntry, after: RehearsalEntry, nodeids: Collection[str]) -> Iterator[str]:
    earlier, later = _checks(before), _checks(after)
    for name, check in earlier.items():
        other = later.get(name)
        if check.state is not CheckState.HELD or name[0] not in nodeids:
            continue
        if other is None:
            yield f"{before.id}: check {name[1]} is gone from {name[0]}"
        elif other.state is not CheckState.HELD:
            yield f"{before.id}: check {name[1]} was HELD, and is {other.state}, in {name[0]}"
        else:
            lacking = Counter(check.mutants_killed) - Counter(other.mutants_killed)
            if lacking:
                yield f"{before.id}: check {name[1]} no longer kills {_some(lacking)}, in {name[0]}"


def _more(before: RehearsalEntry, after: RehearsalEntry) -> Iterator[str]:
    if before.state is not after.state and after.state is RehearsalState.PASSED:
        yield f"{after.id}: was {before.state}, and is PASSED"
    earlier = {line.id for line in before.lines}
    for line in after.lines:
        if line.id not in earlier:
            yield f"{after.id}: line {line.id} is new, and {line.state}"
    checks = _checks(after).keys() - _checks(before).keys()
    if checks:
        yield f"{after.id}: {plural(len(checks), 'new check')}"


def _differences(before: SignOffDocument, after: SignOffDocument) -> Iterator[str]:
    if before.verdict is not after.verdict:
        yield f"verdict: {before.verdict}, then {after.verdict}"
    for what, one, other in (
        ("mode", before.run.mode, after.run.mode),
        ("seed", before.run.seed, after.run.seed),
        ("catalogue", before.catalogue.sha256, after.catalogue.sha256),
        ("rehearsals", before.project.digest, after.project.digest),
        ("systems", _systems(before), _systems(after)),
        ("pytest-l402", before.versions.get("pytest-l402"), after.versions.get("pytest-l402")),
    ):
        if one != other:
            yield f"{what}: {one or 'not pinned'}, then {other or 'not pinned'}"
    earlier = {(waiver.target, waiver.name) for waiver in before.waivers}
    for waiver in after.waivers:
        if (waiver.target, waiver.name) not in earlier:
            yield f"waiver of {waiver.target} {waiver.name}: new, by {waiver.owner} until {waiver.until}"


def _systems(document: SignOffDocument) -> str:
    found = {f"{each.name} {each.version} {each.digest or 'not pinned'}" for each in document.systems}
    return ", ".join(sorted(found))


def _checks(entry: RehearsalEntry) -> dict[tuple[str, str, int], CheckEntry]:
    """The checks of a rehearsal, each by its test, its name, and which of those of that name it is."""
    found: dict[tuple[str, str, int], CheckEntry] = {}
    for node in entry.nodes:
        times: Counter[str] = Counter()
        for check in node.checks:
            found[node.nodeid, check.name, times[check.name]] = check
            times[check.name] += 1
    return found


def _some(names: Mapping[str, int]) -> str:
    shown = ", ".join(list(names)[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown
