import json
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_l402.protocol import (
    Credential,
    CredentialError,
    CredentialReason,
    Dialect,
    Preimage,
    format_credential,
    mint,
    parse_credential,
)

VECTORS = json.loads((Path(__file__).parent / "vectors" / "headers.json").read_text())
CASES = [pytest.param(case, id=case["name"]) for case in VECTORS["cases"]]
REASONS = {
    "no auth header provided": CredentialReason.ABSENT,
    "invalid auth header format: ": CredentialReason.HEADER_MALFORMED,
    "base64 decode of macaroon failed: illegal base64 data at inp": CredentialReason.MACAROON_ENCODING,
    "hex decode of macaroon failed: encoding/hex: invalid byte: U": CredentialReason.MACAROON_ENCODING,
}
PREIMAGE = Preimage(bytes(range(32)))
MACAROON = mint(b"\x01" * 32, bytes(66), caveats=(b"services=svc:0",))
OTHER = MACAROON.attenuate(b"x=1")
TEXT = MACAROON.to_base64()
HEX = PREIMAGE.hex()
WITH_PREIMAGE = MACAROON.attenuate(f"preimage={HEX}".encode())


def authorization(*values):
    return [("Authorization", value) for value in values]


def refused(headers, dialect=Dialect.APERTURE):
    with pytest.raises(CredentialError) as caught:
        parse_credential(headers, dialect)
    return caught.value.reason


@pytest.mark.parametrize("case", CASES)
def test_headers_are_read_as_the_proxy_reads_them(case):
    headers = [(name, value) for name, values in case["headers"].items() for value in values]
    if not case["accepted"]:
        assert refused(headers) == REASONS[case["error_prefix"]]
        return
    credential = parse_credential(headers)
    assert credential.macaroon.to_bytes().hex() == case["macaroon_hex"]
    assert credential.preimage.hex() == case["preimage"]


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("scheme", ["L402", "LSAT"])
def test_what_is_written_is_read_back_in_every_dialect(dialect, scheme):
    headers = [("host", "x"), ("aUTHORIZATION", format_credential(TEXT, PREIMAGE, scheme))]
    assert parse_credential(headers, dialect) == Credential(MACAROON, PREIMAGE, scheme)


@pytest.mark.parametrize(
    ("line", "aperture", "spec"),
    [
        (f"L402 {TEXT}:{HEX}", None, None),
        (f"prefix L402 {TEXT}:{HEX}", None, CredentialReason.ABSENT),
        (f"L402 {TEXT}:{HEX}0", None, CredentialReason.PREIMAGE_MALFORMED),
        (f"L402 {TEXT}:{HEX} more", None, CredentialReason.HEADER_MALFORMED),
        (f"l402 {TEXT}:{HEX}", CredentialReason.HEADER_MALFORMED, None),
        (f"L402 {TEXT}:{HEX.upper()}", CredentialReason.HEADER_MALFORMED, None),
        (f"L402  {TEXT}:{HEX}", CredentialReason.MACAROON_ENCODING, None),
        (f"L402\t{TEXT}:{HEX}", CredentialReason.HEADER_MALFORMED, CredentialReason.HEADER_MALFORMED),
        (f"L402 {TEXT}:{HEX[:-1]}", CredentialReason.HEADER_MALFORMED, CredentialReason.PREIMAGE_MALFORMED),
        (f'L402 "{TEXT}":{HEX}', CredentialReason.MACAROON_ENCODING, CredentialReason.MACAROON_ENCODING),
        (
            f"L402 {MACAROON.to_bytes().hex()}0:{HEX}",
            CredentialReason.MACAROON_ENCODING,
            CredentialReason.MACAROON_ENCODING,
        ),
        (f"L402 AgIB:{HEX}", CredentialReason.MACAROON_MALFORMED, CredentialReason.MACAROON_MALFORMED),
        (f"L402 :{HEX}", CredentialReason.MACAROON_MALFORMED, CredentialReason.HEADER_MALFORMED),
        ("L402", CredentialReason.HEADER_MALFORMED, CredentialReason.HEADER_MALFORMED),
        ("Bearer abc", CredentialReason.HEADER_MALFORMED, CredentialReason.ABSENT),
    ],
    ids=str,
)
def test_dialects_differ_where_the_specification_differs(line, aperture, spec):
    for dialect, reason in ((Dialect.APERTURE, aperture), (Dialect.SPEC, spec)):
        if reason is None:
            assert parse_credential(authorization(line), dialect).macaroon == MACAROON
        else:
            assert refused(authorization(line), dialect) == reason


@pytest.mark.parametrize("repeated", ["L402 ", "L402 :", "LSAT L402:"])
def test_a_header_that_repeats_the_scheme_is_read_once(repeated):
    # Not timed: if every repetition were tried to the end, this would take an hour.
    assert refused(authorization(repeated * 300_000)) is CredentialReason.HEADER_MALFORMED


def test_the_first_scheme_decides_for_the_proxy():
    assert refused(authorization(f"L402 LSAT {TEXT}:{HEX}")) is CredentialReason.MACAROON_ENCODING


def test_several_macaroons_are_for_the_specification_only():
    headers = authorization(f"L402 {TEXT},{OTHER.to_base64()}:{HEX}")
    assert refused(headers) == CredentialReason.MACAROON_ENCODING
    assert parse_credential(headers, Dialect.SPEC).further_macaroons == (OTHER,)


def test_last_line_decides_for_the_proxy_and_l402_for_the_specification():
    one, two = format_credential(TEXT, PREIMAGE), format_credential(OTHER.to_base64(), PREIMAGE, "LSAT")
    for lines in ([one, two], [two, one]):
        last = MACAROON if lines[-1] == one else OTHER
        assert parse_credential(authorization(*lines)).macaroon == last
        assert parse_credential(authorization(*lines), Dialect.SPEC).macaroon == MACAROON
    assert parse_credential(authorization("Bearer x", one)).macaroon == MACAROON
    assert parse_credential(authorization(one, "Bearer x"), Dialect.SPEC).macaroon == MACAROON


@pytest.mark.parametrize("name", ["Macaroon", "Grpc-Metadata-Macaroon", "macaroon"])
def test_hex_macaroon_brings_its_preimage_as_a_caveat(name):
    for text in (WITH_PREIMAGE.to_bytes().hex(), WITH_PREIMAGE.to_bytes().hex().upper()):
        credential = parse_credential([(name, text)])
        assert credential == Credential(WITH_PREIMAGE, PREIMAGE, "macaroon")


def test_hex_macaroon_counts_only_without_authorization_and_grpc_goes_first():
    good, other = WITH_PREIMAGE.to_bytes().hex(), MACAROON.to_bytes().hex()
    assert refused([("Macaroon", good), ("Authorization", "Bearer x")]) == CredentialReason.HEADER_MALFORMED
    assert parse_credential([("Macaroon", good), ("Authorization", "")]).macaroon == WITH_PREIMAGE
    both = [("Macaroon", good), ("Grpc-Metadata-Macaroon", other)]
    assert refused(both) == CredentialReason.PREIMAGE_CAVEAT_MISSING
    assert parse_credential([*both[:1], ("Grpc-Metadata-Macaroon", "")]).macaroon == WITH_PREIMAGE


def test_last_preimage_caveat_counts():
    twice = MACAROON.attenuate(b"preimage=00", f"preimage={HEX.upper()}".encode())
    assert parse_credential([("Macaroon", twice.to_bytes().hex())]).preimage == PREIMAGE
    spoilt = twice.attenuate(b"preimage=\xff")
    assert refused([("Macaroon", spoilt.to_bytes().hex())]) == CredentialReason.PREIMAGE_MALFORMED
    assert refused([("Macaroon", "0202")]) == CredentialReason.MACAROON_MALFORMED


@given(
    st.lists(
        st.tuples(st.sampled_from(["Authorization", "Macaroon", "X"]), st.text(max_size=80)), max_size=4
    ),
    st.sampled_from(Dialect),
)
def test_any_headers_are_refused_with_a_reason(headers, dialect):
    assert refused(headers, dialect) in list(CredentialReason)


def test_no_secret_in_what_people_read():
    credential = parse_credential(authorization(format_credential(TEXT, PREIMAGE)))
    shown = [repr(credential), str(credential), repr(PREIMAGE), f"{PREIMAGE}", repr(MACAROON)]
    broken = [
        f"L402 {TEXT[:-1]}:{HEX}",
        f"L402 {TEXT}:{HEX[:-1]}",
        f"L402 {TEXT}:{HEX}{HEX}",
        f"L402 {TEXT[:40]}AA==:{HEX}",
    ]
    for dialect in Dialect:
        for line in broken:
            try:
                parse_credential(authorization(line), dialect)
            except CredentialError as error:
                shown += ["".join(traceback.format_exception(error)), repr(error)]
    for header in (WITH_PREIMAGE.to_bytes().hex()[:-1], WITH_PREIMAGE.to_bytes().hex()[:-2]):
        with pytest.raises(CredentialError) as caught:
            parse_credential([("Macaroon", header)])
        shown += [str(caught.value), repr(caught.value)]
    secrets = [TEXT[:12], HEX[:12], MACAROON.signature.hex()[:12], str(PREIMAGE.value)[2:20]]
    assert len(shown) > 10
    assert not [secret for secret in secrets for text in shown if secret in text]
