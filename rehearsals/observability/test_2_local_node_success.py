"""Section 2: a run of the local executor leaves an artifact; a historical one is reference-only evidence."""

import pytest

from pytest_l402.evidence import (
    artifact_shows,
    local_artifact_join,
    local_parity,
    paid_exactly_once,
    reference_artifact_holds,
    triaged_as,
)
from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.stack import Executor
from pytest_l402.stack.sold import Sold

pytestmark = pytest.mark.rehearsal("local-node-success", runbook="observability", section="2")


def test_local_run_writes_the_artifact(
    l402_executor: Executor, l402_sold: Sold, l402_evidence: EvidenceCollector
) -> None:
    expensive = l402_sold.expensive
    success = l402_executor.buy(l402_sold.premium.resource)
    blocked = l402_executor.buy(expensive.resource)
    l402_evidence.verify(
        artifact_shows(success, flow="success", task_status="completed").proves("2.local-run"),
        artifact_shows(blocked, flow="blocked", task_status="blocked").proves("2.local-run"),
        local_artifact_join(success).proves("2.local-run"),
        local_parity().proves("2.local-run"),
        paid_exactly_once(success),
        triaged_as(success, "healthy"),
        triaged_as(blocked, "policy"),
    )


def test_historical_artifact_is_reference_only(
    l402_evidence: EvidenceCollector, l402_reference_artifact: None
) -> None:
    l402_evidence.verify(reference_artifact_holds().proves("2.reference-only"))
