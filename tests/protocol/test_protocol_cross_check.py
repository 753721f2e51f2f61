"""The room against independent implementations; they are development dependencies and may be absent."""

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_l402.protocol import Macaroon, PaymentHash, decode_invoice, encode_invoice, mint, public_key

KEY = bytes.fromhex("e126f68f7eafcc8b74f54d269fe206be715000f94dac067d1c04a8ca3b2db734")
BINARY = st.binary(min_size=1, max_size=80)


@pytest.fixture(scope="module")
def pymacaroons():
    return pytest.importorskip("pymacaroons")


@pytest.fixture(scope="module")
def bolt11():
    if sys.version_info >= (3, 13):
        pytest.skip("bolt11 needs Python below 3.13")
    return pytest.importorskip("bolt11")


@given(root_key=BINARY, identifier=BINARY, caveats=st.lists(st.text("abc=:,0", min_size=1), max_size=4))
@settings(max_examples=50)
def test_pymacaroons_makes_the_same_macaroon(pymacaroons, root_key, identifier, caveats):
    theirs = pymacaroons.Macaroon(
        location="lsat", identifier=identifier, key=root_key, version=pymacaroons.MACAROON_V2
    )
    for caveat in caveats:
        theirs.add_first_party_caveat(caveat)
    ours = mint(root_key, identifier, caveats=tuple(caveat.encode() for caveat in caveats))
    assert ours.signature.hex() == theirs.signature
    url_safe = theirs.serialize()
    padded = url_safe.replace("-", "+").replace("_", "/") + "=" * (-len(url_safe) % 4)
    assert Macaroon.from_base64(padded) == ours
    assert ours.to_base64() == padded


def test_pymacaroons_version_1_is_read(pymacaroons):
    theirs = pymacaroons.Macaroon(location="lsat", identifier="id", key="k", version=pymacaroons.MACAROON_V1)
    theirs.add_first_party_caveat("services=a:0")
    url_safe = theirs.serialize()
    padded = url_safe.replace("-", "+").replace("_", "/") + "=" * (-len(url_safe) % 4)
    assert Macaroon.from_base64(padded) == mint(b"k", b"id", caveats=(b"services=a:0",))


@given(
    amount_msats=st.none() | st.integers(1, 10**12),
    description=st.text("abc éü", max_size=50),
    expiry_s=st.integers(1, 10**6),
    payment_secret=st.binary(min_size=32, max_size=32),
)
@settings(max_examples=25)
def test_bolt11_reads_what_is_written(bolt11, amount_msats, description, expiry_s, payment_secret):
    payment_hash = PaymentHash(payment_secret[::-1])
    text = encode_invoice(
        private_key=KEY,
        payment_hash=payment_hash,
        timestamp_s=1_700_000_000,
        amount_msats=amount_msats,
        description=description,
        expiry_s=expiry_s,
        payment_secret=payment_secret,
    )
    theirs = bolt11.decode(text)
    assert theirs.amount_msat == amount_msats
    assert theirs.payment_hash == payment_hash
    assert theirs.description == description
    assert theirs.expiry == expiry_s
    assert theirs.payment_secret == payment_secret.hex()
    assert theirs.payee == public_key(KEY).hex()
    # Signed again from what it read: equal text means equal fields, order, signature and checksum.
    assert bolt11.encode(theirs, KEY.hex()) == text


def test_bolt11_writes_what_is_read(bolt11):
    tags = bolt11.Tags(
        [
            bolt11.Tag(bolt11.TagChar.payment_hash, "ab" * 32),
            bolt11.Tag(bolt11.TagChar.description, "L402"),
            bolt11.Tag(bolt11.TagChar.payment_secret, "cd" * 32),
            bolt11.Tag(bolt11.TagChar.expire_time, 86_400),
        ]
    )
    theirs = bolt11.Bolt11(
        currency="tbs", date=1_700_000_000, tags=tags, amount_msat=bolt11.MilliSatoshi(21_000)
    )
    ours = decode_invoice(bolt11.encode(theirs, KEY.hex()))
    assert (ours.prefix, ours.amount_msats, ours.expiry_s) == ("lntbs", 21_000, 86_400)
    assert ours.payment_hash == "ab" * 32
    assert ours.payment_secret == b"\xcd" * 32
    assert ours.payee == public_key(KEY)
