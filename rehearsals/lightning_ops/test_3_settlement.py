"""Settlement: a batch is booked once, a replay is observed, and a contradiction changes nothing."""

from collections.abc import Callable, Iterable
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
from pytest_l402.ops.settlement.smoke import START_MS, smoke_events
from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.protocol import Preimage
from pytest_l402.stack import SettlementStore

PAID, OTHER, THIRD = (Preimage(byte * 32) for byte in (b"\xaa", b"\xbb", b"\xcc"))

pytestmark = pytest.mark.rehearsal("settlement", runbook="lightning-ops", section="Commands")


# The second time that the invoice is told to be open, it is settled.
TRANSITIONS = [["inv_smoke_1", "open"], ["inv_smoke_1", "settled"], ["inv_smoke_2", "expired"]]


def test_deterministic_ingest(
    l402_settlement_store: SettlementStore, l402_evidence: EvidenceCollector
) -> None:
    ingest = ingest_settlements(l402_settlement_store, smoke_events())
    proof = ingest.payment_proof_refs[0]
    l402_evidence.record("settlement_ingest", ingest.to_row())
    moved = [[each["invoiceId"], each["status"]] for each in ingest.to_row()["invoiceTransitions"]]
    l402_evidence.record("moved_invoices", {"of": moved})
    l402_evidence.record("correlation_refs", *(item.correlation_row() for item in ingest.settlements))
    l402_evidence.record("ingested_settlements", *(item.to_row() for item in ingest.settlements))
    l402_evidence.verify(
        result_shows(
            "settlement_ingest",
            processed=5,
            settlementIds=["set_smoke_1", "set_smoke_1"],
            paymentProofRefs=[proof, proof],
        ).proves("settlement.output"),
        result_shows("moved_invoices", of=TRANSITIONS).proves("settlement.output"),
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


Told = Callable[[SettlementStore], object]
"""One thing that a store is told, by a report or by the gateway."""


def test_the_order_of_events_does_not_matter(l402_evidence: EvidenceCollector) -> None:
    opened, settled, _, reopened, _ = smoke_events()
    closed = {"status": "settled", "requestId": "req_smoke_late", "settledAtMs": 1_735_000_000_040}
    unlinked = {key: value for key, value in settled.items() if key != "invoiceId"}
    # Told by somebody who writes hex his own way.
    again = {"paymentProofValue": f" {settled['paymentProofValue'].upper()} ", "occurredAtMs": START_MS + 101}
    stories: dict[str, tuple[Told, ...]] = {
        "books": tuple(
            map(_reported, (opened, settled, reopened, {**opened, **closed, "occurredAtMs": START_MS + 50}))
        ),
        "closed_books": (
            _reported(reopened),
            _reported({**opened, "status": "canceled", "occurredAtMs": START_MS + 10}),
            _reported({**opened, "status": "expired", "occurredAtMs": START_MS + 20}),
        ),
        "unlinked_books": (_reported(unlinked), _reported({**settled, **again})),
        "late_books": (_reported(unlinked), _reported(opened)),
        "own_books": (_opened_by_the_gateway, *map(_reported, (opened, settled))),
    }
    for table, story in stories.items():
        l402_evidence.record(table, *(_books(order) for order in permutations(story)))
    l402_evidence.record("first_books", _books((_reported(reopened),)))
    told = {"invoice_status": "settled", "invoiceId": "inv_smoke_1", "paymentHash": settled["paymentHash"]}
    l402_evidence.verify(
        same_in_every_row("books", *ALL_OF_THE_BOOKS, at_least=24).proves("settlement.order"),
        some_row(
            "books",
            **told,
            invoice_requestId="req_smoke_1",
            invoice_createdAtMs=START_MS,
            invoice_settledAtMs=START_MS + 40,
            invoice_paymentHash=opened["paymentHash"],
            requestId="req_smoke_1",
            taskId="task_smoke_1",
            routeId="route_weather",
            occurredAtMs=START_MS + 100,
        ).proves("settlement.order"),
        some_row("first_books", invoice_requestId="req_smoke_reordered_open", invoice_status="open").proves(
            "settlement.order"
        ),
        same_in_every_row("closed_books", "invoice_status", "invoice_requestId", at_least=6).proves(
            "settlement.order"
        ),
        some_row("closed_books", invoice_status="canceled").proves("settlement.order"),
        same_in_every_row("unlinked_books", *told, "occurredAtMs").proves("settlement.order"),
        some_row("unlinked_books", **told, occurredAtMs=START_MS + 100).proves("settlement.order"),
        same_in_every_row("late_books", *told, "invoice_settledAtMs").proves("settlement.order"),
        some_row("late_books", **told, invoice_settledAtMs=START_MS + 100).proves("settlement.order"),
        # What the gateway has seen itself is not replaced by what is reported of it.
        same_in_every_row("own_books", *told, "invoice_requestId", at_least=6).proves("settlement.order"),
        some_row("own_books", **told, invoice_requestId="req_own").proves("settlement.order"),
        no_row("own_books", witness="own_books", invoice_createdAtMs=START_MS).proves("settlement.order"),
    )


ALL_OF_THE_BOOKS = (
    *("settlementId", "invoiceId", "paymentHash", "paywallId", "ownerId", "amountMsats", "paymentProofRef"),
    *("requestId", "taskId", "routeId", "occurredAtMs"),
    *("invoice_invoiceId", "invoice_paymentHash", "invoice_paywallId", "invoice_ownerId"),
    *("invoice_amountMsats", "invoice_status", "invoice_requestId"),
    *("invoice_createdAtMs", "invoice_settledAtMs"),
)


def _reported(event: dict[str, Any]) -> Told:
    return lambda store: ingest_settlements(store, (event,))


def _opened_by_the_gateway(store: SettlementStore) -> None:
    payment_hash = PAID.payment_hash.hex()
    store.invoice_opened(payment_hash, "inv_smoke_1", 2_500, "pw_weather", "owner_weather", "req_own")


def _books(order: Iterable[Told]) -> dict[str, Any]:
    """Tell a store of its own all this; return its invoice and its settlement, as one row."""
    store = SettlementStore(Harness(402))
    for tell in order:
        tell(store)
    (invoice,), settlements = store.rows("invoices"), store.rows("settlements")
    store.close()
    found = {f"invoice_{key}": value for key, value in invoice.items()}
    return found | {key: value for settlement in settlements for key, value in settlement.items()}


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
    other_proof = {"status": "settled", "paymentProofRef": _proof(OTHER)}
    for other in (*CONTRADICTED_INVOICES, other_proof):
        with suppress(IngestRefused):
            ingest_settlements(
                l402_settlement_store, (stranger, {**opened, **other}), request_id="smoke:conflict:invoice"
            )
    _contradict_what_is_known_otherwise(l402_settlement_store, opened, settled)
    with suppress(IngestRefused):
        unheard_of = {**settled, "kind": "unheard-of"}
        ingest_settlements(l402_settlement_store, (stranger, unheard_of), request_id="smoke:conflict:kind")
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
            some_row(
                "ingest_batches",
                **{"refusals.event": 1, "refusals.field": field, "refusals.code": "settlement_conflict"},
                requestId=f"smoke:conflict:{field}",
                outcome="refused",
                events=2,
            ).proves("settlement.conflict")
            for field in CONTRADICTIONS
        ),
        *(
            some_row("conflicts", settlementId=settlement_id, field=field, kept=kept, refused=refused).proves(
                "settlement.conflict"
            )
            for settlement_id, field, kept, refused in (
                # By the invoice that it names, whoever's payment it is.
                ("set_misnamed", "amountMsats", "2500", "1800"),
                ("set_other_proof", "paymentProofRef", _proof(OTHER), _proof(THIRD)),
            )
        ),
        some_row(
            "ingest_batches",
            **{"refusals.event": 1, "refusals.field": "kind", "refusals.code": "invalid_event"},
            requestId="smoke:conflict:kind",
            outcome="refused",
        ).proves("settlement.conflict"),
        # One proof for each payment: where the payments differ, the proofs have to.
        no_row("conflicts", witness="conflicts", settlementId="set_smoke_1", field="paymentProofRef").proves(
            "settlement.conflict"
        ),
        *(
            some_record(requestId=request_id, plane="settlement", denyReason=code).proves(
                "settlement.conflict"
            )
            for request_id, code in (
                ("req_smoke_1", "settlement_conflict"),
                ("req_misnamed", "settlement_conflict"),
                ("req_unproven", "invalid_preimage"),
            )
        ),
        no_row("invoices", witness="invoices", invoiceId="inv_stranger").proves("settlement.conflict"),
        result_shows("settlements", settlementId="set_smoke_1", amountMsats=2_500).proves(
            "settlement.conflict"
        ),
        some_row("invoices", invoiceId="inv_smoke_1", amountMsats=2_500, status="settled").proves(
            "settlement.conflict"
        ),
    )


def _contradict_what_is_known_otherwise(
    store: SettlementStore, opened: dict[str, Any], settled: dict[str, Any]
) -> None:
    """Contradict an invoice that is known by its id, one known by its proof, and a batch in two ways."""
    invoice = {key: value for key, value in opened.items() if key != "paymentHash"}
    by_hash = {"invoiceId": "inv_by_hash", "amountMsats": 1_800, "paymentHash": OTHER.payment_hash.hex()}
    by_proof = {"invoiceId": "inv_by_proof", "occurredAtMs": START_MS + 1}
    proven = {**by_proof, "status": "settled", "paymentProofRef": _proof(OTHER)}
    ingest_settlements(store, ({**invoice, **by_hash}, {**invoice, **by_proof}, {**invoice, **proven}))
    misnamed = settled | {
        "settlementId": "set_misnamed",
        "requestId": "req_misnamed",
        "amountMsats": 1_800,
        "paymentHash": OTHER.payment_hash.hex(),
        "paymentProofValue": OTHER.hex(),
    }
    unproven = settled | {
        "settlementId": "set_unproven",
        "requestId": "req_unproven",
        "paymentProofValue": THIRD.hex(),
    }
    other_proof = settled | {
        "settlementId": "set_other_proof",
        "invoiceId": "inv_by_proof",
        "requestId": "req_other_proof",
        "paymentHash": THIRD.payment_hash.hex(),
        "paymentProofValue": THIRD.hex(),
    }
    for events in ((misnamed, unproven), (other_proof,)):
        with suppress(IngestRefused):
            ingest_settlements(store, events, request_id="smoke:conflict:known-otherwise")


def _proof(preimage: Preimage) -> str:
    return hosted_proof_reference(preimage.hex())
