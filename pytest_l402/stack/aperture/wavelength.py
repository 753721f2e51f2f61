"""Invoices from a wallet daemon by one HTTP call: the wavelength face of Aperture's authenticator."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from pytest_l402.boundary import parse_json
from pytest_l402.harness.network import Request
from pytest_l402.protocol import PaymentHash, decode_invoice
from pytest_l402.stack.aperture.backend import HttpBackend
from pytest_l402.stack.gateway.lightning_node import (
    InvoiceStatus,
    NodeInvoice,
    NodeUnavailable,
    UnknownInvoice,
)

_PATH: Final = "/v1/wallet/recv"


class WavelengthInvoices:
    """Makes invoices at `url`; `macaroon` authorizes the calls, in hex, and is left out when empty."""

    def __init__(self, url: str, macaroon: str = "") -> None:
        parts = urlsplit(url)
        lines = [("Host", parts.netloc), ("Content-Type", "application/json")]
        lines += [("macaroon", macaroon)] if macaroon else []
        path = parts.path.rstrip("/") + _PATH
        self._call = Request("POST", parts.netloc, path, scheme=parts.scheme, headers=tuple(lines))
        self._backend = HttpBackend()

    def create_invoice(
        self, amount_msats: int, description: str = "L402", request_id: str | None = None
    ) -> NodeInvoice:
        """Return a fresh invoice.

        Raises:
            NodeUnavailable: the wallet does not answer, or answers something else.
        """
        asked = json.dumps({"amt_sat": amount_msats // 1_000, "memo": description}).encode()
        try:
            answer = self._backend.handle(replace(self._call, body=asked))
            if answer.status != 200:
                raise NodeUnavailable(f"the wallet makes no invoice: status {answer.status}")
            found = parse_json(answer.body.decode())
            bolt11 = found["invoice"]
            payment_hash = PaymentHash(
                bytes.fromhex(found["entry"]["request"]["lightning_invoice"]["payment_hash"])
            )
            invoice = decode_invoice(bolt11)
        except (ConnectionError, ValueError, LookupError, TypeError) as error:
            raise NodeUnavailable(f"the wallet makes no invoice: {type(error).__name__}") from None
        return NodeInvoice(payment_hash, bolt11, amount_msats, invoice.timestamp_s + invoice.expiry_s)

    def lookup(self, payment_hash: str) -> InvoiceStatus:
        """Raise `UnknownInvoice`: settlements are not told by this face."""
        raise UnknownInvoice(payment_hash)

    def close(self) -> None:
        """Do nothing: no connection is kept open."""
