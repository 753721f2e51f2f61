"""Runbook section 4: back to the gate before, one step after the other, and forward again."""

import pytest

from pytest_l402.billing import Billing, answered, measured, only_refusals
from pytest_l402.evidence import some_row
from pytest_l402.plugin.evidence_fixture import EvidenceCollector

pytestmark = pytest.mark.rehearsal("gate-rollback", runbook="billing", section="4")

STEPS = {"gate 2": ("x402",), "gate 1": ("nft", "onboarding"), "gate 0": ("credits",), "off": ("billing",)}
ALL = ("billing", "credits", "nft", "onboarding", "x402")
ON, OFF = dict.fromkeys(ALL, 200), dict.fromkeys(ALL, 503)
NO_FLAG = dict.fromkeys(ALL, False)


def test_rolled_back(l402_billing: Billing, l402_evidence: EvidenceCollector) -> None:
    l402_billing.open("one", *ALL)
    l402_billing.probe("gate 4")
    for gate, flags in STEPS.items():
        with l402_billing.timed(gate, "contain", 1000.0 + l402_billing.periods.late_ms):
            for flag in (*flags, *flags):
                l402_billing.toggle(flag, False)
            l402_billing.probe(gate)
        l402_billing.flags(gate)
    for flag in ALL:
        l402_billing.toggle(flag, True)
    l402_billing.probe("gate 4 again")
    l402_evidence.verify(
        some_row("probes", when="gate 4", **ON).proves("GR1"),
        some_row("probes", when="gate 2", **{**ON, "x402": 503}).proves("GR1"),
        measured("gate 2", "contain").proves("GR1"),
        some_row("flags", when="gate 2", **{**dict.fromkeys(ALL, True), "x402": False}).proves("GR2"),
        some_row("flags", when="gate 1", **{**NO_FLAG, "billing": True, "credits": True}).proves("GR2"),
        some_row("flags", when="gate 0", **{**NO_FLAG, "billing": True}).proves("GR2"),
        some_row("flags", when="off", **NO_FLAG).proves("GR2"),
        only_refusals("FEATURE_DISABLED").proves("GR4"),
        some_row("probes", when="gate 1", **{**OFF, "billing": 200, "credits": 200}).proves("GR5"),
        some_row("probes", when="gate 0", **{**OFF, "billing": 200}).proves("GR5"),
        some_row("probes", when="off", **OFF).proves("GR5"),
        some_row("probes", when="gate 4 again", **ON).proves("GR5"),
    )


def test_half_rolled_back(l402_billing: Billing, l402_evidence: EvidenceCollector) -> None:
    l402_billing.open("one", *ALL)
    l402_billing.toggle("nft", False)
    l402_billing.cache.kill()
    with l402_billing.step("second"):
        l402_billing.toggle("onboarding", False)
    l402_billing.cache.start()
    service = l402_billing.service
    l402_billing.until("the cache to be back", lambda: service.get("/health/ready").status == 200)
    l402_billing.flags("half")
    l402_billing.probe("half")
    l402_evidence.verify(
        answered("second", 503, "CACHE_UNAVAILABLE").proves("GR3"),
        some_row("flags", when="half", nft=False, onboarding=True).proves("GR3"),
        some_row("probes", when="half", nft=503, onboarding=200).proves("GR3"),
    )
