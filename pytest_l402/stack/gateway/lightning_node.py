"""What the seller's node does: signs invoices, and lets go of a preimage only against a payment."""

# ruff: noqa: N818 - the errors carry the names of the conditions

from __future__ import annotations

import re
import threading
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import Final, Protocol

from pytest_l402.boundary.known_secrets import ISSUED
from pytest_l402.harness.harness import Harness
from pytest_l402.harness.journal import Row
from pytest_l402.protocol import PaymentHash, Preimage, decode_invoice, encode_invoice, public_key
from pytest_l402.protocol.bolt11 import encode_fields
from pytest_l402.stack.faults import ChallengeFailure

PREFIXES = {"bitcoin": "lnbc", "testnet": "lntb", "signet": "lntbs", "regtest": "lnbcrt"}
DEFAULT_EXPIRY_S = 3600
_HEX_OF_32: Final = re.compile(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{64}(?![0-9A-Fa-f])")
_BASE64_OF_32: Final = re.compile(r"(?<![0-9A-Za-z+/_-])[0-9A-Za-z+/_-]{43}(?![0-9A-Za-z+/_-])")
_STANDARD: Final = str.maketrans("-_", "+/")


class NodeError(RuntimeError):
    """The node did not do what it was asked for."""


class NodeUnavailable(NodeError):
    """The node cannot be reached, or refuses to work; no invoice exists because of this call."""


class UnknownInvoice(NodeError):
    """The node never issued an invoice with this payment hash."""


class InvoiceClosed(NodeError):
    """The invoice takes no payment any more: it is settled, or it has expired."""


class TooLittlePaid(NodeError):
    """Less arrived than the invoice asks for; the node takes nothing."""


class InvoiceStatus(StrEnum):
    """Where an invoice stands, in the words of the settlement store."""

    OPEN = "open"
    SETTLED = "settled"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class NodeInvoice:
    """An invoice as the node hands it out; the preimage stays with the node."""

    payment_hash: PaymentHash
    bolt11: str
    amount_msats: int
    expires_at_s: int


@dataclass(slots=True)
class _Held:
    invoice: NodeInvoice
    preimage: Preimage = field(repr=False)
    request_id: str | None
    created_at_ms: int
    received_msats: int | None = None
    settled_at_ms: int | None = None


class Invoices(Protocol):
    """Who makes the invoices of a gateway's challenges, and knows which of them were paid."""

    def create_invoice(
        self, amount_msats: int, description: str = "L402", request_id: str | None = None
    ) -> NodeInvoice:
        """Return a fresh invoice; raises `NodeUnavailable` when there is none to be had."""

    def lookup(self, payment_hash: str) -> InvoiceStatus:
        """Return where the invoice stands; raises `UnknownInvoice` when that is not known."""


class TellingInvoices(Invoices, Protocol):
    """The same, where each payment is told."""

    def on_settled(self, tell: Callable[[str], None]) -> None:
        """Call `tell` with the payment hash of each invoice, in hex, once it is paid."""


class LightningNode:
    """The seller's node: real signed BOLT11, preimages drawn by chance, no channels and no peers.

    `private_key` are 32 bytes and drawn by chance when left out; `network` is bitcoin, testnet,
    signet or regtest, whose invoices begin with `prefix`. Invoices expire `expiry_s` seconds after the
    clock's time of their creation. An invoice that is asked for without a request id is of the request that
    `during` names.
    """

    def __init__(
        self,
        harness: Harness,
        private_key: bytes | None = None,
        *,
        network: str = "regtest",
        expiry_s: int = DEFAULT_EXPIRY_S,
        during: Callable[[], str | None] = lambda: None,
    ) -> None:
        if network not in PREFIXES:
            raise ValueError(f"network: expected one of {', '.join(PREFIXES)}, saw {network!r}")
        self._private_key = private_key or harness.randomness.bytes(32, "node private key")
        self.prefix = PREFIXES[network]
        self._harness = harness
        self._clock = harness.clock
        self._expiry_s = expiry_s
        self._during = during
        self._held: dict[str, _Held] = {}
        self._listeners: list[Callable[[str], None]] = []
        self._lock = threading.Lock()
        self._received_msats = 0
        self.node_id = public_key(self._private_key).hex()
        self.account = harness.accounts.open("node", lambda: self._received_msats)

    def __repr__(self) -> str:
        return f"LightningNode({self.node_id[:16]}…, {len(self._held)} invoices)"

    def create_invoice(
        self, amount_msats: int, description: str = "L402", request_id: str | None = None
    ) -> NodeInvoice:
        """Return a fresh invoice over `amount_msats`.

        Raises:
            ValueError: the amount is not positive.
            NodeUnavailable: the fault `ChallengeFailure` is active for the request.
        """
        if amount_msats <= 0:
            raise ValueError(f"an invoice asks for a positive amount of msats, got {amount_msats}")
        request_id = request_id or self._during()
        if self._harness.faults.active(ChallengeFailure, request_id):
            raise NodeUnavailable("the node creates no invoice (ChallengeFailure)")
        preimage = Preimage(self._harness.randomness.bytes(32, "preimage"))
        payment_hash = preimage.payment_hash
        ISSUED.note_digest(bytes.fromhex(payment_hash))
        now_s = self._clock.now_s()
        bolt11 = encode_invoice(
            private_key=self._private_key,
            payment_hash=payment_hash,
            timestamp_s=now_s,
            amount_msats=amount_msats,
            description=description,
            payment_secret=self._harness.randomness.bytes(32, "payment secret"),
            expiry_s=self._expiry_s,
            prefix=self.prefix,
        )
        invoice = NodeInvoice(payment_hash, bolt11, amount_msats, now_s + self._expiry_s)
        with self._lock:
            self._held[payment_hash] = _Held(invoice, preimage, request_id, self._clock.now_ms())
        return invoice

    def lookup(self, payment_hash: str) -> InvoiceStatus:
        """Return where the invoice stands now.

        Raises:
            UnknownInvoice: this node issued no such invoice.
        """
        held = self._known(payment_hash)
        if held.settled_at_ms is not None:
            return InvoiceStatus.SETTLED
        if self._clock.now_s() >= held.invoice.expires_at_s:
            return InvoiceStatus.EXPIRED
        return InvoiceStatus.OPEN

    def settle(self, payment_hash: str, amount_msats: int | None = None) -> Preimage:
        """Take the payment and release the preimage; for wallets only, since whoever holds it has paid.

        `amount_msats` is what arrives: what the invoice asks for, where nothing is said.

        Raises:
            UnknownInvoice: this node issued no such invoice.
            InvoiceClosed: it is settled already, or has expired.
            TooLittlePaid: less arrives than the invoice asks for; nothing is taken.
        """
        held = self._known(payment_hash)
        with self._lock:
            status = self.lookup(payment_hash)
            if status is not InvoiceStatus.OPEN:
                raise InvoiceClosed(f"invoice {payment_hash[:16]}…: expected an open one, it is {status}")
            asked_msats = held.invoice.amount_msats
            arrived_msats = asked_msats if amount_msats is None else amount_msats
            if arrived_msats < asked_msats:
                raise TooLittlePaid(
                    f"invoice {payment_hash[:16]}…: expected {asked_msats} msats, {arrived_msats} arrived"
                )
            held.received_msats, held.settled_at_ms = arrived_msats, self._clock.now_ms()
            self._received_msats += arrived_msats
        for tell in self._listeners:
            tell(payment_hash)
        return held.preimage

    def signed_anew(
        self, bolt11: str, *, ago_s: int = 0, prefix: str | None = None, without: str = ""
    ) -> str:
        """Return an invoice that differs, well signed: `ago_s` older, of another prefix, or lacking fields.

        For faults only: it stands for the same payment, which the node takes for the invoice it knows.
        """
        invoice = decode_invoice(bolt11)
        return encode_fields(
            prefix or invoice.prefix,
            invoice.amount_msats,
            invoice.timestamp_s - ago_s,
            [field for field in invoice.fields if field.tag not in without],
            self._private_key,
        )

    def preimages_in(self, text: str) -> tuple[str, ...]:
        """Return the payment hashes of this node whose preimage stands in a text, in hex or base64."""
        found: list[str] = []
        for digits in _HEX_OF_32.findall(text):
            found.append(sha256(bytes.fromhex(digits)).hexdigest())
        for encoded in _BASE64_OF_32.findall(text):
            standard = encoded.translate(_STANDARD)
            found.append(sha256(b64decode(f"{standard}=")).hexdigest())
        return tuple(dict.fromkeys(each for each in found if each in self._held))

    def on_settled(self, tell: Callable[[str], None]) -> None:
        """Call `tell` with the payment hash of each invoice, in hex, once it is paid."""
        self._listeners.append(tell)

    def request_id_of(self, payment_hash: str) -> str | None:
        """Return the request for which the invoice was created, or None; faults are aimed by it."""
        held = self._held.get(payment_hash)
        return None if held is None else held.request_id

    def amount_of(self, payment_hash: str) -> int:
        """Return what an invoice asks for, in msats.

        Raises:
            UnknownInvoice: this node issued no such invoice.
        """
        return self._known(payment_hash).invoice.amount_msats

    def cancel(self, payment_hash: str) -> None:
        """Take an open invoice back: nobody is asked to pay it, nobody can, and it is in no book.

        Raises:
            UnknownInvoice: this node issued no such invoice.
            InvoiceClosed: it is settled already, or has expired.
        """
        if self.lookup(payment_hash) is not InvoiceStatus.OPEN:
            raise InvoiceClosed(f"invoice {payment_hash[:16]}…: expected an open one to take back")
        with self._lock:
            del self._held[payment_hash]

    def book(self) -> list[Row]:
        """Return every invoice that the node has made, and what it got for it: the table `node_invoices`."""
        with self._lock:
            return [
                {
                    "paymentHash": payment_hash,
                    "requestId": held.request_id,
                    "amountMsats": held.invoice.amount_msats,
                    "receivedMsats": held.received_msats,
                    "createdAtMs": held.created_at_ms,
                    "settledAtMs": held.settled_at_ms,
                }
                for payment_hash, held in self._held.items()
            ]

    def _known(self, payment_hash: str) -> _Held:
        held = self._held.get(payment_hash)
        if held is None:
            raise UnknownInvoice(f"this node issued no invoice with payment hash {payment_hash[:16]}…")
        return held
