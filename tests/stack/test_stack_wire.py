"""What the harness writes down of a gateway that tells nobody anything: wire, seller's book, node's book."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from hashlib import sha256

import pytest
from stack_shop import Shop

from pytest_l402.harness.network import Request, Response
from pytest_l402.protocol import Identifier, Preimage, mint
from pytest_l402.stack import Stack
from pytest_l402.stack.gateway.wire import carried_by, offered_by

TOKEN = mint(b"k" * 32, Identifier(0, Preimage(b"\x05" * 32).payment_hash, b"t" * 32).encode(), "lsat", ())
URLSAFE = urlsafe_b64encode(TOKEN.to_bytes()).decode().rstrip("=")
PREIMAGE = "05" * 32


def asked(*lines: tuple[str, str]) -> Request:
    return Request("GET", "gateway.l402.test", "/premium", headers=lines)


@pytest.mark.parametrize(
    "value",
    [
        f"L402 {TOKEN.to_base64()}:{PREIMAGE}",
        f"LSAT {URLSAFE}:{PREIMAGE}",
        f"l402  {URLSAFE}:{PREIMAGE.upper()}",
    ],
    ids=["standard", "url-safe", "url-safe, another case"],
)
def test_a_credential_is_known_in_every_form(value):
    carried = carried_by(asked(("Authorization", value)))
    assert carried is not None
    assert (carried.digest, carried.payment_hash) == (
        TOKEN.digest,
        str(Preimage(b"\x05" * 32).payment_hash),
    )


def test_an_opaque_credential_is_of_the_payment_that_its_preimage_proves():
    token = urlsafe_b64encode(json.dumps({"hash": "anything"}).encode()).decode()
    carried = carried_by(asked(("Authorization", f"L402 {token}:{PREIMAGE}")))
    assert carried is not None
    assert carried.macaroon is None
    assert carried.payment_hash == str(Preimage(b"\x05" * 32).payment_hash)
    assert carried.digest == f"sha256:{sha256(token.encode()).hexdigest()[:16]}"
    assert PREIMAGE not in repr(carried)


def test_what_is_no_credential_is_none():
    assert carried_by(asked()) is None
    assert carried_by(asked(("Authorization", "Bearer abc"))) is None
    assert carried_by(asked(("Authorization", "L402 without-a-preimage"))) is not None
    assert offered_by(Response(402, (("WWW-Authenticate", "L402"),))) is None
    assert offered_by(Response(402, (("WWW-Authenticate", 'Basic realm="x"'),))) is None


def test_two_invoices_of_one_challenge_are_counted():
    shop = Shop()
    first, second = (shop.ask("/premium").headers_of("WWW-Authenticate") for _ in range(2))
    offered = offered_by(Response(402, (("WWW-Authenticate", first[0]), ("WWW-Authenticate", second[1]))))
    assert offered is not None
    assert offered.invoices == 2
    offered = offered_by(Response(402, (("WWW-Authenticate", 'L402 macaroon="AA==", invoice="DEV:1"'),)))
    assert offered is not None
    assert (offered.invoices, offered.payment_hash, offered.amount_msats) == (1, None, None)


class Silent:
    """A gateway that answers, and tells nobody anything."""

    def __init__(self, answer):
        self.handle = answer


def test_the_exchange_of_a_silent_gateway_is_what_crossed_the_wire():
    shop = Shop()
    shop.edge._gateway = Silent(lambda request: Response(403, (("Cache-Control", "no-store"),), b"no\n"))
    headers = (("x-oa-request-id", "r-1"), ("Authorization", f"L402 {TOKEN.to_base64()}:{'07' * 32}"))
    shop.edge.handle(Request("POST", "h", "/premium", "a=1", headers=headers, body=b"{}"))
    (row,) = shop.exchanges()
    told = {"status": 403, "credential": "refused", "refusal": "preimage_mismatch", "upstreamStatus": None}
    assert told.items() <= row.items()
    assert (row["bodySha256"], row["bodyBytes"]) == (sha256(b"{}").hexdigest(), 2)
    assert row["querySha256"] == sha256(b"a=1").hexdigest()
    assert (row["answerSha256"], row["cacheControl"]) == (sha256(b"no\n").hexdigest(), "no-store")


def test_a_silent_gateway_that_delivers_has_accepted_what_was_presented():
    shop = Shop()
    shop.edge._gateway = shop.seller_api
    presented = ("Authorization", f"L402 {TOKEN.to_base64()}:{PREIMAGE}")
    shop.edge.handle(asked(("x-oa-request-id", "r-1"), presented))
    shop.edge.handle(asked(("x-oa-request-id", "r-2")))
    first, second = shop.exchanges()
    assert (first["credential"], first["sellerCalls"], first["upstreamStatus"]) == ("accepted", [1], 200)
    assert (second["credential"], second["sellerCalls"]) == ("absent", [2])


def test_the_seller_enters_what_it_was_asked_and_what_it_answered():
    shop = Shop()
    shop.edge._gateway = shop.seller_api
    headers = (("x-oa-request-id", "r-1"), ("Authorization", f"L402 {URLSAFE}:{PREIMAGE}"))
    answer = shop.edge.handle(Request("PUT", "h", "/premium", "b=2", headers=headers, body=b"abc"))
    (call,) = shop.seller_api.book
    assert call == {
        "call": 1,
        "during": None,
        "requestId": "r-1",
        "method": "PUT",
        "host": "h",
        "path": "/premium",
        "querySha256": sha256(b"b=2").hexdigest(),
        "bodySha256": sha256(b"abc").hexdigest(),
        "bodyBytes": 3,
        "credentialDigest": TOKEN.digest,
        "paymentHash": str(Preimage(b"\x05" * 32).payment_hash),
        "status": 200,
        "answerSha256": sha256(answer.body).hexdigest(),
        "answerBytes": len(answer.body),
        "atMs": call["atMs"],
    }


def test_the_node_knows_for_which_request_an_invoice_was_made():
    def forgets_to_say(request):
        stack.node.create_invoice(5_000)
        return Response(500)

    with Stack(6) as stack, stack.connected():
        stack.client.get("/premium", headers={"x-oa-request-id": "r-1"})
        stack.replace(gateway=Silent(forgets_to_say))
        stack.client.get("/premium", headers={"x-oa-request-id": "r-2"})
        stack.wallet.pay_invoice(next(iter(stack.node._held.values())).invoice.bolt11)
        first, second = stack.tables()["node_invoices"]
    assert (first["requestId"], first["amountMsats"]) == ("r-1", 21_000)
    assert (second["requestId"], second["amountMsats"], second["settledAtMs"]) == ("r-2", 5_000, None)
    assert first["settledAtMs"] >= first["createdAtMs"]


def test_what_the_probes_of_the_steady_state_leave_is_no_evidence():
    with Stack(6) as stack:
        stack.steady_state("before")
        assert stack.seller_api.book
        assert stack.node.book()
        assert {"seller_calls", "node_invoices", "exchanges"}.isdisjoint(stack.tables())
