"""Decides what becomes of a batch of reported events: all of it goes into the books, or none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from pytest_l402.contract import CamelDocument
from pytest_l402.contract.scalars import EpochMs, Flag, Msats, Text
from pytest_l402.contract.settlement_event import BatchConflict, Booked, InvoiceFact, SettlementFact
from pytest_l402.ops.settlement.events import Refusal, batch_order, decode_event

DEFAULT_REQUEST_ID = "smoke:settlement"
_SHOWN_REFUSALS = 3
CORRELATED = ("settlementId", "paymentProofRef", "requestId", "taskId", "routeId")


class BatchBooks(Protocol):
    """A settlement store that takes batches."""

    def ingest_batch(self, facts: Sequence[InvoiceFact | SettlementFact]) -> tuple[Booked, ...]:
        """Enter all the facts in the order given, or raise `BatchConflict` and enter none."""
        ...

    def note_batch(self, row: Mapping[str, Any]) -> None:
        """Keep what became of a batch."""
        ...


class IngestRefused(ValueError):  # noqa: N818 - the outcome's name
    """A batch was refused, and the books are as they were; `refusals` holds every reason, in its order."""

    def __init__(self, refusals: tuple[Refusal, ...]) -> None:
        shown = "; ".join(str(refusal) for refusal in refusals[:_SHOWN_REFUSALS])
        more = len(refusals) - _SHOWN_REFUSALS
        super().__init__(
            f"settlement batch (runbook lightning-ops, smoke:settlement): {shown}"
            + (f"; and {more} more" if more > 0 else "")
            + "; nothing was stored: correct the events and send the whole batch again"
        )
        self.refusals = refusals

    @property
    def code(self) -> str:
        """The stable code of the first reason."""
        return str(self.refusals[0].code)

    def to_row(self) -> dict[str, Any]:
        """Return what `smoke:settlement` prints: a summary of nothing, with failureCode and refusals."""
        nothing = SettlementIngest(0, (), ()).to_row()
        reasons = [refusal.to_row() for refusal in self.refusals]
        return nothing | {"ok": False, "failureCode": self.code, "refusals": reasons}


class InvoiceTransition(CamelDocument):
    """What an invoice event left: `status` is the invoice's own, which an event may be too late to change."""

    invoice_id: Text
    paywall_id: Text
    owner_id: Text
    status: Text
    request_id: Text | None
    updated_at_ms: EpochMs


class IngestedSettlement(CamelDocument):
    """What a settlement event found or left: the settlement as stored, amounts in msats.

    `task_id` and `route_id` are those of the event, which may be a replay under other ids.
    """

    settlement_id: Text
    paywall_id: Text
    owner_id: Text
    invoice_id: Text | None
    amount_msats: Msats
    request_id: Text | None
    payment_proof_ref: Text
    existed: Flag
    task_id: Text | None
    route_id: Text | None

    def correlation_row(self) -> dict[str, Any]:
        """Return what joins the settlement with request, task and route; ids not known are left out."""
        row = self.to_row()
        return {key: row[key] for key in CORRELATED if row[key] is not None}


@dataclass(frozen=True, slots=True)
class SettlementIngest:
    """What a batch did, in the order in which its events happened; replays are among the settlements."""

    processed: int
    invoice_transitions: tuple[InvoiceTransition, ...]
    settlements: tuple[IngestedSettlement, ...]

    @property
    def payment_proof_refs(self) -> tuple[str, ...]:
        """One proof reference for each settlement event, hosted form."""
        return tuple(item.payment_proof_ref for item in self.settlements)

    def to_row(self) -> dict[str, Any]:
        """Return what `smoke:settlement` prints."""
        transitions = [_known(item) for item in self.invoice_transitions]
        return {
            "ok": True,
            "processed": self.processed,
            "invoiceTransitions": transitions,
            "settlements": [_known(item, leave_out={"task_id", "route_id"}) for item in self.settlements],
            "settlementIds": [item.settlement_id for item in self.settlements],
            "paymentProofRefs": list(self.payment_proof_refs),
            "correlationRefs": [item.correlation_row() for item in self.settlements],
        }


def _known(document: CamelDocument, leave_out: Set[str] = frozenset()) -> dict[str, Any]:
    """Return a document without the ids that are not known."""
    row: dict[str, Any] = document.model_dump(by_alias=True, exclude_none=True, exclude=set(leave_out))
    return row


def ingest_settlements(
    store: BatchBooks, events: Iterable[object], *, request_id: str = DEFAULT_REQUEST_ID
) -> SettlementIngest:
    """Enter a batch of events, as parsed from JSON, into the books: all of them, or none.

    They are entered in the order in which they happened, whatever order they come in. A batch that came
    before changes nothing. What became of it is kept in the table `ingest_batches` under `request_id`, and
    contradictions in `conflicts`.

    Source: runbook lightning-ops, smoke:settlement.

    Raises:
        IngestRefused: an event cannot be understood, or contradicts the books or another one.
    """
    decoded = [decode_event(event, place) for place, event in enumerate(events)]
    refusals = tuple(refusal for item in decoded if isinstance(item, tuple) for refusal in item)
    if refusals:
        _refuse(store, request_id, len(decoded), refusals)
    facts = [(place, item) for place, item in enumerate(decoded) if not isinstance(item, tuple)]
    facts.sort(key=lambda entry: batch_order(entry[1]))
    try:
        booked = store.ingest_batch([fact for _, fact in facts])
    except BatchConflict as conflict:
        found = tuple(
            Refusal(
                facts[number][0], item.code, item.field, str(item.kept), str(item.refused), item.settlement_id
            )
            for number, item in conflict.conflicts
        )
        _refuse(store, request_id, len(decoded), found)
    _note(store, request_id, len(decoded), ())
    return _summary(booked)


def _refuse(store: BatchBooks, request_id: str, events: int, refusals: tuple[Refusal, ...]) -> NoReturn:
    _note(store, request_id, events, refusals)
    raise IngestRefused(refusals) from None


def _note(store: BatchBooks, request_id: str, events: int, refusals: tuple[Refusal, ...]) -> None:
    store.note_batch(
        {
            "requestId": request_id,
            "events": events,
            "outcome": "refused" if refusals else "accepted",
            "refusals": [refusal.to_row() for refusal in refusals],
        }
    )


def _summary(booked: tuple[Booked, ...]) -> SettlementIngest:
    transitions: list[InvoiceTransition] = []
    settlements: list[IngestedSettlement] = []
    for entry in booked:
        fact = entry.fact
        if isinstance(fact, InvoiceFact):
            transitions.append(InvoiceTransition.decode(entry.row | {"updatedAtMs": fact.at_ms}))
        else:
            told = {"existed": entry.existed, "taskId": fact.task_id, "routeId": fact.route_id}
            settlements.append(IngestedSettlement.decode(entry.row | told))
    return SettlementIngest(len(booked), tuple(transitions), tuple(settlements))
