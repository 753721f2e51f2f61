"""What the rows of each table of evidence are that a durable workflow leaves."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias, TypedDict

Status: TypeAlias = Literal[
    "ENQUEUED", "PENDING", "SUCCESS", "ERROR", "CANCELLED", "DELAYED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"
]
Signal: TypeAlias = str | None


class Workflow(TypedDict):
    """One run, as the engine has it."""

    workflowID: str
    name: str | None
    status: Status
    executorID: str | None
    applicationVersion: str | None
    queueName: str | None
    queuePartitionKey: str | None
    recoveryAttempts: int | None
    forkedFrom: str | None


class WorkflowStep(TypedDict):
    """One checkpoint of a run; what was checkpointed as a digest."""

    workflowID: str
    functionID: int
    functionName: str
    outputDigest: str | None
    error: Literal["error"] | None
    completedAtMs: int | None


class Run(TypedDict):
    """One run, as the control API has it."""

    workflowID: str
    intentID: str
    forkedFrom: str | None
    recipeName: str
    queuePartitionKey: str


AUDIT: Final = "OPS"
"""The step under which an operation leaves its audit."""
AUDITED: Final = ("op", "actor", "reason")
"""What an audit says first of all, and no other artifact does."""


class Artifact(TypedDict):
    """What a step or an operation left; the last three are of an audit, and null elsewhere."""

    workflowID: str
    stepID: str
    taskKey: str
    idx: int
    attempt: int
    kind: str
    inline: dict[str, Any]
    sha256: str
    atMs: int
    op: Literal["cancel", "resume", "fork"] | None
    actor: str | None
    reason: str | None


class Reply(TypedDict):
    """The one reply that a gate took."""

    workflowID: str
    gate: str
    dedupeKey: str


class Notification(TypedDict):
    """A message that was sent to a run."""

    workflowID: str
    topic: str | None
    consumed: bool


class QueueDepth(TypedDict):
    """How many runs of a queue wait, or are at work."""

    queueName: str | None
    status: Status
    depth: int


class Failure(TypedDict):
    """A run that failed in the last 24 hours."""

    workflowID: str
    status: Status


class HeldSlot(TypedDict):
    """A run that holds a slot of its partition, while its executor gives no sign."""

    workflowID: str
    queuePartitionKey: str | None
    executorID: str | None


class Stranded(TypedDict):
    """A run of an application version that no worker with a heartbeat has."""

    workflowID: str
    status: Status
    applicationVersion: str | None


class DatabaseKind(TypedDict):
    """What the database is, and how it keeps its journal; null where it has none to choose."""

    kind: Literal["sqlite", "postgresql"]
    journal: str | None
    declaredJournal: str | None


class PointPassed(TypedDict):
    """A worker said where it is; append-only."""

    workflowID: str
    point: str
    pid: int
    executorID: str
    applicationVersion: str
    step: str
    functionID: int
    attempt: int
    op: str
    told: Literal["go", "wait", "fail"]


class InjectedFault(TypedDict):
    """A point at which workers were to be held, or to fail, and how often that happened."""

    point: str
    order: Literal["wait", "fail"]
    times: int
    fired: int


class Receipt(TypedDict):
    """A payment that was made."""

    key: str | None
    workflowID: str
    paymentHash: str
    amountMsats: int


class WalletCall(TypedDict):
    """A payment that was asked for; absorbed, if the wallet had made it before."""

    key: str | None
    workflowID: str
    absorbed: bool


class Delivery(TypedDict):
    """What the seller handed over for a credential."""

    paymentHash: str
    sha256: str


class Span(TypedDict):
    """A span that was exported."""

    traceID: str
    spanID: str
    parentID: str
    name: str
    attributes: dict[str, Any]
    startNs: int
    endNs: int


class ControlAnswer(TypedDict):
    """What the control API answered; `drift` names the fields that differ."""

    method: str
    path: str
    operation: str
    status: int
    code: str | None
    drift: list[str]


class ProcessEvent(TypedDict):
    """What was done to a process of the engine, and how that ended it."""

    event: Literal["started", "killed", "frozen", "thawed"]
    role: str
    pid: int
    executorID: str
    applicationVersion: str
    signal: Signal
    exitSignal: Signal


class RowCount(TypedDict):
    """How many rows a table of the database had."""

    when: Literal["before", "after"]
    table: str
    rows: int


FORMS: Final[Mapping[str, type[Any]]] = MappingProxyType(
    {
        "workflows": Workflow,
        "workflow_steps": WorkflowStep,
        "runs": Run,
        "artifacts": Artifact,
        "replies": Reply,
        "notifications": Notification,
        "queue_depth": QueueDepth,
        "failures": Failure,
        "held_slots": HeldSlot,
        "stranded": Stranded,
        "database": DatabaseKind,
        "calls": PointPassed,
        "injected_faults": InjectedFault,
        "receipts": Receipt,
        "wallet_calls": WalletCall,
        "deliveries": Delivery,
        "spans": Span,
        "control_answers": ControlAnswer,
        "process_events": ProcessEvent,
        "row_counts": RowCount,
    }
)
"""The form of the rows of each table."""
