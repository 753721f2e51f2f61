"""A reconcile that is killed at any step is finished or undone by the next run, and leaves one outcome."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from reconcile_world import AFTER, BEFORE, NEW, active_hash, reconcile, sells, statuses
from tiers import sampled

from pytest_l402.ops.reconcile.steps import Failpoint
from pytest_l402.stack import Stack

FORWARD = tuple(point for point in Failpoint if not point.value.startswith("und"))
BACKWARD = (*(point for point in Failpoint if point.value.startswith("und")), Failpoint.OUTCOME_WRITTEN)
NOTHING_WRITTEN = (Failpoint.STARTED, Failpoint.COMPILED)
DECIDED = (Failpoint.PROXY_WRITTEN, Failpoint.OUTCOME_WRITTEN)

STEPS = {
    Failpoint.PENDING_WRITTEN: "active_lookup_failed",
    Failpoint.PREVIOUS_FOUND: "active_lookup_failed",
    Failpoint.PREVIOUS_WRITTEN: "deploy_apply_failed",
    Failpoint.APPLIED: "deploy_apply_failed",
    Failpoint.APPLY_WRITTEN: "health_check_failed",
    Failpoint.HEALTH_WRITTEN: "challenge_check_failed",
    Failpoint.CHALLENGE_WRITTEN: "proxy_check_failed",
    Failpoint.PROXY_PROBED: "proxy_check_failed",
}
"""After which code an undone run is named that was killed there."""


@dataclass(frozen=True)
class Victim:
    point: Failpoint
    code: str
    deployed: bool
    then: str

    def __str__(self) -> str:
        return "-".join(
            [self.code or "good", "redeploy" if self.deployed else "first", self.point.value, self.then]
        )


VICTIMS = [
    Victim(point, code, deployed, then)
    for deployed in (True, False)
    for code, points in (("", FORWARD), ("challenge_check_failed", BACKWARD))
    for point in points
    for then in (("recover", "same", "other") if deployed else ("recover",))
]


@pytest.fixture(scope="module")
def executioner() -> Iterator[subprocess.Popen[str]]:
    """A process that forks one victim for each line that it is told."""
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("reconcile_victims.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process


@pytest.fixture
def grave(victim: Victim, executioner: subprocess.Popen[str], tmp_path: Path) -> Path:
    """The folder that the victim left."""
    job = {
        "folder": str(tmp_path),
        "failpoint": victim.point.value,
        "code": victim.code,
        "deployed": victim.deployed,
    }
    assert executioner.stdin is not None
    assert executioner.stdout is not None
    executioner.stdin.write(json.dumps(job) + "\n")
    executioner.stdin.flush()
    assert executioner.stdout.readline().strip() == str(int(signal.SIGKILL))
    return tmp_path


@pytest.fixture
def found(grave: Path) -> Iterator[Stack]:
    """A new process's stack over what the victim left: same control plane, same disk."""
    with Stack(8, ops_folder=grave) as stack, stack.online():
        stack.control_plane.create_paywall(NEW)
        yield stack


@pytest.mark.parametrize("victim", sampled(VICTIMS, 5, "killed reconciles"), ids=str)
def test_the_next_run_leaves_a_whole_state(found: Stack, victim: Victim) -> None:
    stack, history = found, found.ops.deployments
    written = victim.point not in NOTHING_WRITTEN
    before = statuses(stack, "before")
    assert before == (["pending", "applied"] if victim.deployed else [])
    open_before = [intent.request_id for intent in history.open_intents()]
    assert open_before == (["cut"] if written and victim.point is not Failpoint.OUTCOME_WRITTEN else [])
    previous = next(
        (row["configHash"] for row in history.rows("deployments") if row["requestId"] == "before"), None
    )

    if victim.then == "recover":
        ended = stack.reconciler().recover()
        assert [summary.request_id for summary in ended] == open_before
    else:
        last = reconcile(stack, "cut" if victim.then == "same" else "next")
        # The fault died with its process: what is deployed anew is good.
        was_decided_bad = victim.code and victim.then == "same"
        assert last.ok == (not was_decided_bad)

    assert history.open_intents() == ()
    outcome = history.intent("cut")
    if not written and victim.then != "same":
        assert outcome is None
        assert statuses(stack, "cut") == []
    else:
        assert outcome is not None
        assert outcome.outcome is not None
        assert statuses(stack, "cut") == ["pending", outcome.outcome.deployment_status.value]
        is_applied = not victim.code and (victim.point in DECIDED or victim.then == "same")
        assert outcome.outcome.ok == is_applied
        if not is_applied:
            assert outcome.outcome.failure_code is not None
            assert outcome.outcome.failure_code != "rollback_failed"

    deployed = outcome is not None and outcome.outcome is not None and outcome.outcome.ok
    if victim.then == "other" or deployed:
        assert sells(stack) == AFTER
        assert active_hash(stack) not in (None, previous)
    else:
        assert sells(stack) == BEFORE
        assert active_hash(stack) == previous
    assert len({row["eventId"] for row in history.rows("gateway_events")}) == len(
        history.rows("gateway_events")
    )


@pytest.mark.parametrize(
    ("victim", "code"),
    sampled([(Victim(point, "", True, "recover"), code) for point, code in STEPS.items()], 3, "undone runs"),
    ids=str,
)
def test_a_run_that_is_undone_is_named_after_the_step_it_was_in(
    grave: Path, victim: Victim, code: str
) -> None:
    with Stack(9, ops_folder=grave) as stack, stack.online():
        stack.reconciler().recover()
        intent = stack.ops.deployments.intent("cut")
        assert intent is not None
        assert intent.outcome is not None
        assert (intent.outcome.failure_code, intent.outcome.failure_reason) == (code, "interrupted")
