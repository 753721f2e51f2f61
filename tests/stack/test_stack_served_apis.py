"""The APIs of a deployed platform, as the stack speaks them: what they refuse, and in which words."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_l402.ops.compile.decode_paywalls import decode_paywalls
from pytest_l402.ops.compile.hashes import config_hash as hash_of
from pytest_l402.ops.compile.paywall_json import paywall_json, protobuf_json
from pytest_l402.ops.settlement.smoke import smoke_events
from pytest_l402.stack import Harness, Request, Response, Stack
from pytest_l402.stack.served.control_plane_api import API, ControlPlaneApi
from pytest_l402.stack.served.gateway_api import GatewayOpsApi
from pytest_l402.stack.served.served import ServedStack

SECRET = "the secret of the tests"
READER = "the credential of the reader"
TOKEN = "the token of the tests"


class Worker:
    """Stands for the worker API: answers with the user it was asked by."""

    def handle(self, request: Request) -> Response:
        return Response(200, (), (request.header("x-oa-user-id") or "nobody").encode())


@pytest.fixture
def stack() -> Iterator[Stack]:
    with Stack() as stack:
        yield stack


@pytest.fixture
def api(stack: Stack) -> ControlPlaneApi:
    return ControlPlaneApi(
        Harness(),
        stack.control_plane,
        lambda request_id: stack.ops.source.paywalls(request_id=request_id),
        stack.settlement_store,
        Worker(),
        secret=SECRET,
        settlement_credential=READER,
    )


def call(api: ControlPlaneApi, kind: str, function: Any, **arguments: Any) -> tuple[int, dict[str, Any]]:
    body = {"functionName": function, "args": {"secret": SECRET, **arguments}}
    return posted(api, f"{API}{kind}", body)


def convex(api: ControlPlaneApi, kind: str, function: Any, **arguments: Any) -> tuple[int, dict[str, Any]]:
    body = {"path": function, "format": "convex_encoded_json", "args": [{"secret": SECRET, **arguments}]}
    return posted(api, f"/api/{kind}", body)


def posted(api: Any, path: str, body: Any, *headers: tuple[str, str]) -> tuple[int, dict[str, Any]]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = api.handle(Request("POST", "plane.test", path, headers=headers, body=data))
    return response.status, json.loads(response.body)


@pytest.mark.parametrize("function", ["ingestInvoiceLifecycle", "ingestSettlement"])
def test_the_function_says_what_is_ingested_whatever_its_arguments_call_it(
    stack: Stack, api: ControlPlaneApi, function: str
) -> None:
    invoice = {"invoiceId": "inv_1", "status": "settled"}
    settlement = {
        "settlementId": "set_1",
        "paymentProofType": "lightning_preimage",
        "paymentProofValue": "ab" * 32,
    }
    of_both = {"occurredAtMs": 1, "paywallId": "pw", "ownerId": "owner", "amountMsats": 5}
    other = "settlement" if function == "ingestInvoiceLifecycle" else "invoice_lifecycle"
    arguments = of_both | (invoice if other == "invoice_lifecycle" else settlement)
    body = {
        "functionName": f"lightning/settlements:{function}",
        "args": {"secret": SECRET, "kind": other, **arguments},
    }
    assert posted(api, f"{API}mutation", body)[0] == 422
    assert stack.settlement_store.rows("invoices") == stack.settlement_store.rows("settlements") == ()


def test_the_paywalls_are_those_that_were_asked_for(api: ControlPlaneApi) -> None:
    function = "lightning/ops:listPaywallControlPlaneState"
    status, answer = call(api, "query", function, statuses=["active", "paused"])
    assert (status, answer["ok"]) == (200, True)
    assert [item.paywall_id for item in decode_paywalls(answer)] == [
        "pw_premium",
        "pw_premium_expensive",
        "pw_premium_expiring",
    ]
    assert call(api, "query", function, statuses=["archived"])[1]["paywalls"] == []
    assert call(api, "query", function)[0] == 422
    assert convex(api, "query", function, statuses=["active"])[1]["value"]["ok"] is True


def test_paywalls_survive_both_spellings(stack: Stack) -> None:
    paywalls = tuple(stack.ops.source.paywalls(request_id="r"))
    plain = [paywall_json(item) for item in paywalls]
    assert decode_paywalls(plain) == paywalls
    protobuf = protobuf_json(plain)
    assert '"fixed_amount_msats": "21000"' in json.dumps(protobuf)
    assert '"PAYWALL_STATUS_ACTIVE"' in json.dumps(protobuf)
    assert decode_paywalls(protobuf) == paywalls


@pytest.mark.parametrize(
    ("kind", "function", "arguments", "status", "code"),
    [
        ("query", "lightning/security:setGlobalPause", {"active": True}, 404, "unsupported_function"),
        ("mutation", "lightning/security:getControlPlaneSecurityState", {}, 404, "unsupported_function"),
        ("action", "lightning/security:getControlPlaneSecurityState", {}, 404, "unsupported_function"),
        ("mutation", 7, {}, 404, "unsupported_function"),
        (
            "query",
            "lightning/security:getControlPlaneSecurityState",
            {"secret": "x"},
            401,
            "invalid_ops_secret",
        ),
        (
            "query",
            "lightning/security:getControlPlaneSecurityState",
            {"secret": 1},
            401,
            "invalid_ops_secret",
        ),
        ("mutation", "lightning/security:setGlobalPause", {}, 422, "missing_active"),
        ("mutation", "lightning/security:setGlobalPause", {"active": "yes"}, 422, "missing_active"),
        ("mutation", "lightning/security:setOwnerKillSwitch", {"active": True}, 422, "missing_ownerId"),
        ("mutation", "lightning/security:rotateCredentialRole", {}, 422, "missing_role"),
        (
            "mutation",
            "lightning/security:rotateCredentialRole",
            {"role": "root"},
            422,
            "unknown_credential_role",
        ),
        ("mutation", "lightning/ops:recordGatewayCompileIntent", {}, 422, "missing_configHash"),
        ("mutation", "lightning/ops:recordGatewayDeploymentEvent", {}, 422, "missing_paywallId"),
        ("mutation", "lightning/settlements:ingestSettlement", {}, 422, "invalid_event"),
    ],
)
def test_what_is_refused(
    kind: str, function: Any, arguments: dict[str, Any], status: int, code: str, api: ControlPlaneApi
) -> None:
    answer = call(api, kind, function, **arguments)
    assert (answer[0], answer[1]["error"]["code"]) == (status, code)
    if kind != "action":
        told = convex(api, kind, function, **arguments)
        assert told == (200, {"status": "error", "errorMessage": "forbidden" if status == 401 else code})


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"functionName":"x"}', b'{"args":7}'])
def test_bodies_that_are_none(body: bytes, api: ControlPlaneApi) -> None:
    assert posted(api, f"{API}query", body)[0] in (400, 422)
    assert posted(api, "/api/query", body)[1]["status"] == "error"


def test_a_control_plane_is_not_asked_with_get(api: ControlPlaneApi) -> None:
    assert api.handle(Request("GET", "plane.test", f"{API}query")).status == 405


def test_a_switch_shows_who_threw_it_and_why(api: ControlPlaneApi) -> None:
    state = "lightning/security:getControlPlaneSecurityState"
    assert call(api, "query", state)[1]["global"] == {
        "stateId": "global",
        "globalPause": False,
        "updatedAtMs": 0,
    }
    pause = {"active": True, "reason": "why", "updatedBy": "me"}
    answer = call(api, "mutation", "lightning/security:setGlobalPause", **pause)[1]["global"]
    assert (answer["denyReason"], answer["updatedBy"]) == ("why", "me")
    assert answer["denyReasonCode"] == "global_pause_active"
    assert call(api, "query", state)[1]["global"] == answer
    resumed = call(api, "mutation", "lightning/security:setGlobalPause", active=False)[1]["global"]
    assert "denyReason" not in resumed
    owner = call(api, "mutation", "lightning/security:setOwnerKillSwitch", ownerId="o", active=True)[1]
    assert owner["ownerControl"]["denyReasonCode"] == "owner_kill_switch_active"
    assert owner["ownerControl"]["denyReason"] == "Owner kill switch is active"
    assert [row["ownerId"] for row in call(api, "query", state)[1]["ownerControls"]] == ["o"]


def test_a_deployment_is_replaced_and_an_event_is_added(api: ControlPlaneApi) -> None:
    row = {
        "deploymentId": "d",
        "configHash": "c",
        "status": "pending",
        "metadata": {"a": 1},
        "requestId": "r",
    }
    first = call(api, "mutation", "lightning/ops:recordGatewayCompileIntent", **row)[1]["deployment"]
    assert not {"metadata", "requestId", "secret"} & first.keys()
    row["status"] = "applied"
    second = call(api, "mutation", "lightning/ops:recordGatewayCompileIntent", **row)[1]["deployment"]
    assert second["createdAtMs"] == first["createdAtMs"] < second["updatedAtMs"]
    assert [kept["status"] for kept in api.deployments.values()] == ["applied"]
    event = {"paywallId": "p", "ownerId": "o", "eventType": "e", "level": "info"}
    for _ in range(2):
        call(api, "mutation", "lightning/ops:recordGatewayDeploymentEvent", **event)
    assert len({kept["eventId"] for kept in api.events}) == len(api.events) == 2


def test_settlements_are_ingested_once_and_conflicts_refused(api: ControlPlaneApi, stack: Stack) -> None:
    events = smoke_events()
    opened, settled = ({key: row[key] for key in row if key != "kind"} for row in events[:2])
    assert call(api, "mutation", "lightning/settlements:ingestInvoiceLifecycle", **opened)[0] == 200
    function = "lightning/settlements:ingestSettlement"
    assert [call(api, "mutation", function, **settled)[1]["existed"] for _ in range(2)] == [False, True]
    assert len(stack.settlement_store.rows("settlements")) == 1
    refused = call(api, "mutation", function, **{**settled, "amountMsats": 1})
    assert (refused[0], refused[1]["error"]["code"]) == (422, "settlement_conflict")


@pytest.mark.parametrize(
    ("method", "credential", "user"),
    [("GET", READER, b"settlement_read"), ("GET", "other", b"nobody"), ("POST", READER, b"nobody")],
)
def test_who_may_read_settlements_may_read_only(
    method: str, credential: str, user: bytes, api: ControlPlaneApi
) -> None:
    headers = (("Authorization", f"Bearer {credential}"),)
    request = Request(method, "plane.test", "/api/lightning/settlements", headers=headers)
    assert api.handle(request).body == user


# The gateway's operations


@pytest.fixture
def ops(stack: Stack) -> GatewayOpsApi:
    return GatewayOpsApi(stack.ops.deployer, stack.edge, token=TOKEN)


AUTHORIZED = ("Authorization", f"Bearer {TOKEN}")


@pytest.mark.parametrize("headers", [(), (("Authorization", "Bearer no"),), (("Authorization", TOKEN),)])
@pytest.mark.parametrize("path", ["/ops/deployment", "/ops/deploy", "/ops/nothing"])
def test_operations_ask_for_the_token(
    path: str, headers: tuple[tuple[str, str], ...], ops: GatewayOpsApi
) -> None:
    assert posted(ops, path, {}, *headers) == (401, {"error": {"code": "unauthorized"}})


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/ops/deploy", b"{", 400, "invalid_json"),
        ("/ops/deploy", [], 400, "invalid_json"),
        ("/ops/deploy", {}, 422, "missing_requestId"),
        ("/ops/deploy", {"requestId": "r", "deploymentId": 7}, 422, "missing_deploymentId"),
        (
            "/ops/deploy",
            {"requestId": "r", "deploymentId": "d", "configHash": "c", "apertureYaml": "services: []"},
            422,
            "config_hash_mismatch",
        ),
        (
            "/ops/rollback",
            {"requestId": "r", "deploymentId": "d", "targetConfigHash": "cfg_" + "0" * 64},
            422,
            "unknown_config",
        ),
        (
            "/ops/deploy",
            {"requestId": "r", "deploymentId": "d", "configHash": hash_of(b"no"), "apertureYaml": "no"},
            422,
            "invalid_config",
        ),
        ("/ops/withdraw", {"requestId": "r"}, 404, "not_found"),
        ("/ops/deployment", {}, 404, "not_found"),
    ],
)
def test_operations_that_are_refused(
    path: str, body: Any, status: int, code: str, ops: GatewayOpsApi
) -> None:
    answer = posted(ops, path, body, AUTHORIZED)
    assert (answer[0], answer[1]["error"]["code"]) == (status, code)


def test_all_other_paths_are_the_gateways_own(ops: GatewayOpsApi) -> None:
    assert ops.handle(Request("GET", "gateway.l402.test", "/premium")).status == 402
    assert ops.handle(Request("GET", "gateway.l402.test", "/opsx")).status == 404


def test_what_runs_is_told_without_what_is_not_known(stack: Stack, ops: GatewayOpsApi) -> None:
    request = Request("GET", "gateway.l402.test", "/ops/deployment", headers=(AUTHORIZED,))
    assert json.loads(ops.handle(request).body) == {"deployment": None}
    with ServedStack(stack, previous=True).serving():
        told = json.loads(ops.handle(request).body)["deployment"]
    assert told["deploymentId"] == "dep_previous"
    assert told["imageDigest"].startswith("sha256:")
