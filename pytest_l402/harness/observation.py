"""What a plane says of a request: what it knows, and null for every other key of the contract."""

from __future__ import annotations

from typing import TypedDict, Unpack

from pytest_l402.contract import (
    DesktopRuntimeStatus,
    ExecutionPath,
    NodeSyncStatus,
    ObservabilityRecord,
    Plane,
    Speaker,
    WalletState,
)
from pytest_l402.harness.harness import Harness

UI_ENDPOINT = "openagents.com/home#l402-transactions"
GATE_ENDPOINT = "/api/lightning/security/gate"


class Known(TypedDict, total=False):
    """The keys that a plane may not know, as fields of the record; amounts in msats."""

    request_id: str | None
    user_id: str | None
    paywall_id: str | None
    task_id: str | None
    endpoint: str | None
    quoted_cost_msats: int | None
    cap_applied_msats: int | None
    paid_amount_msats: int | None
    payment_proof_ref: str | None
    cache_hit: bool | None
    deny_reason: str | None
    desktop_session_id: str | None
    desktop_runtime_status: DesktopRuntimeStatus | None
    wallet_state: WalletState | None
    node_sync_status: NodeSyncStatus | None


_UNKNOWN = Known(**dict.fromkeys(Known.__annotations__))  # type: ignore[typeddict-item]


def observation(
    plane: Plane,
    executor: Speaker,
    *,
    observed_at_ms: int,
    execution_path: ExecutionPath = ExecutionPath.HOSTED_NODE,
    **known: Unpack[Known],
) -> ObservabilityRecord:
    """Return a record of the contract with all 19 keys; time in epoch milliseconds.

    The model itself has no defaults, so that evidence which leaves a key out is refused; this is the one
    place where a plane may leave out what it does not know.
    Source: runbook observability, Canonical Observability Contract.
    """
    return ObservabilityRecord(
        **(_UNKNOWN | known),
        plane=plane,
        executor=executor,
        execution_path=execution_path,
        observed_at_ms=observed_at_ms,
    )


def observe(
    harness: Harness,
    plane: Plane,
    executor: Speaker,
    execution_path: ExecutionPath = ExecutionPath.HOSTED_NODE,
    **known: Unpack[Known],
) -> ObservabilityRecord:
    """Emit what a plane says at the next moment of the clock, and return the record."""
    record = observation(
        plane, executor, observed_at_ms=harness.clock.tick(), execution_path=execution_path, **known
    )
    harness.journal.emit(record)
    return record
