"""Decides whether a challenge is one that a buyer can pay, and be served for afterwards."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import StrEnum
from typing import Final, NoReturn

from pytest_l402.protocol.bolt11 import Invoice, decode_invoice
from pytest_l402.protocol.challenge import Challenge, parse_challenges
from pytest_l402.protocol.errors import ChallengeError, IdentifierError, InvoiceError, MacaroonError
from pytest_l402.protocol.identifier import Identifier
from pytest_l402.protocol.macaroon import Macaroon
from pytest_l402.protocol.quote import Quote, UnpayableQuote, credential_expiry, read_quote

CLOCK_TOLERANCE_S: Final = 300
"""How far the clocks of seller and buyer may be apart before an invoice is taken for one of the future."""


class ChallengeFinding(StrEnum):
    """What keeps a challenge that can be read from being a good one; the codes of a challenge probe."""

    INVOICE_OUTDATED = "challenge_invoice_outdated"
    INVOICE_EXPIRED = "challenge_invoice_expired"
    INVOICE_IN_FUTURE = "challenge_invoice_in_future"
    INVOICE_REPEATED = "challenge_invoice_repeated"
    MACAROON_UNREADABLE = "challenge_macaroon_unreadable"
    MACAROON_EXPIRED = "challenge_macaroon_expired"
    NOT_BOUND = "challenge_not_bound"
    WRONG_NETWORK = "challenge_wrong_network"


# What BOLT 11 tells a payer of today to refuse, though the text is that of an invoice, well signed.
_OUTDATED: Final = frozenset(
    f"invoice_{reason}"
    for reason in (
        *("payment_secret_missing", "description", "field_length", "not_minimal"),
        *("feature_unknown", "number_too_large"),
    )
)


def payable_quote(
    www_authenticate: Iterable[str],
    *,
    now_s: int | None = None,
    networks: Collection[str] | None = None,
    price_msats: int | None = None,
) -> Quote:
    """Return what a challenge asks for, once every L402 and LSAT line of it is seen to be a good one.

    Good is: a macaroon in standard base64 that is bound to the payment hash of its invoice and has not run
    out, and an invoice that BOLT 11 lets a payer pay, signed, of a time that has come and is not over at
    `now_s` (epoch seconds), on a network whose invoices begin with one of the prefixes `networks`, over
    `price_msats`. None leaves the clock, the network or the price out.

    Raises:
        UnpayableQuote: it is not; `code` says what is wrong with it: that of `read_quote`, a member of
            `ChallengeFinding`, or `challenge_amount_<seen>_not_<expected>`.
    """
    lines = tuple(www_authenticate)
    for challenge in _offered(lines):
        _check(challenge, now_s, networks)
    quote = read_quote(lines)
    check_price(quote, price_msats)
    return quote


def check_price(quote: Quote, price_msats: int | None) -> None:
    """Refuse a quote over another amount than `price_msats`; None takes any.

    Raises:
        UnpayableQuote: `challenge_amount_<seen>_not_<expected>`.
    """
    if price_msats is not None and quote.amount_msats != price_msats:
        code = f"challenge_amount_{quote.amount_msats}_not_{price_msats}"
        raise UnpayableQuote(code, f"expected {price_msats} msats, saw {quote.amount_msats}")


def check_fresh(quote: Quote, earlier: Quote) -> None:
    """Refuse a challenge that was handed out before, as by a cache: two buyers would pay one invoice.

    Raises:
        UnpayableQuote: `challenge_invoice_repeated`.
    """
    if quote.payment_hash == earlier.payment_hash:
        _refuse(ChallengeFinding.INVOICE_REPEATED, "an invoice of its own for each request", "one twice")


def _offered(lines: tuple[str, ...]) -> tuple[Challenge, ...]:
    try:
        return parse_challenges(lines)
    except ChallengeError:
        # `read_quote` says why.
        return ()


def _check(challenge: Challenge, now_s: int | None, networks: Collection[str] | None) -> None:
    try:
        invoice = decode_invoice(challenge.invoice)
    except InvoiceError as error:
        if error.reason not in _OUTDATED:
            raise UnpayableQuote.of(error) from None
        _refuse(ChallengeFinding.INVOICE_OUTDATED, error.expected, error.seen)
    _check_bound(challenge, invoice)
    if now_s is not None:
        _check_time(challenge, invoice, now_s)
    if networks is not None and invoice.prefix not in networks:
        wanted = f"an invoice of {' or '.join(sorted(networks))}"
        _refuse(ChallengeFinding.WRONG_NETWORK, wanted, f"one of {invoice.prefix}")


def _check_bound(challenge: Challenge, invoice: Invoice) -> None:
    try:
        macaroon = Macaroon.from_base64(challenge.macaroon_base64)
    except MacaroonError as error:
        _refuse(ChallengeFinding.MACAROON_UNREADABLE, error.expected, error.seen)
    bound = f"an identifier with payment hash {str(invoice.payment_hash)[:16]}…"
    try:
        payment_hash = Identifier.decode(macaroon.identifier).payment_hash
    except IdentifierError as error:
        _refuse(ChallengeFinding.NOT_BOUND, bound, f"one of {error.seen}")
    if payment_hash != invoice.payment_hash:
        _refuse(ChallengeFinding.NOT_BOUND, bound, f"one with {str(payment_hash)[:16]}…")


def _check_time(challenge: Challenge, invoice: Invoice, now_s: int) -> None:
    if now_s >= invoice.expires_at_s:
        seen = f"one that expired {now_s - invoice.expires_at_s} s ago"
        _refuse(ChallengeFinding.INVOICE_EXPIRED, "an invoice that can still be paid", seen)
    ahead_s = invoice.timestamp_s - now_s
    if ahead_s > CLOCK_TOLERANCE_S:
        seen = f"one of a time {ahead_s} s ahead"
        _refuse(ChallengeFinding.INVOICE_IN_FUTURE, "an invoice of a time that has come", seen)
    expires_at_s = credential_expiry(challenge.macaroon_base64)
    if expires_at_s is not None and now_s >= expires_at_s:
        seen = f"one that ran out {now_s - expires_at_s} s ago"
        _refuse(ChallengeFinding.MACAROON_EXPIRED, "a macaroon that is good for a while", seen)


def _refuse(finding: ChallengeFinding, expected: str, seen: str) -> NoReturn:
    raise UnpayableQuote(finding.value, f"expected {expected}, saw {seen}")
