"""What a reconcile asks of the world: paywalls, a gateway's operations, probes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pytest_l402.boundary import printable, redact_text
from pytest_l402.contract import CamelDocument
from pytest_l402.contract.scalars import Count, Msats, Text
from pytest_l402.ops.compile.paywall import PaywallDefinition


class GatewayOpsError(RuntimeError):
    """The gateway did not do what it was asked for; `reason` is a short code such as `status_503`."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"gateway operations: {reason}")
        self.reason = reason


def reason_of(error: Exception) -> str:
    """Return why a port failed, as a deployment may say it: one line without secrets."""
    if isinstance(error, GatewayOpsError):
        return printable(redact_text(error.reason))
    text = printable(redact_text(str(error)))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class ActiveDeployment(CamelDocument):
    """What a gateway says it runs; after a rollback the id may be that of the deployment rolled back from."""

    deployment_id: Text
    config_hash: Text
    image_digest: Text | None


class ProbeTarget(CamelDocument):
    """One rule as the probes ask for it: a host and path that it answers for, and what it has to cost.

    `price_msats` None means that the price is not known: then a well-formed challenge of any amount will do,
    and at most `max_msats` are paid for it. `timeout_ms` bounds how long the upstream may take.
    """

    rule_id: Text
    paywall_id: Text
    owner_id: Text
    host: Text
    path: Text
    price_msats: Msats | None
    max_msats: Msats
    timeout_ms: Count


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """What a probe saw: `reason` is a stable code, None when all is well."""

    reason: str | None = None
    status_code: int | None = None
    amount_msats: int | None = None

    @property
    def ok(self) -> bool:
        """Whether the gateway did what it has to."""
        return self.reason is None


class PaywallSource(Protocol):
    """Where the paywalls come from: the control plane."""

    def paywalls(self, *, request_id: str) -> Sequence[PaywallDefinition]:
        """Return the active and the paused paywalls; whatever is raised ends the run before it begins."""
        ...


class GatewayOps(Protocol):
    """What can be done to a gateway. Every failure raises, best as `GatewayOpsError`.

    All of it is idempotent: a run that was cut off is taken up by doing its last step again.
    """

    def active(self, *, request_id: str) -> ActiveDeployment | None:
        """Return what the gateway runs, None when nothing was ever deployed."""
        ...

    def apply(
        self,
        *,
        request_id: str,
        deployment_id: str,
        config_hash: str,
        aperture_yaml: str,
        image_digest: str | None,
    ) -> ActiveDeployment:
        """Let the gateway run this file under this image, and return what it runs then.

        `image_digest` None leaves the image as it is.
        """
        ...

    def rollback(
        self, *, request_id: str, deployment_id: str, target: ActiveDeployment
    ) -> ActiveDeployment | None:
        """Let the gateway run `target` again instead of `deployment_id`, and return what it runs then."""
        ...

    def withdraw(self, *, request_id: str, deployment_id: str) -> None:
        """Take a deployment away that had none before it: nothing of it is sold afterwards."""
        ...


class Probes(Protocol):
    """Asks the gateway as a client would. A probe that cannot ask says so in its outcome."""

    def health(self, *, request_id: str) -> ProbeAnswer:
        """Ask the health path: any 2xx is well."""
        ...

    def challenge(self, target: ProbeTarget, *, request_id: str) -> ProbeAnswer:
        """Ask without a credential: well is exactly a 402 that can be paid and asks for the right price."""
        ...

    def proxy(self, target: ProbeTarget, *, request_id: str) -> ProbeAnswer:
        """Ask with a credential that was paid for: any 2xx is well."""
        ...
