"""Full flow and staging smoke: the hosted path end to end, its files, its parity with the local path."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_l402.evidence import (
    artifacts_written,
    local_parity,
    one_story,
    parity_keys_present,
    reconcile_reported,
    result_shows,
    some_row,
    steady_state_restored,
    summary_ok,
)
from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.plugin.fixtures import Reconcile
from pytest_l402.stack import (
    Fault,
    FullFlowRun,
    ProjectionStale,
    SettlementLost,
    Stack,
    UpstreamFailure,
    run_full_flow,
)

pytestmark = pytest.mark.rehearsal("full-flow", runbook="lightning-ops", section="Commands")


def test_full_flow(l402_full_flow: Callable[[], FullFlowRun], l402_evidence: EvidenceCollector) -> None:
    flow = l402_full_flow()
    returned = {"ok": flow.summary.ok, "events": len(flow.events), "folder": flow.folder.name}
    l402_evidence.record("returned", {**returned, "told": flow.summary.artifacts.artifact_dir})
    l402_evidence.verify(
        result_shows(
            "returned",
            ok=True,
            events=6,
            folder=flow.folder.name,
            told=f"lightning-ops/full-flow/{flow.folder.name}",
        ).proves("full-flow.artifacts"),
        summary_ok().proves("full-flow.artifacts"),
        artifacts_written().proves("full-flow.artifacts"),
        one_story().proves("full-flow.artifacts"),
        parity_keys_present().proves("full-flow.parity"),
        local_parity().proves("full-flow.parity"),
        steady_state_restored(),
    )


def test_staging_smoke(l402_reconcile: Reconcile, l402_evidence: EvidenceCollector) -> None:
    summary = l402_reconcile("smoke:staging")
    l402_evidence.verify(
        reconcile_reported(
            summary.request_id, deploymentStatus="applied", challengeOk=True, proxyOk=True, healthOk=True
        ).proves("staging.output")
    )


SILENT = "expected a record of every plane, saw none of"
BROKEN: tuple[tuple[Fault, list[str], list[str]], ...] = (
    (
        ProjectionStale(),
        ["settlement_correlation", "observability"],
        ["expected plane ui to tell of {proof} and {price} msats alone", f"{SILENT} ui"],
    ),
    (
        SettlementLost(),
        ["paid_request_success", "settlement_correlation", "observability"],
        ["expected {price} msats, saw None", f"{SILENT} settlement, ui"],
    ),
    (
        UpstreamFailure(),
        ["gateway_reconcile", "paid_request_success"],
        ["proxy_check_failed: proxy_status_503", "expected the answer 200, saw 503"],
    ),
)


def test_a_flow_that_does_not_hold_says_so(tmp_path: Path, l402_evidence: EvidenceCollector) -> None:
    for number, (fault, _, _) in enumerate(BROKEN):
        with Stack(number) as stack, stack.online(), stack.faults.inject(fault):
            flow = run_full_flow(stack, tmp_path / fault.name, relative_paths=False)
            terms: dict[str, object] = {"price": stack.paywalls[0].price_msats}
            terms["proof"] = flow.paid.proof_reference
        l402_evidence.record("broken_flows", _told(number, flow, tmp_path / fault.name, terms))
    for name, may_be_missing in (("missing", False), ("may-be-missing", True)):
        with Stack(name) as stack, stack.online():
            flow = run_full_flow(stack, tmp_path / name, tmp_path / "none.json", may_be_missing)
        failed = list(flow.summary.coverage.failed_checks)
        l402_evidence.record(
            "flows_without_artifact", {"name": name, "ok": flow.summary.ok, "failed": failed}
        )
    l402_evidence.verify(
        *(
            some_row("broken_flows", number=number, ok=False, failed=failed, absolute=True, unsaid=[]).proves(
                "full-flow.artifacts"
            )
            for number, (_, failed, _) in enumerate(BROKEN)
        ),
        some_row("flows_without_artifact", name="missing", ok=False, failed=["local_parity"]).proves(
            "full-flow.parity"
        ),
        some_row("flows_without_artifact", name="may-be-missing", ok=True, failed=[]).proves(
            "full-flow.parity"
        ),
    )


def _told(number: int, flow: FullFlowRun, folder: Path, terms: dict[str, object]) -> dict[str, object]:
    said = [each["reason"] for event in flow.events for each in event.details.get("failures", ())]
    owed = [reason.format(**terms) for reason in BROKEN[number][2]]
    return {
        "number": number,
        "ok": flow.summary.ok,
        "failed": list(flow.summary.coverage.failed_checks),
        "unsaid": [reason for reason in owed if reason not in said],
        "absolute": flow.summary.artifacts.artifact_dir.startswith(folder.as_posix()),
    }
