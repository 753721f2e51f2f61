"""Decides what the files of a billing service say: records, epochs, entries, balances, events."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, Final

from pytest_l402.billing.ledger import EntryState, Ledger, take_in
from pytest_l402.billing.log.reader import LogDamaged, chain_of, records_of
from pytest_l402.billing.log.store import Folder

__all__ = ["events_in", "gauges_of", "log_tables"]

Row = dict[str, Any]
_KEYS: Final = (
    "entry", "account", "payment", "transfer", "recipient", "amountMsats", "attempt", "reason", "flag", "old",
    "new", "actor",
)  # fmt: skip
_EVENT_KEYS: Final = ("event", "instance", "atMs", "invariant", "entry")


def log_tables(folder: Path, cached: dict[str, int]) -> dict[str, list[Row]]:
    """The tables that follow from a log, and from what the cache has for each account.

    A log that is damaged, or cannot be read, is told up to there, and why is told too.
    """
    records: list[Row] = []
    segments: list[Row] = []
    problem = None
    ledger = Ledger()
    store = Folder(folder)
    try:
        chain = chain_of(store)
        segments = [
            {"epoch": each.epoch, "writer": each.writer, "firstSequence": each.first_sequence}
            for each in chain.segments
        ]
        for frame in records_of(store, chain):
            record = take_in(ledger, frame)
            total = sum(amount for _, amount in record.get("postings", ()))
            known = {key: record.get(key) for key in _KEYS}
            place = {"sequence": frame[0], "epoch": frame[1], "type": record["type"], "sumMsats": total}
            records.append({**place, **known, "atMs": record["atMs"]})
    except (LogDamaged, OSError) as damage:
        problem = str(damage)
    accounts = sorted({*ledger.balances, *cached})
    return {
        "log_records": records,
        "log_segments": segments,
        "log": [{"records": len(records), "problem": problem}],
        "balances": [
            {"account": name, "logMsats": ledger.balances.get(name), "cacheMsats": cached.get(name)}
            for name in accounts
        ],
        "entries": [
            {
                "entry": name,
                "account": entry.account,
                "state": str(entry.state),
                "reservedMsats": entry.reserved,
                "costMsats": entry.cost,
                "attempt": entry.attempt,
            }
            for name, entry in ledger.entries.items()
        ],
    }


def gauges_of(folder: Path) -> dict[str, int]:
    """The gauges that follow from a log; none if it is damaged."""
    tables = log_tables(folder, {})
    if tables["log"][0]["problem"] is not None:
        return {}
    states = Counter(row["state"] for row in tables["entries"])
    queue, poison = states[EntryState.PENDING], states[EntryState.POISONED]
    return {
        "billing_pending_reconciliation_count": queue + poison,
        "billing_dead_letter_queue": queue,
        "billing_dead_letter_poison": poison,
        "billing_log_sequence": max((row["sequence"] for row in tables["log_records"]), default=0),
    }


def events_in(path: Path) -> list[Row]:
    """What an instance told of itself; a last line that was cut off by a kill is left out."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    told = [json.loads(line) for line in lines if line.endswith("\n")]
    return [
        {
            **{key: row.get(key) for key in _EVENT_KEYS},
            "detail": {key: value for key, value in row.items() if key not in _EVENT_KEYS},
        }
        for row in told
    ]
