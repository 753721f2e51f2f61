"""What the books hold, in whatever order they are told, and what contradicts them.

Facts that agree give the same books in any order and however often they are entered: of what may differ
between them, such as the request id, the earliest stands, and of equals the smallest. A contradiction is
found before anything is written.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pytest_l402.contract.settlement_event import (
    INVOICE_RANK,
    Booked,
    InvoiceFact,
    PreimageConflict,
    SettlementConflict,
    SettlementFact,
)
from pytest_l402.harness.journal import Row

# Column names are the keys of the evidence tables, so that a row needs no translation on its way out. Those
# that end in Key say when a value was true first; they order values and are no evidence.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS invoices (
  invoiceId TEXT PRIMARY KEY, paymentHash TEXT UNIQUE,
  paywallId TEXT NOT NULL, ownerId TEXT NOT NULL,
  amountMsats INTEGER NOT NULL CHECK (amountMsats >= 0),
  status TEXT NOT NULL CHECK (status IN ('open', 'settled', 'canceled', 'expired')),
  requestId TEXT, createdAtMs INTEGER NOT NULL, settledAtMs INTEGER,
  paymentProofRef TEXT, createdKey INTEGER NOT NULL,
  requestKey INTEGER, closedKey INTEGER, settledKey INTEGER);
CREATE TABLE IF NOT EXISTS settlements (
  settlementId TEXT PRIMARY KEY, invoiceId TEXT REFERENCES invoices, paymentHash TEXT NOT NULL UNIQUE,
  paywallId TEXT NOT NULL, ownerId TEXT NOT NULL, amountMsats INTEGER NOT NULL CHECK (amountMsats >= 0),
  paymentProofRef TEXT NOT NULL, requestId TEXT, taskId TEXT, routeId TEXT, occurredAtMs INTEGER NOT NULL,
  bookedKey INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS conflicts (
  settlementId TEXT NOT NULL, field TEXT NOT NULL, kept TEXT, refused TEXT, atMs INTEGER NOT NULL);
"""
_COLUMNS = {
    "invoices": "invoiceId, paymentHash, paywallId, ownerId, amountMsats, status, requestId, createdAtMs, "
    "settledAtMs",
    "settlements": "settlementId, invoiceId, paymentHash, paywallId, ownerId, amountMsats, paymentProofRef, "
    "requestId, taskId, routeId, occurredAtMs",
    "conflicts": "settlementId, field, kept, refused, atMs",
}
_TOLD = {
    "settlementId": "settlement_id",
    "paymentHash": "payment_hash",
    "amountMsats": "amount_msats",
    "paywallId": "paywall_id",
    "ownerId": "owner_id",
    "invoiceId": "invoice_id",
    "paymentProofRef": "proof_reference",
}
_WITNESSED = -1


class SettlementBooks:
    """Invoices, settlements and conflicts in one SQLite database; the caller holds the lock."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA foreign_keys = ON")
        db.executescript(_SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep everything that is written in the block, or, when it raises, nothing."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def rows(self, table: str, **values: str) -> tuple[Row, ...]:
        """Return the rows of a table that have these values, as evidence has them, in order of arrival.

        Raises:
            KeyError: no such table.
        """
        where = " AND ".join(f"{column} = ?" for column in values) or "true"
        sql = f"SELECT {_COLUMNS[table]} FROM {table} WHERE {where} ORDER BY rowid"  # noqa: S608 - our own names
        return tuple(dict(row) for row in self._db.execute(sql, tuple(values.values())))

    def contradictions(self, fact: InvoiceFact | SettlementFact) -> tuple[SettlementConflict, ...]:
        """Return every field in which `fact` contradicts the books, or itself; empty if it can be entered."""
        if isinstance(fact, InvoiceFact):
            return tuple(self._against_invoices(fact))
        return tuple(self._against_settlements(fact))

    def enter(self, fact: InvoiceFact | SettlementFact) -> Booked:
        """Write a fact that contradicts nothing, and return the row that it left."""
        if isinstance(fact, InvoiceFact):
            return self._enter_invoice(fact)
        return self._enter_settlement(fact)

    def close_invoice(self, payment_hash: str, status: str) -> bool:
        """Let the gateway give an open invoice up; return whether that changed anything."""
        row = self._invoice_of(payment_hash)
        if row is None or INVOICE_RANK[row["status"]] >= INVOICE_RANK[status]:
            return False
        self._update("invoices", row, status=status, closedKey=_WITNESSED)
        return True

    def note_conflict(self, conflict: SettlementConflict, at_ms: int) -> None:
        """Keep a refusal in `conflicts`."""
        self._db.execute(
            "INSERT INTO conflicts VALUES (?, ?, ?, ?, ?)",
            (conflict.settlement_id, conflict.field, str(conflict.kept), str(conflict.refused), at_ms),
        )

    def settlement_of(self, payment_hash: str | None) -> Row | None:
        """Return the settlement of a payment hash with its keys, or None."""
        return self._one("settlements", "paymentHash", payment_hash)

    # Contradictions

    def _against_invoices(self, fact: InvoiceFact) -> Iterator[SettlementConflict]:
        stored, same_hash = self._invoice(fact.invoice_id), self._invoice_of(fact.payment_hash)
        offered = _told(fact)
        if same_hash is not None and same_hash["invoiceId"] != fact.invoice_id:
            yield SettlementConflict(fact.invoice_id, "invoiceId", same_hash["invoiceId"], fact.invoice_id)
        if stored is not None:
            yield from _differences(fact.invoice_id, stored, offered)
        known = stored or {"paymentHash": None, "paymentProofRef": None}
        settlement = self.settlement_of(fact.payment_hash or known["paymentHash"])
        if settlement is not None and settlement["invoiceId"] is None:
            # Not linked yet, so nothing of it is in the invoice's own row.
            offered["paymentProofRef"] = fact.proof_reference or known["paymentProofRef"]
            yield from _differences(settlement["settlementId"], settlement, offered)

    def _against_settlements(self, fact: SettlementFact) -> Iterator[SettlementConflict]:
        name = fact.settlement_id
        if fact.claimed_hash is not None and fact.claimed_hash != fact.payment_hash:
            yield PreimageConflict(name, "paymentHash", fact.claimed_hash, fact.payment_hash)
            return
        offered = _told(fact)
        stored = self._settlement(name) or self.settlement_of(fact.payment_hash)
        found = [] if stored is None else list(_differences(name, stored, offered))
        if not found:
            same_hash = self._invoice_of(fact.payment_hash)
            named = self._invoice(fact.invoice_id or (stored or {}).get("invoiceId"))
            for invoice in (named, same_hash):
                if invoice is not None and not found:
                    found = list(_differences(name, invoice, offered))
        yield from found

    # Entries

    def _enter_invoice(self, fact: InvoiceFact) -> Booked:
        stored = self._invoice(fact.invoice_id)
        key = _WITNESSED if fact.witnessed else fact.at_ms
        if stored is None:
            self._insert_invoice(fact, key)
        else:
            self._amend_invoice(fact, key, stored)
        row = self._invoice(fact.invoice_id)
        assert row is not None
        if fact.status == "settled":
            settled_at = fact.at_ms if fact.settled_at_ms is None else fact.settled_at_ms
            self._settle_invoice(row, settled_at, settled_at)
        settlement = self.settlement_of(row["paymentHash"])
        if settlement is not None:
            self._update("settlements", settlement, invoiceId=fact.invoice_id)
            self._link(settlement, fact.invoice_id)
        (row,) = self.rows("invoices", invoiceId=fact.invoice_id)
        return Booked(fact, row, existed=stored is not None)

    def _insert_invoice(self, fact: InvoiceFact, key: int) -> None:
        self._insert(
            "invoices",
            **_told(fact),
            status=fact.status,
            requestId=fact.request_id,
            createdAtMs=fact.known_since_ms,
            createdKey=_WITNESSED if fact.witnessed else fact.known_since_ms,
            requestKey=None if fact.request_id is None else key,
            closedKey=key if INVOICE_RANK[fact.status] == 1 else None,
        )

    def _amend_invoice(self, fact: InvoiceFact, key: int, stored: Row) -> None:
        changes: Row = {
            "paymentHash": stored["paymentHash"] or fact.payment_hash,
            "paymentProofRef": stored["paymentProofRef"] or fact.proof_reference,
        }
        created_key = _WITNESSED if fact.witnessed else fact.known_since_ms
        if created_key < stored["createdKey"]:
            changes.update(createdAtMs=fact.known_since_ms, createdKey=created_key)
        if fact.request_id is not None and _is_earlier(
            (key, fact.request_id), (stored["requestKey"], stored["requestId"])
        ):
            changes.update(requestId=fact.request_id, requestKey=key)
        rank, stored_rank = INVOICE_RANK[fact.status], INVOICE_RANK[stored["status"]]
        if rank > stored_rank or (
            rank == stored_rank == 1
            and _is_earlier((key, fact.status), (stored["closedKey"], stored["status"]))
        ):
            changes.update(status=fact.status, closedKey=key)
        self._update("invoices", stored, **changes)

    def _enter_settlement(self, fact: SettlementFact) -> Booked:
        stored = self._settlement(fact.settlement_id)
        invoice = self._invoice(fact.invoice_id) or self._invoice_of(fact.payment_hash)
        invoice_id = fact.invoice_id if invoice is None else invoice["invoiceId"]
        key = _WITNESSED if fact.witnessed else fact.at_ms
        if invoice is None and fact.invoice_id is not None:
            # It was opened where nobody told; who asked for it is not known either.
            opened = InvoiceFact(
                fact.at_ms, fact.invoice_id, fact.paywall_id, fact.owner_id, fact.amount_msats
            )
            self._insert_invoice(opened, key)
        source: Row = {
            "requestId": fact.request_id,
            "taskId": fact.task_id,
            "routeId": fact.route_id,
            "occurredAtMs": fact.at_ms,
            "bookedKey": key,
        }
        if stored is None:
            self._insert("settlements", **(_told(fact) | source | {"invoiceId": invoice_id}))
        else:
            is_earlier = not fact.witnessed and _source_key(source) < _source_key(stored)
            changes = source if is_earlier else {}
            self._update("settlements", stored, invoiceId=stored["invoiceId"] or invoice_id, **changes)
        settled = self._settlement(fact.settlement_id)
        assert settled is not None
        self._link(settled, settled["invoiceId"])
        (row,) = self.rows("settlements", settlementId=fact.settlement_id)
        return Booked(fact, row, existed=stored is not None)

    def _link(self, settlement: Row, invoice_id: str | None) -> None:
        """Let the invoice of a settlement say that it is settled, and what it is settled with."""
        invoice = self._invoice(invoice_id)
        if invoice is None:
            return
        at_ms, key = settlement["occurredAtMs"], settlement["bookedKey"]
        changes: Row = {
            "paymentHash": settlement["paymentHash"],
            "paymentProofRef": settlement["paymentProofRef"],
        }
        if key != _WITNESSED and key < invoice["createdKey"]:
            # Nothing is settled before it is there.
            changes.update(createdAtMs=at_ms, createdKey=key)
        self._update("invoices", invoice, **changes)
        self._settle_invoice({**invoice, **changes}, at_ms, key)

    def _settle_invoice(self, invoice: Row, at_ms: int, key: int) -> None:
        changes: Row = {"status": "settled"}
        if invoice["settledKey"] is None or key < invoice["settledKey"]:
            changes.update(settledAtMs=at_ms, settledKey=key)
        self._update("invoices", invoice, **changes)

    def _insert(self, table: str, **values: Any) -> None:
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        self._db.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(values.values()))  # noqa: S608

    def _update(self, table: str, stored: Row, **values: Any) -> None:
        changed = {name: value for name, value in values.items() if stored[name] != value}
        if changed:
            names = ", ".join(f"{name} = ?" for name in changed)
            key = "invoiceId" if table == "invoices" else "settlementId"
            self._db.execute(
                f"UPDATE {table} SET {names} WHERE {key} = ?",  # noqa: S608 - our own names
                (*changed.values(), stored[key]),
            )

    def _invoice(self, invoice_id: str | None) -> Row | None:
        return self._one("invoices", "invoiceId", invoice_id)

    def _invoice_of(self, payment_hash: str | None) -> Row | None:
        return self._one("invoices", "paymentHash", payment_hash)

    def _settlement(self, settlement_id: str) -> Row | None:
        return self._one("settlements", "settlementId", settlement_id)

    def _one(self, table: str, column: str, value: str | None) -> Row | None:
        sql = f"SELECT * FROM {table} WHERE {column} = ?"  # noqa: S608 - our own names
        row = None if value is None else self._db.execute(sql, (value,)).fetchone()
        return None if row is None else dict(row)


def _told(fact: InvoiceFact | SettlementFact) -> Row:
    """Return what a fact tells, by column, in the order in which contradictions are looked for."""
    return {column: getattr(fact, name) for column, name in _TOLD.items() if hasattr(fact, name)}


def _differences(
    name: str, kept: Mapping[str, Any], offered: Mapping[str, Any]
) -> Iterator[SettlementConflict]:
    """Return what both know and say differently; a proof only where the payment hash does not."""
    hashes = {kept.get("paymentHash"), offered.get("paymentHash")} - {None}
    for field, value in offered.items():
        known = kept.get(field)
        if value is None or known is None or known == value:
            continue
        if field != "paymentProofRef" or len(hashes) < 2:
            yield SettlementConflict(name, field, known, value)


def _is_earlier(candidate: tuple[int, str], stored: tuple[int | None, str | None]) -> bool:
    key, text = stored
    if key is None:
        return True
    # The gateway's own word is never replaced, not even by its own later one.
    return key != _WITNESSED and candidate < (key, text or "")


def _source_key(row: Row) -> tuple[int, str, str, str]:
    return (row["bookedKey"], row["requestId"] or "", row["taskId"] or "", row["routeId"] or "")
