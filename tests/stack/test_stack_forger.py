"""The forger's credentials: each is refused for its own reason, and only the genuine one is delivered."""

from __future__ import annotations

import pytest

from pytest_l402.stack import Stack
from pytest_l402.stack.buyer.forger import NotChallengedError

REASONS = {
    "preimage of nothing": "preimage_mismatch",
    "preimage of another payment": "preimage_mismatch",
    "signed with another key": "signature_invalid",
    "first caveats only": "signature_invalid",
    "never issued": "root_key_unknown",
    "self-made, and never paid for": "root_key_unknown",
    "of another service": "service_not_authorized",
}


@pytest.fixture
def stack():
    with Stack(6) as stack, stack.online():
        yield stack


def test_each_forgery_hangs_on_one_check(stack):
    forger = stack.forger()
    bought, foreign = forger.buy("/premium-expiring"), forger.buy("/premium")
    forged = forger.present_forgeries(bought, foreign)
    stack.clock.advance(61_000)
    expired = forger.present_again(bought, "expired")
    refusals = {row["requestId"]: row["refusal"] for row in stack.journal.rows("exchanges") if row["refusal"]}
    assert {each.kind: refusals[each.request_id] for each in forged} == REASONS
    assert refusals[expired.request_id] == "expired"
    assert {each.http_status for each in (*forged, expired)} == {402}
    assert (bought.http_status, foreign.http_status) == (200, 200)
    assert stack.seller_api.deliveries(bought.request_id) == 1
    assert stack.seller_api.deliveries() == 2


def test_the_genuine_credential_opens_again_while_it_is_good(stack):
    forger = stack.forger()
    bought = forger.buy("/premium-expiring")
    stack.clock.advance(59_000)
    again = forger.present_again(bought)
    assert (again.kind, again.http_status) == ("genuine again", 200)
    assert again.request_id != bought.request_id
    assert again.payment_hash == bought.payment_hash
    assert len(stack.settlement_store.rows("settlements")) == 1


def test_no_secret_in_what_it_says(stack):
    forger = stack.forger()
    bought = forger.buy("/premium")
    preimage = bought._genuine.preimage.hex()
    macaroon = bought._genuine.token
    for text in (repr(bought), repr(forger), str(bought)):
        assert preimage not in text
        assert macaroon not in text


def test_a_gateway_that_asks_for_no_payment_is_told_so(stack):
    with pytest.raises(NotChallengedError, match=r"(?s)expected .*402.*seen +status 200: delivered without"):
        stack.forger().buy("/status")
