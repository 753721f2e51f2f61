"""Decides what the service says of its own state: alive, ready, and the metrics that alarms are made of."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any, Final

from pytest_l402.billing.faults import BillingFault
from pytest_l402.billing.guard import GuardState
from pytest_l402.billing.ledger import EntryState
from pytest_l402.billing.service.core import Core
from pytest_l402.billing.service.dead_letters import DeadLetters

__all__ = ["Health", "Presence", "guard_state"]

_MARK: Final = ".instance"


class Presence:
    """A locked file of each instance, so that all can count how many there are; the system frees it."""

    def __init__(self, folder: Path, instance: str) -> None:
        self._folder = folder
        self._held = os.open(folder / f"{instance}{_MARK}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def count(self) -> int:
        """How many instances there are now, this one included."""
        return sum(self._is_held(path) for path in self._folder.glob(f"*{_MARK}"))

    def _is_held(self, path: Path) -> bool:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False


def guard_state(core: Core, dead_letters: DeadLetters) -> str:
    """What the guard is in: degraded also while the breaker keeps new reserves out."""
    if core.guard.state is GuardState.READY and dead_letters.breaker.is_open:
        return GuardState.DEGRADED.value
    if core.guard.state is GuardState.BYPASSED and core.has(BillingFault.BYPASS_DISABLES_ALL):
        return GuardState.READY.value
    return core.guard.state.value


class Health:
    """Readiness and metrics."""

    def __init__(self, core: Core, dead_letters: DeadLetters, presence: Presence) -> None:
        self._core, self._dead_letters, self._presence = core, dead_letters, presence

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether requests are served, and why not; `state` is a digest of all that the log says."""
        core = self._core
        state = guard_state(core, self._dead_letters)
        told = {
            "instance": core.settings.instance,
            "refusal": core.refusal,
            "writer": core.writer is not None and core.refusal not in ("NOT_WRITER", "LOG_STOPPED"),
            "epoch": core.writer.epoch if core.writer else 0,
            "token": core.token,
            "guard": state,
            "sequence": core.ledger.sequence,
            "state": core.ledger.digest(),
        }
        return core.refusal is None and core.guard.state is not GuardState.DEGRADED, told

    def metrics(self) -> str:
        """OpenMetrics text: gauges of whole numbers, and one counter."""
        core, letters, ledger = self._core, self._dead_letters, self._core.ledger
        instances = self._presence.count()
        gauges = {
            "billing_pending_reconciliation_count": letters.depth,
            "billing_dead_letter_queue": len(ledger.in_state(EntryState.PENDING)),
            "billing_dead_letter_poison": len(ledger.in_state(EntryState.POISONED)),
            "billing_pending_reconciliation_alarm": int(letters.alarm),
            "billing_circuit_open": int(letters.breaker.is_open),
            "billing_log_sequence": max(ledger.sequence, 0),
            "billing_instances": instances,
            "ecs_desired_count_drift": int(instances > 1),
        }
        if core.has(BillingFault.METRICS_LIE):
            gauges["billing_pending_reconciliation_count"] = 0
        if not core.has(BillingFault.GUARD_GAUGE_GONE):
            gauges["conservation_guard_state"] = int(guard_state(core, letters) == GuardState.READY)
        lines = [
            line for name, value in gauges.items() for line in (f"# TYPE {name} gauge", f"{name} {value}")
        ]
        counter = "conservation_guard_hard_fail"
        lines += [f"# TYPE {counter} counter", f"{counter}_total {core.hard_fails}", "# EOF", ""]
        return "\n".join(lines)
