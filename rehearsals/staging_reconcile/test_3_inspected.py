"""Section 5: what runs is what the control plane says, and it is verified without changing anything."""

import pytest

from pytest_l402.evidence import gateway_challenged, gateway_delivered, result_shows, triaged_as
from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.plugin.fixtures import Reconcile

pytestmark = pytest.mark.rehearsal("staging-inspected", runbook="staging-reconcile", section="5")


def test_inspect(
    l402_inspect: Reconcile, l402_probed_price_msats: int, l402_evidence: EvidenceCollector
) -> None:
    summary = l402_inspect("staging:inspect")
    l402_evidence.verify(
        result_shows(
            "inspection",
            ok=True,
            deploymentStatus="applied",
            healthOk=True,
            challengeOk=True,
            proxyOk=True,
            failureCode=None,
        ).proves("2.output"),
        gateway_challenged(summary.request_id, l402_probed_price_msats).proves("5.challenge"),
        gateway_delivered(summary.request_id).proves("5.proxy"),
        triaged_as(summary.request_id, "healthy"),
    )
