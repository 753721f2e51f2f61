import json
from pathlib import Path

import pytest
from embit import bech32
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pytest_l402.protocol import InvoiceError, PaymentHash, decode_invoice, encode_invoice, public_key
from pytest_l402.protocol import _bech32 as room_bech32
from pytest_l402.protocol.bolt11 import TaggedField, encode_fields

VECTORS = json.loads((Path(__file__).parent / "vectors" / "bolt11.json").read_text())
KEY = bytes.fromhex(VECTORS["private_key"])
HASH = PaymentHash(bytes(range(32)))
VALID = [pytest.param(case, id=case["name"]) for case in VECTORS["valid"]]
SIGNED = [case for case in VALID if case.values[0]["signed_with_key"]]
INVALID = [pytest.param(case, id=case["name"]) for case in VECTORS["invalid"]]
WORDS = st.lists(st.integers(0, 31), max_size=80).map(bytes)


def encoded(**changes):
    arguments = {
        "private_key": KEY,
        "payment_hash": HASH,
        "timestamp_s": 1_700_000_000,
        "description": "L402",
    }
    return encode_invoice(**(arguments | changes))


def written(**instead):
    """The fields that an invoice has to have, and any other by its tag; None leaves one out."""
    words = {"p": bytes(52), "s": bytes(52), "d": b"\x01", **instead}
    return [TaggedField(tag, its) for tag, its in words.items() if its is not None]


def refusal(call, *arguments, **keywords):
    with pytest.raises(InvoiceError) as caught:
        call(*arguments, **keywords)
    return caught.value


@pytest.mark.parametrize("case", VALID)
def test_specification_examples_say_what_they_should(case):
    invoice = decode_invoice(case["invoice"])
    for name in ("prefix", "amount_msats", "timestamp_s", "payment_hash", "description", "expiry_s"):
        assert getattr(invoice, name) == case[name]
    for name in ("payee", "description_hash", "payment_secret"):
        value = getattr(invoice, name)
        assert (value and value.hex()) == case[name]
    assert (invoice.min_final_cltv, invoice.features) == (case["min_final_cltv"], case["features"])
    assert "".join(field.tag for field in invoice.unknown_fields) == case["unknown_tags"]


@pytest.mark.parametrize("case", SIGNED)
def test_specification_examples_are_signed_again_to_the_same_bytes(case):
    read = decode_invoice(case["invoice"])
    written = encode_fields(read.prefix, read.amount_msats, read.timestamp_s, read.fields, KEY)
    assert written == case["invoice"].lower()


@pytest.mark.parametrize("case", INVALID)
def test_specification_counterexamples_are_refused(case):
    assert refusal(decode_invoice, case["invoice"]).reason == case["reason"]


@given(
    amount_msats=st.none() | st.integers(1, 21 * 10**17),
    timestamp_s=st.integers(0, 2**35 - 1),
    description=st.text(st.characters(exclude_categories=["Cs"]), max_size=150),
    payment_secret=st.none() | st.binary(min_size=32, max_size=32),
    expiry_s=st.none() | st.integers(0, 2**40),
    min_final_cltv=st.none() | st.integers(0, 2**20),
    prefix=st.sampled_from(["lnbc", "lntb", "lntbs", "lnbcrt", "lnsb"]),
    include_payee=st.booleans(),
    other_fields=st.lists(st.builds(TaggedField, st.sampled_from("qfrm2"), WORDS), max_size=3),
)
@settings(max_examples=60)
def test_round_trip(**arguments):
    text = encoded(**arguments)
    for form in (text, text.upper()):
        invoice = decode_invoice(form)
        assert invoice.payee == public_key(KEY)
        assert invoice.payment_hash == HASH
        for name in ("amount_msats", "timestamp_s", "description", "prefix"):
            assert getattr(invoice, name) == arguments[name]
        assert len(invoice.payment_secret) == 32
        assert arguments["payment_secret"] in (None, invoice.payment_secret)
        expiry_s = 3600 if arguments["expiry_s"] is None else arguments["expiry_s"]
        assert invoice.expiry_s == expiry_s
        assert invoice.expires_at_s == arguments["timestamp_s"] + expiry_s
        assert invoice.min_final_cltv == (
            18 if arguments["min_final_cltv"] is None else arguments["min_final_cltv"]
        )
        assert invoice.unknown_fields == tuple(arguments["other_fields"])
        assert invoice.features == 0x4100
    assert encoded(**arguments) == text


@pytest.mark.parametrize(
    ("msats", "text"),
    [
        (10**11, "1"),
        (2 * 10**9, "20m"),
        (250_000_000, "2500u"),
        (21_000, "210n"),
        (100, "1n"),
        (1, "10p"),
        (967_878_534, "9678785340p"),
        (21 * 10**17, "21000000"),
    ],
)
def test_amount_is_written_with_the_largest_multiplier(msats, text):
    invoice = encoded(amount_msats=msats)
    assert invoice.startswith(f"lnbcrt{text}1p")
    assert decode_invoice(invoice).amount_msats == msats


def test_a_secret_that_is_not_given_is_one_of_the_payment():
    secrets = {
        decode_invoice(encoded(**changes)).payment_secret
        for changes in (
            {},
            {"timestamp_s": 5},
            {"payment_hash": PaymentHash(b"\x07" * 32)},
            {"private_key": b"\x05" * 32},
        )
    }
    assert len(secrets) == 3
    assert KEY not in secrets


@given(st.data())
@settings(max_examples=60)
def test_no_altered_character_is_accepted(data):
    text = encoded(amount_msats=21_000)
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from(bech32.CHARSET + "1b ").filter(lambda character: character != text[at]))
    refusal(decode_invoice, text[:at] + other + text[at + 1 :])


@given(st.data())
@settings(max_examples=40)
def test_altered_content_with_a_repaired_checksum_has_another_payee_or_none(data):
    prefix, words = room_bech32.decode(encoded(amount_msats=21_000))
    changed = bytearray(words)
    at = data.draw(st.integers(0, len(words) - 2))
    changed[at] ^= data.draw(st.integers(1, 31))
    try:
        invoice = decode_invoice(room_bech32.encode(prefix, bytes(changed)))
    except InvoiceError:
        return
    assert invoice.payee != public_key(KEY)


def test_named_payee_must_have_signed():
    read = decode_invoice(encoded(include_payee=True))
    assert read.payee == public_key(KEY)
    forged = encode_fields(read.prefix, None, read.timestamp_s, read.fields, b"\x05" * 32)
    assert refusal(decode_invoice, forged).reason == "invoice_signature"
    no_key = TaggedField("n", bytes(53))
    odd = encode_fields("lnbc", None, 1, [*written(), no_key], KEY)
    assert refusal(decode_invoice, odd).reason == "invoice_signature"


def resigned(change, **changes):
    """An invoice whose 65 signature bytes went through ``change``, with a fitting checksum."""
    prefix, words = room_bech32.decode(encoded(**changes))
    signature = bytes(bech32.convertbits(words[-104:], 5, 8, False))
    return room_bech32.encode(prefix, words[:-104] + bytes(bech32.convertbits(change(signature), 8, 5)))


def mirrored(signature):
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    s = order - int.from_bytes(signature[32:64])
    return signature[:32] + s.to_bytes(32) + bytes([signature[64] ^ 1])


def test_high_s_signature_recovers_the_same_payee():
    assert decode_invoice(resigned(mirrored)).payee == public_key(KEY)


def test_high_s_signature_is_refused_where_the_payee_is_named():
    assert decode_invoice(resigned(bytes, include_payee=True)).payee == public_key(KEY)
    assert refusal(decode_invoice, resigned(mirrored, include_payee=True)).reason == "invoice_signature"


@pytest.mark.parametrize(
    "change",
    [
        lambda signature: signature[:64] + b"\x04",
        lambda signature: bytes(64) + signature[64:],
        lambda signature: signature[:32] + bytes(32) + signature[64:],
        lambda signature: b"\xff" * 64 + signature[64:],
        lambda signature: signature[:32] + b"\xff" * 32 + signature[64:],
    ],
    ids=["recovery id", "zero", "s is zero", "all ones", "s too large"],
)
def test_signature_of_nobody_is_refused(change):
    assert refusal(decode_invoice, resigned(change)).reason == "invoice_signature"


def test_first_field_of_a_kind_counts_and_the_rest_is_kept():
    read = decode_invoice(encoded())
    other = decode_invoice(encoded(description="other", payment_hash=PaymentHash(b"\x07" * 32)))
    text = encode_fields("lnbcrt", None, 1, [*read.fields, *other.fields], KEY)
    both = decode_invoice(text)
    assert (both.payment_hash, both.description) == (HASH, "L402")
    assert both.unknown_fields == other.fields


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ([], "invoice_payment_hash_missing"),
        (written(s=None), "invoice_payment_secret_missing"),
        (written(d=None), "invoice_description"),
        (written(h=bytes(52)), "invoice_description"),
        (written(d=b"\x1f\x1f"), "invoice_description"),
        (written(**{"9": b"\x01"}), "invoice_feature_unknown"),
        (written(**{"9": b"\x01" + bytes(200)}), "invoice_feature_unknown"),
        (written(x=bytes([0, 1])), "invoice_not_minimal"),
        (written(c=bytes([0])), "invoice_not_minimal"),
        (written(**{"9": bytes([0, 16, 8, 0])}), "invoice_not_minimal"),
        (written(x=b"\x1f" * 14), "invoice_number_too_large"),
        (written(c=b"\x1f" * 14), "invoice_number_too_large"),
    ],
    ids=[
        *(
            "no fields",
            "no secret",
            "neither d nor h",
            "both d and h",
            "no UTF-8",
            "feature 0",
            "high feature",
        ),
        *("x of leading zeros", "c of zero", "9 of leading zeros", "long x", "long c"),
    ],
)
def test_field_that_forbids_payment(fields, reason):
    text = encode_fields("lnbc", None, 1, fields, KEY)
    assert refusal(decode_invoice, text).reason == reason


@pytest.mark.parametrize("length", [0, -1, 1], ids=["none", "shorter", "longer"])
@pytest.mark.parametrize(("tag", "right"), [("p", 52), ("h", 52), ("s", 52), ("n", 53)])
@pytest.mark.parametrize("beside", ["before", "after", "instead of"])
def test_field_of_a_wrong_length_is_refused(tag, right, length, beside):
    wrong = TaggedField(tag, bytes(right + length if length else 0))
    others = written(d=None, h=bytes(52)) if tag == "h" else written()
    if beside == "instead of":
        others = [one for one in others if one.tag != tag]
    fields = [wrong, *others] if beside == "before" else [*others, wrong]
    error = refusal(decode_invoice, encode_fields("lnbc", None, 1, fields, KEY))
    assert (error.reason, error.expected) == ("invoice_field_length", f"{right} words in field {tag}")


def test_unknown_compulsory_feature_is_named():
    text = encode_fields("lnbc", None, 1, written(**{"9": b"\x04\x00\x02"}), KEY)
    assert refusal(decode_invoice, text).seen == "bit 12"


@pytest.mark.parametrize(
    "features", [0, 1 << 9, 1 << 15, 1 << 14 | 1 << 8, 1 << 17, 1 << 24, 1 << 36, 1 << 48, 1 << 99]
)
def test_known_and_odd_features_are_accepted(features):
    words = bytes(features >> 5 * place & 31 for place in range(19, -1, -1)).lstrip(b"\x00")
    text = encode_fields("lnbc", None, 1, written(**{"9": words or None}), KEY)
    assert decode_invoice(text).features == features


@pytest.mark.parametrize("bit", [0, 4, 10, 12, 22, 30, 50, 56, 60, 62, 100, 148])
def test_features_that_no_invoice_may_ask_for_are_refused(bit):
    words = bytes((1 << bit) >> 5 * place & 31 for place in range(30, -1, -1)).lstrip(b"\x00")
    text = encode_fields("lnbc", None, 1, written(**{"9": words}), KEY)
    assert refusal(decode_invoice, text).seen == f"bit {bit}"


@pytest.mark.parametrize("scheme", ["lightning:", "LIGHTNING:", "Lightning:"])
def test_scheme_of_a_link_is_read_in_either_case(scheme):
    text = encoded(amount_msats=21_000)
    for form in (text, text.upper()):
        assert decode_invoice(scheme + form) == decode_invoice(text)


@pytest.mark.parametrize(
    "around", ["{} ", " {}", "{}\n", "{}\u200b", "lightning://{}", "lightning:lightning:{}"]
)
def test_text_around_an_invoice_is_refused(around):
    refusal(decode_invoice, around.format(encoded()))


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        (
            "lno1pqps7sjqpgtyzm3qv4uxzmtsd3jjqer9wd3hy6tsw35k7msjzfpy7nz5yqcnygrfd",
            "an offer of BOLT 12",
        ),
        ("lni1qqqqqqqqqq", "an invoice of BOLT 12"),
        ("LNURL1DP68GURN8GHJ7UM9WFMXJCM99E3K7MF0V9CXJ0M385EKVCENXC6R2C35", "an LNURL"),
        ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "'bc'"),
        ("bitcoin:?lightning=lnbc1qqqqqqqq", "'bitcoin:?lightning=l'"),
    ],
    ids=["offer", "invoice", "LNURL", "address", "BIP 21"],
)
def test_what_is_no_invoice_is_named_before_its_checksum_is_looked_at(text, seen):
    error = refusal(decode_invoice, text)
    assert (error.reason, error.seen) == ("invoice_prefix", seen)


@pytest.mark.parametrize(("name", "value"), [("expiry_s", 0), ("min_final_cltv", 0), ("expiry_s", 32)])
def test_numbers_are_written_with_as_few_words_as_they_take(name, value):
    tag = {"expiry_s": "x", "min_final_cltv": "c"}[name]
    read = decode_invoice(encoded(**{name: value}))
    assert getattr(read, name) == value
    (words,) = [one.words for one in read.fields if one.tag == tag]
    assert words == (b"\x01\x00" if value else b"")


def test_field_that_runs_into_the_signature_names_its_place():
    good = encode_fields("lnbc", None, 1, [TaggedField("p", bytes(52)), TaggedField("q", bytes(3))], KEY)
    prefix, words = room_bech32.decode(good)
    at = 7 + 55
    for cut in (words[: at + 2] + words[at + 6 :], words[: at + 4] + words[at + 6 :]):
        error = refusal(decode_invoice, room_bech32.encode(prefix, cut))
        assert error.reason == "invoice_field_truncated"
        assert error.where == f"invoice character {len('lnbc1') + at}"


@pytest.mark.parametrize(
    "prefix", ["lnbc0m", "lnbc01m", "lnbc10", "lnbcm", "lnbc1x", "lnbc1mm", "lnbc-1", "lnbc" + "9" * 5000]
)
def test_human_readable_part_is_exact(prefix):
    _, words = room_bech32.decode(encoded())
    text = room_bech32.encode(prefix, words)
    if prefix == "lnbc10":
        # A bare amount in bitcoin: readable, though by another payee, as the signature covers the amount.
        assert decode_invoice(text).amount_msats == 10 * 10**11
        assert decode_invoice(text).payee != public_key(KEY)
        return
    assert refusal(decode_invoice, text).reason == "invoice_amount"


def test_unknown_network_is_refused():
    _, words = room_bech32.decode(encoded())
    assert refusal(decode_invoice, room_bech32.encode("lnxx", words)).reason == "invoice_prefix"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"description": None}, "invoice_description"),
        ({"description_hash": bytes(32)}, "invoice_description"),
        ({"description": None, "description_hash": b"x"}, "invoice_length"),
        ({"description": "x" * 640}, "invoice_field"),
        ({"payment_secret": b"x"}, "invoice_length"),
        ({"payment_secret": bytes(32), "features": 0}, "invoice_payment_secret"),
        ({"features": 1 << 8}, "invoice_payment_secret"),
        ({"features": -1}, "invoice_negative"),
        ({"expiry_s": -1}, "invoice_negative"),
        ({"amount_msats": 0}, "invoice_amount"),
        ({"amount_msats": -5}, "invoice_amount"),
        ({"timestamp_s": 2**35}, "invoice_timestamp"),
        ({"timestamp_s": -1}, "invoice_timestamp"),
        ({"prefix": "lnxx"}, "invoice_prefix"),
        ({"private_key": bytes(32)}, "invoice_private_key"),
        ({"private_key": b"\xff" * 32}, "invoice_private_key"),
        ({"private_key": b"x"}, "invoice_private_key"),
        ({"other_fields": [TaggedField("b", b"")]}, "invoice_field"),
        ({"other_fields": [TaggedField("qq", b"")]}, "invoice_field"),
        ({"other_fields": [TaggedField("", b"")]}, "invoice_field"),
        ({"other_fields": [TaggedField("q", b"\x20")]}, "invoice_field"),
        ({"other_fields": [TaggedField("q", bytes(1024))]}, "invoice_field"),
    ],
    ids=str,
)
def test_what_cannot_be_written_is_refused(arguments, reason):
    error = refusal(encoded, **arguments)
    assert error.reason == reason
    assert KEY.hex() not in str(error)


def test_longest_description_fits():
    assert decode_invoice(encoded(description="x" * 639)).description == "x" * 639


@given(st.text(max_size=60))
@example("")
@example("1")
@example("lnbc1")
@example("İ1")
@example("lnbc1qqqqqİ")
@example("1Aa")
@example("lnbc1" + "q" * 8000)
def test_any_text_is_refused_by_position(text):
    error = refusal(decode_invoice, text)
    assert error.where.startswith("invoice")


@given(WORDS, st.sampled_from(["lnbc", "lnbcrt210n", "a", "LNBC".lower()]))
def test_checksum_is_that_of_embit(words, prefix):
    text = room_bech32.encode(prefix, words)
    assert text == bech32.bech32_encode(bech32.Encoding.BECH32, prefix, list(words))
    assert room_bech32.decode(text) == (prefix, words)


def test_position_of_a_wrong_character_is_named():
    text = encoded()
    assert refusal(decode_invoice, text[:30] + "b" + text[31:]).where == "invoice character 30"
    assert refusal(decode_invoice, text[:30] + "é" + text[31:]).where == "invoice character 30"
    for mixed in (text[:30] + text[30:].upper(), "1" + text[1:30].upper() + text[30:]):
        error = refusal(decode_invoice, mixed)
        assert error.reason == "bech32_mixed_case"
        assert error.where == "invoice character 30"


def test_payment_secret_is_not_shown():
    assert "1111" not in repr(decode_invoice(encoded(payment_secret=b"\x11" * 32)))
