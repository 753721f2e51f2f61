"""Decides what a gateway makes of an `aperture.yaml`: the services it sells, or why it does not start."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Final

from pydantic import TypeAdapter

from pytest_l402.boundary.strict_yaml import YamlError, parse_yaml
from pytest_l402.boundary.yaml_entries import YamlEntry, accepts, validated
from pytest_l402.ops.aperture.shape import FILE, SERVICE
from pytest_l402.ops.compile.terms import MSATS_PER_SAT
from pytest_l402.stack.gateway.services import Service

_CLOSED = "closed."
_CODE = re.compile(r"(?:~[0-9a-f]{2})+")

_Text = Annotated[str, accepts(lambda value: isinstance(value, str), "text")]
# A bool is an int to Python, and no number to Aperture.
_Number = Annotated[int, accepts(lambda value: type(value) is int, "a number")]


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


class ApertureConfigError(ValueError):
    """A file that no gateway starts with; one line that names the field."""


class _Rewrite(YamlEntry):
    prefix: _Text = ""


class _Entry(YamlEntry):
    name: _Text = ""
    hostregexp: _Text = ""
    pathregexp: _Text = ""
    address: _Text = ""
    protocol: _Text = "http"
    auth: _Text = "on"
    price: _Number = 0
    timeout: _Number = 0
    rewrite: _Rewrite = _Rewrite()
    authskipinvoicecreationpaths: Annotated[tuple[str, ...], accepts(_is_texts, "a list of texts")] = ()


class _File(YamlEntry):
    services: Annotated[tuple[_Entry, ...], accepts(lambda value: isinstance(value, list), "a list")]


_FILE = TypeAdapter(_File)
FIELDS_OF_A_SERVICE_NOT_HERE: Final = tuple(name for name in SERVICE if name not in _Entry.model_fields)
FIELDS_OF_THE_FILE_NOT_HERE: Final = tuple(name for name in FILE if name not in _File.model_fields)
"""What Aperture reads and this gateway does not: a file that has one of them is refused, and says so."""


def load_services(text: str, owner_of: Callable[[str], str | None]) -> tuple[Service, ...]:
    """Return the services of a file in their order; `owner_of` tells the owner of a paywall id.

    Raises:
        ApertureConfigError: not YAML, an unknown field, a value that cannot work.
    """
    document: object = None
    try:
        document = parse_yaml(text)
        entries = validated(_FILE, document).services
    except YamlError as error:
        raise ApertureConfigError(f"aperture.yaml: {error}{_not_here(document)}") from None
    return tuple(_service(number, entry, owner_of) for number, entry in enumerate(entries))


def _not_here(document: object) -> str:
    """Return what is to be said of a field that Aperture has and this gateway lacks; else nothing."""
    if not isinstance(document, dict):
        return ""
    found = [name for name in FIELDS_OF_THE_FILE_NOT_HERE if name in document]
    services = document.get("services")
    for entry in services if isinstance(services, list) else ():
        if isinstance(entry, dict):
            found += [name for name in FIELDS_OF_A_SERVICE_NOT_HERE if name in entry]
    return f"; {found[0]} is a field that only Aperture itself has: leave it out here" if found else ""


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


def _service(number: int, entry: _Entry, owner_of: Callable[[str], str | None]) -> Service:
    paywall_id, route_id = paywall_and_route(entry.name) or ("", "")
    try:
        return Service(
            name=entry.name,
            price_msats=entry.price * MSATS_PER_SAT,
            hostregexp=entry.hostregexp,
            pathregexp=entry.pathregexp,
            auth=entry.auth,
            timeout_s=entry.timeout,
            authskipinvoicecreationpaths=entry.authskipinvoicecreationpaths,
            address=entry.address,
            protocol=entry.protocol,
            rewrite_prefix=entry.rewrite.prefix,
            paywall_id=paywall_id,
            owner_id=(owner_of(paywall_id) or "") if paywall_id else "",
            route_id=route_id,
        )
    except ValueError as error:
        raise ApertureConfigError(f"aperture.yaml: services[{number}]: {error}") from None
