"""Decides whether a macaroon's caveats allow a request, by the rules that Aperture's proxy enforces."""

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NoReturn

from pytest_l402.protocol.errors import CaveatError

_INTEGER: Final = re.compile(rb"[+-]?[0-9]+")
_INT64: Final = range(-(2**63), 2**63)


class CaveatReason(StrEnum):
    """Why a caveat forbids a request: the ``reason`` of a ``CaveatError``."""

    SERVICE_NOT_AUTHORIZED = "service_not_authorized"
    SERVICES_EMPTY = "services_empty"
    SERVICES_MALFORMED = "services_malformed"
    SERVICES_WIDENED = "services_widened"
    EXPIRED = "expired"
    EXPIRY_NOT_AN_INTEGER = "expiry_not_an_integer"
    EXPIRY_LOOSENED = "expiry_loosened"


_REMEDIES: Final = {
    CaveatReason.SERVICE_NOT_AUTHORIZED: "Pay the challenge of the service that is asked for.",
    CaveatReason.SERVICES_EMPTY: "List the services, or leave the caveat out.",
    CaveatReason.SERVICES_MALFORMED: "Write services=name:0,other:0 without blanks.",
    CaveatReason.SERVICES_WIDENED: "Attenuate with fewer services, never with more.",
    CaveatReason.EXPIRED: "Pay a fresh challenge.",
    CaveatReason.EXPIRY_NOT_AN_INTEGER: "Write the expiry as a decimal integer.",
    CaveatReason.EXPIRY_LOOSENED: "A later expiry may only be earlier than the one before.",
}


def caveat(condition: str, value: str | int) -> bytes:
    """Return ``condition=value`` as bytes; ``CaveatError`` for a condition that is empty or holds ``=``."""
    if not condition or "=" in condition:
        raise CaveatError(
            "condition_malformed",
            "a condition without an equals sign",
            "none" if not condition else "one with an equals sign",
            "caveat",
            "The first equals sign ends the condition, so it cannot be part of it.",
        )
    return f"{condition}={value}".encode()


def split_caveat(raw: bytes) -> tuple[bytes, bytes] | None:
    """Split at the first ``=`` into condition and value; None without one (Aperture skips such a caveat)."""
    condition, equals, value = raw.partition(b"=")
    return (condition, value) if equals else None


def caveat_value(caveats: Sequence[bytes], condition: str) -> bytes | None:
    """Return the value of the last caveat with this condition, or None."""
    values = _values(caveats, condition.encode())
    return values[-1] if values else None


def check_caveats(caveats: Sequence[bytes], service: str, now_unix_s: float) -> None:
    """Raise ``CaveatError`` when the caveats forbid ``service`` at ``now_unix_s`` (seconds since 1970).

    Aperture looks at two conditions and at nothing else. ``services`` must list the service as ``name:tier``;
    a later list may only be a part of the one before; without any such caveat every service is allowed.
    ``<service>_valid_until`` must lie strictly in the future; later ones may only tighten. Capabilities,
    volume, a bare ``valid_until``, unknown and undecodable caveats pass unseen. Source: Aperture
    l402/satisfier, proxy.
    """
    _check_services(_values(caveats, b"services"), service.encode())
    _check_expiry(_values(caveats, service.encode() + b"_valid_until"), service, now_unix_s)


def _values(caveats: Sequence[bytes], condition: bytes) -> list[bytes]:
    prefix = condition + b"="
    return [raw[len(prefix) :] for raw in caveats if raw.startswith(prefix)]


def _check_services(values: list[bytes], service: bytes) -> None:
    allowed: set[bytes] | None = None
    for value in values:
        listed = _service_names(value)
        if allowed is not None and not listed <= allowed:
            seen = f"{len(listed - allowed)} service(s) that the earlier one does not list"
            _refuse(CaveatReason.SERVICES_WIDENED, "a later services caveat to narrow the one before", seen)
        allowed = listed
    if allowed is not None and service not in allowed:
        seen = f"a macaroon for {len(allowed)} other service(s)"
        _refuse(CaveatReason.SERVICE_NOT_AUTHORIZED, f"service {service.decode()}", seen)


def _service_names(value: bytes) -> set[bytes]:
    if not value:
        _refuse(CaveatReason.SERVICES_EMPTY, "at least one name:tier", "an empty list")
    names = set()
    for entry in value.split(b","):
        name, _, tier = entry.partition(b":")
        # A tier with a second colon is no integer, so it is refused here too.
        if not name or _integer(tier) is None:
            expected = "name:tier with an integer tier"
            _refuse(CaveatReason.SERVICES_MALFORMED, expected, "an entry of another form")
        names.add(name)
    return names


def _check_expiry(values: list[bytes], service: str, now_unix_s: float) -> None:
    where = f"caveat {service}_valid_until"
    previous: int | None = None
    for value in values:
        until = _integer(value)
        if until is None:
            seen = f"{len(value)} bytes of another form"
            _refuse(CaveatReason.EXPIRY_NOT_AN_INTEGER, "whole seconds since 1970", seen, where)
        if previous is not None and until > previous:
            _refuse(CaveatReason.EXPIRY_LOOSENED, f"at most {previous}", str(until), where)
        previous = until
    if previous is not None and now_unix_s >= previous:
        _refuse(CaveatReason.EXPIRED, f"a time before {previous}", f"now {now_unix_s}", where)


def _refuse(reason: CaveatReason, expected: str, seen: str, where: str = "caveat services") -> NoReturn:
    raise CaveatError(reason, expected, seen, where, _REMEDIES[reason])


def _integer(text: bytes) -> int | None:
    """Read a decimal integer as Go's ParseInt does: sign allowed, no blanks or underscores, 64 bits."""
    digits = text.lstrip(b"+-").lstrip(b"0")
    # Nineteen digits hold every 64-bit integer; Python itself refuses to parse thousands of them.
    if not _INTEGER.fullmatch(text) or len(digits) > 19:
        return None
    value = int(digits or b"0") * (-1 if text.startswith(b"-") else 1)
    return value if value in _INT64 else None
