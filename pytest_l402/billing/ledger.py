"""Decides what the records of the log add up to: balances, entries and their states, used ids, flags."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from pytest_l402.billing.log.reader import LogDamaged

__all__ = ["FLAGS", "Entry", "EntryState", "Ledger", "OutOfOrder", "Unbalanced"]

Record = dict[str, Any]
Posting = tuple[str, int]

FLAGS: Final = ("billing", "credits", "nft", "onboarding", "x402")
TREASURY: Final = "treasury"
REVENUE: Final = "revenue"


class EntryState(StrEnum):
    """Where an entry stands; the last three but one are its ends."""

    HELD = "RESERVE_HELD"
    PENDING = "FINALIZE_PENDING"
    POISONED = "FINALIZE_FAILED"
    ACKED = "FINALIZE_ACKED"
    RELEASED = "RELEASED"
    VOIDED = "VOIDED"


_S = EntryState
_STEPS: Final[dict[str, tuple[frozenset[EntryState], EntryState]]] = {
    "billing_release": (frozenset({_S.HELD}), _S.RELEASED),
    "billing_commit": (frozenset({_S.HELD}), _S.PENDING),
    "billing_finalize_fail": (frozenset({_S.PENDING}), _S.PENDING),
    "billing_poison": (frozenset({_S.PENDING}), _S.POISONED),
    "billing_finalize_ack": (frozenset({_S.PENDING, _S.POISONED}), _S.ACKED),
    "billing_void": (frozenset({_S.POISONED}), _S.VOIDED),
}


class OutOfOrder(ValueError):  # noqa: N818 - the name of the condition
    """A record does not follow from the state that its entry, payment or transfer is in."""


class Unbalanced(ValueError):  # noqa: N818 - the name of the condition
    """The postings of a record do not sum to zero."""


@dataclass
class Entry:
    """One use of credit, from its reserve to its end; amounts in msats."""

    account: str
    reserved: int
    rate: int
    state: EntryState = EntryState.HELD
    cost: int = 0
    attempt: int = 0
    reason: str = ""


@dataclass
class Ledger:
    """The state after so many records; the same records give the same state, whoever applies them."""

    sequence: int = -1
    at_ms: int = 0
    balances: dict[str, int] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    payments: dict[str, str] = field(default_factory=dict)
    payers: dict[str, str] = field(default_factory=dict)
    transfers: dict[str, list[Any]] = field(default_factory=dict)
    flags: dict[str, bool] = field(default_factory=dict)
    entitlements: dict[str, str] = field(default_factory=dict)

    def expect(self, record: Record) -> None:
        """Raise `OutOfOrder` or `Unbalanced` unless the record may come next; nothing is changed."""
        total = sum(amount for _, amount in record.get("postings", ()))
        if total:
            raise Unbalanced(f"postings of {record['type']}: expected a sum of 0 msats, saw {total}")
        kind, entry = record["type"], self.entries.get(record.get("entry", ""))
        if kind == "billing_reserve" and entry is not None:
            raise OutOfOrder(f"entry {record['entry']}: expected a new id, saw {entry.state}")
        if kind in _STEPS:
            before, _ = _STEPS[kind]
            if entry is None or entry.state not in before:
                seen = "none" if entry is None else entry.state
                raise OutOfOrder(f"{kind} of entry {record['entry']}: expected {_told(before)}, saw {seen}")
        if kind == "credit_mint" and record["transfer"] in self.transfers:
            raise OutOfOrder(f"transfer {record['transfer']}: expected a new one, saw one that was minted")
        if kind == "x402_settled" and self.payments.get(record["payment"]) == "settled":
            raise OutOfOrder(f"payment {record['payment']}: expected one that is not settled, saw it settled")

    def apply(self, sequence: int, record: Record) -> None:
        """Take a record in; one that is not newer than what is in already is passed over."""
        if sequence <= self.sequence:
            return
        self.sequence, self.at_ms = sequence, max(self.at_ms, record.get("atMs", 0))
        for account, amount in record.get("postings", ()):
            self.balances[account] = self.balances.get(account, 0) + amount
        kind = record["type"]
        if kind == "billing_reserve":
            self.entries[record["entry"]] = Entry(record["account"], record["amountMsats"], record["rate"])
        elif kind in _STEPS and record["entry"] in self.entries:
            entry = self.entries[record["entry"]]
            entry.state = _STEPS[kind][1]
            for key, name in (("costMsats", "cost"), ("attempt", "attempt"), ("reason", "reason")):
                if key in record:
                    setattr(entry, name, record[key])
        elif kind == "feature_flag_toggle":
            self.flags[record["flag"]] = record["new"]
        elif kind == "credit_mint":
            self.transfers[record["transfer"]] = [record["account"], record["amountMsats"]]
        elif kind == "x402_claimed":
            self.payments.setdefault(record["payment"], "claimed")
            self.payers.setdefault(record["payment"], record["account"])
        elif kind == "x402_settled":
            self.payments[record["payment"]] = "settled"
        elif kind == "entitlement":
            self.entitlements[record["account"]] = record["state"]

    def in_state(self, *states: EntryState) -> list[str]:
        """The ids of the entries in any of these states."""
        return [name for name, entry in self.entries.items() if entry.state in states]

    def available(self, account: str) -> int | None:
        """What an account can spend, in msats; None for an account that nobody ever credited."""
        return self.balances.get(f"available:{account}")

    def digest(self) -> str:
        """One text for all of the state; two that are equal byte for byte have the same."""
        whole = {
            "sequence": self.sequence,
            "balances": self.balances,
            "entries": {name: vars(entry) for name, entry in self.entries.items()},
            "payments": self.payments,
            "payers": self.payers,
            "transfers": self.transfers,
            "flags": self.flags,
            "entitlements": self.entitlements,
        }
        return "sha256:" + hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def replayed(
    records: Iterable[tuple[int, int, bytes, int]], counts: Callable[[Record], bool] = lambda _: True
) -> Ledger:
    """The ledger after the records of a log; `counts` says of each whether it is taken in.

    Raises:
        LogDamaged: a record is whole and of something else.
    """
    ledger = Ledger()
    for frame in records:
        take_in(ledger, frame, counts)
    return ledger


def take_in(
    ledger: Ledger, frame: tuple[int, int, bytes, int], counts: Callable[[Record], bool] = lambda _: True
) -> Record:
    """Let one record of a log take effect and return it; raises `LogDamaged` for one of something else."""
    sequence, epoch, body, end = frame
    try:
        record: Record = json.loads(body)
        if not isinstance(record["type"], str) or type(record["atMs"]) is not int:
            raise TypeError("no type, or no time")
        if counts(record):
            ledger.apply(sequence, record)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        seen = f"record {sequence}, which it did not write ({type(error).__name__})"
        raise LogDamaged("a record of a billing service", seen, epoch, end) from None
    ledger.sequence = sequence
    return record


def moved(amount: int, source: str, target: str) -> list[Posting]:
    """The two postings of an amount in msats that goes from one account to another."""
    return [(source, -amount), (target, amount)]


def _told(states: frozenset[EntryState]) -> str:
    return " or ".join(sorted(states))
