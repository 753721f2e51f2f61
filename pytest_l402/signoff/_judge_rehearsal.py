"""Decides the state of one rehearsal: passed only if every node, every check and every line leaves no
reason against it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from typing import Final

from pytest_l402.evidence.check import AtFault, CheckResult
from pytest_l402.signoff.catalogue import Catalogue, Rehearsal
from pytest_l402.signoff.judged import LineProof, Reason, ReasonCode, RehearsalJudgement, RehearsalState
from pytest_l402.signoff.results import PHASES, NodeResult, RunFacts
from pytest_l402.signoff.waivers import Waiver, covering_waiver

_FAILING: Final = frozenset(
    {
        ReasonCode.CHECK_VIOLATED,
        ReasonCode.CHECK_UNTRUSTED,
        ReasonCode.NO_EVIDENCE,
        ReasonCode.MUTANT_SURVIVED,
        ReasonCode.NO_MUTANTS,
        ReasonCode.UNKNOWN_LINE,
        ReasonCode.PHASE_FAILED,
        ReasonCode.EXPECTED_FAILURE,
        ReasonCode.RERUN,
        ReasonCode.SUBTEST_FAILED,
    }
)
"""The reasons that mean something went wrong; every other one means that something is missing."""


def judge_rehearsal(
    rehearsal: Rehearsal,
    *,
    required: bool,
    catalogue: Catalogue,
    nodes: Sequence[NodeResult],
    facts: RunFacts,
    waivers: Sequence[Waiver],
    today: date,
) -> RehearsalJudgement:
    """Judge one rehearsal on its own nodes; waivers cover reasons one by one and never hide them."""
    own = tuple(node for node in nodes if node.rehearsal == rehearsal.id)
    lines = _line_proofs(rehearsal, catalogue, own)
    reasons = tuple(
        replace(
            reason,
            rehearsal=rehearsal.id,
            waiver=covering_waiver(
                waivers,
                today,
                rehearsal=rehearsal.id,
                runbook=rehearsal.runbook,
                check=reason.check,
                line=reason.line,
            ),
        )
        for reason in (
            *_node_reasons(rehearsal, catalogue, own, facts),
            *_coverage_reasons(rehearsal, own, facts),
            *_line_reasons(own, lines),
        )
    )
    gravest_first = tuple(sorted(reasons, key=lambda reason: reason.code not in _FAILING))
    return RehearsalJudgement(rehearsal, required, _state(reasons, own), gravest_first, lines, own)


def _state(reasons: Sequence[Reason], nodes: Sequence[NodeResult]) -> RehearsalState:
    open_codes = {reason.code for reason in reasons if reason.waiver is None}
    if not reasons:
        return RehearsalState.PASSED
    if not open_codes:
        return RehearsalState.WAIVED
    if open_codes & _FAILING:
        return RehearsalState.FAILED
    return RehearsalState.INCOMPLETE if any(_ran(node) for node in nodes) else RehearsalState.NOT_RUN


def _ran(node: NodeResult) -> bool:
    return node.phases.get("call") in {"passed", "failed"}


def _holds(check: CheckResult) -> bool:
    return check.rows > 0 and not check.violations and check.has_teeth


def _line_proofs(
    rehearsal: Rehearsal, catalogue: Catalogue, nodes: Sequence[NodeResult]
) -> tuple[LineProof, ...]:
    checks = [check for node in nodes for check in (*node.checks, *node.standing)]
    proofs = []
    for line_id in rehearsal.proves:
        line = catalogue.line(rehearsal.runbook, line_id)
        if line is None:
            raise ValueError(f"expected line {line_id!r} in runbook {rehearsal.runbook!r}, saw none")
        tied = [check for check in checks if check.line == line_id]
        # One that does not hold, of whatever node, and the line is not proven: the others saw less.
        names = [check.name for check in tied] if all(map(_holds, tied)) else []
        proofs.append(LineProof(line, tuple(dict.fromkeys(names))))
    return tuple(proofs)


def _node_reasons(
    rehearsal: Rehearsal, catalogue: Catalogue, nodes: Sequence[NodeResult], facts: RunFacts
) -> Iterator[Reason]:
    for node in nodes:
        for check in (*node.checks, *node.standing):
            yield from _check_reasons(check, node, facts)
        for check in node.checks:
            if check.line is not None and catalogue.line(rehearsal.runbook, check.line) is None:
                yield Reason(
                    ReasonCode.UNKNOWN_LINE,
                    f"{check.name} says it proves {check.line!r}, "
                    f"which is no line of runbook {rehearsal.runbook!r}",
                    check=check.name,
                )
        if node.phases.get("call") == "passed" and not node.checks:
            yield Reason(ReasonCode.NO_CHECKS, f"{node.nodeid} asked for no check")
        if _ran(node) and not facts.teeth:
            yield Reason(
                ReasonCode.TEETH_OFF, f"{node.nodeid} ran without mutants: no check was proven able to fail"
            )
        yield from _phase_reasons(node)


def _check_reasons(check: CheckResult, node: NodeResult, facts: RunFacts) -> Iterator[Reason]:
    if check.violations:
        first = check.violations[0]
        more = f" (and {len(check.violations) - 1} more)" if len(check.violations) > 1 else ""
        text = f"{check.name}: expected {first.expected}, saw {first.seen}, in {first.where}{more}"
        distrusted = first.at_fault is AtFault.CHECK
        code = ReasonCode.CHECK_UNTRUSTED if distrusted else ReasonCode.CHECK_VIOLATED
        yield Reason(code, text, check=check.name, line=check.line)
    elif check.rows <= 0:
        text = f"{check.name} in {node.nodeid} judged no row at all"
        yield Reason(ReasonCode.NO_EVIDENCE, text, check=check.name, line=check.line)
    if check.survivors:
        text = f"{check.name} did not notice: {', '.join(mutant.name for mutant in check.survivors)}"
        yield Reason(ReasonCode.MUTANT_SURVIVED, text, check=check.name, line=check.line)
    if facts.teeth and not check.mutants and not check.violations:
        text = f"{check.name} has no mutant, so nothing shows that it can fail"
        yield Reason(ReasonCode.NO_MUTANTS, text, check=check.name, line=check.line)


def _phase_reasons(node: NodeResult) -> Iterator[Reason]:
    failed = [phase for phase, outcome in node.phases.items() if outcome == "failed"]
    if failed:
        first_line = next((line.strip() for line in (node.failure or "").splitlines() if line.strip()), "")
        detail = f": {first_line}" if first_line else ""
        yield Reason(ReasonCode.PHASE_FAILED, f"{node.nodeid} failed in {' and '.join(failed)}{detail}")
    if node.xfail is not None:
        text = f"{node.nodeid} is marked as an expected failure ({node.xfail or 'no reason given'})"
        yield Reason(ReasonCode.EXPECTED_FAILURE, text)
    if node.reran or "rerun" in node.phases.values():
        yield Reason(ReasonCode.RERUN, f"{node.nodeid} needed more than one attempt")
    if node.failed_subtests:
        yield Reason(ReasonCode.SUBTEST_FAILED, f"{node.nodeid} has {node.failed_subtests} failed subtests")
    if node.skipped_subtests:
        yield Reason(
            ReasonCode.SUBTEST_SKIPPED, f"{node.nodeid} has {node.skipped_subtests} skipped subtests"
        )
    if node.xfail is None and (node.skipped is not None or "skipped" in node.phases.values()):
        yield Reason(ReasonCode.SKIPPED, f"{node.nodeid} was skipped ({node.skipped or 'no reason given'})")
    elif not failed and dict(node.phases) != dict.fromkeys(PHASES, "passed"):
        seen = ", ".join(f"{phase} {outcome}" for phase, outcome in node.phases.items()) or "nothing"
        text = f"{node.nodeid} did not go through setup, call and teardown, each passed: saw {seen}"
        yield Reason(ReasonCode.PHASE_MISSING, text)


def _coverage_reasons(rehearsal: Rehearsal, nodes: Sequence[NodeResult], facts: RunFacts) -> Iterator[Reason]:
    collected = [nodeid for nodeid, rehearsal_id in facts.collected.items() if rehearsal_id == rehearsal.id]
    deselected = [nodeid for nodeid, rehearsal_id in facts.deselected.items() if rehearsal_id == rehearsal.id]
    reported = Counter(node.nodeid for node in nodes)
    for nodeid, times in reported.items():
        if times > 1:
            yield Reason(ReasonCode.REPORTED_TWICE, f"{nodeid} was reported {times} times")
        if nodeid not in collected:
            yield Reason(
                ReasonCode.NOT_COLLECTED, f"{nodeid} was reported but never collected as this rehearsal"
            )
    for nodeid in deselected:
        yield Reason(ReasonCode.DESELECTED, f"{nodeid} was deselected")
    for nodeid in collected:
        if nodeid not in reported and nodeid not in deselected:
            yield Reason(ReasonCode.NO_RESULT, f"{nodeid} was collected but has no result")
    if not nodes and not deselected and not collected:
        yield Reason(ReasonCode.NO_NODE, f"no test carries the marker rehearsal({rehearsal.id!r}, …)")


def _line_reasons(nodes: Sequence[NodeResult], lines: Sequence[LineProof]) -> Iterator[Reason]:
    if not any(_ran(node) for node in nodes):
        return
    claimed = {check.line for node in nodes for check in (*node.checks, *node.standing)}
    for proof in lines:
        if not proof.proven_by and proof.line.id not in claimed:
            text = f"no check proves {proof.line.id}: {proof.line.text}"
            yield Reason(ReasonCode.LINE_UNPROVEN, text, line=proof.line.id)
