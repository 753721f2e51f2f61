"""Decides what a forked process becomes: a worker, a control API, or the maker of an empty database."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

from pytest_l402.harness.loopback import LoopbackServer
from pytest_l402.workflow.worker.books import Books
from pytest_l402.workflow.worker.control_api import ControlApi
from pytest_l402.workflow.worker.engine import launch_worker, make_template, open_client
from pytest_l402.workflow.worker.operations import Operations
from pytest_l402.workflow.worker.outside_client import OutsideClient
from pytest_l402.workflow.worker.runs import Runs
from pytest_l402.workflow.worker.settings import WorkerSettings

Row = dict[str, Any]


def play(role: str, told: Mapping[str, Any]) -> Row:
    """Become what `role` names; return what the ready line says beside the pid.

    Raises whatever keeps it from being ready; the zygote tells that in one line.
    """
    return _ROLES[role](WorkerSettings.read(told))


def _worker(settings: WorkerSettings) -> Row:
    launch_worker(settings)
    return {"ready": True, "executorID": settings.executor, "applicationVersion": settings.version}


def _control(settings: WorkerSettings) -> Row:
    client = open_client(settings)
    outside = OutsideClient(settings.outside, {"executorID": settings.executor})
    # The engine's own connections: what changes a run and what is written of it share one transaction.
    books = Books(client._sys_db.engine)
    api = ControlApi(Runs(client, books, settings), Operations(client, books, outside, settings))
    # The laws must hold for requests that come at the same time, so they are not lined up here.
    server = LoopbackServer(api, one_at_a_time=False).start()
    return {"ready": True, "url": server.url}


def _template(settings: WorkerSettings) -> Row:
    make_template(settings)
    return {"ready": True, "engine": version("dbos")}


_ROLES: Mapping[str, Callable[[WorkerSettings], Row]] = {
    "worker": _worker,
    "control": _control,
    "template": _template,
}
