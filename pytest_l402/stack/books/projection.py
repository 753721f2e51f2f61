"""What the user interface shows of a payment: it may lag behind, or differ from, what was settled."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from pytest_l402.contract import Plane, Speaker, hosted_proof_reference
from pytest_l402.contract.settlement_event import SettlementEvent, SettlementFact
from pytest_l402.harness.harness import Harness
from pytest_l402.harness.journal import Row
from pytest_l402.harness.observation import UI_ENDPOINT, observe
from pytest_l402.stack.faults import ProjectionProofMismatch, ProjectionStale


class Projection:
    """The transactions view: a `projection` row and a record of plane `ui` for each settlement."""

    def __init__(self, harness: Harness) -> None:
        self._harness = harness
        self._shown: set[str] = set()

    def observe(self, settlement: Row, event: SettlementEvent | SettlementFact, existed: bool) -> None:
        """Show a stored settlement for the request that presented its proof; `existed` marks a replay."""
        self._show(settlement, event.request_id, event.task_id, existed)

    def catch_up(self, settlements: Iterable[Row]) -> int:
        """Show the settlements that were never shown, as after an outage, and return how many there were."""
        missing = [row for row in settlements if row["settlementId"] not in self._shown]
        for row in missing:
            self._show(row, row["requestId"], row["taskId"], existed=False)
        return len(missing)

    def _show(self, settlement: Row, request_id: str | None, task_id: str | None, existed: bool) -> None:
        if self._harness.faults.active(ProjectionStale, request_id):
            return
        proof = settlement["paymentProofRef"]
        if self._harness.faults.active(ProjectionProofMismatch, request_id):
            # As long as the real one, and of the same form: only a comparison tells them apart.
            proof = hosted_proof_reference(hashlib.sha256(f"shown instead of {proof}".encode()).hexdigest())
        amount = settlement["amountMsats"]
        self._shown.add(settlement["settlementId"])
        record = observe(
            self._harness,
            Plane.UI,
            Speaker.SYSTEM,
            request_id=request_id,
            user_id=settlement["ownerId"],
            paywall_id=settlement["paywallId"],
            task_id=task_id,
            endpoint=UI_ENDPOINT,
            quoted_cost_msats=amount,
            cap_applied_msats=amount,
            paid_amount_msats=amount,
            payment_proof_ref=proof,
            cache_hit=existed,
        )
        self._harness.journal.append(
            "projection",
            {
                "requestId": request_id,
                "taskId": task_id,
                "paymentProofRef": proof,
                "amountMsats": amount,
                "status": "cached" if existed else "paid",
                "atMs": record.observed_at_ms,
            },
        )
