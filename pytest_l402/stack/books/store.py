"""What counts as paid: each payment once, in SQL, and nothing that contradicts what is stored."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_l402.contract import Plane, Speaker, hosted_proof_reference
from pytest_l402.contract.settlement_event import (
    BatchConflict,
    Booked,
    Ingested,
    InvalidPreimage,
    InvoiceFact,
    SettlementConflict,
    SettlementEvent,
    SettlementFact,
)
from pytest_l402.harness.harness import Harness
from pytest_l402.harness.journal import Row
from pytest_l402.harness.observation import observe
from pytest_l402.stack.books.books import SettlementBooks
from pytest_l402.stack.faults import SettlementDelayed, SettlementLost, SettlementProofMismatch

BATCHES = "ingest_batches"

Observer = Callable[[Row, SettlementEvent | SettlementFact, bool], None]


class SettlementStore:
    """The settlements of one stack, in SQLite: `:memory:`, or a file that outlives the process.

    `observer(settlement, event, existed)` hears of every settlement that was stored or seen again; the
    projection listens there. The store detects contradictions: one settlement id with another amount, owner,
    paywall or proof is refused, leaves a row in `conflicts`, and changes nothing.
    """

    def __init__(
        self, harness: Harness, observer: Observer | None = None, path: Path | str = ":memory:"
    ) -> None:
        self._harness = harness
        self._clock = harness.clock
        self._faults = harness.faults
        self._observer = observer
        self._delayed: list[SettlementEvent] = []
        # The loopback server answers from threads of its own; one lock makes each event one step.
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._books = SettlementBooks(self._db)

    def close(self) -> None:
        """Close the database; the store answers nothing afterwards."""
        self._db.close()

    def invoice_opened(
        self,
        payment_hash: str,
        invoice_id: str,
        amount_msats: int,
        paywall_id: str,
        owner_id: str,
        request_id: str | None,
    ) -> None:
        """Keep an invoice as `open`; a repeat of the same invoice changes nothing.

        Raises:
            SettlementConflict: the invoice or its payment hash is known with other values.
        """
        with self._lock:
            fact = InvoiceFact(
                at_ms=self._clock.tick(),
                invoice_id=invoice_id,
                payment_hash=payment_hash,
                paywall_id=paywall_id,
                owner_id=owner_id,
                amount_msats=amount_msats,
                request_id=request_id,
                witnessed=True,
            )
            self._enter(fact)

    def invoice_closed(self, payment_hash: str, status: str) -> bool:
        """Mark an open invoice `canceled` or `expired`; return whether that changed anything.

        Only a higher rank replaces a lower one, so a settled invoice stays settled whatever arrives later.

        Raises:
            ValueError: another status.
        """
        if status not in ("canceled", "expired"):
            raise ValueError(f"invoice status: expected canceled or expired, saw {status!r}")
        with self._lock, self._books.transaction():
            return self._books.close_invoice(payment_hash, status)

    def ingest(self, event: SettlementEvent) -> Ingested:
        """Store a settlement, or observe that it is there already (`existed`), and emit its record.

        The outcome's proof reference is that of the presented preimage. A record with `cacheHit` true is the
        replay of a stored settlement. Source: runbook observability section 3.

        Raises:
            InvalidPreimage: the preimage does not hash to the payment hash.
            SettlementConflict: the event contradicts the stored settlement or its invoice.
        """
        if event.preimage.payment_hash != event.payment_hash:
            self._emit(event, deny_reason=InvalidPreimage.code)
            raise InvalidPreimage(event.settlement_id)
        proof = hosted_proof_reference(event.preimage.hex())
        if self._faults.active(SettlementLost, event.request_id):
            return Ingested(False, proof)
        with self._lock:
            if self._faults.active(SettlementDelayed, event.request_id):
                self._delayed.append(event)
                return Ingested(False, proof)
            return Ingested(self._store(event, proof), proof)

    def ingest_batch(self, facts: Sequence[InvoiceFact | SettlementFact]) -> tuple[Booked, ...]:
        """Enter a batch of reported facts, in the order given, whole or not at all.

        Every contradiction of a batch is kept in `conflicts`. Records and projection hear of a batch only
        once it is in the books. The faults of the gateway's own delivery do not concern it.

        Raises:
            BatchConflict: facts contradict the books or one another; invoices and settlements are unchanged.
        """
        with self._lock:
            try:
                with self._books.transaction():
                    booked = self._enter_all(facts)
            except BatchConflict as refused:
                self._note_conflicts([conflict for _, conflict in refused.conflicts])
                for place in dict.fromkeys(place for place, _ in refused.conflicts):
                    fact = facts[place]
                    if isinstance(fact, SettlementFact):
                        code = next(conflict.code for at, conflict in refused.conflicts if at == place)
                        self._emit(fact, deny_reason=code)
                raise
            for entry in booked:
                if isinstance(entry.fact, SettlementFact):
                    self._tell(entry.fact, entry)
            return booked

    def note_batch(self, row: Mapping[str, Any]) -> None:
        """Append what became of a batch to the table `ingest_batches`, with the time."""
        self._harness.note(BATCHES, row)

    def release_delayed(self) -> int:
        """Store the settlements that were held back, oldest first, and return how many there were.

        Raises:
            SettlementRefused: one of them was refused; those behind it stay queued.
        """
        with self._lock:
            released = 0
            while self._delayed:
                event = self._delayed.pop(0)
                self._store(event, hosted_proof_reference(event.preimage.hex()))
                released += 1
            return released

    def delayed(self) -> int:
        """Return how many settlements are held back; 0 in the steady state."""
        return len(self._delayed)

    def rows(self, table: str, **values: str) -> tuple[Row, ...]:
        """Return the rows of `invoices`, `settlements` or `conflicts` as SQL holds them, in order of arrival.

        With `values`, by column, only those that have them.

        Raises:
            KeyError: no such table.
        """
        with self._lock:
            return self._books.rows(table, **values)

    def _store(self, event: SettlementEvent, proof: str) -> bool:
        fact = SettlementFact(
            at_ms=self._clock.tick(),
            settlement_id=event.settlement_id,
            payment_hash=str(event.payment_hash),
            proof_reference=self._proof_to_keep(event, proof),
            amount_msats=event.amount_msats,
            paywall_id=event.paywall_id,
            owner_id=event.owner_id,
            request_id=event.request_id,
            task_id=event.task_id,
            route_id=event.route_id,
            witnessed=True,
        )
        try:
            booked = self._enter(fact)
        except SettlementConflict as refused:
            self._emit(event, deny_reason=refused.code)
            raise
        self._tell(event, booked)
        return booked.existed

    def _enter(self, fact: InvoiceFact | SettlementFact) -> Booked:
        with self._books.transaction():
            conflicts = self._books.contradictions(fact)
            booked = None if conflicts else self._books.enter(fact)
        if booked is None:
            self._note_conflicts(conflicts)
            raise conflicts[0]
        return booked

    def _proof_to_keep(self, event: SettlementEvent, proof: str) -> str:
        if not self._faults.active(SettlementProofMismatch, event.request_id):
            return proof
        # As long as the real one, and of the same form: only a comparison tells them apart.
        other = hosted_proof_reference(hashlib.sha256(f"other {event.payment_hash}".encode()).hexdigest())
        stored = self._books.settlement_of(event.payment_hash)
        return other if stored is None or stored["paymentProofRef"] == other else proof

    def _enter_all(self, facts: Sequence[InvoiceFact | SettlementFact]) -> tuple[Booked, ...]:
        booked: list[Booked] = []
        conflicts: list[tuple[int, SettlementConflict]] = []
        for place, fact in enumerate(facts):
            found = self._books.contradictions(fact)
            if found:
                conflicts += [(place, conflict) for conflict in found]
            else:
                booked.append(self._books.enter(fact))
        if conflicts:
            raise BatchConflict(tuple(conflicts))
        return tuple(booked)

    def _note_conflicts(self, conflicts: Sequence[SettlementConflict]) -> None:
        with self._books.transaction():
            for conflict in conflicts:
                self._books.note_conflict(conflict, self._clock.tick())

    def _tell(self, source: SettlementEvent | SettlementFact, booked: Booked) -> None:
        self._emit(source, proof=booked.row["paymentProofRef"], existed=booked.existed)
        if self._observer is not None:
            self._observer(booked.row, source, booked.existed)

    def _emit(
        self,
        event: SettlementEvent | SettlementFact,
        *,
        proof: str | None = None,
        existed: bool | None = None,
        deny_reason: str | None = None,
    ) -> None:
        refused = deny_reason is not None
        observe(
            self._harness,
            Plane.SETTLEMENT,
            Speaker.GATEWAY,
            request_id=event.request_id,
            user_id=event.owner_id,
            paywall_id=event.paywall_id,
            task_id=event.task_id,
            endpoint=f"/api/lightning/paywalls/{event.paywall_id}/settlements",
            quoted_cost_msats=event.amount_msats,
            cap_applied_msats=event.amount_msats,
            paid_amount_msats=None if refused else event.amount_msats,
            payment_proof_ref=proof,
            cache_hit=existed,
            deny_reason=deny_reason,
        )
        if event.request_id is not None:
            word = deny_reason or ("replayed" if existed else "stored")
            text = f"settlement={event.settlement_id} {word}"
            self._harness.journal.log(Plane.SETTLEMENT, event.request_id, text)
