"""How a purchase of a client that knows no tasks gets one: when its first request comes by."""

from __future__ import annotations

from pytest_l402.harness.network import Request
from pytest_l402.stack.buyer.executor import DEFAULT_USER
from pytest_l402.stack.buyer.policy import DEFAULT_CAP_MSATS
from pytest_l402.stack.control.task_board import Task
from pytest_l402.stack.roles import ControlPlane


class TaskRegister:
    """Creates tasks at the control plane. It lives where requests are answered, and waits for nobody else."""

    def __init__(self, control_plane: ControlPlane, cap_msats: int = DEFAULT_CAP_MSATS) -> None:
        self._control_plane = control_plane
        self._cap_msats = cap_msats
        self._tasks: dict[str, Task] = {}

    def register(self, request_id: str, request: Request) -> str:
        """Create a task for a request that names none, and return its id."""
        return self.create(request_id, f"{request.scheme}://{request.host}{request.path}", request.host)

    def create(self, request_id: str, endpoint: str, host: str) -> str:
        """Create a task, and return its id."""
        task = self._control_plane.create_task(request_id, DEFAULT_USER, endpoint, self._cap_msats, host)
        self._tasks[task.task_id] = task
        return task.task_id

    def task(self, task_id: str) -> Task:
        """Return a task as it was created; `KeyError` for one that was not created here."""
        return self._tasks[task_id]
