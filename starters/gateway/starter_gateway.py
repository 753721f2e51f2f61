"""The gateway under rehearsal. Put your own in its place: what the drills ask is in `conftest.py`."""

import hashlib

from pytest_l402.harness.network import Response
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

TEXT = ("Content-Type", "text/plain; charset=utf-8")


class StarterGateway:
    """Asks 402 with a macaroon and an invoice, and delivers to whoever shows both macaroon and preimage.

    `find(host, path)` says what is sold there, `node` makes invoices, `ask_seller(request)` has the content.
    """

    def __init__(self, find, node, ask_seller, clock):
        self.find, self.node, self.ask_seller, self.clock = find, node, ask_seller, clock
        self.issued = {}  # by identifier, the root key
        self.revoked = set()

    def handle(self, request):
        service = self.find(request.host, request.path)
        if service is None:
            return Response(404, (TEXT,), b"404 page not found\n")
        if not service.is_paid(request.path) or self._is_paid(request.header("Authorization"), service):
            try:
                return self.ask_seller(request)
            except ConnectionError:
                return Response(502)
        invoice = self.node.create_invoice(service.price_msats)
        challenge = format_challenge(self._macaroon(invoice.payment_hash, service), invoice.bolt11)
        headers = (("WWW-Authenticate", challenge), ("Cache-Control", "no-store"), TEXT)
        return Response(402, headers, b"payment required\n")

    def revoke(self, payment_hash):
        """Take back the credential that was bought with this payment."""
        self.revoked.add(payment_hash)

    def _macaroon(self, payment_hash, service):
        caveats = [caveat("services", f"{service.name}:0")]
        if service.timeout_s:
            caveats.append(caveat(f"{service.name}_valid_until", self.clock.now_s() + service.timeout_s))
        token_id = hashlib.sha256(b"%d" % len(self.issued)).digest()
        identifier = Identifier(0, payment_hash, token_id).encode()
        # For the drill it follows from the identifier; a gateway that is deployed takes a random one.
        key = self.issued[identifier] = hashlib.sha256(b"a key of the starter" + identifier).digest()
        return mint(key, identifier, "", tuple(caveats)).to_base64()

    def _is_paid(self, authorization, service):
        scheme, _, rest = (authorization or "").partition(" ")
        token, _, digits = rest.rpartition(":")
        if scheme != "L402" or len(digits) != 64:
            return False
        try:
            macaroon, preimage = Macaroon.from_base64(token), Preimage(bytes.fromhex(digits))
            check_caveats(macaroon.caveats, service.name, self.clock.now_s())
        except (ValueError, CaveatError):
            return False
        key = self.issued.get(macaroon.identifier)
        if key is None or not macaroon.verify(key):
            return False
        paid_for = Identifier.decode(macaroon.identifier).payment_hash
        return paid_for == preimage.payment_hash and str(paid_for) not in self.revoked
