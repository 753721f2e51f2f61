"""The driver against a gateway of its own making: what it asks of its ports, and whom it does not trust."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from pytest_l402.ops.compile.compilation import compile_paywalls
from pytest_l402.ops.compile.paywall import PaywallDefinition, PaywallStatus, Policy, Route
from pytest_l402.ops.reconcile.ledger import DeploymentHistory
from pytest_l402.ops.reconcile.ports import (
    ActiveDeployment,
    GatewayOpsError,
    ProbeAnswer,
    ProbeTarget,
    reason_of,
)
from pytest_l402.ops.reconcile.probe_targets import probe_targets
from pytest_l402.ops.reconcile.reconciler import Reconciler
from pytest_l402.ops.reconcile.steps import (
    PROBES,
    STEPS,
    Failpoint,
    FailureCode,
    Stage,
    next_step,
    step_of,
)
from pytest_l402.ops.reconcile.summary import Failure
from pytest_l402.stack import StackClock

IMAGE = "sha256:" + "0" * 64
HOST = "shop.example"


def paywall(name: str, *paths: str, status: PaywallStatus = PaywallStatus.ACTIVE) -> PaywallDefinition:
    routes = tuple(
        Route(f"r{number}", HOST, path, "https://seller.example", "https")
        for number, path in enumerate(paths or (f"/{name}",))
    )
    return PaywallDefinition(name, f"owner_{name}", name, Policy(2_000), routes, status)


@dataclass
class World:
    """Paywalls, gateway and probes at once; `broken` names what fails, `calls` what was asked in order."""

    state: list[PaywallDefinition] = field(default_factory=lambda: [paywall("a")])
    running: ActiveDeployment | None = None
    digest: str | None = IMAGE
    reports: str | None = None
    broken: dict[str, Exception | ProbeAnswer] = field(default_factory=dict)
    calls: list[tuple[object, ...]] = field(default_factory=list)
    ledger: DeploymentHistory = field(default_factory=DeploymentHistory)

    def __del__(self) -> None:
        self.ledger.close()

    def paywalls(self, *, request_id: str) -> Sequence[PaywallDefinition]:
        self._call("paywalls")
        return list(self.state)

    def active(self, *, request_id: str) -> ActiveDeployment | None:
        self._call("active")
        return self.running

    def apply(self, *, request_id, deployment_id, config_hash, aperture_yaml, image_digest):  # type: ignore[no-untyped-def]
        self._call("apply", image_digest)
        self.running = ActiveDeployment(
            deployment_id=deployment_id, config_hash=self.reports or config_hash, image_digest=self.digest
        )
        return self.running

    def rollback(self, *, request_id, deployment_id, target):  # type: ignore[no-untyped-def]
        self._call("rollback", target.config_hash)
        # As the original gateway does: the new id with the old hash.
        self.running = target.model_copy(update={"deployment_id": deployment_id})
        return self.running

    def withdraw(self, *, request_id: str, deployment_id: str) -> None:
        self._call("withdraw")
        self.running = None

    def health(self, *, request_id: str) -> ProbeAnswer:
        return self._probe("health", 200)

    def challenge(self, target: ProbeTarget, *, request_id: str) -> ProbeAnswer:
        return self._probe("challenge", 402, target)

    def proxy(self, target: ProbeTarget, *, request_id: str) -> ProbeAnswer:
        return self._probe("proxy", 200, target)

    def names(self) -> list[object]:
        return [call[0] for call in self.calls]

    def reconciler(self, failpoint=lambda point: None, baseline=None) -> Reconciler:  # type: ignore[no-untyped-def]
        return Reconciler(
            source=self,
            gateway=self,
            probes=self,
            ledger=self.ledger,
            clock=StackClock(),
            baseline=baseline,
            failpoint=failpoint,
        )

    def _call(self, name: str, *more: object) -> None:
        self.calls.append((name, *more))
        trouble = self.broken.get(name)
        if isinstance(trouble, Exception):
            raise trouble

    def _probe(self, name: str, status: int, target: ProbeTarget | None = None) -> ProbeAnswer:
        self._call(name, target)
        trouble = self.broken.get(name)
        return trouble if isinstance(trouble, ProbeAnswer) else ProbeAnswer(None, status)


def cut_at(point: Failpoint):  # type: ignore[no-untyped-def]
    class Killed(BaseException):
        """Nothing may run after it: as if the process were gone."""

    def cut(reached: Failpoint) -> None:
        if reached is point:
            raise Killed

    return cut, Killed


def killed(world: World, request_id: str, point: Failpoint, baseline=None) -> None:  # type: ignore[no-untyped-def]
    """Leave what a run that was killed at this point leaves: no hand to undo anything."""
    cut, kind = cut_at(point)
    reconciler = world.reconciler(cut, baseline)
    reconciler._settle = lambda intent: (_ for _ in ()).throw(RuntimeError("dead"))  # type: ignore[method-assign]
    with pytest.raises(kind):
        reconciler.reconcile(request_id)


def test_the_steps_are_taken_in_order_and_each_once() -> None:
    world = World()
    assert world.reconciler().reconcile("go", image_digest=IMAGE).ok
    assert world.names() == ["paywalls", "active", "apply", "health", "challenge", "proxy"]
    assert ("apply", IMAGE) in world.calls


def test_every_failure_of_the_runbook_belongs_to_one_step() -> None:
    codes = [step.code for step in STEPS]
    assert [*codes, FailureCode.ROLLBACK_FAILED] == list(FailureCode)
    assert [step.stage for step in STEPS] == [stage for stage in Stage if stage is not Stage.ROLLBACK]
    assert next_step(()) == STEPS[0]
    assert next_step([step.stage for step in STEPS]) is None
    assert step_of(Stage.PROXY).may_have_changed
    with pytest.raises(KeyError):
        step_of(Stage.ROLLBACK)


@pytest.mark.parametrize("call", ["active", "apply", "health", "challenge", "proxy"])
@pytest.mark.parametrize("error", [GatewayOpsError("status_502"), TypeError("surprise"), TimeoutError()])
def test_whatever_a_port_raises_is_the_failure_of_its_stage(call: str, error: Exception) -> None:
    world = World(broken={call: error})
    summary = world.reconciler().reconcile("bad")
    if call == "challenge":
        # Whether the route is still open can then not be asked either.
        assert summary.failure_code == "rollback_failed"
        assert summary.original_failure_code == "challenge_check_failed"
    else:
        assert summary.failure_stage == ("active_lookup" if call == "active" else call)
    assert summary.failure_reason == reason_of(error)
    assert ("withdraw" in world.names()) == (call != "active")


def test_a_reason_is_one_line_without_secrets() -> None:
    assert reason_of(GatewayOpsError("status_500")) == "status_500"
    told = reason_of(ValueError("Authorization: Bearer abcdefgh12345678\nsecond line"))
    assert "abcdefgh" not in told
    assert "\n" not in told


@pytest.mark.parametrize("digest", [None, "latest", "sha256:" + "0" * 32])
def test_a_gateway_that_does_not_say_a_pinned_image_is_not_deployed_to(digest: str | None) -> None:
    world = World(digest=digest)
    summary = world.reconciler().reconcile("bad")
    assert summary.failure_code == "deploy_apply_failed"
    assert str(summary.failure_reason).startswith("image_digest_not_pinned")
    assert world.running is None


def test_a_gateway_under_another_image_or_file_than_ordered_is_rolled_back() -> None:
    world = World()
    assert world.reconciler().reconcile("go").ok
    world.state.append(paywall("b"))
    other = "sha256:" + "1" * 64
    summary = world.reconciler().reconcile("bad", image_digest=other)
    assert summary.failure_reason == f"image_digest_not_as_ordered: {IMAGE}"
    world.reports = "cfg_other"
    summary = world.reconciler().reconcile("worse")
    assert summary.failure_reason == "config_hash_cfg_other_not_as_ordered"


def test_a_rollback_goes_to_what_ran_and_is_probed_at_its_own_routes_and_prices() -> None:
    world = World()
    first = world.reconciler().reconcile("go")
    world.state = [paywall("b")]
    world.calls.clear()
    world.broken["proxy"] = ProbeAnswer("proxy_status_502", 502)

    original = world.rollback

    def rollback(**order):  # type: ignore[no-untyped-def]
        del world.broken["proxy"]
        return original(**order)

    world.rollback = rollback  # type: ignore[method-assign]
    summary = world.reconciler().reconcile("bad")
    assert summary.deployment_status == "rolled_back"
    assert summary.rolled_back_from == first.config_hash
    at = world.names().index("rollback")
    assert [call[0] for call in world.calls[at:]] == ["rollback", "active", "health", "challenge", "proxy"]
    probed = [call[1] for call in world.calls if call[0] == "proxy"]
    assert [(target.path, target.price_msats) for target in probed] == [("/b", 2_000), ("/a", 2_000)]


@pytest.mark.parametrize("probe", ["health", "challenge", "proxy"])
def test_a_rollback_that_does_not_pass_the_probes_is_none(probe: str) -> None:
    world = World()
    world.reconciler().reconcile("go")
    world.state.append(paywall("b"))
    world.broken[probe] = ProbeAnswer(f"{probe}_status_500", 500)
    summary = world.reconciler().reconcile("bad")
    assert (summary.failure_code, summary.deployment_status) == ("rollback_failed", "failed")
    assert summary.original_failure_code == f"{probe}_check_failed"
    assert str(summary.failure_reason).startswith(f"restored_but_{probe}: {probe}_status_500")


def test_a_gateway_that_lies_about_its_rollback_is_found_out() -> None:
    world = World()
    world.reconciler().reconcile("go")
    world.state.append(paywall("b"))
    world.broken["health"] = ProbeAnswer("health_status_500", 500)

    def rollback(**order):  # type: ignore[no-untyped-def]
        return order["target"]

    world.rollback = rollback  # type: ignore[method-assign]
    summary = world.reconciler().reconcile("bad")
    assert summary.failure_code == "rollback_failed"
    assert str(summary.failure_reason).startswith("active_is_cfg_")


def test_a_gateway_that_lies_about_a_withdrawal_is_found_out() -> None:
    world = World(broken={"health": ProbeAnswer("health_status_500", 500)})
    world.withdraw = lambda **order: None  # type: ignore[method-assign]
    summary = world.reconciler().reconcile("bad")
    assert (summary.failure_code, summary.original_failure_code) == ("rollback_failed", "health_check_failed")
    assert summary.failure_reason == f"active_is_{summary.config_hash}"


def test_what_somebody_else_deployed_is_rolled_back_to_at_any_price() -> None:
    theirs = ActiveDeployment(deployment_id="dep_theirs", config_hash="cfg_theirs", image_digest="old:tag")
    world = World(running=theirs, broken={"health": ProbeAnswer("health_status_500", 500)})

    original = world.rollback

    def rollback(**order):  # type: ignore[no-untyped-def]
        world.broken.clear()
        return original(**order)

    world.rollback = rollback  # type: ignore[method-assign]
    summary = world.reconciler().reconcile("bad")
    assert (summary.deployment_status, summary.rolled_back_from) == ("rolled_back", "cfg_theirs")
    [asked] = [call[1] for call in world.calls if call[0] == "challenge"]
    assert (asked.price_msats, asked.max_msats) == (None, 2_000)


def test_a_state_without_anything_for_sale_is_deployed_and_must_sell_nothing() -> None:
    world = World()
    world.reconciler().reconcile("go")
    world.state = [paywall("a", status=PaywallStatus.PAUSED)]
    world.calls.clear()
    summary = world.reconciler().reconcile("paused")
    assert summary.failure_reason == "still_sold_status_402 at a:r0"
    assert summary.deployment_status == "rolled_back"
    world.broken["challenge"] = ProbeAnswer("challenge_status_404", 404)
    summary = world.reconciler().reconcile("paused-2")
    assert summary.ok
    assert summary.rule_count == 0
    assert world.names().count("proxy") == 1


# Cut off


def test_what_was_deployed_by_hand_since_is_not_touched() -> None:
    world = World()
    world.reconciler().reconcile("go")
    world.state.append(paywall("b"))
    killed(world, "cut", Failpoint.APPLIED)
    by_hand = ActiveDeployment(deployment_id="dep_hand", config_hash="cfg_hand", image_digest=IMAGE)
    world.running = by_hand
    world.calls.clear()
    [summary] = world.reconciler().recover()
    assert world.running == by_hand
    assert world.names() == ["active"]
    assert (summary.deployment_status, summary.failure_code) == ("failed", "deploy_apply_failed")
    row = world.ledger.rows("deployments")[-1]
    assert row["diagnostics"]["metadata"]["rollback"] == {"skipped": "superseded"}


def test_nor_by_the_same_request_again() -> None:
    world = World()
    killed(world, "cut", Failpoint.APPLIED)
    by_hand = ActiveDeployment(deployment_id="dep_hand", config_hash="cfg_hand", image_digest=IMAGE)
    world.running = by_hand
    assert not world.reconciler().reconcile("cut").ok
    assert world.running == by_hand


def test_as_long_as_the_gateway_says_nothing_a_cut_off_run_stays_open_and_blocks_the_next() -> None:
    world = World()
    killed(world, "cut", Failpoint.APPLIED)
    world.broken["active"] = GatewayOpsError("status_503")
    summary = world.reconciler().reconcile("next")
    assert summary.failure_code == "active_lookup_failed"
    assert summary.failure_reason == "unfinished_dep_reconcile_cut"
    assert [intent.request_id for intent in world.ledger.open_intents()] == ["cut"]
    with pytest.raises(GatewayOpsError):
        world.reconciler().reconcile("cut")
    world.broken.clear()
    assert world.reconciler().reconcile("after").ok
    assert world.ledger.open_intents() == ()


@pytest.mark.parametrize("request_id", ["other", "cut"])
def test_paywalls_that_cannot_be_read_still_let_the_run_before_be_undone(request_id: str) -> None:
    world = World()
    killed(world, "cut", Failpoint.APPLIED)
    world.broken["paywalls"] = ConnectionError("down")
    with pytest.raises(ConnectionError):
        world.reconciler().reconcile(request_id)
    assert world.running is None
    assert world.ledger.open_intents() == ()


def test_a_run_taken_up_after_the_paywalls_changed_is_undone_and_refused() -> None:
    world = World()
    killed(world, "cut", Failpoint.APPLIED)
    world.state.append(paywall("b"))
    with pytest.raises(ValueError, match="it ended failed: use another"):
        world.reconciler().reconcile("cut")
    assert world.running is None


def test_probes_that_passed_before_the_cut_count_for_nothing_after_it() -> None:
    world = World()
    killed(world, "cut", Failpoint.CHALLENGE_WRITTEN)
    world.broken["health"] = ProbeAnswer("health_status_500", 500)
    summary = world.reconciler().reconcile("cut")
    assert (summary.health_ok, summary.challenge_ok, summary.proxy_ok) == (False, False, False)
    assert summary.failure_code == "health_check_failed"


def test_what_was_decided_is_not_asked_again() -> None:
    world = World()
    killed(world, "cut", Failpoint.PROXY_WRITTEN)
    world.calls.clear()
    world.broken["health"] = ProbeAnswer("health_status_500", 500)
    [summary] = world.reconciler().recover()
    assert summary.ok
    assert summary.image_digest == IMAGE
    assert world.calls == []


# Targets


def test_one_target_a_rule_where_no_other_rule_answers() -> None:
    compiled = compile_paywalls([paywall("a", "/api/*"), paywall("b", "/api/x"), paywall("c", "/c")])
    assert [(target.rule_id, target.path) for target in probe_targets(compiled)] == [
        ("b:r0", "/api/x"),
        ("c:r0", "/c"),
        ("a:r0", "/api/"),
    ]
    assert len(probe_targets(compiled, limit=1)) == 1


def test_a_path_that_an_earlier_rule_answers_for_is_passed_over() -> None:
    compiled = compile_paywalls([paywall("a", "/api/*"), paywall("b", "/api/")])
    assert [(target.rule_id, target.path) for target in probe_targets(compiled)] == [
        ("b:r0", "/api/"),
        ("a:r0", "/api/l402-probe"),
    ]


def test_rules_of_other_hosts_are_left_out_as_long_as_one_remains() -> None:
    elsewhere = PaywallDefinition(
        "z", "o", "z", Policy(1_000), (Route("r", "other.example", "/z", "https://s.example", "https"),)
    )
    compiled = compile_paywalls([paywall("a"), elsewhere])
    assert [target.rule_id for target in probe_targets(compiled, host=HOST)] == ["a:r0"]
    only = compile_paywalls([elsewhere])
    assert [target.host for target in probe_targets(only, host=HOST)] == ["other.example"]


def test_a_named_path_is_probed_at_the_price_of_its_own_rule() -> None:
    compiled = compile_paywalls([paywall("a", "/api/*"), paywall("b", "/b")])
    [target] = probe_targets(compiled, host=HOST, path="/api/some thing")
    assert (target.rule_id, target.path) == ("a:r0", "/api/some%20thing")
    assert probe_targets(compiled, host=HOST, path="/nowhere") == ()


def test_a_route_that_is_held_closed_is_no_target() -> None:
    compiled = compile_paywalls(
        [paywall("a", "/api/*"), paywall("off", "/api/off", status=PaywallStatus.PAUSED)]
    )
    assert probe_targets(compiled, host=HOST, path="/api/off") == ()
    assert [target.path for target in probe_targets(compiled)] == ["/api/"]


# What was so before


def looked_at(*stages: Stage):  # type: ignore[no-untyped-def]
    """A look before the deployment that finds these probes failing."""
    found = tuple(Failure.at(stage, f"{stage.value}_status_503") for stage in stages)
    return lambda targets, request_id: found


@pytest.mark.parametrize("probe", ["health", "challenge", "proxy"])
def test_a_rollback_is_not_held_to_what_did_not_pass_before_either(probe: str) -> None:
    world = World()
    first = world.reconciler().reconcile("go")
    world.state.append(paywall("b"))
    world.broken[probe] = ProbeAnswer(f"{probe}_status_503", 503)
    summary = world.reconciler(baseline=looked_at(Stage(probe))).reconcile("bad")
    assert (summary.deployment_status, summary.failure_code) == ("rolled_back", f"{probe}_check_failed")
    assert summary.rolled_back_from == first.config_hash
    told = f"not verifiable: {probe}_status_503 before the deployment, too"
    assert (summary.rollback_unverified, summary.to_json()["rollbackUnverified"]) == (told, told)
    assert summary.original_failure_code is None
    undone = world.ledger.rows("deployments")[-1]["diagnostics"]["metadata"]["rollback"]
    assert undone == {"rolledBackFrom": first.config_hash, "verified": False, "unverified": told}
    assert world.ledger.rows("gateway_events")[-1]["metadata"]["details"]["unverified"] == told


def test_a_rollback_is_held_to_what_passed_before() -> None:
    world = World()
    world.reconciler().reconcile("go")
    world.state.append(paywall("b"))
    world.broken["health"] = ProbeAnswer("health_status_503", 503)
    summary = world.reconciler(baseline=looked_at(Stage.PROXY)).reconcile("bad")
    assert (summary.deployment_status, summary.failure_code) == ("failed", "rollback_failed")
    assert summary.rollback_unverified is None


def test_a_rollback_that_passes_after_all_is_verified() -> None:
    world = World()
    world.reconciler().reconcile("go")
    world.state.append(paywall("b"))
    world.broken["proxy"] = ProbeAnswer("proxy_status_500", 500)
    original = world.rollback

    def rollback(**order):  # type: ignore[no-untyped-def]
        world.broken.clear()
        return original(**order)

    world.rollback = rollback  # type: ignore[method-assign]
    summary = world.reconciler(baseline=looked_at(*PROBES)).reconcile("bad")
    assert (summary.deployment_status, summary.rollback_unverified) == ("rolled_back", None)


def test_what_was_so_before_is_known_to_who_finishes_a_run_that_was_cut_off() -> None:
    world = World()
    world.reconciler().reconcile("go")
    world.state.append(paywall("b"))
    world.broken["health"] = ProbeAnswer("health_status_503", 503)
    killed(world, "cut", Failpoint.APPLIED, baseline=looked_at(Stage.HEALTH))
    [summary] = world.reconciler().recover()
    assert summary.deployment_status == "rolled_back"
    assert str(summary.rollback_unverified).startswith("not verifiable: health_status_503")


def test_what_is_refused_before_the_deployment_leaves_nothing() -> None:
    world = World()

    def refuse(targets, request_id):  # type: ignore[no-untyped-def]
        raise ConnectionError("no proof")

    with pytest.raises(ConnectionError):
        world.reconciler(baseline=refuse).reconcile("never")
    assert set(world.names()) <= {"paywalls"}
    assert world.ledger.rows("deployments") == ()
    assert world.ledger.open_intents() == ()


@pytest.mark.parametrize("asked", ["old:tag", None])
def test_the_image_that_a_rollback_reports_is_kept(asked: str | None) -> None:
    theirs = ActiveDeployment(deployment_id="dep_theirs", config_hash="cfg_theirs", image_digest=asked)
    world = World(running=theirs, broken={"health": ProbeAnswer("health_status_500", 500)})
    original = world.rollback

    def rollback(**order):  # type: ignore[no-untyped-def]
        world.broken.clear()
        return original(**order).model_copy(update={"image_digest": asked or IMAGE})

    world.rollback = rollback  # type: ignore[method-assign]
    summary = world.reconciler().reconcile("bad")
    assert (summary.deployment_status, summary.image_digest) == ("rolled_back", asked or IMAGE)
