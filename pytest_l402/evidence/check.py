"""Decides what a check is, what a finding says, and what a result of a check holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Annotated, TypeAlias

from pydantic import AliasChoices, BeforeValidator, Field

from pytest_l402.boundary.cleaning import CleanedWhenWritten
from pytest_l402.evidence.mutants import Mutant
from pytest_l402.evidence.recipe import Recipe
from pytest_l402.evidence.spelling import Named
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


class AtFault(StrEnum):
    """Whether a violation is about the evidence, or about the check, which then cannot be trusted."""

    EVIDENCE = "evidence"
    CHECK = "check"


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
    at_fault: AtFault = AtFault.EVIDENCE


class MutantVerdict(StrEnum):
    """How a mutant ended: only one that was killed for what it altered shows that the check has teeth."""

    KILLED = "KILLED"
    """The check noticed the alteration, by a finding about what was altered."""
    WRONG_REASON = "WRONG_REASON"
    """The check found something, but not about what was altered: that shows nothing."""
    SURVIVED = "SURVIVED"
    """The check did not notice the alteration, or fell over instead of judging it."""
    NOT_APPLICABLE = "NOT_APPLICABLE"
    """The alteration found nothing to alter in this evidence, so it shows nothing."""


def _verdict(value: object) -> object:
    # Results of before there were verdicts say whether it was killed.
    return (
        {True: MutantVerdict.KILLED, False: MutantVerdict.SURVIVED}[value]
        if isinstance(value, bool)
        else value
    )


@dataclass(frozen=True, slots=True)
class MutantResult:
    """What became of one mutant; `detail` says what the check noticed, or why it did not."""

    name: CleanedWhenWritten
    verdict: Annotated[
        MutantVerdict,
        Field(validation_alias=AliasChoices("verdict", "killed")),
        BeforeValidator(_verdict),
    ]
    detail: CleanedWhenWritten = ""

    @property
    def killed(self) -> bool:
        """Whether the check noticed it, for what it altered."""
        return self.verdict is MutantVerdict.KILLED


class Fate(StrEnum):
    """What becomes of a canary."""

    SURVIVES = "survives"
    DIES = "dies"


@dataclass(frozen=True, slots=True)
class Canary:
    """Evidence of which it is known what an honest check makes of it: what is due, what was seen."""

    name: CleanedWhenWritten
    due: Fate
    seen: Fate
    detail: CleanedWhenWritten = ""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check said about one run: the runbook line's id, the rows it looked at, violations, mutants.

    `mutants` and `canaries` are empty when teeth were not asked for, and when the evidence violates the
    check: a mutant of evidence that is already wrong proves nothing. `tables` are those whose rows were
    counted, `moment` names the state of the evidence that was judged, and `recipe` says how to build the
    check again, where it can be told.
    """

    name: CleanedWhenWritten
    line: str | None
    rows: int
    violations: tuple[Violation, ...]
    mutants: tuple[MutantResult, ...]
    tables: tuple[str, ...] = ()
    recipe: Recipe | None = None
    moment: str = ""
    canaries: tuple[Canary, ...] = ()

    @property
    def survivors(self) -> tuple[MutantResult, ...]:
        """The mutants that the check did not notice, or not for what they alter."""
        return tuple(mutant for mutant in self.mutants if not mutant.killed)

    def ended(self, verdict: MutantVerdict) -> tuple[MutantResult, ...]:
        """The mutants that ended so."""
        return tuple(mutant for mutant in self.mutants if mutant.verdict is verdict)

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

    `named` is what it was told to look for; names and values that no evidence can have are refused. It may
    look at every field of the tables `every_field_of`: a canary puts no noise into those.
    """

    name: str
    judge: Judge = field(repr=False)
    mutants: tuple[Mutant, ...] = field(repr=False)
    tables: tuple[str, ...]
    line: str | None = None
    described: tuple[Recipe, Check] | None = field(default=None, repr=False, compare=False)
    named: tuple[Named, ...] = field(default=(), repr=False, compare=False)
    every_field_of: tuple[str, ...] = ()

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
