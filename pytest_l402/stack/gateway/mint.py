"""Decides which credentials are genuine: one root key per macaroon, and the order of the checks."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import sha256
from typing import Protocol

from pytest_l402.boundary.known_secrets import ISSUED
from pytest_l402.harness.network import Header
from pytest_l402.harness.randomness import Randomness
from pytest_l402.protocol import (
    CaveatError,
    CaveatReason,
    Credential,
    CredentialError,
    CredentialReason,
    Dialect,
    Identifier,
    IdentifierError,
    Macaroon,
    PaymentHash,
    check_caveats,
    mint,
    parse_credential,
)
from pytest_l402.stack.gateway.services import Service

LOCATION = "lsat"


class Standing(StrEnum):
    """What the gateway makes of the credential of a request; `absent` when none was asked for or sent."""

    ABSENT = "absent"
    ACCEPTED = "accepted"
    REFUSED = "refused"


class Refusal(StrEnum):
    """Why a credential that could be read is refused, besides the reasons of its caveats."""

    IDENTIFIER_MALFORMED = "identifier_malformed"
    PREIMAGE_MISMATCH = "preimage_mismatch"
    ROOT_KEY_UNKNOWN = "root_key_unknown"
    SIGNATURE_INVALID = "signature_invalid"
    INVOICE_NOT_SETTLED = "invoice_not_settled"
    ALREADY_USED = "already_used"


# What a client could not have known when it presented the credential: time ran out, or the seller revoked it.
LAPSED: frozenset[str] = frozenset({CaveatReason.EXPIRED, Refusal.ROOT_KEY_UNKNOWN})


@dataclass(frozen=True, slots=True)
class Minted:
    """What the gateway remembers of a credential: the key it signed with, and what the invoice asked for."""

    root_key: bytes = field(repr=False)
    payment_hash: PaymentHash
    amount_msats: int
    token_id: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Presented:
    """A request's credential and its standing; `digest` is a reference that may be shown."""

    standing: Standing
    reason: str | None = None
    payment_hash: PaymentHash | None = None
    digest: str | None = None
    credential: Credential | None = field(default=None, repr=False)
    minted: Minted | None = None

    def refused(self, reason: str) -> Presented:
        """Return this credential as refused after all, for a reason beyond its cryptography."""
        return replace(self, standing=Standing.REFUSED, reason=str(reason), minted=None)


_ABSENT = Presented(Standing.ABSENT)


class RootKeys(Protocol):
    """Where the root keys of credentials are kept, each under the SHA-256 of its macaroon's identifier."""

    def keep(self, digest: bytes, minted: Minted) -> None:
        """Keep what is to be remembered of a credential."""

    def find(self, digest: bytes, identifier: bytes) -> Minted | None:
        """Return what is remembered of a credential, None when it was revoked or never minted."""

    def drop(self, payment_hash: str) -> int:
        """Forget the credentials bought with a payment and return how many there were."""


class RootKeysInMemory:
    """Root keys that end with the process."""

    def __init__(self) -> None:
        self._minted: dict[bytes, Minted] = {}
        self._lock = threading.Lock()

    def keep(self, digest: bytes, minted: Minted) -> None:
        """Keep what is to be remembered of a credential."""
        with self._lock:
            self._minted[digest] = minted

    def find(self, digest: bytes, identifier: bytes) -> Minted | None:
        """Return what is remembered of a credential."""
        return self._minted.get(digest)

    def drop(self, payment_hash: str) -> int:
        """Forget the credentials bought with a payment."""
        with self._lock:
            doomed = [key for key, minted in self._minted.items() if minted.payment_hash == payment_hash]
            for key in doomed:
                del self._minted[key]
        return len(doomed)


class CredentialMint:
    """Mints macaroons, and judges presented ones by cryptography, never by comparing with what was issued."""

    def __init__(self, randomness: Randomness, root_keys: RootKeys | None = None) -> None:
        self._randomness = randomness
        self._root_keys = root_keys if root_keys is not None else RootKeysInMemory()

    def mint(self, payment_hash: PaymentHash, amount_msats: int, service: Service, now_s: int) -> Macaroon:
        """Return a fresh macaroon for `service` that is worth something once `payment_hash` is paid."""
        token_id = self._randomness.bytes(32, "token id")
        root_key = self._randomness.bytes(32, "root key")
        identifier = Identifier(0, payment_hash, token_id).encode()
        self.remember(identifier, Minted(root_key, payment_hash, amount_msats, token_id))
        macaroon = mint(root_key, identifier, LOCATION, service.caveats(now_s))
        ISSUED.note(root_key, macaroon.to_bytes())
        return macaroon

    def remember(self, identifier: bytes, minted: Minted) -> None:
        """Keep a root key under the SHA-256 of the macaroon's identifier, as Aperture's store does."""
        self._root_keys.keep(sha256(identifier).digest(), minted)

    def revoke(self, payment_hash: str) -> int:
        """Delete the root keys of all macaroons bound to this payment and return how many there were."""
        return self._root_keys.drop(payment_hash)

    def judge(
        self, headers: Sequence[Header], service: Service, now_s: int, dialect: Dialect = Dialect.APERTURE
    ) -> Presented:
        """Judge the credential of a request in Aperture's order of checks, up to and including the caveats.

        Header, identifier, preimage against payment hash, root key, signature, caveats. Of several macaroons
        (the specification's dialect) every one must hold.
        """
        try:
            credential = parse_credential(headers, dialect)
        except CredentialError as error:
            if error.reason == CredentialReason.ABSENT:
                return _ABSENT
            return Presented(Standing.REFUSED, str(error.reason))
        first: Presented | None = None
        for macaroon in (credential.macaroon, *credential.further_macaroons):
            presented = self._judge_one(credential, macaroon, service, now_s)
            if presented.standing is not Standing.ACCEPTED:
                return presented
            first = first or presented
        assert first is not None
        return first

    def _judge_one(
        self, credential: Credential, macaroon: Macaroon, service: Service, now_s: int
    ) -> Presented:
        digest = macaroon.digest

        def refused(reason: str, payment_hash: PaymentHash | None = None) -> Presented:
            return Presented(Standing.REFUSED, str(reason), payment_hash, digest, credential)

        try:
            identifier = Identifier.decode(macaroon.identifier)
        except IdentifierError:
            return refused(Refusal.IDENTIFIER_MALFORMED)
        payment_hash = identifier.payment_hash
        if credential.preimage.payment_hash != payment_hash:
            return refused(Refusal.PREIMAGE_MISMATCH, payment_hash)
        minted = self._root_keys.find(sha256(macaroon.identifier).digest(), macaroon.identifier)
        if minted is None:
            return refused(Refusal.ROOT_KEY_UNKNOWN, payment_hash)
        if not macaroon.verify(minted.root_key):
            return refused(Refusal.SIGNATURE_INVALID, payment_hash)
        try:
            check_caveats(macaroon.caveats, service.name, now_s)
        except CaveatError as error:
            return refused(error.reason, payment_hash)
        return Presented(Standing.ACCEPTED, None, payment_hash, digest, credential, minted)
