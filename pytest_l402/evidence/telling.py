"""Decides how results of checks are told to people: what is wrong, where, and what to do."""

from __future__ import annotations

from pytest_l402.evidence.check import CheckResult, RunbookLine, Violation


def tell_violation(violation: Violation, line: RunbookLine | None = None) -> str:
    """Return four parts, one a line: expected (and which line of the runbook says so), seen, where, do.

    `line` is the catalogue's entry for `violation.line`; without it only the id is shown.
    """
    source = line or (RunbookLine(violation.line) if violation.line else None)
    expected = f"{violation.expected}\n[{source}]" if source else violation.expected
    parts = [
        ("expected", expected),
        ("seen", violation.seen),
        ("where", violation.where),
        ("do", violation.remedy),
    ]
    body = [f"  {label:<9} {_hanging(text)}" for label, text in parts]
    return "\n".join([f"{violation.check} is violated", *body])


def tell_result(result: CheckResult, line: RunbookLine | None = None) -> str:
    """Return everything that is wrong with a result, for a terminal; empty when nothing is."""
    survived = [
        f"{result.name} cannot be trusted\n"
        f"  expected  it notices this altered evidence: {mutant.name}\n"
        f"  seen      {_hanging(mutant.detail)}\n"
        f"  where     the mutants of {result.name}\n"
        f"  do        give it evidence on which it can fail, or sharpen it"
        for mutant in result.survivors
    ]
    return "\n\n".join([*(tell_violation(violation, line) for violation in result.violations), *survived])


def _hanging(text: str) -> str:
    return text.replace("\n", "\n" + " " * 12)
