import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_l402.protocol import Challenge, ChallengeError, format_challenge, parse_challenges, preferred

MACAROON = "AgEEbHNhdAJCAAA+/w=="
INVOICE = "lnbcrt210n1pexample"
LSAT = f'LSAT macaroon="{MACAROON}", invoice="{INVOICE}"'
L402 = f'L402 macaroon="{MACAROON}", invoice="{INVOICE}"'
BOTH = [Challenge("LSAT", MACAROON, INVOICE), Challenge("L402", MACAROON, INVOICE)]
PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1)


def test_challenge_is_written_as_the_proxy_writes_it():
    assert format_challenge(MACAROON, INVOICE) == L402
    assert format_challenge(MACAROON, INVOICE, "LSAT") == LSAT
    superset = format_challenge(MACAROON, INVOICE, parameters={"version": "0", "token": MACAROON})
    assert superset == f'{L402}, version="0", token="{MACAROON}"'


@given(PRINTABLE, PRINTABLE, st.sampled_from(["L402", "LSAT"]))
def test_what_is_written_is_read_back(macaroon, invoice, scheme):
    value = format_challenge(macaroon, invoice, scheme)
    assert parse_challenges([value]) == (Challenge(scheme, macaroon, invoice),)


@pytest.mark.parametrize(
    ("macaroon", "parameters"),
    [("a\r\nSet-Cookie: x", {}), ("é", {}), ("a", {"x y": "1"}), ("a", {"x": "\0"})],
)
def test_nothing_is_written_that_breaks_a_header(macaroon, parameters):
    with pytest.raises(ChallengeError, match="challenge_unprintable"):
        format_challenge(macaroon, INVOICE, parameters=parameters)


@pytest.mark.parametrize(
    "values",
    [
        [LSAT, L402],
        [f"{LSAT}, {L402}"],
        [f",, {LSAT} ,{L402} ,"],
        ['Basic realm="a, b"', LSAT, 'Payment id="x", method="lightning"', L402],
        [f'Basic realm="L402 macaroon=no", {LSAT}, Negotiate, {L402}, Digest nonce=abc'],
        [f"Negotiate TlRMTVNTUAAB+/==, {LSAT}, {L402}"],
        [f"NTLM , {LSAT}", L402],
        [LSAT.lower().replace(MACAROON.lower(), MACAROON), L402.replace("L402", "l402")],
        [LSAT, f'L402  invoice = "{INVOICE}",MACAROON= "{MACAROON}"'],
        [LSAT, f"L402 macaroon={MACAROON}, invoice={INVOICE}"],
        [LSAT, f'L402 version="0", token="{MACAROON}", invoice="{INVOICE}"'],
        [LSAT, f'{L402}, version="0", token="other", unknown="x\\"y"'],
    ],
)
def test_both_challenges_are_found(values):
    assert list(parse_challenges(values)) == BOTH


def test_parameters_are_kept_by_lower_case_name():
    (challenge,) = parse_challenges([f'{L402}, Version=0, x="a\\"b\\\\"'])
    assert challenge.parameters["version"] == "0"
    assert challenge.parameters["x"] == 'a"b\\'
    with pytest.raises(TypeError):
        challenge.parameters["x"] = "y"


@pytest.mark.parametrize("values", [[], [""], [" , "], ["Bearer"], ['Basic realm="x"'], ["Negotiate abc=="]])
def test_other_schemes_are_no_challenge(values):
    assert parse_challenges(values) == ()
    with pytest.raises(ChallengeError, match="challenge_absent"):
        preferred(parse_challenges(values))


@pytest.mark.parametrize(
    ("value", "missing"),
    [
        ("L402", "[]"),
        (f'L402 macaroon="{MACAROON}"', "['macaroon']"),
        (f'LSAT invoice="{INVOICE}"', "['invoice']"),
        (f'L402 macaroon="", invoice="{INVOICE}"', "['invoice', 'macaroon']"),
        (f'L402, Basic macaroon="{MACAROON}", invoice="{INVOICE}"', "[]"),
        ("L402 abcdef==", "[]"),
    ],
)
def test_challenge_without_macaroon_or_invoice_is_refused(value, missing):
    with pytest.raises(ChallengeError) as caught:
        parse_challenges([value])
    assert caught.value.reason == "challenge_incomplete"
    assert missing in caught.value.seen


@pytest.mark.parametrize(
    ("value", "at"),
    [
        ('L402 macaroon="abc', 14),
        ("=", 0),
        ('L402 macaroon="a" invoice="b"', 18),
        (f'{L402}, invoice="twice"', len(L402) + 2),
        ('Basic realm="x" "y"', 16),
        ("L402\x00", 4),
    ],
)
def test_malformed_header_names_the_character(value, at):
    with pytest.raises(ChallengeError) as caught:
        parse_challenges(['Basic realm="first line"', value])
    assert caught.value.reason == "challenge_malformed"
    assert caught.value.where == f"WWW-Authenticate line 2, character {at}"


@given(st.lists(st.text(max_size=60) | st.text('LSAT402 macroninvoice=",\\\t', max_size=60), max_size=3))
def test_any_text_is_read_or_refused(values):
    where, challenges = "WWW-Authenticate line", ()
    try:
        challenges = parse_challenges(values)
    except ChallengeError as error:
        where = error.where
    assert where.startswith("WWW-Authenticate line")
    assert {challenge.scheme for challenge in challenges} <= {"L402", "LSAT"}


def test_l402_is_preferred_wherever_it_stands():
    assert preferred(BOTH) == BOTH[1]
    assert preferred(reversed(BOTH)) == BOTH[1]
    assert preferred(BOTH[:1]) == BOTH[0]
