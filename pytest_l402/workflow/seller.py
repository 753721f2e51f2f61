"""Decides what the seller answers: 402 with a challenge, and 200 to the credential that proves a payment."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from pytest_l402.boundary.known_secrets import ISSUED
from pytest_l402.harness.network import Request, Response
from pytest_l402.harness.randomness import Randomness
from pytest_l402.protocol import (
    CredentialError,
    Identifier,
    IdentifierError,
    PaymentHash,
    Preimage,
    decode_invoice,
    encode_invoice,
    format_challenge,
    mint,
    parse_credential,
)

Row = dict[str, Any]

GOODS = b'{"weather":"fair"}\n'
_EXPIRY_S = 3600


class CannotPay(ValueError):  # noqa: N818 - the name of the condition
    """The invoice is none of this seller's, or is paid already."""


@dataclass(slots=True)
class _Offer:
    preimage: Preimage = field(repr=False)
    root_key: bytes = field(repr=False)
    settled: bool = False


class Seller:
    """Sells one thing at one price: real BOLT11, real macaroons, every credential judged by cryptography."""

    def __init__(self, randomness: Randomness, price_msats: int, now_s: int) -> None:
        self._randomness = randomness
        self._price_msats = price_msats
        # A clock of its own: what it signs depends on the seed alone.
        self._now_s = now_s
        self._node_key = randomness.bytes(32, "node private key")
        self._offers: dict[str, _Offer] = {}
        self._lock = threading.Lock()
        self.deliveries: list[Row] = []

    def handle(self, request: Request) -> Response:
        """Answer one request for the goods."""
        try:
            credential = parse_credential(request.headers)
            payment_hash = Identifier.decode(credential.macaroon.identifier).payment_hash
        except (CredentialError, IdentifierError):
            return self._challenged()
        offer = self._offers.get(payment_hash)
        genuine = (
            offer is not None
            and offer.settled
            and credential.preimage.payment_hash == payment_hash
            and credential.macaroon.verify(offer.root_key)
        )
        if not genuine:
            return self._challenged()
        with self._lock:
            self.deliveries.append({"paymentHash": str(payment_hash), "sha256": sha256(GOODS).hexdigest()})
        return Response(200, (("Content-Type", "application/json"),), GOODS)

    def settle(self, bolt11: str) -> tuple[PaymentHash, Preimage, int]:
        """Take the payment of an invoice; return its hash, the preimage and how many msats were paid.

        Raises:
            CannotPay: it is no invoice of this seller, or is paid already.
        """
        try:
            payment_hash = decode_invoice(bolt11).payment_hash
        except ValueError:
            raise CannotPay("not an invoice") from None
        with self._lock:
            offer = self._offers.get(payment_hash)
            if offer is None or offer.settled:
                raise CannotPay("unknown or settled invoice")
            offer.settled = True
        return payment_hash, offer.preimage, self._price_msats

    def _challenged(self) -> Response:
        with self._lock:
            preimage = Preimage(self._randomness.bytes(32, "preimage"))
            root_key = self._randomness.bytes(32, "root key")
            token_id = self._randomness.bytes(32, "token id")
            secret = self._randomness.bytes(32, "payment secret")
            payment_hash = preimage.payment_hash
            self._offers[payment_hash] = _Offer(preimage, root_key)
        ISSUED.note_digest(payment_hash.to_bytes())
        invoice = encode_invoice(
            private_key=self._node_key,
            payment_hash=payment_hash,
            timestamp_s=self._now_s,
            amount_msats=self._price_msats,
            description="weather",
            payment_secret=secret,
            expiry_s=_EXPIRY_S,
        )
        macaroon = mint(root_key, Identifier(0, payment_hash, token_id).encode(), "lsat", ())
        ISSUED.note(root_key, macaroon.to_bytes())
        challenge = format_challenge(macaroon.to_base64(), invoice)
        return Response(402, (("WWW-Authenticate", challenge),), b"payment required\n")
