"""Decoding the control plane's answer: strict, in two spellings, each refusal naming the place."""

import copy
import json
import re
from pathlib import Path

import pytest

from pytest_l402.ops.compile.decode_paywalls import PaywallDecodeError, decode_paywalls
from pytest_l402.ops.compile.paywall import PaywallStatus

VECTOR = json.loads((Path(__file__).parent / "vectors" / "ops-paywalls.json").read_text())


def _changed(*path, **change):
    document = copy.deepcopy(VECTOR)
    place = document[0]
    for key in path:
        place = place[key]
    for key, value in change.items():
        if value is ...:
            del place[key]
        else:
            place[key] = value
    return document


def _protobuf(value):
    """Spell a document as protobuf's JSON form does."""
    if isinstance(value, dict):
        return {
            re.sub(r"(?<=[a-z])[A-Z]", lambda hump: "_" + hump[0].lower(), key): _protobuf(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_protobuf(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value


def test_the_original_paywalls_are_read_whole():
    weather, news = decode_paywalls(VECTOR)
    assert (weather.paywall_id, news.paywall_id) == ("pw_weather", "pw_news")
    assert weather.status is PaywallStatus.ACTIVE
    assert weather.for_sale
    assert weather.policy.fixed_amount_msats == 2500
    assert weather.policy.allowed_hosts == ("openagents.com",)
    assert weather.routes[0].timeout_ms == 8000
    assert weather.description == "Weather API"


def test_a_reply_is_read_like_its_list():
    assert decode_paywalls({"ok": True, "paywalls": VECTOR}) == decode_paywalls(VECTOR)


def test_protobuf_json_is_read_the_same():
    document = _protobuf(VECTOR)
    document[0]["status"] = "PAYWALL_STATUS_ACTIVE"
    document[0]["policy"]["pricing_mode"] = "PRICING_MODE_FIXED"
    document[0]["routes"][0]["protocol"] = "PAYWALL_ROUTE_PROTOCOL_HTTPS"
    assert decode_paywalls({"paywalls": document}) == decode_paywalls(VECTOR)


def test_excess_keys_are_dropped_and_optional_ones_may_be_absent():
    document = _changed(description=..., extra=1)
    assert decode_paywalls(document)[0].description is None
    sparse = _changed(
        "policy",
        maxPerRequestMsats=...,
        allowedHosts=...,
        quotaPerMinute=...,
        quotaPerDay=...,
        blockedHosts=...,
    )
    assert decode_paywalls(sparse)[0].policy.allowed_hosts is None


def test_json_numbers_are_numbers():
    assert decode_paywalls(_changed("policy", fixedAmountMsats=2500.0))[0].policy.fixed_amount_msats == 2500


@pytest.mark.parametrize(
    ("document", "where", "expected"),
    [
        (None, "paywalls", "a list"),
        ({"ok": True}, "paywalls", "a list"),
        ("text", "paywalls", "a list"),
        ([1], "paywalls[0]", "an object"),
        (_changed(paywallId=""), "paywalls[0].paywallId", "not empty"),
        (_changed(paywallId=7), "paywalls[0].paywallId", "text"),
        (_changed(name=...), "paywalls[0].name", "a value"),
        (_changed(name="\ud800"), "paywalls[0].name", "surrogates"),
        (_changed(status="ACTIVE"), "paywalls[0].status", "active, paused, archived"),
        (_changed(status="PAYWALL_STATUS_UNSPECIFIED"), "paywalls[0].status", "active"),
        (_changed(description=None), "paywalls[0].description", "text"),
        (_changed(paywall_id="pw_weather"), "paywalls[0].paywallId", "one spelling"),
        (_changed(policy=None), "paywalls[0].policy", "an object"),
        (_changed("policy", killSwitch=...), "paywalls[0].policy.killSwitch", "a value"),
        (_changed("policy", killSwitch=0), "paywalls[0].policy.killSwitch", "true or false"),
        (_changed("policy", fixedAmountMsats=True), "paywalls[0].policy.fixedAmountMsats", "integer"),
        (_changed("policy", fixedAmountMsats=1.5), "paywalls[0].policy.fixedAmountMsats", "integer"),
        (_changed("policy", fixedAmountMsats=-1), "paywalls[0].policy.fixedAmountMsats", "integer"),
        (_changed("policy", fixedAmountMsats=2**53), "paywalls[0].policy.fixedAmountMsats", "integer"),
        (_changed("policy", fixedAmountMsats="01"), "paywalls[0].policy.fixedAmountMsats", "integer"),
        (_changed("policy", fixedAmountMsats=float("nan")), "paywalls[0].policy.fixedAmountMsats", "integer"),
        (_changed("policy", maxPerRequestMsats=0), "paywalls[0].policy.maxPerRequestMsats", "above 0"),
        (_changed("policy", pricingMode="dynamic"), "paywalls[0].policy.pricingMode", "fixed"),
        (_changed("policy", allowedHosts=["a", 1]), "paywalls[0].policy.allowedHosts[1]", "text"),
        (_changed("policy", ownerId="other"), "paywalls[0].policy.ownerId", "owner_weather"),
        (_changed(routes={}), "paywalls[0].routes", "an array"),
        (_changed("routes", 0, protocol="ftp"), "paywalls[0].routes[0].protocol", "http, https"),
        (_changed("routes", 0, paywallId="pw_news"), "paywalls[0].routes[0].paywallId", "pw_weather"),
        (_changed("routes", 0, priority=-1), "paywalls[0].routes[0].priority", "integer"),
    ],
)
def test_what_departs_from_the_contract_is_named_on_one_line(document, where, expected):
    with pytest.raises(PaywallDecodeError) as caught:
        decode_paywalls(document)
    message = str(caught.value)
    assert message.startswith(f"{where}: expected ")
    assert expected in message
    assert "\n" not in message


def test_a_secret_in_a_wrong_place_is_not_shown():
    with pytest.raises(PaywallDecodeError) as caught:
        decode_paywalls(_changed(status="Bearer abcdefghijklmnop123456"))
    assert "abcdefghijklmnop" not in str(caught.value)


@pytest.mark.parametrize(
    ("told", "read"),
    [
        ([], {}),
        (None, {}),
        ("", {}),
        ("a note", {}),
        ("[]", {}),
        ("null", {}),
        ('{"tokenValiditySeconds": 60', {}),
        ('{"tokenValiditySeconds": 60}', {"tokenValiditySeconds": 60}),
        ([{"a": 1}], {}),
        (0, {}),
        ({"some_key": 1}, {"some_key": 1}),
    ],
    ids=repr,
)
def test_metadata_of_any_form_is_taken(told, read):
    first, _ = decode_paywalls(_changed(metadata=told))
    assert first.metadata == read
