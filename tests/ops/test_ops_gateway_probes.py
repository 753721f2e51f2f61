"""The probes of a gateway, its configuration text, and what a buyer reads in a 402."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_l402.protocol import Preimage, caveat, encode_invoice, mint
from pytest_l402.protocol.quote import UnreadableQuote, credential_expiry, read_quote
from pytest_l402.stack import GatewayProbes, Stack
from pytest_l402.stack.buyer.credential_cache import CachedCredential, CredentialCache
from pytest_l402.stack.buyer.purchase import CacheStatus
from pytest_l402.stack.faults import ChallengeFailure, GatewayDown, PaymentFailure, UpstreamDown


@pytest.fixture
def stack() -> Iterator[Stack]:
    with Stack(1) as stack, stack.online():
        yield stack


def probes(stack: Stack, price_msats: int = 21_000, path: str = "/premium") -> GatewayProbes:
    return GatewayProbes(stack.client, path, price_msats, "probe-1")


def test_a_healthy_gateway_passes_and_is_paid_once(stack: Stack) -> None:
    report = probes(stack).run(stack.wallet)
    assert (report.ok, report.reasons) == (True, ())
    (payment,) = stack.tables()["payments"]
    assert payment["amountMsats"] == 21_000
    statuses = [(row["path"], row["status"]) for row in stack.tables()["exchanges"]]
    assert statuses == [("/healthz", 200), ("/premium", 402), ("/premium", 200)]


@pytest.mark.parametrize(
    ("fault", "flags", "reasons"),
    [
        (
            GatewayDown(),
            (False, False, False),
            ("health_unreachable_ConnectError", "challenge_unreachable_ConnectError", "proxy_not_tried"),
        ),
        (ChallengeFailure(), (True, False, False), ("challenge_status_500", "proxy_not_tried")),
        (UpstreamDown(), (True, True, False), ("proxy_status_502",)),
        (PaymentFailure(), (True, True, False), ("proxy_not_paid_PaymentFailed",)),
    ],
)
def test_each_fault_fails_its_probe(
    stack: Stack, fault: Any, flags: tuple[bool, ...], reasons: tuple[str, ...]
) -> None:
    with stack.faults.inject(fault):
        report = probes(stack).run(stack.wallet)
    assert (report.health_ok, report.challenge_ok, report.proxy_ok) == flags
    assert (report.ok, report.reasons) == (False, reasons)


def test_a_wrong_price_is_no_challenge_and_is_not_paid(stack: Stack) -> None:
    report = probes(stack, price_msats=20_000).run(stack.wallet)
    assert report.reasons == ("challenge_amount_21000_not_20000", "proxy_not_tried")
    assert "payments" not in stack.tables()


def test_an_open_paywall_is_no_challenge(stack: Stack) -> None:
    report = probes(stack, path="/status").run(stack.wallet)
    assert report.reasons == ("challenge_status_200", "proxy_not_tried")


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (None, "challenge_absent"),
        ('L402 macaroon="AA==", invoice="lnbcrt1x"', "challenge_invoice_unreadable"),
    ],
)
def test_a_402_alone_is_no_challenge(stack: Stack, header: str | None, reason: str) -> None:
    headers = {} if header is None else {"WWW-Authenticate": header}
    odd = httpx.MockTransport(lambda _: httpx.Response(402, headers=headers))
    with httpx.Client(base_url="https://odd.test", transport=odd) as client:
        seen = GatewayProbes(client, "/premium", 1, "probe-1").challenge()
    assert seen == reason


def test_a_proxy_that_cannot_be_reached_any_more_is_told(stack: Stack) -> None:
    def gone(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("too late", request=request)

    with httpx.Client(base_url="https://odd.test", transport=httpx.MockTransport(gone)) as client:
        assert GatewayProbes(client, "/", 1, "probe-1").proxy("L402 x:y") == "proxy_unreachable_ReadTimeout"


KEY = b"\x01" * 32
PREIMAGE = Preimage(b"\x02" * 32)


def challenge(amount_msats: int | None, *caveats: bytes) -> str:
    invoice = encode_invoice(
        private_key=KEY,
        payment_hash=PREIMAGE.payment_hash,
        timestamp_s=1_735_000_000,
        amount_msats=amount_msats,
        description="L402",
    )
    macaroon = mint(KEY, b"identifier", caveats=caveats).to_base64()
    return f'L402 macaroon="{macaroon}", invoice="{invoice}", amount_msats="1"'


def test_the_quote_is_the_signed_invoice_s_not_the_header_s() -> None:
    quote = read_quote(["Basic realm=x", challenge(21_000)])
    assert (quote.amount_msats, quote.payment_hash) == (21_000, str(PREIMAGE.payment_hash))
    assert quote.expires_at_s is None
    assert PREIMAGE.hex() in quote.authorization(PREIMAGE)
    assert "lnbc" not in repr(quote)


def test_an_open_amount_is_not_paid() -> None:
    with pytest.raises(UnreadableQuote, match="names no amount") as refused:
        read_quote([challenge(None)])
    assert refused.value.code == "challenge_amount_missing"


@pytest.mark.parametrize(
    ("caveats", "expiry"),
    [
        ((), None),
        ((caveat("premium_valid_until", 50),), 50),
        ((caveat("a_valid_until", 50), caveat("b_valid_until", 40)), 40),
        ((caveat("a_valid_until", 50), caveat("a_valid_until", 45)), 45),
        ((caveat("a_valid_until", "soon"), b"no-equals-sign", caveat("services", "a:0")), None),
        ((caveat("a_valid_until", "9" * 30),), None),
    ],
)
def test_the_earliest_expiry_counts(caveats: tuple[bytes, ...], expiry: int | None) -> None:
    assert credential_expiry(mint(KEY, b"identifier", caveats=caveats).to_base64()) == expiry


def test_an_unreadable_macaroon_states_no_expiry() -> None:
    assert credential_expiry("not base64!") is None


@given(st.text())
def test_no_header_text_breaks_the_reader(text: str) -> None:
    with pytest.raises(UnreadableQuote):
        read_quote([text])


def credential(expires_at_s: int | None) -> CachedCredential:
    return CachedCredential(
        "L402 secret:secret", "00" * 32, 1, "lightning_preimage:x", "preimage:x", expires_at_s
    )


@pytest.mark.parametrize(
    ("act", "now_s", "status"),
    [
        (lambda cache: None, 0, CacheStatus.MISS),
        (lambda cache: cache.store("key", credential(None)), 10**9, CacheStatus.HIT),
        (lambda cache: cache.store("key", credential(100)), 99, CacheStatus.HIT),
        (lambda cache: cache.store("key", credential(100)), 100, CacheStatus.STALE),
        (lambda cache: (cache.store("key", credential(None)), cache.evict("key")), 0, CacheStatus.MISS),
        (lambda cache: (cache.store("key", credential(None)), cache.clear()), 0, CacheStatus.MISS),
        (lambda cache: cache.store("other", credential(None)), 0, CacheStatus.MISS),
    ],
    ids=["empty", "unlimited", "in time", "expired", "evicted", "cleared", "other key"],
)
def test_the_cache_offers_what_is_still_good(
    act: Callable[[CredentialCache], object], now_s: int, status: CacheStatus
) -> None:
    cache = CredentialCache()
    act(cache)
    found, offered = cache.lookup("key", now_s)
    assert found is status
    assert (offered is not None) == (status is CacheStatus.HIT)
    if status is CacheStatus.STALE:
        assert cache.lookup("key", now_s) == (CacheStatus.MISS, None)
        assert len(cache) == 0


def test_a_cached_credential_does_not_show_itself() -> None:
    assert "secret" not in repr(credential(None))
