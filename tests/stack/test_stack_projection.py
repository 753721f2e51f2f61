"""What the user interface shows follows what was settled, unless a fault says otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_l402.harness.harness import Harness
from pytest_l402.protocol import Preimage
from pytest_l402.stack import Projection, SettlementEvent
from pytest_l402.stack.faults import ProjectionProofMismatch, ProjectionStale

PROOF = "lightning_preimage:" + "a" * 24
PREIMAGE = Preimage(b"\x0a" * 32)
ROW = {
    "settlementId": "set_1",
    "invoiceId": None,
    "paymentHash": str(PREIMAGE.payment_hash),
    "paywallId": "pw",
    "ownerId": "owner",
    "amountMsats": 7,
    "paymentProofRef": PROOF,
    "requestId": "req_1",
    "taskId": "task_1",
    "routeId": None,
    "occurredAtMs": 1,
}


def event(request_id: str, task_id: str | None) -> SettlementEvent:
    return SettlementEvent(
        "set_1", str(PREIMAGE.payment_hash), PREIMAGE, 7, "pw", "owner", request_id, task_id
    )


class Screen:
    def __init__(self) -> None:
        harness = Harness()
        self.journal, self.faults = harness.journal, harness.faults
        self.projection = Projection(harness)

    def shown(self) -> list[tuple[Any, ...]]:
        rows = self.journal.rows("projection")
        return [(row["requestId"], row["taskId"], row["paymentProofRef"], row["status"]) for row in rows]


@pytest.fixture
def screen() -> Screen:
    return Screen()


def test_it_shows_a_settlement_for_the_request_that_presented_the_proof(screen: Screen) -> None:
    screen.projection.observe(ROW, event("req_1", "task_1"), existed=False)
    screen.projection.observe(ROW, event("req_2", "task_2"), existed=True)

    assert screen.shown() == [("req_1", "task_1", PROOF, "paid"), ("req_2", "task_2", PROOF, "cached")]
    first, second = screen.journal.rows("records")
    assert (first["plane"], first["executor"], first["endpoint"]) == (
        "ui",
        "system",
        "openagents.com/home#l402-transactions",
    )
    assert (first["cacheHit"], second["cacheHit"]) == (False, True)
    assert {first[k] for k in ("quotedCostMsats", "capAppliedMsats", "paidAmountMsats")} == {7}
    assert (second["requestId"], second["userId"], second["paywallId"]) == ("req_2", "owner", "pw")


def test_a_stale_projection_shows_nothing_until_it_catches_up(screen: Screen) -> None:
    with screen.faults.inject(ProjectionStale()):
        screen.projection.observe(ROW, event("req_1", "task_1"), existed=False)
        assert screen.projection.catch_up([ROW]) == 1
    assert screen.shown() == []
    assert screen.journal.rows("records") == ()

    assert screen.projection.catch_up([ROW]) == 1
    assert screen.projection.catch_up([ROW]) == 0
    assert screen.shown() == [("req_1", "task_1", PROOF, "paid")]


def test_a_mismatching_projection_shows_another_proof_of_the_same_form(screen: Screen) -> None:
    with screen.faults.inject(ProjectionProofMismatch(), request_id="req_1"):
        screen.projection.observe(ROW, event("req_1", "task_1"), existed=False)
        screen.projection.observe(ROW, event("req_2", "task_2"), existed=True)

    (_, _, wrong, _), (_, _, right, _) = screen.shown()
    assert right == PROOF
    assert wrong != PROOF
    assert len(wrong) == len(PROOF)
    assert screen.journal.rows("records")[0]["paymentProofRef"] == wrong
