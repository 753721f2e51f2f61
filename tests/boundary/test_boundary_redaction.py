import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_l402.boundary import digest_reference, is_digest_reference, redact_text
from pytest_l402.boundary import redaction as redaction_module
from pytest_l402.boundary.redaction import REDACTED

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
    slow = text
    for pattern in redaction_module._NAMED_PATTERNS:
        slow = pattern.sub(redaction_module._keep_name, slow)
    for pattern in redaction_module._BARE_PATTERNS:
        slow = pattern.sub(REDACTED, slow)
    assert redact_text(text) == slow


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
