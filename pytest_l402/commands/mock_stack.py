"""Decides what the stand-in stack of the commands sells, and which of its parts misbehave on request."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from pytest_l402.commands.bad_input import BadInput
from pytest_l402.commands.options import shown
from pytest_l402.harness.faults import Fault
from pytest_l402.stack.fault_names import FAULTS, FaultNameError, fault_named
from pytest_l402.stack.gateway.services import Service
from pytest_l402.stack.shop import SELLER_HOST, STATUS_PATH
from pytest_l402.stack.stack import Stack

# The paywalls of the original tool, as Aperture can sell them: whole sats (2 500 and 1 800 msats are none),
# and the seller's own path (Aperture can put a prefix before a path, but not replace it).
WEATHER: Final = Service(
    "weather",
    price_msats=3_000,
    pathregexp="^/api/weather/premium$",
    address=SELLER_HOST,
    paywall_id="pw_weather",
    owner_id="owner_weather",
    route_id="route_weather",
)
NEWS: Final = Service(
    "news",
    price_msats=2_000,
    pathregexp="^/api/news/premium$",
    address=SELLER_HOST,
    paywall_id="pw_news",
    owner_id="owner_news",
    route_id="route_news",
)
_STATUS: Final = Service("status", pathregexp=f"^{STATUS_PATH}$", auth="off", address=SELLER_HOST)


@contextmanager
def mock_stack(
    *services: Service, artifact_dir: Path | None = None, ops_folder: Path | None = None
) -> Iterator[Stack]:
    """Open a stack that sells these services, by default both; the same calls leave the same rows."""
    sold = services or (WEATHER, NEWS)
    with (
        Stack(services=(*sold, _STATUS), artifact_dir=artifact_dir, ops_folder=ops_folder) as stack,
        stack.connected(),
    ):
        yield stack


@contextmanager
def injected(stack: Stack, faults: Sequence[Fault]) -> Iterator[None]:
    """Keep the faults active inside the block."""
    with ExitStack() as active:
        for fault in faults:
            active.enter_context(stack.faults.inject(fault))
        yield


def read_faults(given: Sequence[str]) -> tuple[Fault, ...]:
    """Return the faults that `--fault NAME[:VALUE]` names. Raises `BadInput`."""
    return tuple(map(_fault, given))


def _fault(given: str) -> Fault:
    name, colon, value = given.partition(":")
    values = {}
    if colon:
        kind = FAULTS.get(name)
        fields = dataclasses.fields(kind) if kind is not None else ()
        if kind is not None and not fields:
            raise BadInput(
                f"--fault: expected {name} alone, saw {shown(given)}; it takes no value", "bad_fault"
            )
        values = {field.name: _value(value) for field in fields[:1]}
    try:
        return fault_named(name, values)
    except FaultNameError as error:
        raise BadInput(f"--fault: {error}", "bad_fault") from None


def _value(text: str) -> bool | int | str:
    if text in ("true", "false"):
        return text == "true"
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else text
