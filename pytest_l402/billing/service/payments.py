"""Decides whether a payment is taken: quoted, to the treasury of today, settled before it is served, once."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from pytest_l402.billing.faults import BillingFault
from pytest_l402.billing.ledger import TREASURY, moved
from pytest_l402.billing.service.backend_client import BackendClient
from pytest_l402.billing.service.core import Core
from pytest_l402.billing.service.money import amount_of, text_of
from pytest_l402.harness.json_app import Call, Refused

__all__ = ["Payments"]

_CHAIN: Final = "eip155:8453"


class Payments:
    """The x402 endpoints."""

    def __init__(self, core: Core, backend: BackendClient, treasury: str) -> None:
        self._core, self._backend, self._treasury = core, backend, treasury

    def quote(self, call: Call) -> dict[str, Any]:
        """The price of a resource and the address to pay to; the same one until it expires."""
        self._core.expect_open("x402")
        self._core.expect_guard()
        resource, amount = text_of(call, "resource"), amount_of(call, "amountMsats")
        return self._cached(resource) or self._new_quote(resource, amount)

    def pay(self, call: Call) -> dict[str, Any]:
        """Take a payment: it is claimed in the log, settled by the backend, and credited, in this order."""
        core = self._core
        core.expect_open("x402")
        core.expect_guard()
        resource, account = text_of(call, "resource"), text_of(call, "account")
        paid, recipient = amount_of(call, "amountMsats"), text_of(call, "to")
        if recipient != self._treasury:
            raise Refused(402, "INVALID_RECIPIENT")
        valid_before = amount_of(call, "validBeforeMs")
        told = (
            _CHAIN,
            text_of(call, "from").lower(),
            recipient.lower(),
            text_of(call, "nonce"),
            paid,
            valid_before,
        )
        payment = "pid_" + hashlib.sha256(":".join(map(str, told)).encode()).hexdigest()[:32]
        # What was claimed is a payment that somebody made: a quote that expired meanwhile takes nothing away.
        if payment not in core.ledger.payments:
            quote = self._cached(resource)
            if quote is None:
                raise Refused(402, "QUOTE_EXPIRED")
            core.hold("x402_payment_conservation", payment=paid, cost=quote["amountMsats"])
            if valid_before <= core.wall_ms():
                raise Refused(402, "PAYMENT_EXPIRED")
        self._settle(payment, account, paid, recipient)
        return {"payment": payment, "availableMsats": core.ledger.available(account)}

    def shown(self, call: Call, payment: str) -> dict[str, Any]:
        """Whether a payment is claimed or settled."""
        state = self._core.ledger.payments.get(payment)
        if state is None:
            raise Refused(404, "PAYMENT_UNKNOWN")
        return {"payment": payment, "state": state}

    def _settle(self, payment: str, account: str, paid: int, recipient: str) -> None:
        core = self._core
        state = core.ledger.payments.get(payment)
        if state == "settled":
            raise Refused(402, "PAYMENT_REPLAYED")
        if core.ledger.payers.get(payment, account) != account:
            # Whoever saw the proof of somebody else, before it was settled, gets nothing for it.
            raise Refused(409, "PAYMENT_DIFFERS")
        told = {"payment": payment, "account": account, "amountMsats": paid, "recipient": recipient}
        if state is None:
            core.record({"type": "x402_claimed", **told})
        elif core.has(BillingFault.ID_BURNED_BEFORE_SETTLEMENT):
            # What was claimed and never settled is taken for a retry of what was, and is served.
            return
        if self._backend.reason_against("/settle", {"payment": payment, "amountMsats": paid}) is not None:
            raise Refused(503, "SETTLEMENT_UNAVAILABLE")
        core.record(
            {"type": "x402_settled", **told, "postings": moved(paid, TREASURY, f"available:{account}")}
        )

    def _cached(self, resource: str) -> dict[str, Any] | None:
        text = self._core.ask_cache(("GET", f"quote:{resource}"))[0]
        quote: dict[str, Any] | None = None if text is None else json.loads(text)
        if quote is not None and quote["treasury"] != self._treasury and self._outlives:
            return quote
        # One that names another treasury than today's is none: nobody should be led to pay it.
        return quote if quote is not None and quote["treasury"] == self._treasury else None

    def _new_quote(self, resource: str, amount: int) -> dict[str, Any]:
        life = int(self._core.periods.quote_ms * (50 if self._outlives else 1))
        expires = self._core.wall_ms() + life
        quote = {
            "resource": resource,
            "amountMsats": amount,
            "treasury": self._treasury,
            "expiresAtMs": expires,
        }
        self._core.ask_cache(("SET", f"quote:{resource}", json.dumps(quote), "PX", life))
        return quote

    @property
    def _outlives(self) -> bool:
        return self._core.has(BillingFault.QUOTE_OUTLIVES_TTL)
