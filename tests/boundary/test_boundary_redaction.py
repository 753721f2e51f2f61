import base64
import json
import time
from html import escape
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_l402.boundary import digest_reference, is_digest_reference, redact_text
from pytest_l402.boundary import redaction as redaction_module
from pytest_l402.boundary.known_secrets import KnownSecrets
from pytest_l402.boundary.named_secrets import named_spans
from pytest_l402.boundary.redaction import REDACTED, redact_values

HEX = "0a" * 32
MACAROON = "AgEEbHNhdAJC" + "AAECAwQFBgcICQ" * 6 + "=="
WITHOUT_LOCATION = "AgJC" + "AAECAwQFBgcICQ" * 6
BASE64 = "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s="

SECRETS = [
    f'L402 macaroon="{MACAROON}", preimage="{HEX}"',
    f"L402 {MACAROON}:{HEX}",
    f"LSAT {MACAROON}:{HEX.upper()}",
    f"Authorization: L402 {MACAROON}:{HEX}",
    f"Authorization: Bearer {HEX}",
    f"authorization=Basic {HEX}",
    f"preimage={HEX}",
    f"preimage = '{HEX}'",
    f"preimage:{HEX}",
    f"preimage: {HEX.upper()}",
    f'"preimage": "{HEX}"',
    f'preimageHex: "{HEX}"',
    f'{{"payment":{{"preimageHex":"{HEX}"}}}}',
    json.dumps({"inner": json.dumps({"preimage": HEX})}),
    f"macaroon={MACAROON}",
    f'"macaroon":"{MACAROON}"',
    f"seen {MACAROON} in a header",
    "02010004" + HEX * 3,
    f"OA_LIGHTNING_OPS_SECRET={HEX}",
    f'{{"functionName":"f","secret":"{HEX}"}}',
    f"ops_token: {HEX}",
    f"api_key={HEX}&x=1",
    f"root-key={HEX}",
    f'mnemonic="{HEX} {HEX}"',
    f"postgres://user:{HEX}@host/db",
    f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3.{HEX}",
    f'preimage="{HEX}',
    f'{{"paymentProofType":"lightning_preimage","paymentProofValue":"{HEX}"}}',
    f"payment_proof_value={HEX}",
    f"payment-proof-value: {HEX}",
    f"the gateway refused preimage {HEX}",
    f"preimage: {BASE64}",
    f"preimage {BASE64}",
    f"seen {MACAROON}:{HEX} alone",
    f"seen {WITHOUT_LOCATION} in a header",
    "02024200" + HEX * 3,
    "02010004" + "0b" * 60 + f":{HEX}",
    f"preimage=b'{HEX}'",
    f"preimage=bytearray(b'{HEX}')",
    f"Preimage(value=SecretStr('{HEX}')), token=SecretStr('{HEX}')",
    f'"secret": ["{HEX}", "{HEX}"]',
    f'"secret": {{"value": "{HEX}", "of": ["{HEX}"]}}',
    f"secrets=('{HEX}', ['{HEX}'])",
    f"https://user:{HEX}@host/path",
    f"https://{HEX}@host/path",
    f"redis://:{HEX}@host",
    f"x-api-key: {HEX}",
    f"X-API-KEY: abc-{HEX}$%",
    f"Authorization: Digest {HEX}",
    f"Proxy-Authorization: Basic {HEX}",
    f"Cookie: theme=dark; session={HEX}",
    f"Set-Cookie: session={HEX}; Path=/; HttpOnly",
    f"Authorization: LSAT {MACAROON}, {MACAROON}:{HEX}",
    f"('Authorization', 'Bearer {HEX}')",
    f"(b'authorization', b'L402 {MACAROON}:{HEX}')",
    f"('preimage', '{HEX}')",
    f"SETUP    F preimage['{HEX}']",
    f"--ops-token {HEX} --json",
    f"--token={HEX}",
    f"GET /x?access_token={HEX}&y=1",
    f"GET /x?q={quote(f'preimage={HEX}')}",
    f"GET /x?q={quote(json.dumps({'preimage': HEX}))}",
    quote(f"L402 {MACAROON}:{HEX}"),
    f"<failure message='{escape(json.dumps({'secret': HEX}))}'/>",
    json.dumps(json.dumps(json.dumps({"macaroon": MACAROON, "preimage": HEX}))),
    f"\\u0022secret\\u0022:\\u0022{HEX}\\u0022",
    f"preimage=\n        {HEX}",
    f"preimage is {HEX}",
    f"Preimage({HEX}), Preimage(value={HEX})",
    f"  | ValueError: not paid with preimage={HEX}",
    f">       pay('preimage={HEX}')",
    f"E   assert {{'token': '{HEX}'}} == {{}}",
    f"token: {BASE64}",
    f"preimage: {BASE64.rstrip('=').replace('+', '-').replace('/', '_')}",
    f"-----BEGIN EC PRIVATE KEY-----\n{HEX}\n-----END EC PRIVATE KEY-----",
    f"ghp_{HEX}",
    f"prei\x1b[31mmage\u200b=\x1b[0m{HEX[:30]}\u00ad{HEX[30:]}",
    f"('Authorization: Bearer '\n '{HEX}')",
    f"(\"{{'preimage': \"\n \"bytearray(b'{HEX}')}}\")",
    repr(f"preimage='{HEX[:32]}'\n         '{HEX[32:]}'"),
    repr(f"preimage={HEX[:32]}\n{HEX[32:]}"),
    repr(f"preimage\u200b={HEX}"),
    f"ValueError('L402 AgEEbHNhdAJ%2...Z/Du+3/oJlBI1xNEikEhFbZZuOyuaAGwkdzu1X6+Jjo=:{HEX}')",
    f"ValueError: preimage=\nE       {HEX}",
]


@pytest.mark.parametrize("text", SECRETS)
def test_secrets_go(text):
    redacted = redact_text(text)
    assert HEX not in redacted.lower()
    assert MACAROON not in redacted
    assert WITHOUT_LOCATION not in redacted
    assert BASE64 not in redacted
    assert REDACTED in redacted
    assert redact_text(redacted) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "lightning_preimage:" + "0a" * 12,
        "preimage:" + "0a" * 8,
        f"paymentHash={HEX}",
        "sha256:0123456789abcdef",
        '"authorization": null',
        '{"authorization":"sha256:0123456789abcdef"}',
        "the macaroon is bad: its root key is unknown",
        "macaroon: wrong signature",
        "the token expired; tokenCount: 5",
        "authorization: missing",
        "L402 challenge",
        f"no preimage for {HEX}",
        "preimage mismatch",
        "paymentProofValue: expected 64 hex digits of a 32-byte preimage",
        "openagents.com/home#l402-transactions",
        "Quoted invoice amount exceeds configured spend cap",
        '{"preimage": null, "token": true, "secret": ""}',
        '"tokenType": "Bearer", "macaroonDigest": "sha256:0123456789abcdef"',
        "Basic authentication, Bearer credentials",
        "expected one of 'token', 'secret', 'macaroon'",
        'f"preimage={preimage}, token={self.token}"',
        "http://localhost:4873/@scope/package and git@github.com",
        f"settlement of payment hash {HEX}",
        "cookie: missing; password: required; x-api-key: absent",
        "lnbcrt210n1" + "0a" * 100,
        "https://host/path?x=%20y%3D1",
        "secrets.token_hex(32), payload['token'], tokens[0]",
    ],
)
def test_references_and_prose_stay(text):
    assert redact_text(text) == text


def test_what_stands_beside_a_secret_stays():
    assert (
        redact_text(f"request r1: preimage={HEX}, amount 5") == f"request r1: preimage={REDACTED}, amount 5"
    )
    assert redact_text(f'{{"preimage": "{HEX}", "x": 1}}') == f'{{"preimage": "{REDACTED}", "x": 1}}'


PIECES = st.sampled_from(
    ["preimage", "macaroon", "secret", "=", ":", '"', "\\", "'", " ", "\n", ",", "[redacted]", HEX, MACAROON,
     "L402 ", "Bearer ", "lightning_preimage:" + "0a" * 12, "://", "@", "key", "Authorization"]
)  # fmt: skip
TEXTS = st.lists(PIECES | st.text(max_size=5), max_size=12).map("".join)


@given(TEXTS)
def test_redacting_twice_changes_nothing_more(text):
    once = redact_text(text)
    assert redact_text(once) == once


@given(TEXTS)
def test_the_quick_look_misses_nothing_that_the_patterns_find(text):
    lowered = redaction_module._lower(text)
    found = [*named_spans(lowered)]
    for _, pattern in redaction_module._ANCHORS:
        found += redaction_module._found(pattern, lowered)
    found += (match.span() for match in redaction_module._MACAROON.finditer(text))
    assert redaction_module._spans(text, KnownSecrets()) == redaction_module._merged(found)


@given(st.sampled_from(SECRETS), TEXTS)
def test_named_preimage_never_survives_what_follows_it(text, following):
    assert HEX not in redact_text(f"{text}\n{following.replace(HEX, '')}").lower().replace("\n", " ")


def test_digest_reference_is_of_the_bytes():
    assert digest_reference("") == "sha256:e3b0c44298fc1c14"
    assert digest_reference("é") == digest_reference("é".encode())
    assert digest_reference("\ud800").startswith("sha256:")


@given(st.text())
def test_digest_reference_is_recognised_and_not_redacted(text):
    reference = digest_reference(text)
    assert is_digest_reference(reference)
    assert redact_text(reference) == reference
    assert not is_digest_reference(reference + "\n")


@pytest.mark.parametrize("broken", ["\n    ", "\nE   ", "\n  | "])
def test_a_value_that_is_broken_over_lines_goes_whole(broken):
    for text in (f"preimage={HEX[:32]}{broken}{HEX[32:]}", f"preimage: '{HEX[:32]}'{broken}'{HEX[32:]}'",
                 f"{MACAROON[:60]}{broken}{MACAROON[60:]}"):  # fmt: skip
        assert not {HEX[:32], MACAROON[:50], MACAROON[-25:]} & {*redact_text(text).split("\n    ")}
        assert HEX[:20] not in redact_text(text)
        assert MACAROON[60:80] not in redact_text(text)


@pytest.mark.parametrize("line", ["    pay(preimage=preimage, token=self.token)", ">   secret = made(1)"])
def test_names_in_source_stay(line):
    assert redact_text(line) == line


def test_literals_in_source_go():
    assert (
        redact_text(f'    pay(preimage="{HEX}", token=token)')
        == '    pay(preimage="[redacted]", token=token)'
    )
    assert HEX not in redact_text(f'    login("token={HEX}")')


def test_what_a_key_names_goes_with_its_value():
    before = {"preimage": "short", "x": [{"apiKey": 7, "secret": ["a", {"b": "c"}]}], "user": ["token", "pw"]}
    assert redact_values(before) == {
        "preimage": REDACTED,
        "x": [{"apiKey": 7, "secret": [REDACTED, {"b": REDACTED}]}],
        "user": ["token", REDACTED],
    }
    kept = {
        "paymentProofRef": "lightning_preimage:" + "0a" * 12,
        "token": None,
        "preimage": "sha256:" + "0" * 16,
    }
    assert redact_values(kept) == kept


@pytest.mark.parametrize(
    "form",
    [
        bytes.hex,
        lambda value: value.hex().upper(),
        lambda value: base64.b64encode(value).decode(),
        lambda value: base64.urlsafe_b64encode(value).decode().rstrip("="),
    ],
    ids=["hex", "HEX", "base64", "base64url"],
)
@pytest.mark.parametrize(
    "around", ["{}", "assert '{}' == 1", "of={};", "a-{}", "a/{}/b", "x{}".replace("x", "(")]
)
def test_what_is_known_goes_without_a_name_before_it(form, around):
    value = bytes(range(130, 162))
    known = KnownSecrets()
    known.note(value)
    text = around.format(form(value))
    assert redact_text(text, known) == around.format(REDACTED)
    assert redact_text(text, KnownSecrets()) == text
    assert redact_text(around.format("ab" * 32), known) == around.format("ab" * 32)


UNIT = 100_000


@pytest.mark.parametrize(
    "piece",
    ["token ", "x", "a-", "eyJ-", "eyJa.", "AgEAgE", "https://u:", "preimage=", "'secret': '", "[{(", "%41",
     "L402 a:", "0201aa", "secret=[", "\\", "secret: {", "-----BEGIN PRIVATE KEY-----", "cookie: a", "\x1b[3",
     "preimage=aaaaaaaaaaaaaaaaaaaaaaaaa\n", "Bearer a", "é ", "--token ", "authorization: l402 ", "@://",
     "token:[" + "[" * 100 + "\n", "preimage " + HEX + "\n", HEX, "AgE" + "x" * 50 + "\n", "\x1b[",
     "user:a1b2c3"],
)  # fmt: skip
def test_time_grows_with_the_text_only(piece):
    """Never timed against a clock of its own: ten times the text may take a little more than ten times."""
    small, large = (piece * (size // len(piece)) for size in (UNIT // 10, UNIT))
    times = []
    for text in (small, large):
        began = time.process_time()
        redact_text(text)
        times.append(time.process_time() - began)
    assert times[1] < 40 * times[0] + 0.2, times
