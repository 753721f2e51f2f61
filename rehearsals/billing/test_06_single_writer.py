"""Runbook section 6: a second instance, a holder that freezes, one that lives; the log has one writer."""

from collections.abc import Callable

import pytest

from pytest_l402.billing import (
    Billing,
    CacheServer,
    answered,
    as_fast_as,
    counted,
    logged,
    lost_at_most,
    measured,
    one_writer_an_epoch,
    over_a_frozen_holder,
    over_a_live_holder,
    tokens_once,
)
from pytest_l402.evidence import result_shows, some_row
from pytest_l402.harness.tcp_proxy import TcpProxy
from pytest_l402.plugin.evidence_fixture import EvidenceCollector

Links = Callable[[tuple[str, int]], TcpProxy]

pytestmark = pytest.mark.rehearsal("single-writer", runbook="billing", section="6")

DRIFT, CONFLICT = "ecs_desired_count_drift", "CRITICAL: lock conflict"


def test_second_instance(l402_billing: Billing, l402_evidence: EvidenceCollector) -> None:
    first, periods = l402_billing.open(), l402_billing.periods
    with l402_billing.step("alone"):
        for number in range(20):
            l402_billing.purchase(f"alone-{number}")
    second = l402_billing.start("two", wait_ready=False)
    l402_billing.observe("two", second)
    with l402_billing.step("second"):
        for ask in (l402_billing.purchase, l402_billing.pay, l402_billing.reserve):
            ask("second")
    with l402_billing.using(first), l402_billing.step("first"):
        for number in range(20):
            l402_billing.purchase(f"first-{number}")
    l402_billing.kill(second)
    l402_billing.timed_until(
        "drift", "recover", periods.window_ms, lambda: not l402_billing.metrics(first)[DRIFT]
    )
    l402_billing.observe("one", first)
    l402_evidence.verify(
        some_row("readiness", when="two", status=503, writer=False, refusal="NOT_WRITER").proves("SW1"),
        answered("second", 503, "NOT_WRITER", 3).proves("SW1"),
        counted("log_segments", 0, writer="two").proves("SW1"),
        some_row("service_events", event=CONFLICT, instance="two").proves("SW1"),
        answered("first", 200, None, 20).proves("SW2"),
        as_fast_as("first", "alone", periods.late_ms).proves("SW2"),
        logged(41, "credit_mint").proves("SW2"),
        some_row("metrics", when="two", name=DRIFT, value=1).proves("SW3"),
        some_row("metrics", when="one", name=DRIFT, value=0).proves("SW3"),
        measured("drift", "recover").proves("SW3"),
    )


def test_holder_killed(l402_billing: Billing, l402_evidence: EvidenceCollector) -> None:
    first, periods = l402_billing.open(), l402_billing.periods
    second = l402_billing.start("two", wait_ready=False)
    l402_billing.kill(first)
    declared = periods.poll_ms + periods.late_ms
    l402_billing.timed_until(
        "holder killed", "recover", declared, lambda: second.get("/health/ready").status == 200
    )
    l402_billing.observe("two")
    l402_billing.count_losses("holder killed")
    l402_evidence.verify(
        measured("holder killed", "recover").proves("SW4"),
        lost_at_most("holder killed").proves("SW4"),
        some_row("readiness", when="two", status=200, writer=True, token=2).proves("SW4"),
        logged(1, "credit_mint").proves("SW4"),
    )


def test_frozen_holder(l402_billing: Billing, l402_evidence: EvidenceCollector) -> None:
    stale = l402_billing.open()
    l402_evidence.record("schedules", over_a_frozen_holder(l402_billing.faults))
    l402_evidence.verify(result_shows("schedules", broken=0, first=None).proves("SW5"))
    stale.process.sigstop()
    fresh = l402_billing.start("two", takeover=True)
    with l402_billing.step("fresh"):
        for number in range(100):
            l402_billing.purchase(f"fresh-{number}")
    stale.process.sigcont()
    l402_billing.until("the stale one fenced", lambda: stale.get("/health/ready").status == 503)
    with l402_billing.step("stale"), l402_billing.using(stale):
        for number in range(10):
            l402_billing.purchase(f"stale-{number}")
    l402_evidence.verify(
        answered("fresh", 200, None, 100).proves("SW5"),
        answered("stale", 503, "NOT_WRITER", 10).proves("SW5"),
        some_row("service_events", event="CRITICAL: fenced", instance="one").proves("SW5"),
        logged(101, "credit_mint").proves("SW5"),
        counted("log_segments", 1, writer=fresh.instance).proves("SW7"),
        one_writer_an_epoch().proves("SW7"),
    )


def test_live_holder(l402_billing: Billing, l402_evidence: EvidenceCollector) -> None:
    live = l402_billing.open()
    l402_evidence.record("schedules", over_a_live_holder(l402_billing.faults))
    l402_evidence.verify(result_shows("schedules", broken=0, first=None).proves("SW8"))
    with l402_billing.step("live"), l402_billing.using(live):
        for number in range(20):
            l402_billing.purchase(f"live-{number}")
    l402_billing.start("two", takeover=True)
    l402_billing.until(
        "the live one fenced", lambda: live.get("/health/ready").document["refusal"] == "NOT_WRITER"
    )
    with l402_billing.step("live after"), l402_billing.using(live):
        l402_billing.purchase("live after")
    l402_evidence.verify(
        answered("live", 200, None, 20).proves("SW8"),
        answered("live after", 503, "NOT_WRITER").proves("SW8"),
        logged(21, "credit_mint").proves("SW8"),
    )


def test_token_after_failover(
    l402_billing: Billing, l402_cache: CacheServer, l402_proxy: Links, l402_evidence: EvidenceCollector
) -> None:
    primary = l402_billing.cache
    l402_billing.open()
    link = l402_proxy(("127.0.0.1", primary.port))
    l402_cache.replicate(link.port)
    link.black_hole()
    l402_billing.kill(l402_billing.service)
    l402_billing.kill(l402_billing.start("two"))
    l402_billing.observe("two", l402_billing.start("three"))
    l402_billing.kill(l402_billing.service)
    primary.kill()
    l402_cache.promote()
    l402_billing.cache = l402_cache
    for name in ("four", "five"):
        l402_billing.observe(name, l402_billing.start(name, cache=l402_cache.port))
        l402_billing.kill(l402_billing.service)
    l402_evidence.verify(tokens_once().proves("SW6"))
