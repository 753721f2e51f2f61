"""What a drill measured and counted is judged as the runbook declares it."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_l402.billing import as_fast_as, lost_at_most, measured, nothing_twice, only_refusals, tokens_once
from pytest_l402.billing.standing import metrics_agree, promises_kept, times_only_grow
from pytest_l402.evidence import Evidence, run_check


def said(check: Any, tables: dict[str, Any]) -> list[str]:
    result = run_check(check, Evidence(tables))
    return [f"expected {each.expected}, saw {each.seen}" for each in result.violations]


@pytest.mark.parametrize(
    ("acknowledged", "lost", "told"),
    [
        (7, 0, []),
        (7, 1, ["expected lost up to 0 of 7 acknowledged records, saw 1 of 7"]),
        # Of nothing nothing can be lost: that was no drill.
        (0, 0, ["expected lost up to 0 of 1 acknowledged records, saw 0 of 0"]),
        (7, -1, ["expected lost up to 0 of 7 acknowledged records, saw -1 of 7"]),
    ],
)
def test_what_was_lost_is_held_to_what_is_declared(acknowledged: int, lost: int, told: list[str]) -> None:
    row = {"procedure": "p", "what": "records", "acknowledged": acknowledged, "lost": lost, "declared": 0}
    assert said(lost_at_most("p"), {"losses": [row]}) == told


def calls(step: str, *elapsed_ms: float) -> list[dict[str, Any]]:
    return [{"step": step, "path": "/", "elapsedMs": each} for each in elapsed_ms]


def test_a_step_may_take_twice_as_long_as_another_but_for_one_call_in_a_hundred() -> None:
    check = as_fast_as("two", "one", 5.0)
    one = calls("one", *[10.0] * 100)
    assert said(check, {"calls": [*one, *calls("two", *[25.0] * 99, 900.0)]}) == []
    slow = calls("two", *[25.0] * 98, 900.0, 900.0)
    assert said(check, {"calls": [*one, *slow]}) == [
        "expected elapsedMs of step two up to 25, twice that of one, saw 900"
    ]
    assert said(check, {"calls": one}) == ["expected calls of step two, saw none"]


def test_times_go_forward_and_metrics_say_what_the_log_says() -> None:
    segment = {"epoch": 1, "writer": "one", "firstSequence": 0}
    records = [{"sequence": number, "atMs": at} for number, at in enumerate((5, 9, 9, 8))]
    assert said(times_only_grow(), {"log_segments": [segment], "log_records": records}) == [
        "expected atMs from 9, saw 8"
    ]
    gauge = {"when": "now", "name": "depth", "value": 0}
    gauges = [{**gauge, "logValue": None}, {**gauge, "logValue": 0}, {**gauge, "logValue": 3}]
    assert said(metrics_agree(), {"log_segments": [segment], "metrics": gauges}) == [
        "expected depth 3 now, as the log has it, saw 0"
    ]


SEGMENTS = [{"epoch": 1, "writer": "one", "firstSequence": 0}]


@pytest.mark.parametrize(
    "kind", ["billing_commit", "billing_release", "billing_finalize_ack", "billing_void"]
)
def test_an_entry_is_charged_and_ended_once(kind: str) -> None:
    record = {"type": kind, "entry": "e1"}
    tables = {"log_segments": SEGMENTS, "log_records": [record], "backend_calls": []}
    assert said(nothing_twice(), tables) == []
    tables["log_records"] = [record, record]
    assert said(nothing_twice(), tables) == [f"expected one {kind} of entry e1, saw 2"]


def test_what_was_answered_well_is_in_the_log_and_a_payment_is_served_once() -> None:
    settled = {"type": "x402_settled", "payment": "p1", "transfer": None, "entry": None}
    served, bought = {"type": "x402_settled", "id": "p1"}, {"type": "credit_mint", "id": "t1"}
    tables = {"log_segments": SEGMENTS, "log_records": [settled], "acknowledged": [served]}
    assert said(promises_kept(), tables) == []
    assert said(promises_kept(), {**tables, "acknowledged": [served, bought]}) == [
        "expected a record credit_mint of t1, which was acknowledged, saw none"
    ]
    assert (
        said(promises_kept(), {**tables, "acknowledged": [served, served]})
        == ["expected payment p1 served once, saw 2 times"] * 2
    )


def test_a_call_without_an_answer_is_no_refusal() -> None:
    refused = {"status": 503, "code": "OFF", "path": "/"}
    assert said(only_refusals("OFF"), {"calls": [refused]}) == []
    hung_up = {"status": 0, "code": None, "path": "/"}
    assert said(only_refusals("OFF"), {"calls": [refused, hung_up]}) == [
        "expected status 503 with code OFF, or none of 5xx, saw status 0, code null for /"
    ]


def test_tokens_only_grow() -> None:
    def of(*tokens: int) -> dict[str, Any]:
        rows = [
            {"writer": True, "instance": str(epoch), "epoch": epoch, "token": token}
            for epoch, token in enumerate(tokens, start=1)
        ]
        return {"readiness": rows}

    assert said(tokens_once(), of(1, 2, 5)) == []
    assert said(tokens_once(), of(1, 5, 2)) == ["expected a token above 5 in epoch 3, saw 2"]


@pytest.mark.parametrize(("elapsed_ms", "declared_ms"), [(0.0, 9.0), (-1.0, 9.0), (10.0, 9.0), (5.0, -9.0)])
def test_a_time_that_says_nothing_is_refused(elapsed_ms: float, declared_ms: float) -> None:
    row = {"procedure": "p", "what": "recover", "elapsedMs": elapsed_ms, "declaredMs": declared_ms}
    assert len(said(measured("p", "recover"), {"times": [row]})) == 1
    assert said(measured("p", "recover"), {"times": [{**row, "elapsedMs": 0.1, "declaredMs": 9.0}]}) == []
