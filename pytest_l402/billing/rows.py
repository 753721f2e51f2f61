"""What the rows of each table of evidence are that a billing service leaves."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, TypedDict

__all__ = ["FORMS"]


class Call(TypedDict):
    """One request of the drill and its answer; status 0 is none."""

    step: str
    instance: str
    method: str
    path: str
    status: int
    code: str | None
    elapsedMs: float


class Acknowledged(TypedDict):
    """One answer 200 to what has to leave a record of this type, by the id that it was asked under."""

    type: str
    id: str


class LogRecord(TypedDict):
    """One record that counts, as a reader of the log finds it; `sumMsats` is the sum of its postings."""

    sequence: int
    epoch: int
    type: str
    sumMsats: int
    entry: str | None
    account: str | None
    payment: str | None
    transfer: str | None
    recipient: str | None
    amountMsats: int | None
    attempt: int | None
    reason: str | None
    flag: str | None
    old: bool | None
    new: bool | None
    actor: str | None
    atMs: int


class LogSegment(TypedDict):
    """One epoch of the log that counts."""

    epoch: int
    writer: str
    firstSequence: int


class Log(TypedDict):
    """Whether the log can be read, and how many records it has; `problem` says why it cannot."""

    records: int
    problem: str | None


class Balance(TypedDict):
    """One account, as the log and as the cache has it, in msats."""

    account: str
    logMsats: int | None
    cacheMsats: int | None


class Entry(TypedDict):
    """One entry, as the log has it."""

    entry: str
    account: str
    state: str
    reservedMsats: int
    costMsats: int
    attempt: int


class BackendCall(TypedDict):
    """One call that the backend was asked an effect by, in its own book; `effect` says whether it had one."""

    id: str
    kind: str
    status: int
    effect: bool
    atMs: float
    wallMs: int


class ServiceEvent(TypedDict):
    """One line that an instance wrote about itself."""

    event: str
    instance: str
    atMs: int
    invariant: str | None
    entry: str | None
    detail: dict[str, Any]


class Readiness(TypedDict):
    """What an instance said of itself at a moment of the drill."""

    when: str
    status: int
    instance: str
    refusal: str | None
    writer: bool
    epoch: int
    token: int
    guard: Literal["ready", "degraded", "bypassed"]
    sequence: int
    state: str


class Metric(TypedDict):
    """One gauge at a moment of the drill; `logValue` is what the log says of it then, if it does."""

    when: str
    instance: str
    name: str
    value: int
    logValue: int | None


class Time(TypedDict):
    """How long something took that the runbook gives a time for."""

    procedure: str
    what: Literal["detect", "contain", "recover"]
    elapsedMs: float
    declaredMs: float


class Loss(TypedDict):
    """What a failure took of what was acknowledged before it, and how much it may take."""

    procedure: str
    what: Literal["records", "messages"]
    acknowledged: int
    lost: int
    declared: int


class Probe(TypedDict):
    """With which status each feature was answered at a moment of the drill."""

    when: str
    billing: int
    credits: int
    nft: int
    onboarding: int
    x402: int


class Flags(TypedDict):
    """Which flags were on at a moment of the drill."""

    when: str
    billing: bool
    credits: bool
    nft: bool
    onboarding: bool
    x402: bool


FORMS: Final[Mapping[str, type[Any]]] = MappingProxyType(
    {
        "calls": Call,
        "acknowledged": Acknowledged,
        "log_records": LogRecord,
        "log_segments": LogSegment,
        "log": Log,
        "balances": Balance,
        "entries": Entry,
        "backend_calls": BackendCall,
        "service_events": ServiceEvent,
        "readiness": Readiness,
        "metrics": Metric,
        "times": Time,
        "losses": Loss,
        "probes": Probe,
        "flags": Flags,
    }
)
