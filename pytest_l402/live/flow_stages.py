"""Decides what each stage of the full flow does at a deployed platform, where nobody pays for a rehearsal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_l402.contract import (
    Plane,
    SettlementCorrelation,
    hosted_proof_reference,
)
from pytest_l402.harness.clock import Clock
from pytest_l402.live.environment import PREFIX, GatewayAccess
from pytest_l402.live.observing import observe_settlements
from pytest_l402.live.probes import live_targets
from pytest_l402.live.system import LiveSystem
from pytest_l402.ops.compile.compilation import compile_paywalls
from pytest_l402.ops.full_flow.findings import (
    Sections,
    Stage,
    note_denied,
    note_observability,
    note_paid,
    note_parity,
    note_paywall,
    note_reconcile,
)
from pytest_l402.ops.full_flow.verification import compare_paths
from pytest_l402.ops.reconcile.ports import ProbeTarget
from pytest_l402.protocol import ProtocolError, parse_credential


@dataclass(slots=True)
class LiveFlowStages:
    """The six stages against a deployed platform (`stack.full_flow.Stages`).

    It sells through the paywall that the challenge URL is behind. The paid request is the one that bought the
    prepaid proof: it is presented once more, and the platform must know its settlement. What changes the
    platform (a deploy, the pause of the denied request) is done only where changes are allowed; else the
    gateway is looked at, and the denial counts as not shown.
    """

    system: LiveSystem
    access: GatewayAccess
    request_id: str
    clock: Clock
    local_artifact: Path
    allow_missing_local_artifact: bool = False
    sections: Sections = field(default_factory=Sections)
    payment_hash: str | None = None
    _target: ProbeTarget | None = field(init=False, default=None)

    def create_paywall(self, stage: Stage) -> None:
        """paywall.create: nothing is created; the control plane holds the paywall that is probed."""
        paywalls = tuple(self.system.control_plane.paywalls(request_id=stage.request_id))
        compilation = compile_paywalls(paywalls)
        targets = live_targets(self.access)(compilation)
        codes = ", ".join(dict.fromkeys(item.code.value for item in compilation.diagnostics))
        stage.expect("paywall_creation", bool(targets), f"expected a paywall for sale, saw none ({codes})")
        if not targets:
            return
        self._target = target = targets[0]
        route_id = target.rule_id.removeprefix(f"{target.paywall_id}:")
        note_paywall(self.sections, stage, target.paywall_id, target.owner_id, route_id)

    def reconcile_gateway(self, stage: Stage) -> None:
        """gateway.reconcile: deploys where that is allowed, else looks whether a deploy would change it."""
        allowed = self.system.permission.allowed
        work = self.system.reconcile if allowed else self.system.inspect
        note_reconcile(self.sections, stage, work(stage.request_id))
        stage.details.update(deployed=allowed)

    def pay_request(self, stage: Stage) -> None:
        """request.paid: the proof of an earlier payment opens the route, and its settlement is known."""
        check = "paid_request_success"
        if self._target is None:
            raise LookupError("expected the paywall that is probed, saw none")
        self.payment_hash, proof = self._prepaid()
        delivered = self.system.probes.proxy(self._target, request_id=stage.request_id)
        stage.expect(check, delivered.ok, f"expected 2xx for the prepaid proof, saw {delivered.reason}")
        settled = observe_settlements(self.system, self.clock, self._target.paywall_id)
        row: Mapping[str, Any] = next((row for row in settled if row["paymentProofRef"] == proof), {})
        stage.expect(check, bool(row), f"expected a settlement with {proof}, saw {len(settled)} others")
        section = note_paid(self.sections, stage, row)
        stage.details.update(paidBefore=True)
        self.sections.settlement_correlation = SettlementCorrelation(
            processed=len(settled),
            settlement_ids=tuple(item["settlementId"] for item in settled),
            payment_proof_refs=tuple(item["paymentProofRef"] for item in settled),
        )
        shown = {
            (row["paymentProofRef"], row["paidAmountMsats"])
            for row in self.system.journal.rows("records")
            if row["plane"] == Plane.UI.value
        }
        told_of = (section.payment_proof_ref, section.amount_msats)
        stage.expect("settlement_correlation", told_of in shown, f"expected {proof} in plane ui, saw it not")

    def deny_request(self, stage: Stage) -> None:
        """request.denied: under the global pause the gate denies; everything is switched back."""
        if not self.system.permission.allowed:
            stage.expect("policy_deny", False, "not run: the global pause needs --allow-live-changes")
            return
        drill = self.system.run_security_drill(stage.request_id)
        said = drill.global_pause
        note_denied(self.sections, stage, denied=not said.allowed, code=said.code, reason=said.reason)
        stage.expect("policy_deny", drill.ok, ", ".join(drill.failures))

    def verify_observability(self, stage: Stage) -> None:
        """observability.verify: what was seen of every plane makes complete records."""
        note_observability(self.sections, stage, self.system.journal.rows("records"))

    def verify_parity(self, stage: Stage) -> None:
        """parity.verify: both paths hold the parity keys; other payments than these agree by key only."""
        records = self.system.journal.rows("records")
        compared = compare_paths(records, self.local_artifact, self.local_artifact.as_posix())
        may_be_missing = self.allow_missing_local_artifact
        note_parity(self.sections, stage, compared, by_value=False, may_be_missing=may_be_missing)

    def _prepaid(self) -> tuple[str, str]:
        """Return payment hash and hosted reference of the prepaid proof."""
        name = f"{PREFIX}PROXY_AUTHORIZATION_HEADER"
        if self.access.proxy_authorization is None:
            raise LookupError(f"{name}: expected a prepaid proof, since nobody pays here; saw it unset")
        try:
            credential = parse_credential([("Authorization", self.access.proxy_authorization)])
        except ProtocolError as error:
            # The error names a code; the value is a secret.
            raise LookupError(f"{name}: expected a credential, saw none ({type(error).__name__})") from None
        preimage = credential.preimage
        return preimage.payment_hash.hex(), hosted_proof_reference(preimage.hex())
