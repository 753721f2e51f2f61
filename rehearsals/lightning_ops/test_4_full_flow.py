"""Full flow and staging smoke: the hosted path end to end, its files, its parity with the local path."""

from collections.abc import Callable

import pytest

from pytest_l402.evidence import (
    artifacts_written,
    local_parity,
    one_story,
    parity_keys_present,
    reconcile_reported,
    result_shows,
    steady_state_restored,
    summary_ok,
)
from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.plugin.fixtures import Reconcile
from pytest_l402.stack import FullFlowRun

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
