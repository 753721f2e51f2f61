"""What Aperture really answered, compared with what the gateway answers: status, body and headers."""

import json
import re
from pathlib import Path

import pytest
from stack_shop import Shop

from pytest_l402.harness.network import Request, Response
from pytest_l402.protocol import Identifier, Macaroon, decode_invoice, mint
from pytest_l402.stack.gateway.mint import Minted
from pytest_l402.stack.gateway.profile import APERTURE, GatewayProfile
from pytest_l402.stack.gateway.services import RateLimit, Service

VECTORS = json.loads((Path(__file__).parent / "vectors" / "answers.json").read_text())
CASES = {case["name"]: case for case in VECTORS["cases"]}
NOW_S = VECTORS["fixed"]["now_unix"]
ROOT_KEY = b"\x42" * 32

OUT_OF_SCOPE = {
    "MPP enabled: no credential": "the Payment scheme is not offered by this gateway",
    "MPP replayed credential": "the Payment scheme is not offered by this gateway",
}

SERVICES = (
    Service(
        "svc",
        price_msats=21_000,
        pathregexp="^/paid/",
        authskipinvoicecreationpaths=("^/paid/skip/",),
    ),
    Service(
        "exp",
        price_msats=1_000,
        pathregexp="^/exp/",
        capabilities="a,b",
        constraints={"valid_until": "1"},
        timeout_s=100,
    ),
    Service("off", pathregexp="^/off/", auth="off"),
    Service("free", price_msats=5_000, pathregexp="^/free/", auth="freebie 1"),
    Service("rl", pathregexp="^/rl/", auth="off", ratelimits=(RateLimit(requests=1),)),
)


class Backend:
    """The recording lab's backend: names the path and what it saw of the credential."""

    def handle(self, request: Request) -> Response:
        saw = " | ".join(value[:12] for value in request.headers_of("Authorization"))
        headers = (("Content-Type", "text/plain; charset=utf-8"), ("X-Saw-Authorization", saw))
        status = 418 if request.path.endswith("/teapot") else 200
        return Response(status, headers, f"backend {request.path}".encode())


def signed_again(shop: Shop, headers: list[list[str]], *, known: bool) -> list[tuple[str, str]]:
    """The recorded root keys are not known: sign the same identifier and caveats with one that is."""
    again = []
    for name, value in headers:
        text = value
        if name == "Macaroon":
            text = resigned(shop, Macaroon.from_hex(value), known=known).to_bytes().hex()
        elif match := re.fullmatch(r"(L402|LSAT) ([^:]+):([0-9a-f]{64})", value):
            macaroon = resigned(shop, Macaroon.from_base64(match[2]), known=known)
            text = f"{match[1]} {macaroon.to_base64()}:{match[3]}"
        again.append((name, text))
    return again


def resigned(shop: Shop, macaroon: Macaroon, *, known: bool) -> Macaroon:
    identifier = Identifier.decode(macaroon.identifier)
    if known:
        shop.gateway.mint.remember(
            macaroon.identifier, Minted(ROOT_KEY, identifier.payment_hash, 21_000, identifier.token_id)
        )
    return mint(ROOT_KEY, macaroon.identifier, macaroon.location, macaroon.caveats)


def comparable(headers: dict[str, list[str]]) -> dict[str, list[str]]:
    """Lower-case names; what the vectors say not to compare, and our own request id, left out."""
    lowered = {name.lower(): values for name, values in headers.items()}
    lowered.pop("date", None)
    lowered.pop("x-oa-request-id", None)
    if "www-authenticate" in lowered:
        lowered["www-authenticate"] = [
            re.sub(r'(macaroon|invoice)="[^"]*"', r'\1="…"', line) for line in lowered["www-authenticate"]
        ]
    return lowered


def as_lists(response: Response) -> dict[str, list[str]]:
    return {name: list(response.headers_of(name)) for name, _ in response.headers}


def profile_of(name: str) -> GatewayProfile:
    if name.startswith("strict verify"):
        return GatewayProfile("strict", strict_verify=True)
    return APERTURE


@pytest.mark.parametrize("name", [name for name in CASES if name not in OUT_OF_SCOPE])
def test_the_gateway_answers_as_aperture_did(name):
    case = CASES[name]
    shop = Shop(*SERVICES, seller_api=Backend(), profile=profile_of(name), start_ms=NOW_S * 1000)
    headers = signed_again(shop, case["request_headers"] or [], known="revoked" not in name)
    if name == "freebie second":
        assert shop.ask(case["path"]).status == 200

    answer = shop.ask(case["path"], *headers, method=case["method"])

    expected = case["response"]
    assert answer.status == expected["status"]
    assert answer.body.decode() == expected["body"]
    assert len(answer.body) == expected["content_length"]
    assert comparable(as_lists(answer)) == comparable(expected["headers"])


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name]["response"]["status"] == 402])
def test_both_challenge_lines_offer_one_macaroon_and_one_invoice_over_the_price(name):
    if name in OUT_OF_SCOPE:
        assert name.startswith("MPP ")
        return
    case = CASES[name]
    shop = Shop(*SERVICES, seller_api=Backend(), profile=profile_of(name), start_ms=NOW_S * 1000)
    shop.ask("/free/x")
    answer = shop.ask(case["path"])

    lines = answer.headers_of("WWW-Authenticate")
    offers = [re.fullmatch(r'(LSAT|L402) macaroon="([^"]+)", invoice="([^"]+)"', line) for line in lines]
    assert [offer[1] for offer in offers] == ["LSAT", "L402"]
    assert offers[0][2] == offers[1][2]
    assert offers[0][3] == offers[1][3]
    stub = case["response"]["headers"]["Www-Authenticate"][0].rpartition('invoice="')[2]
    price_sats = int(re.match(r"lnbcrt([0-9]+)n", stub)[1]) // 10
    assert decode_invoice(offers[0][3]).amount_msats == price_sats * 1000


@pytest.mark.parametrize("name", ["no credential", "credential of another service"])
def test_the_minted_macaroon_has_the_recorded_form(name):
    case = CASES[name]
    shop = Shop(*SERVICES, start_ms=NOW_S * 1000)
    recorded = Macaroon.from_base64(macaroon_in(case["response"]["headers"]["Www-Authenticate"][1]))
    ours = Macaroon.from_base64(macaroon_in(shop.ask(case["path"]).headers_of("WWW-Authenticate")[1]))

    assert ours.location == recorded.location
    assert ours.caveats == recorded.caveats
    assert len(ours.identifier) == len(recorded.identifier)


def macaroon_in(line: str) -> str:
    return re.search(r'macaroon="([^"]+)"', line)[1]


def test_every_recorded_case_is_compared_or_named_as_out_of_scope():
    assert set(OUT_OF_SCOPE) == {name for name in CASES if name.startswith("MPP ")}
    assert len(CASES) == len(VECTORS["cases"])
    assert "lightninglabs/aperture" in VECTORS["origin"]
