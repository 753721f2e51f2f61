"""The stack's gateway sells what a deployed file says, and says what it runs, also after it was killed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pytest_l402.ops.compile.aperture_writer import render_aperture_yaml
from pytest_l402.ops.compile.compilation import compile_paywalls
from pytest_l402.ops.compile.hashes import config_hash
from pytest_l402.ops.compile.paywall import PaywallDefinition, PaywallStatus, Policy, Route
from pytest_l402.ops.compile.rules import service_name
from pytest_l402.ops.reconcile.ports import ActiveDeployment, GatewayOpsError
from pytest_l402.stack import Harness, Service, Stack
from pytest_l402.stack.faults import DeployFailure
from pytest_l402.stack.gateway.aperture_reader import (
    FIELDS_OF_A_SERVICE_NOT_HERE,
    FIELDS_OF_THE_FILE_NOT_HERE,
    ApertureConfigError,
    load_services,
    paywall_and_route,
)
from pytest_l402.stack.gateway.deployer import STAND_IN_IMAGE, GatewayDeployer, GatewayDisk

HOST = "gateway.l402.test"


class Loaded:
    """A gateway that only remembers what it was told to sell."""

    def __init__(self, *services: Service) -> None:
        self.services = services
        self.health_status = 200

    def load(self, services, *, health_status=200):  # type: ignore[no-untyped-def]
        self.services, self.health_status = tuple(services), health_status


STARTED_WITH = (Service("premium", pathregexp="^/premium$"), Service("status", auth="off"))


def text_for(*names: str, **policy: object) -> str:
    paywalls = [
        PaywallDefinition(
            name,
            f"owner_{name}",
            name,
            Policy(2_000),
            (Route("route", HOST, f"/{name}", "https://s.test", "https"),),
        )
        for name in names
    ]
    return compile_paywalls(paywalls).aperture_yaml


def deployer(gateway: Loaded, folder: Path | None = None) -> GatewayDeployer:
    return GatewayDeployer(
        Harness(), gateway, owner_of=lambda name: f"owner_{name}", disk=GatewayDisk(folder)
    )


def apply(
    deployer: GatewayDeployer, text: str, number: int = 1, digest: str | None = None
) -> ActiveDeployment:
    return deployer.apply(
        request_id=f"r{number}",
        deployment_id=f"dep_{number}",
        config_hash=config_hash(text.encode()),
        aperture_yaml=text,
        image_digest=digest,
    )


def names(gateway: Loaded) -> list[str]:
    return [service.name for service in gateway.services]


def test_a_file_that_is_applied_is_what_is_sold_and_free_services_stay() -> None:
    gateway = Loaded(*STARTED_WITH)
    ops = deployer(gateway)
    assert ops.active(request_id="r") is None
    active = apply(ops, text_for("a", "b"))
    assert active == ops.active(request_id="r")
    assert active.image_digest == STAND_IN_IMAGE
    assert names(gateway) == ["a.route", "b.route", "status"]
    first = gateway.services[0]
    assert (first.paywall_id, first.owner_id, first.route_id) == ("a", "owner_a", "route")
    assert (first.price_msats, first.timeout_s, first.address) == (2_000, 3_600, "s.test")
    assert first.matches(HOST, "/a")
    assert not first.matches(HOST, "/a/b")
    assert not first.matches("other.test", "/a")


def test_a_rollback_brings_back_the_very_services() -> None:
    gateway = Loaded(*STARTED_WITH)
    ops = deployer(gateway)
    first = apply(ops, text_for("a"))
    services = gateway.services
    apply(ops, text_for("b"), 2, "sha256:" + "1" * 64)
    assert ops.rollback(request_id="r2", deployment_id="dep_2", target=first) == first
    assert gateway.services == services
    assert ops.active(request_id="r") == first


def test_a_withdrawal_brings_back_what_the_gateway_was_started_with() -> None:
    gateway = Loaded(*STARTED_WITH)
    ops = deployer(gateway)
    apply(ops, text_for("a"))
    ops.withdraw(request_id="r", deployment_id="dep_1")
    assert gateway.services == STARTED_WITH
    assert ops.active(request_id="r") is None


def test_an_image_stays_until_another_is_ordered() -> None:
    ops = deployer(Loaded())
    other = "sha256:" + "1" * 64
    apply(ops, text_for("a"), digest=other)
    assert apply(ops, text_for("b"), 2).image_digest == other


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ({"config_hash": "cfg_" + "0" * 64}, "config_hash_mismatch"),
        ({"image_digest": "latest"}, "image_digest_not_pinned"),
    ],
)
def test_an_order_that_does_not_fit_changes_nothing(order: dict[str, str], reason: str) -> None:
    gateway = Loaded(*STARTED_WITH)
    ops = deployer(gateway)
    text = text_for("a")
    full = {"config_hash": config_hash(text.encode()), "image_digest": None, **order}
    with pytest.raises(GatewayOpsError) as refused:
        ops.apply(request_id="r", deployment_id="dep", aperture_yaml=text, **full)  # type: ignore[arg-type]
    assert refused.value.reason == reason
    assert gateway.services == STARTED_WITH
    assert ops.active(request_id="r") is None


@pytest.mark.parametrize("target", ["cfg_" + "0" * 64, "../../etc/passwd", "cfg_x"])
def test_there_is_no_way_back_to_a_file_that_never_ran(tmp_path: Path, target: str) -> None:
    gateway = Loaded(*STARTED_WITH)
    ops = deployer(gateway, tmp_path)
    unknown = ActiveDeployment(deployment_id="dep", config_hash=target, image_digest=None)
    with pytest.raises(GatewayOpsError, match="unknown_config"):
        ops.rollback(request_id="r", deployment_id="dep", target=unknown)
    assert gateway.services == STARTED_WITH


def test_a_gateway_that_was_killed_starts_with_what_it_ran(tmp_path: Path) -> None:
    ops = deployer(Loaded(*STARTED_WITH), tmp_path)
    first = apply(ops, text_for("a"))
    second = apply(ops, text_for("b"), 2)
    born_again = Loaded(*STARTED_WITH)
    again = deployer(born_again, tmp_path)
    assert again.active(request_id="r") == second
    assert names(born_again) == ["b.route", "status"]
    again.rollback(request_id="r", deployment_id="dep_2", target=first)
    assert names(born_again) == ["a.route", "status"]
    again.withdraw(request_id="r", deployment_id="dep_2")
    third = Loaded(*STARTED_WITH)
    assert deployer(third, tmp_path).active(request_id="r") is None
    assert third.services == STARTED_WITH


def test_a_fault_hits_the_request_it_is_meant_for() -> None:
    with Stack(1) as stack, stack.faults.inject(DeployFailure(), "r1"):
        with pytest.raises(GatewayOpsError):
            apply(stack.ops.deployer, text_for("a"), 1)
        assert apply(stack.ops.deployer, text_for("a"), 2).deployment_id == "dep_2"


def test_a_prefix_is_put_before_the_path_on_the_way_to_the_seller() -> None:
    route = Route("route", HOST, "/api/*", "http://s.test/v1/api/", "http")
    text = compile_paywalls([PaywallDefinition("a", "o", "a", Policy(1_000), (route,))]).aperture_yaml
    seen = []
    with Stack(1) as stack, stack.online():
        handle = stack.seller_api.handle
        stack.seller_api.handle = lambda request: seen.append(request) or handle(request)  # type: ignore[method-assign]
        apply(stack.ops.deployer, text)
        purchase = stack.executor.buy("/api/x")
    assert purchase.status == "paid"
    assert [(request.scheme, request.host, request.path) for request in seen] == [
        ("http", "s.test", "/v1/api/x")
    ]


def test_a_route_that_is_held_closed_is_answered_401_without_an_invoice() -> None:
    paywalls = [
        PaywallDefinition("a", "o", "a", Policy(1_000), (Route("r", HOST, "/*", "https://s.test", "https"),)),
        PaywallDefinition(
            "off",
            "o",
            "off",
            Policy(1_000),
            (Route("r", HOST, "/off", "https://s.test", "https"),),
            PaywallStatus.PAUSED,
        ),
    ]
    with Stack(1) as stack, stack.online():
        apply(stack.ops.deployer, compile_paywalls(paywalls).aperture_yaml)
        assert stack.client.get("/off").status_code == 401
        assert stack.client.get("/other").status_code == 402
        assert len(stack.settlement_store.rows("invoices")) == 1


# Files


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("services: [", "expected YAML"),
        ("services:\n- name: a\n  name: b\n", "line 3: expected each key once"),
        ("[]", "expected a mapping, saw an array of 0"),
        ("services: {}", "services: expected a list"),
        ("services: []\nlistenaddr: x", 'expected only services, saw "listenaddr"'),
        ("services:\n- 7", "services[0]: expected a mapping, saw 7"),
        ("services:\n- name: a\n  prize: 7", '"prize"'),
        ("services:\n- name: a\n  price: '7'", "services[0].price: expected a number"),
        ("services:\n- name: a\n  price: true", "services[0].price: expected a number"),
        ("services:\n- name: a\n  auth: on", "services[0].auth: expected text"),
        ("services:\n- name: a\n  auth: 'sometimes'", "services[0]: "),
        ("services:\n- name: a\n  price: -1", "services[0]: "),
        (
            "services:\n- name: a\n  pathregexp: '(?=x)'",
            "services[0]: service a pathregexp: expected a regular expression",
        ),
        ("services:\n- name: a\n  rewrite: {prefix: 7}", "services[0].rewrite.prefix: expected text"),
        ("services:\n- name: a\n  rewrite: {path: x}", "services[0].rewrite: expected only prefix"),
        ("services:\n- rewrite: {prefix: /v1?x=1}\n  name: a", "services[0]: service a: a prefix is a path"),
        ("services:\n- rewrite: {prefix: '/v1#f'}\n  name: a", "services[0]: service a: a prefix is a path"),
        ("services:\n- name: a\n  authskipinvoicecreationpaths: x", "expected a list of texts"),
        ("services:\n- {}", "services[0]: "),
        ("!!python/object/apply:os.system [ls]", "expected YAML"),
        ("services: " + "[" * 100_000, "levels of nesting"),
        ("services:\n" + "- " * 1_000, "levels of nesting"),
        (f"services:\n- price: {'9' * 5_000}", "expected YAML"),
        ("services:\n- price: 2026-13-45", "expected YAML"),
        ("services:\n- price: !!timestamp soon", "expected YAML"),
        ("services:\n- price: !!bool perhaps", "expected YAML"),
        ("services:\n- price: !!float ''", "expected YAML"),
        # Not timed: compared each with each, these keys would take a minute.
        (
            "services:\n- " + "".join(f"k{number}: 1\n  " for number in range(40_000)),
            "services[0]: expected only",
        ),
    ],
    ids=lambda text: text[:40],
)
def test_a_file_that_no_gateway_starts_with_is_refused_in_one_line(text: str, named: str) -> None:
    with pytest.raises(ApertureConfigError, match=re.escape(named)) as refused:
        load_services(text, lambda _: None)
    assert "\n" not in str(refused.value)
    gateway = Loaded(*STARTED_WITH)
    ops = deployer(gateway)
    with pytest.raises(GatewayOpsError):
        apply(ops, text)
    assert gateway.services == STARTED_WITH
    assert ops.active(request_id="r") is None


@pytest.mark.parametrize("field", FIELDS_OF_A_SERVICE_NOT_HERE)
def test_a_field_of_a_service_that_only_aperture_has_is_refused_by_name(field: str) -> None:
    with pytest.raises(
        ApertureConfigError, match=f"; {field} is a field that only Aperture itself has"
    ) as told:
        load_services(f"services:\n- name: a\n- name: b\n  {field}: on", lambda _: None)
    assert str(told.value).startswith("aperture.yaml: services[1]: expected only name")


@pytest.mark.parametrize("field", FIELDS_OF_THE_FILE_NOT_HERE)
def test_a_field_of_the_file_that_only_aperture_has_is_refused_by_name(field: str) -> None:
    with pytest.raises(
        ApertureConfigError, match=f"; {field} is a field that only Aperture itself has"
    ) as told:
        load_services(f"{field}: on\nservices: []", lambda _: None)
    assert f'expected only services, saw "{field}"' in str(told.value)


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_service_s_name_gives_its_ids_back(paywall_id: str, route_id: str) -> None:
    name = service_name(paywall_id, route_id)
    assert paywall_and_route(name) == paywall_and_route("closed." + name) == (paywall_id, route_id)


@pytest.mark.parametrize("name", ["premium", "a.b.c", ".a", "a.", ""])
def test_another_name_gives_none(name: str) -> None:
    assert paywall_and_route(name) is None


def test_the_compiler_s_file_comes_back_as_the_services_it_was_made_of() -> None:
    compiled = compile_paywalls(
        [
            PaywallDefinition(
                "a", "owner_a", "a", Policy(3_000), (Route("r", "*", "/a/*", "https://s.test", "https"),)
            ),
            PaywallDefinition(
                "b", "owner_b", "b", Policy(1_000), (Route("r", HOST, "/b", "http://t.test:81", "http"),)
            ),
        ]
    )
    services = load_services(compiled.aperture_yaml, lambda name: f"owner_{name}")
    for rule, service, raw in zip(
        compiled.rules, services, yaml.safe_load(compiled.aperture_yaml)["services"], strict=True
    ):
        assert (service.paywall_id, service.route_id, service.owner_id) == (
            rule.paywall_id,
            rule.route_id,
            rule.owner_id,
        )
        assert service.price_msats == rule.price_sats * 1_000
        assert service.protocol == raw["protocol"]
        for host, path in ((HOST, "/a/x"), (HOST, "/b"), ("x.test:8080", "/a/"), (HOST.upper(), "/b")):
            assert service.matches(host, path) == rule.matches(host, path)
    assert load_services(render_aperture_yaml([]), lambda _: None) == ()
