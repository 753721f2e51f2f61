"""What is written down of a wallet that writes nothing down itself: what it was asked, and what it said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from inspect import isawaitable
from typing import Any, Final

from pytest_l402.contract import hosted_proof_reference
from pytest_l402.contract.payment import PaymentError
from pytest_l402.harness.counted import Heard
from pytest_l402.harness.harness import Harness
from pytest_l402.protocol import Invoice, InvoiceError, Preimage, decode_invoice
from pytest_l402.stack.buyer.wallet import (
    PaymentAlreadyMade,
    PaymentOutcomeUnknown,
    PaymentPendingError,
    PreimageNotReturned,
)
from pytest_l402.stack.gateway.lightning_node import InvoiceStatus, LightningNode, UnknownInvoice

_PAYMENTS: Final = "payments"


class WalletLog:
    """Hears what somebody else's wallet is asked to pay, and keeps a row of `payments` for it.

    One that tells the platform of a payment itself, as a wrapper of ours does, is left alone. Of a wallet
    that raises what is no `PaymentError` nobody knows what it did: there the seller's node is asked.
    """

    def __init__(self, harness: Harness, node: LightningNode, account: str) -> None:
        self._harness = harness
        self._node = node
        self._account = account

    @contextmanager
    def hears(self, bolt11: str, *_: object, host: str | None = None, **__: object) -> Iterator[Heard]:
        """Hear one call of `pay_invoice`."""
        known = len(self._harness.journal.rows(_PAYMENTS))
        heard, raised = Heard(), None
        try:
            yield heard
        except Exception as error:
            raised = error
            raise
        finally:
            self._note(bolt11, host, heard.answer, raised, known)

    def _note(
        self, bolt11: object, host: str | None, payment: Any, raised: Exception | None, known: int
    ) -> None:
        if isawaitable(payment):
            # Nobody knows yet what it will say.
            return
        try:
            invoice = decode_invoice(str(bolt11))
        except InvoiceError:
            return
        payment_hash = str(invoice.payment_hash)
        rows = self._harness.journal.rows(_PAYMENTS)[known:]
        if any(row.get("paymentHash") == payment_hash for row in rows):
            return
        preimage = getattr(payment, "preimage", None)
        proof = hosted_proof_reference(preimage.hex()) if isinstance(preimage, Preimage) else None
        fee = getattr(payment, "fee_msats", 0)
        self._harness.note(
            _PAYMENTS,
            {
                "paymentHash": payment_hash,
                "amountMsats": self._amount(payment, invoice),
                "feeMsats": fee if isinstance(fee, int) else 0,
                "wallet": self._account,
                "host": host,
                "status": self._status(payment_hash, raised),
                "preimageReleased": proof is not None,
                "proofReference": proof,
            },
        )

    def _amount(self, payment: Any, invoice: Invoice) -> int:
        amount = getattr(payment, "amount_msats", None)
        return amount if isinstance(amount, int) else invoice.amount_msats or 0

    def _status(self, payment_hash: str, raised: Exception | None) -> str:
        if raised is None or isinstance(raised, PreimageNotReturned):
            return "succeeded"
        if isinstance(raised, PaymentPendingError):
            return "pending"
        if isinstance(raised, PaymentAlreadyMade):
            return "duplicate"
        if isinstance(raised, PaymentError) and not isinstance(raised, PaymentOutcomeUnknown):
            return "failed"
        try:
            arrived = self._node.lookup(payment_hash) is InvoiceStatus.SETTLED
        except UnknownInvoice:
            arrived = False
        return "succeeded" if arrived else "failed"
