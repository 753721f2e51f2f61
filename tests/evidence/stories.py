"""Stories that a real stack left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from evidence_records import make_record

from pytest_l402.evidence import Evidence
from pytest_l402.harness.faults import Fault
from pytest_l402.protocol.quote import read_quote
from pytest_l402.stack.buyer.attributed import Answer
from pytest_l402.stack.faults import (
    AnswerLost,
    ExecutorStops,
    PaymentPending,
    SettlementLost,
    SettlementProofMismatch,
)
from pytest_l402.stack.full_flow.run import run_full_flow
from pytest_l402.stack.gateway.profile import APERTURE, SPEC
from pytest_l402.stack.stack import Stack


@dataclass(frozen=True)
class Story:
    """Evidence, and the purchases it tells of."""

    evidence: Evidence
    first: Any
    second: Any = None


@pytest.fixture
def record() -> Callable[..., dict[str, Any]]:
    return make_record


def _success(stack: Stack) -> tuple[Any, Any]:
    return stack.executor.buy("/premium"), stack.executor.buy("/premium-expensive")


def _cached(stack: Stack) -> tuple[Any, Any]:
    return stack.executor.buy("/premium"), stack.executor.buy("/premium")


def _expired(stack: Stack) -> tuple[Any, Any]:
    first = stack.executor.buy("/premium-expiring")
    stack.clock.advance(61_000)
    return first, stack.executor.buy("/premium-expiring")


def _refused(stack: Stack) -> tuple[Any, Any]:
    first = stack.executor.buy("/premium")
    stack.gateway.revoke(first.payment_hash)
    return first, stack.executor.buy("/premium")


def _paused(stack: Stack) -> tuple[Any, Any]:
    stack.control_plane.set_global_pause(True)
    first = stack.executor.buy("/premium")
    stack.control_plane.set_global_pause(False)
    return first, None


def _flow(stack: Stack) -> tuple[Any, Any]:
    run = run_full_flow(stack, stack.artifact_dir)
    return run.summary.paid_request, run.summary.policy_denied_request


def _conflict(stack: Stack) -> tuple[Any, Any]:
    events = []
    ingest = stack.settlement_store.ingest
    stack.settlement_store.ingest = lambda event: (events.append(event), ingest(event))[1]
    first = stack.executor.buy("/premium")
    with pytest.raises(ValueError, match="amountMsats"):
        ingest(replace(events[0], amount_msats=1, request_id="req-conflict"))
    return first, "req-conflict"


def _forged(stack: Stack) -> tuple[Any, Any]:
    """The first is the genuine purchase, the second all that was forged of it."""
    forger = stack.forger()
    bought, foreign = forger.buy("/premium-expiring"), forger.buy("/premium")
    forged = forger.present_forgeries(bought, foreign)
    stack.clock.advance(61_000)
    return bought, (*forged, forger.present_again(bought, "expired"))


def _with(fault: Fault) -> Callable[[Stack], tuple[Any, Any]]:
    def procedure(stack: Stack) -> tuple[Any, Any]:
        with stack.faults.inject(fault):
            first = stack.executor.buy("/premium")
        stack.executor.start()
        return first, stack.executor.buy("/premium", new_credential=True)

    return procedure


def _lost(stack: Stack) -> tuple[Any, Any]:
    """The second request presents the proof whose settlement was lost, so that both name one payment."""
    with stack.faults.inject(SettlementLost()):
        first = stack.executor.buy("/premium")
    return first, stack.executor.buy("/premium")


def _twice_asked(stack: Stack) -> tuple[Any, Any]:
    """A gateway that asks node and seller once more than it has to."""
    create, ask = stack.node.create_invoice, stack.seller_api.handle
    stack.node.create_invoice = lambda *told, **named: (create(*told, **named), create(*told, **named))[1]
    stack.seller_api.handle = lambda request: (ask(request), ask(request))[1]
    return stack.executor.buy("/premium"), None


def _unfired(stack: Stack) -> tuple[Any, Any]:
    with stack.faults.inject(SettlementLost(), "req-elsewhere"):
        return stack.executor.buy("/premium"), None


class _Client:
    """Asks and pays `times`, and presents the last credential, or each, with a query if it is told to."""

    def __init__(self, stack: Stack, times: int, query: str = "", *, each: bool = False) -> None:
        self._stack = stack
        self._times = times
        self._query = query
        self._each = each

    def buy(self, path: str) -> Answer:
        for _ in range(self._times):
            answer = self._stack.client.get(path)
            quote = read_quote(answer.headers.get_list("www-authenticate"))
            authorization = quote.authorization(self._stack.wallet.pay_invoice(quote.invoice).preimage)
            if self._each:
                self._stack.client.get(path, headers={"Authorization": authorization})
        answer = self._stack.client.get(path + self._query, headers={"Authorization": authorization})
        return Answer(answer.headers["x-oa-request-id"])


def _twice(stack: Stack) -> tuple[Any, Any]:
    return stack.attributed(_Client(stack, 2)).buy("/premium"), None


def _both_delivered(stack: Stack) -> tuple[Any, Any]:
    return stack.attributed(_Client(stack, 2, each=True)).buy("/premium"), None


def _another_call(stack: Stack) -> tuple[Any, Any]:
    return stack.attributed(_Client(stack, 1, "?page=2")).buy("/premium"), None


def _not_debited(stack: Stack) -> tuple[Any, Any]:
    first = stack.executor.buy("/premium")
    stack.wallet.__dict__["_balance_msats"] += 21_000
    return first, None


def _pending(stack: Stack) -> tuple[Any, Any]:
    with stack.faults.inject(PaymentPending()):
        first = stack.executor.buy("/premium")
    return first, stack.executor.buy("/premium")


def _reply_lost(stack: Stack) -> tuple[Any, Any]:
    with stack.faults.inject(AnswerLost("payment")):
        first = stack.executor.buy("/premium")
    return first, stack.executor.buy("/premium")


STORIES = {
    "twice": _twice,
    "another-call": _another_call,
    "both-delivered": _both_delivered,
    "not-debited": _not_debited,
    "success": _success,
    "doubled": _twice_asked,
    "cached": _cached,
    "expired": _expired,
    "refused": _refused,
    "paused": _paused,
    "flow": _flow,
    "conflict": _conflict,
    "forged": _forged,
    "lost": _lost,
    "unfired": _unfired,
    "pending": _pending,
    "interrupted": _reply_lost,
    "mismatch": _with(SettlementProofMismatch()),
    "stopped": _with(ExecutorStops("after_payment")),
}


def tell(procedure: Callable[[Stack], tuple[Any, Any]], folder: Path, refuse: bool = False) -> Story:
    profile = replace(SPEC, expired_refusal_status=401) if refuse else APERTURE
    with Stack(7, artifact_dir=folder, profile=profile) as stack, stack.online():
        before = stack.steady_state("before")
        first, second = procedure(stack)
        tables = {**stack.tables(), "steady_state": [*before, *stack.steady_state("after")]}
    return Story(Evidence(tables), first, second)


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Story]:
    """The story of this name, told once."""
    told: dict[str, Story] = {}

    def get(name: str) -> Story:
        base, _, declared = name.partition(" ")
        if declared:
            # What a drill does with `expect_fault`.
            faulty = [{"requestId": get(base).first.request_id}]
            return replace(get(base), evidence=get(base).evidence.with_table("expected_faults", faulty))
        if name not in told:
            told[name] = tell(STORIES[name], tmp_path_factory.mktemp(name), refuse=name == "refused")
        return told[name]

    return get


@pytest.fixture
def drill(tmp_path: Path) -> Callable[[Fault], Story]:
    """The story of a purchase under a fault, and of one after it."""
    return lambda fault: tell(_with(fault), tmp_path)
