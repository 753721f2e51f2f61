"""Durable workflows on a real engine, in processes of their own: workers, control API, what is outside."""

from pytest_l402.workflow.checks import (
    kept_by_fork,
    none_paid_twice,
    one_accepted,
    paid_once,
    ran,
    resumed,
    traced,
    woke_in_time,
    zero_writes,
)
from pytest_l402.workflow.control_client import at_once
from pytest_l402.workflow.databases import Databases, SqliteDatabases
from pytest_l402.workflow.durable_workflow import DurableWorkflow
from pytest_l402.workflow.faults import EngineFault
from pytest_l402.workflow.processes import EngineMissing, EngineProcess, EngineProcessFailed, Zygote
from pytest_l402.workflow.soak import chaos, soak
from pytest_l402.workflow.steps import Point, Step
from pytest_l402.workflow.workers import Worker, Workers

__all__ = [
    "Databases",
    "DurableWorkflow",
    "EngineFault",
    "EngineMissing",
    "EngineProcess",
    "EngineProcessFailed",
    "Point",
    "SqliteDatabases",
    "Step",
    "Worker",
    "Workers",
    "Zygote",
    "at_once",
    "chaos",
    "kept_by_fork",
    "none_paid_twice",
    "one_accepted",
    "paid_once",
    "ran",
    "resumed",
    "soak",
    "traced",
    "woke_in_time",
    "zero_writes",
]
