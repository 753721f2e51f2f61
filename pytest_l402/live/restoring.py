"""Decides that a deployment which was made for a rehearsal is replaced by what ran before it."""

from __future__ import annotations

from collections.abc import Callable

from pytest_l402.live.change_notes import Change, ChangeKind, ChangeNotes
from pytest_l402.live.gateway_ops import LiveGatewayOps
from pytest_l402.live.live_error import LiveError
from pytest_l402.ops.reconcile.ledger import DeploymentHistory
from pytest_l402.ops.reconcile.ports import ActiveDeployment, GatewayOpsError


class DeploymentRestorer:
    """Keeps in mind what a gateway ran before a rehearsal, and lets it run that again."""

    def __init__(
        self, gateway: LiveGatewayOps, notes: ChangeNotes, history: Callable[[], DeploymentHistory]
    ) -> None:
        self._gateway = gateway
        self._notes = notes
        self._history = history

    def begin(self, request_id: str) -> None:
        """Write down what the gateway runs, before a deploy for `request_id`; once is enough for a run.

        Raises:
            LiveError: the gateway does not say what it runs, so that it could not be brought back to it.
        """
        if any(change.kind is ChangeKind.DEPLOYMENT for change in self._notes.underway):
            return
        try:
            active = self._gateway.active(request_id=request_id)
        except GatewayOpsError as error:
            raise LiveError(
                self._gateway.where,
                code="active_lookup_failed",
                expected="what the gateway runs, to be brought back after the rehearsal",
                seen=error.reason,
                remedy="nothing was deployed; check the gateway's operations API and its token",
            ) from None
        self._notes.begin(
            Change(
                kind=ChangeKind.DEPLOYMENT,
                where=self._gateway.where,
                what=f"deploy for the rehearsal {request_id}",
                subject=request_id,
                found=None if active is None else active.to_row(),
            )
        )

    def undo(self, change: Change) -> None:
        """Let the gateway run what it ran before, unless somebody else has deployed meanwhile.

        Raises:
            LiveError: it does not; the note stays.
        """
        if change.where != self._gateway.where:
            raise LiveError(
                self._gateway.where,
                code="leftovers",
                expected=f"{change.where}, where an earlier run left {change.what}",
                seen="another gateway in the environment",
                remedy="run against that gateway first, which brings it back",
            )
        request_id = str(change.subject)
        found = None if change.found is None else ActiveDeployment.decode(change.found)
        try:
            active = self._gateway.active(request_id=request_id)
            if active is not None and not _runs(active, found) and self._is_ours(active):
                if found is None:
                    self._gateway.withdraw(request_id=request_id, deployment_id=active.deployment_id)
                else:
                    self._gateway.rollback(
                        request_id=request_id, deployment_id=active.deployment_id, target=found
                    )
                active = self._gateway.active(request_id=request_id)
                if not _runs(active, found):
                    raise GatewayOpsError("still_deployed")
        except GatewayOpsError as error:
            raise LiveError(
                self._gateway.where,
                code="not_undone",
                expected=f"{'nothing' if found is None else found.config_hash} to run again",
                seen=error.reason,
                remedy=f"roll back by hand now; {self._notes.path} keeps word of it",
            ) from error
        self._notes.end(change.kind, change.subject)

    def _is_ours(self, active: ActiveDeployment) -> bool:
        return self._history().targets_of(active.config_hash) is not None


def _runs(active: ActiveDeployment | None, found: ActiveDeployment | None) -> bool:
    """Whether the gateway runs what was found, under the same image; its id differs after an undo."""
    if active is None or found is None:
        return active is found
    same_image = found.image_digest in (None, active.image_digest)
    return same_image and active.config_hash == found.config_hash
