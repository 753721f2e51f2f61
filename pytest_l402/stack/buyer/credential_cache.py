"""Decides which credential the buyer presents again instead of paying again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from pytest_l402.contract.payment import PaymentError
from pytest_l402.protocol.quote import Quote
from pytest_l402.stack.buyer.purchase import CacheStatus


@dataclass(frozen=True, slots=True)
class CachedCredential:
    """A paid credential; `authorization` is a secret, amounts are msats, the expiry epoch seconds.

    `refused_fresh` says that it was refused before it was ever good for anything: that is no reason to pay.
    """

    authorization: str = field(repr=False)
    payment_hash: str
    amount_msats: int
    proof_reference: str
    local_proof_reference: str
    expires_at_s: int | None = None
    refused_fresh: bool = False


@dataclass(frozen=True, slots=True)
class OpenPayment:
    """A payment of which nobody knows yet whether it will give a proof: what for, and what was said of it."""

    quote: Quote
    said: PaymentError


class CredentialCache:
    """Credentials by scheme, host and path, in memory: they are gone with the process."""

    def __init__(self) -> None:
        self._credentials: dict[str, CachedCredential] = {}

    def __len__(self) -> int:
        return len(self._credentials)

    def lookup(self, key: str, now_s: int) -> tuple[CacheStatus, CachedCredential | None]:
        """Return the credential to present: a `hit`; or none, `stale` when it has just been found expired.

        A credential is valid strictly before its expiry, as the gateway reads it.
        """
        found = self._credentials.get(key)
        if found is None:
            return CacheStatus.MISS, None
        if found.expires_at_s is not None and now_s >= found.expires_at_s:
            del self._credentials[key]
            return CacheStatus.STALE, None
        return CacheStatus.HIT, found

    def store(self, key: str, credential: CachedCredential) -> None:
        """Keep a credential in place of any earlier one."""
        self._credentials[key] = credential

    def keep_refused(self, key: str, credential: CachedCredential) -> None:
        """Keep a credential that was refused as soon as it was paid for: none is paid for in its place."""
        self.store(key, replace(credential, refused_fresh=True))

    def evict(self, key: str) -> None:
        """Forget the credential, if there is one."""
        self._credentials.pop(key, None)

    def clear(self) -> None:
        """Forget everything, as the end of the process does."""
        self._credentials.clear()
