"""Live runs that are interrupted or killed, wherever they are: the next run leaves no unfinished business."""

import json
import os
import signal
from itertools import product
from pathlib import Path

import pytest
from relay import Relay, When
from served_platform import START_S, Platform, run_client, started_client
from tiers import sampled

from pytest_l402.contract import DeploymentStatus
from pytest_l402.live import ChangeKind, LiveError, LiveSystem
from pytest_l402.ops.reconcile.steps import Failpoint

SIGNALS = ("SIGINT", "SIGTERM", "SIGKILL")
TIMES: tuple[When, ...] = ("before", "after")
ON_THE_WAY_BACK = (Failpoint.UNDO_WRITTEN, Failpoint.UNDONE, Failpoint.UNDO_VERIFIED)
BEFORE_THE_INTENT = (Failpoint.STARTED, Failpoint.COMPILED)
FINAL = {DeploymentStatus.APPLIED, DeploymentStatus.FAILED, DeploymentStatus.ROLLED_BACK}
CODES = {"SIGINT": 128 + signal.SIGINT, "SIGTERM": 128 + signal.SIGTERM, "SIGKILL": -signal.SIGKILL}


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One state folder for all tests of the module: each begins with what the one before has left."""
    return tmp_path_factory.mktemp("state")


def active_hash(live: LiveSystem) -> str | None:
    active = live.gateway.active(request_id="look")
    return None if active is None else active.config_hash


def assert_nothing_unfinished(live: LiveSystem, platform: Platform) -> None:
    assert live.history.open_intents() == ()
    assert live.history.undelivered() == 0
    assert live.notes.underway == ()
    latest = {row["deploymentId"]: row["status"] for row in live.history.rows("deployments")}
    assert set(latest.values()) <= FINAL
    told = platform.last_told()
    assert {deployment_id: told[deployment_id] for deployment_id in latest} == latest


def assert_whole(live: LiveSystem, request_id: str, before: str | None) -> None:
    """The gateway runs either what the request has brought it to, or what it ran before."""
    intent = live.history.intent(request_id)
    outcome = None if intent is None else intent.outcome
    applied = outcome is not None and outcome.deployment_status is DeploymentStatus.APPLIED
    assert intent is None or outcome is not None
    assert active_hash(live) == (intent.config_hash if applied and intent is not None else before)
    assert live.probes.health(request_id="look").ok


def with_a_change_to_deploy(platform: Platform, history: Path) -> str | None:
    """Settle what another test has cut off, change a price, and return the hash of what runs."""
    with platform.live(history, allow_changes=True) as live:
        live.recover()
        before = active_hash(live)
    platform.change_price()
    return before


@pytest.mark.parametrize(("failpoint", "name"), sampled([*product(Failpoint, SIGNALS)], 2, "reconciles"))
def test_a_reconcile_that_is_cut_off_anywhere(
    failpoint: Failpoint, name: str, shared: Platform, history: Path
) -> None:
    request_id = f"cut-{failpoint}-{name}"
    before = with_a_change_to_deploy(shared, history)
    if failpoint in ON_THE_WAY_BACK:
        shared.play({"fault": "DeployedUnhealthy", "requestId": request_id})
    cut = run_client(shared, history, "reconcile", request_id, failpoint, name)
    assert cut.returncode == CODES[name], cut.stderr
    assert cut.stdout == ""
    assert "Traceback" not in cut.stderr

    if name != "SIGKILL":
        with shared.live(history) as live:
            # Nothing is left to anybody: a read-only run would refuse to begin otherwise.
            assert_whole(live, request_id, before)
    elif failpoint not in (*BEFORE_THE_INTENT, Failpoint.OUTCOME_WRITTEN):
        with pytest.raises(LiveError, match=f"reconcile {request_id}") as caught, shared.live(history):
            pass
        assert caught.value.code == "leftovers"

    with shared.live(history, allow_changes=True) as live:
        live.recover()
        assert_whole(live, request_id, before)
        assert_nothing_unfinished(live, shared)
        shared.play()
        after = live.reconcile(f"{request_id}-after")
        assert after.ok, after.failure_reason
        assert_nothing_unfinished(live, shared)


@pytest.mark.parametrize(
    "failpoint",
    sampled([Failpoint.PREVIOUS_WRITTEN, Failpoint.APPLIED, Failpoint.PROXY_WRITTEN], 1, "taken up"),
)
def test_the_same_request_takes_a_killed_run_up(
    failpoint: Failpoint, shared: Platform, history: Path
) -> None:
    request_id = f"taken-up-{failpoint}"
    shared.change_price()
    assert run_client(shared, history, "reconcile", request_id, failpoint, "SIGKILL").returncode == -9
    with shared.live(history, allow_changes=True) as live:
        summary = live.reconcile(request_id)
        assert summary.ok, summary.failure_reason
        assert active_hash(live) == summary.config_hash
        assert_nothing_unfinished(live, shared)


@pytest.mark.parametrize(("when", "name"), sampled([*product(TIMES, SIGNALS)], 0, "in flight"))
def test_a_signal_while_the_deploy_is_under_way(
    when: When, name: str, shared: Platform, history: Path
) -> None:
    request_id = f"in-flight-{when}-{name}"
    before = with_a_change_to_deploy(shared, history)
    clients: list[int] = []
    relay = Relay(
        shared.told["gatewayUrl"],
        lambda path, _: path == "/ops/deploy",
        when,
        lambda: os.kill(clients[0], signal.Signals[name]),
    )
    with (
        relay.running(),
        started_client(
            shared, history, "reconcile", request_id, OA_LIGHTNING_OPS_GATEWAY_BASE_URL=relay.url
        ) as client,
    ):
        clients.append(client.pid)
        out, err = client.communicate(timeout=START_S)
        assert (client.returncode, out) == (CODES[name], ""), err
        assert ("/ops/deploy" in relay.passed) == (when == "after")
        # The history is that of the gateway's name, so the next run goes by the same one.
        with shared.live(history, allow_changes=True, OA_LIGHTNING_OPS_GATEWAY_BASE_URL=relay.url) as live:
            if name != "SIGKILL":
                assert live.history.open_intents() == ()
            live.recover()
            assert_whole(live, request_id, before)
            assert_nothing_unfinished(live, shared)


def mutations(functions: list[str]) -> list[str]:
    return [f"{function}-{number}" for number, function in enumerate(functions)]


DRILL = mutations(
    [
        "setOwnerKillSwitch",
        "setGlobalPause",
        "setGlobalPause",
        "setOwnerKillSwitch",
        "rotateCredentialRole",
        "revokeCredentialRole",
        "activateCredentialRole",
    ]
)


# SIGINT takes the way of SIGTERM, as the reconciles above show.
@pytest.mark.parametrize(
    ("step", "when", "name"), sampled([*product(DRILL, TIMES, ("SIGTERM", "SIGKILL"))], 1, "drills")
)
def test_a_drill_that_is_cut_off_at_any_change(
    step: str, when: When, name: str, shared: Platform, history: Path
) -> None:
    control_url = shared.told["controlPlaneUrl"]
    with shared.live(history, allow_changes=True) as live:
        found = live.security.security_state(), _role(live)
    number = int(step.rpartition("-")[2])
    clients: list[int] = []
    seen: list[str] = []

    def wanted(path: str, body: bytes) -> bool:
        if path.endswith("/mutation"):
            seen.append(json.loads(body)["functionName"])
        return path.endswith("/mutation") and len(seen) == number + 1

    relay = Relay(control_url, wanted, when, lambda: os.kill(clients[0], signal.Signals[name]))
    with relay.running():
        environment = {"OA_LIGHTNING_OPS_API_BASE_URL": relay.url}
        with started_client(shared, history, "drill", **environment) as client:
            clients.append(client.pid)
            out, err = client.communicate(timeout=START_S)
        assert (client.returncode, out) == (CODES[name], ""), err
        assert seen[number] == f"lightning/security:{step.rpartition('-')[0]}"
        if name == "SIGKILL":
            with pytest.raises(LiveError) as caught, shared.live(history, **environment):
                pass
            assert caught.value.code == "leftovers"
            said: list[str] = []
            with shared.live(history, allow_changes=True, said=said, **environment):
                assert said
                assert all("undo what an earlier run left" in line for line in said)
        with shared.live(history, **environment) as live:
            assert live.security.security_state() == found[0]
            assert _role(live) in (found[1], ("active", None))
            assert not live.notes.path.exists()


def test_a_second_signal_does_not_cut_the_undo_off(shared: Platform, history: Path) -> None:
    before = with_a_change_to_deploy(shared, history)
    clients: list[int] = []
    # The first signal comes as the deploy has taken effect, the second while it is being undone.
    undoing = Relay(
        shared.told["gatewayUrl"],
        lambda path, _: path == "/ops/rollback",
        "after",
        lambda: os.kill(clients[0], signal.SIGTERM),
    )
    with undoing.running():
        with started_client(
            shared,
            history,
            *("reconcile", "twice", Failpoint.APPLIED, "SIGINT"),
            OA_LIGHTNING_OPS_GATEWAY_BASE_URL=undoing.url,
        ) as client:
            clients.append(client.pid)
            _, err = client.communicate(timeout=START_S)
        assert client.returncode == CODES["SIGINT"], err
        assert "already ending" in err
        with shared.live(history, OA_LIGHTNING_OPS_GATEWAY_BASE_URL=undoing.url) as live:
            assert_whole(live, "twice", before)


def test_what_a_rehearsal_deployed_is_replaced_by_what_ran_before(platform: Platform, state: Path) -> None:
    with platform.live(state, allow_changes=True) as live:
        before = active_hash(live)
        summary = live.reconcile("rehearsed", keep=False)
        assert summary.ok
        assert active_hash(live) == summary.config_hash != before
        assert [change.kind for change in live.notes.underway] == [ChangeKind.DEPLOYMENT]
    with platform.live(state) as live:
        assert active_hash(live) == before
        assert not live.notes.path.exists()


def test_what_somebody_else_deployed_meanwhile_stays(platform: Platform, state: Path, tmp_path: Path) -> None:
    with platform.live(state, allow_changes=True) as live:
        live.reconcile("rehearsed", keep=False)
        platform.change_price()
        with platform.live(tmp_path / "other", allow_changes=True) as other:
            theirs = other.reconcile("theirs")
    with platform.live(state) as live:
        assert active_hash(live) == theirs.config_hash


def test_two_runs_that_change_the_same_system_do_not_interleave(platform: Platform, state: Path) -> None:
    with (
        platform.live(state, allow_changes=True),
        pytest.raises(LiveError, match="one at work") as caught,
        platform.live(state, allow_changes=True),
    ):
        pass
    assert caught.value.code == "busy"
    with platform.live(state), platform.live(state):
        pass


def _role(live: LiveSystem) -> tuple[str, str | None] | None:
    states = [(item.status.value, item.fingerprint) for item in live.security.credential_roles.states()]
    return states[0] if states else None
