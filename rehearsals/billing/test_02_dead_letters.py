"""Runbook section 2: the dead-letter queue overflows; the breaker opens, each entry is resolved once."""

import contextlib

import pytest

from pytest_l402.billing import (
    API,
    Billing,
    NotSoInTime,
    answered,
    balance,
    counted,
    finalized_in_time,
    measured,
    nothing_twice,
)
from pytest_l402.evidence import result_shows, some_row
from pytest_l402.plugin.evidence_fixture import EvidenceCollector

pytestmark = pytest.mark.rehearsal("dead-letter-overflow", runbook="billing", section="2")

DEPTH, ALARM = "billing_pending_reconciliation_count", "billing_pending_reconciliation_alarm"


def overflowing(billing: Billing, *, with_overflow: bool = True) -> None:
    """Ten finalizes fail, and so two entries are poisoned; then eleven and more do, and it is three."""
    billing.open()
    for entry in ("e1", "e2", "e3", "e4"):
        billing.reserve(entry)
    billing.backend.set_mood("fails")
    billing.commit("e1")
    billing.commit("e2")
    billing.poisoned(2)
    billing.observe("ten failed")
    with billing.step("open"):
        billing.reserve("e5")
    # The eleventh is answered and no other, so that the alarm is seen at eleven.
    billing.backend.hold(after=11)
    with billing.step("still"):
        billing.release("e4")
        billing.commit("e3")
    shown = f"{API}/billing/entries/e3"
    with contextlib.suppress(NotSoInTime):
        billing.until("the eleventh to fail", lambda: billing.service.get(shown).document.get("attempt"), 2.0)
    billing.observe("eleven failed")
    billing.backend.let_go()
    billing.timed_until("overflow", "detect", billing.periods.window_ms, lambda: billing.metrics().get(ALARM))
    billing.poisoned(3)
    billing.observe("overflow")


def test_overflow(l402_billing: Billing, l402_evidence: EvidenceCollector) -> None:
    overflowing(l402_billing)
    periods = l402_billing.periods
    gaps = list(periods.retry_ms[1:])
    l402_evidence.verify(
        some_row("metrics", when="ten failed", name=ALARM, value=0).proves("DQ1"),
        some_row("metrics", when="eleven failed", name=ALARM, value=1).proves("DQ1"),
        some_row("metrics", when="overflow", name=ALARM, value=1).proves("DQ1"),
        measured("overflow", "detect").proves("DQ1"),
        answered("open", 503, "BILLING_CIRCUIT_OPEN", 1).proves("DQ2"),
        answered("still", 200, None, 2).proves("DQ2"),
        some_row("readiness", when="overflow", guard="degraded").proves("DQ2"),
        finalized_in_time("e1", 5, gaps, periods.late_ms).proves("DQ3"),
        counted("log_records", 1, type="billing_poison", entry="e1", attempt=5, reason="status 500").proves(
            "DQ3"
        ),
        counted("entries", 3, state="FINALIZE_FAILED").proves("DQ4"),
        some_row("metrics", when="overflow", name=DEPTH, value=3).proves("DQ4"),
    )


def resolved(billing: Billing) -> None:
    """The backend is back and has the first entry alone; each is resolved, some of them once more."""
    overflowing(billing)
    with billing.step("unreachable"):
        billing.resolve("e1")
    billing.backend.set_mood("works")
    billing.backend.do_unheard("e1")
    declared = billing.periods.open_ms + billing.periods.poll_ms + billing.periods.late_ms
    billing.timed_until(
        "overflow", "recover", declared, lambda: billing.metrics().get("billing_circuit_open") == 0
    )
    for step, entries in (("resolved", ("e1", "e2", "e3")), ("again", ("e1", "e2")), ("ghost", ("ghost",))):
        with billing.step(step):
            for entry in entries:
                billing.resolve(entry)
    billing.observe("recovered")


def test_resolved_and_recovered(l402_billing: Billing, l402_evidence: EvidenceCollector) -> None:
    resolved(l402_billing)
    l402_evidence.verify(
        answered("unreachable", 503, "BACKEND_UNAVAILABLE").proves("DQ7"),
        answered("resolved", 200, None, 3).proves("DQ7"),
        answered("again", 409, "NOT_POISONED", 2).proves("DQ7"),
        answered("ghost", 404, "ENTRY_UNKNOWN").proves("DQ7"),
        counted("service_events", 1, event="escalated", entry="ghost").proves("DQ7"),
        some_row("entries", entry="e1", state="FINALIZE_ACKED").proves("DQ7"),
        counted("entries", 2, state="VOIDED").proves("DQ7"),
        balance("available:ann", 999_900).proves("DQ7"),
        balance("revenue", 100).proves("DQ7"),
        measured("overflow", "recover").proves("DQ8"),
        some_row("readiness", when="recovered", status=200, guard="ready").proves("DQ8"),
        some_row("metrics", when="recovered", name=DEPTH, value=0).proves("DQ8"),
        counted("service_events", 1, event="circuit=closed").proves("DQ8"),
    )


@pytest.mark.parametrize(("mood", "cause"), [("fails", "backend"), ("rejects", "payload")])
def test_root_cause(mood: str, cause: str, l402_billing: Billing, l402_evidence: EvidenceCollector) -> None:
    service = l402_billing.open("one", "billing", "credits")
    l402_billing.reserve("e1")
    l402_billing.backend.set_mood(mood)  # type: ignore[arg-type]
    l402_billing.commit("e1")
    l402_billing.poisoned(1)
    told = service.get("/api/v1/admin/dead-letters").document
    l402_billing.cache.kill()
    with l402_billing.step("cache down"):
        l402_billing.reserve("e2")
    down = service.get("/api/v1/admin/dead-letters").document
    l402_billing.cache.start()
    l402_evidence.record("root_cause", {"backend": told.get("cause"), "cache": down.get("cause")})
    l402_evidence.verify(result_shows("root_cause", backend=cause, cache="cache").proves("DQ6"))


def test_killed_between_effect_and_ack(l402_billing: Billing, l402_evidence: EvidenceCollector) -> None:
    service = l402_billing.open("one", "billing", "credits")
    l402_billing.reserve("e1")
    l402_billing.backend.hold()
    l402_billing.commit("e1")
    l402_billing.backend.until_effects(1)
    l402_billing.kill(service)
    l402_billing.backend.let_go()
    again = l402_billing.start("one")
    shown = "/api/v1/billing/entries/e1"
    l402_billing.until("e1 acked", lambda: again.get(shown).document.get("state") == "FINALIZE_ACKED")
    l402_evidence.verify(
        some_row("entries", entry="e1", state="FINALIZE_ACKED").proves("DQ5"),
        some_row("backend_calls", id="e1", status=409, effect=False).proves("DQ5"),
        counted("backend_calls", 1, id="e1", effect=True).proves("DQ5"),
        nothing_twice().proves("DQ5"),
    )


def test_events_late_doubled_and_out_of_order(
    l402_billing: Billing, l402_evidence: EvidenceCollector
) -> None:
    service = l402_billing.open("one", "billing", "credits")
    l402_billing.reserve("e1")
    l402_billing.backend.set_mood("fails")
    l402_billing.commit("e1")
    l402_billing.poisoned(1)
    for what, result, attempt in (("older", "acked", 1), ("late", "acked", 5), ("failed", "failed", 5)):
        told = {"entry": "e1", "result": result, "attempt": attempt}
        answer = service.post("/api/v1/billing/callbacks", told).document
        l402_billing.note("callbacks", what=what, applied=answer.get("applied"), state=answer.get("state"))
    with l402_billing.step("out of order"):
        l402_billing.release("e1")
    l402_evidence.verify(
        counted("callbacks", 3, applied=False, state="FINALIZE_FAILED").proves("DQ9"),
        answered("out of order", 409, "OUT_OF_ORDER").proves("DQ9"),
        counted("log_records", 0, type="billing_finalize_ack").proves("DQ9"),
    )
