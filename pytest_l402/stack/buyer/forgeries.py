"""Which credentials a thief would try, made from a genuine one of whatever kind: each is wrong in one way."""

from __future__ import annotations

import json
import string
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

from pytest_l402.harness.randomness import Randomness
from pytest_l402.protocol import Identifier, IdentifierError, Macaroon, Preimage, mint
from pytest_l402.stack.gateway.wire import lenient_macaroon

_LETTERS: Final = string.ascii_letters + string.digits
_METHODS: Final = ("HEAD", "POST", "PUT", "PATCH", "DELETE")
Rewrite: TypeAlias = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Genuine:
    """A token that was paid for, and the preimage that proves it; both are secrets."""

    token: str = field(repr=False)
    preimage: Preimage = field(repr=False)


@dataclass(frozen=True, slots=True)
class Forgery:
    """What is presented instead, and what is wrong with it."""

    kind: str
    token: str = field(repr=False)
    preimage: Preimage = field(repr=False)


def forgeries(bought: Genuine, foreign: Genuine, randomness: Randomness) -> Iterator[Forgery]:
    """Yield every forgery of one credential; `foreign` was bought of another service.

    A macaroon is forged as one, in the base64 in which it came. Any other token is forged as far as it shows
    what it is made of: JSON, JSON in base64, or three parts with a signature behind; one that shows nothing
    is altered, and invented.
    """
    unpaid = Preimage(randomness.bytes(32, "a preimage that proves nothing"))
    yield Forgery("preimage of nothing", bought.token, unpaid)
    yield Forgery("preimage of another payment", bought.token, foreign.preimage)
    macaroon = lenient_macaroon(bought.token)
    if macaroon is None:
        yield from _of_a_token(bought, unpaid, randomness)
    else:
        yield from _of_a_macaroon(macaroon, bought, unpaid, randomness)
    yield Forgery("of another service", foreign.token, foreign.preimage)


@dataclass(frozen=True, slots=True)
class OtherWay:
    """A request that pays for nothing, and what it is; its headers may carry a token that is a secret."""

    kind: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)


def other_ways(bought: Genuine, randomness: Randomness) -> Iterator[OtherWay]:
    """Yield every way to ask that is no payment: credentials nobody can read, in other forms, and methods.

    A gateway that lets in what it cannot read, or that looks at one scheme, header or method alone, is opened
    by one of them.
    """

    def authorized(kind: str, value: str) -> OtherWay:
        return OtherWay(kind, headers=(("Authorization", value),))

    token, unpaid = bought.token, Preimage(randomness.bytes(32, "a preimage that proves nothing"))
    yield authorized("a credential without a preimage", f"L402 {token}")
    yield authorized("a preimage cut short", f"L402 {token}:{bought.preimage.hex()[:62]}")
    yield authorized("a token cut in half", f"L402 {token[: len(token) // 2]}:{bought.preimage.hex()}")
    yield authorized("an empty credential", "L402 :")
    yield authorized("preimage of nothing, as LSAT", f"LSAT {token}:{unpaid.hex()}")
    yield authorized("a token of another scheme", f"Bearer {token}")
    macaroon = lenient_macaroon(token)
    if macaroon is not None:
        claiming = replace(macaroon, caveats=(*macaroon.caveats, f"preimage={unpaid.hex()}".encode()))
        for name in ("Macaroon", "Grpc-Metadata-Macaroon"):
            for kind, each in (("without a preimage", macaroon), ("with the preimage of nothing", claiming)):
                header = (name, each.to_bytes().hex())
                yield OtherWay(f"the header {name}, {kind}", headers=(header,))
    yield from (OtherWay(f"{method} without a credential", method) for method in _METHODS)


def _of_a_macaroon(
    genuine: Macaroon, bought: Genuine, unpaid: Preimage, randomness: Randomness
) -> Iterator[Forgery]:
    own_key = randomness.bytes(32, "a key of the forger's own")
    token_id = randomness.bytes(32, "an id that nobody issued")

    def as_it_came(macaroon: Macaroon) -> str:
        return _like(bought.token, macaroon.to_bytes())

    signed = mint(own_key, genuine.identifier, genuine.location, genuine.caveats)
    yield Forgery("signed with another key", as_it_came(signed), bought.preimage)
    if len(genuine.caveats) > 1:
        fewer = replace(genuine, caveats=genuine.caveats[:1])
        yield Forgery("first caveats only", as_it_came(fewer), bought.preimage)
    try:
        unissued = replace(Identifier.decode(genuine.identifier), token_id=token_id).encode()
    except IdentifierError:
        unissued = token_id
    invented = mint(own_key, unissued, genuine.location, genuine.caveats)
    yield Forgery("never issued", as_it_came(invented), bought.preimage)
    own = Identifier(0, unpaid.payment_hash, token_id).encode()
    self_made = mint(own_key, own, genuine.location, genuine.caveats)
    yield Forgery("self-made, and never paid for", as_it_came(self_made), unpaid)


def _of_a_token(bought: Genuine, unpaid: Preimage, randomness: Randomness) -> Iterator[Forgery]:
    paid_for = bought.preimage.payment_hash

    def claims_the_unpaid(data: bytes) -> bytes:
        for old, new in zip(
            _spellings(paid_for.to_bytes()), _spellings(unpaid.payment_hash.to_bytes()), strict=True
        ):
            data = data.replace(old, new)
        return data

    self_made = _rewritten(bought.token, claims_the_unpaid)
    if self_made != bought.token:
        yield Forgery("self-made, and never paid for", self_made, unpaid)
    wider = _rewritten(bought.token, _with_wider_claims)
    if wider != bought.token:
        yield Forgery("claims more than was paid for", wider, bought.preimage)
    unsigned = _without_signature(bought.token)
    if unsigned is not None:
        yield Forgery("its signature is gone", unsigned, bought.preimage)
    drawn = iter(randomness.bytes(len(bought.token), "a token that nobody issued"))
    invented = "".join(_LETTERS[next(drawn) % len(_LETTERS)] if c in _LETTERS else c for c in bought.token)
    yield Forgery("never issued", invented, bought.preimage)
    yield Forgery("never issued, and never paid for", invented, unpaid)


def _spellings(payment_hash: bytes) -> tuple[bytes, ...]:
    standard = b64encode(payment_hash)
    url_safe = standard.translate(bytes.maketrans(b"+/", b"-_"))
    digits = payment_hash.hex().encode()
    return (
        digits,
        digits.upper(),
        standard,
        url_safe,
        standard.rstrip(b"="),
        url_safe.rstrip(b"="),
        payment_hash,
    )


def _with_wider_claims(data: bytes) -> bytes:
    """Whatever a document says of times and amounts is said for ever, and for nothing."""
    try:
        document: Any = json.loads(data)
    except ValueError:
        return data
    if not isinstance(document, dict):
        return data
    wider = {key: _wider(key, value) for key, value in document.items()}
    return json.dumps(wider, separators=(",", ":")).encode()


def _wider(key: str, value: Any) -> Any:
    name = key.lower()
    if isinstance(value, int) and not isinstance(value, bool):
        return value + 10**9 if any(word in name for word in ("exp", "until", "valid")) else value
    return value + "-other" if isinstance(value, str) and "path" in name else value


def _rewritten(token: str, rewrite: Rewrite) -> str:
    """Return the token with what it is made of rewritten, in the form in which it came."""
    if token.count(".") == 2:
        head, claims, signature = token.split(".")
        return f"{head}.{_rewritten(claims, rewrite)}.{signature}"
    plain = token.encode()
    if rewrite(plain) != plain:
        return rewrite(plain).decode("utf-8", "replace")
    data = _bytes_in(token)
    if data is None or rewrite(data) == data:
        return token
    return _like(token, rewrite(data))


def _without_signature(token: str) -> str | None:
    """Return a token of three parts as an unsigned one of its kind (RFC 7519 section 6), or None."""
    if token.count(".") != 2:
        return None
    head, claims, _ = token.split(".")
    data = _bytes_in(head)
    try:
        header = json.loads(data or b"")
    except ValueError:
        return None
    if not isinstance(header, dict):
        return None
    unsigned = json.dumps({**header, "alg": "none"}, separators=(",", ":")).encode()
    return f"{_like(head, unsigned)}.{claims}."


def _bytes_in(text: str) -> bytes | None:
    standard = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except ValueError:
        return None


def _like(text: str, data: bytes) -> str:
    """Return bytes in the base64 in which `text` is, as far as its letters and its length tell."""
    encoded = b64encode(data).decode()
    if "-" in text or "_" in text or not (set("+/") & set(text) or text.endswith("=") or len(text) % 4 == 0):
        encoded = encoded.replace("+", "-").replace("/", "_")
    return encoded if len(text) % 4 == 0 else encoded.rstrip("=")
