"""How a challenge looks that is not as Aperture's: each differs in one thing, and is right in every other."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from pytest_l402.harness.network import Header, Response
from pytest_l402.harness.randomness import Randomness
from pytest_l402.protocol import (
    ChallengeError,
    Identifier,
    Macaroon,
    PaymentHash,
    format_challenge,
    mint,
    parse_challenges,
)
from pytest_l402.protocol.challenge import Challenge
from pytest_l402.stack.faults import Altered
from pytest_l402.stack.gateway.lightning_node import PREFIXES, LightningNode

CHALLENGE: Final = "WWW-Authenticate"
_LONG_AGO_S: Final = 24 * 3600
_SAYS_HOW_TO_ROUTE: Final = "s9"
"""The fields of an invoice that hold its payment secret, and that say so. Source: BOLT 11."""


def altered(response: Response, how: Altered, node: LightningNode, randomness: Randomness) -> Response:
    """Return a 402 with its challenge altered; the invoice is signed by the node, as before.

    A 402 without a challenge that can be read is left as it is.
    """
    try:
        challenges = parse_challenges(response.headers_of(CHALLENGE))
    except ChallengeError:
        return response
    if how == "one_line":
        return _with(response, [each for each in challenges if each.scheme == "L402"] or challenges[:1])
    if how == "json_body":
        return _with_json(response, challenges[-1])
    # One for all lines: they are one offer.
    token_id = randomness.bytes(32, "token id of an altered challenge")
    other = PaymentHash(randomness.bytes(32, "payment hash of an altered challenge"))
    changes: Mapping[Altered, Callable[[Challenge], Challenge]] = {
        "expired": lambda each: replace(each, invoice=node.signed_anew(each.invoice, ago_s=_LONG_AGO_S)),
        "another_network": lambda each: replace(
            each, invoice=node.signed_anew(each.invoice, prefix=_other_network(node.prefix))
        ),
        "no_payment_secret": lambda each: replace(
            each, invoice=node.signed_anew(each.invoice, without=_SAYS_HOW_TO_ROUTE)
        ),
        "not_bound": lambda each: replace(each, macaroon_base64=_bound_to(other, token_id, each)),
        "no_macaroon": lambda each: replace(each, macaroon_base64=_json_token(token_id)),
    }
    return _with(response, [changes[how](each) for each in challenges])


def _with(response: Response, challenges: Sequence[Challenge]) -> Response:
    others = [line for line in response.headers if line[0].lower() != CHALLENGE.lower()]
    return replace(response, headers=(*map(_line, challenges), *others))


def _line(challenge: Challenge) -> Header:
    return CHALLENGE, format_challenge(challenge.macaroon_base64, challenge.invoice, challenge.scheme)


def _with_json(response: Response, challenge: Challenge) -> Response:
    """Return the 402 with a JSON body beside its lines, as some servers have it."""
    document = {
        "error": "payment required",
        "macaroon": challenge.macaroon_base64,
        "invoice": challenge.invoice,
    }
    body = json.dumps(document, separators=(",", ":")).encode() + b"\n"
    dropped = ("content-type", "content-length")
    others = [line for line in response.headers if line[0].lower() not in dropped]
    told = (("Content-Type", "application/json"), ("Content-Length", str(len(body))))
    return replace(response, headers=(*others, *told), body=body)


def _other_network(prefix: str) -> str:
    return PREFIXES["bitcoin"] if prefix != PREFIXES["bitcoin"] else PREFIXES["testnet"]


def _bound_to(payment_hash: PaymentHash, token_id: bytes, challenge: Challenge) -> str:
    genuine = Macaroon.from_base64(challenge.macaroon_base64)
    identifier = Identifier(0, payment_hash, token_id).encode()
    return mint(token_id, identifier, genuine.location, genuine.caveats).to_base64()


def _json_token(token_id: bytes) -> str:
    """Return what some servers call a macaroon: a JSON document in base64."""
    return b64encode(json.dumps({"id": token_id.hex(), "service": "l402"}).encode()).decode()
