"""Decides in which order a record takes effect: on the disk, in the ledger, in the cache; then an answer."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from typing import Any

from pytest_l402.billing.breaker import Breaker
from pytest_l402.billing.cache_client import CacheClient, CacheRefused, CacheUnavailable
from pytest_l402.billing.faults import BillingFault
from pytest_l402.billing.guard import Guard, Outcome
from pytest_l402.billing.ledger import FLAGS, Ledger, OutOfOrder, Record, replayed
from pytest_l402.billing.log.reader import LogDamaged, records_of
from pytest_l402.billing.log.store import Folder
from pytest_l402.billing.log.writer import Fenced, LogFull, LogStopped, LogWriter
from pytest_l402.billing.settings import ServiceSettings
from pytest_l402.harness.deadline import now_s
from pytest_l402.harness.file_lock import FileLock, LockBusy
from pytest_l402.harness.json_app import Refused

__all__ = ["Core"]

_CURSOR = "billing:cursor"


class Core:
    """What the whole service shares: writer, ledger, cache and guard, under one lock, `turn`."""

    def __init__(self, settings: ServiceSettings) -> None:
        self.settings, self.periods, self.faults = settings, settings.periods, frozenset(settings.faults)
        self.turn = threading.RLock()
        self.ledger = Ledger()
        self.writer: LogWriter | None = None
        self.guard = Guard(settings.constraints, bypass=settings.bypass)
        self.cache_breaker = Breaker(3, self.periods.window_ms, self.periods.open_ms)
        self.hard_fails = 0
        self.refusal: str | None = "STARTING"
        self.token = 0
        self._cache = CacheClient(settings.cache, settings.cache_timeout_s)
        self._events = os.open(settings.events, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._folder = Folder(settings.log)
        self._lock = FileLock(settings.log / "writer.lock")
        self._conflict: str | None = None
        self._not_before_ms = 0.0

    def now_ms(self) -> float:
        """A clock that only goes forward, in milliseconds; its zero has no meaning."""
        return now_s() * 1000

    def wall_ms(self) -> int:
        """The time of day in epoch ms; never before that of the newest record, whatever a clock says."""
        told = time.time_ns() // 1_000_000 + self.settings.clock_ms
        return told if self.has(BillingFault.CLOCK_BELIEVED) else max(told, self.ledger.at_ms)

    def tell(self, event: str, **fields: Any) -> None:
        """Write one line into the events of this instance."""
        row = {"event": event, "instance": self.settings.instance, "atMs": self.wall_ms(), **fields}
        # Where the disk is full a request is refused all the same, and not failed for what cannot be told.
        with contextlib.suppress(OSError):
            os.write(self._events, json.dumps(row).encode() + b"\n")

    def has(self, fault: BillingFault) -> bool:
        """Whether the service is broken in this way."""
        return fault in self.faults

    # The writer.

    def become_writer(self) -> bool:
        """Take the lock and begin an epoch, if nobody holds it; return whether it is the writer."""
        if self.writer is not None:
            return True
        if self.now_ms() < self._not_before_ms:
            return False
        if self.settings.takeover and self._conflict is None:
            # An operator has said that whoever holds it is gone; if not, the log itself refuses the holder.
            (self.settings.log / "writer.lock").unlink(missing_ok=True)
        try:
            if not self.has(BillingFault.NO_LOCK):
                self._lock.acquire(note=self.settings.instance)
            self.writer = LogWriter(self._folder, self.settings.instance, self.faults)
            self.replay()
        except LockBusy as busy:
            self.refusal = "NOT_WRITER"
            if self._conflict != busy.holder:
                self._conflict = busy.holder
                self.tell("CRITICAL: lock conflict", holder=busy.holder)
            return False
        except (LogDamaged, LogFull, LogStopped, OSError) as error:
            # Damage is for a human; what cannot be read or written now may be there the next time.
            self.refusal = "LOG_DAMAGED" if isinstance(error, LogDamaged) else "LOG_UNAVAILABLE"
            if self.writer is not None or self.refusal == "LOG_UNAVAILABLE":
                # Each attempt may leave a segment.
                self._not_before_ms = self.now_ms() + self.periods.open_ms
            if self._conflict != str(error):
                self._conflict = str(error)
                self.tell("log refused", why=str(error))
            if self.writer is not None:
                self.writer.close()
                self.writer = None
            self._lock.release()
            return False
        self.token = self.writer.epoch
        if self.has(BillingFault.TOKEN_FROM_CACHE):
            with contextlib.suppress(CacheUnavailable, CacheRefused):
                self.token = int(self._cache("INCR", "wal:writer:fence"))
        self.refusal = "REBUILDING"
        self.tell("writer", epoch=self.writer.epoch, token=self.token)
        return True

    def replay(self) -> None:
        """Make the ledger anew from the log."""
        ignores = self.has(BillingFault.REBUILD_IGNORES_USE)
        self.ledger = replayed(
            records_of(self._folder),
            (lambda record: not record["type"].startswith(("billing_", "x402_")))
            if ignores
            else lambda _: True,
        )

    def expect_open(self, flag: str | None) -> None:
        """Raise the refusal of a request unless writer, cache and flag all are there."""
        if self.refusal not in (None, "REBUILDING"):
            raise Refused(503, self.refusal)
        enabled = self._cached_flag(flag)
        consumer = flag is not None
        if self.has(BillingFault.FLAG_WITHOUT_CONSUMER):
            consumer = flag in ("x402", "onboarding")
        if consumer and enabled != "1":
            raise Refused(503, "FEATURE_DISABLED")

    def expect_guard(self) -> None:
        """Raise 503 unless the guard can judge."""
        if self.guard.problem or self.guard.state == "degraded":
            raise Refused(503, "BILLING_EVALUATOR_UNAVAILABLE")

    def hold(self, invariant: str, **values: Any) -> None:
        """Raise 422 unless an invariant holds; a failure is told once, by numbers alone."""
        verdict = self.guard.judge(invariant, values)
        if self.settings.bypass and self.has(BillingFault.BYPASS_DISABLES_ALL):
            return
        if verdict.effective is not Outcome.PASS:
            self.hard_fails += 1
            numbers = {key: value for key, value in values.items() if type(value) is int}
            self.tell(
                "HARD_FAIL",
                invariant=invariant,
                inputs=numbers,
                evaluator=verdict.evaluator,
                adhoc=verdict.adhoc,
                effective=verdict.effective,
            )
            raise Refused(422, f"INVARIANT_{invariant.upper()}")

    def record(self, record: Record) -> int:
        """Append a record and let it take effect; returns its sequence number.

        Raises:
            Refused: 409 it does not follow from what is there; 503 log or cache failed. After a 503 the
                record may be in the log: whoever asks again under the same id is answered as the first time.
        """
        record = {**record, "atMs": self.wall_ms()}
        if self.writer is None:
            raise Refused(503, "NOT_WRITER")
        try:
            if not self.has(BillingFault.MINT_UNBALANCED):
                self.ledger.expect(record)
            sequence = self.writer.append(json.dumps(record, separators=(",", ":")).encode())
        except OutOfOrder:
            raise Refused(409, "OUT_OF_ORDER") from None
        except LogFull as full:
            self.tell("log full", why=str(full))
            raise Refused(503, "LOG_FULL") from None
        except LogStopped as stopped:
            self.refusal = "NOT_WRITER" if isinstance(stopped, Fenced) else "LOG_STOPPED"
            self.tell("CRITICAL: fenced" if isinstance(stopped, Fenced) else "log stopped", why=str(stopped))
            raise Refused(503, self.refusal) from None
        self.ledger.apply(sequence, record)
        self._write_cache(record)
        return sequence

    # The cache.

    def ask_cache(self, *commands: tuple[str | int, ...]) -> list[Any]:
        """Ask the cache; raises 503 when it is not there, at once while its breaker is open."""
        now = self.now_ms()
        if self.cache_breaker.is_open and not self.cache_breaker.may_probe(now):
            raise self._no_cache()
        try:
            answers = self._cache.all(list(commands))
        except (CacheUnavailable, CacheRefused):
            self.cache_breaker.failed(now)
            self.refusal = "REBUILDING" if self.refusal is None else self.refusal
            raise self._no_cache() from None
        self.cache_breaker.succeeded()
        return answers

    def look_at_cache(self) -> None:
        """Rebuild the cache from the log where it is not what the ledger says, or may not be."""
        if self.writer is None or self.refusal not in (None, "REBUILDING"):
            return
        if self.writer.is_overtaken:
            # Or an instance that thaws would rebuild what is another's by now.
            self.refusal = "NOT_WRITER"
            self.tell("CRITICAL: fenced", why="a newer epoch was begun")
            return
        try:
            cursor = self.ask_cache(("GET", _CURSOR))[0]
            if cursor != self._cursor or self.refusal is not None:
                self.refusal = "REBUILDING"
                self.replay()
                if isinstance(cursor, str) and cursor.isdecimal() and int(cursor) > self.ledger.sequence:
                    # It is written after the log: the end of the log is lost, and with it what was answered.
                    self.refusal = "LOG_DAMAGED"
                    self.tell(
                        "log refused",
                        why=f"log: expected record {cursor}, which the cache has heard of [runbook 5 section "
                        f"5, RF8], saw {self.ledger.sequence} as the last; restore the newest segment, or "
                        f"empty the cache to accept the loss, and start anew",
                    )
                    return
                self._write_all()
                self.refusal = None
                self.tell("cache rebuilt", sequence=self.ledger.sequence)
        except LogDamaged as damage:
            # After its start, and so by somebody's hand.
            self.refusal = "LOG_DAMAGED"
            self.tell("log refused", why=str(damage))
        except (Refused, OSError):
            return

    def differences(self) -> list[dict[str, Any]]:
        """Each account whose balance in the cache is not the log's, over the union of both."""
        flat = self.ask_cache(("HGETALL", "balance"))[0]
        cached = dict(zip(flat[::2], flat[1::2], strict=True))
        told = replayed(records_of(self._folder)).balances
        return [
            {"account": account, "logMsats": told.get(account), "cacheMsats": cached.get(account)}
            for account in sorted({*told, *cached})
            if str(told.get(account)) != cached.get(account)
        ]

    def _cached_flag(self, flag: str | None) -> str | None:
        cursor, enabled = self.ask_cache(("GET", _CURSOR), ("GET", f"feature:{flag}:enabled"))
        if cursor != self._cursor or self.refusal is not None:
            # Emptied, or promoted from a replica that had not heard: what it says is not asked for.
            self.refusal = "REBUILDING"
            raise Refused(503, "CACHE_REBUILDING")
        return enabled if isinstance(enabled, str) else None

    @property
    def _cursor(self) -> str:
        return str(self.ledger.sequence)

    def _write_cache(self, record: Record) -> None:
        touched = {account for account, _ in record.get("postings", ())}
        commands: list[tuple[str | int, ...]] = [("MULTI",), ("SET", _CURSOR, self._cursor)]
        commands += [("HSET", "balance", name, self.ledger.balances[name]) for name in touched]
        if "payment" in record:
            commands.append(
                ("HSET", "x402:payments", record["payment"], self.ledger.payments[record["payment"]])
            )
        if record["type"] == "feature_flag_toggle":
            commands.append(("SET", f"feature:{record['flag']}:enabled", int(record["new"])))
        self.ask_cache(*commands, ("EXEC",))

    def _write_all(self) -> None:
        ledger = self.ledger
        commands: list[tuple[str | int, ...]] = [("MULTI",), ("DEL", "balance", "x402:payments")]
        commands += [("HSET", "balance", name, value) for name, value in ledger.balances.items()]
        commands += [("HSET", "x402:payments", name, state) for name, state in ledger.payments.items()]
        commands += [("SET", f"feature:{flag}:enabled", int(ledger.flags.get(flag, False))) for flag in FLAGS]
        self.ask_cache(*commands, ("SET", _CURSOR, self._cursor), ("EXEC",))

    def _no_cache(self) -> Refused:
        if self.has(BillingFault.CACHE_LOSS_IS_500):
            return Refused(500, "INTERNAL")
        return Refused(503, "CACHE_UNAVAILABLE")
