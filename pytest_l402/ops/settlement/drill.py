"""Whether books keep what they are told and refuse a contradiction, and whether settlements can be true."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from pytest_l402.contract import proof_join_key
from pytest_l402.ops.settlement.ingest import (
    CORRELATED,
    DEFAULT_REQUEST_ID,
    BatchBooks,
    IngestRefused,
    SettlementIngest,
    ingest_settlements,
)


class Books(BatchBooks, Protocol):
    """Books that take batches, and show what they hold."""

    def rows(self, table: str) -> Sequence[Mapping[str, Any]]:
        """Return the rows of `invoices`, `settlements` or `conflicts`."""
        ...


def drill_books(
    books: Books, events: Sequence[dict[str, Any]]
) -> tuple[dict[str, Any], tuple[tuple[str, str], ...]]:
    """Enter the events of `smoke_events`, then a contradiction; return the document and what does not hold.

    What does not hold has a stable code and a reason. Source: runbook lightning-ops, smoke:settlement.
    """
    try:
        ingest = ingest_settlements(books, events)
    except IngestRefused as refused:
        return refused.to_row(), ((refused.code, str(refused)),)
    settled = list(books.rows("settlements"))
    invoices = {row["invoiceId"]: row["status"] for row in books.rows("invoices")}
    refused_codes = _contradict(books, events[1])
    existed = [item.existed for item in ingest.settlements]
    stored = [row["settlementId"] for row in settled]
    held = {
        "replay_not_idempotent": (existed == [False, True], f"existed={existed}"),
        "invoice_status_wrong": (
            invoices == {"inv_smoke_1": "settled", "inv_smoke_2": "expired"},
            f"invoices={invoices}",
        ),
        "settlement_not_stored_once": (stored == ["set_smoke_1"], f"settlements={stored}"),
        "conflict_not_refused": (bool(refused_codes), "the batch was taken"),
        "books_changed_by_refused_batch": (
            list(books.rows("settlements")) == settled,
            "other settlements than before",
        ),
    }
    failures = tuple((code, seen) for code, (holds, seen) in held.items() if not holds)
    document = ingest.to_row() | {"ok": not failures}
    document["conflict"] = {"refused": bool(refused_codes), "codes": list(refused_codes)}
    if failures:
        document |= {"failureCode": failures[0][0], "failures": [code for code, _ in failures]}
    return document, failures


def read_settlements(
    rows: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, Any], tuple[tuple[str, str], ...]]:
    """Judge settlements that are on record; return the document and what does not hold, as `drill_books`.

    Each of them is one that happened, so there are no transitions to tell, and none is entered.
    """
    failures = tuple(contradictions(rows))
    known = [{key: value for key, value in row.items() if value is not None} for row in rows]
    document = SettlementIngest(len(rows), (), ()).to_row() | {
        "ok": not failures,
        "settlements": known,
        "settlementIds": [row["settlementId"] for row in rows],
        "paymentProofRefs": [row["paymentProofRef"] for row in rows],
        "correlationRefs": [{key: row[key] for key in CORRELATED if key in row} for row in known],
        "entered": 0,
    }
    if failures:
        document["failureCode"] = failures[0][0]
        document["failures"] = [{"code": code, "reason": reason} for code, reason in failures]
    return document, failures


def contradictions(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield code and reason of what cannot be true of settlements, or cannot be joined with other planes."""
    if not rows:
        yield "no_settlements", "expected a settlement, saw none: nothing was judged"
    for key, code in (("settlementId", "settlement_told_twice"), ("paymentProofRef", "proof_used_twice")):
        for value, times in Counter(row[key] for row in rows).items():
            if times > 1:
                yield code, f"expected {value} once, saw it {times} times"
    for row in rows:
        name, msats = row["settlementId"], row["amountMsats"]
        if proof_join_key(row["paymentProofRef"]) is None:
            yield "proof_without_form", f"{name}: expected lightning_preimage: and 24 hex digits"
        if msats <= 0:
            yield "amount_not_positive", f"{name}: expected msats above 0, saw {msats}"


def _contradict(books: Books, settled: Mapping[str, Any]) -> tuple[str, ...]:
    """Report the settlement again with another amount, after one that is new; return why it was refused."""
    at_ms, msats = settled["occurredAtMs"], settled["amountMsats"]
    kept = {key: settled[key] for key in ("paywallId", "ownerId", "amountMsats")}
    new = {"kind": "invoice_lifecycle", "invoiceId": "inv_smoke_3", "status": "open"}
    batch = (
        {**new, **kept, "occurredAtMs": at_ms + 900},
        {**settled, "occurredAtMs": at_ms + 901, "amountMsats": msats + 1},
    )
    try:
        ingest_settlements(books, batch, request_id=f"{DEFAULT_REQUEST_ID}:conflict")
    except IngestRefused as refused:
        return tuple(str(refusal.code) for refusal in refused.refusals)
    return ()
