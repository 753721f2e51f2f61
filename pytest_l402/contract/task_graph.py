"""Decides through which states a purchase task may pass."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class TaskStatus(StrEnum):
    """State of a task: a request to buy that an executor carries out."""

    QUEUED = "queued"
    APPROVED = "approved"
    RUNNING = "running"
    PAID = "paid"
    CACHED = "cached"
    BLOCKED = "blocked"
    COMPLETED = "completed"
    FAILED = "failed"


_S = TaskStatus

TRANSITIONS: Mapping[TaskStatus, frozenset[TaskStatus]] = {
    _S.QUEUED: frozenset({_S.APPROVED, _S.RUNNING, _S.BLOCKED, _S.FAILED, _S.COMPLETED}),
    _S.APPROVED: frozenset({_S.RUNNING, _S.BLOCKED, _S.FAILED, _S.COMPLETED}),
    _S.RUNNING: frozenset({_S.PAID, _S.CACHED, _S.BLOCKED, _S.FAILED, _S.COMPLETED}),
    _S.PAID: frozenset({_S.COMPLETED, _S.FAILED, _S.CACHED}),
    _S.CACHED: frozenset({_S.COMPLETED, _S.RUNNING, _S.FAILED}),
    _S.BLOCKED: frozenset({_S.QUEUED, _S.FAILED}),
    _S.FAILED: frozenset({_S.QUEUED}),
    _S.COMPLETED: frozenset(),
}
"""From each state, the states that may follow; the original worker's own graph."""

UNFINISHED: frozenset[TaskStatus] = frozenset({_S.QUEUED, _S.APPROVED, _S.RUNNING, _S.PAID, _S.CACHED})
"""The states from which an executor still owes progress."""


def is_allowed(current: TaskStatus, following: TaskStatus) -> bool:
    """Return whether a task may go from `current` to `following`; staying put is always allowed."""
    return current == following or following in TRANSITIONS[current]
