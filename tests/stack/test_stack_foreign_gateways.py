"""A gateway with `handle` alone: the harness writes down what it does, and the platform is told for it."""

from __future__ import annotations

import http.client
from dataclasses import replace

import pytest
from foreign_gateways import Honest, RemembersTokens, TakesWhatIsSelfMade, UrlSafe

from pytest_l402.evidence import (
    Evidence,
    forgeries_refused,
    one_challenge_an_invoice,
    opened_in_no_other_way,
    paid_exactly_once,
    planes_agree,
    run_check,
)
from pytest_l402.evidence import delivered_as_paid as delivered
from pytest_l402.harness.network import Request, Response
from pytest_l402.protocol import Identifier, Macaroon, MacaroonError
from pytest_l402.stack import APERTURE, Stack
from pytest_l402.stack.gateway.lightning_node import UnknownInvoice
from pytest_l402.stack.roles import NotAbleError

FOREIGN = [Honest, UrlSafe, TakesWhatIsSelfMade, RemembersTokens]


@pytest.fixture
def stack():
    with Stack(8) as stack, stack.online():
        yield stack


def rows(stack, table):
    return stack.tables().get(table, [])


def said(check, stack):
    return [finding.seen for finding in run_check(check, Evidence(stack.tables()), False).violations]


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_purchase_leaves_what_one_of_ours_leaves(stack, kind):
    stack.replace(gateway=kind(stack))
    # The buyer of the stack pays for nothing but a macaroon that it can read.
    bought = (stack.executor if kind is Honest else stack.forger()).buy("/premium")
    assert bought.http_status == 200
    asked = [(row["status"], row["credential"], row["challenge"]) for row in rows(stack, "exchanges")]
    assert asked == [(402, "absent", "issued"), (200, "accepted", None)]
    (settlement,) = rows(stack, "settlements")
    assert (settlement["requestId"], settlement["amountMsats"]) == (bought.request_id, 21_000)
    (invoice,) = rows(stack, "invoices")
    assert invoice["status"] == "settled"
    planes = {row["plane"] for row in rows(stack, "records") if row["requestId"] == bought.request_id}
    assert planes == {"control", "gateway", "settlement", "ui"}
    assert said(paid_exactly_once(bought), stack) == said(planes_agree(), stack) == []


def test_a_wrapper_of_ours_speaks_for_itself(stack):
    class Wrapped:
        def __init__(self, inner):
            self.handle = lambda request: inner.handle(request)

    wrapped = stack.replace(gateway=Wrapped(stack.gateway))
    wrapped.executor.buy("/premium")
    planes = [row["plane"] for row in rows(stack, "records")]
    assert planes.count("gateway") == 2
    assert len(rows(stack, "settlements")) == 1


def forged_of(stack):
    forger = stack.forger()
    bought = forger.buy("/premium-expiring")
    forged = forger.present_forgeries(bought, foreign=forger.buy("/premium"))
    stack.clock.advance(61_000)
    return bought, (*forged, forger.present_again(bought, "expired"))


@pytest.mark.parametrize("kind", [Honest, UrlSafe, RemembersTokens])
def test_an_honest_gateway_refuses_every_forgery(stack, kind):
    stack.replace(gateway=kind(stack))
    bought, forged = forged_of(stack)
    assert {each.http_status for each in forged} == {402}
    assert said(forgeries_refused(bought, *forged), stack) == []


def test_a_gateway_that_takes_what_is_self_made_is_found_by_that_name(stack):
    stack.replace(gateway=TakesWhatIsSelfMade(stack))
    bought, forged = forged_of(stack)
    opened = {each.kind for each in forged if each.http_status == 200}
    assert "self-made, and never paid for" in opened
    told = run_check(forgeries_refused(bought, *forged), Evidence(stack.tables()), False).violations
    assert any("(self-made, and never paid for) refused" in each.expected for each in told)
    assert any("never paid for it" in text for text in said(delivered("/premium-expiring"), stack))


@pytest.mark.parametrize(
    ("good", "kind", "words"),
    [
        (lambda own, token, preimage, service: True, "preimage of nothing", "it takes any preimage: compare"),
        (
            lambda own, token, preimage, service: is_signed_by(own, token),
            "preimage of another payment",
            "it takes any preimage: compare",
        ),
        (
            lambda own, token, preimage, service: is_paid_to_anybody(own, token, preimage),
            "of another service",
            "it takes what was paid to another service: compare",
        ),
        (
            lambda own, token, preimage, service: own.node.lookup(str(preimage.payment_hash)) == "settled",
            "signed with another key",
            "it trusts what it has not signed",
        ),
    ],
    ids=["anything", "any preimage", "another service", "another key"],
)
def test_the_finding_says_which_check_the_gateway_leaves_out(stack, good, kind, words):
    class Careless(Honest):
        def is_paid(self, token, preimage, service):
            try:
                return good(self, token, preimage, service)
            except (UnknownInvoice, MacaroonError):
                return False

    stack.replace(gateway=Careless(stack))
    bought, forged = forged_of(stack)
    told = run_check(forgeries_refused(bought, *forged), Evidence(stack.tables()), False).violations
    (finding, *_) = [each for each in told if f"({kind}) refused" in each.expected]
    assert words in finding.remedy


def opens_for(request):
    """What cannot be read, or is of another scheme, method or header, opens; by the kind that finds it."""
    text, method = request.header("Authorization") or "", request.method
    return {
        "an empty credential": text.startswith("L402") and len(text.rpartition(":")[2]) != 64,
        "preimage of nothing, as LSAT": text.startswith("LSAT"),
        "a token of another scheme": text.startswith("Bearer"),
        "HEAD without a credential": method == "HEAD" and not text,
        "PUT without a credential": method == "PUT" and not text,
        "the header Macaroon, without a preimage": request.header("Macaroon") is not None,
    }


@pytest.mark.parametrize("kind", opens_for(Request("GET", "any.test")))
def test_a_gateway_that_opens_in_another_way_is_found_by_that_way(stack, kind):
    class Opens(Honest):
        def handle(self, request):
            if opens_for(request)[kind]:
                return self.seller.handle(replace(request, host="seller.l402.test"))
            return super().handle(request)

    stack.replace(gateway=Opens(stack))
    forger = stack.forger()
    tried = forger.ask_in_other_ways(forger.buy("/premium"))
    told = run_check(opened_in_no_other_way(*tried), Evidence(stack.tables()), False).violations
    assert any(f"({kind}) turned away" in each.expected for each in told), told
    assert f"no payment ({kind})" in next(each.remedy for each in told if f"({kind})" in each.expected)


@pytest.mark.parametrize("kind", [None, Honest, UrlSafe, RemembersTokens])
def test_an_honest_gateway_opens_in_no_other_way(stack, kind):
    if kind is not None:
        stack.replace(gateway=kind(stack))
    forger = stack.forger()
    tried = forger.ask_in_other_ways(forger.buy("/premium"))
    assert {each.http_status for each in tried} == {402}
    result = run_check(opened_in_no_other_way(*tried), Evidence(stack.tables()))
    assert result.passed, (result.violations, result.survivors)


def is_signed_by(own, token):
    return any(Macaroon.from_base64(token).verify(key) for key in own.keys.values())


def is_paid_to_anybody(own, token, preimage):
    paid_for = Identifier.decode(Macaroon.from_base64(token).identifier).payment_hash
    return is_signed_by(own, token) and preimage.payment_hash == paid_for


def test_a_macaroon_in_url_safe_base64_is_found_by_that_name(stack):
    stack.replace(gateway=UrlSafe(stack))
    bought = stack.executor.buy("/premium")
    assert not bought.paid
    assert "expected standard base64 with padding, saw" in bought.error_reason
    assert said(one_challenge_an_invoice(), stack) in (["url-safe base64"], ["base64 without its padding"])


@pytest.mark.parametrize("kind", FOREIGN)
def test_nobody_is_asked_to_pay_or_served_under_a_pause(stack, kind):
    stack.replace(gateway=kind(stack))
    direct = stack.forger()
    bought = direct.buy("/premium")
    stack.control_plane.set_global_pause(True)
    denied = direct.ask("/premium"), direct.present_again(bought)
    assert [each.http_status for each in denied] == [403, 403]
    assert {row["refusal"] for row in rows(stack, "exchanges")[2:]} == {"global_pause_active"}


def test_what_it_cannot_do_is_told_by_name(stack):
    stack.replace(gateway=Honest(stack))
    with pytest.raises(NotAbleError, match="not run: gateway Honest has no method revoke"):
        stack.able("gateway", "revoke")
    # Statuses are the operator's to choose: the front tells them.
    stack.able("gateway", "following")


def test_a_refused_credential_can_be_told_by_401_and_its_challenge_is_taken_back(stack):
    stack.replace(gateway=Honest(stack))
    forger = stack.forger()
    bought = forger.buy("/premium-expiring")
    stack.clock.advance(61_000)
    with stack.able("gateway", "following")(replace(APERTURE, expired_refusal_status=401)):
        assert forger.present_again(bought).http_status == 401
    assert rows(stack, "exchanges")[-1]["refusal"] == "expired"
    assert said(one_challenge_an_invoice(), stack) == []


class Remote:
    """A gateway behind a socket: only its answers come back."""

    def __init__(self, url):
        self.port = int(url.rpartition(":")[2])

    def handle(self, request):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        target = request.path + (f"?{request.query}" if request.query else "")
        connection.request(request.method, target, request.body, dict(request.headers))
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return Response(answer.status, tuple(answer.getheaders()), body)


def test_a_gateway_behind_a_socket_is_judged_by_wire_and_books(stack):
    from pytest_l402.harness.loopback import LoopbackServer

    with LoopbackServer(Honest(stack), host="gateway.l402.test") as server:
        stack.replace(gateway=Remote(server.url))
        bought = stack.executor.buy("/premium")
        stack.forger().buy("/premium?a=b", method="POST", body=b"{}")
        (gateway, requests), *_ = stack.players("gateway")
    assert (type(gateway), requests) == (Remote, 4)
    checks = paid_exactly_once(bought), delivered("/premium"), one_challenge_an_invoice(), planes_agree()
    assert [said(check, stack) for check in checks] == [[], [], [], []]
