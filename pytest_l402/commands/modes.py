"""Against what a command runs: the stand-in stack, or a deployed system in one of its forms."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from pytest_l402.commands.bad_input import BadInput, plain

MODE_VARIABLE: Final = "OA_LIGHTNING_OPS_CONTROL_PLANE_MODE"
_DEPLOYED: Final = (
    "OA_LIGHTNING_OPS_KHALA_URL",
    "OA_LIGHTNING_OPS_CONVEX_URL",
    "OA_LIGHTNING_OPS_API_BASE_URL",
    "OA_LIGHTNING_OPS_SECRET",
)


class Mode(StrEnum):
    """The names of modes; all but `mock` are names of live.

    `convex` and `khala` say that the control plane speaks Convex's HTTP API, `api` that it speaks the
    internal one, `live` leaves that to the environment.
    """

    MOCK = "mock"
    LIVE = "live"
    CONVEX = "convex"
    KHALA = "khala"
    API = "api"

    @property
    def is_live(self) -> bool:
        """Whether a deployed system is meant."""
        return self is not Mode.MOCK


def resolve_mode(given: str | None, environ: Mapping[str, str]) -> Mode:
    """Return the mode: that of `--mode`, else of `OA_LIGHTNING_OPS_CONTROL_PLANE_MODE`, else mock.

    Raises:
        BadInput: a name that is none of them; an unknown mode never becomes a silent mock.
    """
    name, origin = given, "--mode"
    if name is None and MODE_VARIABLE in environ:
        name, origin = environ[MODE_VARIABLE].strip(), MODE_VARIABLE
    if name is None:
        return Mode.MOCK
    if name in tuple(Mode):
        return Mode(name)
    import difflib

    close = difflib.get_close_matches(name.lower(), list(Mode), n=1, cutoff=0.5)
    seen = repr(name[:40]) if name else "a blank value"
    hint = f"did you mean {close[0]}?" if close else "take one of them"
    raise BadInput(f"{origin}: expected one of {', '.join(Mode)}, saw {plain(seen)}; {hint}", "unknown_mode")


def silent_mock(given: str | None, environ: Mapping[str, str]) -> str | None:
    """Return the variable by which somebody seems to mean a deployed system, although no mode was named.

    Runbook staging-reconcile section 2 sets them, and then gives the command alone: that is a mock run.
    """
    if given is not None or MODE_VARIABLE in environ:
        return None
    return next((name for name in _DEPLOYED if name in environ), None)
