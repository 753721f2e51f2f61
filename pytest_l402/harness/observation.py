"""Decides what a plane says of a request: what it knows, and null for every other key of the contract."""

from __future__ import annotations

from pytest_l402.contract import (
    DesktopRuntimeStatus,
    ExecutionPath,
    NodeSyncStatus,
    ObservabilityRecord,
    Plane,
    Speaker,
    WalletState,
)

UI_ENDPOINT = "openagents.com/home#l402-transactions"
GATE_ENDPOINT = "/api/lightning/security/gate"


def observation(
    *,
    plane: Plane,
    executor: Speaker,
    execution_path: ExecutionPath,
    observed_at_ms: int,
    request_id: str | None = None,
    user_id: str | None = None,
    paywall_id: str | None = None,
    task_id: str | None = None,
    endpoint: str | None = None,
    quoted_cost_msats: int | None = None,
    cap_applied_msats: int | None = None,
    paid_amount_msats: int | None = None,
    payment_proof_ref: str | None = None,
    cache_hit: bool | None = None,
    deny_reason: str | None = None,
    desktop_session_id: str | None = None,
    desktop_runtime_status: DesktopRuntimeStatus | None = None,
    wallet_state: WalletState | None = None,
    node_sync_status: NodeSyncStatus | None = None,
) -> ObservabilityRecord:
    """Return a record of the contract with all 19 keys; amounts in msats, time in epoch milliseconds.

    The model itself has no defaults, so that evidence which leaves a key out is refused; this is the one
    place where a plane may leave out what it does not know.
    Source: runbook observability, Canonical Observability Contract.
    """
    return ObservabilityRecord(
        request_id=request_id,
        user_id=user_id,
        paywall_id=paywall_id,
        task_id=task_id,
        endpoint=endpoint,
        quoted_cost_msats=quoted_cost_msats,
        cap_applied_msats=cap_applied_msats,
        paid_amount_msats=paid_amount_msats,
        payment_proof_ref=payment_proof_ref,
        cache_hit=cache_hit,
        deny_reason=deny_reason,
        executor=executor,
        plane=plane,
        execution_path=execution_path,
        desktop_session_id=desktop_session_id,
        desktop_runtime_status=desktop_runtime_status,
        wallet_state=wallet_state,
        node_sync_status=node_sync_status,
        observed_at_ms=observed_at_ms,
    )
