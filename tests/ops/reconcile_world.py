"""A stack to reconcile, with and without a deployment before, and what can be seen of it from outside."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pytest_l402.ops.reconcile.steps import Failpoint
from pytest_l402.ops.reconcile.summary import ReconcileSummary
from pytest_l402.stack import Fault, Stack
from pytest_l402.stack.control.paywalls import Paywall
from pytest_l402.stack.faults import (
    ActiveLookupFailure,
    DeployedChallengeWrong,
    DeployedUnhealthy,
    DeployedUpstreamUnreachable,
    DeployFailure,
    PaywallNotCompilable,
    RollbackFailure,
)

NEW = Paywall("pw_new", "owner_new", "route_new", "new", "/new", 5_000)

PROVOKED_BY: dict[str, tuple[Fault, ...]] = {
    "compile_validation_failed": (PaywallNotCompilable(),),
    "active_lookup_failed": (ActiveLookupFailure(),),
    "deploy_apply_failed": (DeployFailure(),),
    "health_check_failed": (DeployedUnhealthy(),),
    "challenge_check_failed": (DeployedChallengeWrong(),),
    "proxy_check_failed": (DeployedUpstreamUnreachable(),),
    "rollback_failed": (DeployedChallengeWrong(), RollbackFailure()),
}


def reconcile(
    stack: Stack,
    request_id: str,
    *faults: Fault,
    failpoint: Callable[[Failpoint], None] = lambda _: None,
    **more: Any,
) -> ReconcileSummary:
    """Run one reconcile with faults that are meant for it alone."""
    with ExitStack() as injected:
        for fault in faults:
            injected.enter_context(stack.faults.inject(fault, request_id))
        return stack.reconciler(failpoint=failpoint).reconcile(request_id, **more)


def active_hash(stack: Stack) -> str | None:
    active = stack.ops.deployer.active(request_id="test")
    return None if active is None else active.config_hash


def sells(stack: Stack) -> dict[str, int]:
    """What is asked for without a credential: path and price in msats, 0 when it is delivered."""
    found = {}
    for path in ("/premium", "/premium-expensive", "/new"):
        answer = stack.client.get(path, headers={"x-oa-request-id": "test-sells"})
        if answer.status_code == 402:
            rows = [row for row in stack.journal.rows("exchanges") if row["path"] == path]
            found[path] = rows[-1]["quotedMsats"]
        elif answer.is_success:
            found[path] = 0
    return found


BEFORE = {"/premium": 21_000, "/premium-expensive": 250_000}
AFTER = {**BEFORE, "/new": 5_000}


def statuses(stack: Stack, request_id: str) -> list[str]:
    return [
        row["status"] for row in stack.ops.deployments.rows("deployments") if row["requestId"] == request_id
    ]


def events(stack: Stack, request_id: str) -> list[str]:
    return [
        row["eventType"].removeprefix("gateway_reconcile_")
        for row in stack.ops.deployments.rows("gateway_events")
        if row["requestId"] == request_id
    ]


def prepared(folder: Path | None = None, *, deployed: bool = True) -> Stack:
    """Return a stack with one more paywall than was deployed; enter it and `online()` first to deploy."""
    stack = Stack(7, ops_folder=folder)
    if deployed:
        with stack.online():
            assert reconcile(stack, "before").ok
    stack.control_plane.create_paywall(NEW)
    return stack
