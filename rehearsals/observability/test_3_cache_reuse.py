"""Section 3: a credential is reused instead of paid twice, and never beyond what it is good for."""

from dataclasses import replace

import pytest

from pytest_l402.evidence import (
    cached_request,
    forgeries_refused,
    idempotent_replay,
    no_second_payment,
    not_reused,
    opened_in_no_other_way,
    paid_exactly_once,
    replays_told_apart,
    same_value,
    some_record,
    triaged_as,
)
from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.stack import APERTURE, Executor, Stack
from pytest_l402.stack.sold import Sold

pytestmark = pytest.mark.rehearsal("cache-reuse", runbook="observability", section="3")

REFUSES_WITH_401 = replace(APERTURE, refusal_status=401, expired_refusal_status=401)


def test_same_request_twice(
    l402_executor: Executor, l402_sold: Sold, l402_evidence: EvidenceCollector
) -> None:
    first = l402_executor.buy(l402_sold.premium.resource)
    second = l402_executor.buy(l402_sold.premium.resource)
    l402_evidence.verify(
        some_record(cacheHit=True).proves("3.cache-hit"),
        cached_request(first, second).proves("3.cache-hit"),
        paid_exactly_once(first).proves("3.paid-once"),
        same_value("paymentProofRef", first, second, plane="settlement").proves("3.paid-once"),
        idempotent_replay(first).proves("3.idempotent-replay"),
        replays_told_apart().proves("3.idempotent-replay"),
        triaged_as(first, "healthy"),
        triaged_as(second, "healthy"),
    )


def test_expired_credential_is_not_reused(
    l402_stack: Stack, l402_executor: Executor, l402_sold: Sold, l402_evidence: EvidenceCollector
) -> None:
    expiring = l402_sold.expiring
    life = l402_stack.lifetime(expiring)
    first = l402_executor.buy(expiring.resource)
    life.to_its_last_second()
    still_good = l402_executor.buy(expiring.resource)
    life.to_its_end()
    second = l402_executor.buy(expiring.resource)
    l402_evidence.verify(
        cached_request(first, still_good).proves("3.cache-hit"),
        not_reused(first, second).proves("3.not-reused"),
        paid_exactly_once(first),
        paid_exactly_once(second),
    )


def test_revoked_credential_is_not_reused(
    l402_stack: Stack, l402_executor: Executor, l402_sold: Sold, l402_evidence: EvidenceCollector
) -> None:
    revoke = l402_stack.able("gateway", "revoke")
    first = l402_executor.buy(l402_sold.premium.resource)
    revoke(str(first.payment_hash))
    second = l402_executor.buy(l402_sold.premium.resource)
    l402_evidence.verify(
        not_reused(first, second).proves("3.not-reused"),
        paid_exactly_once(first),
        paid_exactly_once(second),
    )


def test_client_told_401_does_not_pay_again(
    l402_stack: Stack, l402_executor: Executor, l402_sold: Sold, l402_evidence: EvidenceCollector
) -> None:
    revoke, following = (l402_stack.able("gateway", ability) for ability in ("revoke", "following"))
    first = l402_executor.buy(l402_sold.premium.resource)
    revoke(str(first.payment_hash))
    with following(REFUSES_WITH_401):
        second = l402_executor.buy(l402_sold.premium.resource)
    l402_evidence.verify(
        no_second_payment(first, second).proves("3.no-second-payment"),
        paid_exactly_once(first),
    )


def test_forged_credentials_are_refused(
    l402_stack: Stack, l402_sold: Sold, l402_evidence: EvidenceCollector
) -> None:
    forger, expiring = l402_stack.forger(), l402_sold.expiring
    another = l402_sold.other_than(expiring)
    life = l402_stack.lifetime(expiring)
    bought = forger.buy(expiring.resource)
    forged = forger.present_forgeries(bought, foreign=forger.buy(another.resource))
    otherwise = forger.ask_in_other_ways(bought)
    life.to_its_last_second()
    life.to_its_end()
    expired = forger.present_again(bought, "expired")
    l402_evidence.verify(
        forgeries_refused(bought, *forged, expired).proves("3.forged"),
        opened_in_no_other_way(*otherwise).proves("3.forged"),
        paid_exactly_once(bought),
    )
