"""What a wallet must be able to do, and how it says that it does not pay."""

from __future__ import annotations

from typing import Protocol

from pytest_l402.protocol import Preimage


class PaidInvoice(Protocol):
    """What a wallet hands back for a payment that went through; `preimage` is a secret."""

    @property
    def amount_msats(self) -> int:
        """What was paid, in msats."""
        ...

    @property
    def preimage(self) -> Preimage:
        """The proof of payment."""
        ...


class Wallet(Protocol):
    """Pays BOLT11 invoices, each payment hash once."""

    def pay_invoice(
        self, bolt11: str, *, max_msats: int | None = None, host: str | None = None
    ) -> PaidInvoice:
        """Pay at most `max_msats`; raise a `PaymentError` when no preimage can be handed over."""
        ...


class TellsOfPayments(Protocol):
    """A wallet that can also be asked for a payment made earlier, so that nobody pays twice to find out."""

    def payment(self, payment_hash: str) -> PaidInvoice:
        """Return the payment with its proof; a `PaymentError` says why there is none, or not yet."""
        ...


class PaymentError(RuntimeError):
    """The wallet hands no preimage over for this call.

    ``PaymentError``
      ├── ``InvoiceNotPayable``    not an invoice, another network, no amount, or expired; nothing was sent
      ├── ``WalletIsLocked``       nothing was sent
      ├── ``AmountOverCap``        nothing was sent
      ├── ``PaymentFailed``        tried and failed; no money moved
      ├── ``PaymentPendingError``  neither paid nor failed yet; the money may still move
      ├── ``PaymentOutcomeUnknown``  the wallet's answer was lost; the money may have moved
      ├── ``PaymentAlreadyMade``   this payment hash is paid or on its way; no money moved by this call
      └── ``PreimageNotReturned``  paid, but without the proof
    """

    def __init__(self, message: str, payment_hash: str | None = None) -> None:
        super().__init__(message)
        self.payment_hash = payment_hash
