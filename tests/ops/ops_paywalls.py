"""Paywalls for the tests of the compiler, and the way Aperture picks a service from its file."""

import re
import warnings
from typing import Any

import yaml

from pytest_l402.ops.compile.compilation import Compilation
from pytest_l402.ops.compile.paywall import PaywallDefinition, PaywallStatus, Policy, Route

UPSTREAM = "https://up.example.com"


def route(
    route_id="r", host="a.com", path="/x", upstream=UPSTREAM, protocol="https", timeout_ms=8_000, priority=10
):
    return Route(route_id, host, path, upstream, protocol, timeout_ms, priority)


def paywall(paywall_id="pw", *routes, msats=21_000, status=PaywallStatus.ACTIVE, metadata=None, **policy):
    return PaywallDefinition(
        paywall_id,
        f"owner_{paywall_id}",
        "name",
        Policy(msats, **policy),
        tuple(routes) or (route(),),
        status,
        metadata=metadata or {},
    )


def on_path(paywall_id, path, host="a.com", priority=10, **more):
    return paywall(paywall_id, route(path=path, host=host, priority=priority), **more)


def codes(compilation: Compilation) -> list[str]:
    return [item.code.value for item in compilation.diagnostics]


def errors(compilation: Compilation) -> list[str]:
    return [item.code.value for item in compilation.diagnostics if item.severity == "error"]


def python_regexp(go: str) -> re.Pattern[str]:
    """Read what the compiler emits with another engine, to which `$` and codes are spelled otherwise."""
    text = re.sub(r"\\x\{([0-9a-f]+)\}", lambda code: re.escape(chr(int(code[1], 16))), go)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return re.compile(re.sub(r"\$$", r"\\Z", text))


class ApertureFile:
    """The services of a file as Aperture reads it: in order, both patterns searched unanchored."""

    def __init__(self, text: str) -> None:
        self.services: list[dict[str, Any]] = yaml.safe_load(text)["services"]
        self._matchers = [
            (python_regexp(item["hostregexp"]), python_regexp(item["pathregexp"]), item)
            for item in self.services
        ]

    def matching(self, host: str, path: str) -> list[dict[str, Any]]:
        return [item for hosts, paths, item in self._matchers if hosts.search(host) and paths.search(path)]

    def pick(self, host: str, path: str) -> dict[str, Any] | None:
        found = self.matching(host, path)
        return found[0] if found else None
