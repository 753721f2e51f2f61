"""A small catalogue, and nodes and runs over it that are green unless a test says otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from pytest_l402.evidence.check import CheckResult, MutantResult, MutantVerdict, Violation
from pytest_l402.evidence.parts import Part
from pytest_l402.evidence.recipe import Recipe
from pytest_l402.evidence.system import AttachedSystem
from pytest_l402.signoff import SignOffDocument
from pytest_l402.signoff.catalogue import Catalogue, Line, LineSource, Rehearsal, RehearsalKind, Runbook
from pytest_l402.signoff.document import ProjectPin, build_document
from pytest_l402.signoff.judged import SignOff
from pytest_l402.signoff.results import NodeResult, RecordedFile, RunFacts, terms_of
from pytest_l402.signoff.verdict import judge_run
from pytest_l402.signoff.waivers import Waiver, WaiverTarget

TODAY = date(2026, 11, 21)
PROJECT = ProjectPin(None, "no git commit holds them")
SYSTEM = AttachedSystem(
    name="stack of the tests",
    version="0",
    digest=None,
    parts=(Part("gateway", "Gateway", "pytest-l402", "0", ours=True),),
    standing_checks=("records_complete",),
)
VERSIONS = {"python": "3.x", "pytest-l402": "0"}


def _rehearsal(
    name: str, section: str, kind: RehearsalKind, proves: tuple[str, ...], required: bool = True
) -> Rehearsal:
    return Rehearsal(
        id=name,
        runbook="observability",
        family="observability",
        section=section,
        title=name.capitalize(),
        kind=kind,
        proves=proves,
        required=required,
    )


CATALOGUE = Catalogue(
    source="rehearsals/catalogue.yaml",
    sha256="c" * 64,
    version=1,
    runbooks=(
        Runbook(
            id="observability",
            title="Observability runbook",
            lines=(
                Line(id="1.ok", section="1", text="the summary says ok=true", source=LineSource.RUNBOOK),
                Line(id="1.keys", section="1", text="no key is missing", source=LineSource.RUNBOOK),
                Line(id="2.hit", section="2", text="a record has cacheHit=true", source=LineSource.RUNBOOK),
                Line(
                    id="9.extra", section="9", text="find oa_req=<id> | and `more`", source=LineSource.PROJECT
                ),
            ),
        ),
    ),
    rehearsals=(
        _rehearsal("success", "1", RehearsalKind.SCENARIO, ("1.ok", "1.keys")),
        _rehearsal("reuse", "2", RehearsalKind.SCENARIO, ("2.hit",)),
        _rehearsal("extra", "9", RehearsalKind.DRILL, ("9.extra",), required=False),
    ),
)


def held(name: str, line: str | None = None, **changes: Any) -> CheckResult:
    """A check that held on three rows and killed two mutants."""
    result = CheckResult(
        name=name,
        line=line,
        rows=3,
        violations=(),
        mutants=(
            MutantResult("key dropped", MutantVerdict.KILLED, "noticed"),
            MutantResult("row removed", MutantVerdict.KILLED, "noticed"),
        ),
        tables=("records",),
        recipe=Recipe("some_record", named={"cacheHit": True}),
        moment="verify-1",
    )
    return replace(result, **changes)


def violation(check: str = "keys", line: str | None = "1.keys", **changes: str) -> Violation:
    found = Violation(check, line, "19 keys", "18 keys", "records row 4", "emit the key")
    return replace(found, **changes)


def violated(name: str, line: str | None = None) -> CheckResult:
    return CheckResult(name, line, 3, (violation(name, line),), (), ("records",), None, "verify-1")


def node(rehearsal: str, case: str | None = None, **changes: Any) -> NodeResult:
    """A node of a rehearsal that proved every line of it."""
    entry = CATALOGUE.rehearsal(rehearsal)
    lines = entry.proves if entry else ("1.ok",)
    suffix = f"[{case}]" if case else ""
    result = NodeResult(
        nodeid=f"rehearsals/test_{rehearsal}.py::test_it{suffix}",
        rehearsal=rehearsal,
        case=case,
        phases={"setup": "passed", "call": "passed", "teardown": "passed"},
        checks=tuple(held(f"check {line}", line) for line in lines),
        standing=(held("records_complete"),),
        systems=(SYSTEM,),
        request_ids=(f"req-{rehearsal}",),
        evidence_files=(RecordedFile(f"evidence/{rehearsal}/records.jsonl", "a" * 64, 10, 3),),
        folder=f"evidence/{rehearsal}",
        moments={"verify-1": ("records.jsonl",), "standing": ("records.jsonl",)},
        file=f"rehearsals/test_{rehearsal}.py",
        line=7,
        terms=terms_of(
            mode="mock",
            seed="1",
            catalogue=CATALOGUE.sha256,
            title=entry.title if entry else "",
            lines=(line for id in lines if (line := CATALOGUE.line("observability", id)) is not None),
        ),
        declared={},
    )
    return replace(result, **changes)


def failed_node(rehearsal: str, **changes: Any) -> NodeResult:
    phases = {"setup": "passed", "call": "failed", "teardown": "passed"}
    return node(rehearsal, **{"phases": phases, "failure": "E  assert 1 == 2", **changes})


GREEN = (node("success"), node("reuse"))


def facts(nodes: Sequence[NodeResult] = GREEN, **changes: Any) -> RunFacts:
    """A full run that collected exactly these nodes and ended well."""
    known = RunFacts(
        run_id="20261121T120000Z-0123abcd",
        seed="1",
        mode="mock",
        started_at_ms=1_795_262_400_000,
        finished_at_ms=1_795_262_401_500,
        exit_status=0,
        collected={node.nodeid: node.rehearsal for node in nodes},
    )
    return replace(known, **changes)


def judge(
    nodes: Sequence[NodeResult] = GREEN,
    run: RunFacts | None = None,
    waivers: Sequence[Waiver] = (),
    families: Sequence[str] = (),
    today: date = TODAY,
    catalogue: Catalogue = CATALOGUE,
) -> SignOff:
    return judge_run(
        catalogue=catalogue,
        families=families,
        nodes=nodes,
        facts=run or facts(nodes),
        waivers=waivers,
        today=today,
    )


def document(
    nodes: Sequence[NodeResult] = GREEN, run: RunFacts | None = None, waivers: Sequence[Waiver] = ()
) -> SignOffDocument:
    return build_document(judge(nodes, run, waivers), project=PROJECT, versions=VERSIONS)


def waiver(target: WaiverTarget, name: str, until: date = date(2026, 12, 1)) -> Waiver:
    return Waiver(target, name, "ada", "ticket 12", until, "waivers.yaml")
