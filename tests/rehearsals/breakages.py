"""The table of breakages: one behaviour of the stack each, and the runbook line that must say so.

A breakage alters a class of the stack itself, as a careless change to it would.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from pytest_l402.contract import NodeSyncStatus, Plane, TaskStatus, WalletState
from pytest_l402.harness import faults as injected
from pytest_l402.harness import journal
from pytest_l402.ops.full_flow import findings as flow_findings
from pytest_l402.ops.full_flow import flow as full_flow
from pytest_l402.protocol import Preimage
from pytest_l402.protocol.quote import read_quote
from pytest_l402.stack import faults, stack
from pytest_l402.stack.books import books as settlement_books
from pytest_l402.stack.books import projection
from pytest_l402.stack.books import store as settlement_store
from pytest_l402.stack.buyer import credential_cache, executor, local_trace, purchase_run, wallet
from pytest_l402.stack.buyer import policy as executor_policy
from pytest_l402.stack.buyer.purchase import CacheStatus
from pytest_l402.stack.control import control_plane, task_board
from pytest_l402.stack.full_flow import stages as flow_stages
from pytest_l402.stack.gateway import answers as gateway_answers
from pytest_l402.stack.gateway import evidence as gateway_evidence
from pytest_l402.stack.gateway import gateway, lightning_node
from pytest_l402.stack.gateway import mint as credential_mint

Patch = pytest.MonkeyPatch


@dataclass(frozen=True)
class Breakage:
    """What is broken, in words; the ids of the runbook lines that must be told; how to break it."""

    name: str
    lines: tuple[str, ...]
    apply: Callable[[Patch], None]


BREAKAGES: list[Breakage] = []


def breakage(name: str, *lines: str) -> Callable[[Callable[[Patch], None]], Callable[[Patch], None]]:
    def add(apply: Callable[[Patch], None]) -> Callable[[Patch], None]:
        BREAKAGES.append(Breakage(name, lines, apply))
        return apply

    return add


def around(patch: Patch, owner: Any, name: str, change: Callable[..., Any]) -> None:
    """Put `change(original, *arguments)` in the place of a method or function."""
    original = getattr(owner, name)
    patch.setattr(owner, name, lambda *arguments, **named: change(original, *arguments, **named))


def nothing(*arguments: Any, **named: Any) -> None:
    return None


def every_record(patch: Patch, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
    """Alter each observability record on its way into the journal, or drop it."""

    def append(original: Any, self: Any, table: str, row: Any) -> None:
        changed = change(dict(row)) if table == "records" else row
        if changed is not None:
            original(self, table, changed)

    around(patch, journal.Journal, "append", append)


def without_plane(plane: str, *executors: str) -> Callable[[dict[str, Any]], dict[str, Any] | None]:
    return lambda row: None if row["plane"] == plane and row["executor"] in executors else row


# Records


@breakage("the gateway emits no record", "correlate.proof")
def _(patch: Patch) -> None:
    patch.setattr(gateway_evidence.GatewayEvidence, "record", nothing)


@breakage("the settlement store emits no record", "correlate.task-and-settlement")
def _(patch: Patch) -> None:
    every_record(patch, without_plane("settlement", "gateway"))


@breakage("the projection emits no record", "correlate.ui")
def _(patch: Patch) -> None:
    every_record(patch, without_plane("ui", "system"))


@breakage("the control plane emits no record", "4.control-plane")
def _(patch: Patch) -> None:
    every_record(patch, without_plane("control", "system"))


@breakage("the executor emits no record", "correlate.local-artifact")
def _(patch: Patch) -> None:
    every_record(patch, lambda row: None if row["executor"] == "desktop" else row)


@breakage("records leave out a key that is null", "1.keys")
def _(patch: Patch) -> None:
    every_record(patch, lambda row: {key: value for key, value in row.items() if value is not None})


@breakage("one plane's records lack a key", "contract.keys")
def _(patch: Patch) -> None:
    def change(row: dict[str, Any]) -> dict[str, Any]:
        if row["plane"] == "ui":
            del row["walletState"]
        return row

    every_record(patch, change)


@breakage("a value that the contract does not list", "contract.values")
def _(patch: Patch) -> None:
    every_record(patch, lambda row: {**row, "plane": "UI"} if row["plane"] == "ui" else row)


@breakage("settlement records carry no task id", "correlate.task-and-settlement")
def _(patch: Patch) -> None:
    every_record(patch, lambda row: {**row, "taskId": None} if row["plane"] == "settlement" else row)


@breakage("hosted records have no task id at all", "1.parity")
def _(patch: Patch) -> None:
    hosted = ("gateway", "settlement", "ui")
    every_record(patch, lambda row: {**row, "taskId": None} if row["plane"] in hosted else row)


@breakage("the gateway's records name another proof", "correlate.proof")
def _(patch: Patch) -> None:
    patch.setattr(gateway, "hosted_proof_reference", lambda preimage: "lightning_preimage:" + "0" * 24)


@breakage("settlement records name another amount", "contract.planes-agree")
def _(patch: Patch) -> None:
    every_record(
        patch,
        lambda row: (
            {**row, "paidAmountMsats": row["paidAmountMsats"] + 1}
            if row["plane"] == "settlement" and row["executor"] == "gateway" and row["paidAmountMsats"]
            else row
        ),
    )


@breakage("the user interface names a proof and no amount", "contract.planes-agree")
def _(patch: Patch) -> None:
    every_record(patch, lambda row: {**row, "paidAmountMsats": None} if row["plane"] == "ui" else row)


@breakage("the user interface shows sats for msats", "contract.planes-agree")
def _(patch: Patch) -> None:
    def show(original: Any, self: Any, row: Any, *arguments: Any, **named: Any) -> None:
        original(self, {**row, "amountMsats": row["amountMsats"] // 1000}, *arguments, **named)

    around(patch, projection.Projection, "_show", show)


@breakage("the user interface shows another payment's proof", "correlate.ui")
def _(patch: Patch) -> None:
    def show(original: Any, self: Any, row: Any, *arguments: Any, **named: Any) -> None:
        swapped = row["paymentProofRef"][:-4] + "beef"
        original(self, {**row, "paymentProofRef": swapped}, *arguments, **named)

    around(patch, projection.Projection, "_show", show)


# Correlation


@breakage("the request id is not echoed", "correlate.response-header")
def _(patch: Patch) -> None:
    patch.setattr(gateway_answers, "with_request_id", lambda response, request_id: response)


@breakage("log lines carry no oa_req", "5.request-id")
def _(patch: Patch) -> None:
    def log(self: Any, plane: str, request_id: str, text: str) -> None:
        self.append("logs", {"line": f"plane={plane} {text}", "plane": plane, "atMs": 0})

    patch.setattr(journal.Journal, "log", log)


@breakage("the buyer's session sends no heartbeat", "correlate.local-artifact")
def _(patch: Patch) -> None:
    patch.setattr(executor.Executor, "heartbeat", nothing)


@breakage("the buyer sends no task id", "correlate.task-and-settlement")
def _(patch: Patch) -> None:
    patch.setattr(executor, "TASK_ID_HEADER", "x-nobody-reads-this")


# The full flow


@breakage("events.jsonl is not written", "1.artifacts")
def _(patch: Patch) -> None:
    patch.setattr(full_flow, "write_lines", nothing)


@breakage("summary.json is not written", "1.artifacts")
def _(patch: Patch) -> None:
    patch.setattr(full_flow, "write_document", nothing)


@breakage("the summary says ok although a check failed", "1.one-story")
def _(patch: Patch) -> None:
    def take(original: Any, self: Any, *arguments: Any) -> None:
        original(self, *arguments)
        self._failed.clear()

    around(patch, full_flow.Flow, "_take", take)
    patch.setattr(gateway.Gateway, "handle", _ungated(gateway.Gateway.handle))


@breakage("the summary tells of another payment", "1.one-story")
def _(patch: Patch) -> None:
    around(
        patch,
        flow_findings,
        "PaidRequest",
        lambda original, **named: original(**{**named, "amount_msats": named["amount_msats"] + 1000}),
    )


@breakage("the global pause stays on", "1.undone")
def _(patch: Patch) -> None:
    @contextlib.contextmanager
    def pause(plane: Any) -> Any:
        plane.set_global_pause(True)
        yield

    patch.setattr(flow_stages, "_global_pause", pause)


@breakage("nothing is denied in the full flow", "1.paid-and-denied")
def _(patch: Patch) -> None:
    patch.setattr(flow_stages, "_global_pause", lambda plane: contextlib.nullcontext())


@breakage("the gateway ignores the security gate", "1.ok", "4.control-plane")
def _(patch: Patch) -> None:
    patch.setattr(gateway.Gateway, "handle", _ungated(gateway.Gateway.handle))


@breakage("the gateway asks for payment after the security gate has denied it", "4.before-payment")
def _(patch: Patch) -> None:
    ungated = _ungated(gateway.Gateway.handle)

    def answer(original: Any, self: Any, request: Any) -> Any:
        answered = original(self, request)
        return ungated(self, request) if answered.status == 403 else answered

    around(patch, gateway.Gateway, "handle", answer)


def _denied_too_late(patch: Patch, goes_on: Callable[[Any], bool]) -> None:
    """Let the gateway ignore the control plane for the requests that `goes_on` holds for."""
    ungated = _ungated(gateway.Gateway.handle)

    def answer(original: Any, self: Any, request: Any) -> Any:
        return ungated(self, request) if goes_on(request) else original(self, request)

    around(patch, gateway.Gateway, "handle", answer)


@breakage("whoever has a credential is served under pause and kill switch", "4.before-payment")
def _(patch: Patch) -> None:
    _denied_too_late(patch, lambda request: request.header("Authorization") is not None)


@breakage("who comes without a task is asked to pay under pause and kill switch", "4.before-payment")
def _(patch: Patch) -> None:
    _denied_too_late(patch, lambda request: request.header("x-oa-task-id") is None)


@breakage("the pause is looked at for one owner only", "4.before-payment")
def _(patch: Patch) -> None:
    _denied_too_late(patch, lambda request: request.path == "/premium-expiring")


@breakage("an invoice is made before the control plane is asked", "4.before-payment")
def _(patch: Patch) -> None:
    def answer(original: Any, self: Any, request: Any, exchange: Any) -> Any:
        if exchange.path.startswith("/premium"):
            self._node.create_invoice(21_000, "L402", exchange.request_id)
        return original(self, request, exchange)

    around(patch, gateway.Gateway, "_answer", answer)


@breakage("the seller is asked before the control plane is", "4.before-payment")
def _(patch: Patch) -> None:
    def answer(original: Any, self: Any, request: Any, exchange: Any) -> Any:
        service = gateway.match_service(self.services, request.host, exchange.path)
        if service is not None and service.is_paid(exchange.path):
            self._ask_seller(request, exchange, service)
        return original(self, request, exchange)

    around(patch, gateway.Gateway, "_answer", answer)


@breakage("a kill switch stops every owner", "4.before-payment")
def _(patch: Patch) -> None:
    def decide(original: Any, self: Any, owner_id: Any) -> Any:
        return original(self, next(iter(self._kill_reasons), owner_id))

    around(patch, control_plane.SecurityGate, "_decide", decide)


def _ungated(handle: Any) -> Any:
    def answer(self: Any, request: Any) -> Any:
        allowed = type("Open", (), {"gate": lambda *_: control_plane.GateDecision(True)})()
        before, self._control_plane = self._control_plane, allowed
        try:
            return handle(self, request)
        finally:
            self._control_plane = before

    return answer


@breakage("the gateway's health path is dead", "1.probes")
def _(patch: Patch) -> None:
    patch.setattr(gateway.Gateway, "health_path", "/nowhere")


@breakage("the challenge asks for another amount than the price", "1.probes")
def _(patch: Patch) -> None:
    around(
        patch,
        lightning_node.LightningNode,
        "create_invoice",
        lambda original, self, amount, *rest, **named: original(self, amount + 1000, *rest, **named),
    )


@breakage("invoices carry no valid signature", "1.probes")
def _(patch: Patch) -> None:
    def unsigned(original: Any, **named: Any) -> str:
        text = original(**named)
        # Another amount under the old signature, with a checksum that is right again.
        return text[:-7] + ("q" if text[-7] != "q" else "p") + text[-6:]

    around(patch, lightning_node, "encode_invoice", unsigned)


@breakage("invoices are over when they are handed out", "1.probes")
def _(patch: Patch) -> None:
    def expired(original: Any, **named: Any) -> str:
        return str(original(**named | {"timestamp_s": named["timestamp_s"] - 7200}))

    around(patch, lightning_node, "encode_invoice", expired)


@breakage("macaroons are bound to another payment than the one asked for", "1.probes")
def _(patch: Patch) -> None:
    def mint(original: Any, self: Any, payment_hash: Any, *rest: Any) -> Any:
        return original(self, Preimage(bytes.fromhex(payment_hash)).payment_hash, *rest)

    around(patch, credential_mint.CredentialMint, "mint", mint)


@breakage("the paywall is open", "1.probes")
def _(patch: Patch) -> None:
    patch.setattr(
        gateway.Gateway,
        "_refuse",
        lambda self, request, exchange, service: self._forward(request, exchange, service),
    )


# Delivery, by the books of the seller and its node


def while_asking_the_seller(patch: Patch, change: Callable[..., Any]) -> None:
    """Alter the request on its way to the seller's service: `change(request)`."""

    def forwarded(original: Any, *arguments: Any) -> Any:
        return change(original(*arguments))

    around(patch, gateway, "forwarded", forwarded)


def without_header(message: Any, name: str) -> Any:
    return replace(message, headers=tuple(line for line in message.headers if line[0].lower() != name))


@breakage("the seller is asked before the payment, and its answer thrown away", "1.delivered-as-paid")
def _(patch: Patch) -> None:
    def refuse(original: Any, self: Any, request: Any, exchange: Any, service: Any) -> Any:
        self._ask_seller(request, exchange, service)
        return original(self, request, exchange, service)

    around(patch, gateway.Gateway, "_refuse", refuse)


@breakage("the seller is asked twice for one payment", "1.delivered-as-paid")
def _(patch: Patch) -> None:
    def ask(original: Any, self: Any, *arguments: Any) -> Any:
        original(self, *arguments)
        return original(self, *arguments)

    around(patch, gateway.Gateway, "_ask_seller", ask)


@breakage("the gateway answers from a cache of its own", "1.delivered-as-paid")
def _(patch: Patch) -> None:
    def ask(original: Any, self: Any, request: Any, *arguments: Any) -> Any:
        kept = self.__dict__.setdefault("kept", {})
        if request.path not in kept:
            kept[request.path] = original(self, request, *arguments)
        return kept[request.path]

    around(patch, gateway.Gateway, "_ask_seller", ask)


@breakage("the seller's answer is cut in half", "1.delivered-as-paid")
def _(patch: Patch) -> None:
    def cut(original: Any, request: Any, response: Any) -> Any:
        return original(request, replace(response, body=response.body[: len(response.body) // 2]))

    around(patch, gateway_answers, "from_backend", cut)


@breakage("the seller's answer has one byte more", "1.delivered-as-paid")
def _(patch: Patch) -> None:
    around(
        patch,
        gateway_answers,
        "from_backend",
        lambda original, request, response: original(request, replace(response, body=response.body + b"\n")),
    )


@breakage("the seller's status is told as another", "1.delivered-as-paid")
def _(patch: Patch) -> None:
    around(
        patch,
        gateway_answers,
        "from_backend",
        lambda original, request, response: replace(original(request, response), status=response.status + 1),
    )


@breakage("the request's body is dropped", "1.delivered-as-paid")
def _(patch: Patch) -> None:
    while_asking_the_seller(patch, lambda request: replace(request, body=b""))


@breakage("the request's query is dropped", "1.delivered-as-paid")
def _(patch: Patch) -> None:
    while_asking_the_seller(patch, lambda request: replace(request, query=""))


@breakage("the seller is asked with another method", "1.delivered-as-paid")
def _(patch: Patch) -> None:
    while_asking_the_seller(patch, lambda request: replace(request, method="GET"))


@breakage("the seller is asked for another path", "1.delivered-as-paid")
def _(patch: Patch) -> None:
    while_asking_the_seller(patch, lambda request: replace(request, path="/"))


@breakage("the credential is not passed on", "1.delivered-as-paid")
def _(patch: Patch) -> None:
    while_asking_the_seller(patch, lambda request: without_header(request, "authorization"))


@breakage("the request id is not passed on", "1.delivered-as-paid")
def _(patch: Patch) -> None:
    while_asking_the_seller(patch, lambda request: without_header(request, "x-oa-request-id"))


@breakage("two invoices are made for one challenge", "1.one-challenge")
def _(patch: Patch) -> None:
    def create(original: Any, self: Any, *arguments: Any, **named: Any) -> Any:
        original(self, *arguments, **named)
        return original(self, *arguments, **named)

    around(patch, lightning_node.LightningNode, "create_invoice", create)


@breakage("the two lines of a challenge name two invoices", "1.one-challenge")
def _(patch: Patch) -> None:
    def challenge(original: Any, self: Any, request: Any, exchange: Any, service: Any) -> Any:
        first, second = (original(self, request, exchange, service) for _ in range(2))
        (lsat, *_), (_, l402, *rest) = first.headers, second.headers
        return replace(second, headers=(lsat, l402, *rest))

    around(patch, gateway.Gateway, "_challenge", challenge)


@breakage("one invoice is offered to everybody until it is paid", "1.one-challenge")
def _(patch: Patch) -> None:
    def create(original: Any, self: Any, *arguments: Any, **named: Any) -> Any:
        kept = self.__dict__.get("kept")
        if kept is None or self.lookup(kept.payment_hash) is not lightning_node.InvoiceStatus.OPEN:
            kept = self.kept = original(self, *arguments, **named)
        return kept

    around(patch, lightning_node.LightningNode, "create_invoice", create)


@breakage("a challenge may be kept by a cache", "1.one-challenge")
def _(patch: Patch) -> None:
    def may_be_kept(original: Any, *arguments: Any, **named: Any) -> Any:
        answered = original(*arguments, **named)
        return replace(
            answered, headers=tuple(line for line in answered.headers if line[0] != "Cache-Control")
        )

    around(patch, gateway_answers, "payment_required", may_be_kept)


# Money


@breakage("the wallet pays twice", "3.paid-once")
def _(patch: Patch) -> None:
    def send(original: Any, self: Any, attempt: Any, **named: Any) -> Any:
        payment = original(self, attempt, **named)
        self._note(attempt, wallet.PaymentStatus.SUCCEEDED, payment.proof_reference)
        return payment

    around(patch, wallet.Wallet, "_send", send)


@breakage("the balance is never debited", "contract.money")
def _(patch: Patch) -> None:
    _taking(patch, lambda attempt: -(attempt.amount_msats + attempt.fee_msats))


@breakage("the wallet takes a fee that it does not write down", "contract.money")
def _(patch: Patch) -> None:
    _taking(patch, lambda attempt: 21)


def _taking(patch: Patch, more_msats: Callable[[Any], int]) -> None:
    def take(original: Any, self: Any, attempt: Any, status: Any) -> None:
        original(self, attempt, status)
        self._balance_msats -= more_msats(attempt)

    around(patch, wallet.Wallet, "_take", take)


@breakage("a payment that failed is debited", "6.money")
def _(patch: Patch) -> None:
    def debit(self: Any, attempt: Any) -> None:
        self._balance_msats -= attempt.amount_msats

    _when_failed(patch, debit)


@breakage("a payment that failed is settled at the seller's node", "6.money")
def _(patch: Patch) -> None:
    _when_failed(patch, lambda self, attempt: self._node.settle(attempt.payment_hash))


def _when_failed(patch: Patch, then: Callable[[Any, Any], object]) -> None:
    def note(original: Any, self: Any, attempt: Any, status: Any, *proof: Any) -> None:
        original(self, attempt, status, *proof)
        if status is wallet.PaymentStatus.FAILED:
            then(self, attempt)

    around(patch, wallet.Wallet, "_note", note)


@breakage("the seller's node settles another amount than was paid", "contract.money")
def _(patch: Patch) -> None:
    around(
        patch,
        lightning_node.LightningNode,
        "settle",
        lambda original, self, payment_hash, amount: original(self, payment_hash, amount + 1_000),
    )


@breakage("the wallet writes no payment down", "contract.money", "1.one-story")
def _(patch: Patch) -> None:
    patch.setattr(wallet.Wallet, "_note", nothing)


@breakage("a credential is accepted whose invoice nobody has paid", "contract.money")
def _(patch: Patch) -> None:
    def settle(self: Any, payment_hash: str, amount_msats: int | None = None) -> Any:
        return self._known(payment_hash).preimage

    patch.setattr(lightning_node.LightningNode, "settle", settle)


@breakage("the buyer pays two challenges for one request", "contract.one-payment")
def _(patch: Patch) -> None:
    _paying_first(patch, lambda self, run: None)


@breakage("the buyer pays again under another request id for the same task", "contract.one-payment")
def _(patch: Patch) -> None:
    @contextlib.contextmanager
    def renamed(run: Any) -> Any:
        named, run.trace.request_id = run.trace.request_id, f"{run.trace.request_id}-again"
        yield
        run.trace.request_id = named

    _paying_first(patch, lambda self, run: renamed(run))


def _paying_first(patch: Patch, inside: Callable[[Any, Any], Any]) -> None:
    """Let the executor ask and pay once more, before it pays what it was asked for."""

    def pay(original: Any, self: Any, run: Any, response: Any) -> Any:
        with inside(self, run) or contextlib.nullcontext():
            again = self._ask(run, None)
            self._wallet.pay_invoice(read_quote(again.headers.get_list("www-authenticate")).invoice)
        return original(self, run, response)

    around(patch, executor.Executor, "_pay", pay)


@breakage("the buyer pays a second invoice when the seller fails", "5.paid-once")
def _(patch: Patch) -> None:
    def trouble(original: Any, self: Any, response: Any) -> Any:
        if response.status_code == 503:
            raise _PayAgain
        return original(self, response)

    def pay(original: Any, self: Any, run: Any, response: Any) -> Any:
        try:
            return original(self, run, response)
        except _PayAgain:
            again = self._ask(run, None)
            self._wallet.pay_invoice(read_quote(again.headers.get_list("www-authenticate")).invoice)
            return run.gateway_failed("gateway_status_503", "the seller fails")

    around(patch, purchase_run.PurchaseRun, "gateway_trouble", trouble)
    around(patch, executor.Executor, "_pay", pay)


class _PayAgain(Exception):  # noqa: N818 - no error: the client is stubborn
    pass


@breakage("the buyer changes the query once it has paid", "contract.one-payment")
def _(patch: Patch) -> None:
    def ask(original: Any, self: Any, run: Any, authorization: str | None) -> Any:
        before = run.url
        if authorization is not None:
            run.url = f"{before}?paid=1"
        try:
            return original(self, run, authorization)
        finally:
            run.url = before

    around(patch, executor.Executor, "_ask", ask)


@breakage("the buyer drops its credential once it has paid", "contract.one-payment")
def _(patch: Patch) -> None:
    around(
        patch,
        executor.Executor,
        "_ask",
        lambda original, self, run, authorization: original(self, run, None),
    )


@breakage("the credential cache is ignored", "3.cache-hit")
def _(patch: Patch) -> None:
    patch.setattr(
        credential_cache.CredentialCache, "lookup", lambda self, key, now_s: (CacheStatus.MISS, None)
    )


@breakage("the store never says cacheHit=true", "3.cache-hit")
def _(patch: Patch) -> None:
    every_record(patch, lambda row: {**row, "cacheHit": False} if row["cacheHit"] else row)


@breakage("a replay is stored as a new settlement", "3.idempotent-replay")
def _(patch: Patch) -> None:
    schema = settlement_books._SCHEMA.replace("paymentHash TEXT NOT NULL UNIQUE", "paymentHash TEXT NOT NULL")
    patch.setattr(settlement_books, "_SCHEMA", schema)
    patch.setattr(settlement_books.SettlementBooks, "contradictions", lambda self, fact: ())
    count = iter(range(10_000))

    def store(original: Any, self: Any, event: Any, proof: str) -> bool:
        return original(self, replace(event, settlement_id=f"{event.settlement_id}-{next(count)}"), proof)

    around(patch, settlement_store.SettlementStore, "_store", store)


@breakage("the store keeps another amount than was paid", "1.one-story")
def _(patch: Patch) -> None:
    _kept_otherwise(patch, lambda fact: {"amount_msats": fact.amount_msats - 1})


@breakage("the store keeps another proof than was paid with", "correlate.proof")
def _(patch: Patch) -> None:
    _kept_otherwise(patch, lambda fact: {"proof_reference": fact.proof_reference[:-4] + "beef"})


def _kept_otherwise(patch: Patch, change: Callable[[Any], dict[str, Any]]) -> None:
    around(
        patch,
        settlement_books.SettlementBooks,
        "_enter_settlement",
        lambda original, self, fact: original(self, replace(fact, **change(fact))),
    )


@breakage("a paid invoice stays open in the store", "1.one-story")
def _(patch: Patch) -> None:
    patch.setattr(settlement_books.SettlementBooks, "_settle_invoice", nothing)


@breakage("the buyer pays again when told 401", "3.no-second-payment")
def _(patch: Patch) -> None:
    def refused(original: Any, self: Any) -> Any:
        if self.http_status == 401:
            raise _AskAgain
        return original(self)

    def buy(original: Any, self: Any, path: str, **named: Any) -> Any:
        try:
            return original(self, path, **named)
        except _AskAgain:
            with self._gateway_of_breakage.following(gateway.APERTURE):
                return original(self, path, **named)

    def made(original: Any, self: Any, *arguments: Any, **named: Any) -> None:
        original(self, *arguments, **named)
        self.executor._gateway_of_breakage = self.gateway

    around(patch, purchase_run.PurchaseRun, "refused", refused)
    around(patch, executor.Executor, "buy", buy)
    around(patch, stack.Stack, "__init__", made)


class _AskAgain(Exception):  # noqa: N818 - no error: the client is stubborn
    pass


# Credentials


@breakage("the preimage is not checked", "3.forged")
def _(patch: Patch) -> None:
    def judge_one(original: Any, self: Any, credential: Any, macaroon: Any, service: Any, now_s: int) -> Any:
        presented = original(self, credential, macaroon, service, now_s)
        if presented.reason != credential_mint.Refusal.PREIMAGE_MISMATCH:
            return presented
        minted = next(
            one for one in self._root_keys._minted.values() if one.payment_hash == presented.payment_hash
        )
        return replace(presented, standing=credential_mint.Standing.ACCEPTED, reason=None, minted=minted)

    around(patch, credential_mint.CredentialMint, "_judge_one", judge_one)


@breakage("the signature is not checked", "3.forged")
def _(patch: Patch) -> None:
    patch.setattr(credential_mint.Macaroon, "verify", lambda self, root_key: True)


@breakage("the root key is not looked up", "3.forged")
def _(patch: Patch) -> None:
    def judge_one(original: Any, self: Any, credential: Any, macaroon: Any, service: Any, now_s: int) -> Any:
        presented = original(self, credential, macaroon, service, now_s)
        known = [
            one for one in self._root_keys._minted.values() if one.payment_hash == presented.payment_hash
        ]
        if presented.reason != credential_mint.Refusal.ROOT_KEY_UNKNOWN or not known:
            return presented
        return replace(presented, standing=credential_mint.Standing.ACCEPTED, reason=None, minted=known[0])

    around(patch, credential_mint.CredentialMint, "_judge_one", judge_one)


@breakage("the service of a credential is not checked", "3.forged")
def _(patch: Patch) -> None:
    _without_caveat(patch, credential_mint.CaveatReason.SERVICE_NOT_AUTHORIZED)


@breakage("the gateway ignores the expiry of a credential", "3.forged")
def _(patch: Patch) -> None:
    _without_caveat(patch, credential_mint.CaveatReason.EXPIRED)


def _without_caveat(patch: Patch, reason: str) -> None:
    def check(original: Any, *arguments: Any) -> None:
        try:
            original(*arguments)
        except credential_mint.CaveatError as error:
            if error.reason != reason:
                raise

    around(patch, credential_mint, "check_caveats", check)


@breakage("a revoked credential is still accepted", "3.not-reused")
def _(patch: Patch) -> None:
    patch.setattr(credential_mint.CredentialMint, "revoke", lambda self, payment_hash: 1)


@breakage("credentials never expire", "3.not-reused")
def _(patch: Patch) -> None:
    around(
        patch,
        gateway.CredentialMint,
        "mint",
        lambda original, self, payment_hash, amount, service, now_s: original(
            self, payment_hash, amount, replace(service, timeout_s=0), now_s
        ),
    )


@breakage("the buyer pays in another request when told 401", "3.no-second-payment")
def _(patch: Patch) -> None:
    def buy(original: Any, self: Any, path: str, **named: Any) -> Any:
        bought = original(self, path, **named)
        if bought.http_status == 401:
            self._cache.clear()
            original(self, path, **named)
        return bought

    around(patch, executor.Executor, "buy", buy)


# Policy


@breakage("the cap is not looked at", "4.before-payment")
def _(patch: Patch) -> None:
    patch.setattr(executor_policy.BuyerPolicy, "amount_denial", nothing)
    patch.setattr(wallet.Wallet, "_refusal", nothing)


@breakage("the denial comes after the payment", "4.before-payment")
def _(patch: Patch) -> None:
    def pay(original: Any, self: Any, run: Any, response: Any) -> Any:
        quote = read_quote(response.headers.get_list("www-authenticate"))
        denial = self.policy.amount_denial(quote.amount_msats, run.trace.cap_msats)
        if denial is not None:
            run.quote = quote
            self._wallet.pay_invoice(quote.invoice, host=run.host)
            run.deny(denial)
        return original(self, run, response)

    around(patch, executor.Executor, "_pay", pay)


@breakage("blocked hosts are not looked at", "4.deny-reason")
def _(patch: Patch) -> None:
    patch.setattr(executor_policy, "host_denial", lambda host, blocked, allowed: None)


@breakage("the owner kill switch is ignored", "4.deny-reason")
def _(patch: Patch) -> None:
    patch.setattr(control_plane.SecurityGate, "set_owner_kill_switch", nothing)


@breakage("a denial leaves no record", "4.control-plane")
def _(patch: Patch) -> None:
    every_record(patch, lambda row: None if row["plane"] == "control" and row["denyReason"] else row)


@breakage("a denial has no reason", "4.deny-reason", "tree.policy")
def _(patch: Patch) -> None:
    every_record(patch, lambda row: {**row, "denyReason": None} if row["plane"] == "control" else row)


@breakage("a denial is told by the wrong plane", "4.control-plane")
def _(patch: Patch) -> None:
    every_record(
        patch,
        lambda row: {**row, "plane": "gateway"} if row["plane"] == "control" and row["denyReason"] else row,
    )


@breakage("a denial is told by the wrong executor", "4.control-plane")
def _(patch: Patch) -> None:
    every_record(
        patch,
        lambda row: {**row, "executor": "gateway"} if row["plane"] == "control" else row,
    )


@breakage("a denied task is not blocked", "4.control-plane")
def _(patch: Patch) -> None:
    def transition(original: Any, self: Any, task_id: str, to: Any, *rest: Any, **named: Any) -> Any:
        if to is TaskStatus.BLOCKED:
            return self.task(task_id)
        return original(self, task_id, to, *rest, **named)

    around(patch, task_board.TaskBoard, "transition", transition)


# The local-node path


@breakage("the local artifact is not written", "2.local-run")
def _(patch: Patch) -> None:
    patch.setattr(executor.Executor, "write_local_artifact", lambda self, path: path)


@breakage("the local artifact has no proof", "2.local-run")
def _(patch: Patch) -> None:
    around(
        patch,
        local_trace,
        "LocalFlow",
        lambda original, **named: original(
            **{
                **named,
                "proof_reference": None,
                "observability_records": tuple(
                    record.model_copy(update={"payment_proof_ref": None})
                    for record in named["observability_records"]
                ),
            }
        ),
    )


@breakage("the local artifact forgets blocked flows", "2.reference-only")
def _(patch: Patch) -> None:
    around(
        patch,
        executor,
        "LocalNodeArtifact",
        lambda original, **named: original(
            **{**named, "flows": tuple(flow for flow in named["flows"] if flow.flow.value != "blocked")}
        ),
    )


# Triage, faults and recovery


@breakage("a fault stays in", "5.recovered", "6.recovered")
def _(patch: Patch) -> None:
    def inject(self: Any, fault: Any, request_id: Any = None) -> Any:
        self._active.append(injected.InjectedFault(fault, request_id))
        return contextlib.nullcontext()

    patch.setattr(injected.Faults, "inject", inject)


@breakage("the store says that it settled what it lost", "5.proof")
def _(patch: Patch) -> None:
    def ingest(original: Any, self: Any, event: Any) -> Any:
        outcome = original(self, event)
        if self._faults.active(faults.SettlementLost, event.request_id):
            self._emit(event, proof=outcome.proof_reference, existed=False)
        return outcome

    around(patch, settlement_store.SettlementStore, "ingest", ingest)


@breakage("the user interface says that it showed what it did not", "tree.projection")
def _(patch: Patch) -> None:
    def active(original: Any, self: Any, kind: Any, *meant: Any, **named: Any) -> Any:
        return None if kind is faults.ProjectionStale else original(self, kind, *meant, **named)

    around(patch, injected.Faults, "active", active)


@breakage("held back settlements are lost", "5.recovered")
def _(patch: Patch) -> None:
    patch.setattr(settlement_store.SettlementStore, "release_delayed", lambda self: 0)


@breakage("nobody says that the seller's API failed", "5.domain")
def _(patch: Patch) -> None:
    def record(original: Any, self: Any, exchange: Any, **named: Any) -> None:
        original(self, exchange, **{**named, "deny_reason": None})

    around(patch, gateway_evidence.GatewayEvidence, "record", record)
    _silent_about_the_gateway(patch)


@breakage("the buyer does not say that the gateway is down", "tree.gateway")
def _(patch: Patch) -> None:
    _silent_about_the_gateway(patch)


def _silent_about_the_gateway(patch: Patch) -> None:
    def observed(original: Any, self: Any, plane: Any, **named: Any) -> None:
        if plane is not Plane.GATEWAY:
            original(self, plane, **named)

    around(patch, local_trace.LocalTrace, "observed", observed)


# A purchase that is interrupted


def _forgets_payments_that_were(patch: Patch, *said: type[Exception]) -> None:
    kept = tuple(kind for kind in executor._MAY_YET_SUCCEED if kind not in said)
    patch.setattr(executor, "_MAY_YET_SUCCEED", kept)


@breakage("the buyer forgets a payment whose answer was lost", "5.reply-lost")
def _(patch: Patch) -> None:
    _forgets_payments_that_were(patch, wallet.PaymentOutcomeUnknown)


@breakage("the buyer pays anew while a payment is pending", "5.pending", "5.late")
def _(patch: Patch) -> None:
    _forgets_payments_that_were(patch, wallet.PaymentPendingError)


@breakage("the buyer keeps a credential only once it has worked", "5.reply-lost", "5.refused")
def _(patch: Patch) -> None:
    around(
        patch,
        executor.Executor,
        "_bought",
        lambda original, self, run, quote, payment: (
            original(self, run, quote, payment),
            self._cache.evict(run.trace.endpoint),
        )[0],
    )
    patch.setattr(credential_cache.CredentialCache, "keep_refused", nothing)


@breakage("the buyer pays the challenge that comes with a refusal of what it has just bought", "5.refused")
def _(patch: Patch) -> None:
    patch.setattr(credential_cache.CredentialCache, "keep_refused", credential_cache.CredentialCache.store)


@breakage("the wallet never learns that a payment has succeeded late", "5.late")
def _(patch: Patch) -> None:
    patch.setattr(wallet.Wallet, "_settle_what_is_due", nothing)


@breakage("the wallet has forgotten a payment that it made", "5.reply-lost")
def _(patch: Patch) -> None:
    def payment(self: Any, payment_hash: str) -> Any:
        raise wallet.PaymentFailed("no such payment", payment_hash)

    patch.setattr(wallet.Wallet, "payment", payment)


@breakage("the gateway takes no credential twice", "5.reply-lost")
def _(patch: Patch) -> None:
    def judge(original: Any, self: Any, request: Any, service: Any, request_id: str) -> Any:
        presented = original(self, request, service, request_id)
        seen = self.__dict__.setdefault("seen", set())
        if presented.payment_hash in seen:
            return presented.refused("already_used")
        if presented.payment_hash is not None:
            seen.add(presented.payment_hash)
        return presented

    around(patch, gateway.Gateway, "_judge", judge)


@breakage("heartbeats are ignored", "6.domain")
def _(patch: Patch) -> None:
    def heartbeat(original: Any, self: Any, *arguments: Any) -> None:
        original(self, *arguments)
        self._presence.clear()

    around(patch, task_board.TaskBoard, "heartbeat", heartbeat)


@breakage("a session never counts as gone", "6.domain")
def _(patch: Patch) -> None:
    patch.setattr(task_board, "OFFLINE_AFTER_MS", 10**12)


@breakage("a task may take for ever", "6.domain")
def _(patch: Patch) -> None:
    patch.setattr(task_board, "TIMEOUT_AFTER_MS", 10**12)


@breakage("the sweep never runs", "6.domain")
def _(patch: Patch) -> None:
    patch.setattr(control_plane.ControlPlane, "sweep", lambda self: ())


@breakage("a stopped executor goes on buying", "6.local-artifact")
def _(patch: Patch) -> None:
    patch.setattr(executor.Executor, "stop", nothing)


@breakage("the artifact calls every task completed", "6.local-artifact")
def _(patch: Patch) -> None:
    around(
        patch,
        local_trace,
        "LocalFlow",
        lambda original, **named: original(**{**named, "task_status": TaskStatus.COMPLETED}),
    )


@breakage("the executor does not say that its wallet is locked", "6.domain")
def _(patch: Patch) -> None:
    around(
        patch,
        local_trace,
        "observe",
        lambda original, *arguments, **named: original(
            *arguments, **{**named, "wallet_state": WalletState.UNLOCKED}
        ),
    )


@breakage("the executor does not say that its node is degraded", "tree.local-node")
def _(patch: Patch) -> None:
    around(
        patch,
        local_trace,
        "observe",
        lambda original, *arguments, **named: original(
            *arguments, **{**named, "node_sync_status": NodeSyncStatus.SYNCED}
        ),
    )


@breakage("the executor's records tell of another node than its artifact", "6.local-artifact")
def _(patch: Patch) -> None:
    every_record(
        patch,
        lambda row: {**row, "nodeSyncStatus": "synced"} if row["nodeSyncStatus"] else row,
    )


@breakage("a degraded node pays nothing", "6.degraded-success")
def _(patch: Patch) -> None:
    def pay(original: Any, self: Any, *arguments: Any, **named: Any) -> Any:
        if self._harness.faults.active(faults.NodeDegraded):
            raise wallet.PaymentFailed("a degraded node pays nothing")
        return original(self, *arguments, **named)

    around(patch, wallet.Wallet, "pay_invoice", pay)


# What is known


def _of_plane(plane: str, **changed: Any) -> Callable[[Patch], None]:
    """Alter every record with which the platform speaks for a plane; a callable value is given the row."""
    return _of(lambda row: row["plane"] == plane and row["executor"] != "desktop", **changed)


def _of(where: Callable[[dict[str, Any]], Any], **changed: Any) -> Callable[[Patch], None]:
    def change(row: dict[str, Any]) -> dict[str, Any]:
        told = {key: value(row) if callable(value) else value for key, value in changed.items()}
        return {**row, **told} if where(row) else row

    return lambda patch: every_record(patch, change)


def _is_buyer(row: dict[str, Any]) -> bool:
    return bool(row["executor"] == "desktop")


def _no_replay(row: dict[str, Any]) -> bool | None:
    return False if row["paymentProofRef"] else None


def _in_seconds(row: dict[str, Any]) -> int:
    return int(row["observedAtMs"]) // 1000


DAY_MS = 86_400_000
for name, line, apply in (
    (
        "all times are in seconds",
        "contract.known",
        _of(bool, observedAtMs=lambda row: row["observedAtMs"] // 1000),
    ),
    (
        "one plane's times are in seconds",
        "contract.known",
        _of_plane("ui", observedAtMs=_in_seconds),
    ),
    (
        "one plane is a day ahead",
        "contract.known",
        _of_plane("settlement", observedAtMs=lambda row: row["observedAtMs"] + DAY_MS),
    ),
    ("one plane has no clock", "contract.known", _of_plane("gateway", observedAtMs=0)),
    ("the buyer does not tell its cap", "contract.known", _of(_is_buyer, capAppliedMsats=None)),
    ("the buyer does not tell the quote", "contract.known", _of(_is_buyer, quotedCostMsats=None)),
    (
        "the gateway does not tell the quote",
        "contract.known",
        _of_plane("gateway", quotedCostMsats=None),
    ),
    ("the store does not tell the quote", "contract.known", _of_plane("settlement", quotedCostMsats=None)),
    ("the user interface does not tell the cap", "contract.known", _of_plane("ui", capAppliedMsats=None)),
    ("the control plane's decisions name no task", "contract.known", _of_plane("control", taskId=None)),
    ("the control plane's decisions name no paywall", "contract.known", _of_plane("control", paywallId=None)),
    ("the control plane's decisions name no user", "contract.known", _of_plane("control", userId=None)),
    ("the buyer says that it is hosted", "contract.known", _of(_is_buyer, executionPath="hosted-node")),
    ("the gateway says that it is local", "contract.known", _of_plane("gateway", executionPath="local-node")),
    ("the buyer names another session", "contract.known", _of(_is_buyer, desktopSessionId="desktop-other")),
    (
        "the gateway takes a replay for a payment",
        "3.idempotent-replay",
        _of_plane("gateway", cacheHit=_no_replay),
    ),
    (
        "the ui takes a payment for a replay",
        "3.idempotent-replay",
        _of_plane("ui", cacheHit=True),
    ),
):
    breakage(name, line)(apply)


@breakage("the user interface shows a replay as a payment", "3.idempotent-replay")
def _(patch: Patch) -> None:
    def append(original: Any, self: Any, table: str, row: Any) -> None:
        original(self, table, {**row, "status": "paid"} if table == "projection" else row)

    around(patch, journal.Journal, "append", append)


@breakage("the user interface shows a replay under the ids of the payment", "3.idempotent-replay")
def _(patch: Patch) -> None:
    def observe(original: Any, self: Any, settlement: Any, event: Any, existed: bool) -> None:
        self._show(settlement, settlement["requestId"], settlement["taskId"], existed)

    around(patch, projection.Projection, "observe", observe)


@breakage("a task does not say when it was changed", "contract.known")
def _(patch: Patch) -> None:
    around(
        patch,
        task_board.Task,
        "to_row",
        lambda original, self: {**original(self), "updatedAtMs": 0},
    )


@breakage("anybody's session counts as the buyer's", "6.domain")
def _(patch: Patch) -> None:
    def presence_of(self: Any, task: Any) -> Any:
        return max(self._presence.values(), key=lambda seen: seen.at_ms, default=None)

    patch.setattr(task_board.TaskBoard, "_presence_of", presence_of)


@breakage("a heartbeat may be a millisecond older", "6.domain")
def _(patch: Patch) -> None:
    patch.setattr(task_board, "OFFLINE_AFTER_MS", 10_001)


@breakage("a heartbeat may be a millisecond younger", "6.domain")
def _(patch: Patch) -> None:
    patch.setattr(task_board, "OFFLINE_AFTER_MS", 9_999)


@breakage("a task is given up a millisecond early", "6.domain")
def _(patch: Patch) -> None:
    patch.setattr(task_board, "TIMEOUT_AFTER_MS", 4_499)


@breakage("the cap itself may not be spent", "4.deny-reason")
def _(patch: Patch) -> None:
    around(
        patch,
        executor_policy.BuyerPolicy,
        "amount_denial",
        lambda original, self, quoted, cap: original(self, quoted + 1, cap),
    )
