"""How the operations of one stack are put together: its paywalls, history, deployer, reconciler."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from pytest_l402.contract.payment import Wallet
from pytest_l402.harness.harness import Harness
from pytest_l402.ops.compile.paywall import PaywallDefinition, Policy, Route
from pytest_l402.ops.compile.terms import TOKEN_VALIDITY_KEY
from pytest_l402.ops.reconcile.gateway_probes import PayingProbes
from pytest_l402.ops.reconcile.inspection import inspect
from pytest_l402.ops.reconcile.ledger import EVIDENCE_TABLES, DeploymentHistory
from pytest_l402.ops.reconcile.lock import ReconcileLock
from pytest_l402.ops.reconcile.probe_targets import probe_targets
from pytest_l402.ops.reconcile.reconciler import Reconciler
from pytest_l402.ops.reconcile.steps import Failpoint
from pytest_l402.ops.reconcile.summary import ReconcileSummary
from pytest_l402.stack.control.paywalls import Paywall
from pytest_l402.stack.faults import PaywallNotCompilable
from pytest_l402.stack.gateway.deployer import GatewayDeployer, GatewayDisk
from pytest_l402.stack.gateway.gateway import Gateway
from pytest_l402.stack.shop import GATEWAY_HOST, SELLER_HOST

LEDGER_NAME, LOCK_NAME, GATEWAY_FOLDER = "deployments.sqlite3", "reconcile.lock", "gateway"


class StackPaywalls:
    """The paywalls of a stack's control plane, as the compiler takes them: `PaywallSource`.

    A paywall whose service was started with a life for its credentials keeps it. With the fault
    `PaywallNotCompilable` the first price is one that no gateway can ask for.
    """

    def __init__(self, harness: Harness, gateway: Gateway, known: Callable[[], Sequence[Paywall]]) -> None:
        self._faults = harness.faults
        self._known = known
        self._validity_s = {item.paywall_id: item.timeout_s for item in gateway.services if item.timeout_s}

    def paywalls(self, *, request_id: str) -> Sequence[PaywallDefinition]:
        """Return every paywall, as it stands now."""
        found = [self._definition(item) for item in self._known()]
        if found and self._faults.active(PaywallNotCompilable, request_id):
            policy = found[0].policy
            price = replace(policy, fixed_amount_msats=policy.fixed_amount_msats + 1)
            found[0] = replace(found[0], policy=price)
        return tuple(found)

    def owner_of(self, paywall_id: str) -> str | None:
        """Return the owner of a paywall, or None when the control plane does not know it."""
        return next((item.owner_id for item in self._known() if item.paywall_id == paywall_id), None)

    def _definition(self, item: Paywall) -> PaywallDefinition:
        validity_s = self._validity_s.get(item.paywall_id)
        return PaywallDefinition(
            paywall_id=item.paywall_id,
            owner_id=item.owner_id,
            name=item.name,
            policy=Policy(
                fixed_amount_msats=item.price_msats,
                allowed_hosts=tuple(sorted(item.allowed_hosts)) or None,
                blocked_hosts=tuple(sorted(item.blocked_hosts)) or None,
            ),
            routes=(
                Route(
                    route_id=item.route_id,
                    host_pattern=GATEWAY_HOST,
                    path_pattern=item.path,
                    upstream_url=f"https://{SELLER_HOST}",
                    protocol="https",
                    timeout_ms=item.timeout_ms,
                    priority=item.priority,
                ),
            ),
            metadata={} if validity_s is None else {TOKEN_VALIDITY_KEY: validity_s},
        )


class StackOps:
    """The operations of a stack's gateway. With a folder, history and deployment outlive the process.

    `paywalls` says what the control plane knows, `networks` how invoices begin there. `deployments` is the
    append-only history, `deployer` what can be done to the gateway.
    """

    def __init__(
        self,
        harness: Harness,
        gateway: Gateway,
        *,
        client: httpx.Client,
        wallet: Wallet,
        paywalls: Callable[[], Sequence[Paywall]],
        networks: Collection[str] | None = None,
        folder: Path | None = None,
        deployer: type[GatewayDeployer] = GatewayDeployer,
    ) -> None:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self._harness = harness
        self._client = client
        self._wallet = wallet
        self._networks = networks
        self.source = StackPaywalls(harness, gateway, paywalls)
        self.deployer = deployer(
            harness,
            gateway,
            owner_of=self.source.owner_of,
            disk=GatewayDisk(None if folder is None else folder / GATEWAY_FOLDER),
        )
        self.deployments = DeploymentHistory(":memory:" if folder is None else folder / LEDGER_NAME)
        self._lock = ReconcileLock(None if folder is None else folder / LOCK_NAME)

    def reconciler(
        self, *, wait_s: float = 0.0, failpoint: Callable[[Failpoint], None] = lambda _: None
    ) -> Reconciler:
        """Return a driver for this stack; `wait_s` is how long it waits for another one to end."""
        return Reconciler(
            source=self.source,
            gateway=self.deployer,
            probes=PayingProbes(self._client, self._wallet, self._harness.clock, self._networks),
            ledger=self.deployments,
            clock=self._harness.clock,
            lock=self._lock,
            wait_s=wait_s,
            witness=self._harness.journal,
            targets=partial(probe_targets, host=GATEWAY_HOST),
            failpoint=failpoint,
        )

    def inspect(self, request_id: str) -> ReconcileSummary:
        """Return what a reconcile would find, without changing anything."""
        return inspect(
            self.source,
            self.deployer,
            PayingProbes(self._client, self._wallet, self._harness.clock, self._networks),
            request_id=request_id,
            targets=partial(probe_targets, host=GATEWAY_HOST),
            clock=self._harness.clock,
            witness=self._harness.journal,
        )

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Return `deployments` and `gateway_events` as SQL holds them."""
        return {name: list(self.deployments.rows(name)) for name in EVIDENCE_TABLES}

    def close(self) -> None:
        """Close the history."""
        self.deployments.close()
