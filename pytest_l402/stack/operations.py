"""Decides how the operations of one stack are put together: its history, its deployer, its reconciler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pytest_l402.ops.reconcile.inspection import inspect
from pytest_l402.ops.reconcile.ledger import EVIDENCE_TABLES, DeploymentHistory
from pytest_l402.ops.reconcile.lock import ReconcileLock
from pytest_l402.ops.reconcile.probe_targets import probe_targets
from pytest_l402.ops.reconcile.reconciler import Reconciler
from pytest_l402.ops.reconcile.steps import Failpoint
from pytest_l402.ops.reconcile.summary import ReconcileSummary
from pytest_l402.stack.control.paywalls import Paywall
from pytest_l402.stack.gateway.deployer import GatewayDeployer
from pytest_l402.stack.gateway.disk import GatewayDisk
from pytest_l402.stack.operation_ports import StackPaywalls, StackProbes
from pytest_l402.stack.shop import GATEWAY_HOST, SELLER_HOST

if TYPE_CHECKING:
    from pytest_l402.contract.payment import Wallet
    from pytest_l402.stack.gateway.gateway import Gateway
    from pytest_l402.stack.stack import Stack

LEDGER_NAME, LOCK_NAME, GATEWAY_FOLDER = "deployments.sqlite3", "reconcile.lock", "gateway"


class StackOps:
    """The operations of a stack's gateway. With a folder, history and deployment outlive the process.

    `deployments` is the append-only history, `deployer` what can be done to the gateway.
    """

    def __init__(self, stack: Stack, gateway: Gateway, folder: Path | None = None) -> None:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self._stack = stack
        self.source = StackPaywalls(
            self._paywalls,
            gateway_host=GATEWAY_HOST,
            seller_host=SELLER_HOST,
            services=gateway.services,
            faults=stack.faults,
        )
        self.deployer = GatewayDeployer(
            gateway,
            owner_of=self.source.owner_of,
            faults=stack.faults,
            disk=GatewayDisk(None if folder is None else folder / GATEWAY_FOLDER),
        )
        self.deployments = DeploymentHistory(":memory:" if folder is None else folder / LEDGER_NAME)
        self._lock = ReconcileLock(None if folder is None else folder / LOCK_NAME)

    def reconciler(
        self, *, wait_s: float = 0.0, failpoint: Callable[[Failpoint], None] | None = None
    ) -> Reconciler:
        """Return a driver for this stack; `wait_s` is how long it waits for another one to end."""
        more: dict[str, Any] = {} if failpoint is None else {"failpoint": failpoint}
        return Reconciler(
            source=self.source,
            gateway=self.deployer,
            probes=StackProbes(self._stack.client, cast("Wallet", self._stack.wallet)),
            ledger=self.deployments,
            clock=self._stack.clock,
            lock=self._lock,
            wait_s=wait_s,
            witness=self._stack.journal,
            targets=partial(probe_targets, host=GATEWAY_HOST),
            **more,
        )

    def inspect(self, request_id: str) -> ReconcileSummary:
        """Return what a reconcile would find, without changing anything."""
        return inspect(
            self.source,
            self.deployer,
            StackProbes(self._stack.client, cast("Wallet", self._stack.wallet)),
            request_id=request_id,
            targets=partial(probe_targets, host=GATEWAY_HOST),
            clock=self._stack.clock,
            witness=self._stack.journal,
        )

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Return `deployments` and `gateway_events` as SQL holds them."""
        return {name: list(self.deployments.rows(name)) for name in EVIDENCE_TABLES}

    def close(self) -> None:
        """Close the history."""
        self.deployments.close()

    def _paywalls(self) -> Sequence[Paywall]:
        asked = getattr(self._stack.control_plane, "paywalls", None)
        found: Sequence[Paywall] = self._stack.paywalls if asked is None else asked()
        return found
