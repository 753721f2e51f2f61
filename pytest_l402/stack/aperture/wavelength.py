"""Invoices from a wallet daemon by one HTTP call: the wavelength face of Aperture's authenticator."""

from __future__ import annotations

from typing import Final

import httpx

from pytest_l402.boundary import parse_json
from pytest_l402.protocol import PaymentHash, decode_invoice
from pytest_l402.stack.gateway.lightning_node import (
    InvoiceStatus,
    NodeInvoice,
    NodeUnavailable,
    UnknownInvoice,
)

_PATH: Final = "/v1/wallet/recv"
_WAIT_S: Final = 30.0


class WavelengthInvoices:
    """Makes invoices at `url`; `macaroon` authorizes the calls, in hex, and is left out when empty."""

    def __init__(self, url: str, macaroon: str = "") -> None:
        headers = {"macaroon": macaroon} if macaroon else {}
        self._client = httpx.Client(
            base_url=url.rstrip("/"), headers=headers, timeout=_WAIT_S, trust_env=False
        )

    def create_invoice(
        self, amount_msats: int, description: str = "L402", request_id: str | None = None
    ) -> NodeInvoice:
        """Return a fresh invoice.

        Raises:
            NodeUnavailable: the wallet does not answer, or answers something else.
        """
        asked = {"amt_sat": amount_msats // 1_000, "memo": description}
        try:
            answer = self._client.post(_PATH, json=asked)
            answer.raise_for_status()
            found = parse_json(answer.content.decode())
            bolt11 = found["invoice"]
            payment_hash = PaymentHash(
                bytes.fromhex(found["entry"]["request"]["lightning_invoice"]["payment_hash"])
            )
            invoice = decode_invoice(bolt11)
        except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
            raise NodeUnavailable(f"the wallet makes no invoice: {type(error).__name__}") from None
        return NodeInvoice(payment_hash, bolt11, amount_msats, invoice.timestamp_s + invoice.expiry_s)

    def lookup(self, payment_hash: str) -> InvoiceStatus:
        """Raise `UnknownInvoice`: settlements are not told by this face."""
        raise UnknownInvoice(payment_hash)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
