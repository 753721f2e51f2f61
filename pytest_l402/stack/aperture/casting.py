"""Decides which service of Aperture's file plays which role in a rehearsal, and at which path it is asked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

import httpx

from pytest_l402.boundary import printable
from pytest_l402.ops.compile.terms import MSATS_PER_SAT
from pytest_l402.ops.regexps import examples
from pytest_l402.stack.aperture.services_as_written import ServiceAsWritten
from pytest_l402.stack.gateway.gateway import HEALTH_PATH
from pytest_l402.stack.gateway.services import match_service
from pytest_l402.stack.shop import CONTROL_HOST, GATEWAY_HOST
from pytest_l402.stack.sold import Offer, Role, Sold, cap_of, cast_of

_ASKED_AT_ONCE: Final = 5
"""How often a rehearsal presents one credential, at most, while its clock stands still."""
_TOLD_BY_THE_BUYER: Final = ("authorization", "x-oa-request-id")
_PATH: Final = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@/-]*")
_NO_SEGMENTS: Final = re.compile(r"//|/\.{1,2}(?:/|\Z)")
_HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[0-9]{1,5})?")
_FURTHER: Final = ("", "a", "l402", "/l402")
_SHOWN: Final = 5
_OTHERS: Final = 2
"""How many services that play no role are asked as well, where a rehearsal wants another one."""


class UnsaleableError(ValueError):
    """A file, or a role that was given, which cannot be rehearsed; one line says what to do."""

    def __init__(self, expected: str, seen: str, remedy: str) -> None:
        super().__init__(f"expected {expected}, saw {seen}; {remedy}")


@dataclass(frozen=True, slots=True)
class Named:
    """What somebody says plays a role: a path or URL, and what it is to cost, in sats, if they say so."""

    resource: str
    price_sats: int | None = None

    def __str__(self) -> str:
        price = "" if self.price_sats is None else f"@{self.price_sats}"
        return f"{printable(self.resource)}{price}"


def cast_for(services: Sequence[ServiceAsWritten], named: Mapping[Role, Named]) -> Sold:
    """Return what these services sell, each role played by what is named for it, or else by what fits it.

    Raises:
        UnsaleableError: what is named is not sold, or cannot play that role.
    """
    given = {role: _named(services, role, wanted) for role, wanted in named.items()}
    named_for = {id(offer.service): offer for offer in given.values()}
    if len(named_for) < len({(offer.host, offer.path) for offer in given.values()}):
        raise UnsaleableError("one path for each service", "two of one service", "name one of them for both")
    unfit: list[str] = []
    found = [named_for.get(id(service)) or _offer(services, service, unfit) for service in services]
    # By its path alone evidence tells what is bought from what.
    apart = {offer.path: offer for offer in (*reversed([*filter(None, found)]), *given.values())}
    if any(apart[offer.path].host != offer.host for offer in given.values()):
        raise UnsaleableError("paths that differ", "one path at two hosts", "name another path")
    offers = [offer for offer in found if offer is not None and apart[offer.path] is offer]
    roles: dict[Role, Offer | str] = {**cast_of(offers), **given}
    _keep_dearest_apart(roles, is_named=Role.EXPENSIVE in given)
    host = next((offer.host for role in Role if isinstance(offer := roles[role], Offer)), GATEWAY_HOST)
    cast = {
        role: _from(host, player) if isinstance(player, Offer) else "; ".join((player, *unfit[:_SHOWN]))
        for role, player in roles.items()
    }
    players = (player for player in cast.values() if isinstance(player, Offer))
    first = {
        offer.path: offer for offer in sorted(players, key=lambda offer: offer is not cast[Role.PREMIUM])
    }
    others = (
        _from(host, offer) for offer in offers if offer.path not in first and offer.service.auth != "off"
    )
    return Sold(tuple(services), (*first.values(), *islice(others, _OTHERS)), cast, host, cap_of(cast))


def _from(host: str, offer: Offer) -> Offer:
    return offer if offer.host == host else replace(offer, resource=f"https://{offer.host}{offer.path}")


def _offer(services: Sequence[ServiceAsWritten], service: ServiceAsWritten, unfit: list[str]) -> Offer | None:
    """Return something to ask a service for; where nothing is, add to `unfit` why it plays no role."""
    reason = "answers for no path that is known: name one with --l402-sold"
    for host in _hosts(service.hostregexp):
        for path in _paths(service.pathregexp):
            # Asked first: it costs least, and of most hosts and paths that is all there is to say.
            if not service.matches(host, path) or match_service(services, host, path) is not service:
                continue
            found = _unfit(service, path)
            if found is None or service.auth == "off":
                return Offer(service, path, service.price_msats, host)
            reason = found
    unfit.append(f"{service.name!r} {reason}")
    return None


def _named(services: Sequence[ServiceAsWritten], role: Role, wanted: Named) -> Offer:
    told = f"{role}={wanted}"
    try:
        url = httpx.URL(wanted.resource)
    except httpx.InvalidURL:
        url = httpx.URL("")
    path, host = url.raw_path.decode("ascii"), url.netloc.decode("ascii")
    if not _is_usable(path) or (url.scheme, bool(host)) not in (("", False), ("https", True)):
        raise UnsaleableError(
            "a path from / in plain characters, or an https URL of one", told, "write it as it is asked for"
        )
    for each in (host,) if host else _hosts_of(services):
        service = match_service(services, each, path)
        if isinstance(service, ServiceAsWritten):
            unfit = _unfit_for(role, service, path)
            if unfit is not None:
                seen = f"{told}, where {service.name!r} {unfit}"
                raise UnsaleableError(f"a resource that can be {role}", seen, "name another")
            stated = wanted.price_sats
            price_msats = service.price_msats if stated is None else stated * MSATS_PER_SAT
            return Offer(service, path, price_msats, each)
    patterns = ", ".join(printable(service.pathregexp or "every path") for service in services[:_SHOWN])
    more = f" and {len(services) - _SHOWN} more" if len(services) > _SHOWN else ""
    raise UnsaleableError(
        "a path that a service answers for", told, f"its services answer for {patterns}{more}"
    )


def _unfit_for(role: Role, service: ServiceAsWritten, path: str) -> str | None:
    if role is Role.FREE:
        return "asks for a payment" if service.is_paid(path) else None
    if role is Role.EXPIRING and not service.timeout_s:
        return _unfit(service, path) or "has no timeout, so that its credentials never expire"
    return _unfit(service, path)


def _unfit(service: ServiceAsWritten, path: str) -> str | None:
    """Return why nothing can be rehearsed with what a service sells at a path; None when something can."""
    if service.auth == "off":
        return "is free: its auth is off"
    if not service.is_paid(path):
        return "is free: the path is among its authwhitelistpaths"
    if service.freebies:
        return f"gives {service.freebies} requests for free before it asks for a payment"
    if service.skips_invoice(path):
        return "sends no challenge: the path is among its authskipinvoicecreationpaths"
    least = min((rule.effective_burst for rule in service.ratelimits if rule.matches(path)), default=None)
    if least is not None and least < _ASKED_AT_ONCE:
        return f"lets {least} through at once (ratelimits), and a rehearsal asks up to {_ASKED_AT_ONCE} times"
    own = next((name for name in service.headers if name.lower() in _TOLD_BY_THE_BUYER), None)
    return None if own is None else f"sends on a header {own} of its own, in the place of the buyer's"


def _keep_dearest_apart(roles: dict[Role, Offer | str], *, is_named: bool) -> None:
    """Let nothing be expensive that costs no more than what is bought; what was named so is refused."""
    expensive = roles[Role.EXPENSIVE]
    for role in (Role.PREMIUM, Role.EXPIRING):
        bought = roles[role]
        if not isinstance(expensive, Offer) or not isinstance(bought, Offer):
            continue
        if bought.price_msats >= expensive.price_msats:
            if is_named:
                seen = f"{expensive.path} for {expensive.price_msats} msats and {bought.path} for no less"
                raise UnsaleableError(
                    f"what is expensive to cost more than what is {role}", seen, "name others"
                )
            roles[Role.EXPENSIVE] = f"no service costs more than {bought.path}, which is {role}"


def _hosts_of(services: Sequence[ServiceAsWritten]) -> dict[str, None]:
    return dict.fromkeys(host for service in services for host in _hosts(service.hostregexp))


def _hosts(pattern: str) -> Iterator[str]:
    """Yield hosts that a pattern may match, as clients send them."""
    for text in (GATEWAY_HOST, *examples(pattern)):
        host = text.lower()
        if _HOST.fullmatch(host) and host.partition(":")[0] != CONTROL_HOST:
            # A port that is the scheme's own is not sent.
            yield httpx.URL(f"https://{host}").netloc.decode("ascii")


def _paths(pattern: str) -> Iterator[str]:
    """Yield paths that a pattern may match."""
    found = dict.fromkeys(text if text.startswith("/") else f"/{text}" for text in examples(pattern))
    for further in _FURTHER:
        for text in found:
            path = text.rstrip("/") + further if further.startswith("/") else text + further
            if _is_usable(path):
                yield path


def _is_usable(path: str) -> bool:
    return bool(_PATH.fullmatch(path)) and not _NO_SEGMENTS.search(path) and path != HEALTH_PATH
