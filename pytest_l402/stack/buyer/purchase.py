"""Decides how a purchase can end, and what of it may be shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class PurchaseStatus(StrEnum):
    """How a purchase ended, as the buyer knows it."""

    PAID = "paid"
    """Paid now, and delivered."""
    CACHED = "cached"
    """Delivered for a credential of an earlier payment; nothing was paid."""
    FREE = "free"
    """Delivered without a challenge; nothing was paid."""
    BLOCKED = "blocked"
    """Denied by a policy before any payment."""
    REFUSED = "refused"
    """The gateway refused the credential, and the buyer did not pay again."""
    FAILED = "failed"
    """Something broke; `error_code` says what, `paid` whether money moved before."""
    INTERRUPTED = "interrupted"
    """The executor was not there, or went away underway; what it did not know is unknown here too."""


class CacheStatus(StrEnum):
    """What the credential cache had to offer."""

    MISS = "miss"
    HIT = "hit"
    STALE = "stale"
    """It held a credential that had expired."""
    INVALID = "invalid"
    """It held a credential that the gateway refused."""


@dataclass(frozen=True, slots=True)
class Purchase:
    """What the buyer knows after it bought, or tried to; amounts in msats, no secret in it.

    `paid` says that this purchase moved money, as far as is known, and `payment_hashes` for which invoices.
    `proof_reference` is the hosted form, `local_proof_reference` the local one; of a cached purchase they are
    those of the earlier payment. `raised` is what the buyer's own code raised in place of an answer: it may
    hold a secret, so that the repr leaves it out.
    """

    request_id: str
    task_id: str | None
    status: PurchaseStatus
    url: str
    http_status: int | None = None
    paid: bool = False
    payment_hash: str | None = None
    amount_msats: int | None = None
    quoted_msats: int | None = None
    proof_reference: str | None = None
    local_proof_reference: str | None = None
    cache_status: CacheStatus = CacheStatus.MISS
    error_code: str | None = None
    error_reason: str | None = None
    body: bytes = field(default=b"", repr=False)
    payment_hashes: tuple[str, ...] = ()
    raised: BaseException | None = field(default=None, repr=False)
