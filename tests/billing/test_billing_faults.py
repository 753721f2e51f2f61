"""A service that is broken in one way is found by the criterion that was made for it."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import Any

import pytest
from doc_pages import rows_of
from drilled_billing import rehearsal, violated

from pytest_l402.billing import BillingFault, CacheServer, Zygote
from pytest_l402.harness.tcp_proxy import TcpProxy


@dataclass(frozen=True)
class Case:
    """Which fault, in which drill, must be told by which criterion (None is a standing check) and check."""

    fault: BillingFault
    module: str
    drill: str
    criterion: str | None
    check: str
    links: bool = False


F = BillingFault
ALWAYS = "always"
"""How the page calls what is no criterion, but holds after every drill."""
LISTED = {
    BillingFault(row[0].strip("`")): (row[2], {*re.findall(r"\b[A-Z]{2}\d+\b|\balways\b", row[3])}, row[4])
    for row in rows_of("runbook-5-billing.md", "## What each fault is found by")
}
"""Of each fault, as the page has it: its criterion, which others follow, and how the message begins."""

CASES = [
    Case(F.FLAGS_NOT_MOUNTED, "test_01_treasury", "test_frozen", "TC1", "answered(toggled: 200)"),
    Case(F.FLAG_WITHOUT_CONSUMER, "test_04_gates", "test_rolled_back", "GR5",
         "some_row(probes: gate 0, 200, 503, 503, 503, 503)"),
    Case(F.QUOTE_OUTLIVES_TTL, "test_01_treasury", "test_rotated", "TC5", "measured(rotation: contain)"),
    Case(F.TREASURY_FROM_OTHER_NAME, "test_01_treasury", "test_rotated", "TC5",
         "result_shows(first_quote: treasury)"),
    Case(F.MINT_UNBALANCED, "test_01_treasury", "test_mints_audited", "TC7", "zero_sum()"),
    Case(F.DEAD_LETTERS_NOT_READ, "test_02_dead_letters", "test_overflow", "DQ3",
         "finalized_in_time(e1: 5)"),
    Case(F.ALARM_AT_FIFTY, "test_02_dead_letters", "test_overflow", "DQ1",
         "some_row(metrics: overflow, billing_pending_reconciliation_alarm, 1)"),
    Case(F.GUARD_NEVER_RETRIES, "test_03_guard", "test_syntax_error", "CG4", "measured(guard: recover)"),
    Case(F.GUARD_GAUGE_GONE, "test_03_guard", "test_syntax_error", "CG3",
         "some_row(metrics: degraded, conservation_guard_state, 0)"),
    Case(F.BYPASS_DISABLES_ALL, "test_03_guard", "test_bypass", "CG6",
         "result_shows(bypassed: guard, adhoc)"),
    Case(F.CACHE_LOSS_IS_500, "test_05_cache", "test_each_fault", "RF2", "only_refusals(CACHE_UNAVAILABLE)"),
    Case(F.REBUILD_IGNORES_USE, "test_05_cache", "test_rebuilt", "RF5",
         "same_state(before, rebuilt)"),
    Case(F.SEQUENCE_STARTS_OVER, "test_05_cache", "test_crashes", "RF8",
         "result_shows(crash_states: lost, first)"),
    Case(F.NO_LOCK, "test_06_single_writer", "test_second_instance", "SW1", "counted(log_segments: 0 two)"),
    Case(F.TOKEN_FROM_CACHE, "test_06_single_writer", "test_token_after_failover", "SW6",
         "tokens_once() [SW6]", links=True),
    Case(F.ID_BURNED_BEFORE_SETTLEMENT, "test_05_cache", "test_claimed_and_not_settled", "RF7",
         "served_only_settled() [RF7]"),
    Case(F.CLOCK_BELIEVED, "test_01_treasury", "test_rotated", None, "times_only_grow() [TC7]"),
    Case(F.METRICS_LIE, "test_02_dead_letters", "test_overflow", None, "metrics_agree() [DQ4]"),
    Case(F.NO_FDATASYNC, "test_05_cache", "test_crashes", "RF8",
         "result_shows(crash_states: lost, first)"),
    Case(F.FSYNC_RESULT_IGNORED, "test_05_cache", "test_crashes", "RF8",
         "result_shows(crash_states: lost, first)"),
    Case(F.MEASURES_BEFORE_IT_CREATES, "test_06_single_writer", "test_live_holder", "SW8",
         "result_shows(schedules: broken, first)"),
    Case(F.DOES_NOT_LOOK, "test_06_single_writer", "test_frozen_holder", "SW5",
         "result_shows(schedules: broken, first)"),
]  # fmt: skip


def test_every_fault_has_a_case() -> None:
    assert {case.fault for case in CASES} == {*BillingFault}


# The fast tier has one that breaks the service, and one that breaks the log.
FAST = (F.ID_BURNED_BEFORE_SETTLEMENT, F.NO_FDATASYNC)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=str(case.fault), marks=() if case.fault in FAST else pytest.mark.slow)
        for case in CASES
    ],
)
def test_found(case: Case, billings: Any, l402_billing_zygote: Zygote) -> None:
    drill = getattr(rehearsal(case.module), case.drill)
    with billings(case.fault) as (billing, collector), contextlib.ExitStack() as opened:
        links: dict[str, Any] = {}
        if case.links:
            links["l402_cache"] = opened.enter_context(CacheServer(zygote=l402_billing_zygote))
            links["l402_proxy"] = lambda target: opened.enter_context(TcpProxy(target))
        if case.drill == "test_bypass":
            links["l402_billing_zygote"] = l402_billing_zygote
        with contextlib.suppress(Exception, pytest.fail.Exception):
            drill(l402_billing=billing, l402_evidence=collector, **links)
        found = violated(collector)
    criterion, follow, message = LISTED[case.fault]
    assert (case.criterion, case.check) in found
    assert any(told.startswith(message) for told in found[case.criterion, case.check])
    # And by no other, but for those of which the page says why they follow.
    assert {line or ALWAYS for line, _ in found} - follow == {criterion}


def test_the_page_lists_each_fault_and_its_criterion() -> None:
    assert {fault: criterion for fault, (criterion, _, _) in LISTED.items()} == {
        case.fault: case.criterion or ALWAYS for case in CASES
    }
