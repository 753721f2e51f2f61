import pickle
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_l402.protocol import Dialect, Identifier, IdentifierError, PaymentHash, Preimage, PreimageError

SECRET = bytes(range(32))


def test_payment_hash_is_the_sha256_of_the_preimage():
    payment_hash = Preimage(SECRET).payment_hash
    assert payment_hash == sha256(SECRET).hexdigest()
    assert payment_hash.to_bytes() == sha256(SECRET).digest()
    assert type(payment_hash.hex()) is str


def test_payment_hash_is_normal_text_in_lower_case():
    assert PaymentHash("AB" * 32) == "ab" * 32
    assert f"{PaymentHash(SECRET)}" == SECRET.hex()


@pytest.mark.parametrize("value", ["", "ab", "g" * 64, "ab" * 33, b"x" * 31, None, 5, "ab" * 32 + "\n"])
def test_payment_hash_refuses_other_forms(value):
    with pytest.raises(PreimageError, match="payment_hash_malformed"):
        PaymentHash(value)


@pytest.mark.parametrize("value", [b"", b"x" * 31, b"x" * 33, "ab" * 32, None])
def test_preimage_refuses_other_than_32_bytes(value):
    with pytest.raises(PreimageError, match="preimage_malformed"):
        Preimage(value)


def test_preimage_hex_is_strict_by_dialect():
    upper = SECRET.hex().upper()
    assert Preimage.from_hex(SECRET.hex()) == Preimage(SECRET)
    assert Preimage.from_hex(upper, Dialect.SPEC) == Preimage(SECRET)
    with pytest.raises(PreimageError, match="64 lower-case hex digits"):
        Preimage.from_hex(upper)


@pytest.mark.parametrize("text", ["", "a" * 63, "a" * 65, " " + "a" * 63, "a" * 64 + "\n"])
@pytest.mark.parametrize("dialect", Dialect)
def test_preimage_hex_of_another_length_is_refused(text, dialect):
    with pytest.raises(PreimageError):
        Preimage.from_hex(text, dialect)


def test_identifier_is_66_bytes_big_endian():
    identifier = Identifier(0, PaymentHash(SECRET), b"\x02" * 32)
    encoded = identifier.encode()
    assert encoded == b"\x00\x00" + SECRET + b"\x02" * 32
    assert Identifier.decode(encoded) == identifier


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_identifier_round_trip(payment_hash, token_id):
    identifier = Identifier(0, PaymentHash(payment_hash), token_id)
    assert Identifier.decode(identifier.encode()) == identifier


@given(st.integers(1, 0xFFFF))
def test_identifier_of_another_version_is_refused(version):
    with pytest.raises(IdentifierError, match="identifier_version"):
        Identifier.decode(version.to_bytes(2, "big") + bytes(64))


@given(st.binary(max_size=100).filter(lambda data: len(data) != 66))
def test_identifier_of_another_length_is_refused(data):
    with pytest.raises(IdentifierError, match="identifier_length"):
        Identifier.decode(data)


def test_identifier_takes_the_payment_hash_as_bytes_or_text():
    assert Identifier(0, SECRET, bytes(32)) == Identifier(0, PaymentHash(SECRET), bytes(32))
    with pytest.raises(IdentifierError, match="32 bytes"):
        Identifier(0, PaymentHash(SECRET), b"short")


def test_error_has_four_parts_and_survives_pickling():
    with pytest.raises(PreimageError) as caught:
        Preimage(b"short")
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.reason, error.expected, error.seen) == ("preimage_malformed", "32 bytes", "5 bytes")
    assert error.where == "preimage"
    assert str(error) == str(caught.value)
    assert error.remedy in str(error)
