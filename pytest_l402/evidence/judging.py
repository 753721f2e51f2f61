"""Decides when a check holds: evidence is there, nothing is found wrong with it, every mutant is noticed.

And when a check cannot be trusted: it changes what it is shown, it does not give the same answer twice, what
it answers is no answer, or its canaries do not end as they must.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from pytest_l402.evidence.answers import Answer, ask
from pytest_l402.evidence.check import AtFault, Canary, Check, CheckResult, Finding, MutantResult, Violation
from pytest_l402.evidence.never_paid import remedy_for
from pytest_l402.evidence.spelling import vocabulary_of
from pytest_l402.evidence.tables import Evidence, SealedEvidence
from pytest_l402.evidence.teeth import Trial, emptied_canary, noise_canary

_ROUNDS: Final = {1: 4, 2: 2}
"""How often the mutants are judged, and the evidence again, by their number: chance is right twice."""


def run_check(check: Check, evidence: Evidence, teeth: bool = True) -> CheckResult:
    """Judge the evidence, then every mutant of it and its canaries, then the evidence again.

    The judge sees rows of its own, never those of `evidence`. A name or a value that no evidence can have is
    a violation, and so is a table of `check.tables` without rows, a check that names no table or, when teeth
    are asked for, no mutant. A judge that raises, that changes a row, or that does not say the same of the
    same again cannot be trusted: a violation as well. Nothing but `KeyboardInterrupt` is raised from here.
    """
    sealed = evidence.sealed()
    base = sealed.base
    rows = sum(len(base.table(table)) for table in check.tables)
    vocabulary = vocabulary_of(base)
    misspelt = vocabulary.misspelt(check.name, check.tables, check.named)
    findings = [Finding(*each) for each in misspelt] or _emptiness(check, base)
    if findings or not check.tables:
        return _result(check, rows, _mended(findings, sealed), [] if check.tables else [_no_table(check)])
    if not teeth:
        shown = sealed.opened()
        answer = ask(check, shown)
        misread = (Finding(*each) for each in vocabulary.misread(check.name, shown.missed))
        distrust = [*_distrust(answer, check, sealed.changed_in(shown)), *misread]
        return _result(check, rows, _mended(answer.findings, sealed), distrust)

    # A judge that takes whatever it sees first for right is shown a mutant first.
    trials = [Trial(check, mutant, base) for mutant in check.mutants]
    early = trials[0].ask() if trials else Answer()
    shown = sealed.opened()
    answer = ask(check, shown)
    if answer.findings or answer.fault:
        changed = sealed.changed_in(shown, base)
        return _result(check, rows, _mended(answer.findings, sealed), _distrust(answer, check, changed))

    emptied = evidence.with_shared({**sealed.rows, check.tables[0]: ()})
    canaries = (
        noise_canary(check, evidence, sealed.rows, sealed.read_in(shown)),
        emptied_canary(check, bool(_emptiness(check, emptied))),
    )
    answers = [trial.ask() for trial in trials]
    mutants = tuple(trial.result(each) for trial, each in zip(trials, answers, strict=True))
    opened, asked_again = [shown], list(zip([early], answers[:1], strict=False))
    for extra in range(_ROUNDS.get(len(trials), 1)):
        if extra:
            asked_again += zip(answers, [trial.ask() for trial in trials], strict=True)
        opened.append(sealed.opened())
        asked_again.append((answer, ask(check, opened[-1])))
    distrust = [
        *_distrust(answer, check, sealed.changed_in(*opened, base)),
        *(Finding(*each) for each in vocabulary.misread(check.name, shown.missed)),
        *[_another_answer(check, *pair) for pair in asked_again if pair[0] != pair[1]][:1],
        *(_canary_fault(check, canary) for canary in canaries if canary.seen is not canary.due),
    ]
    if not check.mutants:
        distrust.append(_no_mutant(check))
    return _result(check, rows, (), distrust, mutants, canaries)


def _mended(findings: Sequence[Finding], sealed: SealedEvidence) -> list[Finding]:
    evidence = sealed.opened()
    return [replace(finding, remedy=remedy_for(finding, evidence)) for finding in findings]


def _result(
    check: Check,
    rows: int,
    findings: Iterable[Finding],
    distrust: Iterable[Finding],
    mutants: tuple[MutantResult, ...] = (),
    canaries: tuple[Canary, ...] = (),
) -> CheckResult:
    told = [(finding, AtFault.EVIDENCE) for finding in findings]
    told += [(finding, AtFault.CHECK) for finding in distrust]
    return CheckResult(
        name=check.name,
        line=check.line,
        rows=rows,
        violations=tuple(
            Violation(
                check.name, check.line, each.expected, each.seen, each.where, each.remedy, each.about, at
            )
            for each, at in told
        ),
        mutants=mutants,
        tables=check.tables,
        recipe=check.recipe,
        canaries=canaries,
    )


def _emptiness(check: Check, evidence: Evidence) -> list[Finding]:
    remedy = "let the procedure reach the part that records it; nothing recorded proves nothing"
    return [
        Finding(
            expected=f"at least one row in table {table}",
            seen="no evidence: the table is empty",
            where=f"table {table}",
            remedy=remedy,
        )
        for table in check.tables
        if not evidence.table(table)
    ]


def _distrust(answer: Answer, check: Check, changed: tuple[str, ...]) -> Iterator[Finding]:
    if answer.fault is not None:
        yield answer.fault
    if changed:
        yield Finding(
            expected="evidence as it was recorded: nobody changes what was seen",
            seen=f"the check, or a mutant of it, changed {', '.join(changed)}",
            where=f"check {check.name}",
            remedy="let it copy a row before it changes one: {**row, …}; the other checks saw the rows as "
            "they were",
        )


def _another_answer(check: Check, first: Answer, second: Answer) -> Finding:
    return Finding(
        expected="the same answer to the same evidence, whatever the check was shown before",
        seen=f"first {_told(first)}; then {_told(second)}",
        where=f"check {check.name}",
        remedy="let it keep nothing between two calls, and look at the evidence alone: at no clock, at no "
        "chance, at nothing that its mutants do besides",
    )


def _told(answer: Answer) -> str:
    told = answer.findings[0] if answer.findings else answer.fault
    more = f" (and {len(answer.findings) - 1} more)" if len(answer.findings) > 1 else ""
    return "nothing wrong" if told is None else f"{told.seen}, in {told.where}{more}"


def _canary_fault(check: Check, canary: Canary) -> Finding:
    return Finding(
        expected=f"a check that {canary.due} this: {canary.name}",
        seen=f"it {canary.seen}" + (f": {canary.detail}" if canary.detail else ""),
        where=f"check {check.name}",
        remedy="let it compare the fields it means, not whole rows or tables; if it does look at every field "
        "of a table, declare that: Check(…, every_field_of=…)",
    )


def _no_table(check: Check) -> Finding:
    return Finding(
        expected="a check that says which tables it looks at",
        seen="no table named",
        where=f"check {check.name}",
        remedy="name the tables that must hold evidence",
    )


def _no_mutant(check: Check) -> Finding:
    return Finding(
        expected="at least one mutant that the check must notice",
        seen="none: nothing shows that this check is able to fail",
        where=f"check {check.name}",
        remedy="give the check mutants (pytest_l402.evidence.mutants)",
    )
