"""What crosses the wire of a gateway, as it is seen from outside: challenge, credential, digests."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final
from urllib.parse import quote

from pytest_l402.harness.network import Request, Response
from pytest_l402.protocol import (
    ChallengeError,
    CredentialError,
    Identifier,
    IdentifierError,
    InvoiceError,
    Macaroon,
    MacaroonError,
    Preimage,
    decode_invoice,
    parse_challenges,
    parse_credential,
    preferred,
)

_SHOWN: Final = "/:@!$&'()*+,;=-._~%"
_CARRIED: Final = re.compile(r"(?:LSAT|L402) +(\S+?)(?::([0-9a-fA-F]{64}))?", re.IGNORECASE)
_SCHEME: Final = re.compile(r"\s*(?:LSAT|L402)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Carried:
    """The credential that a request carries, whatever it is made of; nothing of it is verified.

    `digest` is a reference that may be shown. `payment_hash` is the one that the token is bound to, or else
    that of the preimage which came with it. `macaroon` is None for a token of another kind.
    """

    digest: str
    payment_hash: str | None
    macaroon: Macaroon | None = field(default=None, repr=False)
    preimage: Preimage | None = field(default=None, repr=False)


def carried_by(request: Request) -> Carried | None:
    """Return the credential that a request carries; None where no header has one."""
    try:
        credential = parse_credential(request.headers)
        return _of_macaroon(credential.macaroon, credential.preimage)
    except CredentialError:
        lines = [line for line in request.headers_of("Authorization") if _SCHEME.match(line)]
        return _of_text(lines[-1].strip()) if lines else None


def _of_text(line: str) -> Carried:
    """Read what Aperture does not: url-safe or bare base64, and tokens that are no macaroons at all."""
    match = _CARRIED.fullmatch(line)
    if match is None:
        return Carried(_reference(line.encode()), None)
    token, digits = match.groups()
    preimage = None if digits is None else Preimage.from_hex(digits.lower())
    macaroon = lenient_macaroon(token)
    if macaroon is not None:
        return _of_macaroon(macaroon, preimage)
    return Carried(
        _reference(token.encode()), None if preimage is None else str(preimage.payment_hash), None, preimage
    )


def _of_macaroon(macaroon: Macaroon, preimage: Preimage | None) -> Carried:
    payment_hash = payment_hash_in(macaroon)
    if payment_hash is None and preimage is not None:
        payment_hash = str(preimage.payment_hash)
    return Carried(macaroon.digest, payment_hash, macaroon, preimage)


def payment_hash_in(macaroon: Macaroon) -> str | None:
    """Return the payment hash that a macaroon is bound to; None where its identifier names none."""
    try:
        return str(Identifier.decode(macaroon.identifier).payment_hash)
    except IdentifierError:
        return None


def lenient_macaroon(text: str) -> Macaroon | None:
    """Return the macaroon of a text in either base64, padded or not; None for what is no macaroon."""
    standard = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return Macaroon.from_base64(standard + "=" * (-len(standard) % 4))
    except MacaroonError:
        return None


@dataclass(frozen=True, slots=True)
class Offered:
    """What a challenge offers: of its invoice the amount in msats and the payment hash, None if unreadable.

    `invoices` counts how many invoices its lines name; `token` is what is to be presented once it is paid.
    """

    invoices: int
    amount_msats: int | None = None
    payment_hash: str | None = None
    token: str = field(default="", repr=False)


def offered_by(response: Response) -> Offered | None:
    """Return the challenge of an answer; None where it has none that names an invoice."""
    try:
        challenges = parse_challenges(response.headers_of("WWW-Authenticate"))
        challenge = preferred(challenges)
    except ChallengeError:
        return None
    invoices = len({each.invoice for each in challenges})
    try:
        invoice = decode_invoice(challenge.invoice)
    except InvoiceError:
        return Offered(invoices, token=challenge.macaroon_base64)
    return Offered(invoices, invoice.amount_msats, str(invoice.payment_hash), challenge.macaroon_base64)


def token_form(token: str) -> str:
    """Return in which form a challenge names what is to be presented: a macaroon in which base64, or opaque.

    Clients send it back as it came, and gateways that read as Aperture does take standard base64 alone.
    """
    if lenient_macaroon(token) is None:
        return "opaque"
    if set("-_") & set(token):
        return "url-safe base64"
    return "base64" if len(token) % 4 == 0 else "base64 without its padding"


def content(prefix: str, data: bytes) -> dict[str, Any]:
    """Return what a row says of a body: its SHA-256 in hex, and how many bytes it has."""
    return {f"{prefix}Sha256": sha256(data).hexdigest(), f"{prefix}Bytes": len(data)}


def query_digest(request: Request) -> str | None:
    """Return the SHA-256 of a query in hex, which may hold tokens; None where there is none."""
    return sha256(request.query.encode("utf-8", "surrogateescape")).hexdigest() if request.query else None


def cache_control(response: Response) -> str | None:
    """Return what an answer says to caches; None where it says nothing."""
    lines: Sequence[str] = response.headers_of("Cache-Control")
    return shown(", ".join(lines)) if lines else None


def shown(text: str) -> str:
    """Return text of a request as it may stand in a row or log line: printable ASCII without blanks."""
    if text.isascii() and text.isprintable() and " " not in text:
        return text
    return quote(text, safe=_SHOWN, errors="surrogatepass")


def _reference(data: bytes) -> str:
    return f"sha256:{sha256(data).hexdigest()[:16]}"
