"""Section 2: a run of the local executor leaves an artifact; a historical one is reference-only evidence."""

import pytest

from pytest_l402.evidence import (
    artifact_shows,
    local_artifact_join,
    local_parity,
    paid_exactly_once,
    reference_artifact_holds,
    some_row,
    triaged_as,
)
from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.stack import Executor, Purchase
from pytest_l402.stack.sold import Sold

pytestmark = pytest.mark.rehearsal("local-node-success", runbook="observability", section="2")


def test_local_run_writes_the_artifact(
    l402_executor: Executor, l402_sold: Sold, l402_evidence: EvidenceCollector
) -> None:
    premium, expensive = l402_sold.premium, l402_sold.expensive
    success = l402_executor.buy(premium.resource)
    blocked = l402_executor.buy(expensive.resource)
    l402_evidence.record("told_the_buyer", *map(_told, (success, blocked)))
    proven = {"proof": success.proof_reference, "amountMsats": premium.price_msats}
    proven |= {"httpStatus": 200, "hasTask": True}
    paid = {**proven, "status": "paid", "paid": True, "payments": 1, "quotedMsats": premium.price_msats}
    denied = {"status": "blocked", "paid": False, "payments": 0, "code": "amount_over_cap"}
    denied |= {"httpStatus": 402, "proof": None, "amountMsats": None, "quotedMsats": expensive.price_msats}
    l402_evidence.verify(
        *(some_row("told_the_buyer", **told).proves("2.local-run") for told in (paid, denied)),
        artifact_shows(success, flow="success", task_status="completed").proves("2.local-run"),
        artifact_shows(blocked, flow="blocked", task_status="blocked").proves("2.local-run"),
        local_artifact_join(success).proves("2.local-run"),
        local_parity().proves("2.local-run"),
        paid_exactly_once(success),
        triaged_as(success, "healthy"),
        triaged_as(blocked, "policy"),
    )


def _told(purchase: Purchase) -> dict[str, object]:
    return {
        "status": purchase.status.value,
        "paid": purchase.paid,
        "payments": len(purchase.payment_hashes),
        "amountMsats": purchase.amount_msats,
        "quotedMsats": purchase.quoted_msats,
        "proof": purchase.proof_reference,
        "cache": purchase.cache_status.value,
        "code": purchase.error_code,
        "hasTask": purchase.task_id is not None,
        "httpStatus": purchase.http_status,
    }


def test_historical_artifact_is_reference_only(
    l402_evidence: EvidenceCollector, l402_reference_artifact: None
) -> None:
    l402_evidence.verify(reference_artifact_holds().proves("2.reference-only"))
