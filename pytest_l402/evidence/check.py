"""Decides when a check holds: evidence is there, nothing is found wrong with it, every mutant is noticed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TypeAlias

from pytest_l402.boundary.cleaning import CleanedWhenWritten
from pytest_l402.evidence.mutants import Mutant
from pytest_l402.evidence.recipe import Recipe
from pytest_l402.evidence.spelling import Named, vocabulary_of
from pytest_l402.evidence.tables import Evidence


@dataclass(frozen=True, slots=True)
class RunbookLine:
    """One claim of a runbook that a rehearsal proves, such as `3.paid-once`."""

    id: str
    section: str = ""
    text: str = ""

    def __str__(self) -> str:
        section = f"runbook section {self.section} " if self.section else "runbook line "
        return f"{section}({self.id})" + (f": {self.text}" if self.text else "")


@dataclass(frozen=True, slots=True)
class Subject:
    """What a finding is about: a table and, where it is about one, a field, a request, rows (from 0)."""

    table: str
    field: str | None = None
    request: str | None = None
    rows: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """What a judge saw that ought not to be: expected, seen, where in the evidence, what to do.

    `about` says the same of it in a form that can be compared; empty if the judge does not say.
    """

    expected: str
    seen: str
    where: str
    remedy: str
    about: tuple[Subject, ...] = ()


Judge: TypeAlias = Callable[[Evidence], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class Violation:
    """A finding of one check; `line` is the id of the runbook line that the check was to prove."""

    check: CleanedWhenWritten
    line: str | None
    expected: CleanedWhenWritten
    seen: CleanedWhenWritten
    where: CleanedWhenWritten
    remedy: CleanedWhenWritten
    about: tuple[Subject, ...] = ()


@dataclass(frozen=True, slots=True)
class MutantResult:
    """Whether a check noticed one mutant; `detail` says why not, or what it noticed."""

    name: CleanedWhenWritten
    killed: bool
    detail: CleanedWhenWritten = ""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check said about one run: the runbook line's id, the rows it looked at, violations, mutants.

    `mutants` is empty when teeth were not asked for, and when the check was violated: a mutant of evidence
    that is already wrong proves nothing. `tables` are those whose rows were counted, `moment` names the state
    of the evidence that was judged, and `recipe` says how to build the check again, where it can be told.
    """

    name: CleanedWhenWritten
    line: str | None
    rows: int
    violations: tuple[Violation, ...]
    mutants: tuple[MutantResult, ...]
    tables: tuple[str, ...] = ()
    recipe: Recipe | None = None
    moment: str = ""

    @property
    def survivors(self) -> tuple[MutantResult, ...]:
        """The mutants that the check did not notice."""
        return tuple(mutant for mutant in self.mutants if not mutant.killed)

    @property
    def passed(self) -> bool:
        """No violation, and no mutant survived."""
        return not self.violations and not self.survivors

    @property
    def has_teeth(self) -> bool:
        """At least one mutant was tried and every one was noticed."""
        return bool(self.mutants) and not self.survivors


@dataclass(frozen=True, slots=True)
class Check:
    """A pure function from evidence to findings, the mutants it must notice, the tables it needs.

    `named` is what it was told to look for; names and values that no evidence can have are refused.
    """

    name: str
    judge: Judge = field(repr=False)
    mutants: tuple[Mutant, ...] = field(repr=False)
    tables: tuple[str, ...]
    line: str | None = None
    described: tuple[Recipe, Check] | None = field(default=None, repr=False, compare=False)
    named: tuple[Named, ...] = field(default=(), repr=False, compare=False)

    def proves(self, line: str) -> Check:
        """The same check, tied to the runbook line with this id."""
        return replace(self, line=line)

    def made_by(self, recipe: Recipe) -> Check:
        """The same check, which can tell how it was built."""
        return replace(self, described=(recipe, self))

    @property
    def recipe(self) -> Recipe | None:
        """How it was built; None if that cannot be told, or if it was altered since."""
        if self.described is None or replace(self.described[1], line=self.line) != self:
            return None
        return self.described[0]


def run_check(check: Check, evidence: Evidence, teeth: bool = True) -> CheckResult:
    """Judge the evidence, then every mutant of it.

    A name or a value that no evidence can have is a violation, and so is a table of `check.tables` without
    rows, a check that names no table or, when teeth are asked for, no mutant. A judge that raises is a
    violation on the evidence and lets the mutant survive; nothing is raised from here.
    """
    vocabulary = vocabulary_of(evidence)
    misspelt = vocabulary.misspelt(check.name, check.tables, check.named)
    findings = [Finding(*each) for each in misspelt] or _emptiness(check, evidence)
    if not findings:
        findings, crash = _judge(check, evidence)
        if crash is not None:
            findings = [*findings, crash]
    if not findings and teeth and not check.mutants:
        findings = [
            Finding(
                expected="at least one mutant that the check must notice",
                seen="none: nothing shows that this check is able to fail",
                where=f"check {check.name}",
                remedy="give the check mutants (pytest_l402.evidence.mutants)",
            )
        ]
    return CheckResult(
        name=check.name,
        line=check.line,
        rows=sum(len(evidence.table(table)) for table in check.tables),
        violations=tuple(
            Violation(check.name, check.line, f.expected, f.seen, f.where, f.remedy, f.about)
            for f in findings
        ),
        mutants=tuple(_try(check, mutant, evidence) for mutant in check.mutants)
        if teeth and not findings
        else (),
        tables=check.tables,
        recipe=check.recipe,
    )


def _emptiness(check: Check, evidence: Evidence) -> list[Finding]:
    if not check.tables:
        return [
            Finding(
                expected="a check that says which tables it looks at",
                seen="no table named",
                where=f"check {check.name}",
                remedy="name the tables that must hold evidence",
            )
        ]
    return [
        Finding(
            expected=f"at least one row in table {table}",
            seen="no evidence: the table is empty",
            where=f"table {table}",
            remedy="let the procedure reach the part that records it; nothing recorded proves nothing",
        )
        for table in check.tables
        if not evidence.table(table)
    ]


def _judge(check: Check, evidence: Evidence, most: int | None = None) -> tuple[list[Finding], Finding | None]:
    findings: list[Finding] = []
    try:
        # One at a time, so that what was found before a crash is kept, and a mutant costs one finding only.
        for finding in islice(check.judge(evidence), most):
            findings.append(finding)
    except Exception as error:  # a judge is anybody's code, and its failure must not end the run
        crash = Finding(
            expected="a check that can read its evidence",
            seen=f"it raised {type(error).__name__}: {error}",
            where=f"check {check.name}",
            remedy="mend the check, or the row it could not read",
        )
        return findings, crash
    return findings, None


def _try(check: Check, mutant: Mutant, evidence: Evidence) -> MutantResult:
    try:
        altered = mutant.apply(evidence)
    except Exception as error:  # as above: a mutant that cannot be made is a survivor, not the end of the run
        return MutantResult(mutant.name, False, f"the mutant raised {type(error).__name__}: {error}")
    if altered == evidence:
        return MutantResult(mutant.name, False, "not applicable: it did not change this evidence")
    if (unknown := vocabulary_of(evidence).unlike_evidence(altered)) is not None:
        return MutantResult(mutant.name, False, unknown)
    findings, crash = _judge(check, altered, most=1)
    if findings:
        return MutantResult(mutant.name, True, findings[0].seen)
    if crash is not None:
        return MutantResult(mutant.name, False, f"the check fell over instead of judging: {crash.seen}")
    return MutantResult(mutant.name, False, "survived: the check found nothing wrong with it")
