"""What an emitter gets wrong of times, ids, amounts, replays and tasks is found, and named by its field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from stories import Story

from pytest_l402.evidence import (
    Check,
    Evidence,
    records_in_time,
    records_tell_what_is_known,
    replays_told_apart,
    rows_in_order,
    run_check,
)

Change = Callable[[dict[str, Any]], bool]
ROUTES = {
    f"/{name}": {"paywallId": f"pw_{name.replace('-', '_')}", "ownerId": f"owner_{name.replace('-', '_')}"}
    for name in ("premium", "premium-expensive")
}
KNOWN, IN_ORDER, TOLD_APART = records_tell_what_is_known(ROUTES), rows_in_order(), replays_told_apart()
DENIED = {"denyReason": "amount_over_cap"}


def of(**wanted: Any) -> Change:
    return lambda row: all(row.get(key) == value for key, value in wanted.items())


BUYER, STORE, UI = (
    of(executor="desktop"),
    of(plane="settlement", executor="gateway"),
    of(plane="ui", executor="system"),
)
GATEWAY, CONTROL = of(plane="gateway", executor="gateway"), of(plane="control")

KINDS = [
    ("seconds for milliseconds", "cached", records_in_time(), "records", UI, {"observedAtMs": 1_735_000_000}),
    ("a day ahead", "cached", records_in_time(), "records", GATEWAY, {"observedAtMs": 1_735_090_000_000}),
    ("no time at all", "cached", records_in_time(), "records", STORE, {"observedAtMs": 0}),
    (
        "the time of an earlier record",
        "cached",
        IN_ORDER,
        "records",
        UI,
        {"observedAtMs": 1_735_000_000_001},
    ),
    ("a log line of no time", "cached", IN_ORDER, "logs", of(plane="settlement"), {"atMs": 0}),
    ("a cap left out", "cached", KNOWN, "records", BUYER, {"capAppliedMsats": None}),
    ("another cap", "cached", KNOWN, "records", BUYER, {"capAppliedMsats": 1}),
    ("a quote left out by the buyer", "success", KNOWN, "records", BUYER, {"quotedCostMsats": None}),
    ("a quote left out by the gateway", "success", KNOWN, "records", GATEWAY, {"quotedCostMsats": None}),
    ("a quote left out by the store", "cached", KNOWN, "records", STORE, {"quotedCostMsats": None}),
    ("a cap left out by the ui", "cached", KNOWN, "records", UI, {"capAppliedMsats": None}),
    (
        "a denial without a task",
        "success",
        KNOWN,
        "records",
        of(**DENIED),
        {"taskId": None},
    ),
    (
        "a denial without a user",
        "success",
        KNOWN,
        "records",
        of(**DENIED),
        {"userId": None},
    ),
    ("a decision without a paywall", "cached", KNOWN, "records", CONTROL, {"paywallId": None}),
    (
        "a denial without a cap",
        "success",
        KNOWN,
        "records",
        of(**DENIED),
        {"capAppliedMsats": None},
    ),
    ("the buyer's path as hosted", "cached", KNOWN, "records", BUYER, {"executionPath": "hosted-node"}),
    ("the gateway's path as local", "cached", KNOWN, "records", GATEWAY, {"executionPath": "local-node"}),
    ("nobody's session", "cached", KNOWN, "records", BUYER, {"desktopSessionId": "desktop-other"}),
    ("a wallet of the gateway", "cached", KNOWN, "records", GATEWAY, {"walletState": "unlocked"}),
    ("no state of the buyer's node", "cached", KNOWN, "records", BUYER, {"nodeSyncStatus": None}),
    ("another endpoint", "cached", KNOWN, "records", UI, {"endpoint": "/elsewhere"}),
    *(
        (
            f"a replay as a payment on plane {plane}",
            "cached",
            TOLD_APART,
            "records",
            of(plane=plane, cacheHit=True, executor=speaker),
            {"cacheHit": False},
        )
        for plane, speaker in (("gateway", "gateway"), ("settlement", "gateway"), ("ui", "system"))
    ),
    ("a payment as a replay", "success", TOLD_APART, "records", UI, {"cacheHit": True}),
    (
        "a replay shown as a payment",
        "cached",
        TOLD_APART,
        "projection",
        of(status="cached"),
        {"status": "paid"},
    ),
    (
        "a replay under old ids",
        "cached",
        TOLD_APART,
        "records",
        of(plane="ui", cacheHit=True, executor="system"),
        {"requestId": "of another"},
    ),
    (
        "a view under old ids",
        "cached",
        TOLD_APART,
        "projection",
        of(status="cached"),
        {"taskId": "of another"},
    ),
    ("a view of another time", "cached", TOLD_APART, "projection", of(status="paid"), {"atMs": 7}),
    ("a task that is not where it was led", "success", IN_ORDER, "tasks", of(), {"status": "queued"}),
    (
        "a task that hides its error",
        "success",
        IN_ORDER,
        "tasks",
        of(status="blocked"),
        {"lastErrorCode": None},
    ),
    (
        "a step that the graph has not",
        "success",
        IN_ORDER,
        "transitions",
        of(toStatus="paid"),
        {"toStatus": "queued"},
    ),
    ("a status that there is not", "success", IN_ORDER, "payments", of(), {"status": "done"}),
    ("an amount that is no number", "success", IN_ORDER, "invoices", of(), {"amountMsats": None}),
]


@pytest.mark.parametrize(
    ("story_name", "check", "table", "where", "values"),
    [each[1:] for each in KINDS],
    ids=[each[0].replace(" ", "-") for each in KINDS],
)
def test_is_found(
    story: Callable[[str], Story],
    story_name: str,
    check: Check,
    table: str,
    where: Change,
    values: dict[str, Any],
) -> None:
    evidence = story(story_name).evidence
    assert run_check(check, evidence, teeth=False).passed
    ((key, value),) = values.items()
    changed = [{**row, key: value} if where(row) else row for row in evidence.table(table)]
    result = run_check(check, evidence.with_table(table, changed), teeth=False)
    assert key in {each.field for violation in result.violations for each in violation.about}


def test_a_field_that_is_missing_is_found(story: Callable[[str], Story]) -> None:
    evidence = story("success").evidence
    rows = [{key: value for key, value in row.items() if key != "host"} for row in evidence.table("payments")]
    (violation, *_) = run_check(rows_in_order(), evidence.with_table("payments", rows)).violations
    assert (violation.seen, violation.expected[:13]) == ("no such field", "payments.host")


def test_what_a_drill_broke_on_purpose_may_be_told_apart(story: Callable[[str], Story]) -> None:
    told = story("mismatch").evidence
    declared: Evidence = story("mismatch declared").evidence
    for check in (records_in_time(), KNOWN, rows_in_order(), replays_told_apart()):
        assert run_check(check, declared).passed
    assert told.table("expected_faults") == ()
