"""Decides which of the services that a stack sells plays which role in a rehearsal, and what may be spent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from pytest_l402.stack.buyer.policy import DEFAULT_CAP_MSATS
from pytest_l402.stack.control.paywalls import Paywall
from pytest_l402.stack.gateway.services import Service
from pytest_l402.stack.roles import NotRunError
from pytest_l402.stack.shop import GATEWAY_HOST

_LITERAL_PATH: Final = re.compile(r"\^(/[\w/-]*)\$")
_PURCHASES: Final = 30
"""How many purchases of its dearest resource a buyer can pay in one rehearsal."""
LEAST_BALANCE_MSATS: Final = 100_000_000


class Role(StrEnum):
    """What a rehearsal needs of a shop."""

    PREMIUM = "premium"
    EXPENSIVE = "expensive"
    EXPIRING = "expiring"
    FREE = "free"


class NotSoldError(NotRunError):
    """Nothing that is sold can play the role that a rehearsal asks for."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One resource of the shop: what lies at `path` of `host`, behind `service`, and costs `price_msats`.

    `resource` is what a buyer is told to buy: the path, or a URL where the host is not the gateway's first.
    """

    service: Service
    path: str
    price_msats: int
    host: str = GATEWAY_HOST
    resource: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "resource", self.resource or self.path)

    @property
    def paywall_id(self) -> str:
        """The paywall that it is sold by."""
        return self.service.paywall_id

    @property
    def owner_id(self) -> str:
        """Whose it is."""
        return self.service.owner_id

    @property
    def life_ms(self) -> int | None:
        """How long a credential for it is good, in milliseconds; None for ever."""
        return self.service.timeout_s * 1000 or None

    def while_good_ms(self, ms: int) -> int:
        """Return a wait of `ms` milliseconds, or a shorter one in which a fresh credential stays good."""
        return ms if self.life_ms is None else min(ms, self.life_ms // 2)


@dataclass(frozen=True, slots=True)
class FileOnSale:
    """Somebody's file of Aperture's, by name and digest, and by that of the copy in which it was rehearsed.

    `changes` are the rows of what differs between the two, `findings` those of what the linter says of it.
    """

    name: str
    digest: str
    digest_as_rehearsed: str
    changes: tuple[Mapping[str, Any], ...]
    findings: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Sold:
    """What a stack sells; `offers` are the resources that rehearsals may ask for, those of `host` first.

    `roles` says which of them plays which role, or in words why none does. With `strict_verify` a credential
    is good once the node calls its invoice settled; nobody on the `blocklist` is served. `file` is the file
    that says all this, None for a shop of our own. A buyer may spend `cap_msats` on one purchase.
    """

    services: tuple[Service, ...]
    offers: tuple[Offer, ...]
    roles: Mapping[Role, Offer | str]
    host: str = GATEWAY_HOST
    cap_msats: int = DEFAULT_CAP_MSATS
    strict_verify: bool = False
    blocklist: tuple[str, ...] = ()
    file: FileOnSale | None = None

    @property
    def premium(self) -> Offer:
        """What is bought where nothing else matters."""
        return self._playing(Role.PREMIUM)

    @property
    def expensive(self) -> Offer:
        """What costs more than a buyer may spend."""
        return self._playing(Role.EXPENSIVE)

    @property
    def expiring(self) -> Offer:
        """What is sold with a credential that ends."""
        return self._playing(Role.EXPIRING)

    @property
    def free(self) -> Offer:
        """What costs nothing."""
        return self._playing(Role.FREE)

    def other_than(self, offer: Offer) -> Offer:
        """Return what another service sells, rather what expires, and what is expensive if nothing else is.

        Raises:
            NotSoldError: there is none.
        """
        played = (self.roles.get(role) for role in (Role.EXPIRING, Role.PREMIUM))
        others = sorted(self.offers, key=lambda other: other.price_msats)
        for other in (*played, *others):
            if isinstance(other, Offer) and other.service.name != offer.service.name and _is_paid(other):
                return other
        raise NotSoldError(
            f"not run: this rehearsal needs two paid services, and beside {offer.service.name!r} "
            f"{self._source} sells no other"
        )

    @property
    def paid(self) -> tuple[Offer, ...]:
        """What is paid for, in the order in which it is listed."""
        return tuple(offer for offer in self.offers if _is_paid(offer))

    @property
    def balance_msats(self) -> int:
        """What a buyer needs in its wallet."""
        dearest = max((offer.price_msats for offer in self.offers), default=0)
        return max(LEAST_BALANCE_MSATS, _PURCHASES * dearest)

    @property
    def paywalls(self) -> tuple[Paywall, ...]:
        """The paywalls of what is paid for."""
        return tuple(map(_paywall, self.paid))

    @property
    def free_resources(self) -> tuple[str, ...]:
        """What can be asked for without moving money."""
        return tuple(offer.resource for offer in self.offers if not _is_paid(offer))

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names, without ports, under which the gateway is reached."""
        names = (self.host, *(offer.host for offer in self.offers))
        return tuple(dict.fromkeys(name.partition(":")[0].lower() for name in names))

    @property
    def _source(self) -> str:
        return "the stack" if self.file is None else self.file.name

    def _playing(self, role: Role) -> Offer:
        found = self.roles.get(role, "nothing that is sold can")
        if isinstance(found, Offer):
            return found
        raise NotSoldError(
            f"not run: nothing plays the role {role} of this rehearsal in {self._source}: {found}"
        )


def sold_by(services: Iterable[Service]) -> Sold:
    """Return what a stack sells by these services; those that have one path alone can play a role."""
    services = tuple(services)
    offers = tuple(
        Offer(service, path, service.price_msats)
        for service in services
        if (path := path_of(service)) is not None
    )
    return Sold(services, offers, cast_of(offers))


def path_of(service: Service) -> str | None:
    """Return the one path that a service answers for, or None when it answers for a pattern of paths."""
    match = _LITERAL_PATH.fullmatch(service.pathregexp)
    return None if match is None else match.group(1)


def cast_of(offers: Sequence[Offer]) -> dict[Role, Offer | str]:
    """Return which of these offers plays which role, by price and by the life of its credentials.

    Premium is the cheapest, and of those the one that is good longest; expensive the dearest, if it costs
    more; expiring what ends soonest and is not expensive; free the first that costs nothing.
    """
    paid = [offer for offer in offers if _is_paid(offer)]
    free = next((offer for offer in offers if not _is_paid(offer)), None)
    roles: dict[Role, Offer | str] = {Role.FREE: free or "no service is free"}
    if not paid:
        return roles | dict.fromkeys(
            (Role.PREMIUM, Role.EXPENSIVE, Role.EXPIRING), "no service is paid for at the first request"
        )
    premium = min(paid, key=lambda offer: (offer.price_msats, -(offer.life_ms or float("inf"))))
    dearest = max(paid, key=lambda offer: offer.price_msats)
    is_dearer = dearest.price_msats > premium.price_msats
    affordable = [offer for offer in paid if not is_dearer or offer.price_msats < dearest.price_msats]
    ends = [offer for offer in affordable if offer.life_ms is not None]
    soonest = min(ends, key=lambda offer: (offer.life_ms, offer is premium), default=None)
    roles[Role.PREMIUM] = premium
    roles[Role.EXPENSIVE] = dearest if is_dearer else "no service costs more than another"
    roles[Role.EXPIRING] = soonest or "no service that a buyer can afford has a timeout"
    return roles


def cap_of(roles: Mapping[Role, Offer | str]) -> int:
    """Return what a buyer may spend, in msats: too little for what is expensive, enough for all else."""
    expensive = roles.get(Role.EXPENSIVE)
    bought = (roles.get(role) for role in (Role.PREMIUM, Role.EXPIRING))
    least = max((offer.price_msats for offer in bought if isinstance(offer, Offer)), default=0)
    if isinstance(expensive, Offer) and expensive.price_msats <= DEFAULT_CAP_MSATS:
        return least
    return max(DEFAULT_CAP_MSATS, least)


def _is_paid(offer: Offer) -> bool:
    return offer.service.is_paid(offer.path)


def _paywall(offer: Offer) -> Paywall:
    service = offer.service
    return Paywall(
        paywall_id=service.paywall_id,
        owner_id=service.owner_id,
        route_id=service.route_id,
        name=service.name,
        path=offer.path,
        price_msats=offer.price_msats,
    )


def paywall_of(service: Service) -> Paywall | None:
    """Return the paywall of a service that sells one path; None if it is free or sells a pattern of paths."""
    path = path_of(service)
    if service.auth == "off" or path is None:
        return None
    return _paywall(Offer(service, path, service.price_msats))
