"""Decides whether events, summary, records and settlement store say the same of one run, value by value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pytest_l402.contract import FlowStage
from pytest_l402.evidence.check import Check, Finding, Subject
from pytest_l402.evidence.checks.full_flow import denial_of
from pytest_l402.evidence.checks.selecting import at, derived, listed, other_value, reach, rows, shown, told
from pytest_l402.evidence.mutants import Mutant, change_proof, remove_rows, set_value
from pytest_l402.evidence.recipe import described
from pytest_l402.evidence.tables import Evidence, Row

_PAID = ("settlementId", "taskId", "routeId", "amountMsats", "paymentProofRef")
_STORED = {key: key for key in ("requestId", "taskId", "routeId", "amountMsats", "paymentProofRef")}
_SOLD = ("paywallId", "ownerId", "routeId")
_SPOKEN = {"amountMsats": "paidAmountMsats", "paymentProofRef": "paymentProofRef", "taskId": "taskId"}
_EVENT_OF = (
    ("paywallCreation", FlowStage.PAYWALL_CREATE.value, ("paywallId", "ownerId", "routeId")),
    ("gatewayReconcile", FlowStage.GATEWAY_RECONCILE.value, ("challengeOk", "proxyOk", "healthOk")),
    ("paidRequest", FlowStage.REQUEST_PAID.value, _PAID),
    ("policyDeniedRequest", FlowStage.REQUEST_DENIED.value, ("denyReasonCode",)),
    ("observability", FlowStage.OBSERVABILITY_VERIFY.value, ("recordCount",)),
)
_WITH_REQUEST = ("gatewayReconcile", "paidRequest", "policyDeniedRequest")
_REMEDY = "compare both with what the wallet paid, mend the one that differs, then run the full flow again"


@described
def one_story() -> Check:
    """events.jsonl, summary.json, records and settlement store tell one story, by value (section 1)."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        summaries = rows(evidence, "flow_summary")
        yield from summaries.expect_one("one summary.json", _REMEDY)
        if len(summaries) == 1:
            for part in (_events, _payment, _denial, _correlation):
                yield from part(evidence, summaries[0][1])

    mutants: list[Mutant] = []
    for section, stage, keys in _EVENT_OF:
        mutants += [_changed("flow_events", f"details.{key}", {"stage": stage}) for key in keys]
        if section in _WITH_REQUEST:
            mutants.append(_changed("flow_events", "requestId", {"stage": stage}))
    mutants += [_changed("flow_summary", f"paidRequest.{key}", None) for key in ("requestId", *_PAID)]
    mutants += [
        derived("flow_events: how the stages ended is another story", _other_outcome),
        _changed("flow_summary", "policyDeniedRequest.denyReasonCode", None),
        set_value("flow_summary", "settlementCorrelation.settlementIds", ["set_other"]),
        set_value("flow_summary", "observability.correlation.requestIds", ["request-other"]),
        set_value(
            "flow_summary", "observability.correlation.paymentProofRefs", ["lightning_preimage:" + "f" * 24]
        ),
    ]
    stored = ("requestId", "taskId", "paywallId", "amountMsats", "paymentProofRef")
    mutants += [_store_changed(key) for key in stored]
    mutants += [
        remove_rows("settlements"),
        change_proof("records", _is_store, every=True),
        set_value("records", "paidAmountMsats", _one_more, _is_store, every=True),
        set_value("records", "denyReason", None, lambda row: row.get("plane") == "control", every=True),
    ]
    tables = ("flow_events", "flow_summary", "records", "settlements")
    return Check("one_story()", judge, tuple(mutants), tables)


def _events(evidence: Evidence, summary: Row) -> Iterator[Finding]:
    failed = [index for index, row in enumerate(evidence.table("flow_events")) if row.get("status") != "ok"]
    if (summary.get("ok") is True) != (not failed):
        seen = f"ok={shown(summary.get('ok'))}, and {len(failed)} stage(s) that failed"
        yield Finding("ok=true exactly when every stage is ok", seen, at("flow_events", *failed), _REMEDY)
    for section, stage, keys in _EVENT_OF:
        found = rows(evidence, "flow_events", stage=stage)
        yield from found.expect_one(f"one event {stage}", _REMEDY)
        for index, event in found:
            claimed = summary.get(section) if isinstance(summary.get(section), dict) else {}
            details = event.get("details") if isinstance(event.get("details"), dict) else {}
            pairs = [(key, reach(claimed, key), reach(details, key)) for key in keys]
            if section in _WITH_REQUEST:
                pairs.append(("requestId", reach(claimed, "requestId"), event.get("requestId")))
            for key, wanted, seen in pairs:
                if wanted is None:
                    yield _left_out(f"{section}.{key}")
                elif wanted != seen:
                    yield _apart(f"{section}.{key}", wanted, seen, Subject("flow_events", rows=(index,)))


def _payment(evidence: Evidence, summary: Row) -> Iterator[Finding]:
    paid = summary.get("paidRequest")
    if not isinstance(paid, dict):
        yield _left_out("paidRequest")
        return
    if paid.get("settlementId") is None:
        yield _left_out("paidRequest.settlementId")
        return
    stored = rows(evidence, "settlements", settlementId=paid.get("settlementId"))
    what = f"settlement {shown(paid.get('settlementId'))} in the store, once"
    yield from stored.expect_one(what, _REMEDY)
    spoken = told(evidence, str(paid.get("requestId")), "settlement")
    yield from spoken.expect_some("a settlement record of the paid request", _REMEDY)
    for found, columns in ((stored, _STORED), (spoken, _SPOKEN)):
        for index, row in found:
            for key, column in columns.items():
                if row.get(column) != paid.get(key):
                    here = Subject(found.table, column, rows=(index,))
                    yield _apart(f"paidRequest.{key}", paid.get(key), row.get(column), here)
    for key in _SOLD:
        created = reach(summary, f"paywallCreation.{key}")
        for index, row in stored:
            if row.get(key) != created:
                here = Subject("settlements", key, rows=(index,))
                yield _apart(f"paywallCreation.{key}", created, row.get(key), here)


def _denial(evidence: Evidence, summary: Row) -> Iterator[Finding]:
    if reach(summary, "policyDeniedRequest.denyReasonCode") is None:
        yield _left_out("policyDeniedRequest.denyReasonCode")
    else:
        yield from denial_of(evidence, summary, _REMEDY)


def _correlation(evidence: Evidence, summary: Row) -> Iterator[Finding]:
    known = {
        "settlementCorrelation.settlementIds": ("settlements", "settlementId"),
        "observability.correlation.requestIds": ("records", "requestId"),
        "observability.correlation.paymentProofRefs": ("records", "paymentProofRef"),
    }
    for path, (table, key) in known.items():
        claimed = reach(summary, path)
        there = {row.get(key) for row in evidence.table(table)}
        unknown = [value for value in claimed if value not in there] if isinstance(claimed, list) else None
        if not claimed or unknown:
            seen = "nothing" if unknown is None or not claimed else f"unknown: {listed(unknown)}"
            about = (Subject("flow_summary", path), Subject(table, key))
            what = f"{path} to name only what {table} hold, and something"
            yield Finding(what, seen, at(table), _REMEDY, about)
    count = reach(summary, "observability.recordCount")
    if isinstance(count, int) and count > len(evidence.table("records")):
        seen = f"{len(evidence.table('records'))} records"
        yield Finding(f"at least recordCount={count} records", seen, at("records"), _REMEDY)


def _apart(path: str, wanted: Any, seen: Any, here: Subject) -> Finding:
    what, where = f"{path} {shown(wanted)}, as summary.json says", at(here.table, *here.rows)
    return Finding(what, shown(seen), where, _REMEDY, (here, Subject("flow_summary", path)))


def _left_out(path: str) -> Finding:
    return Finding(f"{path} in summary.json", "nothing", at("flow_summary", 0), _REMEDY)


def _changed(table: str, key: str, where: dict[str, str] | None) -> Mutant:
    return set_value(table, key, lambda row: other_value(reach(row, key)), where)


def _store_changed(key: str) -> Mutant:
    def find(evidence: Evidence) -> Mutant | None:
        paid = [reach(summary, "paidRequest.settlementId") for summary in evidence.table("flow_summary")]
        if not paid:
            return None
        return set_value("settlements", key, lambda row: other_value(row.get(key)), {"settlementId": paid[0]})

    return derived(f"settlements: {key} of the paid request is another", find)


def _other_outcome(evidence: Evidence) -> Mutant:
    # A flow that failed, and says so, is told alike as well: then its stages did not fail.
    if any(row.get("status") != "ok" for row in evidence.table("flow_events")):
        return set_value("flow_events", "status", "ok", every=True)
    return set_value("flow_events", "status", "failed")


def _one_more(row: Row) -> int:
    return int(row["paidAmountMsats"] or 0) + 1


def _is_store(row: Row) -> bool:
    return row.get("plane") == "settlement" and row.get("executor") == "gateway"
