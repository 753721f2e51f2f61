"""Which service plays which role, what a buyer may spend, and what is said where nothing plays one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_l402.stack import DEFAULT_SERVICES, BuyerPolicy, Service, Stack
from pytest_l402.stack.sold import NotSoldError, Offer, Role, Sold, cap_of, cast_of, sold_by


def paid(name: str, sats: int, timeout_s: int = 0, **more: object) -> Service:
    return Service(name, sats * 1000, pathregexp=f"^/{name}$", timeout_s=timeout_s, **more)


def capped(services: tuple[Service, ...]) -> Sold:
    sold = sold_by(services)
    return replace(sold, cap_msats=cap_of(sold.roles))


def test_the_stacks_own_shop() -> None:
    sold = sold_by(DEFAULT_SERVICES)
    played = {role: offer.resource for role, offer in sold.roles.items() if isinstance(offer, Offer)}
    assert played == {
        Role.PREMIUM: "/premium",
        Role.EXPENSIVE: "/premium-expensive",
        Role.EXPIRING: "/premium-expiring",
        Role.FREE: "/status",
    }
    assert sold.cap_msats == BuyerPolicy().default_cap_msats
    assert sold.other_than(sold.premium) == sold.expiring
    assert sold.other_than(sold.expiring) == sold.premium
    with Stack() as stack:
        assert stack.wallet.balance_msats == 100_000_000
        assert [paywall.path for paywall in stack.paywalls] == [
            "/premium",
            "/premium-expensive",
            "/premium-expiring",
        ]


def test_two_services_with_a_life_each() -> None:
    sold = capped((paid("a", 500, 3600), paid("b", 20, 3600)))
    assert (sold.premium.path, sold.expiring.path, sold.expensive.path) == ("/b", "/b", "/a")
    assert sold.other_than(sold.premium).path == "/a"
    assert sold.cap_msats == 100_000


def test_the_cap_follows_from_the_prices() -> None:
    sold = capped((paid("a", 5_000), paid("b", 6_000, 60), paid("c", 9_000)))
    assert sold.cap_msats == 6_000_000
    assert sold.balance_msats == 30 * 9_000_000
    with Stack(sold=sold) as stack, stack.online():
        assert [str(stack.executor.buy(path).status) for path in ("/a", "/b", "/c")] == [
            "paid",
            "paid",
            "blocked",
        ]


@pytest.mark.parametrize(
    ("role", "why"),
    [
        ("premium", "no service is paid for at the first request"),
        ("expensive", "no service is paid for at the first request"),
        ("expiring", "no service is paid for at the first request"),
        ("free", "nothing plays the role free .* in the stack: no service is free"),
    ],
)
def test_what_nothing_plays_is_told_by_its_name(role: str, why: str) -> None:
    with pytest.raises(NotSoldError, match=f"not run: .*role {role} .*{why}|not run: {why}"):
        getattr(sold_by(()), role)


def test_one_service_alone() -> None:
    sold = sold_by((paid("a", 5),))
    assert isinstance(sold.roles[Role.EXPENSIVE], str)
    assert isinstance(sold.roles[Role.EXPIRING], str)
    with pytest.raises(
        NotSoldError, match="needs two paid services, and beside 'a' the stack sells no other"
    ):
        sold.other_than(sold.premium)


def test_waits_within_the_life_of_a_credential() -> None:
    assert Offer(paid("a", 5), "/a", 5_000).while_good_ms(60_000) == 60_000
    assert Offer(paid("a", 5, 10), "/a", 5_000).while_good_ms(60_000) == 5_000
    assert Offer(paid("a", 5, 600), "/a", 5_000).while_good_ms(60_000) == 60_000


OFFERS = st.lists(
    st.tuples(st.integers(1, 500), st.sampled_from([0, 1, 60, 3600]), st.booleans()), max_size=8
)


@given(OFFERS)
def test_roles_hold_what_they_promise(shapes: list[tuple[int, int, bool]]) -> None:
    services = tuple(
        paid(f"s{number}", sats, timeout_s, auth="off" if free else "on")
        for number, (sats, timeout_s, free) in enumerate(shapes)
    )
    offers = sold_by(services).offers
    roles = cast_of(offers)
    sold = Sold(services, offers, roles, cap_msats=cap_of(roles))
    premium, expensive, expiring = (roles[role] for role in (Role.PREMIUM, Role.EXPENSIVE, Role.EXPIRING))
    assert isinstance(premium, Offer) is any(not free for *_, free in shapes)
    if isinstance(premium, Offer):
        assert premium.price_msats <= sold.cap_msats
        assert premium.price_msats == min(sats * 1000 for sats, _, free in shapes if not free)
    if isinstance(expensive, Offer):
        assert expensive.price_msats > sold.cap_msats
    if isinstance(expiring, Offer):
        assert expiring.life_ms
        assert expiring.price_msats <= sold.cap_msats
