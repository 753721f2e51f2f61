"""Decides whether a control plane's answer is a list of paywalls: strictly, in either of two spellings.

Live control planes answer in camelCase JSON or in protobuf's JSON form: snake_case keys, integers as text,
enums such as `PAYWALL_STATUS_ACTIVE`. Both are read; nothing else is coerced, but for metadata, whose form
is nobody's business. What is optional is absent, never null, and nothing required has a default: a kill
switch that is not there must not read as off.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel, to_snake

from pytest_l402.boundary import InputError, parse_json, quoted
from pytest_l402.boundary.text_safety import seen
from pytest_l402.contract import CamelDocument
from pytest_l402.contract.departures import DepartureKind, departures_of
from pytest_l402.contract.scalars import Accepts, AnyText, EpochMs, Flag, Msats, Text, member_of, refused
from pytest_l402.ops.compile.paywall import PaywallDefinition, PaywallStatus, Policy, Route

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,15}")
_SOURCE = "lightning-ops, listPaywallControlPlaneState"
# Not of the field's type, so that null is refused where a value is told.
_ABSENT: Any = None
_IDS = {"paywall_id": "paywallId", "owner_id": "ownerId"}


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
    if isinstance(value, Mapping):
        value = value.get("paywalls")
    if not isinstance(value, list | tuple):
        raise PaywallDecodeError("paywalls", "a list of paywalls", seen(value))
    try:
        told = _ANSWER.validate_python(_camel(value, "paywalls"), by_alias=True, by_name=False)
    except ValidationError as error:
        first = departures_of(error)[0]
        expected = "a value" if first.kind is DepartureKind.MISSING else first.expected
        raise PaywallDecodeError(f"paywalls{first.field}", expected, first.seen) from None
    return tuple(_definition(item, f"paywalls[{place}]") for place, item in enumerate(told))


def _from_text(value: object) -> object:
    return int(value) if isinstance(value, str) and _DECIMAL.fullmatch(value) else value


def _positive(value: object) -> object:
    if value == 0:
        raise refused("range", "an integer above 0")
    return value


def _free_form(value: object) -> Mapping[str, Any]:
    """Return metadata as an object: some platforms keep it as text, and an empty one as a list."""
    if isinstance(value, str):
        with contextlib.suppress(InputError):
            value = parse_json(value, "metadata")
    return value if isinstance(value, Mapping) else {}


def _spelled(enumeration: type[StrEnum], protobuf: str) -> Callable[[object], object]:
    """Return a reader of protobuf's names of the members: `…_STATUS_ACTIVE` for `active`."""
    members = "|".join(member.upper() for member in enumeration)
    name = re.compile(rf"(?:[A-Z0-9]+_)*{protobuf}_({members})")

    def read(value: object) -> object:
        found = name.fullmatch(value) if isinstance(value, str) else None
        return found[1].lower() if found else value

    return read


class _PricingMode(StrEnum):
    FIXED = "fixed"


class _Protocol(StrEnum):
    HTTP = "http"
    HTTPS = "https"


_Status = Annotated[
    PaywallStatus, member_of(PaywallStatus), BeforeValidator(_spelled(PaywallStatus, "STATUS"))
]
_Pricing = Annotated[
    _PricingMode, member_of(_PricingMode), BeforeValidator(_spelled(_PricingMode, "PRICING_MODE"))
]
_Scheme = Annotated[_Protocol, member_of(_Protocol), BeforeValidator(_spelled(_Protocol, "PROTOCOL"))]
_Amount = Annotated[Msats, BeforeValidator(_from_text)]
_Cap = Annotated[Msats, BeforeValidator(_positive), BeforeValidator(_from_text)]
_Time = Annotated[EpochMs, BeforeValidator(_from_text)]
_Metadata = Annotated[Mapping[str, Any], Accepts(_free_form)]


class _Told(CamelDocument):
    """An object of the answer; what may be absent has a default, but null is nothing that may be told."""

    paywall_id: Text
    owner_id: Text
    created_at_ms: _Time
    updated_at_ms: _Time


class _Policy(_Told):
    pricing_mode: _Pricing
    fixed_amount_msats: _Amount
    max_per_request_msats: _Cap = _ABSENT
    allowed_hosts: tuple[Text, ...] = _ABSENT
    blocked_hosts: tuple[Text, ...] = _ABSENT
    quota_per_minute: _Amount = _ABSENT
    quota_per_day: _Amount = _ABSENT
    kill_switch: Flag


class _Route(_Told):
    route_id: Text
    host_pattern: AnyText
    path_pattern: AnyText
    upstream_url: AnyText
    protocol: _Scheme
    timeout_ms: _Time
    priority: _Time


class _Paywall(_Told):
    name: Text
    description: AnyText = _ABSENT
    status: _Status
    request_id: Text = _ABSENT
    metadata: _Metadata = Field(default_factory=dict)
    policy: _Policy
    routes: tuple[_Route, ...]


_ANSWER = TypeAdapter(tuple[_Paywall, ...])
_KEYS = {str(field.alias) for told in (_Paywall, _Policy, _Route) for field in told.model_fields.values()}


def _camel(value: object, where: str) -> object:
    """Return the answer with the known keys alone, each in camelCase."""
    if isinstance(value, list | tuple):
        return [_camel(item, f"{where}[{place}]") for place, item in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    told: dict[str, object] = {}
    for key, item in value.items():
        name = to_camel(key) if "_" in key else key
        if name not in _KEYS:
            continue
        here = f"{where}.{name}"
        if name in told:
            raise PaywallDecodeError(here, "one spelling of the key", f"{to_snake(name)} and {name}")
        told[name] = item if name == "metadata" else _camel(item, here)
    return told


def _definition(told: _Paywall, where: str) -> PaywallDefinition:
    _check_ids(told.policy, told, f"{where}.policy")
    for place, route in enumerate(told.routes):
        _check_ids(route, told, f"{where}.routes[{place}]")
    policy = Policy(**_values(told.policy, *_IDS))
    routes = tuple(Route(**_values(route, *_IDS)) for route in told.routes)
    return PaywallDefinition(**_values(told, "policy", "routes"), policy=policy, routes=routes)


def _check_ids(part: _Told, paywall: _Paywall, where: str) -> None:
    """Refuse an id that contradicts the paywall around it: it would be sold in another owner's name."""
    for name, key in _IDS.items():
        expected, told = getattr(paywall, name), getattr(part, name)
        if told != expected:
            raise PaywallDecodeError(f"{where}.{key}", f"{quoted(expected)} as of the paywall", quoted(told))


def _values(told: _Told, *left_out: str) -> dict[str, Any]:
    return {name: getattr(told, name) for name in type(told).model_fields if name not in left_out}
