"""Decides what counts as paid: each payment once, in SQL, and nothing that contradicts what is stored."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_l402.contract import ExecutionPath, Executor, Plane, hosted_proof_reference

from .clock import Clock
from .faults import Faults, SettlementDelayed, SettlementLost, SettlementProofMismatch
from .journal import Journal, Row
from .observation import observation
from .settlement_event import (
    IngestOutcome,
    InvalidPreimage,
    SettlementConflict,
    SettlementEvent,
    SettlementRefused,
)

# Column names are the keys of the evidence tables, so that a row needs no translation on its way out.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS invoices (
  invoiceId TEXT PRIMARY KEY, paymentHash TEXT NOT NULL UNIQUE,
  paywallId TEXT NOT NULL, ownerId TEXT NOT NULL,
  amountMsats INTEGER NOT NULL CHECK (amountMsats >= 0),
  status TEXT NOT NULL CHECK (status IN ('open', 'settled', 'canceled', 'expired')),
  requestId TEXT, createdAtMs INTEGER NOT NULL, settledAtMs INTEGER);
CREATE TABLE IF NOT EXISTS settlements (
  settlementId TEXT PRIMARY KEY, invoiceId TEXT REFERENCES invoices, paymentHash TEXT NOT NULL UNIQUE,
  paywallId TEXT NOT NULL, ownerId TEXT NOT NULL, amountMsats INTEGER NOT NULL CHECK (amountMsats >= 0),
  paymentProofRef TEXT NOT NULL, requestId TEXT, taskId TEXT, routeId TEXT, occurredAtMs INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS conflicts (
  settlementId TEXT NOT NULL, field TEXT NOT NULL, kept TEXT, refused TEXT, atMs INTEGER NOT NULL);
"""
_SELECT = {
    "invoices": "SELECT * FROM invoices ORDER BY rowid",
    "settlements": "SELECT * FROM settlements ORDER BY rowid",
    "conflicts": "SELECT * FROM conflicts ORDER BY rowid",
}
_INVOICE_RANK = {"open": 0, "canceled": 1, "expired": 1, "settled": 2}

Observer = Callable[[Row, SettlementEvent, bool], None]


class SettlementStore:
    """The settlements of one stack, in SQLite: `:memory:`, or a file that outlives the process.

    `observer(settlement, event, existed)` hears of every settlement that was stored or seen again; the
    projection listens there. The store detects contradictions: one settlement id with another amount, owner,
    paywall or proof is refused, leaves a row in `conflicts`, and changes nothing.
    """

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        faults: Faults,
        observer: Observer | None = None,
        path: Path | str = ":memory:",
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._faults = faults
        self._observer = observer
        self._delayed: list[SettlementEvent] = []
        # The loopback server answers from threads of its own; one lock makes each event one step.
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA foreign_keys = ON")
        self._db.executescript(_SCHEMA)

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
            known = self._one(
                "SELECT * FROM invoices WHERE invoiceId = ? OR paymentHash = ?", invoice_id, payment_hash
            )
            if known is not None:
                offered = {
                    "invoiceId": invoice_id,
                    "paymentHash": payment_hash,
                    "amountMsats": amount_msats,
                    "paywallId": paywall_id,
                    "ownerId": owner_id,
                }
                conflict = _first_difference(invoice_id, known, offered)
                if conflict is not None:
                    self._note_conflict(conflict)
                    raise conflict
                return
            self._db.execute(
                "INSERT INTO invoices VALUES (?, ?, ?, ?, ?, 'open', ?, ?, NULL)",
                (
                    invoice_id,
                    payment_hash,
                    paywall_id,
                    owner_id,
                    amount_msats,
                    request_id,
                    self._clock.tick(),
                ),
            )

    def invoice_closed(self, payment_hash: str, status: str) -> bool:
        """Mark an open invoice `canceled` or `expired`; return whether that changed anything.

        Only a higher rank replaces a lower one, so a settled invoice stays settled whatever arrives later.

        Raises:
            ValueError: another status.
        """
        if status not in ("canceled", "expired"):
            raise ValueError(f"invoice status: expected canceled or expired, saw {status!r}")
        with self._lock:
            row = self._one("SELECT status FROM invoices WHERE paymentHash = ?", payment_hash)
            if row is None or _INVOICE_RANK[row["status"]] >= _INVOICE_RANK[status]:
                return False
            self._db.execute("UPDATE invoices SET status = ? WHERE paymentHash = ?", (status, payment_hash))
            return True

    def ingest(self, event: SettlementEvent) -> IngestOutcome:
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
            return IngestOutcome(False, proof)
        with self._lock:
            if self._faults.active(SettlementDelayed, event.request_id):
                self._delayed.append(event)
                return IngestOutcome(False, proof)
            return IngestOutcome(self._store(event, proof), proof)

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

    def rows(self, table: str) -> tuple[Row, ...]:
        """Return the rows of `invoices`, `settlements` or `conflicts` as SQL holds them, in order of arrival.

        Raises:
            KeyError: no such table.
        """
        return self._all(_SELECT[table])

    def settlement(self, request_id: str) -> Row | None:
        """Return the settlement that the request caused, or None; a replaying request caused none."""
        return self._one("SELECT * FROM settlements WHERE requestId = ? ORDER BY rowid", request_id)

    def by_payment_hash(self, payment_hash: str) -> Row | None:
        """Return the settlement of a payment, or None."""
        return self._one("SELECT * FROM settlements WHERE paymentHash = ?", payment_hash)

    def by_proof(self, proof_reference: str) -> tuple[Row, ...]:
        """Return the settlements under a proof reference, hosted form."""
        return self._all(
            "SELECT * FROM settlements WHERE paymentProofRef = ? ORDER BY rowid", proof_reference
        )

    def _store(self, event: SettlementEvent, proof: str) -> bool:
        invoice = self._one("SELECT * FROM invoices WHERE paymentHash = ?", event.payment_hash)
        offered: Row = {
            "paymentHash": event.payment_hash,
            "amountMsats": event.amount_msats,
            "paywallId": event.paywall_id,
            "ownerId": event.owner_id,
        }
        stored = self._one(
            "SELECT * FROM settlements WHERE settlementId = ? OR paymentHash = ?",
            event.settlement_id,
            event.payment_hash,
        )
        if self._faults.active(SettlementProofMismatch, event.request_id):
            # As long as the real one, and of the same form: only a comparison tells them apart.
            other = hosted_proof_reference(hashlib.sha256(f"other {event.payment_hash}".encode()).hexdigest())
            if stored is None or stored["paymentProofRef"] == other:
                proof = other
        conflict = None
        if stored is not None:
            offered_again = {"settlementId": event.settlement_id, **offered, "paymentProofRef": proof}
            conflict = _first_difference(event.settlement_id, stored, offered_again)
        elif invoice is not None:
            conflict = _first_difference(event.settlement_id, invoice, offered)
        if conflict is not None:
            self._note_conflict(conflict)
            self._emit(event, deny_reason=conflict.code)
            raise conflict
        at_ms = self._clock.tick()
        if stored is None:
            stored = self._insert(event, proof, invoice, at_ms)
            existed = False
        else:
            existed = True
        self._emit(event, proof=stored["paymentProofRef"], existed=existed)
        if self._observer is not None:
            self._observer(stored, event, existed)
        return existed

    def _insert(self, event: SettlementEvent, proof: str, invoice: Row | None, at_ms: int) -> Row:
        row: Row = {
            "settlementId": event.settlement_id,
            "invoiceId": None if invoice is None else invoice["invoiceId"],
            "paymentHash": event.payment_hash,
            "paywallId": event.paywall_id,
            "ownerId": event.owner_id,
            "amountMsats": event.amount_msats,
            "paymentProofRef": proof,
            "requestId": event.request_id,
            "taskId": event.task_id,
            "routeId": event.route_id,
            "occurredAtMs": at_ms,
        }
        # Settlement and invoice change together or not at all.
        with self._db:
            self._db.execute("BEGIN")
            self._db.execute(
                "INSERT INTO settlements VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", tuple(row.values())
            )
            self._db.execute(
                "UPDATE invoices SET status = 'settled', settledAtMs = ? WHERE paymentHash = ?",
                (at_ms, event.payment_hash),
            )
        return row

    def _note_conflict(self, conflict: SettlementConflict) -> None:
        self._db.execute(
            "INSERT INTO conflicts VALUES (?, ?, ?, ?, ?)",
            (
                conflict.settlement_id,
                conflict.field,
                str(conflict.kept),
                str(conflict.refused),
                self._clock.tick(),
            ),
        )

    def _emit(
        self,
        event: SettlementEvent,
        *,
        proof: str | None = None,
        existed: bool | None = None,
        deny_reason: str | None = None,
    ) -> None:
        refused = deny_reason is not None
        self._journal.emit(
            observation(
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
                executor=Executor.GATEWAY,
                plane=Plane.SETTLEMENT,
                execution_path=ExecutionPath.HOSTED_NODE,
                observed_at_ms=self._clock.tick(),
            )
        )
        if event.request_id is not None:
            word = deny_reason or ("replayed" if existed else "stored")
            self._journal.log(Plane.SETTLEMENT, event.request_id, f"settlement={event.settlement_id} {word}")

    def _one(self, sql: str, *parameters: str) -> Row | None:
        with self._lock:
            row = self._db.execute(sql, parameters).fetchone()
        return None if row is None else dict(row)

    def _all(self, sql: str, *parameters: str) -> tuple[Row, ...]:
        with self._lock:
            return tuple(dict(row) for row in self._db.execute(sql, parameters))


def _first_difference(
    settlement_id: str, kept: dict[str, Any], offered: dict[str, Any]
) -> SettlementConflict | None:
    for name, value in offered.items():
        if kept[name] != value:
            return SettlementConflict(settlement_id, name, kept[name], value)
    return None


__all__ = ["SettlementRefused", "SettlementStore"]
