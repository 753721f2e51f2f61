import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_l402.protocol import CaveatError, CaveatReason, caveat, check_caveats
from pytest_l402.protocol.caveats import caveat_value, split_caveat

VECTORS = json.loads((Path(__file__).parent / "vectors" / "caveats.json").read_text())
NOW = VECTORS["now_unix"]
CASES = [pytest.param(case, id=case["name"]) for case in VECTORS["cases"]]
REASONS = {
    "target service svc not authorized": CaveatReason.SERVICE_NOT_AUTHORIZED,
    "no services found": CaveatReason.SERVICES_EMPTY,
    "not authorized to access service. L402 has expired": CaveatReason.EXPIRED,
    'caveat value not a valid integer: strconv.ParseInt: parsing "2030-01-01": invalid syntax': (
        CaveatReason.EXPIRY_NOT_AN_INTEGER
    ),
}


def refusal(*caveats, now=NOW):
    """The reason for which service svc is refused, or None."""
    try:
        check_caveats([text if isinstance(text, bytes) else text.encode() for text in caveats], "svc", now)
    except CaveatError as error:
        return error.reason
    return None


@pytest.mark.parametrize("case", CASES)
def test_verdict_is_that_of_the_proxy(case):
    reason = refusal(*(case["caveats"] or ()))
    assert (reason is None) is case["accepted"]
    assert reason == (None if case["accepted"] else REASONS[case["error"]])


@pytest.mark.parametrize(
    ("caveats", "reason"),
    [
        (["services=svc:0"], None),
        (["services=other:0,svc:7"], None),
        (["services=svc"], CaveatReason.SERVICES_MALFORMED),
        (["services=svc:x"], CaveatReason.SERVICES_MALFORMED),
        (["services=svc:1_0"], CaveatReason.SERVICES_MALFORMED),
        (["services=svc: 0"], CaveatReason.SERVICES_MALFORMED),
        (["services=svc:0:0"], CaveatReason.SERVICES_MALFORMED),
        (["services=:0"], CaveatReason.SERVICES_MALFORMED),
        (["services=svc:0,"], CaveatReason.SERVICES_MALFORMED),
        (["services=svc:9223372036854775808"], CaveatReason.SERVICES_MALFORMED),
        (["services=svc:-9223372036854775808"], None),
        (["services=SVC:0"], CaveatReason.SERVICE_NOT_AUTHORIZED),
        (["services=svc:0", "services=svc:0"], None),
        (["services=svc:0", "services=svc:0,b:0"], CaveatReason.SERVICES_WIDENED),
        (["services=b:0", "services=svc:0"], CaveatReason.SERVICES_WIDENED),
        (["services=svc:0,b:0", "services=b:0"], CaveatReason.SERVICE_NOT_AUTHORIZED),
        ([f"svc_valid_until={NOW + 1}"], None),
        ([f"svc_valid_until={NOW}"], CaveatReason.EXPIRED),
        ([f"svc_valid_until=+{NOW + 1}"], None),
        (["svc_valid_until="], CaveatReason.EXPIRY_NOT_AN_INTEGER),
        (["svc_valid_until= 1800000000"], CaveatReason.EXPIRY_NOT_AN_INTEGER),
        (["svc_valid_until=99999999999999999999"], CaveatReason.EXPIRY_NOT_AN_INTEGER),
        (["svc_valid_until=" + "9" * 100_000], CaveatReason.EXPIRY_NOT_AN_INTEGER),
        (["svc_valid_until=" + "0" * 10_000 + str(NOW + 1)], None),
        (["svc_valid_until=-0"], CaveatReason.EXPIRED),
        ([f"svc_valid_until={NOW + 1}", f"svc_valid_until={NOW + 2}"], CaveatReason.EXPIRY_LOOSENED),
        ([f"svc_valid_until={NOW + 2}", f"svc_valid_until={NOW + 2}"], None),
        ([f"svc_valid_until={NOW + 2}", f"svc_valid_until={NOW}"], CaveatReason.EXPIRED),
        (["other_valid_until=1", "valid_until=1", "svc_volume=0", "=", "no equals"], None),
    ],
)
def test_rules_beyond_the_vectors(caveats, reason):
    assert refusal(*caveats) == reason


def test_expiry_is_exclusive_to_the_millisecond():
    text = f"svc_valid_until={NOW}"
    assert refusal(text, now=NOW - 0.001) is None
    assert refusal(text, now=NOW) == CaveatReason.EXPIRED


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_any_caveats_are_allowed_or_refused_with_a_reason(caveats):
    prefixed = [
        *caveats,
        *(b"services=" + one for one in caveats),
        *(b"svc_valid_until=" + one for one in caveats),
    ]
    reason = refusal(*prefixed)
    assert reason is None or reason in list(CaveatReason)


@given(st.lists(st.sampled_from(["a", "svc", "b"]), min_size=1), st.lists(st.integers(NOW - 5, NOW + 5)))
def test_attenuating_never_allows_more(services, expiries):
    caveats = ["services=" + ",".join(f"{name}:0" for name in services)]
    caveats += [f"svc_valid_until={until}" for until in expiries]
    allowed = [refusal(*caveats[:length]) is None for length in range(1, len(caveats) + 1)]
    assert allowed == sorted(allowed, reverse=True)


def test_caveat_text_splits_at_the_first_equals_sign():
    assert caveat("svc_valid_until", 5) == b"svc_valid_until=5"
    assert split_caveat(b"a=b=c") == (b"a", b"b=c")
    assert split_caveat(b"hello") is None
    assert caveat_value([b"a=1", b"b=2", b"a=3"], "a") == b"3"
    assert caveat_value([b"a=1"], "b") is None


@pytest.mark.parametrize("condition", ["", "a=b"])
def test_caveat_condition_holds_no_equals_sign(condition):
    with pytest.raises(CaveatError, match="condition_malformed"):
        caveat(condition, "x")
