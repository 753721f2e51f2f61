"""Decides from the runbooks' environment variables which deployed system is meant, with which secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

from pytest_l402.contract import quoted

PREFIX: Final = "OA_LIGHTNING_OPS_"
DEFAULT_GATEWAY: Final = "https://l402.openagents.com"
DEFAULT_RESOURCE: Final = "https://l402.openagents.com/staging"
DEFAULT_HEALTH_PATH: Final = "/healthz"


class ControlPlaneForm(StrEnum):
    """How a control plane is spoken to: function names over an internal API, or Convex's own HTTP API."""

    API = "api"
    CONVEX = "convex"


# KHALA_URL is what runbook 2 calls the variable; the tools it describes read CONVEX_URL for the same thing.
_URL_FORMS: Final = {
    f"{PREFIX}API_BASE_URL": ControlPlaneForm.API,
    f"{PREFIX}KHALA_URL": ControlPlaneForm.CONVEX,
    f"{PREFIX}CONVEX_URL": ControlPlaneForm.CONVEX,
}


class EnvironmentVariableError(ValueError):
    """A variable is missing, blank or unusable; the text names it, never a secret value."""

    code = "configuration"


@dataclass(frozen=True, slots=True)
class ControlPlaneAccess:
    """Where the control plane is; `secret` goes into the body of each request, as its API wants it."""

    url: str
    form: ControlPlaneForm
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class GatewayAccess:
    """Where the gateway is, and the two resources that the probes ask for."""

    base_url: str
    challenge_url: str
    proxy_url: str
    health_path: str
    ops_token: str | None = field(default=None, repr=False)
    proxy_authorization: str | None = field(default=None, repr=False)


def control_plane_access(environ: Mapping[str, str]) -> ControlPlaneAccess:
    """Return how to reach the control plane (runbook staging-reconcile section 1, runbook lightning-ops).

    One of `…_API_BASE_URL`, `…_KHALA_URL`, `…_CONVEX_URL` says where; several must agree in form and value.

    Raises:
        EnvironmentVariableError: a variable is missing, blank or no http(s) URL, or two disagree.
    """
    given = {name: _url(environ, name) for name in _URL_FORMS if name in environ}
    if not given:
        raise EnvironmentVariableError(
            f"{PREFIX}KHALA_URL: expected the control plane's URL in it (or in {PREFIX}CONVEX_URL, or "
            f"{PREFIX}API_BASE_URL), saw none of them set; set one"
        )
    meanings = {(url, _URL_FORMS[name]) for name, url in given.items()}
    if len(meanings) > 1:
        raise EnvironmentVariableError(
            f"{', '.join(given)}: expected one control plane, saw {len(meanings)} different ones; "
            "unset all but one"
        )
    url, form = meanings.pop()
    return ControlPlaneAccess(url, form, _required(environ, f"{PREFIX}SECRET"))


def gateway_access(environ: Mapping[str, str]) -> GatewayAccess:
    """Return how to reach the gateway; what is unset has the runbook's default, what is blank is an error.

    Raises:
        EnvironmentVariableError: a variable is blank or unusable.
    """
    return GatewayAccess(
        base_url=_url(environ, f"{PREFIX}GATEWAY_BASE_URL", DEFAULT_GATEWAY),
        challenge_url=_url(environ, f"{PREFIX}CHALLENGE_URL", DEFAULT_RESOURCE),
        proxy_url=_url(environ, f"{PREFIX}PROXY_URL", DEFAULT_RESOURCE),
        health_path=_path(environ, f"{PREFIX}GATEWAY_HEALTH_PATH", DEFAULT_HEALTH_PATH),
        ops_token=_optional(environ, f"{PREFIX}GATEWAY_OPS_TOKEN"),
        proxy_authorization=_optional(environ, f"{PREFIX}PROXY_AUTHORIZATION_HEADER"),
    )


def _required(environ: Mapping[str, str], name: str) -> str:
    value = _optional(environ, name)
    if value is None:
        raise EnvironmentVariableError(f"{name}: expected a value, saw it unset; set it in the environment")
    return value


def _optional(environ: Mapping[str, str], name: str) -> str | None:
    if name not in environ:
        return None
    value = environ[name].strip()
    if not value:
        raise EnvironmentVariableError(f"{name}: expected a value, saw it blank; set it, or unset it")
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise EnvironmentVariableError(
            f"{name}: expected one line of text, saw a control character; set it anew"
        )
    return value


def _url(environ: Mapping[str, str], name: str, default: str | None = None) -> str:
    value = _optional(environ, name)
    if value is None:
        assert default is not None
        return default
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    else:
        if parts.username is not None or parts.query or parts.fragment:
            raise EnvironmentVariableError(
                f"{name}: expected a URL without user, query or fragment, saw one of them; put secrets into "
                "their own variables"
            )
    if not usable:
        raise EnvironmentVariableError(
            f"{name}: expected an http or https URL, saw {quoted(value, 80)}; set it to the deployment's URL"
        )
    return value.rstrip("/")


def _path(environ: Mapping[str, str], name: str, default: str) -> str:
    value = _optional(environ, name)
    if value is None:
        return default
    if not value.startswith("/") or value.startswith("//") or any(blank in value for blank in " ?#"):
        raise EnvironmentVariableError(
            f"{name}: expected a path from /, saw {quoted(value, 80)}; set it to a path such as /healthz"
        )
    return value
