"""Our gateway answers as a real Aperture was seen to; `--aperture PATH` asks another program the same."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aperture_conformance import (
    BOUGHT_AT,
    Seller,
    ask,
    bought,
    caveats,
    challenge,
    free_port,
    gateway,
    normal,
    presented,
    recorded,
    services_yaml,
)

from pytest_l402.harness.clock import StackClock, SystemClock
from pytest_l402.protocol import decode_invoice
from pytest_l402.stack.aperture.program import CannotStart

HERE = Path(__file__).parent
WIRE = json.loads((HERE / "vectors/aperture-wire.json").read_text())
CONFIG = json.loads((HERE.parent / "ops/vectors/aperture-config.json").read_text())["cases"]

# Both sides of a module run together: the gateway is started once for all requests.
pytestmark = pytest.mark.xdist_group("aperture-conformance")


@pytest.fixture(scope="module")
def program(pytestconfig: pytest.Config) -> str | None:
    found: str | None = pytestconfig.getoption("aperture", None)
    return found


@pytest.fixture(scope="module")
def seller() -> Iterator[Seller]:
    with Seller() as seller:
        yield seller


@pytest.fixture(scope="module")
def asked(
    seller: Seller, program: str | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[int, dict[str, tuple[str, str]]]]:
    """A gateway that sells the recorded services, and what was bought there, `short` of it over by now."""
    folder = tmp_path_factory.mktemp("wire")
    settings = seller.settings(folder, free_port()) + services_yaml(WIRE["services"], seller.backend)
    clock = StackClock(SystemClock().now_ms()) if program is None else SystemClock()
    with gateway(folder, settings, program, clock) as port:
        wallet = {name: bought(seller.node, port, target) for name, target in BOUGHT_AT.items()}
        wallet["unpaid"] = (challenge(port, "/paid/x")[0], "00" * 32)
        clock.advance(2_300)
        yield port, wallet


@pytest.mark.parametrize("number", range(len(WIRE["cases"])))
def test_a_request_is_answered_as_recorded(
    asked: tuple[int, dict[str, tuple[str, str]]], number: int
) -> None:
    port, wallet = asked
    case = WIRE["cases"][number]
    request = case["request"]
    body = b"x" * 2000 if request["body"] == "2000 times x" else request["body"].encode()
    headers = presented(case, wallet) + [tuple(line) for line in request["headers"]]
    answer = normal(*ask(port, request["method"], request["target"], headers, body, request["host"]))
    assert answer == recorded(case["answer"])


@pytest.mark.parametrize("case", CONFIG, ids=lambda case: case["name"])
def test_a_file_sells_as_recorded(
    seller: Seller, program: str | None, case: dict[str, Any], tmp_path: Path
) -> None:
    services = case["yaml"].replace("BACKEND", seller.backend)
    settings = seller.settings(tmp_path, free_port()) + services
    seen: dict[str, Any] = {"starts": True}
    try:
        with gateway(tmp_path, settings, program, SystemClock()) as port:
            status, lines, _ = ask(port, "GET", "/p/x")
            seen["first"] = status
            if any(name == "www-authenticate" for name, _ in lines):
                macaroon, bolt11 = challenge(port, "/p/x")
                invoice = decode_invoice(bolt11)
                assert invoice.amount_msats is not None
                seen["sats"] = invoice.amount_msats // 1_000
                found = [caveat.decode("utf8", "replace") for caveat in caveats(macaroon)]
                seen["caveats"] = sorted(re.sub("_until=T$", "_until=LATER", caveat) for caveat in found)
                preimage = seller.node.settle(invoice.payment_hash.hex()).hex()
                paid = [("Authorization", f"L402 {macaroon}:{preimage}")]
                seen["after_payment"] = ask(port, "GET", "/p/x", paid)[0]
            seen["other_path"] = ask(port, "GET", "/other/p")[0]
            seen["with_port"] = ask(port, "GET", "/p/x", host="svc.test:8080")[0]
    except CannotStart as refused:
        seen = {"starts": False, "exit": refused.code}
    wanted = {key: case[key] for key in seen if key in case}
    if "caveats" in wanted:
        wanted["caveats"] = sorted(
            re.sub("_until=[0-9]+$", "_until=LATER", text) for text in wanted["caveats"]
        )
    assert seen == wanted
