"""Decides what the gateway tells the settlement store about a payment, and how the store answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_l402.protocol import Preimage

PROOF_TYPE = "lightning_preimage"


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
