"""Decides how the adapters of one deployed system are put together, and that no change of a drill stays."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

from pytest_l402.boundary import plain_folder_name, printable
from pytest_l402.harness.clock import SystemClock
from pytest_l402.harness.interruption import undoing_when_interrupted
from pytest_l402.harness.journal import Journal, Row
from pytest_l402.live import control_plane, gateway_ops
from pytest_l402.live.baseline import Baseline
from pytest_l402.live.bounded_transport import Bounds, bounded_client
from pytest_l402.live.change_notes import ChangeKind, ChangeNotes
from pytest_l402.live.delivered_history import DeliveredHistory
from pytest_l402.live.environment import (
    ControlPlaneAccess,
    ControlPlaneForm,
    EnvironmentVariableError,
    GatewayAccess,
    control_plane_access,
    gateway_access,
)
from pytest_l402.live.json_api import JsonApi
from pytest_l402.live.live_error import LiveError
from pytest_l402.live.permission import Announce, Permission
from pytest_l402.live.probes import LiveProbes, live_targets
from pytest_l402.live.restoring import DeploymentRestorer
from pytest_l402.live.security import LiveSecurityControls
from pytest_l402.live.settlements import LiveSettlements
from pytest_l402.ops.compile.compilation import compile_paywalls
from pytest_l402.ops.reconcile.inspection import inspect
from pytest_l402.ops.reconcile.ledger import EVIDENCE_TABLES
from pytest_l402.ops.reconcile.lock import ReconcileLock
from pytest_l402.ops.reconcile.reconciler import Reconciler, check_order
from pytest_l402.ops.reconcile.steps import Failpoint
from pytest_l402.ops.reconcile.summary import ReconcileSummary
from pytest_l402.ops.security.drill import run_security_drill
from pytest_l402.ops.security.summary import SecurityDrill
from pytest_l402.ops.security.undo import NotUndone, Undo

DEPLOY_BOUNDS: Final = Bounds(read_s=120.0, total_s=180.0)
"""A deploy brings up a new revision, which takes longer than an answer."""
STATE_FOLDER: Final = Path("lightning-ops") / "state"
"""Where commands and rehearsals keep notes and histories, below the artifact folder."""
HISTORY_NAME: Final = "deployments.sqlite3"


def say_on_stderr(text: str) -> None:
    """Print one line on standard error, at once."""
    print(f"pytest-l402: {printable(text, 600)}", file=sys.stderr, flush=True)


def _no_failpoint(_: Failpoint) -> None:
    return None


class LiveSystem:
    """One deployed system: its gateway, its control plane, and what may be done to them.

    Read-only unless `allow_changes`. Notes of changes and the history of deployments lie in `folder`, one
    folder for each control plane, so that a run which was killed is undone by the next. Use it in a with
    block: at its end, however it comes, what was changed for a drill is undone. Where changes are allowed,
    SIGINT, SIGTERM and SIGHUP raise `Interrupted` in the block.
    """

    def __init__(
        self,
        control: ControlPlaneAccess,
        gateway: GatewayAccess,
        *,
        folder: Path,
        allow_changes: bool = False,
        announce: Announce = say_on_stderr,
        wait_s: float = 0.0,
        bounds: Bounds | None = None,
        failpoint: Callable[[Failpoint], None] = _no_failpoint,
    ) -> None:
        self._gateway_access = gateway
        self._wait_s = wait_s
        self._failpoint = failpoint
        self._folder = folder / _folder_of(control.url)
        self._lock_path = folder / f"{_folder_of(gateway.base_url)}.lock"
        self._open = ExitStack()
        self._requests: set[str] = set()
        self._history: DeliveredHistory | None = None
        self.permission = Permission(allowed=allow_changes, announce=announce)
        usual = bounds if bounds is not None else Bounds()
        reads, changes, probing = (
            self._open.enter_context(bounded_client(self.permission, bounds=its))
            for its in (usual, bounds or DEPLOY_BOUNDS, usual._replace(cut_excess=True))
        )
        secrets = [control.secret, *filter(None, (control.settlement_read, gateway.ops_token))]
        plane_api = JsonApi(reads, control_plane.NAME, secrets=secrets, pauses_s=usual.pauses_s)
        self.control_plane = control_plane.LiveControlPlane(control, plane_api, self.permission)
        self.settlements = LiveSettlements(control, plane_api)
        self.gateway = gateway_ops.LiveGatewayOps(
            gateway,
            JsonApi(reads, gateway_ops.NAME, secrets=secrets, change_client=changes, pauses_s=usual.pauses_s),
            self.permission,
        )
        self._clock = SystemClock()
        self.journal = Journal(self._clock)
        self.probes = LiveProbes(gateway, probing, self.journal, self._clock)
        self.notes = ChangeNotes(self._folder, self.control_plane.where)
        self._restorer = DeploymentRestorer(self.gateway, self.notes, lambda: self.history)
        self._open.callback(self.notes.release)
        self.security = LiveSecurityControls(self.control_plane, self.notes, self.permission)

    def __enter__(self) -> Self:
        """Hold the system, and undo first of all what a run that was killed left behind.

        Raises:
            LiveError: another run is changing the system; or something was left, and it may not be undone.
        """
        try:
            if self.permission.allowed:
                self._open.enter_context(undoing_when_interrupted(self.permission.say))
            self.notes.hold(alone=self.permission.allowed, wait_s=self._wait_s)
            self._undo_what_was_left()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._undo_notes()
        except LiveError:
            raise
        except BaseException:
            # The first signal came as an undo began or had ended; there is no second.
            self._undo_notes()
            raise
        finally:
            self._open.close()

    @property
    def history(self) -> DeliveredHistory:
        """The history of deployments made from here; it exists on the disk only where changes are allowed."""
        if self._history is None:
            path = self._history_path
            path.parent.mkdir(parents=True, exist_ok=True)
            self._history = self._open.enter_context(DeliveredHistory(path, self.control_plane))
        return self._history

    @property
    def reconciled(self) -> frozenset[str]:
        """The requests that were reconciled from here so far, however that ended."""
        return frozenset(self._requests)

    def inspect(self, request_id: str, *, image_digest: str | None = None) -> ReconcileSummary:
        """Return what a reconcile would find, without deploying anything.

        A reconcile that was cut off is undone first, where changes are allowed.

        Raises:
            ReconcileRefused: the id or digest cannot be used; nothing was asked.
            LiveError: the control plane could not be asked.
        """
        check_order(request_id, image_digest)
        self.recover()
        return inspect(
            self.control_plane,
            self.gateway,
            self.probes,
            request_id=request_id,
            targets=live_targets(self._gateway_access),
            clock=self._clock,
            witness=self.journal,
            image_digest=image_digest,
        )

    def probed_price_msats(self, request_id: str = "") -> int | None:
        """Return what the control plane wants for the resource that is probed, None when it sells nothing.

        Raises:
            LiveError: the paywalls cannot be read or compiled, or none is for sale there.
        """
        compilation = compile_paywalls(tuple(self.control_plane.paywalls(request_id=request_id)))
        targets = live_targets(self._gateway_access)(compilation)
        return targets[0].price_msats if targets else None

    def reconcile(
        self, request_id: str, *, image_digest: str | None = None, keep: bool = True
    ) -> ReconcileSummary:
        """Deploy what the control plane says, and roll back what does not pass; return how that ended.

        The probes are taken before anything is changed: what no deployment could pass is refused, and a
        rollback is not held to those that what runs does not pass either. A deployment that passes stays: it
        is what was asked for. One that does not, or that is interrupted, is undone. The same request again
        returns the recorded outcome. Without `keep`, as in a rehearsal, what ran before runs again at the end
        of the with block.

        Raises:
            ChangeRefused: changes are not allowed; nothing was sent.
            ReconcileRefused: the id or digest cannot be used, or the id was used for something else.
            ReconcileBusy: another reconcile is under way.
            LiveError: a system could not be asked before the gateway was touched; the health path is none,
                there is no proof to present, or nothing is sold where it is probed; or how it ended could not
                be written to the control plane: the next run delivers it.
        """
        self.permission.require(self.gateway.where, "a deploy")
        check_order(request_id, image_digest)
        self._announce_reconcile(request_id, keep=keep)
        self._requests.add(request_id)
        self.history.deliver()
        if not keep:
            self._restorer.begin(request_id)
        reconciler = self._reconciler()
        try:
            summary = reconciler.reconcile(request_id, image_digest=image_digest)
        except BaseException as error:
            # Begun, but the control plane did not take it, or a signal came while it was told: it goes no
            # further, and is closed here already.
            if isinstance(error, LiveError) or not isinstance(error, Exception):
                with suppress(Exception):
                    reconciler.recover()
            raise
        self._deliver(summary)
        return summary

    def run_security_drill(self, request_id: str = "smoke:security") -> SecurityDrill:
        """Drill the security controls of the deployed platform, and leave them as they were found.

        Raises:
            ChangeRefused: changes are not allowed; nothing was sent that changes anything.
            SecurityDrillRefused: a switch is on that the drill would have to switch.
            SecurityDrillResidue: something could not be undone.
            LiveError: the control plane could not be asked.
        """
        self.permission.require(self.control_plane.where, "a drill of its security controls")
        self.recover()
        return run_security_drill(self.security, request_id=request_id)

    def tables(self) -> dict[str, list[Row]]:
        """Return the evidence that this run has left so far: what was seen, deployed and written down."""
        found = {name: list(self.journal.rows(name)) for name in self.journal.table_names()}
        if self._requests:
            for name in EVIDENCE_TABLES:
                rows = self.history.rows(name)
                found[name] = [row for row in rows if row["requestId"] in self._requests]
        return found

    def recover(self) -> tuple[ReconcileSummary, ...]:
        """Finish or undo every reconcile that was cut off, and return how each of them ended.

        Raises:
            ChangeRefused: there is one, and changes are not allowed.
            LiveError: a system could not be asked.
            ReconcileBusy: a reconcile is under way.
        """
        left = self._cut_off()
        if left or (self._history_path.exists() and self.history.undelivered()):
            self._announce_reconcile(", ".join(left) or "of an earlier run")
            ended = self._reconciler().recover()
            self.history.deliver()
            return ended
        return ()

    def _cut_off(self) -> tuple[str, ...]:
        if not self._history_path.exists():
            return ()
        return tuple(intent.request_id for intent in self.history.open_intents())

    @property
    def _history_path(self) -> Path:
        return self._folder / _folder_of(self._gateway_access.base_url) / HISTORY_NAME

    def _reconciler(self) -> Reconciler:
        self._lock_path.parent.mkdir(parents=True, exist_ok=True)
        return Reconciler(
            source=self.control_plane,
            gateway=self.gateway,
            probes=self.probes,
            ledger=self.history,
            clock=self._clock,
            lock=ReconcileLock(self._lock_path),
            wait_s=self._wait_s,
            witness=self.journal,
            targets=live_targets(self._gateway_access),
            baseline=Baseline(self._gateway_access, self.gateway, self.probes),
            failpoint=self._failpoint,
        )

    def _announce_reconcile(self, request_id: str, *, keep: bool = True) -> None:
        end = "undone if it does not pass" if keep else "what runs now runs again afterwards"
        self.permission.announce(
            self.gateway.url,
            self.gateway.where,
            f"reconcile {request_id}: deploy what the control plane says; {end}",
        )
        self.permission.announce(
            self.control_plane.url, self.control_plane.where, "write the deployment and its events down"
        )

    def _deliver(self, summary: ReconcileSummary) -> None:
        try:
            self.history.deliver()
        except LiveError as error:
            raise LiveError(
                self.control_plane.where,
                code="history_not_delivered",
                expected=f"to write down that {summary.deployment_id} is {summary.deployment_status.value}",
                seen=str(error),
                remedy="run the same request again: it delivers what is missing",
            ) from None

    def _undo_what_was_left(self) -> None:
        left = self.notes.underway
        if not self.permission.allowed:
            cut_off = self._cut_off()
            if left or cut_off:
                names = (*(change.what for change in left), *(f"reconcile {name}" for name in cut_off))
                raise LiveError(
                    self.control_plane.where,
                    code="leftovers",
                    expected="nothing left behind by an earlier run",
                    seen=f"{', '.join(names)}, cut off before it was undone",
                    remedy="run again with --allow-live-changes, which undoes it first of all",
                )
            return
        for change in reversed(left):
            system = self.gateway if change.kind is ChangeKind.DEPLOYMENT else self.control_plane
            self.permission.announce(
                system.url, change.where, f"undo what an earlier run left: {change.what}"
            )
        self._undo_notes()

    def _undo_notes(self) -> None:
        try:
            with Undo() as undo:
                for change in self.notes.underway:
                    part = self._restorer if change.kind is ChangeKind.DEPLOYMENT else self.security
                    undo.add(change.what, partial(part.undo, change))
        except NotUndone as error:
            raise LiveError(
                self.control_plane.where,
                code="not_undone",
                expected="every change to be undone",
                seen=f"{', '.join(error.left)} left behind ({error.__cause__})",
                remedy=f"run again, or undo it by hand now; {self.notes.path} keeps word of it",
            ) from error


def open_live_system(
    environ: Mapping[str, str],
    *,
    folder: Path,
    allow_changes: bool = False,
    form: ControlPlaneForm | None = None,
    announce: Announce = say_on_stderr,
    wait_s: float = 0.0,
    bounds: Bounds | None = None,
) -> LiveSystem:
    """Return the deployed system that the environment names; nothing is asked before its with block.

    Raises:
        EnvironmentVariableError: naming every variable that is missing, blank or unusable.
    """
    problems, control, gateway = [], None, None
    try:
        control = control_plane_access(environ, form)
    except ValueError as error:
        problems.append(str(error))
    try:
        gateway = gateway_access(environ)
    except ValueError as error:
        problems.append(str(error))
    if control is None or gateway is None:
        raise EnvironmentVariableError(" | ".join(problems))
    return LiveSystem(
        control,
        gateway,
        folder=folder,
        allow_changes=allow_changes,
        announce=announce,
        wait_s=wait_s,
        bounds=bounds,
    )


def _folder_of(url: str) -> str:
    parts = urlsplit(url)
    # Two systems never share a folder, whatever the characters of their names become.
    return f"{plain_folder_name(parts.netloc + parts.path)}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"
