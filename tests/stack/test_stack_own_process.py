"""A stack in a process of its own leaves the rows that it leaves here, and hides the same."""

from __future__ import annotations

import ctypes
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from pytest_l402.boundary import redact_text
from pytest_l402.contract.payment import Wallet as PlaysWallet
from pytest_l402.evidence.tables import Row
from pytest_l402.harness.clock import StackClock
from pytest_l402.harness.own_process import OwnProcess
from pytest_l402.protocol.quote import read_quote
from pytest_l402.stack import Answer, GatewayDown, PaymentFailure, Served, Stack
from pytest_l402.stack.served.own_process import (
    ClockOfOwnProcess,
    NotInOwnProcessError,
    StackInOwnProcess,
)
from pytest_l402.stack.system import StackSystem

HOLDS_THE_INTERPRETER = ctypes.PyDLL(None)


@pytest.fixture(scope="module")
def process() -> Iterator[OwnProcess]:
    with OwnProcess() as opened:
        yield opened


class NativeClient:
    """Pays, keeps the credential, and holds the interpreter while it waits for an answer, if it is to."""

    def __init__(self, served: Served, wallet: PlaysWallet, *, holds: bool) -> None:
        self._address = urlsplit(served.gateway_url)
        self._wallet, self._holds = wallet, holds
        self._kept: str | None = None

    def buy(self, path: str) -> Answer:
        status, headers = self._get(path)
        if status == 402:
            quote = read_quote([value for name, value in headers if name == "www-authenticate"])
            self._kept = quote.authorization(self._wallet.pay_invoice(quote.invoice).preimage)
            status, headers = self._get(path)
        return Answer(dict(headers)["x-oa-request-id"])

    def _get(self, path: str) -> tuple[int, list[tuple[str, str]]]:
        lines = [f"GET {path} HTTP/1.1", f"Host: {self._address.netloc}", "Connection: close"]
        lines += [] if self._kept is None else [f"Authorization: {self._kept}"]
        with socket.create_connection((str(self._address.hostname), self._address.port or 0)) as opened:
            opened.settimeout(None)
            opened.sendall("\r\n".join([*lines, "", ""]).encode())
            head, *_ = self._received(opened).decode("latin-1").partition("\r\n\r\n")
        status, *said = head.split("\r\n")
        headers = [line.partition(": ") for line in said]
        return int(status.split()[1]), [(name.lower(), value) for name, _, value in headers]

    def _received(self, opened: socket.socket) -> bytes:
        buffer, said = ctypes.create_string_buffer(65_536), b""
        while True:
            if self._holds:
                count = HOLDS_THE_INTERPRETER.recv(opened.fileno(), buffer, len(buffer), 0)
            else:
                count = opened.recv_into(buffer)
            if count <= 0:
                return said
            said += buffer.raw[:count]


def played(stack: Stack, *, holds: bool) -> dict[str, Any]:
    """What one client leaves: it buys, buys again, meets two faults, and a day passes."""
    with stack, stack.online():
        steady: list[Row] = [*stack.steady_state("before")]
        with stack.serve() as served:
            buyer = stack.attributed(NativeClient(served, stack.wallet, holds=holds))
            bought = [buyer.buy("/premium"), buyer.buy("/premium"), buyer.buy("/status")]
            stack.clock.advance(86_400_000)
            with stack.faults.inject(PaymentFailure()):
                failed = buyer.buy("/premium-expiring")
            with stack.faults.inject(GatewayDown()):
                unreachable = buyer.buy("/premium")
        steady += stack.steady_state("after")
        told = [(each.error_code, each.error_reason, type(each.raised)) for each in (failed, unreachable)]
        system = StackSystem(stack)
        return {
            "bought": bought,
            "told": told,
            "steady": steady,
            "parts": system.parts(),
            "digest": system.digest,
            "faults": system.injected_faults(),
            "tables": stack.tables(),
        }


@pytest.mark.slow
def test_one_client_leaves_the_same_evidence_both_ways(process: OwnProcess) -> None:
    here = played(Stack(402), holds=False)
    there = played(StackInOwnProcess(process, 402), holds=True)
    assert [bought.status for bought in here["bought"]] == ["paid", "cached", "free"]
    assert [code for code, *_ in here["told"]] == ["payment_failed", "gateway_unreachable"]
    assert here["tables"].keys() == there["tables"].keys()
    for name, rows in here["tables"].items():
        assert there["tables"][name] == rows, name
    assert there == here


@pytest.mark.slow
def test_what_is_issued_there_is_secret_here_before_anything_else_is_asked(process: OwnProcess) -> None:
    with StackInOwnProcess(process, 7) as stack, stack.online(), stack.serve() as served:
        lines = httpx.get(f"{served.gateway_url}/premium").headers.get_list("www-authenticate")
        macaroon = lines[-1].partition('macaroon="')[2].partition('"')[0]
        assert macaroon not in redact_text(f"seen: {macaroon}")
        preimage = stack.wallet.pay_invoice(read_quote(lines).invoice).preimage.hex()
        assert preimage not in redact_text(f"seen: {preimage}")


def test_what_answers_requests_has_to_live_there(process: OwnProcess) -> None:
    with pytest.raises(NotInOwnProcessError, match="saw the clock of the test's process"):
        StackInOwnProcess(process, 402, clock=StackClock())
    with StackInOwnProcess(process, 402, clock=ClockOfOwnProcess(process)) as stack:
        for role in ("gateway", "control_plane", "settlement_store"):
            with pytest.raises(NotInOwnProcessError, match=f"saw the {role.replace('_', ' ')} of the"):
                stack.replace(**{role: object()})
        with pytest.raises(TypeError, match="no role 'door'"):
            stack.replace(door=stack.gateway)


def test_the_buyer_of_the_stack_pays_with_a_wallet_of_the_test(process: OwnProcess) -> None:
    class Mine:
        def __init__(self, inner: Any) -> None:
            self.inner, self.asked = inner, 0

        def pay_invoice(self, bolt11: str, **named: Any) -> Any:
            self.asked += 1
            return self.inner.pay_invoice(bolt11, **named)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

    with StackInOwnProcess(process, 402) as stack, stack.online():
        mine = Mine(stack.wallet)
        stack.replace(wallet=mine)
        assert stack.executor.buy("/premium").status == "paid"
        assert mine.asked == 1
        wallets = [part for part in StackSystem(stack).parts() if part.role == "wallet"]
        assert [(part.name, part.requests) for part in wallets] == [("Mine", 1)]


def test_a_process_freezes_at_a_clock_of_another_one(process: OwnProcess) -> None:
    import time

    clock = ClockOfOwnProcess(process, 1_700_000_000_000)
    with clock.frozen():
        clock.advance(5_000)
        assert time.time() == 1_700_000_005
    assert clock.now_ms() == 1_700_000_005_000
