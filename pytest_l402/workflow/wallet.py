"""Decides what a payment costs: once for each key, however often it is asked for; the books of the effect."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from pytest_l402.protocol import PaymentHash, Preimage
from pytest_l402.workflow.seller import Seller

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Paid:
    """One payment: the credential's two halves are secrets, the hash is not."""

    payment_hash: PaymentHash
    macaroon: str = field(repr=False)
    preimage: Preimage = field(repr=False)


class Wallet:
    """The buyer's wallet, in a process that no drill kills; its two books are the oracle of every drill.

    `receipts` has one row a payment that was made, `calls` one row a payment that was asked for. Without a
    key it pays whatever it is given: then nothing keeps a step that runs twice from paying twice.
    """

    def __init__(self, seller: Seller) -> None:
        self._seller = seller
        self._lock = threading.Lock()
        self._paid: dict[str, Paid] = {}
        self.receipts: list[Row] = []
        self.calls: list[Row] = []

    def pay(self, key: str | None, workflow_id: str, macaroon: str, invoice: str) -> Paid:
        """Pay the invoice, or return what was paid under the same key before.

        Raises:
            CannotPay: the invoice is none of the seller's, or is paid already.
        """
        with self._lock:
            known = self._paid.get(key) if key is not None else None
            self.calls.append({"key": key, "workflowID": workflow_id, "absorbed": known is not None})
            if known is not None:
                return known
            payment_hash, preimage, amount_msats = self._seller.settle(invoice)
            paid = Paid(payment_hash, macaroon, preimage)
            if key is not None:
                self._paid[key] = paid
            receipt = {"key": key, "workflowID": workflow_id, "paymentHash": str(payment_hash)}
            self.receipts.append({**receipt, "amountMsats": amount_msats})
            return paid
