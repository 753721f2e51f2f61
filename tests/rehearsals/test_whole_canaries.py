"""No secret of a run is in any byte that it writes or prints, however it is asked to and however it ends."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from breakages import around
from rehearsed_project import Rehearsed, RehearsedProject

from pytest_l402.harness import network, randomness
from pytest_l402.protocol import Macaroon
from pytest_l402.stack.gateway import mint as credential_mint
from pytest_l402.stack.gateway import seller_api

SECRET_PURPOSES = ("preimage", "root key", "node private key", "a preimage that proves nothing")

# Everything that pytest can be asked to write and say about a test.
TALKATIVE = (
    "-vv",
    "-l",
    "-rA",
    "--tb=long",
    "--json-report",
    "--json-report-file=output/report.json",
    "--junitxml=output/junit.xml",
    "-o",
    "junit_logging=all",
    "--log-level=DEBUG",
    "--log-file=output/pytest.log",
    "--log-file-level=DEBUG",
    "-o",
    "log_cli=true",
)


TOKEN = re.compile(rb"[\w+/=:-]{20,}")
"""What any text form of a secret is a part of; most tokens come many times, so that few are searched."""


@dataclass
class Canaries:
    """The secrets of one run as they came into being: their bytes, and texts as they were sent; all named."""

    values: dict[bytes, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)

    def needles(self) -> Iterator[tuple[str, bytes]]:
        """Every text form of every secret."""
        for value, name in self.values.items():
            # Of a preimage the first 24 hex digits are its reference, which is no secret: the rest is.
            rest = value.hex()[24:]
            yield f"{name}, hex", rest.encode()
            yield f"{name}, HEX", rest.upper().encode()
            for alphabet, encode in (("base64", base64.b64encode), ("url-safe", base64.urlsafe_b64encode)):
                yield f"{name}, {alphabet}", encode(value).rstrip(b"=")
        for text, name in self.texts.items():
            yield name, text.encode()

    def found_in(self, *contents: bytes) -> list[str]:
        tokens = b"\n".join({token for data in contents for token in TOKEN.findall(data)})
        found = [name for name, needle in self.needles() if needle in tokens]
        raw = [f"{name}, raw" for value, name in self.values.items() for data in contents if value in data]
        return sorted({*found, *raw})


@pytest.fixture
def canaries(monkeypatch: pytest.MonkeyPatch) -> Canaries:
    """Notes every secret at the place where it is made or sent."""
    kept = Canaries()

    def draw(original: Any, self: Any, n: int, purpose: str) -> bytes:
        value = original(self, n, purpose)
        if purpose in SECRET_PURPOSES:
            kept.values[value] = purpose
        return bytes(value)

    def mint(original: Any, *arguments: Any) -> Macaroon:
        macaroon: Macaroon = original(*arguments)
        kept.values[macaroon.to_bytes()] = "macaroon"
        kept.values[macaroon.signature] = "signature"
        return macaroon

    def dispatch(original: Any, self: Any, request: network.Request) -> Any:
        for value in request.headers_of("Authorization"):
            text = value.partition(" ")[2]
            # A forgery may be as little as a colon, which is no secret.
            if TOKEN.search(text.encode()):
                kept.texts[text] = "credential"
        return original(self, request)

    around(monkeypatch, randomness.SeededRandomness, "bytes", draw)
    around(monkeypatch, credential_mint.CredentialMint, "mint", mint)
    around(monkeypatch, network.Network, "dispatch", dispatch)
    return kept


def leaks(rehearsals: RehearsedProject, run: Rehearsed, canaries: Canaries) -> dict[str, list[str]]:
    """Which secrets are in which file below the project, or in what was printed."""
    written = {str(path.relative_to(rehearsals.root)): path.read_bytes() for path in _files(rehearsals.root)}
    assert {"output/report.json", "output/junit.xml", "output/pytest.log"} <= written.keys()
    assert len(written) > 250
    searched = {**written, "the terminal": run.output.encode()}
    if not canaries.found_in(*searched.values()):
        return {}
    return {place: found for place, data in searched.items() if (found := canaries.found_in(data))}


def _files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def assert_there_was_something_to_find(canaries: Canaries) -> None:
    kinds = set(canaries.values.values()) | set(canaries.texts.values())
    assert kinds == {*SECRET_PURPOSES, "macaroon", "signature", "credential"}
    assert len(canaries.values) > 500


@pytest.mark.slow
def test_no_secret_of_a_run_that_signs_off(rehearsals: RehearsedProject, canaries: Canaries) -> None:
    run = rehearsals.run(*TALKATIVE)
    assert run.verdict == "SIGNED_OFF", run.output
    assert_there_was_something_to_find(canaries)
    assert leaks(rehearsals, run, canaries) == {}


@pytest.mark.slow
def test_no_secret_of_a_run_whose_checks_fail(
    rehearsals: RehearsedProject, canaries: Canaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credential_mint.CredentialMint, "revoke", lambda self, payment_hash: 1)
    monkeypatch.setattr(credential_mint.Macaroon, "verify", lambda self, root_key: True)
    run = rehearsals.run(*TALKATIVE)
    assert run.verdict == "NOT_SIGNED_OFF", run.output
    assert "(3.forged)" in run.output
    assert leaks(rehearsals, run, canaries) == {}


@pytest.mark.slow
@pytest.mark.parametrize("style", ["long", "native"])
def test_no_secret_of_a_run_that_breaks_inside_the_stack(
    rehearsals: RehearsedProject, canaries: Canaries, monkeypatch: pytest.MonkeyPatch, style: str
) -> None:
    """Every frame between the test and the error holds a credential, and pytest is asked to show them all."""

    def break_off(original: Any, self: Any, request: network.Request) -> Any:
        authorization = request.header("Authorization")
        if authorization is None:
            return original(self, request)
        raise RuntimeError(f"the seller's API fell over on Authorization: {authorization}")

    around(monkeypatch, seller_api.SellerApi, "handle", break_off)
    run = rehearsals.run(*TALKATIVE, f"--tb={style}")
    assert run.verdict == "NOT_SIGNED_OFF", run.output
    assert "the seller's API fell over" in run.output
    assert "[redacted]" in run.output
    assert "break_off" in run.output
    assert leaks(rehearsals, run, canaries) == {}


@pytest.mark.slow
def test_no_secret_that_two_processes_send_each_other_or_print(
    rehearsals: RehearsedProject, canaries: Canaries
) -> None:
    """The workers draw the same secrets as a run in this process, which is where they are noted."""
    rehearsals.run()
    assert_there_was_something_to_find(canaries)
    run = rehearsals.run(*TALKATIVE, workers=2)
    assert run.verdict == "SIGNED_OFF", run.output
    assert leaks(rehearsals, run, canaries) == {}


PLANTED = """\
import base64
import pytest

@pytest.fixture(autouse=True)
def talkative(l402_wallet, monkeypatch, request):
    pay = l402_wallet.pay_invoice
    output = request.config.rootpath / "output"

    def pay_and_tell(*arguments, **named):
        payment = pay(*arguments, **named)
        value = bytes.fromhex(payment.preimage.hex())
        (output / "in-hex").write_text("preimage: " + value.hex())
        (output / "in-upper-hex").write_text(value.hex().upper())
        (output / "raw").write_bytes(value)
        (output / "in-base64").write_bytes(base64.b64encode(value))
        (output / "url-safe").write_bytes(base64.urlsafe_b64encode(value).rstrip(b"="))
        return payment

    monkeypatch.setattr(l402_wallet, "pay_invoice", pay_and_tell)
"""


@pytest.mark.slow
def test_the_search_finds_a_secret_that_is_planted(rehearsals: RehearsedProject, canaries: Canaries) -> None:
    rehearsals.write("conftest.py", PLANTED)
    found = leaks(rehearsals, rehearsals.run(*TALKATIVE), canaries)
    planted = ("in-base64", "in-hex", "in-upper-hex", "raw", "url-safe")
    assert sorted(found) == [f"output/{name}" for name in planted]
    assert all(name.startswith("preimage, ") for names in found.values() for name in names)


def test_the_search_finds_a_macaroon_and_a_credential(canaries: Canaries) -> None:
    value = b"\x02\x01\x04lsat" + b"\xfb\xff" * 40
    canaries.values[value] = "macaroon"
    canaries.texts["YWJjZGVmZ2hpamtsbW5vcA==:00112233"] = "credential"
    for data in (value, value.hex().encode(), base64.b64encode(value), base64.urlsafe_b64encode(value)):
        assert canaries.found_in(b"before ", b"in-" + data + b"-between", b" after")
    assert canaries.found_in(b'{"header": "L402 YWJjZGVmZ2hpamtsbW5vcA==:00112233"}') == ["credential"]
    assert canaries.found_in(b"nothing of the kind") == []
