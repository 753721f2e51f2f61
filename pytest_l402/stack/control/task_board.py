"""Decides how far a purchase got: tasks, their legal transitions, and who is still there to work on them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from pytest_l402.contract import UNFINISHED, TaskStatus, is_allowed
from pytest_l402.harness.clock import Clock
from pytest_l402.harness.journal import Journal, Row

Actor = Literal["system", "desktop", "gateway"]

# Source: the web worker that waits for the desktop executor.
OFFLINE_AFTER_MS = 10_000
TIMEOUT_AFTER_MS = 4_500
EXECUTOR_OFFLINE = "desktop_executor_offline"
EXECUTOR_TIMEOUT = "desktop_executor_timeout"


class InvalidTransition(ValueError):  # noqa: N818 - the control plane's error code is invalid_transition
    """The task graph has no such step."""

    def __init__(self, task_id: str, from_status: TaskStatus, to_status: TaskStatus) -> None:
        super().__init__(
            f"task {task_id}: no transition from {from_status.value} to {to_status.value}; "
            "read the task's status before you move it"
        )
        self.task_id = task_id
        self.from_status = from_status
        self.to_status = to_status


class UnknownTask(KeyError):  # noqa: N818 - the control plane's error code is task_not_found
    """No task has this id."""

    def __str__(self) -> str:
        return f"task {self.args[0]}: not found; create it first"


@dataclass(frozen=True, slots=True)
class Task:
    """A purchase as the control plane sees it; amounts in msats, times in epoch milliseconds."""

    task_id: str
    status: TaskStatus
    owner_id: str
    request_id: str
    endpoint: str
    max_spend_msats: int
    created_at_ms: int
    updated_at_ms: int
    last_error_code: str | None = None
    last_error_reason: str | None = None
    desktop_session_id: str | None = None

    @property
    def is_blocked(self) -> bool:
        """Whether the purchase was denied."""
        return self.status is TaskStatus.BLOCKED

    @property
    def is_pending(self) -> bool:
        """Whether somebody still has to do something about it."""
        return self.status in UNFINISHED

    def to_row(self) -> Row:
        """Return the row of the table `tasks`."""
        return {
            "taskId": self.task_id,
            "status": self.status.value,
            "ownerId": self.owner_id,
            "requestId": self.request_id,
            "endpoint": self.endpoint,
            "maxSpendMsats": self.max_spend_msats,
            "lastErrorCode": self.last_error_code,
            "updatedAtMs": self.updated_at_ms,
        }


@dataclass(frozen=True, slots=True)
class Presence:
    """The last heartbeat of a desktop session."""

    desktop_session_id: str
    status: str
    owner_id: str | None
    at_ms: int


class TaskBoard:
    """The tasks of a stack and the presence of those who work on them."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._tasks: dict[str, Task] = {}
        self._presence: dict[str, Presence] = {}

    def create(
        self,
        *,
        task_id: str,
        request_id: str,
        owner_id: str,
        endpoint: str,
        max_spend_msats: int,
        status: TaskStatus = TaskStatus.APPROVED,
        reason_code: str | None = None,
        reason: str | None = None,
    ) -> Task:
        """Add a task in its first status and return it."""
        at_ms = self._clock.tick()
        task = Task(
            task_id=task_id,
            status=status,
            owner_id=owner_id,
            request_id=request_id,
            endpoint=endpoint,
            max_spend_msats=max_spend_msats,
            created_at_ms=at_ms,
            updated_at_ms=at_ms,
            last_error_code=reason_code,
            last_error_reason=reason,
        )
        self._tasks[task.task_id] = task
        self._note(task, None, "system", request_id, reason_code, reason)
        return task

    def task(self, task_id: str) -> Task:
        """Return the task. Raises `UnknownTask`."""
        try:
            return self._tasks[task_id]
        except KeyError:
            raise UnknownTask(task_id) from None

    def tasks(self, *, owner_id: str | None = None, status: TaskStatus | None = None) -> tuple[Task, ...]:
        """Return the tasks in order of creation, those of one owner or in one status if asked."""
        return tuple(
            task
            for task in self._tasks.values()
            if (owner_id is None or task.owner_id == owner_id) and (status is None or task.status is status)
        )

    def transition(
        self,
        task_id: str,
        to: TaskStatus,
        *,
        request_id: str,
        actor: Actor,
        reason_code: str | None = None,
        reason: str | None = None,
        desktop_session_id: str | None = None,
    ) -> tuple[Task, bool]:
        """Move a task along the graph; return it and whether anything changed (same to same does not).

        Raises:
            UnknownTask: no such task.
            InvalidTransition: the graph has no such step.
        """
        task = self.task(task_id)
        if task.status is to:
            return task, False
        if not is_allowed(task.status, to):
            raise InvalidTransition(task_id, task.status, to)
        refused = to in (TaskStatus.BLOCKED, TaskStatus.FAILED)
        moved = replace(
            task,
            status=to,
            updated_at_ms=self._clock.tick(),
            last_error_code=reason_code if refused else None,
            last_error_reason=reason if refused else None,
            desktop_session_id=desktop_session_id or task.desktop_session_id,
        )
        self._tasks[task_id] = moved
        self._note(moved, task.status, actor, request_id, reason_code, reason)
        return moved, True

    def heartbeat(self, desktop_session_id: str, status: str, owner_id: str | None) -> None:
        """Note that a session is alive now."""
        at_ms = self._clock.tick()
        self._presence[desktop_session_id] = Presence(desktop_session_id, status, owner_id, at_ms)
        row = {"desktopSessionId": desktop_session_id, "status": status, "atMs": at_ms}
        self._journal.append("presence", row)

    def presence_of(self, task: Task) -> Presence | None:
        """Return the last heartbeat of the session that took the task, else of its owner's latest session."""
        if task.desktop_session_id is not None:
            return self._presence.get(task.desktop_session_id)
        owned = [seen for seen in self._presence.values() if seen.owner_id == task.owner_id]
        return max(owned, key=lambda seen: seen.at_ms, default=None)

    def overdue(self) -> tuple[tuple[Task, str], ...]:
        """Return the pending tasks nobody will finish, with the availability code that says why."""
        now_ms = self._clock.now_ms()
        found = []
        for task in self._tasks.values():
            if not task.is_pending:
                continue
            seen = self.presence_of(task)
            if seen is None or now_ms - seen.at_ms > OFFLINE_AFTER_MS:
                found.append((task, EXECUTOR_OFFLINE))
            elif now_ms - task.created_at_ms >= TIMEOUT_AFTER_MS:
                found.append((task, EXECUTOR_TIMEOUT))
        return tuple(found)

    def _note(
        self,
        task: Task,
        from_status: TaskStatus | None,
        actor: Actor,
        request_id: str,
        reason_code: str | None,
        reason: str | None,
    ) -> None:
        self._journal.append(
            "transitions",
            {
                "taskId": task.task_id,
                "fromStatus": None if from_status is None else from_status.value,
                "toStatus": task.status.value,
                "actor": actor,
                "requestId": request_id,
                "reasonCode": reason_code,
                "reason": reason,
                "atMs": task.updated_at_ms,
            },
        )
