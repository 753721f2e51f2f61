"""What the probes of a deployed gateway refuse: challenges that nobody can buy by, and forged credentials."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from pytest_l402.harness.clock import StackClock
from pytest_l402.harness.journal import Journal
from pytest_l402.live.environment import NETWORK, EnvironmentVariableError, gateway_access
from pytest_l402.live.probes import LiveProbes
from pytest_l402.ops.reconcile.ports import ProbeTarget
from pytest_l402.protocol import Identifier, Preimage, encode_invoice, format_challenge, mint
from pytest_l402.protocol.bolt11 import TaggedField, encode_fields

P = "OA_LIGHTNING_OPS_"
KEY = b"\x07" * 32
PROOF = "L402 bought:before"
CLOCK = StackClock()
NOW = CLOCK.now_s()
TARGET = ProbeTarget(
    rule_id="pw:route",
    paywall_id="pw",
    owner_id="owner",
    host="mine.example",
    path="/staging",
    price_msats=21_000,
    max_msats=21_000,
    timeout_ms=1000,
)

Answer = Callable[[httpx.Request], httpx.Response]


class Gateway:
    """A gateway that hands out a challenge of its own for each request, and delivers for the one proof."""

    def __init__(self, *, prefix: str = "lnbc", **changes: Any) -> None:
        self.changes = changes
        self.prefix = prefix
        self.asked: list[httpx.Request] = []
        self._number = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if request.url.path == "/healthz":
            return httpx.Response(200)
        authorization = request.headers.get("authorization")
        if authorization is not None and self.accepts(authorization):
            return httpx.Response(200, text="delivered")
        return httpx.Response(402, headers=self.headers())

    def accepts(self, authorization: str) -> bool:
        return authorization == PROOF

    def headers(self) -> list[tuple[str, str]]:
        return [("WWW-Authenticate", self.line(scheme, *self.offer())) for scheme in ("LSAT", "L402")]

    def line(self, scheme: str, macaroon: str, invoice: str) -> str:
        return format_challenge(macaroon, invoice, scheme)

    def offer(self) -> tuple[str, str]:
        self._number += 1
        preimage = Preimage(self._number.to_bytes(32))
        identifier = Identifier(0, preimage.payment_hash, b"\xfb\xff" * 16).encode()
        return mint(KEY, identifier).to_base64(), self.invoice(preimage)

    def invoice(self, preimage: Preimage) -> str:
        usual: dict[str, Any] = {"timestamp_s": NOW, "amount_msats": 21_000, "description": "L402"}
        named = {"private_key": KEY, "payment_hash": preimage.payment_hash, "prefix": self.prefix}
        return encode_invoice(**(named | usual | self.changes))


class OddInvoices(Gateway):
    """One whose invoices have these fields and no others."""

    def __init__(self, **fields: bytes) -> None:
        super().__init__()
        self.fields = fields

    def invoice(self, preimage: Preimage) -> str:
        right = [one for one in decode_fields(super().invoice(preimage)) if one.tag in "ps"]
        fields = {one.tag: one.words for one in right} | self.fields
        tagged = [TaggedField(tag, words) for tag, words in fields.items() if words]
        return encode_fields(self.prefix, 21_000, NOW, tagged, KEY)


class OtherMacaroons(Gateway):
    """One that alters each macaroon on its way."""

    def __init__(self, alter: Callable[[str], str]) -> None:
        super().__init__()
        self.alter = alter

    def line(self, scheme: str, macaroon: str, invoice: str) -> str:
        return super().line(scheme, self.alter(macaroon), invoice)


class OtherHash(Gateway):
    """One that hands out the invoice of somebody else."""

    def invoice(self, preimage: Preimage) -> str:
        return super().invoice(Preimage(preimage.payment_hash.to_bytes()))


class Cached(Gateway):
    """One behind a cache that keeps a 402 for whoever asks without a credential."""

    kept: list[tuple[str, str]] | None = None

    def headers(self) -> list[tuple[str, str]]:
        self.kept = self.kept or super().headers()
        return self.kept


def decode_fields(text: str) -> tuple[TaggedField, ...]:
    from pytest_l402.protocol import decode_invoice

    return decode_invoice(text).fields


@contextmanager
def probing(gateway: Answer, **environment: str) -> Iterator[tuple[LiveProbes, Journal]]:
    given = {f"{P}GATEWAY_BASE_URL": "https://mine.example", f"{P}PROXY_AUTHORIZATION_HEADER": PROOF}
    given |= {name if name == NETWORK else P + name: value for name, value in environment.items()}
    access = gateway_access({name: value for name, value in given.items() if value != "unset"})
    journal = Journal(CLOCK)
    with httpx.Client(transport=httpx.MockTransport(gateway)) as client:
        yield LiveProbes(access, client, journal, CLOCK), journal


def challenged(gateway: Answer, **environment: str) -> str | None:
    with probing(gateway, **environment) as (probes, _):
        return probes.challenge(TARGET, request_id="probe").reason


def test_a_good_gateway_passes_and_is_asked_nothing_that_it_need_not_be() -> None:
    gateway = Gateway()
    with probing(gateway) as (probes, journal):
        assert probes.health(request_id="probe").ok
        challenge = probes.challenge(TARGET, request_id="probe")
        assert (challenge.reason, challenge.status_code, challenge.amount_msats) == (None, 402, 21_000)
        assert probes.proxy(TARGET, request_id="probe").ok
    assert {request.method for request in gateway.asked} == {"GET"}
    presented = [request.headers.get("authorization") for request in gateway.asked]
    assert presented[:3] == [None, None, None]
    assert len(presented) == 6
    assert presented[-1] == PROOF
    rows = journal.rows("exchanges")
    assert [(row["status"], row["credential"]) for row in rows] == [
        (200, "absent"),
        (402, "absent"),
        (402, "absent"),
        (402, "refused"),
        (402, "refused"),
        (200, "accepted"),
    ]
    assert not any(forged.removeprefix("L402 ") in str(rows) for forged in presented if forged)


ALTERED = {
    "expired": (Gateway(timestamp_s=NOW - 7200), "challenge_invoice_expired"),
    "future": (Gateway(timestamp_s=NOW + 7200), "challenge_invoice_in_future"),
    "nosecret": (OddInvoices(d=b"\x01", s=b""), "challenge_invoice_outdated"),
    "both_d_h": (OddInvoices(d=b"\x01", h=bytes(52)), "challenge_invoice_outdated"),
    "no_d_h": (OddInvoices(), "challenge_invoice_outdated"),
    "testnet": (Gateway(prefix="lntb"), "challenge_wrong_network"),
    "otherhash": (OtherHash(), "challenge_not_bound"),
    "macgarbage": (OtherMacaroons(lambda _: "bm90IGEgbWFjYXJvb24="), "challenge_macaroon_unreadable"),
    "macurlsafe": (
        OtherMacaroons(lambda text: text.rstrip("=").translate(str.maketrans("+/", "-_"))),
        "challenge_macaroon_unreadable",
    ),
    "macpayload": (OtherMacaroons(lambda _: "eyJwYXltZW50SGFzaCI6ICJ4In0="), "challenge_macaroon_unreadable"),
    "cache": (Cached(), "challenge_invoice_repeated"),
    "price": (Gateway(amount_msats=22_000), "challenge_amount_22000_not_21000"),
    "open": (lambda _: httpx.Response(200), "challenge_status_200"),
}


@pytest.mark.parametrize(("gateway", "code"), ALTERED.values(), ids=ALTERED.keys())
def test_a_challenge_that_is_altered_on_its_way_has_a_code(gateway: Answer, code: str) -> None:
    assert challenged(gateway) == code


def test_a_challenge_that_only_the_second_buyer_gets_altered_is_noticed() -> None:
    class Later(Gateway):
        def headers(self) -> list[tuple[str, str]]:
            if len(self.asked) > 1:
                self.changes = {"timestamp_s": NOW - 7200}
            return super().headers()

    assert challenged(Later()) == "challenge_invoice_expired"


@pytest.mark.parametrize(
    ("prefix", "base", "network", "code"),
    [
        ("lnbc", "https://mine.example", "unset", None),
        ("lnbcrt", "https://mine.example", "unset", "challenge_wrong_network"),
        ("lnbcrt", "http://127.0.0.1:8080", "unset", None),
        ("lnbcrt", "http://[::1]:8080", "unset", None),
        ("lnbc", "http://localhost:8080", "unset", None),
        ("lntb", "http://127.0.0.1:8080", "unset", "challenge_wrong_network"),
        ("lntb", "https://mine.example", "testnet", None),
        ("lntbs", "https://mine.example", "testnet", "challenge_wrong_network"),
        ("lnbc", "https://mine.example", "mainnet", None),
        ("lnbc", "http://127.0.0.1:8080", "regtest", "challenge_wrong_network"),
    ],
)
def test_the_network_is_the_one_that_is_named(prefix: str, base: str, network: str, code: str | None) -> None:
    gateway = Gateway(prefix=prefix)
    assert challenged(gateway, GATEWAY_BASE_URL=base, **{NETWORK: network}) == code


@pytest.mark.parametrize("value", ["", "lnbc", "Mainnet", "main net"])
def test_a_network_that_there_is_not_is_named(value: str) -> None:
    with pytest.raises(EnvironmentVariableError, match=f"^{NETWORK}: expected ") as caught:
        gateway_access({NETWORK: value})
    assert "\n" not in str(caught.value)


def accepting(accepts: Callable[[str], bool]) -> Gateway:
    gateway = Gateway()
    gateway.accepts = accepts  # type: ignore[method-assign]
    return gateway


def is_own(authorization: str) -> bool:
    """Whether the macaroon is one that the gateway itself has signed, whatever the preimage."""
    from pytest_l402.protocol import Macaroon

    return Macaroon.from_base64(authorization.split()[1].partition(":")[0]).verify(KEY)


@pytest.mark.parametrize(
    "accepts",
    [
        lambda _: True,
        lambda text: text != PROOF and not is_own(text),
        lambda text: text == PROOF or is_own(text),
    ],
    ids=["anything", "self-made macaroons", "any preimage"],
)
def test_a_gateway_that_delivers_for_a_forged_credential_fails(accepts: Callable[[str], bool]) -> None:
    with probing(accepting(accepts)) as (probes, journal):
        probes.challenge(TARGET, request_id="probe")
        assert probes.proxy(TARGET, request_id="probe").reason == "proxy_forged_credential_accepted"
    assert journal.rows("exchanges")[-1]["credential"] == "accepted"


@pytest.mark.parametrize("status", [302, 307, 500, 503])
def test_a_forged_credential_that_is_not_refused_proves_no_refusal(status: int) -> None:
    """A gateway that redirects, or breaks, for a credential that it does not know has refused nobody."""

    class Elsewhere(Gateway):
        def __call__(self, request: httpx.Request) -> httpx.Response:
            presented = request.headers.get("authorization")
            return super().__call__(request) if presented in (None, PROOF) else httpx.Response(status)

    with probing(Elsewhere()) as (probes, journal):
        probes.challenge(TARGET, request_id="probe")
        reason = f"proxy_forged_credential_not_refused_status_{status}"
        assert probes.proxy(TARGET, request_id="probe").reason == reason
    assert journal.rows("exchanges")[-1]["refusal"] == reason


def test_the_proof_of_a_challenge_is_the_second_source() -> None:
    class Smoke(Gateway):
        def headers(self) -> list[tuple[str, str]]:
            return [*super().headers(), ("x-oa-smoke-auth", PROOF)]

    for variable, fits in (("unset", True), ("L402 another:one", False)):
        with probing(Smoke(), PROXY_AUTHORIZATION_HEADER=variable) as (probes, journal):
            assert probes.has_proof is not fits
            probes.challenge(TARGET, request_id="probe")
            assert probes.has_proof
            assert probes.proxy(TARGET, request_id="probe").ok is fits
        assert PROOF not in str(journal.rows("exchanges"))
    with probing(Gateway(), PROXY_AUTHORIZATION_HEADER="unset") as (probes, _):
        probes.challenge(TARGET, request_id="probe")
        assert probes.proxy(TARGET, request_id="probe").reason == "missing_proxy_authorization_header"
