"""Ways in which what a person reads of a failure could be false: a cause that the rows do not show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_l402.evidence import (
    Check,
    Evidence,
    cached_request,
    forgeries_refused,
    gateway_delivered,
    idempotent_replay,
    no_second_payment,
    not_reused,
    paid_exactly_once,
    proof_join,
    run_check,
    same_value,
    some_record,
    triaged_as,
)
from pytest_l402.evidence.request_names import request_names
from pytest_l402.evidence.telling import tell_results
from pytest_l402.harness.network import REQUEST_ID_HEADER
from pytest_l402.protocol import format_credential
from pytest_l402.stack import Stack
from pytest_l402.stack.faults import UpstreamDown
from pytest_l402.stack.gateway.services import RateLimit

SECOND = "desktop-2"
PATH = "/premium-expiring"


@dataclass(frozen=True)
class Way:
    """What was done to the second request, the check that fails, what is to be said and what is not true."""

    act: Callable[[Shop], None]
    check: Callable[[Any, str], Check]
    says: tuple[str, ...]
    never: tuple[str, ...]


class Shop:
    """A real stack, a purchase of it, and what the client has in its hands."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.forger = stack.forger()
        self.bought = self.forger.buy(PATH)

    def ask(self, request_id: str = SECOND, authorization: str | None = None, path: str = PATH) -> None:
        headers = {REQUEST_ID_HEADER: request_id}
        if authorization is not None:
            headers["authorization"] = authorization
        self.stack.client.get(path, headers=headers)

    @property
    def credential(self) -> str:
        return format_credential(self.bought._genuine.token, self.bought._genuine.preimage)

    def evidence(self) -> Evidence:
        return Evidence(self.stack.tables())


def nothing_presented(shop: Shop) -> None:
    shop.ask()


def garbled_macaroon(shop: Shop) -> None:
    scheme, _, preimage = shop.credential.rpartition(":")
    shop.ask(authorization=f"{scheme[:-3]}***:{preimage}")


def garbled_preimage(shop: Shop) -> None:
    shop.ask(authorization=f"{shop.credential[:-4]}zzzz")


def another_preimage(shop: Shop) -> None:
    scheme, _, _ = shop.credential.rpartition(":")
    shop.ask(authorization=f"{scheme}:{'0' * 64}")


def revoked(shop: Shop) -> None:
    shop.stack.gateway.revoke(shop.bought.payment_hash)
    shop.ask(authorization=shop.credential)


def expired(shop: Shop) -> None:
    shop.stack.clock.advance(61_000)
    shop.ask(authorization=shop.credential)


def paused(shop: Shop) -> None:
    shop.stack.control_plane.set_global_pause(True)
    shop.ask(authorization=shop.credential)


def seller_down(shop: Shop) -> None:
    with shop.stack.faults.inject(UpstreamDown()):
        shop.ask(authorization=shop.credential)


def never_sent(shop: Shop) -> None:
    return


def limited(shop: Shop) -> None:
    """Without a good credential only what is free can be asked for too often; a challenge never is."""
    (service,) = (each for each in shop.stack.gateway.services if PATH in (each.pathregexp or ""))
    few = RateLimit(requests=1, per_s=3600, pathregexp="")
    shop.stack.gateway.load([replace(service, auth="freebie 2", ratelimits=(few,))])
    shop.ask("desktop-0")
    another_preimage(shop)


def bought_anew(shop: Shop) -> None:
    """The client presents nothing, and pays again under the same request id."""
    shop.forger._request_id = lambda: SECOND  # type: ignore[method-assign]
    shop.forger.buy(PATH)


NO_CREDENTIAL = ("the client sent no credential", "no credential presented")
BLAMES_THE_GATEWAY = ("challenged a credential that was good", "the gateway challenged")
BLAMES_THE_CACHE = ("cache key", "evicted")
GARBLED = ("garbled", "cannot be read")

WAYS = {
    "a-client-that-presented-nothing-was-no-victim-of-the-gateway": Way(
        nothing_presented,
        cached_request,
        ("no credential presented, status 402", "the client sent no credential"),
        (*BLAMES_THE_GATEWAY, *BLAMES_THE_CACHE, *GARBLED, "refused"),
    ),
    "a-garbled-macaroon-is-no-missing-one": Way(
        garbled_macaroon,
        cached_request,
        ("cannot be read: macaroon_encoding, status 402", "the client garbled it", "in base64"),
        (*NO_CREDENTIAL, *BLAMES_THE_GATEWAY, *BLAMES_THE_CACHE, "revoked"),
    ),
    "a-garbled-preimage-is-no-wrong-one": Way(
        garbled_preimage,
        cached_request,
        ("cannot be read: header_malformed", "64 lower-case hex digits"),
        (*NO_CREDENTIAL, *BLAMES_THE_GATEWAY, "preimage_mismatch"),
    ),
    "a-wrong-preimage-is-no-garbled-one": Way(
        another_preimage,
        cached_request,
        ("a credential refused: preimage_mismatch, status 402", "not of the payment"),
        (*NO_CREDENTIAL, *BLAMES_THE_GATEWAY, *BLAMES_THE_CACHE, *GARBLED),
    ),
    "a-revoked-credential-was-not-good": Way(
        revoked,
        cached_request,
        (
            "a credential refused: root_key_unknown",
            "the seller revoked the credential, or this gateway never",
        ),
        (*NO_CREDENTIAL, *BLAMES_THE_GATEWAY, *BLAMES_THE_CACHE, *GARBLED),
    ),
    "an-expired-credential-was-not-good": Way(
        expired,
        cached_request,
        ("a credential refused: expired", "its time is over"),
        (*NO_CREDENTIAL, *BLAMES_THE_GATEWAY, *BLAMES_THE_CACHE, *GARBLED, "revoked"),
    ),
    "whom-a-pause-turned-away-may-have-presented-one": Way(
        paused,
        cached_request,
        ("no credential asked for: global_pause_active, status 403", "turned the request away before that"),
        (*NO_CREDENTIAL, *BLAMES_THE_GATEWAY, *BLAMES_THE_CACHE, *GARBLED),
    ),
    "what-the-seller-did-not-serve-was-not-refused": Way(
        seller_down,
        cached_request,
        ("a credential accepted, status 502", "the credential is good"),
        (*NO_CREDENTIAL, *BLAMES_THE_GATEWAY, *BLAMES_THE_CACHE, *GARBLED, "a credential refused"),
    ),
    "who-never-asked-was-not-refused": Way(
        never_sent,
        cached_request,
        ("the gateway never saw the request", "where the client sent it"),
        (*NO_CREDENTIAL, *BLAMES_THE_GATEWAY, *BLAMES_THE_CACHE, *GARBLED, "a credential refused"),
    ),
    "a-rate-limit-does-not-hide-why-the-credential-is-no-good": Way(
        limited,
        cached_request,
        ("a credential refused: preimage_mismatch, status 429",),
        (*NO_CREDENTIAL, *BLAMES_THE_GATEWAY, *BLAMES_THE_CACHE, *GARBLED, "refused: rate_limited"),
    ),
    "a-new-purchase-is-not-the-old-credential-still-taken": Way(
        bought_anew,
        no_second_payment,
        ("no credential presented, status 402; then a credential accepted", "the client sent no credential"),
        ("the gateway still takes the credential", "another status"),
    ),
    "a-402-for-a-refused-credential-is-a-matter-of-status": Way(
        revoked,
        no_second_payment,
        (
            "a credential refused: root_key_unknown, status 402",
            "with another status",
        ),
        (*NO_CREDENTIAL, "still takes the credential"),
    ),
    "a-refused-credential-settles-nothing-however-often-it-is-replayed": Way(
        another_preimage,
        lambda first, second: proof_join(second),
        ("none; a credential refused: preimage_mismatch", "exchanges.jsonl line"),
        ("replay its settlement event",),
    ),
    "a-delivery-that-did-not-come-says-why": Way(
        revoked,
        lambda first, second: not_reused(first, second),
        ("a credential refused: root_key_unknown",),
        (*NO_CREDENTIAL, "accepted a credential past its end"),
    ),
    "a-probe-that-was-refused-is-no-fault-of-the-upstream": Way(
        garbled_macaroon,
        lambda first, second: gateway_delivered(second),
        ("macaroon_encoding", "the client garbled it"),
        ("ask the upstream",),
    ),
    "a-replay-that-was-refused-is-no-fault-of-the-store": Way(
        expired,
        lambda first, second: idempotent_replay(first),
        ("a credential refused: expired", "its time is over"),
        ("the store must say", "present the same credential twice"),
    ),
    "triage-of-a-refused-request-says-why": Way(
        another_preimage,
        lambda first, second: triaged_as(second, "settlement"),
        ("a credential refused: preimage_mismatch",),
        NO_CREDENTIAL,
    ),
    "a-client-that-presented-nothing-was-given-nothing-away": Way(
        nothing_presented,
        forgeries_refused,
        (
            "no credential presented, status 402, not forwarded",
            "nothing was presented",
        ),
        ("gives away", "stop selling"),
    ),
    "what-the-control-plane-turned-away-was-not-given-away": Way(
        paused,
        forgeries_refused,
        ("global_pause_active", "did not refuse the credential, it turned the request away"),
        ("gives away", "stop selling", "nothing was presented"),
    ),
    "a-genuine-credential-that-was-refused-says-why": Way(
        revoked,
        lambda first, second: forgeries_refused(second, first),
        ("a credential refused: root_key_unknown, status 402: a gateway that refuses everything",),
        ("no reason given", "the client sent no credential"),
    ),
    "no-closest-record-where-none-is-close": Way(
        nothing_presented,
        lambda first, second: some_record(cacheHit=True),
        ("whose cacheHit is false or null", "table records"),
        ("the closest one", "records.jsonl line 1"),
    ),
    "two-payments-are-no-plane-that-lies": Way(
        bought_anew,
        lambda first, second: same_value("paymentProofRef", first, second),
        (f"{SECOND}: lightning_preimage:", "paid more than once"),
        ("a plane tells another story",),
    ),
}


@pytest.mark.parametrize("name", WAYS)
def test_a_finding_says_what_was_and_nothing_else(shop: Shop, name: str) -> None:
    way = WAYS[name]
    way.act(shop)
    evidence = shop.evidence()
    result = run_check(way.check(shop.bought, SECOND), evidence, teeth=False)
    assert result.violations
    said = "\n".join(f"{each.seen}\n{each.where}\n{each.remedy}" for each in result.violations)
    assert "it raised" not in said
    for words in way.says:
        assert words in said
    for words in way.never:
        assert words not in said
    # As people read it, in lines that are broken: the same words, by names.
    told = " ".join(
        tell_results([result], names=request_names(evidence, {SECOND: "second purchase"})).split()
    )
    assert all(" ".join(words.replace(SECOND, "second purchase").split()) in told for words in way.says[:1])
    assert shop.bought._genuine.preimage.hex() not in told


@pytest.fixture
def shop(tmp_path: Any) -> Iterator[Shop]:
    with Stack(artifact_dir=tmp_path) as stack, stack.connected():
        yield Shop(stack)


def test_a_wallet_that_pays_an_invoice_twice_has_not_lost_a_credential(shop: Shop) -> None:
    evidence = shop.evidence()
    payments = evidence.table("payments")
    twice = evidence.with_table("payments", [*payments, payments[0]])
    (violation,) = run_check(paid_exactly_once(shop.bought), twice, teeth=False).violations
    assert violation.seen == "2 succeeded, none pending"
    assert "paid one invoice twice" in violation.remedy
    assert "credential" not in violation.remedy


def test_a_payment_that_failed_is_not_told_as_a_second_one(shop: Shop) -> None:
    evidence = shop.evidence()
    failed = [{**row, "status": "failed"} for row in evidence.table("payments")]
    result = run_check(paid_exactly_once(shop.bought), evidence.with_table("payments", failed), teeth=False)
    assert [(each.seen, "twice" in each.remedy) for each in result.violations] == [
        ("none succeeded, none pending; 1 arrived at the seller's node", False)
    ]


def test_a_purchase_that_paid_nothing_says_what_the_gateway_saw_of_it(shop: Shop) -> None:
    shop.ask()
    unpaid = SimpleNamespace(request_id=SECOND, payment_hash=None)
    (violation,) = run_check(paid_exactly_once(unpaid), shop.evidence(), teeth=False).violations
    assert "no credential presented, status 402 (exchanges.jsonl line 3)" in violation.seen


def test_two_requests_of_one_name_do_not_become_one(shop: Shop) -> None:
    """A variable that was given a second purchase names that one; the first is called by its place."""
    shop.ask()
    names = request_names(shop.evidence(), {SECOND: "bought purchase"})
    assert names[SECOND].name == "bought purchase"
    assert names[shop.bought.request_id].name == "1st purchase"


def test_a_reason_that_a_foreign_gateway_invents_is_shown_and_not_explained(shop: Shop) -> None:
    another_preimage(shop)
    evidence = shop.evidence()
    foreign = [
        {**row, "refusal": "\x1b[31mno"} if row["credential"] == "refused" else row
        for row in evidence.table("exchanges")
    ]
    result = run_check(
        cached_request(shop.bought, SECOND), evidence.with_table("exchanges", foreign), teeth=False
    )
    told = tell_results([result])
    assert "a credential refused: \\x1b[31mno, status 402" in told
    assert "\x1b" not in told
    assert "see the caveats of the macaroon" in told


def test_a_gateway_whose_rows_do_not_say_what_was_presented_is_not_told_to_have_said(shop: Shop) -> None:
    shop.ask()
    evidence = shop.evidence()
    silent = [
        {key: value for key, value in row.items() if key != "credential" or row["requestId"] != SECOND}
        for row in evidence.table("exchanges")
    ]
    told = " ".join(
        tell_results(
            [
                run_check(
                    cached_request(shop.bought, SECOND), evidence.with_table("exchanges", silent), teeth=False
                )
            ]
        ).split()
    )
    assert "no word of a credential, status 402" in told
    assert "its rows do not say" in told
    for false in (*NO_CREDENTIAL, "no credential asked for", *GARBLED):
        assert false not in told


def test_a_deployment_that_fails_is_not_told_to_have_refused_the_credential(shop: Shop) -> None:
    another_preimage(shop)
    evidence = shop.evidence()
    failed = [
        {**row, "status": 502, "refusal": "proxy_status_502"} if row["credential"] == "refused" else row
        for row in evidence.table("exchanges")
    ]
    result = run_check(gateway_delivered(SECOND), evidence.with_table("exchanges", failed), teeth=False)
    (violation,) = result.violations
    assert violation.seen == "a credential not served: proxy_status_502, status 502"
    assert "see why the request failed" in violation.remedy


def test_a_gateway_that_gives_no_reason_is_told_to_have_given_none(shop: Shop) -> None:
    another_preimage(shop)
    evidence = shop.evidence()
    silent = [{**row, "refusal": None} for row in evidence.table("exchanges")]
    told = tell_results(
        [
            run_check(
                cached_request(shop.bought, SECOND), evidence.with_table("exchanges", silent), teeth=False
            )
        ]
    )
    assert "a credential refused, no reason given, status 402" in told
