"""Decides whether the hosted path works from end to end, and writes down how it went, well or not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pytest_l402.boundary import printable, redact_text
from pytest_l402.boundary.whole_files import write_document, write_lines
from pytest_l402.contract import (
    CHECK_NAMES,
    Coverage,
    EventStatus,
    ExecutionPath,
    FlowArtifacts,
    FlowEvent,
    FlowMode,
    FlowStage,
    FullFlowSummary,
)
from pytest_l402.harness.clock import Clock
from pytest_l402.ops.full_flow.findings import Sections, Stage

# Which checks each stage has to bear out; a stage that breaks off bears out none of them.
_CHECKS_OF = {
    FlowStage.PAYWALL_CREATE: ("paywall_creation",),
    FlowStage.GATEWAY_RECONCILE: ("gateway_reconcile",),
    FlowStage.REQUEST_PAID: ("paid_request_success", "settlement_correlation"),
    FlowStage.REQUEST_DENIED: ("policy_deny",),
    FlowStage.OBSERVABILITY_VERIFY: ("observability",),
    FlowStage.PARITY_VERIFY: ("hosted_parity", "local_parity"),
}


@dataclass(frozen=True, slots=True)
class FlowPurchase:
    """One request of the flow, as rows and checks know it; amounts in msats, None where nothing is known."""

    request_id: str
    task_id: str | None = None
    payment_hash: str | None = None
    amount_msats: int | None = None
    proof_reference: str | None = None


class Stages(Protocol):
    """The six stages of one flow; each fills its section, and raises when it cannot go on."""

    request_id: str
    sections: Sections
    payment_hash: str | None

    def create_paywall(self, stage: Stage) -> None:
        """paywall.create."""
        ...

    def reconcile_gateway(self, stage: Stage) -> None:
        """gateway.reconcile."""
        ...

    def pay_request(self, stage: Stage) -> None:
        """request.paid."""
        ...

    def deny_request(self, stage: Stage) -> None:
        """request.denied."""
        ...

    def verify_observability(self, stage: Stage) -> None:
        """observability.verify."""
        ...

    def verify_parity(self, stage: Stage) -> None:
        """parity.verify."""
        ...


class Flow:
    """Takes the stages of a flow one after the other, and writes down how each of them ended."""

    def __init__(
        self, stages: Stages, *, clock: Clock, mode: FlowMode, folder: Path, shown_folder: str
    ) -> None:
        self._stages = stages
        self._clock = clock
        self._mode = mode
        self._folder = folder
        self._shown_folder = shown_folder
        self._failed: set[str] = set(CHECK_NAMES)
        self.denied_id = f"{stages.request_id}:policy-denied"
        self.events: list[FlowEvent] = []

    def run(self) -> None:
        """Take the stages in order."""
        own, stages = self._stages.request_id, self._stages
        self._take(FlowStage.PAYWALL_CREATE, own, stages.create_paywall)
        self._take(FlowStage.GATEWAY_RECONCILE, f"{own}:reconcile", stages.reconcile_gateway)
        self._take(FlowStage.REQUEST_PAID, f"{own}:paid", stages.pay_request)
        self._take(FlowStage.REQUEST_DENIED, self.denied_id, stages.deny_request)
        self._take(FlowStage.OBSERVABILITY_VERIFY, f"{own}:observability", stages.verify_observability)
        self._take(FlowStage.PARITY_VERIFY, own, stages.verify_parity)

    def paid(self) -> FlowPurchase:
        """Return what is known of the request that was to be paid."""
        section = self._stages.sections.paid_request
        if section is None:
            return FlowPurchase(f"{self._stages.request_id}:paid")
        return FlowPurchase(
            section.request_id,
            section.task_id,
            self._stages.payment_hash,
            section.amount_msats,
            section.payment_proof_ref,
        )

    def write(self) -> FullFlowSummary:
        """Write both files, each whole or not at all, and return the summary."""
        failed = tuple(check for check in CHECK_NAMES if check in self._failed)
        summary = FullFlowSummary(
            ok=not failed,
            mode=self._mode,
            request_id=self._stages.request_id,
            execution_path=ExecutionPath.HOSTED_NODE,
            coverage=Coverage(
                total_checks=len(CHECK_NAMES),
                passed_checks=len(CHECK_NAMES) - len(failed),
                failed_checks=failed,
            ),
            artifacts=FlowArtifacts(
                artifact_dir=self._shown_folder,
                summary_path=f"{self._shown_folder}/summary.json",
                events_path=f"{self._shown_folder}/events.jsonl",
                generated_at_ms=self._clock.now_ms(),
            ),
            **vars(self._stages.sections),
        )
        write_lines(self._folder / "events.jsonl", (event.to_row() for event in self.events))
        write_document(self._folder / "summary.json", summary.to_row())
        return summary

    def _take(self, name: FlowStage, request_id: str, run: Callable[[Stage], None]) -> None:
        stage = Stage(request_id)
        try:
            run(stage)
            self._failed -= set(_CHECKS_OF[name]) - {check for check, _ in stage.failures}
        except BaseException as error:
            # Whatever a part of somebody else raises is a finding of this stage, and its text is not ours.
            reason = f"{type(error).__name__}: {redact_text(printable(str(error)))}"
            stage.failures += [(check, reason) for check in _CHECKS_OF[name]]
            if not isinstance(error, Exception):
                raise
        finally:
            self._note(name, stage)

    def _note(self, name: FlowStage, stage: Stage) -> None:
        details = dict(stage.details)
        if stage.failures:
            details["failures"] = [{"check": check, "reason": reason} for check, reason in stage.failures]
        self.events.append(
            FlowEvent(
                ts=self._clock.tick(),
                stage=name,
                request_id=stage.request_id,
                status=EventStatus.FAILED if stage.failures else EventStatus.OK,
                details=details,
            )
        )
