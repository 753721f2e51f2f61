import hashlib
import hmac
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_l402.protocol import Macaroon, MacaroonError, mint

VECTORS = json.loads((Path(__file__).parent / "vectors" / "macaroons.json").read_text())
ROOT_KEY = b"\x01" * 32
CAVEATS = st.lists(st.binary(max_size=300), max_size=5).map(tuple)


def named(cases):
    return [pytest.param(case, id=case.get("name")) for case in cases]


def minted(*caveats, location="lsat", identifier=b"id"):
    return mint(ROOT_KEY, identifier, location, caveats)


@pytest.mark.parametrize("case", VECTORS["macaroons"])
def test_mint_is_byte_equal_to_go_macaroon(case):
    caveats = tuple(text.encode() for text in case["caveats"])
    root_key = bytes.fromhex(case["root_key_hex"])
    macaroon = mint(root_key, bytes.fromhex(case["identifier_hex"]), case["location"], caveats)
    assert macaroon.signature.hex() == case["signature_hex"]
    assert macaroon.to_bytes().hex() == case["binary_hex"]
    assert macaroon.to_base64() == case["base64"]


@pytest.mark.parametrize("case", VECTORS["macaroons"])
def test_every_reader_takes_what_go_macaroon_wrote(case):
    from_base64 = Macaroon.from_base64(case["base64"])
    assert (
        from_base64 == Macaroon.from_hex(case["binary_hex"]) == Macaroon.from_hex(case["binary_hex"].upper())
    )
    assert from_base64.location == case["location"]
    assert from_base64.verify(bytes.fromhex(case["root_key_hex"]))
    assert not from_base64.verify(b"\x7f" * 32)


@pytest.mark.parametrize("case", named(VECTORS["parse"]))
def test_parse_agrees_with_go_macaroon(case):
    data = bytes.fromhex(case["binary_hex"])
    if not case["accepted"]:
        with pytest.raises(MacaroonError):
            Macaroon.from_bytes(data)
        return
    macaroon = Macaroon.from_bytes(data)
    assert macaroon.identifier.hex() == case["identifier_hex"]
    assert macaroon.location == case["location"]
    assert [caveat.decode() for caveat in macaroon.caveats] == case["caveats"]
    assert macaroon.verify(ROOT_KEY) is case["signature_ok_for_root_01x32"]


@given(
    st.binary(min_size=1, max_size=64),
    st.binary(max_size=300),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=150),
    CAVEATS,
)
def test_round_trip(root_key, identifier, location, caveats):
    macaroon = mint(root_key, identifier, location, caveats)
    assert Macaroon.from_bytes(macaroon.to_bytes()) == macaroon
    assert Macaroon.from_base64(macaroon.to_base64()) == macaroon
    assert macaroon.verify(root_key)


@given(CAVEATS, CAVEATS)
def test_attenuating_is_minting_with_more_caveats(first, second):
    assert minted(*first).attenuate(*second) == minted(*first, *second)


@given(st.data())
def test_no_change_of_one_byte_verifies(data):
    macaroon = minted(b"services=a:0", b"a_valid_until=9", identifier=bytes(66))
    raw = bytearray(macaroon.to_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    try:
        altered = Macaroon.from_bytes(bytes(raw))
    except MacaroonError:
        return
    # The location is a hint outside the chain: changing it alone forges nothing.
    same = (altered.identifier, altered.caveats, altered.signature) == (
        macaroon.identifier,
        macaroon.caveats,
        macaroon.signature,
    )
    assert altered.verify(ROOT_KEY) is same
    assert not same or altered.location != macaroon.location


def test_dropping_or_swapping_a_caveat_breaks_the_chain():
    macaroon = minted(b"a=1", b"b=2")
    for caveats in [(b"a=1",), (b"b=2", b"a=1"), (), (b"a=1", b"b=2", b"c=3")]:
        assert not Macaroon("lsat", b"id", caveats, macaroon.signature).verify(ROOT_KEY)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data):
    places = []
    for prefix in (b"", b"\x02", b"\x02\x02\x01i\x00", packet(b"location", b"x")):
        try:
            Macaroon.from_bytes(prefix + data)
        except MacaroonError as error:
            places.append(error.where)
    assert all(place.startswith("macaroon byte") for place in places)


@given(st.integers(0, 200))
def test_every_truncation_is_refused_and_names_a_byte(length):
    raw = minted(b"services=a:0", identifier=bytes(130)).to_bytes()
    with pytest.raises(MacaroonError) as caught:
        Macaroon.from_bytes(raw[: min(length, len(raw) - 1)])
    assert "macaroon byte" in caught.value.where


def test_location_is_left_out_when_empty_and_lengths_are_varints():
    assert minted(location="").to_bytes()[:2] == b"\x02\x02"
    assert minted(identifier=bytes(200), location="").to_bytes()[1:4] == b"\x02\xc8\x01"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "macaroon_empty"),
        (b"\x03\x02\x01i\x00\x00\x06\x20" + bytes(32), "macaroon_format"),
        (b"\x02\x02\x01i\x01\x01l\x00\x00\x06\x20" + bytes(32), "macaroon_order"),
        (b"\x02\x02\x01i\x02\x01i\x00\x00\x06\x20" + bytes(32), "macaroon_order"),
        (b"\x02\x01\x01l\x00\x00\x06\x20" + bytes(32), "macaroon_header"),
        (b"\x02\x02\x01i\x04\x01v\x00\x00\x06\x20" + bytes(32), "macaroon_header"),
        (b"\x02\x02\x01i\x00\x01\x01l\x00\x00\x06\x20" + bytes(32), "macaroon_caveat"),
        (b"\x02\x02\x01i\x00\x01\x01l\x02\x01c\x00\x00\x06\x20" + bytes(32), "macaroon_caveat"),
        (b"\x02\x02\x01i\x00\x02\x01c\x05\x01x\x00\x00\x06\x20" + bytes(32), "macaroon_caveat"),
        (b"\x02\x02\x01i\x00\x00\x06\x1f" + bytes(31), "macaroon_signature"),
        (b"\x02\x02\x01i\x00\x00\x02\x20" + bytes(32), "macaroon_signature"),
        (b"\x02\x02\xff\xff\xff\xff\x08i", "macaroon_varint"),
        (b"\x02\x02" + b"\x80" * 11 + b"\x01", "macaroon_varint"),
        (b"\x02\x02\x05i", "macaroon_truncated"),
    ],
)
def test_malformed_version_2(raw, reason):
    with pytest.raises(MacaroonError) as caught:
        Macaroon.from_bytes(raw)
    assert caught.value.reason == reason


def packet(name, value):
    return b"%04x%s %s\n" % (len(name) + len(value) + 6, name, value)


def version_1(*caveat_packets, signature=None):
    head = packet(b"location", b"lsat") + packet(b"identifier", b"id")
    return head + b"".join(caveat_packets) + packet(b"signature", signature or minted().signature)


def test_version_1_reads_to_the_same_macaroon():
    expected = minted(b"services=a:0", b"x=\n")
    raw = version_1(packet(b"cid", b"services=a:0"), packet(b"cid", b"x=\n"), signature=expected.signature)
    assert Macaroon.from_bytes(raw) == expected
    assert Macaroon.from_bytes(raw + b"trailing") == expected
    assert Macaroon.from_bytes(raw).verify(ROOT_KEY)
    assert Macaroon.from_bytes(raw).to_bytes() == expected.to_bytes()


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"0", "macaroon_v1_packet"),
        (b"0000location x\n", "macaroon_v1_packet"),
        (b"00FFlocation x\n", "macaroon_v1_packet"),
        (b"00ff" + b"location x\n", "macaroon_v1_packet"),
        (b"000blocation", "macaroon_v1_packet"),
        (b"0010location  lx", "macaroon_v1_packet"),
        (packet(b"identifier", b"id"), "macaroon_header"),
        (packet(b"location", b"l") + packet(b"cid", b"id"), "macaroon_header"),
        (version_1(packet(b"vid", b"v")), "macaroon_caveat"),
        (version_1(packet(b"cid", b"c"), packet(b"vid", b"v"), packet(b"vid", b"v")), "macaroon_caveat"),
        (version_1(packet(b"other", b"c")), "macaroon_caveat"),
        (version_1(signature=b"short"), "macaroon_signature"),
    ],
)
def test_malformed_version_1(raw, reason):
    with pytest.raises(MacaroonError) as caught:
        Macaroon.from_bytes(raw)
    assert caught.value.reason == reason
    # Each of these packets is the first one, so nothing of it may have been taken for good.
    assert reason != "macaroon_v1_packet" or caught.value.where == "macaroon byte 0"


def third_party_chain(caveat, verification_id):
    """The chain of a macaroon with one third-party caveat, from the paper's definition."""
    key = hmac.digest(b"macaroons-key-generator", ROOT_KEY, "sha256")
    signature = hmac.digest(key, b"id", "sha256")
    halves = (hmac.digest(signature, part, "sha256") for part in (verification_id, caveat))
    return hmac.digest(signature, b"".join(halves), "sha256")


def test_third_party_caveat_is_kept_but_never_verifies():
    signature = third_party_chain(b"ask", b"vid")
    raw = b"\x02\x02\x02id\x00\x01\x03far\x02\x03ask\x04\x03vid\x00\x00\x06\x20" + signature
    macaroon = Macaroon.from_bytes(raw)
    assert macaroon.caveats == (b"ask",)
    assert macaroon.third_party[0].location == b"far"
    assert macaroon.to_bytes() == raw
    assert not macaroon.verify(ROOT_KEY)
    assert not macaroon.attenuate(b"a=1").verify(ROOT_KEY)
    as_packets = (packet(b"cid", b"ask"), packet(b"vid", b"vid"), packet(b"cl", b"far"))
    version_one = Macaroon.from_bytes(version_1(*as_packets, signature=signature))
    assert version_one.third_party == macaroon.third_party
    later = Macaroon.from_bytes(version_1(packet(b"cid", b"ask"), *as_packets, *as_packets))
    assert [party.index for party in later.third_party] == [1, 2]
    assert not version_one.verify(ROOT_KEY)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("AgL_/w==", "URL-safe base64"),
        ("AgL-+w==", "URL-safe base64"),
        ("AgI", "without its padding"),
        ("AgI=\n", "not base64"),
        ("Ag I=", "not base64"),
        ("A", "not base64"),
        ("AgI=AgI=", "not base64"),
        ("Ag==I", "not base64"),
    ],
)
def test_text_form_is_standard_base64_with_padding(text, seen):
    with pytest.raises(MacaroonError) as caught:
        Macaroon.from_base64(text)
    assert caught.value.reason == "macaroon_base64"
    assert seen in caught.value.seen


@pytest.mark.parametrize("text", ["02 02", "020", "zz", "02\n02", "é"])
def test_hex_form_takes_hex_digits_only(text):
    with pytest.raises(MacaroonError) as caught:
        Macaroon.from_hex(text)
    assert caught.value.reason == "macaroon_hex"


def test_digest_refers_to_the_token_without_showing_it():
    macaroon = minted(b"services=a:0")
    assert macaroon.digest == "sha256:" + hashlib.sha256(macaroon.to_bytes()).hexdigest()[:16]
    assert macaroon.digest in repr(macaroon)
    assert macaroon.digest != macaroon.attenuate(b"a=1").digest
