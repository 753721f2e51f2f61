import subprocess
import sys
import textwrap

import pytest
from embit.util import ctypes_secp256k1, py_secp256k1

from pytest_l402.protocol import _secp256k1 as curve

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
KEYS = [bytes(31) + b"\x01", b"\x42" * 32, (ORDER - 1).to_bytes(32)]


@pytest.fixture(params=["libsecp256k1", "python"])
def backend(request, monkeypatch):
    chosen = ctypes_secp256k1 if request.param == "libsecp256k1" else py_secp256k1
    monkeypatch.setattr(curve, "_backend", chosen)


def test_python_makes_the_bytes_that_libsecp_makes(monkeypatch):
    made = {}
    for name, chosen in (("libsecp256k1", ctypes_secp256k1), ("python", py_secp256k1)):
        monkeypatch.setattr(curve, "_backend", chosen)
        made[name] = [
            (curve.public_key(key), curve.sign(message, key))
            for key in KEYS
            for message in (b"", b"L402", b"x" * 99)
        ]
    assert made["python"] == made["libsecp256k1"]


@pytest.mark.usefixtures("backend")
def test_signature_leads_back_to_its_key():
    for key in KEYS:
        signature = curve.sign(b"message", key)
        public = curve.public_key(key)
        assert curve.recover(b"message", signature) == public
        assert curve.verify(b"message", signature, public)
        assert not curve.verify(b"other", signature, public)
        assert curve.recover(b"other", signature) != public
        assert int.from_bytes(signature[32:64]) <= ORDER // 2


@pytest.mark.usefixtures("backend")
def test_mirrored_signature_leads_to_the_same_key_and_is_not_taken_for_a_named_one():
    recovery_ids = set()
    for message in (b"a", b"b", b"c", b"d"):
        signature = curve.sign(message, KEYS[1])
        s = (ORDER - int.from_bytes(signature[32:64])).to_bytes(32)
        mirrored = signature[:32] + s + bytes([signature[64] ^ 1])
        assert curve.recover(message, mirrored) == curve.public_key(KEYS[1])
        assert not curve.verify(message, mirrored, curve.public_key(KEYS[1]))
        recovery_ids.add(signature[64])
    assert recovery_ids == {0, 1}


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(
    "signature",
    [
        bytes(65),
        bytes(31) + b"\x01" + bytes(33),
        bytes(32) + bytes(31) + b"\x01\x00",
        b"\xff" * 64 + b"\x00",
        bytes(31) + b"\x05" + bytes(31) + b"\x01\x00",
        bytes(31) + b"\x01" + bytes(31) + b"\x01\x04",
        b"\x7f" * 64 + b"\x03",
    ],
    ids=["zeros", "s zero", "r zero", "too large", "r no point", "recovery id 4", "r plus order too large"],
)
def test_no_key_is_found_where_none_signed(signature):
    assert curve.recover(b"message", signature) is None
    assert not curve.verify(b"message", signature, curve.public_key(KEYS[1]))


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("key", [b"", bytes(33), b"\x02" + b"\xff" * 32, b"\x04" * 33])
def test_verifying_with_what_is_no_key_fails(key):
    assert not curve.verify(b"message", curve.sign(b"message", KEYS[1]), key)


def test_private_keys_lie_below_the_order():
    assert all(curve.is_private_key(key) for key in KEYS)
    assert not any(curve.is_private_key(key) for key in (bytes(32), ORDER.to_bytes(32), b"", b"\x01" * 33))


PROGRAM = textwrap.dedent(
    """
    import sys
    if sys.argv[1] == "without":
        sys.modules["embit.util.ctypes_secp256k1"] = None
    from embit.util import secp256k1
    from pytest_l402.protocol import PaymentHash, decode_invoice, encode_invoice
    text = encode_invoice(private_key=b"\\x42" * 32, payment_hash=PaymentHash("ab" * 32), timestamp_s=1,
                          amount_msats=21_000, description="L402", payment_secret=bytes(32))
    print(secp256k1.ecdsa_sign.__module__, file=sys.stderr)
    print(text, decode_invoice(text).payee.hex())
    """
)


def test_invoice_is_the_same_on_a_machine_without_libsecp():
    runs = [
        subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
        for how in ("with", "without")
    ]
    assert "py_secp256k1" not in runs[0].stderr
    assert "py_secp256k1" in runs[1].stderr
    assert runs[0].stdout == runs[1].stdout != ""
