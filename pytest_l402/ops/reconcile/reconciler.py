"""Decides whether what the control plane says is what the gateway sells, and undoes a deployment that is not.

One run goes from the paywalls to `applied`, or says at which step it failed and puts back what ran before.
Every step is written down before and after it is taken, so that a run which was cut off, by a signal or by
the loss of its machine, is finished or undone by the next one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from pytest_l402.boundary import printable, quoted
from pytest_l402.harness.clock import Clock
from pytest_l402.harness.journal import Journal
from pytest_l402.harness.network import is_usable_id
from pytest_l402.ops.compile.compilation import Compilation, compile_paywalls
from pytest_l402.ops.compile.paywall import PaywallDefinition
from pytest_l402.ops.reconcile.book import ReconcileBook
from pytest_l402.ops.reconcile.deployments import COMPILED, DEPLOYED, Intent, deployment_id, is_pinned
from pytest_l402.ops.reconcile.ledger import DeploymentHistory
from pytest_l402.ops.reconcile.lock import ReconcileLock
from pytest_l402.ops.reconcile.ports import (
    GatewayOps,
    PaywallSource,
    Probes,
    ProbeTarget,
    reason_of,
)
from pytest_l402.ops.reconcile.probe_targets import of_unknown_price, probe_targets
from pytest_l402.ops.reconcile.probing import StageFailed, UndoFailed, is_superseded, probe_stage, undo
from pytest_l402.ops.reconcile.records import deployment_row
from pytest_l402.ops.reconcile.steps import PROBES, Failpoint, FailureCode, Stage, next_step, step_of
from pytest_l402.ops.reconcile.summary import Failure, ReconcileSummary

INTERRUPTED = "interrupted"
SUPERSEDED = "superseded"


class ReconcileRefused(ValueError):  # noqa: N818 - the name of the condition
    """The request cannot be taken as it is; nothing was deployed for it."""


class Reconciler:
    """Brings a gateway to what the control plane says, one run at a time.

    All it touches are its ports, so it drives a stand-in and a deployed gateway alike. `targets` says at
    which requests a compiled configuration is probed. `baseline` is asked which of the probes fail before
    anything is written down or changed; whatever it raises ends the run there. A run waits at most `wait_s`
    seconds for another one to end. `failpoint` is called at every place where a test may cut the run off.
    """

    def __init__(
        self,
        *,
        source: PaywallSource,
        gateway: GatewayOps,
        probes: Probes,
        ledger: DeploymentHistory,
        clock: Clock,
        lock: ReconcileLock | None = None,
        wait_s: float = 0.0,
        witness: Journal | None = None,
        targets: Callable[[Compilation], tuple[ProbeTarget, ...]] = probe_targets,
        baseline: Callable[[tuple[ProbeTarget, ...], str], tuple[Failure, ...]] | None = None,
        failpoint: Callable[[Failpoint], None] = lambda _: None,
    ) -> None:
        self._source = source
        self._gateway = gateway
        self._probes = probes
        self._ledger = ledger
        self._clock = clock
        self._wait_s = wait_s
        self._book = ReconcileBook(ledger, clock, witness, failpoint)
        self._lock = lock if lock is not None else ReconcileLock()
        self._targets = targets
        self._baseline = baseline
        self._at = failpoint

    def reconcile(self, request_id: str, *, image_digest: str | None = None) -> ReconcileSummary:
        """Deploy what the control plane says now, and return how that ended; failing is an outcome.

        The same request again returns the recorded outcome, or takes the run up where it was cut off. Runs of
        other requests that were cut off are finished or undone first. `image_digest` is the image that the
        gateway has to run, `sha256:` and 64 hex digits; None leaves the image, which has to be pinned all the
        same. Source: runbook staging-reconcile.

        Raises:
            ReconcileRefused: the id or digest cannot be used, or the id was used for something else.
            ReconcileBusy: another reconcile is under way.
            Exception: whatever the source of paywalls raises, or the gateway when it does not say what it
                runs as a run is to be taken up; nothing was changed.
        """
        check_order(request_id, image_digest)
        with self._lock.held(request_id, wait_s=self._wait_s):
            self._at(Failpoint.STARTED)
            self._settle_others(request_id)
            own = self._ledger.intent(request_id)
            try:
                paywalls = tuple(self._source.paywalls(request_id=request_id))
                compilation = compile_paywalls(paywalls)
            except BaseException:
                if own is not None and own.outcome is None:
                    self._settle(own)
                raise
            self._at(Failpoint.COMPILED)
            if own is not None:
                return self._again(own, compilation, image_digest)
            intent = self._begin(request_id, image_digest, paywalls, compilation)
            return self._carry_on(intent, compilation)

    def recover(self) -> tuple[ReconcileSummary, ...]:
        """Finish or undo every run that was cut off, and return how each of them ended.

        Raises:
            ReconcileBusy: a reconcile is under way.
            Exception: the gateway does not say what it runs; nothing was touched.
        """
        with self._lock.held("recover", wait_s=self._wait_s):
            return tuple(self._settle(intent) for intent in self._ledger.open_intents())

    def _begin(
        self,
        request_id: str,
        image_digest: str | None,
        paywalls: tuple[PaywallDefinition, ...],
        compilation: Compilation,
    ) -> Intent:
        targets = self._targets(compilation)
        told = targets[0] if targets else (paywalls[0] if paywalls else None)
        valid = compilation.valid
        baseline = self._baseline(targets, request_id) if self._baseline is not None and valid else ()
        intent = Intent(
            request_id=request_id,
            deployment_id=deployment_id(request_id, DEPLOYED if valid else COMPILED),
            config_hash=compilation.config_hash,
            rule_count=compilation.rule_count,
            valid=valid,
            diagnostics=tuple(item.to_json() for item in compilation.diagnostics),
            image_digest=image_digest,
            targets=targets,
            rule_id=targets[0].rule_id if targets else None,
            paywall_id=None if told is None else told.paywall_id,
            owner_id=None if told is None else told.owner_id,
            started_at_ms=self._clock.tick(),
            baseline=baseline,
            passed=(Stage.COMPILE,) if valid else (),
        )
        self._ledger.begin(intent, deployment_row(intent, intent.started_at_ms) if valid else None)
        return intent

    def _again(self, own: Intent, compilation: Compilation, image_digest: str | None) -> ReconcileSummary:
        same = own.config_hash == compilation.config_hash and own.image_digest == image_digest
        if same and own.outcome is not None:
            return own.outcome
        if same and own.valid and own.undoing is None and next_step(own.passed) is not None:
            if own.previous_known:
                if is_superseded(own, self._gateway.active(request_id=own.request_id)):
                    return self._settle(own)
                self._ledger.note_resumed(own.request_id)
            return self._carry_on(self._known(own), compilation)
        settled = own.outcome or self._settle(own)
        if same:
            return settled
        raise ReconcileRefused(
            f"request {printable(own.request_id)}: expected the configuration and image of its first run, "
            f"{own.config_hash} under {own.image_digest or 'the image that runs'}, saw "
            f"{compilation.config_hash} under {image_digest or 'the image that runs'}; it ended "
            f"{settled.deployment_status.value}: use another --request-id"
        )

    def _carry_on(self, intent: Intent, compilation: Compilation) -> ReconcileSummary:
        """Take the steps that are left. Who interrupts gets the gateway back as it was."""
        try:
            self._at(Failpoint.PENDING_WRITTEN)
            if not intent.valid:
                return self._settle(intent)
            try:
                if not intent.previous_known:
                    intent = self._look_up(intent)
                # Also when it was applied before the run was cut off: the gateway may have restarted since.
                intent = self._apply(intent, compilation)
                for stage in PROBES:
                    intent = self._probe(intent, stage)
                return self._book.applied(intent)
            except StageFailed as failed:
                failure = Failure.at(failed.stage, failed.reason)
                if not step_of(failed.stage).may_have_changed:
                    return self._book.failed(intent, failure)
                self._ledger.note_undoing(intent.request_id, failure)
                self._at(Failpoint.UNDO_WRITTEN)
                return self._undo(self._known(intent))
        except BaseException:
            # What cannot be undone now is still written down, and undone by the next run.
            with contextlib.suppress(Exception):
                self._settle(self._known(intent))
            raise

    def _look_up(self, intent: Intent) -> Intent:
        for other in self._ledger.open_intents():
            if other.request_id != intent.request_id:
                raise StageFailed(Stage.ACTIVE_LOOKUP, f"unfinished_{other.deployment_id}")
        try:
            previous = self._gateway.active(request_id=intent.request_id)
        except Exception as error:
            raise StageFailed(Stage.ACTIVE_LOOKUP, reason_of(error)) from error
        self._at(Failpoint.PREVIOUS_FOUND)
        known = None if previous is None else self._ledger.targets_of(previous.config_hash)
        if previous is not None and known is None:
            known = of_unknown_price(intent.targets)
        self._ledger.note_previous(intent.request_id, previous, known or ())
        self._at(Failpoint.PREVIOUS_WRITTEN)
        return self._known(intent)

    def _apply(self, intent: Intent, compilation: Compilation) -> Intent:
        try:
            deployed = self._gateway.apply(
                request_id=intent.request_id,
                deployment_id=intent.deployment_id,
                config_hash=intent.config_hash,
                aperture_yaml=compilation.aperture_yaml,
                image_digest=intent.image_digest,
            )
        except Exception as error:
            raise StageFailed(Stage.APPLY, reason_of(error)) from error
        self._at(Failpoint.APPLIED)
        if deployed.config_hash != intent.config_hash:
            raise StageFailed(Stage.APPLY, f"config_hash_{printable(deployed.config_hash)}_not_as_ordered")
        if not is_pinned(deployed.image_digest):
            raise StageFailed(Stage.APPLY, f"image_digest_not_pinned: {quoted(deployed.image_digest)}")
        if intent.image_digest is not None and deployed.image_digest != intent.image_digest:
            raise StageFailed(Stage.APPLY, f"image_digest_not_as_ordered: {deployed.image_digest}")
        self._ledger.note_passed(intent.request_id, Stage.APPLY, deployed.image_digest)
        self._at(Failpoint.APPLY_WRITTEN)
        return self._known(intent)

    def _probe(self, intent: Intent, stage: Stage) -> Intent:
        details = probe_stage(
            self._probes, stage, intent.targets, intent.request_id, formerly=intent.previous_targets
        )
        if stage is Stage.PROXY:
            self._at(Failpoint.PROXY_PROBED)
        if details is not None:
            self._book.tell(intent, f"{stage.value}_ok", "info", details)
        self._ledger.note_passed(intent.request_id, stage)
        self._at(Failpoint(f"{stage.value}_written"))
        return self._known(intent)

    # What was cut off

    def _settle_others(self, request_id: str) -> None:
        for intent in self._ledger.open_intents():
            if intent.request_id != request_id:
                # A gateway that does not answer fails this run too, at its own lookup.
                with contextlib.suppress(Exception):
                    self._settle(intent)

    def _settle(self, intent: Intent) -> ReconcileSummary:
        """Bring a run that goes no further to its end: what was decided is done, the rest is undone."""
        if intent.outcome is not None:
            return intent.outcome
        if not intent.valid:
            return self._book.failed(intent, Failure.at(Stage.COMPILE))
        step = next_step(intent.passed)
        if intent.undoing is None and step is None:
            return self._book.applied(intent)
        if intent.undoing is None and step is not None:
            failure = Failure.at(step.stage, INTERRUPTED)
            if not intent.previous_known:
                return self._book.failed(intent, failure)
        else:
            assert intent.undoing is not None
            failure = intent.undoing
        active = self._gateway.active(request_id=intent.request_id)
        if is_superseded(intent, active):
            return self._book.failed(intent, failure, undone={"skipped": SUPERSEDED})
        if intent.undoing is None:
            self._ledger.note_undoing(intent.request_id, failure)
            self._at(Failpoint.UNDO_WRITTEN)
        return self._undo(self._known(intent))

    def _undo(self, intent: Intent) -> ReconcileSummary:
        assert intent.undoing is not None
        failure = intent.undoing
        try:
            undone = undo(intent, self._gateway, self._probes, self._at)
        except UndoFailed as failed:
            last = Failure(code=FailureCode.ROLLBACK_FAILED, stage=Stage.ROLLBACK, reason=failed.reason)
            return self._book.failed(intent, last, original=failure)
        self._at(Failpoint.UNDO_VERIFIED)
        if undone.active is None:
            told: dict[str, Any] = {"withdrawn": True}
            if undone.unverified:
                told["stillUnhealthy"] = undone.unverified[0].reason
            return self._book.failed(intent, failure, undone=told)
        return self._book.rolled_back(intent, failure, undone.active, undone.unverified)

    def _known(self, intent: Intent) -> Intent:
        return self._ledger.intent(intent.request_id) or intent


def check_order(request_id: str, image_digest: str | None) -> None:
    """Refuse what no reconcile can be asked. Raises `ReconcileRefused`."""
    if not is_usable_id(request_id):
        raise ReconcileRefused(
            "request id: expected 1 to 128 printable ASCII characters without blanks, saw "
            f"{quoted(request_id)}; name another with --request-id"
        )
    if image_digest is not None and not is_pinned(image_digest):
        raise ReconcileRefused(
            "image digest: expected sha256: and 64 hex digits (runbook staging-reconcile section 5), saw "
            f"{quoted(image_digest)}; pin the image by its digest, not by a tag"
        )
