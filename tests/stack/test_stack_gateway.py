"""What becomes of a request, and what the gateway leaves of it."""

import uuid

import pytest
from stack_shop import HOST, OTHER_PREIMAGE, Shop, macaroon_text

from pytest_l402.contract.settlement_event import SettlementConflict
from pytest_l402.harness.network import Network, Request, Response
from pytest_l402.protocol import Macaroon, decode_invoice, format_credential, parse_challenges
from pytest_l402.stack.faults import ChallengeFailure, UpstreamDown, UpstreamFailure
from pytest_l402.stack.gateway.services import RateLimit, Service
from pytest_l402.stack.gateway.wire import content

REQUEST_ID = ("x-oa-request-id", "req-1")


def test_a_purchase_is_challenged_paid_and_delivered():
    shop = Shop()
    answer, authorization, payment = shop.buy("/premium", REQUEST_ID, ("x-oa-task-id", "task-9"))
    assert answer.status == 200
    assert shop.seller_api.deliveries("req-1") == 1

    challenged, delivered = shop.exchanges()
    assert challenged == {
        "requestId": "req-1",
        "method": "GET",
        "host": HOST,
        "path": "/premium",
        "taskId": "task-9",
        "status": 402,
        "challenge": "issued",
        "quotedMsats": 21_000,
        "paymentHash": payment.payment_hash,
        "credential": "absent",
        "refusal": None,
        "credentialDigest": None,
        "presentedPaymentHash": None,
        "upstreamStatus": None,
        "querySha256": None,
        **content("body", b""),
        **content("answer", b"payment required\n"),
        "cacheControl": "no-store",
        "invoicesOffered": 1,
        "tokenOffered": "base64",
        "sellerCalls": [],
        "atMs": challenged["atMs"],
    }
    assert delivered == {
        **challenged,
        **content("answer", answer.body),
        "cacheControl": None,
        "invoicesOffered": 0,
        "tokenOffered": None,
        "sellerCalls": [1],
        "status": 200,
        "challenge": None,
        "quotedMsats": None,
        "credential": "accepted",
        "credentialDigest": Macaroon.from_base64(authorization.split()[1].partition(":")[0]).digest,
        "presentedPaymentHash": payment.payment_hash,
        "upstreamStatus": 200,
        "atMs": delivered["atMs"],
    }
    assert delivered["atMs"] > challenged["atMs"]


def test_the_records_of_a_purchase_say_what_the_gateway_knows():
    shop = Shop()
    _, _, payment = shop.buy("/premium", REQUEST_ID, ("x-oa-task-id", "task-9"))
    challenged, delivered = shop.records()
    assert challenged == {
        "requestId": "req-1",
        "userId": "owner_premium",
        "paywallId": "pw_premium",
        "taskId": "task-9",
        "endpoint": "/premium",
        "quotedCostMsats": 21_000,
        "capAppliedMsats": None,
        "paidAmountMsats": None,
        "paymentProofRef": None,
        "cacheHit": None,
        "denyReason": None,
        "executor": "gateway",
        "plane": "gateway",
        "executionPath": "hosted-node",
        "desktopSessionId": None,
        "desktopRuntimeStatus": None,
        "walletState": None,
        "nodeSyncStatus": None,
        "observedAtMs": challenged["observedAtMs"],
    }
    assert delivered == {
        **challenged,
        "paidAmountMsats": 21_000,
        "paymentProofRef": payment.proof_reference,
        "cacheHit": False,
        "observedAtMs": delivered["observedAtMs"],
    }


def test_the_store_hears_of_the_invoice_and_of_the_proof():
    shop = Shop()
    _, _, payment = shop.buy("/premium", REQUEST_ID, ("x-oa-task-id", "task-9"))
    payment_hash = payment.payment_hash
    assert shop.ledger.opened == [
        (payment_hash, f"inv_{payment_hash[:16]}", 21_000, "pw_premium", "owner_premium", "req-1")
    ]
    (event,) = shop.ledger.events
    assert (event.settlement_id, event.payment_hash) == (f"set_{payment_hash[:16]}", payment_hash)
    assert event.preimage == payment.preimage
    assert (event.amount_msats, event.paywall_id, event.owner_id) == (21_000, "pw_premium", "owner_premium")
    assert (event.request_id, event.task_id, event.route_id) == ("req-1", "task-9", "route_premium")


def test_a_credential_is_reused_without_a_new_invoice_and_the_record_says_so():
    shop = Shop()
    _, authorization, _ = shop.buy("/premium")
    again = shop.ask("/premium/other", ("Authorization", authorization), REQUEST_ID)
    assert again.status == 200
    assert len(shop.ledger.opened) == 1
    assert [row["status"] for row in shop.journal.rows("payments")] == ["succeeded"]
    assert (shop.records()[-1]["cacheHit"], shop.records()[-1]["requestId"]) == (True, "req-1")


def test_the_amount_in_the_evidence_is_what_was_paid_also_after_a_new_price():
    shop = Shop()
    _, authorization, _ = shop.buy("/premium")
    shop.gateway.services = (Service("premium", price_msats=99_000),)
    assert shop.ask("/premium", ("Authorization", authorization)).status == 200
    assert shop.ledger.events[-1].amount_msats == 21_000
    assert shop.records()[-1]["paidAmountMsats"] == 21_000


def bad_credentials(shop):
    macaroon = Macaroon.from_base64(macaroon_text(shop.ask("/premium")))
    _, authorization, payment = shop.buy("/premium")
    paid = Macaroon.from_base64(authorization.split()[1].partition(":")[0])
    text, preimage = paid.to_base64(), payment.preimage

    def said(text, preimage):
        return format_credential(text, preimage)

    flipped = Macaroon(paid.location, paid.identifier, paid.caveats, paid.signature[::-1])
    short = Macaroon(paid.location, paid.identifier[:-1], paid.caveats, paid.signature)
    stripped = Macaroon(paid.location, paid.identifier, (), paid.signature)
    return {
        "header_malformed": ["Bearer abc", "nonsense", f"l402 {text}:{preimage.hex()}", f"L402 {text}"],
        "macaroon_encoding": [
            said(text.rstrip("=") + "!", preimage),
            said(text.replace("A", "-", 1), preimage),
        ],
        "macaroon_malformed": [said("AgEEbHNhdA==", preimage)],
        "identifier_malformed": [said(short.to_base64(), preimage)],
        "preimage_mismatch": [said(text, OTHER_PREIMAGE), said(macaroon.to_base64(), preimage)],
        "signature_invalid": [said(flipped.to_base64(), preimage), said(stripped.to_base64(), preimage)],
        "service_not_authorized": [said(paid.attenuate(b"services=other:0").to_base64(), preimage)],
        "expired": [said(paid.attenuate(b"premium_valid_until=1").to_base64(), preimage)],
    }


REASONS = tuple(bad_credentials(Shop()))


@pytest.mark.parametrize("reason", REASONS)
def test_a_bad_credential_gets_a_fresh_challenge_and_its_reason_in_the_evidence(reason):
    shop = Shop()
    cases = bad_credentials(shop)[reason]
    if reason == "service_not_authorized":
        reason = "services_widened"
    for authorization in cases:
        deliveries, opened = shop.seller_api.deliveries(), len(shop.ledger.opened)
        answer = shop.ask("/premium", ("Authorization", authorization))
        assert answer.status == 402
        assert len(parse_challenges(answer.headers_of("WWW-Authenticate"))) == 2
        assert shop.seller_api.deliveries() == deliveries
        assert len(shop.ledger.opened) == opened + 1
        exchange, record = shop.exchanges()[-1], shop.records()[-1]
        assert (exchange["credential"], exchange["refusal"]) == ("refused", reason)
        assert (record["denyReason"], record["paymentProofRef"], record["quotedCostMsats"]) == (
            "gateway_credential_refused",
            None,
            21_000,
        )


def test_a_credential_of_another_service_opens_nothing():
    shop = Shop(Service("a", pathregexp="^/a"), Service("b", pathregexp="^/b"))
    _, authorization, _ = shop.buy("/a")
    assert shop.ask("/b", ("Authorization", authorization)).status == 402
    assert shop.exchanges()[-1]["refusal"] == "service_not_authorized"


def test_a_credential_opens_the_service_until_it_expires():
    shop = Shop(Service("s", 1_000, timeout_s=60))
    _, authorization, _ = shop.buy("/")
    left_ms = 60_000 - (shop.clock.now_ms() - 1_735_000_000_000)
    shop.clock.advance(left_ms - 1_000)
    assert shop.ask("/", ("Authorization", authorization)).status == 200
    shop.clock.advance(1_000)
    assert shop.ask("/", ("Authorization", authorization)).status == 402
    assert shop.exchanges()[-1]["refusal"] == "expired"


def test_a_revoked_credential_is_refused_and_others_are_not():
    shop = Shop()
    _, first, payment = shop.buy("/premium")
    _, second, _ = shop.buy("/premium")
    assert shop.gateway.revoke(payment.payment_hash) == 1
    assert shop.gateway.revoke(payment.payment_hash) == 0
    assert shop.ask("/premium", ("Authorization", first)).status == 402
    assert shop.exchanges()[-1]["refusal"] == "root_key_unknown"
    assert shop.ask("/premium", ("Authorization", second)).status == 200


def test_the_last_authorization_line_decides():
    shop = Shop()
    _, authorization, _ = shop.buy("/premium")
    bearer, good = ("Authorization", "Bearer abc"), ("Authorization", authorization)
    assert shop.ask("/premium", bearer, good).status == 200
    assert shop.ask("/premium", good, bearer).status == 402


@pytest.mark.parametrize("header", ["Macaroon", "Grpc-Metadata-Macaroon"])
def test_a_hex_macaroon_with_a_preimage_caveat_is_taken(header):
    shop = Shop()
    _, authorization, payment = shop.buy("/premium")
    paid = Macaroon.from_base64(authorization.split()[1].partition(":")[0])
    narrowed = paid.attenuate(b"preimage=" + payment.preimage.hex().encode())
    assert shop.ask("/premium", (header, narrowed.to_bytes().hex())).status == 200
    assert shop.ask("/premium", (header, paid.to_bytes().hex())).status == 402
    assert shop.exchanges()[-1]["refusal"] == "preimage_caveat_missing"


def test_a_denied_request_sees_no_challenge_and_leaves_no_invoice():
    shop = Shop()
    shop.gate.denial = "global_pause_active"
    answer = shop.ask("/premium", REQUEST_ID, ("x-oa-task-id", "t"))
    assert (answer.status, answer.body) == (403, b"access denied\n")
    assert answer.header("WWW-Authenticate") is None
    assert shop.gate.asked == [("req-1", "owner_premium", "pw_premium", "t")]
    assert shop.ledger.opened == []
    assert shop.records() == ()
    exchange = shop.exchanges()[-1]
    assert (exchange["refusal"], exchange["challenge"]) == ("global_pause_active", None)


def test_a_denial_also_stops_a_credential_that_was_paid_for():
    shop = Shop()
    _, authorization, _ = shop.buy("/premium")
    shop.gate.denial = "owner_kill_switch_active"
    assert shop.ask("/premium", ("Authorization", authorization)).status == 403
    assert shop.seller_api.deliveries() == 1


@pytest.mark.parametrize("sent", ["req-1", "!" * 128, "a=b;c"])
def test_a_usable_request_id_is_echoed(sent):
    shop = Shop()
    assert shop.ask("/premium", ("X-OA-Request-Id", sent)).headers_of("x-oa-request-id") == (sent,)
    assert f"oa_req={sent} " in shop.journal.rows("logs")[-1]["line"]


@pytest.mark.parametrize("sent", ["", " ", "a b", "a\tb", "a\x1bb", "é", "x" * 129])
def test_an_unusable_request_id_is_replaced(sent):
    shop = Shop()
    (echoed,) = shop.ask("/premium", ("x-oa-request-id", sent)).headers_of("x-oa-request-id")
    assert uuid.UUID(echoed.removeprefix("gw-")).version == 4
    assert shop.exchanges()[-1]["requestId"] == shop.records()[-1]["requestId"] == echoed


def test_every_kind_of_answer_carries_the_request_id_leaves_one_exchange_and_one_log_line():
    shop = Shop(
        Service("paid", pathregexp="^/paid"),
        Service("skip", pathregexp="^/skip", authskipinvoicecreationpaths=("^/skip",)),
        Service(
            "open", pathregexp="^/open", auth="off", ratelimits=(RateLimit(requests=1, pathregexp="/rl"),)
        ),
        blocklist=("10.9.9.9",),
    )
    _, authorization, _ = shop.buy("/paid")
    before = len(shop.exchanges())
    credential = ("Authorization", authorization)
    answers = {
        402: shop.ask("/paid", REQUEST_ID),
        401: shop.ask("/skip", REQUEST_ID),
        403: shop.ask("/paid", REQUEST_ID, client_address="10.9.9.9"),
        200: shop.ask("/healthz", REQUEST_ID),
        404: shop.ask("/nowhere", REQUEST_ID),
    }
    shop.ask("/open/rl")
    answers[429] = shop.ask("/open/rl", REQUEST_ID)
    with shop.faults.inject(UpstreamDown()):
        answers[502] = shop.ask("/paid", REQUEST_ID, credential)
    with shop.faults.inject(UpstreamFailure(503)):
        answers[503] = shop.ask("/paid", REQUEST_ID, credential)
    assert {status: answer.status for status, answer in answers.items()} == {
        status: status for status in answers
    }
    assert {answer.headers_of("x-oa-request-id") for answer in answers.values()} == {("req-1",)}
    mine = [row for row in shop.exchanges()[before:] if row["requestId"] == "req-1"]
    lines = [row["line"] for row in shop.journal.rows("logs") if " oa_req=req-1 " in row["line"]]
    assert len(mine) == len(lines) == len(answers)
    assert [row["status"] for row in mine] == [402, 401, 403, 200, 404, 429, 502, 503]
    denials = {row["denyReason"] for row in shop.records() if row["requestId"] == "req-1"}
    assert denials == {
        None,
        "gateway_unauthorized",
        "gateway_address_blocked",
        "gateway_no_service",
        "gateway_rate_limited",
        "gateway_upstream_failed",
    }


def test_a_node_that_fails_gives_500_without_cors_and_a_record():
    shop = Shop()
    with shop.faults.inject(ChallengeFailure(), "req-1"):
        answer = shop.ask("/premium", REQUEST_ID)
    assert (answer.status, answer.body) == (500, b"challenge failure\n")
    assert answer.header("Access-Control-Allow-Origin") is None
    assert shop.records()[-1]["denyReason"] == "gateway_challenge_failed"
    assert shop.ledger.opened == []
    assert shop.ask("/premium", REQUEST_ID).status == 402


def test_a_backend_that_is_down_gives_an_empty_502_without_cors():
    class Unplugged:
        def handle(self, request):
            return Network().dispatch(request)

    shop = Shop(seller_api=Unplugged())
    answer, _, payment = shop.buy("/premium")
    assert (answer.status, answer.body, answer.header("Access-Control-Allow-Origin")) == (502, b"", None)
    record = shop.records()[-1]
    assert (record["denyReason"], record["paymentProofRef"]) == (
        "gateway_upstream_failed",
        payment.proof_reference,
    )
    assert shop.exchanges()[-1]["upstreamStatus"] is None


def test_a_backends_4xx_is_an_answer_and_its_5xx_a_failure():
    shop = Shop()
    _, authorization, _ = shop.buy("/premium")
    for status, reason in ((404, None), (500, "gateway_upstream_failed")):
        with shop.faults.inject(UpstreamFailure(status)):
            assert shop.ask("/premium", ("Authorization", authorization)).status == status
        assert shop.records()[-1]["denyReason"] == reason
        assert shop.exchanges()[-1]["upstreamStatus"] == status


def test_a_proven_payment_is_delivered_even_when_the_store_refuses_the_event():
    shop = Shop()
    shop.ledger.refusal = SettlementConflict("set_1", "amountMsats", 1, 2)
    answer, _, payment = shop.buy("/premium", REQUEST_ID)
    assert answer.status == 200
    record = shop.records()[-1]
    assert (record["paymentProofRef"], record["cacheHit"]) == (payment.proof_reference, None)
    assert any("settlement refused: settlement_conflict" in row["line"] for row in shop.journal.rows("logs"))


def test_freebies_pass_per_network_and_then_cost():
    shop = Shop(Service("f", auth="freebie 2"))
    asked = [shop.ask("/", client_address=f"10.0.0.{n}").status for n in range(3)]
    assert asked == [200, 200, 402]
    assert shop.ask("/", client_address="10.0.1.1").status == 200
    authorization, _ = shop.pay(shop.ask("/", client_address="10.0.0.7"))
    assert shop.ask("/", ("Authorization", authorization), client_address="10.0.0.7").status == 200


def test_a_whitelisted_path_is_free_and_not_gated():
    shop = Shop(Service("s", authwhitelistpaths=("^/free",)))
    shop.gate.denial = "global_pause_active"
    assert shop.ask("/free").status == 200
    assert shop.ask("/paid").status == 403
    assert shop.records()[0]["quotedCostMsats"] is None


def test_a_rate_limit_says_when_to_come_back_and_counts_verified_tokens_apart():
    limited = Service("s", ratelimits=(RateLimit(requests=1, per_s=10),))
    shop = Shop(limited)
    first = shop.ask("/")
    assert (first.status, shop.ask("/").status) == (402, 402)
    authorization, _ = shop.pay(first)
    assert shop.ask("/", ("Authorization", authorization)).status == 200
    refused = shop.ask("/", ("Authorization", authorization), client_address="127.0.0.99")
    assert (refused.status, refused.header("Retry-After")) == (429, "10")
    assert refused.body == b"rate limit exceeded\n"
    assert shop.ask("/", ("Authorization", authorization.replace("L402 A", "L402 B"))).status == 402
    shop.clock.advance(10_000)
    assert shop.ask("/", ("Authorization", authorization)).status == 200


GRPC = ("Content-Type", "application/grpc+proto")


def grpc_answer(answer):
    return answer.status, answer.header("Grpc-Status"), answer.header("Grpc-Message"), answer.body


def test_a_grpc_client_is_told_in_grpc_words():
    shop = Shop(
        Service("rl", pathregexp="^/rl", auth="off", ratelimits=(RateLimit(requests=1),)),
        Service("s"),
    )
    challenged = shop.ask("/", GRPC, method="POST")
    assert grpc_answer(challenged) == (200, "13", "payment required", b"")
    assert len(challenged.headers_of("WWW-Authenticate")) == 2
    shop.ask("/rl", GRPC)
    assert grpc_answer(shop.ask("/rl", GRPC)) == (200, "8", "rate limit exceeded", b"")
    with shop.faults.inject(ChallengeFailure()):
        assert grpc_answer(shop.ask("/", GRPC)) == (200, "13", "challenge failure", b"")
    shop.gate.denial = "global_pause_active"
    assert grpc_answer(shop.ask("/", GRPC)) == (200, "13", "access denied", b"")


def test_a_blocked_address_is_refused_before_anything_else():
    shop = Shop(blocklist=("10.9.9.9",))
    for method in ("GET", "OPTIONS"):
        assert shop.ask("/premium", method=method, client_address="10.9.9.9").status == 403
    assert shop.gate.asked == []


def test_a_preflight_is_never_challenged_nor_forwarded():
    shop = Shop()
    assert shop.ask("/premium", method="OPTIONS").status == 200
    assert (shop.gate.asked, shop.seller_api.deliveries(), shop.ledger.opened) == ([], 0, [])


def test_encoding_a_path_does_not_get_round_the_paywall():
    shop = Shop(Service("paid", pathregexp="^/paid"), Service("open", auth="off"))
    assert shop.ask("/%70aid/x").status == 402


class Spy:
    def __init__(self, *headers):
        self.headers = headers
        self.seen = None

    def handle(self, request):
        self.seen = request
        return Response(200, self.headers, b"ok")


def test_the_backend_sees_the_credential_the_request_id_and_the_client_but_nothing_of_the_connection():
    spy = Spy()
    shop = Shop(Service("s", address="seller.l402.test"), seller_api=spy)
    authorization, _ = shop.pay(shop.ask("/x"))
    request = Request(
        "POST",
        HOST,
        "/x",
        query="q=1",
        body=b"in",
        headers=(
            ("Authorization", authorization),
            ("Connection", "close, X-Hop"),
            ("X-Hop", "1"),
            ("TE", "trailers"),
            ("X-Forwarded-For", "192.0.2.1"),
            ("X-Kept", "a"),
            ("X-Kept", "b"),
            REQUEST_ID,
        ),
        client_address="192.0.2.7",
    )
    assert shop.gateway.handle(request).status == 200
    seen = spy.seen
    token = authorization.removeprefix("L402 ")
    assert seen.headers_of("Authorization") == (f"LSAT {token}", f"L402 {token}")
    assert (seen.host, seen.path, seen.query, seen.body, seen.method) == (
        "seller.l402.test",
        "/x",
        "q=1",
        b"in",
        "POST",
    )
    assert seen.headers_of("X-Kept") == ("a", "b")
    assert seen.headers_of("X-Forwarded-For") == ("192.0.2.1, 192.0.2.7",)
    assert seen.headers_of("x-oa-request-id") == ("req-1",)
    assert not [name for name, _ in seen.headers if name.lower() in ("connection", "x-hop")]
    assert (seen.headers_of("Host"), seen.headers_of("TE")) == (("seller.l402.test",), ("trailers",))
    assert seen.headers_of("Accept-Encoding") == ("gzip",)


def test_a_foreign_authorization_passes_untouched_where_nothing_is_asked():
    spy = Spy()
    Shop(Service("s", auth="off"), seller_api=spy).ask("/x", ("Authorization", "Bearer abc"))
    assert spy.seen.headers_of("Authorization") == ("Bearer abc",)


def test_a_backends_own_cors_lists_are_merged_in_front_one_line_each():
    spy = Spy(
        ("Access-Control-Allow-Origin", "https://a.example"),
        ("access-control-allow-headers", "X-Mine, content-type"),
        ("Access-Control-Allow-Headers", "X-Too"),
        ("Access-Control-Expose-Headers", "X-Request-Id"),
        ("x-oa-request-id", "the backend's own"),
    )
    answer = Shop(Service("s", auth="off"), seller_api=spy).ask("/x", REQUEST_ID)
    assert answer.headers_of("Access-Control-Allow-Origin") == ("*",)
    assert answer.headers_of("Access-Control-Allow-Headers") == (
        "X-Mine, content-type, X-Too, Authorization, Grpc-Metadata-macaroon, "
        "WWW-Authenticate, Payment-Receipt",
    )
    assert answer.headers_of("Access-Control-Expose-Headers") == (
        "X-Request-Id, WWW-Authenticate, Payment-Receipt",
    )
    assert answer.headers_of("x-oa-request-id") == ("req-1",)


def test_each_challenge_has_its_own_invoice_and_macaroon():
    shop = Shop()
    offers = [parse_challenges(shop.ask("/premium").headers_of("WWW-Authenticate"))[0] for _ in range(3)]
    assert len({offer.macaroon_base64 for offer in offers}) == 3
    assert len({decode_invoice(offer.invoice).payment_hash for offer in offers}) == 3


def test_the_same_seed_gives_the_same_evidence():
    def run():
        shop = Shop()
        shop.buy("/premium")
        shop.ask("/premium", ("Authorization", "Bearer x"))
        return {name: shop.journal.rows(name) for name in shop.journal.table_names()}

    assert run() == run()


def test_nothing_secret_is_in_any_row():
    shop = Shop()
    _, authorization, payment = shop.buy("/premium", REQUEST_ID)
    token, _, preimage = authorization.removeprefix("L402 ").partition(":")
    macaroon = Macaroon.from_base64(token)
    narrowed = macaroon.attenuate(b"preimage=" + preimage.encode())
    shop.ask("/premium", ("Macaroon", narrowed.to_bytes().hex()))
    shop.ask("/premium", ("Authorization", f"L402 {token}:{preimage[:-1]}0"))
    everything = repr({name: shop.journal.rows(name) for name in shop.journal.table_names()})
    for secret in (
        token,
        preimage,
        payment.preimage.hex()[:32],
        macaroon.to_bytes().hex(),
        macaroon.signature.hex(),
    ):
        assert secret not in everything


def test_text_of_the_request_line_cannot_break_a_log_line():
    shop = Shop(Service("s", auth="off"))
    shop.ask("/a\r\noa_req=forged x\x1b[31m", REQUEST_ID)
    line = shop.journal.rows("logs")[-1]["line"]
    assert "\n" not in line
    assert "\x1b" not in line
    assert " oa_req=forged" not in line
    assert shop.exchanges()[-1]["path"] == "/a%0D%0Aoa_req=forged%20x%1B%5B31m"
