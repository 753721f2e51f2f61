"""Decides from the runbooks' environment variables which deployed system is meant, with which secrets."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeVar
from urllib.parse import urlsplit

import httpx

from pytest_l402.boundary import quoted
from pytest_l402.protocol.bolt11 import NETWORKS

PREFIX: Final = "OA_LIGHTNING_OPS_"
DEFAULT_GATEWAY: Final = "https://l402.openagents.com"
DEFAULT_RESOURCE_PATH: Final = "/staging"
DEFAULT_HEALTH_PATH: Final = "/healthz"
SETTLEMENT_READ: Final = f"{PREFIX}CRED_SETTLEMENT_READ"
NETWORK: Final = "PYTEST_L402_NETWORK"
"""Whose invoices a challenge must have. The runbooks have no variable for it, so it has a name of ours."""

T = TypeVar("T")


class ControlPlaneForm(StrEnum):
    """How a control plane is spoken to: function names over an internal API, or Convex's own HTTP API."""

    API = "api"
    CONVEX = "convex"


# KHALA_URL is what runbook 2 calls the variable; the tools it describes read CONVEX_URL for the same thing.
_URL_FORMS: Final = {
    f"{PREFIX}KHALA_URL": ControlPlaneForm.CONVEX,
    f"{PREFIX}CONVEX_URL": ControlPlaneForm.CONVEX,
    f"{PREFIX}API_BASE_URL": ControlPlaneForm.API,
}


class EnvironmentVariableError(ValueError):
    """Variables are missing, blank or unusable; the text names each in one line, and no secret."""

    code = "configuration"


@dataclass(frozen=True, slots=True)
class ControlPlaneAccess:
    """Where the control plane is; `secret` goes into the body of each request, as its API wants it.

    `settlement_read` is the credential of the role that may read settlements, None without one.
    """

    url: str
    form: ControlPlaneForm
    secret: str = field(repr=False)
    settlement_read: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class GatewayAccess:
    """Where the gateway is, the two resources that the probes ask for, and how its invoices may begin."""

    base_url: str
    challenge_url: str
    proxy_url: str
    health_path: str
    networks: frozenset[str]
    ops_token: str | None = field(default=None, repr=False)
    proxy_authorization: str | None = field(default=None, repr=False)


def control_plane_access(
    environ: Mapping[str, str], form: ControlPlaneForm | None = None
) -> ControlPlaneAccess:
    """Return how to reach the control plane (runbook staging-reconcile section 1, runbook lightning-ops).

    One of `…_KHALA_URL`, `…_CONVEX_URL`, `…_API_BASE_URL` says where; several must agree. With a `form` only
    the variables of that form are looked at.

    Raises:
        EnvironmentVariableError: a variable is missing, blank or no http(s) URL, or two disagree.
    """
    read = _Reader(environ)
    names = [name for name, its in _URL_FORMS.items() if form in (None, its)]
    given = {name: read.value(name, _base_url) for name in names if name in environ}
    secret = read.value(f"{PREFIX}SECRET", _header_text)
    if not given:
        others = f" (or in {', or in '.join(names[1:])})" if names[1:] else ""
        read.complain(f"{names[0]}: expected the control plane's URL in it{others}, saw it unset; set it")
    elif len({(url, _URL_FORMS[name]) for name, url in given.items()}) > 1 and not read.complaints:
        read.complain(f"{', '.join(given)}: expected one control plane, saw several; unset all but one")
    if secret is None:
        read.complain_if_unset(f"{PREFIX}SECRET")
    settlement_read = read.value(SETTLEMENT_READ, _header_text)
    read.finish()
    name, url = next(iter(given.items()))
    assert url is not None
    assert secret is not None
    return ControlPlaneAccess(url, _URL_FORMS[name], secret, settlement_read)


def gateway_access(environ: Mapping[str, str]) -> GatewayAccess:
    """Return how to reach the gateway; what is unset has the runbook's default, what is blank is an error.

    The two resources default to `/staging` of the gateway, so that a gateway that is named alone is also the
    one that is probed. Invoices are of Bitcoin's main network unless `PYTEST_L402_NETWORK` says otherwise;
    those of a gateway on this machine may also be of regtest.

    Raises:
        EnvironmentVariableError: variables are blank or unusable.
    """
    read = _Reader(environ)
    base_url = read.value(f"{PREFIX}GATEWAY_BASE_URL", _base_url) or DEFAULT_GATEWAY
    resource = base_url + DEFAULT_RESOURCE_PATH
    access = GatewayAccess(
        base_url=base_url,
        challenge_url=read.value(f"{PREFIX}CHALLENGE_URL", _resource_url) or resource,
        proxy_url=read.value(f"{PREFIX}PROXY_URL", _resource_url) or resource,
        health_path=read.value(f"{PREFIX}GATEWAY_HEALTH_PATH", _path) or DEFAULT_HEALTH_PATH,
        networks=read.value(NETWORK, _network) or _usual_networks(base_url),
        ops_token=read.value(f"{PREFIX}GATEWAY_OPS_TOKEN", _header_text),
        proxy_authorization=read.value(f"{PREFIX}PROXY_AUTHORIZATION_HEADER", _header_text),
    )
    read.finish()
    return access


class _UnusableError(ValueError):
    """A value cannot be used; the text says what was expected, seen, and what to do."""


class _Reader:
    """Reads variables, and tells of all that cannot be used at once."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.complaints: list[str] = []

    def value(self, name: str, read: Callable[[str], T]) -> T | None:
        if name not in self._environ:
            return None
        value = self._environ[name].strip()
        try:
            if not value:
                raise _UnusableError("expected a value, saw it blank; set it, or unset it")
            return read(value)
        except _UnusableError as error:
            self.complain(f"{name}: {error}")
            return None

    def complain(self, text: str) -> None:
        self.complaints.append(text)

    def complain_if_unset(self, name: str) -> None:
        if name not in self._environ:
            self.complain(f"{name}: expected a value, saw it unset; set it in the environment")

    def finish(self) -> None:
        if self.complaints:
            raise EnvironmentVariableError(" | ".join(self.complaints))


def _header_text(value: str) -> str:
    # Beyond printable ASCII no header carries it unchanged. It may be a secret, so it is not shown.
    if not (value.isascii() and value.isprintable()):
        raise _UnusableError("expected one line of printable ASCII, saw other characters in it; set it anew")
    return value


def _base_url(value: str) -> str:
    # As httpx writes it: two spellings would be two systems to the permission and to the locks.
    url = httpx.URL(_resource_url(value))
    if url.query:
        raise _UnusableError("expected a URL without query, saw one; give the part before it")
    return str(url.copy_with(query=None)).rstrip("/")


def _resource_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        with_user = parts.username is not None or bool(parts.fragment)
        httpx.URL(value)
    except (ValueError, httpx.InvalidURL):
        usable, with_user = False, "@" in value
    if with_user:
        # Not shown: the user part may be a password.
        raise _UnusableError(
            "expected a URL without user or fragment, saw one; secrets have variables of their own"
        )
    if not usable or not (value.isascii() and value.isprintable()) or " " in value or "\\" in value:
        raise _UnusableError(
            f"expected an http or https URL, saw {quoted(value.partition('?')[0])}; "
            "set it to the deployment's URL"
        )
    return value


def _network(value: str) -> frozenset[str]:
    known = {**NETWORKS, "mainnet": NETWORKS["bitcoin"]}
    if value not in known:
        raise _UnusableError(
            f"expected one of {', '.join(known)}, saw {quoted(value)}; set it to one of them"
        )
    return frozenset({known[value]})


def _usual_networks(base_url: str) -> frozenset[str]:
    host = urlsplit(base_url).hostname or ""
    try:
        is_here = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_here = False
    names = ("bitcoin", "regtest") if is_here else ("bitcoin",)
    return frozenset(NETWORKS[name] for name in names)


def _path(value: str) -> str:
    unusable = not value.startswith("/") or value.startswith("//") or not value.isascii()
    if unusable or any(character in value for character in " ?#\\") or not value.isprintable():
        raise _UnusableError(
            f"expected a path from /, saw {quoted(value)}; set it to a path such as /healthz"
        )
    return value
