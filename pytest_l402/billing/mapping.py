"""Decides how somebody's billing service calls what runbook 5 names: a file that its operator writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, TypeAdapter

from pytest_l402.billing.ledger import FLAGS
from pytest_l402.boundary.cleaning import flat
from pytest_l402.boundary.strict_yaml import YamlError, read_yaml
from pytest_l402.boundary.yaml_entries import OneLine, YamlEntry, accepts, spelled, validated

__all__ = ["METRICS", "Effect", "MappingError", "ServiceNames", "filled", "read_mapping"]

METRICS: Final = (
    "conservation_guard_state",
    "billing_pending_reconciliation_count",
    "billing_pending_reconciliation_alarm",
    "billing_circuit_open",
    "ecs_desired_count_drift",
)
"""The metrics of which the runbook says what they are when all is well."""

ID: Final = "{id}"
"""What stands in a body for the id of an effect: the same again is the same effect."""


class MappingError(ValueError):
    """The file cannot be used; one line with its place in it."""


def _is_base(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        parts = urlsplit(value)
        sound = parts.port != 0
    except ValueError:
        return False
    plain = not (parts.username or parts.password or parts.query or parts.fragment)
    return sound and plain and parts.scheme in ("http", "https") and bool(parts.hostname)


_Url = Annotated[OneLine, accepts(_is_base, "an http or https URL of a host, without user and query")]
_Path = Annotated[OneLine, spelled(r"/[!-~]*", "a path that begins with /")]
_Name = Annotated[OneLine, spelled(r"[A-Za-z_][A-Za-z0-9_:.\-]{0,99}", "a name")]
_MOST_MS: Final = 600_000
_Period = Annotated[
    float,
    accepts(
        lambda value: type(value) in (int, float) and 0 < value <= _MOST_MS,
        f"a number above 0 and up to {_MOST_MS}",
    ),
]
_Metric = Annotated[str, accepts(lambda value: value in METRICS, f"one of {', '.join(METRICS)}")]
_Flag = Annotated[str, accepts(lambda value: value in FLAGS, f"one of {', '.join(FLAGS)}")]


class Paths(YamlEntry):
    """Where the service says how it is, and where its flags are read and set."""

    live: _Path = "/health/live"
    ready: _Path = "/health/ready"
    metrics: _Path = "/metrics"
    flags: _Path = "/api/v1/admin/feature-flags"


class Effect(YamlEntry):
    """A POST that has an effect once for each id; `{id}` stands in the body for the id."""

    path: _Path
    body: dict[str, Any]


class ServiceNames(YamlEntry):
    """A deployed service, by the names that it gives to what the runbook names.

    `token_variable` names the environment variable with the token of an administrator. `flags` and `metrics`
    are the runbook's names and the service's. `effects` are what a flag turns off. `counted_once` are ids of
    effects of the past, each of which was had once. `contain_ms` is how soon a flag has to be obeyed, and
    `books_late_ms` how soon after an answer the books have all that follows from it.
    """

    version: Literal[1]
    url: _Url
    token_variable: _Name | None = None
    paths: Paths = Paths()
    flags: dict[_Flag, _Name] = Field(default_factory=dict)
    metrics: dict[_Metric, _Name] = Field(default_factory=dict)
    effects: dict[_Flag, Effect] = Field(default_factory=dict)
    counted_once: tuple[OneLine, ...] = ()
    contain_ms: _Period = 1000.0
    books_late_ms: _Period = 1000.0


def read_mapping(path: Path) -> ServiceNames:
    """Read the file; raises `MappingError` for one that cannot be used."""
    try:
        document, _ = read_yaml(path)
        told = validated(TypeAdapter(ServiceNames), document)
    except YamlError as error:
        raise MappingError(f"{path.name}: {error}") from None
    for flag, effect in told.effects.items():
        if flag not in told.flags:
            raise MappingError(
                f"{path.name}: effects.{flag}: expected flags.{flag} beside it, saw none; add it"
            )
        try:
            json.dumps(effect.body, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise MappingError(
                f"{path.name}: effects.{flag}.body: expected JSON, saw: {flat(str(error))}; quote texts"
            ) from None
        if filled(effect.body, "") == effect.body:
            raise MappingError(
                f"{path.name}: effects.{flag}.body: expected {ID!r} where the id of the effect stands, saw "
                "none; put it there"
            )
    if told.flags and told.token_variable is None:
        raise MappingError(
            f"{path.name}: expected token_variable, for whose token the flags are asked, saw none; name it"
        )
    return told


def filled(value: Any, name: str) -> Any:
    """A body with an id in its place."""
    if isinstance(value, str):
        return value.replace(ID, name)
    if isinstance(value, dict):
        return {key: filled(each, name) for key, each in value.items()}
    return [filled(each, name) for each in value] if isinstance(value, list) else value
