"""Decides what a billing service is told at its start, and how long each of its periods is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from pytest_l402.billing.faults import BillingFault

__all__ = ["Periods", "ServiceSettings"]


@dataclass(frozen=True)
class Periods:
    """How long things take, in milliseconds: as the runbook declares them, times `scale`."""

    scale: float = 0.01

    @property
    def quote_ms(self) -> float:
        """How long a quote may be had: 60 s."""
        return 60_000 * self.scale

    @property
    def retry_ms(self) -> tuple[float, ...]:
        """How long a failed finalize waits before each of its calls: 1, 2, 4, 8, 16 s."""
        return tuple(seconds * 1000 * self.scale for seconds in (1, 2, 4, 8, 16))

    @property
    def window_ms(self) -> float:
        """The window in which five failures open the breaker: 60 s."""
        return 60_000 * self.scale

    @property
    def open_ms(self) -> float:
        """How long a breaker stays open before a probe: 30 s."""
        return 30_000 * self.scale

    @property
    def alarm_ms(self) -> float:
        """The window in which failed finalizes are counted for the alarm: 5 min."""
        return 300_000 * self.scale

    @property
    def guard_ms(self) -> float:
        """How often the guard tries to compile: 3 s."""
        return 3_000 * self.scale

    @property
    def late_ms(self) -> float:
        """What a loaded machine may add to each of them: 400 ms, whatever the scale."""
        return 400.0

    @property
    def poll_ms(self) -> float:
        """How often the cache is looked at, and the lock is asked for: 5 s."""
        return 5_000 * self.scale


@dataclass(frozen=True)
class ServiceSettings:
    """Where a service finds its log, cache and backend; its secrets and its treasury come by the environment.

    `cache` is a port of 127.0.0.1. Its wall clock is wrong by `clock_ms`. With `takeover` an operator says
    that the holder of the lock is no more.
    """

    instance: str
    log: Path
    constraints: Path
    events: Path
    cache: int
    backend: str
    scale: float = 0.01
    rate: int = 1
    cache_timeout_s: float = 0.25
    backend_timeout_s: float = 0.5
    clock_ms: int = 0
    takeover: bool = False
    bypass: bool = False
    faults: tuple[BillingFault, ...] = ()

    @property
    def periods(self) -> Periods:
        """How long things take."""
        return Periods(self.scale)

    def written(self) -> str:
        """The settings as one JSON object."""
        return json.dumps(
            {key: str(value) if isinstance(value, Path) else value for key, value in asdict(self).items()}
        )

    @classmethod
    def read(cls, text: str) -> Self:
        """The settings of a JSON object. Raises `TypeError` or `ValueError` for anything else."""
        told: Mapping[str, Any] = json.loads(text)
        paths = {key: Path(told[key]) for key in ("log", "constraints", "events")}
        return cls(**{**told, **paths, "faults": tuple(map(BillingFault, told.get("faults", ())))})
