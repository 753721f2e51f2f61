"""What every id of a report means, gathered from where it is defined: catalogue, checks, enumerations."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Final

from pytest_l402.commands.member_docs import member_docs
from pytest_l402.signoff.provers import Rehearsed

_ROOMS_WITH_CHECKS: Final = (
    "pytest_l402.billing.checks",
    "pytest_l402.billing.deployed_checks",
    "pytest_l402.billing.standing",
    "pytest_l402.workflow.checks",
    "pytest_l402.workflow.standing",
)


@dataclass(frozen=True, slots=True)
class Explanation:
    """One id: what kind of thing it is, what it means, by which lines of which runbook, and what to do."""

    kind: str
    id: str
    means: str
    runbook: tuple[str, ...] = ()
    do: str = ""
    more: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def to_row(self) -> dict[str, Any]:
        """The explanation as a document has it."""
        more = {key: list(values) for key, values in self.more.items()}
        told = {"kind": self.kind, "id": self.id, "means": self.means, "runbook": list(self.runbook)}
        return {**told, "do": self.do, **more}


def explanations(rehearsed: Rehearsed) -> Iterator[Explanation]:
    """Yield what every id means that a report of this package can show, but for mutants: see `of_mutant`."""
    for source in (_lines, _rehearsals, _checks):
        yield from source(rehearsed)
    for plain in (_failures, _enumerations, _lint, _triage, _faults):
        yield from plain()


def of_mutant(name: str, documents: Iterable[Path], rehearsed: Rehearsed) -> Explanation | None:
    """Return what an alteration of the evidence is, and to which checks of these runs it was put, by line.

    None if none of these documents has it and its tables are not those of a rehearsal.
    """
    checks: dict[str, None] = {}
    lines: dict[str, None] = {}
    for check, ended in _put_to(name, documents):
        checks[f"{check['name']}: {ended}"] = None
        if check["line"] is not None:
            lines[f"{check['line']['section']} ({check['line']['id']}): {check['line']['text']}"] = None
    tables, colon, what = name.partition(": ")
    rows = {table: _row_of(table, rehearsed) for table in tables.split(", ")}
    if not checks and (not colon or None in rows.values()):
        return None
    held = "; ".join(f"a row of {table} is {row}" for table, row in rows.items() if row)
    return Explanation(
        "mutant",
        name,
        f"evidence altered on purpose, in {tables}: {what}."
        + (f" Here {held}." if held else "")
        + " A check that "
        "looks at it must notice, and for that; one that does not is not shown able to fail",
        tuple(lines),
        "where it is not KILLED: sharpen the check, or give it evidence on which it can fail",
        {"checks": tuple(checks)},
    )


def _put_to(name: str, documents: Iterable[Path]) -> Iterator[tuple[dict[str, Any], str]]:
    """Each check of these documents that this mutant was put to, and how that ended."""
    for path in documents:
        with suppress(OSError, ValueError, TypeError, KeyError):
            for rehearsal in json.loads(path.read_text(encoding="utf-8"))["rehearsals"]:
                for check in (check for node in rehearsal["nodes"] for check in node["checks"]):
                    if name in check["mutants_killed"]:
                        yield check, "KILLED"
                    for key in ("wrong_reason", "survived", "not_applicable"):
                        if any(mutant["name"] == name for mutant in check[f"mutants_{key}"]):
                            yield check, key.upper()


_IN_GENERAL: Final[Mapping[str, str]] = {
    "rows": "one of any table that has a form",
    "reconcile_summary": "what a reconcile says of itself",
}


def _row_of(table: str, rehearsed: Rehearsed) -> str | None:
    """What a row of a table is, "" where nobody says; None if no rehearsal has such a table."""
    from pytest_l402.billing.rows import FORMS as OF_BILLING
    from pytest_l402.contract.tables import ROW_FORMS
    from pytest_l402.evidence.tables import TABLES
    from pytest_l402.workflow.rows import FORMS as OF_WORKFLOWS

    for forms in (ROW_FORMS, OF_WORKFLOWS, OF_BILLING):
        if table in forms:
            told = _first(forms[table]).rstrip(".")
            return told[:1].lower() + told[1:]
    return _IN_GENERAL.get(table, "" if table in TABLES or table in rehearsed.recorded else None)


def _lines(rehearsed: Rehearsed) -> Iterator[Explanation]:
    catalogue = rehearsed.catalogue
    for runbook in catalogue.runbooks:
        for line in runbook.lines:
            entries = [
                each for each in catalogue.rehearsals if each.runbook == runbook.id and line.id in each.proves
            ]
            checks = dict.fromkeys(
                check for each in entries for check in rehearsed.checks_of(each.id, line.id)
            )
            source = (
                "a line of the runbook" if line.source == "runbook" else "what the runbook's purpose needs"
            )
            yield Explanation(
                "line",
                line.id,
                f"{line.text} ({source})",
                (f"{runbook.id}, {runbook.title}, section {line.section}",),
                " ".join(f"pytest -m rehearsal -k {each.id.replace('-', '_')}" for each in entries[:1]),
                {"rehearsals": tuple(each.id for each in entries), "checks": tuple(checks)},
            )


def _rehearsals(rehearsed: Rehearsed) -> Iterator[Explanation]:
    for entry in rehearsed.catalogue.rehearsals:
        yield Explanation(
            "rehearsal",
            entry.id,
            f"{entry.title} ({entry.kind})",
            tuple(rehearsed.cited(entry.runbook, line) for line in entry.proves),
            f"pytest -m rehearsal -k {entry.id.replace('-', '_')}",
        )


def _checks(rehearsed: Rehearsed) -> Iterator[Explanation]:
    for name, factory in check_factories().items():
        yield Explanation(
            "check",
            name,
            _first(factory),
            rehearsed.lines_of(name),
            "do what its finding says, file and line are in it",
        )


def check_factories() -> dict[str, Callable[..., Any]]:
    """Return by name every function of this package that makes a check for others to verify or to stand."""
    room = importlib.import_module("pytest_l402.evidence.checks")
    modules = [f"{room.__name__}.{each.name}" for each in pkgutil.iter_modules(room.__path__)]
    found: dict[str, Callable[..., Any]] = {}
    for name in (*modules, *_ROOMS_WITH_CHECKS):
        for key, value in vars(importlib.import_module(name)).items():
            own = inspect.isfunction(value) and value.__module__ == name and not key.startswith("_")
            if own and inspect.signature(value).return_annotation == "Check":
                found[key] = value
    return found


def _failures() -> Iterator[Explanation]:
    from pytest_l402.commands import claims
    from pytest_l402.commands.command_line import COMMANDS
    from pytest_l402.ops.reconcile.steps import FailureCode

    told: dict[str, list[claims.Claim]] = {}
    for command in COMMANDS:
        for document in ({}, {"entered": False}, {"notObserved": ()}):
            for claim in claims.claims_of(command, document):
                for code in claim.codes:
                    if claim not in told.setdefault(code, []):
                        told[code].append(claim)
    means = member_docs(FailureCode)
    for code, denied in told.items():
        step = denied[0].next_step.format(requestId="ID", recordsPath="records.jsonl")
        do, _, runbook = step.removesuffix(")").partition(" (runbook ")
        yield Explanation(
            "failure code", code, means.get(code, f"it is not so that {denied[0].text}"), (runbook,), do
        )


def _enumerations() -> Iterator[Explanation]:
    from pytest_l402.evidence.check import MutantVerdict
    from pytest_l402.ops.compile.diagnostics import DiagnosticCode
    from pytest_l402.signoff.document_entries import CheckState, LineState
    from pytest_l402.signoff.finding import Answer
    from pytest_l402.signoff.judged import ReasonCode, RehearsalState, Verdict

    kinds: Mapping[str, tuple[type[Enum], str, str]] = {
        "verdict": (Verdict, "", "read its reasons (docs/read-a-sign-off.md)"),
        "state of a rehearsal": (RehearsalState, "", "read its reasons (docs/read-a-sign-off.md)"),
        "state of a line": (LineState, "", "pytest-l402 explain LINE names what is to prove it"),
        "state of a check": (CheckState, "", "read its violations, and its mutants"),
        "end of a mutant": (MutantVerdict, "", "where it is not KILLED: sharpen the check, or its evidence"),
        "reason": (ReasonCode, "", "what stands here, then pytest -m rehearsal"),
        "answer of verify": (Answer, "", "read what verify tells besides"),
        "diagnostic": (DiagnosticCode, "lightning-ops Scope", "correct the paywall or route that it names"),
    }
    for kind, (members, section, do) in kinds.items():
        for value, means in member_docs(members).items():
            yield Explanation(kind, value, means, (section,) if section else (), do)


def _lint() -> Iterator[Explanation]:
    from pytest_l402.ops.aperture.finding import CODES

    for code, known in CODES.items():
        yield Explanation(
            f"lint {known.severity}",
            code,
            known.title,
            (),
            "write what the finding says instead (docs/check-your-aperture-file.md)",
        )


def _triage() -> Iterator[Explanation]:
    from pytest_l402.triage.deny_reasons import known_texts
    from pytest_l402.triage.rules import RULES

    for rule in RULES:
        means = f"{rule.cause}; decided by {rule.field}: domain {rule.domain}"
        yield Explanation("triage rule", rule.name, means, (f"observability {rule.section}",), rule.next_step)
    for domain in dict.fromkeys(rule.domain for rule in RULES):
        rules = [rule for rule in RULES if rule.domain is domain]
        yield Explanation(
            "domain",
            domain,
            "; ".join(dict.fromkeys(rule.cause for rule in rules)),
            tuple(dict.fromkeys(f"observability {rule.section}" for rule in rules)),
            rules[0].next_step,
        )
    for text, meaning in known_texts():
        yield Explanation(
            "deny reason",
            text,
            f"a denyReason that tells of {meaning}",
            ("observability Incident Triage",),
            "pytest-l402 triage names the domain of the request",
        )


def _faults() -> Iterator[Explanation]:
    from pytest_l402.commands.demonstrations import DRILLS, what_it_does

    for name, does in what_it_does().items():
        yield Explanation(
            "fault", name, does, (), f"pytest-l402 demo --fault {name}", {"shownBy": (DRILLS[name],)}
        )


def _first(documented: object) -> str:
    return " ".join((inspect.getdoc(documented) or "").partition("\n\n")[0].split())
