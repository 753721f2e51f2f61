"""Decides whether a control plane's answer is a list of paywalls: strictly, in either of two spellings.

Live control planes answer in camelCase JSON or in protobuf's JSON form: snake_case keys, integers as text,
enums such as `PAYWALL_STATUS_ACTIVE`. Both are read; nothing else is coerced. What is optional is absent,
never null, and nothing required has a default: a kill switch that is not there must not read as off.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeGuard, TypeVar

from pytest_l402.boundary import quoted, redact_text
from pytest_l402.boundary.strict_json import MAX_SAFE_INTEGER
from pytest_l402.ops.compile.paywall import PaywallDefinition, PaywallStatus, Policy, Route

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,15}")
_HUMP = re.compile(r"(?<=[a-z0-9])[A-Z]")
_SOURCE = "lightning-ops, listPaywallControlPlaneState"
T = TypeVar("T")


class PaywallDecodeError(ValueError):
    """An answer that is no list of paywalls; the message is one line that names the place."""

    def __init__(self, where: str, expected: str, seen: str) -> None:
        super().__init__(
            f"{where}: expected {expected} ({_SOURCE}), saw {seen}; "
            "correct it in the control plane, or check that this is its answer"
        )
        self.where = where


def decode_paywalls(value: object) -> tuple[PaywallDefinition, ...]:
    """Return the paywalls of a control plane's answer: a list, or an object with it under `paywalls`.

    Keys that a paywall does not have are dropped. Amounts are msats, times epoch milliseconds, both up to
    2^53-1.

    Raises:
        PaywallDecodeError: at the first value that departs from the contract.
    """
    where = ""
    if isinstance(value, Mapping):
        where = "paywalls"
        value = value.get("paywalls")
    if not _is_list(value):
        raise PaywallDecodeError(where or "paywalls", "a list of paywalls", _seen(value))
    return tuple(_paywall(_Object(item, f"paywalls[{place}]")) for place, item in enumerate(value))


class _Object:
    """One object of the answer, and where it stands."""

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, Mapping):
            raise PaywallDecodeError(where, "an object", _seen(value))
        self._value = value
        self.where = where

    def required(self, key: str, read: Callable[[object, str], T]) -> T:
        found = self._find(key)
        if found is None:
            raise PaywallDecodeError(f"{self.where}.{key}", "a value", "absent")
        return read(self._value[found], f"{self.where}.{key}")

    def optional(self, key: str, read: Callable[[object, str], T]) -> T | None:
        found = self._find(key)
        return None if found is None else read(self._value[found], f"{self.where}.{key}")

    def same(self, key: str, expected: str) -> None:
        """Refuse an id that contradicts the paywall around it: it would be sold in another owner's name."""
        seen = self.required(key, _text)
        if seen != expected:
            raise PaywallDecodeError(
                f"{self.where}.{key}", f"{quoted(expected)} as of the paywall", quoted(seen)
            )

    def _find(self, key: str) -> str | None:
        snake = _HUMP.sub(lambda hump: "_" + hump[0].lower(), key)
        spellings = [spelling for spelling in dict.fromkeys((key, snake)) if spelling in self._value]
        if len(spellings) > 1:
            raise PaywallDecodeError(
                f"{self.where}.{key}", "one spelling of the key", " and ".join(spellings)
            )
        return spellings[0] if spellings else None


def _paywall(item: _Object) -> PaywallDefinition:
    paywall_id = item.required("paywallId", _text)
    owner_id = item.required("ownerId", _text)
    return PaywallDefinition(
        paywall_id=paywall_id,
        owner_id=owner_id,
        name=item.required("name", _text),
        description=item.optional("description", _any_text),
        status=PaywallStatus(item.required("status", _member("STATUS", *PaywallStatus))),
        request_id=item.optional("requestId", _text),
        metadata=item.optional("metadata", _mapping) or {},
        policy=_policy(_Object(item.required("policy", _any), f"{item.where}.policy"), paywall_id, owner_id),
        routes=tuple(
            _route(_Object(route, f"{item.where}.routes[{place}]"), paywall_id, owner_id)
            for place, route in enumerate(item.required("routes", _list))
        ),
        created_at_ms=item.required("createdAtMs", _integer),
        updated_at_ms=item.required("updatedAtMs", _integer),
    )


def _policy(item: _Object, paywall_id: str, owner_id: str) -> Policy:
    item.same("paywallId", paywall_id)
    item.same("ownerId", owner_id)
    return Policy(
        pricing_mode=item.required("pricingMode", _member("PRICING_MODE", "fixed")),
        fixed_amount_msats=item.required("fixedAmountMsats", _integer),
        max_per_request_msats=item.optional("maxPerRequestMsats", _positive),
        allowed_hosts=item.optional("allowedHosts", _texts),
        blocked_hosts=item.optional("blockedHosts", _texts),
        quota_per_minute=item.optional("quotaPerMinute", _integer),
        quota_per_day=item.optional("quotaPerDay", _integer),
        kill_switch=item.required("killSwitch", _flag),
        created_at_ms=item.required("createdAtMs", _integer),
        updated_at_ms=item.required("updatedAtMs", _integer),
    )


def _route(item: _Object, paywall_id: str, owner_id: str) -> Route:
    item.same("paywallId", paywall_id)
    item.same("ownerId", owner_id)
    return Route(
        route_id=item.required("routeId", _text),
        host_pattern=item.required("hostPattern", _any_text),
        path_pattern=item.required("pathPattern", _any_text),
        upstream_url=item.required("upstreamUrl", _any_text),
        protocol=item.required("protocol", _member("PROTOCOL", "http", "https")),
        timeout_ms=item.required("timeoutMs", _integer),
        priority=item.required("priority", _integer),
        created_at_ms=item.required("createdAtMs", _integer),
        updated_at_ms=item.required("updatedAtMs", _integer),
    )


def _any(value: object, where: str) -> object:
    return value


def _any_text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise PaywallDecodeError(where, "text", _seen(value))
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise PaywallDecodeError(where, "text without lone surrogates", _seen(value))
    return value


def _text(value: object, where: str) -> str:
    if not (text := _any_text(value, where)):
        raise PaywallDecodeError(where, "text that is not empty", _seen(value))
    return text


def _integer(value: object, where: str) -> int:
    expected = "an integer from 0 to 2^53-1"
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        value = int(value)
    # JSON has one kind of number: 1.0 is the integer 1. A bool is none.
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_SAFE_INTEGER:
        raise PaywallDecodeError(where, expected, _seen(value))
    return value


def _positive(value: object, where: str) -> int:
    if (number := _integer(value, where)) == 0:
        raise PaywallDecodeError(where, "an integer above 0", "0")
    return number


def _flag(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise PaywallDecodeError(where, "true or false", _seen(value))
    return value


def _list(value: object, where: str) -> Sequence[Any]:
    if not _is_list(value):
        raise PaywallDecodeError(where, "a list", _seen(value))
    return value


def _texts(value: object, where: str) -> tuple[str, ...]:
    return tuple(_text(item, f"{where}[{place}]") for place, item in enumerate(_list(value, where)))


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise PaywallDecodeError(where, "an object", _seen(value))
    return value


def _member(enumeration: str, *members: str) -> Callable[[object, str], str]:
    """Return a reader of one of `members`, also as protobuf spells it: `…_STATUS_ACTIVE` for `active`."""
    spelled = re.compile(rf"(?:[A-Z0-9]+_)*{enumeration}_({'|'.join(member.upper() for member in members)})")

    def read(value: object, where: str) -> str:
        if isinstance(value, str):
            if value in members:
                return str(value)
            if found := spelled.fullmatch(value):
                return found[1].lower()
        raise PaywallDecodeError(where, "one of " + ", ".join(members), _seen(value))

    return read


def _is_list(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, list | tuple)


def _seen(value: object) -> str:
    if isinstance(value, Mapping):
        return f"an object of {len(value)} keys"
    if isinstance(value, list | tuple):
        return f"an array of {len(value)}"
    return quoted(redact_text(value) if isinstance(value, str) else value)
