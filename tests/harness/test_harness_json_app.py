"""The JSON app calls the function of a route, and answers every other request with a stable code."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_l402.harness.json_app import (
    MAX_BODY_BYTES,
    Call,
    Document,
    Fields,
    JsonApp,
    Refused,
    Route,
    is_secret,
    presents,
)
from pytest_l402.harness.network import Request

REQUEST_ID = "x-oa-request-id"


def greet(call: Call, name: str) -> Document:
    return {"hello": name, "id": call.request_id}


def keep(call: Call) -> Document:
    fields = call.fields
    return {"name": fields.text("name"), "note": fields.optional_text("note"), "on": fields.flag("on")}


def refuse_strangers(request: Request) -> None:
    if not presents(request, "token"):
        raise Refused(401, "unauthorized")


ROUTES = (Route("GET", "/greet/{name}", greet), Route("POST", "/keep", keep))


def asked(app: JsonApp, method: str, path: str, body: object = b"", *headers: tuple[str, str]) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = app.handle(Request(method, "h", path, headers=headers, body=data))
    assert response.header("Content-Type") == "application/json"
    return response.status, json.loads(response.body)


def test_a_route_is_a_function_of_the_call_and_of_the_segments_of_its_path() -> None:
    app = JsonApp(ROUTES)
    assert asked(app, "GET", "/greet/a%20b", b"", (REQUEST_ID, "r1")) == (200, {"hello": "a b", "id": "r1"})
    assert asked(app, "POST", "/keep", {"name": "n", "on": True}) == (
        200,
        {"name": "n", "note": None, "on": True},
    )


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/greet/", 404, "not_found"),
        ("GET", "/greet/a/b", 404, "not_found"),
        ("POST", "/greet/a", 405, "method_not_allowed"),
        ("DELETE", "/keep", 405, "method_not_allowed"),
    ],
)
def test_what_no_function_answers(method: str, path: str, status: int, code: str) -> None:
    assert asked(JsonApp(ROUTES), method, path) == (status, {"error": {"code": code}})


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"7", b"\xff", b'{"a":1,"a":2}', b'{"a":NaN}', b"[" * 100_000]
)
def test_a_body_is_one_strict_object(body: bytes) -> None:
    assert asked(JsonApp(ROUTES), "POST", "/keep", body) == (400, {"error": {"code": "invalid_json"}})
    app = JsonApp(ROUTES, malformed="invalid_input")
    assert asked(app, "POST", "/keep", body) == (400, {"error": {"code": "invalid_input"}})


def test_a_body_that_is_too_long_is_not_read() -> None:
    body = b'{"name":"' + b"x" * MAX_BODY_BYTES + b'"}'
    assert asked(JsonApp(ROUTES), "POST", "/keep", body) == (413, {"error": {"code": "body_too_large"}})


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": 7}, "name"),
        ({"name": "n", "note": 7}, "note"),
        ({"name": "n", "on": 1}, "on"),
    ],
)
def test_a_field_of_another_kind_is_missing(body: Document, key: str) -> None:
    assert asked(JsonApp(ROUTES), "POST", "/keep", body) == (422, {"error": {"code": f"missing_{key}"}})


@pytest.mark.parametrize("value", [None, True, "1", 1.0, -1, 11])
def test_a_number_that_is_none_or_out_of_range_is_missing(value: object) -> None:
    assert Fields({"n": 10}).integer("n", 0, 10) == 10
    with pytest.raises(Refused, match="missing_n"):
        Fields({"n": value}).integer("n", 0, 10)


def test_the_guard_is_asked_before_the_routes() -> None:
    app = JsonApp(ROUTES, guard=refuse_strangers)
    assert asked(app, "GET", "/nowhere") == (401, {"error": {"code": "unauthorized"}})
    assert asked(app, "GET", "/nowhere", b"", ("Authorization", "Bearer token"))[0] == 404


def test_answers_have_the_form_of_the_api_and_echo_the_id_that_it_gives() -> None:
    app = JsonApp(
        ROUTES,
        succeeded=lambda document: {"ok": True, **document},
        refused=lambda refused: (200, {"ok": False, "error": refused.code}),
        id_of=lambda request: request.header(REQUEST_ID) or "made",
    )
    assert asked(app, "GET", "/greet/a") == (200, {"ok": True, "hello": "a", "id": "made"})
    assert asked(app, "GET", "/nowhere") == (200, {"ok": False, "error": "not_found"})
    for headers, echoed in (((), "made"), (((REQUEST_ID, "mine"),), "mine")):
        answer = app.handle(Request("GET", "h", "/nowhere", headers=headers))
        assert answer.header(REQUEST_ID) == echoed
    assert (
        JsonApp(ROUTES).handle(Request("GET", "h", "/", headers=((REQUEST_ID, "m"),))).header(REQUEST_ID)
        is None
    )


@pytest.mark.parametrize(
    ("presented", "same"), [("s", True), ("", False), ("S", False), (None, False), (1, False)]
)
def test_a_secret_is_compared_whole(presented: object, same: bool) -> None:
    assert is_secret(presented, "s") is same
