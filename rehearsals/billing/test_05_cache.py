"""Runbook section 5: the cache fails, is lost, or is another one; the log is the truth and rebuilds it."""

import resource
from collections.abc import Callable

import pytest

from pytest_l402.billing import (
    Billing,
    CacheServer,
    answered,
    answered_within,
    balance,
    cache_is_log,
    crashes,
    logged,
    lost_at_most,
    measured,
    only_refusals,
    same_state,
    served_only_settled,
)
from pytest_l402.evidence import result_shows, some_row
from pytest_l402.harness.tcp_proxy import TcpProxy
from pytest_l402.plugin.evidence_fixture import EvidenceCollector

Links = Callable[[tuple[str, int]], TcpProxy]

pytestmark = pytest.mark.rehearsal("cache-failure", runbook="billing", section="5")


def faults(billing: Billing) -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    """Each way in which a cache fails, and how that ends."""
    proxy, cache = billing.proxy, billing.cache
    return {
        "refused": (proxy.refuse, proxy.pass_through),
        "reset": (proxy.reset, proxy.pass_through),
        "black hole": (proxy.black_hole, proxy.pass_through),
        "latency": (lambda: proxy.latency(0.5), proxy.pass_through),
        "cut": (lambda: proxy.cut_after(3, "to_client"), proxy.pass_through),
        "frozen": (cache.freeze, cache.thaw),
        "emptied": (cache.kill, lambda: cache.restart_empty(is_down=True)),
        "killed": (cache.kill, cache.start),
    }


def each_fault(billing: Billing) -> None:
    """Ask for everything in each fault, and measure how long it takes to be ready after it."""
    # Twice as fast as elsewhere: the breaker is waited for eight times.
    service = billing.open("one", scale=billing.periods.scale / 2)
    periods = service.settings.periods
    declared = periods.open_ms + periods.poll_ms + periods.late_ms
    for name, (begin, end) in faults(billing).items():
        begin()
        with billing.step(name):
            billing.purchase(name)
            billing.pay(name)
            billing.reserve(name)
            billing.toggle("nft", True)
        billing.observe(name)
        end()
        billing.timed_until(name, "recover", declared, lambda: service.get("/health/ready").status == 200)
    with billing.step("alive"):
        service.get("/health/live")


def test_each_fault(l402_billing: Billing, l402_evidence: EvidenceCollector) -> None:
    each_fault(l402_billing)
    late_ms = l402_billing.periods.late_ms
    names = list(faults(l402_billing))
    l402_evidence.verify(
        *(answered(name, 503, "CACHE_UNAVAILABLE", 4).proves("RF1") for name in names),
        *(answered_within(name, 750.0 + late_ms).proves("RF2") for name in names),
        *(some_row("readiness", when=name, status=503, refusal="REBUILDING").proves("RF2") for name in names),
        only_refusals("CACHE_UNAVAILABLE").proves("RF2"),
        answered("alive", 200).proves("RF2"),
        logged(1, "credit_mint").proves("RF2"),
        logged(0, "billing_reserve").proves("RF2"),
        *(measured(name, "recover").proves("RF4") for name in names),
    )


def test_unknown_outcome(l402_billing: Billing, l402_evidence: EvidenceCollector) -> None:
    service, backend = l402_billing.open(), l402_billing.backend
    l402_billing.quote()
    backend.hold()
    with l402_billing.step("lost"), l402_billing.in_background(lambda: l402_billing.pay("n1")):
        backend.until_effects(1)
        l402_billing.proxy.refuse()
        backend.let_go()
    l402_billing.proxy.pass_through()
    l402_billing.until("the cache to be back", lambda: service.get("/health/ready").status == 200)
    with l402_billing.step("again"):
        l402_billing.pay("n1")
    l402_evidence.verify(
        answered("lost", 503, "CACHE_UNAVAILABLE", 1).proves("RF3"),
        answered("again", 402, "PAYMENT_REPLAYED", 1).proves("RF3"),
        logged(1, "x402_settled").proves("RF3"),
        balance("available:ann", 1_000_010).proves("RF3"),
    )


def rebuilt(billing: Billing) -> None:
    """Leave something of each kind, lose service and cache, and start anew while the cache is away."""
    service = billing.open()
    billing.quote()
    billing.pay("n1")
    for entry in ("e1", "e2", "e3"):
        billing.reserve(entry)
    billing.commit("e1", 60)
    billing.release("e2")
    shown = "/api/v1/billing/entries/e1"
    billing.until("e1 acked", lambda: service.get(shown).document.get("state") == "FINALIZE_ACKED")
    billing.observe("before")
    billing.kill(service)
    billing.cache.restart_empty()
    billing.proxy.refuse()
    service = billing.start("one", wait_ready=False)
    billing.observe("not yet")
    with billing.step("not yet"):
        billing.pay("n1")
    billing.proxy.pass_through()
    declared = billing.periods.open_ms + billing.periods.poll_ms + billing.periods.late_ms
    billing.timed_until("rebuild", "recover", declared, lambda: service.get("/health/ready").status == 200)
    billing.observe("rebuilt")
    billing.count_losses("rebuild")


def replayed_again(billing: Billing) -> None:
    """Lose the cursor, kill a replay, replay once more, and then pay with a used id and with a new one."""
    service = billing.service
    billing.cache("DEL", "billing:cursor")
    billing.until("rebuilt again", lambda: billing.quote().status == 200)
    billing.observe("cursor lost")
    billing.kill(billing.start("two", wait_ready=False))
    billing.restart(service)
    billing.observe("replayed again")
    with billing.step("used id"):
        billing.pay("n1")
    billing.quote("n2")
    with billing.step("new id"):
        billing.pay("n2", resource="n2")


def test_rebuilt(l402_billing: Billing, l402_evidence: EvidenceCollector) -> None:
    rebuilt(l402_billing)
    replayed_again(l402_billing)
    l402_evidence.verify(
        some_row("readiness", when="not yet", status=503, refusal="REBUILDING").proves("RF5"),
        measured("rebuild", "recover").proves("RF5"),
        lost_at_most("rebuild").proves("RF5"),
        same_state("before", "rebuilt").proves("RF5"),
        balance("available:ann", 999_860).proves("RF5"),
        balance("held:ann", 100).proves("RF5"),
        same_state("before", "cursor lost", "replayed again").proves("RF6"),
        answered("not yet", 503, "CACHE_UNAVAILABLE").proves("RF7"),
        answered("used id", 402, "PAYMENT_REPLAYED").proves("RF7"),
        answered("new id", 200).proves("RF7"),
    )


def test_claimed_and_not_settled(l402_billing: Billing, l402_evidence: EvidenceCollector) -> None:
    l402_billing.open()
    l402_billing.quote()
    l402_billing.backend.set_mood("fails")
    with l402_billing.step("not settled"):
        l402_billing.pay("n1")
    with l402_billing.step("still not"):
        l402_billing.pay("n1")
    l402_billing.backend.set_mood("works")
    with l402_billing.step("settled"):
        l402_billing.pay("n1")
    l402_evidence.verify(
        answered("not settled", 503, "SETTLEMENT_UNAVAILABLE").proves("RF7"),
        answered("still not", 503, "SETTLEMENT_UNAVAILABLE").proves("RF7"),
        answered("settled", 200).proves("RF7"),
        served_only_settled().proves("RF7"),
        logged(1, "x402_claimed").proves("RF7"),
    )


def test_crashes(l402_billing: Billing, l402_evidence: EvidenceCollector) -> None:
    l402_billing.open()
    l402_evidence.record("crash_states", crashes(l402_billing.faults))
    l402_evidence.verify(result_shows("crash_states", lost=0, first=None).proves("RF8"))


def test_full(l402_billing: Billing, l402_evidence: EvidenceCollector) -> None:
    service = l402_billing.open()
    segment = sorted((l402_billing.folder / "log").glob("*.log"))[-1]
    # Half a record fits: the system takes it, and the next one must not come after it.
    limits = resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (segment.stat().st_size + 9, limits[1]))
    with l402_billing.step("full"):
        l402_billing.purchase("late")
    resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, limits)
    with l402_billing.step("room"):
        l402_billing.purchase("late")
    l402_billing.restart(service)
    l402_billing.count_losses("full disk")
    l402_evidence.verify(
        answered("full", 503, "LOG_FULL", 1).proves("RF8"),
        answered("room", 200, None, 1).proves("RF8"),
        logged(2, "credit_mint").proves("RF8"),
        lost_at_most("full disk").proves("RF8"),
    )


def test_damaged(l402_billing: Billing, l402_evidence: EvidenceCollector) -> None:
    service = l402_billing.open()
    l402_billing.kill(service)
    segment = sorted((l402_billing.folder / "log").glob("*.log"))[0]
    whole = segment.read_bytes()
    segment.write_bytes(whole.replace(b'"flag":"credits"', b'"flag":"creditz"', 1))
    l402_billing.start("two", wait_ready=False)
    l402_billing.observe("damaged")
    with l402_billing.step("damaged"):
        l402_billing.purchase("late")
    segment.write_bytes(whole)
    l402_billing.until("the log restored", lambda: l402_billing.service.get("/health/ready").status == 200)
    l402_evidence.verify(
        some_row("readiness", when="damaged", refusal="LOG_DAMAGED", status=503).proves("RF8"),
        answered("damaged", 503, "LOG_DAMAGED").proves("RF8"),
        some_row("service_events", event="log refused", instance="two").proves("RF8"),
        some_row("log", problem=None).proves("RF8"),
    )


def test_reconciled(l402_billing: Billing, l402_evidence: EvidenceCollector) -> None:
    service, cache = l402_billing.open(), l402_billing.cache
    cache("HSET", "balance", "available:ann", 1)
    cache("HSET", "balance", "available:ghost", 5)
    told = service.post("/api/v1/admin/reconcile").document["differences"]
    l402_evidence.record("reconciled", {"accounts": [each["account"] for each in told]})
    l402_evidence.verify(
        result_shows("reconciled", accounts=["available:ann", "available:ghost"]).proves("RF9"),
        logged(1, "billing_reconciliation").proves("RF9"),
        cache_is_log().proves("RF9"),
    )


def test_conversations(l402_billing: Billing, l402_evidence: EvidenceCollector) -> None:
    service = l402_billing.open()
    said = [service.post("/api/v1/conversations/c1", {"text": f"m{n}"}).status for n in range(7)]
    l402_billing.kill(service)
    l402_billing.cache.restart_empty()
    kept = l402_billing.start("one").get("/api/v1/conversations/c1").document
    lost = len(said) - kept["kept"]
    l402_evidence.record("conversation", {"said": len(said), "kept": kept["kept"], "lost": lost})
    l402_billing.note(
        "losses",
        procedure="conversation",
        what="messages",
        acknowledged=said.count(200),
        lost=lost,
        declared=4,
    )
    l402_evidence.verify(
        result_shows("conversation", said=7, kept=5, lost=2).proves("RF10"),
        lost_at_most("conversation").proves("RF10"),
    )


def test_failover_by_link_loss(
    l402_billing: Billing, l402_cache: CacheServer, l402_proxy: Links, l402_evidence: EvidenceCollector
) -> None:
    service, primary = l402_billing.open(), l402_billing.cache
    link = l402_proxy(("127.0.0.1", primary.port))
    l402_cache.replicate(link.port)
    link.black_hole()
    l402_billing.purchase("while the link is lost")
    # It waits for what this connection has written.
    primary("SET", "l402:written", 1)
    l402_evidence.record("link", {"acknowledgedBy": primary("WAIT", 1, 100)})
    l402_billing.kill(service)
    primary.kill()
    l402_cache.promote()
    l402_billing.cache = l402_cache
    l402_billing.start("two", cache=l402_cache.port)
    with l402_billing.step("again"):
        l402_billing.purchase("while the link is lost")
    l402_billing.count_losses("failover")
    l402_evidence.verify(
        result_shows("link", acknowledgedBy=0).proves("RF11"),
        lost_at_most("failover").proves("RF11"),
        answered("again", 200, None, 1).proves("RF11"),
        logged(2, "credit_mint").proves("RF11"),
        balance("available:ann", 1_001_000).proves("RF11"),
        cache_is_log().proves("RF11"),
    )
