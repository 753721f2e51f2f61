"""Decides what becomes of a finalize that failed: tried again, poisoned after five, resolved by hand."""

from __future__ import annotations

from collections import deque
from typing import Any

from pytest_l402.billing.breaker import Breaker
from pytest_l402.billing.faults import BillingFault
from pytest_l402.billing.ledger import REVENUE, EntryState, moved
from pytest_l402.billing.service.backend_client import BackendClient
from pytest_l402.billing.service.core import Core
from pytest_l402.harness.json_app import Refused

__all__ = ["DeadLetters"]

_BATCH = 10
_ALARM_ABOVE = 10
_ALARM_ABOVE_WRONGLY = 50


class DeadLetters:
    """The queue of what is still to be finalized, its breaker, and the poison; all of it is in the log."""

    def __init__(self, core: Core, backend: BackendClient) -> None:
        self._core, self._backend = core, backend
        self.breaker = Breaker(5, core.periods.window_ms, core.periods.open_ms)
        self._failed_ms: deque[float] = deque()
        self._due_ms: dict[tuple[str, int], float] = {}

    @property
    def depth(self) -> int:
        """How many entries the backend has not confirmed: in the queue, and poisoned."""
        return len(self._core.ledger.in_state(EntryState.PENDING, EntryState.POISONED))

    @property
    def alarm(self) -> bool:
        """Whether more than ten finalizes failed within the window."""
        least = self._core.now_ms() - self._core.periods.alarm_ms
        while self._failed_ms and self._failed_ms[0] < least:
            self._failed_ms.popleft()
        most = _ALARM_ABOVE_WRONGLY if self._core.has(BillingFault.ALARM_AT_FIFTY) else _ALARM_ABOVE
        return len(self._failed_ms) > most

    def expect_closed(self) -> None:
        """Raise 503 while the breaker is open."""
        if self.breaker.is_open:
            raise Refused(503, "BILLING_CIRCUIT_OPEN")

    def work(self) -> None:
        """Call the backend for each entry that is due, and for its health when the breaker may probe."""
        core = self._core
        with core.turn:
            due = [] if core.refusal is not None else self._due()
            probe = not due and self.breaker.may_probe(core.now_ms())
        if core.has(BillingFault.DEAD_LETTERS_NOT_READ):
            return
        for name, attempt, document in due:
            # The lock is free meanwhile: a backend that does not answer must hold up nobody else.
            reason = self._backend.reason_against("/finalize", document)
            with core.turn:
                self._conclude(name, attempt, reason)
        if probe and self._backend.is_healthy():
            with core.turn:
                self._closed()

    def resolve(self, name: str) -> dict[str, Any]:
        """Ask the backend whether it has a poisoned entry, and end the entry accordingly, once."""
        entry = self._core.ledger.entries.get(name)
        if entry is None:
            self._core.tell("escalated", entry=name, why="no record in the log")
            raise Refused(404, "ENTRY_UNKNOWN")
        if entry.state is not EntryState.POISONED:
            raise Refused(409, "NOT_POISONED")
        known = self._backend.has(name)
        if known is None:
            raise Refused(503, "BACKEND_UNAVAILABLE")
        if known:
            self._core.record({"type": "billing_finalize_ack", "entry": name, "by": "operator"})
        else:
            postings = moved(entry.cost, REVENUE, f"available:{entry.account}")
            self._core.record({"type": "billing_void", "entry": name, "by": "operator", "postings": postings})
        return {"entry": name, "state": entry.state}

    def callback(self, name: str, acked: bool, attempt: int) -> dict[str, Any]:
        """Take in what the backend says later; a word about an attempt that is over changes nothing."""
        entry = self._core.ledger.entries.get(name)
        if entry is None:
            raise Refused(404, "ENTRY_UNKNOWN")
        applied = entry.state is EntryState.PENDING and attempt == entry.attempt and acked
        if applied:
            self._core.record({"type": "billing_finalize_ack", "entry": name, "by": "callback"})
        return {"entry": name, "state": entry.state, "applied": applied}

    def reasons(self) -> dict[str, int]:
        """How often each reason stands at a poisoned entry or at one in the queue."""
        found: dict[str, int] = {}
        for entry in self._core.ledger.entries.values():
            if entry.reason and entry.state in (EntryState.PENDING, EntryState.POISONED):
                found[entry.reason] = found.get(entry.reason, 0) + 1
        return found

    def _due(self) -> list[tuple[str, int, dict[str, Any]]]:
        """The first ten calls that are to be made now."""
        entries, now, waits = self._core.ledger.entries, self._core.now_ms(), self._core.periods.retry_ms
        pending = self._core.ledger.in_state(EntryState.PENDING)
        attempts = [(name, entries[name].attempt) for name in pending]
        # A due time is this process's own: after a restart every entry waits for its turn anew. Those of
        # calls that were made are forgotten.
        self._due_ms = {each: self._due_ms.get(each, now + waits[each[1]]) for each in attempts}
        due = [each for each, due_ms in self._due_ms.items() if due_ms <= now][:_BATCH]
        return [
            (name, attempt + 1, {"entry": name, "amountMsats": entries[name].cost}) for name, attempt in due
        ]

    def _conclude(self, name: str, attempt: int, reason: str | None) -> None:
        core = self._core
        entry = core.ledger.entries[name]
        if entry.state is not EntryState.PENDING or entry.attempt != attempt - 1 or core.refusal is not None:
            return
        try:
            if reason is None:
                core.record({"type": "billing_finalize_ack", "entry": name, "attempt": attempt})
                self._closed()
                return
            self._failed_ms.append(core.now_ms())
            if self.breaker.failed(core.now_ms()):
                core.tell("circuit=open", reason=reason)
            if attempt < len(core.periods.retry_ms):
                core.record(
                    {"type": "billing_finalize_fail", "entry": name, "attempt": attempt, "reason": reason}
                )
            else:
                core.record({"type": "billing_poison", "entry": name, "attempt": attempt, "reason": reason})
                core.tell("billing_finalize_poison", entry=name, reason=reason)
        except Refused:
            # Not written down, so not done: the entry is still due, and the backend absorbs a second call.
            return

    def _closed(self) -> None:
        if self.breaker.succeeded():
            self._core.tell("circuit=closed")
