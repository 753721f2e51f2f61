"""What a forked process is told in one line of JSON: which database, who it is, what is outside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pytest_l402.workflow.faults import EngineFault

DEFAULT_VERSION: Final = "v1"
DEFAULT_CONCURRENCY: Final = 50
"""How many runs of one partition may be at work at once, as the template of the database has it."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """The settings of one worker or control API; `traces` is an OTLP/HTTP endpoint, "" for one that lacks."""

    database: str
    outside: str
    executor: str = "worker-1"
    version: str = DEFAULT_VERSION
    concurrency: int = DEFAULT_CONCURRENCY
    traces: str | None = None
    faults: tuple[EngineFault, ...] = ()

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> WorkerSettings:
        """Read what the drill's process has sent; raises `TypeError` or `ValueError` for anything else."""
        faults = tuple(EngineFault(name) for name in row.get("faults", ()))
        return cls(**{**row, "faults": faults})
