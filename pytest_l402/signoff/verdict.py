"""Decides the verdict of a run, from positive evidence only.

Nothing here touches a file, a clock or pytest. A verdict is reached by looking for reasons against it: a
sign-off is what remains when everything required was asked for all of them and had none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Final

from pytest_l402.signoff._judge_rehearsal import judge_rehearsal
from pytest_l402.signoff.catalogue import Catalogue
from pytest_l402.signoff.judged import (
    Reason,
    ReasonCode,
    RehearsalJudgement,
    RehearsalState,
    SignOff,
    Verdict,
)
from pytest_l402.signoff.parts_used import parts_not_under_test
from pytest_l402.signoff.results import NodeResult, RunFacts
from pytest_l402.signoff.waivers import Waiver

_MISSING: Final = frozenset(
    {
        ReasonCode.REHEARSAL_MISSING,
        ReasonCode.INTERRUPTED,
        ReasonCode.NO_TESTS,
        ReasonCode.NOTHING_REQUIRED,
        ReasonCode.ONLY_WAIVERS,
    }
)
"""The reasons of a run that mean something did not happen; every other one means that something went wrong.
"""

_AMOUNTS_TO: Final = {
    RehearsalState.FAILED: (ReasonCode.REHEARSAL_FAILED, "failed"),
    RehearsalState.NOT_RUN: (ReasonCode.REHEARSAL_MISSING, "did not run"),
    RehearsalState.INCOMPLETE: (ReasonCode.REHEARSAL_MISSING, "is incomplete"),
}
"""What a rehearsal in this state is for the run; an optional one matters only if it failed."""

_EXIT_STATUS: Final = {
    1: "a test failed",
    2: "it was interrupted",
    3: "an internal error",
    4: "a usage error",
    5: "no test was run",
    6: "too many warnings",
}


def judge_run(
    *,
    catalogue: Catalogue,
    families: Sequence[str],
    nodes: Sequence[NodeResult],
    facts: RunFacts,
    waivers: Sequence[Waiver],
    today: date,
) -> SignOff:
    """Judge a run: SIGNED_OFF only if every required rehearsal is PASSED or WAIVED and nothing else speaks
    against it.

    `families` says what is required (empty = every family of the catalogue); `today` is the day in UTC on
    which waivers are looked at. Raises `CatalogueError` for a family that the catalogue does not have.
    """
    required = {rehearsal.id for rehearsal in catalogue.required(families)}
    outcomes = tuple(
        judge_rehearsal(
            rehearsal,
            required=rehearsal.id in required,
            catalogue=catalogue,
            nodes=nodes,
            facts=facts,
            waivers=waivers,
            today=today,
        )
        for rehearsal in catalogue.rehearsals
    )
    reasons = (
        *_narrowed(facts),
        *_rehearsal_reasons(outcomes),
        *_strangers(catalogue, nodes, facts),
        *_run_faults(facts),
        *_untested_parts(nodes, facts),
        *_expired(waivers, today),
        *_exit_status(facts, outcomes),
    )
    return SignOff(
        verdict=_verdict(facts, reasons),
        reasons=tuple(sorted(reasons, key=_gravity)),
        outcomes=outcomes,
        catalogue=catalogue,
        families=tuple(families) or catalogue.families,
        waivers=tuple(waivers),
        facts=facts,
    )


def _verdict(facts: RunFacts, reasons: Sequence[Reason]) -> Verdict:
    codes = {reason.code for reason in reasons}
    if facts.narrowed:
        return Verdict.DRILL
    if not codes:
        return Verdict.SIGNED_OFF
    return Verdict.INCOMPLETE if codes <= _MISSING else Verdict.NOT_SIGNED_OFF


def _gravity(reason: Reason) -> int:
    """That a run is partial comes first, then what went wrong, then what did not happen."""
    if reason.code is ReasonCode.NARROWED:
        return 0
    return 2 if reason.code in _MISSING else 1


def _narrowed(facts: RunFacts) -> Iterator[Reason]:
    if facts.narrowed:
        yield Reason(ReasonCode.NARROWED, f"partial run, cannot sign off: {', '.join(facts.narrowed_by)}")


def _rehearsal_reasons(outcomes: Sequence[RehearsalJudgement]) -> Iterator[Reason]:
    for outcome in outcomes:
        if outcome.state in _AMOUNTS_TO and (outcome.required or outcome.state is RehearsalState.FAILED):
            code, words = _AMOUNTS_TO[outcome.state]
            told = [f"{node.case or node.nodeid}: {cause}" for node in outcome.nodes for cause in node.causes]
            told += [reason.text for reason in outcome.reasons if reason.waiver is None]
            first = told[0] if told else ""
            name = outcome.rehearsal.id
            yield Reason(code, f"{name} {words}: {first}", rehearsal=name)
    required = [outcome for outcome in outcomes if outcome.required]
    if not required:
        yield Reason(
            ReasonCode.NOTHING_REQUIRED,
            "the catalogue requires no rehearsal, so there is nothing to sign off",
        )
    elif all(outcome.state is RehearsalState.WAIVED for outcome in required):
        yield Reason(
            ReasonCode.ONLY_WAIVERS, "every required rehearsal is waived, so nothing was shown to work"
        )


def _strangers(catalogue: Catalogue, nodes: Sequence[NodeResult], facts: RunFacts) -> Iterator[Reason]:
    seen = {node.nodeid: node.rehearsal for node in nodes} | dict(facts.collected)
    for nodeid, rehearsal_id in seen.items():
        if catalogue.rehearsal(rehearsal_id) is None:
            yield Reason(
                ReasonCode.UNKNOWN_REHEARSAL,
                f"{nodeid} names {rehearsal_id!r}, which is not in the catalogue",
            )


def _run_faults(facts: RunFacts) -> Iterator[Reason]:
    for code, texts in (
        (ReasonCode.COLLECT_ERROR, facts.collect_errors),
        (ReasonCode.WORKER_CRASH, facts.worker_crashes),
        (ReasonCode.INTERNAL_ERROR, facts.internal_errors),
        (ReasonCode.EVIDENCE_FAULT, facts.evidence_faults),
        (ReasonCode.UNTRUSTED_RUN, facts.distrust),
        (ReasonCode.REGRESSION, facts.regressions),
    ):
        for text in texts:
            yield Reason(code, f"{code.value.replace('-', ' ')}: {text}")
    if facts.interrupted or facts.exit_status == 2:
        yield Reason(ReasonCode.INTERRUPTED, "the run was stopped before its end")


def _untested_parts(nodes: Sequence[NodeResult], facts: RunFacts) -> Iterator[Reason]:
    """A drill may leave out what would have asked a part; only a full run says that it was tested."""
    for text in () if facts.narrowed else parts_not_under_test(nodes):
        yield Reason(ReasonCode.PART_UNUSED, text)


def _expired(waivers: Sequence[Waiver], today: date) -> Iterator[Reason]:
    for waiver in waivers:
        if waiver.expired(today):
            yield Reason(
                ReasonCode.WAIVER_EXPIRED,
                f"the waiver of {waiver.target} {waiver.name} by {waiver.owner} ended on {waiver.until}",
                waiver=waiver,
            )


def _exit_status(facts: RunFacts, outcomes: Sequence[RehearsalJudgement]) -> Iterator[Reason]:
    """Exit status is a veto, never a proof; it is left unsaid only where a failed rehearsal already says
    it.
    """
    explained = facts.exit_status == 1 and any(outcome.state is RehearsalState.FAILED for outcome in outcomes)
    if facts.exit_status in {0, 2} or explained:
        return
    meaning = _EXIT_STATUS.get(facts.exit_status, "not one of pytest's own")
    code = ReasonCode.NO_TESTS if facts.exit_status == 5 else ReasonCode.EXIT_STATUS
    yield Reason(code, f"pytest ended with exit status {facts.exit_status} ({meaning})")
