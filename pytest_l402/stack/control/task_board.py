"""How far a purchase got: tasks, their legal transitions, and who is still there to work on them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Literal

from pytest_l402.contract import UNFINISHED, TaskStatus, is_allowed
from pytest_l402.harness.harness import Harness
from pytest_l402.harness.journal import Row

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


class TaskBoard(ABC):
    """The tasks of a stack and the presence of those who work on them."""

    def __init__(self, harness: Harness) -> None:
        self._harness = harness
        self._tasks: dict[str, Task] = {}
        self._presence: dict[str, Presence] = {}

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
        request_id: str,
        actor: Actor,
        reason_code: str | None = None,
        reason: str | None = None,
        *,
        desktop_session_id: str | None = None,
    ) -> Task:
        """Move a task along its graph and return it; a move to where it is already changes nothing.

        A task that becomes `blocked`, or that the system gives up, leaves a denial record under the request
        id of the purchase, so that one id finds the whole story.

        Raises:
            UnknownTask: no such task.
            InvalidTransition: the graph has no such step.
        """
        task = self.task(task_id)
        if task.status is to:
            return task
        if not is_allowed(task.status, to):
            raise InvalidTransition(task_id, task.status, to)
        refused = to in (TaskStatus.BLOCKED, TaskStatus.FAILED)
        moved = replace(
            task,
            status=to,
            updated_at_ms=self._harness.clock.tick(),
            last_error_code=reason_code if refused else None,
            last_error_reason=reason if refused else None,
            desktop_session_id=desktop_session_id or task.desktop_session_id,
        )
        self._keep(moved, task.status, actor, request_id, reason_code, reason)
        if to is TaskStatus.BLOCKED or (to is TaskStatus.FAILED and actor == "system"):
            self._tell_denied(moved, reason_code or to.value)
        return moved

    def heartbeat(self, desktop_session_id: str, status: str, owner_id: str | None = None) -> None:
        """Note that a desktop session is alive now; nobody says goodbye, silence does."""
        at_ms = self._harness.clock.tick()
        self._presence[desktop_session_id] = Presence(desktop_session_id, status, owner_id, at_ms)
        row = {"desktopSessionId": desktop_session_id, "status": status, "atMs": at_ms}
        self._harness.journal.append("presence", row)

    def sweep(self) -> tuple[Task, ...]:
        """Give up the pending tasks that nobody will finish, and return them.

        A session not heard of for more than 10 000 ms, or never, is `desktop_executor_offline`; one that is
        there, but did not finish within 4 500 ms, `desktop_executor_timeout`. A task that was not paid yet
        becomes `blocked`, a paid one `failed`.
        """
        now_ms = self._harness.clock.now_ms()
        overdue = [(task, code) for task in self._tasks.values() if (code := self._overdue(task, now_ms))]
        return tuple(
            self.transition(
                task.task_id,
                TaskStatus.BLOCKED if is_allowed(task.status, TaskStatus.BLOCKED) else TaskStatus.FAILED,
                task.request_id,
                "system",
                code,
                code.replace("_", " "),
            )
            for task, code in overdue
        )

    @abstractmethod
    def _tell_denied(self, task: Task, code: str) -> None:
        """Leave the record of a task that was denied or given up."""

    def _session_of(self, task: Task) -> str | None:
        """Return the session that took the task, else the latest one of its owner."""
        seen = self._presence_of(task)
        return task.desktop_session_id or (None if seen is None else seen.desktop_session_id)

    def _presence_of(self, task: Task) -> Presence | None:
        if task.desktop_session_id is not None:
            return self._presence.get(task.desktop_session_id)
        owned = [seen for seen in self._presence.values() if seen.owner_id == task.owner_id]
        return max(owned, key=lambda seen: seen.at_ms, default=None)

    def _overdue(self, task: Task, now_ms: int) -> str | None:
        """Return the availability code that says why nobody will finish the task, or None."""
        if not task.is_pending:
            return None
        seen = self._presence_of(task)
        if seen is None or now_ms - seen.at_ms > OFFLINE_AFTER_MS:
            return EXECUTOR_OFFLINE
        return EXECUTOR_TIMEOUT if now_ms - task.created_at_ms >= TIMEOUT_AFTER_MS else None

    def _keep(
        self,
        task: Task,
        before: TaskStatus | None,
        actor: Actor,
        request_id: str,
        reason_code: str | None,
        reason: str | None,
    ) -> None:
        self._tasks[task.task_id] = task
        self._harness.journal.append(
            "transitions",
            {
                "taskId": task.task_id,
                "fromStatus": None if before is None else before.value,
                "toStatus": task.status.value,
                "actor": actor,
                "requestId": request_id,
                "reasonCode": reason_code,
                "reason": reason,
                "atMs": task.updated_at_ms,
            },
        )
