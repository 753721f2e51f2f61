"""What the buyer's wallet does with an invoice: pay it once, at most the cap, and say how it went."""

# ruff: noqa: N818 - the errors carry the names of the conditions

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from enum import StrEnum

from pytest_l402.contract import hosted_proof_reference, local_proof_reference
from pytest_l402.contract.payment import PaymentError
from pytest_l402.harness.harness import Harness
from pytest_l402.protocol import Invoice, InvoiceError, Preimage, decode_invoice
from pytest_l402.stack.faults import (
    AnswerLost,
    PaymentFailure,
    PaymentLate,
    PaymentPending,
    PaymentSlow,
    PreimageLate,
    PreimageMissing,
    WalletLocked,
)
from pytest_l402.stack.gateway.lightning_node import LightningNode, NodeError


class InvoiceNotPayable(PaymentError):
    """The text is no invoice that this wallet can pay; nothing was sent."""


class WalletIsLocked(PaymentError):
    """The wallet is locked; nothing was sent."""


class AmountOverCap(PaymentError):
    """The invoice asks for more than the caller allows; nothing was sent."""


class PaymentFailed(PaymentError):
    """The payment was tried and failed; no money moved."""


class PaymentPendingError(PaymentError):
    """The payment is on its way: it may still succeed or fail (`Wallet.resolve_pending`)."""


class PaymentAlreadyMade(PaymentError):
    """The payment hash is paid, or on its way, by an earlier call; this call moved no money."""


class PaymentOutcomeUnknown(PaymentError):
    """The wallet's answer was lost: the payment may have been made (`Wallet.payment` knows)."""


class PreimageNotReturned(PaymentError):
    """The money is gone, but the wallet hands no preimage over."""


class PaymentStatus(StrEnum):
    """How a pay call ended, as in the table `payments`."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    PENDING = "pending"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment that went through: amount in msats, and the preimage, a secret that the repr hides."""

    payment_hash: str
    amount_msats: int
    preimage: Preimage = field(repr=False)

    @property
    def proof_reference(self) -> str:
        """The hosted form of the proof, `lightning_preimage:` and 24 hex digits."""
        return hosted_proof_reference(self.preimage.hex())

    @property
    def local_proof_reference(self) -> str:
        """The local form of the proof, `preimage:` and 16 hex digits."""
        return local_proof_reference(self.preimage.hex())


@dataclass(slots=True)
class _Attempt:
    """One payment that is tried: amounts in msats, and the request for which its invoice was made.

    It succeeds by itself at `due_at_ms`, if that is known, and its preimage is handed over from
    `preimage_at_ms` on (epoch ms).
    """

    payment_hash: str
    amount_msats: int
    fee_msats: int
    host: str | None
    request_id: str | None
    status: PaymentStatus = PaymentStatus.PENDING
    due_at_ms: int | None = None
    preimage_at_ms: int = 0
    preimage: Preimage | None = field(default=None, repr=False)


class Wallet:
    """The buyer's wallet: one balance in msats, a row in `payments` for every pay call.

    It checks the invoice's signature, its signer and its expiry itself. A payment hash is paid once: a failed
    payment may be tried again, one that succeeded or is pending may not. `payment` tells of one that was made
    earlier. Each that succeeds costs `fee_msats` more than its invoice asks for, none unless that is given.
    Faults: `WalletLocked`, `PaymentFailure`, `PaymentPending`, `PaymentLate`, `PaymentSlow`,
    `PreimageMissing`, `PreimageLate`, `AnswerLost("payment")`.
    """

    def __init__(
        self, harness: Harness, node: LightningNode, *, balance_msats: int = 100_000_000, fee_msats: int = 0
    ) -> None:
        self._harness = harness
        self._node = node
        self._balance_msats = balance_msats
        self._fee_msats = fee_msats
        self._sent: dict[str, _Attempt] = {}
        self._lock = threading.RLock()
        self.account = harness.accounts.open("wallet", lambda: self._balance_msats)

    def __repr__(self) -> str:
        return f"Wallet(balance_msats={self._balance_msats}, payments={len(self._sent)})"

    @property
    def balance_msats(self) -> int:
        """What can still be spent, in msats; a pending payment's amount is not part of it."""
        return self._balance_msats

    def pay_invoice(self, bolt11: str, *, max_msats: int | None = None, host: str | None = None) -> Payment:
        """Pay the invoice if it asks for at most `max_msats`; `host` is noted as the seller's name.

        Raises:
            PaymentError: no preimage; its subclass says whether money moved.
        """
        with self._lock:
            invoice = self._payable(bolt11)
            amount_msats = invoice.amount_msats
            if amount_msats is None:
                raise InvoiceNotPayable("expected an invoice with an amount, saw one that leaves it open")
            payment_hash = str(invoice.payment_hash)
            request_id = self._node.request_id_of(payment_hash)
            attempt = _Attempt(payment_hash, amount_msats, self._fee_msats, host, request_id)
            return self._pay(attempt, invoice, max_msats)

    def payment(self, payment_hash: str) -> Payment:
        """Return a payment that was made earlier, with its proof; this moves no money.

        Each such question leaves a row in `payment_lookups`.

        Raises:
            PaymentPendingError: it is still on its way; nothing else may be paid in its place.
            PreimageNotReturned: it succeeded, and its preimage is not handed over, or not yet.
            PaymentFailed: it failed, or none was made: the invoice, or another one, may be paid.
        """
        with self._lock:
            self._settle_what_is_due()
            sent, short = self._sent.get(payment_hash), payment_hash[:16]
            withheld = sent is not None and self._is_withheld(sent)
            self._harness.note(
                "payment_lookups",
                {
                    "paymentHash": payment_hash,
                    "status": None if sent is None else str(sent.status),
                    "preimageReleased": sent is not None and sent.preimage is not None and not withheld,
                },
            )
            if sent is None:
                raise PaymentFailed(f"payment {short}… was not made, or it failed", payment_hash)
            if sent.preimage is None:
                raise PaymentPendingError(f"payment {short}… is still on its way", payment_hash)
            if withheld:
                raise PreimageNotReturned(
                    f"payment {short}… succeeded, but no preimage came back", payment_hash
                )
            return Payment(payment_hash, sent.amount_msats, sent.preimage)

    def resolve_pending(self, payment_hash: str, *, succeed: bool = True) -> Payment | None:
        """Let a pending payment come to its end; return it when it succeeds, None when it fails.

        Raises:
            PaymentError: no such payment is pending, or the node refuses it by now.
        """
        with self._lock:
            sent = self._sent.get(payment_hash)
            if sent is None or sent.status is not PaymentStatus.PENDING:
                raise PaymentError(f"payment {payment_hash[:16]}… is not pending", payment_hash)
            self._balance_msats += sent.amount_msats + sent.fee_msats
            del self._sent[payment_hash]
            if not succeed:
                self._note(sent, PaymentStatus.FAILED)
                return None
            payment = self._send(sent)
            self._note(sent, PaymentStatus.SUCCEEDED, payment.proof_reference)
            return payment

    def status_of(self, payment_hash: str) -> PaymentStatus | None:
        """Return `succeeded` or `pending`, or None when nothing was sent or it failed."""
        self._settle_what_is_due()
        sent = self._sent.get(payment_hash)
        return None if sent is None else sent.status

    def pending(self) -> tuple[str, ...]:
        """Return the payment hashes that are neither paid nor failed; empty in the steady state."""
        self._settle_what_is_due()
        return tuple(key for key, sent in self._sent.items() if sent.status is PaymentStatus.PENDING)

    def _settle_what_is_due(self) -> None:
        now_ms = self._harness.clock.now_ms()
        with self._lock:
            for payment_hash, sent in tuple(self._sent.items()):
                if sent.due_at_ms is not None and sent.due_at_ms <= now_ms:
                    sent.due_at_ms = None
                    # The node refuses what has expired meanwhile: then it failed, and the row says so.
                    with contextlib.suppress(PaymentFailed):
                        self.resolve_pending(payment_hash)

    def _is_withheld(self, sent: _Attempt) -> bool:
        if sent.preimage is None:
            return False
        missing = self._harness.faults.active(PreimageMissing, sent.request_id)
        return missing is not None or self._harness.clock.now_ms() < sent.preimage_at_ms

    def _payable(self, bolt11: str) -> Invoice:
        try:
            invoice = decode_invoice(bolt11)
        except InvoiceError as error:
            raise InvoiceNotPayable(str(error)) from error
        if invoice.prefix != self._node.prefix:
            raise InvoiceNotPayable(
                f"expected an invoice of network {self._node.prefix}, saw one of {invoice.prefix}",
                invoice.payment_hash,
            )
        return invoice

    def _pay(self, attempt: _Attempt, invoice: Invoice, max_msats: int | None) -> Payment:
        payment_hash, short, faults = attempt.payment_hash, attempt.payment_hash[:16], self._harness.faults
        if faults.active(WalletLocked, attempt.request_id):
            self._note(attempt, PaymentStatus.FAILED)
            raise WalletIsLocked("the wallet is locked; unlock it and try again", payment_hash)
        self._settle_what_is_due()
        sent = self._sent.get(payment_hash)
        if sent is not None:
            self._note(attempt, PaymentStatus.DUPLICATE)
            raise PaymentAlreadyMade(
                f"payment {short}… is {sent.status} already; use its preimage, do not pay again", payment_hash
            )
        refusal = self._refusal(attempt, invoice, max_msats)
        if refusal is not None:
            self._note(attempt, PaymentStatus.FAILED)
            raise refusal
        slow = faults.active(PaymentSlow, attempt.request_id)
        if slow is not None:
            self._harness.clock.advance(slow.ms)
        if faults.active(PaymentFailure, attempt.request_id):
            self._note(attempt, PaymentStatus.FAILED)
            raise PaymentFailed(f"payment {short}… found no route", payment_hash)
        late = faults.active(PaymentLate, attempt.request_id)
        if late is not None:
            attempt.due_at_ms = self._harness.clock.now_ms() + late.ms
        if late is not None or faults.active(PaymentPending, attempt.request_id):
            self._take(attempt, PaymentStatus.PENDING)
            self._note(attempt, PaymentStatus.PENDING)
            raise PaymentPendingError(f"payment {short}… is still on its way", payment_hash)
        payment = self._send(attempt)
        if faults.active(AnswerLost, attempt.request_id, when=lambda lost: lost.at == "payment"):
            self._note(attempt, PaymentStatus.SUCCEEDED)
            raise PaymentOutcomeUnknown(
                f"payment {short}… was sent, and the wallet's answer was lost", payment_hash
            )
        preimage_late = faults.active(PreimageLate, attempt.request_id)
        if preimage_late is not None:
            attempt.preimage_at_ms = self._harness.clock.now_ms() + preimage_late.ms
        if self._is_withheld(attempt):
            self._note(attempt, PaymentStatus.SUCCEEDED)
            raise PreimageNotReturned(f"payment {short}… succeeded, but no preimage came back", payment_hash)
        self._note(attempt, PaymentStatus.SUCCEEDED, payment.proof_reference)
        return payment

    def _refusal(self, attempt: _Attempt, invoice: Invoice, max_msats: int | None) -> PaymentError | None:
        payment_hash, amount_msats = attempt.payment_hash, attempt.amount_msats
        if max_msats is not None and amount_msats > max_msats:
            return AmountOverCap(
                f"the invoice asks for {amount_msats} msats, the cap is {max_msats} msats", payment_hash
            )
        if self._harness.clock.now_s() >= invoice.expires_at_s:
            return InvoiceNotPayable(
                f"the invoice expired at {invoice.expires_at_s} s; ask for a fresh challenge", payment_hash
            )
        if amount_msats + attempt.fee_msats > self._balance_msats:
            fee = f" and {attempt.fee_msats} msats of fees" if attempt.fee_msats else ""
            return PaymentFailed(
                f"the balance is {self._balance_msats} msats, the invoice asks for {amount_msats} msats{fee}",
                payment_hash,
            )
        if invoice.payee.hex() != self._node.node_id:
            # Only the node's own signature binds the amount to a payment hash that it would settle.
            return PaymentFailed(
                f"payment {payment_hash[:16]}… found no route to the invoice's signer", payment_hash
            )
        return None

    def _send(self, attempt: _Attempt) -> Payment:
        payment_hash = attempt.payment_hash
        try:
            preimage = self._node.settle(payment_hash, attempt.amount_msats)
        except NodeError as error:
            self._note(attempt, PaymentStatus.FAILED)
            raise PaymentFailed(f"the seller's node refused the payment: {error}", payment_hash) from error
        attempt.preimage = preimage
        self._take(attempt, PaymentStatus.SUCCEEDED)
        return Payment(payment_hash, attempt.amount_msats, preimage)

    def _take(self, attempt: _Attempt, status: PaymentStatus) -> None:
        self._balance_msats -= attempt.amount_msats + attempt.fee_msats
        attempt.status = status
        self._sent[attempt.payment_hash] = attempt

    def _note(self, attempt: _Attempt, status: PaymentStatus, proof_reference: str | None = None) -> None:
        self._harness.note(
            "payments",
            {
                "paymentHash": attempt.payment_hash,
                "amountMsats": attempt.amount_msats,
                "feeMsats": attempt.fee_msats,
                "wallet": self.account,
                "host": attempt.host,
                "status": str(status),
                "preimageReleased": proof_reference is not None,
                "proofReference": proof_reference,
            },
        )
