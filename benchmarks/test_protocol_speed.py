"""How fast the protocol room is, alone and against the packages it replaces, within one run.

Run with ``pytest benchmarks/test_protocol_speed.py``; each group of the table is one comparison.
"""

import sys
import time
from statistics import median

import pytest

from pytest_l402.protocol import (
    Identifier,
    PaymentHash,
    Preimage,
    check_caveats,
    decode_invoice,
    encode_invoice,
    format_challenge,
    format_credential,
    mint,
    parse_credential,
)

KEY = b"\x42" * 32
ROOT_KEY = b"\x01" * 32
PREIMAGE = Preimage(bytes(range(32)))
IDENTIFIER = Identifier(0, PREIMAGE.payment_hash, b"\x02" * 32).encode()
CAVEATS = (b"services=svc:0", b"svc_capabilities=", b"svc_valid_until=1900000000")
NOW = 1_700_000_000


def our_mint():
    return mint(ROOT_KEY, IDENTIFIER, caveats=CAVEATS).to_base64()


def our_encode():
    return encode_invoice(
        private_key=KEY,
        payment_hash=PREIMAGE.payment_hash,
        timestamp_s=NOW,
        amount_msats=21_000,
        description="L402",
        payment_secret=b"\x11" * 32,
        expiry_s=3600,
    )


INVOICE = our_encode()


def our_decode():
    return decode_invoice(INVOICE)


def challenge():
    macaroon, invoice = our_mint(), our_encode()
    return [format_challenge(macaroon, invoice, scheme) for scheme in ("LSAT", "L402")]


HEADERS = (("Authorization", format_credential(our_mint(), PREIMAGE)),)


def verification():
    credential = parse_credential(HEADERS)
    identifier = Identifier.decode(credential.macaroon.identifier)
    allowed = identifier.payment_hash == credential.preimage.payment_hash
    allowed = allowed and credential.macaroon.verify(ROOT_KEY)
    check_caveats(credential.macaroon.caveats, "svc", NOW)
    return allowed


@pytest.fixture(scope="module")
def their_mint():
    pymacaroons = pytest.importorskip("pymacaroons")

    def run():
        macaroon = pymacaroons.Macaroon(
            location="lsat", identifier=IDENTIFIER, key=ROOT_KEY, version=pymacaroons.MACAROON_V2
        )
        for caveat in CAVEATS:
            macaroon.add_first_party_caveat(caveat.decode())
        return macaroon.serialize()

    assert run().replace("-", "+").replace("_", "/").rstrip("=") == our_mint().rstrip("=")
    return run


@pytest.fixture(scope="module")
def their_bolt11():
    if sys.version_info >= (3, 13):
        pytest.skip("bolt11 needs Python below 3.13")
    bolt11 = pytest.importorskip("bolt11")
    read = bolt11.decode(INVOICE)
    assert bolt11.encode(read, KEY.hex()) == INVOICE
    return lambda: bolt11.encode(read, KEY.hex()), lambda: bolt11.decode(INVOICE)


@pytest.mark.benchmark(group="challenge and verification")
def test_challenge(benchmark):
    assert len(benchmark(challenge)) == 2


@pytest.mark.benchmark(group="challenge and verification")
def test_verification(benchmark):
    assert benchmark(verification)


@pytest.mark.benchmark(group="mint")
def test_mint_ours(benchmark):
    benchmark(our_mint)


@pytest.mark.benchmark(group="mint")
def test_mint_pymacaroons(benchmark, their_mint):
    benchmark(their_mint)


@pytest.mark.benchmark(group="bolt11 encode")
def test_encode_ours(benchmark):
    benchmark(our_encode)


@pytest.mark.benchmark(group="bolt11 encode")
def test_encode_bolt11(benchmark, their_bolt11):
    benchmark(their_bolt11[0])


@pytest.mark.benchmark(group="bolt11 decode")
def test_decode_ours(benchmark):
    assert benchmark(our_decode).payment_hash == PaymentHash(PREIMAGE.payment_hash)


@pytest.mark.benchmark(group="bolt11 decode")
def test_decode_bolt11(benchmark, their_bolt11):
    benchmark(their_bolt11[1])


def seconds(run, loops):
    start = time.perf_counter()
    for _ in range(loops):
        run()
    return (time.perf_counter() - start) / loops


def test_ratios(their_mint, their_bolt11, capsys):
    """Interleaves the two sides, so that a busy machine slows both, and prints the median of the ratios."""
    pairs = {
        "mint": (our_mint, their_mint, 200),
        "bolt11 encode": (our_encode, their_bolt11[0], 20),
        "bolt11 decode": (our_decode, their_bolt11[1], 20),
    }
    lines = []
    for name, (ours, theirs, loops) in pairs.items():
        ratios = [seconds(theirs, loops) / seconds(ours, loops) for _ in range(9)]
        lines.append(f"{name}: {median(ratios):.1f} times as fast (worst of nine {min(ratios):.1f})")
    with capsys.disabled():
        print("", *lines, sep="\n")
