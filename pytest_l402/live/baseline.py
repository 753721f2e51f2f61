"""Decides what is asked before anything is deployed: which probes fail already, and what could never pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pytest_l402.live.environment import PREFIX, GatewayAccess
from pytest_l402.live.live_error import LiveError
from pytest_l402.live.probes import MISSING_AUTHORIZATION, SMOKE_AUTHORIZATION, LiveProbes
from pytest_l402.ops.reconcile.ports import GatewayOps, GatewayOpsError, ProbeTarget
from pytest_l402.ops.reconcile.probe_targets import of_unknown_price
from pytest_l402.ops.reconcile.probing import probe_all
from pytest_l402.ops.reconcile.steps import Stage
from pytest_l402.ops.reconcile.summary import Failure

# What a gateway says that is ill, or whose platform cannot reach it: a deployment may mend it.
_ILL: Final = frozenset({"502", "503", "504"})
# Who answers so is there, but not under this path.
_NOT_THERE: Final = frozenset({"301", "302", "303", "307", "308", "404", "405", "410"})


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a gateway shows to the probes while what ran before still runs (`Reconciler`, `baseline`)."""

    access: GatewayAccess
    gateway: GatewayOps
    probes: LiveProbes

    def __call__(self, targets: tuple[ProbeTarget, ...], request_id: str) -> tuple[Failure, ...]:
        """Return the probes that fail; prices are not looked at, as another configuration runs.

        A gateway that does not say what it runs is not probed: the lookup of the reconcile tells of that.

        Raises:
            LiveError: whatever is deployed could not pass: the health path is none, or there is no proof.
        """
        try:
            self.gateway.active(request_id=request_id)
        except GatewayOpsError:
            return ()
        _, failures = probe_all(self.probes, of_unknown_price(targets), request_id)
        for health in (each.reason for each in failures if each.stage is Stage.HEALTH):
            self._check_health_path(health.removeprefix("health_status_"), request_id)
        if targets and not self.probes.has_proof:
            raise LiveError(
                f"{PREFIX}PROXY_AUTHORIZATION_HEADER",
                code=MISSING_AUTHORIZATION,
                expected="a credential that is paid for, to see whether the deployment delivers",
                seen=f"it unset, and no {SMOKE_AUTHORIZATION} with the challenge",
                remedy="set it to 'L402 <macaroon>:<preimage>'; nothing was deployed",
            )
        return failures

    def _check_health_path(self, status: str, request_id: str) -> None:
        """Refuse a health path that is none; one that answers as any other path does is none either."""
        if not status.isdigit() or status in _ILL:
            return
        path = self.access.health_path
        nowhere = self.probes.health(request_id=request_id, path=f"{path.rstrip('/')}/l402-probe")
        if status in _NOT_THERE or str(nowhere.status_code) == status:
            raise LiveError(
                f"{PREFIX}GATEWAY_HEALTH_PATH",
                code="wrong_health_path",
                expected="a path at which the gateway says whether it is healthy",
                seen=f"{path}, where it answers with status {status}",
                remedy="name the right path; nothing was deployed",
            )
