"""Settlement: a batch is booked once, a replay is observed, and a contradiction changes nothing."""

from contextlib import suppress
from itertools import permutations
from typing import Any

import pytest

from pytest_l402.contract import hosted_proof_reference
from pytest_l402.evidence import (
    no_row,
    result_shows,
    same_in_every_row,
    settlement_conflict,
    some_record,
    some_row,
)
from pytest_l402.harness.harness import Harness
from pytest_l402.ops.settlement.ingest import IngestRefused, ingest_settlements
from pytest_l402.ops.settlement.smoke import smoke_events
from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.protocol import Preimage
from pytest_l402.stack import SettlementStore

OTHER = Preimage(b"\xbb" * 32)

pytestmark = pytest.mark.rehearsal("settlement", runbook="lightning-ops", section="Commands")


def test_deterministic_ingest(
    l402_settlement_store: SettlementStore, l402_evidence: EvidenceCollector
) -> None:
    ingest = ingest_settlements(l402_settlement_store, smoke_events())
    proof = ingest.payment_proof_refs[0]
    l402_evidence.record("settlement_ingest", ingest.to_row())
    l402_evidence.record("correlation_refs", *(item.correlation_row() for item in ingest.settlements))
    l402_evidence.record("ingested_settlements", *(item.to_row() for item in ingest.settlements))
    l402_evidence.verify(
        result_shows(
            "settlement_ingest",
            processed=5,
            settlementIds=["set_smoke_1", "set_smoke_1"],
            paymentProofRefs=[proof, proof],
        ).proves("settlement.output"),
        some_row(
            "correlation_refs",
            settlementId="set_smoke_1",
            paymentProofRef=proof,
            requestId="req_smoke_1",
            taskId="task_smoke_1",
            routeId="route_weather",
        ).proves("settlement.output"),
        some_row("ingested_settlements", settlementId="set_smoke_1", existed=True).proves(
            "settlement.replay"
        ),
        some_record(requestId="req_smoke_1", plane="settlement", cacheHit=True).proves("settlement.replay"),
        result_shows("settlements", settlementId="set_smoke_1", amountMsats=2_500).proves(
            "settlement.replay"
        ),
    )


def test_the_order_of_events_does_not_matter(l402_evidence: EvidenceCollector) -> None:
    opened, settled, _, reopened, _ = smoke_events()
    closed = {"status": "settled", "requestId": "req_smoke_late", "settledAtMs": 1_735_000_000_040}
    events = (opened, settled, reopened, {**opened, **closed, "occurredAtMs": 1_735_000_000_050})
    books = []
    for order in permutations(events):
        store = SettlementStore(Harness(402))
        for event in order:
            ingest_settlements(store, (event,))
        ((invoice,), (settlement,)) = store.rows("invoices"), store.rows("settlements")
        books.append({f"invoice_{key}": value for key, value in invoice.items()} | dict(settlement))
        store.close()
    l402_evidence.record("books", *books)
    l402_evidence.verify(
        same_in_every_row("books", *books[0], at_least=24).proves("settlement.order"),
        some_row(
            "books",
            invoice_status="settled",
            invoice_requestId="req_smoke_1",
            invoice_createdAtMs=1_735_000_000_000,
            invoice_settledAtMs=1_735_000_000_040,
            invoice_paymentHash=opened["paymentHash"],
            requestId="req_smoke_1",
            taskId="task_smoke_1",
            routeId="route_weather",
            invoiceId="inv_smoke_1",
            occurredAtMs=1_735_000_000_100,
        ).proves("settlement.order"),
    )


CONTRADICTIONS: dict[str, dict[str, Any]] = {
    "amountMsats": {"amountMsats": 9_000},
    "ownerId": {"ownerId": "owner_stranger"},
    "paywallId": {"paywallId": "pw_stranger"},
    "paymentHash": {"paymentProofValue": OTHER.hex(), "paymentHash": OTHER.payment_hash.hex()},
    "invoiceId": {"invoiceId": "inv_other"},
}
CONTRADICTED_INVOICES: tuple[dict[str, Any], ...] = (
    {"amountMsats": 9_000},
    {"ownerId": "owner_stranger"},
    {"paywallId": "pw_stranger"},
)


def test_a_contradiction_is_refused_with_its_batch(
    l402_settlement_store: SettlementStore, l402_evidence: EvidenceCollector
) -> None:
    opened, settled, *_ = smoke_events()
    ingest_settlements(l402_settlement_store, (opened, settled))
    stranger = {
        **opened,
        "invoiceId": "inv_stranger",
        "requestId": "req_stranger",
        "occurredAtMs": 1_735_000_001_000,
    }
    stranger.pop("paymentHash")
    l402_evidence.record("events_sent", {"requestId": "smoke:conflict", "invoiceId": "inv_stranger"})
    for field, other in CONTRADICTIONS.items():
        with suppress(IngestRefused):
            ingest_settlements(
                l402_settlement_store, (stranger, {**settled, **other}), request_id=f"smoke:conflict:{field}"
            )
    other_proof = {"status": "settled", "paymentProofRef": hosted_proof_reference(OTHER.hex())}
    for other in (*CONTRADICTED_INVOICES, other_proof):
        with suppress(IngestRefused):
            ingest_settlements(
                l402_settlement_store, (stranger, {**opened, **other}), request_id="smoke:conflict:invoice"
            )
    l402_evidence.verify(
        *(
            some_row("conflicts", settlementId="inv_smoke_1", field=field).proves("settlement.conflict")
            for field in ("amountMsats", "ownerId", "paywallId", "paymentProofRef")
        ),
        *(
            settlement_conflict("set_smoke_1", field).proves("settlement.conflict")
            for field in CONTRADICTIONS
        ),
        *(
            some_row("ingest_batches", requestId=f"smoke:conflict:{field}", outcome="refused").proves(
                "settlement.conflict"
            )
            for field in CONTRADICTIONS
        ),
        no_row("invoices", witness="invoices", invoiceId="inv_stranger").proves("settlement.conflict"),
        result_shows("settlements", settlementId="set_smoke_1", amountMsats=2_500).proves(
            "settlement.conflict"
        ),
        result_shows("invoices", invoiceId="inv_smoke_1", amountMsats=2_500, status="settled").proves(
            "settlement.conflict"
        ),
    )
