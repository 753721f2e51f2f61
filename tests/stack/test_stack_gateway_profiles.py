"""The switches on which servers differ."""

import pytest
from stack_shop import Shop

from pytest_l402.protocol import Macaroon, parse_challenges
from pytest_l402.stack.gateway.gateway import STRICT_VERIFY_WAIT_MS
from pytest_l402.stack.gateway.profile import APERTURE, PROFILES, SINGLE_USE, SPEC, GatewayProfile
from pytest_l402.stack.gateway.services import Service


def test_the_profiles_are_known_by_their_names():
    assert PROFILES == {"aperture": APERTURE, "spec": SPEC, "single-use": SINGLE_USE}


@pytest.mark.parametrize("field", ["refusal_status", "expired_refusal_status"])
def test_a_refusal_is_401_or_402(field):
    with pytest.raises(ValueError, match=f"{field} is 401 or 402, saw 403"):
        GatewayProfile("x", **{field: 403})


def test_spec_answers_a_bad_credential_with_401_and_no_offer():
    shop = Shop(profile=SPEC)
    _, authorization, _ = shop.buy("/premium")
    opened = len(shop.ledger.opened)
    answer = shop.ask("/premium", ("Authorization", authorization[:-1] + "01"[authorization[-1] == "0"]))
    assert (answer.status, answer.body) == (401, b"unauthorized\n")
    assert answer.headers_of("WWW-Authenticate") == ("L402",)
    assert len(shop.ledger.opened) == opened
    assert shop.records()[-1]["denyReason"] == "gateway_credential_refused"
    assert shop.exchanges()[-1]["refusal"] == "preimage_mismatch"


@pytest.mark.parametrize("status", [401, 402])
def test_a_lapsed_credential_has_a_switch_of_its_own(status):
    profile = GatewayProfile("x", refusal_status=401, expired_refusal_status=status)
    shop = Shop(Service("s", 1_000, timeout_s=60), profile=profile)
    _, authorization, payment = shop.buy("/")
    shop.clock.advance(60_000)
    assert shop.ask("/", ("Authorization", authorization)).status == status
    shop.gateway.revoke(payment.payment_hash)
    assert shop.ask("/", ("Authorization", authorization)).status == status
    assert [row["refusal"] for row in shop.exchanges()[-2:]] == ["expired", "root_key_unknown"]


def variants(authorization):
    _, _, rest = authorization.partition(" ")
    token, _, preimage = rest.partition(":")
    return [
        f"l402 {rest}",
        f"Lsat   {rest}",
        f"L402 {token}:{preimage.upper()}",
        f"L402 {token},{token}:{preimage}",
    ]


def test_spec_takes_forms_that_aperture_refuses():
    shop = Shop()
    _, authorization, _ = shop.buy("/premium")
    for form in variants(authorization):
        assert shop.ask("/premium", ("Authorization", form)).status == 402
        with shop.gateway.following(SPEC):
            assert shop.ask("/premium", ("Authorization", form)).status == 200
    assert shop.gateway.profile is APERTURE


def test_of_several_macaroons_every_one_must_hold():
    shop = Shop(profile=SPEC)
    _, authorization, _ = shop.buy("/premium")
    token, _, preimage = authorization.removeprefix("L402 ").partition(":")
    good = Macaroon.from_base64(token)
    bad = Macaroon(good.location, good.identifier, good.caveats, b"\x00" * 32).to_base64()
    for first, second in ((token, bad), (bad, token)):
        assert shop.ask("/premium", ("Authorization", f"L402 {first},{second}:{preimage}")).status == 401


def test_single_use_refuses_the_second_presentation_also_of_a_narrowed_macaroon():
    shop = Shop(profile=SINGLE_USE)
    answer, authorization, payment = shop.buy("/premium")
    assert answer.status == 200
    token, _, preimage = authorization.removeprefix("L402 ").partition(":")
    narrowed = Macaroon.from_base64(token).attenuate(b"color=blue").to_base64()
    for again in (authorization, f"L402 {narrowed}:{preimage}"):
        refused = shop.ask("/premium", ("Authorization", again))
        assert refused.status == 401
        assert shop.exchanges()[-1]["refusal"] == "already_used"
    assert len(shop.ledger.events) == 1
    assert shop.seller_api.deliveries() == 1
    assert payment.payment_hash == shop.exchanges()[-1]["paymentHash"]


def test_a_refused_presentation_does_not_use_a_single_use_credential_up():
    shop = Shop(profile=SINGLE_USE)
    authorization, _ = shop.pay(shop.ask("/premium"))
    shop.gate.denial = "global_pause_active"
    assert shop.ask("/premium", ("Authorization", authorization)).status == 403
    shop.gate.denial = None
    assert shop.ask("/premium", ("Authorization", authorization)).status == 200


def test_strict_verify_waits_for_the_node_and_then_refuses():
    shop = Shop()
    _, authorization, payment = shop.buy("/premium")
    with shop.gateway.following(GatewayProfile("strict", strict_verify=True)):
        start = shop.clock.now_ms()
        assert shop.ask("/premium", ("Authorization", authorization)).status == 200
        assert shop.clock.now_ms() - start < STRICT_VERIFY_WAIT_MS
        held = shop.node.__dict__["_held"][payment.payment_hash]
        held.settled_at_ms = None
        assert shop.ask("/premium", ("Authorization", authorization)).status == 402
        assert shop.exchanges()[-1]["refusal"] == "invoice_not_settled"
        assert shop.clock.now_ms() - start >= STRICT_VERIFY_WAIT_MS
    assert shop.ask("/premium", ("Authorization", authorization)).status == 200


def test_the_superset_line_adds_version_and_token_to_the_l402_line_only():
    shop = Shop(profile=GatewayProfile("x", superset_challenge=True))
    lsat, l402 = parse_challenges(shop.ask("/premium").headers_of("WWW-Authenticate"))
    assert set(lsat.parameters) == {"macaroon", "invoice"}
    assert dict(l402.parameters) == {
        "macaroon": l402.macaroon_base64,
        "invoice": l402.invoice,
        "version": "0",
        "token": lsat.macaroon_base64,
    }
    assert shop.buy("/premium")[0].status == 200


def test_a_profile_followed_for_a_while_is_left_also_on_failure():
    shop = Shop()
    with pytest.raises(RuntimeError), shop.gateway.following(SPEC):
        raise RuntimeError
    assert shop.gateway.profile is APERTURE
