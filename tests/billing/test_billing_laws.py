"""Whatever is asked in whichever order, the laws of the ledger hold, and a replay gives the same state."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from pytest_l402.billing import Billing, Zygote

ENTRIES, AMOUNTS = st.sampled_from(["a", "b", "c"]), st.integers(min_value=-2, max_value=400)


class Asked(RuleBasedStateMachine):
    """Requests in any order, with kills, lost caches and links that fail among them."""

    billing: Billing

    @initialize()
    def opened(self) -> None:
        self.run = f"{type(self).__name__}-{id(self)}"
        self.acked: dict[str, int] = {}

    def name(self, what: str) -> str:
        return f"{self.run}-{what}"

    @rule(what=ENTRIES, msats=AMOUNTS)
    def buys(self, what: str, msats: int) -> None:
        if self.billing.purchase(self.name(what), msats).status == 200:
            assert self.acked.setdefault(self.name(what), msats) == msats

    @rule(what=ENTRIES, msats=AMOUNTS)
    def reserves(self, what: str, msats: int) -> None:
        self.billing.reserve(self.name(what), msats)

    @rule(what=ENTRIES, msats=AMOUNTS)
    def commits(self, what: str, msats: int) -> None:
        self.billing.commit(self.name(what), msats)

    @rule(what=ENTRIES)
    def releases(self, what: str) -> None:
        self.billing.release(self.name(what))

    @rule(what=ENTRIES)
    def pays(self, what: str) -> None:
        self.billing.quote()
        self.billing.pay(self.name(what))

    @rule()
    def loses_the_cache(self) -> None:
        self.billing.cache.empty()
        service = self.billing.service
        self.billing.until("a rebuilt cache", lambda: service.get("/api/v1/balances/ann").status == 200)

    @rule()
    def is_killed(self) -> None:
        self.billing.restart(self.billing.service)

    @rule(what=ENTRIES, msats=AMOUNTS)
    def loses_a_reply(self, what: str, msats: int) -> None:
        self.billing.proxy.cut_after(3, "to_client")
        assert self.billing.purchase(self.name(what), msats).status in (400, 503)
        self.billing.proxy.pass_through()
        service = self.billing.service
        self.billing.until("a link again", lambda: service.get("/health/ready").status == 200)

    @invariant()
    def laws_hold(self) -> None:
        tables: Any = self.billing.tables()
        assert [row for row in tables["log_records"] if row["sumMsats"] != 0] == []
        assert sum(row["logMsats"] or 0 for row in tables["balances"]) == 0
        assert [
            row
            for row in tables["balances"]
            if row["account"][:4] in ("avai", "held") and row["logMsats"] < 0
        ] == []
        assert tables["log"][0]["problem"] is None
        minted = {
            row["transfer"]: row["amountMsats"]
            for row in tables["log_records"]
            if row["type"] == "credit_mint"
        }
        assert {name: minted.get(name) for name in self.acked} == self.acked


@pytest.mark.slow
def test_the_laws_hold_on_a_real_cache(l402_billing_zygote: Zygote) -> None:
    with Billing(zygote=l402_billing_zygote) as billing:
        billing.open()
        Asked.billing = billing
        run_state_machine_as_test(
            Asked,
            settings=settings(
                max_examples=12,
                stateful_step_count=20,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
        before = billing.observe("before")["state"]
        billing.restart(billing.service)
        assert billing.observe("after")["state"] == before
