"""Decides whether the full flow's artifacts hold, and whether they tell the story that the records tell."""

from __future__ import annotations

from collections.abc import Iterator
from operator import methodcaller

from pytest_l402.boundary import folder_name, plain_folder_name
from pytest_l402.contract import (
    PARITY_KEYS,
    FlowEvent,
    FlowStage,
    FullFlowSummary,
    stage_order_departures,
)
from pytest_l402.evidence.check import Check, Finding, Subject
from pytest_l402.evidence.checks.selecting import (
    at,
    departures,
    is_hosted_payment,
    listed,
    matching,
    reach,
    rows,
    shown,
    told,
)
from pytest_l402.evidence.mutants import Mutant, drop_key, remove_rows, set_value
from pytest_l402.evidence.recipe import described
from pytest_l402.evidence.tables import Evidence, Row

_SUMMARY = ("flow_summary",)
_BOTH = ("flow_events", "flow_summary")
_AGAIN = "run the full flow again into an empty folder, and see which stage of it fails"
_ONE_SUMMARY = ("one summary.json", _AGAIN)


@described
def summary_ok() -> Check:
    """`summary.json` decodes, does not contradict itself, and says ok=true (section 1)."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        yield from rows(evidence, "flow_summary").expect_one(*_ONE_SUMMARY)
        for row in evidence.table("flow_summary"):
            yield from departures(FullFlowSummary, row, at("flow_summary", 0), _AGAIN)
            failed = reach(row, "coverage.failedChecks")
            if row.get("ok") is not True or failed != []:
                seen = f"ok={shown(row.get('ok'))}, failedChecks={listed(failed or [])}"
                yield Finding("ok=true and no failed check", seen, at("flow_summary", 0), _AGAIN)

    mutants = (
        set_value("flow_summary", "ok", False),
        set_value("flow_summary", "coverage.failedChecks", ["paid_request_success"]),
        set_value("flow_summary", "coverage.passedChecks", 7),
        set_value("flow_summary", "paidRequest.paymentProofRef", None),
        set_value("flow_summary", "observability.missingFieldKeys", ["taskId"]),
        drop_key("flow_summary", "coverage"),
    )
    return Check("summary_ok()", judge, mutants, _SUMMARY)


@described
def probes_ok() -> Check:
    """Challenge, proxy and health probe succeeded, by summary and by event (section 1)."""
    flags = ("challengeOk", "proxyOk", "healthOk")

    def judge(evidence: Evidence) -> Iterator[Finding]:
        summaries = rows(evidence, "flow_summary")
        yield from summaries.expect_one(*_ONE_SUMMARY)
        events = rows(evidence, "flow_events", stage=FlowStage.GATEWAY_RECONCILE.value)
        yield from events.expect_one("one event gateway.reconcile", _AGAIN)
        for key, found in (("gatewayReconcile", summaries), ("details", events)):
            for index, row in found:
                down = [flag for flag in flags if reach(row, f"{key}.{flag}") is not True]
                if down or row.get("status", "ok") != "ok":
                    yield Finding(
                        "challengeOk, proxyOk and healthOk, all true",
                        f"not true: {', '.join(down) or 'the stage itself'}",
                        at(found.table, index),
                        "health: the gateway is down; challenge: it asks for no payment; proxy: it does not "
                        "deliver. Read its log for that probe",
                    )

    stage = {"stage": FlowStage.GATEWAY_RECONCILE.value}
    mutants = [set_value("flow_summary", f"gatewayReconcile.{flag}", False) for flag in flags]
    mutants += [set_value("flow_events", f"details.{flag}", False, stage) for flag in flags]
    mutants += [set_value("flow_events", "status", "failed", stage), remove_rows("flow_events", stage)]
    return Check("probes_ok()", judge, tuple(mutants), _BOTH)


@described
def paid_and_denied_present() -> Check:
    """A paid and a policy-denied request are in the summary, and the records know both (section 1)."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        summaries = rows(evidence, "flow_summary")
        yield from summaries.expect_one(*_ONE_SUMMARY)
        yield from summaries.expect("paidRequest.status", ["paid"], _AGAIN)
        yield from summaries.expect("policyDeniedRequest.status", ["denied"], _AGAIN)
        for _, row in summaries:
            proof, paid = reach(row, "paidRequest.paymentProofRef"), reach(row, "paidRequest.requestId")
            settled = told(evidence, str(paid), "settlement")
            proofs = [record.get("paymentProofRef") for _, record in settled]
            if proof is None or proof not in proofs:
                expected = f"a settlement record of request {shown(paid)} with proof {shown(proof)}"
                remedy = "the summary claims a payment that no plane recorded: trust the records"
                if proof is None:
                    expected, remedy = "a paymentProofRef of the paid request in summary.json", _AGAIN
                about = (*settled.about(), Subject("records", "paymentProofRef"))
                about += (Subject("flow_summary", "paidRequest"),)
                yield Finding(expected, listed(proofs), settled.where, remedy, about)
            yield from denial_of(
                evidence,
                row,
                "the summary claims a denial that the control plane did not record: trust the records",
            )

    mutants = (
        set_value("flow_summary", "paidRequest.status", "failed"),
        set_value("flow_summary", "paidRequest.requestId", "request-other"),
        set_value("flow_summary", "policyDeniedRequest.status", "allowed"),
        set_value("flow_summary", "policyDeniedRequest.denyReasonCode", "other_code"),
        set_value("flow_summary", "policyDeniedRequest.requestId", "request-other"),
        set_value("flow_summary", "paidRequest", None),
        set_value("flow_summary", "policyDeniedRequest", None),
        remove_rows("records", lambda row: row.get("plane") == "settlement"),
        set_value("records", "denyReason", None, lambda row: row.get("plane") == "control", every=True),
    )
    return Check("paid_and_denied_present()", judge, mutants, ("flow_summary", "records"))


@described
def parity_keys_present() -> Check:
    """The summary lists every parity key as hosted, and hosted records have a value for each (section 1)."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        yield from rows(evidence, "flow_summary").expect_one(*_ONE_SUMMARY)
        for row in evidence.table("flow_summary"):
            hosted, missing = reach(row, "parity.hostedKeys") or [], reach(row, "parity.hostedMissingKeys")
            lacking = [key for key in PARITY_KEYS if key not in hosted]
            if lacking or missing != []:
                seen = f"lacking {listed(lacking)}, hostedMissingKeys {listed(missing or [])}"
                yield Finding(
                    f"hostedKeys with {', '.join(PARITY_KEYS)}", seen, at("flow_summary", 0), _AGAIN
                )
        hosted_records = matching(evidence, "records", is_hosted_payment)
        for key in PARITY_KEYS:
            yield from hosted_records.only(methodcaller("get", key), key).expect_some(
                f"a hosted record with a value for {key}",
                "a key that is always null joins nothing: mend the emitter that ought to know it",
                f"none in {len(hosted_records)} records of gateway, settlement and ui",
            )

    mutants = [_without_hosted_key(key) for key in PARITY_KEYS]
    mutants += [set_value("records", key, None, is_hosted_payment, every=True) for key in PARITY_KEYS]
    mutants.append(set_value("flow_summary", "parity.hostedMissingKeys", ["taskId"]))
    return Check("parity_keys_present()", judge, tuple(mutants), ("flow_summary", "records"))


@described
def artifacts_written() -> Check:
    """`events.jsonl` has every stage once, in order; `summary.json` names both files (section 1)."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        yield from rows(evidence, "flow_summary").expect_one(*_ONE_SUMMARY)
        events = []
        for index, row in enumerate(evidence.table("flow_events")):
            undecodable = list(departures(FlowEvent, row, at("flow_events", index), _AGAIN))
            yield from undecodable
            events += [] if undecodable else [FlowEvent.decode(row)]
        for sentence in stage_order_departures(events):
            expected, _, seen = sentence.partition("saw ")
            yield Finding(expected.removeprefix("expected ").rstrip("; ,"), seen, at("flow_events"), _AGAIN)
        for row in evidence.table("flow_summary"):
            request_id = str(row.get("requestId"))
            folder, told_plainly = folder_name(request_id), plain_folder_name(request_id)
            for key, name in (("summaryPath", "summary.json"), ("eventsPath", "events.jsonl")):
                path = str(reach(row, f"artifacts.{key}"))
                ends = (f"{folder}/{name}", f"{told_plainly}/{name}")  # the original tools have the latter
                if not path.replace("\\", "/").endswith(ends):
                    yield Finding(
                        f"artifacts.{key} to end in {folder}/{name}",
                        shown(path),
                        at("flow_summary", 0),
                        "the summary belongs to another run, or its folder was moved: run the full flow "
                        "again",
                    )

    mutants = [remove_rows("flow_events", {"stage": stage.value}) for stage in FlowStage]
    mutants += [
        set_value("flow_events", "ts", 0, {"stage": FlowStage.PARITY_VERIFY.value}),
        set_value("flow_events", "status", "fine"),
        set_value("flow_summary", "artifacts.eventsPath", "elsewhere/events.jsonl"),
        set_value("flow_summary", "artifacts.summaryPath", None),
    ]
    return Check("artifacts_written()", judge, tuple(mutants), _BOTH)


def denial_of(evidence: Evidence, summary: Row, remedy: str) -> Iterator[Finding]:
    """A finding unless the control plane recorded the denial that the summary claims."""
    denied, code = (reach(summary, f"policyDeniedRequest.{key}") for key in ("requestId", "denyReasonCode"))
    decisions = rows(evidence, "records", requestId=denied, plane="control", executor="system")
    reasons = [record.get("denyReason") for _, record in decisions]
    if code is None or code not in reasons:
        expected = f"a control record of request {shown(denied)} with denyReason {shown(code)}"
        if code is None:
            expected, remedy = "a denyReasonCode of the denied request in summary.json", _AGAIN
        about = (*decisions.about(), Subject("records", "denyReason"))
        about += (Subject("flow_summary", "policyDeniedRequest"),)
        yield Finding(expected, listed(reasons), decisions.where, remedy, about)


def _without_hosted_key(key: str) -> Mutant:
    def left(row: Row) -> list[str]:
        return [name for name in reach(row, "parity.hostedKeys") or [] if name != key]

    mutant = set_value("flow_summary", "parity.hostedKeys", left)
    return mutant.named(f"flow_summary: hostedKeys lacks {key}")
