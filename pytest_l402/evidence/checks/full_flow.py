"""Decides whether the full flow's artifacts hold, and whether they tell the story that the records tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pytest_l402.boundary import folder_name
from pytest_l402.contract import (
    PARITY_KEYS,
    DocumentError,
    FlowEvent,
    FlowStage,
    FullFlowSummary,
    stage_order_faults,
)
from pytest_l402.evidence.check import Check, Finding
from pytest_l402.evidence.checks.selecting import PLATFORM, altered, at, listed, rows, shown, told
from pytest_l402.evidence.mutants import Mutant, drop_key, remove_rows, set_value
from pytest_l402.evidence.tables import Evidence, Row

_SUMMARY = ("flow_summary",)
_BOTH = ("flow_events", "flow_summary")
_AGAIN = "run the full flow again into an empty folder; the failing stage is in events.jsonl"


def summary_ok() -> Check:
    """`summary.json` decodes, does not contradict itself, and says ok=true (section 1)."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        yield from _one_summary(evidence)
        for row in evidence.table("flow_summary"):
            try:
                FullFlowSummary.decode(row)
            except DocumentError as error:
                for fault in error.faults:
                    yield _finding(
                        f"{fault.field}: {fault.expected}", fault.seen, at("flow_summary", 0), _AGAIN
                    )
            failed = _get(row, "coverage.failedChecks")
            if row.get("ok") is not True or failed != []:
                seen = f"ok={shown(row.get('ok'))}, failedChecks={listed(failed or [])}"
                yield _finding("ok=true and no failed check", seen, at("flow_summary", 0), _AGAIN)

    mutants = (
        set_value("flow_summary", "ok", False),
        set_value("flow_summary", "coverage.failedChecks", ["paid_request_success"]),
        set_value("flow_summary", "coverage.passedChecks", 7),
        set_value("flow_summary", "paidRequest.paymentProofRef", None),
        set_value("flow_summary", "observability.missingFieldKeys", ["taskId"]),
        drop_key("flow_summary", "coverage"),
    )
    return Check("summary_ok()", judge, mutants, _SUMMARY)


def probes_ok() -> Check:
    """Challenge, proxy and health probe succeeded, by summary and by event (section 1)."""
    flags = ("challengeOk", "proxyOk", "healthOk")
    told_in = (("flow_summary", "gatewayReconcile"), ("flow_events", "details"))

    def judge(evidence: Evidence) -> Iterator[Finding]:
        yield from _one_summary(evidence)
        events = rows(evidence, "flow_events", stage=FlowStage.GATEWAY_RECONCILE.value)
        if len(events) != 1:
            yield _finding("one event gateway.reconcile", f"{len(events)}", at("flow_events"), _AGAIN)
        summaries = list(enumerate(evidence.table("flow_summary")))
        for (table, key), found in zip(told_in, (summaries, events), strict=True):
            for index, row in found:
                section = row.get(key)
                down = [
                    flag for flag in flags if not isinstance(section, dict) or section.get(flag) is not True
                ]
                if down or row.get("status", "ok") != "ok":
                    yield _finding(
                        "challengeOk, proxyOk and healthOk, all true",
                        f"not true: {', '.join(down) or 'the stage itself'}",
                        at(table, index),
                        "health: the gateway is down; challenge: it asks for no payment; proxy: it does not "
                        "deliver. Read its log for that probe",
                    )

    stage = {"stage": FlowStage.GATEWAY_RECONCILE.value}
    mutants = [set_value("flow_summary", f"gatewayReconcile.{flag}", False) for flag in flags]
    mutants += [set_value("flow_events", f"details.{flag}", False, stage) for flag in flags]
    mutants += [set_value("flow_events", "status", "failed", stage), remove_rows("flow_events", stage)]
    return Check("probes_ok()", judge, tuple(mutants), _BOTH)


def paid_and_denied_present() -> Check:
    """A paid and a policy-denied request are in the summary, and the records know both (section 1)."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        yield from _one_summary(evidence)
        for row in evidence.table("flow_summary"):
            for section, status in (("paidRequest", "paid"), ("policyDeniedRequest", "denied")):
                if _get(row, f"{section}.status") != status:
                    seen = shown(_get(row, f"{section}.status"))
                    yield _finding(f"{section}.status {status}", seen, at("flow_summary", 0), _AGAIN)
            proof, paid = _get(row, "paidRequest.paymentProofRef"), _get(row, "paidRequest.requestId")
            settled = [record for _, record in told(evidence, str(paid), "settlement")]
            if proof is None or not any(record.get("paymentProofRef") == proof for record in settled):
                yield _finding(
                    f"a settlement record of request {shown(paid)} with proof {shown(proof)}",
                    listed(record.get("paymentProofRef") for record in settled),
                    at("records"),
                    "the summary claims a payment that no plane recorded: trust the records",
                )
            code, denied = (
                _get(row, "policyDeniedRequest.denyReasonCode"),
                _get(row, "policyDeniedRequest.requestId"),
            )
            decisions = rows(evidence, "records", requestId=denied, plane="control", executor="system")
            if code is None or not any(record.get("denyReason") == code for _, record in decisions):
                yield _finding(
                    f"a control record of request {shown(denied)} with denyReason {shown(code)}",
                    listed(record.get("denyReason") for _, record in decisions),
                    at("records"),
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


def parity_keys_present() -> Check:
    """The summary lists every parity key as hosted, and hosted records have a value for each (section 1)."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        yield from _one_summary(evidence)
        for row in evidence.table("flow_summary"):
            hosted, missing = _get(row, "parity.hostedKeys") or [], _get(row, "parity.hostedMissingKeys")
            lacking = [key for key in PARITY_KEYS if key not in hosted]
            if lacking or missing != []:
                seen = f"lacking {listed(lacking)}, hostedMissingKeys {listed(missing or [])}"
                yield _finding(
                    f"hostedKeys with {', '.join(PARITY_KEYS)}", seen, at("flow_summary", 0), _AGAIN
                )
        hosted_records = [row for row in evidence.table("records") if _is_hosted_payment(row)]
        for key in PARITY_KEYS:
            if not any(row.get(key) for row in hosted_records):
                yield _finding(
                    f"a hosted record with a value for {key}",
                    f"none in {len(hosted_records)} records of gateway, settlement and ui",
                    at("records"),
                    "a key that is always null joins nothing: mend the emitter that ought to know it",
                )

    mutants = [_without_hosted_key(key) for key in PARITY_KEYS]
    mutants += [set_value("records", key, None, _is_hosted_payment, every=True) for key in PARITY_KEYS]
    mutants.append(set_value("flow_summary", "parity.hostedMissingKeys", ["taskId"]))
    return Check("parity_keys_present()", judge, tuple(mutants), ("flow_summary", "records"))


def artifacts_written() -> Check:
    """`events.jsonl` has every stage once, in order; `summary.json` names both files (section 1)."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        yield from _one_summary(evidence)
        events = []
        for index, row in enumerate(evidence.table("flow_events")):
            try:
                events.append(FlowEvent.decode(row))
            except DocumentError as error:
                for fault in error.faults:
                    yield _finding(
                        f"{fault.field}: {fault.expected}", fault.seen, at("flow_events", index), _AGAIN
                    )
        for sentence in stage_order_faults(events):
            expected, _, seen = sentence.partition("saw ")
            yield _finding(expected.removeprefix("expected ").rstrip("; ,"), seen, at("flow_events"), _AGAIN)
        for row in evidence.table("flow_summary"):
            folder = folder_name(str(row.get("requestId")))
            for key, name in (("summaryPath", "summary.json"), ("eventsPath", "events.jsonl")):
                path = str(_get(row, f"artifacts.{key}"))
                if not path.replace("\\", "/").endswith(f"{folder}/{name}"):
                    yield _finding(
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


def _one_summary(evidence: Evidence) -> Iterator[Finding]:
    count = len(evidence.table("flow_summary"))
    if count != 1:
        yield _finding("one summary.json", f"{count}", at("flow_summary"), _AGAIN)


def _is_hosted_payment(row: Row) -> bool:
    return row.get("executor") in PLATFORM and row.get("plane") in ("gateway", "settlement", "ui")


def _without_hosted_key(key: str) -> Mutant:
    def apply(evidence: Evidence) -> Evidence:
        def keep(row: Row) -> Any:
            return [name for name in _get(row, "parity.hostedKeys") or [] if name != key]

        return set_value("flow_summary", "parity.hostedKeys", keep).apply(evidence)

    return altered(f"flow_summary: hostedKeys lacks {key}", apply)


def _get(row: Any, path: str) -> Any:
    for step in path.split("."):
        row = row.get(step) if isinstance(row, dict) else None
    return row


def _finding(expected: str, seen: str, where: str, remedy: str) -> Finding:
    return Finding(expected, seen, where, remedy)
