"""Runbook section 3: the conservation guard fails; nothing moves, and it recovers without a restart."""

import pytest

from pytest_l402.billing import (
    CONSTRAINTS,
    Billing,
    Zygote,
    agrees,
    answered,
    balance,
    counted,
    logged,
    measured,
)
from pytest_l402.billing.guard_cases import CASES, LATTICE
from pytest_l402.evidence import result_shows, some_row
from pytest_l402.plugin.evidence_fixture import EvidenceCollector

pytestmark = pytest.mark.rehearsal("conservation-guard", runbook="billing", section="3")

JUDGE, LATTICE_OF = "/api/v1/admin/guard/judge", "/api/v1/admin/guard/lattice"


def test_tables(l402_billing: Billing, l402_evidence: EvidenceCollector) -> None:
    service = l402_billing.open()
    for invariant, values, wanted in CASES:
        told = service.post(JUDGE, {"invariant": invariant, "values": values}).document
        l402_billing.note(
            "guard_cases", case=f"{invariant} {values}", wanted=wanted, seen=told.get("effective")
        )
    for evaluator, adhoc, wanted in LATTICE:
        told = service.post(LATTICE_OF, {"evaluator": evaluator, "adhoc": adhoc}).document
        l402_billing.note("lattice", case=f"{evaluator} {adhoc}", wanted=wanted, seen=told.get("effective"))
    l402_evidence.verify(
        agrees("guard_cases", "wanted", "seen", 36).proves("CG1"),
        agrees("lattice", "wanted", "seen", 8).proves("CG1"),
    )


def test_each_invariant_broken_alone(l402_billing: Billing, l402_evidence: EvidenceCollector) -> None:
    service = l402_billing.open()
    l402_billing.reserve("e1")
    with l402_billing.step("broken"):
        l402_billing.commit("e1", 101)
        l402_billing.commit("e1", -1)
        l402_billing.commit("e1", 100, rate=2)
        l402_billing.reserve("e2", 10_000_000)
        l402_billing.quote()
        l402_billing.pay("n1", msats=9)
    service.post("/api/v1/admin/entitlements", {"account": "ann", "state": "CANCELLED"})
    with l402_billing.step("broken"):
        l402_billing.reserve("e3", 1)
    l402_billing.observe("broken")
    broken = ("budget_conservation", "cost_non_negative", "rate_consistency", "reserve_within_allocation",
              "x402_payment_conservation", "entitlement_valid")  # fmt: skip
    l402_evidence.verify(
        *(counted("service_events", 1, event="HARD_FAIL", invariant=name).proves("CG2") for name in broken),
        counted("calls", 6, step="broken", status=422).proves("CG2"),
        some_row("metrics", when="broken", name="conservation_guard_hard_fail_total", value=6).proves("CG2"),
        logged(0, "billing_commit").proves("CG2"),
        balance("available:ann", 999_900).proves("CG2"),
    )


def repaired(billing: Billing) -> None:
    """Start with an expression that does not compile, ask for everything, and repair it."""
    billing.open()
    billing.constrain({**CONSTRAINTS, "cost_non_negative": "cost >="})
    billing.kill(billing.service)
    service = billing.start("one", wait_ready=False)
    billing.observe("degraded")
    with billing.step("gated"):
        billing.purchase("late")
        billing.reserve("late")
        billing.commit("late")
        billing.quote()
        billing.pay("late")
    with billing.step("alive"):
        service.get("/health/live")
    billing.constrain(CONSTRAINTS)
    declared = billing.periods.guard_ms * 1.1 + billing.periods.late_ms
    billing.timed_until(
        "guard", "recover", declared, lambda: billing.metrics().get("conservation_guard_state")
    )
    billing.observe("repaired")
    with billing.step("first"):
        billing.reserve("first")


def test_syntax_error(l402_billing: Billing, l402_evidence: EvidenceCollector) -> None:
    repaired(l402_billing)
    l402_evidence.verify(
        some_row("readiness", when="degraded", status=503, guard="degraded").proves("CG3"),
        some_row("metrics", when="degraded", name="conservation_guard_state", value=0).proves("CG3"),
        counted("service_events", 1, event="guard degraded").proves("CG3"),
        answered("alive", 200).proves("CG3"),
        answered("gated", 503, "BILLING_EVALUATOR_UNAVAILABLE", 5).proves("CG7"),
        measured("guard", "recover").proves("CG4"),
        counted("service_events", 1, event="guard ready").proves("CG4"),
        some_row("metrics", when="repaired", name="conservation_guard_state", value=1).proves("CG4"),
        answered("first", 200).proves("CG4"),
    )


def test_evaluator_that_raises(l402_billing: Billing, l402_evidence: EvidenceCollector) -> None:
    l402_billing.constrain({**CONSTRAINTS, "cost_non_negative": "costs >= 0"})
    l402_billing.open()
    l402_billing.reserve("e1")
    with l402_billing.step("raises"):
        l402_billing.commit("e1", 5)
    l402_billing.observe("afterwards")
    l402_evidence.verify(
        answered("raises", 422, "INVARIANT_COST_NON_NEGATIVE").proves("CG5"),
        some_row("readiness", when="afterwards", status=200, guard="ready").proves("CG5"),
        logged(0, "billing_commit").proves("CG5"),
    )


def test_bypass(l402_billing: Billing, l402_billing_zygote: Zygote, l402_evidence: EvidenceCollector) -> None:
    service = l402_billing.open()
    with l402_billing.step("at run time"):
        service.post("/api/v1/admin/guard/bypass", {"enabled": True})
    # A service of its own: what was bypassed in the one under rehearsal would make the sign-off red.
    with Billing(faults=l402_billing.faults, zygote=l402_billing_zygote) as other:
        other.open("one", bypass=True)
        other.reserve("e1")
        refused = other.commit("e1", -1)
        guard = other.observe("bypassed")["guard"]
    l402_evidence.record("bypassed", {"guard": guard, "adhoc": refused.code})
    l402_evidence.verify(
        answered("at run time", 403, "BYPASS_ONLY_AT_START").proves("CG6"),
        result_shows("bypassed", guard="bypassed", adhoc="INVARIANT_COST_NON_NEGATIVE").proves("CG6"),
    )
