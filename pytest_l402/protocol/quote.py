"""Decides what a 402 asks for, and what to present once it is paid."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from pytest_l402.boundary.strict_json import MAX_SAFE_INTEGER
from pytest_l402.protocol.bolt11 import decode_invoice
from pytest_l402.protocol.caveats import caveat_value, split_caveat
from pytest_l402.protocol.challenge import parse_challenges, preferred
from pytest_l402.protocol.credential import format_credential
from pytest_l402.protocol.errors import InvoiceError, MacaroonError, ProtocolError
from pytest_l402.protocol.macaroon import Macaroon
from pytest_l402.protocol.preimage import Preimage

_EXPIRY_CONDITION = "_valid_until"


class UnpayableQuote(ValueError):  # noqa: N818 - an answer of the gateway, told by its code
    """A 402 that is not to be paid as it is; `code` is stable, `detail` says what was expected and seen."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"402 answer: {detail} [{code}]")
        self.code = code
        self.detail = detail

    @classmethod
    def of(cls, error: ProtocolError) -> Self:
        """Return what a refusal of the protocol room is to who wanted to pay."""
        code = "challenge_invoice_unreadable" if isinstance(error, InvoiceError) else error.reason
        return cls(code, f"expected {error.expected}, saw {error.seen}")


class UnreadableQuote(UnpayableQuote):
    """A 402 of which it cannot be read what it asks for."""


@dataclass(frozen=True, slots=True)
class Quote:
    """What a 402 asks for: `amount_msats` of the invoice itself, whatever the header says beside it."""

    amount_msats: int
    payment_hash: str
    invoice: str = field(repr=False)
    macaroon_base64: str = field(repr=False)
    expires_at_s: int | None = None

    def authorization(self, preimage: Preimage) -> str:
        """Return the `Authorization` value once the invoice is paid; it is a secret."""
        return format_credential(self.macaroon_base64, preimage)


def read_quote(www_authenticate: Iterable[str]) -> Quote:
    """Return what the challenge asks for; L402 is preferred to LSAT, other schemes are passed over.

    Raises:
        UnreadableQuote: no readable challenge, an invoice that does not decode, one without an amount (a
            buyer with a cap does not pay an open amount), or with one that evidence cannot state.
    """
    try:
        challenge = preferred(parse_challenges(www_authenticate))
        invoice = decode_invoice(challenge.invoice)
    except ProtocolError as error:
        raise UnreadableQuote.of(error) from None
    if invoice.amount_msats is None:
        raise UnreadableQuote("challenge_amount_missing", "the invoice names no amount")
    if invoice.amount_msats > MAX_SAFE_INTEGER:
        raise UnreadableQuote("challenge_amount_too_large", "the invoice names more msats than a record can")
    return Quote(
        amount_msats=invoice.amount_msats,
        payment_hash=str(invoice.payment_hash),
        invoice=challenge.invoice,
        macaroon_base64=challenge.macaroon_base64,
        expires_at_s=credential_expiry(challenge.macaroon_base64),
    )


def credential_expiry(macaroon_base64: str) -> int | None:
    """Return the earliest expiry a macaroon states, in epoch seconds, or None when it states none.

    An unreadable macaroon states none: its bytes are the gateway's business.
    """
    try:
        caveats = Macaroon.from_base64(macaroon_base64).caveats
    except MacaroonError:
        return None
    expiries = []
    for condition in {parts[0] for caveat in caveats if (parts := split_caveat(caveat)) is not None}:
        name = condition.decode("utf-8", "replace")
        value = caveat_value(caveats, name) if name.endswith(_EXPIRY_CONDITION) else None
        if value is not None and value.isdigit() and len(value) < 20:
            expiries.append(int(value))
    return min(expiries, default=None)
