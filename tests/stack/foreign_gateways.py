"""Gateways of other people, with one method each: doubles of behaviours that real servers have."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import replace

from pytest_l402.harness.network import Request, Response
from pytest_l402.protocol import (
    CaveatError,
    Identifier,
    Macaroon,
    Preimage,
    caveat,
    check_caveats,
    format_challenge,
    mint,
)
from pytest_l402.stack.gateway.services import match_service

TEXT = ("Content-Type", "text/plain; charset=utf-8")


class Stranger:
    """A gateway that knows nothing of the platform: it has a node, a seller, and what it sells."""

    def __init__(self, stack):
        self.node, self.seller, self.clock = stack.node, stack.seller_api, stack.clock
        self.services = stack.gateway.services
        self.keys = {}

    def handle(self, request: Request) -> Response:
        service = match_service(self.services, request.host, request.path)
        if service is None:
            return Response(404, (TEXT,), b"404 page not found\n")
        if not service.is_paid(request.path) or self.is_good(request.header("Authorization"), service):
            try:
                return self.seller.handle(replace(request, host="seller.l402.test"))
            except ConnectionError:
                return Response(502)
        invoice = self.node.create_invoice(service.price_msats)
        challenge = format_challenge(self.token(invoice.payment_hash, service), invoice.bolt11)
        return Response(
            402, (("WWW-Authenticate", challenge), ("Cache-Control", "no-store"), TEXT), b"payment required\n"
        )

    def is_good(self, authorization, service) -> bool:
        scheme, _, rest = (authorization or "").partition(" ")
        token, _, digits = rest.rpartition(":")
        if scheme != "L402" or len(digits) != 64:
            return False
        return self.is_paid(token, Preimage(bytes.fromhex(digits)), service)


class Honest(Stranger):
    """Checks everything, and says nothing of it: macaroons in standard base64."""

    def write(self, macaroon: Macaroon) -> str:
        return macaroon.to_base64()

    def read(self, token: str) -> Macaroon:
        return Macaroon.from_base64(token)

    def token(self, payment_hash, service) -> str:
        caveats = [caveat("services", f"{service.name}:0")]
        if service.timeout_s:
            caveats.append(caveat(f"{service.name}_valid_until", self.clock.now_s() + service.timeout_s))
        identifier = Identifier(0, payment_hash, len(self.keys).to_bytes(32)).encode()
        self.keys[identifier] = bytes([len(self.keys) % 251]) * 32
        return self.write(mint(self.keys[identifier], identifier, "", tuple(caveats)))

    def is_paid(self, token, preimage, service) -> bool:
        try:
            macaroon = self.read(token)
            check_caveats(macaroon.caveats, service.name, self.clock.now_s())
        except (ValueError, CaveatError):
            return False
        key = self.keys.get(macaroon.identifier)
        if key is None or not macaroon.verify(key):
            return False
        return Identifier.decode(macaroon.identifier).payment_hash == preimage.payment_hash


class UrlSafe(Honest):
    """Writes its macaroons in url-safe base64 without padding, as a server of a known package does."""

    def write(self, macaroon: Macaroon) -> str:
        return urlsafe_b64encode(macaroon.to_bytes()).decode().rstrip("=")

    def read(self, token: str) -> Macaroon:
        return Macaroon.from_bytes(urlsafe_b64decode(token + "=" * (-len(token) % 4)))


class TakesWhatIsSelfMade(Stranger):
    """Its token is a JSON document that nobody has signed: whoever writes one himself comes in."""

    def token(self, payment_hash, service) -> str:
        document = {"hash": str(payment_hash), "service": service.name}
        if service.timeout_s:
            document["exp"] = self.clock.now_s() + service.timeout_s
        return urlsafe_b64encode(json.dumps(document).encode()).decode()

    def is_paid(self, token, preimage, service) -> bool:
        try:
            document = json.loads(urlsafe_b64decode(token))
        except ValueError:
            return False
        now_s = self.clock.now_s()
        is_fresh = document.get("exp", now_s + 1) > now_s
        return is_fresh and document.get("hash") == str(preimage.payment_hash)


class RemembersTokens(TakesWhatIsSelfMade):
    """The same token, kept in a list: one that it never handed out opens nothing."""

    def token(self, payment_hash, service) -> str:
        token = super().token(payment_hash, service)
        self.keys[token] = service.name
        return token

    def is_paid(self, token, preimage, service) -> bool:
        return self.keys.get(token) == service.name and super().is_paid(token, preimage, service)
