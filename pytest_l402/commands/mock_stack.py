"""Decides what the stand-in stack of the commands sells, and which of its parts misbehave on request."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from pytest_l402.stack import faults as fault_module
from pytest_l402.stack.faults import Fault
from pytest_l402.stack.services import Service
from pytest_l402.stack.shop import SELLER_HOST, STATUS_PATH
from pytest_l402.stack.stack import Stack

from .bad_input import BadInput
from .options import shown

FAULTS: Final[dict[str, type[Fault]]] = {
    name: kind
    for name, kind in vars(fault_module).items()
    if isinstance(kind, type) and issubclass(kind, Fault) and kind is not Fault
}

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
    kind = FAULTS.get(name)
    if kind is None:
        close = difflib.get_close_matches(name, FAULTS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"the faults are {', '.join(sorted(FAULTS))}"
        raise BadInput(f"--fault: expected the name of a fault, saw {shown(name)}; {hint}", "bad_fault")
    fields = dataclasses.fields(kind)
    if not colon:
        return kind()
    if not fields:
        raise BadInput(f"--fault: expected {name} alone, saw {shown(given)}; it takes no value", "bad_fault")
    field = fields[0]
    try:
        return kind(**{field.name: _value(typing.get_type_hints(kind)[field.name], value)})
    except ValueError as error:
        raise BadInput(f"--fault: {error}", "bad_fault") from None


def _value(wanted: Any, text: str) -> object:
    if wanted is bool:
        if text not in ("true", "false"):
            raise ValueError(f"expected true or false, saw {shown(text)}")
        return text == "true"
    if wanted is int:
        if not (text.isascii() and text.isdecimal() and len(text) <= 9):
            raise ValueError(f"expected a whole number, saw {shown(text)}")
        return int(text)
    return text
