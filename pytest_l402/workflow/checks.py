"""Decides whether the rows that a drill has left keep the resume contract: PC, EO, FD, CV, CO and RD.

Prefix continuation, effect exactly once, fork determinism, checkpoint validity, consume once, recovery
determinism (arXiv 2608.03836). Every check says in its findings which table and which field it looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from pytest_l402.evidence import Check, Evidence, Finding, Row
from pytest_l402.evidence.checks.selecting import Found, at, listed, matching, rows, shown
from pytest_l402.evidence.mutants import Mutant, duplicate_row, insert_row, remove_rows, set_value
from pytest_l402.evidence.recipe import described
from pytest_l402.workflow.lineage import family_of
from pytest_l402.workflow.steps import PRICE_MSATS, Point, Step

_GUARD: Final = "find out which execution it was: the call log has its pid"


@described
def ran(workflow_id: str, step: str, times: int = 1) -> Check:
    """The body of a step was begun exactly so many times under this workflow id (PC)."""
    step = str(step)

    def judge(evidence: Evidence) -> Iterator[Finding]:
        found = _begun(evidence, workflow_id, step)
        if len(found) != times:
            yield Finding(
                f"{step} begun {times} times (point begin)",
                f"{len(found)} times",
                found.where,
                _GUARD,
            )

    begun = {"workflowID": workflow_id, "step": step, "point": Point.BEGIN.value}
    mutants: list[Mutant] = [insert_row("calls", begun, "a body that ran once more")]
    if times:
        mutants.append(_without_first("calls", begun, "a body that did not run"))
    return Check(f"ran({step}: {times}) [PC]", judge, tuple(mutants), ("calls",))


@described
def resumed(workflow_id: str) -> Check:
    """The run came to its end, and said so, although a worker was killed (RD)."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        yield from rows(evidence, "process_events", event="killed").expect_some(
            "event killed: a worker that was killed", "kill one while the run is at work"
        )
        found = rows(evidence, "calls", workflowID=workflow_id, point=Point.LEFT.value)
        yield from found.expect_some(
            f"point left of workflowID {workflow_id}",
            "start another worker, and see whether it takes the run",
        )

    mutants = (
        remove_rows("calls", {"workflowID": workflow_id, "point": Point.LEFT.value}),
        remove_rows("process_events", {"event": "killed"}),
    )
    return Check(f"resumed({workflow_id}) [RD]", judge, mutants, ("calls", "process_events"))


@described
def paid_once(workflow_id: str, calls: int = 1) -> Check:
    """The run has one receipt over one price, and the wallet was asked so many times for it (EO).

    `calls` counts what was asked under the root's key, by the run itself and by its forks.
    """

    def judge(evidence: Evidence) -> Iterator[Finding]:
        family = family_of(evidence, workflow_id)
        receipts = matching(evidence, "receipts", lambda row: row.get("workflowID") in family)
        yield from receipts.expect_one(
            "one receipt", "see which wallet key each payment had: it is the root intent"
        )
        yield from receipts.expect("amountMsats", [PRICE_MSATS], "see what the seller asked")
        asked = matching(evidence, "wallet_calls", lambda row: row.get("workflowID") in family)
        if len(asked) != calls:
            yield Finding(f"{calls} wallet calls", f"{len(asked)}", asked.where, _GUARD)

    mine = {"workflowID": workflow_id}
    mutants = (
        insert_row("receipts", {**mine, "amountMsats": PRICE_MSATS}, "a second payment"),
        set_value("receipts", "amountMsats", 2 * PRICE_MSATS, every=True),
        remove_rows("receipts"),
        insert_row("wallet_calls", mine, "one call more"),
        remove_rows("wallet_calls"),
    )
    return Check(f"paid_once({calls} calls) [EO]", judge, mutants, ("receipts", "wallet_calls"))


@described
def kept_by_fork(source: str, forked: str, *steps: str) -> Check:
    """The fork has the outputs of these steps from its source, and ran none of their bodies (FD)."""
    names = [str(step) for step in steps]

    def judge(evidence: Evidence) -> Iterator[Finding]:
        yield from rows(evidence, "workflows", workflowID=forked).expect(
            "forkedFrom", [source], "see which run was forked"
        )
        for step in names:
            here, there = (
                [
                    row["outputDigest"]
                    for _, row in rows(evidence, "workflow_steps", workflowID=run, functionName=step)
                ]
                for run in (forked, source)
            )
            if len(here) != 1 or here != there:
                yield Finding(
                    f"outputDigest of {step} as in the source, {listed(there)}",
                    listed(here),
                    at("workflow_steps"),
                    "compare what the fork was given with what the source has",
                )
            yield from _begun(evidence, forked, step).expect_none(
                f"no body of {step} in the fork (point begin)", _GUARD
            )

    first = names[0]
    mutants = (
        set_value("workflows", "forkedFrom", None, {"workflowID": forked}),
        set_value("workflow_steps", "outputDigest", "other", {"workflowID": forked, "functionName": first}),
        remove_rows("workflow_steps", {"workflowID": forked, "functionName": first}),
        insert_row(
            "calls",
            {"workflowID": forked, "step": first, "point": Point.BEGIN.value},
            "a cached body that ran",
        ),
    )
    return Check(f"kept_by_fork({', '.join(names)}) [FD]", judge, mutants, ("workflows", "workflow_steps"))


@described
def one_accepted(operation: str, of: int, accepted: int = 202, refused: int = 409) -> Check:
    """Of so many requests for an operation, one was accepted and all others were answered `refused` (CO)."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        found = rows(evidence, "control_answers", operation=operation)
        statuses = Counter(row.get("status") for _, row in found)
        if statuses != {accepted: 1, refused: of - 1}:
            yield Finding(
                f"status {accepted} once and {refused} {of - 1} times for {operation}",
                ", ".join(f"{status}: {count}" for status, count in sorted(statuses.items(), key=str))
                or "none",
                found.where,
                "see whether the status is compared and set in one statement",
            )

    mine = {"operation": operation}
    mutants = (
        set_value("control_answers", "status", accepted, {**mine, "status": refused}),
        set_value("control_answers", "status", 500, {**mine, "status": accepted}),
        remove_rows("control_answers", {**mine, "status": accepted}),
    )
    return Check(f"one_accepted({operation} of {of}) [CO]", judge, mutants, ("control_answers",))


@described
def none_paid_twice(runs: int) -> Check:
    """Each of so many runs has one receipt, and each call of the wallet beyond that was absorbed (EO)."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        receipts = rows(evidence, "receipts")
        payers = Counter(row["workflowID"] for _, row in receipts)
        if len(payers) != runs or set(payers.values()) != {1}:
            yield Finding(
                f"one receipt for each workflowID of {runs} runs",
                f"{len(receipts)} for {len(payers)}",
                at("receipts"),
                _GUARD,
            )
        fresh = rows(evidence, "wallet_calls", absorbed=False)
        if len(fresh) != runs:
            yield Finding(f"absorbed false in {runs} wallet calls", f"{len(fresh)}", fresh.where, _GUARD)

    mutants = (
        duplicate_row("receipts"),
        _without_first("receipts", {}, "a payment that is not there"),
        set_value("wallet_calls", "absorbed", True, {"absorbed": False}),
    )
    return Check(f"none_paid_twice({runs}) [EO]", judge, mutants, ("receipts", "wallet_calls"))


@described
def zero_writes() -> Check:
    """Every table of the database has as many rows after the procedure as before (runbook section 3, B)."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        before = {row["table"]: row["rows"] for _, row in rows(evidence, "row_counts", when="before")}
        after = {row["table"]: row["rows"] for _, row in rows(evidence, "row_counts", when="after")}
        if not before or not any(before.values()):
            yield Finding("rows counted before", "none", at("row_counts"), "count before and after")
        for index, row in rows(evidence, "row_counts", when="after"):
            if row["rows"] != before.get(row["table"]):
                yield Finding(
                    f"rows {shown(before.get(row['table']))} in {row['table']}, as before",
                    shown(row["rows"]),
                    at("row_counts", index),
                    "see what was written although the answer was 400",
                )
        if before.keys() != after.keys():
            yield Finding(
                "when: every table counted twice", listed(after), at("row_counts"), "count them all"
            )

    mutants = (
        set_value("row_counts", "rows", lambda row: row["rows"] + 1, {"when": "after"}),
        set_value("row_counts", "rows", lambda row: row["rows"] + 1, {"when": "before"}),
        remove_rows("row_counts", {"when": "after"}),
        remove_rows("row_counts", {"when": "before"}),
    )
    return Check("zero_writes() [CV]", judge, mutants, ("row_counts",))


@described
def woke_in_time(workflow_id: str) -> Check:
    """A durable sleep ended no earlier than its recorded end, and no later than the drill allows (RD).

    Table `sleeps` has a row `{workflowID, deadlineMs, latestMs}`, written by the drill.
    """

    def judge(evidence: Evidence) -> Iterator[Finding]:
        told = rows(evidence, "sleeps", workflowID=workflow_id)
        yield from told.expect_one("one deadline", "write down when the sleep was to end")
        woken = rows(evidence, "artifacts", workflowID=workflow_id, stepID="sleep-after-sleep")
        yield from woken.expect_one("one artifact of stepID sleep-after-sleep", "see whether the run woke up")
        for (_, limits), (index, row) in zip(told, woken, strict=False):
            if not limits["deadlineMs"] <= row["atMs"] <= limits["latestMs"]:
                yield Finding(
                    f"atMs from {limits['deadlineMs']} (deadlineMs) to {limits['latestMs']} (latestMs)",
                    shown(row["atMs"]),
                    at("artifacts", index),
                    "see whether the end of the sleep was recorded before it began",
                )

    mine = {"workflowID": workflow_id, "stepID": "sleep-after-sleep"}
    mutants = (
        set_value("artifacts", "atMs", lambda row: row["atMs"] - 3_600_000, mine),
        set_value("artifacts", "atMs", lambda row: row["atMs"] + 3_600_000, mine),
        remove_rows("artifacts", mine),
        remove_rows("sleeps"),
    )
    return Check(f"woke_in_time({workflow_id}) [RD]", judge, mutants, ("artifacts", "sleeps"))


@described
def traced(workflow_id: str, attempts: int = 1) -> Check:
    """Every step has a span with workflowID, step.functionID and attempt, all of one trace, below others.

    `ExecuteST` has the attempts 1 to `attempts` (runbook section 5, walkthrough F).
    """

    def judge(evidence: Evidence) -> Iterator[Finding]:
        known = {row.get("spanID") for row in evidence.table("spans")}
        mine = matching(
            evidence, "spans", lambda row: row.get("attributes", {}).get("workflowID") == workflow_id
        )
        for step in Step:
            found = Found("spans", ((at_row, row) for at_row, row in mine if _step_of(row) == step))
            yield from found.expect_some(
                f"a span with attributes workflowID and step.functionID {step}",
                "see what the worker exported",
            )
            seen = sorted({row["attributes"].get("attempt", 0) for _, row in found})
            wanted = list(range(1, attempts + 1)) if step is Step.EXECUTE else [1]
            if found and seen != wanted:
                yield Finding(
                    f"attributes attempt {listed(wanted)} on the spans of {step}",
                    listed(seen),
                    found.where,
                    "have each attempt say which it is",
                )
        traces = {row.get("traceID") for _, row in mine}
        if len(traces) > 1:
            yield Finding("one traceID", f"{len(traces)}", mine.where, "persist the trace with the run")
        yield from mine.only(lambda row: row.get("parentID") not in known).expect_none(
            "a parentID that is another span's", "see whether the engine's own span was exported", "none such"
        )

    def is_mine(row: Row) -> bool:
        return bool(row.get("attributes", {}).get("workflowID") == workflow_id)

    mutants = (
        _changed_spans("attempt is missing", is_mine, lambda row: row["attributes"].pop("attempt", None)),
        _changed_spans(
            "workflowID is missing", is_mine, lambda row: row["attributes"].pop("workflowID", None)
        ),
        _changed_spans(
            "step.functionID is missing", is_mine, lambda row: row["attributes"].pop("step.functionID", None)
        ),
        set_value("spans", "traceID", "f" * 32, is_mine),
        set_value("spans", "parentID", "f" * 16, is_mine),
        remove_rows("spans", is_mine),
    )
    return Check(f"traced({attempts} attempts) [RD]", judge, mutants, ("spans",))


def _begun(evidence: Evidence, workflow_id: str, step: str) -> Found:
    return rows(evidence, "calls", workflowID=workflow_id, step=step, point=Point.BEGIN.value)


def _step_of(span: Row) -> object:
    return span["attributes"].get("step.functionID")


def _without_first(table: str, fields: Row, what: str) -> Mutant:
    def apply(evidence: Evidence) -> Evidence:
        kept = list(evidence.table(table))
        for index, _ in rows(evidence, table, **fields)[:1]:
            del kept[index]
        return evidence.with_table(table, kept)

    return Mutant(f"{table}: {what}", apply)


def _changed_spans(what: str, is_mine: Any, change: Any) -> Mutant:
    def apply(evidence: Evidence) -> Evidence:
        altered = [{**row, "attributes": dict(row.get("attributes", {}))} for row in evidence.table("spans")]
        for before, row in zip(evidence.table("spans"), altered, strict=True):
            if is_mine(before):
                change(row)
                break
        return evidence.with_table("spans", altered)

    return Mutant(f"spans: attributes {what}", apply)
