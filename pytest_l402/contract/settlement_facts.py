"""Decides what the books take in: facts about invoices and settlements, free of secrets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pytest_l402.contract.settlement_event import SettlementConflict, SettlementRefused

INVOICE_RANK = {"open": 0, "canceled": 1, "expired": 1, "settled": 2}
"""A status is replaced by one of higher rank only. Source: lightning-ops, settlement ingest."""


@dataclass(frozen=True, slots=True)
class InvoiceFact:
    """What is known of an invoice since `at_ms` (epoch milliseconds); None where it is not known.

    `witnessed` marks what the gateway saw itself: no report about it, however early it says it was, takes
    the place of that.
    """

    at_ms: int
    invoice_id: str
    paywall_id: str
    owner_id: str
    amount_msats: int
    status: str = "open"
    payment_hash: str | None = None
    proof_reference: str | None = None
    request_id: str | None = None
    settled_at_ms: int | None = None
    witnessed: bool = False

    @property
    def known_since_ms(self) -> int:
        """The earliest time at which the invoice must have been there."""
        return self.at_ms if self.settled_at_ms is None else min(self.at_ms, self.settled_at_ms)


@dataclass(frozen=True, slots=True)
class SettlementFact:
    """A payment as a proof shows it at `at_ms`; `payment_hash` is the preimage's own.

    `claimed_hash` is the payment hash that its sender named, if any: the two must be one.
    """

    at_ms: int
    settlement_id: str
    payment_hash: str
    proof_reference: str
    amount_msats: int
    paywall_id: str
    owner_id: str
    invoice_id: str | None = None
    request_id: str | None = None
    task_id: str | None = None
    route_id: str | None = None
    claimed_hash: str | None = None
    witnessed: bool = False


@dataclass(frozen=True, slots=True)
class Booked:
    """A fact, the row of the books that it left, and whether what it tells of `existed` before it."""

    fact: InvoiceFact | SettlementFact
    row: dict[str, Any]
    existed: bool


class PreimageConflict(SettlementConflict):
    """The preimage of an event does not hash to the payment hash that the same event names."""

    code = "invalid_preimage"


class BatchConflict(SettlementRefused):
    """Facts of a batch contradict the books or one another; none of the batch was kept.

    `conflicts` are pairs of the fact's place in the batch and what it contradicts.
    """

    code = "batch_conflict"

    def __init__(self, conflicts: tuple[tuple[int, SettlementConflict], ...]) -> None:
        super().__init__(
            f"settlement batch: {len(conflicts)} contradictions, nothing was kept; "
            f"the first: {conflicts[0][1]}"
        )
        self.conflicts = conflicts
