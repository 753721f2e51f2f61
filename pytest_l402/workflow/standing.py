"""Decides what holds of everything that a drill leaves, whatever it verifies besides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pytest_l402.evidence import Check, Evidence, Finding, Row
from pytest_l402.evidence.checks.selecting import at, listed, rows, shown
from pytest_l402.evidence.mutants import Mutant, duplicate_row, insert_row, remove_rows, set_value
from pytest_l402.evidence.recipe import described
from pytest_l402.workflow.lineage import line_of, root_of, sources
from pytest_l402.workflow.rows import AUDIT
from pytest_l402.workflow.steps import DECLARED, PRICE_MSATS, WORKFLOW

_ENDED: Final = ("SUCCESS", "ERROR", "CANCELLED")


def standing_checks() -> tuple[Check, ...]:
    """Return what holds of everything that a drill leaves, whatever it verifies besides."""
    return (
        identity_law(),
        receipts_unique(),
        steps_left_artifacts(),
        no_orphan_notification(),
        actions_audited(),
        kills_evidenced(),
        faults_fired(),
        journal_as_declared(),
    )


@described
def identity_law(workflow: str = WORKFLOW) -> Check:
    """Every run of a workflow has the id of its intent, or was forked from one that has (section 0)."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        runs = {row["workflowID"]: row for row in evidence.table("runs")}
        for index, row in rows(evidence, "workflows", name=workflow):
            if row["workflowID"] not in runs:
                yield Finding(
                    "workflowID with a row in runs",
                    "none",
                    at("workflows", index),
                    "start runs by the control API",
                )
        for index, row in enumerate(evidence.table("runs")):
            if root_of(runs, row["workflowID"]) != row["intentID"]:
                yield Finding(
                    f"intentID {shown(row['intentID'])} to be the workflowID of the root",
                    shown(root_of(runs, row["workflowID"])),
                    at("runs", index),
                    "find out who started it under another id",
                )

    stranger = {"workflowID": "stranger", "name": workflow, "status": "SUCCESS", "forkedFrom": None}
    mutants = (
        insert_row("workflows", stranger, "a run that nobody started"),
        insert_row(
            "runs", {"workflowID": "a", "intentID": "b", "forkedFrom": None}, "a run of another intent"
        ),
    )
    return Check("identity_law() [CO]", judge, mutants, ("workflows",))


@described
def receipts_unique(price_msats: int = PRICE_MSATS) -> Check:
    """No root intent has two receipts, and each is over one price (EO)."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        workflows = sources(evidence)
        paid: dict[str, list[int]] = {}
        for index, row in enumerate(evidence.table("receipts")):
            paid.setdefault(root_of(workflows, row["workflowID"]), []).append(index)
            if row.get("amountMsats") != price_msats:
                yield Finding(
                    f"amountMsats {price_msats}",
                    shown(row.get("amountMsats")),
                    at("receipts", index),
                    "see the price",
                )
        for root, indexes in paid.items():
            if len(indexes) > 1:
                yield Finding(
                    f"one receipt for workflowID {root} and its forks",
                    f"{len(indexes)}",
                    at("receipts", *indexes),
                    "take the root intent as the wallet's key",
                )

    def twice(evidence: Evidence) -> Evidence:
        workflow_id = evidence.table("workflows")[0]["workflowID"]
        row = {"workflowID": workflow_id, "amountMsats": price_msats}
        return evidence.with_table("receipts", [*evidence.table("receipts"), row, row])

    mutants = (
        Mutant("receipts: a payment is there twice", twice),
        insert_row("receipts", {"workflowID": "x", "amountMsats": 1}, "another price was paid"),
    )
    return Check("receipts_unique() [EO]", judge, mutants, ("workflows",))


@described
def steps_left_artifacts(kinds: Mapping[str, str] | None = None) -> Check:
    """Every step that succeeded has exactly one artifact of the kind that it declares; `none` is one (CV)."""
    declared = {str(step): kind for step, kind in (DECLARED if kinds is None else kinds).items()}

    def judge(evidence: Evidence) -> Iterator[Finding]:
        workflows = sources(evidence)
        left: dict[tuple[str, str], list[str]] = {}
        for row in evidence.table("artifacts"):
            left.setdefault((row["workflowID"], row["stepID"]), []).append(row["kind"])
        for index, row in enumerate(evidence.table("workflow_steps")):
            step = row["functionName"]
            if step not in declared or row["error"] is not None:
                continue
            line = line_of(workflows, row["workflowID"])
            found = next((left[run, step] for run in line if (run, step) in left), [])
            if found != [declared[step]]:
                yield Finding(
                    f"one artifact of kind {declared[step]} for {step} ({at('workflow_steps', index)})",
                    listed(found) if len(found) < 2 else f"{len(found)}: {listed(found)}",
                    at("artifacts"),
                    "see what the body wrote before its checkpoint",
                )

    def is_of_step(row: Row) -> bool:
        return row.get("stepID") in declared

    mutants = (
        remove_rows("artifacts", is_of_step),
        set_value("artifacts", "kind", "other", is_of_step),
        duplicate_row("artifacts", is_of_step),
    )
    return Check("steps_left_artifacts() [CV]", judge, mutants, ("workflow_steps", "artifacts"))


@described
def no_orphan_notification() -> Check:
    """Every reply that was sent is consumed, and there is at most one for a gate (CO)."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        ended = {row["workflowID"] for row in evidence.table("workflows") if row["status"] in _ENDED}
        seen: Counter[Any] = Counter()
        for index, row in enumerate(evidence.table("notifications")):
            seen[row["workflowID"], row["topic"]] += 1
            if row["workflowID"] in ended and row["consumed"] is not True:
                yield Finding(
                    "consumed true for a run that has ended",
                    shown(row["consumed"]),
                    at("notifications", index),
                    "send replies with a key of their gate",
                )
            if seen[row["workflowID"], row["topic"]] > 1:
                yield Finding(
                    "one notification for a workflowID and topic",
                    "another",
                    at("notifications", index),
                    "as above",
                )

    def orphan(evidence: Evidence) -> Row | None:
        ended = [row for row in evidence.table("workflows") if row["status"] in _ENDED]
        return {"workflowID": ended[0]["workflowID"], "topic": "x", "consumed": False} if ended else None

    def twice(evidence: Evidence) -> Evidence:
        row = {"workflowID": "x", "topic": "x", "consumed": True}
        return evidence.with_table("notifications", [*evidence.table("notifications"), row, row])

    mutants = (
        insert_row("notifications", orphan, "a reply that nobody consumed"),
        Mutant("notifications: a reply was sent twice", twice),
    )
    return Check("no_orphan_notification() [CO]", judge, mutants, ("workflows",))


@described
def actions_audited() -> Check:
    """Every accepted cancel, resume and fork has its own audit artifact, and no other has one (section 4)."""
    operations = ("cancel", "resume", "fork")

    def judge(evidence: Evidence) -> Iterator[Finding]:
        accepted = Counter(
            (row["path"].split("/")[4], row["operation"])
            for row in evidence.table("control_answers")
            if row["operation"] in operations and row["status"] == 202
        )
        audited: Counter[Any] = Counter()
        for index, row in rows(evidence, "artifacts", stepID=AUDIT):
            audited[row["workflowID"], row["op"]] += 1
            if not row["actor"] or not row["reason"]:
                seen = listed(shown(row[key]) for key in ("actor", "reason"))
                yield Finding("actor and reason", seen, at("artifacts", index), "refuse such a request")
        for workflow_id, operation in sorted({*accepted, *audited}, key=str):
            key = workflow_id, operation
            if accepted[key] != audited[key]:
                yield Finding(
                    f"{accepted[key]} artifacts with op {operation} of {workflow_id}, as there were "
                    "answers of status 202",
                    f"{audited[key]}",
                    f"{at('artifacts')}, {at('control_answers')}",
                    "write the audit in the transaction of the change",
                )

    answer = {"path": "/api/ops/wf/x/cancel", "operation": "cancel", "status": 202}
    audit = {"workflowID": "y", "stepID": AUDIT, "op": "cancel", "actor": "x", "reason": "x"}
    mutants = (
        insert_row("control_answers", answer, "a cancel that left no audit"),
        insert_row("artifacts", audit, "an audit of nothing"),
        insert_row("artifacts", {**audit, "actor": None}, "an audit without an actor"),
    )
    return Check("actions_audited() [CV]", judge, mutants, ("control_answers",))


@described
def kills_evidenced() -> Check:
    """Every kill ended its process by SIGKILL; another signal, or none, is no kill."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        yield from rows(evidence, "process_events", event="killed").expect(
            "exitSignal", ["SIGKILL"], "kill the pid that was started, by SIGKILL"
        )

    killed = {"event": "killed", "role": "worker", "pid": 1, "signal": "SIGKILL"}
    mutants = (
        insert_row("process_events", {**killed, "exitSignal": "SIGTERM"}, "a kill that was a SIGTERM"),
        insert_row("process_events", {**killed, "exitSignal": None}, "a kill that did not happen"),
    )
    return Check("kills_evidenced() [RD]", judge, mutants, ("process_events",))


@described
def faults_fired() -> Check:
    """Every injected fault happened as often as it was to: what did not fire was not survived (RD)."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        for index, row in enumerate(evidence.table("injected_faults")):
            if row["fired"] != row["times"]:
                yield Finding(
                    f"fired {row['times']} times at point {row['point']}",
                    shown(row["fired"]),
                    at("injected_faults", index),
                    "let the run come to the point while the fault is there",
                )

    injected = {"point": "begin", "order": "wait", "times": 1}
    mutants = (
        insert_row("injected_faults", {**injected, "fired": 0}, "a fault that never happened"),
        insert_row("injected_faults", {**injected, "fired": 2}, "a fault that happened once more"),
    )
    return Check("faults_fired() [RD]", judge, mutants, ("process_events",))


@described
def journal_as_declared() -> Check:
    """The database keeps its journal as the drill declares: what is measured is what will run."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        for index, row in enumerate(evidence.table("database")):
            if row["journal"] != row["declaredJournal"]:
                yield Finding(
                    f"journal {shown(row['declaredJournal'])} (declaredJournal)",
                    shown(row["journal"]),
                    at("database", index),
                    "make the database from the template",
                )

    mutants = (
        set_value("database", "journal", "delete"),
        set_value("database", "declaredJournal", "truncate"),
    )
    return Check("journal_as_declared() [RD]", judge, mutants, ("database",))
