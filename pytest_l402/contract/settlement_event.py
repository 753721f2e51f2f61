"""What the settlement store is told of invoices and payments, and how it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pytest_l402.protocol import Preimage

PROOF_TYPE = "lightning_preimage"
INVOICE_RANK = {"open": 0, "canceled": 1, "expired": 1, "settled": 2}
"""A status is replaced by one of higher rank only. Source: lightning-ops, settlement ingest."""


def settlement_id_of(payment_hash: str) -> str:
    """Return the settlement's idempotency key: `set_` and the first 16 hex digits of the payment hash."""
    return f"set_{payment_hash[:16]}"


@dataclass(frozen=True, slots=True)
class SettlementEvent:
    """One proof of payment as the gateway saw it; amounts in msats, the preimage never in the repr.

    `request_id` and `task_id` belong to the request that presented the proof: a replay of a stored settlement
    comes with other ones.
    """

    settlement_id: str
    payment_hash: str
    preimage: Preimage = field(repr=False)
    amount_msats: int
    paywall_id: str
    owner_id: str
    request_id: str | None = None
    task_id: str | None = None
    route_id: str | None = None


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of an event: `existed` says that it was known already, and that nothing was added."""

    existed: bool
    proof_reference: str


class SettlementRefused(ValueError):  # noqa: N818 - the outcome's name, as the control plane's codes have it
    """The store refused an event and kept everything as it was; `code` is stable, the message for people."""

    code = "settlement_refused"


class InvalidPreimage(SettlementRefused):
    """The presented preimage does not hash to the payment hash; paying proves nothing without it."""

    code = "invalid_preimage"

    def __init__(self, settlement_id: str) -> None:
        super().__init__(
            f"settlement {settlement_id}: expected a preimage whose SHA-256 is the payment hash, "
            "saw another; send the preimage that the wallet returned for this invoice"
        )
        self.settlement_id = settlement_id


class SettlementConflict(SettlementRefused):
    """An event contradicts what the store holds under the same settlement or invoice."""

    code = "settlement_conflict"

    def __init__(self, settlement_id: str, field_name: str, kept: object, refused: object) -> None:
        super().__init__(
            f"settlement {settlement_id}: {field_name} is {kept!r} in the store, the event says {refused!r}; "
            "nothing was changed: find out which of the two senders is wrong"
        )
        self.settlement_id = settlement_id
        self.field = field_name
        self.kept = kept
        self.refused = refused


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
