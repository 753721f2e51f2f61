"""Decides whether a reported event can be understood, and in which order a batch of them happened."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, Any, cast

from pydantic import AfterValidator

from pytest_l402.boundary import quoted
from pytest_l402.contract import CamelDocument, DocumentError, hosted_proof_reference
from pytest_l402.contract.camel_document import camel_row
from pytest_l402.contract.scalars import AnyText, EpochMs, Msats, Text, member_of
from pytest_l402.contract.settlement_event import INVOICE_RANK, PROOF_TYPE, InvoiceFact, SettlementFact
from pytest_l402.protocol import InvoiceError, Preimage, decode_invoice

_HASH = re.compile(r"[0-9a-f]{64}")
_PROOF_REFERENCE = re.compile(r"lightning_preimage:[0-9a-f]{24}")
_WORD = re.compile(r"[A-Za-z_-]{1,40}")
_PROOF_VALUE = "paymentProofValue"
_MAX_ID_LENGTH = 256


class EventKind(StrEnum):
    """What an event tells of; of events at one time, those of invoices come first."""

    INVOICE_LIFECYCLE = "invoice_lifecycle"
    SETTLEMENT = "settlement"


class IngestCode(StrEnum):
    """Why an event was refused, as a stable code."""

    INVALID_EVENT = "invalid_event"
    INVALID_PAYMENT_PROOF_TYPE = "invalid_payment_proof_type"
    INVALID_PREIMAGE = "invalid_preimage"
    SETTLEMENT_CONFLICT = "settlement_conflict"


class InvoiceStatus(StrEnum):
    """How an invoice stands."""

    OPEN = "open"
    CANCELED = "canceled"
    EXPIRED = "expired"
    SETTLED = "settled"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason why a batch was refused: the event's place in it (from 0), the field, what spoke against it.

    `expected` and `seen` may be shown: a preimage is never in them.
    """

    event: int
    code: str
    field: str
    expected: str
    seen: str
    subject_id: str | None = None

    def __str__(self) -> str:
        where = f"events[{self.event}]" + (f".{self.field}" if self.field else "")
        name = "" if self.subject_id is None else f" ({quoted(self.subject_id)})"
        return f"{where}{name}: expected {self.expected}, saw {self.seen} [{self.code}]"

    def to_row(self) -> dict[str, Any]:
        """Return the reason with camelCase keys."""
        return camel_row(self)


# Blank is absent, as the senders have it.
_OptionalId = Annotated[AnyText, AfterValidator(lambda text: text if text.strip() else None)] | None
_OptionalText = Annotated[AnyText, AfterValidator(lambda text: text.strip() or None)] | None
_OptionalHash = Annotated[AnyText, AfterValidator(lambda text: text.strip().lower() or None)] | None


class _Event(CamelDocument):
    occurred_at_ms: EpochMs
    paywall_id: Text
    owner_id: Text
    amount_msats: Msats
    payment_hash: _OptionalHash = None
    request_id: _OptionalId = None


class _InvoiceLifecycle(_Event):
    invoice_id: Text
    status: Annotated[InvoiceStatus, member_of(InvoiceStatus)]
    payment_request: _OptionalText = None
    payment_proof_ref: _OptionalText = None
    settled_at_ms: EpochMs | None = None


class _Settlement(_Event):
    settlement_id: Text
    invoice_id: _OptionalId = None
    payment_proof_type: AnyText
    task_id: _OptionalId = None
    route_id: _OptionalId = None


# What a fact has under another name, or not at all.
_NOT_OF_A_FACT = {
    "occurred_at_ms",
    "payment_hash",
    "payment_request",
    "payment_proof_ref",
    "payment_proof_type",
}


def decode_event(value: object, place: int) -> InvoiceFact | SettlementFact | tuple[Refusal, ...]:
    """Return the fact that an event reports, or every reason why it reports none; `place` names it there.

    Optional texts may be absent, null or blank. A payment hash is 64 hex digits; a preimage too, blanks round
    it and capitals aside; a BOLT11 invoice must carry the hash and the amount of its event. Unknown keys are
    dropped. Source: lightning-ops, settlement ingest.
    """
    if not isinstance(value, Mapping):
        return (_invalid(place, "", "an object", f"a {type(value).__name__}"),)
    try:
        kind = EventKind(cast("str", value.get("kind")))
    except ValueError:
        return (_invalid(place, "kind", "one of " + ", ".join(EventKind), _word(value.get("kind"))),)
    # The preimage stays out of the document, so that no message about the document can show it.
    plain = {key: item for key, item in value.items() if key != _PROOF_VALUE}
    model = _InvoiceLifecycle if kind is EventKind.INVOICE_LIFECYCLE else _Settlement
    try:
        event = model.decode(plain)
    except DocumentError as error:
        return tuple(_invalid(place, item.field, item.expected, item.seen) for item in error.departures)
    if isinstance(event, _InvoiceLifecycle):
        return _invoice_fact(event, place)
    assert isinstance(event, _Settlement)
    return _settlement_fact(event, value.get(_PROOF_VALUE), place)


def batch_order(fact: InvoiceFact | SettlementFact) -> tuple[int, int, int, str]:
    """Return by what a batch is put in order: time, invoices first, status rank, then every value it holds.

    Two events of equal order are equal, so that the order in which a batch came cannot show in the books.
    """
    is_settlement = isinstance(fact, SettlementFact)
    rank = 0 if isinstance(fact, SettlementFact) else INVOICE_RANK[fact.status]
    values = json.dumps([getattr(fact, name) for name in type(fact).__slots__])
    return fact.at_ms, int(is_settlement), rank, values


def _invoice_fact(event: _InvoiceLifecycle, place: int) -> InvoiceFact | tuple[Refusal, ...]:
    payment_hash, proof = event.payment_hash, event.payment_proof_ref
    refusals = [*_ids(event, place), *_hash_refusals(payment_hash, place)]
    if proof is not None and _PROOF_REFERENCE.fullmatch(proof) is None:
        # Not shown: it may be the preimage itself.
        expected = "lightning_preimage: and 24 hex digits"
        refusals.append(_invalid(place, "paymentProofRef", expected, "text of another form"))
    if event.settled_at_ms is not None and event.status is not InvoiceStatus.SETTLED:
        refusals.append(
            _invalid(place, "settledAtMs", "no time before it is settled", str(event.settled_at_ms))
        )
    if event.payment_request is not None and not refusals:
        stated = _payment_request(event.payment_request, event.amount_msats, payment_hash, place)
        if isinstance(stated, Refusal):
            refusals.append(stated)
        else:
            payment_hash = stated
    if refusals:
        return _named(refusals, event.invoice_id)
    return InvoiceFact(
        at_ms=event.occurred_at_ms,
        payment_hash=payment_hash,
        proof_reference=proof,
        **event.model_dump(mode="json", exclude=_NOT_OF_A_FACT),
    )


def _settlement_fact(
    event: _Settlement, proof_value: object, place: int
) -> SettlementFact | tuple[Refusal, ...]:
    refusals = [*_ids(event, place), *_hash_refusals(event.payment_hash, place)]
    if event.payment_proof_type != PROOF_TYPE:
        code, seen = IngestCode.INVALID_PAYMENT_PROOF_TYPE, _word(event.payment_proof_type)
        refusals.append(Refusal(place, code, "paymentProofType", PROOF_TYPE, seen))
    text = proof_value.strip().lower() if isinstance(proof_value, str) else ""
    if _HASH.fullmatch(text) is None:
        seen = _told(text) if isinstance(proof_value, str) else type(proof_value).__name__
        expected = "64 hex digits of a 32-byte preimage"
        refusals.append(Refusal(place, IngestCode.INVALID_PREIMAGE, _PROOF_VALUE, expected, seen))
    if refusals:
        return _named(refusals, event.settlement_id)
    preimage = Preimage.from_hex(text)
    return SettlementFact(
        at_ms=event.occurred_at_ms,
        payment_hash=preimage.payment_hash.hex(),
        proof_reference=hosted_proof_reference(text),
        claimed_hash=event.payment_hash,
        **event.model_dump(mode="json", exclude=_NOT_OF_A_FACT),
    )


def _payment_request(text: str, amount_msats: int, payment_hash: str | None, place: int) -> str | Refusal:
    """Return the payment hash that a BOLT11 invoice carries, or what speaks against the invoice."""
    try:
        invoice = decode_invoice(text)
    except InvoiceError as error:
        return _invalid(place, "paymentRequest", "a signed BOLT11 invoice", quoted(str(error), 160))
    if invoice.amount_msats not in (None, amount_msats):
        expected = f"an invoice over the event's {amount_msats} msats"
        return _invalid(place, "paymentRequest", expected, f"one over {invoice.amount_msats} msats")
    if payment_hash not in (None, invoice.payment_hash.hex()):
        return _invalid(place, "paymentRequest", "an invoice of the event's payment hash", "one of another")
    return invoice.payment_hash.hex()


def _ids(event: _Event, place: int) -> Iterator[Refusal]:
    """Find ids that no log line or table could show as they are."""
    for name, value in event.to_row().items():
        if not name.endswith("Id") or value is None:
            continue
        if len(value) > _MAX_ID_LENGTH or not value.isprintable() or value != value.strip():
            expected = f"1 to {_MAX_ID_LENGTH} printable characters without blanks round them"
            yield _invalid(place, name, expected, quoted(value))


def _hash_refusals(payment_hash: str | None, place: int) -> Iterator[Refusal]:
    if payment_hash is not None and _HASH.fullmatch(payment_hash) is None:
        yield _invalid(place, "paymentHash", "64 hex digits", _told(payment_hash))


def _word(value: object) -> str:
    """Return a name as it may be shown; a sender that mixed its keys up may have put the preimage there."""
    if isinstance(value, str) and _WORD.fullmatch(value):
        return quoted(value)
    return _told(value) if isinstance(value, str) else type(value).__name__


def _told(text: str) -> str:
    return f"text of {len(text)} characters"


def _invalid(place: int, field: str, expected: str, seen: str) -> Refusal:
    return Refusal(place, IngestCode.INVALID_EVENT, field, expected, seen)


def _named(refusals: list[Refusal], subject_id: str) -> tuple[Refusal, ...]:
    return tuple(replace(item, subject_id=subject_id) for item in refusals)
