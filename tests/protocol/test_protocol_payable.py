"""A challenge that can be read is not yet one that can be paid: what else has to hold, and its code."""

import pytest

from pytest_l402.protocol import Identifier, Preimage, caveat, encode_invoice, format_challenge, mint
from pytest_l402.protocol.bolt11 import TaggedField, encode_fields
from pytest_l402.protocol.payable import CLOCK_TOLERANCE_S, ChallengeFinding, check_fresh, payable_quote
from pytest_l402.protocol.quote import UnpayableQuote

KEY = b"\x01" * 32
HASH = Preimage(b"\x02" * 32).payment_hash
OTHER = Preimage(b"\x03" * 32).payment_hash
NOW = 1_790_000_000
URL_SAFE = str.maketrans("+/", "-_")


def invoice(**changes):
    usual = {
        "private_key": KEY,
        "payment_hash": HASH,
        "timestamp_s": NOW - 10,
        "amount_msats": 21_000,
        "description": "L402",
        "prefix": "lnbc",
    }
    return encode_invoice(**(usual | changes))


def macaroon(payment_hash=HASH, *caveats):
    identifier = Identifier(0, payment_hash, b"\xfb\xff" * 16).encode()
    return mint(KEY, identifier, caveats=caveats).to_base64()


def odd_invoice(**fields):
    words = {"p": bytes(52), "s": bytes(52), "d": b"\x01", **fields}
    tagged = [TaggedField(tag, its) for tag, its in words.items() if its is not None]
    return encode_fields("lnbc", 21_000, NOW, tagged, KEY)


def found(bolt11=None, token=None, lines=None, **how):
    """The code that a challenge is refused with, or None."""
    lines = lines or [format_challenge(token or macaroon(), bolt11 or invoice())]
    try:
        payable_quote(lines, **({"now_s": NOW, "networks": {"lnbc"}, "price_msats": 21_000} | how))
    except UnpayableQuote as refused:
        return refused.code if "AgEE" not in str(refused) and refused.detail else f"untold: {refused}"
    return None


def test_a_good_challenge_is_quoted():
    quote = payable_quote(
        [format_challenge(macaroon(HASH, caveat("premium_valid_until", NOW + 60)), invoice())], now_s=NOW
    )
    assert (quote.amount_msats, quote.payment_hash) == (21_000, str(HASH))
    assert quote.expires_at_s == NOW + 60


BAD = [
    ("expired", {"bolt11": invoice(timestamp_s=NOW - 7200)}, "challenge_invoice_expired"),
    ("expires now", {"bolt11": invoice(timestamp_s=NOW - 60, expiry_s=60)}, "challenge_invoice_expired"),
    ("of no time", {"bolt11": invoice(expiry_s=0)}, "challenge_invoice_expired"),
    ("future", {"bolt11": invoice(timestamp_s=NOW + 7200)}, "challenge_invoice_in_future"),
    ("no secret", {"bolt11": odd_invoice(s=None)}, "challenge_invoice_outdated"),
    ("both d and h", {"bolt11": odd_invoice(h=bytes(52))}, "challenge_invoice_outdated"),
    ("neither", {"bolt11": odd_invoice(d=None)}, "challenge_invoice_outdated"),
    ("short p", {"bolt11": odd_invoice(p=bytes(51))}, "challenge_invoice_outdated"),
    ("unknown feature", {"bolt11": odd_invoice(**{"9": b"\x01"})}, "challenge_invoice_outdated"),
    ("testnet", {"bolt11": invoice(prefix="lntb")}, "challenge_wrong_network"),
    ("regtest", {"bolt11": invoice(prefix="lnbcrt")}, "challenge_wrong_network"),
    ("other hash", {"bolt11": invoice(payment_hash=OTHER)}, "challenge_not_bound"),
    ("other macaroon", {"token": macaroon(OTHER)}, "challenge_not_bound"),
    ("other identifier", {"token": mint(KEY, b"mine").to_base64()}, "challenge_not_bound"),
    ("no macaroon", {"token": "bm90IGEgbWFjYXJvb24="}, "challenge_macaroon_unreadable"),
    ("JSON", {"token": "eyJwYXltZW50SGFzaCI6ICJ4In0="}, "challenge_macaroon_unreadable"),
    ("URL-safe", {"token": macaroon().translate(URL_SAFE)}, "challenge_macaroon_unreadable"),
    ("unpadded", {"token": macaroon(HASH, b"a").rstrip("=")}, "challenge_macaroon_unreadable"),
    (
        "credential over",
        {"token": macaroon(HASH, caveat("premium_valid_until", NOW))},
        "challenge_macaroon_expired",
    ),
    ("price", {"bolt11": invoice(amount_msats=22_000)}, "challenge_amount_22000_not_21000"),
    ("open amount", {"bolt11": invoice(amount_msats=None)}, "challenge_amount_missing"),
    ("no invoice", {"bolt11": "lnbc1x"}, "challenge_invoice_unreadable"),
    ("altered", {"bolt11": invoice()[:-1] + "q"}, "challenge_invoice_unreadable"),
    ("no challenge", {"lines": ["Basic realm=x"]}, "challenge_absent"),
    ("half a challenge", {"lines": ['L402 macaroon="AA=="']}, "challenge_incomplete"),
    ("no header", {"lines": ['L402 macaroon="']}, "challenge_malformed"),
]


@pytest.mark.parametrize(("how", "code"), [pytest.param(how, code, id=name) for name, how, code in BAD])
def test_each_departure_has_a_code(how, code):
    assert found() is None
    assert found(**how) == code


def test_every_finding_is_provoked():
    assert {*ChallengeFinding} <= {code for _, _, code in BAD} | {ChallengeFinding.INVOICE_REPEATED}


@pytest.mark.parametrize("scheme", ["LSAT", "L402"])
def test_every_line_is_looked_at(scheme):
    good, bad = invoice(), invoice(timestamp_s=NOW - 7200)
    lines = [format_challenge(macaroon(), bad if its == scheme else good, its) for its in ("LSAT", "L402")]
    assert found(lines=lines) == "challenge_invoice_expired"
    assert found(lines=lines[::-1]) == "challenge_invoice_expired"


def test_what_is_wrong_in_itself_is_told_before_what_is_not_as_ordered():
    other = invoice(timestamp_s=NOW - 7200, prefix="lntb", amount_msats=1)
    assert found(other) == "challenge_invoice_expired"
    assert found(invoice(payment_hash=OTHER, prefix="lntb")) == "challenge_not_bound"


def test_clocks_may_be_a_little_apart():
    assert found(invoice(timestamp_s=NOW + CLOCK_TOLERANCE_S)) is None
    assert found(invoice(timestamp_s=NOW + CLOCK_TOLERANCE_S + 1)) == "challenge_invoice_in_future"
    assert found(invoice(timestamp_s=NOW - 59, expiry_s=60)) is None


def test_what_is_not_asked_for_is_not_held_against_it():
    assert found(invoice(timestamp_s=1), now_s=None) is None
    assert found(invoice(prefix="lntb"), networks=None) is None
    assert found(invoice(amount_msats=5), price_msats=None) is None
    assert found(invoice(prefix="lnbcrt"), networks={"lnbc", "lnbcrt"}) is None


def test_a_challenge_that_was_handed_out_before_is_refused():
    first = payable_quote([format_challenge(macaroon(), invoice())])
    check_fresh(payable_quote([format_challenge(macaroon(OTHER), invoice(payment_hash=OTHER))]), first)
    with pytest.raises(UnpayableQuote) as refused:
        check_fresh(first, first)
    assert refused.value.code == "challenge_invoice_repeated"
