"""Sections 2, 3 and 5: what the control plane says is deployed, probed, persisted, and deployed once."""

import pytest

from pytest_l402.evidence import (
    deployment_persisted,
    deployments_told_alike,
    events_persisted,
    events_told_alike,
    gateway_challenged,
    gateway_delivered,
    reconcile_reported,
    same_in_every_row,
    triaged_as,
)
from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.plugin.fixtures import Reconcile

pytestmark = pytest.mark.rehearsal("reconcile-applied", runbook="staging-reconcile", section="2")


def test_reconcile_and_verify(
    l402_reconcile: Reconcile, l402_probed_price_msats: int, l402_evidence: EvidenceCollector
) -> None:
    summary = l402_reconcile("staging:verify")
    l402_evidence.verify(
        reconcile_reported(
            summary.request_id,
            deploymentStatus="applied",
            healthOk=True,
            challengeOk=True,
            proxyOk=True,
            valid=True,
            failureCode=None,
        ).proves("2.output"),
        deployment_persisted(summary.request_id, "applied").proves("3.deployments"),
        deployments_told_alike().proves("3.deployments"),
        events_told_alike().proves("3.events"),
        deployment_persisted(summary.request_id, "applied").proves("5.image"),
        events_persisted(
            summary.request_id,
            "gateway_reconcile_health_ok",
            "gateway_reconcile_challenge_ok",
            "gateway_reconcile_proxy_ok",
            "gateway_reconcile_applied",
        ).proves("3.events"),
        gateway_challenged(summary.request_id, l402_probed_price_msats).proves("5.challenge"),
        gateway_delivered(summary.request_id).proves("5.proxy"),
        triaged_as(summary.request_id, "healthy"),
    )


def test_the_same_request_again(l402_reconcile: Reconcile, l402_evidence: EvidenceCollector) -> None:
    first = l402_reconcile("staging:again")
    again = l402_reconcile("staging:again")
    l402_evidence.record("repeated_reconcile", first.to_row(), again.to_row())
    l402_evidence.verify(
        same_in_every_row(
            "repeated_reconcile", "deploymentId", "configHash", "deploymentStatus", "imageDigest"
        ).proves("project.idempotent"),
        deployment_persisted(first.request_id, "applied").proves("project.idempotent"),
    )
