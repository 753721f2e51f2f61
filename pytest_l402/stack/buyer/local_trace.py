"""What one purchase leaves on the buyer's side: local-node records, and a flow of the artifact.

Everything is written at the moment it happens: a process that is killed leaves exactly what it had done.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Unpack

from pytest_l402.boundary import digest_reference
from pytest_l402.contract import (
    DesktopRuntimeStatus,
    ExecutionPath,
    LocalFlow,
    LocalFlowKind,
    NodeSyncStatus,
    ObservabilityRecord,
    Plane,
    SellerCall,
    Speaker,
    TaskStatus,
    WalletState,
)
from pytest_l402.harness.harness import Harness
from pytest_l402.harness.observation import UI_ENDPOINT, Known, observe
from pytest_l402.stack.faults import NodeDegraded, WalletLocked


@dataclass(slots=True)
class LocalTrace:
    """The trace of one purchase; `endpoint` is the URL without query, which may hold a token."""

    harness: Harness
    request_id: str
    task_id: str
    user_id: str
    desktop_session_id: str
    endpoint: str
    cap_msats: int
    path: str
    kind: LocalFlowKind = LocalFlowKind.INTERRUPTED
    task_status: TaskStatus = TaskStatus.APPROVED
    transition_ids: list[str] = field(default_factory=list)
    proof_reference: str | None = None
    payment_id: str | None = None
    blocked_code: str | None = None
    blocked_reason: str | None = None
    seller_calls: list[SellerCall] = field(default_factory=list)
    records: list[ObservabilityRecord] = field(default_factory=list)

    def moved(self, to: TaskStatus) -> None:
        """Note that the task is in another state now."""
        self.task_status = to
        self.transition_ids.append(self.request_id)

    def called(self, authorization: str | None, status: int) -> None:
        """Note an answer of the seller; of the credential only a digest is kept."""
        digest = None if authorization is None else digest_reference(authorization)
        self.seller_calls.append(SellerCall(path=self.path, authorization=digest, status=status))

    def refused(self, kind: LocalFlowKind, code: str, reason: str) -> None:
        """Note why nothing was delivered."""
        self.kind, self.blocked_code, self.blocked_reason = kind, code, reason

    def observed(self, plane: Plane, **known: Unpack[Known]) -> None:
        """Emit a record of the local-node path, and keep it for the artifact; nothing came from a cache.

        A wallet's state is what the last call showed, if it showed any.
        """
        active = self.harness.faults.active
        locked, degraded = active(WalletLocked, self.request_id), active(NodeDegraded, self.request_id)
        path: Known = {
            "request_id": self.request_id,
            "user_id": self.user_id,
            "task_id": self.task_id,
            "endpoint": UI_ENDPOINT if plane is Plane.UI else self.endpoint,
            "cap_applied_msats": self.cap_msats,
            "cache_hit": False,
            "desktop_session_id": self.desktop_session_id,
            "desktop_runtime_status": DesktopRuntimeStatus.RUNNING,
            "wallet_state": WalletState.LOCKED if locked else WalletState.UNLOCKED,
            "node_sync_status": NodeSyncStatus.DEGRADED if degraded else NodeSyncStatus.SYNCED,
        }
        record = observe(self.harness, plane, Speaker.DESKTOP, ExecutionPath.LOCAL_NODE, **(path | known))
        self.records.append(record)

    def flow(self) -> LocalFlow:
        """Return the flow of the artifact as it stands."""
        return LocalFlow(
            flow=self.kind,
            task_id=self.task_id,
            task_status=self.task_status,
            create_request_id=self.request_id,
            transition_request_ids=tuple(self.transition_ids),
            proof_reference=self.proof_reference,
            payment_id=self.payment_id,
            blocked_error_code=self.blocked_code,
            blocked_reason=self.blocked_reason,
            seller_calls=tuple(self.seller_calls),
            observability_records=tuple(self.records),
        )
