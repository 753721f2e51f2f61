"""Decides what a gateway makes of an `aperture.yaml`: the services it sells, or why it does not start."""

from __future__ import annotations

import re
from collections.abc import Callable

from pytest_l402.boundary import quoted
from pytest_l402.boundary.strict_yaml import YamlError, parse_yaml
from pytest_l402.ops.compile.terms import MSATS_PER_SAT
from pytest_l402.ops.regexps import PatternError, compiled
from pytest_l402.stack.gateway.services import Service

_TEXTS = ("name", "hostregexp", "pathregexp", "address", "protocol", "auth")
_NUMBERS = ("price", "timeout")
_KNOWN = {*_TEXTS, *_NUMBERS, "rewrite", "authskipinvoicecreationpaths"}
_CLOSED = "closed."
_CODE = re.compile(r"(?:~[0-9a-f]{2})+")


class ApertureConfigError(ValueError):
    """A file that no gateway starts with; one line that names the field."""


def load_services(text: str, owner_of: Callable[[str], str | None]) -> tuple[Service, ...]:
    """Return the services of a file in their order; `owner_of` tells the owner of a paywall id.

    Raises:
        ApertureConfigError: not YAML, an unknown field, a value that cannot work.
    """
    try:
        document = parse_yaml(text)
    except YamlError as error:
        raise ApertureConfigError(f"aperture.yaml: {error}") from None
    if not isinstance(document, dict) or set(document) != {"services"}:
        raise ApertureConfigError("aperture.yaml: expected the one key services")
    if not isinstance(document["services"], list):
        raise ApertureConfigError("aperture.yaml: services: expected a list")
    return tuple(_service(number, item, owner_of) for number, item in enumerate(document["services"]))


def paywall_and_route(service_name: str) -> tuple[str, str] | None:
    """Return the ids that a compiled service's name is made of, or None for a name of another kind."""
    paywall_id, dot, route_id = service_name.removeprefix(_CLOSED).partition(".")
    if not (paywall_id and dot and route_id) or "." in route_id:
        return None
    return _decoded(paywall_id), _decoded(route_id)


def _decoded(name: str) -> str:
    return _CODE.sub(
        lambda found: bytes.fromhex(found[0].replace("~", "")).decode("utf-8", "surrogatepass"), name
    )


def _service(number: int, item: object, owner_of: Callable[[str], str | None]) -> Service:
    where = f"aperture.yaml: services[{number}]"
    if not isinstance(item, dict) or not item.keys() <= _KNOWN:
        unknown = sorted(map(str, set(item) - _KNOWN)) if isinstance(item, dict) else item
        raise ApertureConfigError(f"{where}: expected the fields of a service, saw {quoted(unknown)}")
    for key, kind, said in (*((k, str, "text") for k in _TEXTS), *((k, int, "a number") for k in _NUMBERS)):
        value = item.get(key, kind())
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ApertureConfigError(f"{where}.{key}: expected {said}, saw {quoted(value)}")
    ids = paywall_and_route(item.get("name", ""))
    paywall_id, route_id = ids if ids is not None else ("", "")
    try:
        return Service(
            name=item.get("name", ""),
            price_msats=item.get("price", 0) * MSATS_PER_SAT,
            hostregexp=_checked(item.get("hostregexp", "")),
            pathregexp=_checked(item.get("pathregexp", "")),
            auth=item.get("auth", "on"),
            timeout_s=item.get("timeout", 0),
            authskipinvoicecreationpaths=tuple(
                _checked(path) for path in _paths(where, item.get("authskipinvoicecreationpaths", []))
            ),
            address=item.get("address", ""),
            protocol=item.get("protocol", "http"),
            rewrite_prefix=_prefix(where, item.get("rewrite", {})),
            paywall_id=paywall_id,
            owner_id=(owner_of(paywall_id) or "") if paywall_id else "",
            route_id=route_id,
        )
    except PatternError as error:
        raise ApertureConfigError(f"{where}: {error}") from None
    except ValueError as error:
        raise (
            error if isinstance(error, ApertureConfigError) else ApertureConfigError(f"{where}: {error}")
        ) from None


def _paths(where: str, value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(path, str) for path in value):
        raise ApertureConfigError(f"{where}.authskipinvoicecreationpaths: expected a list of texts")
    return value


def _prefix(where: str, value: object) -> str:
    if not isinstance(value, dict) or not set(value) <= {"prefix"}:
        raise ApertureConfigError(f"{where}.rewrite: expected a prefix, saw {quoted(value)}")
    prefix = value.get("prefix", "")
    if not isinstance(prefix, str):
        raise ApertureConfigError(f"{where}.rewrite.prefix: expected text, saw {quoted(prefix)}")
    return prefix


def _checked(pattern: str) -> str:
    compiled(pattern)
    return pattern
