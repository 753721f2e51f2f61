"""A service that is broken in another way of the same kind as a named fault is found as well."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

import pytest
from drilled_billing import rehearsal, violated

from pytest_l402.billing import Billing, Zygote
from pytest_l402.plugin.evidence_fixture import EvidenceCollector

SERVICE = "pytest_l402.billing.service"
VARIATIONS = [
    pytest.param(
        # D7: not fifty, but one more than the runbook has.
        f"import {SERVICE}.dead_letters as it; it._ALARM_ABOVE = 11",
        "test_02_dead_letters", "test_overflow", "DQ1",
        "some_row(metrics: eleven failed, billing_pending_reconciliation_alarm, 1)",
        id="alarm-at-twelve",
    ),
    pytest.param(
        # D3: not 300 s, but twice as long, and of today's treasury.
        "from pytest_l402.billing.settings import Periods\n"
        "Periods.quote_ms = property(lambda self: 120_000 * self.scale)",
        "test_01_treasury", "test_rotated", "TC5", "measured(quote: contain)",
        id="quote-lives-twice-as-long",
    ),
    pytest.param(
        # D9: the gauge is there, and the counter is registered and never raised.
        f"from {SERVICE}.core import Core\n"
        "Core.hard_fails = property(lambda self: 0, lambda self, value: None)",
        "test_03_guard", "test_each_invariant_broken_alone", "CG2",
        "some_row(metrics: broken, conservation_guard_hard_fail_total, 6)",
        id="counter-never-raised",
    ),
    pytest.param(
        # D5: not unbalanced, but promised and never written.
        f"from {SERVICE}.money import Money\n"
        "Money.purchase = lambda self, call: {'transfer': 't', 'availableMsats': 1}",
        "test_04_gates", "test_half_rolled_back", None, "promises_kept()",
        id="credit-that-is-never-written",
    ),
    pytest.param(
        # D16: not what was claimed, but what was settled is served again.
        f"from {SERVICE}.payments import Payments\n"
        "settle = Payments._settle\n"
        "Payments._settle = lambda self, payment, *told: (\n"
        "    None if self._core.ledger.payments.get(payment) == 'settled' else settle(self, payment, *told))",
        "test_05_cache", "test_rebuilt", None, "promises_kept()",
        id="settled-is-served-again",
    ),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("changed", "module", "drill", "criterion", "check"), VARIATIONS)
def test_found(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changed: str,
    module: str,
    drill: str,
    criterion: str | None,
    check: str,
) -> None:
    (tmp_path / "sitecustomize.py").write_text(changed)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    ask: Any = getattr(rehearsal(module), drill)
    with Zygote() as zygote, Billing(zygote=zygote) as billing:
        collector = EvidenceCollector(title="a drill", seed="a seed", artifact_dir=tmp_path)
        collector.attach(billing)
        with contextlib.suppress(Exception, pytest.fail.Exception):
            ask(l402_billing=billing, l402_evidence=collector)
        assert (criterion, check) in violated(collector)
