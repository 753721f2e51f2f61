"""Runbook section 1: the treasury is compromised; mints and payments freeze, and its address rotates."""

import pytest

from pytest_l402.billing import Billing, answered, balance, counted, logged, measured, zero_sum
from pytest_l402.evidence import result_shows, some_row
from pytest_l402.plugin.evidence_fixture import EvidenceCollector

pytestmark = pytest.mark.rehearsal("treasury-compromise", runbook="billing", section="1")


def test_frozen(l402_billing: Billing, l402_evidence: EvidenceCollector) -> None:
    l402_billing.open()
    with l402_billing.step("refused"):
        l402_billing.toggle("credits", False, "nobody")
        l402_billing.toggle("credits", False, "VIEWER_TOKEN")
        l402_billing.toggle("credits", "no")
    with l402_billing.step("toggled"), l402_billing.timed("treasury", "contain", 1000.0):
        l402_billing.toggle("credits", False)
    with l402_billing.step("frozen"):
        for number in range(50):
            l402_billing.purchase(f"late-{number}")
    l402_evidence.verify(
        answered("toggled", 200).proves("TC1"),
        answered("frozen", 503, "FEATURE_DISABLED", 50).proves("TC1"),
        logged(1, "credit_mint").proves("TC1"),
        measured("treasury", "contain").proves("TC1"),
        some_row("calls", step="refused", status=401, code="ADMIN_AUTH_INVALID").proves("TC3"),
        some_row("calls", step="refused", status=403, code="ADMIN_ROLE_REQUIRED").proves("TC3"),
        some_row("calls", step="refused", status=400, code="INVALID_REQUEST").proves("TC3"),
        logged(4, "feature_flag_toggle").proves("TC3"),
        logged(1, "feature_flag_toggle", flag="credits", actor="admin", old=True, new=False).proves("TC3"),
    )


def test_payments_in_flight(l402_billing: Billing, l402_evidence: EvidenceCollector) -> None:
    backend = l402_billing.backend
    l402_billing.open()
    l402_billing.quote()
    backend.hold()
    with l402_billing.step("in flight"), l402_billing.in_background(lambda: l402_billing.pay("n1")):
        backend.until_effects(1)
        with l402_billing.in_background(lambda: l402_billing.toggle("x402", False)):
            backend.let_go()
    with l402_billing.step("disabled"):
        for number in range(50):
            l402_billing.pay(f"late-{number}")
    l402_evidence.verify(
        answered("in flight", 200, None, 1, "/x402/pay").proves("TC2"),
        logged(1, "x402_settled").proves("TC2"),
        answered("disabled", 503, "FEATURE_DISABLED", 50).proves("TC2"),
    )


def test_flag_store_down(l402_billing: Billing, l402_evidence: EvidenceCollector) -> None:
    l402_billing.open()
    l402_billing.cache.kill()
    with l402_billing.step("store down"):
        l402_billing.toggle("credits", False)
        l402_billing.purchase("late")
        l402_billing.pay("late")
    l402_billing.cache.start()
    l402_evidence.verify(
        answered("store down", 503, "CACHE_UNAVAILABLE", 3).proves("TC4"),
        logged(3, "feature_flag_toggle").proves("TC4"),
        logged(1, "credit_mint").proves("TC4"),
        logged(0, "x402_claimed").proves("TC4"),
    )


def quoted_ms(billing: Billing) -> float | None:
    """Ask for a quote; return how long it may still be had: -1 for ever, None if it is over already."""
    billing.quote()
    left_ms = billing.cache("PTTL", "quote:r")
    return None if left_ms == -2 else float(left_ms)


def rotated(billing: Billing) -> None:
    """Freeze, rotate, and bring the flags back one at a time; the last one is not probed yet."""
    billing.open()
    # As it is kept: waiting for its end takes a loaded machine longer than it lives.
    life_ms = billing.until("a quote", lambda: quoted_ms(billing))
    declared = {"what": "contain", "declaredMs": billing.periods.quote_ms}
    billing.note("times", procedure="quote", elapsedMs=life_ms, **declared)
    billing.toggle("credits", False)
    billing.toggle("x402", False)
    billing.treasury = "0xROTATED"
    # On a machine whose clock is an hour behind: no record may come before one that is there.
    billing.restart(billing.service, clock_ms=-3_600_000)
    billing.probe("frozen")
    billing.toggle("credits", True)
    billing.probe("credits again")
    billing.toggle("x402", True)


def test_rotated(l402_billing: Billing, l402_evidence: EvidenceCollector) -> None:
    old = l402_billing.treasury
    rotated(l402_billing)
    quoted = l402_billing.periods.quote_ms
    l402_billing.timed_until(
        "rotation", "contain", quoted, lambda: l402_billing.quote().document.get("treasury") == "0xROTATED"
    )
    l402_billing.probe("all again")
    with l402_billing.step("old address"):
        l402_billing.pay("n1", to=old)
    l402_evidence.record("first_quote", {"treasury": l402_billing.quote().document.get("treasury")})
    l402_evidence.verify(
        result_shows("first_quote", treasury="0xROTATED").proves("TC5"),
        measured("rotation", "contain").proves("TC5"),
        measured("quote", "contain").proves("TC5"),
        answered("old address", 402, "INVALID_RECIPIENT", 1).proves("TC6"),
        logged(0, "x402_claimed").proves("TC6"),
        counted("backend_calls", 0, kind="payment").proves("TC6"),
        some_row("probes", when="frozen", credits=503, x402=503, billing=200).proves("TC8"),
        some_row("probes", when="credits again", credits=200, x402=503, billing=200).proves("TC8"),
        some_row("probes", when="all again", credits=200, x402=200, billing=200).proves("TC8"),
    )


def test_mints_audited(l402_billing: Billing, l402_evidence: EvidenceCollector) -> None:
    service = l402_billing.open("one", "billing", "credits")
    for number in range(5):
        l402_billing.purchase(f"transfer-{number + 1}", 1000 + number)
    mints = service.get("/api/v1/admin/mints?fromMs=0&toMs=9999999999999").document.get("mints", [])
    span = f"fromMs={mints[1]['atMs']}&toMs={mints[-1]['atMs']}" if mints else "fromMs=0&toMs=0"
    audit = service.get(f"/api/v1/admin/mints?{span}").document
    found = [mint["transfer"] for mint in audit.get("mints", [])]
    l402_evidence.record(
        "audit", {"count": audit["count"], "sumMsats": audit["sumMsats"], "transfers": found}
    )
    truth = [f"transfer-{number + 1}" for number in range(5)]
    l402_evidence.verify(
        result_shows("audit", count=5, sumMsats=5010, transfers=truth).proves("TC7"),
        zero_sum().proves("TC7"),
        balance("available:ann", 1_005_010).proves("TC7"),
    )
